//! The provisioning snapshot, shared by every task of the process and replaced as a whole.

use std::sync::Arc;

use model::Directory;
use store::{Store, StoreError};
use tokio::sync::watch;

/// Hands out the current snapshot and loads new ones.
#[derive(Clone)]
pub struct DirectoryFeed {
    /// `None` where one snapshot is all there is: in the simulation.
    store: Option<Store>,
    latest: Arc<watch::Sender<Arc<Directory>>>,
}

impl DirectoryFeed {
    /// Loads the first snapshot.
    pub async fn load(store: Store) -> Result<Self, StoreError> {
        let first = Arc::new(store.directory().await?);
        Ok(Self { store: Some(store), latest: Arc::new(watch::Sender::new(first)) })
    }

    /// A snapshot that never changes.
    #[cfg(test)]
    pub fn fixed(directory: Directory) -> Self {
        Self { store: None, latest: Arc::new(watch::Sender::new(Arc::new(directory))) }
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Directory> {
        self.latest.borrow().clone()
    }

    /// Loads the snapshot again and hands it to everybody.
    pub async fn reload(&self) -> Result<Arc<Directory>, StoreError> {
        let Some(store) = &self.store else { return Ok(self.current()) };
        let fresh = Arc::new(store.directory().await?);
        self.latest.send_replace(fresh.clone());
        Ok(fresh)
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
