//! The thread that writes: it groups appends, so that those that come together share one fsync.
//!
//! In: jobs from any number of tasks, through a queue bounded in bytes. Out: replies, each after its records are
//! durable and can be read. A write that fails closes the log; the next append opens it again, which drops whatever
//! was half written.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tracing::{info, warn};

use super::log::Log;
use super::segment::TopicView;
use crate::clock;
use crate::{BusError, EmbeddedConfig, Entry, Expired};

/// Bytes of one group: above this a longer batch makes nothing faster.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// A log that failed is opened again at most this often.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

pub(super) type Reply<T> = oneshot::Sender<Result<T, BusError>>;

/// What the writer is asked to do.
pub(super) enum Job {
    Append {
        entries: Vec<Entry>,
        bytes: usize,
        reply: Reply<Vec<u64>>,
        /// Room in the queue, given back with the reply.
        room: OwnedSemaphorePermit,
    },
    Expire {
        now_us: i64,
        seen_before_us: i64,
        reply: Reply<Expired>,
    },
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Job::Append { bytes, .. } => *bytes,
            Job::Expire { .. } => 0,
        }
    }
}

/// What the writer shares with the tasks.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) config: EmbeddedConfig,
    /// What readers may see, or why they cannot.
    pub(super) views: RwLock<Result<Vec<TopicView>, BusError>>,
    /// Told whenever the topic has grown.
    pub(super) grown: Vec<watch::Sender<()>>,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    is_closed: bool,
}

/// How the last group went, for the pace of the next.
struct Pace {
    synced: Option<Instant>,
    appends: usize,
}

impl Shared {
    pub(super) fn new(dir: PathBuf, config: EmbeddedConfig, views: Vec<TopicView>) -> Self {
        let grown = views.iter().map(|_| watch::Sender::new(())).collect();
        Self {
            dir,
            config,
            views: RwLock::new(Ok(views)),
            grown,
            queue: Mutex::default(),
            arrived: Condvar::new(),
        }
    }

    /// Hands a job to the writer; a closed log drops it, and with it the reply.
    pub(super) fn submit(&self, job: Job) {
        let mut queue = self.lock_queue();
        if !queue.is_closed {
            queue.bytes += job.bytes();
            queue.jobs.push_back(job);
            self.arrived.notify_one();
        }
    }

    /// Lets the writer finish what is queued, and end.
    pub(super) fn close(&self) {
        self.lock_queue().is_closed = true;
        self.arrived.notify_one();
    }

