//! Numbers that partners count: files of calls.

use chrono::{DateTime, Utc};
use store::{ExportCall, ExportPlan, ExportState, KeptFormat, StoreEffect, StoreError};

use crate::database::Database;
use crate::sample::{cdr, export, second, step};

fn name(sequence: u64, _day: Option<DateTime<Utc>>) -> String {
    format!("VOX{sequence:07}.cdr")
}

fn plan(owner: &str, rows_max: u32) -> ExportPlan<'_> {
    ExportPlan {
        owner,
        rows_max,
        now: second(1),
        format: "hash",
        zone: "UTC",
        owner_name: "acme",
        may_be_empty: false,
        corrections: None,
    }
}

fn call(n: u32) -> ExportCall {
    ExportCall { payload: format!("call {n}").into_bytes(), earlier: None }
}

fn csv() -> KeptFormat {
    KeptFormat { name: "csv".to_owned(), description: "about = \"x\"".to_owned() }
}

async fn waiting_calls(db: &Database, owner: &str, n_calls: u32) {
    let effects = (0..n_calls).map(|n| export(n, owner)).collect();
    db.store.commit("exports", vec![step(0, 0, 1, effects)]).await.unwrap();
    keep_format(db).await;
}

/// One more call, in the second batch of the lane.
async fn waiting_calls_of(db: &Database, position: u64, owner: &str, n: u32) {
    let effects = vec![export(n, owner)];
    db.store.commit("exports", vec![step(0, position, position + 1, effects)]).await.unwrap();
}

async fn keep_format(db: &Database) {
    db.store.export_keep_format("hash", &csv()).await.unwrap();
}

pub(crate) async fn file_numbers_have_no_gap_when_many_plan_at_once(db: Database) {
    waiting_calls(&db, "system", 100).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let mut n_rows = 0;
                while let Some(file) = store.export_plan(plan("system", 7), None, name).await.unwrap() {
                    n_rows += store.export_queue(file.id, None).await.unwrap().len();
                }
                n_rows
            })
        })
        .collect();
    let mut n_rows = 0;
    for task in tasks {
        n_rows += task.await.unwrap();
    }
    assert_eq!(n_rows, 100, "each call is in one file");
    let files = db.store.export_files("system").await.unwrap();
    let expected: Vec<u64> = (1..=files.len() as u64).collect();
    assert_eq!(files.iter().map(|file| file.sequence).collect::<Vec<_>>(), expected);
    assert_eq!(files.iter().map(|file| file.n_rows).sum::<u64>(), 100);
}

pub(crate) async fn number_of_a_file_without_calls_is_given_back(db: Database) {
    let store = &db.store;
    store.export_keep_format("hash", &csv()).await.unwrap();
    assert_eq!(store.export_plan(plan("carrier:3", 10), None, name).await.unwrap(), None);
    waiting_calls(&db, "carrier:3", 3).await;
    assert_eq!(store.export_waiting().await.unwrap(), [("carrier:3".to_owned(), 3)]);
    assert_eq!(store.export_waiting_for("carrier:3").await.unwrap(), 3);
    assert_eq!(store.export_waiting_for("carrier:4").await.unwrap(), 0);
    let file = store.export_plan(plan("carrier:3", 2), None, name).await.unwrap().unwrap();
    assert_eq!((file.sequence, file.name.as_str(), file.n_rows), (1, "VOX0000001.cdr", 2));
    assert_eq!(store.export_queue(file.id, None).await.unwrap(), [call(0), call(1)]);
    let file = store.export_plan(plan("carrier:3", 2), None, name).await.unwrap().unwrap();
    assert_eq!((file.sequence, file.n_rows), (2, 1));
    assert_eq!(store.export_plan(plan("carrier:3", 2), None, name).await.unwrap(), None);
    assert_eq!(store.export_waiting().await.unwrap(), []);
}

