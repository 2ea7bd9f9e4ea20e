//! `tollbook replay`: makes the CDRs of a day once more, from the raw events of the event log, and compares them byte by byte with
//! those that were made then.
//!
//! In: the topic of call events from its oldest kept record, through fresh mediators that write nothing. Out: the records of the day in a
//! scratch directory, and whether they are the ones on the topic of CDRs, each by its origin. The installation must not be
//! running, and nothing of it is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use bus::Bus;
use chrono::NaiveDate;
use mediator::Mediator;
use model::{Body, Cdr, Effect, Effects, Origin, Record, Stage, StageInput, Topic};
use store::Store;

use crate::config::Config;
use crate::failure::UserError;
use crate::runner::{Watermarks, decode, entry, is_for, read_again};
use crate::system::{open_bus, open_store};

/// Records read at once from a partition.
const READ_MAX: usize = 4_096;

/// How many of what differs are named.
const NAMED_MAX: usize = 5;

const STAGE: &str = "mediator";

/// By partition and offset of the input and the index of the output.
type Key = (u32, u64, u32);

/// A CDR as it lies on the bus.
struct Made {
    cdr: Cdr,
    bytes: Vec<u8>,
}

/// Rebuilds the CDRs that started on `day` (UTC) into `out`.
pub(crate) async fn replay(config: &Config, day: NaiveDate, out: &Path) -> anyhow::Result<()> {
    let dir = config.bus_dir();
    if !config.bus.is_kafka() && !dir.is_dir() {
        let remedy = "name the installation's own configuration with --config";
        return Err(UserError::new(format!("{}: there is no event log", dir.display()), remedy).into());
    }
    // In use, damaged, missing rights: the log says what to do.
    let bus = open_bus(config).await.map_err(|why| UserError::new(why.to_string(), ""))?;
    let store = open_store(config).await?;
    let positions = positions(&store).await?;
    let was_made = made_then(&*bus, &positions, day).await.context("read the CDRs that were made")?;
    let fresh = made_now(&*bus, config, &store, &positions, day).await.context("replay the events")?;
    let file = write(&fresh, day, out)?;

    let mut differing = Vec::new();
    let mut missing = Vec::new();
    for (key, then) in &was_made {
        match fresh.get(key) {
            Some(now) if now.bytes == then.bytes => {}
            Some(_) => differing.push(name_of(&then.cdr)),
            None => missing.push(name_of(&then.cdr)),
        }
    }
    let extra: Vec<String> = fresh
        .iter()
        .filter(|(key, _)| !was_made.contains_key(key))
        .map(|(_, now)| name_of(&now.cdr))
        .collect();
    println!("{day} (UTC): {} CDRs were made, {} are made from the raw events", was_made.len(), fresh.len());
    println!("  written to {}", file.display());
    for (what, names) in [
        ("come out differently", &differing),
        (
            "do not come out: their first events are no longer in the log, or the mediator's configuration changed",
            &missing,
        ),
        ("come out now and were not made then", &extra),
    ] {
        if !names.is_empty() {
            let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
            println!("  {} {what}, such as {}", names.len(), shown.join(", "));
        }
    }
    if !(differing.is_empty() && missing.is_empty() && extra.is_empty()) {
        anyhow::bail!("the replay of {day} is not what was made");
    }
    println!("byte for byte the same");
    Ok(())
}

fn name_of(cdr: &Cdr) -> String {
    format!("{} revision {}", cdr.id, cdr.revision)
}

fn is_of(cdr: &Cdr, day: NaiveDate) -> bool {
    cdr.start_at.date_naive() == day
}

/// How far the mediator has come in each lane, as committed.
async fn positions(store: &Store) -> anyhow::Result<BTreeMap<u32, u64>> {
    let all = store.lane_positions().await?.into_iter();
    let own = all.filter(|(stage, ..)| stage == STAGE);
    Ok(own.map(|(_, partition, position)| (partition, position)).collect())
}

/// The first copy of each; a replay after a crash appended some twice. Of what was put out before a crash and not committed, nothing: it comes again.
async fn made_then(
    bus: &dyn Bus,
    positions: &BTreeMap<u32, u64>,
    day: NaiveDate,
) -> anyhow::Result<BTreeMap<Key, Made>> {
    let mut made = BTreeMap::new();
    for partition in 0..bus.partitions() {
        let (mut from, end) = bus.range(Topic::Cdrs, partition).await?;
        while from < end {
            let batch = bus.read(Topic::Cdrs, partition, from, READ_MAX).await?;
            for stored in batch.records {
                let Ok(Record { origin: Some(origin), body: Body::Cdr(cdr) }) = decode(&stored.payload)
                else {
                    continue;
                };
                let is_committed =
                    positions.get(&origin.partition).is_some_and(|position| origin.offset < *position);
                if origin.stage == STAGE && is_committed && is_of(&cdr, day) {
                    let key = (origin.partition, origin.offset, origin.index);
                    made.entry(key).or_insert(Made { cdr: *cdr, bytes: stored.payload.to_vec() });
                }
            }
            from = batch.next;
        }
    }
    Ok(made)
}

