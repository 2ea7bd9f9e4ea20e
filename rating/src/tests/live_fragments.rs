//! Fragments in the pipeline: one charge for each party, which keeps what every fragment came to, cut where all parties cut
//! (billing-reference 4.1). Retail 0.06 a minute, 0.03 off-peak; off-peak from 18:00 in Vienna.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use model::{Body, Cdr, Charge, Directory, Effect, ExchangeRate, PeakOptions, PeakSplit, RatedCdr, TenantId};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::contracts::{at, call, with_contract};
use super::stage::{ALICE, CARRIER_A, RESELLER, apply, cdr, directory, picture, subscriber, trunk};
use super::{fee, spans};
use crate::{RatingStage, explain};

/// 17:59:30 in Vienna, on the Monday before the clock change.
const BEFORE_SIX: &str = "2026-10-19T15:59:30Z";

/// All three profiles have calls cut; `fees` are those of retail, reseller and carrier.
fn cut(mut rows: Directory, fees: [&str; 3]) -> Directory {
    for (tariff, spec) in rows.tariffs.iter_mut().zip(fees) {
        tariff.fees = vec![fee(spec)].into();
        tariff.weekdays = spans(&["mon 18:00:00 23:59:59"]);
        tariff.peak_split = PeakSplit::ReferenceFragments;
    }
    rows
}

fn stage(rows: Directory) -> RatingStage {
    super::contracts::stage(rows)
}

fn rated(effects: &[Effect]) -> RatedCdr {
    let rated = effects.iter().find_map(|effect| match effect {
        Effect::Append { body, .. } if let Body::Rated(rated) = &**body => Some((**rated).clone()),
        _ => None,
    });
    rated.unwrap_or_else(|| panic!("not rated: {}", picture(effects)))
}

/// Of each charge its fragments: from when, how long, how much.
fn fragments(charges: &[Charge]) -> String {
    let mut text = String::new();
    for charge in charges {
        write!(text, "{} {} {}", charge.provider, charge.direction, charge.cost).unwrap();
        for fragment in &charge.fragments {
            let start = fragment.start.with_timezone(&chrono_tz::Europe::Vienna).format("%T");
            let seconds = Decimal::from_i128_with_scale(fragment.duration_us.into(), 6).normalize();
            write!(text, " | {start} {seconds} s {} {}", fragment.peak, fragment.cost).unwrap();
            if !fragment.free_cash.is_zero() || fragment.free_seconds > 0 {
                write!(text, " cash {} free {}", fragment.free_cash, fragment.free_seconds).unwrap();
            }
        }
        text.push('\n');
    }
    text
}

fn resold(seconds: u64) -> Cdr {
    Cdr {
        start_at: at(BEFORE_SIX),
        duration_us: seconds * 1_000_000,
        ..cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A))
    }
}

#[track_caller]
fn check(rows: Directory, call: Cdr, expected: Expect) -> RatedCdr {
    let rated = rated(&apply(&mut stage(rows), Body::Cdr(Box::new(call))));
    expected.assert_eq(&fragments(&rated.charges));
    rated
}

