//! What is known of a call when it begins, and whom each rule counts it for.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use model::{Account, AccountId, Attempt, E164, Party, Sighting, SightingStep, SubscriberId, TrunkId};
use serde::{Deserialize, Serialize};

use super::country::country_of;
use super::distinct::{mix, mix_text};
use super::snapshot::{Compiled, WatchRules, WatchSnapshot};
use super::subjects::SubjectKey;
use super::zones::Zones;
use crate::rule::{CallerNumber, Filter, Flow, Key};

/// The facts of one call, as they were at its INVITE: what a rule counted then is what it takes back at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    #[serde(rename = "a")]
    pub(crate) account: AccountId,
    #[serde(rename = "s")]
    pub(crate) subscriber: Option<SubscriberId>,
    #[serde(rename = "t")]
    pub(crate) trunk: Option<TrunkId>,
    #[serde(rename = "ip")]
    pub(crate) source: IpAddr,
    #[serde(rename = "f")]
    pub(crate) cli: Option<u64>,
    #[serde(rename = "n")]
    pub(crate) callee: Option<u64>,
    /// Of the user agent; 0 for none.
    #[serde(rename = "u")]
    pub(crate) user_agent: u64,
    #[serde(rename = "w")]
    pub(crate) flow: Flow,
    #[serde(rename = "c")]
    pub(crate) country: u16,
    /// Ten-thousandths a minute.
    #[serde(rename = "r")]
    pub(crate) rate: i64,
    /// Seconds since the account was first seen; `None` where that is not known.
    #[serde(rename = "y")]
    pub(crate) account_age: Option<i64>,
    /// The others, as bits: see [`Flag`].
    #[serde(rename = "b")]
    pub(crate) flags: u16,
}

/// What holds or does not hold of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Flag {
    NewCountry = 1,
    HotListed = 2,
    OffHours = 4,
    NewUserAgent = 8,
    OursFromOutside = 16,
    Neighbour = 32,
    NeverOriginates = 64,
    Abroad = 128,
    Emergency = 256,
}

impl From<&Sighting> for Facts {
    fn from(sighting: &Sighting) -> Self {
        let is_sign_in = matches!(sighting.step, SightingStep::SignIn { .. });
        Facts {
            account: sighting.payer,
            subscriber: sighting.subscriber,
            trunk: sighting.trunk,
            source: sighting.source,
            cli: sighting.cli,
            callee: sighting.callee,
            user_agent: sighting.user_agent,
            flow: if is_sign_in { Flow::Registrations } else { flow(sighting.leg, sighting.subscriber) },
            country: sighting.country,
            rate: sighting.rate,
            account_age: sighting.account_age,
            flags: sighting.flags,
        }
    }
}

fn flow(leg: u16, subscriber: Option<SubscriberId>) -> Flow {
    match (leg, subscriber) {
        (1.., _) => Flow::Forwarded,
        (0, Some(_)) => Flow::Outgoing,
        (0, None) => Flow::Incoming,
    }
}

impl Facts {
    pub(crate) fn set(&mut self, flag: Flag, holds: bool) {
        if holds {
            self.flags |= flag as u16;
        }
    }

    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags & flag as u16 != 0
    }

    /// Whether a rule looks at this call.
    pub(crate) fn passes(&self, compiled: &Compiled) -> bool {
        compiled.rule.filter.rate_min.is_none_or(|rate| self.rate >= rate) && self.passes_but_price(compiled)
    }

    /// The same, whatever the call costs.
    pub(crate) fn passes_but_price(&self, compiled: &Compiled) -> bool {
        let Filter {
            flow,
            new_country,
            hot_listed,
            off_hours,
            rate_min: _,
            account_younger,
            new_user_agent,
            caller_number,
            abroad,
            emergency,
        } = &compiled.rule.filter;
        // A rule that names no way looks at calls, whichever way they go.
        flow.map_or(self.flow != Flow::Registrations, |flow| flow == self.flow)
            && (!new_country || self.has(Flag::NewCountry))
            && (!hot_listed || self.has(Flag::HotListed))
            && (!off_hours || self.has(Flag::OffHours))
            && (!new_user_agent || self.has(Flag::NewUserAgent))
            && (!abroad || self.has(Flag::Abroad))
            && (!emergency || self.has(Flag::Emergency))
            && account_younger
                .is_none_or(|younger| self.account_age.is_some_and(|age| age < i64::from(younger.seconds())))
            && caller_number.is_none_or(|wanted| match wanted {
                CallerNumber::OursFromOutside => self.has(Flag::OursFromOutside),
                CallerNumber::Neighbour => self.has(Flag::Neighbour),
                CallerNumber::Listed => self.has(Flag::NeverOriginates),
                CallerNumber::Missing => self.cli.is_none(),
            })
            && !self.is_excepted(compiled)
    }

    fn is_excepted(&self, compiled: &Compiled) -> bool {
        let except = &compiled.rule.except;
        if except.sources.contains(&self.source) {
            return true;
        }
        if except.callees.is_empty() {
            return false;
        }
        let callee = self.callee.map(|callee| callee.to_string()).unwrap_or_default();
        except.callees.iter().any(|prefix| callee.starts_with(prefix))
    }

    /// For whom a rule counts this call; `None` where the call has no such thing. `vendor` carries it on.
    pub(crate) fn subject(&self, key: Key, vendor: Option<TrunkId>) -> Option<SubjectKey> {
        let country = u64::from(self.country);
        let of = |a: u64, b: u64| Some(SubjectKey { key, a, b });
        match key {
            Key::Account => of(id(self.account.0), 0),
            Key::Subscriber => of(id(self.subscriber?.0), 0),
            Key::Trunk => of(id(self.trunk?.0), 0),
            Key::Source => {
                let (network, is_v6) = source_network(self.source);
                of(network, u64::from(is_v6))
            }
            Key::ARange => of(self.cli? / 10_000, 0),
            Key::BRange => of(self.callee? / 10_000, 0),
            Key::Country => of(self.callee.map(|_| country)?, 0),
            Key::AccountCountry => of(id(self.account.0), self.callee.map(|_| country)?),
            Key::VendorCountry => of(id(vendor?.0), country),
        }
    }
}

