//! Compiles a tariff version: which fees there are, their terms as integers over one denominator, and what they are looked up by.
//!
//! In: a [`TariffVersion`] as provisioned. Out: a [`Tariff`], or the first fee or setting that makes no sense or cannot be priced.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{
    BalanceLength, BalanceUnit, Direction, Fee, FeeMatch, IntervalUnit, MICROS_PER_UNIT, MatchMode,
    PeakOptions, Rate, Rounding, TariffVersion,
};
use rust_decimal::Decimal;

use crate::balance::Grant;
use crate::digit_ranges::DigitPrefix;
use crate::error::TariffFault;
use crate::fee_index::{ByPrefix, Entries, Entry, FeeIndex, Side, SourceTrees, Sources};
use crate::peak_calendar::{PeakCalendar, SpanEnd};
use crate::prefix_tree::PrefixTree;
use crate::price::CALL_SECONDS_MAX;
use crate::quick::{Bounds, QuickTerms};
use crate::quick_hash::QuickMap;
use crate::reference_match::{BadPattern, ReferenceIndex, SameKey};

use super::{FeeIds, PeakTerms, SecondRate, Tariff, Terms, gcd, index};

/// Before a carrier's name in the destination of a fee for ported numbers.
pub(super) const CARRIER_OF: &str = "lnp:";
/// Before a type of numbers.
pub(super) const TYPE_OF: &str = "lnpnumbertype:";

/// Whether a fee is for ported numbers, whatever its match mode.
fn is_for_ported(fee: &Fee) -> bool {
    fee.destination.starts_with(CARRIER_OF) || fee.destination.starts_with(TYPE_OF)
}

pub(super) fn compile(version: &TariffVersion) -> Result<Tariff, TariffFault> {
    if version.rounding.scale > 6 {
        return Err(TariffFault::BadRounding { scale: version.rounding.scale });
    }
    check_spans(version)?;
    let mut builder = Builder::new(version);
    let (ported, fees): (Vec<&Fee>, Vec<&Fee>) = version.fees.iter().partition(|fee| is_for_ported(fee));
    let mut ported_by_source = SourceTrees::default();
    let ported = by_ported(ported, version.fee_match, &mut builder, &mut ported_by_source)?;
    let index = match version.fee_match {
        FeeMatch::Prefix => by_prefix(fees, &mut builder)?,
        FeeMatch::Reference => by_reference(&fees, &mut builder)?,
    };
    let Builder { mut entries, fees, terms, offers, terms_of_offers, bounds, zones, patterns, .. } = builder;
    entries.shrink_to_fit();
    Ok(Tariff {
        version: version.id,
        profile: version.profile.clone(),
        valid_from: version.valid_from,
        rounding: version.rounding,
        rounding_text: format!("{} {}", version.rounding.mode, version.rounding.scale),
        micros_per_step: MICROS_PER_UNIT / 10i64.pow(version.rounding.scale),
        peak_split: version.peak_split,
        compat: version.compat,
        calendar: PeakCalendar::new(
            version.profile.timezone,
            &version.weekdays,
            &version.specials,
            if version.compat { SpanEnd::Inclusive } else { SpanEnd::WholeSecond },
        ),
        index,
        entries,
        fees,
        terms,
        offers,
        terms_of_offers,
        bounds,
        zones,
        patterns,
        ported,
        ported_by_source,
        charges_attempts: version.fees.iter().any(|fee| !fee.failed_attempt_fee.is_zero()),
        grant: Grant {
            seconds: version.interval_free_seconds,
            micros: model::to_micros(version.interval_free_cash).unwrap_or(0),
        },
        interval_price: version.interval_price.clone(),
        interval: BalanceLength {
            unit: match version.interval.unit {
                IntervalUnit::Week => BalanceUnit::Week,
                IntervalUnit::Month => BalanceUnit::Month,
            },
            count: version.interval.count,
        },
    })
}

