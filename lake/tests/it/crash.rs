//! The process is killed at each step of a commit and of a merge: nothing is lost, nothing is doubled.
//!
//! Each test makes the disk as that instant leaves it, from a copy before the step and one after, and opens the lake.

use std::fs;
use std::path::Path;

use lake::{Lake, LakeConfig, LakeError};

use crate::world::{World, ask, call, copy, lines, rows, tree};

const PART_1: &str = "cdrs/day=2026-10-05/part-0000000001.parquet";
const PART_2: &str = "cdrs/day=2026-10-05/part-0000000002.parquet";
const PART_3: &str = "cdrs/day=2026-10-05/part-0000000003.parquet";
const HIDDEN_2: &str = "cdrs/day=2026-10-05/.tmp-part-0000000002";
const HIDDEN_3: &str = "cdrs/day=2026-10-05/.tmp-part-0000000003";

/// A lake with one call, and the same with a second one.
async fn before_and_after_a_commit(world: &World) -> (std::path::PathBuf, std::path::PathBuf) {
    let (before, after) = (world.dir.path().join("before"), world.dir.path().join("after"));
    let lake = world.open();
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    copy(&world.path(), &before);
    lake.commit(rows(2, vec![call("b", "2026-10-05T08:00:01Z")]), world.now).await.unwrap();
    copy(&world.path(), &after);
    (before, after)
}

/// Opens the lake in `dir`, resumes where it says, and checks that both calls are there once, whatever had been committed.
async fn resume_and_check(dir: &Path, calls_committed: u64) {
    let lake = Lake::open(LakeConfig::new(dir)).unwrap();
    assert_eq!(lake.positions().unwrap().lane(0).unwrap().position, calls_committed);
    assert_eq!(lake.count_rows().unwrap(), calls_committed);
    if calls_committed < 2 {
        lake.commit(
            rows(2, vec![call("b", "2026-10-05T08:00:01Z")]),
            "2026-10-05T12:00:00Z".parse().unwrap(),
        )
        .await
        .unwrap();
    }
    assert_eq!(lines(&lake, "SELECT call_id FROM calls ORDER BY 1").await, ["a", "b"]);
    assert_eq!(tree(dir), [".lock", PART_1, PART_2, "manifest.json"]);
}

#[tokio::test]
async fn killed_before_the_manifest_the_commit_did_not_happen() {
    let world = World::new();
    let (before, after) = before_and_after_a_commit(&world).await;
    fs::copy(after.join(PART_2), before.join(HIDDEN_2)).unwrap();
    fs::copy(after.join("manifest.json"), before.join(".tmp-manifest.json")).unwrap();
    resume_and_check(&before, 1).await;
}

#[tokio::test]
async fn killed_while_writing_rows_the_torn_file_is_thrown_away() {
    let world = World::new();
    let (before, after) = before_and_after_a_commit(&world).await;
    let whole = fs::read(after.join(PART_2)).unwrap();
    fs::write(before.join(HIDDEN_2), &whole[..whole.len() / 2]).unwrap();
    fs::write(before.join(".tmp-manifest.json"), b"{\"format\":1,").unwrap();
    resume_and_check(&before, 1).await;
}

#[tokio::test]
async fn killed_after_the_manifest_the_commit_is_finished_by_the_next_open() {
    let world = World::new();
    let (_, after) = before_and_after_a_commit(&world).await;
    fs::rename(after.join(PART_2), after.join(HIDDEN_2)).unwrap();
    // Until then a reader finds the file under its hidden name.
    let reader = Lake::open_read_only(&after).unwrap();
    assert_eq!(ask(&reader, "SELECT count(*) FROM calls WHERE call_id = 'b'").await, "1");
    resume_and_check(&after, 2).await;
}

#[tokio::test]
async fn killed_at_each_step_of_a_merge_the_rows_stay_once_each() {
    let world = World::new();
    let lake = world.open();
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    lake.commit(rows(2, vec![call("b", "2026-10-05T08:00:01Z")]), world.now).await.unwrap();
    let before = world.dir.path().join("before");
    copy(&world.path(), &before);
    let done = lake.compact(world.now).await.unwrap();
    assert_eq!((done.files_before, done.files_after, done.rows), (2, 1, 2));
    let after = world.path();
    assert_eq!(
        tree(&after),
        [
            ".lock",
            PART_3,
            "manifest.json",
            "retired/2026-10-05-part-0000000001.parquet",
            "retired/2026-10-05-part-0000000002.parquet"
        ]
    );

    // (manifest replaced, merged file named, first input moved, second input moved)
    let steps = [
        (false, false, false, false),
        (true, false, false, false),
        (true, true, false, false),
        (true, true, true, false),
        (true, true, true, true),
    ];
    for (n, (replaced, named, first_moved, second_moved)) in steps.into_iter().enumerate() {
        let disk = world.dir.path().join(format!("step-{n}"));
        copy(&before, &disk);
        fs::copy(after.join(PART_3), disk.join(if named { PART_3 } else { HIDDEN_3 })).unwrap();
        if replaced {
            fs::copy(after.join("manifest.json"), disk.join("manifest.json")).unwrap();
        }
        for (part, moved) in [(PART_1, first_moved), (PART_2, second_moved)] {
            if moved {
                fs::create_dir_all(disk.join("retired")).unwrap();
                let name = format!("2026-10-05-{}", part.rsplit('/').next().unwrap());
                fs::rename(disk.join(part), disk.join("retired").join(name)).unwrap();
            }
        }
        let reader = Lake::open_read_only(&disk).unwrap();
        assert_eq!(
            lines(&reader, "SELECT call_id FROM calls_history ORDER BY 1").await,
            ["a", "b"],
            "step {n}"
        );
        let reopened = Lake::open(LakeConfig::new(&disk)).unwrap();
        assert_eq!(
            lines(&reopened, "SELECT call_id FROM calls_history ORDER BY 1").await,
            ["a", "b"],
            "step {n}"
        );
        // Who reads the tree alone sees each call once, too.
        let visible: Vec<_> = tree(&disk.join("cdrs")).into_iter().collect();
        assert_eq!(visible.len(), if replaced { 1 } else { 2 }, "step {n}: {visible:?}");
    }
}

