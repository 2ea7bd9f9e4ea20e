//! The house, or one process's part of it: opens the rooms, connects them, starts and stops them in order.
//!
//! Everything that can be wrong with the surroundings (a port in use, a directory that cannot be written, a broken
//! database) is found before the first task starts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, BusError, EmbeddedBus};
use exports::{ExportStage, Start, Stream, Streams};
use fraud::FraudDesk;
use fraud::watch::Watch;
use lake::Lake;
use mediator::Mediator;
use model::{CallEvent, Control, Directory, Topic};
use notify::{Mailer, WebhookSender};
use rating::RatingStage;
use store::{Store, StoreError};
use switch::Input;
use switch::net::SwitchStats;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::alarms;
use crate::backup::{self, order::BackupDesk};
use crate::clock::Clock;
use crate::config::{Config, SftpSection};
use crate::control_feed::{self, ControlFeed};
use crate::directory::DirectoryFeed;
use crate::disk_watch::DiskWatch;
use crate::failure::UserError;
use crate::forwarder::SwitchLog;
use crate::fraud_watch::{RuleBook, Screens};
use crate::leases::LeaseKeeper;
use crate::ledger_stage::LedgerStage;
use crate::retention::Keeper;
use crate::roles::{Role, Roles, SIGHTINGS, role_of};
use crate::runner::{self, Begin, Kind, Pace, Positions, Progress, Rooms, Share};
use crate::sql_door::SqlDoor;
use crate::tariffs::Tariffs;
use crate::webhook_queue::WebhookQueue;
use crate::{
    balance_sheet, billing, billing_desk, charging, disk_watch, downloads, event_writer, exchange_inbox,
    export_files, figures, followed, forwarder, fraud_watch, import_feed, lake_writer, mail_queue,
    provisioning_desk, provisioning_feed, readiness, resubmit, rule_desk, sftp_desk, suspense_record,
    switch_boot, tariff_desk, topup_feed,
};

/// Events between the switch and the log: ten seconds of a thousand calls a second.
const EVENTS_WAITING_MAX: usize = 50_000;

/// Inputs waiting for the switch besides its socket.
const INPUTS_WAITING_MAX: usize = 1_000;

/// How often waiting words for webhooks are looked for.
const WEBHOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often old words for webhooks are forgotten.
const WEBHOOK_FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// How often the event log may forget.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether files are due or full.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked for files whose copies of calls may leave the database, and at how many files: 144,000 a day.
const DROP_COPIES_INTERVAL: Duration = Duration::from_secs(60);
const DROP_COPIES_FILES: u32 = 100;

/// The role whose processes work the export streams.
const EXPORTS: &str = "exports";

/// How often it is looked whether files wait for their readers.
const MISS_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked what partners have put.
const INBOX_INTERVAL: Duration = Duration::from_secs(10);

/// How often it is looked whether suspended records are to be sent in again, and imported ones and changes to be put on the bus.
const RESUBMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How often, and after what pause, it is looked for a lake that another process is making.
const LAKE_TRIES: u32 = 20;
const LAKE_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether somebody topped up.
const TOP_UP_INTERVAL: Duration = Duration::from_millis(500);

/// How long a stop waits for the calls to be hung up.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(3);

/// How long a stop waits for the calls' last events to be written.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Where the running system can be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) sip: Option<SocketAddr>,
    pub(crate) sftp: Option<SocketAddr>,
    pub(crate) web: Option<SocketAddr>,
    pub(crate) sql: Option<SocketAddr>,
}

/// What is bound before anything runs; only what this process serves.
struct Sockets {
    sip: Option<UdpSocket>,
    sftp: Option<TcpListener>,
    web: Option<TcpListener>,
    sql: Option<TcpListener>,
    health: Option<TcpListener>,
}

