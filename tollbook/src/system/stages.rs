//! The stages of a process: which work in it, and how far each has come.

use std::sync::Arc;

use exports::{ExportStage, Start, Stream};
use fraud::FraudDesk;
use fraud::watch::Watch;
use mediator::Mediator;
use model::{Directory, Topic};
use rating::RatingStage;
use tokio::sync::watch;

use crate::fraud_watch::Screens;
use crate::ledger_stage::LedgerStage;
use crate::roles::{Role, SIGHTINGS, role_of};
use crate::runner::{Begin, Kind, Pace, Progress, Share};
use crate::system::{Consumer, System};
use crate::{followed, fraud_watch, lake_writer, runner};

/// The role whose processes work the export streams.
const EXPORTS: &str = "exports";

impl System {
    pub(super) fn start_stages(&mut self, screens: &Screens) {
        let (book, snapshots) = (screens.book.clone(), screens.snapshots.clone());
        let (for_lanes, for_things) = (book.clone(), book.clone());
        let mediator = self.config.mediator.clone();
        let tariffs = self.tariffs.clone();
        let ahead = tariffs.clone();
        let watched_ahead = snapshots.clone();
        self.rooms.directory.prepare_with(move |directory| {
            // What cannot be compiled is told of when a lane asks for it.
            drop(ahead.of(directory));
            watched_ahead.prepare(directory);
        });
        let n_lanes = self.rooms.bus.partitions();
        let mut consumers = vec![
            self.start_stage("mediator", Topic::Calls, move || Mediator::new(mediator.clone()), |_, _| {}),
            self.start_stage(
                "watch",
                Topic::Calls,
                move || Watch::of_payers(for_lanes.current()),
                fraud_watch::refresh(book.clone(), snapshots.clone()),
            ),
            self.start_stage(
                SIGHTINGS,
                Topic::Sightings,
                move || Watch::of_sightings(for_things.current()),
                fraud_watch::refresh(book, snapshots),
            ),
            self.start_stage(
                "rating",
                Topic::Cdrs,
                move || RatingStage::for_lanes(n_lanes),
                move |stage, directory| tariffs.refresh(stage, directory),
            ),
            self.start_stage("fraud", Topic::Rated, FraudDesk::new, |stage, directory| {
                stage.set_directory(directory.clone());
            }),
            self.start_stage("ledger", Topic::Postings, LedgerStage::default, |_, _| {}),
        ];
        for stream in self.streams.clone().iter() {
            consumers.push(self.start_stream(stream));
        }
        let lake_consumers = lake_writer::consumers();
        let told = lake_consumers.each_ref().map(|(_, sender)| sender.clone());
        if self.roles.has(Role::Lake) {
            let writing = lake_writer::run(
                self.rooms.clone(),
                self.config.clone(),
                self.lake.clone(),
                told,
                self.stop_rest.clone(),
            );
            self.tasks.push(tokio::spawn(writing));
        }
        consumers.extend(lake_consumers);
        let (consumers, senders): (Vec<_>, Vec<_>) = consumers.into_iter().unzip();
        self.consumers = Arc::new(consumers);
        if self.leases.is_some() {
            // Others work too: how far all have come is told by the database.
            self.tasks.push(tokio::spawn(followed::run(
                self.rooms.clone(),
                self.lake.clone(),
                self.consumers.clone(),
                senders,
                self.stop_rest.clone(),
            )));
        }
    }

    /// The stage that queues the calls of one export stream, at its own place in the log.
    fn start_stream(&mut self, stream: &Stream) -> (Consumer, watch::Sender<Progress>) {
        // There are 32 at most, and they stay until the process ends.
        let name: &'static str = stream.stage_name().leak();
        let begin = match stream.config.start {
            Start::Now => Begin::Now,
            Start::Oldest | Start::At(_) => Begin::Oldest,
        };
        let stream = Arc::new(stream.clone());
        let share = self.share(EXPORTS, name);
        let kind = Kind {
            name,
            topic: Topic::Rated,
            begin,
            make: Box::new(move || ExportStage::new(stream.clone())),
            refresh: Box::new(|stage, directory| stage.set_directory(directory.clone())),
            share,
            pace: Pace::STEADY,
        };
        self.run_stage(EXPORTS, kind)
    }

    fn start_stage<S: model::Stage + 'static>(
        &mut self,
        name: &'static str,
        topic: Topic,
        make: impl Fn() -> S + Send + Sync + 'static,
        refresh: impl Fn(&mut S, &Arc<Directory>) + Send + Sync + 'static,
    ) -> (Consumer, watch::Sender<Progress>) {
        let role = role_of(name);
        let (begin, share) = (Begin::Oldest, self.share(role, name));
        let pace = match name {
            // Nobody waits for its commits: what it makes of events is in the log before.
            "mediator" => Pace::SWIFT,
            "ledger" => Pace::LEDGER,
            _ => Pace::STEADY,
        };
        let (make, refresh) = (Box::new(make), Box::new(refresh));
        let kind = Kind { name, topic, begin, make, refresh, share, pace };
        self.run_stage(role, kind)
    }

    /// Of the lanes of a stage that processes with `role` work.
    fn share(&mut self, role: &'static str, name: &'static str) -> Share {
        let n_partitions = self.rooms.bus.partitions();
        match &mut self.leases {
            Some(leases) if self.roles.has_stage(role) => leases.share(role, name, n_partitions),
            Some(_) | None => Share::all(n_partitions),
        }
    }

    /// Where this process has the role; the others' progress is told by the database.
    fn run_stage<S: model::Stage + 'static>(
        &mut self,
        role: &str,
        kind: Kind<S>,
    ) -> (Consumer, watch::Sender<Progress>) {
        let (name, topic) = (kind.name, kind.topic);
        let (sender, progress) = watch::channel(Progress::default());
        if self.roles.has_stage(role) {
            let (rooms, stop) = (self.rooms.clone(), self.stop_rest.clone());
            self.tasks.push(tokio::spawn(runner::run(kind, rooms, stop, sender.clone())));
        }
        (Consumer { name, topic, progress }, sender)
    }
}
