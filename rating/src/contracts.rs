//! The contract balances of one lane: opened, renewed, spent from, topped up.
//!
//! In: calls of accounts that have a contract, top-ups, ticks. Out: what a call took, and the postings of everything else that moved a
//! balance. How a balance reckons is in [`crate::balance`]; which rules are an account's is in the snapshot.

mod ordering;
mod paying;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{
    AccountId, Cdr, Charge, Effects, LedgerAccount, Party, Posting, PostingId, PostingReason, ProfileSwitch,
    StateChange, partition_of,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use self::paying::{bare_charge, pay_attempt, spend_by_fragment};
use self::view::{View, earned_by};
use crate::balance::{Contract, Moved, Movement, Outcome, Quick, Rules, Shift, Taken, Words};
use crate::error::RatingError;
use crate::fragments::{Part, cuts_of, joined};
use crate::in_order::{Again, Turns, is_known};
use crate::parties::PayingParty;
use crate::price::{CallToPrice, Priced};
use crate::quick_hash::QuickMap;
use crate::reference_loop::price_like_reference;
use crate::snapshot::RatingSnapshot;
use crate::tariff::Tariff;

pub(crate) use self::paying::price_by_interval;

const KEY: &str = "contract:";

/// Contracts opened or renewed by one tick of one lane: at the first of a month many are due at once, and calls must not wait for them.
const DUE_MAX: usize = 500;

/// One contract as it is kept: JSON, so that later versions can add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    contract: Contract,
    /// Postings made for it that no call caused: their ids are counted.
    n_moves: u64,
    /// Handle of the package whose rules it follows.
    package: String,
    /// What the package decided of the account's profiles and the provisioning data did not say when it was last looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    switches: Vec<ProfileSwitch>,
    /// The last that others had to carry out: what a late record sets off does not come before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_happening: Option<DateTime<Utc>>,
}

impl Kept {
    /// From its entry, if that is of the usual form ([`Quick`]).
    fn read_quickly(entry: &[u8], words: &mut Words) -> Option<Kept> {
        let mut entry = Quick::new(entry);
        entry.eat("{\"contract\":")?;
        let contract = entry.contract(words)?;
        entry.eat(",\"n_moves\":")?;
        let n_moves = entry.unsigned()?;
        entry.eat(",\"package\":")?;
        let package = String::from_utf8(entry.text()?.to_vec()).ok()?;
        entry.eat("}")?;
        let kept = Kept { contract, n_moves, package, switches: Vec::new(), last_happening: None };
        entry.is_at_end().then_some(kept)
    }
}

/// What a record is to be paid for.
#[derive(Debug)]
pub(crate) enum Asked<'a> {
    /// A call that was answered, and where the parties of it cut it, if the tariff has calls cut.
    Call(&'a [u64]),
    /// An attempt that nobody answered, and what it costs.
    Attempt(Box<Priced>),
}

/// What a call does to a contract, once it is clear that the call is priced.
#[derive(Debug)]
pub(crate) struct Spent {
    account: AccountId,
    kept: Kept,
    outcome: Outcome,
    /// To be given back if the record is replaced.
    pub(crate) taken: Taken,
    /// Where free time is given: to price it with more or less of it.
    pub(crate) again: Option<Again>,
    /// Starts of the intervals that it touches, if any of them gives free time.
    touched: Vec<DateTime<Utc>>,
    rules: Rules,
    end: DateTime<Utc>,
    /// Of what its payer owes, what it carries for calls out of order.
    pub(crate) out_of_order: Decimal,
    /// What it costs where its record has no charge of its own: nothing, but for what it carries.
    nothing: Option<Charge>,
}

/// Under which state entry of the rating stage a contract is kept.
pub fn contract_key(account: AccountId) -> String {
    format!("{KEY}{account}")
}

/// The contract in such an entry.
///
/// # Errors
///
/// A sentence saying why it cannot be read.
pub fn contract_of(entry: &[u8]) -> Result<Contract, String> {
    let kept: Kept =
        serde_json::from_slice(entry).map_err(|why| format!("a contract cannot be read: {why}"))?;
    Ok(kept.contract)
}

