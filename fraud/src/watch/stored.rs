//! Stored calls, as the watch sees them again: without a switch, a log, or names that are texts.

use chrono::{DateTime, Utc};
use model::{AccountId, CdrId, Effects, SightingStep, TenantId, TrunkId};

use super::facts::{self, Asking};
use super::price_list::CallPrice;
use super::state::OpenCall;
use super::{About, Named, Watch};

/// A moment of a stored call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    pub(crate) at: DateTime<Utc>,
    pub(crate) tenant: TenantId,
    /// Of the call's name; its legs have the same.
    pub(crate) call: u64,
    pub(crate) cdr: CdrId,
}

impl Past {
    fn about(&self) -> About<'_> {
        About { at: self.at, tenant: self.tenant, call: Some(Named::Stored(self.call)), cdr: self.cdr }
    }
}

impl Watch {
    /// An attempt of a stored call; `None` where no rule looks at it, and nothing more need be told.
    pub(crate) fn stored_begins(
        &mut self,
        past: &Past,
        payer: AccountId,
        leg: u16,
        asking: &Asking,
        effects: &mut Effects,
    ) -> Option<OpenCall> {
        let mut work = self.work();
        work.state.move_clock(past.at);
        let asks = work.rules.asks;
        let account = work.snapshot.account(payer);
        let whose = (payer, leg, past.at);
        let mut facts = facts::known(work.rules, work.snapshot, whose, asking, account, work.zones);
        if let Some(account) = account.filter(|_| asks.memory || asks.usual) {
            work.remember(&mut facts, past.at, account);
        }
        let is_looked_at = work.rules.rules.iter().any(|one| facts.passes_but_price(one));
        let mut price = CallPrice::default();
        if is_looked_at || asks.usual {
            price = work.snapshot.price_of(account, asking, past.at, work.zones);
            facts.rate = price.rate_per_minute();
        }
        let is_watched = is_looked_at && work.rules.rules.iter().any(|one| facts.passes(one));
        if !asks.usual && !is_watched {
            return None;
        }
        let mut call = OpenCall {
            node: String::new(),
            boot: 0,
            facts,
            leg,
            began: past.at,
            heard: past.at,
            is_answered: false,
            price,
            cost: 0,
            told: 0,
            vendor: None,
            spared: work.snapshot.spared(work.rules, payer, past.at),
        };
        if asks.usual {
            work.usual(&call, 0, 1, past.at);
        }
        work.began(&mut call, &past.about(), effects);
        Some(call)
    }

    /// A trunk carried it on.
    pub(crate) fn stored_carried(
        &mut self,
        call: &mut OpenCall,
        vendor: TrunkId,
        past: &Past,
        effects: &mut Effects,
    ) {
        call.vendor = Some(vendor);
        self.work().share(call, |_| SightingStep::Carried, &past.about(), effects);
    }

    pub(crate) fn stored_answered(&mut self, call: &mut OpenCall, past: &Past, effects: &mut Effects) {
        let mut work = self.work();
        work.state.move_clock(past.at);
        work.answered(call, &past.about(), effects);
    }

    /// It has been up for so many seconds.
    pub(crate) fn stored_alive(
        &mut self,
        call: &mut OpenCall,
        seconds: u64,
        past: &Past,
        effects: &mut Effects,
    ) {
        let mut work = self.work();
        work.state.move_clock(past.at);
        work.alive(call, seconds, &past.about(), effects);
    }

    pub(crate) fn stored_ended(
        &mut self,
        mut call: OpenCall,
        seconds: u64,
        past: &Past,
        effects: &mut Effects,
    ) {
        let mut work = self.work();
        work.state.move_clock(past.at);
        work.ended(&mut call, seconds, &past.about(), effects);
    }

    /// The rules ask what calls cost while they are up.
    pub(crate) fn asks_running_cost(&self) -> bool {
        self.rules.asks.running_cost || self.rules.asks.usual
    }
}
