//! `tollbook import fees`: a price list becomes the next version of a profile, once somebody has seen what it changes.
//!
//! In: a fee file of ours or the reference's, or a carrier's own list with a mapping. Out: the differences, what they do to the calls of
//! the last days, and after a yes one new version, in one transaction. Rating goes on with the old one until the new one is
//! compiled, so no call waits.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use lake::Lake;
use model::{Directory, Fee, FeeId, Provider, Retry, TariffVersion};
use rating::workbench::{Mapping, read_fees, read_mapped_fees, text_rows};
use rating::{FeeChange, FeeDiff, FeeDifference, Tariff, compared_prices, fee_diff};
use store::{NewTariff, Store, StoreError, World};

use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::print_table;
use crate::commands::simulate::{signed, versions_of};
use crate::config::Config;
use crate::failure::UserError;
use crate::past_calls::{Selection, compare};
use crate::resubmit;
use crate::system::{of_store, open_store};
use crate::workbook;
use crate::world_file::{fit, of_file};

/// Of `tollbook import fees`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FeesArgs {
    /// The list: fees.csv with our header, the reference's columns without one, or with --mapping a carrier's own CSV, XLSX or
    /// ODS.
    pub(crate) file: PathBuf,
    /// Handle of the profile that gets a new version; all but its fees stays as it is.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) profile: String,
    /// Handle of its tenant, where several have such a profile.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) tenant: Option<String>,
    /// How to read a carrier's own layout; rating/README.md describes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// Prices calls that start at or after this (RFC 3339) [default: now].
    #[arg(long, value_name = "TIME")]
    pub(crate) valid_from: Option<DateTime<Utc>>,
    /// Fees that the list does not name stay; without it they are gone.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Price the calls of so many days by the new fees, to see what they do; 0 is none.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(0..=366))]
    pub(crate) margin_days: u32,
    /// Apply without asking.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Show what would change, change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Allow a time that is over. Calls since then keep their price until they are priced again (`tollbook rerate`).
    #[arg(long)]
    pub(crate) correct_past: bool,
}

/// Changes of one kind that are printed; all of them count.
const SHOWN_MAX: usize = 10;

/// Reads, shows, asks, applies.
pub(crate) async fn import_fees(config: &Config, args: &FeesArgs) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let now = Clock::start().utc();
    let valid_from = args.valid_from.unwrap_or(now);
    let base = base_of(&directory, args, valid_from)?;

    let listed = read(args, base)?;
    let mut version = TariffVersion { valid_from, fees: listed.into(), ..base.clone() };
    if args.keep {
        keep_unlisted(&mut version.fees, &base.fees);
    }
    for (fee, id) in version.fees.iter_mut().zip(0..) {
        fee.id = FeeId(id);
    }
    let tariff = Tariff::compile(&version)
        .map_err(|why| UserError::new(format!("{}: {why}", args.file.display()), ""))?;

    println!(
        "{}: {} fees in force since {}, {} in {}{}",
        base.profile.handle,
        base.fees.len(),
        base.valid_from.format("%F %T UTC"),
        version.fees.len(),
        args.file.display(),
        if args.keep { " and kept" } else { "" },
    );
    let diff = fee_diff(&base.fees, &version.fees, now);
    print_diff(&diff);
    if args.margin_days > 0 {
        print_margin(config, &directory, &version, &tariff, args.margin_days, now).await?;
    }
    if diff.differences.is_empty() {
        println!("nothing to change");
        return Ok(());
    }
    if args.dry_run {
        println!("nothing was changed");
        return Ok(());
    }
    if !args.yes && !is_confirmed(valid_from)? {
        println!("nothing was changed");
        return Ok(());
    }
    apply(&store, &directory, args, version, now).await?;
    catch_up(&store, now).await
}