#[derive(Debug, Default)]
pub(crate) struct Contracts {
    kept: QuickMap<AccountId, Kept>,
    by_due: BTreeSet<(DateTime<Utc>, AccountId)>,
    /// Restored with own money in an open interval: when that expires depends on their rules, which a tick that knows them looks up.
    restored_open: Vec<AccountId>,
    /// Of the provisioning data by which that was last tried.
    open_revision: Option<i64>,
    dirty: BTreeSet<AccountId>,
    /// To be opened, or to follow another package, by a tick after the commit that knows of it: so a replay does the same.
    wanted: BTreeSet<AccountId>,
    is_wanted_committed: bool,
    seen_revision: Option<i64>,
    /// Of intervals that give free time.
    turns: Turns,
}

impl Contracts {
    /// Whether this account's calls are spent from a balance.
    pub(crate) fn has(snapshot: &RatingSnapshot, account: AccountId) -> bool {
        snapshot.directory().contracts.contains_key(&account)
    }

    /// What the package of an account has decided of its profiles.
    pub(crate) fn switches(&self, account: AccountId) -> &[ProfileSwitch] {
        self.kept.get(&account).map_or(&[], |kept| &kept.switches)
    }

    /// Prices a record with what the balance gives, and says what it would take. `replaced` is what the record before took.
    pub(crate) fn spend(
        &self,
        snapshot: &RatingSnapshot,
        party: PayingParty,
        (tariff, asked): (&Tariff, Asked<'_>),
        call: &CallToPrice<'_>,
        replaced: Option<&Taken>,
        end: DateTime<Utc>,
    ) -> Result<(Charge, Spent), RatingError> {
        let PayingParty { provider, direction, account } = party;
        let view = self.view(snapshot, account)?;
        let rules = view.rules(tariff);
        let grant_at = |at| view.grant(at);
        let mut outcome = Outcome::default();
        let mut kept = match self.kept.get(&account) {
            Some(kept) => kept.clone(),
            None => view.open(&rules, &mut outcome),
        };
        while !kept.contract.catch_up(end, &rules, &grant_at, &mut outcome) {}
        let is_call = matches!(asked, Asked::Call(_));
        if is_call {
            kept.contract.open_orders(call.start, end);
        }
        if let Some(taken) = replaced {
            // Of what it gives back, the calls' own postings are reversed by the stage.
            let mut given = Outcome::default();
            kept.contract.give_back(call.start, taken, &rules, &mut given);
            given.movements.retain(|movement| !is_of_call(movement.what));
            outcome.movements.append(&mut given.movements);
            outcome.happenings.append(&mut given.happenings);
        }
        let n_before = outcome.happenings.len();
        let mut again = None;
        // What was used before a price by usage is not known of an interval that is gone: there all of it counts in the first that is kept.
        let is_by_usage = tariff.interval_price.is_some() || !is_call;
        let is_lent = !tariff.compat && kept.contract.lend((call.start, end), replaced, is_by_usage);
        let touched = kept.contract.touched(call.start, end);
        let gives_time = is_call && touched.iter().any(|interval| interval.granted.seconds > 0);
        let (parts, mut taken) = match asked {
            Asked::Attempt(priced) => {
                let (part, taken) =
                    pay_attempt(*priced, call.start, &touched, &mut kept.contract, &rules, &mut outcome)?;
                (vec![part], taken)
            }
            Asked::Call(common) if tariff.compat => {
                let mut rows = kept.contract.reference_rows(call.start);
                let fragments = price_like_reference(tariff, call, &mut rows, cuts_of(tariff, common))?;
                let taken = kept.contract.keep_reference_rows(call.start, &rows, &rules, &mut outcome);
                (fragments.into_iter().map(Part::from).collect(), taken)
            }
            Asked::Call(common) => {
                let cuts = cuts_of(tariff, common);
                let (parts, taken, dues) = spend_by_fragment(
                    tariff,
                    call,
                    cuts,
                    &touched,
                    &mut kept.contract,
                    &rules,
                    &mut outcome,
                )?;
                if gives_time && cuts.is_none() && taken.usage.is_none() {
                    again = Again::of(account, tariff, call, &touched, &dues);
                }
                (parts, taken)
            }
        };
        if is_lent {
            kept.contract.take_back();
        }
        if gives_time && again.is_none() {
            // The reference's price, that of usage, and those of fragments depend on what is left when a record comes.
            touched.iter().for_each(|interval| kept.contract.lose_order(interval.stretch.start));
        }
        taken.shifts = replaced.map(|before| before.shifts.clone()).unwrap_or_default();
        let (priced, free_cash) = joined(call, parts)?;
        // What it sets off does not change its own price (billing-reference 5.9).
        outcome.happenings[n_before..].iter_mut().for_each(|happening| *happening.at_mut() = end);
        let mut charge = priced.into_charge(provider, direction, account);
        // Cost and free cash together are the price everywhere. A prepaid call costs all of it: its payment is in the ledger alone.
        if rules.prepaid {
            charge.fragments.iter_mut().for_each(|fragment| fragment.free_cash = Decimal::ZERO);
        } else {
            charge.free_cash = free_cash;
        }
        let out_of_order = Decimal::ZERO;
        let touched = if gives_time { touched } else { Vec::new() };
        let touched = touched.iter().map(|interval| interval.stretch.start).collect();
        let nothing = None;
        Ok((
            charge,
            Spent { account, kept, outcome, taken, again, touched, rules, end, out_of_order, nothing },
        ))
    }

    /// Of a record that is not paid from the balance, where the one before it was: a call that nobody answered after all. It takes nothing, and what
    /// was taken comes back. `None`: its payer has no contract any more.
    pub(crate) fn spend_nothing(
        &self,
        snapshot: &RatingSnapshot,
        cdr: &Cdr,
        before: &Taken,
    ) -> Option<Spent> {
        let account = cdr.payer;
        let view = self.view(snapshot, account).ok()?;
        let mut kept = self.kept.get(&account)?.clone();
        let found = snapshot.tariff_with(account, self.switches(account), cdr.start_at, &cdr.source.ip);
        let tariff = found.ok().flatten().map(|(tariff, _)| tariff);
        // It gives back what was taken also where it has no tariff any more.
        let rules = tariff.map_or_else(|| view.rules_at(cdr.start_at), |tariff| view.rules(tariff));
        let mut outcome = Outcome::default();
        kept.contract.give_back(cdr.start_at, before, &rules, &mut outcome);
        // Where the order is known, it decides what becomes of what it carried.
        let (shifts, gone): (Vec<Shift>, Vec<Shift>) =
            before.shifts.iter().partition(|shift| is_known(&kept.contract, shift.interval));
        kept.contract.drop_shifts(cdr.start_at, &gone, &mut outcome);
        // The calls' own postings are reversed by the stage.
        outcome.movements.retain(|movement| !is_of_call(movement.what));
        let currency = view.terms.account.currency;
        let nothing = match tariff {
            Some(tariff) => Charge { currency, ..snapshot.no_charge(tariff, cdr) },
            None => bare_charge(currency, account),
        };
        let nothing = Some(nothing);
        let taken = Taken { shifts, ..Taken::default() };
        let (again, touched, out_of_order) = (None, Vec::new(), Decimal::ZERO);
        let end = cdr.end_at();
        Some(Spent { account, kept, outcome, taken, again, touched, rules, end, out_of_order, nothing })
    }

    /// Makes it so. Returns the postings of the call itself, whose ids `next_id` gives; the others go out at once.
    pub(crate) fn commit(
        &mut self,
        snapshot: &RatingSnapshot,
        cdr: &Cdr,
        spent: Spent,
        mut next_id: impl FnMut() -> PostingId,
        effects: &mut Effects,
    ) -> Vec<Posting> {
        let Spent { account, mut kept, outcome, taken, rules, .. } = spent;
        let Ok(view) = self.view(snapshot, account) else { return Vec::new() };
        let (of_call, others): (Vec<Movement>, Vec<Movement>) =
            outcome.movements.into_iter().partition(|movement| is_of_call(movement.what));
        let others = Outcome { movements: others, happenings: outcome.happenings };
        view.emit(&mut kept, others, effects);
        self.keep(account, kept, &view);
        let earned = match &cdr.source.party {
            Party::Subscriber { reseller, .. } => earned_by(cdr.tenant, Some(*reseller)),
            Party::Trunk { .. } | Party::Unknown => LedgerAccount::Revenue(cdr.tenant),
        };
        let of_others = taken.shifts.iter().flat_map(|shift| {
            let cash = [(Moved::OrderFreeCash, shift.free_micros), (Moved::OrderOwn, shift.own_micros)];
            cash.map(|(what, micros)| Movement { at: cdr.start_at, what, amount: -micros })
        });
        let of_others = of_others.filter(|movement| movement.amount != 0);
        let postings = of_call.into_iter().chain(of_others).map(|movement| {
            let (counter, reason) = if movement.what == Moved::CallTime {
                (LedgerAccount::Grants(cdr.tenant), PostingReason::Call)
            } else if rules.prepaid {
                (LedgerAccount::Receivable(account), PostingReason::Settlement)
            } else if matches!(movement.what, Moved::OrderFreeCash | Moved::OrderOwn) {
                (earned, PostingReason::OutOfOrder)
            } else {
                (earned, PostingReason::Call)
            };
            let base = view.posting(next_id(), movement, counter, reason);
            Posting { at: cdr.start_at, cdr: Some(cdr.id), ..base }
        });
        postings.collect()
    }

    /// Money that came in, or was set right by hand: the desk's posting, and what follows from it.
    pub(crate) fn move_money(&mut self, snapshot: &RatingSnapshot, posting: &Posting, effects: &mut Effects) {
        let account = posting.account;
        let amount = model::to_micros(posting.amount.amount).unwrap_or(0);
        let is_ours = posting.credit == LedgerAccount::Cash(account);
        effects.append(model::Topic::Postings, account, model::Body::Posting(Box::new(posting.clone())));
        let Ok(view) = self.view(snapshot, account) else { return };
        if !is_ours || amount == 0 {
            return;
        }
        let rules = view.rules_at(posting.at);
        let grant_at = |at| view.grant(at);
        let mut outcome = Outcome::default();
        let mut kept = match self.kept.get(&account) {
            Some(kept) => kept.clone(),
            None => view.open(&rules, &mut outcome),
        };
        while !kept.contract.catch_up(posting.at, &rules, &grant_at, &mut outcome) {}
        if posting.reason == PostingReason::Adjustment {
            kept.contract.adjust(posting.at, amount, &rules, &mut outcome);
        } else {
            kept.contract.top_up(posting.at, amount, &rules, &rules, &grant_at, &mut outcome);
        }
        // The desk's posting is this movement.
        outcome.movements.retain(|movement| !matches!(movement.what, Moved::TopUp | Moved::Adjustment));
        view.emit(&mut kept, outcome, effects);
        self.keep(account, kept, &view);
    }

    /// Opens what is new in the lane, and renews what is due.
    pub(crate) fn tick(
        &mut self,
        snapshot: &Arc<RatingSnapshot>,
        lane: (u32, u32),
        now: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        self.enter_restored_open(snapshot);
        let mut left = DUE_MAX;
        if self.is_wanted_committed {
            while left > 0
                && let Some(account) = self.wanted.pop_first()
            {
                left -= 1;
                self.attend(snapshot, account, now, effects);
            }
        }
        while left > 0
            && let Some((due, account)) = self.by_due.first().copied()
            && due <= now
        {
            self.by_due.pop_first();
            if self.has_moved(due, account) {
                continue;
            }
            left -= 1;
            self.attend(snapshot, account, now, effects);
        }
        let directory = snapshot.directory();
        if self.seen_revision == Some(directory.revision) || !self.wanted.is_empty() {
            return;
        }
        self.seen_revision = Some(directory.revision);
        let (partition, n_partitions) = lane;
        let wanted = directory.contracts.iter().filter(|(account, terms)| {
            partition_of(**account, n_partitions) == partition
                && terms.created_at <= now
                && self.kept.get(account).is_none_or(|kept| kept.package != terms.package)
        });
        self.wanted = wanted.map(|(account, _)| *account).collect();
        self.is_wanted_committed = false;
    }

    /// Whether an interval that was to end then ends at another time, which is entered too. After a restart only that is known: what has moved must
    /// not count among those that are due, or the ticks would not put out again what they did before.
    fn has_moved(&self, due: DateTime<Utc>, account: AccountId) -> bool {
        let end = self.kept.get(&account).and_then(|kept| kept.contract.running().stretch.end);
        end.is_some_and(|end| end != due && self.by_due.contains(&(end, account)))
    }

    /// Enters when own money of restored open intervals expires. Changes none of them, so a start with very many accounts writes nothing.
    fn enter_restored_open(&mut self, snapshot: &RatingSnapshot) {
        let revision = Some(snapshot.directory().revision);
        if self.restored_open.is_empty() || self.open_revision == revision {
            return;
        }
        self.open_revision = revision;
        let mut due = Vec::new();
        for account in std::mem::take(&mut self.restored_open) {
            let Some(kept) = self.kept.get(&account) else { continue };
            let Ok(view) = self.view(snapshot, account) else {
                // The provisioning data does not have it, or not yet.
                self.restored_open.push(account);
                continue;
            };
            due.extend(view.due_at(kept).map(|at| (at, account)));
        }
        // In one go: one after the other they would be sorted in one after the other.
        self.by_due.append(&mut due.into_iter().collect());
    }

    /// Opens, renews and switches one contract, as it needs.
    fn attend(
        &mut self,
        snapshot: &RatingSnapshot,
        account: AccountId,
        now: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        let Ok(view) = self.view(snapshot, account) else { return };
        let rules = view.rules_at(now);
        let grant_at = |at| view.grant(at);
        let mut outcome = Outcome::default();
        let mut kept = match self.kept.get(&account) {
            Some(kept) => kept.clone(),
            None => view.open(&rules, &mut outcome),
        };
        while !kept.contract.catch_up(now, &rules, &grant_at, &mut outcome) {}
        if kept.package != view.terms.contract.package {
            kept.package.clone_from(&view.terms.contract.package);
            kept.contract.switch_package(now, &rules, &grant_at, &mut outcome);
        }
        view.emit(&mut kept, outcome, effects);
        self.keep(account, kept, &view);
    }

    fn view<'s>(&self, snapshot: &'s RatingSnapshot, account: AccountId) -> Result<View<'s>, RatingError> {
        View::of(snapshot, account, self.switches(account).to_vec())
    }

    fn keep(&mut self, account: AccountId, mut kept: Kept, view: &View<'_>) {
        // Switches are written in their order. So one that is known settles those before it, also what it took the place of.
        let known = kept.switches.iter().rposition(|switch| switch.is_in(&view.terms.account.profiles));
        if let Some(known) = known {
            kept.switches.drain(..=known);
        }
        if let Some(due) = view.due_at(&kept) {
            self.by_due.insert((due, account));
        }
        self.kept.insert(account, kept);
        self.dirty.insert(account);
    }

    pub(crate) fn take_changes(&mut self) -> Vec<StateChange> {
        self.is_wanted_committed = true;
        std::mem::take(&mut self.dirty)
            .into_iter()
            .filter_map(|account| {
                let kept = self.kept.get(&account)?;
                let value =
                    serde_json::to_vec(kept).expect("strings, numbers and lists always have a JSON form");
                Some(StateChange { key: contract_key(account), value: Some(value) })
            })
            .collect()
    }

    /// Takes the entries that are contracts, and hands back the others.
    pub(crate) fn restore(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut others = Vec::new();
        self.open_revision = None;
        let (mut due, mut words) = (Vec::new(), Words::default());
        self.kept.reserve(entries.len());
        for (key, value) in entries {
            let Some(account) = key.strip_prefix(KEY) else {
                others.push((key, value));
                continue;
            };
            let unreadable = |why: String| format!("rating state entry {key:?} cannot be read: {why}");
            let account = AccountId(account.parse().map_err(|_| unreadable("it names no account".into()))?);
            let kept = match Kept::read_quickly(&value, &mut words) {
                Some(kept) => kept,
                None => serde_json::from_slice(&value).map_err(|why| unreadable(why.to_string()))?,
            };
            if kept.contract.intervals.is_empty() {
                return Err(unreadable("it has no interval".to_owned()));
            }
            // What is due is found out when it is looked at; an end in the past is due at once.
            match kept.contract.running().stretch.end {
                Some(end) => due.push((end, account)),
                None if kept.contract.own_micros > 0 => self.restored_open.push(account),
                None => {}
            }
            self.kept.insert(account, kept);
        }
        // In one go: one after the other they would be sorted in one after the other.
        self.by_due.append(&mut due.into_iter().collect());
        Ok(others)
    }
}

const fn is_of_call(what: Moved) -> bool {
    matches!(what, Moved::CallFreeCash | Moved::CallOwn | Moved::CallTime)
}
