//! Facts of the day that decide a price: ported numbers, networks, exchange rates, attempts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{
    AccountId, BillingNetwork, CallStatus, Cdr, Direction, Directory, ExchangeRate, ExtraRate, Fee, FeeMatch,
    MatchMode, NetworkId, PeakOptions, PortedNumber, ProfileId, ProfileMapping, ProfileVersionId,
    TariffVersion, TenantId,
};

use super::house::tried;
use super::stage::{ALICE, CARRIER_A, RESELLER, cdr, directory, subscriber, trunk};
use super::{fee, vienna};
use crate::{CallToPrice, RatingError, RatingSnapshot, Tariff, explain, price};

fn ported(number: &str, carrier: &str, number_type: &str) -> PortedNumber {
    PortedNumber {
        number: number.to_owned(),
        carrier: carrier.to_owned(),
        number_type: number_type.to_owned(),
        from: None,
        to: None,
    }
}

/// Destination and cost of each charge of a call.
fn charges(directory: &Directory, cdr: &Cdr) -> Vec<String> {
    let snapshot = RatingSnapshot::build(Arc::new(directory.clone()), None).unwrap();
    match snapshot.charges(cdr) {
        Ok(charges) => charges
            .iter()
            .map(|charge| {
                format!("{} {}: {} {}", charge.provider, charge.matched, charge.cost, charge.currency)
            })
            .collect(),
        Err(why) => vec![why.code().to_owned()],
    }
}

fn call() -> Cdr {
    cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A))
}

/// The tariff of `directory` that calls of a profile are priced by.
fn of_profile(directory: &mut Directory, profile: i64) -> &mut TariffVersion {
    directory.tariffs.iter_mut().find(|version| version.profile.id == ProfileId(profile)).unwrap()
}

#[test]
fn ported_number_is_priced_by_its_carrier_then_its_type_then_its_prefix() {
    let mut directory = directory();
    // Only the carrier's profile has fees for ported numbers.
    let fees = &mut of_profile(&mut directory, 3).fees;
    fees.push(Fee { destination: "lnp:7".to_owned(), ..fee("* 0.60 0.60 1/1") });
    fees.push(Fee { destination: "lnpnumbertype:mobile".to_owned(), ..fee("* 0.30 0.30 1/1") });
    assert_eq!(charges(&directory, &call())[0], "carrier 49: 0.02 EUR");
    let mut with = |numbers: Vec<PortedNumber>| {
        directory.ported_numbers = numbers;
        charges(&directory, &call())
    };
    assert_eq!(
        with(vec![ported("4930555123", "7", "mobile")]),
        ["carrier lnp:7: 0.6 EUR", "reseller 49: 0.04 EUR", "customer 49: 0.06 EUR"]
    );
    assert_eq!(with(vec![ported("4930", "8", "mobile")])[0], "carrier lnpnumbertype:mobile: 0.3 EUR");
    assert_eq!(with(vec![ported("4930", "8", "")])[0], "carrier 49: 0.02 EUR");
    // The longest entry counts, and of it what holds at the start of the call: 2026-10-05, 10:00 UTC.
    let dated = |from: &str, to: &str| PortedNumber {
        from: from.parse().ok(),
        to: to.parse().ok(),
        ..ported("4930555123", "7", "")
    };
    let range = || ported("4930", "8", "mobile");
    assert_eq!(with(vec![range(), dated("2026-10-05T10:00:00Z", "")])[0], "carrier lnp:7: 0.6 EUR");
    assert_eq!(
        with(vec![range(), dated("", "2026-10-05T10:00:00Z")])[0],
        "carrier lnpnumbertype:mobile: 0.3 EUR"
    );
}

