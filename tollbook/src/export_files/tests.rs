//! Streams, their times and numbers, corrections, and what a crash or a changed configuration leaves.

use model::RatedCdr;

use super::*;

fn rendered(text: &str, rows: usize) -> Rendered {
    let digest = |kind| digest_of(kind, text.as_bytes());
    let (md5, sha256) = (digest(Digest::Md5), digest(Digest::Sha256));
    Rendered { name: "system/1.cdr".to_owned(), bytes: text.into(), rows, md5, sha256 }
}

fn config(dir: &tempfile::TempDir) -> ExportConfig {
    let (exports, archive) = (dir.path().join("exports"), dir.path().join("archive"));
    ExportConfig { dir: exports, archive, ..ExportConfig::default() }
}

/// A format of one value, with a count.
fn format() -> Format {
    let text =
        "about = \"x\"\nlayout = \"delimited\"\nheader = [\"${rows:04}\"]\nfield = [{ name = \"cause\" }]\n";
    Format::parse("acme", text).unwrap()
}

/// A file of that format with one record.
fn whole(record: &str) -> String {
    format!("0001\n\"{record}\"\n")
}

#[test]
fn file_published_before_a_crash_is_left_as_it_was_when_the_format_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let (path, ..) = publish(&config, &rendered(&whole("one"), 1), &format()).unwrap();
    let (again, n_bytes, _, sha256) = publish(&config, &rendered(&whole("second"), 1), &format()).unwrap();
    assert_eq!((again, n_bytes), (path.clone(), whole("one").len() as u64));
    assert_eq!(sha256, rendered(&whole("one"), 1).sha256);
    assert_eq!(std::fs::read_to_string(path).unwrap(), whole("one"));
}

#[test]
fn file_of_other_calls_under_the_planned_name_is_not_taken_for_ours() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    publish(&config, &rendered(&whole("one"), 1), &format()).unwrap();
    let refused = publish(&config, &rendered(&whole("second"), 2), &format()).unwrap_err();
    assert!(refused.to_string().contains("other contents"), "{refused}");
}

/// A desk over a new database with `[exports]` as given.
async fn desk(dir: &tempfile::TempDir, settings: &str) -> Desk {
    let url = format!("sqlite://{}", dir.path().join("tollbook.db").display());
    let store = Store::open(&url).await.unwrap();
    let mut settings: ExportConfig = toml::from_str(settings).unwrap();
    (settings.dir, settings.archive) = (dir.path().join("exports"), dir.path().join("archive"));
    let directory = Arc::new(store.directory().await.unwrap());
    let streams = Arc::new(Streams::load(&settings).unwrap());
    Desk { store, directory, streams, config: settings, lake: None }
}

/// Queues calls for a series, in a batch of its own.
async fn queue(desk: &Desk, batch: u64, calls: &[(&str, RatedCdr)]) {
    let effects = calls
        .iter()
        .map(|(owner, rated)| store::StoreEffect::Export {
            is_left_out: false,
            owner: (*owner).to_owned(),
            cdr: rated.cdr.id,
            revision: rated.cdr.revision,
            payload: model::wire::encode_rated(rated),
        })
        .collect();
    commit(desk, batch, effects).await;
}

async fn commit(desk: &Desk, batch: u64, effects: Vec<store::StoreEffect>) {
    let commit = store::LaneCommit {
        partition: 0,
        expected: batch,
        position: batch + 1,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects,
    };
    desk.store.commit("exports", vec![commit]).await.unwrap();
}

