//! `tollbook rate`: the tariff workbench. Prices a file of calls; needs no installation.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use rating::workbench::{RatedCall, TariffDir, TariffIds, rate_calls};

use crate::failure::UserError;

/// Prices `calls` by the tariff in `tariff` into `out`.
pub(crate) fn rate(tariff: &Path, calls: &Path, out: &Path, explain: bool) -> anyhow::Result<()> {
    let dir = TariffDir::read(tariff, TariffIds::default())
        .map_err(|why| UserError::new(format!("{}: {why}", tariff.display()), ""))?;
    let input = File::open(calls).map_err(|why| {
        UserError::new(format!("{}: {why}", calls.display()), "name a file of calls that is there")
    })?;
    // Written beside and renamed, so that a run that fails leaves an earlier result alone.
    let mut partial = out.as_os_str().to_owned();
    partial.push(".part");
    let partial = Path::new(&partial);
    let output = File::create(partial).map_err(|why| {
        UserError::new(format!("{}: {why}", out.display()), "choose a place that can be written")
    })?;
    let mut output = BufWriter::new(output);
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} calls, {per_sec}, {eta} left")?);
    let zone = dir.version.profile.timezone;
    let summary = rate_calls(&dir, BufReader::new(input), &mut output, |call: RatedCall<'_>| {
        bar.set_length(call.total as u64);
        bar.set_position(call.done as u64);
        if explain {
            bar.suspend(|| match call.outcome {
                Ok(charge) => print!("call {}\n{}", call.id, rating::explain(charge, zone)),
                Err(why) => println!("call {}\n  {why}", call.id),
            });
        }
    });
    bar.finish_and_clear();
    let summary = summary.map_err(|why| {
        let _ = std::fs::remove_file(partial);
        UserError::new(why.to_string(), "")
    })?;
    output.flush().context("write the priced calls")?;
    std::fs::rename(partial, out).with_context(|| format!("put {} into place", out.display()))?;
    println!(
        "{} calls, {} without a price, {} {} in all",
        summary.calls, summary.failed, summary.cost, dir.version.profile.currency
    );
    Ok(())
}
