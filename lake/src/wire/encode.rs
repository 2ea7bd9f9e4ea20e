//! Arrow values as PostgreSQL writes them, as text and as bytes, and parameters the other way.
//!
//! In: the batches of a result. Out: the fields and rows of the protocol. A type that PostgreSQL has no like of goes out as text.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::types::{
    Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, UInt32Type,
};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::messages::data::DataRow;

/// Days from 1970-01-01 to PostgreSQL's 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The type of a column as PostgreSQL names it.
pub(super) fn wire_type(data_type: &DataType) -> Type {
    match data_type {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => Type::INT2,
        DataType::UInt16 | DataType::Int32 => Type::INT4,
        DataType::Int64 | DataType::UInt64 => Type::INT8,
        DataType::UInt32 => Type::OID,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Type::NUMERIC,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Type::BYTEA
        }
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::RunEndEncoded(_, values) => wire_type(values.data_type()),
        DataType::List(item) | DataType::LargeList(item) => array_type(item.data_type()),
        DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Struct(_)
        | DataType::Union(..)
        | DataType::Map(..) => Type::TEXT,
    }
}

fn array_type(item: &DataType) -> Type {
    let item = wire_type(item);
    match item {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::OID => Type::OID_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        _ => Type::TEXT_ARRAY,
    }
}

/// The fields of a result, under the names that PostgreSQL would give them where they are known.
pub(super) fn fields<'a>(
    columns: impl Iterator<Item = &'a Arc<Field>>,
    labels: &[Option<String>],
    format: &Format,
) -> Vec<FieldInfo> {
    columns
        .enumerate()
        .map(|(idx, field)| {
            let label = labels.get(idx).cloned().flatten();
            let name = label.unwrap_or_else(|| super::labels::shown_name(field.name()).to_owned());
            FieldInfo::new(name, None, None, wire_type(field.data_type()), format_for(format, idx))
        })
        .collect()
}

/// A list of formats may be shorter than the columns: those without one are texts.
fn format_for(format: &Format, idx: usize) -> FieldFormat {
    match format {
        Format::UnifiedText => FieldFormat::Text,
        Format::UnifiedBinary => FieldFormat::Binary,
        Format::Individual(codes) => {
            codes.get(idx).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
        }
    }
}

/// The rows of a batch, each made when it is asked for.
///
/// # Errors
///
/// A value that its PostgreSQL type cannot hold.
pub(super) fn rows(
    batch: &RecordBatch,
    formats: &[FieldFormat],
) -> Result<impl Iterator<Item = Result<DataRow, ArrowError>> + Send + use<>, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(formats)
        .map(|(column, format)| Ok((plain(column)?, *format)))
        .collect::<Result<Vec<_>, ArrowError>>()?;
    let n_columns = i16::try_from(columns.len()).map_err(|_| too_large("columns"))?;
    Ok((0..batch.num_rows()).map(move |row| {
        let mut data = BytesMut::with_capacity(columns.len() * 16);
        for (column, format) in &columns {
            put(&mut data, column, row, *format)?;
        }
        Ok(DataRow::new(data, n_columns))
    }))
}

fn too_large(what: &str) -> ArrowError {
    ArrowError::CastError(format!("{what} beyond what the PostgreSQL protocol can carry"))
}

/// The column in the one Arrow type that stands for its PostgreSQL type.
fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if let DataType::List(item) | DataType::LargeList(item) = column.data_type() {
        // Elements of structures are texts, and go the way of all texts.
        if !item.data_type().is_nested() {
            return Ok(column.clone());
        }
    }
    let wanted = wire_type(column.data_type());
    let to = match wanted {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::OID => DataType::UInt32,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::DATE => DataType::Date32,
        Type::BYTEA => DataType::Binary,
        Type::NUMERIC => return Ok(column.clone()),
        _ if column.data_type().is_nested() || is_span(column.data_type()) => return as_shown(column),
        _ => DataType::Utf8,
    };
    if column.data_type() == &to {
        return Ok(column.clone());
    }
    let same = cast(column, &to)?;
    // The library makes NULL of a number that does not fit.
    if same.null_count() > column.logical_null_count() { Err(too_large("a number")) } else { Ok(same) }
}

fn is_span(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Interval(_) | DataType::Duration(_) | DataType::Time32(_) | DataType::Time64(_)
    )
}

/// Texts as `tollbook sql` shows them.
fn as_shown(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts: datafusion::arrow::array::StringArray = (0..column.len())
        .map(|row| (!column.is_null(row)).then(|| formatter.value(row).to_string()))
        .collect();
    Ok(Arc::new(texts))
}

/// One value with its length before it; NULL is a length of -1.
fn put(data: &mut BytesMut, column: &ArrayRef, row: usize, format: FieldFormat) -> Result<(), ArrowError> {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        data.put_i32(-1);
        return Ok(());
    }
    let at = data.len();
    data.put_i32(0);
    match format {
        FieldFormat::Text => put_text(data, column, row)?,
        FieldFormat::Binary => put_binary(data, column, row)?,
    }
    let length = i32::try_from(data.len() - at - 4).map_err(|_| too_large("a value"))?;
    data[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn put_text(data: &mut BytesMut, column: &ArrayRef, row: usize) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Boolean => data.put_slice(if column.as_boolean().value(row) { b"t" } else { b"f" }),
        DataType::Timestamp(..) => data.put_slice(timestamp_text(column, row).as_bytes()),
        DataType::Utf8 => data.put_slice(column.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => {
            data.put_slice(b"\\x");
            for byte in column.as_binary::<i32>().value(row) {
                data.put_slice(format!("{byte:02x}").as_bytes());
            }
        }
        DataType::Float32 => {
            data.put_slice(float_text(column.as_primitive::<Float32Type>().value(row)).as_bytes())
        }
        DataType::Float64 => {
            data.put_slice(float_text(column.as_primitive::<Float64Type>().value(row)).as_bytes())
        }
        DataType::List(_) => put_array_text(data, &column.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => put_array_text(data, &column.as_list::<i64>().value(row))?,
        _ => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(column, &options)?.value(row).to_string();
            data.put_slice(text.as_bytes());
        }
    }
    Ok(())
}