fn call(name: &str, start: &str) -> RatedCdr {
    let call = model::CallUid::new(name);
    let side = model::Party::Unknown;
    RatedCdr {
        cdr: model::Cdr {
            id: model::CdrId::derive(&call, 0),
            revision: 0,
            call,
            leg: 0,
            sip_call_id: name.into(),
            node: "sw1".into(),
            tenant: model::TenantId(1),
            payer: model::AccountId(7),
            source: model::CdrSource {
                party: side.clone(),
                user: "alice".into(),
                domain: "sip.example.org".into(),
                cli: None,
                clir: false,
                user_out: "".into(),
                ip: "192.0.2.7".into(),
                user_agent: "".into(),
            },
            destination: model::CdrDestination {
                party: side,
                dialed: "4930555123".into(),
                domain: "sip.example.org".into(),
                user_in: "4930555123".into(),
                number: None,
                user_out: "".into(),
                user_agent: "".into(),
            },
            call_type: model::CallType::Call,
            status: model::CallStatus::Ok,
            code: 200,
            cause: model::Cause::Normal,
            ended_by: model::Initiator::Caller,
            init_at: start.parse().unwrap(),
            start_at: start.parse().unwrap(),
            duration_us: 60_000_000,
            pdd_us: None,
            codec: "".into(),
            attempts: Vec::new(),
            config_revision: 1,
            partial: false,
            detail: model::CdrDetail::default(),
        },
        charges: Vec::new(),
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn shown(desk: &Desk, written: &[Written]) -> Vec<String> {
    written
        .iter()
        .map(|file| {
            format!("{} {}", file.path.strip_prefix(&desk.config.dir).unwrap().display(), file.n_rows)
        })
        .collect()
}

/// What the directory holds, without its lock.
fn listed(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.file_name().unwrap() != LOCK {
                found.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

const AMA: &str = r#"
    full_names = false
    [[streams]]
    name = "ama"
    format = "csv"
    owners = ["system"]
    every = "24h"
    offset = "1h"
    zone = "Europe/Vienna"
    max_rows_per_file = 2
    by_day = true
    file_name = "${day:%Y%m%d}_${sequence:04}.${suffix}"
"#;

#[tokio::test]
async fn streams_have_their_own_calls_numbers_and_times() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, AMA).await;
    let mut schedule = Schedule::default();
    schedule.tick(&desk, at("2026-03-25T10:10:00Z")).await.unwrap();
    let calls = [
        // The days of Vienna, an hour ahead.
        call("a", "2026-03-24T22:59:59Z"),
        call("b", "2026-03-24T23:00:00Z"),
        call("c", "2026-03-24T23:00:01Z"),
    ];
    for (batch, call) in (0..).zip(&calls) {
        queue(&desk, batch, &[("system", call.clone()), ("ama/system", call.clone())]).await;
    }
    // Two are as many as a file of this stream holds.
    schedule.tick(&desk, at("2026-03-25T10:10:01Z")).await.unwrap();
    assert_eq!(listed(&desk.config.dir), ["system/20260324_0001.csv", "system/20260325_0002.csv"]);
    schedule.tick(&desk, at("2026-03-25T10:29:59Z")).await.unwrap();
    assert_eq!(listed(&desk.config.dir).len(), 2);
    // Every half hour the main stream.
    schedule.tick(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    assert_eq!(
        listed(&desk.config.dir)[..],
        [
            "system/202603/25/tollbook_007_103000_0000000001.cdr",
            "system/20260324_0001.csv",
            "system/20260325_0002.csv"
        ]
    );
    queue(&desk, 3, &[("ama/system", call("d", "2026-03-25T12:00:00Z"))]).await;
    schedule.tick(&desk, at("2026-03-25T23:59:59Z")).await.unwrap();
    assert_eq!(listed(&desk.config.dir).len(), 3, "Vienna's one o'clock is at midnight UTC");
    schedule.tick(&desk, at("2026-03-26T00:00:00Z")).await.unwrap();
    assert!(listed(&desk.config.dir).contains(&"system/20260325_0003.csv".to_owned()));
    // What partners delete is kept.
    assert_eq!(listed(&desk.config.archive), listed(&desk.config.dir));
}

#[tokio::test]
async fn file_is_given_again_from_the_archive_or_made_again_and_proved() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = desk(&dir, "").await;
    queue(&first, 0, &[("system", call("a", "2026-03-25T10:00:00Z"))]).await;
    let written = close_all(&first, at("2026-03-25T10:30:00Z")).await.unwrap();
    let bytes = std::fs::read(&written[0].path).unwrap();
    let series = Series::main(Owner::System);
    let found = again(&first, &series, 1).await.unwrap();
    assert!(found.source == Source::Archive && found.bytes == bytes);

    // Configured anew since, archive and partner's file gone: the same bytes all the same.
    std::fs::remove_dir_all(&first.config.archive).unwrap();
    std::fs::remove_file(&written[0].path).unwrap();
    let other: ExportConfig = toml::from_str("quotes = '\"'\nzone = \"America/New_York\"").unwrap();
    first.streams = Arc::new(Streams::load(&other).unwrap());
    let found = again(&first, &series, 1).await.unwrap();
    assert!(found.source == Source::Database && found.bytes == bytes);
    // A copy that somebody changed is not taken for it.
    std::fs::create_dir_all(first.config.archive.join(&found.name).parent().unwrap()).unwrap();
    std::fs::write(first.config.archive.join(&found.name), "forged").unwrap();
    let found = again(&first, &series, 1).await.unwrap();
    assert!(found.source == Source::Database && found.bytes == bytes);

    let Err(refused) = again(&first, &series, 2).await else { panic!("there is no file 2") };
    assert!(refused.to_string().contains("numbered 1 to 1"), "{refused}");
}

/// A lake in a directory of that name with these calls.
async fn lake_of(dir: &tempfile::TempDir, name: &str, rows: Vec<RatedCdr>) -> Option<Arc<Lake>> {
    let lake = Lake::open(lake::LakeConfig::new(dir.path().join(name))).unwrap();
    let watermark = lake::Watermark { stage: "rating".to_owned(), partition: 0, offset: 1, index: 0 };
    let lane = lake::LaneRows { partition: 0, position: 1, watermarks: vec![watermark], rows };
    lake.commit(vec![lane], at("2026-03-25T12:00:00Z")).await.unwrap();
    Some(Arc::new(lake))
}

/// A stream's file with a correction, written while the database has all of it.
async fn corrected_file(desk: &Desk) -> Vec<u8> {
    for revision in [0, 1] {
        let calls = [("ama/system", priced(revision, if revision == 0 { "0.5" } else { "0.7" }))];
        queue(desk, revision.into(), &calls).await;
        close_all(desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    }
    std::fs::read(desk.config.dir.join("system/20260325_0002.csv")).unwrap()
}

#[tokio::test]
async fn file_is_made_again_from_the_lake_and_where_that_was_changed_from_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk(&dir, AMA).await;
    let bytes = corrected_file(&desk).await;
    std::fs::remove_dir_all(&desk.config.archive).unwrap();
    let series = Series { stream: "ama".to_owned(), owner: Owner::System, way: None };
    let lakes = [
        ("whole", vec![priced(0, "0.5"), priced(1, "0.7")], Source::Lake),
        ("changed", vec![priced(0, "0.4"), priced(1, "0.7")], Source::Database),
        ("part", vec![priced(1, "0.7")], Source::Database),
    ];
    for (name, rows, source) in lakes {
        desk.lake = lake_of(&dir, name, rows).await;
        let found = again(&desk, &series, 2).await.unwrap();
        assert_eq!((found.source, &found.bytes), (source, &bytes), "{name}");
    }
}

#[tokio::test]
async fn file_that_nothing_gives_again_is_refused_with_what_was_published_and_what_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk(&dir, AMA).await;
    // Published before a crash, and left as it was then; what its calls give now is something else.
    let name = "system/20260325_0001.csv";
    let format = exports::load_format("csv").unwrap();
    let spec = FileSpec {
        format: &format,
        owner: Owner::System,
        owner_name: "system",
        stream: "ama",
        way: "",
        name,
        sequence: 1,
        created_at: at("2026-03-25T10:30:00Z"),
        day: None,
        zone: chrono_tz::Europe::Vienna,
    };
    let before = exports::render(&spec, &[priced(0, "0.9").into()]).unwrap();
    exports::publish(&desk.config.dir, &desk.config.archive, name, &before.bytes).unwrap();
    queue(&desk, 0, &[("ama/system", priced(0, "0.5"))]).await;
    close_all(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    std::fs::remove_dir_all(&desk.config.archive).unwrap();
    desk.lake = lake_of(&dir, "lake", vec![priced(0, "0.4")]).await;
    let series = Series { stream: "ama".to_owned(), owner: Owner::System, way: None };
    let Err(refused) = again(&desk, &series, 1).await else { panic!("these are other calls") };
    let refused = refused.to_string();
    assert!(refused.contains(&before.sha256) && refused.matches("sha256 ").count() == 3, "{refused}");
}

#[tokio::test]
async fn files_of_every_delivered_format_are_the_same_from_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    let calls = rated_calls();
    let lake = lake_of(&dir, "lake", calls.clone()).await.unwrap();
    let wanted: Vec<_> = calls.iter().map(|rated| (rated.cdr.id, rated.cdr.revision)).collect();
    let (from, to) = (DateTime::UNIX_EPOCH, at("2030-01-01T00:00:00Z"));
    let kept = lake.kept_calls(&wanted, from, to).await.unwrap();
    let of_key = |rated: &RatedCdr| kept.iter().find(|kept| kept.cdr.id == rated.cdr.id).unwrap();
    let kept: Vec<_> = calls.iter().map(|rated| of_key(rated).clone().into()).collect();
    let calls: Vec<_> = calls.into_iter().map(exports::Entry::from).collect();
    let mut n_formats = 0;
    for (name, _) in exports::DELIVERED {
        let format = exports::load_format(name).unwrap();
        if format.subject() == Subject::Events {
            continue;
        }
        n_formats += 1;
        for owner in
            [Owner::System, Owner::Carrier(model::AccountId(20)), Owner::Reseller(model::AccountId(2))]
        {
            let spec = FileSpec {
                format: &format,
                owner,
                owner_name: "acme",
                stream: "main",
                way: "",
                name: "1.cdr",
                sequence: 1,
                created_at: at("2026-03-25T12:00:00Z"),
                day: None,
                zone: chrono_tz::Europe::Vienna,
            };
            let one = exports::render(&spec, &calls).unwrap();
            assert_eq!(one.rows, calls.len(), "{name}");
            assert_eq!(one, exports::render(&spec, &kept).unwrap(), "{name} of {owner}");
        }
    }
    assert_eq!(n_formats, 9);
}

/// Calls with something in every fact that files show.
fn rated_calls() -> Vec<RatedCdr> {
    use model::{AccountId, Direction, Party, Provider, SubscriberId, TrunkId};
    let customer = |n| Party::Subscriber {
        subscriber: SubscriberId(n),
        account: AccountId(100 + n),
        reseller: AccountId(2),
        uuid: format!("{n:08}-0000-4000-8000-000000000000").into(),
    };
    let trunk = Party::Trunk { trunk: TrunkId(3), account: AccountId(20) };
    let mut calls = Vec::new();
    for (n, (from, to)) in (0_u32..).zip([
        (customer(1), trunk.clone()),
        (trunk, customer(2)),
        (customer(3), customer(4)),
        (customer(5), Party::Unknown),
    ]) {
        let mut rated = priced(0, "0.123456");
        rated.cdr.call = model::CallUid::new(format!("sw1-{n}"));
        rated.cdr.id = model::CdrId::derive(&rated.cdr.call, 0);
        (rated.cdr.source.party, rated.cdr.destination.party) = (from, to);
        rated.cdr.source.cli = Some("43720123456".parse().unwrap());
        rated.cdr.source.user_out = "43720123456".into();
        rated.cdr.destination.user_out = "0049305551234".into();
        rated.cdr.destination.number = (n < 3).then(|| "493055512345".parse().unwrap());
        rated.cdr.duration_us = 61_234_567;
        rated.cdr.pdd_us = Some(1_234_567);
        rated.cdr.detail.setup_us = Some(7_654_321);
        rated.cdr.detail.reason = "Q.850;cause=16;text=\"bye, now\"".into();
        rated.cdr.detail.asserted_identity = "<sip:+43720123456@example.org>".into();
        let charge = rated.charges[0].clone();
        rated.charges.clear();
        for provider in [Provider::Carrier, Provider::Reseller, Provider::Customer] {
            for direction in [Direction::Out, Direction::In] {
                let account = AccountId(match provider {
                    Provider::Carrier => 20,
                    Provider::Reseller => 2,
                    Provider::Customer => 101,
                });
                let mut charge = model::Charge { provider, direction, account, ..charge.clone() };
                charge.zone = format!("{} {}", provider.as_str(), direction.as_str());
                charge.zone_detail = format!("detail {}", charge.zone);
                charge.profile = format!("profile {}", charge.zone);
                charge.matched = format!("4930{n}");
                (charge.free_seconds, charge.onpeak_seconds, charge.offpeak_seconds) = (n.into(), 61, 2);
                charge.free_cash = "0.5".parse().unwrap();
                rated.charges.push(charge);
            }
        }
        calls.push(rated);
    }
    calls
}

#[tokio::test]
async fn corrected_call_is_taken_back_and_written_anew_where_the_format_can() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, AMA).await;
    let mut corrected = call("a", "2026-03-25T10:00:00Z");
    for (batch, revision) in (0..).zip([0, 1]) {
        corrected.cdr.revision = revision;
        queue(&desk, batch, &[("system", corrected.clone()), ("ama/system", corrected.clone())]).await;
        close_all(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    }
    let text = std::fs::read_to_string(desk.config.dir.join("system/20260325_0002.csv")).unwrap();
    let types: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(types, ["record_type", "reversal", "replacement"]);
}

