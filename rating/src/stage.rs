//! The rating stage: CDRs become rated calls and postings.
//!
//! In: records of [`Topic::Cdrs`]; a rated call among them is an order to price that call again, a posting is money that came in. Out: one rated call in the payer's lane, and one posting for each amount, in the lane of
//! the account it concerns. A call that cannot be priced is suspended alone. Outputs depend on the record, the directory in force
//! and what was posted for the same call before.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Body, Cdr, CdrId, Charge, Direction, Directory, Effects, LedgerAccount, Money, Party, Posting,
    PostingId, PostingReason, Provider, RatedCdr, Stage, StageInput, StateChange, Suspended, Topic,
};

use rust_decimal::Decimal;

use crate::balance::Taken;
use crate::contracts::{Asked, Contracts, Spent};
use crate::error::{RatingError, TariffError};
use crate::parties::is_of_payer;
use crate::posted::{Posted, PostedCalls};
use crate::price::price_attempt;
use crate::snapshot::RatingSnapshot;

/// Days after the end of a call that what was posted for it is remembered, if it was partial, suspended or corrected. Of others, and
/// later, it is worked out from their rated revisions.
pub const PARTIAL_KEPT_DAYS: i64 = 45;

/// Prices the calls of one lane.
#[derive(Debug, Default)]
pub struct RatingStage {
    snapshot: Arc<RatingSnapshot>,
    posted: PostedCalls,
    contracts: Contracts,
    /// Lanes in all; 0 in a stage that keeps no balances but those of calls.
    n_lanes: u32,
}

impl RatingStage {
    /// A stage without tariffs: every call is suspended until a directory is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Self::new`], for one of `n_lanes`: balances of accounts in its lane are opened and renewed by the ticks of the log.
    pub fn for_lanes(n_lanes: u32) -> Self {
        Self { n_lanes, ..Self::default() }
    }

    /// Compiles the tariffs of `directory` that are new, and prices the calls from here on by it.
    ///
    /// # Errors
    ///
    /// [`TariffError`] when one does not compile; the directory set before stays in force.
    pub fn set_directory(&mut self, directory: Arc<Directory>) -> Result<(), TariffError> {
        self.snapshot = Arc::new(RatingSnapshot::build(directory, Some(&self.snapshot))?);
        Ok(())
    }

    /// As [`Self::set_directory`], with a snapshot that all lanes of a process share.
    pub fn set_snapshot(&mut self, snapshot: Arc<RatingSnapshot>) {
        self.snapshot = snapshot;
    }

    fn apply_cdr(&mut self, cdr: &Cdr, effects: &mut Effects) {
        let known = self.posted.get(cdr.id);
        if let Some(known) = known
            && known.is_rated
            && known.revision == cdr.revision
        {
            // The same record again, resubmitted twice: it is priced already.
            return;
        }
        let is_known = known.is_some();
        match self.rate(cdr, known) {
            Ok((rated, spent)) => {
                let reversed = known.map(|known| known.postings.clone()).unwrap_or_default();
                self.post(rated, spent, &reversed, is_known, effects);
            }
            Err(error) => {
                // A successor of a suspended record has nothing to reverse, but must know that it was seen.
                let is_first = known.is_none() && cdr.revision == 0;
                effects.suspend(Suspended {
                    code: error.code().to_owned(),
                    message: error.to_string(),
                    retry: error.retry(),
                    account: cdr.payer,
                    cdr: Some(cdr.id),
                });
                if is_first {
                    let posted = Posted {
                        revision: cdr.revision,
                        is_rated: false,
                        ended_at: cdr.end_at(),
                        postings: Vec::new(),
                        taken: None,
                        again: None,
                    };
                    self.posted.keep(cdr.id, posted);
                }
            }
        }
    }

