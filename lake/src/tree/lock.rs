//! Who writes a lake in a bucket, where no lock of a file system can tell: a sign, `.lock`, in which the writer counts every few seconds.
//!
//! Whoever finds it still counting stands by; one that has stopped is taken over. That keeps two writers from disturbing each other; that
//! none of them commits what it should not is the manifest's work.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Bucket;
use super::trouble::is_absent;
use crate::LakeError;
use crate::error::IoContext;
use crate::layout;

const SIGN: &str = ".lock";
/// How often the writer counts.
const BEAT: Duration = Duration::from_secs(3);
/// A sign that has not changed for so long is that of a dead writer.
const DEAD_AFTER: Duration = Duration::from_secs(12);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// How long the last word may take when a lake is closed.
const LAST_WORD: Duration = Duration::from_secs(5);

/// What is in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sign {
    /// Of the directory from which it is written: one machine, one directory, one process.
    holder: String,
    /// Of this opening.
    opening: u64,
    beats: u64,
    is_free: bool,
}

/// The right to write, as long as it lives.
pub(crate) struct Lock {
    bucket: Arc<Bucket>,
    holder: String,
    lost: Arc<AtomicBool>,
    /// Dropped, the counting ends.
    counting: Option<(oneshot::Sender<()>, mpsc::Receiver<()>)>,
    _local: File,
}

impl Lock {
    pub(super) fn take(bucket: Arc<Bucket>) -> Result<Self, LakeError> {
        let (local, holder) = local_lock(&bucket)?;
        let lost = Arc::new(AtomicBool::new(true));
        let mut lock = Self { bucket, holder, lost, counting: None, _local: local };
        lock.take_again()?;
        Ok(lock)
    }

    /// Whether somebody else has taken it for dead.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Takes it if nobody has it.
    pub(super) fn take_again(&mut self) -> Result<(), LakeError> {
        self.stop_counting();
        self.lost.store(true, Ordering::Release);
        let (store, holder) = (self.bucket.store().clone(), self.holder.clone());
        let taken = self.bucket.wait(async move { taken(&*store, holder).await })?;
        let taken = taken.map_err(|error| self.bucket.trouble("write", SIGN, &error))?;
        let Some((sign, etag)) = taken else {
            return Err(LakeError::InUse { dir: self.bucket.place().to_owned() });
        };
        self.refuse_without_conditions(&sign)?;
        self.lost = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = oneshot::channel();
        let (done, is_done) = mpsc::channel();
        let counting = count(self.bucket.store().clone(), sign, etag, self.lost.clone(), stopped);
        self.bucket.handle()?.spawn(async move {
            counting.await;
            // Whoever waits for it may have given up.
            let _ = done.send(());
        });
        self.counting = Some((stop, is_done));
        Ok(())
    }

    /// Some servers take a put with If-Match or If-None-Match and do not look at it: two writers would undo each other's commits.
    fn refuse_without_conditions(&self, sign: &Sign) -> Result<(), LakeError> {
        let no_conditions = || LakeError::NoConditions { dir: self.bucket.place().to_owned() };
        // The second as two that begin the same lake put its first manifest.
        for mode in [update(Some("\"0123456789abcdef0123456789abcdef\"".to_owned())), PutMode::Create] {
            let (store, bytes) = (self.bucket.store().clone(), sign.to_bytes());
            let put = self.bucket.wait(async move {
                store.put_opts(&Key::from(SIGN), PutPayload::from(bytes), mode.into()).await
            })?;
            match put {
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {}
                Ok(_) => return Err(no_conditions()),
                Err(error) => {
                    let trouble = self.bucket.trouble("write", SIGN, &error);
                    let is_unknown = matches!(trouble, LakeError::Store { .. })
                        && error.to_string().contains("NotImplemented");
                    return Err(if is_unknown { no_conditions() } else { trouble });
                }
            }
        }
        Ok(())
    }
}

