//! Time as it is handed to engines.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// One reading of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// UTC; written into records, compared with tariffs.
    pub wall: DateTime<Utc>,
    /// Since the process began; never steps back. Durations are differences of this.
    pub mono: Duration,
}
