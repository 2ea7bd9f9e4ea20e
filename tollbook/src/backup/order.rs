//! A backup that a command orders from a running house, whose process alone has the embedded event log open.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::Lake;
use store::{BackupProgress, Store};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{Sources, take};
use crate::config::Config;
use crate::failure::UserError;
use crate::runner::Rooms;

/// How often a running house looks for an order.
pub(crate) const ORDERS_INTERVAL: Duration = Duration::from_millis(500);

/// Words of a backup that nobody has told yet.
const WORDS_WAITING_MAX: usize = 16;

/// Between two looks of the command.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a house may take to see an order.
const SEEN_WITHIN: Duration = Duration::from_secs(15);

/// What a house needs to carry out orders.
#[derive(Clone)]
pub(crate) struct BackupDesk {
    pub(crate) rooms: Rooms,
    pub(crate) config: Config,
    pub(crate) lake: Arc<Lake>,
    /// Held while a copy is made: nothing is dropped from the log before it is copied.
    pub(crate) retention: Arc<Mutex<()>>,
    pub(crate) stop: CancellationToken,
    /// Orders from before are of those who have gone.
    pub(crate) since: DateTime<Utc>,
}

impl BackupDesk {
    /// Carries out the order that waits, if one does. A stop of the house ends it.
    pub(crate) async fn look(&self) -> anyhow::Result<()> {
        let store = &self.rooms.store;
        let Some(order) = store.backup_take(self.since, self.rooms.clock.utc()).await? else { return Ok(()) };
        info!(dir = order.dir, "backup begun");
        let _kept = self.retention.lock().await;
        let from = Sources {
            config: &self.config,
            config_file: Path::new(&order.config),
            store,
            lake: Some(&self.lake),
            bus: Some(&*self.rooms.bus),
        };
        let (words, mut said) = mpsc::channel::<String>(WORDS_WAITING_MAX);
        let telling = async move {
            while let Some(said) = said.recv().await {
                // Only words: the next ones come soon.
                if let Err(why) = store.backup_say(order.id, &said).await {
                    info!(error = %why, "a command is not told how far its backup is");
                }
            }
        };
        let dir = Path::new(&order.dir);
        let making = take(from, dir, self.rooms.clock.utc(), move |said| {
            // Whoever does not listen fast enough misses a word.
            let _ = words.try_send(said);
        });
        let both = async { tokio::join!(making, telling).0 };
        let fault = match self.stop.run_until_cancelled(both).await {
            Some(Ok(backup)) => {
                info!(dir = order.dir, bytes = backup.bytes(), "backup made");
                String::new()
            }
            Some(Err(why)) => {
                error!(dir = order.dir, error = format!("{why:#}"), "no backup was made");
                format!("{why:#}")
            }
            None => "the house was stopped".to_owned(),
        };
        store.backup_end(order.id, &fault, self.rooms.clock.utc()).await?;
        Ok(())
    }
}

/// In a command: has the running house make a backup, and says what it is at.
///
/// # Errors
///
/// A [`UserError`] when the house does not answer, ends, or fails.
pub(crate) async fn order(
    store: &Store,
    log_dir: &Path,
    dir: &Path,
    config_file: &Path,
    now: DateTime<Utc>,
    mut say: impl FnMut(String),
) -> anyhow::Result<()> {
    let words = |path: &Path| path.display().to_string();
    let id = store.backup_order(&words(dir), &words(config_file), now).await?;
    let asked = tokio::time::Instant::now();
    let mut last = String::new();
    loop {
        let progress = store.backup_progress(id).await?;
        let is_up = bus::EmbeddedBus::is_open_somewhere(log_dir);
        match progress {
            BackupProgress::Done => return Ok(()),
            BackupProgress::Failed(fault) => {
                return Err(UserError::new(format!("the running house could not: {fault}"), "").into());
            }
            BackupProgress::Taken(said) if said != last => {
                say(said.clone());
                last = said;
            }
            BackupProgress::Unseen | BackupProgress::Taken(_) if !is_up => {
                let what = "the house has ended before the backup was whole";
                return Err(UserError::new(what, "try again, with an empty directory").into());
            }
            BackupProgress::Unseen if asked.elapsed() > SEEN_WITHIN => {
                let what =
                    format!("a house is running, but has not answered within {} s", SEEN_WITHIN.as_secs());
                return Err(UserError::new(what, "look at its log; or stop it, and try again").into());
            }
            BackupProgress::Unseen | BackupProgress::Taken(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}
