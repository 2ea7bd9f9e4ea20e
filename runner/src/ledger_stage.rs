//! The ledger's stage: what rating posts, in the lane of the account it concerns, goes into the database.

use model::{Body, Effect, Effects, Stage, StageInput, StateChange};

/// Keeps nothing: the database is its state.
#[derive(Debug, Default)]
pub struct LedgerStage;

impl Stage for LedgerStage {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        match input.body {
            Body::Posting(posting) => effects.0.push(Effect::Post(posting)),
            Body::Tick(_)
            | Body::Call(_)
            | Body::Cdr(_)
            | Body::Edr(_)
            | Body::Rated(_)
            | Body::Control(_)
            | Body::Accrual(_)
            | Body::Sighting(_) => {}
        }
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        Vec::new()
    }

    fn restore(&mut self, _entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        Ok(())
    }
}
