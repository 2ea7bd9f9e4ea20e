//! Real calls priced by another tariff ("shadow billing"): what they cost, and what they would have cost.
//!
//! In: the lake's rows of a stretch of time, day by day, and a compiled tariff. Out: sums for each account. Nothing is written. Free time
//! and cash are left aside on both sides: the price is compared, before what a balance paid of it.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use lake::Lake;
use model::{AccountId, Currency, Direction, PortedNumber, ProfileVersionId, Provider};
use rating::{CallToPrice, PortedTree, RatingError, Tariff, quote_each};
use rust_decimal::Decimal;

use crate::system::of_lake;

/// Rows asked for at a time: a day of a small house, minutes of a large one.
const STRETCH: TimeDelta = TimeDelta::hours(6);

/// Rows priced beside each other.
const ROWS_PRICED: usize = 256;

/// Which calls.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
    /// At which level the tariff is paid; outgoing calls.
    pub(crate) provider: Provider,
    /// Only those of this account.
    pub(crate) account: Option<AccountId>,
    /// Only those that one of these versions priced; empty is all.
    pub(crate) versions: Vec<ProfileVersionId>,
}

/// Sums of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Compared {
    pub(crate) calls: u64,
    /// Of these, without a fee in the other tariff; their price is in neither sum.
    pub(crate) unpriced: u64,
    pub(crate) was: Decimal,
    pub(crate) would_be: Decimal,
}

impl Compared {
    pub(crate) fn difference(&self) -> Decimal {
        self.would_be - self.was
    }

    pub(crate) fn add(&mut self, other: Compared) {
        self.calls += other.calls;
        self.unpriced += other.unpriced;
        self.was += other.was;
        self.would_be += other.would_be;
    }
}

/// What came of a selection.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) accounts: BTreeMap<AccountId, Compared>,
    /// Calls priced in another currency than the tariff's: not comparable, so left out.
    pub(crate) other_currency: u64,
    /// Calls left out because free time of a package paid for some of their seconds: what the others cost says nothing of all of them.
    pub(crate) with_free_time: u64,
}

impl Comparison {
    pub(crate) fn total(&self) -> Compared {
        let mut total = Compared::default();
        self.accounts.values().for_each(|compared| total.add(*compared));
        total
    }

    /// The accounts; those who would pay most more come first: they will call.
    pub(crate) fn ordered(&self) -> Vec<(AccountId, Compared)> {
        let mut accounts: Vec<_> = self.accounts.iter().map(|(id, compared)| (*id, *compared)).collect();
        accounts.sort_by_key(|(id, compared)| (-compared.difference(), *id));
        accounts
    }
}

/// Told how far a comparison is: stretches of time that are done, how many there are, what came of them.
pub(crate) type WatchComparison<'w> = dyn FnMut(usize, usize, &Comparison) + Send + 'w;

/// Prices the calls of `selection` by `tariff`, those to numbers that were `ported` by whoever serves them.
pub(crate) async fn compare(
    lake: &Lake,
    selection: &Selection,
    tariff: &Tariff,
    ported: &[PortedNumber],
    watch: &mut WatchComparison<'_>,
) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison::default();
    let conditions = conditions(selection);
    let Some((mut from, end)) = reach(lake, &conditions, selection.from, selection.to).await? else {
        return Ok(comparison);
    };
    let by_number = PortedTree::build(ported);
    let serves = |number: &str, at| by_number.find(ported, number, at);
    let stretch = STRETCH.num_microseconds().context("a stretch of time")?;
    let whole = (end - from).num_microseconds().context("the time of the calls")?;
    let n_stretches =
        usize::try_from((whole - 1).div_euclid(stretch) + 1).context("the time of the calls")?;
    let mut n_done = 0;
    watch(n_done, n_stretches, &comparison);
    while from < end {
        let to = (from + STRETCH).min(end);
        let sql = format!("{} {conditions} AND {}", columns(selection.provider), started(from, to));
        let result = lake.query(&sql).await.map_err(of_lake)?;
        for rows in result.rows().chunks(ROWS_PRICED) {
            take(rows, tariff, &serves, &mut comparison).context("read a row of the lake")?;
        }
        from = to;
        n_done += 1;
        watch(n_done, n_stretches, &comparison);
    }
    Ok(comparison)
}

