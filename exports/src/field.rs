//! One column of a CDR file as data: its name, the fact it shows, how that is written, and what stands there when
//! the fact is absent. A format is a table of these; nothing else in this room knows what a column means.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, Datelike, Timelike, Utc};
use chrono_tz::Tz;
use model::{AccountId, Charge, Direction, Party, Provider, RatedCdr};
use rust_decimal::Decimal;

use crate::{Owner, RecordId};

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) fact: Fact,
    pub(crate) format: Format,
    /// Written when the call has no such fact.
    pub(crate) absent: &'static str,
}

/// A side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// A fact of a rated call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fact {
    RecordId,
    /// When the record became what it is. Rating follows the end of a call within moments and a record does not
    /// tell when, so this and the next are the end of the call: the same in every file, whenever it is written.
    UpdateTime,
    RatedAt,
    RatingStatus,
    UserId(Side),
    ProviderId(Side),
    SubscriberId(Side),
    AccountId(Side),
    /// The reference's columns for which we provision nothing.
    NotKept,
    SourceUser,
    SourceDomain,
    SourceCli,
    SourceClir,
    SourceIp,
    DestinationUser,
    DestinationUserIn,
    DestinationUserDialed,
    DestinationDomain,
    CallType,
    CallStatus,
    CallCode,
    InitTime,
    StartTime,
    Duration,
    CallId,
    Cost(Provider, Direction),
    Zone(Provider, Direction),
    ZoneDetail(Provider, Direction),
    FreeTime(Provider, Direction),
}

/// How a fact is written. One that does not fit a fact (cents of a time) leaves it plain.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Format {
    /// Text and whole numbers as they are.
    Plain,
    /// `2013-03-25 20:25:27`, local.
    Seconds,
    /// `2013-03-25 20:24:50.890`, local; what is finer is cut.
    Millis,
    /// `10.880`, rounded to the nearest millisecond.
    Duration,
    /// `24.000000`: hundredths of a currency unit, whatever its minor unit, with six decimals.
    Cents,
}

/// A fact, before it is written.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Absent,
    Text(Cow<'a, str>),
    Number(i128),
    Time(DateTime<Utc>),
    Micros(u64),
    Amount(Decimal),
}

/// One call as one owner may see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) rated: &'a RatedCdr,
    pub(crate) viewer: Owner,
    pub(crate) record_id: RecordId,
}