/// The version that the new one takes everything but the fees from: the one in force when it begins.
pub(crate) fn base_of<'d>(
    directory: &'d Directory,
    args: &FeesArgs,
    valid_from: DateTime<Utc>,
) -> Result<&'d TariffVersion, UserError> {
    let tenant = match &args.tenant {
        None => None,
        Some(handle) => {
            let tenant = directory.tenants.iter().find(|tenant| &tenant.handle == handle);
            Some(tenant.ok_or_else(|| UserError::new(format!("there is no tenant {handle:?}"), ""))?.id)
        }
    };
    let ids = versions_of(directory, &args.profile)?;
    let of_profile: Vec<&TariffVersion> = directory
        .tariffs
        .iter()
        .filter(|version| ids.contains(&version.id) && tenant.is_none_or(|id| id == version.profile.tenant))
        .collect();
    let profiles: HashSet<_> = of_profile.iter().map(|version| version.profile.id).collect();
    if profiles.len() > 1 {
        return Err(UserError::new(
            format!("several tenants have a profile {:?}", args.profile),
            "say which with --tenant",
        ));
    }
    let in_force = of_profile
        .into_iter()
        .filter(|version| version.valid_from <= valid_from)
        .max_by_key(|version| version.valid_from);
    in_force.ok_or_else(|| {
        UserError::new(
            format!("profile {:?} has no version before {}", args.profile, valid_from.to_rfc3339()),
            "import the whole tariff with a world file first",
        )
    })
}

pub(crate) fn read(args: &FeesArgs, base: &TariffVersion) -> Result<Vec<Fee>, UserError> {
    let name = args.file.display().to_string();
    let unreadable = |file: &Path, why: std::io::Error| {
        UserError::new(format!("{}: {why}", file.display()), "name a file that is there")
    };
    let bytes = || std::fs::read(&args.file).map_err(|why| unreadable(&args.file, why));
    let Some(mapping_file) = &args.mapping else {
        if workbook::is_workbook(&args.file) {
            return Err(UserError::new(
                format!("{name}: a workbook needs a mapping that says which columns are what"),
                "give --mapping FILE",
            ));
        }
        let text = String::from_utf8(bytes()?).map_err(|_| {
            UserError::new(format!("{name}: is not UTF-8"), "save it as UTF-8, or give --mapping FILE")
        })?;
        return read_fees(&name, &text, base.fee_match).map_err(of_file);
    };
    let text = std::fs::read_to_string(mapping_file).map_err(|why| unreadable(mapping_file, why))?;
    let mapping = Mapping::read(&mapping_file.display().to_string(), &text).map_err(of_file)?;
    let rows = if workbook::is_workbook(&args.file) {
        workbook::rows(&args.file, mapping.sheet.as_deref())?
    } else {
        text_rows(&name, &bytes()?, &mapping).map_err(of_file)?
    };
    read_mapped_fees(&name, &rows, &mapping, base.fee_match).map_err(of_file)
}

/// Adds the fees of `old` that `fees` does not name; one that it names from a later time on stays until then.
pub(crate) fn keep_unlisted(fees: &mut Vec<Fee>, old: &[Fee]) {
    let key = |fee: &Fee| (fee.direction, fee.match_mode, fee.destination.clone(), fee.source.clone());
    // The earliest of each; one without a beginning comes before all.
    let mut begins = HashMap::new();
    for fee in fees.iter() {
        let begin = begins.entry(key(fee)).or_insert(fee.valid_from);
        *begin = fee.valid_from.min(*begin);
    }
    fees.extend(old.iter().filter_map(|fee| match begins.get(&key(fee)) {
        None => Some(fee.clone()),
        Some(None) => None,
        Some(Some(begin)) => {
            let is_before = fee.valid_from.is_none_or(|from| from < *begin);
            let valid_to = fee.valid_to.map_or(*begin, |to| to.min(*begin));
            is_before.then(|| Fee { valid_to: Some(valid_to), ..fee.clone() })
        }
    }));
}

fn print_diff(diff: &FeeDiff<'_>) {
    let of =
        |change: FeeChange| diff.differences.iter().filter(move |difference| difference.change == change);
    for change in FeeChange::ALL {
        println!("  {:<20}{:>8}", change.as_str(), of(change).count());
    }
    println!("  {:<20}{:>8}", "as they were", diff.n_same);
    println!("  {:<20}{:>8}", "in the future", diff.n_future);
    for change in FeeChange::ALL {
        let mut shown: Vec<_> = of(change).collect();
        // What moves most comes first.
        shown.sort_by_key(|difference| std::cmp::Reverse(moved(difference)));
        if shown.is_empty() {
            continue;
        }
        println!("{}, three minutes on-peak and off-peak:", change.as_str());
        print_table(
            &["destination", "source", "zone", "before", "after"],
            shown.iter().take(SHOWN_MAX).filter_map(|difference| {
                let fee = difference.new.or(difference.old)?;
                let prices = |fee: Option<&Fee>| {
                    fee.map_or_else(String::new, |fee| {
                        let (on, off) = compared_prices(fee);
                        format!("{} / {}", on.round_dp(6).normalize(), off.round_dp(6).normalize())
                    })
                };
                let any = |text: &str| if text.is_empty() { "any".to_owned() } else { text.to_owned() };
                Some(vec![
                    any(&fee.destination),
                    any(&fee.source),
                    format!("{} {}", fee.zone, fee.zone_detail).trim_end().to_owned(),
                    prices(difference.old),
                    prices(difference.new),
                ])
            }),
            "",
        );
        if shown.len() > SHOWN_MAX {
            println!("  and {} more", shown.len() - SHOWN_MAX);
        }
    }
}

