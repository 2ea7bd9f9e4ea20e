//! Keeps this process's leases: which lanes of which stages it works, while others of the installation work the rest.
//!
//! Every process says once a second that it lives, looks who else does, and by the same rule comes to the same shares: what it has
//! too much it gives back after its stages have let go, what nobody has it claims. Lanes that stay where they are are not disturbed.
//! A process whose beat stands still is dead to the others by *their* clocks; whether it really was does not matter: the claim has
//! raised the epoch, and the database refuses what the old owner commits ([`store::Store::commit_fenced`]).
//!
//! Who reaches the database and not the event log says that he lives and does nothing. So a process to which no lane of the log has answered
//! for long leaves its lanes to others until one does: they may reach it. The desk it keeps if nobody else has the log either: mail,
//! webhooks and alarms need the database alone, and are wanted most when the log is away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bus::Bus;
use model::Topic;
use store::{Lease, Process, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::runner::{Assignment, Share, ShareKeeper};

/// How often it is looked.
const BEAT: Duration = Duration::from_secs(1);

/// How long a stage may take to let go of a lane before it is given back all the same.
const LET_GO_PATIENCE: Duration = Duration::from_secs(2);

/// A process to which the log has not answered for so many takeover times leaves its lanes to others. More than one: brokers take some
/// seconds to settle who leads when one of them is gone, for everybody.
const CUT_OFF_AFTER: u32 = 2;

/// Rows of processes that have been dead for so many takeover times are cleared away.
const FORGET_AFTER: u32 = 6;

/// The task that one process does for all.
pub(crate) const DESK: &str = "desk";

/// What a process with the desk says it can do as long as no log answers it: the desk, if nobody else can.
const DESK_WITHOUT_LOG: &str = "desk-without-log";

/// What a process may hold leases of.
#[derive(Debug, Clone)]
struct Claimable {
    role: &'static str,
    name: &'static str,
    n_partitions: u32,
}

/// The keeper of one process's leases.
pub(crate) struct LeaseKeeper {
    store: Store,
    clock: Clock,
    me: String,
    roles: String,
    /// A process whose beat stands still for so long is dead.
    takeover: Duration,
    claimable: Vec<Claimable>,
    shares: HashMap<&'static str, ShareKeeper>,
    held: BTreeSet<Lease>,
    /// Beat and monotonic time of its last change, by process.
    seen: HashMap<String, (u64, Duration)>,
    confirmed_at: Duration,
    /// Milliseconds of the monotonic clock at which the log last answered.
    log_answered_ms: Arc<AtomicU64>,
    is_cut_off: bool,
    is_current: Arc<AtomicBool>,
    on_duty: Arc<AtomicBool>,
}

impl LeaseKeeper {
    /// For the process `me`, which holds nothing yet.
    pub(crate) fn new(store: Store, clock: Clock, me: String, roles: String, takeover: Duration) -> Self {
        Self {
            store,
            confirmed_at: clock.now().mono,
            log_answered_ms: Arc::new(AtomicU64::new(millis(clock.now().mono))),
            is_cut_off: false,
            clock,
            me,
            roles,
            takeover,
            claimable: Vec::new(),
            shares: HashMap::new(),
            held: BTreeSet::new(),
            seen: HashMap::new(),
            is_current: Arc::default(),
            on_duty: Arc::default(),
        }
    }

    /// The share of a stage's lanes, among the processes that have `role`.
    pub(crate) fn share(&mut self, role: &'static str, name: &'static str, n_partitions: u32) -> Share {
        let (share, keeper) = Share::leased(&self.me, self.is_current.clone());
        self.claimable.push(Claimable { role, name, n_partitions });
        self.shares.insert(name, keeper);
        share
    }

    /// Whether this process does what one does for all.
    pub(crate) fn desk(&mut self) -> Arc<AtomicBool> {
        self.claimable.push(Claimable { role: DESK, name: DESK, n_partitions: 1 });
        self.on_duty.clone()
    }

    /// Whether the leases were renewed lately.
    pub(crate) fn is_current(&self) -> Arc<AtomicBool> {
        self.is_current.clone()
    }

    /// Until `stop`; then everything is given back, at once free for others. `log` is asked now and then whether it can be reached.
    pub(crate) async fn run(mut self, log: Arc<dyn Bus>, stop: CancellationToken) {
        let answered_ms = self.log_answered_ms.clone();
        let clock = self.clock.clone();
        let asking = tokio::spawn(ask_log(log.partitions(), BEAT, move |lane| {
            let (log, clock, answered_ms) = (log.clone(), clock.clone(), answered_ms.clone());
            async move {
                if log.range(Topic::Control, lane).await.is_ok() {
                    answered_ms.store(millis(clock.now().mono), Ordering::Release);
                }
            }
        }));
        loop {
            let before = self.clock.now().mono;
            match tokio::time::timeout(self.takeover, self.look_again()).await {
                Ok(Ok(())) => self.confirmed_at = before,
                Ok(Err(why)) => {
                    error!(error = format!("{why:#}"), "leases could not be renewed; trying again")
                }
                Err(_) => error!("leases could not be renewed: the database does not answer; trying again"),
            }
            // Half of what the others wait: who cannot say that he lives stops before he is replaced.
            let age = self.clock.now().mono.saturating_sub(self.confirmed_at);
            let is_current = age < self.takeover / 2;
            if self.is_current.swap(is_current, Ordering::AcqRel) && !is_current {
                warn!("leases are not renewed; stages rest until they are");
            }
            let has_desk = self.held.iter().any(|lease| lease.name == DESK);
            self.on_duty.store(is_current && has_desk, Ordering::Release);
            tokio::select! {
                () = self.rest() => {}
                () = stop.cancelled() => break,
            }
        }
        asking.abort();
        if let Err(why) = self.store.process_forget(&self.me).await {
            warn!(error = %why, "leases could not be given back; others take them over in a while");
        }
    }

    /// Sleeps a beat; after a sleep that was longer than that, because the process or its machine stood still, nothing counts until
    /// the database has confirmed it.
    async fn rest(&self) {
        let began = self.clock.now().mono;
        tokio::time::sleep(BEAT).await;
        if self.clock.now().mono.saturating_sub(began) > self.takeover / 2 {
            warn!("this process stood still; its leases are looked at before it goes on");
            self.is_current.store(false, Ordering::Release);
            self.on_duty.store(false, Ordering::Release);
            // Nor was the log asked meanwhile: its silence counts from now on.
            self.log_answered_ms.store(millis(self.clock.now().mono), Ordering::Release);
        }
    }

    async fn look_again(&mut self) -> anyhow::Result<()> {
        let silent_ms =
            millis(self.clock.now().mono).saturating_sub(self.log_answered_ms.load(Ordering::Acquire));
        let is_cut_off = silent_ms > millis(self.takeover * CUT_OFF_AFTER);
        match (std::mem::replace(&mut self.is_cut_off, is_cut_off), is_cut_off) {
            (false, true) => {
                error!(silent_ms, "the event log does not answer; lanes are left to others until it does");
            }
            (true, false) => info!("the event log answers again"),
            (false, false) | (true, true) => {}
        }
        self.look().await
    }

    /// What this process can do at present.
    fn roles_now(&self) -> &str {
        let has_desk = self.roles.split(',').any(|role| role == DESK);
        match (self.is_cut_off, has_desk) {
            (false, _) => &self.roles,
            (true, true) => DESK_WITHOUT_LOG,
            (true, false) => "",
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        self.store.process_beat(&self.me, self.roles_now()).await?;
        let (processes, leases) = self.store.processes_and_leases().await?;
        let alive = self.alive(&processes);
        self.forget_dead(&processes).await?;

        let mine: BTreeSet<Lease> = leases.iter().filter(|lease| lease.owner == self.me).cloned().collect();
        let lost: Vec<&Lease> = self.held.difference(&mine).collect();
        if !lost.is_empty() {
            warn!(n_lanes = lost.len(), "lanes were taken over by others");
        }
        self.held = mine;
        let mut changes = Vec::new();
        let all_alive: Vec<&str> = alive.iter().map(|process| process.id.as_str()).collect();
        for claimable in &self.claimable {
            let mut capable = those_with(&alive, claimable.role);
            if capable.is_empty() && claimable.role == DESK {
                capable = those_with(&alive, DESK_WITHOUT_LOG);
            }
            let of_it: Vec<&Lease> = leases.iter().filter(|lease| lease.name == claimable.name).collect();
            let n_partitions = claimable.n_partitions;
            changes.push(balance(claimable.name, n_partitions, &self.me, (&capable, &all_alive), &of_it));
        }
        let given_back: Vec<Lease> = changes.iter().flat_map(|change| change.give_back.clone()).collect();
        for lease in &given_back {
            self.held.remove(lease);
        }
        self.publish();
        if !given_back.is_empty() {
            self.let_go().await;
            self.store.leases_release(&self.me, &given_back).await?;
            info!(n_lanes = given_back.len(), "lanes handed over");
        }
        let mut n_claimed = 0;
        for seen in changes.iter().flat_map(|change| &change.claim) {
            if let Some(epoch) = self.store.lease_claim(seen, &self.me).await? {
                self.held.insert(Lease { owner: self.me.clone(), epoch, ..seen.clone() });
                n_claimed += 1;
            }
        }
        if n_claimed > 0 {
            info!(n_lanes = n_claimed, "lanes taken over");
            self.publish();
        }
        Ok(())
    }

    /// Those whose beat has moved within the takeover time, by our clock; one that we see for the first time lives.
    fn alive(&mut self, processes: &[Process]) -> Vec<Process> {
        let now = self.clock.now().mono;
        self.seen.retain(|id, _| processes.iter().any(|process| process.id == *id));
        let mut alive = Vec::new();
        for process in processes {
            let seen = self.seen.entry(process.id.clone()).or_insert((process.beat, now));
            if seen.0 != process.beat {
                *seen = (process.beat, now);
            }
            if now.saturating_sub(seen.1) < self.takeover {
                alive.push(process.clone());
            }
        }
        alive
    }

    async fn forget_dead(&self, processes: &[Process]) -> anyhow::Result<()> {
        let now = self.clock.now().mono;
        for process in processes {
            let is_long_dead =
                |seen: &(u64, Duration)| now.saturating_sub(seen.1) > self.takeover * FORGET_AFTER;
            if self.seen.get(&process.id).is_some_and(is_long_dead) {
                self.store.process_forget(&process.id).await?;
            }
        }
        Ok(())
    }

    /// Tells each stage what it has.
    fn publish(&self) {
        for (name, keeper) in &self.shares {
            let lanes: BTreeMap<u32, Option<u64>> = self
                .held
                .iter()
                .filter(|lease| lease.name == *name)
                .map(|lease| (lease.partition, Some(lease.epoch)))
                .collect();
            keeper.assigned.send_if_modified(|assignment| {
                let is_news = assignment.lanes != lanes;
                if is_news {
                    *assignment = Assignment { generation: assignment.generation + 1, lanes };
                }
                is_news
            });
        }
    }

    /// Waits until every stage works by what it was told last; not for ever: the fence keeps a slow one out.
    async fn let_go(&mut self) {
        let waiting = async {
            for keeper in self.shares.values_mut() {
                let generation = keeper.assigned.borrow().generation;
                // A stage that has ended holds nothing.
                let _ = keeper.adopted.wait_for(|adopted| *adopted >= generation).await;
            }
        };
        if tokio::time::timeout(LET_GO_PATIENCE, waiting).await.is_err() {
            warn!("a stage is slow to let go of its lanes; they are handed over all the same");
        }
    }
}

/// Asks lane after lane of the log, one each beat, and does not wait for one that is silent: its leader may be away, and the others there. No
/// lane is asked twice at a time.
async fn ask_log<Asking>(n_lanes: u32, beat: Duration, ask: impl Fn(u32) -> Asking)
where
    Asking: Future<Output = ()> + Send + 'static,
{
    let mut asking = JoinSet::new();
    let mut asked = BTreeSet::new();
    let mut next = 0;
    loop {
        if let Some(lane) = (0..n_lanes).map(|n| (next + n) % n_lanes).find(|lane| !asked.contains(lane)) {
            next = (lane + 1) % n_lanes;
            asked.insert(lane);
            let question = ask(lane);
            asking.spawn(async move {
                question.await;
                lane
            });
        }
        tokio::time::sleep(beat).await;
        while let Some(done) = asking.try_join_next() {
            if let Ok(lane) = done {
                asked.remove(&lane);
            }
        }
    }
}

/// Those of `alive` that have a role, by name.
fn those_with<'a>(alive: &'a [Process], role: &str) -> Vec<&'a str> {
    let has_it = |process: &&Process| process.roles.split(',').any(|one| one == role);
    alive.iter().filter(has_it).map(|process| process.id.as_str()).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What one process has to change about the leases of one stage.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    give_back: Vec<Lease>,
    claim: Vec<Lease>,
}