/// Fees for ported numbers. The reference looks at no source there; else the longest prefix of it counts.
fn by_ported<'v>(
    mut fees: Vec<&'v Fee>,
    fee_match: FeeMatch,
    builder: &mut Builder<'v>,
    trees: &mut SourceTrees,
) -> Result<HashMap<(Direction, Box<str>), Sources>, TariffFault> {
    let source = |fee: &'v Fee| match fee_match {
        FeeMatch::Prefix => fee.source.as_str(),
        FeeMatch::Reference => "",
    };
    fees.sort_by_key(|fee| (fee.direction, fee.destination.as_str(), source(fee), fee.valid_from));
    let mut all = HashMap::new();
    for of_name in fees.chunk_by(|a, b| (a.direction, &a.destination) == (b.direction, &b.destination)) {
        let mut by_source = Vec::new();
        for of_source in of_name.chunk_by(|a, b| source(a) == source(b)) {
            by_source.push((source(of_source[0]).to_owned(), builder.entries(of_source, 0)?));
        }
        let key = (of_name[0].direction, of_name[0].destination.as_str().into());
        all.insert(key, trees.sources(by_source));
    }
    Ok(all)
}

fn by_prefix<'v>(fees: Vec<&'v Fee>, builder: &mut Builder<'v>) -> Result<FeeIndex, TariffFault> {
    let (outgoing, incoming): (Vec<&Fee>, Vec<&Fee>) =
        fees.into_iter().partition(|fee| fee.direction == Direction::Out);
    Ok(FeeIndex { outgoing: by_prefix_of(outgoing, builder)?, incoming: by_prefix_of(incoming, builder)? })
}

/// Of one direction.
fn by_prefix_of<'v>(fees: Vec<&'v Fee>, builder: &mut Builder<'v>) -> Result<Side, TariffFault> {
    let digits: Option<Vec<DigitPrefix>> =
        fees.iter().map(|fee| DigitPrefix::of(fee.destination.as_bytes())).collect();
    match digits {
        Some(digits) => by_digits(&fees, digits, builder),
        None => by_text(fees, builder),
    }
}

/// Of digits alone: what a fee says is looked at in the order of the list, in which it lies in memory; what is sorted and put together
/// afterwards is small.
fn by_digits<'v>(
    fees: &[&'v Fee],
    digits: Vec<DigitPrefix>,
    builder: &mut Builder<'v>,
) -> Result<Side, TariffFault> {
    let mut entries = Vec::with_capacity(fees.len());
    for (fee, digits) in fees.iter().zip(&digits) {
        let any_source = fee.source.is_empty();
        entries.push((builder.entry(fee, index(digits.len()))?, any_source));
    }
    let mut sorted: Vec<(DigitPrefix, u32)> = digits.into_iter().zip(0..).collect();
    sorted.sort_unstable();
    let mut prefixes = Vec::with_capacity(fees.len());
    let mut values = Vec::with_capacity(fees.len());
    let mut trees = SourceTrees::default();
    for of_destination in sorted.chunk_by(|(a, _), (b, _)| a == b) {
        let (prefix, place) = of_destination[0];
        prefixes.push(prefix);
        values.push(match entries[place as usize] {
            (entry, true) if of_destination.len() == 1 => Sources::any(Entries::one(entry)),
            (..) => {
                let mut same: Vec<&'v Fee> =
                    of_destination.iter().map(|&(_, place)| fees[place as usize]).collect();
                same.sort_by(|a, b| key(a).cmp(&key(b)));
                of_one_destination(&same, builder, &mut trees)?
            }
        });
    }
    Ok(Side::Prefix(Box::new(ByPrefix::new(PrefixTree::of_digits(&prefixes, values), trees))))
}

/// Of any texts.
fn by_text<'v>(mut fees: Vec<&'v Fee>, builder: &mut Builder<'v>) -> Result<Side, TariffFault> {
    fees.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut prefixes = Vec::with_capacity(fees.len());
    let mut values = Vec::with_capacity(fees.len());
    let mut trees = SourceTrees::default();
    for of_destination in fees.chunk_by(|a, b| a.destination == b.destination) {
        prefixes.push(of_destination[0].destination.as_bytes());
        values.push(of_one_destination(of_destination, builder, &mut trees)?);
    }
    Ok(Side::Prefix(Box::new(ByPrefix::new(PrefixTree::of_sorted(&prefixes, values), trees))))
}

