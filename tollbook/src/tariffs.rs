//! The tariffs of the provisioning data, compiled once for all lanes of rating.

use std::sync::{Arc, Mutex, PoisonError};

use model::Directory;
use rating::{RatingSnapshot, RatingStage, TariffError};
use tracing::error;

/// What was compiled last, and the work on what comes next.
#[derive(Clone, Default)]
pub(crate) struct Tariffs {
    compiled: Arc<Mutex<Option<Arc<RatingSnapshot>>>>,
    /// The revision that could not be compiled last, and why: it is not tried again by each lane.
    refused: Arc<Mutex<Option<(i64, TariffError)>>>,
    /// Held by whoever compiles; the others wait for what comes of it.
    compiling: Arc<Mutex<()>>,
}

impl Tariffs {
    /// The tariffs of `directory`, compiled once for all who ask; what was compiled before is taken over.
    pub(crate) fn of(&self, directory: &Arc<Directory>) -> Result<Arc<RatingSnapshot>, TariffError> {
        let of_it = |held: &Arc<RatingSnapshot>| held.directory().revision == directory.revision;
        if let Some(held) = self.held().filter(of_it) {
            return Ok(held);
        }
        // Whoever needs the tariffs that are there does not wait for this.
        let _compiling = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.held();
        if let Some(held) = held.clone().filter(of_it) {
            return Ok(held);
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, why)) = refused.as_ref().filter(|(revision, _)| *revision == directory.revision) {
            return Err(why.clone());
        }
        let fresh = match RatingSnapshot::build(directory.clone(), held.as_deref()) {
            Ok(fresh) => Arc::new(fresh),
            Err(why) => {
                *refused = Some((directory.revision, why.clone()));
                return Err(why);
            }
        };
        let is_newer = held.is_none_or(|held| held.directory().revision < directory.revision);
        if is_newer {
            *self.compiled.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        }
        Ok(fresh)
    }

    /// The tariffs that were compiled last.
    fn held(&self) -> Option<Arc<RatingSnapshot>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives a lane of rating its tariffs; where they cannot be used it goes on with those it has.
    pub(crate) fn refresh(&self, stage: &mut RatingStage, directory: &Arc<Directory>) {
        match self.of(directory) {
            Ok(snapshot) => stage.set_snapshot(snapshot),
            Err(why) => {
                error!(error = %why, "a tariff cannot be used; calls are priced by the snapshot loaded before");
                if let Some(held) = self.held() {
                    stage.set_snapshot(held);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rating::workbench::{TariffIds, read_tariff};
    use store::{NewTariff, Store, World};

    use super::*;
    use crate::clock::Clock;
    use crate::directory::DirectoryFeed;

    #[test]
    fn tariff_that_cannot_be_used_is_tried_once_for_each_revision() {
        let retail = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/tariffs/retail");
        let good = read_tariff(&retail, TariffIds::default()).unwrap();
        let mut bad = good.clone();
        bad.id.0 += 1;
        let twice = bad.fees[0].clone();
        bad.fees.push(twice);
        let of = |revision, version: &model::TariffVersion| {
            Arc::new(Directory { revision, tariffs: vec![version.clone()], ..Directory::default() })
        };
        let tariffs = Tariffs::default();
        let first = tariffs.of(&of(1, &good)).unwrap();
        let refused = tariffs.of(&of(2, &bad)).map(drop).unwrap_err();
        // What lies under that revision is not looked at again, and those in force stay.
        assert_eq!(tariffs.of(&of(2, &good)).map(drop).unwrap_err(), refused);
        assert!(Arc::ptr_eq(&tariffs.held().unwrap(), &first));
        assert_eq!(tariffs.of(&of(3, &good)).unwrap().directory().revision, 3);
    }

    #[tokio::test]
    async fn new_fees_are_compiled_before_anybody_sees_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let retail = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/tariffs/retail");
        let mut version = read_tariff(&retail, TariffIds::default()).unwrap();
        let mut world: World = toml::from_str("[[tenants]]\nhandle = \"vox\"\n").unwrap();
        world.tariffs = vec![NewTariff { tenant: String::new(), version: version.clone() }];
        store.import(&world, now, "test").await.unwrap();
        let feed = DirectoryFeed::load(store.clone(), Clock::start()).await.unwrap();
        let tariffs = Tariffs::default();
        let ahead = tariffs.clone();
        feed.prepare_with(move |directory| drop(ahead.of(directory)));
        let old = tariffs.of(&feed.current()).unwrap();
        assert!(Arc::ptr_eq(&old, &tariffs.of(&feed.current()).unwrap()), "compiled once");

        version.valid_from = now;
        version.fees.pop();
        world.tariffs = vec![NewTariff { tenant: String::new(), version }];
        store.import(&world, now, "test").await.unwrap();
        // Whoever prices goes on with the old ones as long as nobody has loaded the others.
        assert!(Arc::ptr_eq(&old, &tariffs.of(&feed.current()).unwrap()));
        let mut seen = feed.subscribe();
        let loading = tokio::spawn({
            let feed = feed.clone();
            async move { feed.reload().await }
        });
        seen.changed().await.unwrap();
        let held = tariffs.held().unwrap();
        assert_eq!(held.directory().revision, feed.current().revision, "seen before it was compiled");
        assert!(held.directory().revision > old.directory().revision);
        assert!(Arc::ptr_eq(&held, &tariffs.of(&feed.current()).unwrap()));
        loading.await.unwrap().unwrap();
    }
}
