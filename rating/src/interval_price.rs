//! Prices by what an account uses in a balance interval: tiers, volumes, packages.
//!
//! In: an [`IntervalPrice`] and seconds. Out: what so many seconds cost in all. A call costs by how much it makes this sum grow, so the
//! calls of an interval add up to the price of all their seconds, whatever order they are priced in, and rounding happens to the sum
//! alone.

use model::{IntervalPrice, PriceModel, Rounding, RoundingMode};
use rust_decimal::{Decimal, RoundingStrategy};

/// Seconds to which a step's price refers.
const PER: u32 = 60;

/// What a call that used `seconds` adds to the price of those used before, millionths. `None` when it has no such form.
pub(crate) fn added(price: &IntervalPrice, rounding: Rounding, before: u64, seconds: u64) -> Option<i64> {
    sum(price, rounding, before.checked_add(seconds)?)?.checked_sub(sum(price, rounding, before)?)
}

/// The most that a call of up to `seconds` may add if between `from` and `to` seconds were used before: for calls of one account at once.
/// The sum is straight between its steps, so the dearest place is at an end or at a step.
pub(crate) fn added_at_most(
    price: &IntervalPrice,
    rounding: Rounding,
    (from, to): (u64, u64),
    seconds: u64,
) -> Option<i64> {
    if price.model == PriceModel::Volume {
        // It falls at a step: the call may end just before, where it is dearest.
        let end = to.checked_add(seconds)?;
        let borders = price.steps.iter().flat_map(|step| [step.from_seconds, step.from_seconds + 1]);
        let (mut most, mut least) = (i64::MIN, i64::MAX);
        for place in borders.chain([from, to, end]).filter(|place| (from..=end).contains(place)) {
            let sum = sum(price, rounding, place)?;
            most = most.max(sum);
            if place <= to {
                least = least.min(sum);
            }
        }
        return most.checked_sub(least);
    }
    let mut places = vec![from, to];
    let borders = price.steps.iter().map(|step| step.from_seconds);
    // Packages are all alike: one border says what the others do.
    let size = price.package_seconds.max(1);
    let of_package = (price.model == PriceModel::Package)
        .then(|| [from.div_ceil(size) * size, from.saturating_add(seconds).div_ceil(size) * size]);
    for border in borders.chain(of_package.into_iter().flatten()) {
        places.extend([
            border.saturating_sub(1),
            border,
            border.saturating_sub(seconds),
            border.saturating_add(1).saturating_sub(seconds),
        ]);
    }
    let mut most = 0;
    for place in places.into_iter().filter(|place| (from..=to).contains(place)) {
        most = most.max(added(price, rounding, place, seconds)?);
    }
    Some(most)
}

/// What `seconds` cost in all, rounded, millionths.
pub(crate) fn sum(price: &IntervalPrice, rounding: Rounding, seconds: u64) -> Option<i64> {
    let exact = match price.model {
        PriceModel::Tiered => {
            let mut sum = Decimal::ZERO;
            let ends = price.steps.iter().skip(1).map(|step| step.from_seconds).chain([u64::MAX]);
            for (step, end) in price.steps.iter().zip(ends) {
                let in_step = seconds.min(end).saturating_sub(step.from_seconds);
                sum = sum.checked_add(step.per_minute.checked_mul(Decimal::from(in_step))?)?;
            }
            sum.checked_div(Decimal::from(PER))?
        }
        PriceModel::Volume => {
            // A step is reached by the first second after its border.
            let reached = price.steps.iter().rfind(|step| step.from_seconds < seconds.max(1))?;
            reached.per_minute.checked_mul(Decimal::from(seconds))?.checked_div(Decimal::from(PER))?
        }
        PriceModel::Package => {
            let begun = seconds.div_ceil(price.package_seconds.max(1));
            price.package_price.checked_mul(Decimal::from(begun))?
        }
    };
    model::to_micros(exact.round_dp_with_strategy(rounding.scale, strategy(rounding.mode))).ok()
}

const fn strategy(mode: RoundingMode) -> RoundingStrategy {
    match mode {
        RoundingMode::HalfUp => RoundingStrategy::MidpointAwayFromZero,
        RoundingMode::HalfEven => RoundingStrategy::MidpointNearestEven,
        RoundingMode::Up => RoundingStrategy::AwayFromZero,
        RoundingMode::Down => RoundingStrategy::ToZero,
    }
}

/// Whether calls to a zone are priced so.
pub(crate) fn covers(price: &IntervalPrice, zone: &str) -> bool {
    price.zones.is_empty() || price.zones.iter().any(|there| there == zone)
}

/// What is wrong with it, in a sentence.
pub(crate) fn fault(price: &IntervalPrice) -> Option<&'static str> {
    let rises = price.steps.windows(2).all(|pair| pair[0].from_seconds < pair[1].from_seconds);
    let is_negative = |amount: Decimal| amount.is_sign_negative() && !amount.is_zero();
    match price.model {
        PriceModel::Tiered | PriceModel::Volume => {
            if price.steps.first().is_none_or(|step| step.from_seconds != 0) || !rises {
                return Some("steps must begin with from_seconds = 0 and rise");
            }
            if price.steps.iter().any(|step| is_negative(step.per_minute)) {
                return Some("per_minute must not be below 0");
            }
            (price.package_seconds > 0).then_some("packages have no steps, and steps no package_seconds")
        }
        PriceModel::Package if price.package_seconds == 0 => Some("package_seconds must be at least 1"),
        PriceModel::Package if is_negative(price.package_price) => Some("package_price must not be below 0"),
        PriceModel::Package => {
            (!price.steps.is_empty()).then_some("packages have no steps, and steps no package_seconds")
        }
    }
}