/// How much dearer or cheaper a call gets, in the state where it is more.
fn moved(difference: &FeeDifference<'_>) -> rust_decimal::Decimal {
    let prices = |fee: Option<&Fee>| fee.map(compared_prices).unwrap_or_default();
    let (old, new) = (prices(difference.old), prices(difference.new));
    (new.0 - old.0).abs().max((new.1 - old.1).abs())
}

/// What the calls of the last days, priced by this profile at whatever level, would have cost.
async fn print_margin(
    config: &Config,
    directory: &Directory,
    version: &TariffVersion,
    tariff: &Tariff,
    days: u32,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let lake = match Lake::open_to_ask(&config.lake) {
        Ok(lake) => lake,
        Err(why) => {
            println!("what it does to real calls is not known: {why}");
            return Ok(());
        }
    };
    let versions: Vec<_> = directory
        .tariffs
        .iter()
        .filter(|there| there.profile.id == version.profile.id)
        .map(|there| there.id)
        .collect();
    for provider in [Provider::Customer, Provider::Reseller, Provider::Carrier] {
        let selection = Selection {
            from: now - TimeDelta::days(i64::from(days)),
            to: now,
            provider,
            account: None,
            versions: versions.clone(),
        };
        let total = compare(&lake, &selection, tariff, &directory.ported_numbers).await?.total();
        if total.calls == 0 {
            continue;
        }
        // What carriers are paid is our cost, what the others pay our income.
        let margin = match provider {
            Provider::Carrier => -total.difference(),
            Provider::Customer | Provider::Reseller => total.difference(),
        };
        println!(
            "{} calls of the last {days} days, {provider} side: {} {currency} then, {} {currency} by the new fees; margin {} {currency}",
            total.calls,
            total.was.normalize(),
            total.would_be.normalize(),
            signed(margin),
            currency = version.profile.currency,
        );
        if total.unpriced > 0 {
            println!("  {} of them have no fee any more and would be suspended", total.unpriced);
        }
    }
    Ok(())
}

fn is_confirmed(valid_from: DateTime<Utc>) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(
            UserError::new("nobody is there to say yes", "add --yes, or --dry-run to look only").into()
        );
    }
    print!("apply from {}? [y/N] ", valid_from.format("%F %T UTC"));
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn apply(
    store: &Store,
    directory: &Directory,
    args: &FeesArgs,
    version: TariffVersion,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let tenant = directory.tenants.iter().find(|tenant| tenant.id == version.profile.tenant);
    let tenant = tenant.map(|tenant| tenant.handle.clone()).unwrap_or_default();
    let valid_from = version.valid_from;
    let n_fees = version.fees.len();
    let mut world = World { tariffs: vec![NewTariff { tenant, version }], ..World::default() };
    if !args.correct_past {
        fit(&mut world, directory, now, &args.file)?;
    }
    let report = store.import(&world, now, COMMAND_LINE).await.map_err(|why| {
        if matches!(why, StoreError::VersionExists { .. }) {
            UserError::new(format!("{}: {why}", args.file.display()), "").into()
        } else {
            of_store(why)
        }
    })?;
    if report.is_changed {
        println!("{n_fees} fees apply from {}; revision {}", valid_from.format("%F %T UTC"), report.revision);
    } else {
        println!("these fees apply already");
    }
    Ok(())
}

/// Sends in again what waited for a tariff: calls that no fee covered, above all.
pub(crate) async fn catch_up(store: &Store, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    for record in store.suspense_list(0, u32::MAX).await? {
        let waits = record.suspended.retry == Retry::AfterTariffChange && record.resubmit_seq.is_none();
        if waits && resubmit::refusal(&record).is_none() {
            ids.push(record.id);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let requested = store.suspense_request(&ids, COMMAND_LINE, now).await?;
    println!(
        "{} suspended calls waited for a fee and are sent in again; those that still have none go back to suspense",
        requested.len()
    );
    Ok(())
}