    /// Sends out a rated call with its postings, and remembers them where a later revision may come.
    fn post(
        &mut self,
        mut rated: RatedCdr,
        mut spent: Option<Spent>,
        reversed: &[Posting],
        is_known: bool,
        effects: &mut Effects,
    ) {
        let (cdr, revision, ended_at) = (rated.cdr.id, rated.cdr.revision, rated.cdr.end_at());
        let known = self.posted.get(cdr);
        let rooms = (&*self.snapshot, &self.posted);
        let before = known.and_then(|known| known.taken.as_ref());
        if spent.is_none()
            && let Some(before) = before
        {
            spent = self.contracts.spend_nothing(&self.snapshot, &rated.cdr, before);
        }
        if let Some(spent) = &mut spent {
            self.contracts.set_in_order(rooms, &mut rated, spent, known, effects);
        }
        let out_of_order = spent.as_ref().map_or(Decimal::ZERO, |spent| spent.out_of_order);
        let (reversals, mut postings) = postings(&rated, reversed, out_of_order);
        let taken = spent.as_ref().map(|spent| spent.taken.clone());
        let again = spent.as_mut().and_then(|spent| spent.again.take());
        if let Some(spent) = spent {
            let mut index = u32::try_from(reversals.len() + postings.len()).unwrap_or(u32::MAX);
            let next_id = || {
                let id = PostingId::derive(cdr, revision, index);
                index += 1;
                id
            };
            let of_balance = self.contracts.commit(&self.snapshot, &rated.cdr, spent, next_id, effects);
            postings.extend(of_balance);
        } else if let Some(known) = known {
            self.contracts.leave(cdr, known);
        }
        let is_kept = rated.cdr.partial || is_known || taken.is_some();
        effects.append(Topic::Rated, rated.cdr.payer, Body::Rated(Box::new(rated)));
        for posting in reversals.into_iter().chain(postings.iter().cloned()) {
            effects.append(Topic::Postings, posting.account, Body::Posting(Box::new(posting)));
        }
        if is_kept {
            self.posted.keep(cdr, Posted { revision, is_rated: true, ended_at, postings, taken, again });
        }
    }

    /// What each party owes, and what the payer's balance gives of it.
    fn charges(&self, cdr: &Cdr, replaced: Option<&Taken>) -> Result<(RatedCdr, Option<Spent>), RatingError> {
        let mut spent = None;
        let (snapshot, contracts) = (&self.snapshot, &self.contracts);
        let switched = |account| contracts.switches(account);
        let charges = snapshot.charges_with(cdr, &switched, &mut |party, tariff, call, cuts| {
            let is_payer = party.provider == Provider::Customer
                && party.direction == Direction::Out
                && party.account == cdr.payer;
            if !is_payer || !Contracts::has(snapshot, party.account) {
                return None;
            }
            let asked = match cdr.is_answered() {
                true => Asked::Call(cuts),
                false => match price_attempt(tariff, call).transpose()? {
                    Ok(priced) => Asked::Attempt(Box::new(priced)),
                    Err(why) => return Some(Err(why)),
                },
            };
            Some(contracts.spend(snapshot, party, (tariff, asked), call, replaced, cdr.end_at()).map(
                |(charge, what)| {
                    spent = Some(what);
                    charge
                },
            ))
        })?;
        Ok((RatedCdr { cdr: cdr.clone(), charges }, spent))
    }

    fn rate(&self, cdr: &Cdr, known: Option<&Posted>) -> Result<(RatedCdr, Option<Spent>), RatingError> {
        match known {
            None if cdr.revision > 0 => {
                return Err(RatingError::UnknownPredecessor { cdr: cdr.id, revision: cdr.revision });
            }
            Some(known) if known.revision > cdr.revision => {
                return Err(RatingError::Superseded {
                    cdr: cdr.id,
                    revision: cdr.revision,
                    known: known.revision,
                });
            }
            None | Some(_) => {}
        }
        self.charges(cdr, known.and_then(|known| known.taken.as_ref()))
    }

