//! `tollbook simulate`: real calls of the past by another tariff, with winners and losers. Changes nothing.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lake::Lake;
use model::{Directory, PortedNumber, Provider};
use rating::Tariff;
use rating::workbench::{TariffDir, TariffIds};
use rust_decimal::Decimal;

use crate::clock::Clock;
use crate::commands::{account_named, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::past_calls::{Compared, Comparison, Selection, compare};
use crate::system::{of_lake, open_store};
use crate::world_file::of_workbench;

/// Of `tollbook simulate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TariffTrial {
    /// The other tariff: a directory with profile.toml and fees.csv.
    #[arg(long, value_name = "DIR")]
    pub(crate) tariff: PathBuf,
    /// Calls of a month, such as 2026-10, in the tariff's zone.
    #[arg(long, value_name = "YYYY-MM", conflicts_with = "days")]
    pub(crate) period: Option<String>,
    /// Calls of the last days.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub(crate) days: u32,
    /// Whose price is compared: customer, reseller or carrier.
    #[arg(long, default_value = "customer")]
    pub(crate) level: Provider,
    /// Only calls that this profile priced.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) profile: Option<String>,
    /// Only this account.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) account: Option<String>,
}

/// Prices and prints.
pub(crate) async fn simulate(config: &Config, args: &TariffTrial) -> anyhow::Result<()> {
    let dir =
        TariffDir::read(&args.tariff, TariffIds::default()).map_err(|why| of_workbench(why, &args.tariff))?;
    let tariff = dir.compile().map_err(|why| of_workbench(why, &args.tariff))?;
    if dir.version.interval_price.is_some() {
        let why = "a trial compares calls one by one, and interval_price prices what an account uses in all";
        return Err(UserError::new(why, "price a file of calls with `tollbook rate`").into());
    }
    let directory = open_store(config).await?.directory().await?;
    let (from, to) = window(args, &dir, Clock::start().utc())?;
    let selection = Selection {
        from,
        to,
        provider: args.level,
        account: args
            .account
            .as_deref()
            .map(|handle| account_named(&directory, handle))
            .transpose()?
            .map(|account| account.id),
        versions: match &args.profile {
            Some(handle) => versions_of(&directory, handle)?,
            None => Vec::new(),
        },
    };
    let lake = Lake::open_to_ask(&config.lake).map_err(of_lake)?;
    let comparison = compared(&lake, &selection, &tariff, &directory.ported_numbers).await?;
    print(&comparison, &directory, &args.tariff, dir.version.profile.currency.as_str());
    Ok(())
}

/// Compares, and shows how far it is.
async fn compared(
    lake: &Lake,
    selection: &Selection,
    tariff: &Tariff,
    ported: &[PortedNumber],
) -> anyhow::Result<Comparison> {
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{bar:30} {percent} %, {eta} left")?);
    let mut watch = |n_done: usize, n_stretches: usize, _: &Comparison| {
        bar.set_length(n_stretches as u64);
        bar.set_position(n_done as u64);
    };
    let comparison = compare(lake, selection, tariff, ported, &mut watch).await;
    bar.finish_and_clear();
    comparison
}

/// The month in the tariff's zone, or the days up to now.
fn window(
    args: &TariffTrial,
    dir: &TariffDir,
    now: DateTime<Utc>,
) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
    match &args.period {
        Some(month) => {
            let period = invoicing::Period::month(month, dir.version.profile.timezone)
                .map_err(|why| UserError::new(format!("--period: {why}"), ""))?;
            Ok((period.start, period.end))
        }
        None => Ok((now - TimeDelta::days(i64::from(args.days)), now)),
    }
}

/// Ids of all versions of a profile.
pub(crate) fn versions_of(
    directory: &Directory,
    handle: &str,
) -> Result<Vec<model::ProfileVersionId>, UserError> {
    let of_profile = directory.tariffs.iter().filter(|version| version.profile.handle == handle);
    let ids: Vec<_> = of_profile.map(|version| version.id).collect();
    if ids.is_empty() {
        let known = directory.tariffs.iter().map(|version| version.profile.handle.as_str());
        let remedy = super::nearest(handle, known).map(|known| format!("did you mean {known}?"));
        return Err(UserError::new(format!("there is no profile {handle:?}"), remedy.unwrap_or_default()));
    }
    Ok(ids)
}

fn print(comparison: &Comparison, directory: &Directory, tariff: &Path, currency: &str) {
    let accounts = comparison.ordered();
    print_table(
        &["account", "calls", "paid", "would pay", "difference", "%", "without a fee"],
        accounts.iter().map(|(id, compared)| {
            let handle = directory.accounts.iter().find(|account| account.id == *id);
            vec![
                handle.map_or_else(|| id.to_string(), |account| account.handle.clone()),
                compared.calls.to_string(),
                compared.was.normalize().to_string(),
                compared.would_be.normalize().to_string(),
                signed(compared.difference()),
                percent(compared),
                compared.unpriced.to_string(),
            ]
        }),
        "no call was found",
    );
    let total = comparison.total();
    let n =
        |is: fn(Decimal) -> bool| accounts.iter().filter(|(_, compared)| is(compared.difference())).count();
    println!(
        "{} calls of {} accounts: {} {currency} as they were priced, {} by {} ({}); {} accounts would pay less, {} more, {} the \
         same",
        total.calls,
        accounts.len(),
        total.was.normalize(),
        total.would_be.normalize(),
        tariff.display(),
        signed(total.difference()),
        n(|difference| difference < Decimal::ZERO),
        n(|difference| difference > Decimal::ZERO),
        n(|difference| difference.is_zero()),
    );
    if total.unpriced > 0 {
        println!("{} calls have no fee there and are in neither sum", total.unpriced);
    }
    if comparison.other_currency > 0 {
        println!("{} calls were priced in another currency and are left out", comparison.other_currency);
    }
    if comparison.with_free_time > 0 {
        println!("{} calls used free time of a package and are left out", comparison.with_free_time);
    }
}

/// With its sign, so that a column of differences reads at once.
pub(crate) fn signed(amount: Decimal) -> String {
    let amount = amount.normalize();
    if amount > Decimal::ZERO { format!("+{amount}") } else { amount.to_string() }
}

fn percent(compared: &Compared) -> String {
    match (compared.difference() * Decimal::ONE_HUNDRED).checked_div(compared.was) {
        Some(percent) => signed(percent.round_dp(1)),
        None => String::new(),
    }
}