impl<'a> Row<'a> {
    pub(crate) fn value(&self, fact: Fact) -> Value<'a> {
        let cdr = &self.rated.cdr;
        match fact {
            Fact::RecordId => self.record_id(),
            Fact::UpdateTime | Fact::RatedAt => Value::Time(cdr.end_at()),
            Fact::RatingStatus => text("ok"),
            Fact::UserId(side) => self.user_id(side),
            Fact::ProviderId(side) => self.provider_id(side),
            Fact::SubscriberId(side) => self.subscriber_id(side),
            Fact::AccountId(side) => self.account_id(side),
            Fact::NotKept => Value::Absent,
            Fact::SourceUser if self.is_far(Side::Source) => text(&cdr.source.user_out),
            Fact::SourceUser => text(&cdr.source.user),
            Fact::SourceDomain => text(&cdr.source.domain),
            Fact::SourceCli => match cdr.source.cli {
                Some(cli) => Value::Number(i128::from(cli.as_u64())),
                None => Value::Absent,
            },
            Fact::SourceClir => Value::Number(i128::from(cdr.source.clir)),
            Fact::SourceIp if self.is_far(Side::Source) => Value::Absent,
            Fact::SourceIp => text(&cdr.source.ip),
            // Refused before it was sent on, a call has no final destination but the one asked for.
            Fact::DestinationUser
                if cdr.destination.user_out.is_empty() || self.is_far(Side::Destination) =>
            {
                text(&cdr.destination.user_in)
            }
            Fact::DestinationUser => text(&cdr.destination.user_out),
            Fact::DestinationUserIn => text(&cdr.destination.user_in),
            Fact::DestinationUserDialed => text(&cdr.destination.dialed),
            Fact::DestinationDomain => text(&cdr.destination.domain),
            Fact::CallType => text(cdr.call_type.as_str()),
            Fact::CallStatus => text(cdr.status.as_str()),
            Fact::CallCode => Value::Number(i128::from(cdr.code)),
            Fact::InitTime => Value::Time(cdr.init_at),
            Fact::StartTime => Value::Time(cdr.start_at),
            Fact::Duration => Value::Micros(cdr.duration_us),
            Fact::CallId => text(&cdr.sip_call_id),
            Fact::Cost(provider, direction) => match self.charge(provider, direction) {
                Some(charge) => Value::Amount(charge.cost),
                None => Value::Absent,
            },
            Fact::Zone(provider, direction) => match self.charge(provider, direction) {
                Some(charge) => text(&charge.zone),
                None => Value::Absent,
            },
            Fact::ZoneDetail(provider, direction) => match self.charge(provider, direction) {
                Some(charge) => text(&charge.zone_detail),
                None => Value::Absent,
            },
            Fact::FreeTime(provider, direction) => match self.charge(provider, direction) {
                Some(charge) => Value::Number(i128::from(charge.free_seconds)),
                None => Value::Absent,
            },
        }
    }

    fn record_id(&self) -> Value<'a> {
        let id = self.rated.cdr.id;
        match self.record_id {
            RecordId::Hex => Value::Text(Cow::Owned(id.to_string())),
            RecordId::Number => {
                let mut head = [0; 8];
                head.copy_from_slice(&id.as_bytes()[..8]);
                // One bit less, for readers whose `bigint` is signed.
                Value::Number(i128::from(u64::from_be_bytes(head) >> 1))
            }
        }
    }

    fn party(&self, side: Side) -> &'a Party {
        match side {
            Side::Source => &self.rated.cdr.source.party,
            Side::Destination => &self.rated.cdr.destination.party,
        }
    }

    /// Whether this side is none of a carrier's business: our subscriber, or another carrier. Its ids, address
    /// and user names are not shown; what was exchanged with the carrier is.
    fn is_far(&self, side: Side) -> bool {
        match self.viewer {
            Owner::System | Owner::Reseller(_) => false,
            Owner::Carrier(id) => !matches!(self.party(side), Party::Trunk { account, .. } if *account == id),
        }
    }

    fn user_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            Party::Subscriber { uuid, .. } if !self.is_far(side) => text(uuid),
            Party::Subscriber { .. } | Party::Trunk { .. } | Party::Unknown => Value::Absent,
        }
    }

    fn subscriber_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            Party::Subscriber { subscriber, .. } if !self.is_far(side) => {
                Value::Number(i128::from(subscriber.0))
            }
            Party::Subscriber { .. } | Party::Trunk { .. } | Party::Unknown => Value::Absent,
        }
    }

    /// The customer's account; carriers have theirs in the provider column.
    fn account_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            Party::Subscriber { account, .. } if !self.is_far(side) => known(*account),
            Party::Subscriber { .. } | Party::Trunk { .. } | Party::Unknown => Value::Absent,
        }
    }

    fn provider_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            Party::Subscriber { .. } | Party::Trunk { .. } if self.is_far(side) => Value::Absent,
            Party::Subscriber { reseller: provider, .. } | Party::Trunk { account: provider, .. } => {
                known(*provider)
            }
            Party::Unknown => Value::Absent,
        }
    }

    /// A carrier is never shown what another one is owed for the same call.
    fn charge(&self, provider: Provider, direction: Direction) -> Option<&'a Charge> {
        let charge = self.rated.charge(provider, direction)?;
        match self.viewer {
            Owner::System | Owner::Reseller(_) => Some(charge),
            Owner::Carrier(id) => (charge.account == id).then_some(charge),
        }
    }
}

fn text(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Text(Cow::Borrowed(text)) }
}

fn known(account: AccountId) -> Value<'static> {
    if account == AccountId::NOBODY { Value::Absent } else { Value::Number(i128::from(account.0)) }
}

/// Writes `value` as `field` wants it, unquoted, with times in `zone`.
pub(crate) fn write_value(out: &mut String, field: &Field, value: &Value<'_>, zone: Tz) {
    match value {
        Value::Absent => out.push_str(field.absent),
        Value::Text(text) => out.push_str(text),
        Value::Number(number) => write_number(out, *number),
        Value::Time(at) => write_time(out, *at, zone, field.format),
        Value::Micros(micros) => match field.format {
            Format::Duration => write_duration(out, *micros),
            Format::Plain | Format::Seconds | Format::Millis | Format::Cents => {
                write_number(out, i128::from(*micros));
            }
        },
        Value::Amount(amount) => match field.format {
            Format::Cents => write_cents(out, *amount),
            Format::Plain | Format::Seconds | Format::Millis | Format::Duration => {
                let _ = write!(out, "{amount}");
            }
        },
    }
}