/// A call priced at `cost`, in its revision.
fn priced(revision: u32, cost: &str) -> RatedCdr {
    let mut rated = call("a", "2026-03-25T10:00:00Z");
    rated.cdr.revision = revision;
    rated.charges = vec![model::Charge {
        provider: model::Provider::Customer,
        direction: model::Direction::Out,
        account: model::AccountId(7),
        version: model::ProfileVersionId(1),
        profile: "retail".to_owned(),
        fee: None,
        matched: "49".to_owned(),
        zone: "germany".to_owned(),
        zone_detail: String::new(),
        currency: model::Currency::EUR,
        cost: cost.parse().unwrap(),
        free_seconds: 0,
        free_cash: rust_decimal::Decimal::ZERO,
        billed_seconds: 60,
        onpeak_seconds: 60,
        offpeak_seconds: 0,
        flat: rust_decimal::Decimal::ZERO,
        rounding: "half_up 6".to_owned(),
        pieces: Vec::new(),
        conversion: None,
        fragments: Vec::new(),
    }];
    rated
}

#[tokio::test]
async fn corrected_call_is_reported_beside_files_whose_format_has_no_word_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, "full_names = false\ncorrections_to = [\"books@example.org\"]").await;
    queue(&desk, 0, &[("system", priced(0, "0.5"))]).await;
    close_all(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    queue(&desk, 1, &[("system", priced(1, "0.75"))]).await;
    let written = close_all(&desk, at("2026-03-25T11:00:00Z")).await.unwrap();
    let report = "system/corrections/tollbook_main_corrections_20260325110000_000001.csv";
    assert_eq!(shown(&desk, &written), [format!("{report} 2")]);
    let text = std::fs::read_to_string(desk.config.dir.join(report)).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| lines[0].iter().position(|column| *column == name).unwrap();
    let told: Vec<(&str, &str)> =
        lines[1..].iter().map(|line| (line[0], line[column("customer_cost")])).collect();
    assert_eq!(told, [("reversal", "-0.500000"), ("replacement", "0.750000")]);
    let mails = desk.store.mail_list().await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].mail.subject, "1 calls of system were corrected after export");
    assert_eq!(mails[0].mail.attachments[0].2, text.as_bytes());
    // It is a file like any other: kept, and given again.
    let series = Series::main(Owner::System).corrections();
    std::fs::remove_dir_all(&desk.config.archive).unwrap();
    assert_eq!(again(&desk, &series, 1).await.unwrap().bytes, text.as_bytes());
    // Its own files go on without a gap.
    queue(&desk, 2, &[("system", call("b", "2026-03-25T11:00:00Z"))]).await;
    let written = close_all(&desk, at("2026-03-25T11:30:00Z")).await.unwrap();
    assert_eq!(shown(&desk, &written), ["system/202603/25/tollbook_007_113000_0000000002.cdr 1"]);
}