#[test]
fn fee_for_ported_numbers_comes_before_every_other_mode_of_the_reference() {
    // An exact fee for the number itself, and one for the carrier that serves it (billing-reference 3.4, step 1).
    let mut version = vienna(&["4930555123 0.01 0.01 60/60", "lnp:7 0.60 0.60 60/60"]);
    version.fee_match = FeeMatch::Reference;
    version.fees[0].match_mode = MatchMode::ExactDestination;
    // Its source is not looked at, as nowhere for exact destinations.
    version.fees[1] =
        Fee { source: "^99".to_owned(), match_mode: MatchMode::ExactDestination, ..version.fees[1].clone() };
    let tariff = Tariff::compile(&version).unwrap();
    let number = ported("4930555123", "7", "");
    let cost = |ported| {
        let start = "2026-03-02T12:00:00Z".parse().unwrap();
        let call = CallToPrice {
            source: "43660555123@a.example",
            destination: "4930555123@b.example",
            direction: Direction::Out,
            start,
            duration_us: 60_000_000,
            ported,
        };
        price(&tariff, &call).unwrap().cost.to_string()
    };
    assert_eq!((cost(Some(&number)), cost(None)), ("0.6".to_owned(), "0.01".to_owned()));
}

#[test]
fn attempt_that_nobody_answered_costs_the_fee_for_attempts_and_nothing_else() {
    let mut directory = directory();
    let attempts = tried(&call());
    let busy = Cdr { status: CallStatus::Busy, code: 486, duration_us: 0, attempts, ..call() };
    assert_eq!(charges(&directory, &busy), [] as [String; 0]);
    let carriers = &mut of_profile(&mut directory, 3).fees[0];
    carriers.failed_attempt_fee = "0.0025".parse().unwrap();
    // Neither bounds nor connection fee are for attempts.
    carriers.connection_fee = 1.into();
    carriers.minimum_charge = Some(2.into());
    assert_eq!(charges(&directory, &busy), ["carrier 49: 0.0025 EUR"]);
    // An answered call does not pay it: 1.00 and two cents, at least 2.00.
    assert_eq!(charges(&directory, &call())[0], "carrier 49: 2 EUR");
    // What we refused ourselves is nobody's attempt.
    let mut refused = busy.clone();
    refused.detail.refused_by = "account 10 lock 2".into();
    assert_eq!(charges(&directory, &refused), [] as [String; 0]);
    // Neither is what its caller gave up before an INVITE went out; what another system tried is.
    let mut given_up = Cdr { attempts: Vec::new(), ..busy.clone() };
    assert_eq!(charges(&directory, &given_up), [] as [String; 0]);
    given_up.detail.foreign_key = "pbx/1".into();
    assert_eq!(charges(&directory, &given_up), ["carrier 49: 0.0025 EUR"]);
    // An attempt to nowhere is no error: there is nothing to be billed.
    let mut nowhere = busy;
    nowhere.destination.number = Some("8613800000000".parse().unwrap());
    assert_eq!(charges(&directory, &nowhere), [] as [String; 0]);
}

#[test]
fn profile_bound_to_a_network_prices_calls_from_there() {
    let mut directory = directory();
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let mut office = directory.tariffs[0].clone();
    office.id = ProfileVersionId(9);
    office.profile.id = ProfileId(9);
    let fee = &mut office.fees[0];
    fee.onpeak_init.price = 1.into();
    fee.onpeak_follow.price = 1.into();
    directory.tariffs.push(office);
    directory.networks.push(BillingNetwork {
        id: NetworkId(5),
        tenant: TenantId(1),
        name: "office".to_owned(),
        blocks: vec!["192.0.2.0/28".to_owned()],
    });
    let alice = directory.accounts.iter_mut().find(|account| account.id == ALICE).unwrap();
    let bound = ProfileMapping {
        from: at("2026-10-01T00:00:00Z"),
        to: Some(at("2026-10-06T00:00:00Z")),
        network: Some(NetworkId(5)),
        profile: ProfileId(9),
    };
    alice.profiles.push(bound);
    // A later one for everywhere does not displace it.
    alice.profiles.push(ProfileMapping {
        from: at("2026-10-02T00:00:00Z"),
        to: None,
        network: None,
        profile: ProfileId(1),
    });
    let cost = |ip: &str, start: &str| {
        let mut call = Cdr { start_at: at(start), ..call() };
        call.source.ip = ip.into();
        charges(&directory, &call).pop().unwrap()
    };
    let noon = "2026-10-05T10:00:00Z";
    assert_eq!(cost("192.0.2.1", noon), "customer 49: 1 EUR");
    assert_eq!(cost("192.0.2.16", noon), "customer 49: 0.06 EUR");
    assert_eq!(cost("", noon), "customer 49: 0.06 EUR");
    assert_eq!(cost("192.0.2.1", "2026-09-30T23:59:59Z"), "customer 49: 0.06 EUR");
    assert_eq!(cost("192.0.2.1", "2026-10-06T00:00:00Z"), "customer 49: 0.06 EUR", "its end is exclusive");
}

