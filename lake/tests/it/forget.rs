//! Numbers leave the files after their time, or because a person asks; what is held stays; nothing else changes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use lake::forget::{DataClass, Erasure, Hold, Rule, Task, Then};
use lake::tables::EVENTS;
use lake::{Lake, LakeConfig, LakeError, TableLane};
use model::{AccountId, TenantId};

use crate::saved::event;
use crate::world::{World, ask, at, call, copy, lines, rows, tree};

const NUMBER: &str = "43660555123";
/// Whatever a call or an event has of that number, in whatever form.
const TRACES: [&str; 2] = ["43660555123", "660555123"];

fn task() -> Task {
    Task {
        rules: Vec::new(),
        erasures: Vec::new(),
        holds: Vec::new(),
        by: "test".to_owned(),
        reason: "asked on paper".to_owned(),
    }
}

fn erase() -> Task {
    Task { erasures: vec![Erasure { number: NUMBER.parse().unwrap(), tenant: None }], ..task() }
}

fn anonymise(until: &str, tenant: Option<i64>) -> Task {
    let rule = Rule {
        class: DataClass::Calls,
        tenant: tenant.map(TenantId),
        until: at(until),
        then: Then::Anonymise,
    };
    Task { rules: vec![rule], ..task() }
}

/// Three calls of the person, in two days and in several forms of the number; one of somebody else; two events.
async fn world_with_a_person() -> (World, Lake) {
    let world = World::new();
    let lake = world.open();
    let mut forwarded = call("forwarded", "2026-10-05T09:00:00Z");
    forwarded.cdr.source.cli = Some("4930777888".parse().unwrap());
    (forwarded.cdr.source.user, forwarded.cdr.source.user_out) = ("4930777888".into(), "4930777888".into());
    forwarded.cdr.destination.number = Some(NUMBER.parse().unwrap());
    forwarded.cdr.destination.user_in = NUMBER.into();
    forwarded.cdr.destination.user_out = format!("0049{NUMBER}").as_str().into();
    forwarded.cdr.destination.dialed = "0660555123".into();
    forwarded.cdr.detail.diversion = format!("<sip:{NUMBER}@sip.example.org>").as_str().into();
    let mut other = call("other", "2026-10-05T10:00:00Z");
    other.cdr.source.cli = Some("43512900100".parse().unwrap());
    (other.cdr.source.user, other.cdr.source.user_out) = ("43512900100".into(), "43512900100".into());
    other.cdr.tenant = TenantId(2);
    other.cdr.payer = AccountId(2002);
    let calls = vec![call("dialled", "2026-10-05T08:00:00Z"), forwarded, other];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    lake.commit(rows(2, vec![call("next-day", "2026-10-06T08:00:00Z")]), world.now).await.unwrap();
    let events = vec![
        event(10, "register_failed", None, &format!("{NUMBER} from 198.51.100.7")),
        event(90_000, "registered", Some(42), "sip:42@192.0.2.10:5060"),
    ];
    let lane = TableLane { partition: 0, position: 1, watermarks: Vec::new(), rows: events };
    lake.append(&EVENTS, vec![lane], world.now).await.unwrap();
    (world, lake)
}

async fn traces(lake: &Lake) -> Vec<String> {
    let mut all = lines(lake, "SELECT * FROM calls_history").await;
    all.extend(lines(lake, "SELECT * FROM events").await);
    all.into_iter().filter(|line| TRACES.iter().any(|trace| line.contains(trace))).collect()
}

/// What must not change, whatever is forgotten.
async fn sums(lake: &Lake) -> Vec<String> {
    lines(
        lake,
        "SELECT day, count(*), sum(customer_cost), sum(duration_seconds), max(revision), min(cdr_id), count(DISTINCT call_id) \
         FROM calls_history GROUP BY day ORDER BY day",
    )
    .await
}

fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[tokio::test]
async fn person_leaves_every_column_in_every_form_and_nothing_else_changes() {
    let (world, lake) = world_with_a_person().await;
    assert_eq!(traces(&lake).await.len(), 4, "the test can fail");
    let before = sums(&lake).await;
    let others = "SELECT * FROM calls WHERE call_id = 'other'";
    let other = lines(&lake, others).await;
    let files: Vec<(PathBuf, String)> = tree(&world.path())
        .into_iter()
        .filter(|name| name.ends_with(".parquet"))
        .map(|name| (world.path().join(&name), digest(&world.path().join(&name))))
        .collect();
    let done = lake.forget(erase(), at("2027-01-01T00:00:00Z")).await.unwrap();
    assert_eq!((done.rows_changed, done.rows_deleted, done.rows_held), (4, 0, 0));
    assert_eq!(traces(&lake).await, [""; 0]);
    assert_eq!(sums(&lake).await, before);
    assert_eq!(lines(&lake, others).await, other);
    assert_eq!(
        lines(&lake, "SELECT source_number, destination_number, dialed, diversion FROM calls WHERE call_id = 'forwarded'").await,
        ["4930777888 | 4366… | 0660… | <sip:4366…@sip.example.org>"]
    );
    // The country is still to be seen.
    assert_eq!(
        ask(&lake, "SELECT number_prefix(destination_number) FROM calls WHERE call_id = 'forwarded'").await,
        "43"
    );

    // The proof says what was where; it does not say the number.
    let proofs = lake.proofs().unwrap();
    assert_eq!((proofs.len(), proofs[0].files.len()), (1, 3));
    assert_eq!((proofs[0].by.as_str(), proofs[0].reason.as_str()), ("test", "asked on paper"));
    let text = std::fs::read_to_string(world.path().join(&done.proofs[0])).unwrap();
    assert!(TRACES.iter().all(|trace| !text.contains(trace)), "{text}");
    for proof in &proofs[0].files {
        let known = files.iter().find(|(file, _)| file.ends_with(&proof.before)).unwrap();
        assert_eq!(proof.sha256_before, known.1, "{}", proof.before);
        let after = world.path().join(proof.after.as_ref().unwrap());
        assert_eq!(proof.sha256_after, Some(digest(&after)));
        assert_eq!(proof.rows_before, proof.rows_after);
    }
    // Once more there is nothing to do.
    let again = lake.forget(erase(), at("2027-01-02T00:00:00Z")).await.unwrap();
    assert_eq!((again.rows_changed, again.proofs.len()), (0, 0));
    // The next open finds all of it in order.
    drop(lake);
    let lake = world.open();
    assert_eq!((sums(&lake).await, traces(&lake).await.len()), (before, 0));
}

#[tokio::test]
async fn reader_of_an_old_file_reads_on_and_the_file_is_gone_in_the_end() {
    let (world, lake) = world_with_a_person().await;
    let old = tree(&world.path()).into_iter().find(|name| name.starts_with("cdrs/day=2026-10-05/")).unwrap();
    let bytes = std::fs::read(world.path().join(&old)).unwrap();
    let mut held = std::fs::File::open(world.path().join(&old)).unwrap();
    let now = at("2027-01-01T00:00:00Z");
    lake.forget(erase(), now).await.unwrap();
    assert!(!world.path().join(&old).exists());
    assert!(tree(&world.path()).iter().any(|name| name.starts_with("retired/")));
    lake.compact(now + TimeDelta::minutes(16)).await.unwrap();
    assert!(
        !tree(&world.path()).iter().any(|name| name.starts_with("retired/")),
        "{:?}",
        tree(&world.path())
    );
    let mut read = Vec::new();
    held.read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes);
}

