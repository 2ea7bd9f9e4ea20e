//! What came to earlier periods after they were billed.
//!
//! In: calls by day and zone as they are known now, and as invoices billed them. Out: the difference, which the next invoice
//! bills with its day. Every invoice keeps what it billed ([`crate::Invoice::billed`]), so no call is billed twice or never, whether
//! its record came late, was rated again or was taken back.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{InvoicingError, UsageLine};

/// Calls of one local day to one zone; negative where they are taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUsage {
    /// The local day of the account.
    pub day: NaiveDate,
    /// Zone.
    pub zone: String,
    /// Zone detail.
    pub zone_detail: String,
    /// How many calls.
    pub calls: i64,
    /// Seconds charged.
    pub billed_seconds: i64,
    /// What they cost, not rounded.
    pub cost: Decimal,
}

/// `known` without what is `billed`, by day, zone and detail. What comes to nothing is left out.
///
/// # Errors
///
/// [`InvoicingError::TooLarge`].
pub fn late_usage<'a>(
    known: &'a [DayUsage],
    billed: impl IntoIterator<Item = &'a DayUsage>,
) -> Result<Vec<DayUsage>, InvoicingError> {
    let mut days: BTreeMap<(NaiveDate, &str, &str), DayUsage> = BTreeMap::new();
    let signed = known.iter().map(|usage| (1, usage)).chain(billed.into_iter().map(|usage| (-1, usage)));
    for (sign, usage) in signed {
        let key = (usage.day, usage.zone.as_str(), usage.zone_detail.as_str());
        let sum = days.entry(key).or_insert_with(|| DayUsage {
            calls: 0,
            billed_seconds: 0,
            cost: Decimal::ZERO,
            ..usage.clone()
        });
        let too_large = || InvoicingError::TooLarge { what: format!("the sum of calls to {}", usage.zone) };
        let added = |sum: i64, part: i64| part.checked_mul(sign).and_then(|part| sum.checked_add(part));
        sum.calls = added(sum.calls, usage.calls).ok_or_else(too_large)?;
        sum.billed_seconds = added(sum.billed_seconds, usage.billed_seconds).ok_or_else(too_large)?;
        let part = usage.cost * Decimal::from(sign);
        sum.cost = sum.cost.checked_add(part).ok_or_else(too_large)?;
    }
    let is_something =
        |usage: &DayUsage| usage.calls != 0 || usage.billed_seconds != 0 || !usage.cost.is_zero();
    Ok(days.into_values().filter(is_something).collect())
}

/// The calls of all days, for the lines of an invoice. Where more was taken back than there is, `None`.
pub fn usage_lines(days: &[DayUsage]) -> Option<Vec<UsageLine>> {
    days.iter()
        .map(|day| {
            Some(UsageLine {
                zone: day.zone.clone(),
                zone_detail: day.zone_detail.clone(),
                calls: day.calls.try_into().ok()?,
                billed_seconds: day.billed_seconds.try_into().ok()?,
                cost: day.cost,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `day zone calls seconds cost`
    fn usage(text: &str) -> DayUsage {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [day, zone, calls, seconds, cost] = words[..] else { panic!("five words, not {text:?}") };
        DayUsage {
            day: format!("2026-09-{day}").parse().unwrap(),
            zone: zone.to_owned(),
            zone_detail: String::new(),
            calls: calls.parse().unwrap(),
            billed_seconds: seconds.parse().unwrap(),
            cost: cost.parse().unwrap(),
        }
    }

    #[track_caller]
    fn check(known: &[&str], billed: &[&str], expected: &[&str]) {
        let all = |texts: &[&str]| texts.iter().map(|text| usage(text)).collect::<Vec<_>>();
        assert_eq!(late_usage(&all(known), &all(billed)).unwrap(), all(expected));
    }

    #[test]
    fn call_that_came_late_is_billed_with_its_day_and_one_taken_back_is_credited() {
        check(&["30 Austria 3 180 0.60"], &["30 Austria 3 180 0.6"], &[]);
        check(&["30 Austria 3 180 0.60"], &["30 Austria 1 60 0.20"], &["30 Austria 2 120 0.40"]);
        check(&[], &["29 Austria 1 60 0.20"], &["29 Austria -1 -60 -0.20"]);
        // Rated again: to another zone, at another price.
        check(
            &["30 Austria 1 60 0.25", "30 Cuba 1 60 1"],
            &["30 Austria 2 120 0.40"],
            &["30 Austria -1 -60 -0.15", "30 Cuba 1 60 1"],
        );
        // A late call billed by a second invoice is not late for a third.
        check(&["30 Austria 2 120 0.4"], &["30 Austria 1 60 0.2", "30 Austria 1 60 0.2"], &[]);
    }

    #[test]
    fn lines_of_an_invoice_have_no_negative_number_of_calls() {
        assert_eq!(usage_lines(&[usage("30 Austria 2 120 0.40")]).unwrap()[0].calls, 2);
        assert_eq!(usage_lines(&[usage("30 Austria -1 -60 -0.40")]), None);
    }

    fn any_usage() -> impl Strategy<Value = DayUsage> {
        (1..4_u32, 0..3_u8, 0..50_i64, 0..5_000_i64, -1_000_000..1_000_000_i64).prop_map(
            |(day, zone, calls, billed_seconds, micros)| DayUsage {
                day: NaiveDate::from_ymd_opt(2026, 9, day).unwrap(),
                zone: format!("zone {zone}"),
                zone_detail: String::new(),
                calls,
                billed_seconds,
                cost: Decimal::new(micros, 6),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_billed_and_what_is_late_are_what_is_known(
            known in proptest::collection::vec(any_usage(), 0..20),
            billed in proptest::collection::vec(any_usage(), 0..20),
        ) {
            let late = late_usage(&known, &billed).unwrap();
            let all: Vec<DayUsage> = billed.iter().cloned().chain(late).collect();
            prop_assert_eq!(late_usage(&known, &all).unwrap(), []);
        }
    }
}
