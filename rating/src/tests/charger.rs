//! Many calls of one account at once: none past what there is.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    CallUid, CdrId, ContractTerms, Currency, Direction, Directory, LedgerAccount, Money, Posting, PostingId,
    PostingReason, TenantId,
};
use proptest::prelude::*;

use super::house::free_time;
use super::stage::{ALICE, directory};
use crate::{CallToPrice, Charger, Funds, RatingSnapshot, Verdict, quote};

/// 0.06 a minute begun, or 0.01 a second with `by_second`.
fn rows(by_second: bool, credit_limit: Option<&str>) -> Directory {
    let mut rows = directory();
    rows.tariffs[0].profile.prepaid = credit_limit.is_none();
    if by_second {
        rows.tariffs[0].fees[0] = super::fee("49 0.60 0.60 1/1");
    }
    let terms = ContractTerms {
        created_at: DateTime::UNIX_EPOCH,
        package: String::new(),
        credit_limit: credit_limit.map(|limit| limit.parse().unwrap()),
        low_balance: None,
    };
    rows.contracts.insert(ALICE, terms);
    rows
}

fn charger(rows: Directory, quantum: u32, micros: i64) -> Charger {
    let snapshot = Arc::new(RatingSnapshot::build(Arc::new(rows), None).unwrap());
    Charger::new(snapshot, quantum, [(ALICE, Funds { micros, seconds: 0 })])
}

fn start() -> DateTime<Utc> {
    "2026-10-05T10:00:00Z".parse().unwrap()
}

fn id(n: usize) -> CdrId {
    CdrId::derive(&CallUid::new(format!("sw1-1-{n}")), 0)
}

fn begin(charger: &mut Charger, n: usize) -> Verdict {
    charger.begin(id(n), ALICE, ("43660555123".to_owned(), "4930555123".to_owned()), start())
}

fn settled(n: usize, micros: i64) -> Posting {
    Posting {
        id: PostingId::derive(id(n), 0, 1),
        tenant: TenantId(1),
        account: ALICE,
        at: start(),
        debit: LedgerAccount::Receivable(ALICE),
        credit: LedgerAccount::Revenue(TenantId(1)),
        amount: Money::new(model::from_micros(micros), Currency::EUR),
        reason: PostingReason::Call,
        cdr: Some(id(n)),
        reverses: None,
    }
}

/// Paid from the balance: what is owed is less, and so is the money.
fn paid(n: usize, micros: i64) -> Posting {
    Posting {
        id: PostingId::derive(id(n), 0, 2),
        debit: LedgerAccount::Cash(ALICE),
        credit: LedgerAccount::Receivable(ALICE),
        reason: PostingReason::Settlement,
        ..settled(n, micros)
    }
}

/// What the pipeline says it costs.
fn offline(charger: &Charger, answered_us: u64) -> i64 {
    let tariff = charger.snapshot().tariff_of(ALICE, start(), "").unwrap().unwrap().0.clone();
    let call = CallToPrice {
        source: "43660555123",
        destination: "4930555123",
        direction: Direction::Out,
        start: start(),
        duration_us: answered_us,
        ported: None,
    };
    quote(&tariff, &call).unwrap().cost_micros
}

#[test]
fn calls_at_once_share_one_balance() {
    let mut charger = charger(rows(true, None), 10, 250_000);
    assert_eq!(begin(&mut charger, 1), Verdict::Seconds(10));
    assert_eq!(begin(&mut charger, 2), Verdict::Seconds(10));
    // What the two have kept back leaves 5 seconds.
    assert_eq!(begin(&mut charger, 3), Verdict::Seconds(5));
    assert_eq!(begin(&mut charger, 4), Verdict::Refused("its balance does not pay for the call"));
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(10));
    // One that ends early leaves the rest to the others.
    charger.end(id(2), 4_200_000, start());
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(15));
    assert_eq!(
        charger.funds(ALICE),
        (Funds { micros: 250_000, seconds: 0 }, Funds { micros: 250_000, seconds: 0 })
    );
}

#[test]
fn whole_intervals_are_granted_and_none_that_is_not_paid() {
    let mut charger = charger(rows(false, None), 45, 130_000);
    // A minute costs 0.06, begun or not: two of them fit, a third does not.
    assert_eq!(begin(&mut charger, 1), Verdict::Seconds(45));
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(90));
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(120));
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(120));
    charger.end(id(1), 120_000_000, start());
    charger.posted(&settled(1, 120_000));
    assert_eq!(charger.posted(&paid(1, 120_000)), None, "it was owed before");
    assert_eq!(charger.funds(ALICE), (Funds { micros: 10_000, seconds: 0 }, Funds::default()));
    assert_eq!(charger.n_holds(), 0);
}

