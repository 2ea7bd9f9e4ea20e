//! What an alert saved: calls that were refused or cut because of it.
//!
//! Nobody knows how long a call would have been that never was. Each is reckoned at three minutes, a cut one at three minutes more, at its
//! own price: less than most stolen calls last, so that the sum is low rather than high.

use chrono::{DateTime, Utc};
use model::{
    AccountId, AlertId, Cause, Effect, Effects, Money, Rejected, SightedBy, SightingStep, Stopped, StoppedBy,
};

use super::shared::Seen;
use super::snapshot::{Compiled, WatchSnapshot};
use super::state::OpenCall;
use super::{About, Work, money};
use crate::locking::is_in_force;
use crate::rule::Action;

/// How long a stopped call is taken to have lasted.
const RECKONED_SECONDS: u64 = 180;

impl Work<'_> {
    /// The switch refused a call.
    pub(super) fn was_refused(
        &mut self,
        call: &OpenCall,
        rejected: &Rejected,
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        if !matches!(rejected.cause, Cause::LockedOut | Cause::RateLimited) {
            return;
        }
        let (seen, saved) = (Seen::of(call), in_ten_thousandths(call.price.cost(RECKONED_SECONDS)));
        // What decided, in the words of the switch.
        if rejected.object.contains(" barred for ") {
            if let Some(alert) = self.alert_of_barring(call, about) {
                stopped(StoppedBy::Alert(alert), &seen, saved, self.snapshot, effects);
            }
        } else if let Some(rule) = rejected.object.strip_prefix("rule ") {
            self.credit(&seen, (saved, rule.split(',').next()), about, effects);
        } else if let Some(account) = locked_account(&rejected.object) {
            let by = StoppedBy::LockOf { account, at: about.at };
            stopped(by, &seen, saved, self.snapshot, effects);
        }
        // Else it was a rate that is provisioned, or an account that is closed: no alert is behind it.
    }

    /// Somebody, or a rule, had a call ended.
    pub(super) fn was_cut(&mut self, call: &OpenCall, about: &About<'_>, effects: &mut Effects) {
        let rate = u64::try_from(call.facts.rate).unwrap_or(0);
        let (seen, saved) = (Seen::of(call), in_ten_thousandths(rate.saturating_mul(RECKONED_SECONDS) / 60));
        let account = call.facts.account;
        if self.is_known_locked(account, about.at) {
            let by = StoppedBy::LockOf { account, at: about.at };
            stopped(by, &seen, saved, self.snapshot, effects);
        } else {
            self.credit(&seen, (saved, None), about, effects);
        }
    }

    /// Adds what was saved to the incident of `rule`, or else of one that ends calls.
    fn credit(
        &mut self,
        seen: &Seen<'_>,
        (saved, rule): (i64, Option<&str>),
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        match self.alert_of_rule(None, seen, rule) {
            Some(alert) => stopped(StoppedBy::Alert(alert), seen, saved, self.snapshot, effects),
            None => self.credit_next(None, seen, (saved, rule), about, effects),
        }
    }

    /// The same, where the call is counted by `by`; if no incident is there, the next place is asked: one incident at most has it.
    pub(super) fn credit_shared(
        &mut self,
        by: SightedBy,
        seen: &Seen<'_>,
        (saved, rule): (i64, Option<&str>),
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        match self.alert_of_rule(Some(by), seen, rule) {
            Some(alert) => stopped(StoppedBy::Alert(alert), seen, saved, self.snapshot, effects),
            None => self.credit_next(Some(by), seen, (saved, rule), about, effects),
        }
    }

    fn credit_next(
        &mut self,
        after: Option<SightedBy>,
        seen: &Seen<'_>,
        (saved, rule): (i64, Option<&str>),
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        let may_know = |by: SightedBy| {
            self.rules.rules.iter().any(|one| {
                let is_known = seen.facts.subject(one.rule.key, seen.vendor).is_some();
                one.by == Some(by) && is_meant(one, rule) && is_known && seen.is_counted_by(one)
            })
        };
        let next =
            SightedBy::ALL.iter().copied().find(|by| after.is_none_or(|after| *by > after) && may_know(*by));
        if let Some(by) = next {
            let step = SightingStep::Stopped { saved, rule: rule.map(str::to_owned) };
            self.tell(by, seen, &step, about, effects);
        } else if rule.is_none() {
            // No rule has ended it. A spend limit does so too, and locks the account.
            let by = StoppedBy::LockOf { account: seen.facts.account, at: about.at };
            stopped(by, seen, saved, self.snapshot, effects);
        }
    }

    /// Whether we know of a lock with an alert on an account. That we do not says little: others lock too.
    fn is_known_locked(&self, account: AccountId, at: DateTime<Utc>) -> bool {
        let ours = self.state.held.get(&account).is_some_and(|held| is_in_force(&held.lock, at));
        ours || self.snapshot.is_locked_by_alert(account, at)
    }

    fn alert_of_barring(&self, call: &OpenCall, about: &About<'_>) -> Option<AlertId> {
        let callee = call.facts.callee.map(|callee| callee.to_string()).unwrap_or_default();
        let account = call.facts.account;
        let barrings = self.snapshot.directory.barrings.iter();
        barrings
            .filter(|barring| {
                let is_everybody = barring.account == AccountId::NOBODY && barring.tenant == about.tenant;
                barring.account == account || is_everybody
            })
            .filter(|barring| barring.is_in_force(about.at) && callee.starts_with(&barring.range))
            .find_map(|barring| barring.alert)
    }

    /// The incident that a rule counting by `by` has with one of those that the call is counted for.
    fn alert_of_rule(&self, by: Option<SightedBy>, seen: &Seen<'_>, rule: Option<&str>) -> Option<AlertId> {
        (0_u16..).zip(&self.rules.rules).filter(|(_, one)| one.by == by && is_meant(one, rule)).find_map(
            |(idx, one)| {
                let subject = seen.facts.subject(one.rule.key, seen.vendor)?;
                let cell = self.state.subjects.get(subject)?.known_cell(idx)?;
                cell.incident.as_ref().map(|incident| incident.id)
            },
        )
    }
}

/// Whether a rule is the one of this name, or where none is named, one that ends calls.
fn is_meant(one: &Compiled, rule: Option<&str>) -> bool {
    let ends_calls = [Action::EndCall, Action::EndCalls];
    rule.map_or_else(
        || ends_calls.iter().any(|action| one.rule.actions.contains(action)),
        |name| one.rule.name == name,
    )
}

fn in_ten_thousandths(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// The account whose lock refused a call, in the words of the switch.
fn locked_account(object: &str) -> Option<AccountId> {
    let (account, _level) = object.strip_prefix("account ")?.split_once(" lock ")?;
    account.parse().ok().map(AccountId)
}

fn stopped(by: StoppedBy, seen: &Seen<'_>, saved: i64, snapshot: &WatchSnapshot, effects: &mut Effects) {
    let Some(account) = snapshot.account(seen.facts.account) else { return };
    let saved = Money::new(money(saved), account.currency);
    effects.0.push(Effect::Stopped(Stopped { by, saved }));
}
