//! The part of `tollbook audit` that looks at some days: their calls in the lake against their postings in the ledger, in figures that
//! anybody can ask for again.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use lake::Lake;
use rust_decimal::Decimal;
use store::Store;

use crate::cli::AuditPeriod;
use crate::failure::UserError;

/// While the installation runs, lake and ledger follow the log each at its own pace: they are looked at again so often.
const LOOKS_MAX: u32 = 5;

/// And after so long.
const LOOK_PAUSE: Duration = Duration::from_millis(700);

/// What accounts owe, and what carriers are owed: side of the ledger, columns of the lake.
const SIDES: [(&str, &[&str]); 2] = [
    ("receivable", &["customer", "reseller", "customer_in", "reseller_in"]),
    ("payable", &["carrier", "carrier_in"]),
];

/// Whole UTC days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    first: NaiveDate,
    last: NaiveDate,
}

impl Period {
    /// As asked for; `None` is everything.
    pub(super) fn of(asked: &AuditPeriod) -> Result<Option<Self>, UserError> {
        let (first, last) = match (asked.day, asked.from, asked.to) {
            (Some(day), ..) => (day, day),
            (None, Some(from), Some(to)) => (from, to),
            (None, ..) => return Ok(None),
        };
        if last < first {
            return Err(UserError::new(
                format!("--from {first} --to {last}: ends before it begins"),
                "name the first day, then the last; both are looked at",
            ));
        }
        Ok(Some(Self { first, last }))
    }

    pub(super) fn contains(self, at: DateTime<Utc>) -> bool {
        (self.first..=self.last).contains(&at.date_naive())
    }

    fn begins_at(self) -> DateTime<Utc> {
        self.first.and_time(NaiveTime::MIN).and_utc()
    }

    fn ends_at(self) -> DateTime<Utc> {
        self.last.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1)
    }

    /// The condition on the table `calls`.
    fn condition(self) -> String {
        format!("day BETWEEN '{}' AND '{}'", self.first, self.last)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last {
            write!(f, "{} (UTC)", self.first)
        } else {
            write!(f, "{} to {} (UTC)", self.first, self.last)
        }
    }
}

/// Whether an equation holds, how it reads, and the query that gives its figures again.
pub(super) type Equation = (bool, String, String);

/// The money of the period's calls, in the lake and in the ledger; and how many calls that are.
pub(super) async fn equations(store: &Store, lake: &Lake, period: Period) -> anyhow::Result<Vec<Equation>> {
    let mut found = look(store, lake, period).await?;
    for _ in 1..LOOKS_MAX {
        if found.iter().all(|(holds, ..)| *holds) {
            break;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        found = look(store, lake, period).await?;
    }
    Ok(found)
}

async fn look(store: &Store, lake: &Lake, period: Period) -> anyhow::Result<Vec<Equation>> {
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE answered), coalesce(sum(duration_seconds), 0), \
         count(*) FILTER (WHERE cause = 'in_progress') FROM calls WHERE {}",
        period.condition()
    );
    let rows = lake.query(&sql).await?.rows();
    let cells: Vec<String> = rows.into_iter().flatten().map(Option::unwrap_or_default).collect();
    let [n_calls, n_answered, seconds, n_up] = &cells[..] else { anyhow::bail!("the lake gave no figures") };
    let text = format!("{n_calls} calls, {n_answered} answered, {seconds} seconds, {n_up} still up");
    let mut all = vec![(true, text, sql)];
    let posted = store.call_postings(period.begins_at(), period.ends_at()).await?;
    for (side, columns) in SIDES {
        let sql = query_of(columns, period);
        let mut sums: BTreeMap<String, (Decimal, Decimal)> = BTreeMap::new();
        for row in lake.query(&sql).await?.rows() {
            let [Some(currency), Some(sum)] = &row[..] else { anyhow::bail!("the lake gave no sum") };
            sums.entry(currency.clone()).or_default().0 += sum.parse::<Decimal>()?;
        }
        for posting in posted.iter().filter(|posting| posting.side == side) {
            sums.entry(posting.currency.to_string()).or_default().1 += posting.amount;
        }
        for (currency, (in_lake, in_ledger)) in sums {
            let text = format!(
                "{side}: the calls in the lake come to {} {currency}, their postings to {}",
                in_lake.normalize(),
                in_ledger.normalize()
            );
            all.push((in_lake == in_ledger, text, sql.clone()));
        }
    }
    Ok(all)
}

/// Sums by currency over the columns of one side.
fn query_of(columns: &[&str], period: Period) -> String {
    let one = |column: &&str| {
        format!(
            "SELECT {column}_currency AS currency, {column}_cost AS cost FROM calls \
             WHERE {column}_cost IS NOT NULL AND {}",
            period.condition()
        )
    };
    let all: Vec<String> = columns.iter().map(one).collect();
    format!(
        "SELECT currency, sum(cost) FROM ({}) GROUP BY currency ORDER BY currency",
        all.join(" UNION ALL ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(day: Option<&str>, from: Option<&str>, to: Option<&str>) -> Result<Option<Period>, UserError> {
        let date = |text: &str| text.parse().unwrap();
        Period::of(&AuditPeriod { day: day.map(date), from: from.map(date), to: to.map(date) })
    }

    #[test]
    fn period_has_its_last_day_and_ends_with_it() {
        let period = asked(None, Some("2026-10-01"), Some("2026-10-31")).unwrap().unwrap();
        assert!(period.contains("2026-10-31T23:59:59.999999Z".parse().unwrap()));
        assert!(!period.contains("2026-11-01T00:00:00Z".parse().unwrap()));
        assert_eq!(period.ends_at(), "2026-11-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(asked(Some("2026-10-05"), None, None).unwrap().unwrap().to_string(), "2026-10-05 (UTC)");
        assert_eq!(asked(None, None, None).unwrap(), None);
        assert!(asked(None, Some("2026-10-02"), Some("2026-10-01")).is_err());
    }
}
