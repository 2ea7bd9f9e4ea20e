//! What a call costs so far: an estimate for the watch, made while the call is up and never billed.
//!
//! The fee is the one with the longest destination prefix, then the longest source prefix; a fee in another match mode is not
//! looked at. The peak state at the start of the call holds for all of it. Free minutes and caps are left to rating, and so are prices by
//! what was used in an interval: with either, an estimate says little.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use model::{Account, Direction, Fees, MatchMode, ProfileId, ProfileVersionId, Rate, TariffVersion};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::zones::Zones;

/// Ten-thousandths of a currency unit in a unit of our sums: a millionth of them, so that a second of a cheap minute counts.
const FINE: i64 = 1_000_000;

/// Ten-thousandths in a currency unit.
const UNIT: i64 = 10_000;

/// A number of digits and its value: a prefix.
type Prefix = (u8, u64);

/// What one call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct CallPrice {
    /// Of the connection and the first interval, in millionths of ten-thousandths.
    #[serde(rename = "i")]
    init: i64,
    #[serde(rename = "n")]
    init_seconds: u32,
    /// Of each following interval.
    #[serde(rename = "f")]
    follow: i64,
    #[serde(rename = "s")]
    follow_seconds: u32,
}

impl CallPrice {
    /// Ten-thousandths of a currency unit for so many seconds answered; a credit counts as nothing.
    pub(crate) fn cost(self, seconds: u64) -> u64 {
        if seconds == 0 {
            return 0;
        }
        let beyond = seconds.saturating_sub(u64::from(self.init_seconds));
        let n_more =
            i64::try_from(beyond.div_ceil(u64::from(self.follow_seconds.max(1)))).unwrap_or(i64::MAX);
        let fine = self.init.saturating_add(self.follow.saturating_mul(n_more));
        u64::try_from(fine / FINE).unwrap_or(0)
    }

    /// Ten-thousandths for each minute more.
    pub(crate) fn rate_per_minute(self) -> i64 {
        (self.follow.saturating_mul(60) / i64::from(self.follow_seconds.max(1)) / FINE).max(0)
    }
}

/// One fee, on-peak and off-peak.
#[derive(Debug)]
struct ListedFee {
    source: Prefix,
    onpeak: CallPrice,
    offpeak: CallPrice,
}

/// The fees of one tariff version.
#[derive(Debug)]
struct Version {
    version: ProfileVersionId,
    valid_from: DateTime<Utc>,
    is_left_to_rating: bool,
    by_destination: HashMap<Prefix, Vec<ListedFee>>,
    /// Lengths of prefixes that there are, longest first.
    lengths: Vec<u8>,
    calendar: TariffVersion,
}

/// The prices of all profiles.
#[derive(Debug, Default)]
pub(crate) struct PriceList {
    /// Versions of each profile, oldest first.
    profiles: HashMap<ProfileId, Vec<Version>>,
}

impl PriceList {
    pub(crate) fn build(tariffs: &[TariffVersion]) -> Self {
        let mut profiles: HashMap<ProfileId, Vec<Version>> = HashMap::new();
        for tariff in tariffs {
            profiles.entry(tariff.profile.id).or_default().push(Version::build(tariff));
        }
        for versions in profiles.values_mut() {
            versions.sort_by_key(|version| (version.valid_from, version.version.0));
        }
        Self { profiles }
    }

    /// The price of a call of `account` from `cli` to `callee` that starts at `at`; `None` where no fee is found.
    pub(crate) fn price(
        &self,
        account: &Account,
        cli: Option<u64>,
        callee: u64,
        at: DateTime<Utc>,
        zones: &mut Zones,
    ) -> Option<CallPrice> {
        self.version(account, at)?.price(cli, callee, at, zones)
    }

    /// Whether calls of `account` may be covered by free minutes, or cost what all that was used in an interval makes of them, so that an
    /// estimate of their cost says little.
    pub(crate) fn is_left_to_rating(&self, account: &Account, at: DateTime<Utc>) -> bool {
        self.version(account, at).is_some_and(|version| version.is_left_to_rating)
    }

    fn version(&self, account: &Account, at: DateTime<Utc>) -> Option<&Version> {
        let versions = self.profiles.get(&account.profile_at(at)?)?;
        versions.iter().rev().find(|version| version.valid_from <= at)
    }
}

