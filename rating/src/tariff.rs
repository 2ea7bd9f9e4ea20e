//! A tariff version, compiled: what [`crate::price()`] looks up.
//!
//! In: a [`TariffVersion`] as provisioned. Out: for a call, the fee that prices it, with its amounts as integers over one
//! common denominator, so that adding them up is exact and cheap. Equal prices and zones are kept once: a deck of
//! hundreds of thousands of prefixes has a few thousand of them.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{
    Direction, Fee, FeeId, FeeMatch, Peak, PeakSplit, ProfileVersionId, Rate, Rounding, TariffVersion,
};
use rust_decimal::Decimal;

use crate::error::{TariffError, TariffFault};
use crate::peak_calendar::PeakCalendar;
use crate::prefix_tree::PrefixTree;
use crate::price::CALL_SECONDS_MAX;

/// One version of a billing profile, ready to price calls.
#[derive(Debug, Clone)]
pub struct Tariff {
    version: ProfileVersionId,
    profile: model::BillingProfile,
    valid_from: DateTime<Utc>,
    pub(crate) rounding: Rounding,
    pub(crate) split_at_border: bool,
    pub(crate) calendar: PeakCalendar,
    outgoing: PrefixTree<Sources>,
    incoming: PrefixTree<Sources>,
    entries: Vec<Entry>,
    terms: Vec<Terms>,
    zones: Vec<(Arc<str>, Arc<str>)>,
    gives_free_cash: bool,
    uses_free_time: bool,
}

/// The fees of one destination prefix, by source.
#[derive(Debug, Clone)]
enum Sources {
    /// All of them take any source.
    Any(Entries),
    ByPrefix(Box<PrefixTree<Entries>>),
}

/// Fees of one destination and source, one after the other in time.
#[derive(Debug, Clone, Copy)]
struct Entries {
    first: u32,
    count: u32,
}

#[derive(Debug, Clone)]
struct Entry {
    fee: FeeId,
    terms: u32,
    zone: u32,
    destination_len: u32,
}

/// What a fee says beside [`model::Fee`]: columns of the workbench that the shared data model does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct FeeOptions {
    pub(crate) onpeak: PeakOptions,
    pub(crate) offpeak: PeakOptions,
}

/// The part of [`FeeOptions`] that the peak state at the start of the call chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct PeakOptions {
    pub(crate) use_free_time: bool,
    /// An amount added once, if the call lasts beyond this second.
    pub(crate) extra: Option<(u64, Decimal)>,
}

/// Prices, bounds and validity of a fee. Amounts are integers: so many parts of a currency unit, `unit` parts making one.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) onpeak_init: SecondRate,
    pub(crate) onpeak_follow: SecondRate,
    pub(crate) offpeak_init: SecondRate,
    pub(crate) offpeak_follow: SecondRate,
    pub(crate) unit: i128,
    /// Parts that make one step of the tariff's rounding.
    pub(crate) rounding_step: i128,
    pub(crate) connection_fee: i128,
    pub(crate) minimum: Option<i128>,
    pub(crate) maximum: Option<i128>,
    pub(crate) onpeak: PeakTerms,
    pub(crate) offpeak: PeakTerms,
    valid_from: Option<DateTime<Utc>>,
    valid_to: Option<DateTime<Utc>>,
}

/// [`PeakOptions`] in parts of the unit.
#[derive(Debug, Clone)]
pub(crate) struct PeakTerms {
    pub(crate) use_free_time: bool,
    pub(crate) extra: Option<(u64, i128)>,
}

/// A rate, and what one second of it costs in parts of the unit: a whole number, because the unit was chosen so.
#[derive(Debug, Clone)]
pub(crate) struct SecondRate {
    pub(crate) rate: Rate,
    pub(crate) per_second: i128,
}

impl Terms {
    pub(crate) fn rate(&self, is_init: bool, peak: Peak) -> &SecondRate {
        match (is_init, peak) {
            (true, Peak::On) => &self.onpeak_init,
            (true, Peak::Off) => &self.offpeak_init,
            (false, Peak::On) => &self.onpeak_follow,
            (false, Peak::Off) => &self.offpeak_follow,
        }
    }

    pub(crate) fn options(&self, peak: Peak) -> &PeakTerms {
        match peak {
            Peak::On => &self.onpeak,
            Peak::Off => &self.offpeak,
        }
    }

    fn is_in_force(&self, at: DateTime<Utc>) -> bool {
        self.valid_from.is_none_or(|from| from <= at) && self.valid_to.is_none_or(|to| at < to)
    }
}

/// The fee that prices a call.
pub(crate) struct Match<'a> {
    pub(crate) fee: FeeId,
    pub(crate) terms: &'a Terms,
    pub(crate) zone: &'a str,
    pub(crate) zone_detail: &'a str,
    /// How much of the number called its prefix covers.
    pub(crate) destination_len: usize,
}

impl Tariff {
    /// Compiles a version.
    ///
    /// # Errors
    ///
    /// [`TariffError`] with the first fee or setting that makes no sense or cannot be priced.
    pub fn compile(version: &TariffVersion) -> Result<Tariff, TariffError> {
        Self::compile_with(version, &HashMap::new())
    }