    fn lock_queue(&self) -> MutexGuard<'_, Queue> {
        // A queue is consistent between any two statements that may panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for jobs. `None` when the log is closed and nothing is left to do.
    fn next_group(&self, pace: &Pace) -> Option<Vec<Job>> {
        let mut queue = self.lock_queue();
        while queue.jobs.is_empty() {
            if queue.is_closed {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        // Others are appending too: let them join, within the interval since the last fsync.
        let due = pace.synced.map(|synced| synced + self.config.sync_interval);
        while let Some(left) = due.and_then(|due| due.checked_duration_since(clock::mono())) {
            let has_company = pace.appends > 1 || queue.jobs.len() > 1;
            if left.is_zero() || !has_company || queue.is_closed || queue.bytes >= GROUP_BYTES_MAX {
                break;
            }
            let waited = self.arrived.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < GROUP_BYTES_MAX
            && let Some(job) = queue.jobs.pop_front()
        {
            bytes += job.bytes();
            group.push(job);
        }
        queue.bytes -= bytes;
        Some(group)
    }

    fn publish(&self, views: Result<Vec<TopicView>, BusError>) {
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = views;
    }

    fn tell_readers(&self) {
        for grown in &self.grown {
            grown.send_replace(());
        }
    }
}

/// The log as the writer has it.
enum State {
    Open(Box<Log>),
    Failed { error: BusError, retry_at: Instant },
}

/// Runs until the log is closed.
pub(super) fn run(shared: &Shared, log: Log) {
    let mut writer = Writer { shared, state: State::Open(Box::new(log)) };
    let mut pace = Pace { synced: None, appends: 0 };
    while let Some(jobs) = shared.next_group(&pace) {
        let mut group = Group::default();
        pace.appends = 0;
        for job in jobs {
            match job {
                Job::Append { entries, reply, room, .. } => {
                    pace.appends += 1;
                    group.add(entries, reply, room);
                }
                Job::Expire { now_us, seen_before_us, reply } => {
                    writer.append(std::mem::take(&mut group));
                    // The caller may have gone; the work is done all the same.
                    let _ = reply.send(writer.expire(now_us, seen_before_us));
                }
            }
        }
        writer.append(group);
        pace.synced = Some(clock::mono());
    }
    shared.publish(Err(BusError::Closed));
    shared.tell_readers();
}

/// Appends that share one fsync.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    replies: Vec<(usize, Reply<Vec<u64>>, OwnedSemaphorePermit)>,
}

impl Group {
    fn add(&mut self, mut entries: Vec<Entry>, reply: Reply<Vec<u64>>, room: OwnedSemaphorePermit) {
        self.replies.push((entries.len(), reply, room));
        self.entries.append(&mut entries);
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    state: State,
}

impl Writer<'_> {
    fn append(&mut self, group: Group) {
        if group.replies.is_empty() {
            return;
        }
        let appended = self.with_log(|log, _| log.append(group.entries, clock::wall_us()));
        match appended {
            Ok(offsets) => {
                self.shared.tell_readers();
                let mut offsets = offsets.into_iter();
                for (count, reply, _room) in group.replies {
                    let _ = reply.send(Ok(offsets.by_ref().take(count).collect()));
                }
            }
            Err(error) => {
                for (_, reply, _room) in group.replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn expire(&mut self, now_us: i64, seen_before_us: i64) -> Result<Expired, BusError> {
        let expired = self.with_log(|log, shared| {
            log.expire(now_us, seen_before_us, |log| shared.publish(Ok(log.views())))
        })?;
        if expired.records > 0 {
            info!(records = expired.records, bytes = expired.bytes, "records expired");
            self.shared.tell_readers();
        }
        Ok(expired)
    }

    /// Does `work` on the open log and shows its result to readers, opening the log first if a write had failed.
    fn with_log<T>(
        &mut self,
        work: impl FnOnce(&mut Log, &Shared) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        self.reopen_if_due();
        let log = match &mut self.state {
            State::Open(log) => log,
            State::Failed { error, .. } => return Err(error.clone()),
        };
        let done = work(log, self.shared);
        match &done {
            Ok(_) => self.shared.publish(Ok(log.views())),
            // What the log holds now is only known after it has been opened again. Readers keep what they see.
            Err(error @ BusError::WriteFailed { .. }) => {
                warn!(code = error.code(), %error, "the log failed, and will be opened again");
                self.state = State::Failed { error: error.clone(), retry_at: clock::mono() };
            }
            // The others are refusals before anything was written.
            Err(_) => {}
        }
        done
    }

    fn reopen_if_due(&mut self) {
        let State::Failed { error, retry_at } = &mut self.state else { return };
        if clock::mono() < *retry_at {
            return;
        }
        *retry_at = clock::mono() + REOPEN_EVERY;
        // The readers' handles keep the old database alive, and its lock with it.
        self.shared.publish(Err(error.clone()));
        match Log::open(&self.shared.dir, &self.shared.config) {
            Ok(log) => {
                info!(dir = %self.shared.dir.display(), "the log is open again");
                self.shared.publish(Ok(log.views()));
                self.shared.tell_readers();
                self.state = State::Open(Box::new(log));
            }
            // A read that is under way keeps the old database for a moment.
            Err(BusError::InUse { .. }) => {}
            Err(reason) => *error = reason,
        }
    }
}
