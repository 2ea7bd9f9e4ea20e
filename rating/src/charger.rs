//! The charging service's mind: what each account has, and what its calls in progress may still use.
//!
//! In: balances as the ledger has them, postings as they are made, calls that begin, are answered, want to go on, end. Out: how long
//! each call may last. Money is reserved before it is used: what was granted to all calls of an account together is never more than it
//! has, so no order of their ends takes it past zero. What a call really costs is settled by the pipeline; until its postings are seen,
//! its price stays reserved. Prices are those of [`crate::price()`], the pipeline's own.
//!
//! Free time that several calls may use is counted once among them: for each is kept back what it costs if the others take all of it that they
//! can, so whichever order their records come in, none takes the account past its limit.
//!
//! No clock, no socket, no database: the shell hands in what happened.

mod cost;
mod sharing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, CdrId, LedgerAccount, Posting, PostingId, PostingReason, ProfileVersionId};

use crate::quick_hash::QuickMap;
use crate::snapshot::RatingSnapshot;
use crate::tariff::Tariff;

const MICROS: u64 = 1_000_000;

/// How long after its end a call may be missing in what is known to be used, at least: rating has not kept it yet. One that is not
/// posted may be missing for longer.
const UNCOUNTED: TimeDelta = TimeDelta::seconds(5);

/// Intervals begin with a quarter of an hour, in every zone: an answer in another one than the INVITE may be in another interval.
const INTERVALS_BEGIN_SECONDS: i64 = 900;

/// What an account has, millionths and seconds of free time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Funds {
    /// Own money and free cash, less what is owed.
    pub micros: i64,
    /// Free time.
    pub seconds: u64,
}

/// How long a call may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// So many seconds from its answer on.
    Seconds(u32),
    /// The account is held to nothing.
    Unlimited,
    /// There is not enough for its first moment, or no price for it.
    Refused(&'static str),
}

#[derive(Debug)]
struct Account {
    funds: Funds,
    /// Of all its calls: what they were granted and has not been posted.
    held: Funds,
}

#[derive(Debug)]
struct Hold {
    account: AccountId,
    tariff: Arc<Tariff>,
    source: String,
    destination: String,
    start: DateTime<Utc>,
    granted_seconds: u32,
    /// What it costs to last as long as it was granted, and after its end, what it cost.
    reserved: Funds,
    posted: Funds,
    /// Postings of what its record carries for others, which are no part of its price.
    of_others: Vec<PostingId>,
    ended_at: Option<DateTime<Utc>>,
    /// What it used is known, and posted.
    is_rated: bool,
    /// Of a price by usage: seconds used before it, at least and at most.
    used: (u64, u64),
    /// And those it was granted, or has used, as they are billed.
    billed: u64,
    /// How long it was granted, or has lasted.
    length_us: u64,
    /// What it costs if nobody answers; 0 once somebody has.
    attempt_micros: i64,
    /// Where several calls share free time: what it would use if there were enough for all, and what is counted on.
    wants: u64,
    counts_on: u64,
    /// It was reckoned as if others took the free time first: its posting says what it has cost.
    shares_time: bool,
}

impl Hold {
    /// What is kept back for it beside what was posted.
    fn outstanding(&self) -> Funds {
        Funds {
            micros: (self.reserved.micros - self.posted.micros).max(0),
            seconds: self.reserved.seconds.saturating_sub(self.posted.seconds),
        }
    }

    /// Whether it is over and may have cost nothing or less than is kept back, which no posting tells.
    fn may_be_unposted(&self) -> bool {
        let is_free = self.shares_time && self.outstanding().micros == 0;
        self.ended_at.is_some() && (self.tariff.interval_price.is_some() || is_free)
    }
}

/// Accounts, and their calls in progress.
#[derive(Debug)]
pub struct Charger {
    snapshot: Arc<RatingSnapshot>,
    quantum_seconds: u32,
    accounts: QuickMap<AccountId, Account>,
    holds: HashMap<CdrId, Hold>,
    /// By their account, where it may have free time.
    calls: QuickMap<AccountId, Vec<CdrId>>,
    /// Accounts some of whose calls were reckoned as if others took their free time first.
    sharing: HashSet<AccountId>,
    /// Of accounts that are priced by usage: calls that ended a moment ago or are not posted, and the seconds they are billed for.
    recent: HashMap<AccountId, Vec<(CdrId, DateTime<Utc>, u64)>>,
}