#[test]
fn top_up_during_the_call_lets_it_go_on() {
    let mut charger = charger(rows(true, None), 10, 50_000);
    assert_eq!(begin(&mut charger, 1), Verdict::Seconds(5));
    let top_up = Posting {
        debit: LedgerAccount::Bank(TenantId(1)),
        credit: LedgerAccount::Cash(ALICE),
        reason: PostingReason::TopUp,
        cdr: None,
        ..settled(9, 30_000)
    };
    charger.posted(&top_up);
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(8));
}

#[test]
fn record_of_a_call_still_up_is_not_counted_twice() {
    let mut charger = charger(rows(true, None), 60, 1_000_000);
    assert_eq!(begin(&mut charger, 1), Verdict::Seconds(60));
    charger.posted(&settled(1, 400_000));
    assert_eq!(charger.funds(ALICE).1, Funds { micros: 200_000, seconds: 0 });
    // Its price is 1.00 in all, 0.40 of it posted.
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(100));
    // The final record takes the partial one back.
    let back = Posting {
        debit: LedgerAccount::Revenue(TenantId(1)),
        credit: LedgerAccount::Receivable(ALICE),
        ..settled(1, 400_000)
    };
    charger.end(id(1), 90_000_000, start());
    charger.posted(&back);
    charger.posted(&settled(1, 900_000));
    assert_eq!(charger.funds(ALICE), (Funds { micros: 100_000, seconds: 0 }, Funds::default()));
    assert_eq!(charger.n_holds(), 0);
}

/// Three seconds of an interval cost a cent each, the others half a cent; a call begins when some are used.
fn tiered(used: u64, micros: i64) -> (Charger, Verdict) {
    stepped(["0.60", "0.30"], used, micros)
}

/// By the minute: the first three seconds of an interval, and the others.
fn stepped(per_minute: [&str; 2], used: u64, micros: i64) -> (Charger, Verdict) {
    let mut rows = rows(true, None);
    let step = |from_seconds, per_minute: &str| model::PriceStep {
        from_seconds,
        per_minute: per_minute.parse().unwrap(),
    };
    rows.tariffs[0].interval_price = Some(model::IntervalPrice {
        model: model::PriceModel::Tiered,
        zones: Vec::new(),
        steps: vec![step(0, per_minute[0]), step(3, per_minute[1])],
        package_seconds: 0,
        package_price: 0.into(),
    });
    let mut charger = charger(rows, 2, micros);
    assert_eq!(charger.prices_by_usage(ALICE, start()), Some(model::ProfileVersionId(1)));
    let parties = ("43660555123".to_owned(), "4930555123".to_owned());
    let first = charger.begin_used(id(1), ALICE, parties, start(), used);
    (charger, first)
}

#[test]
fn price_by_usage_is_kept_back_until_the_posting_says_what_it_was() {
    // Of two at once either may come first: the most is kept back for both.
    let (mut both, _) = stepped(["0.30", "0.60"], 0, 100_000);
    begin(&mut both, 2);
    both.end(id(1), 2_000_000, start());
    both.end(id(2), 2_000_000, start());
    assert_eq!(both.funds(ALICE).1.micros, 15_000 + 15_000);
    // One is posted for less; one is not posted.
    both.posted(&settled(2, 10_000));
    assert_eq!(both.funds(ALICE).1.micros, 15_000);
    // Until it is, what it used may be missing in what the others are told.
    let late = start() + TimeDelta::seconds(30);
    let parties = || ("43660555123".to_owned(), "4930555123".to_owned());
    both.begin_used(id(3), ALICE, parties(), late, 0);
    assert_eq!(both.funds(ALICE).1.micros, 15_000 + 15_000);
    both.end(id(3), 0, late);
    both.forget_rated();
    assert_eq!(both.n_holds(), 1);
    both.rated(id(1));
    both.forget_rated();
    assert_eq!((both.n_holds(), both.funds(ALICE).1), (0, Funds::default()));
}

