//! Rows that others supersede lie in files of their own once they are merged, and no question about what holds counts them, wherever they
//! lie before that.

use std::collections::BTreeMap;
use std::fs;

use chrono::{DateTime, Days, TimeDelta, Utc};
use lake::{Access, Lake, LakeConfig};
use model::{Cause, RatedCdr, TenantId};

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

/// Numbers by chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        // Knuth's MMIX generator; its upper bits are good.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What `calls` shows: by call, its highest revision and the day that has it.
fn expected(committed: &[(u64, u32, DateTime<Utc>)], holds: impl Fn(&DateTime<Utc>) -> bool) -> Vec<String> {
    let mut newest: BTreeMap<u64, (u32, DateTime<Utc>)> = BTreeMap::new();
    for (uid, number, start) in committed {
        let entry = newest.entry(*uid).or_insert((*number, *start));
        if entry.0 <= *number {
            *entry = (*number, *start);
        }
    }
    newest.retain(|_, (_, start)| holds(start));
    newest
        .iter()
        .map(|(uid, (number, start))| format!("{uid:03} | {number} | {}", start.date_naive()))
        .collect()
}

/// Records of calls in any order, corrected on their day and on others, merged and opened again at any time.
#[tokio::test]
async fn whatever_comes_in_whatever_order_each_call_counts_once() {
    let first_day = at("2026-10-05T00:00:00Z");
    let far = [at("2026-10-06T00:00:00Z"), at("2026-10-07T00:00:00Z")];
    for seed in 0..6 {
        let mut chance = Chance(seed);
        let world = World::new();
        // Small enough that some files are never merged again.
        let target_rows = if seed % 2 == 0 { 5 } else { world.config().target_rows };
        let open = || Lake::open(LakeConfig { target_rows, ..world.config() }).unwrap();
        let mut lake = open();
        let mut committed: Vec<(u64, u32, DateTime<Utc>)> = Vec::new();
        // Of each call its number of records so far, and whether one was held back.
        let mut calls: Vec<(u32, DateTime<Utc>, Option<u32>)> = Vec::new();
        let mut position = 0;
        for step in 0..20 {
            match chance.below(8) {
                0 => {
                    drop(lake);
                    lake = open();
                }
                1 | 2 => {
                    let now = first_day + Days::new(chance.below(5)) + TimeDelta::hours(3);
                    lake.compact(now).await.unwrap();
                }
                _ => {
                    let mut rows = Vec::new();
                    for _ in 0..=chance.below(4) {
                        let is_new = calls.is_empty() || chance.below(2) == 0;
                        let uid = if is_new { calls.len() as u64 } else { chance.below(calls.len() as u64) };
                        if is_new {
                            let second = i64::try_from(chance.below(3 * 86_400)).unwrap();
                            calls.push((0, first_day + TimeDelta::seconds(second), None));
                        }
                        let call = &mut calls[usize::try_from(uid).unwrap()];
                        let number = match call.2.take() {
                            // The one that was overtaken.
                            Some(number) => number,
                            None if chance.below(4) == 0 => {
                                call.2 = Some(call.0);
                                call.0 += 2;
                                call.0 - 1
                            }
                            None => {
                                call.0 += 1;
                                call.0 - 1
                            }
                        };
                        if number > 0 && chance.below(4) == 0 {
                            call.1 += TimeDelta::hours(20);
                        }
                        committed.push((uid, number, call.1));
                        let (uid, start) = (format!("{uid:03}"), call.1.to_rfc3339());
                        let goes_on = chance.below(3) > 0;
                        rows.push(if goes_on {
                            in_progress(&uid, &start, number)
                        } else {
                            revision(&uid, &start, number)
                        });
                    }
                    position += 1;
                    commit(&lake, position, rows).await;
                }
            }
            let when = format!("seed {seed}, step {step}");
            let asked = "SELECT call_id, revision, day FROM calls";
            let order = "ORDER BY call_id, revision";
            let all = lines(&lake, &format!("{asked} {order}")).await;
            assert_eq!(all, expected(&committed, |_| true), "{when}");
            assert_eq!(ask(&lake, "SELECT count(*) FROM calls").await, all.len().to_string(), "{when}");
            let history = ask(&lake, "SELECT count(*) FROM calls_history").await;
            assert_eq!(history, committed.len().to_string(), "{when}");
            let period = "start_at >= '2026-10-06T00:00:00' AND start_at < '2026-10-07T00:00:00'";
            let within = lines(&lake, &format!("{asked} WHERE {period} {order}")).await;
            assert_eq!(within, expected(&committed, |at| (far[0]..far[1]).contains(at)), "{when}");
            let counted = ask(&lake, &format!("SELECT count(*) FROM calls WHERE {period}")).await;
            assert_eq!(counted, within.len().to_string(), "{when}");
            let one = lines(&lake, &format!("{asked} WHERE call_id = '000' {order}")).await;
            assert_eq!(
                one,
                all.iter().filter(|line| line.starts_with("000")).cloned().collect::<Vec<_>>(),
                "{when}"
            );
        }
    }
}