#[tokio::test]
async fn corrected_call_is_written_again_where_the_partner_wants_it_so() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, "full_names = false\ncorrections = \"repeat\"").await;
    for (batch, revision) in (0..).zip([0, 1]) {
        queue(&desk, batch, &[("system", priced(revision, "0.5"))]).await;
        close_all(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    }
    let text =
        std::fs::read_to_string(desk.config.dir.join("system/202603/25/tollbook_007_103000_0000000002.cdr"));
    assert!(text.unwrap().starts_with("007,0001\n"), "the reference knows one record a call");
}

#[tokio::test]
async fn call_corrected_before_it_was_written_is_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, "full_names = false").await;
    queue(&desk, 0, &[("system", priced(0, "0.5")), ("system", priced(1, "0.75"))]).await;
    let written = close_all(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    assert_eq!(shown(&desk, &written), ["system/202603/25/tollbook_007_103000_0000000001.cdr 1"]);
    let text = std::fs::read_to_string(&written[0].path).unwrap();
    assert!(text.contains("'75.000000'") && !text.contains("'50.000000'"), "{text}");
}

#[tokio::test]
async fn stream_taken_out_of_the_configuration_keeps_its_calls_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, "").await;
    let waits = call("a", "2026-03-25T10:00:00Z");
    queue(&desk, 0, &[("gone/system", waits.clone()), ("system", waits)]).await;
    let written = close_all(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    assert_eq!(shown(&desk, &written), ["system/202603/25/tollbook_007_20260325103000_0000000001.cdr 1"]);
    assert_eq!(desk.store.export_waiting().await.unwrap(), [("gone/system".to_owned(), 1)]);
}