#[test]
fn answer_in_another_interval_counts_nothing_as_used_for_sure() {
    let (mut charger, _) = tiered(3, 100_000);
    assert_eq!(charger.funds(ALICE).1.micros, 10_000);
    charger.answered(id(1), start() + TimeDelta::seconds(20));
    assert_eq!(charger.funds(ALICE).1.micros, 10_000);
    charger.answered(id(1), start() + TimeDelta::minutes(15));
    assert_eq!(charger.funds(ALICE).1.micros, 20_000);
}

#[test]
fn price_by_usage_is_kept_back_wherever_the_other_calls_leave_the_count() {
    // Three seconds of a cent and three of half a cent: cut at the very second.
    let (mut alone, first) = tiered(0, 45_000);
    assert_eq!(first, Verdict::Seconds(2));
    for seconds in [4, 6, 6] {
        assert_eq!(alone.extend(id(1)), Verdict::Seconds(seconds));
    }
    // What was used before counts.
    let (mut late, first) = tiered(3, 20_000);
    assert_eq!(first, Verdict::Seconds(2));
    assert_eq!((late.extend(id(1)), late.extend(id(1))), (Verdict::Seconds(4), Verdict::Seconds(4)));
    // Of two at once either may come first, so neither has the cheaper seconds for sure.
    let (mut both, _) = tiered(0, 45_000);
    assert_eq!(begin(&mut both, 2), Verdict::Seconds(2));
    assert_eq!(both.funds(ALICE).1, Funds { micros: 40_000, seconds: 0 });
    assert_eq!(both.extend(id(1)), Verdict::Seconds(2));
    // One that ended just now may be counted already or not: the seconds after it may be dear or cheap.
    let (mut after, _) = tiered(0, 45_000);
    after.end(id(1), 2_000_000, start());
    after.posted(&settled(1, 20_000));
    assert_eq!(begin(&mut after, 2), Verdict::Seconds(2));
    assert_eq!(after.funds(ALICE).1, Funds { micros: 20_000, seconds: 0 });
}

#[test]
fn credit_limit_and_what_is_owed_already() {
    let mut charger = charger(rows(true, Some("1.00")), 10, -950_000);
    assert_eq!(begin(&mut charger, 1), Verdict::Seconds(5));
    assert_eq!(begin(&mut charger, 2), Verdict::Refused("its balance does not pay for the call"));
}

#[test]
fn free_time_is_used_before_money_and_kept_back_too() {
    let mut rows = rows(true, None);
    rows.tariffs[0].interval_free_seconds = 100;
    let mut charger = charger(rows, 10, 50_000);
    let grant = Posting {
        debit: LedgerAccount::Grants(TenantId(1)),
        credit: LedgerAccount::FreeTime(ALICE),
        amount: Money::new(15.into(), Currency::SECONDS),
        reason: PostingReason::Grant,
        cdr: None,
        ..settled(9, 0)
    };
    charger.posted(&grant);
    assert_eq!(charger.funds(ALICE).0, Funds { micros: 50_000, seconds: 15 });
    // The fee does not use it: money alone counts.
    assert_eq!(begin(&mut charger, 1), Verdict::Seconds(5));
}

/// A cent a second to Germany and ten to Britain with free time, a cent to France without; quanta of ten seconds.
fn sharing(micros: i64, seconds: u64) -> Charger {
    let mut rows = rows(true, None);
    rows.tariffs[0].fees.push(super::fee("44 6.00 6.00 1/1"));
    for fee in &mut rows.tariffs[0].fees {
        fee.onpeak.use_free_time = true;
        fee.offpeak.use_free_time = true;
    }
    rows.tariffs[0].fees.push(super::fee("33 0.60 0.60 1/1"));
    let snapshot = Arc::new(RatingSnapshot::build(Arc::new(rows), None).unwrap());
    Charger::new(snapshot, 10, [(ALICE, Funds { micros, seconds })])
}

fn begin_to(charger: &mut Charger, n: usize, prefix: u32) -> Verdict {
    charger.begin(id(n), ALICE, ("43660555123".to_owned(), format!("{prefix}30555123")), start())
}

/// Taken of the free time.
fn free(n: usize, seconds: i64) -> Posting {
    Posting {
        debit: LedgerAccount::FreeTime(ALICE),
        credit: LedgerAccount::Grants(TenantId(1)),
        amount: Money::new(seconds.into(), Currency::SECONDS),
        ..settled(n, 0)
    }
}

