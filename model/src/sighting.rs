//! What the watch of one payer's lane saw of a call, for rules that count over the calls of everybody.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, CallUid, SubscriberId, TenantId, TrunkId};

named_enum! {
    /// What a sighting is counted by; it lies in the lane of that thing, not of who pays.
    SightedBy {
        /// The trunk that the call came from.
        Trunk = "trunk",
        /// The network that signalling came from.
        Source = "source",
        /// The range of the calling number.
        CallingRange = "calling_range",
        /// The range of the number called.
        CalledRange = "called_range",
        /// The country called, and the trunk that carries the call there.
        Destination = "destination",
    }
}

/// One moment of a call, or one attempt to register, as the watch of its payer's lane saw it.
///
/// It says all that a rule asks, so that whoever counts it keeps no calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// By what it is counted.
    pub by: SightedBy,
    /// When.
    pub at: DateTime<Utc>,
    /// The tenant of the call.
    pub tenant: TenantId,
    /// Who pays.
    pub payer: AccountId,
    /// The call; `None` for a registration.
    pub call: Option<CallUid>,
    /// 0 is the call itself.
    pub leg: u16,
    /// The subscriber that calls, if one.
    pub subscriber: Option<SubscriberId>,
    /// The trunk it came from, if from one.
    pub trunk: Option<TrunkId>,
    /// Where signalling came from.
    pub source: IpAddr,
    /// Calling number, E.164 digits.
    pub cli: Option<u64>,
    /// Number called.
    pub callee: Option<u64>,
    /// The user agent as a hash; 0 for none.
    pub user_agent: u64,
    /// Country code called; 0 for none.
    pub country: u16,
    /// Ten-thousandths of a currency unit that a minute costs.
    pub rate: i64,
    /// Seconds since the payer was first seen, if known.
    pub account_age: Option<i64>,
    /// What else held of the call at its INVITE: bits that the watch gives their meaning.
    pub flags: u16,
    /// The trunk that carries it on.
    pub vendor: Option<TrunkId>,
    /// Rules that leave the call alone; an empty name is every rule.
    pub spared: Vec<String>,
    /// Since when the payer is watched, seconds since 1970; `None` for nobody.
    pub watched_since: Option<i64>,
    /// What happened.
    pub step: SightingStep,
}

/// What happened to a call that is sighted. Costs are what came to be since the sighting before, in ten-thousandths of a currency unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum SightingStep {
    /// It began.
    Began,
    /// A trunk carries it on.
    Carried,
    /// That trunk does not carry it any more, and another one tries.
    Left {
        /// Milliseconds since the INVITE.
        rang_ms: i64,
    },
    /// It was answered.
    Answered {
        /// Since the sighting before.
        cost: u64,
    },
    /// It is still up.
    Alive {
        /// Since the sighting before.
        cost: u64,
    },
    /// It ended.
    Ended {
        /// Since the sighting before.
        cost: u64,
        /// Of answer.
        seconds: u64,
        /// Milliseconds from the INVITE to the end.
        rang_ms: i64,
        /// It was answered.
        is_answered: bool,
    },
    /// Somebody tried to register.
    SignIn {
        /// Whose name, as a hash; 0 for none.
        user: u64,
        /// How often.
        times: u64,
        /// In vain.
        is_failed: bool,
    },
    /// The switch refused or cut it because of a rule: whichever incident is behind that has saved so much.
    Stopped {
        /// Ten-thousandths of a currency unit.
        saved: i64,
        /// The rule, if it is known; else one that ends calls.
        rule: Option<String>,
    },
}

impl Sighting {
    /// In whose lane it lies: a number that stands for the thing it is counted by, in the place of an account.
    pub fn lane_key(by: SightedBy, thing: u64) -> AccountId {
        // Small numbers stand for trunks and countries alike: each kind is spread in its own way.
        let kind = (by as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d);
        AccountId((thing ^ kind).cast_signed())
    }
}
