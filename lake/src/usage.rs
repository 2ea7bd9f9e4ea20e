//! What invoices and account pages ask of the lake: sums by zone, and single calls.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use model::{AccountId, CdrId, Currency};
use rust_decimal::Decimal;

use crate::{Lake, LakeError, QueryResult};

/// What an account used in one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageLine {
    /// Zone of the fee.
    pub zone: String,
    /// Zone detail.
    pub zone_detail: String,
    /// Calls that were priced.
    pub calls: u64,
    /// Sum of their charging intervals.
    pub billed_seconds: u64,
    /// Sum of their costs, exact.
    pub cost: Decimal,
    /// Of the cost.
    pub currency: Currency,
}

/// What an account used in one zone on one local day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUsage {
    /// The day, in the zone asked for.
    pub day: NaiveDate,
    /// Its sums.
    pub line: UsageLine,
}

/// What an account paid to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IncomingUsage {
    /// Calls that cost it something.
    pub calls: u64,
    /// Sum of their charging intervals.
    pub billed_seconds: u64,
    /// Sum of their costs, exact.
    pub cost: Decimal,
    /// Of the cost; `None` without calls.
    pub currency: Option<Currency>,
}

/// One call that an account pays for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledCall {
    /// When the final answer went out.
    pub start_at: DateTime<Utc>,
    /// The number called; what was dialled where it is no number.
    pub destination: String,
    /// Zone of the fee.
    pub zone: String,
    /// Answered for so long, in seconds.
    pub duration_seconds: Decimal,
    /// What the account pays, in its currency.
    pub cost: Decimal,
}

/// One call of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLine {
    /// Its record.
    pub cdr_id: CdrId,
    /// When the final answer went out.
    pub start_at: DateTime<Utc>,
    /// The caller, E.164 digits; empty if unknown.
    pub source_number: String,
    /// The number called; what was dialled where it is no number.
    pub destination: String,
    /// Answered for so long, in seconds.
    pub duration_seconds: Decimal,
    /// Outcome, such as `ok`.
    pub status: String,
    /// Final SIP code.
    pub code: u16,
    /// Why it ended, such as `normal`.
    pub cause: String,
    /// Zone of the fee; empty if it cost nothing.
    pub zone: String,
    /// Sum of the charging intervals.
    pub billed_seconds: u64,
    /// What the customer pays, and in what; `None` if nobody pays.
    pub cost: Option<(Decimal, Currency)>,
}

