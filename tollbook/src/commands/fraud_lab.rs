//! Rules, simulated fraud and its score, on the command line.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use fraud::rule::{Rule, presets};
use fraud::simulate::{Score, Simulation, Size, Strength};

use super::print_table;
use crate::cli::{SimulateArgs, SimulateFormat};
use crate::failure::UserError;
use crate::fraud_watch::{does, read_rules};

/// Attacks of each kind in a simulation.
const ATTACKS_EACH: usize = 2;

/// Lists rules.
pub(super) fn rules(rules: &[Rule]) {
    print_table(
        &["rule", "version", "counts by", "window", "does", "when it fires"],
        rules.iter().map(|rule| {
            vec![
                rule.name.clone(),
                rule.version.to_string(),
                rule.key.to_string(),
                rule.window.to_string(),
                does(rule),
                rule.title.clone(),
            ]
        }),
        "no rules",
    );
}

/// The simulation that is asked for.
pub(super) fn simulation_of(args: &SimulateArgs) -> Result<Simulation, UserError> {
    if !(1..args.days - 1).contains(&args.quiet_days) {
        return Err(UserError::new(
            format!(
                "--quiet-days {}: fraud needs two days of the {} to happen in",
                args.quiet_days, args.days
            ),
            "leave at least two days after the quiet ones",
        ));
    }
    let size = Size {
        customers: args.customers,
        days: args.days,
        quiet_days: args.quiet_days,
        attacks_each: ATTACKS_EACH,
    };
    Ok(Simulation::new(args.seed, size))
}

/// Writes a simulation's calls or events to a file.
pub(super) fn simulate(args: &SimulateArgs, out: &Path) -> anyhow::Result<()> {
    let simulation = simulation_of(args)?;
    let n = match args.format {
        SimulateFormat::Calls => write_calls(&simulation, out)?,
        SimulateFormat::Events => write_events(&simulation, out)?,
    };
    if let Some(file) = &args.labels {
        write_labels(&simulation, file)?;
    }
    println!("{n} written to {}, {} attacks among them", out.display(), simulation.attacks().len());
    Ok(())
}

fn create(file: &Path) -> Result<BufWriter<File>, UserError> {
    File::create(file).map(BufWriter::new).map_err(|why| {
        UserError::new(format!("{}: {why}", file.display()), "name a file that can be written")
    })
}

fn write_calls(simulation: &Simulation, file: &Path) -> anyhow::Result<String> {
    let writing = || format!("write {}", file.display());
    let mut out = create(file)?;
    writeln!(out, "id,account,source,destination,start,duration_seconds").with_context(writing)?;
    let mut n = 0_u64;
    for day in 0..simulation.days() {
        for call in simulation.calls_of(day) {
            n += 1;
            let source = call.source.map(|number| number.to_string()).unwrap_or_default();
            let start = call.start.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            writeln!(
                out,
                "{n},account-{},{source},{},{start},{}",
                call.account, call.destination, call.seconds
            )
            .with_context(writing)?;
        }
    }
    out.flush().with_context(writing)?;
    Ok(format!("{n} calls"))
}

fn write_events(simulation: &Simulation, file: &Path) -> anyhow::Result<String> {
    let out = Rc::new(RefCell::new((create(file)?, 0_u64, None::<anyhow::Error>)));
    let tap = Rc::clone(&out);
    simulation.events(Box::new(move |event| {
        let mut tap = tap.borrow_mut();
        let (out, n, failed) = &mut *tap;
        if failed.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut *out, event)
            .map_err(anyhow::Error::from)
            .and_then(|()| writeln!(out).map_err(anyhow::Error::from));
        match written {
            Ok(()) => *n += 1,
            Err(why) => *failed = Some(why),
        }
    }));
    let mut out = out.borrow_mut();
    let (out, n, failed) = &mut *out;
    if let Some(why) = failed.take() {
        return Err(why.context(format!("write {}", file.display())));
    }
    out.flush().with_context(|| format!("write {}", file.display()))?;
    Ok(format!("{n} events"))
}

/// Writes who is attacked, how and when.
pub(super) fn write_labels(simulation: &Simulation, file: &Path) -> anyhow::Result<()> {
    let writing = || format!("write {}", file.display());
    let mut out = create(file)?;
    writeln!(out, "pattern,strength,account,begins,ends").with_context(writing)?;
    for attack in simulation.attacks() {
        let (begins, ends) = simulation.span_of(attack);
        let strength = match attack.strength {
            Strength::Strong => "strong",
            Strength::Slow => "slow",
        };
        writeln!(
            out,
            "{},{strength},account-{},{},{}",
            attack.pattern.as_str(),
            attack.account,
            begins.to_rfc3339(),
            ends.to_rfc3339()
        )
        .with_context(writing)?;
    }
    out.flush().with_context(writing)?;
    Ok(())
}

/// Prints the score.
pub(super) fn score(seeds: &[u64], file: Option<&Path>) -> anyhow::Result<()> {
    let rules = match file {
        Some(file) => read_rules(file)?,
        None => presets(),
    };
    println!("{}", Score::of(&rules, seeds, Size::PUBLISHED).table());
    Ok(())
}