/// What fresh mediators make of the events: those that the mediator has worked off, but for the ones that were put aside unread.
async fn made_now(
    bus: &dyn Bus,
    config: &Config,
    store: &Store,
    positions: &BTreeMap<u32, u64>,
    day: NaiveDate,
) -> anyhow::Result<BTreeMap<Key, Made>> {
    let poisoned: BTreeSet<(u32, u64)> = store.suspense_poisoned(STAGE).await?.into_iter().collect();
    let mut made = BTreeMap::new();
    for partition in 0..bus.partitions() {
        let mut mediator = Mediator::new(config.mediator.clone());
        let mut watermarks = Watermarks::new(Vec::new());
        let (mut from, _) = bus.range(Topic::Calls, partition).await?;
        let end = positions.get(&partition).copied().unwrap_or_default();
        while from < end {
            let batch = bus.read(Topic::Calls, partition, from, READ_MAX).await?;
            for stored in batch.records.into_iter().take_while(|stored| stored.offset < end) {
                let Ok(record) = decode(&stored.payload) else { continue };
                let origin = record.origin.as_ref();
                if !is_for(STAGE, origin)
                    || !watermarks.admit(origin)
                    || poisoned.contains(&(partition, stored.offset))
                {
                    continue;
                }
                let mut effects = Effects::default();
                let place = (partition, stored.offset);
                mediator
                    .apply(StageInput { partition, offset: stored.offset, body: record.body }, &mut effects);
                if let Some(body) = asked_again(&mut effects) {
                    tell_again(bus, &mut mediator, partition).await?;
                    mediator.apply(StageInput { partition, offset: stored.offset, body }, &mut effects);
                }
                keep(effects, place, bus, day, &mut made);
            }
            // Nobody keeps the state; it must not pile up either.
            mediator.take_changes();
            from = batch.next;
        }
    }
    Ok(made)
}

/// The record that the mediator takes only once it has been told others again.
fn asked_again(effects: &mut Effects) -> Option<Body> {
    let asked = effects.0.pop_if(|effect| matches!(effect, Effect::AskAgain(_)))?;
    if let Effect::AskAgain(body) = asked { Some(*body) } else { None }
}

/// Reads again what the mediator has forgotten of a call.
async fn tell_again(bus: &dyn Bus, mediator: &mut Mediator, partition: u32) -> anyhow::Result<()> {
    let told = read_again(bus, (Topic::Calls, partition), &mediator.wants_again()).await?;
    mediator.hear_again(told).map_err(anyhow::Error::msg)
}

fn keep(
    effects: Effects,
    (partition, offset): (u32, u64),
    bus: &dyn Bus,
    day: NaiveDate,
    made: &mut BTreeMap<Key, Made>,
) {
    let mut index = 0;
    for effect in effects.0 {
        let Effect::Append { topic, key, body } = effect else { continue };
        let at = (partition, offset, index);
        index += 1;
        if let Body::Cdr(cdr) = &*body
            && is_of(cdr, day)
        {
            let cdr = (**cdr).clone();
            let origin = Origin { stage: STAGE.into(), partition, offset, index: at.2 };
            let bytes = entry(topic, key, &Record { origin: Some(origin), body: *body }, bus).payload;
            made.insert(at, Made { cdr, bytes });
        }
    }
}

/// One JSON object a line, in the order in which they were made.
fn write(made: &BTreeMap<Key, Made>, day: NaiveDate, out: &Path) -> anyhow::Result<std::path::PathBuf> {
    let unwritable = |path: &Path, why: std::io::Error| {
        UserError::new(format!("{}: {why}", path.display()), "choose another directory with --out")
    };
    std::fs::create_dir_all(out).map_err(|why| unwritable(out, why))?;
    let file = out.join(format!("cdrs-{day}.jsonl"));
    let mut lines = BufWriter::new(File::create(&file).map_err(|why| unwritable(&file, why))?);
    for record in made.values() {
        serde_json::to_writer(&mut lines, &record.cdr)?;
        lines.write_all(b"\n").map_err(|why| unwritable(&file, why))?;
    }
    lines.flush().map_err(|why| unwritable(&file, why))?;
    Ok(file)
}
