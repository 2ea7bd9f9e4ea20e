//! What a call would cost now, beside what it costs: also where free time or cash paid for it.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::sync::Arc;

use model::{AccountId, Body, Effect, Fee, FeeId, PortedNumber, RatedCdr, TariffVersion};

use super::contracts::{at, call, stage, with_contract};
use super::stage::{ALICE, CARRIER_A, apply, directory};
use crate::RatingSnapshot;

fn rated_of(effects: Vec<Effect>) -> RatedCdr {
    let mut rated = effects.into_iter().filter_map(|effect| match effect {
        Effect::Append { body, .. } => match *body {
            Body::Rated(rated) => Some(*rated),
            _ => None,
        },
        _ => None,
    });
    rated.next().unwrap()
}

/// The calls of Alice, a minute each, rated with free cash for one and a half.
fn rated_with_free_cash() -> Vec<RatedCdr> {
    let mut stage = stage(with_contract(false, "0.09"));
    let calls = [(1, "2026-10-05T10:00:00Z"), (2, "2026-10-05T11:00:00Z"), (3, "2026-10-05T12:00:00Z")];
    let rate = |(n, start)| rated_of(apply(&mut stage, Body::Cdr(Box::new(call(n, start, 60)))));
    calls.into_iter().map(rate).collect()
}

fn make_twice_as_dear(version: &mut TariffVersion) {
    let fee = &mut version.fees[0];
    for rate in [&mut fee.onpeak_init, &mut fee.onpeak_follow] {
        rate.price += rate.price;
    }
}

/// Account, before, after, and whether without the balance.
fn told(snapshot: &RatingSnapshot, rated: &RatedCdr) -> Vec<(AccountId, String, String, bool)> {
    let differing = snapshot.repriced(rated).unwrap();
    differing
        .into_iter()
        .map(|one| (one.account, one.was.to_string(), one.becomes.to_string(), one.is_list_price))
        .collect()
}

#[test]
fn call_that_free_cash_paid_keeps_its_price() {
    let rated = rated_with_free_cash();
    let costs: Vec<String> = rated.iter().map(|rated| rated.charges[1].cost.to_string()).collect();
    assert_eq!(costs, ["0", "0.03", "0.06"]);
    let snapshot = RatingSnapshot::build(Arc::new(with_contract(false, "0.09")), None).unwrap();
    for rated in &rated {
        assert_eq!(told(&snapshot, rated), []);
    }
}

#[test]
fn dearer_version_is_told_without_what_free_cash_paid() {
    let rated = rated_with_free_cash();
    let mut rows = with_contract(false, "0.09");
    let mut later = rows.tariffs[0].clone();
    later.id.0 += 10;
    later.valid_from = at("2026-10-05T10:30:00Z");
    make_twice_as_dear(&mut later);
    rows.tariffs.push(later);
    let snapshot = RatingSnapshot::build(Arc::new(rows), None).unwrap();
    assert_eq!(told(&snapshot, &rated[0]), []);
    for rated in &rated[1..] {
        assert_eq!(told(&snapshot, rated), [(ALICE, "0.06".to_owned(), "0.12".to_owned(), true)]);
    }
}

#[test]
fn number_that_was_ported_after_all_is_told_where_free_cash_paid() {
    let rated = rated_with_free_cash();
    let mut rows = with_contract(false, "0.09");
    rows.ported_numbers.push(PortedNumber {
        number: rated[0].cdr.destination.number.unwrap().to_string(),
        carrier: "7".to_owned(),
        number_type: String::new(),
        from: None,
        to: None,
    });
    let fee = Fee { destination: "lnp:7".to_owned(), id: FeeId(99), ..super::fee("* 0.60 0.60 1/1") };
    rows.tariffs[0].fees.push(fee);
    let snapshot = RatingSnapshot::build(Arc::new(rows), None).unwrap();
    assert_eq!(told(&snapshot, &rated[0]), [(ALICE, "0".to_owned(), "0.6".to_owned(), false)]);
}

#[test]
fn call_that_free_time_paid_is_told_where_it_may_not_any_more_at_the_same_price() {
    let mut rows = with_contract(false, "0");
    rows.tariffs[0].interval_free_seconds = 600;
    let mut mistaken = rows.tariffs[0].fees[0].clone();
    mistaken.onpeak.use_free_time = true;
    mistaken.offpeak.use_free_time = true;
    let fees = rows.tariffs[0].fees.clone();
    rows.tariffs[0].fees[0] = mistaken;
    let mut stage = stage(rows.clone());
    let rated = rated_of(apply(&mut stage, Body::Cdr(Box::new(call(1, "2026-10-05T10:00:00Z", 60)))));
    assert_eq!((rated.charges[1].cost.to_string().as_str(), rated.charges[1].free_seconds), ("0", 60));
    // The same fees once more: nothing to be told.
    let mut later = rows.tariffs[0].clone();
    later.id.0 += 10;
    later.valid_from = at("2026-10-02T00:00:00Z");
    let mut alike = rows.clone();
    alike.tariffs.push(later.clone());
    let snapshot = RatingSnapshot::build(Arc::new(alike), None).unwrap();
    assert_eq!(told(&snapshot, &rated), []);
    later.fees = fees;
    rows.tariffs.push(later);
    let snapshot = RatingSnapshot::build(Arc::new(rows), None).unwrap();
    assert_eq!(told(&snapshot, &rated), [(ALICE, "0.06".to_owned(), "0.06".to_owned(), true)]);
}

#[test]
fn account_without_a_balance_is_told_by_what_it_paid() {
    let mut stage = stage(directory());
    let rated = rated_of(apply(&mut stage, Body::Cdr(Box::new(call(1, "2026-10-05T10:00:00Z", 60)))));
    let mut rows = directory();
    make_twice_as_dear(&mut rows.tariffs[2]);
    let snapshot = RatingSnapshot::build(Arc::new(rows), None).unwrap();
    assert_eq!(told(&snapshot, &rated), [(CARRIER_A, "0.02".to_owned(), "0.04".to_owned(), false)]);
}
