//! Carries the switch's events from its own log on to Kafka. The switch never waits for the brokers: while they are away its events
//! stay here, for as long as the disk lasts.
//!
//! Each event goes on with its place in the switch's log as its origin, so one that is sent twice counts once. The position is
//! written down now and then, and may be old after a crash: what was sent since goes once more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, BusError, EmbeddedBus, EmbeddedConfig, Entry};
use model::{Origin, Record, Topic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::failure::UserError;
use crate::retention::Keeper;
use crate::runner::{Progress, decode};
use crate::system::Consumer;

/// Records of one lane at a time.
const READ_MAX: usize = 1_024;

/// Pause after the brokers refused, and the longest wait for something to send.
const PAUSE: Duration = Duration::from_secs(1);

/// How long events are kept after they were sent.
const KEEP: Duration = Duration::from_secs(3_600);

/// How often old ones are dropped.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// How long a stop tries to send what is left; what is not sent then is sent after the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The switch's own log.
pub(crate) struct SwitchLog {
    pub(crate) bus: Arc<EmbeddedBus>,
    dir: PathBuf,
    /// Of this log and no other, in origins.
    name: String,
}

impl SwitchLog {
    /// Opens it, or makes it.
    ///
    /// # Errors
    ///
    /// A [`UserError`] about the directory.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let dir = config.switch_log_dir();
        let log = EmbeddedConfig {
            partitions: config.bus.partitions(),
            retention: KEEP,
            segment_span: KEEP,
            ..config.bus.embedded.clone()
        };
        let bus = EmbeddedBus::open(&dir, log).map_err(|why| UserError::new(why.to_string(), ""))?;
        let id = id_of(&dir).with_context(|| format!("name the log in {}", dir.display()))?;
        Ok(Self { bus: Arc::new(bus), name: format!("switch:{}:{id}", config.switch.node), dir })
    }

    fn position_file(&self) -> PathBuf {
        self.dir.join("sent")
    }

    /// What was sent for certain; nothing that is not known counts as sent.
    fn sent(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(self.position_file()).unwrap_or_default();
        let mut positions: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        positions.resize(self.bus.partitions() as usize, 0);
        positions
    }

    fn note_sent(&self, positions: &[u64]) -> std::io::Result<()> {
        let words: Vec<String> = positions.iter().map(u64::to_string).collect();
        let fresh = self.dir.join("sent.new");
        std::fs::write(&fresh, words.join("\n") + "\n")?;
        std::fs::rename(fresh, self.position_file())
    }
}

/// A log that was deleted and made anew begins at 0 again: its name tells its events from those of the old one.
fn id_of(dir: &Path) -> std::io::Result<String> {
    let file = dir.join("id");
    match std::fs::read_to_string(&file) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    let id = hex::encode(rand::random::<[u8; 8]>());
    let fresh = dir.join("id.new");
    std::fs::write(&fresh, &id)?;
    std::fs::File::open(&fresh)?.sync_all()?;
    std::fs::rename(&fresh, &file)?;
    std::fs::File::open(dir)?.sync_all()?;
    Ok(id)
}

/// Sends until `stop`, and then what is left.
pub(crate) async fn run(log: SwitchLog, to: Arc<dyn Bus>, clock: Clock, stop: CancellationToken) {
    let mut positions = log.sent();
    let (sender, progress) = watch::channel(Progress { positions: positions.clone(), ..Progress::default() });
    let consumers = [Consumer { name: "forwarder", topic: Topic::Calls, progress }];
    let mut keeper = Keeper::default();
    let mut expired_at = Duration::ZERO;
    let mut is_failing = false;
    let mut stop_by = None;
    loop {
        let outcome = send_waiting(&log, &*to, &mut positions).await;
        sender.send_modify(|progress| progress.positions.clone_from(&positions));
        let n_sent = match outcome {
            Ok(n_sent) => {
                if is_failing {
                    info!("events of the switch reach the brokers again");
                    is_failing = false;
                }
                n_sent
            }
            Err(why) => {
                if !is_failing {
                    error!(
                        error = format!("{why:#}"),
                        "events of the switch do not reach the brokers; they are kept here"
                    );
                    is_failing = true;
                }
                0
            }
        };
        if n_sent > 0
            && let Err(why) = log.note_sent(&positions)
        {
            warn!(error = %why, "what was sent cannot be written down; it is sent again after a restart");
        }
        let now = clock.now();
        if now.mono.saturating_sub(expired_at) >= EXPIRE_EVERY {
            expired_at = now.mono;
            if let Err(why) = keeper.expire(&*log.bus, &consumers, KEEP, now.wall).await {
                warn!(error = %why, "events that were sent could not be dropped");
            }
        }
        if stop.is_cancelled() {
            let by = *stop_by.get_or_insert(now.mono + STOP_PATIENCE);
            if n_sent == 0 && !is_failing || now.mono >= by {
                return;
            }
        }
        if is_failing {
            tokio::time::sleep(PAUSE).await;
        } else if n_sent == 0 {
            let waiting: Vec<(u32, u64)> = (0_u32..).zip(positions.iter().copied()).collect();
            tokio::select! {
                _ = log.bus.wait(Topic::Calls, &waiting) => {}
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// Sends a batch of each lane; `positions` move on with what has arrived.
async fn send_waiting(log: &SwitchLog, to: &dyn Bus, positions: &mut [u64]) -> anyhow::Result<u64> {
    let mut entries = Vec::new();
    let mut reached = positions.to_vec();
    for (partition, position) in (0_u32..).zip(&mut reached) {
        let batch = match log.bus.read(Topic::Calls, partition, *position, READ_MAX).await {
            Ok(batch) => batch,
            // Only what was sent is ever dropped; the note of it was older.
            Err(BusError::Expired { oldest, .. }) => {
                *position = oldest;
                continue;
            }
            Err(why) => return Err(why.into()),
        };
        for stored in batch.records {
            let origin =
                Origin { stage: log.name.clone().into(), partition, offset: stored.offset, index: 0 };
            // What cannot be read goes on as it is: the mediator puts it aside.
            let payload = match decode(&stored.payload) {
                Ok(record) => model::wire::encode(&Record { origin: Some(origin), ..record }),
                Err(_) => stored.payload.to_vec(),
            };
            entries.push(Entry { topic: Topic::Calls, partition, payload });
        }
        *position = batch.next;
    }
    let n_entries = entries.len() as u64;
    if n_entries > 0 {
        to.append(entries).await?;
    }
    positions.copy_from_slice(&reached);
    Ok(n_entries)
}
