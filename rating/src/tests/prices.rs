//! Named cases of the price of one call.

use expect_test::expect;
use model::{Direction, PeakSplit, Rate, Rounding, RoundingMode};
use rust_decimal::Decimal;

use super::{check, fee, priced, spans, vienna};
use crate::{CallToPrice, RatingError, Tariff, TariffFault, price};

const MONDAY_NOON: &str = "2026-03-02T12:00:00+01:00";

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn cost(version: &model::TariffVersion, call: &str) -> Decimal {
    priced(version, call).unwrap().cost
}

#[test]
fn a_cent_a_minute_is_billed_exactly() {
    // 60 / 60 × 0.01. A price per second of 0.00017 would make it 0.0102.
    let per_second = vienna(&["49 0.01 0.01 1/1"]);
    assert_eq!(cost(&per_second, &format!("{MONDAY_NOON} 60 4930")), dec("0.01"));
    // 61 × 0.01 / 60 = 0.0101666..., rounded once.
    assert_eq!(cost(&per_second, &format!("{MONDAY_NOON} 61 4930")), dec("0.010167"));
    // An hour is 60 minutes to the last digit.
    assert_eq!(cost(&per_second, &format!("{MONDAY_NOON} 3600 4930")), dec("0.6"));
}

#[test]
fn zero_second_call_is_free_whatever_the_fees() {
    let mut version = vienna(&["49 0.06 0.03 60/60"]);
    version.fees[0].connection_fee = dec("0.50");
    version.fees[0].minimum_charge = Some(dec("1.00"));
    check(
        &version,
        "2026-03-02T12:00:00+01:00 0 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              0 s billed (0 onpeak, 0 offpeak): 0 EUR, half_up 6
        "#]],
    );
}

#[test]
fn a_fraction_of_a_second_begins_an_interval() {
    let version = vienna(&["49 0.60 0.60 1/1"]);
    let charge = priced(&version, &format!("{MONDAY_NOON} 60.2 4930")).unwrap();
    assert_eq!((charge.billed_seconds, charge.cost), (61, dec("0.61")));
    assert_eq!(priced(&version, &format!("{MONDAY_NOON} 0.000001 4930")).unwrap().billed_seconds, 1);
}

#[test]
fn init_interval_is_charged_once_then_follow_intervals() {
    check(
        &vienna(&["49 0.60 0.30 30/6"]),
        "2026-03-02T12:00:00+01:00 31 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-03-02 12:00:00 CET     30 s  onpeak   first 30 s   0.6 per 60 s  0.3
              2026-03-02 12:00:30 CET      6 s  onpeak   then 6 s     0.6 per 60 s  0.06
              36 s billed (36 onpeak, 0 offpeak): 0.36 EUR, half_up 6
        "#]],
    );
}

#[test]
fn call_across_the_end_of_peak_is_priced_by_the_state_its_intervals_begin_in() {
    let mut version = vienna(&["49 0.06 0.03 60/60"]);
    version.weekdays = spans(&["mon 18:00:00 23:59:59"]);
    check(
        &version,
        "2026-03-02T17:59:30+01:00 90 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-03-02 17:59:30 CET     60 s  onpeak   first 60 s   0.06 per 60 s  0.06
              2026-03-02 18:00:30 CET     60 s  offpeak  then 60 s    0.03 per 60 s  0.03
              120 s billed (60 onpeak, 60 offpeak): 0.09 EUR, half_up 6
        "#]],
    );
}

#[test]
fn call_across_the_end_of_peak_is_split_there_to_the_second() {
    let mut version = vienna(&["49 0.06 0.03 60/60"]);
    version.weekdays = spans(&["mon 18:00:00 23:59:59"]);
    version.peak_split = PeakSplit::Boundary;
    // The first minute runs across the border: 30 s each. The second lies behind it.
    check(
        &version,
        "2026-03-02T17:59:30+01:00 90 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-03-02 17:59:30 CET     30 s  onpeak   first 60 s   0.06 per 60 s  0.03
              2026-03-02 18:00:00 CET     30 s  offpeak  first 60 s   0.03 per 60 s  0.015
              2026-03-02 18:00:30 CET     60 s  offpeak  then 60 s    0.03 per 60 s  0.03
              120 s billed (30 onpeak, 90 offpeak): 0.075 EUR, half_up 6
        "#]],
    );
}

