//! Rows that others supersede lie in files of their own once they are merged, and no question about what holds counts them, wherever they
//! lie before that.

use std::fs;

use chrono::{DateTime, Utc};
use lake::Lake;
use model::{Cause, RatedCdr};

use crate::world::{World, ask, at, call, dec, lines, rows};

const DAY: &str = "2026-10-05T08:00:00Z";
const CALLS: &str = "SELECT call_id, revision, customer_cost FROM calls ORDER BY call_id, revision";

/// Revision `number` of a call, which costs as many tenths.
fn revision(uid: &str, start_at: &str, number: u32) -> RatedCdr {
    let mut rated = call(uid, start_at);
    rated.cdr.revision = number;
    rated.charges[0].cost = dec("0.1") * dec(&number.to_string());
    rated
}

/// A record of a call that is still up.
fn in_progress(uid: &str, start_at: &str, number: u32) -> RatedCdr {
    let mut rated = revision(uid, start_at, number);
    rated.cdr.partial = true;
    rated.cdr.cause = Cause::InProgress;
    rated
}

async fn commit(lake: &Lake, position: u64, calls: Vec<RatedCdr>) {
    lake.commit(rows(position, calls), at("2026-10-05T12:00:00Z")).await.unwrap();
}

/// Whether a question about what holds compares revisions.
async fn compares(lake: &Lake, sql: &str) -> bool {
    lines(lake, &format!("EXPLAIN {sql}")).await.concat().contains("RightAnti")
}

/// Whether rows of `day` are read apart from those that are held against corrections.
async fn reads_apart(lake: &Lake, sql: &str, day: &str) -> bool {
    let plan = lines(lake, &format!("EXPLAIN {sql}")).await.concat();
    let file = plan.find(&format!("day={day}/part-")).unwrap();
    plan.find("HashJoinExec").is_none_or(|join| file < join)
}

/// Files of the manifest, as `rows, superseded or not`.
fn files(world: &World) -> Vec<(u64, bool)> {
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path().join("manifest.json")).unwrap()).unwrap();
    let of = |file: &serde_json::Value| {
        (file["rows"].as_u64().unwrap(), file["is_superseded"].as_bool().unwrap_or(false))
    };
    let mut files: Vec<(u64, bool)> = manifest["files"].as_array().unwrap().iter().map(of).collect();
    files.sort_unstable();
    files
}

#[tokio::test]
async fn merged_corrections_are_not_looked_for_any_more() {
    let world = World::new();
    let lake = world.open();
    commit(&lake, 1, vec![revision("a", DAY, 0), revision("b", DAY, 0)]).await;
    commit(&lake, 2, vec![revision("a", DAY, 1)]).await;
    commit(&lake, 3, vec![revision("a", DAY, 2)]).await;
    let expected = ["a | 2 | 0.200000", "b | 0 | 0.000000"];
    assert_eq!(lines(&lake, CALLS).await, expected);
    assert!(compares(&lake, CALLS).await);
    lake.compact(at("2026-10-06T03:00:00Z")).await.unwrap();
    assert_eq!(files(&world), [(2, false), (2, true)]);
    assert!(!compares(&lake, CALLS).await);
    assert_eq!(lines(&lake, CALLS).await, expected);
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls_history").await, "4");
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls").await, "2");
    // And so it is for whoever opens the lake next.
    drop(lake);
    let lake = world.open();
    assert!(!compares(&lake, CALLS).await);
    assert_eq!(lines(&lake, CALLS).await, expected);
}

#[tokio::test]
async fn correction_of_a_call_in_a_large_file_counts_once() {
    let world = World::new();
    let lake = world.open();
    for position in 1..=2 {
        let calls = (0..10).map(|n| revision(&format!("{position}-{n}"), DAY, 0));
        commit(&lake, position, calls.collect()).await;
    }
    let after_the_day = at("2026-10-06T03:00:00Z");
    lake.compact(after_the_day).await.unwrap();
    commit(&lake, 3, vec![revision("1-7", DAY, 1)]).await;
    // Too few to write the large file again for.
    lake.compact(after_the_day).await.unwrap();
    assert_eq!(files(&world), [(1, false), (20, false)]);
    assert_eq!(ask(&lake, "SELECT count(cdr_id) FROM calls").await, "20");
    assert_eq!(ask(&lake, "SELECT revision FROM calls WHERE call_id = '1-7'").await, "1");
}

