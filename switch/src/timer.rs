//! Timers as a table: what is due next, and why.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// RFC 3261, table 4: an estimate of the round trip.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// RFC 3261, table 4: the longest interval between retransmissions.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// RFC 3261, table 4: how long a message stays in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// 64 × T1: how long anybody waits for anything.
pub(crate) const T1_64: Duration = Duration::from_secs(32);

/// Why we wake up. The letters are those of RFC 3261, table 4, and of RFC 6026.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// Timer A: send the INVITE again; T1, then doubled.
    InviteRetransmit,
    /// Timer B: give up on the INVITE after 64 × T1.
    InviteTimeout,
    /// Timer D: absorb repeated final answers to our INVITE.
    InviteLinger,
    /// Timer E: send another request again; T1, doubled up to T2.
    RequestRetransmit,
    /// Timer F: give up on it after 64 × T1.
    RequestTimeout,
    /// Timer K: absorb repeated answers to it.
    RequestLinger,
    /// Timer G: send our final answer to an INVITE again; T1, doubled up to T2. Also for 2xx (RFC 3261, 13.3.1.4).
    AnswerRetransmit,
    /// Timer H: no ACK came within 64 × T1. Also for 2xx.
    AckTimeout,
    /// Timer I: absorb repeated ACKs.
    AckLinger,
    /// Timer J: absorb repeated requests.
    AnswerLinger,
    /// Timer L (RFC 6026): absorb repeated INVITEs after our 2xx.
    AcceptedServer,
    /// Timer M (RFC 6026): wait for further 2xx to our INVITE.
    AcceptedClient,
    /// RFC 3262, 3: send a provisional answer again until its PRACK; T1, then doubled.
    ProvisionalRetransmit,
    /// RFC 3262, 3: no PRACK came within 64 × T1.
    PrackTimeout,
    /// Ours: a route stayed silent, without even a 100.
    RouteSilent,
    /// Ours: it rang for too long.
    RingTimeout,
    /// Ours: sign of life of an answered call.
    ChargeTick,
    /// Ours: the call has lasted as long as a call may.
    CallSecondsMax,
    /// Ours: nobody has said whether the call may begin.
    CreditSilent,
    /// Ours: nobody has said what the call that is over has cost.
    AdviceSilent,
    /// Ours: what the call was granted is nearly, or quite, used up.
    CreditDue,
    /// Ours: the callee's phones have rung for as long as its forward waits.
    ForwardNoAnswer,
    /// RFC 4028: a side has not refreshed its session in time, or it is on us to do so.
    SessionExpires,
    /// Ours: ask a trunk whether it is there.
    TrunkProbe,
    /// Ours: register at a trunk, again or for the first time.
    TrunkRegister,
    /// Ours: a ban ran out.
    BanEnds,
    /// Ours: a registration ran out.
    RegistrationExpired,
    /// Ours: what the DNS said of a name has become old.
    NameDue,
    /// Ours: send something to a phone behind a NAT.
    KeepAlive,
    /// Ours: report what the guard has counted since.
    SecurityReport,
    /// Of the phones: pick up, hang up, renew the registration.
    Phone,
}

/// Names one armed timer, to disarm it: the nanoseconds it is due at, and which it is. A call keeps a handful of them, so none costs more
/// than these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey(u64, NonZeroU64);
const _: () = assert!(size_of::<Option<TimerKey>>() == 16);

impl TimerKey {
    /// In 584 years of running the last such moment is reached.
    fn new(at: Duration, n: NonZeroU64) -> Self {
        Self(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), n)
    }

    fn at(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// Armed timers in the order they are due; those due together in the order they were armed.
#[derive(Debug)]
pub(crate) struct TimerQueue<T> {
    due: BTreeMap<TimerKey, T>,
    n_armed: NonZeroU64,
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), n_armed: NonZeroU64::MIN }
    }
}

impl<T> TimerQueue<T> {
    /// Arms a timer at `at`, monotonic time.
    pub(crate) fn arm(&mut self, at: Duration, what: T) -> TimerKey {
        self.n_armed = self.n_armed.saturating_add(1);
        let key = TimerKey::new(at, self.n_armed);
        self.due.insert(key, what);
        key
    }

    /// Disarms the timer that `slot` names, if it names one.
    pub(crate) fn disarm(&mut self, slot: &mut Option<TimerKey>) {
        if let Some(key) = slot.take() {
            self.due.remove(&key);
        }
    }

    /// The next one.
    pub(crate) fn peek(&self) -> Option<(Duration, &T)> {
        self.due.first_key_value().map(|(key, what)| (key.at(), what))
    }

    /// Takes the next one if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<T> {
        let entry = self.due.first_entry()?;
        (entry.key().at() <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disarmed_timer_never_fires_and_equal_times_keep_their_order() {
        let mut queue = TimerQueue::default();
        queue.arm(T2, "late");
        let mut gone = Some(queue.arm(T1, "gone"));
        queue.arm(T1, "first");
        queue.arm(T1, "second");
        queue.disarm(&mut gone);
        assert_eq!(queue.pop_due(Duration::ZERO), None);
        assert_eq!(queue.pop_due(T1), Some("first"));
        assert_eq!(queue.pop_due(T1), Some("second"));
        assert_eq!(queue.peek(), Some((T2, &"late")));
    }
}
