//! Tests over the whole room, and what they share: a tariff in a few words, a call in one line, the evidence as a picture.

mod attempts;
mod charger;
mod contracts;
mod dated;
mod hard_cases;
mod house;
mod in_any_order;
mod in_order;
mod in_order_later;
mod live_fragments;
mod online;
mod packages;
mod price_lists;
mod prices;
mod properties;
mod repriced;
mod sample;
mod stage;
mod workbench;

use chrono::DateTime;
use chrono_tz::Tz;
use expect_test::Expect;
use model::{
    AccountId, BillingInterval, BillingProfile, Charge, Currency, Direction, Fee, FeeId, FeeMatch, MatchMode,
    OffPeakWeekday, PeakOptions, PeakSplit, ProfileId, ProfileVersionId, Provider, Rate, Rounding,
    TariffVersion, TenantId,
};
use rust_decimal::Decimal;

use crate::{CallToPrice, RatingError, Tariff, explain, price};

/// A fee from `DESTINATION ON-PEAK OFF-PEAK INIT/FOLLOW`, prices per minute, such as `49 0.06 0.03 60/1`; `*` is any number.
fn fee(spec: &str) -> Fee {
    let words: Vec<&str> = spec.split_whitespace().collect();
    let [destination, on, off, intervals] = words[..] else { panic!("{spec}: four words") };
    let (init, follow) = intervals.split_once('/').unwrap();
    let rate = |price: &str, interval: &str| Rate {
        price: price.parse().unwrap(),
        per_seconds: 60,
        interval_seconds: interval.parse().unwrap(),
    };
    Fee {
        id: FeeId(0),
        source: String::new(),
        destination: destination.trim_start_matches('*').to_owned(),
        direction: Direction::Out,
        match_mode: MatchMode::Prefix,
        zone: format!("zone {destination}"),
        zone_detail: String::new(),
        onpeak_init: rate(on, init),
        onpeak_follow: rate(on, follow),
        offpeak_init: rate(off, init),
        offpeak_follow: rate(off, follow),
        connection_fee: Decimal::ZERO,
        minimum_charge: None,
        maximum_charge: None,
        failed_attempt_fee: Decimal::ZERO,
        onpeak: PeakOptions::default(),
        offpeak: PeakOptions::default(),
        valid_from: None,
        valid_to: None,
    }
}

fn version(zone: Tz, fees: Vec<Fee>) -> TariffVersion {
    let fees = fees.into_iter().zip(1..).map(|(fee, id)| Fee { id: FeeId(id), ..fee }).collect();
    TariffVersion {
        id: ProfileVersionId(1),
        profile: BillingProfile {
            id: ProfileId(1),
            tenant: TenantId(1),
            handle: "retail".to_owned(),
            name: "Retail".to_owned(),
            currency: Currency::EUR,
            timezone: zone,
            prepaid: false,
        },
        valid_from: DateTime::UNIX_EPOCH,
        rounding: Rounding::default(),
        fee_match: FeeMatch::Prefix,
        peak_split: PeakSplit::IntervalStart,
        compat: false,
        interval: BillingInterval::default(),
        interval_charge: Decimal::ZERO,
        interval_free_seconds: 0,
        interval_free_cash: Decimal::ZERO,
        interval_price: None,
        fees,
        weekdays: Vec::new(),
        specials: Vec::new(),
    }
}

fn vienna(fees: &[&str]) -> TariffVersion {
    version(chrono_tz::Europe::Vienna, fees.iter().map(|spec| fee(spec)).collect())
}

/// Off-peak spans from `mon 18:00:00 23:59:59`.
fn spans(specs: &[&str]) -> Vec<OffPeakWeekday> {
    let span = |spec: &&str| {
        let words: Vec<&str> = spec.split_whitespace().collect();
        OffPeakWeekday {
            day: words[0].parse().unwrap(),
            start: words[1].parse().unwrap(),
            end: words[2].parse().unwrap(),
        }
    };
    specs.iter().map(span).collect()
}

/// Prices `START SECONDS DESTINATION`, such as `2026-03-02T17:59:30+01:00 90 4930555123`.
fn priced(version: &TariffVersion, call: &str) -> Result<Charge, RatingError> {
    let words: Vec<&str> = call.split_whitespace().collect();
    let [start, seconds, destination] = words[..] else { panic!("{call}: three words") };
    let micros = seconds.parse::<Decimal>().unwrap() * Decimal::from(1_000_000);
    let call = CallToPrice {
        ported: None,
        source: "43660555123",
        destination,
        direction: Direction::Out,
        start: start.parse().unwrap(),
        duration_us: micros.try_into().unwrap(),
    };
    let tariff = Tariff::compile(version).unwrap();
    price(&tariff, &call).map(|priced| priced.into_charge(Provider::Customer, Direction::Out, AccountId(7)))
}

fn check(version: &TariffVersion, call: &str, expected: Expect) {
    let picture = match priced(version, call) {
        Ok(charge) => explain(&charge, version.profile.timezone),
        Err(error) => format!("{} {error}\n", error.code()),
    };
    expected.assert_eq(&picture);
}