fn write_number(out: &mut String, number: i128) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{number}");
}

fn write_time(out: &mut String, at: DateTime<Utc>, zone: Tz, format: Format) {
    let at = at.with_timezone(&zone);
    let _ = write!(out, "{:04}", at.year());
    for (mark, part) in
        [('-', at.month()), ('-', at.day()), (' ', at.hour()), (':', at.minute()), (':', at.second())]
    {
        out.push(mark);
        push_digits(out, part, 2);
    }
    match format {
        Format::Millis => {
            out.push('.');
            push_digits(out, at.timestamp_subsec_millis().min(999), 3);
        }
        Format::Plain | Format::Seconds | Format::Duration | Format::Cents => {}
    }
}

fn write_duration(out: &mut String, micros: u64) {
    let millis = micros.saturating_add(500) / 1000;
    write_number(out, i128::from(millis / 1000));
    out.push('.');
    push_digits(out, u32::try_from(millis % 1000).unwrap_or(0), 3);
}

/// Six decimals of a cent are eight of a unit: finer than any rated cost, so nothing is rounded away in practice.
fn write_cents(out: &mut String, amount: Decimal) {
    let (mantissa, scale) = (amount.mantissa(), amount.scale());
    // A mantissa has 96 bits and 10^8 has 27: the product always fits.
    let scaled = if scale <= 8 {
        mantissa * 10_i128.pow(8 - scale)
    } else {
        let divisor = 10_i128.pow(scale - 8);
        let half = if mantissa < 0 { -divisor / 2 } else { divisor / 2 };
        (mantissa + half) / divisor
    };
    if scaled < 0 {
        out.push('-');
    }
    let millionths = scaled.unsigned_abs();
    let _ = write!(out, "{}.", millionths / 1_000_000);
    push_digits(out, u32::try_from(millionths % 1_000_000).unwrap_or(0), 6);
}

fn push_digits(out: &mut String, number: u32, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cents(amount: Decimal) -> String {
        let mut out = String::new();
        write_cents(&mut out, amount);
        out
    }

    fn local(at: &str, zone: Tz) -> String {
        let mut out = String::new();
        write_time(&mut out, at.parse().unwrap(), zone, Format::Millis);
        out
    }

    #[test]
    fn units_become_cents_with_six_decimals() {
        assert_eq!(cents("0.24".parse().unwrap()), "24.000000");
        assert_eq!(cents("0.000001".parse().unwrap()), "0.000100");
        assert_eq!(cents("-1.5".parse().unwrap()), "-150.000000");
        assert_eq!(cents("-0.005".parse().unwrap()), "-0.500000");
        assert_eq!(cents(Decimal::ZERO), "0.000000");
        assert_eq!(cents(Decimal::MAX), "7922816251426433759354395033500.000000");
        assert_eq!(cents("0.123456789".parse().unwrap()), "12.345679");
    }

    #[test]
    fn times_are_local_in_summer_and_winter() {
        let vienna = chrono_tz::Europe::Vienna;
        assert_eq!(local("2026-07-01T22:00:00.0909Z", vienna), "2026-07-02 00:00:00.090");
        assert_eq!(local("2026-12-31T23:30:00Z", vienna), "2027-01-01 00:30:00.000");
    }

    #[test]
    fn durations_round_to_the_nearest_millisecond() {
        let mut out = String::new();
        for micros in [0, 499, 500, 10_880_000, 59_999_500, u64::MAX] {
            write_duration(&mut out, micros);
            out.push(' ');
        }
        assert_eq!(out, "0.000 0.000 0.001 10.880 60.000 18446744073709.551 ");
    }

    proptest! {
        #[test]
        fn cents_are_the_decimal_times_one_hundred(micros in any::<i64>()) {
            let amount = Decimal::new(micros, 6);
            let mut expected = amount * Decimal::ONE_HUNDRED;
            expected.rescale(6);
            prop_assert_eq!(cents(amount), expected.to_string());
        }
    }
}