#[tokio::test]
async fn stream_that_is_switched_off_lets_its_calls_wait_until_it_is_on_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk =
        desk(&dir, "enabled = false\n[[streams]]\nname = \"x\"\nformat = \"csv\"\nowners = [\"system\"]\n")
            .await;
    let waits = call("a", "2026-03-25T10:00:00Z");
    queue(&desk, 0, &[("x/system", waits.clone()), ("system", waits)]).await;
    let mut schedule = Schedule::default();
    schedule.tick(&desk, at("2026-03-25T10:10:00Z")).await.unwrap();
    schedule.tick(&desk, at("2026-03-25T10:30:00Z")).await.unwrap();
    assert_eq!(listed(&desk.config.dir).len(), 1);
    assert_eq!(close_all(&desk, at("2026-03-25T10:31:00Z")).await.unwrap().len(), 0);
    assert_eq!(desk.store.export_waiting().await.unwrap(), [("system".to_owned(), 1)]);
    desk.config.enabled = true;
    desk.streams = Arc::new(Streams::load(&desk.config).unwrap());
    let written = close_all(&desk, at("2026-03-25T10:32:00Z")).await.unwrap();
    assert_eq!(shown(&desk, &written), ["system/202603/25/tollbook_007_20260325103200_0000000001.cdr 1"]);
}

