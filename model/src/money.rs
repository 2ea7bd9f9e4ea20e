//! Money: an exact decimal with a currency. Never a float.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// An ISO 4217 code, such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Why a text is not a currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an ISO 4217 code of three capital letters, such as \"EUR\"")]
pub struct InvalidCurrency {
    /// The text as given.
    pub text: String,
}

impl Currency {
    /// Euro.
    pub const EUR: Currency = Currency(*b"EUR");
    /// Not money but seconds of free time, so that the ledger can keep them by the same rules. No currency has this code.
    pub const SECONDS: Currency = Currency(*b"SEC");

    /// The three letters.
    pub fn as_str(&self) -> &str {
        // Three ASCII letters by construction.
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// Decimals of the minor unit (ISO 4217): 2 for most, 0 for JPY, KRW, VND and their like, 3 for KWD and its like.
    pub fn minor_decimals(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
            | b"UGX" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(InvalidCurrency { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount in units of `currency` (1.00 EUR is `amount == 1`), exact to the last digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount; negative for a credit.
    pub amount: Decimal,
    /// Its currency.
    pub currency: Currency,
}

/// What cannot be done with money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Sums of two currencies have no meaning.
    #[error("cannot add {right} to {left}")]
    TwoCurrencies {
        /// Of the sum so far.
        left: Currency,
        /// Of what was to be added.
        right: Currency,
    },
    /// Beyond 28 digits, or beyond what the ledger keeps.
    #[error("the amount has too many digits")]
    OutOfRange,
}

impl Money {
    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::ZERO, currency }
    }

    /// `amount` units of `currency`.
    pub const fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// The sum.
    ///
    /// # Errors
    ///
    /// [`MoneyError::TwoCurrencies`], and [`MoneyError::OutOfRange`] beyond 28 digits.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::TwoCurrencies { left: self.currency, right: other.currency });
        }
        let amount = self.amount.checked_add(other.amount).ok_or(MoneyError::OutOfRange)?;
        Ok(Money { amount, currency: self.currency })
    }

    /// Rounded half away from zero to the currency's minor unit: the one bridge to what is printed, crossed once
    /// for each invoice line.
    pub fn round_to_minor(self) -> Money {
        let decimals = self.currency.minor_decimals();
        let mut amount = self.amount.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
        amount.rescale(decimals);
        Money { amount, currency: self.currency }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// The ledger's resolution: millionths of a currency unit, kept as a 64-bit integer, so that SQLite (which has
/// no decimal) and PostgreSQL add them up alike. The largest balance is 9.2 million million units.
pub const MICROS_PER_UNIT: i64 = 1_000_000;

/// `amount` in millionths.
///
/// # Errors
///
/// [`MoneyError::OutOfRange`] when it has more than six decimals or does not fit: nothing is rounded here.
pub fn to_micros(amount: Decimal) -> Result<i64, MoneyError> {
    // Nearly all amounts: no decimal has to be multiplied and stripped of its zeros for them.
    if let Some(more) = 6_u32.checked_sub(amount.scale()) {
        let micros = amount.mantissa().checked_mul(10_i128.pow(more)).ok_or(MoneyError::OutOfRange)?;
        return i64::try_from(micros).map_err(|_| MoneyError::OutOfRange);
    }
    let scaled =
        amount.checked_mul(Decimal::from(MICROS_PER_UNIT)).ok_or(MoneyError::OutOfRange)?.normalize();
    if scaled.scale() != 0 {
        return Err(MoneyError::OutOfRange);
    }
    i64::try_from(scaled.mantissa()).map_err(|_| MoneyError::OutOfRange)
}

/// The decimal of so many millionths.
pub fn from_micros(micros: i64) -> Decimal {
    Decimal::new(micros, 6).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_currencies_do_not_add() {
        let usd = "USD".parse().unwrap();
        let sum = Money::zero(Currency::EUR).checked_add(Money::zero(usd));
        assert_eq!(sum, Err(MoneyError::TwoCurrencies { left: Currency::EUR, right: usd }));
    }

    #[test]
    fn micros_keep_every_digit_or_refuse() {
        assert_eq!(to_micros(Decimal::new(123_456_789, 6)), Ok(123_456_789));
        assert_eq!(from_micros(123_456_789), Decimal::new(123_456_789, 6));
        assert_eq!(to_micros(Decimal::new(-5, 1)), Ok(-500_000));
        assert_eq!(to_micros(Decimal::new(1, 7)), Err(MoneyError::OutOfRange));
        assert_eq!(to_micros(Decimal::new(-1_234_560_000, 10)), Ok(-123_456));
        assert_eq!(to_micros(Decimal::new(i64::MAX, 6)), Ok(i64::MAX));
        assert_eq!(to_micros(Decimal::new(i64::MIN, 6)), Ok(i64::MIN));
        assert_eq!(to_micros(Decimal::new(i64::MAX, 5)), Err(MoneyError::OutOfRange));
        assert_eq!(to_micros(Decimal::MAX), Err(MoneyError::OutOfRange));
        assert_eq!(to_micros(Decimal::MIN), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn half_a_cent_rounds_away_from_zero_and_yen_have_no_decimals() {
        let line = Money::new(Decimal::new(1005, 3), Currency::EUR).round_to_minor();
        assert_eq!(line.to_string(), "1.01 EUR");
        let yen = Money::new(Decimal::new(15, 1), "JPY".parse().unwrap()).round_to_minor();
        assert_eq!(yen.to_string(), "2 JPY");
    }
}