#[test]
fn call_over_the_spring_clock_change_keeps_its_length() {
    let mut version = vienna(&["49 0.06 0.03 1/1"]);
    version.weekdays = spans(&["sun 00:00:00 01:59:59"]);
    // 01:59:30 to 03:00:30 on the clock is one minute.
    check(
        &version,
        "2026-03-29T01:59:30+01:00 60 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-03-29 01:59:30 CET      1 s  offpeak  first 1 s    0.03 per 60 s  0.0005
              2026-03-29 01:59:31 CET     29 s  offpeak  then 1 s     0.03 per 60 s  0.0145
              2026-03-29 03:00:00 CEST     30 s  onpeak   then 1 s     0.06 per 60 s  0.03
              60 s billed (30 onpeak, 30 offpeak): 0.045 EUR, half_up 6
        "#]],
    );
}

#[test]
fn call_over_the_autumn_clock_change_is_twice_in_the_doubled_hour() {
    let mut version = vienna(&["49 0.06 0.03 1/1"]);
    version.weekdays = spans(&["sun 02:00:00 02:29:59"]);
    // From 02:29:00 summer time: a minute off-peak, half an hour on-peak, then the hour again, its first half off-peak.
    check(
        &version,
        "2026-10-25T02:29:00+02:00 7320 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-10-25 02:29:00 CEST      1 s  offpeak  first 1 s    0.03 per 60 s  0.0005
              2026-10-25 02:29:01 CEST     59 s  offpeak  then 1 s     0.03 per 60 s  0.0295
              2026-10-25 02:30:00 CEST   1800 s  onpeak   then 1 s     0.06 per 60 s  1.8
              2026-10-25 02:00:00 CET   1800 s  offpeak  then 1 s     0.03 per 60 s  0.9
              2026-10-25 02:30:00 CET   3660 s  onpeak   then 1 s     0.06 per 60 s  3.66
              7320 s billed (5460 onpeak, 1860 offpeak): 6.39 EUR, half_up 6
        "#]],
    );
}

#[test]
fn new_york_changes_its_clocks_on_its_own_days() {
    let mut version = vienna(&["49 0.06 0.03 1/1"]);
    version.profile.timezone = chrono_tz::America::New_York;
    version.weekdays = spans(&["sun 00:00:00 01:59:59"]);
    version.peak_split = PeakSplit::Boundary;
    check(
        &version,
        "2026-03-08T01:59:30-05:00 60 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-03-08 01:59:30 EST      1 s  offpeak  first 1 s    0.03 per 60 s  0.0005
              2026-03-08 01:59:31 EST     29 s  offpeak  then 1 s     0.03 per 60 s  0.0145
              2026-03-08 03:00:00 EDT     30 s  onpeak   then 1 s     0.06 per 60 s  0.03
              60 s billed (30 onpeak, 30 offpeak): 0.045 EUR, half_up 6
        "#]],
    );
    // The hour from 01:00 occurs twice on November 1st: two hours and a half are off-peak.
    check(
        &version,
        "2026-11-01T00:30:00-04:00 10800 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-11-01 00:30:00 EDT      1 s  offpeak  first 1 s    0.03 per 60 s  0.0005
              2026-11-01 00:30:01 EDT   8999 s  offpeak  then 1 s     0.03 per 60 s  4.4995
              2026-11-01 02:00:00 EST   1800 s  onpeak   then 1 s     0.06 per 60 s  1.8
              10800 s billed (1800 onpeak, 9000 offpeak): 6.3 EUR, half_up 6
        "#]],
    );
}

