//! What must hold for every call and tariff.

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc, Weekday};
use model::{
    Direction, Fee, FeeId, OffPeakWeekday, Peak, PeakOptions, PeakSplit, PortedNumber, Rate, Rounding,
    RoundingMode, TariffVersion,
};
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

use super::{fee, version};
use crate::meter::FreeTime;
use crate::price::{NO_FREE_TIME, price_whole};
use crate::reference_loop::{BalanceRow, price_like_reference};
use crate::{CallToPrice, Priced, Tariff, price, quote};

fn rates() -> impl Strategy<Value = Rate> {
    (-50i64..5000, 0u32..5, prop::sample::select(vec![1u32, 7, 60, 60, 60, 3600]), 1u32..200).prop_map(
        |(price, scale, per_seconds, interval_seconds)| Rate {
            price: Decimal::new(price, scale),
            per_seconds,
            interval_seconds,
        },
    )
}

fn tariffs() -> impl Strategy<Value = TariffVersion> {
    let spans = prop::collection::vec((0u8..7, 0u32..86_400, 0u32..50_000), 0..8);
    let zone = prop::sample::select(vec![chrono_tz::Europe::Vienna, chrono_tz::America::New_York]);
    let rounding = (prop::sample::select(RoundingMode::ALL.to_vec()), 0u32..7);
    (rates(), rates(), rates(), rates(), spans, zone, rounding, any::<bool>()).prop_map(
        |(onpeak_init, onpeak_follow, offpeak_init, offpeak_follow, spans, zone, (mode, scale), split)| {
            let fee = Fee { onpeak_init, onpeak_follow, offpeak_init, offpeak_follow, ..fee("* 0 0 1/1") };
            let time = |second| NaiveTime::from_num_seconds_from_midnight_opt(second, 0).unwrap();
            let mut version = version(zone, vec![fee]);
            version.rounding = Rounding { mode, scale };
            version.peak_split = if split { PeakSplit::Boundary } else { PeakSplit::IntervalStart };
            version.weekdays = spans
                .into_iter()
                .map(|(day, start, length)| OffPeakWeekday {
                    day: Weekday::try_from(day).unwrap(),
                    start: time(start),
                    end: time((start + length).min(86_399)),
                })
                .collect();
            version
        },
    )
}

/// Any microsecond of 2026, and often one around a clock change.
fn starts() -> impl Strategy<Value = DateTime<Utc>> {
    let near = |text: &str| {
        let at: DateTime<Utc> = text.parse().unwrap();
        (-7_200_000_000i64..7_200_000_000).prop_map(move |micros| at + TimeDelta::microseconds(micros))
    };
    let begin: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    prop_oneof![
        (0i64..365 * 86_400_000_000).prop_map(move |micros| begin + TimeDelta::microseconds(micros)),
        near("2026-03-29T01:00:00Z"),
        near("2026-10-25T01:00:00Z"),
        near("2026-03-08T07:00:00Z"),
        near("2026-11-01T06:00:00Z"),
    ]
}

fn priced(version: &TariffVersion, start: DateTime<Utc>, duration_us: u64) -> Priced {
    let call = CallToPrice {
        ported: None,
        source: "",
        destination: "43",
        direction: Direction::Out,
        start,
        duration_us,
    };
    price(&Tariff::compile(version).unwrap(), &call).unwrap()
}

fn peak_at(version: &TariffVersion, at: DateTime<Utc>) -> Peak {
    let local = at.with_timezone(&version.profile.timezone);
    let time = local.time().with_nanosecond_dropped();
    let off = version
        .weekdays
        .iter()
        .any(|span| span.day == local.weekday() && span.start <= time && time <= span.end);
    if off { Peak::Off } else { Peak::On }
}

trait WholeSecond {
    fn with_nanosecond_dropped(self) -> Self;
}

impl WholeSecond for NaiveTime {
    fn with_nanosecond_dropped(self) -> Self {
        chrono::Timelike::with_nanosecond(&self, 0).unwrap()
    }
}