#[test]
fn mapping_that_ends_gives_way_to_the_one_before() {
    let mut directory = directory();
    let alice = directory.accounts.iter_mut().find(|account| account.id == ALICE).unwrap();
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    alice.profiles.push(ProfileMapping {
        from: at("2026-10-01T00:00:00Z"),
        to: Some(at("2026-10-05T10:00:00Z")),
        network: None,
        profile: ProfileId(3),
    });
    assert_eq!(alice.profile_at(at("2026-10-05T09:59:59Z")), Some(ProfileId(3)));
    assert_eq!(alice.profile_at(at("2026-10-05T10:00:00Z")), Some(ProfileId(1)));
}

fn rate(from: &str, to: &str, rate: &str, valid_from: &str) -> ExchangeRate {
    ExchangeRate {
        tenant: TenantId(1),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        rate: rate.parse().unwrap(),
        valid_from: valid_from.parse().unwrap(),
    }
}

#[test]
fn price_in_another_currency_is_converted_by_the_rate_of_the_calls_start() {
    let mut directory = directory();
    of_profile(&mut directory, 3).profile.currency = "USD".parse().unwrap();
    assert_eq!(charges(&directory, &call()), ["RAT006"]);
    // The other way round is another rate, and one of another day does not hold yet.
    directory.exchange_rates = vec![
        rate("EUR", "USD", "1.1", "2026-01-01T00:00:00Z"),
        rate("USD", "EUR", "0.5", "2026-10-05T10:00:01Z"),
    ];
    assert_eq!(charges(&directory, &call()), ["RAT006"]);
    directory.exchange_rates.push(rate("USD", "EUR", "0.913377", "2026-10-05T10:00:00Z"));
    directory.exchange_rates.push(rate("USD", "EUR", "0.9", "2026-10-04T00:00:00Z"));
    // 0.02 USD * 0.913377 = 0.01826754 EUR, half-up to six decimals.
    assert_eq!(charges(&directory, &call())[0], "carrier 49: 0.018268 EUR");
    let snapshot = RatingSnapshot::build(Arc::new(directory), None).unwrap();
    let charges = snapshot.charges(&call()).unwrap();
    expect_test::expect![[r#"
        carrier out, account 20: profile carrier version 3, fee 1 for 49, zone zone 49
          2026-10-05 12:00:00 CEST      1 s  onpeak   first 1 s    0.02 per 60 s  0.0003333333333333333333333333
          2026-10-05 12:00:01 CEST     59 s  onpeak   then 1 s     0.02 per 60 s  0.0196666666666666666666666667
          60 s billed (60 onpeak, 0 offpeak): 0.02 USD, half_up 6
          0.02 USD at 0.913377, the rate since 2026-10-05 10:00:00 UTC: 0.018268 EUR
    "#]]
    .assert_eq(&explain(&charges[0], chrono_tz::Europe::Vienna));
}

#[test]
fn extra_rate_is_added_once_in_live_rating_too() {
    let mut directory = directory();
    let extra = Some(ExtraRate { second: 59, amount: "0.50".parse().unwrap() });
    of_profile(&mut directory, 1).fees[0].onpeak = PeakOptions { use_free_time: false, extra };
    assert_eq!(charges(&directory, &call())[2], "customer 49: 0.56 EUR");
    let shorter = Cdr { duration_us: 59_000_000, ..call() };
    assert_eq!(charges(&directory, &shorter)[2], "customer 49: 0.06 EUR");
}

#[test]
fn error_about_two_currencies_says_what_is_missing() {
    let why = RatingError::TwoCurrencies {
        account: AccountId(1),
        account_currency: "EUR".parse().unwrap(),
        tariff_currency: "USD".parse().unwrap(),
        profile: "retail".to_owned(),
        at: "2026-10-05T10:00:00Z".parse().unwrap(),
    };
    assert!(why.to_string().contains("exchange_rates"));
}
