//! Whether ledger and lake have all that was made until now: an invoice made before that leaves calls out.

use std::time::Duration;

use bus::Bus;
use model::Topic;
use tokio::time::{Instant, sleep};

use crate::system::Consumer;

/// How long records that were made before may take to come through.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What is still on its way after `patience`, with its counts and in words; `None`: all that was made until now has come through. What is
/// made meanwhile is not waited for, so that a busy house is billed too.
pub(crate) async fn on_its_way(
    bus: &dyn Bus,
    consumers: &[Consumer],
    patience: Duration,
) -> Result<Option<String>, bus::BusError> {
    let deadline = Instant::now() + patience;
    // What one stage makes of a record is read by another, once in each topic at most.
    for _ in Topic::ALL {
        let ends = ends_of(bus, consumers).await?;
        while let Some(behind) = behind(consumers, &ends) {
            if Instant::now() >= deadline {
                return Ok(Some(behind));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(None)
}

/// Where the lanes of each consumer's topic end.
async fn ends_of(bus: &dyn Bus, consumers: &[Consumer]) -> Result<Vec<Vec<u64>>, bus::BusError> {
    let mut ends = Vec::with_capacity(consumers.len());
    for consumer in consumers {
        let mut of_topic = Vec::new();
        for partition in 0..bus.partitions() {
            of_topic.push(bus.range(consumer.topic, partition).await?.1);
        }
        ends.push(of_topic);
    }
    Ok(ends)
}

/// How much is missing up to `ends`; `None`: nothing.
fn behind(consumers: &[Consumer], ends: &[Vec<u64>]) -> Option<String> {
    let mut waiting = Vec::new();
    for (consumer, ends) in consumers.iter().zip(ends) {
        let positions = consumer.progress.borrow().positions.clone();
        let position = |partition| positions.get(partition).copied().unwrap_or_default();
        let n_records: u64 =
            ends.iter().enumerate().map(|(partition, end)| end.saturating_sub(position(partition))).sum();
        if n_records > 0 {
            waiting.push(format!("{n_records} for {}", consumer.name));
        }
    }
    (!waiting.is_empty()).then(|| waiting.join(", "))
}

#[cfg(test)]
mod tests {
    use bus::{EmbeddedBus, EmbeddedConfig, Entry};
    use tokio::sync::watch;

    use super::*;
    use crate::runner::Progress;

    #[tokio::test]
    async fn what_is_made_meanwhile_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { partitions: 1, free_bytes_min: 0, ..EmbeddedConfig::default() };
        let bus = EmbeddedBus::open(dir.path(), config).unwrap();
        let (read, progress) = watch::channel(Progress::default());
        let consumers = [Consumer { name: "ledger", topic: Topic::Cdrs, progress }];
        let append = async || {
            bus.append(vec![Entry { topic: Topic::Cdrs, partition: 0, payload: b"a call".to_vec() }])
                .await
                .unwrap();
        };
        append().await;
        let waiting = on_its_way(&bus, &consumers, Duration::ZERO).await.unwrap();
        assert_eq!(waiting.as_deref(), Some("1 for ledger"));
        // A house in which there is always one more record.
        let busy = async {
            for n_read in 1.. {
                append().await;
                read.send_modify(|progress| progress.positions = vec![n_read]);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            waiting = on_its_way(&bus, &consumers, Duration::from_secs(60)) => assert_eq!(waiting.unwrap(), None),
            () = busy => {}
        }
    }
}