impl Sockets {
    async fn bind(config: &Config, roles: &Roles) -> anyhow::Result<(Self, Addresses)> {
        let sip = match roles.has(Role::Switch) {
            true => Some(
                switch::net::bind(config.switch.listen)
                    .map_err(|why| cannot_listen("switch.listen", config.switch.listen, &why))?,
            ),
            false => None,
        };
        let sftp = match roles.has(Role::Sftp) {
            true => Some(bind_tcp("sftp.server.listen", config.sftp.server.listen).await?),
            false => None,
        };
        let web = match roles.has(Role::Web) {
            true => Some(bind_tcp("web.listen", config.web.listen).await?),
            false => None,
        };
        let sql = match config.lake.pg_listen.filter(|_| roles.has(Role::Web)) {
            Some(address) => Some(bind_tcp("lake.pg_listen", address).await?),
            None => None,
        };
        let health = match config.health.listen {
            Some(address) => Some(bind_tcp("health.listen", address).await?),
            None => None,
        };
        let addresses = Addresses {
            sip: sip.as_ref().map(UdpSocket::local_addr).transpose()?,
            sftp: sftp.as_ref().map(TcpListener::local_addr).transpose()?,
            web: web.as_ref().map(TcpListener::local_addr).transpose()?,
            sql: sql.as_ref().map(TcpListener::local_addr).transpose()?,
        };
        // The switch listens for streams by itself; whether it can is asked here, before anything runs.
        if let Some(sip) = addresses.sip.filter(|_| config.switch.tcp) {
            drop(bind_tcp("switch.listen", sip).await?);
        }
        if let Some(tls) = config.switch.tls.as_ref().filter(|_| sip.is_some()) {
            drop(bind_tcp("switch.tls.listen", tls.listen).await?);
        }
        Ok((Self { sip, sftp, web, sql, health }, addresses))
    }
}

/// How far the consumer called `name` has come on `topic`.
#[derive(Clone)]
pub(crate) struct Consumer {
    pub(crate) name: &'static str,
    pub(crate) topic: Topic,
    pub(crate) progress: watch::Receiver<Progress>,
}

/// A running house.
pub(crate) struct System {
    pub(crate) rooms: Rooms,
    pub(crate) lake: Arc<Lake>,
    pub(crate) addresses: Addresses,
    pub(crate) stats: Arc<SwitchStats>,
    pub(crate) consumers: Arc<Vec<Consumer>>,
    tariffs: Tariffs,
    pub(crate) sftp_fingerprint: String,
    config: Config,
    roles: Roles,
    streams: Arc<Streams>,
    switch: mpsc::Sender<Input>,
    stop_switch: CancellationToken,
    stop_rest: CancellationToken,
    switch_tasks: Vec<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
    /// Where several processes share the work.
    leases: Option<LeaseKeeper>,
    leasing: Option<JoinHandle<()>>,
    stop_leases: CancellationToken,
    /// Whether this process does what one does for all.
    on_duty: Arc<AtomicBool>,
}

/// Opens the database and the lake of an installation without starting anything: what commands work on.
pub(crate) async fn open_store(config: &Config) -> anyhow::Result<Store> {
    make_dir(&config.data)?;
    Store::open(&config.store_url()).await.map_err(of_store)
}

/// What stops the lake from opening or a query from running is the user's to put right, unless the lake says otherwise.
pub(crate) fn of_lake(why: lake::LakeError) -> anyhow::Error {
    if why.is_users_input() { UserError::new(why.to_string(), "").into() } else { anyhow::Error::new(why) }
}

/// What the store says of names, files and surroundings is the user's to put right; the rest is ours.
pub(crate) fn of_store(why: StoreError) -> anyhow::Error {
    if why.is_users() { UserError::new(why.to_string(), "").into() } else { anyhow::Error::new(why) }
}

/// For reading only where others may write it: then whoever has the role writes it by a handle of his own.
async fn open_lake(config: &Config) -> anyhow::Result<Lake> {
    if !config.bus.is_kafka() {
        return Lake::open(config.lake.clone()).map_err(of_lake);
    }
    for _ in 0..LAKE_TRIES {
        match Lake::open_to_ask(&config.lake) {
            // The first of all processes makes it.
            Err(lake::LakeError::NoLake { .. }) => match Lake::open(config.lake.clone()) {
                Ok(made) => drop(made),
                Err(lake::LakeError::InUse { .. }) => tokio::time::sleep(LAKE_PAUSE).await,
                Err(why) => return Err(of_lake(why)),
            },
            opened => return opened.map_err(of_lake),
        }
    }
    Lake::open_to_ask(&config.lake).map_err(of_lake)
}

fn make_dir(dir: &std::path::Path) -> Result<(), UserError> {
    std::fs::create_dir_all(dir).map_err(|why| {
        UserError::new(
            format!("{}: the directory cannot be made: {why}", dir.display()),
            "choose another `data` in the configuration, or give this user the right to write there",
        )
    })
}

