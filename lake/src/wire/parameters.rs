//! Parameters of a prepared statement, as a client sends them.
//!
//! In: bytes, in text or in PostgreSQL's binary form, and the type that the client or the plan gave them. Out: values of the plan.

use bytes::Bytes;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use pgwire::api::Type;

/// Days and microseconds from 1970-01-01 to PostgreSQL's 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// Digits of a decimal that fits where we keep it.
const DIGITS_MAX: usize = 38;

/// The value that `bytes` stand for. `planned` is the type that the statement needs there, if that is known.
///
/// # Errors
///
/// What cannot be read, in words for whoever sent it; the value itself is not in them.
pub(super) fn value_of(
    bytes: Option<&Bytes>,
    is_binary: bool,
    declared: Option<&Type>,
    planned: Option<&DataType>,
) -> Result<ScalarValue, String> {
    let Some(bytes) = bytes else {
        return ScalarValue::try_from(planned.unwrap_or(&DataType::Null)).map_err(|why| why.to_string());
    };
    let declared = declared.filter(|kind| **kind != Type::UNKNOWN);
    let value = if is_binary {
        let by_plan = planned.map(super::encode::wire_type);
        binary(bytes, declared.or(by_plan.as_ref()).unwrap_or(&Type::TEXT))?
    } else {
        let text = std::str::from_utf8(bytes).map_err(|_| "a parameter is not UTF-8".to_owned())?;
        text_value(text, declared)?
    };
    match planned {
        Some(planned) if value.data_type() != *planned => {
            // Without this, NULL would stand for what cannot be read.
            let unreadable = || format!("a parameter is no {planned}");
            let cast = value.cast_to(planned).map_err(|_| unreadable())?;
            if cast.is_null() && !value.is_null() { Err(unreadable()) } else { Ok(cast) }
        }
        Some(_) | None => Ok(value),
    }
}

/// The Arrow type that a declared parameter is planned as.
pub(super) fn arrow_type(declared: &Type) -> Option<DataType> {
    use datafusion::arrow::datatypes::TimeUnit::Microsecond;
    Some(match *declared {
        Type::BOOL => DataType::Boolean,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 | Type::FLOAT8 => DataType::Float64,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DataType::Timestamp(Microsecond, None),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => DataType::Utf8View,
        _ => return None,
    })
}

fn text_value(text: &str, declared: Option<&Type>) -> Result<ScalarValue, String> {
    let as_text = ScalarValue::Utf8View(Some(text.to_owned()));
    let Some(declared) = declared else { return Ok(as_text) };
    match *declared {
        Type::BOOL => match text {
            "t" | "true" | "1" | "on" | "yes" => Ok(ScalarValue::Boolean(Some(true))),
            "f" | "false" | "0" | "off" | "no" => Ok(ScalarValue::Boolean(Some(false))),
            _ => Err("a parameter is no boolean".to_owned()),
        },
        Type::NUMERIC => decimal(text),
        _ => match arrow_type(declared) {
            Some(to) => as_text.cast_to(&to).map_err(|_| format!("a parameter is no {}", declared.name())),
            None => Ok(as_text),
        },
    }
}

fn binary(bytes: &Bytes, declared: &Type) -> Result<ScalarValue, String> {
    fn fixed<const N: usize>(bytes: &Bytes, declared: &Type) -> Result<[u8; N], String> {
        <[u8; N]>::try_from(bytes.as_ref())
            .map_err(|_| format!("a parameter of type {} has {} bytes", declared.name(), bytes.len()))
    }
    Ok(match *declared {
        Type::BOOL => ScalarValue::Boolean(Some(fixed::<1>(bytes, declared)? != [0])),
        Type::INT2 => ScalarValue::Int64(Some(i16::from_be_bytes(fixed(bytes, declared)?).into())),
        Type::INT4 => ScalarValue::Int64(Some(i32::from_be_bytes(fixed(bytes, declared)?).into())),
        Type::OID => ScalarValue::Int64(Some(u32::from_be_bytes(fixed(bytes, declared)?).into())),
        Type::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(bytes, declared)?))),
        Type::FLOAT4 => ScalarValue::Float64(Some(f32::from_be_bytes(fixed(bytes, declared)?).into())),
        Type::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes, declared)?))),
        Type::DATE => {
            let days = i32::from_be_bytes(fixed(bytes, declared)?);
            ScalarValue::Date32(Some(days.checked_add(EPOCH_DAYS).ok_or("a date beyond what is known")?))
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(fixed(bytes, declared)?);
            let micros = micros.checked_add(EPOCH_MICROS).ok_or("a time beyond what is known")?;
            ScalarValue::TimestampMicrosecond(Some(micros), None)
        }
        Type::NUMERIC => decimal(&numeric_text(bytes)?)?,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            let text = std::str::from_utf8(bytes).map_err(|_| "a parameter is not UTF-8".to_owned())?;
            ScalarValue::Utf8View(Some(text.to_owned()))
        }
        _ => return Err(format!("parameters of type {} are taken as text alone", declared.name())),
    })
}

/// `-12.340` as a decimal with the digits that were written.
fn decimal(text: &str) -> Result<ScalarValue, String> {
    let no_number = || "a parameter is no number of at most 38 digits".to_owned();
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if fraction.len() >= DIGITS_MAX || !fraction.chars().all(|digit| digit.is_ascii_digit()) {
        return Err(no_number());
    }
    let value: i128 = format!("{whole}{fraction}").parse().map_err(|_| no_number())?;
    if value.unsigned_abs() >= 10_u128.pow(38) {
        return Err(no_number());
    }
    let scale = i8::try_from(fraction.len()).map_err(|_| no_number())?;
    Ok(ScalarValue::Decimal128(Some(value), 38, scale))
}

/// What `numeric_send` of PostgreSQL wrote, in digits.
fn numeric_text(bytes: &Bytes) -> Result<String, String> {
    const NEGATIVE: u16 = 0x4000;
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [_, weight, sign, scale, groups @ ..] = words.as_slice() else {
        return Err("a numeric parameter is cut off".to_owned());
    };
    if !matches!(*sign, 0 | NEGATIVE) || usize::from(*scale) > DIGITS_MAX {
        return Err("a numeric parameter is no number of at most 38 digits".to_owned());
    }
    // Two's complement: -1 where the first group is behind the point.
    let weight = i32::from(weight.cast_signed());
    let group = |at: i32| {
        let found = usize::try_from(weight - at).ok().and_then(|idx| groups.get(idx));
        format!("{:04}", found.copied().unwrap_or(0))
    };
    if weight > 10 {
        return Err("a numeric parameter is no number of at most 38 digits".to_owned());
    }
    let whole: String = (0..=weight.max(0)).rev().map(group).collect();
    let mut fraction: String = (1..=10).map(|behind| group(-behind)).collect();
    fraction.truncate(usize::from(*scale));
    let minus = if *sign == NEGATIVE { "-" } else { "" };
    Ok(if fraction.is_empty() { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}
