//! Events on their way from the switch to the log, in groups.
//!
//! In: single events, as the calls make them. Out: groups, each for one append. The log makes an append durable with one fsync, however
//! much is in it, and that costs more than all the rest an event costs; so what comes within a few milliseconds goes together. That a phone
//! has renewed its registration changes nothing for anybody: it waits longer for company, and goes with the first event that does not.

use std::time::Duration;

use model::{CallEvent, EventBody};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

/// Between the beginnings of two groups, at least. The timer adds up to 1 ms: an event is handed to the log within 8 ms, or when the append
/// before it is done if that takes longer, and is durable one fsync later.
const GROUP_EVERY: Duration = Duration::from_millis(7);
/// How long renewed registrations wait for an event that changes something. A switch that is killed loses those of its last tenth of a second.
const RENEWALS_WAIT: Duration = Duration::from_millis(100);
/// Events of one group; more of them follow without a wait.
const GROUP_MAX: usize = 1_024;

/// The far end of the channel that the switch puts its events into.
#[derive(Debug)]
pub struct EventGroups {
    events: mpsc::Receiver<CallEvent>,
    pace: Interval,
    renewals_wait: Duration,
    is_behind: bool,
}

impl EventGroups {
    /// Of the events that come by `events`. To be called within a runtime with a timer.
    pub fn new(events: mpsc::Receiver<CallEvent>) -> Self {
        Self::every(GROUP_EVERY, RENEWALS_WAIT, events)
    }

    fn every(period: Duration, renewals_wait: Duration, events: mpsc::Receiver<CallEvent>) -> Self {
        let mut pace = interval(period);
        // An event that comes after a while of silence does not wait.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { events, pace, renewals_wait, is_behind: false }
    }

    /// Adds the next group to `group`. `false`: the switch has gone, and nothing is left.
    pub async fn next(&mut self, group: &mut Vec<CallEvent>) -> bool {
        if !self.is_behind && !self.events.is_closed() {
            self.pace.tick().await;
        }
        let mut n_events = self.events.recv_many(group, GROUP_MAX).await;
        if n_events > 0 && group.iter().all(is_renewal) {
            n_events += self.wait_for_company(group, GROUP_MAX - n_events).await;
        }
        self.is_behind = n_events == GROUP_MAX;
        n_events > 0
    }

    /// Adds to renewals what comes while they wait, `room` events at most. Returns how many these are.
    async fn wait_for_company(&mut self, group: &mut Vec<CallEvent>, room: usize) -> usize {
        let until = sleep_until(Instant::now() + self.renewals_wait);
        tokio::pin!(until);
        let mut n_events = 0;
        while n_events < room {
            let n_before = group.len();
            tokio::select! {
                biased;
                n_more = self.events.recv_many(group, room - n_events) => {
                    n_events += n_more;
                    if n_more == 0 || !group[n_before..].iter().all(is_renewal) {
                        break;
                    }
                }
                () = &mut until => break,
            }
        }
        n_events
    }
}

fn is_renewal(event: &CallEvent) -> bool {
    matches!(&event.body, EventBody::Registration(registration) if registration.renewed)
}

#[cfg(test)]
mod tests {
    use model::{AccountId, Moment, Registration, RegistrationChange};
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
        let (mut groups, mut group) = (EventGroups::every(HOUR, HOUR, events), Vec::new());
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
        let (mut groups, mut group) = (EventGroups::every(HOUR, HOUR, events), Vec::new());
        assert!(groups.next(&mut group).await);
        assert!(groups.next(&mut group).await);
        assert_eq!(seqs(&mut group), (0..2 * GROUP_MAX as u64).collect::<Vec<_>>());
    }

    fn renewal(seq: u64) -> CallEvent {
        let body = EventBody::Registration(Registration {
            change: RegistrationChange::Ok,
            subscriber: None,
            aor: "anna@sip.example.org".to_owned(),
            contact: "sip:anna@192.0.2.7".to_owned(),
            source: "192.0.2.7:5060".parse().unwrap(),
            user_agent: String::new(),
            expires_seconds: 300,
            renewed: true,
        });
        CallEvent { body, ..event(seq) }
    }

    #[tokio::test]
    async fn renewed_registrations_wait_for_an_event_that_changes_something() {
        let (to, events) = mpsc::channel(100);
        let (mut groups, mut group) =
            (EventGroups::every(Duration::from_millis(1), HOUR, events), Vec::new());
        to.send(renewal(1)).await.unwrap();
        let next = tokio::spawn(async move {
            let is_more = groups.next(&mut group).await;
            (is_more, seqs(&mut group), groups, group)
        });
        for seq in 2..5 {
            tokio::time::sleep(Duration::from_millis(3)).await;
            assert!(!next.is_finished(), "a renewal went alone");
            to.send(renewal(seq)).await.unwrap();
        }
        // All of them go before it, in their order, and what comes behind is not waited for.
        to.send(event(5)).await.unwrap();
        let (is_more, sent, mut groups, mut group) = next.await.unwrap();
        assert_eq!((is_more, sent), (true, vec![1, 2, 3, 4, 5]));
        // And at the end none is lost.
        to.send(renewal(6)).await.unwrap();
        drop(to);
        assert!(groups.next(&mut group).await);
        assert_eq!(seqs(&mut group), [6]);
        assert!(!groups.next(&mut group).await);
    }

    #[tokio::test]
    async fn renewed_registrations_go_alone_when_nothing_else_comes() {
        let (to, events) = mpsc::channel(100);
        let short = Duration::from_millis(1);
        let (mut groups, mut group) = (EventGroups::every(short, short, events), Vec::new());
        to.send(renewal(1)).await.unwrap();
        assert!(groups.next(&mut group).await);
        assert_eq!(seqs(&mut group), [1]);
    }

    #[tokio::test]
    async fn crowd_of_renewed_registrations_does_not_grow_beyond_a_group() {
        let (to, events) = mpsc::channel(2 * GROUP_MAX);
        for seq in 0..GROUP_MAX as u64 + 10 {
            to.send(renewal(seq)).await.unwrap();
        }
        let (mut groups, mut group) = (EventGroups::every(HOUR, HOUR, events), Vec::new());
        assert!(groups.next(&mut group).await);
        assert_eq!(group.len(), GROUP_MAX);
    }
}