/// The event log of an installation: embedded, by one process at a time, or on a Kafka cluster, by any number.
///
/// # Errors
///
/// What stops a log from opening is in its surroundings: a directory, another process, a damaged file, brokers that do not answer.
pub(crate) async fn open_bus(config: &Config) -> Result<Arc<dyn Bus>, BusError> {
    #[cfg(feature = "kafka")]
    if config.bus.is_kafka() {
        return Ok(Arc::new(bus::KafkaBus::open(&config.bus.url, config.bus.kafka.clone()).await?));
    }
    Ok(Arc::new(EmbeddedBus::open(&config.bus_dir(), config.bus.embedded.clone())?))
}

/// Whether event log, database and lake are of one installation: each alone may have been deleted or restored, and calls would be
/// lost or doubled if work went on.
async fn belong_together(bus: &dyn Bus, store: &Store, lake: &Lake, config: &Config) -> anyhow::Result<()> {
    runner::check_positions(bus, &Positions::load(store, Some(lake)).await?)
        .await
        .map_err(|why| UserError::new(format!("{}: {why}", config.bus_place()), ""))?;
    if lake.count_rows()? > 0 && store.lane_positions().await?.is_empty() {
        return Err(UserError::new(
            format!("the database is new, and the lake in {} holds calls already", lake.place().display()),
            "restore the database from a backup, or begin with an empty data directory",
        )
        .into());
    }
    Ok(())
}

async fn bind_tcp(key: &str, address: SocketAddr) -> Result<TcpListener, UserError> {
    TcpListener::bind(address).await.map_err(|why| cannot_listen(key, address, &why))
}

fn cannot_listen(key: &str, address: SocketAddr, why: &dyn std::fmt::Display) -> UserError {
    UserError::new(
        format!("{key} = \"{address}\": cannot listen there: {why}"),
        "stop the program that has the port, or choose another in the configuration",
    )
}

/// What the console shows of partners and streams.
fn exchange_of(sftp: &SftpSection, streams: &Streams) -> web::Exchange {
    let partners = sftp.users.iter().map(|user| web::Partner {
        name: user.name.clone(),
        folder: user.folder_name(),
        fetch_within_hours: user.fetch_within.map(|within| within.as_secs() / 3_600),
        networks: user.networks.iter().map(ToString::to_string).collect(),
        may: [(user.exchange, "exchange"), (user.may_delete, "delete"), (user.may_rename, "rename")]
            .into_iter()
            .filter_map(|(may, word)| may.then_some(word))
            .collect(),
    });
    let edr = streams.edr().map(|(stream, _)| stream);
    let streams = streams.iter().chain(edr).map(|stream| {
        let (key, shared) = (stream.config.name.clone(), Arc::new(stream.clone()));
        web::StreamDesk {
            name: if key.is_empty() { "main".to_owned() } else { key.clone() },
            key,
            format: stream.config.format.clone(),
            owners: stream.config.owners.clone(),
            due_after: Arc::new(move |ran_at| shared.due_after(ran_at)),
        }
    });
    web::Exchange { partners: partners.collect(), streams: streams.collect() }
}

