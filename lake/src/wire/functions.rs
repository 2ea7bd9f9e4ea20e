//! PostgreSQL's functions about itself, as far as clients call them.
//!
//! Most say always the same here: nothing is hidden by a search path, nothing has a default, nothing is stored by PostgreSQL.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::catalogue;
use super::settings::Settings;
use crate::access::Access;
use crate::query::{CATALOG, SCHEMA};

/// All of them, for somebody's session.
pub(super) fn functions(access: &Access, settings: &Settings) -> Vec<ScalarUDF> {
    let yes = || ScalarValue::Boolean(Some(true));
    let no = || ScalarValue::Boolean(Some(false));
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
    let nothing = || ScalarValue::Utf8(None);
    let zero = || ScalarValue::Int64(Some(0));
    let always: Vec<(&'static str, ScalarValue)> = vec![
        ("version", text(super::settings::VERSION_TEXT)),
        ("current_database", text(CATALOG)),
        ("current_schema", text(SCHEMA)),
        ("pg_table_is_visible", yes()),
        ("pg_type_is_visible", yes()),
        ("pg_function_is_visible", yes()),
        ("pg_relation_is_publishable", no()),
        ("pg_is_in_recovery", no()),
        ("pg_is_other_temp_schema", no()),
        ("pg_my_temp_schema", zero()),
        ("pg_get_userbyid", text(catalogue::OWNER)),
        ("pg_encoding_to_char", text("UTF8")),
        ("pg_client_encoding", text("UTF8")),
        ("pg_get_expr", nothing()),
        ("pg_get_viewdef", nothing()),
        ("pg_get_constraintdef", nothing()),
        ("pg_get_indexdef", nothing()),
        ("pg_get_ruledef", nothing()),
        ("pg_get_triggerdef", nothing()),
        ("pg_get_partkeydef", nothing()),
        ("pg_get_serial_sequence", nothing()),
        ("pg_get_function_identity_arguments", nothing()),
        ("shobj_description", nothing()),
        ("pg_tablespace_location", nothing()),
        ("inet_server_addr", nothing()),
        ("inet_client_addr", nothing()),
        ("txid_current", zero()),
        ("pg_backend_pid", zero()),
        ("pg_table_size", zero()),
        ("pg_relation_size", zero()),
        ("pg_total_relation_size", zero()),
        ("pg_indexes_size", zero()),
        ("pg_database_size", zero()),
        ("pg_stat_get_numscans", zero()),
        ("pg_size_pretty", text("0 bytes")),
        ("has_schema_privilege", yes()),
        ("has_table_privilege", yes()),
        ("has_column_privilege", yes()),
        ("has_any_column_privilege", yes()),
        ("has_database_privilege", yes()),
        ("pg_has_role", yes()),
    ];
    let access = *access;
    let settings_of = |settings: &Settings| {
        let settings = settings.clone();
        move |given: &[Option<&str>]| settings.value_of(given.first().copied().flatten()?)
    };
    let mut all: Vec<ScalarUDF> =
        always.into_iter().map(|(name, value)| ScalarUDF::from(Always::new(name, value))).collect();
    all.push(ScalarUDF::from(ArrayToString(any_arguments())));
    all.extend([
        by_row("format_type", |given| {
            let modifier = number(given, 1).and_then(|value| i32::try_from(value).ok()).unwrap_or(-1);
            Some(catalogue::format_type(oid(given, 0)?, modifier))
        }),
        by_row("obj_description", move |given| catalogue::comment_on(&access, oid(given, 0)?, 0)),
        by_row("col_description", move |given| {
            // Without a column there is no comment, where 0 would be the table's.
            let column = oid(given, 1).filter(|column| *column > 0)?;
            catalogue::comment_on(&access, oid(given, 0)?, column)
        }),
        by_row("quote_ident", |given| given.first().copied().flatten().map(quoted)),
        by_row("quote_literal", |given| {
            given.first().copied().flatten().map(|text| format!("'{}'", text.replace('\'', "''")))
        }),
        by_row("current_setting", settings_of(settings)),
        // Whoever changes a setting by function is told the new value; it changes nothing here.
        by_row("set_config", |given| given.get(1).copied().flatten().map(str::to_owned)),
        by_row("pg_relation_name", |given| {
            let number = oid(given, 0)?;
            Some(catalogue::relation_of(number).map_or_else(|| number.to_string(), str::to_owned))
        }),
        by_row("pg_type_name", |given| Some(catalogue::format_type(oid(given, 0)?, -1))),
        by_row("pg_namespace_name", |given| {
            let number = oid(given, 0)?;
            Some(catalogue::namespace_of(number).map_or_else(|| number.to_string(), str::to_owned))
        }),
    ]);
    all
}

fn number(given: &[Option<&str>], idx: usize) -> Option<i64> {
    given.get(idx).copied().flatten()?.parse().ok()
}

fn oid(given: &[Option<&str>], idx: usize) -> Option<u32> {
    u32::try_from(number(given, idx)?).ok()
}

/// A name as it is to be written in a statement.
fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Any arguments, or none.
fn any_arguments() -> Signature {
    Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable)
}

/// A function that always says the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Always {
    name: &'static str,
    value: ScalarValue,
    signature: Signature,
}

impl Always {
    fn new(name: &'static str, value: ScalarValue) -> Self {
        Self { name, value, signature: any_arguments() }
    }
}

impl ScalarUDFImpl for Always {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// Joins a list into a text. The lists of the catalogues are all NULL here; others cannot be joined.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayToString(Signature);

impl ScalarUDFImpl for ArrayToString {
    fn name(&self) -> &str {
        "array_to_string"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let is_nothing = match given.args.first() {
            Some(ColumnarValue::Scalar(value)) => {
                value.is_null() || matches!(value.try_as_str(), Some(Some("{}")))
            }
            Some(ColumnarValue::Array(array)) => array.null_count() == array.len() || array.is_empty(),
            None => false,
        };
        if is_nothing {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
        }
        Err(DataFusionError::Execution("array_to_string joins no lists here; select the list".to_owned()))
    }
}

type OfRow = dyn Fn(&[Option<&str>]) -> Option<String> + Send + Sync;

/// A function from the texts of a row to a text.
struct ByRow {
    name: &'static str,
    of: Arc<OfRow>,
    signature: Signature,
}

fn by_row(
    name: &'static str,
    of: impl Fn(&[Option<&str>]) -> Option<String> + Send + Sync + 'static,
) -> ScalarUDF {
    ScalarUDF::from(ByRow { name, of: Arc::new(of), signature: any_arguments() })
}

impl std::fmt::Debug for ByRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByRow").field("name", &self.name).finish_non_exhaustive()
    }
}

// One session has one function of a name.
impl PartialEq for ByRow {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.of, &other.of)
    }
}

impl Eq for ByRow {}

impl std::hash::Hash for ByRow {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for ByRow {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let is_scalar = given.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let n_rows = if is_scalar { 1 } else { given.number_rows };
        let columns = given
            .args
            .iter()
            .map(|argument| Ok(cast(&argument.clone().into_array(n_rows)?, &DataType::Utf8)?))
            .collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        let mut texts = StringBuilder::new();
        for row in 0..n_rows {
            let of_row: Vec<Option<&str>> = columns
                .iter()
                .map(|column| {
                    let column = column.as_string::<i32>();
                    column.is_valid(row).then(|| column.value(row))
                })
                .collect();
            texts.append_option((self.of)(&of_row));
        }
        let array: ArrayRef = Arc::new(texts.finish());
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}