    /// Prices a call again, `previous` being what it was rated as: its next revision, which reverses what that one posted.
    fn apply_again(&mut self, previous: &RatedCdr, effects: &mut Effects) {
        let cdr = Cdr { revision: previous.cdr.revision + 1, ..previous.cdr.clone() };
        let outcome = self.posted_for(previous).and_then(|posted| {
            let taken = self.posted.get(cdr.id).and_then(|known| known.taken.as_ref());
            Ok((posted, self.charges(&cdr, taken)?))
        });
        match outcome {
            Ok((posted, (rated, spent))) => self.post(rated, spent, &posted, true, effects),
            Err(error) => effects.suspend(Suspended {
                code: error.code().to_owned(),
                message: error.to_string(),
                retry: error.retry(),
                account: cdr.payer,
                cdr: Some(cdr.id),
            }),
        }
    }

    /// What was posted for `previous`. Of a first revision that follows from it; of a later one it must be remembered.
    fn posted_for(&self, previous: &RatedCdr) -> Result<Vec<Posting>, RatingError> {
        let RatedCdr { cdr, .. } = previous;
        if cdr.partial {
            // Its final record will be the next revision.
            return Err(RatingError::StillPartial { cdr: cdr.id });
        }
        match self.posted.get(cdr.id) {
            Some(known) if known.revision > cdr.revision => {
                Err(RatingError::Superseded { cdr: cdr.id, revision: cdr.revision, known: known.revision })
            }
            Some(known) if known.is_rated && known.revision == cdr.revision => Ok(known.postings.clone()),
            // What a balance gave for it is not known any more.
            None if cdr.revision == 0
                && (!Contracts::has(&self.snapshot, cdr.payer) || is_without_balance(previous)) =>
            {
                Ok(postings(previous, &[], Decimal::ZERO).1)
            }
            Some(_) | None => {
                Err(RatingError::UnknownPredecessor { cdr: cdr.id, revision: cdr.revision + 1 })
            }
        }
    }

    /// Whether revision `revision` of a call follows on one that is not remembered.
    fn is_gap(&self, cdr: CdrId, revision: u32) -> bool {
        revision > 0 && self.posted.get(cdr).is_none_or(|known| known.revision + 1 < revision)
    }

    fn tick(&mut self, now: DateTime<Utc>) {
        if let Some(before) = now.checked_sub_signed(TimeDelta::days(PARTIAL_KEPT_DAYS)) {
            let forgotten = self.posted.prune(before);
            self.contracts.forget(&forgotten);
        }
    }
}

impl Stage for RatingStage {
    fn asks_for(&self, body: &Body) -> Option<CdrId> {
        let (cdr, revision) = match body {
            Body::Cdr(cdr) => (cdr.id, cdr.revision),
            Body::Rated(previous) => (previous.cdr.id, previous.cdr.revision + 1),
            Body::Tick(_)
            | Body::Call(_)
            | Body::Edr(_)
            | Body::Posting(_)
            | Body::Control(_)
            | Body::Accrual(_)
            | Body::Sighting(_) => return None,
        };
        self.is_gap(cdr, revision).then_some(cdr)
    }

    /// What a revision posted decides the ids of the next one's postings, so all of them must be there from the first on.
    fn recall(&mut self, revisions: &[RatedCdr]) {
        let (Some(first), Some(last)) = (revisions.first(), revisions.last()) else { return };
        if Contracts::has(&self.snapshot, first.cdr.payer) && !revisions.iter().all(is_without_balance) {
            // What a balance gave for it cannot be told from its prices.
            return;
        }
        if first.cdr.revision > 0
            || self.posted.get(last.cdr.id).is_some_and(|known| known.revision >= last.cdr.revision)
        {
            return;
        }
        let none = Decimal::ZERO;
        let postings = revisions.iter().fold(Vec::new(), |earlier, rated| postings(rated, &earlier, none).1);
        let (revision, ended_at) = (last.cdr.revision, last.cdr.end_at());
        let posted = Posted { revision, is_rated: true, ended_at, postings, taken: None, again: None };
        self.posted.recall(last.cdr.id, posted);
    }

    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        match &input.body {
            Body::Cdr(cdr) => self.apply_cdr(cdr, effects),
            Body::Rated(previous) => self.apply_again(previous, effects),
            Body::Tick(now) => {
                self.tick(*now);
                if self.n_lanes > 0 {
                    let lane = (input.partition, self.n_lanes);
                    self.contracts.tick(&self.snapshot, lane, *now, effects);
                }
            }
            // From the desk: money came in.
            Body::Posting(posting) => self.contracts.move_money(&self.snapshot, posting, effects),
            Body::Call(_) | Body::Edr(_) | Body::Control(_) | Body::Accrual(_) | Body::Sighting(_) => {}
        }
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        let mut changes = self.posted.take_changes();
        changes.append(&mut self.contracts.take_changes());
        changes
    }

    fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        let others = self.contracts.restore(entries)?;
        self.posted.restore(others)?;
        self.contracts.know(self.posted.with_free_time());
        Ok(())
    }
}