impl Lock {
    /// Frees the sign, if it is ours, so that the next one need not wait; if that cannot be said in time, he has to.
    fn stop_counting(&mut self) {
        if let Some((stop, is_done)) = self.counting.take() {
            drop(stop);
            let _ = is_done.recv_timeout(LAST_WORD);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.stop_counting();
    }
}

impl Sign {
    fn to_bytes(&self) -> Vec<u8> {
        // Of texts and numbers: nothing in it cannot be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn update(e_tag: Option<String>) -> PutMode {
    PutMode::Update(UpdateVersion { e_tag, version: None })
}

async fn write(store: &dyn ObjectStore, sign: &Sign, mode: PutMode) -> Result<Option<String>, Error> {
    let put = store.put_opts(&Key::from(SIGN), PutPayload::from(sign.to_bytes()), mode.into()).await?;
    Ok(put.e_tag)
}

/// The sign there is, and which version of it; one that cannot be read is nobody's.
async fn look(store: &dyn ObjectStore) -> Result<Option<(Option<Sign>, Option<String>)>, Error> {
    match store.get(&Key::from(SIGN)).await {
        Ok(got) => {
            let etag = got.meta.e_tag.clone();
            Ok(Some((serde_json::from_slice(&got.bytes().await?).ok(), etag)))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Our sign, once nobody else's is alive; `None` if somebody's is.
async fn taken(store: &dyn ObjectStore, holder: String) -> Result<Option<(Sign, Option<String>)>, Error> {
    let ours = Sign { holder, opening: random(), beats: 0, is_free: false };
    let mode = match look(store).await? {
        None => PutMode::Create,
        Some((sign, etag)) => {
            // That of our own directory is of a process that has ended: we have its lock.
            let is_alive = sign.is_some_and(|sign| !sign.is_free && sign.holder != ours.holder);
            if is_alive && !is_silent(store, etag.as_ref()).await? {
                return Ok(None);
            }
            update(etag)
        }
    };
    match write(store, &ours, mode).await {
        Ok(etag) => Ok(Some((ours, etag))),
        Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {
            // The answer to our own put may have been lost.
            let found = look(store).await?;
            Ok(found.filter(|(sign, _)| sign.as_ref() == Some(&ours)).map(|(_, etag)| (ours, etag)))
        }
        Err(error) => Err(error),
    }
}

/// Whether a sign stays the same for as long as no living writer leaves it.
async fn is_silent(store: &dyn ObjectStore, etag: Option<&String>) -> Result<bool, Error> {
    for _ in 0..DEAD_AFTER.as_secs() / LOOK.as_secs() {
        tokio::time::sleep(LOOK).await;
        if look(store).await?.is_none_or(|(_, found)| found.as_ref() != etag) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Counts until `stopped`, then frees the sign.
async fn count(
    store: Arc<dyn ObjectStore>,
    mut sign: Sign,
    mut etag: Option<String>,
    lost: Arc<AtomicBool>,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        let is_last = tokio::select! {
            () = tokio::time::sleep(BEAT) => false,
            _ = &mut stopped => true,
        };
        let next = Sign { beats: sign.beats + 1, is_free: is_last, ..sign.clone() };
        match write(&*store, &next, update(etag.clone())).await {
            Ok(found) => (sign, etag) = (next, found),
            Err(Error::Precondition { .. }) => match look(&*store).await {
                // The answer to an earlier put was lost.
                Ok(Some((Some(found), version))) if found.opening == sign.opening => {
                    (sign, etag) = (found, version)
                }
                Ok(_) => {
                    lost.store(true, Ordering::Release);
                    tracing::warn!("another process has taken the lake over");
                    return;
                }
                Err(_) => {}
            },
            // The store may be down: it is counted on when it is back, or somebody else has it by then.
            Err(_) => {}
        }
        if is_last {
            return;
        }
    }
}

/// The lock of the directory of this machine, and its name.
fn local_lock(bucket: &Bucket) -> Result<(File, String), LakeError> {
    let dir = bucket.dir();
    std::fs::create_dir_all(dir).at("create", dir)?;
    let path = layout::lock(dir);
    let mut file =
        File::options().create(true).read(true).write(true).truncate(false).open(&path).at("open", &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LakeError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(LakeError::Io { action: "lock", path, source }),
    }
    let mut holder = String::new();
    file.read_to_string(&mut holder).at("read", &path)?;
    if holder.is_empty() {
        holder = format!("{:016x}{:016x}", random(), random());
        file.rewind().at("write", &path)?;
        file.write_all(holder.as_bytes()).at("write", &path)?;
        file.sync_all().at("sync", &path)?;
    }
    Ok((file, holder))
}

/// A number that hardly comes twice.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
