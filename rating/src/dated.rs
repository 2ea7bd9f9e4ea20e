//! Dated facts that decide a price beside tariffs, ready for lookup: networks, exchange rates, ported numbers.
//!
//! In: a [`Directory`]. Out: what holds for a call at its start.

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use model::{Charge, Conversion, Currency, Directory, NetworkId, PortedNumber, TenantId};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::prefix_tree::PrefixTree;

/// Decimals of a converted price: what the ledger keeps.
const CONVERTED_SCALE: u32 = 6;

/// Rates of each pair of currencies, oldest first.
type Rates = HashMap<(TenantId, Currency, Currency), Vec<(DateTime<Utc>, Decimal)>>;

/// What holds when.
#[derive(Debug, Default)]
pub(crate) struct DatedFacts {
    rates: Rates,
    ported: PortedTree,
}

/// Where in a list of ported numbers those with a certain beginning stand.
#[derive(Debug, Default)]
pub struct PortedTree(Option<PrefixTree<Vec<u32>>>);

impl PortedTree {
    /// Of this list.
    pub fn build(numbers: &[PortedNumber]) -> Self {
        let mut by_number: HashMap<&str, Vec<u32>> = HashMap::new();
        for (number, place) in numbers.iter().zip(0..) {
            by_number.entry(&number.number).or_default().push(place);
        }
        Self((!by_number.is_empty()).then(|| {
            PrefixTree::build(
                by_number.into_iter().map(|(number, places)| (number.to_owned(), places)).collect(),
            )
        }))
    }

    /// The longest entry of `numbers`, which it was built of, that holds for `number` at `at`. Only digits can be ported.
    pub fn find<'n>(
        &self,
        numbers: &'n [PortedNumber],
        number: &str,
        at: DateTime<Utc>,
    ) -> Option<&'n PortedNumber> {
        let tree = self.0.as_ref()?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        tree.longest_first(number)
            .flatten()
            .map(|place| &numbers[*place as usize])
            .find(|ported| ported.from.is_none_or(|from| from <= at) && ported.to.is_none_or(|to| at < to))
    }
}

impl DatedFacts {
    pub(crate) fn build(directory: &Directory) -> Self {
        let mut rates: Rates = HashMap::new();
        for rate in &directory.exchange_rates {
            let of_pair = rates.entry((rate.tenant, rate.from, rate.to)).or_default();
            of_pair.push((rate.valid_from, rate.rate));
        }
        for of_pair in rates.values_mut() {
            of_pair.sort_unstable();
        }
        Self { rates, ported: PortedTree::build(&directory.ported_numbers) }
    }

    /// Who serves `number` at `at`, if not the one its prefix says.
    pub(crate) fn ported<'d>(
        &self,
        directory: &'d Directory,
        number: &str,
        at: DateTime<Utc>,
    ) -> Option<&'d PortedNumber> {
        self.ported.find(&directory.ported_numbers, number, at)
    }

    /// Puts `charge` into `currency`. `None` when no rate is in force at `at`, or the amount is beyond what can be kept.
    pub(crate) fn convert(
        &self,
        charge: Charge,
        tenant: TenantId,
        currency: Currency,
        at: DateTime<Utc>,
    ) -> Option<Charge> {
        let of_pair = self.rates.get(&(tenant, charge.currency, currency))?;
        let (rate_from, rate) = *of_pair.iter().rev().find(|(from, _)| *from <= at)?;
        let convert = |amount: Decimal| {
            let converted = amount.checked_mul(rate)?;
            Some(
                converted
                    .round_dp_with_strategy(CONVERTED_SCALE, RoundingStrategy::MidpointAwayFromZero)
                    .normalize(),
            )
        };
        let cost = convert(charge.cost)?;
        model::to_micros(cost).ok()?;
        let conversion = Some(Conversion { from: charge.currency, amount: charge.cost, rate, rate_from });
        let mut fragments = charge.fragments;
        // Each is what the sum grows by, so that they add up to the cost.
        let (mut amount, mut converted) = (Decimal::ZERO, Decimal::ZERO);
        for fragment in &mut fragments {
            amount += fragment.cost;
            let until_here = convert(amount)?;
            fragment.cost = (until_here - converted).normalize();
            converted = until_here;
        }
        Some(Charge { currency, cost, conversion, fragments, ..charge })
    }
}

/// Whether a call that comes from `address` comes from a network.
pub(crate) fn is_from<'d>(directory: &'d Directory, address: &str) -> impl Fn(NetworkId) -> bool + use<'d> {
    let address: Option<IpAddr> = address.parse().ok();
    move |network| {
        let found = directory.networks.iter().find(|known| known.id == network);
        found.zip(address).is_some_and(|(network, address)| network.contains(address))
    }
}
