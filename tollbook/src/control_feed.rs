//! Hands the switch what the house says. Locks and kills on `[control]` go to it at once. Provisioning data goes to it when it has
//! changed: commands in other processes cannot write to an embedded log, so the database's revision is looked at twice a second too, and at
//! once when a server tells of a change.
//!
//! These are two tasks: reading and preparing the data of a large installation takes seconds, and a lock waits for none of that.

use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use model::{AccountId, Body, Control, Directory, Topic};
use store::Store;
use switch::{Input, Tables};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::fraud_watch::Screens;
use crate::runner::Rooms;

/// How often the database is asked for its revision.
const REVISION_POLL: Duration = Duration::from_millis(500);

/// After the database stopped telling of changes.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// How long a database that listens for us may be silent before it is asked to do so anew.
const LISTEN_ANEW: Duration = Duration::from_secs(600);

/// Records of one partition at a time.
const READ_MAX: usize = 256;

/// Where every partition of `[control]` ends now.
pub(crate) async fn ends(bus: &dyn Bus) -> Result<Vec<u64>, bus::BusError> {
    let mut ends = Vec::new();
    for partition in 0..bus.partitions() {
        ends.push(bus.range(Topic::Control, partition).await?.1);
    }
    Ok(ends)
}

/// Both tasks, ready to go.
pub(crate) struct ControlFeed {
    positions: Vec<u64>,
    handing: Handing,
}

impl ControlFeed {
    /// Gives the switch its first provisioning data, and reads `[control]` from `positions` on: where its partitions ended before that data was
    /// read ([`ends`]).
    ///
    /// # Errors
    ///
    /// When the switch has gone.
    pub(crate) async fn begin(
        rooms: Rooms,
        positions: Vec<u64>,
        screens: Screens,
        switch: mpsc::Sender<Input>,
    ) -> anyhow::Result<Self> {
        let (handed, read_at) = rooms.directory.current_with_age();
        let first = handed.clone();
        let mut handing = Handing { rooms, screens, switch, handed, tables: None, tables_before: None };
        let is_there = handing.hand_over(first, read_at, Vec::new()).await?;
        anyhow::ensure!(is_there, "the switch has stopped");
        Ok(Self { positions, handing })
    }

    /// Until `stop`, or until the switch has gone.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { positions, handing } = self;
        let changed = Arc::new(Notify::new());
        let (rooms, switch) = (handing.rooms.clone(), handing.switch.clone());
        let following = tokio::spawn(follow_directory(handing, changed.clone(), stop.clone()));
        let listening = tokio::spawn(listen(rooms.store.clone(), changed.clone()));
        follow_control(rooms, positions, changed, switch, stop).await;
        listening.abort();
        // It ends by the same stop, or when it finds that the switch has gone.
        if let Err(why) = following.await {
            error!(error = %why, "provisioning data is not followed any more");
        }
    }
}

