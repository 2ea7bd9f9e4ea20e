//! Records of the event log in a file for each topic: lane by lane, each record behind its length, pressed by zstd. Which lanes and
//! offsets they are of is in the list of the backup.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use bus::{Bus, EmbeddedBus, EmbeddedConfig, Entry, PAYLOAD_BYTES_MAX};
use model::Topic;

use super::{LOG, LogSpans, TopicSpan, refused};
use crate::failure::UserError;

/// Records of one lane read, or of several written, at once.
const BATCH_RECORDS: usize = 4_096;
/// And bytes written at once.
const BATCH_BYTES: usize = 8 << 20;

/// zstd's own usual level.
const LEVEL: i32 = 3;

/// What the log holds now.
pub(super) async fn spans(bus: &dyn Bus) -> Result<LogSpans, bus::BusError> {
    let mut topics = Vec::new();
    for topic in Topic::ALL {
        let mut lanes = Vec::new();
        for partition in 0..bus.partitions() {
            lanes.push(bus.range(*topic, partition).await?);
        }
        topics.push(TopicSpan { topic: topic.as_str().to_owned(), lanes });
    }
    Ok(LogSpans { partitions: bus.partitions(), topics })
}

/// The file of a topic, relative to the backup.
pub(super) fn file_of(topic: Topic) -> PathBuf {
    Path::new(LOG).join(format!("{topic}.zst"))
}

/// Writes the records of one topic.
pub(super) async fn write(bus: &dyn Bus, topic: Topic, span: &TopicSpan, file: &Path) -> anyhow::Result<()> {
    let unwritable = |why: std::io::Error| refused("write", file, &why);
    let made = File::create_new(file).map_err(unwritable)?;
    let mut out = zstd::Encoder::new(made, LEVEL).map_err(unwritable)?;
    for (partition, &(first, end)) in (0_u32..).zip(&span.lanes) {
        let mut next = first;
        while next < end {
            let left = usize::try_from(end - next).unwrap_or(usize::MAX);
            let batch = bus.read(topic, partition, next, BATCH_RECORDS.min(left)).await?;
            anyhow::ensure!(
                batch.next > next,
                "the event log ends at {topic}/{partition} {next} instead of {end}"
            );
            for stored in &batch.records {
                let length = u32::try_from(stored.payload.len()).unwrap_or(u32::MAX);
                out.write_all(&length.to_be_bytes()).map_err(unwritable)?;
                out.write_all(&stored.payload).map_err(unwritable)?;
            }
            next = batch.next;
        }
    }
    out.finish().map_err(unwritable)?;
    Ok(())
}

/// Makes an event log of what was written in `backup`, whose lanes begin and end where they did.
pub(super) async fn restore(
    backup: &Path,
    spans: &LogSpans,
    dir: &Path,
    config: EmbeddedConfig,
) -> anyhow::Result<()> {
    let of = |topic: Topic| spans.topics.iter().find(|span| span.topic == topic.as_str());
    let first = |topic: Topic, partition: u32| {
        of(topic).and_then(|span| span.lanes.get(partition as usize)).map_or(0, |lane| lane.0)
    };
    let bus =
        EmbeddedBus::create_at(dir, config, first).map_err(|why| UserError::new(why.to_string(), ""))?;
    for topic in Topic::ALL {
        let Some(span) = of(*topic) else { continue };
        let file = backup.join(file_of(*topic));
        let unreadable = |why: std::io::Error| refused("read", &file, &why);
        let pressed = File::open(&file).map_err(unreadable)?;
        let mut records = BufReader::new(zstd::Decoder::new(pressed).map_err(unreadable)?);
        for (partition, &(first, end)) in (0_u32..).zip(&span.lanes) {
            let mut next = first;
            while next < end {
                let mut entries = Vec::new();
                let mut bytes = 0;
                while next < end && entries.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
                    let payload = read_one(&mut records).map_err(unreadable)?;
                    bytes += payload.len();
                    next += 1;
                    entries.push(Entry { topic: *topic, partition, payload });
                }
                let offsets = bus.append(entries).await?;
                anyhow::ensure!(
                    offsets.last().is_some_and(|last| last + 1 == next),
                    "{topic}/{partition} has other offsets than it had"
                );
            }
        }
        if records.read(&mut [0]).map_err(unreadable)? > 0 {
            anyhow::bail!("{}: holds more records than the backup's list says", file.display());
        }
    }
    bus.close();
    Ok(())
}

fn read_one(records: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    records.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err(std::io::Error::other(format!("a record of {length} bytes")));
    }
    let mut payload = vec![0; length];
    records.read_exact(&mut payload)?;
    Ok(payload)
}
