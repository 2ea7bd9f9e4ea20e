//! The numbering plan: prefixes, and the one that a number begins with.
//!
//! Source: ITU-T E.164, list of assigned country codes (annex to the Operational Bulletin), and the plans of the countries for
//! mobile, freephone and premium numbers. `data/prefixes.csv` is ours and kept by hand.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::table::{Row, Value};

const PLAN: &str = include_str!("../data/prefixes.csv");
/// Letters of the longest prefix.
const PREFIX_DIGITS_MAX: usize = 6;

/// Every prefix, with its line of the plan.
static BY_PREFIX: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    PLAN.lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter_map(|fields| Some((*fields.first()?, fields)))
        .collect()
});

/// The rows of the table `prefixes`.
pub fn prefix_rows() -> Vec<Row> {
    PLAN.lines()
        .skip(1)
        .map(|line| {
            line.split(',')
                .enumerate()
                .map(|(idx, field)| match (idx, field) {
                    (1, "") => Value::Null,
                    (5, flag) => Value::Flag(flag == "true"),
                    (_, text) => Value::from(text),
                })
                .collect()
        })
        .collect()
}

/// The longest prefix of the plan that `number` begins with; a masked number is fine as far as its digits go. `None` for what is
/// no international number.
pub(crate) fn number_prefix(number: &str) -> Option<&'static str> {
    let number = number.strip_prefix('+').unwrap_or(number);
    let n_digits = number.bytes().take_while(u8::is_ascii_digit).count();
    // Less than a number can have, and not because the rest is hidden: a short code.
    if n_digits == number.len() && n_digits < 7 {
        return None;
    }
    (1..=n_digits.min(PREFIX_DIGITS_MAX))
        .rev()
        .find_map(|length| BY_PREFIX.get_key_value(&number[..length]).map(|(prefix, _)| *prefix))
}