#[test]
fn longest_destination_wins_then_longest_source() {
    let mut version =
        vienna(&["43 0.10 0.10 1/1", "4366 0.20 0.20 1/1", "4366 0.30 0.30 1/1", "* 0.90 0.90 1/1"]);
    version.fees[2].source = "43660".to_owned();
    let price_of = |destination: &str| cost(&version, &format!("{MONDAY_NOON} 60 {destination}"));
    assert_eq!(price_of("4317"), dec("0.10"));
    assert_eq!(price_of("43664"), dec("0.30"));
    assert_eq!(price_of("49"), dec("0.90"));
    // No source fits at 4366: the next shorter destination is asked.
    version.fees.remove(1);
    version.fees[1].source = "4319".to_owned();
    assert_eq!(cost(&version, &format!("{MONDAY_NOON} 60 43664")), dec("0.10"));
}

#[test]
fn the_fee_in_force_at_the_start_prices_all_of_the_call() {
    let mut version = vienna(&["49 0.10 0.10 1/1", "49 0.20 0.20 1/1"]);
    let change = "2026-07-01T00:00:00+02:00".parse().unwrap();
    version.fees[0].valid_to = Some(change);
    version.fees[1].valid_from = Some(change);
    assert_eq!(cost(&version, "2026-06-30T23:59:59+02:00 120 4930"), dec("0.20"));
    assert_eq!(cost(&version, "2026-07-01T00:00:00+02:00 120 4930"), dec("0.40"));
}