/// From the first to behind the last call that there is: asking for each stretch of an empty century would take hours.
pub(crate) async fn reach(
    lake: &Lake,
    conditions: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> anyhow::Result<Option<(DateTime<Utc>, DateTime<Utc>)>> {
    let sql =
        format!("SELECT min(start_at), max(start_at) FROM calls {conditions} AND {}", started(from, to));
    let rows = lake.query(&sql).await.map_err(of_lake)?.rows();
    let instant = |idx: usize| -> anyhow::Result<Option<DateTime<Utc>>> {
        let cell = rows.first().and_then(|row| row.get(idx)).and_then(Option::as_deref);
        cell.map(|text| Ok(text.parse::<NaiveDateTime>().context("start_at")?.and_utc())).transpose()
    };
    let (first, last) = (instant(0)?, instant(1)?);
    Ok(first.zip(last).map(|(first, last)| (first, last + TimeDelta::microseconds(1))))
}

/// A condition on the start of a call.
pub(crate) fn started(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let instant = |at: DateTime<Utc>| at.format("TIMESTAMP '%Y-%m-%dT%H:%M:%S%.6f'").to_string();
    format!("start_at >= {} AND start_at < {}", instant(from), instant(to))
}

fn columns(provider: Provider) -> String {
    let level = provider.as_str();
    // What a balance paid is part of the price; only customers have one.
    let (covered, free_seconds) = match provider {
        Provider::Customer => (" + coalesce(free_cash, 0)", "free_seconds"),
        Provider::Reseller => ("", "reseller_free_seconds"),
        Provider::Carrier => ("", "carrier_free_seconds"),
    };
    format!(
        "SELECT {level}_account, {level}_currency, {level}_cost{covered}, coalesce(source_number, source_user), \
         coalesce(destination_number, destination_user), start_at, duration_seconds, coalesce({free_seconds}, 0) FROM calls"
    )
}

fn conditions(selection: &Selection) -> String {
    let level = selection.provider.as_str();
    let mut sql = format!("WHERE answered AND {level}_account IS NOT NULL");
    if let Some(account) = selection.account {
        sql += &format!(" AND {level}_account = {account}");
    }
    if !selection.versions.is_empty() {
        let ids: Vec<String> = selection.versions.iter().map(ToString::to_string).collect();
        sql += &format!(" AND {level}_tariff_version IN ({})", ids.join(", "));
    }
    sql
}

/// Prices rows of [`columns`].
fn take<'p>(
    rows: &[Vec<Option<String>>],
    tariff: &Tariff,
    serves: &impl Fn(&str, DateTime<Utc>) -> Option<&'p PortedNumber>,
    comparison: &mut Comparison,
) -> anyhow::Result<()> {
    let (mut before, mut asked) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let cell = |idx: usize| row.get(idx).and_then(Option::as_deref).unwrap_or_default();
        let account = AccountId(cell(0).parse().context("account")?);
        if cell(1).parse::<Currency>().context("currency")? != tariff.profile().currency {
            comparison.other_currency += 1;
            continue;
        }
        if cell(7) != "0" {
            comparison.with_free_time += 1;
            continue;
        }
        let was: Decimal = cell(2).parse().context("cost")?;
        let start: NaiveDateTime = cell(5).parse().context("start_at")?;
        let seconds: Decimal = cell(6).parse().context("duration_seconds")?;
        let duration_us = u64::try_from(seconds * Decimal::from(1_000_000)).context("duration_seconds")?;
        before.push((account, was));
        let (destination, start) = (cell(4).trim_start_matches('+'), start.and_utc());
        let call = CallToPrice {
            ported: serves(destination, start),
            source: cell(3).trim_start_matches('+'),
            destination,
            direction: Direction::Out,
            start,
            duration_us,
        };
        asked.push((tariff, call));
    }
    let mut failed = None;
    quote_each(&asked, |place, quoted| {
        let (account, was) = before[place];
        let compared = comparison.accounts.entry(account).or_default();
        compared.calls += 1;
        match quoted {
            Ok(quote) => {
                compared.was += was;
                compared.would_be += model::from_micros(quote.cost_micros);
            }
            Err(RatingError::NoRate { .. }) => compared.unpriced += 1,
            Err(why) => failed = failed.take().or(Some(why)),
        }
    });
    failed.map_or(Ok(()), |why| Err(why.into()))
}
