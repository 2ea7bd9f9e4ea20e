//! Rules that count by something else than the payer: a source address, a range of numbers, a country.
//!
//! Calls lie in the lane of who pays, so the calls over one source are spread over all lanes. The watch of a payer's lane says of each call
//! what such rules ask, as [`Sighting`]s on a topic whose lanes go by what is counted, and a second watch counts those: each thing is
//! counted in one place, whoever pays. Only what some rule in force looks at is said. A sighting carries the facts of its call and how much
//! came on top since the one before, so that the second watch keeps no calls.
//!
//! Where all calls are in one hand (a back-test), both halves are one watch.

use chrono::DateTime;
use model::{AccountId, Body, CallUid, CdrId, Effects, SightedBy, Sighting, SightingStep, Topic};

use super::cell::Sum;
use super::distinct::mix;
use super::facts::{Facts, source_network};
use super::snapshot::Compiled;
use super::state::OpenCall;
use super::{About, Named, Work, account_key};
use crate::rule::{Flow, Key, Rule};

/// Which rules a watch counts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All.
    Whole,
    /// Those on the calls of one payer; it says what the others ask.
    Payers,
    /// The others, by what it is told.
    Sightings,
}

impl Scope {
    pub(crate) fn counts(self, compiled: &Compiled) -> bool {
        match self {
            Scope::Whole => true,
            Scope::Payers => compiled.by.is_none(),
            Scope::Sightings => compiled.by.is_some(),
        }
    }
}

/// What a rule counts by, if not by the payer.
pub(crate) fn sighted_by(rule: &Rule) -> Option<SightedBy> {
    match rule.key {
        Key::Account | Key::Subscriber | Key::AccountCountry => None,
        // Who owns the trunk pays for what comes in over it.
        Key::Trunk if rule.filter.flow == Some(Flow::Incoming) => None,
        Key::Trunk => Some(SightedBy::Trunk),
        Key::Source => Some(SightedBy::Source),
        Key::ARange => Some(SightedBy::CallingRange),
        Key::BRange => Some(SightedBy::CalledRange),
        // A vendor is compared with all others to the same country.
        Key::Country | Key::VendorCountry => Some(SightedBy::Destination),
    }
}

/// Whether a rule counts by something else than the payer.
pub(crate) fn counts_over_payers(rule: &Rule) -> bool {
    sighted_by(rule).is_some()
}

/// What a rule is told of a call.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) facts: &'a Facts,
    pub(super) leg: u16,
    pub(super) vendor: Option<model::TrunkId>,
    /// Rules that leave it alone, by name; an empty name is every rule but those for emergency calls.
    pub(super) spared: &'a [String],
    /// Since when the payer is watched, where that was said.
    pub(super) watched_since: Option<i64>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(call: &'a OpenCall) -> Self {
        Seen {
            facts: &call.facts,
            leg: call.leg,
            vendor: call.vendor,
            spared: &call.spared,
            watched_since: None,
        }
    }

    /// Whether a rule does not count it: what was not counted at the INVITE is not taken back at the end.
    pub(super) fn is_counted_by(&self, compiled: &Compiled) -> bool {
        let (name, is_emergency) = (&compiled.rule.name, compiled.rule.filter.emergency);
        let is_meant = |spared: &String| spared == name || (spared.is_empty() && !is_emergency);
        self.facts.passes(compiled) && !self.spared.iter().any(is_meant)
    }
}

/// Whether a step is for rules on this key.
fn concerns(step: &SightingStep, key: Key) -> bool {
    match step {
        SightingStep::Began => key != Key::VendorCountry,
        SightingStep::Carried | SightingStep::Left { .. } => key == Key::VendorCountry,
        SightingStep::Answered { .. }
        | SightingStep::Alive { .. }
        | SightingStep::Ended { .. }
        | SightingStep::SignIn { .. }
        | SightingStep::Stopped { .. } => true,
    }
}

/// Whether a step changes what a rule looks at; what it does not look at is said with the next step that does.
fn is_wanted(step: &SightingStep, compiled: &Compiled) -> bool {
    match step {
        SightingStep::Answered { .. } => compiled.wants_cost || compiled.needs.has(Sum::Answered),
        SightingStep::Alive { .. } => compiled.wants_cost,
        SightingStep::Began
        | SightingStep::Carried
        | SightingStep::Left { .. }
        | SightingStep::Ended { .. }
        | SightingStep::SignIn { .. }
        | SightingStep::Stopped { .. } => true,
    }
}