#[cfg(test)]
mod tests {
    use model::PriceStep;
    use proptest::prelude::*;

    use super::*;

    fn stepped(model: PriceModel, steps: &[(u64, &str)]) -> IntervalPrice {
        let step = |&(from_seconds, price): &(u64, &str)| PriceStep {
            from_seconds,
            per_minute: price.parse().unwrap(),
        };
        IntervalPrice {
            model,
            zones: Vec::new(),
            steps: steps.iter().map(step).collect(),
            package_seconds: 0,
            package_price: Decimal::ZERO,
        }
    }

    fn package() -> IntervalPrice {
        IntervalPrice {
            package_seconds: 600,
            package_price: "5".parse().unwrap(),
            ..stepped(PriceModel::Package, &[])
        }
    }

    fn check(price: &IntervalPrice, expected: &[(u64, &str)]) {
        for (seconds, cost) in expected {
            let micros = sum(price, Rounding::default(), *seconds).unwrap();
            assert_eq!(model::from_micros(micros).normalize().to_string(), *cost, "{seconds} s");
        }
    }

    #[test]
    fn tiers_price_each_second_by_its_own_step() {
        let price = stepped(PriceModel::Tiered, &[(0, "0.60"), (600, "0.30"), (1_200, "0")]);
        check(&price, &[(0, "0"), (1, "0.01"), (600, "6"), (601, "6.005"), (1_200, "9"), (9_999, "9")]);
    }

    #[test]
    fn volume_prices_all_seconds_by_the_step_reached() {
        let price = stepped(PriceModel::Volume, &[(0, "0.60"), (600, "0.30")]);
        check(&price, &[(0, "0"), (600, "6"), (601, "3.005"), (1_200, "6")]);
        assert_eq!(added(&price, Rounding::default(), 600, 1), Some(-2_995_000));
    }

    #[test]
    fn package_begun_is_paid_in_full() {
        check(&package(), &[(0, "0"), (1, "5"), (600, "5"), (601, "10"), (1_800, "15")]);
    }

    #[test]
    fn steps_that_do_not_rise_are_refused() {
        assert!(fault(&stepped(PriceModel::Tiered, &[(0, "1"), (60, "2")])).is_none());
        assert!(fault(&package()).is_none());
        for wrong in [
            stepped(PriceModel::Tiered, &[]),
            stepped(PriceModel::Tiered, &[(10, "1")]),
            stepped(PriceModel::Volume, &[(0, "1"), (60, "2"), (60, "3")]),
            stepped(PriceModel::Volume, &[(0, "-1")]),
            stepped(PriceModel::Package, &[]),
            IntervalPrice { steps: stepped(PriceModel::Tiered, &[(0, "1")]).steps, ..package() },
        ] {
            assert!(fault(&wrong).is_some(), "{wrong:?}");
        }
    }

    fn prices() -> impl Strategy<Value = IntervalPrice> {
        let steps = prop::collection::btree_map(1u64..2_000, 0i64..200, 0..4);
        (prop::sample::select(PriceModel::ALL.to_vec()), steps, 0i64..200, 1u64..900).prop_map(
            |(model, steps, first, size)| {
                let steps = [(0, first)].into_iter().chain(steps);
                let step =
                    |(from_seconds, cents)| PriceStep { from_seconds, per_minute: Decimal::new(cents, 2) };
                match model {
                    PriceModel::Package => IntervalPrice { package_seconds: size, ..package() },
                    PriceModel::Tiered | PriceModel::Volume => {
                        IntervalPrice { model, steps: steps.map(step).collect(), ..stepped(model, &[]) }
                    }
                }
            },
        )
    }

    proptest! {
        /// However the seconds are cut into calls, the calls cost the price of all seconds.
        #[test]
        fn calls_add_up_to_the_price_of_their_seconds(price in prices(), calls in prop::collection::vec(0u64..700, 0..20)) {
            let rounding = Rounding::default();
            let (mut used, mut cost) = (0, 0);
            for seconds in calls {
                cost += added(&price, rounding, used, seconds).unwrap();
                used += seconds;
            }
            prop_assert_eq!(Some(cost), sum(&price, rounding, used));
        }

        /// What is kept back is enough wherever the calls at once leave the counter.
        #[test]
        fn most_is_not_less_than_any(
            price in prices(), from in 0u64..2_000, more in 0u64..2_000, seconds in 0u64..700, at in 0u64..2_000, less in 0u64..700,
        ) {
            let rounding = Rounding { scale: 6, ..Rounding::default() };
            let most = added_at_most(&price, rounding, (from, from + more), seconds).unwrap();
            let place = from + at.min(more);
            // Each of two sums is rounded.
            prop_assert!(added(&price, rounding, place, seconds.saturating_sub(less)).unwrap() <= most + 1);
        }
    }
}