pub(crate) async fn planned_file_survives_a_crash_with_the_same_calls(mut db: Database) {
    waiting_calls(&db, "system", 5).await;
    let planned = db.store.export_plan(plan("system", 3), None, name).await.unwrap().unwrap();
    let rows = db.store.export_queue(planned.id, None).await.unwrap();
    db.reopen().await;

    assert_eq!(db.store.export_unfinished().await.unwrap(), std::slice::from_ref(&planned));
    assert_eq!(db.store.export_queue(planned.id, None).await.unwrap(), rows);
    let report = |file| store::ExportReport {
        file,
        n_bytes: 812,
        md5: "d41d8cd98f00b204e9800998ecf8427e",
        sha256: "e3b0",
    };
    // One that was never planned: then none of them is noted.
    let both = [report(planned.id), report(99)];
    assert!(matches!(db.store.export_written(&both).await, Err(StoreError::NotFound { .. })));
    assert_eq!(db.store.export_unfinished().await.unwrap().len(), 1);
    db.store.export_written(&[report(planned.id)]).await.unwrap();
    assert_eq!(db.store.export_unfinished().await.unwrap(), []);
    let files = db.store.export_files("system").await.unwrap();
    let written = ExportState::Written {
        n_bytes: 812,
        md5: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        sha256: Some("e3b0".to_owned()),
    };
    assert_eq!(files[0].state, written);
}

pub(crate) async fn file_keeps_what_its_bytes_depend_on(mut db: Database) {
    let store = &db.store;
    store.export_keep_format("hash", &csv()).await.unwrap();
    // Said again, under the same hash, changes nothing.
    let other = KeptFormat { name: "other".to_owned(), description: String::new() };
    store.export_keep_format("hash", &other).await.unwrap();
    let empty = ExportPlan { may_be_empty: true, ..plan("ama/carrier:3/out", 10) };
    let planned = store.export_plan(empty, None, name).await.unwrap().unwrap();
    assert_eq!((planned.sequence, planned.n_rows), (1, 0));
    store.export_set_ran_at("ama", second(3)).await.unwrap();
    store.export_set_ran_at("ama", second(4)).await.unwrap();
    db.reopen().await;

    let store = &db.store;
    assert_eq!(store.export_file("ama/carrier:3/out", 1).await.unwrap(), Some(planned.clone()));
    assert_eq!(store.export_file("ama/carrier:3/out", 2).await.unwrap(), None);
    assert_eq!(planned.owner_name.as_deref(), Some("acme"));
    assert_eq!(store.export_format("hash").await.unwrap(), Some(csv()));
    assert_eq!(store.export_format("other").await.unwrap(), None);
    assert_eq!(store.export_ran_at("ama").await.unwrap(), Some(second(4)));
    assert_eq!(store.export_ran_at("main").await.unwrap(), None);
    assert_eq!(store.export_latest_times().await.unwrap(), [("ama/carrier:3/out".to_owned(), second(1))]);
}

pub(crate) async fn calls_not_chosen_for_a_file_wait_for_a_later_one(db: Database) {
    waiting_calls(&db, "system", 5).await;
    let odd = |payloads: &[Vec<u8>]| {
        (
            Some(second(7)),
            payloads.iter().map(|payload| payload.ends_with(b"1") || payload.ends_with(b"3")).collect(),
        )
    };
    let named = |sequence, day: Option<DateTime<Utc>>| format!("{sequence} {}", day.unwrap() == second(7));
    let file = db.store.export_plan(plan("system", 4), Some(&odd), named).await.unwrap().unwrap();
    assert_eq!((file.name.as_str(), file.n_rows, file.day), ("1 true", 2, Some(second(7))));
    assert_eq!(db.store.export_queue(file.id, None).await.unwrap(), [call(1), call(3)]);
    let file = db.store.export_plan(plan("system", 4), None, name).await.unwrap().unwrap();
    assert_eq!(db.store.export_queue(file.id, None).await.unwrap(), [call(0), call(2), call(4)]);
    // A choice of nothing takes no number.
    waiting_calls_of(&db, 1, "system", 6).await;
    let none = |payloads: &[Vec<u8>]| (None, vec![false; payloads.len()]);
    assert_eq!(db.store.export_plan(plan("system", 4), Some(&none), name).await.unwrap(), None);
    assert_eq!(db.store.export_plan(plan("system", 4), None, name).await.unwrap().unwrap().sequence, 3);
}

