//! Lengths of time as people write them: `"90s"`, `"10m"`, `"4h"`, `"7d"`.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Letters and their seconds, longest first.
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A whole number of seconds, at least one and at most 136 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u32);

/// A text that is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration such as \"90s\", \"10m\", \"4h\" or \"7d\"")]
pub struct InvalidSpan {
    /// The text as given.
    pub text: String,
}

impl Span {
    /// So many seconds; `None` for 0.
    pub const fn of_seconds(seconds: u32) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self(seconds)) }
    }

    /// In seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// To be added to a time.
    pub fn delta(self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.0))
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let invalid = || InvalidSpan { text: text.to_owned() };
        let (letter, per_unit) =
            UNITS.iter().find(|(letter, _)| text.ends_with(*letter)).copied().ok_or_else(invalid)?;
        let digits = text.trim_end_matches(letter);
        if digits.len() + 1 != text.len() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let seconds = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(per_unit)).ok_or_else(invalid)?;
        Self::of_seconds(seconds).ok_or_else(invalid)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, per_unit) in UNITS {
            if self.0.is_multiple_of(per_unit) {
                return write!(f, "{}{letter}", self.0 / per_unit);
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_is_read_and_written_in_its_largest_whole_unit() {
        for (text, seconds, written) in
            [("90s", 90, "90s"), ("60s", 60, "1m"), ("4h", 14_400, "4h"), ("48h", 172_800, "2d")]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, written));
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "s", "0s", "-1s", "1.5h", "4 h", "4hh", "4", "9999999d", "1h30m"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
