//! Where lanes are kept between rounds.

use model::CdrId;
use store::{Fence, Lane, LaneCommit, Store, StoreError};

/// What is made of a lane when it is read.
pub type TakeLane<T> = Box<dyn Fn(Lane) -> T + Send + Sync>;

/// The part of the database that a runner needs; the simulation has another one, in memory and with faults.
pub trait LaneStore: Send + Sync {
    /// As [`Store::load_lanes`].
    fn load_lanes(&self, stage: &str) -> impl Future<Output = Result<Vec<Lane>, StoreError>> + Send;

    /// As [`Store::take_lanes`].
    fn take_lanes<T: Send + 'static>(
        &self,
        stage: &str,
        take: TakeLane<T>,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send {
        async move { Ok(self.load_lanes(stage).await?.into_iter().map(take).collect()) }
    }

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

    async fn take_lanes<T: Send + 'static>(
        &self,
        stage: &str,
        take: TakeLane<T>,
    ) -> Result<Vec<T>, StoreError> {
        Store::take_lanes(self, stage, take).await
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
