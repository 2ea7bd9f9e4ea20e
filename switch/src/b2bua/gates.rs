//! May this caller make this call? The gates of switch-reference, section 3, steps 4 to 9, in their order.
//!
//! In: a caller whose numbers are known. Out: what the call will hold of limits, or a refusal that names what refused. An emergency
//! call passes every gate and holds nothing.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use model::{AccountId, Attempt, Cause, E164, LockLevel, TenantId, TrunkId};

use super::Switch;
use super::identify::{Caller, CallerRules};
use super::limits::Holder;
use super::party_rules::SubscriberRules;
use crate::message::{HeaderName, Message, text};

/// Passes of one pair of numbers under way at once, each with fewer hops left than the one before: then it is a loop.
const PASSES_MAX: usize = 5;

/// A refusal of our own.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    pub(super) code: u16,
    pub(super) phrase: &'static str,
    pub(super) object: String,
}

impl Refusal {
    pub(super) fn new(cause: Cause, code: u16, phrase: &'static str, object: impl Into<String>) -> Self {
        Self { cause, code, phrase, object: object.into() }
    }

    pub(super) fn locked_out(account: AccountId, level: LockLevel) -> Self {
        let object = format!("account {account} lock {}", level.number());
        Self::new(Cause::LockedOut, 403, "Caller locked", object)
    }
}

/// Calls being set up, by calling and called number: the Max-Forwards they came with.
///
/// A call that runs in a circle comes by again with fewer hops left while its earlier passes still wait. Many phones that call one
/// number at once all have the same hops left, and are no loop.
#[derive(Debug, Default)]
pub(super) struct Loops {
    under_way: HashMap<u64, Vec<u64>>,
}

impl Loops {
    fn key(caller: &str, callee: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (caller, callee).hash(&mut hasher);
        hasher.finish()
    }

    /// Counts one pass. `None`: the call has come by too often.
    pub(super) fn enter(&mut self, caller: &str, callee: &str, hops: u64) -> Option<u64> {
        let key = Self::key(caller, callee);
        let passes = self.under_way.entry(key).or_default();
        let mut different = passes.clone();
        different.push(hops);
        different.sort_unstable();
        different.dedup();
        if different.len() > PASSES_MAX {
            return None;
        }
        passes.push(hops);
        Some(key)
    }

