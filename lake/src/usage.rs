//! What invoices and account pages ask of the lake: sums by zone, and single calls.

use std::collections::HashMap;

use chrono::{DateTime, DurationRound, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
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
             count(*) AS calls, coalesce(sum(billed_seconds), 0) AS billed, sum(customer_cost) AS cost, customer_currency \
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
            "SELECT count(*) AS calls, coalesce(sum(customer_in_billed_seconds), 0) AS seconds, \
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

    /// How many calls started at or after `from` and before `to` that each of `accounts` pays for, on any side, are still up: what
    /// they cost is not known yet. Accounts without any are left out.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn in_progress(
        &self,
        accounts: &[AccountId],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<HashMap<AccountId, u64>, LakeError> {
        let mut found: HashMap<AccountId, u64> = HashMap::new();
        for side in PayingSide::ALL {
            let SideColumns { account, .. } = side.columns();
            let sql = format!(
                "SELECT {account} AS account, count(*) AS calls FROM calls \
                 WHERE partial AND cause = 'in_progress' AND {} AND {} GROUP BY {account}",
                one_of(account, accounts),
                started(from, to)
            );
            let result = self.query(&sql).await?;
            for row in result.rows() {
                let mut cells = Cells::new(&result, row);
                let account = AccountId(cells.parsed()?);
                let n_up: u64 = cells.parsed()?;
                *found.entry(account).or_default() += n_up;
            }
        }
        Ok(found)
    }

    /// What each of `accounts` owes on one side of calls that started at or after `from` and before `to`, by day in `timezone`, zone,
    /// zone detail and currency, in their order. The newest revision of each call counts.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn usage_by_day(
        &self,
        accounts: &[AccountId],
        side: PayingSide,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        timezone: Tz,
    ) -> Result<HashMap<AccountId, Vec<DayUsage>>, LakeError> {
        let SideColumns { account, zone, detail, billed, cost, currency, also } = side.columns();
        let day = format!("date_trunc('day', {})", local_time(from, to, timezone));
        let sql = format!(
            "SELECT {account} AS account, {day} AS day, {zone} AS zone, {detail} AS detail, count(*) AS calls, \
             coalesce(sum({billed}), 0) AS billed, sum({cost}) AS cost, {currency} AS currency FROM calls \
             WHERE {} AND {}{also} GROUP BY 1, 2, 3, 4, 8 ORDER BY 1, 2, 3, 4, 8",
            one_of(account, accounts),
            started(from, to)
        );
        let result = self.query(&sql).await?;
        let mut found: HashMap<AccountId, Vec<DayUsage>> = HashMap::new();
        for row in result.rows() {
            let mut cells = Cells::new(&result, row);
            let account = AccountId(cells.parsed()?);
            let day = cells.parsed::<NaiveDateTime>()?.date();
            let line = UsageLine {
                zone: cells.text(),
                zone_detail: cells.text(),
                calls: cells.parsed()?,
                billed_seconds: cells.parsed()?,
                cost: cells.parsed::<Decimal>()?.normalize(),
                currency: cells.parsed()?,
            };
            found.entry(account).or_default().push(DayUsage { day, line });
        }
        Ok(found)
    }

    /// The calls of each of `accounts`, started at or after `from` and before `to`, that it pays for as the caller's side, by time: those
    /// whose costs [`Lake::usage_by_day`] sums up.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`].
    pub async fn billed_calls(
        &self,
        accounts: &[AccountId],
        side: PayingSide,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<HashMap<AccountId, Vec<BilledCall>>, LakeError> {
        let SideColumns { account, zone, cost, also, .. } = side.columns();
        let sql = format!(
            "SELECT {account} AS account, start_at, coalesce(destination_number, dialed) AS destination, \
             {zone} AS zone, duration_seconds, {cost} AS cost \
             FROM calls WHERE {} AND {}{also} ORDER BY start_at, cdr_id",
            one_of(account, accounts),
            started(from, to)
        );
        let result = self.query(&sql).await?;
        let mut found: HashMap<AccountId, Vec<BilledCall>> = HashMap::new();
        for row in result.rows() {
            let mut cells = Cells::new(&result, row);
            let account = AccountId(cells.parsed()?);
            let call = BilledCall {
                start_at: cells.parsed::<NaiveDateTime>()?.and_utc(),
                destination: cells.text(),
                zone: cells.text(),
                duration_seconds: cells.parsed::<Decimal>()?.normalize(),
                cost: cells.parsed::<Decimal>()?.normalize(),
            };
            found.entry(account).or_default().push(call);
        }
        Ok(found)
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

/// Who pays for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayingSide {
    /// The account that called.
    Caller,
    /// The account that was called, where it pays for that.
    Called,
    /// The reseller above the account that called.
    CallersReseller,
    /// The reseller above the account that was called, where it pays for that.
    CalledReseller,
}

impl PayingSide {
    /// Every one.
    pub const ALL: [PayingSide; 4] =
        [PayingSide::Caller, PayingSide::Called, PayingSide::CallersReseller, PayingSide::CalledReseller];

    const fn columns(self) -> SideColumns {
        match self {
            PayingSide::Caller => SideColumns {
                account: "customer_account",
                zone: "coalesce(customer_zone, '')",
                detail: "coalesce(customer_zone_detail, '')",
                billed: "billed_seconds",
                cost: "customer_cost",
                currency: "customer_currency",
                also: "",
            },
            PayingSide::Called => SideColumns {
                account: "customer_in_account",
                zone: "''",
                detail: "''",
                billed: "customer_in_billed_seconds",
                cost: "customer_in_cost",
                currency: "customer_in_currency",
                also: " AND customer_in_cost <> 0",
            },
            PayingSide::CallersReseller => SideColumns {
                account: "reseller_account",
                zone: "coalesce(reseller_zone, '')",
                detail: "''",
                billed: "reseller_billed_seconds",
                cost: "reseller_cost",
                currency: "reseller_currency",
                also: "",
            },
            PayingSide::CalledReseller => SideColumns {
                account: "reseller_in_account",
                zone: "''",
                detail: "''",
                billed: "reseller_in_billed_seconds",
                cost: "reseller_in_cost",
                currency: "reseller_in_currency",
                also: " AND reseller_in_cost <> 0",
            },
        }
    }
}

/// Where the table of calls has what one side pays.
struct SideColumns {
    account: &'static str,
    zone: &'static str,
    detail: &'static str,
    billed: &'static str,
    cost: &'static str,
    currency: &'static str,
    /// A further condition.
    also: &'static str,
}

/// The condition that a column is one of some accounts; nothing is where there are none.
fn one_of(column: &str, accounts: &[AccountId]) -> String {
    if accounts.is_empty() {
        return "false".to_owned();
    }
    let ids: Vec<String> = accounts.iter().map(|account| account.0.to_string()).collect();
    format!("{column} IN ({})", ids.join(", "))
}

/// The start of a call by the clocks of `timezone`, for calls of a half-open period: the database need not know zones.
fn local_time(from: DateTime<Utc>, to: DateTime<Utc>, timezone: Tz) -> String {
    // Clocks are set on the quarter of an hour.
    const STEP: TimeDelta = TimeDelta::minutes(15);
    let offset_at =
        |at: DateTime<Utc>| timezone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
    let first = from.duration_trunc(STEP).unwrap_or(from);
    let mut offset = offset_at(first);
    let mut cases = String::new();
    let mut at = first;
    while at < to {
        let there = offset_at(at);
        if there != offset {
            cases += &format!("WHEN start_at < {} THEN INTERVAL '{offset} seconds' ", literal(at));
            offset = there;
        }
        at += STEP;
    }
    if cases.is_empty() {
        format!("start_at + INTERVAL '{offset} seconds'")
    } else {
        format!("start_at + CASE {cases}ELSE INTERVAL '{offset} seconds' END")
    }
}

fn literal(at: DateTime<Utc>) -> String {
    at.format("TIMESTAMP '%Y-%m-%dT%H:%M:%S%.6f'").to_string()
}

/// The condition of a half-open period.
fn started(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
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