/// The same price, second by second and in `Decimal`: seconds on-peak, seconds off-peak, cost.
fn brute_force(version: &TariffVersion, start: DateTime<Utc>, duration_us: u64) -> (u64, u64, Decimal) {
    // The least common multiple of all `per_seconds` in use here.
    let denominator = Decimal::from(3600 * 7);
    let fee = &version.fees[0];
    let (mut on, mut off, mut sum) = (0, 0, Decimal::ZERO);
    let mut second = 0u64;
    while u128::from(second) * 1_000_000 < u128::from(duration_us) {
        let instant = |second: u64| start + TimeDelta::seconds(i64::try_from(second).unwrap());
        let of = |peak| match (second == 0, peak) {
            (true, Peak::On) => fee.onpeak_init,
            (true, Peak::Off) => fee.offpeak_init,
            (false, Peak::On) => fee.onpeak_follow,
            (false, Peak::Off) => fee.offpeak_follow,
        };
        let at_start = peak_at(version, instant(second));
        let interval = u64::from(of(at_start).interval_seconds);
        for each in second..second + interval {
            let peak = match version.peak_split {
                PeakSplit::IntervalStart | PeakSplit::ReferenceFragments => at_start,
                PeakSplit::Boundary => peak_at(version, instant(each)),
            };
            match peak {
                Peak::On => on += 1,
                Peak::Off => off += 1,
            }
            sum += of(peak).price * denominator / Decimal::from(of(peak).per_seconds);
        }
        second += interval;
    }
    let strategy = match version.rounding.mode {
        RoundingMode::HalfUp => RoundingStrategy::MidpointAwayFromZero,
        RoundingMode::HalfEven => RoundingStrategy::MidpointNearestEven,
        RoundingMode::Up => RoundingStrategy::AwayFromZero,
        RoundingMode::Down => RoundingStrategy::ToZero,
    };
    (on, off, (sum / denominator).round_dp_with_strategy(version.rounding.scale, strategy))
}