impl Charger {
    /// With what the ledger has. `quantum_seconds` is granted at a time, at least 1.
    pub fn new(
        snapshot: Arc<RatingSnapshot>,
        quantum_seconds: u32,
        funds: impl IntoIterator<Item = (AccountId, Funds)>,
    ) -> Self {
        let none = Funds::default();
        let accounts = funds.into_iter().map(|(id, funds)| (id, Account { funds, held: none })).collect();
        Self {
            snapshot,
            quantum_seconds: quantum_seconds.max(1),
            accounts,
            holds: HashMap::new(),
            calls: QuickMap::default(),
            sharing: HashSet::new(),
            recent: HashMap::new(),
        }
    }

    /// New provisioning data, for calls that begin from now on.
    pub fn set_snapshot(&mut self, snapshot: Arc<RatingSnapshot>) {
        self.snapshot = snapshot;
    }

    /// The provisioning data in force.
    pub fn snapshot(&self) -> &RatingSnapshot {
        &self.snapshot
    }

    /// What an account has, and what of it is kept back for its calls.
    pub fn funds(&self, account: AccountId) -> (Funds, Funds) {
        self.accounts.get(&account).map_or_else(Default::default, |account| (account.funds, account.held))
    }

    /// Calls whose price is not all posted yet.
    pub fn n_holds(&self) -> usize {
        self.holds.len()
    }

    /// The tariff version by which a call of this account would be priced, if its price depends on what was used in the interval:
    /// [`Self::begin_used`] wants to know.
    pub fn prices_by_usage(&self, account: AccountId, at: DateTime<Utc>) -> Option<ProfileVersionId> {
        if !self.snapshot.directory().contracts.contains_key(&account) {
            return None;
        }
        let (tariff, _) = self.snapshot.tariff_of(account, at, "").ok()??;
        tariff.interval_price.as_ref().map(|_| tariff.version())
    }

    /// A call wants to begin at `at`.
    pub fn begin(
        &mut self,
        call: CdrId,
        account: AccountId,
        parties: (String, String),
        at: DateTime<Utc>,
    ) -> Verdict {
        self.begin_used(call, account, parties, at, 0)
    }

    /// As [`Self::begin`], when so many seconds were used in the interval under the tariff of [`Self::prices_by_usage`].
    pub fn begin_used(
        &mut self,
        call: CdrId,
        account: AccountId,
        (source, destination): (String, String),
        at: DateTime<Utc>,
        used_seconds: u64,
    ) -> Verdict {
        let Some(terms) = self.snapshot.directory().contracts.get(&account) else {
            return Verdict::Unlimited;
        };
        let has_package = !terms.package.is_empty();
        // Where the call comes from is not asked: a profile of one network alone prices the record, not the reservation.
        let Ok(Some((tariff, payer))) = self.snapshot.tariff_of(account, at, "") else {
            return Verdict::Refused("it has no tariff");
        };
        if tariff.profile().currency != payer.currency {
            return Verdict::Refused("its tariff is in another currency");
        }
        let tariff = Arc::clone(tariff);
        let may_have_time = has_package || tariff.grant().seconds > 0;
        let used = (used_seconds, used_seconds.saturating_add(self.uncounted(account, at)));
        let hold = Hold {
            account,
            tariff,
            source,
            destination,
            start: at,
            granted_seconds: 0,
            reserved: Funds::default(),
            posted: Funds::default(),
            of_others: Vec::new(),
            ended_at: None,
            is_rated: false,
            used,
            billed: 0,
            length_us: 0,
            attempt_micros: 0,
            wants: 0,
            counts_on: 0,
            shares_time: false,
        };
        let hold = Hold { attempt_micros: self.attempt_micros(&hold), ..hold };
        let none = Account { funds: Funds::default(), held: Funds::default() };
        let entry = self.accounts.entry(account).or_insert(none);
        let may_have_time = may_have_time || entry.funds.seconds > 0;
        if self.holds.insert(call, hold).is_none() && may_have_time {
            self.calls.entry(account).or_default().push(call);
        }
        match self.grant(call) {
            Some(Verdict::Seconds(0)) => {
                self.drop_hold(call);
                Verdict::Refused("its balance does not pay for the call")
            }
            Some(verdict) => verdict,
            None => {
                self.drop_hold(call);
                Verdict::Refused("there is no price for the call")
            }
        }
    }

