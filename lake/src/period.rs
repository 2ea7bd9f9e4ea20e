//! What the manifest says of a filter about days and times, file by file, without opening any.
//!
//! In: a filter as it was planned, and a file. Out: whether some of its rows may pass, and whether some may not. Comparisons of `start_at` and
//! `day` themselves with values are understood, and what AND, OR, NOT, BETWEEN and IN make of them; anything else may be so or so. Neither
//! column is ever NULL, and neither is a value that is understood.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Operator, TryCast};

use crate::column::DAY;
use crate::history::days_since_1970;
use crate::manifest::LakeFile;

/// Values of an IN that are looked at.
const VALUES_MAX: usize = 100;

/// What becomes of a file's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Some may pass.
    pub(crate) some_pass: bool,
    /// Some may not pass.
    pub(crate) some_fail: bool,
}

const UNKNOWN: Verdict = Verdict { some_pass: true, some_fail: true };

impl Verdict {
    /// Whether all pass, or none.
    pub(crate) fn is_decided(self) -> bool {
        !(self.some_pass && self.some_fail)
    }

    fn not(self) -> Self {
        Self { some_pass: self.some_fail, some_fail: self.some_pass }
    }

    fn and(self, other: Self) -> Self {
        Self { some_pass: self.some_pass && other.some_pass, some_fail: self.some_fail || other.some_fail }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

/// Whether the filter names a day or a time at all.
pub(crate) fn is_asked(filter: &Expr) -> bool {
    filter.column_refs().iter().any(|column| [DAY.name, "start_at"].contains(&column.name.as_str()))
}

/// Whether something is cast to a time of day or to times of a zone: as texts order them, and as clocks that are put back do, they are not
/// in the order of what they are made of.
pub(crate) fn casts_times(filter: &Expr) -> bool {
    let is_cast = |expr: &Expr| {
        let (Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. })) = expr else {
            return Ok(false);
        };
        let to = field.data_type();
        Ok(matches!(to, DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(_, Some(_))))
    };
    filter.exists(is_cast).unwrap_or(true)
}

/// What the filter makes of the rows of `file`.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a filter is may be so or so")]
pub(crate) fn of(filter: &Expr, file: &LakeFile) -> Verdict {
    match filter {
        Expr::Not(inner) => of(inner, file).not(),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            of(left, file).and(of(right, file))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => of(left, file).or(of(right, file)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (span(left, file), value(right)) {
            (Some(span), Some(value)) => span.compared(*op, value),
            _ => match (value(left), span(right, file), op.swap()) {
                (Some(value), Some(span), Some(op)) => span.compared(op, value),
                _ => UNKNOWN,
            },
        },
        Expr::Between(Between { expr, negated, low, high }) => {
            let (Some(span), Some(low), Some(high)) = (span(expr, file), value(low), value(high)) else {
                return UNKNOWN;
            };
            let within = span.compared(Operator::GtEq, low).and(span.compared(Operator::LtEq, high));
            if *negated { within.not() } else { within }
        }
        Expr::InList(InList { expr, list, negated }) if list.len() <= VALUES_MAX => {
            let Some(span) = span(expr, file) else { return UNKNOWN };
            let mut among = Verdict { some_pass: false, some_fail: true };
            for item in list {
                let Some(value) = value(item) else { return UNKNOWN };
                among = among.or(span.compared(Operator::Eq, value));
            }
            if *negated { among.not() } else { among }
        }
        _ => UNKNOWN,
    }
}

/// A day, or an instant in microseconds: each is compared with its own kind alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Day(i64),
    Instant(i64),
}

/// What is understood of a literal.
#[expect(clippy::wildcard_enum_match_arm, reason = "columns of days and times are compared with such values")]
fn value(expr: &Expr) -> Option<Value> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::Date32(Some(day)) => Some(Value::Day(i64::from(*day))),
        ScalarValue::TimestampMicrosecond(Some(us), None) => Some(Value::Instant(*us)),
        _ => None,
    }
}

/// First and last value of a column.
struct Span {
    first: Value,
    last: Value,
}

/// Of `start_at`, of `day`, and of the day of `start_at`, which is the same.
fn span(expr: &Expr, file: &LakeFile) -> Option<Span> {
    let day = || {
        let day = Value::Day(i64::from(days_since_1970(file.day)));
        Some(Span { first: day, last: day })
    };
    let is_start = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "start_at");
    let is_day = if let Expr::Cast(Cast { expr, field }) = expr {
        is_start(expr.as_ref()) && *field.data_type() == DataType::Date32
    } else {
        matches!(expr, Expr::Column(column) if column.name == DAY.name)
    };
    if is_day {
        return day();
    }
    is_start(expr).then_some(Span {
        first: Value::Instant(file.first_start_us),
        last: Value::Instant(file.last_start_us),
    })
}

impl Span {
    fn compared(&self, op: Operator, value: Value) -> Verdict {
        let (first, last, value) = match (self.first, self.last, value) {
            (Value::Day(first), Value::Day(last), Value::Day(value))
            | (Value::Instant(first), Value::Instant(last), Value::Instant(value)) => (first, last, value),
            _ => return UNKNOWN,
        };
        let below = Verdict { some_pass: first < value, some_fail: last >= value };
        let up_to = Verdict { some_pass: first <= value, some_fail: last > value };
        let equal = Verdict {
            some_pass: first <= value && value <= last,
            some_fail: !(first == value && value == last),
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else compares them may be so or so")]
        match op {
            Operator::Lt => below,
            Operator::LtEq => up_to,
            Operator::Gt => up_to.not(),
            Operator::GtEq => below.not(),
            Operator::Eq => equal,
            Operator::NotEq => equal.not(),
            _ => UNKNOWN,
        }
    }
}
