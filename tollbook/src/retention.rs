//! Lets the event log forget old records, but none that a consumer has not yet worked off.
//!
//! The log itself knows nothing of its consumers. So what each has to reach is noted now and then; once it is there, it has seen
//! everything appended before the note. The log may expire what is older than its retention only when every consumer has come
//! further than that, and the time has passed for which the mediator may read an event again ([`mediator::LOG_KEPT`]).

use std::time::Duration;

use bus::Bus;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::system::Consumer;

/// For so long after all have read a record the mediator may read it again: beyond [`mediator::LOG_KEPT`], for the log's time, by which it counts, and
/// ours need not be the same.
const READ_AGAIN: TimeDelta = TimeDelta::hours(7);

/// What one consumer has to reach.
#[derive(Debug)]
struct Target {
    noted_at: DateTime<Utc>,
    ends: Vec<u64>,
}

/// Watches over the consumers.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    targets: Vec<Option<Target>>,
    /// For each consumer, the time before which it has seen everything.
    seen_before: Vec<Option<DateTime<Utc>>>,
    /// The latest time seen.
    latest: Option<DateTime<Utc>>,
    /// How long what all have read is kept all the same.
    read_again: TimeDelta,
}

impl Keeper {
    /// Of a log that the mediator reads, now and then again.
    pub(crate) fn for_mediator() -> Self {
        Self { read_again: READ_AGAIN, ..Self::default() }
    }

    /// Expires what may go at `now`; `retention` is that of the log.
    pub(crate) async fn expire(
        &mut self,
        bus: &dyn Bus,
        consumers: &[Consumer],
        retention: Duration,
        now: DateTime<Utc>,
    ) -> Result<(), bus::BusError> {
        self.targets.resize_with(consumers.len(), || None);
        self.seen_before.resize(consumers.len(), None);
        if self.latest.is_some_and(|latest| now < latest) {
            // The clock was set back: what was noted says nothing of records that are appended at those times again.
            self.targets.fill_with(|| None);
            self.seen_before.fill(None);
        }
        self.latest = Some(now);
        for (idx, consumer) in consumers.iter().enumerate() {
            let positions = consumer.progress.borrow().positions.clone();
            if let Some(target) = self.targets[idx].take_if(|target| reached(&positions, &target.ends)) {
                self.seen_before[idx] = Some(target.noted_at);
            }
            if self.targets[idx].is_none() {
                let mut ends = Vec::new();
                for partition in 0..bus.partitions() {
                    ends.push(bus.range(consumer.topic, partition).await?.1);
                }
                self.targets[idx] = Some(Target { noted_at: now, ends });
            }
        }
        let Some(oldest_needed) =
            now.checked_sub_signed(TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX))
        else {
            return Ok(());
        };
        let seen_before = self.seen_before.iter().copied().min().flatten();
        if let Some(seen_before) = seen_before.filter(|seen| *seen > oldest_needed) {
            if let Some(read_before) = seen_before.checked_sub_signed(self.read_again) {
                bus.expire(now, read_before).await?;
            }
        } else if let Some(behind) = self.behind(oldest_needed) {
            warn!(consumer = consumers[behind].name, "far behind; the event log keeps what it has not read");
        }
        Ok(())
    }

    /// A consumer that has been watched for long enough and still has old records before it.
    fn behind(&self, oldest_needed: DateTime<Utc>) -> Option<usize> {
        self.targets
            .iter()
            .position(|target| target.as_ref().is_some_and(|target| target.noted_at < oldest_needed))
    }
}

fn reached(positions: &[u64], ends: &[u64]) -> bool {
    positions.len() == ends.len() && positions.iter().zip(ends).all(|(position, end)| position >= end)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bus::{EmbeddedBus, EmbeddedConfig, Entry};
    use model::Topic;
    use tokio::sync::watch;

    use super::*;
    use crate::runner::Progress;

    fn open(dir: &Path) -> EmbeddedBus {
        let config = EmbeddedConfig {
            partitions: 1,
            retention: Duration::from_secs(3_600),
            segment_span: Duration::from_secs(60),
            ..EmbeddedConfig::default()
        };
        EmbeddedBus::open(dir, config).unwrap()
    }

    /// Appends a record, lets a day pass, and says how many records are left that were there first.
    async fn left_after_a_day(position_reached: u64) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let bus = open(dir.path());
        let (progress, seen) = watch::channel(Progress::default());
        let consumers = [Consumer { name: "rating", topic: Topic::Cdrs, progress: seen }];
        bus.append(vec![Entry { topic: Topic::Cdrs, partition: 0, payload: vec![1] }]).await.unwrap();
        let mut keeper = Keeper::default();
        let clock = crate::clock::Clock::start();
        let retention = Duration::from_secs(3_600);
        for hour in 0..24 {
            let now = clock.utc() + TimeDelta::hours(hour);
            keeper.expire(&bus, &consumers, retention, now).await.unwrap();
            progress.send_modify(|progress| progress.positions = vec![position_reached]);
            keeper.expire(&bus, &consumers, retention, now).await.unwrap();
        }
        let (start, end) = bus.range(Topic::Cdrs, 0).await.unwrap();
        end - start
    }

    #[tokio::test]
    async fn unread_record_outlives_a_limit_of_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig {
            partitions: 1,
            retain_bytes: Some(1),
            segment_bytes: 65_536,
            ..EmbeddedConfig::default()
        };
        let bus = EmbeddedBus::open(dir.path(), config).unwrap();
        let (progress, seen) = watch::channel(Progress::default());
        let consumers = [Consumer { name: "rating", topic: Topic::Cdrs, progress: seen }];
        let mut keeper = Keeper::for_mediator();
        let clock = crate::clock::Clock::start();
        let week = Duration::from_secs(7 * 86_400);
        // The consumer has seen all there is, nothing; then come more segments than may be kept.
        progress.send_modify(|progress| progress.positions = vec![0]);
        for _ in 0..3 {
            keeper.expire(&bus, &consumers, week, clock.utc()).await.unwrap();
        }
        for _ in 0..4 {
            let entry = Entry { topic: Topic::Cdrs, partition: 0, payload: vec![1; 70_000] };
            bus.append(vec![entry]).await.unwrap();
        }
        keeper.expire(&bus, &consumers, week, clock.utc()).await.unwrap();
        assert_eq!(bus.range(Topic::Cdrs, 0).await.unwrap(), (0, 4));

        progress.send_modify(|progress| progress.positions = vec![4]);
        // What was just read may be read again.
        for _ in 0..3 {
            keeper.expire(&bus, &consumers, week, clock.utc()).await.unwrap();
        }
        assert_eq!(bus.range(Topic::Cdrs, 0).await.unwrap(), (0, 4));
        for hour in 8..11 {
            let later = clock.utc() + TimeDelta::hours(hour);
            keeper.expire(&bus, &consumers, week, later).await.unwrap();
        }
        let (oldest, end) = bus.range(Topic::Cdrs, 0).await.unwrap();
        assert!(oldest > 0 && end == 4, "{oldest} to {end}");
    }

    #[test]
    fn mediator_may_read_as_long_as_it_says() {
        assert!(READ_AGAIN > TimeDelta::from_std(mediator::LOG_KEPT).unwrap());
    }

    #[tokio::test]
    async fn unread_record_outlives_its_retention() {
        assert_eq!(left_after_a_day(0).await, 1);
    }

    #[tokio::test]
    async fn read_record_goes_when_its_time_has_come() {
        assert_eq!(left_after_a_day(1).await, 0);
    }
}
