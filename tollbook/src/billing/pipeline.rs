//! Whether ledger and lake have all that was made until now: an invoice made before that leaves calls out.

use std::path::Path;
use std::time::Duration;

use bus::Bus;
use model::Topic;
use store::{PipelineAnswer, Process, Store, StoreError};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::error;

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

/// So long it waits where a house is running by other signs: that one may be about to take over from another, or its database is slow.
const SEEN_LATE_WITHIN: Duration = Duration::from_secs(15);

/// In a running house: sees the questions of commands that want to know what is on its way, and answers them apart from that. Those that
/// are asked meanwhile are seen all the same.
pub(crate) async fn see_questions(
    rooms: &Rooms,
    consumers: &[Consumer],
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let questions = rooms.store.pipeline_see(rooms.clock.utc()).await?;
    if questions.is_empty() {
        return Ok(());
    }
    let (rooms, consumers, stop) = (rooms.clone(), consumers.to_vec(), stop.clone());
    tokio::spawn(async move {
        let answered = stop.run_until_cancelled(answer(&rooms, &consumers, &questions)).await;
        if let Some(Err(why)) = answered {
            error!(error = format!("{why:#}"), "a command that asked what is on its way gets no answer");
        }
    });
    Ok(())
}

async fn answer(rooms: &Rooms, consumers: &[Consumer], questions: &[i64]) -> anyhow::Result<()> {
    let waiting = on_its_way(&*rooms.bus, consumers, PATIENCE).await?.unwrap_or_default();
    for &question in questions {
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

/// In a command: asks the running house what is on its way, if there is one. `log_dir` is where a log of its own would be.
pub(crate) async fn ask_house(
    store: &Store,
    log_dir: &Path,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<HouseSays, StoreError> {
    ask_within(SEEN_LATE_WITHIN, store, log_dir, now).await
}

/// As [`ask_house`]; a house that runs by other signs has `late` to see the question.
async fn ask_within(
    late: Duration,
    store: &Store,
    log_dir: &Path,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<HouseSays, StoreError> {
    let (processes, _) = store.processes_and_leases().await?;
    let question = store.pipeline_ask(now).await?;
    let asked = Instant::now();
    loop {
        match store.pipeline_answer_to(question).await? {
            PipelineAnswer::Answered(waiting) if waiting.is_empty() => return Ok(HouseSays::AllThere),
            PipelineAnswer::Answered(waiting) => return Ok(HouseSays::Waiting(waiting)),
            PipelineAnswer::Unseen if asked.elapsed() > SEEN_WITHIN => {
                let is_late = asked.elapsed() > late;
                match signs_of_life(store, log_dir, &processes).await? {
                    Life::None => return Ok(HouseSays::Nothing),
                    Life::Perhaps if is_late => return Ok(HouseSays::Nothing),
                    Life::Sure if is_late => return Ok(HouseSays::Waiting(NO_ANSWER.to_owned())),
                    Life::Perhaps | Life::Sure => sleep(PAUSE * 5).await,
                }
            }
            PipelineAnswer::Seen if asked.elapsed() > PATIENCE * 3 + SEEN_LATE_WITHIN => {
                return Ok(HouseSays::Waiting(NO_ANSWER.to_owned()));
            }
            PipelineAnswer::Unseen | PipelineAnswer::Seen => sleep(PAUSE).await,
        }
    }
}

const NO_ANSWER: &str = "a house is running, but has not answered";

/// Whether a house lives that has not seen a question.
enum Life {
    /// None does.
    None,
    /// One has not taken its leave; it may have died.
    Perhaps,
    /// One has its log open, or has said that it lives.
    Sure,
}

/// `before` are the processes of when the question was asked.
async fn signs_of_life(store: &Store, log_dir: &Path, before: &[Process]) -> Result<Life, StoreError> {
    if bus::EmbeddedBus::is_open_somewhere(log_dir) {
        return Ok(Life::Sure);
    }
    let (processes, _) = store.processes_and_leases().await?;
    let has_not_moved =
        |process: &Process| before.iter().any(|there| there.id == process.id && there.beat == process.beat);
    Ok(match processes.as_slice() {
        [] => Life::None,
        there if there.iter().all(has_not_moved) => Life::Perhaps,
        _ => Life::Sure,
    })
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

    /// A house with one record that its ledger has not read.
    struct House {
        rooms: Rooms,
        consumers: [Consumer; 1],
        read: watch::Sender<Progress>,
        stop: CancellationToken,
        dir: tempfile::TempDir,
    }

    impl House {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let config = EmbeddedConfig { partitions: 1, free_bytes_min: 0, ..EmbeddedConfig::default() };
            let bus = std::sync::Arc::new(EmbeddedBus::open(&dir.path().join("bus"), config).unwrap());
            bus.append(vec![Entry { topic: Topic::Cdrs, partition: 0, payload: b"a call".to_vec() }])
                .await
                .unwrap();
            let store =
                Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
            let clock = crate::clock::Clock::start();
            let directory =
                crate::directory::DirectoryFeed::load(store.clone(), clock.clone()).await.unwrap();
            let (read, progress) = watch::channel(Progress::default());
            let consumers = [Consumer { name: "ledger", topic: Topic::Cdrs, progress }];
            let rooms = Rooms { bus, store, clock, directory };
            Self { rooms, consumers, read, stop: CancellationToken::new(), dir }
        }

        /// What a command hears that takes `log` for the log's directory.
        async fn says(&self, log: &str) -> HouseSays {
            let (store, log_dir) = (&self.rooms.store, self.dir.path().join(log));
            ask_within(SEEN_WITHIN * 2, store, &log_dir, self.rooms.clock.utc()).await.unwrap()
        }

        async fn run(&self) {
            loop {
                see_questions(&self.rooms, &self.consumers, &self.stop).await.unwrap();
                sleep(PAUSE).await;
            }
        }
    }

    #[tokio::test]
    async fn command_hears_what_a_running_house_waits_for_and_of_none_that_nothing_runs() {
        let house = House::new().await;
        assert_eq!(house.says("no log").await, HouseSays::Nothing);
        let answered = async |expected: HouseSays| {
            tokio::select! {
                said = house.says("bus") => assert_eq!(said, expected),
                () = house.run() => {}
            }
        };
        answered(HouseSays::Waiting("1 for ledger".to_owned())).await;
        house.read.send_modify(|progress| progress.positions = vec![1]);
        answered(HouseSays::AllThere).await;
    }

    #[tokio::test]
    async fn command_that_asks_while_another_waits_for_its_answer_is_answered_too() {
        let house = House::new().await;
        let second = async {
            // Long before the first has its answer, and longer than a command waits to be seen.
            sleep(SEEN_WITHIN).await;
            house.says("no log").await
        };
        let both = async { tokio::join!(house.says("no log"), second) };
        let expected = || HouseSays::Waiting("1 for ledger".to_owned());
        tokio::select! {
            said = both => assert_eq!(said, (expected(), expected())),
            () = house.run() => {}
        }
    }

    #[tokio::test]
    async fn house_that_answers_nothing_is_not_taken_for_none() {
        let house = House::new().await;
        let expected = || HouseSays::Waiting(NO_ANSWER.to_owned());
        let beating = async {
            loop {
                house.rooms.store.process_beat("p1", "rating").await.unwrap();
                sleep(PAUSE * 10).await;
            }
        };
        let by_log = house.says("bus");
        let by_beat = async {
            tokio::select! {
                said = house.says("no log") => said,
                () = beating => unreachable!("it beats for ever"),
            }
        };
        assert_eq!(tokio::join!(by_log, by_beat), (expected(), expected()));
    }
}
