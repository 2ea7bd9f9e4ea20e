//! What an alert saved: calls that were refused or cut because of it.
//!
//! Nobody knows how long a call would have been that never was. Each is reckoned at three minutes, a cut one at three minutes more, at its
//! own price: less than most stolen calls last, so that the sum is low rather than high.

use model::{AccountId, AlertId, Cause, Effect, Effects, Money, Rejected, Stopped};

use super::state::OpenCall;
use super::{About, Work, money};
use crate::rule::Action;

/// How long a stopped call is taken to have lasted.
const RECKONED_SECONDS: u64 = 180;

impl Work<'_> {
    /// The switch refused a call.
    pub(super) fn was_refused(
        &self,
        call: &OpenCall,
        rejected: &Rejected,
        about: &About<'_>,
        effects: &mut Effects,
    ) {
        if !matches!(rejected.cause, Cause::LockedOut | Cause::RateLimited) {
            return;
        }
        // What decided, in the words of the switch.
        let alert = if rejected.object.contains(" barred for ") {
            self.alert_of_barring(call, about)
        } else if let Some(rule) = rejected.object.strip_prefix("rule ") {
            self.alert_of_rule(call, |name, _| rule.split(',').next() == Some(name))
        } else if rejected.object.contains(" lock ") {
            self.alert_of_lock(call)
        } else {
            // A rate that is provisioned, or an account that is closed: no alert is behind it.
            None
        };
        self.stopped(alert, call, call.price.cost(RECKONED_SECONDS), effects);
    }

    /// Somebody, or a rule, had a call ended.
    pub(super) fn was_cut(&self, call: &OpenCall, effects: &mut Effects) {
        let ends_calls = |_: &str, actions: &std::collections::BTreeSet<Action>| {
            actions.contains(&Action::EndCall) || actions.contains(&Action::EndCalls)
        };
        let alert = self.alert_of_lock(call).or_else(|| self.alert_of_rule(call, ends_calls));
        let rate = u64::try_from(call.facts.rate).unwrap_or(0);
        self.stopped(alert, call, rate.saturating_mul(RECKONED_SECONDS) / 60, effects);
    }

    fn stopped(&self, alert: Option<AlertId>, call: &OpenCall, saved: u64, effects: &mut Effects) {
        let (Some(alert), Some(account)) = (alert, self.snapshot.account(call.facts.account)) else { return };
        let saved = money(i64::try_from(saved).unwrap_or(i64::MAX));
        effects.0.push(Effect::Stopped(Stopped { alert, saved: Money::new(saved, account.currency) }));
    }

    fn alert_of_lock(&self, call: &OpenCall) -> Option<AlertId> {
        let account = call.facts.account;
        let held = self.state.held.get(&account).and_then(|held| held.lock.alert);
        held.or_else(|| self.snapshot.alert_of_lock(account))
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

    /// The incident that a rule of this kind has with one of those that the call is counted for.
    fn alert_of_rule(
        &self,
        call: &OpenCall,
        is_meant: impl Fn(&str, &std::collections::BTreeSet<Action>) -> bool,
    ) -> Option<AlertId> {
        (0_u16..)
            .zip(&self.rules.rules)
            .filter(|(_, one)| is_meant(&one.rule.name, &one.rule.actions))
            .find_map(|(idx, one)| {
                let subject = call.facts.subject(one.rule.key, call.vendor)?;
                let cell = self.state.subjects.get(subject)?.known_cell(idx)?;
                cell.incident.as_ref().map(|incident| incident.id)
            })
    }
}