pub(crate) async fn copies_in_a_written_file_are_dropped_where_the_operator_has_the_call(db: Database) {
    let store = &db.store;
    keep_format(&db).await;
    let copies = vec![export(0, "system"), export(0, "carrier:3"), export(1, "carrier:3")];
    store.commit("exports", vec![step(0, 0, 1, copies)]).await.unwrap();
    let theirs = store.export_plan(plan("carrier:3", 9), None, name).await.unwrap().unwrap();
    let ours = store.export_plan(plan("system", 9), None, name).await.unwrap().unwrap();
    waiting_calls_of(&db, 1, "carrier:3", 2).await;
    let report = |file| store::ExportReport { file, n_bytes: 1, md5: "d4", sha256: "e3" };
    assert_eq!(store.export_drop_copies(second(2), 9).await.unwrap(), 0, "planned alone");
    store.export_written(&[report(theirs.id), report(ours.id)]).await.unwrap();
    assert_eq!(store.export_drop_copies(second(1), 9).await.unwrap(), 0, "too young");
    assert_eq!(store.export_drop_copies(second(2), 9).await.unwrap(), 1);
    assert_eq!(store.export_drop_copies(second(2), 9).await.unwrap(), 0, "once");

    // The bytes of the one are gone, and those of the operator's row are shown for them; those of the other were here alone, and of what
    // waits nothing is touched.
    let latest = store.export_latest_calls("carrier:3", 9).await.unwrap();
    assert_eq!(latest, [call(2).payload, call(1).payload, call(0).payload]);
    assert_eq!(store.export_latest_calls("system", 9).await.unwrap(), [call(0).payload]);
    assert_eq!(store.export_queue(theirs.id, None).await.unwrap(), [call(0), call(1)]);
    assert_eq!(store.export_queue(ours.id, None).await.unwrap(), [call(0)]);
    let key = |n| store::ExportKey { cdr: cdr(n), revision: 0, earlier: None };
    assert_eq!(store.export_keys(theirs.id, None).await.unwrap(), [key(0), key(1)]);
    assert!(store.queue_check().await.unwrap().iter().all(store::QueueCheck::holds));
}

pub(crate) async fn correction_of_a_call_whose_copy_was_dropped_comes_with_it(db: Database) {
    keep_format(&db).await;
    queue_revision(&db, 0, 0, "system").await;
    queue_revision(&db, 1, 0, "carrier:3").await;
    let first = db.store.export_plan(plan("carrier:3", 9), None, name).await.unwrap().unwrap();
    let report = store::ExportReport { file: first.id, n_bytes: 1, md5: "d4", sha256: "e3" };
    db.store.export_written(&[report]).await.unwrap();
    assert_eq!(db.store.export_drop_copies(second(2), 9).await.unwrap(), 1);
    queue_revision(&db, 2, 1, "carrier:3").await;
    let second = db.store.export_plan(plan("carrier:3", 9), None, name).await.unwrap().unwrap();
    let keys = db.store.export_keys(second.id, None).await.unwrap();
    assert_eq!(keys, [store::ExportKey { cdr: cdr(1), revision: 1, earlier: Some(0) }]);
    let calls = db.store.export_queue(second.id, None).await.unwrap();
    assert_eq!(calls[0].earlier.as_deref(), Some(b"revision 0".as_slice()));
}

fn revised(revision: u32, owner: &str) -> StoreEffect {
    StoreEffect::Export {
        is_left_out: false,
        owner: owner.to_owned(),
        cdr: cdr(1),
        revision,
        payload: format!("revision {revision}").into_bytes(),
    }
}

