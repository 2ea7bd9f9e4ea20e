//! What a rated call would cost by the tariffs that are in force for it now, beside what it costs.
//!
//! In: a rated call. Out: for each party whose price differs, both. Where an account has free time or cash, what a call cost says nothing of the
//! tariff: there the two are what the call costs without them, by the version that priced it and by the one in force now.

use std::collections::BTreeMap;

use model::{AccountId, Charge, Direction, Provider, RatedCdr};
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
        // By what is used in an interval: that is not in the price of one call.
        let by_usage = |one: &Repriced| {
            let of = |charges: &[Charge]| {
                let is_its = |charge: &&Charge| {
                    (charge.account, charge.provider, charge.direction)
                        == (one.account, one.provider, one.direction)
                };
                let version = charges.iter().find(is_its).map(|charge| charge.version)?;
                self.version(version)?.interval_price.clone()
            };
            one.is_list_price && of(&before.charges) != of(&after)
        };
        Ok(all.into_values().filter(|one| one.was != one.becomes || by_usage(one)).collect())
    }

    /// Whether free time, free cash or own money may have paid for it.
    fn has_balance(&self, charge: &Charge) -> bool {
        charge.conversion.is_none() && self.contract_terms(charge.account).is_some()
    }
}

fn is_of_same(one: &Charge, other: &Charge) -> bool {
    (one.account, one.provider, one.direction) == (other.account, other.provider, other.direction)
}
