//! The files as their readers get them, byte for byte, and the rules of who gets which call.
//!
//! Golden files are kept: a change in `golden/v1` is a change that every partner's reader must survive. To write
//! them anew after a deliberate change: `UPDATE_GOLDEN=1 cargo test -p exports --test format`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod calls;

use std::fs;
use std::path::PathBuf;

use calls::*;
use std::sync::Arc;

use exports::{
    Entry, ExportConfig, ExportStage, FileSpec, Owner, RecordId, Rendered, Series, Streams, VerifyError,
    owner_dir, owner_name, verify,
};
use model::{Body, Cause, Effect, Effects, RatedCdr, Stage, StageInput};
use proptest::prelude::*;

const CREATED: &str = "2026-03-25T23:30:05Z";

/// The file number 42 of the main stream.
fn render_by(config: &ExportConfig, owner: Owner, rows: &[RatedCdr]) -> Rendered {
    let (streams, directory) = (Streams::load(config).unwrap(), directory());
    let stream = streams.named("").unwrap();
    let (name, owner_name) = (
        stream.file_path(&Series::main(owner), 42, at(CREATED), None, &directory),
        owner_name(owner, &directory),
    );
    let file = FileSpec {
        format: stream.format(owner),
        owner,
        owner_name: &owner_name,
        stream: "main",
        way: "",
        name: &name,
        sequence: 42,
        created_at: at(CREATED),
        day: None,
        zone: stream.zone(owner, &directory),
    };
    let entries: Vec<Entry> = rows.iter().cloned().map(Entry::from).collect();
    exports::render(&file, &entries).unwrap()
}

fn render(owner: Owner, rows: &[RatedCdr]) -> Rendered {
    render_by(&ExportConfig::default(), owner, rows)
}

/// The names of the fields in a file of `owner`.
fn column_names(owner: Owner) -> Vec<String> {
    let streams = Streams::load(&ExportConfig::default()).unwrap();
    let format = streams.named("").unwrap().format(owner);
    format.field_names().into_iter().map(str::to_owned).collect()
}

fn stage(config: &ExportConfig) -> ExportStage {
    ExportStage::new(Arc::new(Streams::load(config).unwrap().named("").unwrap().clone()))
}

/// The calls that the stage gives to `owner`.
fn calls_of(owner: Owner, config: &ExportConfig) -> Vec<RatedCdr> {
    let mut stage = stage(config);
    let mut effects = Effects::default();
    for (offset, rated) in (0..).zip(calls()) {
        stage.apply(StageInput { partition: 0, offset, body: Body::Rated(Box::new(rated)) }, &mut effects);
    }
    assert!(stage.take_changes().is_empty());
    let mut rows = Vec::new();
    for effect in effects.0 {
        match effect {
            Effect::Export { owner: whose, rated, is_left_out: false } if whose.parse() == Ok(owner) => {
                rows.push(*rated)
            }
            Effect::Export { .. } | Effect::Repeated | Effect::AskAgain(_) => {}
            other @ (Effect::Append { .. }
            | Effect::Post(_)
            | Effect::Alert(_)
            | Effect::Lock(_)
            | Effect::Profiles(_)
            | Effect::Bar(_)
            | Effect::Stopped(_)
            | Effect::Edr(_)
            | Effect::Suspend(_)) => {
                panic!("the stage only exports: {other:?}")
            }
        }
    }
    rows
}

fn names(rows: &[RatedCdr]) -> Vec<&str> {
    rows.iter().map(|rated| rated.cdr.call.as_str()).collect()
}

#[track_caller]
fn check_golden(file: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let kept = fs::read(&path).unwrap_or_default();
    assert!(kept == bytes, "{file} is not what was kept; now it is:\n{}", String::from_utf8_lossy(bytes));
}

#[track_caller]
fn check_file(owner: Owner, golden: &str, n_columns: usize) {
    let rows = calls_of(owner, &ExportConfig::default());
    let rendered = render(owner, &rows);
    check_golden(golden, &rendered.bytes);

    let verified = verify(&rendered.bytes).unwrap();
    assert_eq!((verified.rows, verified.md5), (rows.len() as u64, rendered.md5));
    assert_eq!(column_names(owner).len(), n_columns);
    for line in String::from_utf8(rendered.bytes).unwrap().lines().skip(1).take(rows.len()) {
        assert_eq!(split(line).len(), n_columns, "{line}");
    }
}

