//! Long work that console and API start and look at: one at a time, and over at its end, whatever ends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far such work is.
pub(crate) trait WorkState: Default {
    /// What it is; empty: there was none since the start.
    fn title(&self) -> &str;

    /// Whether it is over.
    fn is_over(&self) -> bool;

    /// It is over; `failure` says why it broke off, and is empty if it did not.
    fn end(&mut self, failure: String);
}

/// The last work of a kind, for those who look at it.
pub(crate) type Watched<S> = Arc<Mutex<S>>;

/// Work of which there was none yet.
pub(crate) fn none<S: WorkState>() -> Watched<S> {
    let mut state = S::default();
    state.end(String::new());
    Arc::new(Mutex::new(state))
}

/// The state, whatever became of whoever had it.
pub(crate) fn locked<S>(state: &Mutex<S>) -> MutexGuard<'_, S> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work that is over when this is dropped: after a panic too, so that the next one can start.
pub(crate) struct AtWork<S: WorkState> {
    state: Watched<S>,
    failure: String,
}

impl<S: WorkState> AtWork<S> {
    /// Begins with `fresh`, unless one is at work.
    pub(crate) fn begin(state: &Watched<S>, fresh: S) -> Result<Self, String> {
        let mut there = locked(state);
        if !there.is_over() {
            return Err(format!("one is at work: {}", there.title()));
        }
        *there = fresh;
        Ok(Self { state: state.clone(), failure: "it broke off; the log says where".to_owned() })
    }

    /// For telling how far it is.
    pub(crate) fn state(&self) -> MutexGuard<'_, S> {
        locked(&self.state)
    }

    /// It came to its end.
    pub(crate) fn end(mut self, failure: String) {
        self.failure = failure;
    }
}

impl<S: WorkState> Drop for AtWork<S> {
    fn drop(&mut self) {
        locked(&self.state).end(std::mem::take(&mut self.failure));
    }
}

#[cfg(test)]
mod tests {
    use web::RunState;

    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_over_and_says_so() {
        let state: Watched<RunState> = none();
        let title = "A run".to_owned();
        let at_work = AtWork::begin(&state, RunState { title, ..RunState::default() }).unwrap();
        let refused = AtWork::begin(&state, RunState::default()).err().unwrap();
        assert_eq!(refused, "one is at work: A run");
        let run = tokio::spawn(async move {
            let _at_work = at_work;
            panic!("an invoice that nobody thought of");
        });
        assert!(run.await.is_err());
        let over = locked(&state).clone();
        assert!(over.is_over && over.failure.starts_with("it broke off"), "{over:?}");
    }
}