#[tokio::test]
async fn revision_that_comes_after_a_later_one_counts_for_nothing() {
    let world = World::new();
    let lake = world.open();
    commit(&lake, 1, vec![revision("a", DAY, 1)]).await;
    commit(&lake, 2, vec![revision("b", DAY, 0)]).await;
    lake.compact(world.now).await.unwrap();
    // What it supersedes is not there yet: it stays on the watch for it.
    assert!(compares(&lake, CALLS).await);
    commit(&lake, 3, vec![revision("a", DAY, 0)]).await;
    let expected = ["a | 1 | 0.100000", "b | 0 | 0.000000"];
    assert_eq!(lines(&lake, CALLS).await, expected);
    lake.compact(world.now).await.unwrap();
    assert_eq!(lines(&lake, CALLS).await, expected);
    commit(&lake, 4, vec![revision("c", DAY, 0)]).await;
    lake.compact(at("2026-10-06T03:00:00Z")).await.unwrap();
    assert_eq!(lines(&lake, CALLS).await[..2], expected);
}

#[tokio::test]
async fn calls_up_at_noon_are_compared_with_that_day_alone() {
    let world = World::new();
    let lake = world.open();
    commit(&lake, 1, vec![revision("old", "2026-10-01T08:00:00Z", 0)]).await;
    commit(&lake, 2, vec![in_progress("a", DAY, 0), in_progress("late", "2026-10-05T23:59:00Z", 0)]).await;
    commit(&lake, 3, vec![in_progress("a", DAY, 1)]).await;
    commit(&lake, 4, vec![revision("a", DAY, 2)]).await;
    assert!(reads_apart(&lake, CALLS, "2026-10-01").await);
    assert!(!reads_apart(&lake, CALLS, "2026-10-05").await);
    assert_eq!(
        lines(&lake, "SELECT call_id, revision FROM calls ORDER BY 1").await,
        ["a | 2", "late | 0", "old | 0"]
    );
    // One whose answer was found out later moves to the next day: now its earlier record may lie anywhere.
    commit(&lake, 5, vec![revision("late", "2026-10-06T00:00:02Z", 1)]).await;
    assert!(!reads_apart(&lake, CALLS, "2026-10-01").await);
    let expected = ["a | 2", "late | 1", "old | 0"];
    assert_eq!(lines(&lake, "SELECT call_id, revision FROM calls ORDER BY 1").await, expected);
    lake.compact(at("2026-10-07T12:00:00Z")).await.unwrap();
    assert_eq!(lines(&lake, "SELECT call_id, revision FROM calls ORDER BY 1").await, expected);
}

#[tokio::test]
async fn what_is_known_of_calls_in_progress_ends_with_the_process() {
    let world = World::new();
    let lake = world.open();
    commit(&lake, 1, vec![in_progress("a", DAY, 0), revision("old", "2026-10-01T08:00:00Z", 0)]).await;
    drop(lake);
    let lake = world.open();
    commit(&lake, 2, vec![revision("a", DAY, 1)]).await;
    assert!(!reads_apart(&lake, CALLS, "2026-10-01").await);
    assert_eq!(lines(&lake, "SELECT call_id, revision FROM calls ORDER BY 1").await, ["a | 1", "old | 0"]);
}

#[tokio::test]
async fn row_asked_for_by_its_id_is_looked_for_in_no_other_file() {
    let world = World::new();
    let lake = world.open();
    let hour = |n: u32| -> DateTime<Utc> { at(&format!("2026-10-05T{:02}:00:00Z", n % 24)) };
    for n in 0..30_u32 {
        let calls = (0..20).map(|k| revision(&format!("{n}-{k}"), &hour(n).to_rfc3339(), 0)).collect();
        commit(&lake, u64::from(n) + 1, calls).await;
    }
    let plan = |filter: &str| format!("EXPLAIN SELECT revision FROM calls WHERE {filter}");
    for filter in [
        "sip_call_id = '17-3@192.0.2.10'",
        "call_id IN ('17-3', '17-4')",
        "call_id = '17-3' AND payer = 1001",
    ] {
        let plan = lines(&lake, &plan(filter)).await.concat();
        // One in a hundred is read in vain.
        assert!((1..=3).contains(&plan.matches("part-").count()), "{filter}: {plan}");
        let found = lines(&lake, &format!("SELECT call_id FROM calls WHERE {filter} ORDER BY 1")).await;
        assert_eq!(found[0], "17-3");
    }
    let both = "call_id = '17-3' OR call_id = '29-19'";
    assert_eq!(
        lines(&lake, &format!("SELECT call_id FROM calls WHERE {both} ORDER BY 1")).await,
        ["17-3", "29-19"]
    );
    assert!(lines(&lake, "SELECT call_id FROM calls WHERE sip_call_id = 'nobody'").await.is_empty());
    assert_eq!(
        ask(&lake, "SELECT count(*) FROM calls WHERE payer = 1001 AND customer_account = 1001").await,
        "600"
    );
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls WHERE payer = 1002").await, "0");
}