    pub(crate) fn compile_with(
        version: &TariffVersion,
        options: &HashMap<FeeId, FeeOptions>,
    ) -> Result<Tariff, TariffError> {
        compile(version, options).map_err(|fault| TariffError {
            version: version.id,
            profile: version.profile.handle.clone(),
            fault,
        })
    }

    /// The version it was made of.
    pub fn version(&self) -> ProfileVersionId {
        self.version
    }

    /// The profile, over all its versions.
    pub fn profile(&self) -> &model::BillingProfile {
        &self.profile
    }

    /// Prices calls that start at or after this, until the next version of the profile.
    pub fn valid_from(&self) -> DateTime<Utc> {
        self.valid_from
    }

    /// Whether pricing call by call needs no balance beside the tariff. The workbench keeps one; the pipeline does not.
    ///
    /// # Errors
    ///
    /// [`TariffFault::NotOffered`] naming the setting that asks for a balance.
    pub fn without_balance(&self) -> Result<(), TariffError> {
        let what = match (self.gives_free_cash, self.uses_free_time) {
            (true, _) => "interval_free_cash above 0",
            (false, true) => "use_free_time on a fee",
            (false, false) => return Ok(()),
        };
        Err(TariffError {
            version: self.version,
            profile: self.profile.handle.clone(),
            fault: TariffFault::NotOffered {
                what: format!("{what} in live rating"),
                remedy: "set it to 0, or price the calls with tollbook rate",
            },
        })
    }

    /// The fee for a call: longest destination prefix, then longest source prefix, in force at `at`.
    pub(crate) fn find(
        &self,
        direction: Direction,
        source: &str,
        destination: &str,
        at: DateTime<Utc>,
    ) -> Option<Match<'_>> {
        let tree = match direction {
            Direction::Out => &self.outgoing,
            Direction::In => &self.incoming,
        };
        tree.longest_first(destination).find_map(|sources| match sources {
            Sources::Any(entries) => self.in_force(*entries, at),
            Sources::ByPrefix(tree) => {
                tree.longest_first(source).find_map(|entries| self.in_force(*entries, at))
            }
        })
    }

    fn in_force(&self, entries: Entries, at: DateTime<Utc>) -> Option<Match<'_>> {
        let first = entries.first as usize;
        self.entries[first..first + entries.count as usize].iter().find_map(|entry| {
            let terms = &self.terms[entry.terms as usize];
            let (zone, zone_detail) = &self.zones[entry.zone as usize];
            terms.is_in_force(at).then_some(Match {
                fee: entry.fee,
                terms,
                zone,
                zone_detail,
                destination_len: entry.destination_len as usize,
            })
        })
    }
}

fn compile(version: &TariffVersion, options: &HashMap<FeeId, FeeOptions>) -> Result<Tariff, TariffFault> {
    match version.fee_match {
        FeeMatch::Prefix => {}
        FeeMatch::Reference => {
            return Err(TariffFault::NotOffered {
                what: "fee_match = \"reference\"".to_owned(),
                remedy: "write the fees as prefixes and set fee_match = \"prefix\"",
            });
        }
    }
    let split_at_border = match version.peak_split {
        PeakSplit::IntervalStart => false,
        PeakSplit::Boundary => true,
        PeakSplit::ReferenceFragments => {
            return Err(TariffFault::NotOffered {
                what: "split_at_peak = \"reference_fragments\"".to_owned(),
                remedy: "use \"boundary\" or \"interval_start\"",
            });
        }
    };
    if version.rounding.scale > 6 {
        return Err(TariffFault::BadRounding { scale: version.rounding.scale });
    }
    check_spans(version)?;

    let mut fees: Vec<&Fee> = version.fees.iter().collect();
    fees.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut builder = Builder::new(version.rounding);
    let mut outgoing = Vec::new();
    let mut incoming = Vec::new();
    for of_destination in fees.chunk_by(|a, b| (a.direction, &a.destination) == (b.direction, &b.destination))
    {
        let mut by_source = Vec::new();
        for of_source in of_destination.chunk_by(|a, b| a.source == b.source) {
            by_source.push((of_source[0].source.clone(), builder.entries(of_source, options)?));
        }
        let sources = match by_source.as_slice() {
            [(source, entries)] if source.is_empty() => Sources::Any(*entries),
            _ => Sources::ByPrefix(Box::new(PrefixTree::build(by_source))),
        };
        let pairs = match of_destination[0].direction {
            Direction::Out => &mut outgoing,
            Direction::In => &mut incoming,
        };
        pairs.push((of_destination[0].destination.clone(), sources));
    }
    let uses_free_time = builder.terms.iter().any(|t| t.onpeak.use_free_time || t.offpeak.use_free_time);
    Ok(Tariff {
        version: version.id,
        profile: version.profile.clone(),
        valid_from: version.valid_from,
        rounding: version.rounding,
        split_at_border,
        calendar: PeakCalendar::new(version.profile.timezone, &version.weekdays, &version.specials),
        outgoing: PrefixTree::build(outgoing),
        incoming: PrefixTree::build(incoming),
        entries: builder.entries,
        terms: builder.terms,
        zones: builder.zones,
        gives_free_cash: !version.interval_free_cash.is_zero(),
        uses_free_time: uses_free_time && version.interval_free_seconds > 0,
    })
}

