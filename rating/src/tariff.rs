//! A tariff version, compiled: what [`crate::price()`] looks up.
//!
//! In: a [`TariffVersion`] as provisioned. Out: for a call, the fee that prices it, with its amounts as integers over one
//! common denominator, so that adding them up is exact and cheap. Equal prices and zones are kept once: a deck of
//! hundreds of thousands of prefixes has a few thousand of them.

mod compile;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{
    BalanceLength, Direction, Fee, FeeId, IntervalPrice, Peak, PeakSplit, PortedNumber, ProfileVersionId,
    Rate, Rounding, TariffVersion,
};

use crate::balance::Grant;
use crate::digit_ranges::DigitRanges;
use crate::error::TariffError;
use crate::fee_index::{Entries, Entry, FeeIndex, OFFERS_END, Run, Side, SourceTrees, Sources};
use crate::fee_leaves::FeeLeaves;
use crate::peak_calendar::PeakCalendar;
use crate::quick::{Bounds, QuickTerms};
use crate::reference_match::PatternTooSlow;

use self::compile::{CARRIER_OF, TYPE_OF, compile};

/// One version of a billing profile, ready to price calls.
#[derive(Debug, Clone)]
pub struct Tariff {
    version: ProfileVersionId,
    profile: model::BillingProfile,
    valid_from: DateTime<Utc>,
    pub(crate) rounding: Rounding,
    /// Such as `half_up 6`.
    pub(crate) rounding_text: String,
    /// Millionths of a currency unit that a step of the rounding is.
    pub(crate) micros_per_step: i64,
    pub(crate) peak_split: PeakSplit,
    /// Price like the reference, quirks included.
    pub(crate) compat: bool,
    pub(crate) calendar: PeakCalendar,
    index: FeeIndex,
    entries: Vec<Entry>,
    fees: FeeIds,
    terms: Vec<Terms>,
    /// Terms and zones as fees have them together: for calls of the usual kind, and place by place which terms those are.
    offers: Vec<QuickTerms>,
    terms_of_offers: Vec<u32>,
    bounds: Vec<Bounds>,
    zones: Vec<(Arc<str>, Arc<str>)>,
    /// Destinations of the fees as they were written, where `index` holds patterns; else empty.
    patterns: Vec<Box<str>>,
    /// Fees for ported numbers, by direction and what their destination names.
    ported: HashMap<(Direction, Box<str>), Sources>,
    ported_by_source: SourceTrees,
    /// Attempts that nobody answered may cost something.
    pub(crate) charges_attempts: bool,
    grant: Grant,
    interval: BalanceLength,
    pub(crate) interval_price: Option<IntervalPrice>,
}

/// Prices, bounds and validity of a fee. Amounts are integers: so many parts of a currency unit, `unit` parts making one.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub(crate) failed_attempt: i128,
    pub(crate) onpeak: PeakTerms,
    pub(crate) offpeak: PeakTerms,
}

/// [`model::PeakOptions`] in parts of the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeakTerms {
    pub(crate) use_free_time: bool,
    pub(crate) extra: Option<(u64, i128)>,
}

/// A rate, and what one second of it costs in parts of the unit: a whole number, because the unit was chosen so.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Whether some call may use free time.
    pub(crate) fn use_free_time(&self) -> bool {
        self.onpeak.use_free_time || self.offpeak.use_free_time
    }

    pub(crate) fn options(&self, peak: Peak) -> &PeakTerms {
        match peak {
            Peak::On => &self.onpeak,
            Peak::Off => &self.offpeak,
        }
    }
}

/// Which fee a place of [`Entry`] is: fees of a version are mostly numbered one after the other.
#[derive(Debug, Clone)]
enum FeeIds {
    /// So many more than this.
    From(i64),
    Listed(Vec<FeeId>),
}

impl FeeIds {
    fn of(fees: &[Fee]) -> Self {
        let ids = || fees.iter().map(|fee| fee.id.0);
        let (first, last) = (ids().min().unwrap_or(0), ids().max().unwrap_or(0));
        match last.checked_sub(first).map(u32::try_from) {
            Some(Ok(_)) => FeeIds::From(first),
            Some(Err(_)) | None => FeeIds::Listed(Vec::with_capacity(fees.len())),
        }
    }

    fn place(&mut self, id: FeeId) -> u32 {
        match self {
            FeeIds::From(first) => u32::try_from(id.0 - *first).expect("all fees were looked at"),
            FeeIds::Listed(listed) => {
                listed.push(id);
                index(listed.len() - 1)
            }
        }
    }

    #[inline]
    fn id(&self, place: u32) -> FeeId {
        match self {
            FeeIds::From(first) => FeeId(first + i64::from(place)),
            FeeIds::Listed(listed) => listed[place as usize],
        }
    }
}

/// The fee that prices a call.
#[derive(Clone, Copy)]
pub(crate) struct Match<'a> {
    tariff: &'a Tariff,
    entry: Entry,
    pub(crate) quick: &'a QuickTerms,
    /// Of a fee for ported numbers, which no number begins with.
    named: Option<&'a str>,
}

impl<'a> Match<'a> {
    #[inline]
    pub(crate) fn fee(&self) -> FeeId {
        self.tariff.fees.id(self.entry.fee)
    }

