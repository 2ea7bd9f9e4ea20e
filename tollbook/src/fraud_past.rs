//! Rules over the calls of the lake, on every core but one: one reads what comes next while the others look at what came.
//!
//! In: a lake, rules, days. Out: what the rules would have done. Calls are handed out by lanes, which know nothing of each other.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use fraud::backtest::{Backtest, BacktestReport, BacktestShare, StoredCall, agent_hash, name_hash};
use fraud::rule::Rule;
use fraud::watch::HotList;
use lake::{Lake, PastCall, PastCalls};
use model::{Directory, SubscriberId, TrunkId};

use crate::system::of_lake;

/// Rows read at once, about: a query's result has a limit.
const PIECE_ROWS: u64 = 300_000;

/// Which days.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Days {
    /// Rules learn from here on.
    pub(crate) learn_from: DateTime<Utc>,
    /// They are reported from here on.
    pub(crate) from: DateTime<Utc>,
    /// Not included.
    pub(crate) to: DateTime<Utc>,
}

/// What came of it.
pub(crate) struct Found {
    pub(crate) report: BacktestReport,
    /// Calls read, those that rules learned from among them.
    pub(crate) n_read: u64,
}

/// Runs `rules` over the calls of `days`; `lists` are the hot list and the numbers that never call out.
pub(crate) async fn run(
    lake: &Lake,
    rules: Vec<Rule>,
    lists: (Arc<HotList>, Arc<HotList>),
    directory: Arc<Directory>,
    days: Days,
) -> anyhow::Result<Found> {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    // One core is left to the rest of the process, which may carry calls.
    let n_threads = n_cores.saturating_sub(1).max(1);
    let test = Backtest::new(rules, lists.0, lists.1, directory, days.from);
    let shares = test.split(n_threads);
    let n_shares = shares.len();
    let mut workers = Vec::new();
    let mut feeds: Vec<SyncSender<Arc<PastCalls>>> = Vec::new();
    for (place, share) in shares.into_iter().enumerate() {
        let (feed, pieces) = sync_channel(1);
        feeds.push(feed);
        workers.push(std::thread::spawn(move || work(share, (place, n_shares), &pieces)));
    }
    let mut at = days.learn_from;
    let mut n_read = 0;
    while at < days.to {
        let until = piece_end(lake, at).map_err(of_lake)?.min(days.to);
        let calls = Arc::new(lake.past_calls(at, until).await.map_err(of_lake)?);
        n_read += calls.len() as u64;
        for feed in &feeds {
            let (feed, calls) = (feed.clone(), calls.clone());
            // Waits while the share is behind. One that has failed takes nothing more, and says why at its end.
            tokio::task::spawn_blocking(move || drop(feed.send(calls))).await?;
        }
        at = until;
    }
    drop(feeds);
    let mut reports = Vec::new();
    for worker in workers {
        let found = tokio::task::spawn_blocking(move || worker.join()).await?;
        reports.push(found.map_err(|_| anyhow::anyhow!("a thread of the back-test has failed"))??);
    }
    Ok(Found { report: BacktestReport::merge(reports), n_read })
}

/// Where the piece that begins at `at` ends: a day, or as much of it as is read at once.
fn piece_end(lake: &Lake, at: DateTime<Utc>) -> Result<DateTime<Utc>, lake::LakeError> {
    let day = at.date_naive();
    let n_pieces = lake.count_rows_of_day(day)?.div_ceil(PIECE_ROWS).clamp(1, 24 * 60);
    let length = TimeDelta::seconds(86_400 / i64::try_from(n_pieces).unwrap_or(1) + 1);
    let midnight = day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1);
    Ok((at + length).min(midnight))
}

/// Looks at the calls of one share, piece by piece.
fn work(
    mut share: BacktestShare,
    (place, n_shares): (usize, usize),
    pieces: &Receiver<Arc<PastCalls>>,
) -> anyhow::Result<BacktestReport> {
    let mut calls: Vec<StoredCall> = Vec::new();
    while let Ok(piece) = pieces.recv() {
        let is_mine = |payer| BacktestShare::place_of(n_shares, payer) == place;
        piece.each(is_mine, |call| calls.push(stored(&call))).map_err(of_lake)?;
        drop(piece);
        calls.sort_unstable_by_key(|call| (call.init_at, call.cdr));
        calls.drain(..).for_each(|call| share.call(call));
    }
    Ok(share.finish())
}

fn stored(call: &PastCall<'_>) -> StoredCall {
    StoredCall {
        cdr: call.cdr,
        call: name_hash(call.call),
        leg: call.leg,
        payer: call.payer,
        subscriber: call.subscriber.map(SubscriberId),
        trunk: call.trunk.filter(|_| call.subscriber.is_none()).map(TrunkId),
        source: call.source.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])),
        user_agent: agent_hash(call.user_agent),
        cli: call.source_number.and_then(|number| number.parse().ok()),
        callee: call.destination_number.and_then(|number| number.parse().ok()),
        vendor: call.vendor.map(TrunkId),
        init_at: call.init_at,
        start_at: call.start_at,
        answered_us: call.answered_us,
        cost: model::from_micros(call.cost_micros),
    }
}