#[tokio::test]
async fn files_closed_side_by_side_keep_their_order_and_one_that_fails_keeps_back_its_own_alone() {
    let dir = tempfile::tempdir().unwrap();
    let desk =
        desk(&dir, "max_rows_per_file = 2\nfull_names = false\nmonthly_dir = false\ndaily_dir = false").await;
    // More series than are written at once, with three files each.
    let series: Vec<String> = (1..=20).map(|id| format!("carrier:{id}")).collect();
    for (batch, n) in (0..).zip(0..5) {
        let name = format!("call {n}");
        let start = format!("2026-03-25T10:00:0{n}Z");
        let calls: Vec<(&str, RatedCdr)> =
            series.iter().map(|series| (series.as_str(), call(&name, &start))).collect();
        queue(&desk, batch, &calls).await;
    }
    // The second file of one of them cannot be published: something else has its name.
    let stranger = desk.config.dir.join("carriers/_7/tollbook_007_20260325103000_0000000002.cdr");
    std::fs::create_dir_all(stranger.parent().unwrap()).unwrap();
    std::fs::write(&stranger, "not ours").unwrap();
    close_all(&desk, at("2026-03-25T10:30:00Z")).await.unwrap_err();
    for series in &series {
        let files = desk.store.export_files(series).await.unwrap();
        let n_written = files.iter().filter(|file| file.state != store::ExportState::Planned).count();
        assert_eq!(n_written, if series == "carrier:7" { 1 } else { 3 }, "{series}");
        assert_eq!(
            files.iter().map(|file| file.sequence).collect::<Vec<_>>(),
            (1..=files.len() as u64).collect::<Vec<_>>()
        );
    }
    // Put right, it goes on where it was.
    std::fs::remove_file(&stranger).unwrap();
    close_all(&desk, at("2026-03-25T10:45:00Z")).await.unwrap();
    let files = desk.store.export_files("carrier:7").await.unwrap();
    let rows: Vec<(u64, u64)> = files.iter().map(|file| (file.sequence, file.n_rows)).collect();
    assert_eq!(rows, [(1, 2), (2, 2), (3, 1)]);
    assert!(files.iter().all(|file| file.state != store::ExportState::Planned));
    assert_eq!(desk.store.numbering_check().await.unwrap(), Vec::<String>::new());
    assert!(desk.store.queue_check().await.unwrap().iter().all(store::QueueCheck::holds));
}

