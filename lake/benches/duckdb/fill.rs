//! Makes a lake as the running house does: commits of all lanes, and merging beside them.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Lake, LakeConfig, LaneRows, Watermark};
use model::RatedCdr;

use crate::traffic::{FIRST_DAY, Traffic};

/// Lanes, and rows of a lane in one commit at most, as the house takes them.
const LANES: u32 = 16;
const LANE_ROWS: usize = 4_096;
const COMMIT_ROWS: usize = LANES as usize * LANE_ROWS;
/// Commits between two rounds of merging.
const MERGE_EVERY: u64 = 16;

/// Commits `calls` calls of `days` days, and says how fast.
pub(crate) async fn fill(dir: &Path, calls: u64, days: u64) {
    std::fs::create_dir_all(dir).expect("a directory");
    let lake =
        Lake::open(LakeConfig { retired_keep: Duration::ZERO, ..LakeConfig::new(dir) }).expect("a lake");
    let mut traffic = Traffic::new(calls, days);
    let (mut rows, mut commits) = (0_u64, 0_u64);
    let (mut committing, mut merging) = (Duration::ZERO, Duration::ZERO);
    let (mut rows_merged, mut base_mib, mut peak_mib) = (0_u64, 0, 0);
    let mut now: DateTime<Utc> = FIRST_DAY.parse().expect("a time");
    loop {
        let batch: Vec<RatedCdr> = traffic.by_ref().take(COMMIT_ROWS).collect();
        if batch.is_empty() {
            break;
        }
        now = now.max(batch[batch.len() - 1].cdr.init_at);
        rows += batch.len() as u64;
        commits += 1;
        let lanes = lanes(batch, commits);
        base_mib = base_mib.max(crate::resident_mib());
        crate::forget_peak();
        let begun = Instant::now();
        lake.commit(lanes, now).await.expect("a commit");
        committing += begun.elapsed();
        if commits.is_multiple_of(MERGE_EVERY) {
            let begun = Instant::now();
            rows_merged += lake.compact(now).await.expect("a merge").rows;
            merging += begun.elapsed();
        }
        peak_mib = peak_mib.max(crate::peak_mib("/proc/self/status"));
    }
    // The last day is over.
    for _ in 0..2 {
        let begun = Instant::now();
        rows_merged += lake.compact(now + TimeDelta::days(2)).await.expect("a merge").rows;
        merging += begun.elapsed();
    }
    peak_mib = peak_mib.max(crate::peak_mib("/proc/self/status"));
    let per_second = |rows: u64, time: Duration| rows as f64 / time.as_secs_f64();
    println!(
        "made {rows} rows in {commits} commits: {:.0} rows/s committed, {:.0} rows/s with all merging after it ({rows_merged} rows merged at {:.0} rows/s)",
        per_second(rows, committing),
        per_second(rows, committing + merging),
        per_second(rows_merged, merging),
    );
    println!(
        "memory: {peak_mib} MiB at most, of which up to {base_mib} MiB the generator's calls waiting to be committed"
    );
}

fn lanes(batch: Vec<RatedCdr>, position: u64) -> Vec<LaneRows> {
    let mut lanes: Vec<LaneRows> = (0..LANES)
        .map(|partition| LaneRows {
            partition,
            position,
            watermarks: vec![Watermark { stage: "rating".to_owned(), partition, offset: position, index: 0 }],
            rows: Vec::new(),
        })
        .collect();
    for call in batch {
        let lane = call.cdr.payer.0.unsigned_abs() % u64::from(LANES);
        lanes[lane as usize].rows.push(call);
    }
    lanes
}
