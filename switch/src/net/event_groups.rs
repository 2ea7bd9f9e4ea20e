//! Events on their way from the switch to the log, in groups.
//!
//! In: single events, as the calls make them. Out: groups, each for one append. The log makes an append durable with one fsync, however
//! much is in it, and that costs more than all the rest an event costs; so what comes within a few milliseconds goes together.

use std::time::Duration;

use model::CallEvent;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between the beginnings of two groups, at least. The timer adds up to 1 ms: an event is handed to the log within 8 ms, or when the append
/// before it is done if that takes longer, and is durable one fsync later.
const GROUP_EVERY: Duration = Duration::from_millis(7);
/// Events of one group; more of them follow without a wait.
const GROUP_MAX: usize = 1_024;

/// The far end of the channel that the switch puts its events into.
#[derive(Debug)]
pub struct EventGroups {
    events: mpsc::Receiver<CallEvent>,
    pace: Interval,
    is_behind: bool,
}

impl EventGroups {
    /// Of the events that come by `events`. To be called within a runtime with a timer.
    pub fn new(events: mpsc::Receiver<CallEvent>) -> Self {
        Self::every(GROUP_EVERY, events)
    }

    fn every(period: Duration, events: mpsc::Receiver<CallEvent>) -> Self {
        let mut pace = interval(period);
        // An event that comes after a while of silence does not wait.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { events, pace, is_behind: false }
    }

    /// Adds the next group to `group`. `false`: the switch has gone, and nothing is left.
    pub async fn next(&mut self, group: &mut Vec<CallEvent>) -> bool {
        if !self.is_behind && !self.events.is_closed() {
            self.pace.tick().await;
        }
        let n_events = self.events.recv_many(group, GROUP_MAX).await;
        self.is_behind = n_events == GROUP_MAX;
        n_events > 0
    }
}

#[cfg(test)]
mod tests {
    use model::{AccountId, Moment};
    use tokio::time::timeout;

    use super::*;

    /// Longer than any test.
    const HOUR: Duration = Duration::from_secs(3_600);

    fn event(seq: u64) -> CallEvent {
        let now = Moment { wall: chrono::DateTime::UNIX_EPOCH, mono: Duration::ZERO };
        crate::node_started("sw1", 1, seq, now, AccountId::NOBODY)
    }

    fn seqs(group: &mut Vec<CallEvent>) -> Vec<u64> {
        group.drain(..).map(|event| event.seq).collect()
    }

    #[tokio::test]
    async fn first_event_does_not_wait_and_those_behind_it_go_together() {
        let (to, events) = mpsc::channel(100);
        let (mut groups, mut group) = (EventGroups::every(HOUR, events), Vec::new());
        to.send(event(1)).await.unwrap();
        assert!(groups.next(&mut group).await);
        assert_eq!(seqs(&mut group), [1]);
        for seq in 2..5 {
            to.send(event(seq)).await.unwrap();
            let waits = timeout(Duration::from_millis(5), groups.next(&mut group)).await;
            assert!(waits.is_err(), "{seq}");
        }
        // And at the end nothing waits, and nothing is lost.
        drop(to);
        assert!(groups.next(&mut group).await);
        assert_eq!(seqs(&mut group), [2, 3, 4]);
        assert!(!groups.next(&mut group).await);
    }

    #[tokio::test]
    async fn backlog_does_not_wait() {
        let (to, events) = mpsc::channel(2 * GROUP_MAX);
        for seq in 0..2 * GROUP_MAX as u64 {
            to.send(event(seq)).await.unwrap();
        }
        let (mut groups, mut group) = (EventGroups::every(HOUR, events), Vec::new());
        assert!(groups.next(&mut group).await);
        assert!(groups.next(&mut group).await);
        assert_eq!(seqs(&mut group), (0..2 * GROUP_MAX as u64).collect::<Vec<_>>());
    }
}