proptest! {
    #[test]
    fn price_agrees_with_decimals_second_by_second(
        version in tariffs(),
        start in starts(),
        duration_us in 0u64..5_400_000_000,
    ) {
        let priced = priced(&version, start, duration_us);
        let (on, off, cost) = brute_force(&version, start, duration_us);
        prop_assert_eq!((priced.onpeak_seconds, priced.offpeak_seconds), (on, off));
        prop_assert_eq!(priced.cost, cost);
        let pieces: u64 = priced.pieces.iter().map(|piece| piece.seconds).sum();
        prop_assert_eq!(pieces, priced.billed_seconds);
    }

    #[test]
    fn a_per_second_call_split_anywhere_costs_the_same(
        mut version in tariffs(),
        start in starts(),
        first in 1u64..4000,
        rest in 1u64..4000,
    ) {
        // Six decimals hold every sum of seconds at prices with two decimals per second.
        version.rounding = Rounding::default();
        let fee = &mut version.fees[0];
        for (rate, price) in [&mut fee.onpeak_init, &mut fee.offpeak_init].into_iter().zip([12, 5]) {
            *rate = Rate { price: Decimal::new(price, 2), per_seconds: 1, interval_seconds: 1 };
        }
        (fee.onpeak_follow, fee.offpeak_follow) = (fee.onpeak_init, fee.offpeak_init);
        let whole = priced(&version, start, (first + rest) * 1_000_000).cost;
        let later = start + TimeDelta::seconds(i64::try_from(first).unwrap());
        let parts = priced(&version, start, first * 1_000_000).cost + priced(&version, later, rest * 1_000_000).cost;
        prop_assert_eq!(whole, parts);
    }

    #[test]
    fn a_longer_call_is_never_cheaper_where_no_price_is_below_zero(
        mut version in tariffs(),
        start in starts(),
        duration_us in 0u64..3_600_000_000,
        more_us in 0u64..600_000_000,
    ) {
        let fee = &mut version.fees[0];
        for rate in [&mut fee.onpeak_init, &mut fee.onpeak_follow, &mut fee.offpeak_init, &mut fee.offpeak_follow] {
            rate.price = rate.price.abs();
        }
        prop_assert!(priced(&version, start, duration_us).cost <= priced(&version, start, duration_us + more_us).cost);
    }

    #[test]
    fn the_fee_found_is_that_of_a_linear_search(
        pairs in prop::collection::btree_set(("[1-3]{0,3}", "[1-3]{0,2}"), 0..40),
        source in "[1-3]{1,4}",
        destination in "[1-3]{1,5}",
    ) {
        let fees: Vec<Fee> = pairs.iter().zip(1..).map(|((destination, source), id)| Fee {
            id: FeeId(id),
            destination: destination.clone(),
            source: source.clone(),
            ..fee("* 1 1 60/60")
        }).collect();
        let expected = fees
            .iter()
            .filter(|fee| destination.starts_with(&fee.destination) && source.starts_with(&fee.source))
            .max_by_key(|fee| (fee.destination.len(), fee.source.len()))
            .map(|fee| fee.id);
        let tariff = Tariff::compile(&version(chrono_tz::UTC, fees)).unwrap();
        let call = CallToPrice {
            ported: None,
            source: &source,
            destination: &destination,
            direction: Direction::Out,
            start: DateTime::UNIX_EPOCH,
            duration_us: 1,
            };
        prop_assert_eq!(price(&tariff, &call).ok().and_then(|priced| priced.fee), expected);
    }

    /// The price alone is the price with its workings; the pieces and flat amounts add up to it.
    #[test]
    fn quote_agrees_with_the_price_and_the_price_with_its_pieces(
        mut version in tariffs(),
        start in starts(),
        duration_us in 0u64..5_400_000_000,
        connection in -200i64..200,
        minimum in prop::option::of(-100i64..5_000),
        above in prop::option::of(0i64..5_000),
    ) {
        let fee = &mut version.fees[0];
        fee.connection_fee = Decimal::new(connection, 3);
        fee.minimum_charge = minimum.map(|minimum| Decimal::new(minimum, 2));
        fee.maximum_charge = above.map(|above| fee.minimum_charge.unwrap_or_default() + Decimal::new(above, 2));
        let whole = priced(&version, start, duration_us);
        let tariff = Tariff::compile(&version).unwrap();
        let call =
            CallToPrice { ported: None, source: "", destination: "43", direction: Direction::Out, start, duration_us };
        let quote = quote(&tariff, &call).unwrap();
        prop_assert_eq!(model::from_micros(quote.cost_micros), whole.cost);
        prop_assert_eq!((quote.onpeak_seconds, quote.offpeak_seconds), (whole.onpeak_seconds, whole.offpeak_seconds));
        prop_assert_eq!(quote.fee, whole.fee);
        // The pieces are shown with 28 digits, so their sum may miss a repeating fraction by the last of them.
        let sum = whole.pieces.iter().map(|piece| piece.price).sum::<Decimal>() + whole.flat;
        let step = Decimal::new(1, version.rounding.scale);
        prop_assert!((sum - whole.cost).abs() <= step, "{} {}", sum, whole.cost);
    }

    /// Many calls at once, in and out, some to ported numbers, to a list with and without leaves, gaps, dated fees and borders: what each
    /// costs alone.
    #[test]
    fn quotes_of_many_calls_are_those_of_each(
        mut version in tariffs(),
        prefixes in prop::collection::btree_map("[0-9]{1,3}[0-1]{0,4}", prop::bool::weighted(0.1), 0..80),
        // One of them, and there are no leaves.
        long_prefix in prop::option::weighted(0.2, "[0-9]{10,12}"),
        // Incoming ones are another list.
        n_incoming in 0usize..40,
        // Fees for the carrier `0`, and for the number type `mobile`.
        (has_carrier_fee, has_type_fee) in any::<(bool, bool)>(),
        calls in prop::collection::vec(
            ("[0-9]{0,3}[0-1]{0,12}@?", starts(), 0u64..7_200_000_000, any::<bool>(), prop::option::weighted(0.3, "[01]")),
            0..70,
        ),
        is_cut in any::<bool>(),
    ) {
        let fee = version.fees.remove(0);
        version.fees = prefixes.into_iter().chain(long_prefix.map(|long| (long, false))).zip(1..).map(|((destination, is_dated), id)| Fee {
            id: FeeId(id),
            destination,
            valid_from: is_dated.then(|| "2026-06-01T00:00:00Z".parse().unwrap()),
            ..fee.clone()
        }).collect();
        let incoming: Vec<Fee> = version.fees.iter().take(n_incoming).cloned().collect();
        version.fees.extend(incoming.into_iter().zip(1_001..).map(|(fee, id)| {
            Fee { id: FeeId(id), direction: Direction::In, connection_fee: Decimal::ONE, ..fee }
        }));
        for (has_fee, destination, id) in [(has_carrier_fee, "lnp:0", 2_001), (has_type_fee, "lnpnumbertype:mobile", 2_002)] {
            if has_fee {
                let (id, connection_fee) = (FeeId(id), Decimal::from(id));
                version.fees.push(Fee { id, destination: destination.to_owned(), connection_fee, ..fee.clone() });
            }
        }
        if is_cut {
            version.peak_split = PeakSplit::ReferenceFragments;
        }
        let tariff = Tariff::compile(&version).unwrap();
        let carriers = ["0", "1"].map(|carrier| PortedNumber {
            number: "4".to_owned(),
            carrier: carrier.to_owned(),
            number_type: if carrier == "1" { "mobile".to_owned() } else { String::new() },
            from: None,
            to: None,
        });
        let asked: Vec<(&Tariff, CallToPrice<'_>)> = calls.iter().map(|(destination, start, duration_us, is_in, carrier)| {
            let call = CallToPrice {
                ported: carrier.as_ref().map(|carrier| &carriers[usize::from(carrier == "1")]),
                source: "",
                destination,
                direction: if *is_in { Direction::In } else { Direction::Out },
                start: *start,
                duration_us: *duration_us,
            };
            (&tariff, call)
        }).collect();
        let mut quotes = Vec::new();
        crate::quote_each(&asked, |place, quoted| quotes.push((place, quoted)));
        let alone: Vec<_> = asked.iter().map(|(tariff, call)| quote(tariff, call)).enumerate().collect();
        prop_assert_eq!(quotes, alone);
    }

    /// Fragments are the same walk, cut: in any rounding their seconds and pieces add up to those of the call, and with none lost
    /// to rounding their costs too.
    #[test]
    fn fragments_add_up_to_the_call(
        mut version in tariffs(),
        start in starts(),
        duration_us in 1u64..5_400_000_000,
    ) {
        version.peak_split = PeakSplit::IntervalStart;
        let whole = priced(&version, start, duration_us);
        let tariff = Tariff::compile(&version).unwrap();
        let call =
            CallToPrice { ported: None, source: "", destination: "43", direction: Direction::Out, start, duration_us };
        let fragments = price_whole(&tariff, &call, &mut NO_FREE_TIME.clone(), Some(&[])).unwrap();
        let sum = |of: fn(&Priced) -> u64| fragments.iter().map(|fragment| of(&fragment.priced)).sum::<u64>();
        prop_assert_eq!(sum(|priced| priced.onpeak_seconds), whole.onpeak_seconds);
        prop_assert_eq!(sum(|priced| priced.offpeak_seconds), whole.offpeak_seconds);
        let cost: Decimal = fragments.iter().map(|fragment| fragment.priced.cost).sum();
        let n_fragments = Decimal::from(fragments.len());
        prop_assert!((cost - whole.cost).abs() <= Decimal::new(1, version.rounding.scale) * n_fragments);
        for fragment in &fragments {
            let is_one_state = fragment.priced.onpeak_seconds == 0 || fragment.priced.offpeak_seconds == 0;
            prop_assert!(is_one_state);
        }
    }

    /// Where no balance and no fraction of a second is in play, the reference's loop comes to the same.
    #[test]
    fn the_references_loop_agrees_where_it_has_no_quirk(
        version in tariffs(),
        start in starts(),
        duration_us in 0u64..5_400_000_000,
    ) {
        let start = DateTime::from_timestamp(start.timestamp(), 0).unwrap();
        let whole = priced(&version, start, duration_us);
        let tariff = Tariff::compile(&TariffVersion { compat: true, ..version }).unwrap();
        let call =
            CallToPrice { ported: None, source: "", destination: "43", direction: Direction::Out, start, duration_us };
        let mut rows = [BalanceRow { until: i64::MAX, cash_micros: 0, debit_micros: 0, free_seconds: 0 }];
        let fragments = price_like_reference(&tariff, &call, &mut rows, None).unwrap();
        prop_assert_eq!(fragments.len(), 1);
        let like = &fragments[0].priced;
        prop_assert_eq!(like.cost + fragments[0].free_cash, whole.cost);
        prop_assert_eq!((like.onpeak_seconds, like.offpeak_seconds), (whole.onpeak_seconds, whole.offpeak_seconds));
    }

    /// Free time by billing interval never covers more than there is, and what it covers is not paid.
    #[test]
    fn free_time_is_spent_in_its_own_interval(
        mut version in tariffs(),
        start in starts(),
        duration_us in 1u64..5_400_000_000,
        first in 0u64..2_000,
        second in 0u64..2_000,
        border_s in 0i64..5_400,
    ) {
        let fee = &mut version.fees[0];
        for rate in [&mut fee.onpeak_init, &mut fee.onpeak_follow, &mut fee.offpeak_init, &mut fee.offpeak_follow] {
            rate.price = rate.price.abs();
        }
        let flag = PeakOptions { use_free_time: true, extra: None };
        (fee.onpeak, fee.offpeak) = (flag, flag);
        let tariff = Tariff::compile(&version).unwrap();
        let call =
            CallToPrice { ported: None, source: "", destination: "43", direction: Direction::Out, start, duration_us };
        let mut free = [
            FreeTime { until: (start + TimeDelta::seconds(border_s)).timestamp_micros(), seconds: first },
            FreeTime { until: i64::MAX, seconds: second },
        ];
        let fragments = price_whole(&tariff, &call, &mut free, None).unwrap();
        let used: u64 = fragments[0].shares.iter().map(|share| share.free_seconds).sum();
        prop_assert_eq!(used, first + second - free[0].seconds - free[1].seconds);
        prop_assert_eq!(used, fragments[0].priced.free_seconds);
        let cost: Decimal = fragments[0].shares.iter().map(|share| share.cost).sum();
        prop_assert_eq!(cost, fragments[0].priced.cost);
        let without = priced(&version, start, duration_us);
        prop_assert_eq!(fragments[0].priced.billed_seconds, without.billed_seconds);
        prop_assert!(cost <= without.cost);
    }

    /// The reference's order, tried fee by fee.
    #[test]
    fn the_references_choice_is_that_of_a_linear_search(
        fees in prop::collection::btree_set(
            (0usize..4, "[1-3]{0,3}", "[1-3]{0,2}", prop::sample::select(vec!["", ".*", ".*$", "$", "[12]"])),
            0..30,
        ),
        source in "[1-3]{1,3}",
        destination in "[1-3]{1,4}",
    ) {
        let fees: Vec<Fee> = fees.iter().zip(1..).map(|((mode, destination, source, tail), id)| {
            let match_mode = model::MatchMode::ALL[*mode];
            let pattern = |text: &str, tail: &str| match match_mode {
                model::MatchMode::ExactDestination | model::MatchMode::Prefix => text.to_owned(),
                model::MatchMode::RegexLongestMatch | model::MatchMode::RegexLongestPattern => format!("^{text}{tail}"),
            };
            Fee { id: FeeId(id), destination: pattern(destination, tail), source: pattern(source, ""), match_mode, ..fee("* 1 1 60/60") }
        }).collect();
        // Of fees with the same key there may be one.
        let mut seen = std::collections::HashSet::new();
        let fees: Vec<Fee> = fees
            .into_iter()
            .filter(|fee| seen.insert((fee.match_mode, fee.destination.clone(), fee.source.clone())))
            .collect();
        let expected = linear_reference(&fees, &source, &destination);
        let mut version = version(chrono_tz::UTC, Vec::new());
        version.fee_match = model::FeeMatch::Reference;
        version.fees = fees.into();
        let tariff = Tariff::compile(&version).unwrap();
        let call = CallToPrice {
            ported: None,
            source: &source,
            destination: &destination,
            direction: Direction::Out,
            start: DateTime::UNIX_EPOCH,
            duration_us: 1,
        };
        prop_assert_eq!(price(&tariff, &call).ok().and_then(|priced| priced.fee), expected);
    }
}