impl System {
    /// Opens everything, then starts everything.
    ///
    /// # Errors
    ///
    /// A [`UserError`] for what the operator can put right; nothing is running then.
    pub(crate) async fn start(config: Config, clock: Clock, roles: Roles) -> anyhow::Result<System> {
        if !roles.is_all() && !config.bus.is_kafka() {
            return Err(UserError::new(
                "--roles: the embedded event log is one process's",
                "leave --roles out, or set `bus.url = \"kafka://host:9092\"`",
            )
            .into());
        }
        let (sockets, addresses) = Sockets::bind(&config, &roles).await?;
        let streams = config.streams()?;
        make_dir(&config.data)?;
        let bus = open_bus(&config).await.map_err(|why| UserError::new(why.to_string(), ""))?;
        let store = open_store(&config).await?;
        let lake = Arc::new(open_lake(&config).await?);
        belong_together(&*bus, &store, &lake, &config).await?;
        let mailer = Mailer::new(config.mail.clone()).context("prepare outgoing mail")?;
        let sftp_fingerprint =
            exports::sftp::host_key_fingerprint(&config.sftp.server).context("load the SFTP host key")?;
        // Where `[control]` ends now; what was said before is in the snapshot that is loaded after this.
        let control_from = control_feed::ends(&*bus).await?;
        let directory = DirectoryFeed::load(store.clone(), clock.clone()).await?;
        let rooms = Rooms { bus: bus.clone(), store: store.clone(), clock: clock.clone(), directory };

        let book = Arc::new(RuleBook::load(&config.fraud, &rooms.directory.current())?);
        let screens = Screens { book: book.clone(), snapshots: Arc::default() };
        let webhooks = WebhookSender::new(config.webhooks.clone()).context("prepare webhooks")?;
        let (switch, switch_inputs) = mpsc::channel(INPUTS_WAITING_MAX);
        let leases = config.bus.is_kafka().then(|| {
            let me = format!("{}-{}", config.switch.node, hex::encode(rand::random::<[u8; 6]>()));
            let takeover = config.pipeline.takeover;
            LeaseKeeper::new(store.clone(), clock.clone(), me, roles.to_string(), takeover)
        });
        let mut house = System {
            rooms,
            lake,
            addresses,
            stats: Arc::new(SwitchStats::default()),
            consumers: Arc::new(Vec::new()),
            tariffs: Tariffs::default(),
            sftp_fingerprint,
            streams,
            config,
            roles,
            switch,
            stop_switch: CancellationToken::new(),
            stop_rest: CancellationToken::new(),
            switch_tasks: Vec::new(),
            tasks: Vec::new(),
            leases,
            leasing: None,
            stop_leases: CancellationToken::new(),
            on_duty: Arc::new(AtomicBool::new(true)),
        };
        // What can still be wrong with the surroundings comes before the first task.
        let switch_log = match house.config.bus.is_kafka() && house.roles.has(Role::Switch) {
            true => Some(SwitchLog::open(&house.config)?),
            false => None,
        };
        house.start_stages(&screens);
        if house.roles.has(Role::Desk) {
            house.start_desks(mailer, webhooks);
        }
        house.start_switch(sockets.sip, switch_inputs, switch_log, screens, control_from).await?;
        if let Some(listener) = sockets.sftp {
            house.start_sftp(listener);
        }
        if let Some(listener) = sockets.web {
            house.start_web(listener, book, sockets.sql)?;
        }
        house.start_leases(sockets.health);
        info!(roles = %house.roles, ?addresses, "running");
        Ok(house)
    }

    /// After everybody has said what he wants a share of.
    fn start_leases(&mut self, health: Option<TcpListener>) {
        let mut has_leases = Arc::new(AtomicBool::new(true));
        if let Some(keeper) = self.leases.take() {
            has_leases = keeper.is_current();
            self.leasing = Some(tokio::spawn(keeper.run(self.rooms.bus.clone(), self.stop_leases.clone())));
        }
        let Some(listener) = health else { return };
        let (sender, obstacles) = watch::channel(vec!["starting".to_owned()]);
        self.tasks.push(tokio::spawn(readiness::run(
            self.rooms.clone(),
            has_leases,
            sender,
            self.stop_rest.clone(),
        )));
        let serving = web::serve_probe(listener, obstacles, self.stop_rest.clone().cancelled_owned());
        self.tasks.push(tokio::spawn(async move {
            if let Err(why) = serving.await {
                error!(error = %why, "questions of the supervisor are not answered any more");
            }
        }));
    }