/// Puts fees for the same calls beside each other, in order of time.
fn key(fee: &Fee) -> (Direction, &str, &str, Option<DateTime<Utc>>) {
    (fee.direction, &fee.destination, &fee.source, fee.valid_from)
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

/// Everything that [`Terms`] are made of.
#[derive(PartialEq, Eq, Hash)]
struct TermsKey {
    rates: [(Decimal, u32, u32); 4],
    connection_fee: Decimal,
    bounds: (Option<Decimal>, Option<Decimal>),
    validity: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    options: FeeOptions,
}

/// Collects entries, each distinct [`Terms`] and zone once.
struct Builder {
    rounding: Rounding,
    entries: Vec<Entry>,
    terms: Vec<Terms>,
    terms_seen: HashMap<TermsKey, u32>,
    zones: Vec<(Arc<str>, Arc<str>)>,
    zones_seen: HashMap<(String, String), u32>,
}

impl Builder {
    fn new(rounding: Rounding) -> Self {
        Self {
            rounding,
            entries: Vec::new(),
            terms: Vec::new(),
            terms_seen: HashMap::new(),
            zones: Vec::new(),
            zones_seen: HashMap::new(),
        }
    }

    /// Fees of one direction, destination and source, ordered by the time they come into force.
    fn entries(
        &mut self,
        fees: &[&Fee],
        options: &HashMap<FeeId, FeeOptions>,
    ) -> Result<Entries, TariffFault> {
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
        let first = index(self.entries.len());
        for fee in fees {
            let options = options.get(&fee.id).copied().unwrap_or_default();
            let entry = Entry {
                fee: fee.id,
                terms: self.terms(fee, options)?,
                zone: self.zone(fee),
                destination_len: index(fee.destination.len()),
            };
            self.entries.push(entry);
        }
        Ok(Entries { first, count: index(fees.len()) })
    }

    fn terms(&mut self, fee: &Fee, options: FeeOptions) -> Result<u32, TariffFault> {
        let bad =
            |rule: String| TariffFault::BadFee { fee: fee.id, destination: fee.destination.clone(), rule };
        let rates = [fee.onpeak_init, fee.onpeak_follow, fee.offpeak_init, fee.offpeak_follow];
        let key = TermsKey {
            rates: rates.map(|rate| (rate.price, rate.per_seconds, rate.interval_seconds)),
            connection_fee: fee.connection_fee,
            bounds: (fee.minimum_charge, fee.maximum_charge),
            validity: (fee.valid_from, fee.valid_to),
            options,
        };
        if let Some(&seen) = self.terms_seen.get(&key) {
            return Ok(seen);
        }
        let terms = self.new_terms(fee, &rates, options).map_err(bad)?;
        let idx = index(self.terms.len());
        self.terms.push(terms);
        self.terms_seen.insert(key, idx);
        Ok(idx)
    }

    fn new_terms(&self, fee: &Fee, rates: &[Rate; 4], options: FeeOptions) -> Result<Terms, String> {
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
            .chain([fee.connection_fee])
            .chain(fee.minimum_charge)
            .chain(fee.maximum_charge)
            .chain(options.onpeak.extra.map(|(_, amount)| amount))
            .chain(options.offpeak.extra.map(|(_, amount)| amount));
        let scale = amounts.map(|amount| amount.normalize().scale()).fold(self.rounding.scale, u32::max);
        exact_terms(fee, rates, options, scale, self.rounding.scale)
            .ok_or_else(|| "its amounts have too many digits together; use fewer decimals".to_owned())
    }

    fn zone(&mut self, fee: &Fee) -> u32 {
        let key = (fee.zone.clone(), fee.zone_detail.clone());
        let zones = &mut self.zones;
        *self.zones_seen.entry(key).or_insert_with_key(|(zone, detail)| {
            zones.push((zone.as_str().into(), detail.as_str().into()));
            index(zones.len() - 1)
        })
    }
}

/// The terms in parts of a unit that makes every amount and every price of a second a whole number: `10^scale` for the
/// decimals, times the least common multiple of the seconds that prices are for. `None` if that leaves 127 bits.
fn exact_terms(
    fee: &Fee,
    rates: &[Rate; 4],
    options: FeeOptions,
    scale: u32,
    rounding_scale: u32,
) -> Option<Terms> {
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
            Some((second, value)) => Some((second, amount(value)?)),
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
        onpeak: peak_terms(options.onpeak)?,
        offpeak: peak_terms(options.offpeak)?,
        valid_from: fee.valid_from,
        valid_to: fee.valid_to,
    })
}

pub(crate) fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

fn index(len: usize) -> u32 {
    u32::try_from(len).expect("a tariff has fewer than 4 billion fees: they fit in memory")
}