/// The modes in their order; within one the heaviest, of equal ones the first.
fn linear_reference(fees: &[Fee], source: &str, destination: &str) -> Option<FeeId> {
    use model::MatchMode::{ExactDestination, Prefix, RegexLongestMatch, RegexLongestPattern};
    let matched = |pattern: &str, text: &str| {
        let regex = fancy_regex::Regex::new(pattern).unwrap();
        regex.find(text).unwrap().map(|found| found.as_str().len())
    };
    [ExactDestination, Prefix, RegexLongestMatch, RegexLongestPattern].into_iter().find_map(|mode| {
        let weight = |fee: &&Fee| -> Option<(usize, usize)> {
            match mode {
                ExactDestination => (fee.destination == destination).then_some((0, 0)),
                Prefix => (destination.starts_with(&fee.destination) && source.starts_with(&fee.source))
                    .then_some((fee.destination.len(), fee.source.len())),
                RegexLongestMatch => {
                    Some((matched(&fee.destination, destination)?, matched(&fee.source, source)?))
                }
                RegexLongestPattern => {
                    matched(&fee.destination, destination)?;
                    matched(&fee.source, source)?;
                    Some((fee.destination.len(), fee.source.len()))
                }
            }
        };
        let of_mode = fees.iter().filter(|fee| fee.match_mode == mode);
        let weighed = of_mode.filter_map(|fee| Some((weight(&fee)?, std::cmp::Reverse(fee.id), fee.id)));
        weighed.max().map(|(_, _, id)| id)
    })
}