impl Work<'_> {
    /// Lets the rules that count over the calls of everybody know of a step of a call; `step` is given what the call cost since the last one.
    pub(super) fn share(
        &mut self,
        call: &mut OpenCall,
        step: impl Fn(u64) -> SightingStep,
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        if !self.rules.has_shared {
            return;
        }
        let step = step(call.cost.saturating_sub(call.told));
        let seen = Seen::of(call);
        let (mut asking, mut is_any_wanting) = ([false; SightedBy::ALL.len()], false);
        for one in &self.rules.rules {
            let Some(by) = one.by else { continue };
            if concerns(&step, one.rule.key)
                && seen.is_counted_by(one)
                && seen.facts.subject(one.rule.key, seen.vendor).is_some()
            {
                asking[by as usize] = true;
                is_any_wanting |= is_wanted(&step, one);
            }
        }
        if !is_any_wanting {
            return;
        }
        for by in SightedBy::ALL.iter().copied().filter(|by| asking[*by as usize]) {
            self.tell(by, &seen, &step, about, effects);
        }
        if matches!(
            step,
            SightingStep::Answered { .. } | SightingStep::Alive { .. } | SightingStep::Ended { .. }
        ) {
            call.told = call.cost;
        }
    }

    /// Counts a step where all is counted here, else says it to whom it is counted by.
    pub(super) fn tell(
        &mut self,
        by: SightedBy,
        seen: &Seen<'_>,
        step: &SightingStep,
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        if self.scope == Scope::Whole {
            self.count_step(by, seen, step, about, effects);
            return;
        }
        let facts = seen.facts;
        let thing = match by {
            SightedBy::Trunk => facts.trunk.map_or(0, |trunk| trunk.0.cast_unsigned()),
            SightedBy::Source => {
                let (network, is_v6) = source_network(facts.source);
                network ^ mix(u64::from(is_v6))
            }
            SightedBy::CallingRange => facts.cli.unwrap_or(0) / 10_000,
            SightedBy::CalledRange => facts.callee.unwrap_or(0) / 10_000,
            SightedBy::Destination => u64::from(facts.country),
        };
        let watched_since = match (self.scope, facts.account) {
            (Scope::Sightings, _) => seen.watched_since,
            (Scope::Payers | Scope::Whole, AccountId::NOBODY) => None,
            (Scope::Payers | Scope::Whole, account) => {
                self.state.subjects.get(account_key(account)).map(|account| account.since)
            }
        };
        let sighting = Sighting {
            by,
            at: about.at,
            tenant: about.tenant,
            payer: facts.account,
            call: about.call.map(Named::uid),
            leg: seen.leg,
            subscriber: facts.subscriber,
            trunk: facts.trunk,
            source: facts.source,
            cli: facts.cli,
            callee: facts.callee,
            user_agent: facts.user_agent,
            country: facts.country,
            rate: facts.rate,
            account_age: facts.account_age,
            flags: facts.flags,
            vendor: seen.vendor,
            spared: seen.spared.to_vec(),
            watched_since,
            step: step.clone(),
        };
        effects.append(Topic::Sightings, Sighting::lane_key(by, thing), Body::Sighting(Box::new(sighting)));
    }

    /// Counts what the watch of another lane saw.
    pub(super) fn sighting(&mut self, sighting: &Sighting, effects: &mut Effects) {
        self.state.move_clock(sighting.at);
        let facts = Facts::from(sighting);
        let seen = Seen {
            facts: &facts,
            leg: sighting.leg,
            vendor: sighting.vendor,
            spared: &sighting.spared,
            watched_since: sighting.watched_since,
        };
        let nameless = CallUid::new(String::new());
        let uid = sighting.call.as_ref().unwrap_or(&nameless);
        let about = About {
            at: sighting.at,
            tenant: sighting.tenant,
            call: sighting.call.as_ref().map(Named::Live),
            cdr: CdrId::derive(uid, sighting.leg),
        };
        self.count_step(sighting.by, &seen, &sighting.step, &about, effects);
    }

    fn count_step(
        &mut self,
        by: SightedBy,
        seen: &Seen<'_>,
        step: &SightingStep,
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        let by_this = |one: &Compiled| one.by == Some(by) && concerns(step, one.rule.key);
        match *step {
            SightingStep::Began | SightingStep::Carried => self.count_new(seen, about, effects, by_this),
            SightingStep::Left { rang_ms } => {
                self.count_gone(seen, (0, rang_ms, false), 0, about, effects, by_this);
            }
            SightingStep::Answered { cost } => self.count(seen, about, effects, by_this, |add| {
                add.sum(Sum::Answered, 1);
                add.sum(Sum::Cost, cost);
            }),
            SightingStep::Alive { cost } => {
                self.count(seen, about, effects, by_this, |add| add.sum(Sum::Cost, cost));
            }
            SightingStep::Ended { cost, seconds, rang_ms, is_answered } => {
                self.count_gone(seen, (seconds, rang_ms, is_answered), cost, about, effects, by_this);
            }
            SightingStep::SignIn { user, times, is_failed } => {
                self.count_sign_in(seen.facts, (user, times, is_failed), about, effects, by_this);
            }
            SightingStep::Stopped { saved, ref rule } => {
                self.credit_shared(by, seen, (saved, rule.as_deref()), about, effects);
            }
        }
    }
}

/// Milliseconds from the INVITE to a later moment.
pub(super) fn rang_ms(call: &OpenCall, at: DateTime<chrono::Utc>) -> i64 {
    at.signed_duration_since(call.began).num_milliseconds()
}