async fn queue_revision(db: &Database, position: u64, revision: u32, owner: &str) {
    let effects = vec![revised(revision, owner)];
    db.store.commit("exports", vec![step(0, position, position + 1, effects)]).await.unwrap();
}

/// The calls of a file as `new after old`.
async fn shown(db: &Database, plan: ExportPlan<'_>, corrected: Option<&str>) -> Option<Vec<String>> {
    let file = db.store.export_plan(plan, None, name).await.unwrap()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("revision ", "");
    let calls = db.store.export_queue(file.id, corrected).await.unwrap();
    assert_eq!(calls.len() as u64, file.n_rows);
    let shown = calls.into_iter().map(|call| match call.earlier {
        Some(earlier) => format!("{} after {}", text(call.payload), text(earlier)),
        None => text(call.payload),
    });
    Some(shown.collect())
}

pub(crate) async fn corrected_call_comes_with_the_revision_before_it(db: Database) {
    db.store.export_keep_format("hash", &csv()).await.unwrap();
    queue_revision(&db, 0, 0, "system").await;
    queue_revision(&db, 1, 0, "carrier:3").await;
    assert_eq!(shown(&db, plan("system", 9), None).await.unwrap(), ["0"]);
    queue_revision(&db, 2, 1, "system").await;
    assert_eq!(shown(&db, plan("system", 9), None).await.unwrap(), ["1 after 0"]);
    // Of two that wait the later one, after the one that was written.
    queue_revision(&db, 3, 2, "system").await;
    queue_revision(&db, 4, 4, "system").await;
    assert_eq!(shown(&db, plan("system", 9), None).await.unwrap(), ["4 after 1"]);
    // One that comes after its successor was written says nothing any more.
    queue_revision(&db, 5, 3, "system").await;
    assert_eq!(shown(&db, plan("system", 9), None).await, None);
    assert_eq!(db.store.export_waiting().await.unwrap(), [("carrier:3".to_owned(), 1)]);
    assert_eq!(db.store.numbering_check().await.unwrap(), Vec::<String>::new());
}

async fn leave_out(db: &Database, position: u64, revision: u32, owner: &str) {
    let StoreEffect::Export { owner, cdr, revision, payload, .. } = revised(revision, owner) else { return };
    let effects = vec![StoreEffect::Export { owner, cdr, revision, payload, is_left_out: true }];
    db.store.commit("exports", vec![step(0, position, position + 1, effects)]).await.unwrap();
}

pub(crate) async fn call_that_was_left_out_is_queued_again_and_the_audit_log_says_who_did_it(db: Database) {
    db.store.export_keep_format("hash", &csv()).await.unwrap();
    let again = |owner: &'static str| {
        db.store.export_queue_again(owner, cdr(1), None, "the filter was wrong", "alice", second(9))
    };
    queue_revision(&db, 0, 0, "system").await;
    assert_eq!(again("system").await.unwrap(), None, "it waits");
    assert_eq!(shown(&db, plan("system", 9), None).await.unwrap(), ["0"]);
    assert_eq!(again("system").await.unwrap(), None, "it is in a file");

    leave_out(&db, 1, 1, "system").await;
    // Another series goes on meanwhile, so that places go on too.
    queue_revision(&db, 2, 0, "carrier:3").await;
    // Sent in again, it stays where it is: whoever left it out has to be named.
    queue_revision(&db, 3, 1, "system").await;
    assert_eq!(shown(&db, plan("system", 9), None).await, None);
    assert_eq!(again("reseller:9").await.unwrap(), None, "of no such series");
    assert_eq!(again("system").await.unwrap(), Some(1));
    assert_eq!(again("system").await.unwrap(), None, "it waits by now");
    assert_eq!(shown(&db, plan("system", 9), None).await.unwrap(), ["1 after 0"]);

    // Only the latest: what is older than one that was written says nothing any more.
    leave_out(&db, 4, 2, "system").await;
    queue_revision(&db, 5, 3, "system").await;
    assert_eq!(again("system").await.unwrap(), None);
    assert_eq!(shown(&db, plan("system", 9), None).await.unwrap(), ["3 after 1"]);
    assert_eq!(db.store.numbering_check().await.unwrap(), Vec::<String>::new());

    let entries = db.store.audit_list(10).await.unwrap();
    let entry = entries.iter().find(|entry| entry.action == "queue again").unwrap();
    assert_eq!(entry.object, format!("export:system:{}", cdr(1)));
    assert_eq!((entry.actor.as_str(), entry.after.as_str()), ("alice", "the filter was wrong"));
}