    /// It was answered at `at`, which its price begins with. What was granted for another start is granted again.
    pub fn answered(&mut self, call: CdrId, at: DateTime<Utc>) -> Verdict {
        let Some(hold) = self.holds.get_mut(&call) else { return Verdict::Unlimited };
        // Another profile may have come into force while it rang.
        if let Ok(Some((tariff, _))) = self.snapshot.tariff_of(hold.account, at, "") {
            let is_other = tariff.version() != hold.tariff.version();
            let quarter = |at: DateTime<Utc>| at.timestamp().div_euclid(INTERVALS_BEGIN_SECONDS);
            if is_other || quarter(at) != quarter(hold.start) {
                // What was used before it may have been used at other prices, or in the interval before.
                hold.used.0 = 0;
            }
            hold.tariff = Arc::clone(tariff);
        }
        hold.start = at;
        hold.granted_seconds = 0;
        hold.attempt_micros = 0;
        (hold.length_us, hold.wants, hold.counts_on) = (0, 0, 0);
        let freed = std::mem::take(&mut hold.reserved);
        let account = hold.account;
        self.release(account, freed);
        // The answer is here already: it may cost what its first moment costs.
        self.grant(call).unwrap_or(Verdict::Seconds(0))
    }

    /// What was granted is nearly used up. The same as before: there is no more.
    pub fn extend(&mut self, call: CdrId) -> Verdict {
        if !self.holds.contains_key(&call) {
            return Verdict::Unlimited;
        }
        self.grant(call).unwrap_or(Verdict::Seconds(0))
    }

    /// It is over after `answered_us`: its price stays reserved until it is posted, the rest is free again.
    pub fn end(&mut self, call: CdrId, answered_us: u64, now: DateTime<Utc>) {
        let Some(hold) = self.holds.get(&call) else { return };
        let account = hold.account;
        let before = hold.outstanding();
        // What it was granted cannot be less than what it cost.
        let cost = match answered_us {
            // Nobody answered: that may have its price too.
            0 => Some(Funds { micros: hold.attempt_micros, seconds: 0 }),
            _ => self.cost(hold, answered_us, self.free_seconds(account) + hold.reserved.seconds),
        };
        let billed = if answered_us == 0 { 0 } else { self.billed(hold, answered_us) };
        if billed > 0 {
            self.recent.entry(account).or_default().push((call, now, billed));
            // It may count for those that are still up, or have been counted with those before them.
            for (other, hold) in &mut self.holds {
                if *other != call && hold.account == account {
                    hold.used.1 = hold.used.1.saturating_add(billed);
                }
            }
        }
        if let Some(hold) = self.holds.get_mut(&call) {
            hold.billed = 0;
            hold.reserved = cost.unwrap_or(hold.reserved);
            hold.ended_at = Some(now);
            hold.length_us = answered_us;
            if answered_us == 0 {
                (hold.wants, hold.counts_on) = (0, 0);
            } else {
                hold.attempt_micros = 0;
            }
            let after = hold.outstanding();
            let is_shared = hold.shares_time && answered_us > 0;
            self.release(account, before);
            self.reserve(account, after);
            if is_shared {
                self.share_out(account, call);
                // One that uses no free time is known to cost what it costs.
                let is_done = self.holds.get(&call).is_some_and(|hold| {
                    hold.wants == 0 && hold.outstanding() == Funds::default() && billed == 0
                });
                if is_done {
                    self.drop_hold(call);
                }
            } else if after == Funds::default() && billed == 0 {
                // One that is priced by usage stays even if it costs nothing: what it used is not known to be counted yet.
                self.drop_hold(call);
            }
        }
    }

    /// It is over and was never sent on its way: nothing is owed for it.
    pub fn withdraw(&mut self, call: CdrId) {
        if let Some(hold) = self.drop_hold(call) {
            self.release(hold.account, hold.outstanding());
        }
    }

    /// A posting was made. Returns the account whose funds it changed, and how they were before.
    pub fn posted(&mut self, posting: &Posting) -> Option<(AccountId, Funds)> {
        let change = change_by(posting)?;
        let account = posting.account;
        let entry = self
            .accounts
            .entry(account)
            .or_insert(Account { funds: Funds::default(), held: Funds::default() });
        let before = entry.funds;
        entry.funds.micros = entry.funds.micros.saturating_add(change.0);
        entry.funds.seconds = entry.funds.seconds.saturating_add_signed(change.1);
        if let Some(call) = posting.cdr
            && self.holds.get(&call).is_some_and(|hold| hold.account == account)
        {
            self.posted_for(call, posting, change);
        }
        Some((account, before))
    }

