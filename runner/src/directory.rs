//! The provisioning snapshot, shared by every task of the process and replaced as a whole.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use model::Directory;
use store::{Store, StoreError};
use tokio::sync::watch;

use crate::clock::Clock;

/// What is made of a snapshot before anybody sees it.
type Prepare = Box<dyn Fn(&Arc<Directory>) + Send + Sync>;

/// Hands out the current snapshot and loads new ones.
#[derive(Clone)]
pub struct DirectoryFeed {
    /// `None` where one snapshot is all there is: in the simulation.
    store: Option<Store>,
    latest: Arc<watch::Sender<Arc<Directory>>>,
    /// When the latest one began to be read, on the monotonic clock; changed while the latest one is.
    read_at: Arc<Mutex<Duration>>,
    clock: Clock,
    prepare: Arc<OnceLock<Prepare>>,
}

impl DirectoryFeed {
    /// Loads the first snapshot.
    pub async fn load(store: Store, clock: Clock) -> Result<Self, StoreError> {
        let read_at = clock.now().mono;
        let first = Arc::new(store.directory().await?);
        Ok(Self::new(Some(store), first, clock, read_at))
    }

    /// A snapshot that never changes.
    #[cfg(test)]
    pub fn fixed(directory: Directory) -> Self {
        Self::new(None, Arc::new(directory), Clock::start(), Duration::ZERO)
    }

    fn new(store: Option<Store>, first: Arc<Directory>, clock: Clock, read_at: Duration) -> Self {
        let latest = Arc::new(watch::Sender::new(first));
        Self { store, latest, read_at: Arc::new(Mutex::new(read_at)), clock, prepare: Arc::default() }
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Directory> {
        self.latest.borrow().clone()
    }

    /// The same with when it began to be read, on the monotonic clock: what happened since may not be in it.
    pub fn current_with_age(&self) -> (Arc<Directory>, Duration) {
        let latest = self.latest.borrow();
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        (latest.clone(), read_at)
    }

    /// Has `prepare` work on every later snapshot before anybody sees it, off the tasks that use them: what takes time is done by then, and
    /// until then all go on with the snapshot before. The first to say so counts.
    pub fn prepare_with(&self, prepare: impl Fn(&Arc<Directory>) + Send + Sync + 'static) {
        let _ = self.prepare.set(Box::new(prepare));
    }

    /// Tells of every later snapshot.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Directory>> {
        self.latest.subscribe()
    }

    /// Loads the snapshot again and hands it to everybody.
    pub async fn reload(&self) -> Result<Arc<Directory>, StoreError> {
        let Some(store) = &self.store else { return Ok(self.current()) };
        let read_at = self.clock.now().mono;
        let fresh = Arc::new(store.directory().await?);
        if self.prepare.get().is_some() {
            let (feed, directory) = (self.clone(), fresh.clone());
            let prepare = move || feed.prepare.get().into_iter().for_each(|prepare| prepare(&directory));
            // One that fails is left to those who use the snapshot.
            let _ = tokio::task::spawn_blocking(prepare).await;
        }
        // Another one may have been faster with a newer one.
        self.latest.send_if_modified(|held| {
            let is_newer = fresh.revision >= held.revision;
            if is_newer {
                *held = fresh.clone();
                *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = read_at;
            }
            is_newer
        });
        Ok(self.current())
    }

    /// Loads it again if the database holds a newer one.
    pub async fn reload_if_newer(&self) -> Result<(), StoreError> {
        if let Some(store) = &self.store
            && store.revision().await? > self.current().revision
        {
            self.reload().await?;
        }
        Ok(())
    }
}
