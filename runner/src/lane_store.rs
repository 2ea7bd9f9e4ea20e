//! Where lanes are kept between rounds.

use model::CdrId;
use store::{Fence, Lane, LaneCommit, Store, StoreError};

/// The part of the database that a runner needs; the simulation has another one, in memory and with faults.
pub trait LaneStore: Send + Sync {
    /// As [`Store::load_lanes`].
    fn load_lanes(&self, stage: &str) -> impl Future<Output = Result<Vec<Lane>, StoreError>> + Send;

    /// As [`Store::commit`]: all of it or nothing, and nothing for whoever holds an outdated position; with a fence as
    /// [`Store::commit_fenced`].
    fn commit(
        &self,
        stage: &str,
        lanes: Vec<LaneCommit>,
        fence: Option<&Fence>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// As [`Store::rated_revisions`].
    fn rated_revisions(&self, cdr: CdrId) -> impl Future<Output = Result<Vec<Vec<u8>>, StoreError>> + Send;
}

impl LaneStore for Store {
    async fn load_lanes(&self, stage: &str) -> Result<Vec<Lane>, StoreError> {
        Store::load_lanes(self, stage).await
    }

    async fn commit(
        &self,
        stage: &str,
        lanes: Vec<LaneCommit>,
        fence: Option<&Fence>,
    ) -> Result<(), StoreError> {
        match fence {
            Some(fence) => self.commit_fenced(stage, lanes, fence).await,
            None => Store::commit(self, stage, lanes).await,
        }
    }

    async fn rated_revisions(&self, cdr: CdrId) -> Result<Vec<Vec<u8>>, StoreError> {
        Store::rated_revisions(self, cdr).await
    }
}
