//! The rules that need no history, asked at the INVITE itself.
//!
//! In: the attempt of a call, before anything is known of it. Out: the rule that refuses it. The same attempt comes to the watch as an
//! event, which counts it and tells people: the gate only keeps the call from leaving.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{AccountId, Attempt};

use super::facts::{Asking, known};
use super::snapshot::{Compiled, WatchRules, WatchSnapshot};
use super::zones::Zones;
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
        self.refuses_asking(payer, leg, at, &Asking::of(attempt))
    }

    pub(crate) fn refuses_asking(
        &self,
        payer: AccountId,
        leg: u16,
        at: DateTime<Utc>,
        asking: &Asking,
    ) -> Option<&Rule> {
        let mut zones = Zones::default();
        let account = self.snapshot.account(payer);
        let refusing = |compiled: &&Compiled| compiled.rule.actions.contains(&Action::Refuse);
        let asks_price = |compiled: &Compiled| compiled.rule.filter.rate_min.is_some();
        let mut facts = known(&self.rules, &self.snapshot, (payer, leg, at), asking, account, &mut zones);
        if self.rules.rules.iter().filter(refusing).any(asks_price) {
            facts.rate = self.snapshot.price_of(account, asking, at, &mut zones).rate_per_minute();
        }
        let fires = |compiled: &&Compiled| {
            facts.passes(compiled) && !self.snapshot.is_excepted(&compiled.rule, payer, at)
        };
        self.rules.rules.iter().filter(refusing).find(fires).map(|compiled| &compiled.rule)
    }
}