#[test]
fn free_time_is_counted_once_among_calls() {
    let mut charger = sharing(150_000, 20);
    assert_eq!(begin_to(&mut charger, 1, 44), Verdict::Seconds(10));
    assert_eq!(begin_to(&mut charger, 2, 49), Verdict::Seconds(10));
    assert_eq!(charger.funds(ALICE).1, Funds { micros: 0, seconds: 20 }, "there is enough for both");
    // A second more of the cheap one might take one from the dear one: it costs a cent or ten, and both are kept back.
    assert_eq!(charger.extend(id(2)), Verdict::Seconds(11));
    assert_eq!(charger.funds(ALICE).1.micros, 110_000);
    // The dear one ends sooner: there is enough again, for fifteen seconds of the cheap one; the next may be one of either.
    charger.end(id(1), 5_000_000, start());
    assert_eq!(charger.funds(ALICE).1.micros, 0);
    assert_eq!(charger.extend(id(2)), Verdict::Seconds(16));
    charger.end(id(2), 1_000_000, start());
    // Nothing but free time is kept back: where no posting says what became of it, rating does.
    charger.forget_rated();
    assert_eq!((charger.n_holds(), charger.funds(ALICE).1.micros), (2, 0));
    assert_eq!(charger.awaited_accounts().collect::<Vec<_>>(), [ALICE, ALICE]);
    for n in [1, 2] {
        assert!(charger.awaits(id(n)));
        charger.rated(id(n));
        assert!(!charger.awaits(id(n)));
    }
    charger.forget_rated();
    assert_eq!((charger.n_holds(), charger.funds(ALICE).1), (0, Funds::default()));
}

#[test]
fn call_that_uses_no_free_time_leaves_it_to_the_others() {
    let mut charger = sharing(100_000, 20);
    assert_eq!(begin_to(&mut charger, 1, 44), Verdict::Seconds(10));
    assert_eq!(begin_to(&mut charger, 2, 33), Verdict::Seconds(10));
    assert_eq!(charger.funds(ALICE).1.micros, 100_000);
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(20));
    assert_eq!(charger.extend(id(1)), Verdict::Seconds(20));
}

#[test]
fn what_is_kept_back_for_shared_free_time_stays_until_it_is_posted() {
    let mut charger = sharing(1_000_000, 10);
    assert_eq!(begin_to(&mut charger, 1, 44), Verdict::Seconds(10));
    // Nine seconds of either may have to be paid.
    assert_eq!(begin_to(&mut charger, 2, 49), Verdict::Seconds(9));
    assert_eq!(charger.funds(ALICE).1.micros, 900_000 + 90_000);
    charger.end(id(2), 9_000_000, start());
    let kept = charger.funds(ALICE).1;
    charger.rated(id(2));
    charger.forget_rated();
    assert_eq!((charger.funds(ALICE).1, charger.n_holds()), (kept, 2));
    // Its record took the free time: what it cost is known.
    charger.posted(&free(2, 9));
    assert_eq!(charger.n_holds(), 1);
    charger.end(id(1), 10_000_000, start());
    charger.posted(&free(1, 1));
    charger.posted(&settled(1, 900_000));
    assert_eq!(charger.funds(ALICE), (Funds { micros: 100_000, seconds: 0 }, Funds::default()));
}

#[test]
fn part_of_the_price_of_shared_free_time_leaves_the_rest_kept_back() {
    let mut charger = sharing(1_000_000, 10);
    begin_to(&mut charger, 1, 49);
    assert_eq!(begin_to(&mut charger, 2, 44), Verdict::Seconds(9));
    charger.end(id(2), 9_000_000, start());
    // A partial record's posting comes late: three seconds, one of them free.
    let partial = [settled(2, 200_000), Posting { id: PostingId::derive(id(2), 0, 2), ..free(2, 1) }];
    for posting in &partial {
        charger.posted(posting);
    }
    assert_eq!(charger.n_holds(), 2);
    let kept = charger.funds(ALICE).1.micros;
    assert!(kept >= 700_000, "six seconds at ten cents may be left, and one second: {kept}");
    // The last record takes them back, and has two seconds free.
    for posting in partial {
        let reverses = Some(posting.id);
        let (debit, credit) = (posting.credit, posting.debit);
        charger.posted(&Posting { debit, credit, reverses, reason: PostingReason::Reversal, ..posting });
    }
    charger.posted(&settled(2, 700_000));
    assert_eq!(charger.n_holds(), 2, "without free time it costs more");
    charger.posted(&free(2, 2));
    assert_eq!(charger.n_holds(), 1);
}