#[test]
fn flat_amounts_bound_the_whole_call_before_the_one_rounding() {
    let mut version = vienna(&["49 0.01 0.01 1/1"]);
    version.fees[0].connection_fee = dec("0.05");
    version.fees[0].minimum_charge = Some(dec("0.08"));
    version.fees[0].maximum_charge = Some(dec("0.25"));
    version.rounding = Rounding { mode: RoundingMode::HalfUp, scale: 2 };
    check(
        &version,
        "2026-03-02T12:00:00+01:00 60 4930555123",
        expect![[r#"
            customer out, account 7: profile retail version 1, fee 1 for 49, zone zone 49
              2026-03-02 12:00:00 CET      1 s  onpeak   first 1 s    0.01 per 60 s  0.0001666666666666666666666667
              2026-03-02 12:00:01 CET     59 s  onpeak   then 1 s     0.01 per 60 s  0.0098333333333333333333333333
              flat amounts and bounds  0.07
              60 s billed (60 onpeak, 0 offpeak): 0.08 EUR, half_up 2
        "#]],
    );
    assert_eq!(cost(&version, &format!("{MONDAY_NOON} 600 4930")), dec("0.15"));
    assert_eq!(cost(&version, &format!("{MONDAY_NOON} 6000 4930")), dec("0.25"));
}

#[test]
fn every_rounding_mode_rounds_once_and_credits_like_debits() {
    let rounded = |price: &str, mode| {
        let mut version = vienna(&[&format!("49 {price} {price} 60/60")]);
        version.rounding = Rounding { mode, scale: 2 };
        cost(&version, &format!("{MONDAY_NOON} 60 4930")).to_string()
    };
    let all = |price: &str| {
        [RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Up, RoundingMode::Down]
            .map(|mode| rounded(price, mode))
    };
    assert_eq!(all("0.125"), ["0.13", "0.12", "0.13", "0.12"]);
    assert_eq!(all("0.135"), ["0.14", "0.14", "0.14", "0.13"]);
    assert_eq!(all("0.1201"), ["0.12", "0.12", "0.13", "0.12"]);
    assert_eq!(all("-0.125"), ["-0.13", "-0.12", "-0.13", "-0.12"]);
    assert_eq!(all("-0.1201"), ["-0.12", "-0.12", "-0.13", "-0.12"]);
    assert_eq!(all("0.12"), ["0.12"; 4]);
}

#[test]
fn prices_for_different_times_add_up_over_one_denominator() {
    // A third of a cent a second for 2 s, then 7 seconds for 0.01: 0.02/3 + 0.04/7 = 0.26/21 = 0.012380952...
    let mut version = vienna(&["49 0 0 2/4"]);
    version.fees[0].onpeak_init = Rate { price: dec("0.01"), per_seconds: 3, interval_seconds: 2 };
    version.fees[0].onpeak_follow = Rate { price: dec("0.01"), per_seconds: 7, interval_seconds: 4 };
    assert_eq!(cost(&version, &format!("{MONDAY_NOON} 6 4930")), dec("0.012381"));
}

#[test]
fn missing_outgoing_fee_is_an_error_and_hides_the_number() {
    check(
        &vienna(&["49 0.06 0.03 1/1"]),
        "2026-03-02T12:00:00+01:00 60 43660555123",
        expect![[r#"
        RAT001 no fee for 4366…23 in profile retail, version 1, at 2026-03-02 11:00:00 UTC; add a fee for this destination, then resubmit the call
    "#]],
    );
}

#[test]
fn missing_incoming_fee_costs_nothing() {
    let tariff = Tariff::compile(&vienna(&["49 0.06 0.03 1/1"])).unwrap();
    let call = CallToPrice {
        ported: None,
        source: "43660555123",
        destination: "4930555123",
        direction: Direction::In,
        start: MONDAY_NOON.parse().unwrap(),
        duration_us: 60_000_000,
    };
    let priced = price(&tariff, &call).unwrap();
    assert_eq!((priced.fee, priced.cost), (None, Decimal::ZERO));
}

#[test]
fn what_cannot_be_exact_is_out_of_range_not_wrong() {
    let huge = vienna(&["49 79228162514264337593543950335 0 1/1"]);
    let error = priced(&huge, &format!("{MONDAY_NOON} 600 4930")).unwrap_err();
    assert_eq!(error, RatingError::OutOfRange { what: "the price of the call" });
    let year = vienna(&["49 0.01 0.01 1/1"]);
    let error = priced(&year, &format!("{MONDAY_NOON} 31622401 4930")).unwrap_err();
    assert_eq!((error.code(), error.word()), ("RAT005", "out_of_range"));
}

#[test]
fn a_tariff_that_makes_no_sense_is_refused_with_its_fee() {
    let fault = |version| Tariff::compile(&version).unwrap_err().fault;
    let twice = vienna(&["49 0.06 0.03 1/1", "49 0.07 0.03 1/1"]);
    assert!(matches!(fault(twice), TariffFault::DuplicateFee { .. }));
    assert!(matches!(fault(vienna(&["49 0.06 0.03 0/1"])), TariffFault::BadFee { .. }));
    let mut bounds = vienna(&["49 0.06 0.03 1/1"]);
    (bounds.fees[0].minimum_charge, bounds.fees[0].maximum_charge) = (Some(dec("2")), Some(dec("1")));
    assert!(matches!(fault(bounds), TariffFault::BadFee { .. }));
    let mut pattern = vienna(&["4( 0.06 0.03 1/1"]);
    pattern.fee_match = model::FeeMatch::Reference;
    pattern.fees[0].match_mode = model::MatchMode::RegexLongestPattern;
    assert!(matches!(fault(pattern), TariffFault::BadPattern { .. }));
    let mut backwards = vienna(&[]);
    backwards.weekdays = spans(&["mon 18:00:00 07:59:59"]);
    assert!(matches!(fault(backwards), TariffFault::SpanEndsBeforeStart { .. }));
}

#[test]
fn a_fee_may_be_for_one_user_of_a_domain() {
    let mut version = vienna(&["conference@ 0.10 0.10 1/1"]);
    version.fees.push(model::Fee { id: model::FeeId(2), ..fee("* 0.90 0.90 1/1") });
    let charge = priced(&version, &format!("{MONDAY_NOON} 60 conference@example.org")).unwrap();
    assert_eq!((charge.cost, charge.matched.as_str()), (dec("0.10"), "conference@"));
}