fn float_text<T: std::fmt::Display + PartialEq + From<f32>>(value: T) -> String {
    let text = value.to_string();
    match text.as_str() {
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        _ => text,
    }
}

/// `2026-10-05 08:15:30.25`, with `+00` where the zone is known to be UTC.
fn timestamp_text(column: &ArrayRef, row: usize) -> String {
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let Some(time) = times.value_as_datetime(row) else { return "infinity".to_owned() };
    let mut text = time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    if matches!(column.data_type(), DataType::Timestamp(_, Some(_))) {
        text.push_str("+00");
    }
    text
}

fn put_array_text(data: &mut BytesMut, items: &ArrayRef) -> Result<(), ArrowError> {
    let items = plain(items)?;
    let is_text = wire_type(items.data_type()) == Type::TEXT;
    data.put_u8(b'{');
    for row in 0..items.len() {
        if row > 0 {
            data.put_u8(b',');
        }
        if items.is_null(row) {
            data.put_slice(b"NULL");
            continue;
        }
        let mut item = BytesMut::new();
        put_text(&mut item, &items, row)?;
        if is_text {
            data.put_u8(b'"');
            for byte in item {
                if matches!(byte, b'"' | b'\\') {
                    data.put_u8(b'\\');
                }
                data.put_u8(byte);
            }
            data.put_u8(b'"');
        } else {
            data.put_slice(&item);
        }
    }
    data.put_u8(b'}');
    Ok(())
}

fn put_binary(data: &mut BytesMut, column: &ArrayRef, row: usize) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Boolean => data.put_u8(u8::from(column.as_boolean().value(row))),
        DataType::Int16 => data.put_i16(column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => data.put_i32(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => data.put_i64(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => data.put_u32(column.as_primitive::<UInt32Type>().value(row)),
        DataType::Float32 => data.put_f32(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => data.put_f64(column.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => {
            data.put_i32(column.as_primitive::<Date32Type>().value(row).saturating_sub(EPOCH_DAYS));
        }
        DataType::Timestamp(..) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            data.put_i64(micros.saturating_sub(EPOCH_MICROS));
        }
        DataType::Decimal128(precision, scale) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            put_numeric(data, &Decimal128Type::format_decimal(value, *precision, *scale))?;
        }
        DataType::Decimal256(precision, scale) => {
            let value = column.as_primitive::<Decimal256Type>().value(row);
            put_numeric(data, &Decimal256Type::format_decimal(value, *precision, *scale))?;
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) => {
            let options = FormatOptions::default();
            put_numeric(data, &ArrayFormatter::try_new(column, &options)?.value(row).to_string())?;
        }
        DataType::Binary => data.put_slice(column.as_binary::<i32>().value(row)),
        DataType::List(_) => put_array_binary::<i32>(data, column, row)?,
        DataType::LargeList(_) => put_array_binary::<i64>(data, column, row)?,
        _ => put_text(data, column, row)?,
    }
    Ok(())
}

/// Dimensions, a flag for NULLs, the type of the elements, how many, from which index on; then each with its length.
fn put_array_binary<O: OffsetSizeTrait>(
    data: &mut BytesMut,
    column: &ArrayRef,
    row: usize,
) -> Result<(), ArrowError> {
    let items = plain(&column.as_list::<O>().value(row))?;
    data.put_i32(i32::from(!items.is_empty()));
    data.put_i32(i32::from(items.null_count() > 0));
    data.put_u32(wire_type(items.data_type()).oid());
    if items.is_empty() {
        return Ok(());
    }
    data.put_i32(i32::try_from(items.len()).map_err(|_| too_large("a list"))?);
    data.put_i32(1);
    for item in 0..items.len() {
        put(data, &items, item, FieldFormat::Binary)?;
    }
    Ok(())
}

/// A decimal in groups of four digits, the point between two groups: count of groups, weight of the first, sign, digits behind
/// the point (PostgreSQL's `numeric_send`).
fn put_numeric(data: &mut BytesMut, text: &str) -> Result<(), ArrowError> {
    let (sign, digits) = text.strip_prefix('-').map_or((0x0000, text), |digits| (0x4000, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let padded = |length: usize| length.div_ceil(4) * 4;
    let mut all = "0".repeat(padded(whole.len()) - whole.len());
    all.push_str(whole);
    all.push_str(fraction);
    all.push_str(&"0".repeat(padded(fraction.len()) - fraction.len()));
    let mut groups: Vec<u16> = Vec::with_capacity(all.len() / 4);
    for group in all.as_bytes().chunks(4) {
        groups.push(group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')));
    }
    let whole_groups = whole.len().div_ceil(4);
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let mut kept = &groups[leading..];
    while let [rest @ .., 0] = kept {
        kept = rest;
    }
    let short = |count: usize| i16::try_from(count).map_err(|_| too_large("a number"));
    let weight = if kept.is_empty() { 0 } else { short(whole_groups)? - short(leading)? - 1 };
    data.put_i16(short(kept.len())?);
    data.put_i16(weight);
    data.put_u16(if kept.is_empty() { 0 } else { sign });
    data.put_i16(short(fraction.len())?);
    for group in kept {
        data.put_u16(*group);
    }
    Ok(())
}
