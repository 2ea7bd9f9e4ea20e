//! The small forms: times, numbers, identifiers, decimals, addresses. Each `to_` names the field it failed on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{WireError, proto};
use crate::{Currency, E164, Money};

/// 2^63: what one unit of `Decimal.high` stands for.
const HIGH_UNIT: i128 = 1 << 63;

pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { field })
}

pub(super) fn from_time(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

pub(super) fn to_time(micros: i64, field: &'static str) -> Result<DateTime<Utc>, WireError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| WireError::Invalid {
        field,
        value: micros.to_string(),
        expected: "a time in microseconds",
    })
}

pub(super) fn to_u16(value: u32, field: &'static str) -> Result<u16, WireError> {
    u16::try_from(value).map_err(|_| WireError::Invalid {
        field,
        value: value.to_string(),
        expected: "a number of 16 bits",
    })
}

pub(super) fn from_number(number: Option<E164>) -> u64 {
    number.map_or(0, E164::as_u64)
}

pub(super) fn to_number(digits: u64, field: &'static str) -> Result<Option<E164>, WireError> {
    match (digits, E164::from_u64(digits)) {
        (0, _) => Ok(None),
        (_, Some(number)) => Ok(Some(number)),
        // The digits may be a person's: they stay out of the message.
        (_, None) => Err(WireError::Invalid {
            field,
            value: "more than 15 digits".to_owned(),
            expected: "an E.164 number",
        }),
    }
}

/// The 16 bytes of a derived identifier.
pub(super) fn to_id(bytes: &[u8], field: &'static str) -> Result<[u8; 16], WireError> {
    bytes.try_into().map_err(|_| WireError::Invalid {
        field,
        value: format!("{} bytes", bytes.len()),
        expected: "an identifier of 16 bytes",
    })
}

pub(super) fn from_decimal(value: Decimal) -> proto::Decimal {
    let mantissa = value.mantissa();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mantissa has 96 bits: the quotient has 33, and the remainder 63 and its sign"
    )]
    let (low, high) = ((mantissa % HIGH_UNIT) as i64, (mantissa / HIGH_UNIT) as i64);
    proto::Decimal { low, high, scale: value.scale() }
}

pub(super) fn to_decimal(value: Option<proto::Decimal>, field: &'static str) -> Result<Decimal, WireError> {
    // Absent is not 0: a price that got lost must not become a free call.
    let value = required(value, field)?;
    let mantissa = i128::from(value.high) * HIGH_UNIT + i128::from(value.low);
    Decimal::try_from_i128_with_scale(mantissa, value.scale).map_err(|_| WireError::Invalid {
        field,
        value: format!("{mantissa} / 10^{}", value.scale),
        expected: "a decimal of 96 bits and at most 28 decimals",
    })
}

pub(super) fn to_currency(text: &str, field: &'static str) -> Result<Currency, WireError> {
    text.parse().map_err(|_| WireError::Invalid {
        field,
        value: format!("{text:?}"),
        expected: "an ISO 4217 code",
    })
}

pub(super) fn from_money(money: Money) -> proto::Money {
    proto::Money { amount: Some(from_decimal(money.amount)), currency: money.currency.as_str().to_owned() }
}

pub(super) fn to_money(money: Option<proto::Money>, field: &'static str) -> Result<Money, WireError> {
    let money = required(money, field)?;
    Ok(Money { amount: to_decimal(money.amount, field)?, currency: to_currency(&money.currency, field)? })
}

pub(super) fn from_endpoint(address: SocketAddr) -> proto::Endpoint {
    match address {
        SocketAddr::V4(v4) => proto::Endpoint {
            ip: v4.ip().octets().to_vec(),
            port: v4.port().into(),
            flow_info: 0,
            scope_id: 0,
        },
        SocketAddr::V6(v6) => proto::Endpoint {
            ip: v6.ip().octets().to_vec(),
            port: v6.port().into(),
            flow_info: v6.flowinfo(),
            scope_id: v6.scope_id(),
        },
    }
}

pub(super) fn to_endpoint(
    endpoint: Option<proto::Endpoint>,
    field: &'static str,
) -> Result<SocketAddr, WireError> {
    let endpoint = required(endpoint, field)?;
    let port = to_u16(endpoint.port, field)?;
    match to_ip(&endpoint.ip) {
        Some(IpAddr::V4(ip)) => Ok(SocketAddr::V4(SocketAddrV4::new(ip, port))),
        Some(IpAddr::V6(ip)) => {
            Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, endpoint.flow_info, endpoint.scope_id)))
        }
        None => Err(WireError::Invalid {
            field,
            value: format!("{} bytes", endpoint.ip.len()),
            expected: "an IP address of 4 or 16 bytes",
        }),
    }
}

fn to_ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
        _ => None,
    }
}
