//! `tollbook rate`: the tariff workbench. Prices a file of calls; needs no installation.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use rating::workbench::{CALLS, Issue, RatedCall, TariffDir, TariffIds, WorkbenchError, rate_calls};

use crate::failure::UserError;
use crate::world_file::of_workbench;

/// Prices `calls` by the tariff in `tariff` into `out`.
pub(crate) fn rate(tariff: &Path, calls: &Path, out: &Path, explain: bool) -> anyhow::Result<()> {
    let dir = TariffDir::read(tariff, TariffIds::default()).map_err(|why| of_workbench(why, tariff))?;
    let input = File::open(calls).map_err(|why| {
        UserError::new(format!("{}: {why}", calls.display()), "name a file of calls that is there")
    })?;
    if out.is_dir() {
        return Err(UserError::new(format!("--out {}: is a directory", out.display()), "name a file").into());
    }
    if let (Ok(calls), Ok(out)) = (calls.canonicalize(), out.canonicalize())
        && calls == out
    {
        return Err(UserError::new(
            format!("--out {}: is the file of the calls, which would be lost", out.display()),
            "name another file",
        )
        .into());
    }
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
                Ok(charges) => {
                    println!("call {}", call.id);
                    charges.iter().for_each(|charge| print!("{}", rating::explain(charge, zone)));
                }
                Err(why) => println!("call {}\n  {why}", call.id),
            });
        }
    });
    bar.finish_and_clear();
    let placed = summary.map_err(|why| of_calls(why, tariff, calls)).and_then(|summary| {
        let unwritable = |why: std::io::Error| {
            UserError::new(
                format!("--out {}: {why}", out.display()),
                "choose a place with room that can be written",
            )
        };
        output.flush().map_err(unwritable)?;
        std::fs::rename(partial, out).map_err(unwritable)?;
        Ok(summary)
    });
    if placed.is_err() {
        let _ = std::fs::remove_file(partial);
    }
    let summary = placed?;
    println!(
        "{} calls, {} without a price, {} {} in all",
        summary.calls, summary.failed, summary.cost, dir.version.profile.currency
    );
    Ok(())
}

/// The calls' issues name the file by what it usually is called; the rest is about the tariff.
fn of_calls(error: WorkbenchError, tariff: &Path, calls: &Path) -> UserError {
    match error {
        WorkbenchError::Input { issues } => {
            let (about_calls, rest): (Vec<Issue>, Vec<Issue>) =
                issues.into_iter().partition(|issue| issue.file == CALLS);
            if !rest.is_empty() {
                return of_workbench(WorkbenchError::Input { issues: rest }, tariff);
            }
            let file = calls.display().to_string();
            let issues = about_calls.into_iter().map(|issue| Issue { file: file.clone(), ..issue }).collect();
            UserError::new(WorkbenchError::Input { issues }.to_string(), "")
        }
        output @ WorkbenchError::Output { .. } => UserError::new(output.to_string(), ""),
    }
}