    pub(crate) fn terms(&self) -> &'a Terms {
        &self.tariff.terms[self.tariff.terms_of_offers[self.entry.offer as usize] as usize]
    }

    /// Zone and zone detail.
    #[inline]
    pub(crate) fn zone(&self) -> (&'a str, &'a str) {
        let (zone, zone_detail) = &self.tariff.zones[self.quick.zone as usize];
        (zone, zone_detail)
    }

    pub(crate) fn matched(&self) -> Matched<'a> {
        match (self.named, self.tariff.patterns.get(self.entry.matched as usize)) {
            (Some(pattern), _) => Matched::Pattern(pattern),
            (None, Some(pattern)) => Matched::Pattern(pattern),
            (None, None) => Matched::Prefix(self.entry.matched as usize),
        }
    }
}

/// What of a fee's destination matched.
pub(crate) enum Matched<'a> {
    /// So much of the number called.
    Prefix(usize),
    /// A pattern, or a whole destination.
    Pattern(&'a str),
}

impl Tariff {
    /// Compiles a version.
    ///
    /// # Errors
    ///
    /// [`TariffError`] with the first fee or setting that makes no sense or cannot be priced.
    pub fn compile(version: &TariffVersion) -> Result<Tariff, TariffError> {
        compile(version).map_err(|fault| TariffError {
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

    /// What a billing interval gives to an account of this profile.
    pub(crate) fn grant(&self) -> Grant {
        self.grant
    }

    /// How long free time and free cash are there for.
    pub(crate) fn interval(&self) -> BalanceLength {
        self.interval
    }

    /// Whether fees are chosen in the reference's order, which looks at domains too.
    pub(crate) fn matches_domains(&self) -> bool {
        matches!(self.index.outgoing, Side::Reference(_))
    }

    /// Bytes that the look-up tables take, compiled regular expressions left out.
    pub fn bytes(&self) -> usize {
        let patterns = self.patterns.iter().map(|text| text.len()).sum::<usize>();
        self.index.bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.terms.capacity() * size_of::<Terms>()
            + self.offers.capacity() * (size_of::<QuickTerms>() + size_of::<u32>())
            + self.bounds.capacity() * size_of::<Bounds>()
            + self.ported_by_source.bytes()
            + self.patterns.capacity() * size_of::<Box<str>>()
            + patterns
    }

    /// Bounds of fees, which [`QuickTerms`] know by place.
    #[inline]
    pub(crate) fn bounds(&self) -> &[Bounds] {
        &self.bounds
    }

    /// The fee for a call, in force at `at`, microseconds since 1970 UTC.
    #[inline(always)]
    pub(crate) fn find(
        &self,
        direction: Direction,
        source: &str,
        destination: &str,
        ported: Option<&PortedNumber>,
        at: i64,
    ) -> Result<Option<Match<'_>>, PatternTooSlow> {
        if !self.ported.is_empty()
            && let Some(number) = ported
            && let Some(found) = self.find_ported(direction, source, number, at)
        {
            return Ok(Some(found));
        }
        self.index.find(direction, source, destination, |entries| self.in_force(entries, at))
    }

    /// As [`FeeIndex::leaves`], unless a call to `ported` has to be looked up otherwise.
    #[inline(always)]
    pub(crate) fn leaves(
        &self,
        direction: Direction,
        ported: Option<&PortedNumber>,
    ) -> Option<(&FeeLeaves, &DigitRanges)> {
        if !self.ported.is_empty() && ported.is_some() {
            return None;
        }
        self.index.leaves(direction)
    }

    /// The fee for the carrier that serves the number, else for its type (billing-reference 3.4).
    fn find_ported(
        &self,
        direction: Direction,
        source: &str,
        number: &PortedNumber,
        at: i64,
    ) -> Option<Match<'_>> {
        let names = [(CARRIER_OF, &number.carrier), (TYPE_OF, &number.number_type)];
        names.into_iter().filter(|(_, name)| !name.is_empty()).find_map(|(of, name)| {
            let key = (direction, format!("{of}{name}").into_boxed_str());
            let ((_, destination), sources) = self.ported.get_key_value(&key)?;
            let found =
                self.ported_by_source.find(*sources, source, &|entries| self.in_force(entries, at))?;
            Some(Match { named: Some(destination), ..found })
        })
    }

    #[inline(always)]
    fn in_force(&self, entries: Entries, at: i64) -> Option<Match<'_>> {
        match entries.run() {
            Run::One(entry) => self.entry_in_force(entry, at),
            Run::Several { first, count } => {
                self.entries[first..first + count].iter().find_map(|entry| self.entry_in_force(*entry, at))
            }
        }
    }

    /// `entry`, if it is in force at `at`, microseconds since 1970 UTC.
    #[inline(always)]
    pub(crate) fn entry_in_force(&self, entry: Entry, at: i64) -> Option<Match<'_>> {
        let quick = &self.offers[entry.offer as usize];
        quick.is_in_force(at, &self.bounds).then_some(Match { tariff: self, entry, quick, named: None })
    }
}

pub(crate) fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

fn index(len: usize) -> u32 {
    let fits = u32::try_from(len).ok().filter(|place| *place < OFFERS_END);
    fits.expect("a tariff has fewer than 4 billion fees: they fit in memory")
}