/// Whether no balance gave anything for a record, although its payer has one: it cost its payer nothing, or in another currency than the balance's.
fn is_without_balance(rated: &RatedCdr) -> bool {
    let mut charges = rated.charges.iter();
    charges
        .find(|charge| is_of_payer(charge, rated.cdr.payer))
        .is_none_or(|charge| charge.conversion.is_some())
}

/// The reversals of what an earlier revision posted, and the postings of this one. Of what its payer owes, `out_of_order` is carried for
/// other calls.
fn postings(rated: &RatedCdr, earlier: &[Posting], out_of_order: Decimal) -> (Vec<Posting>, Vec<Posting>) {
    let cdr = &rated.cdr;
    let mut index = 0;
    let mut next_id = || {
        let id = PostingId::derive(cdr.id, cdr.revision, index);
        index += 1;
        id
    };
    let reversals = earlier
        .iter()
        .map(|posting| Posting {
            id: next_id(),
            debit: posting.credit,
            credit: posting.debit,
            // Paid from a balance and taken back: neither is what calls came to.
            reason: if posting.reason == PostingReason::Settlement {
                PostingReason::Settlement
            } else {
                PostingReason::Reversal
            },
            reverses: Some(posting.id),
            ..posting.clone()
        })
        .collect();
    let mut postings = Vec::with_capacity(rated.charges.len());
    for charge in &rated.charges {
        let of_others = if is_of_payer(charge, cdr.payer) { out_of_order } else { Decimal::ZERO };
        let (debit, credit) = sides(charge, cdr);
        let parts = [(charge.cost - of_others, PostingReason::Call), (of_others, PostingReason::OutOfOrder)];
        for (amount, reason) in parts.into_iter().filter(|(amount, _)| !amount.is_zero()) {
            // What comes back goes the other way.
            let is_back = reason == PostingReason::OutOfOrder && amount.is_sign_negative();
            let (debit, credit) = if is_back { (credit, debit) } else { (debit, credit) };
            postings.push(Posting {
                id: next_id(),
                tenant: cdr.tenant,
                account: charge.account,
                at: cdr.start_at,
                debit,
                credit,
                amount: Money::new(if is_back { -amount } else { amount }, charge.currency),
                reason,
                cdr: Some(cdr.id),
                reverses: None,
            });
        }
    }
    (reversals, postings)
}

/// Customers and resellers owe, we owe carriers. What a reseller's customer owes is the reseller's money: ours is what the reseller
/// owes for the same call.
fn sides(charge: &Charge, cdr: &Cdr) -> (LedgerAccount, LedgerAccount) {
    let ours = LedgerAccount::Revenue(cdr.tenant);
    match charge.provider {
        Provider::Customer => {
            let party = match charge.direction {
                Direction::Out => &cdr.source.party,
                Direction::In => &cdr.destination.party,
            };
            let earned = match party {
                Party::Subscriber { reseller, .. } if *reseller != AccountId::NOBODY => {
                    LedgerAccount::Sales(*reseller)
                }
                Party::Subscriber { .. } | Party::Trunk { .. } | Party::Unknown => ours,
            };
            (LedgerAccount::Receivable(charge.account), earned)
        }
        Provider::Reseller => (LedgerAccount::Receivable(charge.account), ours),
        Provider::Carrier => (LedgerAccount::Cost(cdr.tenant), LedgerAccount::Payable(charge.account)),
    }
}
