//! How fast the log takes and gives records on this machine: `cargo run --release -p bus --example throughput`; on Kafka with
//! `--features kafka` and the brokers in `KAFKA_URL=kafka://host:9092`.
//!
//! Records of 300 bytes over four partitions. Each figure is one run of `SECONDS` (default 3); an append returns when
//! its records are durable.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    reason = "a measurement"
)]
#![allow(clippy::cast_precision_loss, reason = "a measurement")]

use std::error::Error;
use std::time::{Duration, Instant};

use bus::{Bus, EmbeddedBus, EmbeddedConfig, Entry};
use futures::future::try_join_all;
use model::Topic;

const RECORD_BYTES: usize = 300;
const PARTITIONS: u32 = 4;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::var("SECONDS").ok().map_or(Ok(3), |text| text.parse())?;
    println!("{RECORD_BYTES}-byte records, {PARTITIONS} partitions, {seconds} s a run");
    println!(
        "{:>10} {:>10} {:>14} {:>14} {:>14}",
        "appenders", "batch", "appends/s", "records/s", "median ms"
    );
    for appenders in [1, 16, 64] {
        for batch in [1, 64, 1000] {
            run(appenders, batch, Duration::from_secs(seconds)).await?;
        }
    }
    Ok(())
}

/// A fresh log; with what has to outlive it.
async fn fresh() -> Result<(Box<dyn Bus>, tempfile::TempDir), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    #[cfg(feature = "kafka")]
    if let Ok(url) = std::env::var("KAFKA_URL") {
        let name = dir.path().file_name().unwrap_or_default().to_string_lossy().replace('.', "");
        let config = bus::KafkaConfig { partitions: PARTITIONS, topic_prefix: name, ..Default::default() };
        return Ok((Box::new(bus::KafkaBus::open(&url, config).await?), dir));
    }
    let config = EmbeddedConfig { partitions: PARTITIONS, ..EmbeddedConfig::default() };
    Ok((Box::new(EmbeddedBus::open(dir.path(), config)?), dir))
}

async fn run(appenders: u32, batch: u32, span: Duration) -> Result<(), Box<dyn Error>> {
    let (bus, dir) = fresh().await?;
    let begun = Instant::now();
    let appender = |appender: u32| {
        let bus = &bus;
        async move {
            let mut latencies = Vec::new();
            while begun.elapsed() < span {
                let entries = (0..batch).map(|idx| Entry {
                    topic: Topic::Cdrs,
                    partition: (appender + idx) % PARTITIONS,
                    payload: payload(idx),
                });
                let entries = entries.collect();
                let from = Instant::now();
                bus.append(entries).await?;
                latencies.push(from.elapsed());
            }
            Ok::<_, bus::BusError>(latencies)
        }
    };
    let latencies = try_join_all((0..appenders).map(appender)).await?;
    let elapsed = begun.elapsed().as_secs_f64();
    let mut latencies: Vec<Duration> = latencies.into_iter().flatten().collect();
    latencies.sort();
    let appends = latencies.len() as f64;
    println!(
        "{appenders:>10} {batch:>10} {:>14.0} {:>14.0} {:>14.2}",
        appends / elapsed,
        appends * f64::from(batch) / elapsed,
        latencies[latencies.len() / 2].as_secs_f64() * 1000.0,
    );
    if (appenders, batch) == (1, 1000) {
        let begun = Instant::now();
        let mut n_read = 0;
        for partition in 0..PARTITIONS {
            let mut position = 0;
            loop {
                let batch = bus.read(Topic::Cdrs, partition, position, 1000).await?;
                if batch.records.is_empty() {
                    break;
                }
                n_read += batch.records.len();
                position = batch.next;
            }
        }
        let rate = n_read as f64 / begun.elapsed().as_secs_f64();
        println!("{:>10} {:>10} {:>14} {rate:>14.0}", "read back", 1000, "");
        drop(bus);
        if std::env::var_os("KAFKA_URL").is_none() {
            let config = EmbeddedConfig { partitions: PARTITIONS, ..EmbeddedConfig::default() };
            let begun = Instant::now();
            EmbeddedBus::open(dir.path(), config)?.close();
            println!("{:>10} {:>54.0} ms", "reopen", begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(())
}

/// Differs from record to record, compresses about as well as a CDR.
fn payload(seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    while bytes.len() < RECORD_BYTES {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bytes.extend_from_slice(&x.to_le_bytes());
        bytes.extend_from_slice(b"call");
    }
    bytes.truncate(RECORD_BYTES);
    bytes
}
