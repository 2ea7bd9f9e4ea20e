//! The calls of a stretch of time as rules want to see them again: few columns, read as they lie, no text made of them.

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    Array, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use model::{AccountId, CdrId};

use crate::{Lake, LakeError, QueryResult};

/// One leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastCall<'a> {
    /// Its record.
    pub cdr: CdrId,
    /// Its call, whose legs all have this name.
    pub call: &'a str,
    /// 0 is the call itself.
    pub leg: u16,
    /// Who pays.
    pub payer: AccountId,
    /// The subscriber that calls, if one.
    pub subscriber: Option<i64>,
    /// The trunk it came from, if from one.
    pub trunk: Option<i64>,
    /// Where the INVITE came from.
    pub source: &'a str,
    /// User agent, or empty.
    pub user_agent: &'a str,
    /// Calling number, E.164 digits.
    pub source_number: Option<&'a str>,
    /// Number called.
    pub destination_number: Option<&'a str>,
    /// The trunk that carried it on.
    pub vendor: Option<i64>,
    /// The INVITE.
    pub init_at: DateTime<Utc>,
    /// The final answer.
    pub start_at: DateTime<Utc>,
    /// Answered for so long, microseconds; `None` if never.
    pub answered_us: Option<u64>,
    /// What it cost the payer with what a balance covered of it, in millionths of a currency unit.
    pub cost_micros: i64,
}

/// The calls of a stretch of time, in no order.
#[derive(Debug)]
pub struct PastCalls {
    result: QueryResult,
}

impl Lake {
    /// The newest revision of each call that started at or after `from` and before `to`.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn past_calls(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<PastCalls, LakeError> {
        let literal = |at: DateTime<Utc>| at.format("TIMESTAMP '%Y-%m-%dT%H:%M:%S%.6f'").to_string();
        let sql = format!(
            "SELECT cdr_id, call_id, leg, payer, source_subscriber, source_trunk, source_ip, source_user_agent, \
             source_number, destination_number, trunk, init_at, start_at, answered, duration_seconds, customer_cost, \
             free_cash FROM calls WHERE start_at >= {} AND start_at < {}",
            literal(from),
            literal(to)
        );
        Ok(PastCalls { result: self.query(&sql).await? })
    }
}

impl PastCalls {
    /// How many.
    pub fn len(&self) -> usize {
        self.result.n_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands out those whose payer is `wanted`.
    ///
    /// # Errors
    ///
    /// [`LakeError::Internal`] where a file holds something else than a column says.
    pub fn each(
        &self,
        wanted: impl Fn(AccountId) -> bool,
        mut take: impl FnMut(PastCall<'_>),
    ) -> Result<(), LakeError> {
        for batch in &self.result.batches {
            let columns = Columns::of(batch)?;
            for row in 0..batch.num_rows() {
                if wanted(AccountId(columns.payer.value(row))) {
                    take(columns.call(row)?);
                }
            }
        }
        Ok(())
    }
}

/// The columns of one batch, in the order of the query.
struct Columns<'a> {
    cdr_id: &'a StringViewArray,
    call_id: &'a StringViewArray,
    leg: &'a Int64Array,
    payer: &'a Int64Array,
    subscriber: &'a Int64Array,
    trunk: &'a Int64Array,
    source: &'a StringViewArray,
    user_agent: &'a StringViewArray,
    source_number: &'a StringViewArray,
    destination_number: &'a StringViewArray,
    vendor: &'a Int64Array,
    init_at: &'a TimestampMicrosecondArray,
    start_at: &'a TimestampMicrosecondArray,
    answered: &'a BooleanArray,
    duration: &'a Decimal128Array,
    cost: &'a Decimal128Array,
    free_cash: &'a Decimal128Array,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, LakeError> {
        let text = |place: usize| batch.columns().get(place).and_then(|array| array.as_string_view_opt());
        let int =
            |place: usize| batch.columns().get(place).and_then(|array| array.as_primitive_opt::<Int64Type>());
        let time = |place: usize| {
            batch.columns().get(place).and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>())
        };
        let decimal = |place: usize| {
            batch.columns().get(place).and_then(|array| array.as_primitive_opt::<Decimal128Type>())
        };
        let columns = || {
            Some(Columns {
                cdr_id: text(0)?,
                call_id: text(1)?,
                leg: int(2)?,
                payer: int(3)?,
                subscriber: int(4)?,
                trunk: int(5)?,
                source: text(6)?,
                user_agent: text(7)?,
                source_number: text(8)?,
                destination_number: text(9)?,
                vendor: int(10)?,
                init_at: time(11)?,
                start_at: time(12)?,
                answered: batch.columns().get(13)?.as_boolean_opt()?,
                duration: decimal(14)?,
                cost: decimal(15)?,
                free_cash: decimal(16)?,
            })
        };
        columns().ok_or_else(|| LakeError::Internal { problem: "calls have other columns".to_owned() })
    }

    fn call(&self, row: usize) -> Result<PastCall<'a>, LakeError> {
        let broken =
            |column: &str| LakeError::Internal { problem: format!("a call's {column} cannot be read") };
        let text = |array: &'a StringViewArray| array.is_valid(row).then(|| array.value(row));
        let int = |array: &Int64Array| array.is_valid(row).then(|| array.value(row));
        let micros = |array: &Decimal128Array| {
            array.is_valid(row).then(|| i64::try_from(array.value(row)).unwrap_or(i64::MAX))
        };
        let time = |array: &TimestampMicrosecondArray, column| {
            DateTime::from_timestamp_micros(array.value(row)).ok_or_else(|| broken(column))
        };
        let duration = micros(self.duration).and_then(|us| u64::try_from(us).ok()).unwrap_or(0);
        Ok(PastCall {
            cdr: self.cdr_id.value(row).parse().map_err(|_| broken("cdr_id"))?,
            call: self.call_id.value(row),
            leg: u16::try_from(self.leg.value(row)).map_err(|_| broken("leg"))?,
            payer: AccountId(self.payer.value(row)),
            subscriber: int(self.subscriber),
            trunk: int(self.trunk),
            source: text(self.source).unwrap_or_default(),
            user_agent: text(self.user_agent).unwrap_or_default(),
            source_number: text(self.source_number),
            destination_number: text(self.destination_number),
            vendor: int(self.vendor),
            init_at: time(self.init_at, "init_at")?,
            start_at: time(self.start_at, "start_at")?,
            answered_us: (self.answered.is_valid(row) && self.answered.value(row)).then_some(duration),
            cost_micros: micros(self.cost).unwrap_or(0).saturating_add(micros(self.free_cash).unwrap_or(0)),
        })
    }
}
