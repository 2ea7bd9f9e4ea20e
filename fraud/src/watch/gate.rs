//! The rules that need no history, asked at the INVITE itself.
//!
//! In: the attempt of a call, before anything is known of it. Out: the rule that refuses it. The same attempt comes to the watch as an
//! event, which counts it and tells people: the gate only keeps the call from leaving.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{AccountId, Attempt};

use super::facts::known_facts;
use super::snapshot::{Compiled, WatchRules, WatchSnapshot};
use crate::rule::{Action, Rule};

/// What is asked at each INVITE, with the provisioning data of one revision.
#[derive(Debug)]
pub struct Gate {
    rules: Arc<WatchRules>,
    snapshot: Arc<WatchSnapshot>,
}

impl Gate {
    /// `None` where no rule refuses anything.
    pub fn new(rules: Arc<WatchRules>, snapshot: Arc<WatchSnapshot>) -> Option<Self> {
        rules.refuses_any().then(|| Self { rules, snapshot })
    }

    /// The rule that refuses a call; `leg` is above 0 for a forward, which `payer` pays for.
    pub fn refuses(&self, payer: AccountId, leg: u16, at: DateTime<Utc>, attempt: &Attempt) -> Option<&Rule> {
        let account = self.snapshot.account(payer);
        let refusing = |compiled: &&Compiled| compiled.rule.actions.contains(&Action::Refuse);
        let asks_price = |compiled: &Compiled| compiled.rule.filter.rate_min.is_some();
        let rate = if self.rules.rules.iter().filter(refusing).any(asks_price) {
            self.snapshot.price_of(account, attempt, at).rate_per_minute()
        } else {
            0
        };
        let facts = known_facts(&self.rules, &self.snapshot, (payer, leg, at), attempt, account, rate);
        let is_excepted = |compiled: &Compiled| {
            let names = &compiled.rule.except.accounts;
            account.is_some_and(|account| names.contains(&account.handle))
        };
        let fires = |compiled: &&Compiled| facts.passes(compiled) && !is_excepted(compiled);
        self.rules.rules.iter().filter(refusing).find(fires).map(|compiled| &compiled.rule)
    }
}