/// A file in which some corrections are settled and others are not takes part in a later merge.
#[tokio::test]
async fn corrections_that_are_merged_step_by_step_are_settled_in_the_end() {
    let world = World::new();
    let lake = world.open();
    commit(
        &lake,
        1,
        (0..9).map(|n| revision(&format!("other-{n}"), DAY, 0)).chain([revision("a", DAY, 0)]).collect(),
    )
    .await;
    // Together smaller than the file before: merged with each other first. One of a's stays open, b's is settled.
    commit(&lake, 2, vec![revision("a", DAY, 1), revision("b", DAY, 0)]).await;
    commit(&lake, 3, vec![revision("a", DAY, 2), revision("b", DAY, 1)]).await;
    lake.compact(world.now).await.unwrap();
    assert_eq!(files(&world), [(2, false), (2, true), (10, false)]);
    assert!(compares(&lake, CALLS).await);
    commit(&lake, 4, (0..9).map(|n| revision(&format!("more-{n}"), DAY, 0)).collect()).await;
    let before = lines(&lake, CALLS).await;
    lake.compact(at("2026-10-06T03:00:00Z")).await.unwrap();
    assert_eq!(files(&world), [(1, true), (2, true), (20, false)]);
    assert_eq!(lines(&lake, CALLS).await, before);
    assert!(!compares(&lake, CALLS).await);
}

/// A price changed after its day is compared with that day alone, once merging has looked where the call's earlier record is.
#[tokio::test]
async fn late_correction_is_compared_with_its_own_day_alone() {
    let world = World::new();
    let lake = world.open();
    let calls = |day: &str| (0..9).map(|n| revision(&format!("{n}-{day}"), day, 0)).collect::<Vec<_>>();
    commit(&lake, 1, calls("2026-10-01T08:00:00Z")).await;
    commit(&lake, 2, calls(DAY)).await;
    commit(&lake, 3, vec![revision(&format!("3-{DAY}"), DAY, 1)]).await;
    assert!(!reads_apart(&lake, CALLS, "2026-10-01").await);
    let expected = lines(&lake, CALLS).await;
    assert_eq!(expected.len(), 18);
    lake.compact(at("2026-10-07T03:00:00Z")).await.unwrap();
    assert!(reads_apart(&lake, CALLS, "2026-10-01").await);
    assert_eq!(lines(&lake, CALLS).await, expected);
    // One whose record before lies on another day, and one whose record before is not there: they stay on the watch everywhere.
    commit(&lake, 4, vec![revision("4-2026-10-01T08:00:00Z", DAY, 1), revision("new", DAY, 1)]).await;
    lake.compact(at("2026-10-07T03:00:00Z")).await.unwrap();
    assert!(!reads_apart(&lake, CALLS, "2026-10-01").await);
    commit(&lake, 5, vec![revision("new", "2026-10-01T08:00:00Z", 0)]).await;
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls").await, "19");
    drop(lake);
    let lake = world.open();
    lake.compact(at("2026-10-07T03:00:00Z")).await.unwrap();
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls").await, "19");
}