/// Reads a record as a partner would: quotes off, escapes undone.
fn split(line: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ',' if !is_quoted => values.push(String::new()),
            '\\' => values.last_mut().unwrap().extend(chars.next()),
            c => values.last_mut().unwrap().push(c),
        }
    }
    values
}

#[test]
fn the_operators_file_has_every_call_in_59_columns() {
    check_file(Owner::System, "system.cdr", 59);
}

#[test]
fn a_resellers_file_has_its_customers_calls_in_43_columns() {
    check_file(Owner::Reseller(RESELLER), "reseller.cdr", 43);
}

#[test]
fn a_carriers_file_has_the_calls_over_its_trunks() {
    check_file(Owner::Carrier(CARRIER), "carrier.cdr", 43);
}

#[test]
fn an_empty_file_is_a_header_and_its_checksum() {
    let rendered = render(Owner::System, &[]);
    // printf '007,0000\n' | md5sum
    assert_eq!(String::from_utf8(rendered.bytes).unwrap(), "007,0000\n9b8bd11538a55b017aab6b2ce9d7374f\n");
}

#[test]
fn every_call_goes_to_the_system_and_once_to_each_party_of_it() {
    let config = ExportConfig::default();
    let all = ["out", "on-net", "anonymous", "quoted", "transit", "scanner"];
    assert_eq!(names(&calls_of(Owner::System, &config)), all);
    assert_eq!(names(&calls_of(Owner::Reseller(RESELLER), &config)), ["out", "on-net", "quoted"]);
    assert_eq!(names(&calls_of(Owner::Reseller(OTHER_RESELLER), &config)), ["on-net", "anonymous"]);
    assert_eq!(names(&calls_of(Owner::Carrier(CARRIER), &config)), ["out", "anonymous", "quoted", "transit"]);
    assert_eq!(names(&calls_of(Owner::Carrier(OTHER_CARRIER), &config)), ["transit"]);
}

#[test]
fn a_call_between_two_customers_of_one_reseller_is_one_row_of_its_file() {
    let rated = answered("twice", subscriber(1, RESELLER), subscriber(2, RESELLER), Vec::new());
    let mut effects = Effects::default();
    let input = StageInput { partition: 0, offset: 0, body: Body::Rated(Box::new(rated)) };
    stage(&ExportConfig::default()).apply(input, &mut effects);
    assert_eq!(effects.0.len(), 2, "system and the reseller");
}

