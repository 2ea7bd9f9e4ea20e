//! How often the socket is looked at. A look costs about as much as a message: the switch wakes up, the event log and the peers are woken in turn.
//!
//! In: how many messages each look brought. Out: how long to leave the socket alone. While little comes, each message is seen at once;
//! under load a few milliseconds' worth is taken together, as a network card does with its interrupts. What waits meanwhile lies in the socket's
//! buffer, where it would also lie while the switch is at work.

use std::time::Duration;

/// Messages are counted over so long.
const WINDOW: Duration = Duration::from_millis(16);
/// So many in one window are load: 1 000 a second, which some 150 calls a second make.
const LOAD_MESSAGES: u32 = 16;
/// Between two looks under load, with what the timer adds to it: short beside the 500 ms after which a peer repeats itself.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The pace of the looks.
#[derive(Debug, Default)]
pub(super) struct Pace {
    window_began: Duration,
    n_messages: u32,
    is_loaded: bool,
    looked_at: Duration,
    has_more: bool,
}

impl Pace {
    /// A look at `now`, monotonic time, brought so many messages, and left more behind.
    pub(super) fn note(&mut self, now: Duration, n_messages: u32, has_more: bool) {
        let age = now.saturating_sub(self.window_began);
        if age >= WINDOW {
            // Of a window before the one that ended just now nothing follows.
            self.is_loaded = age < 2 * WINDOW && self.n_messages >= LOAD_MESSAGES;
            self.window_began = now;
            self.n_messages = 0;
        }
        self.n_messages = self.n_messages.saturating_add(n_messages);
        self.looked_at = now;
        self.has_more = has_more;
    }

    /// Whether much comes.
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Whether the last look left something behind.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// When the socket is to be looked at next; `None`: whenever something is there.
    pub(super) fn next_look(&self) -> Option<Duration> {
        (self.is_loaded && !self.has_more).then_some(self.looked_at + LOOK_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One message every so many microseconds, for 100 ms; looked at as [`super::super::run`] does. Out: how many looks there were, and
    /// how many of them were waited for.
    fn looks(every_us: u64) -> (Pace, usize, usize) {
        let mut pace = Pace::default();
        let (mut n_looks, mut n_waits, mut n_seen, mut at) = (0, 0, 0, 0);
        while at < 100_000 {
            let n_come = at / every_us + 1;
            pace.note(Duration::from_micros(at), u32::try_from(n_come - n_seen).unwrap(), false);
            n_looks += 1;
            n_seen = n_come;
            let next = pace.next_look().map(|at| u64::try_from(at.as_micros()).unwrap());
            n_waits += usize::from(next.is_some());
            at = next.unwrap_or_default().max(n_come * every_us);
        }
        (pace, n_looks, n_waits)
    }

    #[test]
    fn messages_of_few_calls_are_seen_at_once() {
        let (_, n_looks, n_waits) = looks(2_000);
        assert_eq!((n_looks, n_waits), (50, 0));
    }

    #[test]
    fn messages_of_many_calls_are_taken_together_and_again_at_once_when_it_is_quiet() {
        // Seen one by one for a window, and then every 2 ms.
        let (mut pace, n_looks, n_waits) = looks(100);
        assert!(n_looks - n_waits <= 161, "{n_looks} {n_waits}");
        assert!((40..=43).contains(&n_waits), "{n_looks} {n_waits}");
        let now = pace.looked_at + LOOK_EVERY;
        pace.note(now, 64, true);
        assert_eq!(pace.next_look(), None, "what is there is not left there");
        pace.note(now, 4, false);
        assert_eq!(pace.next_look(), Some(now + LOOK_EVERY));
        pace.note(now + Duration::from_secs(1), 1, false);
        assert_eq!(pace.next_look(), None);
    }
}
