//! The stage with balances: what is granted, taken, given back, and posted.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use expect_test::{Expect, expect};
use model::{
    AccountId, Body, CallUid, Cdr, CdrId, ContractTerms, Currency, Directory, Effect, LedgerAccount, Money,
    Posting, PostingId, PostingReason, Stage, TenantId,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::house::unanswered;
use super::stage::{ALICE, CARRIER_A, apply, cdr, directory, picture, subscriber, trunk};
use crate::{RatingStage, contract_key, contract_of};

/// Alice has a contract since the first of October, midnight in Vienna.
pub(super) fn with_contract(prepaid: bool, free_cash: &str) -> Directory {
    let mut rows = directory();
    rows.tariffs[0].profile.prepaid = prepaid;
    rows.tariffs[0].interval_free_cash = free_cash.parse().unwrap();
    let created_at = at("2026-09-30T22:00:00Z");
    let terms = ContractTerms { created_at, package: String::new(), credit_limit: None, low_balance: None };
    rows.contracts.insert(ALICE, terms);
    rows
}

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn stage(rows: Directory) -> RatingStage {
    let mut stage = RatingStage::for_lanes(1);
    stage.set_directory(Arc::new(rows)).unwrap();
    stage
}

pub(super) fn top_up(amount: &str, when: &str) -> Body {
    Body::Posting(Box::new(Posting {
        id: PostingId::of_top_up(ALICE, when),
        tenant: TenantId(1),
        account: ALICE,
        at: at(when),
        debit: LedgerAccount::Bank(TenantId(1)),
        credit: LedgerAccount::Cash(ALICE),
        amount: Money::new(amount.parse().unwrap(), Currency::EUR),
        reason: PostingReason::TopUp,
        cdr: None,
        reverses: None,
    }))
}

/// The n-th call of Alice, without a reseller: 0.06 a minute begun.
pub(super) fn call(n: u32, start: &str, seconds: u64) -> Cdr {
    let uid = CallUid::new(format!("sw1-1-{n}"));
    Cdr {
        id: CdrId::derive(&uid, 0),
        call: uid,
        start_at: at(start),
        duration_us: seconds * 1_000_000,
        ..cdr(subscriber(ALICE, AccountId::NOBODY), trunk(CARRIER_A))
    }
}

/// Alice's side of what came of it.
fn of_alice(effects: &[Effect]) -> String {
    picture(effects).lines().filter(|line| line.contains(" of 10:")).map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn check(stage: &mut RatingStage, bodies: Vec<Body>, expected: Expect) {
    let all: Vec<Effect> = bodies.into_iter().flat_map(|body| apply(stage, body)).collect();
    expected.assert_eq(&of_alice(&all));
}

#[test]
fn prepaid_call_is_paid_from_the_balance_and_leaves_no_debt() {
    check(
        &mut stage(with_contract(true, "0")),
        vec![
            top_up("0.10", "2026-10-05T09:00:00Z"),
            Body::Cdr(Box::new(call(1, "2026-10-05T10:00:00Z", 60))),
        ],
        expect![[r#"
            postings of 10: topup cash:10 -> bank:1 0.10 EUR
            rated of 10: revision 0, carrier out 0.02, customer out 0.06
            postings of 10: call revenue:1 -> receivable:10 0.06 EUR
            postings of 10: settlement receivable:10 -> cash:10 0.06 EUR
        "#]],
    );
}

#[test]
fn postpaid_call_is_paid_from_free_cash_as_far_as_it_goes() {
    check(
        &mut stage(with_contract(false, "0.10")),
        vec![
            Body::Cdr(Box::new(call(1, "2026-10-05T10:00:00Z", 60))),
            Body::Cdr(Box::new(call(2, "2026-10-05T11:00:00Z", 60))),
            Body::Cdr(Box::new(call(3, "2026-11-02T11:00:00Z", 60))),
        ],
        expect![[r#"
            postings of 10: grant free_cash:10 -> grants:1 0.1 EUR
            rated of 10: revision 0, carrier out 0.02, customer out 0
            postings of 10: call revenue:1 -> free_cash:10 0.06 EUR
            rated of 10: revision 0, carrier out 0.02, customer out 0.02
            postings of 10: call revenue:1 -> receivable:10 0.02 EUR
            postings of 10: call revenue:1 -> free_cash:10 0.04 EUR
            postings of 10: grant free_cash:10 -> grants:1 0.1 EUR
            rated of 10: revision 0, carrier out 0.02, customer out 0
            postings of 10: call revenue:1 -> free_cash:10 0.06 EUR
        "#]],
    );
}

#[test]
fn final_record_takes_back_what_the_partial_one_took() {
    let mut up = call(1, "2026-10-05T10:00:00Z", 60);
    up.partial = true;
    let over = Cdr { revision: 1, partial: false, duration_us: 170_000_000, ..up.clone() };
    check(
        &mut stage(with_contract(true, "0.10")),
        vec![top_up("1", "2026-10-05T09:00:00Z"), Body::Cdr(Box::new(up)), Body::Cdr(Box::new(over))],
        expect![[r#"
            postings of 10: topup cash:10 -> bank:1 1 EUR
            postings of 10: grant free_cash:10 -> grants:1 0.1 EUR
            rated of 10: revision 0, carrier out 0.02, customer out 0.06
            postings of 10: call revenue:1 -> receivable:10 0.06 EUR
            postings of 10: settlement receivable:10 -> free_cash:10 0.06 EUR
            rated of 10: revision 1, carrier out 0.056667, customer out 0.18
            postings of 10: reversal receivable:10 -> revenue:1 0.06 EUR, taken back
            postings of 10: settlement free_cash:10 -> receivable:10 0.06 EUR, taken back
            postings of 10: call revenue:1 -> receivable:10 0.18 EUR
            postings of 10: settlement receivable:10 -> free_cash:10 0.1 EUR
            postings of 10: settlement receivable:10 -> cash:10 0.08 EUR
        "#]],
    );
}

#[test]
fn contract_is_opened_by_the_tick_after_the_commit_and_renewed_when_due() {
    let mut stage = stage(with_contract(false, "0.10"));
    let tick = |text| Body::Tick(at(text));
    assert_eq!(apply(&mut stage, tick("2026-10-05T10:00:00Z")), []);
    // Not before it is committed that it is wanted.
    assert_eq!(apply(&mut stage, tick("2026-10-05T10:00:01Z")), []);
    assert_eq!(stage.take_changes(), []);
    check(
        &mut stage,
        vec![tick("2026-10-05T10:00:02Z")],
        expect![[r#"
        postings of 10: grant free_cash:10 -> grants:1 0.1 EUR
    "#]],
    );
    assert_eq!(stage.take_changes().len(), 1);
    assert_eq!(apply(&mut stage, tick("2026-10-31T22:59:59Z")), []);
    check(
        &mut stage,
        vec![tick("2026-10-31T23:00:00Z")],
        expect![[r#"
        postings of 10: expiry grants:1 -> free_cash:10 0.1 EUR
        postings of 10: grant free_cash:10 -> grants:1 0.1 EUR
    "#]],
    );
}

#[test]
fn stage_that_is_loaded_again_goes_on_alike() {
    let rows = with_contract(true, "0.10");
    let mut first = stage(rows.clone());
    apply(&mut first, top_up("1", "2026-10-05T09:00:00Z"));
    let mut partial = call(1, "2026-10-05T10:00:00Z", 60);
    partial.partial = true;
    apply(&mut first, Body::Cdr(Box::new(partial.clone())));
    let mut second = stage(rows);
    let kept = first.take_changes().into_iter().map(|change| (change.key, change.value.unwrap()));
    second.restore(kept.collect()).unwrap();
    let over = Cdr { revision: 1, partial: false, duration_us: 100_000_000, ..partial };
    for body in [Body::Cdr(Box::new(over)), Body::Tick(at("2026-11-01T00:00:00Z"))] {
        assert_eq!(apply(&mut first, body.clone()), apply(&mut second, body));
    }
}

/// What postings make of each side of the ledger, by currency.
fn sums(postings: &[Posting]) -> BTreeMap<(String, Currency), Decimal> {
    let mut sums: BTreeMap<(String, Currency), Decimal> = BTreeMap::new();
    for posting in postings {
        let Money { amount, currency } = posting.amount;
        *sums.entry((posting.debit.to_string(), currency)).or_default() += amount;
        *sums.entry((posting.credit.to_string(), currency)).or_default() -= amount;
    }
    sums
}

#[derive(Debug, Clone)]
enum Step {
    /// Seconds, hours ago, and whether its record is partial.
    Call(u64, i64, bool),
    /// The last record again, longer.
    Final(u64),
    /// Nobody answered, hours ago.
    Attempt(i64),
    /// The last attempt was answered for so many seconds after all, or with none the last call was not.
    Correction(Option<u64>),
    Rerate,
    TopUp(i64),
    Tick(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..4_000, 0i64..100, any::<bool>()).prop_map(|(seconds, ago, partial)| Step::Call(seconds, ago, partial)),
        2 => (0u64..4_000).prop_map(Step::Final),
        1 => (0i64..100).prop_map(Step::Attempt),
        2 => prop::option::of(1u64..4_000).prop_map(Step::Correction),
        2 => Just(Step::Rerate),
        2 => (1i64..300).prop_map(Step::TopUp),
        2 => (1i64..400).prop_map(Step::Tick),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever order calls, their later records, re-ratings and top-ups come in: the ledger sums to zero, and the balance that is kept
    /// is the sum of the postings.
    #[test]
    fn balance_kept_is_the_sum_of_postings(steps in steps(), prepaid: bool, compat: bool, free in 0i64..200) {
        let mut rows = with_contract(prepaid, &Decimal::new(free, 2).to_string());
        rows.tariffs[0].fees[0].failed_attempt_fee = "0.05".parse().unwrap();
        rows.tariffs[0].compat = compat;
        let mut stage = stage(rows);
        let mut now = at("2026-10-03T10:00:00Z");
        let mut postings: Vec<Posting> = Vec::new();
        let mut last: Option<Cdr> = None;
        let mut rated: Option<model::RatedCdr> = None;
        let mut kept: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (n, step) in steps.into_iter().enumerate() {
            let body = match step {
                Step::Call(seconds, ago, partial) => {
                    let start_at = now - TimeDelta::hours(ago) - TimeDelta::seconds(i64::try_from(seconds).unwrap());
                    let start_at = start_at.max(at("2026-10-01T00:00:00Z"));
                    let n = u32::try_from(n).unwrap();
                    let cdr = Cdr { start_at, partial, ..call(n, "2026-10-05T10:00:00Z", seconds) };
                    last = Some(cdr.clone());
                    Body::Cdr(Box::new(cdr))
                }
                Step::Final(more) => {
                    let Some(before) = last.take().filter(|before| before.partial) else { continue };
                    let duration_us = before.duration_us + more * 1_000_000;
                    Body::Cdr(Box::new(Cdr { revision: before.revision + 1, partial: false, duration_us, ..before }))
                }
                Step::Attempt(ago) => {
                    let start_at = (now - TimeDelta::hours(ago)).max(at("2026-10-01T00:00:00Z"));
                    let n = u32::try_from(n).unwrap();
                    let cdr = unanswered(0, Cdr { start_at, ..call(n, "2026-10-05T10:00:00Z", 0) });
                    last = Some(cdr.clone());
                    Body::Cdr(Box::new(cdr))
                }
                Step::Correction(seconds) => {
                    let Some(before) = last.clone().filter(|before| !before.partial) else { continue };
                    let revision = before.revision + 1;
                    let as_call = call(0, "2026-10-05T10:00:00Z", seconds.unwrap_or(0));
                    let answered = Cdr {
                        revision,
                        duration_us: as_call.duration_us,
                        status: as_call.status,
                        code: as_call.code,
                        ..before
                    };
                    let cdr = if seconds.is_some() { answered } else { unanswered(revision, answered) };
                    last = Some(cdr.clone());
                    Body::Cdr(Box::new(cdr))
                }
                Step::Rerate => {
                    let Some(previous) = rated.take().filter(|rated| !rated.cdr.partial) else { continue };
                    Body::Rated(Box::new(previous))
                }
                Step::TopUp(cents) => top_up(&Decimal::new(cents, 2).to_string(), &now.to_rfc3339()),
                Step::Tick(hours) => {
                    now += TimeDelta::hours(hours);
                    Body::Tick(now)
                }
            };
            for effect in apply(&mut stage, body) {
                // Too long ago for a later record of it.
                let Effect::Append { body, .. } = effect else { continue };
                match *body {
                    Body::Posting(posting) => postings.push(*posting),
                    Body::Rated(of) => rated = Some(*of),
                    other => panic!("{other:?}"),
                }
            }
            now += TimeDelta::minutes(1);
            for change in stage.take_changes() {
                kept.insert(change.key, change.value.unwrap_or_default());
            }
            let sums = sums(&postings);
            for currency in [Currency::EUR, Currency::SECONDS] {
                let all: Decimal = sums.iter().filter(|((_, of), _)| *of == currency).map(|(_, sum)| *sum).sum();
                prop_assert_eq!(all, Decimal::ZERO);
            }
            let ids: std::collections::BTreeSet<PostingId> = postings.iter().map(|posting| posting.id).collect();
            prop_assert_eq!(ids.len(), postings.len(), "an id was given twice");
            if let Some(entry) = kept.get(&contract_key(ALICE)) {
                let contract = contract_of(entry).unwrap();
                let of = |side: LedgerAccount| -sums.get(&(side.to_string(), Currency::EUR)).copied().unwrap_or_default();
                prop_assert_eq!(of(LedgerAccount::Cash(ALICE)), model::from_micros(contract.own_micros));
                prop_assert_eq!(of(LedgerAccount::FreeCash(ALICE)), model::from_micros(contract.running().left.micros));
                // The reference pays no interval in part.
                if prepaid && !compat {
                    prop_assert_eq!(of(LedgerAccount::Receivable(ALICE)), Decimal::ZERO);
                }
            }
        }
    }
}

#[test]
fn restored_lane_goes_on_alike_whichever_way_its_contracts_are_read() {
    let mut rows = with_contract(true, "0.10");
    // Many of them, with intervals that end at different times.
    let terms = rows.contracts[&ALICE].clone();
    for n in 0..50 {
        let mut account = rows.accounts.iter().find(|account| account.id == ALICE).unwrap().clone();
        let id = AccountId(1_000 + n);
        account.id = id;
        rows.accounts.push(account);
        let created_at = terms.created_at - TimeDelta::days(n);
        rows.contracts.insert(id, ContractTerms { created_at, ..terms.clone() });
    }
    let rows = Arc::new(rows);
    let mut first = stage((*rows).clone());
    for when in ["2026-10-05T08:00:00Z", "2026-10-05T08:01:00Z"] {
        apply(&mut first, Body::Tick(at(when)));
        first.take_changes();
        apply(&mut first, top_up("5", when));
    }
    apply(&mut first, Body::Tick(at("2026-10-05T08:02:00Z")));
    apply(&mut first, Body::Tick(at("2026-12-05T08:02:00Z")));
    let entries: Vec<(String, Vec<u8>)> =
        first.take_changes().into_iter().map(|change| (change.key, change.value.unwrap())).collect();
    assert!(entries.len() > 20, "{}", entries.len());
    // A space makes it another form: the generated code reads these.
    let spaced: Vec<(String, Vec<u8>)> =
        entries.iter().map(|(key, value)| (key.clone(), [b" ", value.as_slice()].concat())).collect();
    let went_on: Vec<Vec<Effect>> = [entries.clone(), spaced]
        .into_iter()
        .map(|entries| {
            let mut stage = stage((*rows).clone());
            stage.restore(entries).unwrap();
            let mut effects = apply(&mut stage, top_up("1", "2026-12-06T00:00:00Z"));
            effects.extend(apply(&mut stage, Body::Cdr(Box::new(call(1, "2026-12-06T10:00:00Z", 60)))));
            effects.extend(apply(&mut stage, Body::Tick(at("2027-01-05T00:00:00Z"))));
            effects.extend(apply(&mut stage, Body::Tick(at("2027-01-05T00:01:00Z"))));
            effects
        })
        .collect();
    assert!(went_on[0].len() > 20, "renewals are due: {}", went_on[0].len());
    assert_eq!(went_on[0], went_on[1]);
    for (broken, why) in [
        (r#"{"contract":{"created_at":"2026-10-05T08:00:00Z"},"n_moves":1,"package":""}"#, "missing field"),
        ("", "EOF"),
        (
            r#"{"contract":{"created_at":"2026-10-05T08:00:00Z","own_micros":0,"intervals":[],"cadence":null,"last_topup_end":"2026-10-05T08:00:00Z","is_under_lock":false,"is_under_profile":false},"n_moves":1,"package":""}"#,
            "it has no interval",
        ),
    ] {
        let mut entries = entries.clone();
        entries[3].1 = broken.as_bytes().to_vec();
        let said = stage((*rows).clone()).restore(entries.clone()).unwrap_err();
        assert!(said.contains(&entries[3].0) && said.contains(why), "{said}");
    }
}
