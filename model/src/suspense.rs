//! A record that cannot be processed never stops a lane: it is put aside with all that is needed to try again.

use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, CdrId};

named_enum! {
    /// What would have to change for the same record to be processed.
    Retry {
        /// A rate for the destination.
        AfterTariffChange = "after_tariff_change",
        /// An account, profile mapping or other provisioning.
        AfterProvisioning = "after_provisioning",
        /// The record itself: it is broken.
        AfterRepair = "after_repair",
        /// The program.
        AfterUpgrade = "after_upgrade",
    }
}

/// What a stage says of a record it puts aside. The runner adds the raw bytes and their position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// Stable, such as `RAT001`; explained in `docs/errors.md`.
    pub code: String,
    /// In a sentence.
    pub message: String,
    /// What would have to change.
    pub retry: Retry,
    /// Whose record.
    pub account: AccountId,
    /// Which call, if one.
    pub cdr: Option<CdrId>,
}