    fn start_stages(&mut self, screens: &Screens) {
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

    /// Ticks, retention, compaction, export files, mail.
    fn start_desks(&mut self, mailer: Mailer, webhooks: WebhookSender) {
        if let Some(leases) = &mut self.leases {
            self.on_duty = leases.desk();
        }
        let pipeline = self.config.pipeline.clone();
        let rooms = self.rooms.clone();
        self.every(pipeline.tick, "tick", move || {
            let rooms = rooms.clone();
            async move {
                rooms.bus.append(event_writer::ticks(&*rooms.bus, rooms.clock.utc())).await?;
                Ok(())
            }
        });
        let (rooms, consumers) = (self.rooms.clone(), self.consumers.clone());
        let retention = self.config.bus.retention();
        let keeper = Arc::new(tokio::sync::Mutex::new(Keeper::for_mediator()));
        let copied = Arc::new(tokio::sync::Mutex::new(()));
        if !self.config.bus.is_kafka() {
            self.start_backups(copied.clone());
        }
        self.every(RETENTION_INTERVAL, "retention", move || {
            let (rooms, consumers, keeper) = (rooms.clone(), consumers.clone(), keeper.clone());
            let copied = copied.clone();
            async move {
                // While the log is copied nothing is dropped from it.
                let Ok(_nobody) = copied.try_lock() else { return Ok(()) };
                let now = rooms.clock.utc();
                keeper.lock().await.expire(&*rooms.bus, &consumers, retention, now).await?;
                Ok(())
            }
        });
        let schedule = Arc::new(tokio::sync::Mutex::new(export_files::Schedule::default()));
        let (rooms, desk) = (self.rooms.clone(), self.export_desk());
        self.every(EXPORT_INTERVAL, "export files", move || {
            let desk = export_files::Desk { directory: rooms.directory.current(), ..desk.clone() };
            let (schedule, now) = (schedule.clone(), rooms.clock.utc());
            async move {
                if desk.store.is_restore_held().await? {
                    return Ok(());
                }
                schedule.lock().await.tick(&desk, now).await
            }
        });
        let (rooms, keep) = (self.rooms.clone(), self.config.exports.keep_calls);
        self.every(DROP_COPIES_INTERVAL, "copies of calls in old export files", move || {
            let rooms = rooms.clone();
            // Longer than there is time: for ever.
            let before = chrono::TimeDelta::from_std(keep)
                .ok()
                .and_then(|keep| rooms.clock.utc().checked_sub_signed(keep));
            async move {
                if let Some(before) = before {
                    rooms.store.export_drop_copies(before, DROP_COPIES_FILES).await?;
                }
                Ok(())
            }
        });
        let rooms = self.rooms.clone();
        self.every(RESUBMIT_INTERVAL, "resubmission", move || {
            let rooms = rooms.clone();
            async move { resubmit::send_waiting(&rooms).await.map(|_| ()) }
        });
        let asked = (self.rooms.clone(), self.consumers.clone(), self.stop_rest.clone());
        self.every(billing::QUESTIONS_INTERVAL, "questions of commands", move || {
            let (rooms, consumers, stop) = asked.clone();
            async move { Ok(billing::see_questions(&rooms, &consumers, &stop).await?) }
        });
        if self.config.invoicing.automatic {
            let (rooms, lake, consumers) = (self.rooms.clone(), self.lake.clone(), self.consumers.clone());
            self.every(self.config.invoicing.poll, "billing", move || {
                let (rooms, lake, consumers) = (rooms.clone(), lake.clone(), consumers.clone());
                async move {
                    if rooms.store.is_restore_held().await? {
                        return Ok(());
                    }
                    billing::due(&rooms, &lake, &consumers).await
                }
            });
        }
        let (rooms, lake, alarms) = (self.rooms.clone(), self.lake.clone(), self.config.alarms.clone());
        let watch = Arc::new(tokio::sync::Mutex::new(alarms::Watch::default()));
        self.every(alarms.every, "alarms", move || {
            let (rooms, lake, alarms, watch) = (rooms.clone(), lake.clone(), alarms.clone(), watch.clone());
            async move {
                let look = alarms::gather(&rooms.store, &lake).await?;
                let now = rooms.clock.utc();
                let changes = watch.lock().await.look(&alarms, &look, now);
                alarms::tell(&rooms.store, &alarms, changes, now).await
            }
        });
        let rooms = self.rooms.clone();
        self.every(TOP_UP_INTERVAL, "top-ups", move || {
            let rooms = rooms.clone();
            async move { topup_feed::send_waiting(&rooms).await.map(|_| ()) }
        });
        let rooms = self.rooms.clone();
        self.every(RESUBMIT_INTERVAL, "imported records", move || {
            let rooms = rooms.clone();
            async move { import_feed::send_waiting(&rooms).await.map(|_| ()) }
        });
        let rooms = self.rooms.clone();
        self.every(RESUBMIT_INTERVAL, "changes of provisioning data", move || {
            let rooms = rooms.clone();
            async move { provisioning_feed::send_waiting(&rooms).await.map(|_| ()) }
        });
        let (rooms, mailer) = (self.rooms.clone(), Arc::new(mailer));
        let links = self.config.mail.links.clone();
        self.every(pipeline.mail_poll, "mail", move || {
            let (rooms, mailer, links) = (rooms.clone(), mailer.clone(), links.clone());
            async move {
                mail_queue::send_waiting(&rooms.store, &mailer, links.as_ref(), rooms.clock.utc()).await?;
                Ok(())
            }
        });
        let queue = WebhookQueue::new(self.rooms.store.clone(), webhooks, self.rooms.clock.clone());
        let queue = Arc::new(queue);
        self.every(WEBHOOK_INTERVAL, "webhooks", move || {
            let queue = queue.clone();
            async move { queue.send_waiting().await }
        });
        let rooms = self.rooms.clone();
        self.every(WEBHOOK_FORGET_INTERVAL, "old words for webhooks", move || {
            let rooms = rooms.clone();
            async move {
                rooms.store.webhook_forget(rooms.clock.utc()).await?;
                Ok(())
            }
        });
    }

    /// Backups that commands order: this process alone has the log open. `copied` is held while one is made.
    fn start_backups(&mut self, copied: Arc<tokio::sync::Mutex<()>>) {
        let desk = BackupDesk {
            rooms: self.rooms.clone(),
            config: self.config.clone(),
            lake: self.lake.clone(),
            retention: copied,
            stop: self.stop_rest.clone(),
            since: self.rooms.clock.utc(),
        };
        self.every(backup::order::ORDERS_INTERVAL, "backup", move || {
            let desk = desk.clone();
            async move { desk.look().await }
        });
    }

    /// Runs `work` every `interval` until the stop, while this process has the desk; a failure is logged and tried again next time.
    fn every<F, Work>(&mut self, interval: Duration, what: &'static str, mut work: F)
    where
        F: FnMut() -> Work + Send + 'static,
        Work: Future<Output = anyhow::Result<()>> + Send,
    {
        let (stop, on_duty) = (self.stop_rest.clone(), self.on_duty.clone());
        self.tasks.push(tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = stop.cancelled() => return,
                }
                if !on_duty.load(Ordering::Acquire) {
                    continue;
                }
                if let Err(why) = work().await {
                    error!(what, error = format!("{why:#}"), "failed; trying again");
                }
            }
        }));
    }

    async fn start_switch(
        &mut self,
        socket: Option<UdpSocket>,
        mut inputs_waiting: mpsc::Receiver<Input>,
        switch_log: Option<SwitchLog>,
        screens: Screens,
        control_from: Vec<u64>,
    ) -> anyhow::Result<()> {
        let clock = &self.rooms.clock;
        let (events, events_waiting) = mpsc::channel::<CallEvent>(EVENTS_WAITING_MAX);
        let inputs = self.switch.clone();
        if socket.is_none() {
            // What is said to the switch is said to nobody; the feed keeps the provisioning data of this process fresh.
            let stop = self.stop_rest.clone();
            self.tasks.push(tokio::spawn(async move {
                let unheard = async { while inputs_waiting.recv().await.is_some() {} };
                tokio::select! {
                    () = unheard => {}
                    () = stop.cancelled() => {}
                }
            }));
            inputs_waiting = mpsc::channel(1).1;
        }
        let feed = ControlFeed::begin(self.rooms.clone(), control_from, screens, inputs.clone()).await?;
        self.tasks.push(tokio::spawn(feed.run(self.stop_rest.clone())));
        let Some(socket) = socket else { return Ok(()) };
        // With the log on brokers, the switch has one of its own: it never waits for them.
        let bus: Arc<dyn Bus> = match switch_log {
            Some(log) => {
                let own = log.bus.clone();
                let (to, clock, stop) = (self.rooms.bus.clone(), clock.clone(), self.stop_rest.clone());
                self.tasks.push(tokio::spawn(forwarder::run(log, to, clock, stop)));
                own
            }
            None => self.rooms.bus.clone(),
        };
        self.switch_tasks
            .push(tokio::spawn(async move { event_writer::run(&*bus, events_waiting, inputs).await }));

        let (credit, questions) = mpsc::channel(charging::QUESTIONS_WAITING_MAX);
        let service = charging::Charging {
            rooms: self.rooms.clone(),
            switch: self.switch.clone(),
            consumers: self.consumers.clone(),
            config: self.config.charging.clone(),
            tariffs: self.tariffs.clone(),
        };
        self.tasks.push(tokio::spawn(charging::run(service, questions, self.stop_rest.clone())));
        let mut config = self.config.switch.clone();
        config.boot_min = switch_boot::next(&self.config.data, clock.utc())
            .with_context(|| format!("note the start of the switch in {}", self.config.data.display()))?;
        let running = switch::net::run(
            config,
            clock.shared(),
            rand::random(),
            socket,
            inputs_waiting,
            events,
            credit,
            self.stats.clone(),
            self.stop_switch.clone().cancelled_owned(),
        );
        self.switch_tasks.push(tokio::spawn(async move {
            if let Err(why) = running.await {
                error!(error = %why, "the switch has stopped");
            }
        }));
        Ok(())
    }

    fn start_sftp(&mut self, sftp_listener: TcpListener) {
        let sftp = self.config.sftp.clone();
        let root = self.config.exports.dir.clone();
        let (trail, events) = mpsc::channel(exports::sftp::EVENTS_WAITING_MAX);
        self.tasks.push(tokio::spawn(sftp_desk::keep_trail(
            self.rooms.store.clone(),
            self.rooms.clock.clone(),
            root.clone(),
            events,
            self.stop_rest.clone(),
        )));
        let (rooms, section) = (self.rooms.clone(), sftp.clone());
        self.every(MISS_INTERVAL, "files not fetched", move || {
            let (rooms, section) = (rooms.clone(), section.clone());
            async move {
                let now = rooms.clock.utc();
                sftp_desk::miss_readers(&rooms.store, &section, now).await?;
                rooms.store.trail_forget(now - chrono::TimeDelta::days(section.trail_days.into())).await?;
                Ok(())
            }
        });
        let (rooms, section) = (self.rooms.clone(), sftp.clone());
        self.every(INBOX_INTERVAL, "files put by partners", move || {
            let (rooms, section) = (rooms.clone(), section.clone());
            async move {
                let (directory, now) = (rooms.directory.current(), rooms.clock.utc());
                exchange_inbox::look(&rooms.store, &directory, &section, now).await
            }
        });
        let (rooms, section) = (self.rooms.clone(), sftp.clone());
        let dirs = [root.clone(), self.config.exports.archive.clone(), sftp.exchange_dir.clone()];
        let disks = Arc::new(Mutex::new(DiskWatch::default()));
        self.every(MISS_INTERVAL, "disk of the CDR files", move || {
            let (rooms, section, dirs, disks) = (rooms.clone(), section.clone(), dirs.clone(), disks.clone());
            async move {
                let mut levels = Vec::new();
                for dir in dirs {
                    levels.push((dir.clone(), disk_watch::Level::of(&dir)?));
                }
                let changes = {
                    let mut disks = disks.lock().unwrap_or_else(PoisonError::into_inner);
                    disks.look(&levels, u64::from(section.disk_free_percent_min))
                };
                disk_watch::tell(&rooms.store, changes, &section.alarm_to, rooms.clock.utc()).await
            }
        });
        let users = move |name: &str| {
            sftp.users.iter().find(|user| user.name == name).map(|user| exports::sftp::SftpUser {
                name: user.name.clone(),
                authorized_keys: user.authorized_keys.clone(),
                password_hash: user.password_hash.clone(),
                networks: user.networks.clone(),
                root: root.join(&user.folder),
                exchange: user.exchange.then(|| sftp.exchange_dir.join(&user.name)),
                deletable: user.may_delete,
                renamable: user.may_rename,
            })
        };
        let serving = exports::sftp::serve(
            self.config.sftp.server.clone(),
            users,
            trail,
            sftp_listener,
            self.stop_rest.clone().cancelled_owned(),
        );
        self.tasks.push(tokio::spawn(async move {
            if let Err(why) = serving.await {
                error!(error = %why, "the SFTP server has stopped");
            }
        }));
    }

    /// The console, and SQL for programs beside it: one count of wrong passwords serves both.
    fn start_web(
        &mut self,
        web_listener: TcpListener,
        book: Arc<RuleBook>,
        sql_listener: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        let passwords = web::Passwords::new(
            self.rooms.store.clone(),
            self.rooms.clock.shared(),
            self.config.web.second_factor.clone(),
        );
        if let Some(listener) = sql_listener {
            self.start_sql(listener, passwords.clone())?;
        }
        let (figures, current) = watch::channel(web::Figures::default());
        self.tasks.push(tokio::spawn(figures::run(
            self.rooms.clone(),
            self.stats.clone(),
            self.consumers.clone(),
            figures,
            self.stop_rest.clone(),
        )));
        let known = self.rooms.directory.clone();
        let desk = web::Desk {
            store: self.rooms.store.clone(),
            lake: self.lake.clone(),
            directory: Arc::new(move || known.current()),
            resubmit_refusal: resubmit::refusal,
            record_said: suspense_record::said_by,
            record_changed: suspense_record::changed,
            exchange: exchange_of(&self.config.sftp, &self.streams),
            rules: rule_desk::desk(
                book,
                self.config.fraud.rules.clone(),
                self.lake.clone(),
                self.rooms.store.clone(),
                self.rooms.directory.clone(),
            ),
            provisioning: provisioning_desk::desk(self.rooms.clone(), self.config.switch.clone()),
            tariffs: tariff_desk::desk(&self.rooms, self.lake.clone()),
            billing: billing_desk::desk(
                self.rooms.clone(),
                self.lake.clone(),
                self.consumers.clone(),
                billing::PATIENCE,
            ),
            balances: balance_sheet::desk(&self.rooms, self.config.bus.partitions()),
            download: downloads::desk(self.rooms.store.clone(), self.rooms.clock.clone()),
            figures: current,
            passwords,
            limits: web::RequestLimits {
                requests_per_minute: self.config.web.requests_per_minute,
                sign_ins_per_minute: self.config.web.sign_ins_per_minute,
            },
            is_behind_tls: self.config.web.behind_tls,
            clock: self.rooms.clock.shared(),
        };
        let serving = web::serve(desk, web_listener, self.stop_rest.clone().cancelled_owned());
        self.tasks.push(tokio::spawn(async move {
            if let Err(why) = serving.await {
                error!(error = %why, "the console has stopped");
            }
        }));
        Ok(())
    }

    fn start_sql(&mut self, listener: TcpListener, passwords: web::Passwords) -> anyhow::Result<()> {
        let config = lake::wire::WireConfig::of(&self.config.lake);
        let door = Arc::new(SqlDoor { passwords, store: self.rooms.store.clone() });
        let server = lake::wire::WireServer::new(&self.lake, door, &config).map_err(of_lake)?;
        let stop = self.stop_rest.clone();
        self.tasks.push(tokio::spawn(async move {
            server.serve(listener, stop.cancelled_owned()).await;
        }));
        Ok(())
    }

    /// Waits until every consumer has committed all that its topic holds.
    pub(crate) async fn drained(&self) -> anyhow::Result<()> {
        loop {
            if figures::records_waiting(&*self.rooms.bus, &self.consumers).await?.iter().all(|(_, n)| *n == 0)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes a file for every owner with calls waiting.
    pub(crate) async fn close_export_files(&self) -> anyhow::Result<Vec<export_files::Written>> {
        export_files::close_all(&self.export_desk(), self.rooms.clock.utc()).await
    }

    fn export_desk(&self) -> export_files::Desk {
        export_files::Desk {
            store: self.rooms.store.clone(),
            directory: self.rooms.directory.current(),
            streams: self.streams.clone(),
            config: self.config.exports.clone(),
            lake: Some(self.lake.clone()),
        }
    }

    /// Takes no new calls and hangs up those that are up, so that each has its record with its true length.
    async fn end_calls(&self) {
        if !self.roles.has(Role::Switch) {
            return;
        }
        // The switch may have stopped by itself; then nobody listens, and nothing is up.
        let _ = self.switch.send(Input::Drain(true)).await;
        let drained = async {
            while self.stats.load().calls_active > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Calls that are up may end by themselves, if there is time.
        let _ = tokio::time::timeout(self.config.pipeline.drain, drained).await;
        let patience = tokio::time::sleep(HANG_UP_PATIENCE);
        tokio::pin!(patience);
        for account in &self.rooms.directory.current().accounts {
            let _ = self.switch.send(Input::Control(Control::EndCallsOf { account: account.id })).await;
        }
        while self.stats.load().calls_active > 0 {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                () = &mut patience => return,
            }
        }
    }

    /// Ends the calls, lets their events be written, then stops the rest. What is still on the bus is worked off at the next
    /// start.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.end_calls().await;
        self.stop_switch.cancel();
        for task in self.switch_tasks {
            if tokio::time::timeout(STOP_PATIENCE, task).await.is_err() {
                error!(
                    "the switch's last events were not written in time; they are closed as partial at the next start"
                );
            }
        }
        self.stop_rest.cancel();
        for task in self.tasks {
            task.await.context("a task ended badly")?;
        }
        // Nobody works any more: what was ours is free.
        self.stop_leases.cancel();
        if let Some(leasing) = self.leasing {
            leasing.await.context("the keeper of the leases ended badly")?;
        }
        info!("stopped");
        Ok(())
    }
}