/// Fees of one destination, sorted by [`key`].
fn of_one_destination<'v>(
    fees: &[&'v Fee],
    builder: &mut Builder<'v>,
    trees: &mut SourceTrees,
) -> Result<Sources, TariffFault> {
    let mut by_source = Vec::new();
    for of_source in fees.chunk_by(|a, b| a.source == b.source) {
        let matched = index(of_source[0].destination.len());
        by_source.push((of_source[0].source.clone(), builder.entries(of_source, matched)?));
    }
    Ok(trees.sources(by_source))
}

fn by_reference<'v>(fees: &[&'v Fee], builder: &mut Builder<'v>) -> Result<FeeIndex, TariffFault> {
    let mut places: HashMap<(Direction, MatchMode, &str, &str), usize> = HashMap::new();
    let mut same_key: Vec<Vec<&'v Fee>> = Vec::new();
    for fee in fees.iter().copied() {
        let place = *places
            .entry((fee.direction, fee.match_mode, &fee.destination, &fee.source))
            .or_insert(same_key.len());
        match same_key.get_mut(place) {
            Some(fees) => fees.push(fee),
            None => same_key.push(vec![fee]),
        }
    }
    let (mut outgoing, mut incoming) = (Vec::new(), Vec::new());
    for mut fees in same_key {
        fees.sort_by_key(|fee| fee.valid_from);
        let first = fees[0];
        let matched = index(builder.patterns.len());
        builder.patterns.push(first.destination.as_str().into());
        let same = SameKey {
            mode: first.match_mode,
            destination: first.destination.clone(),
            source: first.source.clone(),
            entries: builder.entries(&fees, matched)?,
        };
        match first.direction {
            Direction::Out => outgoing.push(same),
            Direction::In => incoming.push(same),
        }
    }
    let side = |fees| match ReferenceIndex::build(fees) {
        Ok(index) => Ok(Side::Reference(Box::new(index))),
        Err(BadPattern { pattern, why }) => Err(TariffFault::BadPattern { pattern, why }),
    };
    Ok(FeeIndex { outgoing: side(outgoing)?, incoming: side(incoming)? })
}

/// Puts fees for the same calls beside each other, in order of time.
fn key(fee: &Fee) -> (&str, &str, Option<DateTime<Utc>>) {
    (&fee.destination, &fee.source, fee.valid_from)
}

fn check_spans(version: &TariffVersion) -> Result<(), TariffFault> {
    let weekdays = version
        .weekdays
        .iter()
        .filter(|span| span.end < span.start)
        .map(|span| (format!("{} {}", span.day, span.start), span.end.to_string()));
    let specials = version
        .specials
        .iter()
        .filter(|span| span.end < span.start)
        .map(|span| (span.start.to_string(), span.end.to_string()));
    match weekdays.chain(specials).next() {
        Some((start, end)) => Err(TariffFault::SpanEndsBeforeStart { start, end }),
        None => Ok(()),
    }
}

/// Everything that [`Terms`] are made of, amounts as they are written: the same amount in two ways is kept twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct TermsKey {
    prices: [[u8; 16]; 4],
    seconds: [(u32, u32); 4],
    flat: [[u8; 16]; 2],
    bounds: [Option<[u8; 16]>; 2],
    validity: [Option<DateTime<Utc>>; 2],
    options: [PeakOptions; 2],
}

impl TermsKey {
    fn of(fee: &Fee) -> Self {
        let rates = [fee.onpeak_init, fee.onpeak_follow, fee.offpeak_init, fee.offpeak_follow];
        Self {
            prices: rates.map(|rate| rate.price.serialize()),
            seconds: rates.map(|rate| (rate.per_seconds, rate.interval_seconds)),
            flat: [fee.connection_fee.serialize(), fee.failed_attempt_fee.serialize()],
            bounds: [fee.minimum_charge, fee.maximum_charge]
                .map(|amount| amount.map(|amount| amount.serialize())),
            validity: [fee.valid_from, fee.valid_to],
            options: [fee.onpeak, fee.offpeak],
        }
    }
}