pub(crate) async fn call_that_a_partner_never_had_is_queued_from_the_operators_own_rows(db: Database) {
    db.store.export_keep_format("hash", &csv()).await.unwrap();
    let again = |unseen| {
        db.store.export_queue_again("reseller:9", cdr(1), unseen, "they asked for it", "alice", second(9))
    };
    assert_eq!(db.store.export_kept(cdr(1)).await.unwrap(), None);
    queue_revision(&db, 0, 0, "system").await;
    let kept = db.store.export_kept(cdr(1)).await.unwrap();
    assert_eq!(kept.as_ref().map(|(revision, _)| *revision), Some(0));
    assert_eq!(again(None).await.unwrap(), None);
    assert_eq!(again(kept.clone()).await.unwrap(), Some(0));
    assert_eq!(again(kept.clone()).await.unwrap(), None, "it waits by now");
    // The stream that was behind brings it too: it is there once.
    queue_revision(&db, 1, 0, "reseller:9").await;
    assert_eq!(shown(&db, plan("reseller:9", 9), None).await.unwrap(), ["0"]);
    assert_eq!(again(kept).await.unwrap(), None, "it is in a file");
    // What corrects it is a correction there as anywhere.
    queue_revision(&db, 2, 1, "reseller:9").await;
    assert_eq!(shown(&db, plan("reseller:9", 9), None).await.unwrap(), ["1 after 0"]);
    assert_eq!(db.store.numbering_check().await.unwrap(), Vec::<String>::new());
}

pub(crate) async fn correction_that_a_format_cannot_tell_waits_for_the_report(db: Database) {
    db.store.export_keep_format("hash", &csv()).await.unwrap();
    let files = || ExportPlan { corrections: Some("main.corrections/system"), ..plan("system", 9) };
    let report = || plan("main.corrections/system", 9);
    queue_revision(&db, 0, 0, "system").await;
    queue_revision(&db, 1, 1, "system").await;
    assert_eq!(shown(&db, files(), None).await.unwrap(), ["1"], "corrected before it was written");
    queue_revision(&db, 2, 2, "system").await;
    assert_eq!(shown(&db, files(), None).await, None);
    assert_eq!(db.store.export_waiting().await.unwrap(), [("main.corrections/system".to_owned(), 1)]);
    assert_eq!(shown(&db, report(), Some("system")).await.unwrap(), ["2 after 1"]);
    // Two more before the next report: the difference to what was told last.
    queue_revision(&db, 3, 3, "system").await;
    assert_eq!(shown(&db, files(), None).await, None);
    queue_revision(&db, 4, 4, "system").await;
    assert_eq!(shown(&db, files(), None).await, None);
    assert_eq!(shown(&db, report(), Some("system")).await.unwrap(), ["4 after 2"]);
    assert_eq!(shown(&db, report(), Some("system")).await, None);
    let numbers: Vec<u64> =
        db.store.export_files("system").await.unwrap().iter().map(|file| file.sequence).collect();
    assert_eq!(numbers, [1], "a file without calls takes no number");
    assert_eq!(db.store.numbering_check().await.unwrap(), Vec::<String>::new());
}