#[tokio::test]
async fn hold_beats_erasure_and_retention() {
    let nothing = Hold { tenant: None, account: None, number: None };
    for hold in [
        Hold { number: Some(NUMBER.parse().unwrap()), ..nothing.clone() },
        Hold { account: Some(AccountId(1001)), tenant: Some(TenantId(1)), ..nothing.clone() },
        nothing.clone(),
    ] {
        let (_world, lake) = world_with_a_person().await;
        let before = lines(&lake, "SELECT * FROM calls_history WHERE tenant = 1 ORDER BY call_id").await;
        let both =
            Task { holds: vec![hold], rules: anonymise("2026-12-31T00:00:00Z", None).rules, ..erase() };
        let done = lake.forget(both.clone(), at("2027-01-01T00:00:00Z")).await.unwrap();
        assert!(done.rows_held >= 3, "{done:?}");
        assert_eq!(
            lines(&lake, "SELECT * FROM calls_history WHERE tenant = 1 ORDER BY call_id").await,
            before
        );
        // Lifted, it is made up for.
        lake.forget(Task { holds: Vec::new(), ..both }, at("2027-01-02T00:00:00Z")).await.unwrap();
        assert_eq!(traces(&lake).await, [""; 0]);
    }
    // Of another account it holds nothing.
    let (_world, lake) = world_with_a_person().await;
    let elsewhere = Hold { account: Some(AccountId(7777)), ..nothing };
    lake.forget(Task { holds: vec![elsewhere], ..erase() }, at("2027-01-01T00:00:00Z")).await.unwrap();
    assert_eq!(traces(&lake).await, [""; 0]);
}

#[tokio::test]
async fn numbers_of_a_tenant_end_with_their_time_and_the_money_stays() {
    let (world, lake) = world_with_a_person().await;
    let before = sums(&lake).await;
    // The first day is over, the second is not.
    let rule = anonymise("2026-10-06T00:00:00Z", Some(1));
    let done = lake.forget(rule.clone(), at("2027-01-01T00:00:00Z")).await.unwrap();
    assert_eq!(done.rows_changed, 2);
    assert_eq!(
        lines(&lake, "SELECT call_id, source_number, destination_number FROM calls ORDER BY start_at").await,
        [
            "dialled | 4366… | 4930…",
            "forwarded | 4930… | 4366…",
            "other | 43512900100 | 4930555123",
            "next-day | 43660555123 | 4930555123"
        ]
    );
    assert_eq!(sums(&lake).await, before);
    // Merging does not bring anything back, and the rule has nothing more to do.
    lake.commit(rows(3, vec![call("late", "2026-10-05T11:00:00Z")]), world.now).await.unwrap();
    lake.compact(at("2027-01-01T01:00:00Z")).await.unwrap();
    assert_eq!(
        lake.forget(rule.clone(), at("2027-01-02T00:00:00Z")).await.unwrap().rows_changed,
        1,
        "the late one"
    );
    assert_eq!(lake.forget(rule, at("2027-01-03T00:00:00Z")).await.unwrap().rows_changed, 0);
    // Rated calls can still be asked for; of their numbers there are none any more.
    let kept = lines(&lake, "SELECT count(*) FROM calls WHERE source_number LIKE '%…'").await;
    assert_eq!(kept, ["3"]);
}

#[tokio::test]
async fn events_go_after_their_time() {
    let (_world, lake) = world_with_a_person().await;
    let rule = Rule {
        class: DataClass::Events,
        tenant: None,
        until: at("2026-10-06T00:00:00Z"),
        then: Then::Delete,
    };
    let done = lake.forget(Task { rules: vec![rule], ..task() }, at("2027-01-01T00:00:00Z")).await.unwrap();
    assert_eq!((done.rows_changed, done.rows_deleted), (0, 1));
    assert_eq!(lines(&lake, "SELECT kind FROM events").await, ["registered"]);
}

