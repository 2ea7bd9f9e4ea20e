//! Merging changes the files and no answer.

use std::time::Duration;

use chrono::TimeDelta;
use lake::{Compacted, Lake, LakeConfig};

use crate::world::{World, ask, at, call, lines, rows, tree};

const EVERYTHING: &str = "SELECT * FROM calls_history ORDER BY start_at, cdr_id, revision";

async fn filled(lake: &Lake, n_commits: u64) {
    for n in 0..n_commits {
        // Starts out of order over the commits, so that merging has something to sort.
        let start =
            at("2026-10-05T08:00:00Z") + TimeDelta::seconds(i64::try_from(n * 7 % n_commits).unwrap());
        let calls = (0..3)
            .map(|k| call(&format!("{n}-{k}"), &(start + TimeDelta::seconds(k)).to_rfc3339()))
            .collect();
        lake.commit(rows(n + 1, calls), at("2026-10-05T12:00:00Z")).await.unwrap();
    }
}

#[tokio::test]
async fn answers_are_the_same_after_merging() {
    let world = World::new();
    let lake = world.open();
    filled(&lake, 20).await;
    let before = lines(&lake, EVERYTHING).await;
    let done = lake.compact(world.now).await.unwrap();
    assert_eq!((done.files_before, done.files_after, done.rows), (20, 1, 60));
    assert_eq!(lines(&lake, EVERYTHING).await, before);
    assert_eq!(lake.count_rows().unwrap(), 60);
    // The merged file alone is sorted: its first and last rows are those of the day.
    let ends = lines(&lake, "SELECT min(start_at), max(start_at) FROM calls").await;
    assert_eq!(ends, ["2026-10-05T08:00:00 | 2026-10-05T08:00:21"]);
    drop(lake);
    assert_eq!(lines(&world.open(), EVERYTHING).await, before);
}

#[tokio::test]
async fn large_file_is_not_written_again_for_a_few_late_calls() {
    let world = World::new();
    let lake = Lake::open(LakeConfig { compact_files_min: 4, ..world.config() }).unwrap();
    filled(&lake, 20).await;
    let after_the_day = at("2026-10-06T03:00:00Z");
    assert_eq!(lake.compact(after_the_day).await.unwrap().files_after, 1);
    lake.commit(rows(21, vec![call("late", "2026-10-05T23:00:00Z")]), after_the_day).await.unwrap();
    assert_eq!(lake.compact(after_the_day).await.unwrap(), Compacted::default());
}

#[tokio::test]
async fn merged_files_stay_for_their_readers_and_are_then_deleted() {
    let world = World::new();
    let lake = Lake::open(LakeConfig { retired_keep: Duration::from_secs(60), ..world.config() }).unwrap();
    filled(&lake, 4).await;
    lake.compact(world.now).await.unwrap();
    let retired = || tree(&world.path()).iter().filter(|path| path.starts_with("retired/")).count();
    assert_eq!(retired(), 4);
    lake.compact(world.now + TimeDelta::seconds(59)).await.unwrap();
    assert_eq!(retired(), 4);
    assert_eq!(lake.compact(world.now + TimeDelta::seconds(60)).await.unwrap().files_deleted, 4);
    assert_eq!(retired(), 0);
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls").await, "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_and_commits_go_on_while_files_are_merged() {
    let world = World::new();
    let writer = world.open();
    let reader = world.reader().unwrap();
    filled(&writer, 4).await;
    let merging = tokio::spawn({
        let writer = writer.clone();
        async move {
            for _ in 0..30 {
                writer.compact(at("2026-10-05T12:00:00Z")).await.unwrap();
            }
        }
    });
    for n in 5..=30_u64 {
        writer
            .commit(rows(n, vec![call(&format!("more-{n}"), "2026-10-05T09:00:00Z")]), world.now)
            .await
            .unwrap();
        // Reads the rows themselves, not the counts of the manifest.
        let rows_seen = ask(&reader, "SELECT count(call_id) FROM calls WHERE duration_seconds > 0").await;
        assert_eq!(rows_seen, (12 + n - 4).to_string());
    }
    merging.await.unwrap();
}