/// Wakes whoever loads provisioning data as soon as the database tells of a change, where it does. What it cannot tell, because it is away or a
/// pool of connections stands before it, is found by looking.
async fn listen(store: Store, changed: Arc<Notify>) {
    let mut is_heard = true;
    loop {
        let why = match store.announcements().await {
            Ok(None) => return,
            Ok(Some(mut announcements)) => {
                is_heard = true;
                loop {
                    // A connection that a firewall has dropped without a word would be listened to for ever.
                    match timeout(LISTEN_ANEW, announcements.next()).await {
                        Ok(Ok(())) => changed.notify_one(),
                        Ok(Err(why)) => break Some(why),
                        Err(_silent) => break None,
                    }
                }
            }
            Err(why) => Some(why),
        };
        let Some(why) = why else { continue };
        if std::mem::replace(&mut is_heard, false) {
            warn!(error = %why, "the database tells of no changes; they are looked for until it does");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

/// Passes control messages on as they come.
async fn follow_control(
    rooms: Rooms,
    mut positions: Vec<u64>,
    changed: Arc<Notify>,
    switch: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    loop {
        match pass_on(&rooms, &mut positions, &changed, &switch).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => {
                error!(error = %why, "control messages could not be read; trying again");
                tokio::time::sleep(REVISION_POLL).await;
            }
        }
        let waiting_for: Vec<(u32, u64)> = (0_u32..).zip(positions.iter().copied()).collect();
        tokio::select! {
            waited = rooms.bus.wait(Topic::Control, &waiting_for) => {
                if let Err(why) = waited {
                    error!(error = %why, "cannot wait for control messages");
                    tokio::time::sleep(REVISION_POLL).await;
                }
            }
            () = switch.closed() => return,
            () = stop.cancelled() => return,
        }
    }
}

/// Passes on what has come. `false` when the switch has gone.
async fn pass_on(
    rooms: &Rooms,
    positions: &mut [u64],
    changed: &Notify,
    switch: &mpsc::Sender<Input>,
) -> Result<bool, bus::BusError> {
    for (partition, position) in (0_u32..).zip(positions.iter_mut()) {
        let batch = rooms.bus.read(Topic::Control, partition, *position, READ_MAX).await?;
        for stored in batch.records {
            let control = match model::wire::decode(&stored.payload) {
                Ok(record) => match record.body {
                    Body::Control(control) => control,
                    Body::Tick(_)
                    | Body::Call(_)
                    | Body::Cdr(_)
                    | Body::Edr(_)
                    | Body::Rated(_)
                    | Body::Posting(_)
                    | Body::Accrual(_)
                    | Body::Sighting(_) => continue,
                },
                Err(why) => {
                    warn!(partition, offset = stored.offset, error = %why, "control message cannot be read");
                    continue;
                }
            };
            if matches!(control, Control::ConfigChanged { .. }) {
                changed.notify_one();
            }
            info!(message = ?control, "control");
            if switch.send(Input::Control(control)).await.is_err() {
                return Ok(false);
            }
        }
        *position = batch.next;
    }
    Ok(true)
}

/// Loads provisioning data when it has changed, and hands it on.
async fn follow_directory(mut handing: Handing, changed: Arc<Notify>, stop: CancellationToken) {
    loop {
        let stepped = tokio::select! {
            stepped = handing.step() => stepped,
            () = stop.cancelled() => return,
        };
        match stepped {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => {
                error!(error = format!("{why:#}"), "provisioning data could not be read; trying again");
            }
        }
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(REVISION_POLL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What it takes to give the switch new provisioning data.
struct Handing {
    rooms: Rooms,
    screens: Screens,
    switch: mpsc::Sender<Input>,
    /// The snapshot that the switch has.
    handed: Arc<Directory>,
    /// Its tables, and those before them, which the switch may not have laid aside yet. Kept so that it is never the switch that clears
    /// away those of many subscribers.
    tables: Option<Arc<Tables>>,
    tables_before: Option<Arc<Tables>>,
}

impl Handing {
    /// Looks whether there is something new. `false` when the switch has gone.
    async fn step(&mut self) -> anyhow::Result<bool> {
        self.rooms.directory.reload_if_newer().await?;
        let (directory, read_at) = self.rooms.directory.current_with_age();
        if directory.revision == self.handed.revision {
            let old = self.tables_before.take();
            tokio::task::spawn_blocking(move || drop(old));
            return Ok(!self.switch.is_closed());
        }
        // Somebody locked an account by hand: its calls end as they do when a rule locks it.
        let locked = newly_locked(&self.handed, &directory);
        let mut ended: Vec<Input> =
            locked.map(|account| Input::Control(Control::EndCallsOf { account })).collect();
        let last = self.handed.kill_orders.last().map_or(0, |order| order.id);
        let orders = directory.kill_orders.iter().filter(|order| order.id > last);
        ended.extend(orders.map(|order| Input::EndCallsOf { account: order.account }));
        let is_there = self.hand_over(directory.clone(), read_at, ended).await?;
        // Only now: what could not be handed over is tried again, with the orders to end calls.
        self.handed = directory;
        Ok(is_there)
    }

    /// Gives the switch a snapshot, and has it end the calls of some accounts. `false` when it has gone.
    async fn hand_over(
        &mut self,
        directory: Arc<Directory>,
        read_at: Duration,
        ended: Vec<Input>,
    ) -> anyhow::Result<bool> {
        let (screens, old) = (self.screens.clone(), self.tables_before.take());
        let made = tokio::task::spawn_blocking(move || {
            drop(old);
            (screens.of(&directory), Arc::new(Tables::of(directory)))
        });
        let (screen, tables) = made.await?;
        self.tables_before = self.tables.replace(tables.clone());
        for input in [Input::Screen(screen), Input::Tables { tables, read_at }].into_iter().chain(ended) {
            if self.switch.send(input).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Accounts that may not call out any more and could before.
fn newly_locked<'a>(before: &'a Directory, now: &'a Directory) -> impl Iterator<Item = AccountId> + 'a {
    let was_locked = |account| {
        before.locks.iter().any(|lock| lock.account == account && lock.level.blocks_outgoing_on_net())
    };
    now.locks
        .iter()
        .filter(move |lock| lock.level.blocks_outgoing_on_net() && !was_locked(lock.account))
        .map(|lock| lock.account)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bus::{Bus, EmbeddedBus, EmbeddedConfig, Entry};
    use model::{Lock, LockLevel, LockSource, Record, TenantId};
    use store::World;

    use super::*;
    use crate::clock::Clock;
    use crate::directory::DirectoryFeed;
    use crate::fraud_watch::{FraudConfig, RuleBook};

    /// Beyond this, what is waited for does not come.
    const NEVER: Duration = Duration::from_secs(60);

    fn lock(account: i64, level: LockLevel) -> Lock {
        Lock {
            tenant: TenantId(1),
            account: AccountId(account),
            level,
            source: LockSource::Admin,
            reason: String::new(),
            alert: None,
            since: chrono::DateTime::UNIX_EPOCH,
            until: None,
        }
    }

    fn directory(locks: &[(i64, LockLevel)]) -> Directory {
        let locks = locks.iter().map(|(account, level)| lock(*account, *level)).collect();
        Directory { locks, ..Directory::default() }
    }

    async fn next(switch: &mut mpsc::Receiver<Input>) -> Input {
        timeout(NEVER, switch.recv()).await.expect("nothing comes").unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lock_passes_provisioning_data_that_is_still_being_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { partitions: 2, free_bytes_min: 0, ..EmbeddedConfig::default() };
        let bus = Arc::new(EmbeddedBus::open(&dir.path().join("bus"), config).unwrap());
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let clock = Clock::start();
        let from = ends(&*bus).await.unwrap();
        let feed = DirectoryFeed::load(store.clone(), clock.clone()).await.unwrap();
        let rooms = Rooms { bus: bus.clone(), store: store.clone(), clock, directory: feed };
        let book = RuleBook::load(&FraudConfig::default(), &rooms.directory.current()).unwrap();
        let screens = Screens { book: Arc::new(book), snapshots: Arc::default() };
        let (switch, mut heard) = mpsc::channel(16);
        let feed = ControlFeed::begin(rooms.clone(), from, screens, switch).await.unwrap();
        assert!(matches!(next(&mut heard).await, Input::Screen(_)));
        assert!(matches!(next(&mut heard).await, Input::Tables { .. }));

        // The next load stands still until it is let go.
        let (came, mut has_come) = mpsc::unbounded_channel();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        rooms.directory.prepare_with(move |_| {
            came.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
        });
        let stop = CancellationToken::new();
        let running = tokio::spawn(feed.run(stop.clone()));
        let world: World = toml::from_str("[[tenants]]\nhandle = \"vox\"\n").unwrap();
        store.import(&world, rooms.clock.utc(), "test").await.unwrap();
        timeout(NEVER, has_come.recv()).await.expect("it is not loaded").unwrap();

        let loading_at = rooms.clock.now().mono;
        let body = Body::Control(Control::LockChanged(lock(7, LockLevel::Outgoing)));
        let payload = model::wire::encode(&Record { origin: None, body });
        bus.append(vec![Entry { topic: Topic::Control, partition: 1, payload }]).await.unwrap();
        let came = next(&mut heard).await;
        assert!(
            matches!(&came, Input::Control(Control::LockChanged(lock)) if lock.account == AccountId(7)),
            "{came:?}"
        );
        assert!(heard.try_recv().is_err(), "the data was handed over before it was let go");
        go.send(()).unwrap();
        assert!(matches!(next(&mut heard).await, Input::Screen(_)));
        let handed = next(&mut heard).await;
        let Input::Tables { read_at, .. } = handed else { panic!("{handed:?}") };
        assert!(read_at < loading_at, "the switch would take it for newer than the lock");
        stop.cancel();
        running.await.unwrap();
    }

    #[test]
    fn calls_end_only_where_a_lock_is_new_and_stops_every_call() {
        let before = directory(&[(1, LockLevel::Outgoing), (2, LockLevel::None), (3, LockLevel::Foreign)]);
        let now = directory(&[
            (1, LockLevel::All),
            (2, LockLevel::Outgoing),
            (3, LockLevel::None),
            (4, LockLevel::Foreign),
            (5, LockLevel::Global),
        ]);
        let ended: Vec<AccountId> = newly_locked(&before, &now).collect();
        assert_eq!(ended, [AccountId(2), AccountId(5)]);
    }
}