#[tokio::test]
async fn calls_are_never_deleted_and_short_numbers_never_erased() {
    let (_world, lake) = world_with_a_person().await;
    let rule =
        Rule { class: DataClass::Calls, tenant: None, until: at("2026-10-06T00:00:00Z"), then: Then::Delete };
    let why =
        lake.forget(Task { rules: vec![rule], ..task() }, at("2027-01-01T00:00:00Z")).await.unwrap_err();
    assert!(matches!(why, LakeError::CallsStay), "{why}");
    let short = Erasure { number: "112".parse().unwrap(), tenant: None };
    let why =
        lake.forget(Task { erasures: vec![short], ..task() }, at("2027-01-01T00:00:00Z")).await.unwrap_err();
    assert!(matches!(why, LakeError::NumberTooShort { digits: 3 }), "{why}");
}

#[tokio::test]
async fn crash_between_any_two_steps_loses_and_doubles_nothing() {
    let (world, lake) = world_with_a_person().await;
    let (before, sums_before) = (tempfile::tempdir().unwrap(), sums(&lake).await);
    copy(&world.path(), before.path());
    lake.forget(erase(), at("2027-01-01T00:00:00Z")).await.unwrap();
    drop(lake);
    let after = world.path();
    let new_files: Vec<String> = tree(&after)
        .into_iter()
        .filter(|name| name.ends_with(".parquet") && !name.starts_with("retired/"))
        .filter(|name| !before.path().join(name).exists())
        .collect();
    assert_eq!(new_files.len(), 3);
    let hidden = |name: &str| name.replace("part-", ".tmp-part-").replace(".parquet", "");
    // How far the commit came: files written, proof too, manifest replaced, some files named.
    for steps in 1..=4 {
        let crashed = tempfile::tempdir().unwrap();
        copy(before.path(), crashed.path());
        let put = |from: &str, to: &str| {
            let to = crashed.path().join(to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(after.join(from), to).unwrap();
        };
        for (idx, name) in new_files.iter().enumerate() {
            let is_named = steps == 4 && idx == 0;
            put(name, &if is_named { name.clone() } else { hidden(name) });
        }
        if steps >= 2 {
            for proof in tree(&after).iter().filter(|name| name.starts_with("proofs/")) {
                put(proof, proof);
            }
        }
        if steps >= 3 {
            put("manifest.json", "manifest.json");
        }
        let lake = Lake::open(LakeConfig::new(crashed.path())).unwrap();
        assert_eq!(sums(&lake).await, sums_before, "after step {steps}");
        let is_done = steps >= 3;
        assert_eq!(traces(&lake).await.is_empty(), is_done, "after step {steps}");
        assert_eq!(lake.proofs().unwrap().len(), usize::from(is_done), "after step {steps}");
        // And it can be done now.
        lake.forget(erase(), at("2027-01-02T00:00:00Z")).await.unwrap();
        assert_eq!((traces(&lake).await.len(), lake.proofs().unwrap().len()), (0, 1), "after step {steps}");
    }
}

#[tokio::test]
async fn number_is_found_as_people_write_it_and_within_others_it_is_not() {
    let world = World::new();
    let lake = world.open();
    let mut written = call("written", "2026-10-05T08:00:00Z");
    written.cdr.detail.diversion = "<tel:+43-660-555-123>, 43 660/555.123 4930777888".into();
    let mut longer = call("longer", "2026-10-05T09:00:00Z");
    let theirs = format!("9{NUMBER}");
    longer.cdr.source.cli = Some(theirs.parse().unwrap());
    (longer.cdr.source.user, longer.cdr.source.user_out) = (theirs.as_str().into(), theirs.as_str().into());
    lake.commit(rows(1, vec![written, longer]), world.now).await.unwrap();
    lake.forget(erase(), at("2027-01-01T00:00:00Z")).await.unwrap();
    assert_eq!(
        lines(&lake, "SELECT source_number, diversion FROM calls WHERE call_id = 'written'").await,
        ["4366… | <tel:+4366…>, 4366… 4930777888"]
    );
    assert_eq!(lines(&lake, "SELECT source_number FROM calls WHERE call_id = 'longer'").await, [theirs]);
}
