//! What a rated call would cost by the tariffs that are in force for it now, beside what it costs.
//!
//! In: a rated call. Out: for each party whose price differs, both. Where an account has free time or cash, what a call cost says nothing of the
//! tariff: there the two are what the call costs without them, by the version that priced it and by the one in force now.

use std::collections::BTreeMap;

use model::{AccountId, Cdr, Charge, Direction, IntervalPrice, ProfileVersionId, Provider, RatedCdr};
use rust_decimal::Decimal;

use crate::error::RatingError;
use crate::snapshot::RatingSnapshot;

/// A price that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repriced {
    /// Whose.
    pub account: AccountId,
    /// Level.
    pub provider: Provider,
    /// Side.
    pub direction: Direction,
    /// By the version that priced it.
    pub was: Decimal,
    /// By the version in force now.
    pub becomes: Decimal,
    /// Both are without free time and free cash, which decide once more when the call is priced again.
    pub is_list_price: bool,
}

type Party = (AccountId, Provider, Direction);

impl RatingSnapshot {
    /// Who would pay something else for a call, were it priced again.
    ///
    /// # Errors
    ///
    /// As [`Self::charges`]: the call would have no price any more.
    pub fn repriced(&self, before: &RatedCdr) -> Result<Vec<Repriced>, RatingError> {
        let after = self.charges(&before.cdr)?;
        // A version of then that does not price the call by the facts of now: its prices are not compared.
        let listed = self.charges_by(&before.cdr, &before.charges).unwrap_or_default();
        let mut all: BTreeMap<Party, Repriced> = BTreeMap::new();
        let mut entry = |charge: &Charge, becomes: bool, amount: Decimal, is_list_price: bool| {
            let party = (charge.account, charge.provider, charge.direction);
            let (account, provider, direction) = party;
            let (was, nothing) = (Decimal::ZERO, Decimal::ZERO);
            let fresh = Repriced { account, provider, direction, was, becomes: nothing, is_list_price };
            let one = all.entry(party).or_insert(fresh);
            *(if becomes { &mut one.becomes } else { &mut one.was }) += amount;
        };
        for charge in &before.charges {
            let by_list = listed.iter().find(|listed| is_of_same(listed, charge)).filter(|listed| {
                self.has_balance(charge) && before.cdr.is_answered() && listed.fee == charge.fee
            });
            entry(charge, false, by_list.map_or(charge.cost, |listed| listed.cost), by_list.is_some());
        }
        for charge in &after {
            entry(charge, true, charge.cost, false);
        }
        // By what is used in an interval, or where free time may pay, by other terms: that is not in the price of one call.
        let by_balance = |one: &Repriced| {
            let version_of = |charges: &[Charge]| {
                let is_its = |charge: &&Charge| {
                    (charge.account, charge.provider, charge.direction)
                        == (one.account, one.provider, one.direction)
                };
                charges.iter().find(is_its).map(|charge| charge.version)
            };
            let (was, becomes) = (version_of(&before.charges), version_of(&after));
            one.is_list_price
                && was != becomes
                && (self.interval_price(was) != self.interval_price(becomes)
                    || self.shares_time_otherwise(&before.cdr, one.direction, was.zip(becomes)))
        };
        Ok(all.into_values().filter(|one| one.was != one.becomes || by_balance(one)).collect())
    }

    fn interval_price(&self, version: Option<ProfileVersionId>) -> Option<&IntervalPrice> {
        self.version(version?)?.interval_price.as_ref()
    }

    /// Whether two versions price a call by other terms, and free time may pay for it by one of them.
    fn shares_time_otherwise(
        &self,
        cdr: &Cdr,
        direction: Direction,
        versions: Option<(ProfileVersionId, ProfileVersionId)>,
    ) -> bool {
        let terms = |version| self.terms_by(version, cdr, direction);
        let both = versions.and_then(|(was, becomes)| terms(was).zip(terms(becomes)));
        both.is_some_and(|(was, becomes)| was != becomes && (was.use_free_time() || becomes.use_free_time()))
    }

    /// Whether free time, free cash or own money may have paid for it.
    fn has_balance(&self, charge: &Charge) -> bool {
        charge.conversion.is_none() && self.contract_terms(charge.account).is_some()
    }
}

fn is_of_same(one: &Charge, other: &Charge) -> bool {
    (one.account, one.provider, one.direction) == (other.account, other.provider, other.direction)
}
