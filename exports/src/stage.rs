//! Decides which files a rated call belongs in (billing-reference 7.5).
//!
//! In: the topic `rated`. Out: one [`Effect::Export`] for each series of files, in the commit of the batch, so that a
//! call is queued once for each of them however often the batch is replayed. Files are closed by the runner.
//!
//! A call that a stream's format cannot hold goes to suspense, and to all other files all the same.

use std::sync::Arc;

use model::wire::view::RatedView;
use model::{
    AccountId, Body, Directory, Effect, Effects, Party, RatedCdr, Retry, Stage, StageInput, StateChange,
    Suspended,
};

use crate::fact::{RecordType, Row, way_of};
use crate::render::try_write;
use crate::{Owner, Series, Stream, Way};

/// The code of a call that a format cannot hold; explained in `docs/errors.md`.
const MISFIT: &str = "EXP021";

/// The stage behind the topic [`model::Topic::Rated`] that fills the queues of one stream. It keeps no state. Each stream
/// has its own, with its own position, so that one in trouble holds up no other.
#[derive(Debug, Clone)]
pub struct ExportStage {
    stream: Arc<Stream>,
    directory: Arc<Directory>,
}

impl ExportStage {
    /// One lane's stage. Streams that name single accounts find them once a directory is set.
    pub fn new(stream: Arc<Stream>) -> Self {
        Self { stream, directory: Arc::new(Directory::default()) }
    }

    /// What names in streams mean from now on.
    pub fn set_directory(&mut self, directory: Arc<Directory>) {
        self.directory = directory;
    }

    fn queue(&self, rated: &RatedCdr, stream: &Stream, owner: Owner, effects: &mut Effects) {
        let call = RatedView::of(rated);
        let row = Row::new(&call, owner, RecordType::Original);
        if !stream.has(owner, &self.directory) {
            return;
        }
        let is_left_out = !stream.wants(&row);
        // What the console and `explain` tell of a call they have from the operator's rows of the main stream. And of a later revision every
        // series must know that it has no place there: the earlier one, which it replaces, must not go out any more.
        let is_kept = rated.cdr.revision > 0 || stream.is_main() && owner == Owner::System;
        if is_left_out && !is_kept {
            return;
        }
        let format = stream.format(owner);
        if !is_left_out
            && format.refuses_some()
            && let Err(misfit) = try_write(format, owner, rated)
        {
            effects.suspend(Suspended {
                code: MISFIT.to_owned(),
                message: format!("not in the files of {owner}: {misfit}"),
                retry: Retry::AfterProvisioning,
                // Nobody's bill waits for a partner's file.
                account: AccountId::NOBODY,
                cdr: Some(rated.cdr.id),
            });
            return;
        }
        let series = stream.series_of(&call, owner);
        let (owner, rated) = (series.to_string(), Box::new(rated.clone()));
        effects.0.push(Effect::Export { owner, rated, is_left_out });
    }
}

impl Stream {
    /// In which row of the files of `owner` a call is.
    fn series_of(&self, call: &RatedView<'_>, owner: Owner) -> Series {
        let way = self.config.by_direction.then(|| match way_of(call, owner) {
            Way::In => Way::In,
            // Each call is in one file: what goes both ways or neither is with the outgoing calls.
            Way::Out | Way::Both | Way::Neither => Way::Out,
        });
        Series { stream: self.config.name.clone(), owner, way }
    }

    /// Whether a call is of those that the files of `series` are about, whether or not a condition leaves it out.
    pub fn is_about(&self, series: &Series, rated: &RatedCdr, directory: &Directory) -> bool {
        let has_ended = !rated.cdr.is_in_progress() || self.config.in_progress;
        has_ended
            && owners(rated).contains(&series.owner)
            && self.has(series.owner, directory)
            && self.series_of(&RatedView::of(rated), series.owner) == *series
    }
}

impl Stage for ExportStage {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        match &input.body {
            Body::Rated(rated) => {
                // The last word on a call that is up comes later, and a file goes out once.
                if rated.cdr.is_in_progress() && !self.stream.config.in_progress {
                    return;
                }
                for owner in owners(rated) {
                    self.queue(rated, &self.stream, owner, effects);
                }
            }
            Body::Tick(_)
            | Body::Call(_)
            | Body::Cdr(_)
            | Body::Edr(_)
            | Body::Posting(_)
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