impl Lake {
    /// What customer `account` owes for its outgoing calls that started at or after `from` and before `to`, by zone, zone
    /// detail and currency, in their order. The newest revision of each call counts.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn usage(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<UsageLine>, LakeError> {
        let sql = format!(
            "SELECT coalesce(customer_zone, '') AS zone, coalesce(customer_zone_detail, '') AS detail, \
             count(*) AS calls, sum(billed_seconds) AS billed, sum(customer_cost) AS cost, customer_currency \
             FROM calls WHERE customer_account = {account} AND {} \
             GROUP BY customer_zone, customer_zone_detail, customer_currency ORDER BY zone, detail, customer_currency",
            started(from, to)
        );
        let result = self.query(&sql).await?;
        result
            .rows()
            .into_iter()
            .map(|row| {
                let mut cells = Cells::new(&result, row);
                Ok(UsageLine {
                    zone: cells.text(),
                    zone_detail: cells.text(),
                    calls: cells.parsed()?,
                    billed_seconds: cells.parsed()?,
                    cost: cells.parsed::<Decimal>()?.normalize(),
                    currency: cells.parsed()?,
                })
            })
            .collect()
    }

    /// What customer `account` owes for calls it received that started at or after `from` and before `to`. Calls that cost
    /// it nothing are left out.
    ///
    /// # Errors
    ///
    /// [`LakeError::TwoCurrencies`] when there is no one sum, and those of [`Lake::query`].
    pub async fn incoming(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<IncomingUsage, LakeError> {
        let sql = format!(
            "SELECT count(*) AS calls, sum(customer_in_billed_seconds) AS seconds, \
             sum(customer_in_cost) AS cost, customer_in_currency \
             FROM calls WHERE customer_in_account = {account} AND customer_in_cost <> 0 AND {} \
             GROUP BY customer_in_currency ORDER BY customer_in_currency",
            started(from, to)
        );
        let result = self.query(&sql).await?;
        let mut rows = result.rows().into_iter();
        let Some(row) = rows.next() else {
            return Ok(IncomingUsage::default());
        };
        let mut cells = Cells::new(&result, row);
        let calls = cells.parsed()?;
        let billed_seconds = cells.parsed()?;
        let cost = cells.parsed::<Decimal>()?.normalize();
        let currency = cells.parsed()?;
        let others: Vec<String> = rows.filter_map(|row| row.into_iter().next_back().flatten()).collect();
        if !others.is_empty() {
            let currencies = std::iter::once(Currency::to_string(&currency)).chain(others).collect();
            return Err(LakeError::TwoCurrencies { account, currencies });
        }
        Ok(IncomingUsage { calls, billed_seconds, cost, currency: Some(currency) })
    }

    /// Calls started at or after `from` and before `to` that `account` pays for, on either side, and that are still up: what they
    /// cost is not known yet.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn in_progress(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<u64, LakeError> {
        let sql = format!(
            "SELECT count(*) AS calls FROM calls WHERE partial AND cause = 'in_progress' \
             AND (customer_account = {account} OR customer_in_account = {account}) AND {}",
            started(from, to)
        );
        let result = self.query(&sql).await?;
        let mut n_calls = 0;
        for row in result.rows() {
            n_calls = Cells::new(&result, row).parsed()?;
        }
        Ok(n_calls)
    }

    /// What customer `account` owes for its outgoing calls, as [`Lake::usage`] sums it up, by the local days of `timezone`. With
    /// `is_incoming`, what it owes for the calls it received instead; their zone is empty.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn usage_by_day(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        timezone: Tz,
        is_incoming: bool,
    ) -> Result<Vec<DayUsage>, LakeError> {
        // No zone of the last fifty years is off by anything but quarters of an hour, so the database need not know zones.
        let quarter = "date_bin(INTERVAL '15 minutes', start_at, TIMESTAMP '1970-01-01T00:00:00')";
        let time = started(from, to);
        let sql = if is_incoming {
            format!(
                "SELECT {quarter} AS quarter, '' AS zone, '' AS detail, count(*) AS calls, \
                 sum(customer_in_billed_seconds) AS billed, sum(customer_in_cost) AS cost, customer_in_currency AS currency \
                 FROM calls WHERE customer_in_account = {account} AND customer_in_cost <> 0 AND {time} \
                 GROUP BY quarter, customer_in_currency"
            )
        } else {
            format!(
                "SELECT {quarter} AS quarter, coalesce(customer_zone, '') AS zone, \
                 coalesce(customer_zone_detail, '') AS detail, count(*) AS calls, sum(billed_seconds) AS billed, \
                 sum(customer_cost) AS cost, customer_currency AS currency FROM calls \
                 WHERE customer_account = {account} AND {time} \
                 GROUP BY quarter, customer_zone, customer_zone_detail, customer_currency"
            )
        };
        let result = self.query(&sql).await?;
        let mut days: BTreeMap<(NaiveDate, String, String, Currency), UsageLine> = BTreeMap::new();
        for row in result.rows() {
            let mut cells = Cells::new(&result, row);
            let quarter = cells.parsed::<NaiveDateTime>()?.and_utc();
            let line = UsageLine {
                zone: cells.text(),
                zone_detail: cells.text(),
                calls: cells.parsed()?,
                billed_seconds: cells.parsed()?,
                cost: cells.parsed()?,
                currency: cells.parsed()?,
            };
            let day = quarter.with_timezone(&timezone).date_naive();
            let key = (day, line.zone.clone(), line.zone_detail.clone(), line.currency);
            match days.get_mut(&key) {
                None => drop(days.insert(key, line)),
                Some(sum) => {
                    sum.calls += line.calls;
                    sum.billed_seconds += line.billed_seconds;
                    sum.cost += line.cost;
                }
            }
        }
        let normal = |line: UsageLine| UsageLine { cost: line.cost.normalize(), ..line };
        Ok(days.into_iter().map(|((day, ..), line)| DayUsage { day, line: normal(line) }).collect())
    }

    /// The outgoing calls that customer `account` pays for, started at or after `from` and before `to`, oldest first: those that
    /// [`Lake::usage`] sums up.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn billed_calls(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<BilledCall>, LakeError> {
        let sql = format!(
            "SELECT start_at, coalesce(destination_number, dialed) AS destination, \
             coalesce(customer_zone, '') AS zone, duration_seconds, customer_cost \
             FROM calls WHERE customer_account = {account} AND {} ORDER BY start_at, cdr_id",
            started(from, to)
        );
        let result = self.query(&sql).await?;
        result
            .rows()
            .into_iter()
            .map(|row| {
                let mut cells = Cells::new(&result, row);
                Ok(BilledCall {
                    start_at: cells.parsed::<NaiveDateTime>()?.and_utc(),
                    destination: cells.text(),
                    zone: cells.text(),
                    duration_seconds: cells.parsed::<Decimal>()?.normalize(),
                    cost: cells.parsed::<Decimal>()?.normalize(),
                })
            })
            .collect()
    }

    /// Calls that `account` makes, pays for or receives, started at or after `from` and before `to`, newest first, at
    /// most `limit`.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn calls_of(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<CallLine>, LakeError> {
        let sql = format!(
            "SELECT cdr_id, start_at, source_number, coalesce(destination_number, dialed) AS destination, \
             duration_seconds, status, code, cause, customer_zone, coalesce(billed_seconds, 0) AS billed, \
             customer_cost, customer_currency \
             FROM calls WHERE (payer = {account} OR source_account = {account} OR destination_account = {account}) \
             AND {} ORDER BY start_at DESC, cdr_id LIMIT {limit}",
            started(from, to)
        );
        let result = self.query(&sql).await?;
        result
            .rows()
            .into_iter()
            .map(|row| {
                let mut cells = Cells::new(&result, row);
                Ok(CallLine {
                    cdr_id: cells.parsed()?,
                    start_at: cells.parsed::<NaiveDateTime>()?.and_utc(),
                    source_number: cells.text(),
                    destination: cells.text(),
                    duration_seconds: cells.parsed::<Decimal>()?.normalize(),
                    status: cells.text(),
                    code: cells.parsed()?,
                    cause: cells.text(),
                    zone: cells.text(),
                    billed_seconds: cells.parsed()?,
                    cost: match (cells.optional::<Decimal>()?, cells.optional()?) {
                        (Some(cost), Some(currency)) => Some((cost.normalize(), currency)),
                        (None, _) | (_, None) => None,
                    },
                })
            })
            .collect()
    }
}

