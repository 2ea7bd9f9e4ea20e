//! What travels on `[control]`: from the pipeline and the desk back to every process.

use serde::{Deserialize, Serialize};

use crate::{AccountId, Barring, CallUid, Lock};

/// One message; every process reads all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
pub enum Control {
    /// A lock was set or lifted.
    LockChanged(Lock),
    /// A range of numbers was barred for somebody, or is not any more.
    BarringChanged(Barring),
    /// Provisioning data changed: load the snapshot again.
    ConfigChanged {
        /// The new revision.
        revision: i64,
    },
    /// End all calls that this account pays for.
    EndCallsOf {
        /// Whose.
        account: AccountId,
    },
    /// End one call.
    EndCall {
        /// Which.
        call: CallUid,
    },
}
