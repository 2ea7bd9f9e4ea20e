//! Telephone numbers in their canonical form.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A telephone number in E.164 form: 1 to 15 digits, country code first, no `+`.
///
/// A country code never begins with 0, so the integer keeps every digit. Short codes such as `112` fit too.
/// `Display` prints all digits, for files and partners; `Debug`, for logs, hides the middle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(NonZeroU64);

/// Why a text is not an E.164 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidE164 {
    /// Empty, or more than 15 digits (ITU-T E.164, 6.2.1).
    #[error("an E.164 number has 1 to 15 digits, this one has {digits}")]
    Length {
        /// How many there were.
        digits: usize,
    },
    /// A character that is not a digit; a leading `+` is allowed.
    #[error("{found:?} is not a digit")]
    NotADigit {
        /// The first such character.
        found: char,
    },
    /// No country code begins with 0.
    #[error("an E.164 number does not begin with 0")]
    LeadingZero,
}

impl E164 {
    /// The digits as one integer.
    pub const fn as_u64(self) -> u64 {
        self.0.get()
    }

    /// Back from [`Self::as_u64`]; `None` for 0 and for more than 15 digits.
    pub const fn from_u64(digits: u64) -> Option<Self> {
        match NonZeroU64::new(digits) {
            Some(number) if digits < 1_000_000_000_000_000 => Some(Self(number)),
            _ => None,
        }
    }

    /// First four and last two digits: enough to recognise, too little to call.
    pub fn masked(self) -> String {
        let digits = self.to_string();
        if digits.len() <= 6 {
            return "…".to_owned();
        }
        format!("{}…{}", &digits[..4], &digits[digits.len() - 2..])
    }
}

impl FromStr for E164 {
    type Err = InvalidE164;

    fn from_str(text: &str) -> Result<Self, InvalidE164> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if let Some(found) = digits.chars().find(|c| !c.is_ascii_digit()) {
            return Err(InvalidE164::NotADigit { found });
        }
        if digits.is_empty() || digits.len() > 15 {
            return Err(InvalidE164::Length { digits: digits.len() });
        }
        if digits.starts_with('0') {
            return Err(InvalidE164::LeadingZero);
        }
        let value = digits.bytes().fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0'));
        NonZeroU64::new(value).map(Self).ok_or(InvalidE164::LeadingZero)
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({})", self.masked())
    }
}

impl Serialize for E164 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plus_is_dropped_and_digits_are_kept() {
        let number: E164 = "+43660555123".parse().unwrap();
        assert_eq!(number.to_string(), "43660555123");
        assert_eq!(E164::from_u64(number.as_u64()), Some(number));
    }

    #[test]
    fn log_form_hides_the_subscriber() {
        let number: E164 = "43660555123".parse().unwrap();
        assert_eq!(format!("{number:?}"), "E164(4366…23)");
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_its_reason() {
        assert_eq!("0660".parse::<E164>(), Err(InvalidE164::LeadingZero));
        assert_eq!("".parse::<E164>(), Err(InvalidE164::Length { digits: 0 }));
        assert_eq!("1234567890123456".parse::<E164>(), Err(InvalidE164::Length { digits: 16 }));
        assert_eq!("43x".parse::<E164>(), Err(InvalidE164::NotADigit { found: 'x' }));
    }
}