/// The condition of a half-open period.
fn started(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let literal = |at: DateTime<Utc>| at.format("TIMESTAMP '%Y-%m-%dT%H:%M:%S%.6f'").to_string();
    format!("start_at >= {} AND start_at < {}", literal(from), literal(to))
}

/// The cells of a row, from left to right.
struct Cells<'a> {
    result: &'a QueryResult,
    idx: usize,
    row: std::vec::IntoIter<Option<String>>,
}

impl<'a> Cells<'a> {
    fn new(result: &'a QueryResult, row: Vec<Option<String>>) -> Self {
        Self { result, idx: 0, row: row.into_iter() }
    }

    fn next(&mut self) -> Option<String> {
        self.idx += 1;
        self.row.next().flatten()
    }

    /// NULL is empty.
    fn text(&mut self) -> String {
        self.next().unwrap_or_default()
    }

    fn optional<T: std::str::FromStr>(&mut self) -> Result<Option<T>, LakeError> {
        let Some(text) = self.next() else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.unreadable(&text))
    }

    fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, LakeError> {
        self.optional()?.ok_or_else(|| self.unreadable("NULL"))
    }

    fn unreadable(&self, text: &str) -> LakeError {
        let name = self.result.columns.get(self.idx - 1).map_or("?", |column| column.name.as_str());
        LakeError::Internal { problem: format!("column {name} of our own query is {text:?}") }
    }
}
