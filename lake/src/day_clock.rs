//! `date_part('hour', …)` and `date_part('dow', …)` of our times: they have no zone, so a division tells. The library asks a calendar about
//! every row, and whatever else is asked of it, it does itself.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// 1 January 1970 was a Thursday; Sunday is 0.
const FIRST_WEEKDAY: i64 = 4;

#[derive(Debug, PartialEq, Eq, Hash)]
struct DayClock {
    library: Arc<ScalarUDF>,
}

/// The function, in the place of the library's.
pub(crate) fn date_part() -> ScalarUDF {
    ScalarUDF::from(DayClock { library: datafusion::functions::datetime::date_part() })
}

impl ScalarUDFImpl for DayClock {
    fn name(&self) -> &str {
        self.library.name()
    }

    fn aliases(&self) -> &[String] {
        self.library.aliases()
    }

    fn signature(&self) -> &Signature {
        self.library.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        self.library.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        self.library.return_field_from_args(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        if let [ColumnarValue::Scalar(part), ColumnarValue::Array(times)] = arguments.args.as_slice()
            && let Some(Some(part)) = part.try_as_str()
            && let Some(parts) = parts(part, times)
        {
            return Ok(ColumnarValue::Array(parts));
        }
        self.library.invoke_with_args(arguments)
    }

    fn preimage(
        &self,
        arguments: &[Expr],
        literal: &Expr,
        context: &SimplifyContext,
    ) -> DataFusionResult<PreimageResult> {
        self.library.preimage(arguments, literal, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.library.documentation()
    }
}

/// `None` for what the library does.
fn parts(part: &str, times: &ArrayRef) -> Option<ArrayRef> {
    if *times.data_type() != DataType::Timestamp(TimeUnit::Microsecond, None) {
        return None;
    }
    let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
    let parts: Int32Array = if part.eq_ignore_ascii_case("hour") {
        times.unary(|us| small(us.rem_euclid(DAY_US) / HOUR_US))
    } else if part.eq_ignore_ascii_case("dow") {
        times.unary(|us| small((us.div_euclid(DAY_US) + FIRST_WEEKDAY).rem_euclid(7)))
    } else {
        return None;
    };
    Some(Arc::new(parts))
}

/// Below 24.
#[expect(clippy::cast_possible_truncation, reason = "an hour or a weekday")]
const fn small(part: i64) -> i32 {
    part as i32
}
