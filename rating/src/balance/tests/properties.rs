//! What must hold whatever happens to an account, in whatever order.

use chrono::{DateTime, TimeDelta, Utc};
use model::{BalanceUnit, CarryOver, StartMode};
use proptest::prelude::*;

use super::super::{Contract, Due, Grant, Moved, Movement, Outcome, Rules, Taken};
use super::{length, local, rules};

#[derive(Debug, Clone)]
enum Step {
    /// Price in millionths and free seconds wanted, for a call that ended so many hours ago.
    Call(i64, u64, i64),
    Undo,
    TopUp(i64),
    /// To the other package.
    Package,
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (-500_000i64..9_000_000, 0u64..200, 0i64..900).prop_map(|(price, seconds, ago)| Step::Call(price, seconds, ago)),
        1 => Just(Step::Undo),
        2 => (0i64..20_000_000).prop_map(Step::TopUp),
        1 => Just(Step::Package),
        3 => (1i64..1_500).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

fn all_rules() -> impl Strategy<Value = Rules> {
    let starts = [
        None,
        Some(StartMode::CreateTz),
        Some(StartMode::FirstTz),
        Some(StartMode::TopUp),
        Some(StartMode::TopUpInterval),
    ];
    let units = [BalanceUnit::Hour, BalanceUnit::Day, BalanceUnit::Week, BalanceUnit::Month];
    (
        prop::sample::select(starts.to_vec()),
        prop::sample::select(units.to_vec()),
        1u32..40,
        prop::sample::select(CarryOver::ALL.to_vec()),
        prop::option::of(0u32..3),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(start, unit, count, carry_over, discard, prepaid, compat)| Rules {
            start,
            interval: length(count, unit),
            carry_over,
            timely: Some(length(2, BalanceUnit::Hour)),
            discard_without_topup: discard,
            initial_micros: 1_000_000,
            service_charge_micros: 10_000,
            prepaid,
            compat,
            ..rules()
        })
}

/// The balance that the movements alone make: own money, free cash, free seconds.
fn rebuilt(movements: &[Movement]) -> (i64, i64, i64) {
    let (mut own, mut cash, mut seconds) = (0, 0, 0);
    for movement in movements {
        match movement.what {
            Moved::GrantCash | Moved::ExpireCash | Moved::CallFreeCash | Moved::OrderFreeCash => {
                cash += movement.amount
            }
            Moved::GrantTime | Moved::ExpireTime | Moved::CallTime => seconds += movement.amount,
            Moved::DiscardOwn
            | Moved::InitialOwn
            | Moved::TopUp
            | Moved::ServiceCharge
            | Moved::Adjustment
            | Moved::CallOwn
            | Moved::OrderOwn => own += movement.amount,
        }
    }
    (own, cash, seconds)
}

proptest! {
    #[test]
    fn balance_is_the_sum_of_its_movements(rules in all_rules(), other in all_rules(), steps in steps()) {
        let is_ever_compat = rules.compat || other.compat;
        let (mut rules, mut other) = (rules, other);
        let grant = |_: DateTime<Utc>| Grant { micros: 3_000_000, seconds: 600 };
        let mut at = local("2026-02-14 10:00");
        let mut outcome = Outcome::default();
        let mut contract = Contract::open(at, &rules, &grant, &mut outcome);
        let mut calls: Vec<(DateTime<Utc>, Taken)> = Vec::new();
        for step in steps {
            while !contract.catch_up(at, &rules, &grant, &mut outcome) {}
            match step {
                Step::Wait(hours) => at += TimeDelta::hours(hours),
                Step::TopUp(amount) => {
                    contract.top_up(at, amount, &rules, &rules, &grant, &mut outcome);
                }
                Step::Package => {
                    std::mem::swap(&mut rules, &mut other);
                    contract.switch_package(at, &rules, &grant, &mut outcome);
                }
                Step::Call(price_micros, wanted, ago) => {
                    let end = at - TimeDelta::hours(ago);
                    let touched = contract.touched(end - TimeDelta::minutes(2), end)[0];
                    let free_seconds = wanted.min(touched.left.seconds);
                    let due = Due { interval: touched.stretch.start, price_micros, free_seconds };
                    let before = contract.cash_micros();
                    let taken = contract.spend(end, &[due], &rules, &mut outcome);
                    if !rules.prepaid {
                        // Never more than there is, never below 0 by a call.
                        prop_assert!(taken.own_micros >= 0 && contract.own_micros.min(0) >= before.min(contract.own_micros).min(0));
                        prop_assert!(taken.own_micros + taken.free_micros() <= price_micros.max(0));
                    } else {
                        prop_assert_eq!(taken.own_micros + taken.free_micros(), price_micros);
                    }
                    calls.push((end, taken));
                }
                Step::Undo => if let Some((end, taken)) = calls.pop() {
                    contract.give_back(end, &taken, &rules, &mut outcome);
                },
            }
            let (own, cash, seconds) = rebuilt(&outcome.movements);
            let left = contract.running().left;
            // The reference alone has one sum of cash, of which the grant's part may be below 0.
            prop_assert!(is_ever_compat || left.micros >= 0);
            prop_assert!(is_ever_compat || left.micros <= contract.running().granted.micros);
            prop_assert_eq!((own, cash, seconds), (contract.own_micros, left.micros, i64::try_from(left.seconds).unwrap()));
        }
    }

    /// Within one interval, calls known in another order leave the same balance.
    #[test]
    fn order_of_calls_does_not_matter(prices in prop::collection::vec(1i64..4_000_000, 1..20), seed: u64, prepaid: bool) {
        let rules = Rules { prepaid, ..rules() };
        let grant = |_: DateTime<Utc>| Grant { micros: 9_000_000, seconds: 0 };
        let balance = |prices: &[i64]| {
            let mut outcome = Outcome::default();
            let mut contract = Contract::open(local("2026-05-01 00:00"), &rules, &grant, &mut outcome);
            contract.top_up(local("2026-05-01 01:00"), 7_000_000, &rules, &rules, &grant, &mut outcome);
            let interval = contract.running().stretch.start;
            let mut owed = 0;
            for price_micros in prices {
                let due = Due { interval, price_micros: *price_micros, free_seconds: 0 };
                let taken = contract.spend(local("2026-05-02 00:00"), &[due], &rules, &mut outcome);
                owed += price_micros - taken.own_micros - taken.free_micros();
            }
            (contract.own_micros, contract.running().left, owed)
        };
        let mut shuffled = prices.clone();
        let len = shuffled.len();
        for idx in 0..len {
            let other = usize::try_from(seed.rotate_left(u32::try_from(idx).unwrap()) % u64::try_from(len).unwrap()).unwrap();
            shuffled.swap(idx, other);
        }
        prop_assert_eq!(balance(&prices), balance(&shuffled));
    }
}