#[test]
fn what_a_record_carries_for_others_is_no_part_of_the_price_that_was_kept_back() {
    let mut charger = sharing(1_000_000, 10);
    begin_to(&mut charger, 1, 49);
    assert_eq!(begin_to(&mut charger, 2, 44), Verdict::Seconds(9));
    let carried = Posting {
        id: PostingId::derive(id(2), 0, 3),
        reason: PostingReason::OutOfOrder,
        ..settled(2, 500_000)
    };
    let kept = charger.funds(ALICE).1;
    charger.posted(&carried);
    assert_eq!(charger.funds(ALICE), (Funds { micros: 500_000, seconds: 10 }, kept));
    let (debit, credit) = (carried.credit, carried.debit);
    let reverses = Some(carried.id);
    charger.posted(&Posting { debit, credit, reverses, reason: PostingReason::Reversal, ..carried });
    assert_eq!(charger.funds(ALICE), (Funds { micros: 1_000_000, seconds: 10 }, kept));
    charger.end(id(2), 9_000_000, start());
    charger.posted(&settled(2, 900_000));
    assert_eq!(charger.n_holds(), 1);
}

#[test]
fn call_whose_price_is_gone_does_not_stop_the_others() {
    let mut charger = sharing(2_000_000, 10);
    begin_to(&mut charger, 1, 44);
    let kept = charger.funds(ALICE).1;
    // Its prefix has no fee any more, and it goes on under the new version from its answer.
    let mut rows = charger.snapshot().directory().clone();
    rows.revision += 1;
    rows.tariffs[0].id = model::ProfileVersionId(9);
    rows.tariffs[0].fees.retain(|fee| fee.destination != "44");
    charger.set_snapshot(Arc::new(RatingSnapshot::build(Arc::new(rows), None).unwrap()));
    charger.answered(id(1), start());
    assert_eq!(begin_to(&mut charger, 2, 49), Verdict::Seconds(10), "{kept:?}");
}

/// As [`rows`] by the second; an attempt costs 0.05.
fn with_attempts() -> Directory {
    let mut rows = rows(true, None);
    rows.tariffs[0].fees[0].failed_attempt_fee = "0.05".parse().unwrap();
    rows
}

#[test]
fn attempt_is_kept_back_before_the_invite_and_until_it_is_posted() {
    // Enough for three seconds, and not for an attempt.
    let mut poor = charger(with_attempts(), 60, 30_000);
    assert_eq!(begin(&mut poor, 1), Verdict::Refused("its balance does not pay for the call"));
    assert_eq!(poor.funds(ALICE).1, Funds::default());
    let mut charger = charger(with_attempts(), 2, 120_000);
    for n in [1, 2] {
        assert_eq!(begin(&mut charger, n), Verdict::Seconds(2), "two seconds cost less than an attempt");
    }
    assert_eq!(charger.funds(ALICE).1.micros, 100_000);
    assert_eq!(begin(&mut charger, 3), Verdict::Refused("its balance does not pay for the call"));
    // Nobody answers the first: until that is posted its fee is not for others.
    charger.end(id(1), 0, start());
    assert_eq!(begin(&mut charger, 3), Verdict::Refused("its balance does not pay for the call"));
    // The second is answered: no attempt any more.
    assert_eq!(charger.answered(id(2), start()), Verdict::Seconds(2));
    assert_eq!(charger.funds(ALICE).1.micros, 70_000);
    charger.posted(&settled(1, 50_000));
    charger.posted(&paid(1, 50_000));
    assert_eq!(
        charger.funds(ALICE),
        (Funds { micros: 70_000, seconds: 0 }, Funds { micros: 20_000, seconds: 0 })
    );
    assert_eq!(charger.n_holds(), 1);
}

#[test]
fn attempt_is_kept_back_however_long_its_posting_takes_and_given_back_if_it_was_never_sent() {
    let mut charger = charger(with_attempts(), 60, 100_000);
    begin(&mut charger, 1);
    charger.end(id(1), 0, start());
    charger.forget_rated();
    assert_eq!(charger.funds(ALICE).1.micros, 50_000);
    // Another has what is left, and its caller gives up before the INVITE goes out.
    assert_eq!(begin(&mut charger, 2), Verdict::Seconds(5));
    charger.withdraw(id(2));
    assert_eq!((charger.funds(ALICE).1.micros, charger.n_holds()), (50_000, 1));
    charger.withdraw(id(2));
    assert_eq!(charger.forget(start() + TimeDelta::seconds(1)), [id(1)]);
    assert_eq!((charger.funds(ALICE).1, charger.n_holds()), (Funds::default(), 0));
}