    /// One pass is answered or over.
    pub(super) fn leave(&mut self, key: u64) {
        if let Some(passes) = self.under_way.get_mut(&key) {
            passes.pop();
            if passes.is_empty() {
                self.under_way.remove(&key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

impl Switch {
    /// Steps 4 to 9. Out: what the call will hold.
    pub(super) fn may_call(
        &mut self,
        caller: &Caller,
        is_on_net: bool,
        message: &Message<'_>,
    ) -> Result<Vec<Holder>, Refusal> {
        let payer = caller.party.account();
        if caller.is_emergency {
            return Ok(Vec::new());
        }
        self.account_may_call(payer, is_on_net)?;
        self.not_barred(caller.tenant, payer, caller.callee)?;
        if let Some(refusal) = &caller.screened {
            return Err(refusal.clone());
        }
        if let Some(refusal) = &caller.cli_refusal {
            return Err(refusal.clone());
        }
        let agent = message.value(HeaderName::UserAgent).map(text).unwrap_or_default();
        let refused = self.lookup.tenant_rules(caller.tenant).and_then(|rules| {
            rules.user_agents_refused.as_ref()?.find(&agent).map(|pattern| format!("user agent {pattern}"))
        });
        if let Some(object) = refused {
            return Err(Refusal::new(Cause::UserAgentRefused, 403, "Forbidden", object));
        }
        if let CallerRules::Subscriber(rules) = &caller.rules {
            if !rules.allows_source(caller.source) && !caller.is_source_known {
                let object = format!("{} from {}", caller.holder, caller.source.address.ip());
                return Err(Refusal::new(Cause::SourceRefused, 403, "Unauthorized IP detected", object));
            }
            if let Some(number) = caller.callee {
                self.may_dial(payer, caller.holder, rules, number)?;
            }
        }
        self.has_room(caller)
    }

    /// Whether the account is in use and not locked for such a call.
    pub(super) fn account_may_call(&self, payer: AccountId, is_on_net: bool) -> Result<(), Refusal> {
        if !self.lookup.is_active(payer) {
            let object = format!("account {payer} is not active");
            return Err(Refusal::new(Cause::LockedOut, 403, "Caller locked", object));
        }
        let level = self.lookup.lock_level(payer, self.now.wall);
        let is_locked = if is_on_net { level.blocks_outgoing_on_net() } else { level.blocks_outgoing() };
        if is_locked { Err(Refusal::locked_out(payer, level)) } else { Ok(()) }
    }

    /// What the screen says of a call.
    pub(super) fn screened(&self, payer: AccountId, leg: u16, attempt: &Attempt) -> Option<Refusal> {
        let screen = self.screen.as_ref()?;
        let object = screen.refuses(payer, leg, self.now.wall, attempt)?;
        Some(Refusal::new(Cause::LockedOut, 403, "Forbidden", object))
    }

    /// Whether the number is in no range that is barred for the account; one that cannot be read is in those of all numbers alone.
    pub(super) fn not_barred(
        &mut self,
        tenant: TenantId,
        payer: AccountId,
        number: Option<E164>,
    ) -> Result<(), Refusal> {
        let digits = number.map(|number| number.to_string()).unwrap_or_default();
        let Err(barring) = self.barrings.check(tenant, payer, &digits, self.now) else { return Ok(()) };
        let whose = match barring.account {
            AccountId::NOBODY => "everybody".to_owned(),
            account => format!("account {account}"),
        };
        let range = if barring.range.is_empty() { "all numbers" } else { &barring.range };
        Err(match barring.calls_per_minute {
            0 => {
                let object = format!("{range} barred for {whose}");
                Refusal::new(Cause::LockedOut, 403, "Destination barred", object)
            }
            n_calls => {
                let object = format!("{range} barred for {whose} beyond {n_calls} calls a minute");
                Refusal::new(Cause::RateLimited, 480, "Temporarily Unavailable", object)
            }
        })
    }

    /// Block lists and NCOS levels, those of the operator first.
    pub(super) fn may_dial(
        &self,
        payer: AccountId,
        holder: Holder,
        rules: &SubscriberRules,
        number: E164,
    ) -> Result<(), Refusal> {
        let number = number.to_string();
        let account = self.lookup.account_rules(payer);
        let lists = [
            (format!("account {payer}"), account.and_then(|account| account.block_out.as_ref())),
            (holder.to_string(), rules.block_out.as_ref()),
        ];
        for (whose, list) in lists {
            if let Some(Err(why)) = list.map(|list| list.check(&number)) {
                let object = format!("{whose} block list: {why}");
                return Err(Refusal::new(Cause::BlockedOut, 403, "Blocked by Caller", object));
            }
        }
        let levels = [
            (format!("account {payer}"), account.and_then(|account| account.ncos.as_ref())),
            (holder.to_string(), rules.ncos.as_ref()),
        ];
        for (whose, level) in levels {
            if let Some((name, Err(why))) = level.map(|(name, level)| (name, level.check(&number))) {
                let object = format!("{whose} NCOS {name}: {why}");
                return Err(Refusal::new(Cause::Ncos, 403, "Blocked by NCOS level", object));
            }
        }
        Ok(())
    }

    /// Calls a second and calls at once, of everybody on the caller's side.
    fn has_room(&mut self, caller: &Caller) -> Result<Vec<Holder>, Refusal> {
        let payer = caller.party.account();
        let account = Holder::Account(payer);
        let rates = [
            (account, self.lookup.account_rules(payer).and_then(|rules| rules.rate)),
            (caller.holder, caller.rules.rate()),
        ];
        let now = self.now.mono;
        for (holder, rate) in rates {
            if let Some(rate) = rate
                && !self.limits.take(holder, rate, now)
            {
                let object = format!("{holder} {} calls a second", rate.count);
                // A trunk knows what to do with Retry-After; a phone would only show the number 503.
                return Err(match caller.holder {
                    Holder::Trunk(_) => Refusal::new(Cause::RateLimited, 503, "Service Unavailable", object),
                    Holder::Subscriber(_) | Holder::Account(_) | Holder::Out(_) => {
                        Refusal::new(Cause::RateLimited, 480, "Temporarily Unavailable", object)
                    }
                });
            }
        }
        let mut holders = vec![caller.holder, account];
        let account_row = self.lookup.account(payer);
        let reseller = account_row.and_then(|account| account.reseller);
        let account_max = account_row.and_then(|account| account.calls_max);
        let mut checked = self
            .limits
            .check(caller.holder, caller.calls_max)
            .and_then(|()| self.limits.check(account, account_max));
        if let Some(reseller) = reseller {
            let reseller_max = self.lookup.account(reseller).and_then(|account| account.calls_max);
            let above = Holder::Account(reseller);
            checked = checked.and_then(|()| self.limits.check(above, reseller_max));
            holders.push(above);
        }
        let Err(object) = checked else { return Ok(holders) };
        let cause = match caller.holder {
            Holder::Trunk(_) => Cause::MaxCallsPeer,
            Holder::Subscriber(_) | Holder::Account(_) | Holder::Out(_) => Cause::MaxCallsOut,
        };
        Err(Refusal::new(cause, 403, "Maximum parallel calls exceeded", object))
    }

    /// Whether a trunk has room on the way out, calls at once and calls a second.
    ///
    /// # Errors
    ///
    /// What is full.
    pub(super) fn check_trunk(&self, trunk: TrunkId) -> Result<Holder, String> {
        let holder = Holder::Trunk(trunk);
        let calls_max = self.lookup.trunk(trunk).and_then(|trunk| trunk.calls_max);
        self.limits.check(holder, calls_max)?;
        match self.lookup.trunk_rules(trunk).rate_out {
            Some(rate) if !self.limits.has_token(Holder::Out(trunk), rate, self.now.mono) => {
                Err(format!("{holder} {} calls a second", rate.count))
            }
            Some(_) | None => Ok(holder),
        }
    }

    /// Longest this call may last: the shortest of what the switch, the account and the caller allow.
    pub(super) fn seconds_max(&self, caller: &Caller) -> u32 {
        let account =
            self.lookup.account_rules(caller.party.account()).and_then(|rules| rules.call_seconds_max);
        let own = caller.rules.call_seconds_max();
        [account, own].into_iter().flatten().fold(self.config.call_seconds_max, u32::min).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_phones_calling_one_number_are_no_loop_but_a_circle_is() {
        let mut loops = Loops::default();
        let keys: Vec<u64> = (0..50).map(|_| loops.enter("a", "b", 70).unwrap()).collect();
        for hops in 66..70 {
            assert!(loops.enter("a", "b", hops).is_some());
        }
        assert_eq!(loops.enter("a", "b", 65), None);
        assert!(loops.enter("a", "c", 65).is_some(), "another number is another matter");
        for _ in 0..54 {
            loops.leave(keys[0]);
        }
        assert!(loops.enter("a", "b", 65).is_some());
    }
}
