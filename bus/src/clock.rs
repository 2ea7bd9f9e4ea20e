//! The one place where the bus reads the clock: records expire by the time of their append, which no caller hands in.

use std::time::Instant;

use chrono::Utc;

/// Microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the time of an append is the log's own, whoever appends")]
pub(crate) fn wall_us() -> i64 {
    Utc::now().timestamp_micros()
}

/// For intervals: between fsyncs, between looks at a broker.
#[expect(clippy::disallowed_methods, reason = "paces work; nothing of it is recorded")]
pub(crate) fn mono() -> Instant {
    Instant::now()
}
