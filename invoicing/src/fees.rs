//! Fees of one period: which are due, and for how many of its days.
//!
//! In: fees as agreed, a [`Period`]. Out: [`FeeLine`]s, not rounded. A recurring fee that begins or ends within the period is
//! charged for its days, as days of fee by days of the whole billing period, of which this one may be a part; a fee charged
//! once is due in the period that holds its day.

use chrono::{Days, NaiveDate, TimeDelta};
use model::{AgreedFee, Currency, Money, TaxCategory};
use rust_decimal::Decimal;

use crate::{InvoicingError, Period};

/// One fee of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeLine {
    /// As it is printed.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// For all of them and the days charged, not rounded; negative for a discount.
    pub amount: Money,
    /// Charged once, and not for each period.
    pub is_once: bool,
    /// First and last day charged, where it is not the whole period.
    pub days: Option<(NaiveDate, NaiveDate)>,
    /// VAT category and rate, where they are not those of the account.
    pub tax: Option<(TaxCategory, Decimal)>,
}

impl FeeLine {
    /// A fee for the whole period.
    pub fn whole(name: String, amount: Money) -> Self {
        Self { name, quantity: 1, amount, is_once: false, days: None, tax: None }
    }
}

/// What of `fees` is due in `period`, which is `whole` or a part of it, in their order. Parts that together are `whole` are
/// charged together what `whole` is: a day cut by two of them belongs to the earlier.
///
/// # Errors
///
/// [`InvoicingError::TooLarge`].
pub fn fees_due(
    fees: &[AgreedFee],
    period: Period,
    whole: Period,
    currency: Currency,
) -> Result<Vec<FeeLine>, InvoicingError> {
    let begins_within_a_day =
        (period.start - TimeDelta::microseconds(1)).with_timezone(&period.timezone).date_naive()
            == period.first_day();
    let first = period.first_day() + Days::new(u64::from(begins_within_a_day));
    let last = period.last_day();
    let whole = (whole.first_day(), whole.last_day());
    let mut due = Vec::new();
    for fee in fees {
        let days = match fee.once {
            Some(day) if first <= day && day <= last => Some((day, day)),
            Some(_) => None,
            None => {
                let begin = fee.from.map_or(first, |from| from.max(first));
                let end =
                    fee.to.and_then(|to| to.checked_sub_days(Days::new(1))).map_or(last, |to| to.min(last));
                (begin <= end).then_some((begin, end))
            }
        };
        let Some(days) = days else { continue };
        let too_large = || InvoicingError::TooLarge { what: format!("the fee {}", fee.name) };
        let mut amount = fee.amount.checked_mul(fee.quantity.into()).ok_or_else(too_large)?;
        if fee.once.is_none() && days != whole {
            let share = amount.checked_mul(n_days(days).into()).ok_or_else(too_large)?;
            amount = share / Decimal::from(n_days(whole));
        }
        due.push(FeeLine {
            name: fee.name.clone(),
            quantity: fee.quantity,
            amount: Money::new(amount, currency),
            is_once: fee.once.is_some(),
            days: (days != whole).then_some(days),
            tax: tax_of_fee(fee),
        });
    }
    Ok(due)
}

/// Days from the first to the last, both counted.
fn n_days((first, last): (NaiveDate, NaiveDate)) -> i64 {
    (last - first).num_days() + 1
}

/// A rate alone says the category: zero percent is the zero rate.
fn tax_of_fee(fee: &AgreedFee) -> Option<(TaxCategory, Decimal)> {
    match (fee.tax_category, fee.vat_percent) {
        (None, None) => None,
        (Some(category), percent) => Some((category, percent.unwrap_or_default())),
        (None, Some(percent)) if percent.is_zero() => Some((TaxCategory::Zero, percent)),
        (None, Some(percent)) => Some((TaxCategory::Standard, percent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn fee(amount: &str, once: Option<&str>, from: Option<&str>, to: Option<&str>) -> AgreedFee {
        AgreedFee {
            name: "number".to_owned(),
            amount: amount.parse().unwrap(),
            quantity: 2,
            once: once.map(day),
            from: from.map(day),
            to: to.map(day),
            vat_percent: None,
            tax_category: None,
        }
    }

    /// What October 2026 in Vienna is charged, and for which days.
    #[track_caller]
    fn check(fee: AgreedFee, expected: &str) {
        let october = Period::month("2026-10", chrono_tz::Europe::Vienna).unwrap();
        let shown = match &fees_due(&[fee], october, october, Currency::EUR).unwrap()[..] {
            [] => "nothing".to_owned(),
            [due] => {
                let days = due.days.map_or(String::new(), |(first, last)| format!(" for {first} to {last}"));
                format!("{}{days}", due.amount.amount.normalize())
            }
            more => panic!("{} lines of one fee", more.len()),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn fee_is_charged_for_the_days_it_was_in_force() {
        check(fee("15.5", None, None, None), "31");
        check(fee("15.5", None, Some("2026-10-31"), None), "1 for 2026-10-31 to 2026-10-31");
        check(fee("15.5", None, None, Some("2026-10-02")), "1 for 2026-10-01 to 2026-10-01");
        check(fee("15.5", None, Some("2026-10-10"), Some("2026-10-20")), "10 for 2026-10-10 to 2026-10-19");
        check(fee("15.5", None, Some("2026-11-01"), None), "nothing");
        check(fee("15.5", None, None, Some("2026-10-01")), "nothing");
        check(fee("15.5", None, Some("2026-09-01"), Some("2026-11-01")), "31");
    }

    #[test]
    fn parts_of_a_month_are_charged_together_what_the_month_is() {
        let october = Period::month("2026-10", chrono_tz::Europe::Vienna).unwrap();
        let noon = "2026-10-11T10:00:00Z".parse().unwrap();
        let (early, rest) = (Period { end: noon, ..october }, Period { start: noon, ..october });
        let fees = [fee("15.5", None, None, None), fee("9", Some("2026-10-11"), None, None)];
        let charged = |period| {
            let due = fees_due(&fees, period, october, Currency::EUR).unwrap();
            due.iter().map(|fee| fee.amount.amount.normalize().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(charged(early), ["11", "18"]);
        assert_eq!(charged(rest), ["20"]);
    }

    #[test]
    fn fee_charged_once_is_due_in_the_period_of_its_day() {
        check(fee("49", Some("2026-10-01"), None, None), "98 for 2026-10-01 to 2026-10-01");
        check(fee("49", Some("2026-10-31"), None, None), "98 for 2026-10-31 to 2026-10-31");
        check(fee("49", Some("2026-11-01"), None, None), "nothing");
    }
}