#[test]
fn attempt_beside_a_call_that_shares_its_free_time_is_kept_back_too() {
    let mut rows = free_time(true, 60, "0");
    rows.tariffs[0].fees[0].failed_attempt_fee = "0.05".parse().unwrap();
    let snapshot = Arc::new(RatingSnapshot::build(Arc::new(rows), None).unwrap());
    let mut charger = Charger::new(snapshot, 60, [(ALICE, Funds { micros: 120_000, seconds: 60 })]);
    // A free minute for two calls of 0.06: each may have to be paid.
    assert_eq!(begin(&mut charger, 1), Verdict::Seconds(60));
    assert_eq!(begin(&mut charger, 2), Verdict::Seconds(60));
    charger.end(id(2), 0, start());
    assert_eq!((charger.funds(ALICE).1.micros, charger.n_holds()), (110_000, 2));
    charger.posted(&settled(2, 50_000));
    assert_eq!(charger.n_holds(), 1);
}

#[test]
fn call_that_was_suspended_is_forgotten_in_the_end() {
    let mut charger = charger(rows(true, None), 10, 100_000);
    begin(&mut charger, 1);
    charger.end(id(1), 3_000_000, start());
    assert_eq!(charger.forget(start()), []);
    assert_eq!(charger.forget(start() + TimeDelta::seconds(1)), [id(1)]);
    assert_eq!(charger.funds(ALICE).1, Funds::default());
}

proptest! {
    /// Calls begin, go on, end and are posted in any order. Together they never cost more than there was, and what was kept back is free
    /// in the end.
    #[test]
    fn no_order_takes_an_account_past_zero(
        micros in 0i64..3_000_000,
        quantum in 1u32..70,
        by_second: bool,
        steps in prop::collection::vec((0usize..6, 0u8..4, 0u64..200_000_000), 1..80),
    ) {
        let mut charger = charger(rows(by_second, None), quantum, micros);
        let mut granted = [None::<u32>; 6];
        let mut cost = 0;
        let mut posted = Vec::new();
        for (n, (call, what, wish_us)) in steps.into_iter().enumerate() {
            let name = n * 10 + call;
            let seconds = |verdict| match verdict {
                Verdict::Seconds(seconds) => Some(seconds),
                Verdict::Unlimited | Verdict::Refused(_) => None,
            };
            match (granted[call], what) {
                (None, _) => {
                    granted[call] = seconds(begin(&mut charger, call + 1_000 * (posted.len() + n)));
                    if granted[call].is_some() {
                        posted.push((call, call + 1_000 * (posted.len() + n), None));
                    }
                }
                (Some(before), 0 | 1) => {
                    let place = posted.iter().rposition(|(of, ..)| *of == call).unwrap();
                    let more = seconds(charger.extend(id(posted[place].1))).unwrap();
                    prop_assert!(more >= before && more <= before + quantum, "{} {}", before, name);
                    granted[call] = Some(more);
                }
                (Some(limit), _) => {
                    // It ends by itself, or is cut where its grant ends.
                    let place = posted.iter().rposition(|(of, ..)| *of == call).unwrap();
                    let answered_us = wish_us.min(u64::from(limit) * 1_000_000);
                    charger.end(id(posted[place].1), answered_us, start());
                    let price = offline(&charger, answered_us);
                    posted[place].2 = Some(price);
                    cost += price;
                    granted[call] = None;
                }
            }
            prop_assert!(cost <= micros, "{} of {}", cost, micros);
            let (funds, held) = charger.funds(ALICE);
            prop_assert!(held.micros >= 0 && held.micros <= funds.micros);
        }
        for (call, name, price) in posted {
            match price {
                Some(price) if price > 0 => drop(charger.posted(&settled(name, price))),
                Some(_) => {}
                None => charger.end(id(name), 0, start()),
            }
            let _ = call;
        }
        prop_assert_eq!(charger.n_holds(), 0);
        prop_assert_eq!(charger.funds(ALICE), (Funds { micros: micros - cost, seconds: 0 }, Funds::default()));
    }
}