    /// As [`Self::posted`], of a call that something is kept back for.
    fn posted_for(&mut self, call: CdrId, posting: &Posting, (micros, seconds): (i64, i64)) {
        let Some(hold) = self.holds.get_mut(&call) else { return };
        let of_others = |reversed| hold.of_others.contains(&reversed);
        if posting.reason == PostingReason::OutOfOrder || posting.reverses.is_some_and(of_others) {
            if posting.reverses.is_none() {
                hold.of_others.push(posting.id);
            }
            return;
        }
        let kept_before = hold.outstanding();
        hold.posted.micros = hold.posted.micros.saturating_sub(micros);
        hold.posted.seconds = hold.posted.seconds.saturating_add_signed(seconds.saturating_neg());
        let (account, kept, has_ended) = (hold.account, hold.outstanding(), hold.ended_at.is_some());
        let is_price = posting.reverses.is_none();
        let is_over = has_ended && (kept == Funds::default() || is_price && self.is_settled(call));
        self.release(account, kept_before);
        if is_over {
            self.drop_hold(call);
        } else {
            self.reserve(account, kept);
        }
    }

    /// Whether what was posted says what a call costs that had the most kept back that it might: one priced by usage, or with shared free time
    /// one for which what was posted pays all of its length, by the free time that was posted. A record of a call still up does not.
    fn is_settled(&self, call: CdrId) -> bool {
        let Some(hold) = self.holds.get(&call) else { return false };
        let is_paid = || {
            let cost = self.cost(hold, hold.length_us, hold.posted.seconds);
            // A credit is reckoned as nothing.
            cost.is_some_and(|cost| cost.micros <= hold.posted.micros.max(0))
        };
        hold.tariff.interval_price.is_some()
            || hold.shares_time && hold.wants > 0 && is_paid()
            || self.is_rounded_otherwise(hold)
    }

    /// Forgets calls that ended before `before` and were posted for less than was reckoned, or never: priced by another tariff, or
    /// suspended. Returns which.
    pub fn forget(&mut self, before: DateTime<Utc>) -> Vec<CdrId> {
        self.let_go(|hold| hold.ended_at.is_some_and(|ended| ended < before))
    }

    /// Rating has priced the whole call, and all that it posted for it was [`Self::posted`]: what it used is known. Anything still kept
    /// back is let go of by [`Self::forget_rated`].
    pub fn rated(&mut self, call: CdrId) {
        if let Some(hold) = self.holds.get_mut(&call) {
            hold.is_rated = true;
        }
    }

    /// Whether something is kept back for a call that is not [`Self::rated`].
    pub fn awaits(&self, call: CdrId) -> bool {
        self.holds.get(&call).is_some_and(|hold| !hold.is_rated)
    }