/// Records that come so late that all of a group of files are superseded leave no file without rows.
#[tokio::test]
async fn files_whose_rows_are_all_superseded_are_merged() {
    let world = World::new();
    let open = || Lake::open(LakeConfig { target_rows: 4, ..world.config() }).unwrap();
    let lake = open();
    let after_the_day = at("2026-10-06T03:00:00Z");
    let of = |legs: &[(&str, u32)]| legs.iter().map(|(uid, number)| revision(uid, DAY, *number)).collect();
    commit(&lake, 1, of(&[("a", 0), ("b", 0), ("x", 0), ("y", 0)])).await;
    commit(&lake, 2, of(&[("a", 2), ("b", 2), ("c", 0)])).await;
    commit(&lake, 3, of(&[("a", 3), ("b", 3), ("d", 0)])).await;
    lake.compact(after_the_day).await.unwrap();
    assert_eq!(files(&world), [(2, true), (4, false), (4, false)]);
    commit(&lake, 4, of(&[("a", 1)])).await;
    commit(&lake, 5, of(&[("b", 1)])).await;
    lake.compact(after_the_day).await.unwrap();
    assert_eq!(files(&world), [(2, true), (2, true), (4, false), (4, false)]);
    let expected = ["a | 3", "b | 3", "c | 0", "d | 0", "x | 0", "y | 0"];
    let sql = "SELECT call_id, revision FROM calls ORDER BY 1";
    assert_eq!(lines(&lake, sql).await, expected);
    lake.compact(after_the_day).await.unwrap();
    drop(lake);
    let lake = open();
    assert_eq!(lines(&lake, sql).await, expected);
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls_history").await, "12");
}

/// What somebody may not see he does not see through the plans of superseded rows either.
#[tokio::test]
async fn rights_hold_where_revisions_are_compared() {
    let world = World::new();
    let lake = world.open();
    let of_tenant = |tenant: i64, mut rated: RatedCdr| {
        rated.cdr.tenant = TenantId(tenant);
        rated
    };
    commit(&lake, 1, vec![of_tenant(1, revision("old", "2026-10-01T08:00:00Z", 0))]).await;
    let begun = [(1, "a"), (2, "b")].map(|(tenant, uid)| of_tenant(tenant, in_progress(uid, DAY, 0)));
    commit(&lake, 2, begun.to_vec()).await;
    commit(&lake, 3, vec![of_tenant(1, revision("a", DAY, 1)), of_tenant(2, revision("b", DAY, 1))]).await;
    let tenant = Access { tenant: Some(TenantId(1)), numbers: false, ..Access::WHOLE };
    for now in ["2026-10-05T12:00:00Z", "2026-10-06T03:00:00Z"] {
        let seen = async |sql: &str| {
            let rows = lake.query_as(sql, &tenant).await.unwrap().rows();
            rows.into_iter()
                .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" | "))
                .collect::<Vec<_>>()
        };
        let sql = "SELECT call_id, revision, destination_number FROM calls ORDER BY 1";
        assert_eq!(seen(sql).await, ["a | 1 | 4930\u{2026}23", "old | 0 | 4930\u{2026}23"]);
        let sql = "SELECT tenant, count(DISTINCT destination_number), count(*) FROM calls GROUP BY tenant";
        assert_eq!(seen(sql).await, ["1 | 1 | 2"]);
        for nobody in ["call_id = 'b'", "sip_call_id = 'b@192.0.2.10'", "destination_number = '4930555123'"] {
            assert_eq!(seen(&format!("SELECT count(*) FROM calls WHERE {nobody}")).await, ["0"], "{nobody}");
        }
        assert_eq!(seen("SELECT count(*) FROM calls WHERE day = '2026-10-05'").await, ["1"]);
        lake.compact(at(now)).await.unwrap();
    }
}