#[test]
fn owners_header_and_trailer_of_the_references_files_may_be_others() {
    let config: ExportConfig = toml::from_str(
        r#"owners = ["system"]
        header = ["H;${columns}"]
        trailer = ["T;${rows};${sum duration};${sha256}"]"#,
    )
    .unwrap();
    assert_eq!(calls_of(Owner::Reseller(RESELLER), &config), []);
    let rows = calls_of(Owner::System, &config);
    let text = String::from_utf8(render_by(&config, Owner::System, &rows).bytes).unwrap();
    assert!(text.starts_with("H;id,update_time,"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with(&format!("T;{};", rows.len())), "{last}");
    let none = ExportConfig { owners: vec!["resellers".to_owned()], ..ExportConfig::default() };
    assert!(Streams::load(&none).unwrap_err().to_string().contains("system"));
    let wrong = ExportConfig { header: Some(vec!["${nothing}".to_owned()]), ..ExportConfig::default() };
    assert!(Streams::load(&wrong).unwrap_err().to_string().contains("${nothing} says nothing here"));
}

#[test]
fn failed_calls_are_left_out_where_only_answered_ones_are_wanted() {
    let config = ExportConfig { answered_only: true, ..ExportConfig::default() };
    assert_eq!(names(&calls_of(Owner::System, &config)), ["out", "on-net", "anonymous", "transit"]);
}

/// The calls that are kept for the operator without being in its files.
fn left_out(config: &ExportConfig) -> Vec<String> {
    let mut effects = Effects::default();
    let mut stage = stage(config);
    for rated in calls() {
        stage.apply(StageInput { partition: 0, offset: 0, body: Body::Rated(Box::new(rated)) }, &mut effects);
    }
    let call_of = |effect: &Effect| {
        let Effect::Export { owner, rated, is_left_out: true } = effect else { return None };
        assert_eq!(owner, "system");
        Some(rated.cdr.call.as_str().to_owned())
    };
    effects.0.iter().filter_map(call_of).collect()
}

#[test]
fn incoming_calls_are_in_no_file_where_only_outgoing_ones_are_wanted() {
    let config = ExportConfig { incoming: false, ..ExportConfig::default() };
    let outgoing = ["out", "on-net", "quoted"];
    assert_eq!(names(&calls_of(Owner::System, &config)), outgoing);
    assert_eq!(names(&calls_of(Owner::Reseller(RESELLER), &config)), outgoing);
    // Called by a customer of another reseller.
    assert_eq!(calls_of(Owner::Reseller(OTHER_RESELLER), &config), []);
    assert_eq!(names(&calls_of(Owner::Carrier(CARRIER), &config)), ["out", "quoted"]);
    assert_eq!(left_out(&config), ["anonymous", "transit", "scanner"], "the console knows them all the same");
}

#[test]
fn revision_that_is_left_out_is_known_to_every_series_that_may_still_have_the_earlier_one() {
    let config = ExportConfig { answered_only: true, ..ExportConfig::default() };
    let mut corrected = calls().into_iter().find(|rated| rated.cdr.call.as_str() == "quoted").unwrap();
    let mut left_out = |revision| {
        corrected.cdr.revision = revision;
        let mut effects = Effects::default();
        let body = Body::Rated(Box::new(corrected.clone()));
        stage(&config).apply(StageInput { partition: 0, offset: 0, body }, &mut effects);
        let owner_of = |effect: &Effect| {
            let Effect::Export { owner, is_left_out: true, .. } = effect else { panic!("{effect:?}") };
            owner.clone()
        };
        effects.0.iter().map(owner_of).collect::<Vec<_>>()
    };
    assert_eq!(left_out(0), ["system"]);
    let (reseller, carrier) = (format!("reseller:{RESELLER}"), format!("carrier:{CARRIER}"));
    assert_eq!(left_out(1), ["system", reseller.as_str(), carrier.as_str()]);
}

#[test]
fn conditions_of_the_references_files_leave_calls_out() {
    let config: ExportConfig = toml::from_str("only = [{ fact = \"call_code\", is = [\"486\"] }]").unwrap();
    assert_eq!(names(&calls_of(Owner::System, &config)), ["quoted"]);
    assert_eq!(names(&calls_of(Owner::Reseller(RESELLER), &config)), ["quoted"]);
    assert_eq!(calls_of(Owner::Reseller(OTHER_RESELLER), &config), []);
    assert_eq!(left_out(&config), ["out", "on-net", "anonymous", "transit", "scanner"]);
    let wrong: ExportConfig = toml::from_str("only = [{ fact = \"colour\", is = [\"red\"] }]").unwrap();
    let refused = Streams::load(&wrong).unwrap_err().to_string();
    assert!(refused.contains("colour"), "{refused}");
}

#[test]
fn calls_that_are_up_are_in_the_files_of_streams_that_want_them() {
    let config = |more: &str| -> ExportConfig {
        let stream = "name = \"now\"\nformat = \"reference-intermediate\"\nowners = [\"system\"]\n";
        toml::from_str(&format!("[[streams]]\n{stream}{more}")).unwrap()
    };
    let mut up = calls().swap_remove(0);
    (up.cdr.partial, up.cdr.cause) = (true, Cause::InProgress);
    let queued = |config: &ExportConfig, stream: &str| {
        let streams = Streams::load(config).unwrap();
        let mut stage = ExportStage::new(Arc::new(streams.named(stream).unwrap().clone()));
        let mut effects = Effects::default();
        let body = Body::Rated(Box::new(up.clone()));
        stage.apply(StageInput { partition: 0, offset: 0, body }, &mut effects);
        effects.0.len()
    };
    let wanted = config("in_progress = true\ncorrections = \"repeat\"\n");
    assert_eq!((queued(&wanted, "now"), queued(&wanted, "")), (1, 0));
    assert_eq!(queued(&config(""), "now"), 0);
    // The end would else be reported as a correction of what was told before it.
    let refused = Streams::load(&config("in_progress = true\n")).unwrap_err().to_string();
    assert!(refused.contains("repeat"), "{refused}");
}

/// One value of the row of the call `name` in the file of `owner`.
fn value(owner: Owner, name: &str, column: &str) -> String {
    let rows: Vec<_> = calls().into_iter().filter(|rated| rated.cdr.call.as_str() == name).collect();
    let rendered = render(owner, &rows);
    let text = String::from_utf8(rendered.bytes).unwrap();
    let idx = column_names(owner).iter().position(|name| name == column).unwrap();
    split(text.lines().nth(1).unwrap()).swap_remove(idx)
}

#[test]
fn a_quote_a_backslash_and_a_line_end_in_a_name_stay_one_value_of_one_record() {
    assert_eq!(value(Owner::System, "quoted", "source_user"), "o'hara\\, \"fred\"  007,9999");
}

#[test]
fn a_carrier_sees_neither_our_customer_nor_what_another_carrier_gets() {
    let carrier = Owner::Carrier(CARRIER);
    for (call, column, seen) in [
        ("out", "source_user_id", "0"),
        ("out", "source_subscriber_id", ""),
        ("out", "source_account_id", "0"),
        ("out", "source_provider_id", "0"),
        ("out", "source_user", "43720555123"),
        ("out", "source_ip", ""),
        ("out", "destination_provider_id", "20"),
        ("out", "source_carrier_cost", "3.210000"),
        ("anonymous", "destination_user", "4930555123"),
        ("anonymous", "source_ip", "192.0.2.7"),
        ("transit", "destination_provider_id", "0"),
        ("transit", "source_carrier_cost", "0.000000"),
        ("transit", "destination_carrier_cost", "0.100000"),
    ] {
        assert_eq!(value(carrier, call, column), seen, "{call} {column}");
    }
}

#[test]
fn on_net_calls_say_so_where_others_have_the_carriers_zone() {
    assert_eq!(value(Owner::System, "on-net", "source_carrier_zone"), "onnet");
    assert_eq!(value(Owner::System, "on-net", "source_carrier_detail"), "platform internal");
    assert_eq!(value(Owner::System, "on-net", "source_carrier_cost"), "0.000000");
    assert_eq!(value(Owner::System, "out", "source_carrier_zone"), "carrier zone");
    assert_eq!(value(Owner::System, "out", "source_customer_free_time"), "60");
}

#[test]
fn the_first_column_is_a_number_that_fits_a_signed_bigint_or_the_whole_id() {
    let rated = calls().swap_remove(0);
    let head = u64::from_be_bytes(rated.cdr.id.as_bytes()[..8].try_into().unwrap()) >> 1;
    assert_eq!(value(Owner::System, "out", "id"), head.to_string());
    let config = ExportConfig { record_id: RecordId::Hex, ..ExportConfig::default() };
    let file = render_by(&config, Owner::System, std::slice::from_ref(&rated));
    let text = String::from_utf8(file.bytes).unwrap();
    assert!(text.contains(&format!("\n'{}',", rated.cdr.id)), "{text}");
}

#[test]
fn names_follow_the_options_and_the_owners_zone() {
    let name = |owner, full_names, monthly_dir, daily_dir| {
        let config = ExportConfig { full_names, monthly_dir, daily_dir, ..ExportConfig::default() };
        render_by(&config, owner, &[]).name
    };
    // Vienna is an hour ahead of UTC, New York four behind.
    assert_eq!(
        name(Owner::System, true, true, true),
        "system/202603/26/tollbook_007_20260326003005_0000000042.cdr"
    );
    assert_eq!(
        name(Owner::Reseller(OTHER_RESELLER), true, true, false),
        "resellers/acme_11/202603/tollbook_007_20260325193005_0000000042.cdr"
    );
    assert_eq!(
        name(Owner::Carrier(CARRIER), false, true, false),
        "carriers/tele_co/202603/tollbook_007_26003005_0000000042.cdr"
    );
    assert_eq!(name(Owner::System, false, true, true), "system/202603/26/tollbook_007_003005_0000000042.cdr");
    assert_eq!(name(Owner::System, false, false, true), "system/20260326/tollbook_007_003005_0000000042.cdr");
    assert_eq!(name(Owner::System, false, false, false), "system/tollbook_007_20260326003005_0000000042.cdr");
    // The reseller's own account is in UTC.
    let config = ExportConfig { names_in_owner_zone: true, ..ExportConfig::default() };
    assert_eq!(
        render_by(&config, Owner::Reseller(OTHER_RESELLER), &[]).name,
        "resellers/acme_11/202603/25/tollbook_007_20260325233005_0000000042.cdr"
    );
}

#[test]
fn two_resellers_of_one_name_never_share_a_directory() {
    let directory = directory();
    assert_eq!(owner_dir(Owner::Reseller(RESELLER), &directory), "resellers/acme");
    assert_eq!(owner_dir(Owner::Reseller(OTHER_RESELLER), &directory), "resellers/acme_11");
    assert_eq!(owner_dir(Owner::Reseller(model::AccountId(99)), &directory), "resellers/_99");
}

#[test]
fn an_owner_survives_its_text_form() {
    for owner in [Owner::System, Owner::Reseller(RESELLER), Owner::Carrier(CARRIER)] {
        assert_eq!(owner.to_string().parse(), Ok(owner));
    }
    assert!("customer:7".parse::<Owner>().unwrap_err().to_string().contains("reseller:ID"));
}

#[test]
fn without_quotes_the_separator_is_escaped() {
    let config = ExportConfig { quotes: String::new(), separator: ";".to_owned(), ..ExportConfig::default() };
    let mut rated = calls().swap_remove(0);
    rated.cdr.source.user = "a;b\\c'd".into();
    let text = String::from_utf8(render_by(&config, Owner::System, &[rated]).bytes).unwrap();
    assert!(text.contains(";a\\;b\\\\c'd;"), "{text}");
}

#[test]
fn damage_is_told_by_its_kind() {
    let good = render(Owner::System, &calls()).bytes;
    let text = String::from_utf8(good.clone()).unwrap();

    assert_eq!(verify(b""), Err(VerifyError::NoTrailer));
    assert_eq!(verify(&good[..good.len() - 1]), Err(VerifyError::NoTrailer), "the last line end is missing");
    assert_eq!(verify(&good[..good.len() / 2]), Err(VerifyError::NoTrailer));
    let changed = text.replace("24.000000", "14.000000");
    assert!(matches!(verify(changed.as_bytes()), Err(VerifyError::Checksum { .. })));

    let sealed = |body: &str| {
        use md5::Digest as _;
        format!("{body}{}\n", hex::encode(md5::Md5::digest(body))).into_bytes()
    };
    assert!(matches!(verify(&sealed("007;0001\nx\n")), Err(VerifyError::Header { .. })));
    assert!(matches!(verify(&sealed("007,1\nx\n")), Err(VerifyError::Header { .. })));
    assert_eq!(verify(&sealed("007,0002\nx\n")), Err(VerifyError::Count { header: 2, body: 1 }));
    assert_eq!(verify(&sealed("007,10000\n")).unwrap_err().code(), "EXP014");
}

proptest! {
    #[test]
    fn no_text_in_a_call_breaks_the_file(user in any::<String>(), call_id in any::<String>(), dialed in "\\PC*") {
        let mut rated = calls().swap_remove(0);
        rated.cdr.source.user = user.clone().into();
        rated.cdr.sip_call_id = call_id.into();
        rated.cdr.destination.dialed = dialed.into();
        let rendered = render(Owner::System, &[rated]);
        prop_assert_eq!(verify(&rendered.bytes).unwrap().rows, 1);
        let text = String::from_utf8(rendered.bytes).unwrap();
        let values = split(text.split('\n').nth(1).unwrap());
        prop_assert_eq!(values.len(), 59);
        let shown: String = user.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        prop_assert_eq!(&values[8], &shown);
    }

    #[test]
    fn verify_never_panics_and_never_accepts_a_changed_byte(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let good = render(Owner::System, &calls()).bytes;
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = to;
        prop_assert_eq!(verify(&bytes).is_ok(), bytes == good);
    }
}
