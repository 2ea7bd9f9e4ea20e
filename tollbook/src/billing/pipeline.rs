//! Whether ledger and lake have all that was made until now: an invoice made before that leaves calls out.

use std::time::Duration;

use bus::Bus;
use model::Topic;
use store::{PipelineAnswer, Store, StoreError};
use tokio::time::{Instant, sleep};

use crate::runner::Rooms;
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

/// How often a running house looks for questions of commands.
pub(crate) const QUESTIONS_INTERVAL: Duration = Duration::from_millis(250);

/// So long a command waits for a running house to see its question: some times as long as that takes.
const SEEN_WITHIN: Duration = Duration::from_millis(1_500);

/// In a running house: answers the commands that want to know what is on its way.
pub(crate) async fn answer_questions(rooms: &Rooms, consumers: &[Consumer]) -> anyhow::Result<()> {
    for question in rooms.store.pipeline_see(rooms.clock.utc()).await? {
        let waiting = on_its_way(&*rooms.bus, consumers, PATIENCE).await?.unwrap_or_default();
        rooms.store.pipeline_answer(question, &waiting, rooms.clock.utc()).await?;
    }
    Ok(())
}

/// What a running house says to a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HouseSays {
    /// All that was made until now has come through.
    AllThere,
    /// This is still on its way.
    Waiting(String),
    /// Nothing: none is running, as far as can be told.
    Nothing,
}

/// In a command: asks the running house what is on its way, if there is one.
pub(crate) async fn ask_house(
    store: &Store,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<HouseSays, StoreError> {
    let question = store.pipeline_ask(now).await?;
    let asked = Instant::now();
    loop {
        match store.pipeline_answer_to(question).await? {
            PipelineAnswer::Answered(waiting) if waiting.is_empty() => return Ok(HouseSays::AllThere),
            PipelineAnswer::Answered(waiting) => return Ok(HouseSays::Waiting(waiting)),
            PipelineAnswer::Unseen if asked.elapsed() > SEEN_WITHIN => return Ok(HouseSays::Nothing),
            PipelineAnswer::Seen if asked.elapsed() > PATIENCE * 3 => {
                return Ok(HouseSays::Waiting("it has not answered".to_owned()));
            }
            PipelineAnswer::Unseen | PipelineAnswer::Seen => sleep(PAUSE).await,
        }
    }
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

    #[tokio::test]
    async fn command_hears_what_a_running_house_waits_for_and_of_none_that_nothing_runs() {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { partitions: 1, free_bytes_min: 0, ..EmbeddedConfig::default() };
        let bus = std::sync::Arc::new(EmbeddedBus::open(&dir.path().join("bus"), config).unwrap());
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let clock = crate::clock::Clock::start();
        let directory = crate::directory::DirectoryFeed::load(store.clone(), clock.clone()).await.unwrap();
        let rooms = Rooms { bus: bus.clone(), store: store.clone(), clock: clock.clone(), directory };
        assert_eq!(ask_house(&store, clock.utc()).await.unwrap(), HouseSays::Nothing);
        let (read, progress) = watch::channel(Progress::default());
        let consumers = [Consumer { name: "ledger", topic: Topic::Cdrs, progress }];
        bus.append(vec![Entry { topic: Topic::Cdrs, partition: 0, payload: b"a call".to_vec() }])
            .await
            .unwrap();
        let answered = async |expected: HouseSays| {
            let asked = ask_house(&store, clock.utc());
            let house = async {
                loop {
                    answer_questions(&rooms, &consumers).await.unwrap();
                    sleep(PAUSE).await;
                }
            };
            tokio::select! {
                said = asked => assert_eq!(said.unwrap(), expected),
                () = house => {}
            }
        };
        answered(HouseSays::Waiting("1 for ledger".to_owned())).await;
        read.send_modify(|progress| progress.positions = vec![1]);
        answered(HouseSays::AllThere).await;
    }
}
