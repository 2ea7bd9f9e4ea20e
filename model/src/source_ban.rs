//! Sources that people shut out of the switch by hand.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An address or a network whose requests the switch does not look at. One for each network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBan {
    /// Such as `192.0.2.7` or `192.0.2.0/24`.
    pub network: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// When.
    pub since: DateTime<Utc>,
    /// First instant at which it is let in again; `None`: when somebody lifts it.
    pub until: Option<DateTime<Utc>>,
}