impl Version {
    fn build(tariff: &TariffVersion) -> Self {
        let mut by_destination: HashMap<Prefix, Vec<ListedFee>> = HashMap::new();
        for fee in &tariff.fees {
            let is_looked_at = match fee.match_mode {
                MatchMode::Prefix | MatchMode::ExactDestination => fee.direction == Direction::Out,
                MatchMode::RegexLongestMatch | MatchMode::RegexLongestPattern => false,
            };
            let prefixes = prefix_of(&fee.destination).zip(prefix_of(&fee.source));
            let Some((prefix, source)) = prefixes.filter(|_| is_looked_at) else { continue };
            let listed = ListedFee {
                source,
                onpeak: call_price(fee.connection_fee, fee.onpeak_init, fee.onpeak_follow),
                offpeak: call_price(fee.connection_fee, fee.offpeak_init, fee.offpeak_follow),
            };
            by_destination.entry(prefix).or_default().push(listed);
        }
        for fees in by_destination.values_mut() {
            fees.sort_by_key(|fee| std::cmp::Reverse(fee.source.0));
        }
        let lengths: BTreeSet<u8> = by_destination.keys().map(|prefix| prefix.0).collect();
        Version {
            version: tariff.id,
            valid_from: tariff.valid_from,
            is_left_to_rating: tariff.interval_free_seconds > 0 || tariff.interval_price.is_some(),
            lengths: lengths.into_iter().rev().collect(),
            by_destination,
            calendar: TariffVersion { fees: Fees::default(), ..tariff.clone() },
        }
    }

    fn price(
        &self,
        cli: Option<u64>,
        callee: u64,
        at: DateTime<Utc>,
        zones: &mut Zones,
    ) -> Option<CallPrice> {
        let n_digits = digits(callee);
        self.lengths.iter().filter(|length| **length <= n_digits).find_map(|length| {
            let fees = self.by_destination.get(&(*length, beginning(callee, *length)))?;
            let fee = fees.iter().find(|fee| fee.covers(cli))?;
            let is_same = fee.onpeak == fee.offpeak;
            Some(if !is_same && self.is_offpeak(at, zones) { fee.offpeak } else { fee.onpeak })
        })
    }

    fn is_offpeak(&self, at: DateTime<Utc>, zones: &mut Zones) -> bool {
        if self.calendar.specials.is_empty() && self.calendar.weekdays.is_empty() {
            return false;
        }
        let offset = zones.offset(at, self.calendar.profile.timezone);
        let local = at.naive_utc() + TimeDelta::seconds(offset);
        let is_special =
            self.calendar.specials.iter().any(|span| {
                span.start <= local && local.and_utc().timestamp() <= span.end.and_utc().timestamp()
            });
        is_special
            || self.calendar.weekdays.iter().any(|span| {
                span.day == local.weekday() && span.start <= local.time() && local.time() <= span.end
            })
    }
}

impl ListedFee {
    fn covers(&self, cli: Option<u64>) -> bool {
        let (length, value) = self.source;
        length == 0 || cli.is_some_and(|cli| digits(cli) >= length && beginning(cli, length) == value)
    }
}

/// The first digits of a number.
fn beginning(number: u64, length: u8) -> u64 {
    if length == 0 { 0 } else { number / 10_u64.pow(u32::from(digits(number).saturating_sub(length))) }
}

fn prefix_of(destination: &str) -> Option<Prefix> {
    if destination.is_empty() {
        return Some((0, 0));
    }
    let length = u8::try_from(destination.len()).ok().filter(|length| *length <= 15)?;
    destination.parse().ok().map(|value| (length, value))
}

/// Digits of a number.
pub(crate) fn digits(number: u64) -> u8 {
    u8::try_from(number.checked_ilog10().map_or(1, |log| log + 1)).unwrap_or(u8::MAX)
}

fn call_price(connection: Decimal, init: Rate, follow: Rate) -> CallPrice {
    CallPrice {
        init: fine(connection).saturating_add(interval(init)),
        init_seconds: init.interval_seconds,
        follow: interval(follow),
        follow_seconds: follow.interval_seconds,
    }
}

fn interval(rate: Rate) -> i64 {
    let price = rate
        .price
        .checked_mul(Decimal::from(rate.interval_seconds))
        .and_then(|price| price.checked_div(Decimal::from(rate.per_seconds.max(1))));
    fine(price.unwrap_or(Decimal::MAX))
}

fn fine(amount: Decimal) -> i64 {
    amount.checked_mul(Decimal::from(FINE * UNIT)).and_then(|fine| fine.to_i64()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use model::{IntervalPrice, PriceModel};

    use super::*;
    use crate::simulate::{Simulation, Size};

    #[test]
    fn price_by_what_was_used_is_left_to_rating() {
        let size = Size { customers: 12, days: 17, quiet_days: 15, attacks_each: 1 };
        let mut directory = Simulation::new(6, size).directory();
        let at = DateTime::<Utc>::MAX_UTC;
        let account = directory.accounts.iter().find(|account| account.profile_at(at).is_some()).unwrap();
        assert!(!PriceList::build(&directory.tariffs).is_left_to_rating(account, at));
        for tariff in &mut directory.tariffs {
            tariff.interval_price = Some(IntervalPrice {
                model: PriceModel::Volume,
                zones: Vec::new(),
                steps: Vec::new(),
                package_seconds: 0,
                package_price: Decimal::ZERO,
            });
        }
        assert!(PriceList::build(&directory.tariffs).is_left_to_rating(account, at));
    }
}
