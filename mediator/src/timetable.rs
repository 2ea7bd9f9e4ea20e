//! When the mediator of a lane looks at what: calls that get an interim record, open calls that are given up, what is forgotten.
//!
//! In: times of the log. Out: what is due first. Which is when is decided by `mediator`.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use model::CallUid;

/// What is remembered for a while.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Memory {
    /// A closed call.
    Call(CallUid),
    /// An EDR, by its id.
    Edr(String),
}

/// A sorted set of what nearly always comes in its order: complete calls are all remembered for the same time. That stands in a queue, and in a
/// tree what comes out of turn.
#[derive(Debug)]
pub(crate) struct InOrder<T> {
    queue: VecDeque<T>,
    others: BTreeSet<T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), others: BTreeSet::new() }
    }
}

impl<T: Ord> InOrder<T> {
    pub(crate) fn insert(&mut self, new: T) {
        // Those far ahead of all, calls that are remembered for days, make way for those that come in order. Each does so once.
        while self.queue.back().is_some_and(|last| *last > new) {
            self.others.extend(self.queue.pop_back());
        }
        if self.queue.back() != Some(&new) && !self.others.contains(&new) {
            self.queue.push_back(new);
        }
    }

    pub(crate) fn remove(&mut self, old: &T) {
        if !self.others.remove(old)
            && let Ok(place) = self.queue.binary_search(old)
        {
            self.queue.remove(place);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.others.len()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        if self.is_first_in_queue() { self.queue.front() } else { self.others.first() }
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        if self.is_first_in_queue() { self.queue.pop_front() } else { self.others.pop_first() }
    }

    fn is_first_in_queue(&self) -> bool {
        match (self.queue.front(), self.others.first()) {
            (Some(one), Some(other)) => one < other,
            (queued, _) => queued.is_some(),
        }
    }
}

/// The timetable of a lane.
#[derive(Debug)]
pub(crate) struct Timetable {
    /// When each open call is looked at next: at the latest when it is given up, or gets a record because it is up.
    pub(crate) looks: BTreeSet<(DateTime<Utc>, CallUid)>,
    /// When each closed call and EDR is forgotten.
    pub(crate) forget: InOrder<(DateTime<Utc>, Memory)>,
    /// No table has anything due before this.
    pub(crate) next_due: DateTime<Utc>,
}

impl Timetable {
    /// Nothing is due.
    pub(crate) fn new() -> Self {
        Self { looks: BTreeSet::new(), forget: InOrder::default(), next_due: DateTime::<Utc>::MAX_UTC }
    }

    pub(crate) fn insert_look(&mut self, at: DateTime<Utc>, call: &CallUid) {
        self.next_due = self.next_due.min(at);
        self.looks.insert((at, call.clone()));
    }

    pub(crate) fn insert_forget(&mut self, at: DateTime<Utc>, what: Memory) {
        self.next_due = self.next_due.min(at);
        self.forget.insert((at, what));
    }

    /// The open call to be looked at, if one is due.
    pub(crate) fn pop_look(&mut self, now: DateTime<Utc>) -> Option<CallUid> {
        self.looks.first().filter(|(due, _)| *due <= now)?;
        self.looks.pop_first().map(|(_, call)| call)
    }

    /// Looks for what is due next.
    pub(crate) fn look_ahead(&mut self) {
        let firsts = [self.looks.first().map(|(due, _)| *due), self.forget.first().map(|(due, _)| *due)];
        self.next_due = firsts.into_iter().flatten().min().unwrap_or(DateTime::<Utc>::MAX_UTC);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8),
        Remove(u8),
        PopFirst,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Insert),
            1 => any::<u8>().prop_map(Step::Remove),
            1 => Just(Step::PopFirst),
        ]
    }

    proptest! {
        /// Whatever comes in whatever order.
        #[test]
        fn it_is_a_sorted_set(steps in proptest::collection::vec(step(), 0..200)) {
            let (mut set, mut truth) = (InOrder::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(number) => {
                        set.insert(number);
                        truth.insert(number);
                    }
                    Step::Remove(number) => {
                        set.remove(&number);
                        truth.remove(&number);
                    }
                    Step::PopFirst => prop_assert_eq!(set.pop_first(), truth.pop_first()),
                }
                prop_assert_eq!((set.first(), set.len()), (truth.first(), truth.len()));
            }
            prop_assert_eq!(std::iter::from_fn(|| set.pop_first()).collect::<BTreeSet<u8>>(), truth);
        }
    }

    #[test]
    fn one_that_is_far_ahead_does_not_send_all_others_to_the_tree() {
        let mut set = InOrder::default();
        for number in [1_000, 1, 2, 3, 2_000, 3_000, 4, 5, 6] {
            set.insert(number);
        }
        assert_eq!(set.others, BTreeSet::from([1_000, 2_000, 3_000]));
        assert_eq!(set.queue, [1, 2, 3, 4, 5, 6]);
    }
}
