//! What an operator may set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Section `[mediator]`. All times are times of the log, and all limits hold for each lane (partition).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediatorConfig {
    /// Silence after which an open call is closed as partial, e.g. `"4h"`. Must be longer than the interval of the
    /// switch's charge ticks, which are signs of life. Default: `"4h"`.
    #[serde(with = "humantime_serde")]
    pub close_after: Duration,
    /// How old a call may become, by the time of the log since its first event, whatever signs of life it gives, e.g. `"24h"`; then it is
    /// closed as partial, once. Must be longer than the longest call the switch allows. Default: `"24h"`.
    #[serde(with = "humantime_serde")]
    pub age_max: Duration,
    /// How often a call that is up gets a record of what it has come to so far, e.g. `"15m"`; `"0s"` is never. Each supersedes
    /// the one before, and the end supersedes them all. They are priced and count towards limits; files wait for the end.
    /// Default: `"15m"`.
    #[serde(with = "humantime_serde")]
    pub interim_every: Duration,
    /// How long a complete call is remembered, so that a late event still corrects it and a repeated one is
    /// recognised, e.g. `"10m"`. At 100 calls a second, ten minutes are 60 000 calls of about 370 bytes. Default: `"10m"`.
    #[serde(with = "humantime_serde")]
    pub late_for: Duration,
    /// How long a call closed as partial is remembered, so that its end, when it comes after all, gives the full
    /// record, e.g. `"2d"`. Default: `"2d"`.
    #[serde(with = "humantime_serde")]
    pub partials_for: Duration,
    /// How far the wall clock and the monotonic clock of a call may differ, e.g. `"10m"`. A clock that is set during a
    /// call does that; a larger difference suspends the call. Also how far an event may move the time of the log beyond
    /// the last tick. Default: `"10m"`.
    #[serde(with = "humantime_serde")]
    pub clock_tolerance: Duration,
    /// Calls held open at once; events of further ones are suspended. Default: 50 000.
    pub calls_open_max: usize,
    /// Closed calls and EDRs remembered at once; beyond it those due first are forgotten early. Default: 100 000.
    pub remembered_max: usize,
    /// Bytes that remembered calls may take, complete ones; those closed as partial may take four times as many. Beyond it those due first are
    /// forgotten early. A call takes about 370, and 700 if it is kept whole, as those closed as partial are. So the default of 16 lanes is good for ten
    /// minutes at 150 calls a second, and for 190 000 calls that an outage cut off. Default: 2097152 (2 MiB).
    pub remembered_bytes_max: usize,
}

impl Default for MediatorConfig {
    fn default() -> Self {
        Self {
            close_after: Duration::from_secs(4 * 3600),
            age_max: Duration::from_secs(24 * 3600),
            interim_every: Duration::from_secs(900),
            late_for: Duration::from_secs(600),
            partials_for: Duration::from_secs(2 * 86_400),
            clock_tolerance: Duration::from_secs(600),
            calls_open_max: 50_000,
            remembered_max: 100_000,
            remembered_bytes_max: 2 << 20,
        }
    }
}