pub(crate) async fn files_of_one_series_are_not_disturbed_by_the_calls_of_others(db: Database) {
    db.store.export_keep_format("hash", &csv()).await.unwrap();
    // As a round of calls brings them: each for the operator and for one carrier.
    let effects =
        (0..30).flat_map(|n| [export(n, "system"), export(n, ["carrier:3", "carrier:4"][n as usize % 2])]);
    db.store.commit("exports", vec![step(0, 0, 1, effects.collect())]).await.unwrap();
    let mut files = Vec::new();
    for (owner, expected) in [("carrier:4", vec![call(1), call(3)]), ("system", vec![call(0), call(1)])] {
        let file = db.store.export_plan(plan(owner, 2), None, name).await.unwrap().unwrap();
        files.push((file, expected));
    }
    waiting_calls_of(&db, 1, "carrier:4", 31).await;
    // One of chosen calls, then one of all that are left up to a row.
    let seventh =
        |payloads: &[Vec<u8>]| (None, payloads.iter().map(|payload| payload.ends_with(b" 7")).collect());
    let file = db.store.export_plan(plan("carrier:4", 9), Some(&seventh), name).await.unwrap().unwrap();
    files.push((file, vec![call(7)]));
    let file = db.store.export_plan(plan("carrier:4", 3), None, name).await.unwrap().unwrap();
    files.push((file, vec![call(5), call(9), call(11)]));
    let first = |payloads: &[Vec<u8>]| (None, (0..payloads.len()).map(|idx| idx < 2).collect());
    let file = db.store.export_plan(plan("carrier:4", 9), Some(&first), name).await.unwrap().unwrap();
    files.push((file, vec![call(13), call(15)]));
    let waiting =
        [("carrier:3", 15), ("carrier:4", 8), ("system", 28)].map(|(owner, n)| (owner.to_owned(), n));
    assert_eq!(db.store.export_waiting().await.unwrap(), waiting);
    assert_eq!(db.store.export_waiting_for("carrier:4").await.unwrap(), 8);
    for (file, expected) in &files {
        assert_eq!(db.store.export_queue(file.id, None).await.unwrap(), *expected, "{}", file.name);
    }
    assert_eq!(db.store.numbering_check().await.unwrap(), Vec::<String>::new());
    let checked = db.store.queue_check().await.unwrap();
    let told: Vec<String> = checked
        .iter()
        .map(|it| {
            format!("{} {} = {} + {} + {}", it.owner, it.n_queued, it.n_in_files, it.n_passed, it.n_waiting)
        })
        .collect();
    assert_eq!(told, ["carrier:3 15 = 0 + 0 + 15", "carrier:4 16 = 8 + 0 + 8", "system 30 = 2 + 0 + 28"]);
    assert!(checked.iter().all(store::QueueCheck::holds));

    // What somebody takes away or moves is noticed.
    db.meddle("DELETE FROM export_queue WHERE owner = 'carrier:4' AND id = (SELECT min(id) FROM export_queue WHERE owner = 'carrier:4')")
        .await;
    let broken: Vec<String> = db
        .store
        .queue_check()
        .await
        .unwrap()
        .into_iter()
        .filter(|it| !it.holds())
        .map(|it| it.owner)
        .collect();
    assert_eq!(broken, ["carrier:4"]);
    assert_eq!(
        db.store.numbering_check().await.unwrap(),
        ["file VOX0000001.cdr was made of 2 records, 1 are there"]
    );
    db.meddle("UPDATE export_sequences SET last_row = last_row + 2 WHERE owner = 'system'").await;
    assert!(
        db.store
            .numbering_check()
            .await
            .unwrap()
            .contains(&"system is not where its last file ended".to_owned())
    );
}