#[tokio::test]
async fn owner_whose_file_cannot_be_written_does_not_keep_the_others_from_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, "").await;
    // Neither owner's call can be read; what counts is that the second is tried too.
    let effects = ["carrier:7", "system"]
        .map(|owner| store::StoreEffect::Export {
            is_left_out: false,
            owner: owner.to_owned(),
            cdr: model::CdrId::from_bytes([1; 16]),
            revision: 0,
            payload: vec![0xff],
        })
        .to_vec();
    commit(&desk, 0, effects).await;
    let now = DateTime::UNIX_EPOCH;
    let failed = close_all(&desk, now).await.unwrap_err();
    assert!(format!("{failed:#}").contains("carrier"), "{failed:#}");
    let planned = desk.store.export_unfinished().await.unwrap();
    let owners: Vec<&str> = planned.iter().map(|file| file.owner.as_str()).collect();
    assert_eq!(owners, ["carrier:7", "system"], "each got as far as its own file");
    // Tried again, no further number is taken.
    close_all(&desk, now).await.unwrap_err();
    assert_eq!(desk.store.export_unfinished().await.unwrap(), planned);
}

fn edr(n: u32, kind: model::EdrKind, old: &str, new: &str) -> store::StoreEffect {
    store::StoreEffect::Edr(Box::new(Edr {
        id: format!("provisioning-0-{n}"),
        tenant: model::TenantId(1),
        account: model::AccountId(101),
        subscriber: Some(model::SubscriberId(9)),
        kind,
        old_status: old.to_owned(),
        new_status: new.to_owned(),
        detail: String::new(),
        at: at("2026-03-25T10:00:00Z"),
        reseller: model::AccountId::NOBODY,
        uuid: String::new(),
        number: None,
    }))
}

#[tokio::test]
async fn events_are_closed_at_midnight_spared_their_flapping_and_given_again() {
    use model::EdrKind::{EndProfile, LockChanged, StartProfile, UpdateProfile};
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(&dir, "[edr]\nfilter_flapping = true\nmerge_update = true").await;
    let mut schedule = Schedule::default();
    schedule.tick(&desk, at("2026-03-25T10:00:00Z")).await.unwrap();
    let events = vec![
        edr(1, StartProfile, "", "trial"),
        edr(2, EndProfile, "trial", ""),
        edr(3, StartProfile, "", "gold"),
        edr(4, UpdateProfile, "gold", "silver"),
        edr(5, LockChanged, "none", "outgoing"),
    ];
    commit(&desk, 0, events).await;
    schedule.tick(&desk, at("2026-03-25T23:59:59Z")).await.unwrap();
    assert!(!listed(&desk.config.dir).iter().any(|file| file.contains("edr/")), "it is not midnight yet");
    schedule.tick(&desk, at("2026-03-26T00:00:00Z")).await.unwrap();
    let name = "system/edr/202603/26/tollbook_001_20260326000000_0000000001.edr";
    let text = std::fs::read_to_string(desk.config.dir.join(name)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "001,0001"), "{text}");
    assert!(lines[1].contains("'start_profile'") && lines[1].contains("'silver'"), "{text}");
    exports::verify(text.as_bytes()).unwrap();

    // Nothing more to tell, no number taken; the next day's goes on.
    schedule.tick(&desk, at("2026-03-27T00:00:00Z")).await.unwrap();
    commit(&desk, 1, vec![edr(6, EndProfile, "silver", "")]).await;
    let written = close_all(&desk, at("2026-03-27T12:00:00Z")).await.unwrap();
    assert_eq!(shown(&desk, &written), ["system/edr/202603/27/tollbook_001_20260327120000_0000000002.edr 1"]);
    assert_eq!(desk.store.numbering_check().await.unwrap(), Vec::<String>::new());
    // Made again from what was kept.
    std::fs::remove_dir_all(&desk.config.archive).unwrap();
    let series = Series { stream: "edr".to_owned(), owner: Owner::System, way: None };
    assert_eq!(again(&desk, &series, 1).await.unwrap().bytes, text.as_bytes());
}