/// The lanes are shared evenly among those who are alive and `capable` of the stage, in the order of their names; who is alive and
/// not capable gives back what it has, and until then it is not claimed.
fn balance(
    name: &str,
    n_partitions: u32,
    me: &str,
    (capable, alive): (&[&str], &[&str]),
    leases: &[&Lease],
) -> Change {
    let mine: Vec<&Lease> = leases.iter().filter(|lease| lease.owner == me).copied().collect();
    let Some(rank) = capable.iter().position(|id| *id == me) else {
        return Change { give_back: mine.into_iter().cloned().collect(), ..Change::default() };
    };
    let (n_partitions, n_capable) = (n_partitions as usize, capable.len());
    let quota = n_partitions / n_capable + usize::from(rank < n_partitions % n_capable);
    if mine.len() > quota {
        return Change {
            give_back: mine[quota..].iter().map(|lease| (*lease).clone()).collect(),
            ..Change::default()
        };
    }
    let mut free: Vec<Lease> = (0..u32::try_from(n_partitions).unwrap_or(u32::MAX))
        .filter_map(|partition| match leases.iter().find(|lease| lease.partition == partition) {
            Some(lease) if alive.contains(&lease.owner.as_str()) => None,
            Some(lease) => Some((*lease).clone()),
            None => Some(Lease { name: name.to_owned(), partition, owner: String::new(), epoch: 0 }),
        })
        .collect();
    // Everybody begins elsewhere, so that few claim the same.
    let n_free = free.len();
    if n_free > 0 {
        free.rotate_left(rank * n_free / n_capable);
    }
    free.truncate(quota - mine.len());
    Change { claim: free, ..Change::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of several processes that look in turn, each at what the others have left.
    struct Table {
        leases: Vec<Lease>,
        n_moved: usize,
    }

    impl Table {
        fn new() -> Self {
            Self { leases: Vec::new(), n_moved: 0 }
        }

        fn settle(&mut self, n_partitions: u32, capable: &[&str]) {
            self.n_moved = 0;
            for _ in 0..3 {
                for me in capable {
                    let seen: Vec<&Lease> = self.leases.iter().collect();
                    let change = balance("rating", n_partitions, me, (capable, capable), &seen);
                    for given in change.give_back {
                        let lease = self.leases.iter_mut().find(|lease| **lease == given).unwrap();
                        lease.owner = String::new();
                        self.n_moved += 1;
                    }
                    for claimed in change.claim {
                        self.leases.retain(|lease| lease.partition != claimed.partition);
                        let epoch = claimed.epoch + 1;
                        self.leases.push(Lease { owner: (*me).to_owned(), epoch, ..claimed });
                    }
                }
            }
            self.leases.sort();
        }

        fn share_of(&self, owner: &str) -> usize {
            self.leases.iter().filter(|lease| lease.owner == owner).count()
        }
    }

    #[test]
    fn lanes_are_shared_evenly_and_only_those_move_that_have_to() {
        let mut table = Table::new();
        table.settle(16, &["a"]);
        assert_eq!((table.share_of("a"), table.n_moved), (16, 0));
        table.settle(16, &["a", "b"]);
        assert_eq!((table.share_of("a"), table.share_of("b"), table.n_moved), (8, 8, 8));
        table.settle(16, &["a", "b", "c"]);
        assert_eq!([table.share_of("a"), table.share_of("b"), table.share_of("c")], [6, 5, 5]);
        assert_eq!(table.n_moved, 5);
    }

    #[test]
    fn lanes_of_the_dead_are_taken_over_under_a_higher_epoch() {
        let mut table = Table::new();
        table.settle(4, &["a", "b"]);
        let before = table.leases.clone();
        table.settle(4, &["b"]);
        assert_eq!(table.share_of("b"), 4);
        for (was, is) in before.iter().zip(&table.leases) {
            assert_eq!(is.epoch, was.epoch + u64::from(was.owner == "a"));
        }
    }

    #[test]
    fn with_more_processes_than_lanes_some_stand_by() {
        let mut table = Table::new();
        table.settle(1, &["a", "b", "c"]);
        assert_eq!([table.share_of("a"), table.share_of("b"), table.share_of("c")], [1, 0, 0]);
        table.settle(1, &["b", "c"]);
        assert_eq!(table.share_of("b"), 1);
    }

    /// What it holds, by name.
    fn held(keeper: &LeaseKeeper) -> Vec<&str> {
        keeper.held.iter().map(|lease| lease.name.as_str()).collect()
    }

    fn keeper(store: &Store, name: &str) -> LeaseKeeper {
        let takeover = Duration::from_secs(10);
        let mut keeper = LeaseKeeper::new(
            store.clone(),
            Clock::start(),
            name.to_owned(),
            "desk,rating".to_owned(),
            takeover,
        );
        keeper.desk();
        // Nobody works this stage: the end of its share has ended.
        drop(keeper.share("rating", "rating", 2));
        keeper
    }

    #[tokio::test]
    async fn without_the_log_lanes_are_left_and_the_desk_is_kept_until_somebody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("t.db").display());
        let store = Store::open(&url).await.unwrap();
        let (mut here, mut there) = (keeper(&store, "here"), keeper(&store, "there"));
        here.look().await.unwrap();
        assert_eq!(held(&here), ["desk", "rating", "rating"]);
        // The log is away for everybody.
        here.is_cut_off = true;
        there.is_cut_off = true;
        for _ in 0..3 {
            here.look().await.unwrap();
            there.look().await.unwrap();
        }
        assert_eq!((held(&here), held(&there)), (vec!["desk"], vec![]), "mail and alarms go on");
        // One has it again, and does what needs it.
        there.is_cut_off = false;
        for _ in 0..3 {
            there.look().await.unwrap();
            here.look().await.unwrap();
        }
        assert_eq!((held(&here), held(&there)), (vec![], vec!["desk", "rating", "rating"]));
    }

    #[tokio::test]
    async fn lanes_that_are_silent_do_not_keep_others_from_being_asked() {
        let (asked, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let asking = tokio::spawn(ask_log(3, Duration::from_millis(1), move |lane| {
            let asked = asked.clone();
            async move {
                asked.send(lane).unwrap();
                if lane != 2 {
                    std::future::pending::<()>().await;
                }
            }
        }));
        let mut lanes = Vec::new();
        while lanes.len() < 6 {
            lanes.push(seen.recv().await.unwrap());
        }
        asking.abort();
        // Those that are silent are not asked once more.
        assert_eq!(lanes, [0, 1, 2, 2, 2, 2]);
    }
}