#[tokio::test]
async fn foreign_file_in_the_tree_is_moved_aside_and_kept() {
    let world = World::new();
    let (_, after) = before_and_after_a_commit(&world).await;
    fs::copy(after.join(PART_1), after.join("cdrs/day=2026-10-05/part-copy.parquet")).unwrap();
    drop(Lake::open(LakeConfig::new(&after)).unwrap());
    assert_eq!(
        tree(&after),
        [".lock", PART_1, PART_2, "manifest.json", "strays/day=2026-10-05-0-part-copy.parquet"]
    );
}

#[tokio::test]
async fn committed_rows_that_are_gone_or_changed_stop_the_lake() {
    let world = World::new();
    let (before, after) = before_and_after_a_commit(&world).await;
    fs::remove_file(after.join(PART_1)).unwrap();
    let missing = Lake::open(LakeConfig::new(&after)).unwrap_err();
    assert!(matches!(missing, LakeError::FileMissing { rows: 1, .. }), "{missing:?}");
    let missing =
        Lake::open_read_only(&after).unwrap().query("SELECT count(*) FROM calls").await.unwrap_err();
    assert!(matches!(missing, LakeError::FileMissing { rows: 1, .. }), "{missing:?}");

    fs::write(before.join(PART_1), b"PAR1").unwrap();
    let damaged = Lake::open(LakeConfig::new(&before)).unwrap_err();
    assert!(matches!(damaged, LakeError::FileDamaged { found: 4, .. }), "{damaged:?}");
}

#[tokio::test]
async fn lake_without_its_manifest_is_not_taken_for_an_empty_one() {
    let world = World::new();
    let (before, after) = before_and_after_a_commit(&world).await;
    fs::remove_file(before.join("manifest.json")).unwrap();
    assert!(matches!(Lake::open(LakeConfig::new(&before)), Err(LakeError::ManifestMissing { .. })));
    fs::write(after.join("manifest.json"), b"{\"format\":1,\"gen").unwrap();
    assert!(matches!(Lake::open(LakeConfig::new(&after)), Err(LakeError::ManifestUnreadable { .. })));
    fs::write(after.join("manifest.json"), b"{\"format\":4}").unwrap();
    assert!(matches!(Lake::open(LakeConfig::new(&after)), Err(LakeError::ManifestTooNew { found: 4, .. })));
}

#[tokio::test]
async fn files_of_a_commit_and_an_erasure_that_failed_are_cleared_away_without_opening_the_lake_again() {
    let world = World::new();
    let lake = world.open();
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    // The next manifest cannot be written: neither the rows nor what an erasure makes of them become part of the lake.
    let in_the_way = world.path().join(".tmp-manifest.json");
    fs::create_dir(&in_the_way).unwrap();
    let task = lake::forget::Task {
        rules: Vec::new(),
        erasures: vec![lake::forget::Erasure { number: "43660555123".parse().unwrap(), tenant: None }],
        holds: Vec::new(),
        by: "test".to_owned(),
        reason: "letter".to_owned(),
    };
    lake.commit(rows(2, vec![call("b", "2026-10-05T08:00:01Z")]), world.now).await.unwrap_err();
    lake.forget(task.clone(), world.now).await.unwrap_err();
    let hidden = || tree(&world.path()).into_iter().filter(|path| path.contains(".tmp-part-")).count();
    assert_eq!(hidden(), 2);
    fs::remove_dir(&in_the_way).unwrap();
    lake.commit(rows(2, vec![call("b", "2026-10-05T08:00:01Z")]), world.now).await.unwrap();
    lake.compact(world.now).await.unwrap();
    assert_eq!(hidden(), 0, "{:?}", tree(&world.path()));
    assert_eq!(lines(&lake, "SELECT call_id FROM calls ORDER BY 1").await, ["a", "b"]);
    // No proof tells of what was not done, and what was asked can be done now.
    assert_eq!(lake.proofs().unwrap().len(), 0);
    assert_eq!(lake.forget(task, world.now).await.unwrap().rows_changed, 2);
    assert_eq!(lake.proofs().unwrap().len(), 1);
}