/// Who calls whom, from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) subscriber: Option<SubscriberId>,
    pub(crate) trunk: Option<TrunkId>,
    pub(crate) source: IpAddr,
    pub(crate) cli: Option<u64>,
    pub(crate) callee: Option<u64>,
    /// Of the user agent; 0 for none.
    pub(crate) user_agent: u64,
    /// It was diverted on its way to us.
    pub(crate) is_diverted: bool,
    /// The switch has let it pass every gate.
    pub(crate) is_emergency: bool,
}

impl Asking {
    pub(crate) fn of(attempt: &Attempt) -> Self {
        let (subscriber, trunk) = match &attempt.caller {
            Party::Subscriber { subscriber, .. } => (Some(*subscriber), None),
            Party::Trunk { trunk, .. } => (None, Some(*trunk)),
            Party::Unknown => (None, None),
        };
        Asking {
            subscriber,
            trunk,
            source: attempt.source.ip(),
            cli: attempt.cli.map(E164::as_u64),
            callee: attempt.callee.map(E164::as_u64),
            user_agent: agent_hash(&attempt.user_agent),
            is_diverted: !attempt.diversion.is_empty(),
            is_emergency: attempt.detail.as_ref().is_some_and(|detail| detail.emergency),
        }
    }
}

/// A user agent as a number; 0 for none.
pub fn agent_hash(user_agent: &str) -> u64 {
    if user_agent.is_empty() { 0 } else { mix_text(user_agent) }
}

/// What is known of an attempt without any history and without its price: `whose` is who pays, the leg and the time.
pub(crate) fn known(
    rules: &WatchRules,
    snapshot: &WatchSnapshot,
    whose: (AccountId, u16, DateTime<Utc>),
    asking: &Asking,
    account: Option<&Account>,
    zones: &mut Zones,
) -> Facts {
    let (payer, leg, at) = whose;
    let &Asking { subscriber, trunk, source, cli, callee, user_agent, is_diverted, is_emergency } = asking;
    let mut facts = Facts {
        account: payer,
        subscriber,
        trunk,
        source,
        cli,
        callee,
        user_agent,
        flow: flow(leg, subscriber),
        country: callee.map_or(0, country_of),
        rate: 0,
        account_age: None,
        flags: 0,
    };
    let is_from_outside = facts.flow == Flow::Incoming;
    facts.set(Flag::HotListed, callee.is_some_and(|callee| rules.hot.contains(callee)));
    facts.set(
        Flag::OursFromOutside,
        is_from_outside && !is_diverted && cli.is_some_and(|cli| snapshot.is_ours(cli)),
    );
    facts.set(
        Flag::Neighbour,
        cli.zip(callee).is_some_and(|(cli, callee)| cli != callee && cli / 10_000 == callee / 10_000),
    );
    facts.set(
        Flag::NeverOriginates,
        is_from_outside && cli.is_some_and(|cli| rules.never_originate.contains(cli)),
    );
    facts.set(Flag::Abroad, facts.country != 0 && cli.is_some_and(|cli| country_of(cli) != facts.country));
    facts.set(Flag::Emergency, is_emergency);
    if let Some(account) = account {
        facts.set(Flag::OffHours, zones.is_off_hours(at, account.timezone));
    }
    facts
}

/// Ids are positive; a stranger's would only be another key.
fn id(id: i64) -> u64 {
    id.cast_unsigned()
}

/// An IPv4 address, or the /64 of an IPv6 address (and `true`): a subscriber line has one, and changes the rest at will.
pub(crate) fn source_network(source: IpAddr) -> (u64, bool) {
    match source.to_canonical() {
        IpAddr::V4(v4) => (u64::from(u32::from(v4)), false),
        IpAddr::V6(v6) => (u64::try_from(u128::from(v6) >> 64).unwrap_or(0), true),
    }
}

/// A source as one of different things.
pub(crate) fn source_hash(source: IpAddr) -> u64 {
    let (network, is_v6) = source_network(source);
    mix(network ^ mix(u64::from(is_v6)))
}
