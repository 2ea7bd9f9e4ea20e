//! `tollbook import fees`: a price list becomes the next version of a profile, once somebody has seen what it changes.
//!
//! In: a fee file of ours or the reference's, or a carrier's own list with a mapping. Out: the differences, what they do to the calls of
//! the last days, and after a yes one new version.

use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use lake::Lake;
use model::{Directory, Fee, TariffVersion};
use rating::workbench::{Mapping, read_fees, read_mapped_fees, text_rows};
use rating::{FeeChange, FeeDiff, Tariff, fee_diff};
use store::Store;

use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::print_table;
use crate::commands::simulate::{signed, versions_of};
use crate::config::Config;
use crate::failure::UserError;
use crate::fee_import::{self, apply, changes_of, impacts, next_version};
use crate::system::open_store;
use crate::workbook;
use crate::world_file::of_file;

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
    let (version, tariff) = next_version(base, listed, valid_from, args.keep)
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
    let n_fees = version.fees.len();
    let said = (args.file.as_path(), COMMAND_LINE, now);
    let report = apply(&store, &directory, (base.id, version), args.correct_past, said).await?;
    if report.is_changed {
        println!("{n_fees} fees apply from {}; revision {}", valid_from.format("%F %T UTC"), report.revision);
    } else {
        println!("these fees apply already");
    }
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

fn print_diff(diff: &FeeDiff<'_>) {
    let of =
        |change: FeeChange| diff.differences.iter().filter(move |difference| difference.change == change);
    for change in FeeChange::ALL {
        println!("  {:<20}{:>8}", change.as_str(), of(change).count());
    }
    println!("  {:<20}{:>8}", "as they were", diff.n_same);
    println!("  {:<20}{:>8}", "in the future", diff.n_future);
    for kind in changes_of(diff, SHOWN_MAX) {
        if kind.n_fees == 0 {
            continue;
        }
        println!("{}, three minutes on-peak and off-peak:", kind.change);
        let n_shown = kind.fees.len();
        print_table(
            &["destination", "source", "zone", "before", "after"],
            kind.fees
                .into_iter()
                .map(|fee| vec![fee.destination, fee.source, fee.zone, fee.before, fee.after]),
            "",
        );
        if kind.n_fees > n_shown {
            println!("  and {} more", kind.n_fees - n_shown);
        }
    }
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
    for impact in impacts(&lake, directory, (version, tariff), days, now).await? {
        let total = impact.total;
        println!(
            "{} calls of the last {days} days, {} side: {} {currency} then, {} {currency} by the new fees; margin {} {currency}",
            total.calls,
            impact.provider,
            total.was.normalize(),
            total.would_be.normalize(),
            signed(impact.margin),
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

/// Sends in again what waited for a tariff.
pub(crate) async fn catch_up(store: &Store, now: DateTime<Utc>) -> anyhow::Result<()> {
    let n_sent = fee_import::catch_up(store, COMMAND_LINE, now).await?;
    if n_sent > 0 {
        println!(
            "{n_sent} suspended calls waited for a fee and are sent in again; those that still have none go back to suspense"
        );
    }
    Ok(())
}