    /// Accounts of calls that are over and that [`Self::forget_rated`] would forget if they were [`Self::rated`]; one as often as it has such calls.
    pub fn awaited_accounts(&self) -> impl Iterator<Item = AccountId> + '_ {
        let awaited = self.holds.values().filter(|hold| !hold.is_rated && hold.may_be_unposted());
        awaited.map(|hold| hold.account)
    }

    /// Forgets calls that are over and rated where no posting need say so: those priced by usage, for which the most that they might have cost was
    /// kept back, and those for which nothing but shared free time is. Before they are rated, others would count on what they have used.
    pub fn forget_rated(&mut self) {
        self.let_go(|hold| hold.is_rated && hold.may_be_unposted());
    }

    fn let_go(&mut self, is_due: impl Fn(&Hold) -> bool) -> Vec<CdrId> {
        let gone: Vec<CdrId> =
            self.holds.iter().filter(|(_, hold)| is_due(hold)).map(|(call, _)| *call).collect();
        for call in &gone {
            if let Some(hold) = self.drop_hold(*call) {
                self.release(hold.account, hold.outstanding());
            }
        }
        gone
    }

    /// Grants another quantum, or as much of it as there is. `None`: it has no price.
    fn grant(&mut self, call: CdrId) -> Option<Verdict> {
        let hold = self.holds.get(&call)?;
        let account = hold.account;
        let entry = self.accounts.get(&account)?;
        let limit = match self.snapshot.directory().contracts.get(&account) {
            Some(terms) => match terms.credit_limit {
                Some(limit) => model::to_micros(limit).unwrap_or(0),
                None if hold.tariff.profile().prepaid => 0,
                // Postpaid without a limit.
                None => i64::MAX,
            },
            None => i64::MAX,
        };
        if limit != i64::MAX && self.shares_time(account) {
            return self.grant_share(call, account, limit);
        }
        let own = hold.outstanding();
        // What it holds already is its own to use.
        let at_hand = entry.funds.micros.saturating_add(limit).saturating_sub(entry.held.micros - own.micros);
        let at_hand = at_hand.saturating_add(hold.posted.micros);
        let seconds = self.free_seconds(account) + own.seconds + hold.posted.seconds;
        let fits = |total: u32| -> Option<Option<Funds>> {
            let cost = self.cost_at_most(hold, u64::from(total) * MICROS, seconds)?;
            Some((cost.micros <= at_hand).then_some(cost))
        };
        let wanted = hold.granted_seconds.saturating_add(self.quantum_seconds);
        let (granted, cost) = match fits(wanted)? {
            Some(cost) => (wanted, cost),
            None => {
                // The longest that fits: a longer call never costs less, but for credits, which are granted second by second.
                let (mut fitting, mut not) = ((hold.granted_seconds, hold.reserved), wanted);
                while not - fitting.0 > 1 {
                    let middle = fitting.0 + (not - fitting.0) / 2;
                    match fits(middle)? {
                        Some(cost) => fitting = (middle, cost),
                        None => not = middle,
                    }
                }
                fitting
            }
        };
        let billed = self.billed(hold, u64::from(granted) * MICROS);
        let hold = self.holds.get_mut(&call)?;
        hold.granted_seconds = granted;
        hold.length_us = u64::from(granted) * MICROS;
        // Alone, it has all the free time that is left.
        hold.shares_time = false;
        hold.billed = billed;
        hold.reserved = cost;
        let kept = hold.outstanding();
        self.release(account, own);
        self.reserve(account, kept);
        Some(Verdict::Seconds(granted))
    }

    fn drop_hold(&mut self, call: CdrId) -> Option<Hold> {
        let hold = self.holds.remove(&call)?;
        if let Some(calls) = self.calls.get_mut(&hold.account) {
            calls.retain(|there| *there != call);
            if calls.is_empty() {
                self.calls.remove(&hold.account);
                self.sharing.remove(&hold.account);
            }
        }
        Some(hold)
    }

    /// Seconds of calls of an account that ended too short a while ago to be counted for sure, or are not posted.
    fn uncounted(&mut self, account: AccountId, now: DateTime<Utc>) -> u64 {
        let Some(recent) = self.recent.get_mut(&account) else { return 0 };
        let holds = &self.holds;
        recent.retain(|(call, ended_at, _)| {
            now.signed_duration_since(*ended_at) < UNCOUNTED || holds.contains_key(call)
        });
        let seconds = recent.iter().map(|(_, _, billed)| *billed).sum();
        if recent.is_empty() {
            self.recent.remove(&account);
        }
        seconds
    }

    /// Free time that no call holds.
    fn free_seconds(&self, account: AccountId) -> u64 {
        let entry = self.accounts.get(&account);
        entry.map_or(0, |entry| entry.funds.seconds.saturating_sub(entry.held.seconds))
    }

    fn reserve(&mut self, account: AccountId, funds: Funds) {
        if let Some(entry) = self.accounts.get_mut(&account) {
            entry.held.micros = entry.held.micros.saturating_add(funds.micros);
            entry.held.seconds = entry.held.seconds.saturating_add(funds.seconds);
        }
    }

    fn release(&mut self, account: AccountId, funds: Funds) {
        if let Some(entry) = self.accounts.get_mut(&account) {
            entry.held.micros = entry.held.micros.saturating_sub(funds.micros);
            entry.held.seconds = entry.held.seconds.saturating_sub(funds.seconds);
        }
    }
}

/// By how much a posting makes its account's funds grow: millionths and seconds. `None`: it does not concern them.
fn change_by(posting: &Posting) -> Option<(i64, i64)> {
    let account = posting.account;
    let is_money = |side: LedgerAccount| {
        side == LedgerAccount::Cash(account)
            || side == LedgerAccount::FreeCash(account)
            || side == LedgerAccount::Receivable(account)
    };
    let amount = model::to_micros(posting.amount.amount).ok()?;
    let (mut micros, mut seconds) = (0i64, 0i64);
    for (side, sign) in [(posting.debit, -1), (posting.credit, 1)] {
        if is_money(side) {
            micros = micros.checked_add(amount.checked_mul(sign)?)?;
        } else if side == LedgerAccount::FreeTime(account) {
            seconds = seconds.checked_add((amount / model::MICROS_PER_UNIT).checked_mul(sign)?)?;
        }
    }
    (micros != 0 || seconds != 0).then_some((micros, seconds))
}