pub(crate) async fn calls_queued_while_files_are_planned_are_each_in_one(db: Database) {
    const WRITERS: u32 = 4;
    const CALLS: u32 = 60;
    db.store.export_keep_format("hash", &csv()).await.unwrap();
    // Each in a lane of its own, one call a commit, as machines do that share the work.
    let writers: Vec<_> = (0..WRITERS)
        .map(|lane| {
            let store = db.store.clone();
            tokio::spawn(async move {
                for n in 0..CALLS {
                    let effects = vec![export(lane * CALLS + n, "system")];
                    let place = u64::from(n);
                    store.commit("exports", vec![step(lane, place, place + 1, effects)]).await.unwrap();
                }
            })
        })
        .collect();
    let planner = {
        let store = db.store.clone();
        tokio::spawn(async move {
            let mut files = Vec::new();
            let mut n_calls = 0;
            while n_calls < u64::from(WRITERS * CALLS) {
                if let Some(file) = store.export_plan(plan("system", 7), None, name).await.unwrap() {
                    n_calls += file.n_rows;
                    files.push(file);
                }
            }
            files
        })
    };
    for writer in writers {
        writer.await.unwrap();
    }
    let files = tokio::time::timeout(std::time::Duration::from_secs(60), planner).await;
    let mut calls = Vec::new();
    for file in files.expect("no call lies behind what was planned").unwrap() {
        let found = db.store.export_queue(file.id, None).await.unwrap();
        assert_eq!(found.len() as u64, file.n_rows, "{}: none turned up in it later", file.name);
        calls.extend(found.into_iter().map(|call| call.payload));
    }
    calls.sort_unstable();
    calls.dedup();
    assert_eq!(u32::try_from(calls.len()).unwrap(), WRITERS * CALLS);
    assert_eq!(db.store.export_waiting().await.unwrap(), []);
    assert!(db.store.queue_check().await.unwrap().iter().all(store::QueueCheck::holds));
}

/// `export` in ASCII: the lock by which those who queue calls and those who plan files wait for each other on PostgreSQL.
const QUEUE_LOCK: i64 = 0x6578_706f_7274;

pub(crate) async fn writers_of_a_queue_and_planners_wait_for_each_other(db: Database) {
    use sqlx::AssertSqlSafe;

    waiting_calls(&db, "system", 1).await;
    let mut other = db.connect().await;
    let is_postgres = db.url.starts_with("postgres");
    let begin = |lock: &str| {
        let lock = format!("SELECT {lock}({QUEUE_LOCK})");
        if is_postgres { format!("BEGIN; {lock}") } else { "BEGIN IMMEDIATE".to_owned() }
    };
    let a_while = std::time::Duration::from_millis(300);
    // A process is about to commit calls whose ids it has already.
    sqlx::raw_sql(AssertSqlSafe(begin("pg_advisory_xact_lock_shared"))).execute(&mut other).await.unwrap();
    let late = "INSERT INTO export_queue (owner, cdr, revision, payload) SELECT owner, cdr, 7, payload FROM export_queue";
    sqlx::raw_sql(AssertSqlSafe(late.to_owned())).execute(&mut other).await.unwrap();
    let store = db.store.clone();
    let planner = tokio::spawn(async move { store.export_plan(plan("system", 9), None, name).await });
    tokio::time::sleep(a_while).await;
    assert!(!planner.is_finished(), "what has lower ids and comes later would be in no file");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(planner.await.unwrap().unwrap().unwrap().n_rows, 1, "of the two the later revision");
    // A process is about to commit a plan.
    sqlx::raw_sql(AssertSqlSafe(begin("pg_advisory_xact_lock"))).execute(&mut other).await.unwrap();
    let store = db.store.clone();
    let writer =
        tokio::spawn(
            async move { store.commit("exports", vec![step(0, 1, 2, vec![export(2, "system")])]).await },
        );
    tokio::time::sleep(a_while).await;
    assert!(!writer.is_finished(), "it would get ids behind a place that is planned");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    writer.await.unwrap().unwrap();
    assert_eq!(db.store.export_waiting_for("system").await.unwrap(), 1);
}
