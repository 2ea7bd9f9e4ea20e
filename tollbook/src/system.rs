//! The house, or one process's part of it: opens the rooms, connects them, starts and stops them in order.
//!
//! Everything that can be wrong with the surroundings (a port in use, a directory that cannot be written, a broken
//! database) is found before the first task starts.

mod calls;
mod console;
mod desk;
mod opening;
mod partners;
mod sockets;
mod stages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use exports::Streams;
use lake::Lake;
use model::Topic;
use notify::{Mailer, WebhookSender};
use switch::Input;
use switch::net::SwitchStats;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::opening::{belong_together, make_dir, open_lake};
use self::sockets::Sockets;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::DirectoryFeed;
use crate::failure::UserError;
use crate::forwarder::SwitchLog;
use crate::fraud_watch::{RuleBook, Screens};
use crate::leases::LeaseKeeper;
use crate::roles::{Role, Roles};
use crate::runner::{Progress, Rooms};
use crate::tariffs::Tariffs;
use crate::{control_feed, export_files, figures, readiness};

pub(crate) use self::opening::{of_lake, of_store, open_bus, open_store};

/// Inputs waiting for the switch besides its socket.
const INPUTS_WAITING_MAX: usize = 1_000;

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
        let _ = self.switch.send(Input::EndAll).await;
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