/// Collects entries, each distinct [`Terms`] and zone once.
struct Builder<'v> {
    rounding: Rounding,
    entries: Vec<Entry>,
    fees: FeeIds,
    terms: Vec<Terms>,
    terms_seen: QuickMap<TermsKey, u32>,
    offers: Vec<QuickTerms>,
    terms_of_offers: Vec<u32>,
    offers_seen: QuickMap<(u32, u32), u32>,
    bounds: Vec<Bounds>,
    zones: Vec<(Arc<str>, Arc<str>)>,
    zones_seen: QuickMap<(&'v str, &'v str), u32>,
    patterns: Vec<Box<str>>,
}

impl<'v> Builder<'v> {
    fn new(version: &TariffVersion) -> Self {
        Self {
            rounding: version.rounding,
            entries: Vec::new(),
            fees: FeeIds::of(&version.fees),
            terms: Vec::new(),
            terms_seen: QuickMap::default(),
            offers: Vec::new(),
            terms_of_offers: Vec::new(),
            offers_seen: QuickMap::default(),
            bounds: Vec::new(),
            zones: Vec::new(),
            zones_seen: QuickMap::default(),
            patterns: Vec::new(),
        }
    }

    /// Fees of one direction, destination and source, ordered by the time they come into force.
    fn entries(&mut self, fees: &[&'v Fee], matched: u32) -> Result<Entries, TariffFault> {
        for pair in fees.windows(2) {
            let overlap = match (pair[0].valid_to, pair[1].valid_from) {
                (Some(to), Some(from)) => from < to,
                (None, _) | (_, None) => true,
            };
            if overlap {
                return Err(TariffFault::DuplicateFee {
                    first: pair[0].id,
                    second: pair[1].id,
                    direction: pair[0].direction,
                    source_prefix: pair[0].source.clone(),
                    destination: pair[0].destination.clone(),
                });
            }
        }
        if let [fee] = fees {
            return Ok(Entries::one(self.entry(fee, matched)?));
        }
        let first = index(self.entries.len());
        for fee in fees {
            let entry = self.entry(fee, matched)?;
            self.entries.push(entry);
        }
        Ok(Entries::several(first, index(fees.len())))
    }

    fn entry(&mut self, fee: &'v Fee, matched: u32) -> Result<Entry, TariffFault> {
        let (terms, zone) = (self.terms(fee)?, self.zone(fee));
        let offer = match self.offers_seen.get(&(terms, zone)) {
            Some(&seen) => seen,
            None => {
                let of_fee = &self.terms[terms as usize];
                self.offers.push(QuickTerms::of(
                    of_fee,
                    fee.valid_from,
                    fee.valid_to,
                    zone,
                    &mut self.bounds,
                ));
                self.terms_of_offers.push(terms);
                let idx = index(self.offers.len() - 1);
                self.offers_seen.insert((terms, zone), idx);
                idx
            }
        };
        Ok(Entry { fee: self.fees.place(fee.id), offer, matched })
    }

    fn terms(&mut self, fee: &Fee) -> Result<u32, TariffFault> {
        let bad =
            |rule: String| TariffFault::BadFee { fee: fee.id, destination: fee.destination.clone(), rule };
        let key = TermsKey::of(fee);
        if let Some(&seen) = self.terms_seen.get(&key) {
            return Ok(seen);
        }
        let rates = [fee.onpeak_init, fee.onpeak_follow, fee.offpeak_init, fee.offpeak_follow];
        let terms = self.new_terms(fee, &rates).map_err(bad)?;
        let idx = index(self.terms.len());
        self.terms.push(terms);
        self.terms_seen.insert(key, idx);
        Ok(idx)
    }

    fn new_terms(&self, fee: &Fee, rates: &[Rate; 4]) -> Result<Terms, String> {
        for rate in rates {
            if rate.per_seconds == 0 {
                return Err("a rate for 0 seconds; say how many seconds the price buys".to_owned());
            }
            if rate.interval_seconds == 0 || u64::from(rate.interval_seconds) > CALL_SECONDS_MAX {
                return Err(format!(
                    "a charging interval of {} s; use 1 to {CALL_SECONDS_MAX}",
                    rate.interval_seconds
                ));
            }
        }
        if let (Some(minimum), Some(maximum)) = (fee.minimum_charge, fee.maximum_charge)
            && minimum > maximum
        {
            return Err(format!(
                "minimum_charge {minimum} is above maximum_charge {maximum}; swap or remove one"
            ));
        }
        if let (Some(from), Some(to)) = (fee.valid_from, fee.valid_to)
            && from >= to
        {
            return Err(format!("valid_to {to} is not after valid_from {from}; correct or remove one"));
        }
        let amounts = rates
            .iter()
            .map(|rate| rate.price)
            .chain([fee.connection_fee, fee.failed_attempt_fee])
            .chain(fee.minimum_charge)
            .chain(fee.maximum_charge)
            .chain(fee.onpeak.extra.map(|extra| extra.amount))
            .chain(fee.offpeak.extra.map(|extra| extra.amount));
        let scale = amounts.map(|amount| amount.normalize().scale()).fold(self.rounding.scale, u32::max);
        exact_terms(fee, rates, scale, self.rounding.scale)
            .ok_or_else(|| "its amounts have too many digits together; use fewer decimals".to_owned())
    }

    fn zone(&mut self, fee: &'v Fee) -> u32 {
        let key = (fee.zone.as_str(), fee.zone_detail.as_str());
        let zones = &mut self.zones;
        *self.zones_seen.entry(key).or_insert_with_key(|(zone, detail)| {
            zones.push(((*zone).into(), (*detail).into()));
            index(zones.len() - 1)
        })
    }
}

/// The terms in parts of a unit that makes every amount and every price of a second a whole number: `10^scale` for the
/// decimals, times the least common multiple of the seconds that prices are for. `None` if that leaves 127 bits.
fn exact_terms(fee: &Fee, rates: &[Rate; 4], scale: u32, rounding_scale: u32) -> Option<Terms> {
    let seconds = rates.iter().try_fold(1i128, |lcm, rate| {
        let per_seconds = i128::from(rate.per_seconds);
        (lcm / gcd(lcm, per_seconds)).checked_mul(per_seconds)
    })?;
    let unit = 10i128.checked_pow(scale)?.checked_mul(seconds)?;
    let amount = |amount: Decimal| {
        let amount = amount.normalize();
        amount.mantissa().checked_mul(10i128.checked_pow(scale - amount.scale())?)?.checked_mul(seconds)
    };
    let maybe = |value: Option<Decimal>| value.map_or(Some(None), |value| amount(value).map(Some));
    let second_rate = |rate: Rate| {
        Some(SecondRate { rate, per_second: amount(rate.price)? / i128::from(rate.per_seconds) })
    };
    let peak_terms = |options: PeakOptions| {
        let extra = match options.extra {
            Some(extra) => Some((extra.second, amount(extra.amount)?)),
            None => None,
        };
        Some(PeakTerms { use_free_time: options.use_free_time, extra })
    };
    Some(Terms {
        onpeak_init: second_rate(rates[0])?,
        onpeak_follow: second_rate(rates[1])?,
        offpeak_init: second_rate(rates[2])?,
        offpeak_follow: second_rate(rates[3])?,
        unit,
        rounding_step: unit / 10i128.checked_pow(rounding_scale)?,
        connection_fee: amount(fee.connection_fee)?,
        minimum: maybe(fee.minimum_charge)?,
        maximum: maybe(fee.maximum_charge)?,
        failed_attempt: amount(fee.failed_attempt_fee)?,
        onpeak: peak_terms(fee.onpeak)?,
        offpeak: peak_terms(fee.offpeak)?,
    })
}
