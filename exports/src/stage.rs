//! Decides which files a rated call belongs in (billing-reference 7.5).
//!
//! In: the topic `rated`. Out: one [`Effect::Export`] for each owner, in the commit of the batch, so that a call is
//! queued once for each of them however often the batch is replayed. Files are closed by the runner.

use model::{AccountId, Body, Effect, Effects, Party, RatedCdr, Stage, StageInput, StateChange};

use crate::{ExportConfig, Owner};

/// The stage behind the topic [`model::Topic::Rated`] that fills the queues of CDR files. It keeps no state.
#[derive(Debug, Clone)]
pub struct ExportStage {
    answered_only: bool,
}

impl ExportStage {
    /// One lane's stage.
    pub fn new(config: &ExportConfig) -> Self {
        Self { answered_only: config.answered_only }
    }
}

impl Stage for ExportStage {
    fn apply(&mut self, input: StageInput<'_>, effects: &mut Effects) {
        match input.body {
            Body::Rated(rated) => {
                // The last word on a call that is up comes later, and a file goes out once.
                if rated.cdr.is_in_progress() || self.answered_only && !rated.cdr.is_answered() {
                    return;
                }
                for owner in owners(rated) {
                    effects
                        .0
                        .push(Effect::Export { owner: owner.to_string(), rated: Box::new(rated.clone()) });
                }
            }
            Body::Tick(_)
            | Body::Call(_)
            | Body::Cdr(_)
            | Body::Edr(_)
            | Body::Posting(_)
            | Body::Control(_)
            | Body::Accrual(_) => {}
        }
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        Vec::new()
    }

    fn restore(&mut self, _entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        Ok(())
    }
}

/// The system first, then the caller's and the callee's reseller or carrier, each once.
fn owners(rated: &RatedCdr) -> Vec<Owner> {
    let mut owners = vec![Owner::System];
    for party in [&rated.cdr.source.party, &rated.cdr.destination.party] {
        let owner = match party {
            Party::Subscriber { reseller, .. } if *reseller != AccountId::NOBODY => {
                Owner::Reseller(*reseller)
            }
            Party::Trunk { account, .. } if *account != AccountId::NOBODY => Owner::Carrier(*account),
            Party::Subscriber { .. } | Party::Trunk { .. } | Party::Unknown => continue,
        };
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners
}
