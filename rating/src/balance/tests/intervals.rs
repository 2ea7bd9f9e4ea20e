//! Where intervals begin and end.

use chrono::{DateTime, Utc};
use model::{BalanceUnit, StartMode};

use super::super::cadence::{Cadence, MonthArithmetic};
use super::super::{Contract, Grant, Interval, Outcome, Rules};
use super::{VIENNA, length, local, rules, shown};

/// The beginnings of the intervals of a contract made at `created`, up to `to`.
#[track_caller]
fn check(rules: &Rules, created: &str, to: &str, expected: &[&str]) {
    let mut outcome = Outcome::default();
    let nothing = |_: DateTime<Utc>| Grant::default();
    let mut contract = Contract::open(local(created), rules, &nothing, &mut outcome);
    let to = local(to);
    let mut begins = vec![shown(contract.running().stretch.start)];
    while let Some(end) = contract.running().stretch.end.filter(|end| *end <= to) {
        contract.catch_up(end, rules, &nothing, &mut outcome);
        begins.push(shown(contract.running().stretch.start));
    }
    assert_eq!(begins, expected);
}

fn from_creation(count: u32, unit: BalanceUnit) -> Rules {
    Rules { start: Some(StartMode::CreateTz), interval: length(count, unit), ..rules() }
}

#[test]
fn months_end_on_the_last_day_where_a_month_is_too_short() {
    let month = from_creation(1, BalanceUnit::Month);
    let thirtieth = ["01-30 00:00", "02-28 00:00", "03-30 00:00", "04-30 00:00", "05-30 00:00"];
    check(&month, "2026-01-30 15:00", "2026-05-31 00:00", &thirtieth);
    let last = ["01-31 00:00", "02-28 00:00", "03-31 00:00", "04-30 00:00", "05-31 00:00"];
    check(&month, "2026-01-31 15:00", "2026-05-31 00:00", &last);
    check(&month, "2028-01-30 15:00", "2028-03-01 00:00", &["01-30 00:00", "02-29 00:00"]);
    let quarter = from_creation(3, BalanceUnit::Month);
    check(&quarter, "2026-08-31 15:00", "2027-03-01 00:00", &["08-31 00:00", "11-30 00:00", "02-28 00:00"]);
    // The rater of the reference runs over (billing-reference 5.6).
    let overflow = Rules { compat: true, ..month };
    check(&overflow, "2026-01-30 15:00", "2026-05-01 00:00", &["01-30 00:00", "03-02 00:00", "04-02 00:00"]);
}

#[test]
fn months_follow_a_profile_that_begins_to_reckon_as_the_reference_or_ends_it() {
    let right = from_creation(1, BalanceUnit::Month);
    let compat = Rules { compat: true, ..right.clone() };
    let begins = |first: &Rules, change: &str, then: &Rules| {
        let mut outcome = Outcome::default();
        let nothing = |_: DateTime<Utc>| Grant::default();
        let mut contract = Contract::open(local("2026-01-30 15:00"), first, &nothing, &mut outcome);
        let mut begins = Vec::new();
        while begins.len() < 6 {
            let Interval { stretch, .. } = *contract.running();
            begins.push(shown(stretch.start));
            let end = stretch.end.unwrap();
            let rules = if end < local(change) { first } else { then };
            contract.catch_up(end, rules, &nothing, &mut outcome);
        }
        begins
    };
    // The interval that runs keeps its end; from there each is a month from the one before.
    let expected = ["01-30 00:00", "02-28 00:00", "03-30 00:00", "04-30 00:00", "05-30 00:00", "06-30 00:00"];
    assert_eq!(begins(&right, "2026-03-15 00:00", &compat), expected);
    let expected = ["01-30 00:00", "02-28 00:00", "03-28 00:00", "04-28 00:00", "05-28 00:00", "06-28 00:00"];
    assert_eq!(begins(&right, "2026-02-15 00:00", &compat), expected);
    // The other way they are set by the day of creation again.
    let expected = ["01-30 00:00", "03-02 00:00", "03-30 00:00", "04-30 00:00", "05-30 00:00", "06-30 00:00"];
    assert_eq!(begins(&compat, "2026-02-15 00:00", &right), expected);
}

#[test]
fn every_unit_has_its_length() {
    let day = from_creation(10, BalanceUnit::Day);
    check(&day, "2026-05-04 15:00", "2026-05-24 00:00", &["05-04 00:00", "05-14 00:00", "05-24 00:00"]);
    let week = from_creation(2, BalanceUnit::Week);
    check(&week, "2026-05-04 15:00", "2026-06-01 00:00", &["05-04 00:00", "05-18 00:00", "06-01 00:00"]);
    // Of short ones the first is that which holds the creation.
    let hour = from_creation(6, BalanceUnit::Hour);
    check(&hour, "2026-05-04 15:00", "2026-05-05 00:00", &["05-04 12:00", "05-04 18:00", "05-05 00:00"]);
    let minute = from_creation(15, BalanceUnit::Minute);
    check(&minute, "2026-05-04 15:20", "2026-05-04 15:45", &["05-04 15:15", "05-04 15:30", "05-04 15:45"]);
}