#[test]
fn call_over_a_border_keeps_one_charge_with_two_fragments() {
    let mut rows = cut(directory(), ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.02 0.02 1/1"]);
    for other in &mut rows.tariffs[1..] {
        other.peak_split = PeakSplit::IntervalStart;
    }
    // The first minute runs to 18:00:30 and is on-peak, the 40 s after it begin off-peak and cost a minute: 0.06 and 0.03.
    let rated = check(
        rows,
        resold(100),
        expect![[r#"
            carrier out 0.033333
            reseller out 0.066667
            customer out 0.09 | 17:59:30 60 s onpeak 0.06 | 18:00:30 40 s offpeak 0.03
        "#]],
    );
    expect![[r#"
        customer out, account 10: profile retail version 1, fee 0 for 49, zone zone 49
          fragment 1 from 2026-10-19 17:59:30 CEST, 60 s, 60 s billed: 0.06 EUR
          2026-10-19 17:59:30 CEST     60 s  onpeak   first 60 s   0.06 per 60 s  0.06
          fragment 2 from 2026-10-19 18:00:30 CEST, 40 s, 60 s billed: 0.03 EUR
          2026-10-19 18:00:30 CEST     60 s  offpeak  then 60 s    0.03 per 60 s  0.03
          120 s billed (60 onpeak, 60 offpeak): 0.09 EUR, half_up 6
    "#]]
    .assert_eq(&explain(&rated.charges[2], chrono_tz::Europe::Vienna));
}

#[test]
fn call_in_one_state_has_no_fragments() {
    let fees = ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.02 0.02 1/1"];
    check(
        cut(directory(), fees),
        resold(30),
        expect![[r#"
            carrier out 0.01
            reseller out 0.02
            customer out 0.06
        "#]],
    );
}

#[test]
fn all_parties_cut_where_the_longest_first_fragment_ends() {
    // Alone, reseller and carrier would cut after 30 s, the customer after his first minute. So all do after 60 s: of the carrier's first
    // fragment 30 s are on-peak, 30 off-peak: 0.01 + 0.005, then 40 s off-peak: 0.006667.
    let fees = ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.02 0.01 1/1"];
    check(
        cut(directory(), fees),
        resold(100),
        expect![[r#"
            carrier out 0.021667 | 17:59:30 60 s onpeak 0.015 | 18:00:30 40 s offpeak 0.006667
            reseller out 0.066667 | 17:59:30 60 s onpeak 0.04 | 18:00:30 40 s offpeak 0.026667
            customer out 0.09 | 17:59:30 60 s onpeak 0.06 | 18:00:30 40 s offpeak 0.03
        "#]],
    );
}

#[test]
fn party_whose_intervals_end_elsewhere_goes_on_to_the_end_of_its_own() {
    // The customer's minute ends at 18:00:30. Of the carrier's intervals of 40 s two begin before, one on-peak and one off-peak: 0.04 and 0.02.
    // The third begins at 18:00:50, in the second fragment.
    let fees = ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.06 0.03 40/40"];
    check(
        cut(directory(), fees),
        resold(100),
        expect![[r#"
            carrier out 0.08 | 17:59:30 60 s onpeak 0.06 | 18:00:30 40 s offpeak 0.02
            reseller out 0.066667 | 17:59:30 60 s onpeak 0.04 | 18:00:30 40 s offpeak 0.026667
            customer out 0.09 | 17:59:30 60 s onpeak 0.06 | 18:00:30 40 s offpeak 0.03
        "#]],
    );
}

#[test]
fn fragments_tell_what_free_time_and_free_cash_paid_of_each() {
    let mut rows =
        cut(with_contract(false, "0.04"), ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.02 0.02 60/60"]);
    rows.tariffs[0].interval_free_seconds = 90;
    rows.tariffs[0].fees[0].onpeak = PeakOptions { use_free_time: true, ..PeakOptions::default() };
    // 60 s are free, of the next minute 30 (0.015 remain), the third costs 0.03: 0.045, of which 0.04 are paid.
    check(
        rows,
        call(1, BEFORE_SIX, 150),
        expect![[r#"
            carrier out 0.06 | 17:59:30 60 s onpeak 0.02 | 18:00:30 90 s offpeak 0.04
            customer out 0.005 | 17:59:30 60 s onpeak 0 cash 0 free 60 | 18:00:30 90 s offpeak 0.005 cash 0.04 free 30
        "#]],
    );
}

#[test]
fn fragments_of_a_corrected_call_add_up_to_the_price_with_what_it_carries() {
    let mut rows = cut(with_contract(false, "0.50"), ["49 0.60 0.60 1/1"; 3]);
    for other in &mut rows.tariffs[1..] {
        other.peak_split = PeakSplit::IntervalStart;
    }
    let mut stage = stage(rows);
    let cut = Cdr { partial: true, ..call(1, BEFORE_SIX, 100) };
    apply(&mut stage, Body::Cdr(Box::new(cut.clone())));
    apply(&mut stage, Body::Cdr(Box::new(call(2, "2026-10-20T10:00:00Z", 50))));
    // It costs 0.40 now; of the 0.50 of free cash 0.10 are left to the other, which owes so much less.
    let last = Cdr { revision: 1, partial: false, duration_us: 40_000_000, ..cut };
    let rated = rated(&apply(&mut stage, Body::Cdr(Box::new(last))));
    expect![[r#"
        carrier out 0.4
        customer out -0.1 | 17:59:30 30 s onpeak 0 cash 0.3 free 0 | 18:00:00 10 s offpeak -0.1 cash 0.2 free 0
    "#]]
    .assert_eq(&fragments(&rated.charges));
}

#[test]
fn fragments_of_the_reference_take_cash_interval_by_interval() {
    let mut rows =
        cut(with_contract(false, "0.05"), ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.02 0.02 60/60"]);
    rows.tariffs[0].compat = true;
    // 0.06 is more than there is and remains; of the second fragment's two minutes the first is paid, the second is not: 0.02 are left.
    check(
        rows,
        call(1, BEFORE_SIX, 150),
        expect![[r#"
            carrier out 0.06 | 17:59:30 60 s onpeak 0.02 | 18:00:30 90 s offpeak 0.04
            customer out 0.09 | 17:59:30 60 s onpeak 0.06 | 18:00:30 90 s offpeak 0.03 cash 0.03 free 0
        "#]],
    );
}

#[test]
fn converted_fragments_add_up_to_the_converted_price() {
    let mut rows = cut(directory(), ["49 0.06 0.03 60/60", "49 0.04 0.04 60/60", "49 0.02 0.02 60/60"]);
    rows.tariffs[0].profile.currency = "USD".parse().unwrap();
    rows.exchange_rates = vec![ExchangeRate {
        tenant: TenantId(1),
        from: "USD".parse().unwrap(),
        to: "EUR".parse().unwrap(),
        rate: "0.9133333".parse().unwrap(),
        valid_from: at("2026-01-01T00:00:00Z"),
    }];
    // 0.09 are 0.0822; the first 0.06 are 0.0548, so the second are the rest.
    check(
        rows,
        resold(100),
        expect![[r#"
            carrier out 0.04 | 17:59:30 60 s onpeak 0.02 | 18:00:30 40 s offpeak 0.02
            reseller out 0.08 | 17:59:30 60 s onpeak 0.04 | 18:00:30 40 s offpeak 0.04
            customer out 0.0822 | 17:59:30 60 s onpeak 0.0548 | 18:00:30 40 s offpeak 0.0274
        "#]],
    );
}

#[test]
fn fragmented_call_that_is_priced_again_takes_back_all_it_took() {
    let mut rows =
        cut(with_contract(false, "0.04"), ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.02 0.02 60/60"]);
    let mut stage = stage(rows.clone());
    let before = rated(&apply(&mut stage, Body::Cdr(Box::new(call(1, BEFORE_SIX, 100)))));
    rows.tariffs[0].id = model::ProfileVersionId(77);
    rows.tariffs[0].fees[0] = fee("49 0.12 0.06 60/60");
    stage.set_directory(std::sync::Arc::new(rows)).unwrap();
    let effects = apply(&mut stage, Body::Rated(Box::new(before)));
    expect![[r#"
        rated of 10: revision 1, carrier out 0.04, customer out 0.14
        postings of 20: reversal cost:1 -> payable:20 0.04 EUR, taken back
        postings of 10: reversal receivable:10 -> revenue:1 0.05 EUR, taken back
        postings of 10: reversal free_cash:10 -> revenue:1 0.04 EUR, taken back
        postings of 20: call payable:20 -> cost:1 0.04 EUR
        postings of 10: call revenue:1 -> receivable:10 0.14 EUR
        postings of 10: call revenue:1 -> free_cash:10 0.04 EUR
    "#]]
    .assert_eq(&picture(&effects));
    expect![[r#"
        carrier out 0.04 | 17:59:30 60 s onpeak 0.02 | 18:00:30 40 s offpeak 0.02
        customer out 0.14 | 17:59:30 60 s onpeak 0.08 cash 0.04 free 0 | 18:00:30 40 s offpeak 0.06
    "#]]
    .assert_eq(&fragments(&rated(&effects).charges));
}

#[test]
fn call_of_too_many_borders_is_not_cut() {
    // Every other hour is off-peak: 24 borders a day. The carrier's intervals end elsewhere, so the parties disagree at each of them.
    let hours: Vec<String> = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        .iter()
        .flat_map(|day| (0..24).step_by(2).map(move |hour| format!("{day} {hour:02}:00:00 {hour:02}:59:59")))
        .collect();
    let hours: Vec<&str> = hours.iter().map(String::as_str).collect();
    for is_like_reference in [false, true] {
        let mut rows =
            cut(with_contract(false, "0"), ["49 0.06 0.03 60/60", "49 0.04 0.04 1/1", "49 0.06 0.03 40/40"]);
        for tariff in &mut rows.tariffs {
            tariff.weekdays = spans(&hours);
        }
        rows.tariffs[0].compat = is_like_reference;
        let n_fragments = |hours: u64| {
            let effects =
                apply(&mut stage(rows.clone()), Body::Cdr(Box::new(call(1, BEFORE_SIX, hours * 3_600))));
            let charges = rated(&effects).charges;
            assert!(charges.iter().all(|charge| charge.fragments.len() == charges[0].fragments.len()));
            (charges[0].fragments.len(), charges[1].cost.to_string())
        };
        // 63 hours from 17:59:30 have 63 borders; as many minutes are off-peak as on-peak.
        assert_eq!(n_fragments(62).0, 63);
        assert_eq!(n_fragments(64), (0, "172.8".to_owned()));
        // A year, the longest call there is.
        assert_eq!(n_fragments(366 * 24).0, 0);
    }
}

proptest! {
    /// Whatever the parties' intervals, states and balances: all have the same cuts, the fragments are the call, and their sums the charge.
    #[test]
    fn fragments_of_all_parties_are_the_call(
        offset in -7_200_000_000i64..7_200_000_000,
        duration_us in 1u64..90_000_000_000,
        intervals in prop::array::uniform3((1u32..400, 1u32..400)),
        all_on_peak in any::<bool>(),
        is_like_reference in any::<bool>(),
        (free_cash, free_seconds) in (0u32..3_000, 0u64..2_000),
        corrected_us in prop::option::of(1u64..90_000_000_000),
    ) {
        let specs = intervals.map(|(init, follow)| format!("49 0.0603 0.0307 {init}/{follow}"));
        let mut rows = cut(with_contract(false, "0"), specs.each_ref().map(String::as_str));
        rows.tariffs[0].interval_free_cash = Decimal::new(free_cash.into(), 3);
        rows.tariffs[0].interval_free_seconds = free_seconds;
        rows.tariffs[0].fees[0].onpeak.use_free_time = true;
        rows.tariffs[0].compat = is_like_reference;
        if all_on_peak {
            rows.tariffs[2].weekdays.clear();
        }
        let start_at = at(BEFORE_SIX) + chrono::TimeDelta::microseconds(offset);
        let call = Cdr { start_at, duration_us, ..call(1, BEFORE_SIX, 1) };
        let mut stage = stage(rows);
        let first = Cdr { partial: true, ..call };
        let mut rated = rated(&apply(&mut stage, Body::Cdr(Box::new(first.clone()))));
        if let Some(corrected_us) = corrected_us {
            // It leaves free cash to another, or takes some of it.
            apply(&mut stage, Body::Cdr(Box::new(super::contracts::call(2, "2026-10-21T10:00:00Z", 3_000))));
            let last = Cdr { revision: 1, partial: false, duration_us: corrected_us, ..first };
            rated = self::rated(&apply(&mut stage, Body::Cdr(Box::new(last))));
        }
        let cuts = |charge: &Charge| -> Vec<_> {
            charge.fragments.iter().map(|fragment| (fragment.start, fragment.duration_us)).collect()
        };
        for charge in &rated.charges {
            prop_assert_eq!(cuts(charge), cuts(&rated.charges[0]));
            if charge.fragments.is_empty() { continue }
            let mut at = start_at;
            for fragment in &charge.fragments {
                prop_assert_eq!(fragment.start, at);
                prop_assert!(fragment.duration_us > 0);
                at += chrono::TimeDelta::microseconds(i64::try_from(fragment.duration_us).unwrap());
            }
            prop_assert_eq!(at, rated.cdr.end_at());
            let sum = |of: fn(&model::Fragment) -> Decimal| charge.fragments.iter().map(of).sum::<Decimal>();
            prop_assert_eq!(sum(|fragment| fragment.cost), charge.cost);
            prop_assert_eq!(sum(|fragment| fragment.free_cash), charge.free_cash);
            prop_assert_eq!(sum(|fragment| fragment.free_seconds.into()), charge.free_seconds.into());
            prop_assert_eq!(sum(|fragment| fragment.billed_seconds.into()), charge.billed_seconds.into());
            prop_assert_eq!(sum(|fragment| fragment.onpeak_seconds.into()), charge.onpeak_seconds.into());
        }
    }

    /// Held to its balance, a call never costs more than was kept back for it, wherever another party has it cut; and once it is posted
    /// nothing is kept back any more.
    #[test]
    fn what_is_kept_back_for_a_call_pays_for_it_wherever_others_cut_it(
        before in 0i64..200, seconds in 1u64..400, price in 1i64..90, (scale, mode) in (2u32..5, prop::sample::select(model::RoundingMode::ALL.to_vec())),
        carrier in prop::sample::select(vec!["1/1", "7/7", "40/40", "60/60"]), prepaid: bool,
    ) {
        let retail = format!("* 0.{price:02} 0.07 1/1");
        let mut rows = cut(with_contract(prepaid, "0"), [&retail, "* 0.01 0.01 1/1", &format!("* 0.02 0.01 {carrier}")]);
        rows.tariffs[0].rounding = model::Rounding { mode, scale };
        rows.contracts.get_mut(&ALICE).unwrap().credit_limit = Some(Decimal::from(100));
        let mut cdr = call(1, BEFORE_SIX, seconds);
        cdr.start_at -= chrono::TimeDelta::seconds(before);
        let snapshot = crate::RatingSnapshot::build(std::sync::Arc::new(rows.clone()), None).unwrap();
        let mut charger = crate::Charger::new(std::sync::Arc::new(snapshot), 60, [(ALICE, crate::Funds::default())]);
        let parties = ("43660555123".to_owned(), "4930555123".to_owned());
        charger.begin(cdr.id, ALICE, parties, cdr.start_at);
        charger.end(cdr.id, seconds * 1_000_000, cdr.end_at());
        let kept = charger.funds(ALICE).1.micros;
        let effects = apply(&mut stage(rows), Body::Cdr(Box::new(cdr)));
        let charges = rated(&effects).charges;
        let cost = charges.iter().find(|charge| charge.account == ALICE).unwrap().cost;
        prop_assert!(model::from_micros(kept) >= cost, "{} kept, {cost}", model::from_micros(kept));
        for effect in &effects {
            if let Effect::Append { body, .. } = effect && let Body::Posting(posting) = &**body {
                charger.posted(posting);
            }
        }
        prop_assert_eq!((charger.funds(ALICE).1.micros, charger.n_holds()), (0, 0));
    }
}