#[test]
fn first_of_the_month_or_the_week_as_the_start_says() {
    check(&rules(), "2026-05-20 15:00", "2026-07-01 00:00", &["05-01 00:00", "06-01 00:00", "07-01 00:00"]);
    // With a package, weeks are counted from the first too; without, they begin on Monday.
    let week = Rules { interval: length(1, BalanceUnit::Week), ..rules() };
    check(&week, "2026-05-20 15:00", "2026-05-29 00:00", &["05-15 00:00", "05-22 00:00", "05-29 00:00"]);
    let plain = Rules::without_package(length(1, BalanceUnit::Week), VIENNA);
    check(&plain, "2026-05-20 15:00", "2026-06-01 00:00", &["05-18 00:00", "05-25 00:00", "06-01 00:00"]);
    for start in [StartMode::TopUp, StartMode::TopUpInterval] {
        let open = Rules { start: Some(start), ..rules() };
        check(&open, "2026-05-20 15:00", "2027-05-20 15:00", &["05-20 15:00"]);
    }
}

#[test]
fn zone_of_the_tenant_or_of_the_account() {
    let auckland = chrono_tz::Pacific::Auckland;
    let package = |start| model::Package { start, ..model::Package::default() };
    for (start, begins) in [
        (StartMode::First, "05-01 00:00"),
        (StartMode::FirstTz, "04-30 14:00"),
        (StartMode::Create, "05-20 00:00"),
    ] {
        let rules = Rules::of_package(&package(start), VIENNA, auckland);
        check(&rules, "2026-05-20 15:00", "2026-05-20 16:00", &[begins]);
    }
    // It is the 21st there already.
    let rules = Rules::of_package(&package(StartMode::CreateTz), VIENNA, auckland);
    check(&rules, "2026-05-20 15:00", "2026-05-20 16:00", &["05-20 14:00"]);
}

#[test]
fn hour_that_the_clock_skips_has_no_interval_and_one_shown_twice_is_one() {
    let hour = from_creation(1, BalanceUnit::Hour);
    let spring = ["03-29 00:00", "03-29 01:00", "03-29 03:00", "03-29 04:00"];
    check(&hour, "2026-03-29 00:10", "2026-03-29 04:00", &spring);
    let autumn = ["10-25 01:00", "10-25 02:00", "10-25 03:00"];
    check(&hour, "2026-10-25 01:10", "2026-10-25 03:00", &autumn);
    let cadence = |anchor: &str| Cadence {
        anchor: local(anchor).with_timezone(&VIENNA).naive_local(),
        zone: VIENNA,
        length: length(1, BalanceUnit::Hour),
        months: MonthArithmetic::EndOfMonth,
    };
    // 02:00 CEST to 03:00 CET.
    let twice = cadence("2026-10-25 00:00").at("2026-10-25T01:30:00Z".parse().unwrap()).unwrap();
    assert_eq!((twice.end.unwrap() - twice.start).num_minutes(), 120);
    // A day of 23 hours and one of 25.
    let day = |date: &str| {
        let noon = local(&format!("{date} 12:00"));
        let cadence = Cadence { length: length(1, BalanceUnit::Day), ..cadence("2026-01-01 00:00") };
        let day = cadence.at(noon).unwrap();
        (day.end.unwrap() - day.start).num_hours()
    };
    assert_eq!((day("2026-03-28"), day("2026-03-29"), day("2026-10-25")), (24, 23, 25));
    // Half of an hour skipped: the rest of it is its own.
    let half = Cadence { length: length(90, BalanceUnit::Minute), ..cadence("2026-03-29 01:00") };
    let around = half.at(local("2026-03-29 03:10")).unwrap();
    assert_eq!(
        (shown(around.start), shown(around.end.unwrap())),
        ("03-29 03:00".into(), "03-29 04:00".into())
    );
}

#[test]
fn interval_found_by_its_number_is_that_found_by_walking() {
    for (unit, count) in [
        (BalanceUnit::Minute, 7),
        (BalanceUnit::Hour, 5),
        (BalanceUnit::Day, 3),
        (BalanceUnit::Week, 2),
        (BalanceUnit::Month, 1),
        (BalanceUnit::Month, 5),
    ] {
        let cadence = Cadence {
            anchor: local("2026-01-31 00:00").with_timezone(&VIENNA).naive_local(),
            zone: VIENNA,
            length: length(count, unit),
            months: MonthArithmetic::EndOfMonth,
        };
        let mut walked = cadence.at(local("2026-01-31 00:00")).unwrap();
        for _ in 0..300 {
            let end = walked.end.unwrap();
            assert!(walked.start < end);
            let last = end - chrono::TimeDelta::microseconds(1);
            assert_eq!((cadence.at(walked.start), cadence.at(last)), (Some(walked), Some(walked)));
            let next = cadence.after(&walked).unwrap();
            assert_eq!(next.start, end, "{unit} {count}");
            walked = next;
        }
    }
}
