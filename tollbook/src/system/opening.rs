//! Opens what an installation keeps: database, lake and event log, and says whether they belong together.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, EmbeddedBus};
use lake::Lake;
use store::{Store, StoreError};

use crate::config::Config;
use crate::failure::UserError;
use crate::runner;
use crate::runner::Positions;

/// How often, and after what pause, it is looked for a lake that another process is making.
const LAKE_TRIES: u32 = 20;
const LAKE_PAUSE: Duration = Duration::from_millis(100);

/// Opens the database and the lake of an installation without starting anything: what commands work on.
pub(crate) async fn open_store(config: &Config) -> anyhow::Result<Store> {
    make_dir(&config.data)?;
    Store::open(&config.store_url()).await.map_err(of_store)
}

/// What stops the lake from opening or a query from running is the user's to put right, unless the lake says otherwise.
pub(crate) fn of_lake(why: lake::LakeError) -> anyhow::Error {
    if why.is_users_input() { UserError::new(why.to_string(), "").into() } else { anyhow::Error::new(why) }
}

/// What the store says of names, files and surroundings is the user's to put right; the rest is ours.
pub(crate) fn of_store(why: StoreError) -> anyhow::Error {
    if why.is_users() { UserError::new(why.to_string(), "").into() } else { anyhow::Error::new(why) }
}

/// For reading only where others may write it: then whoever has the role writes it by a handle of his own.
pub(super) async fn open_lake(config: &Config) -> anyhow::Result<Lake> {
    if !config.bus.is_kafka() {
        return Lake::open(config.lake.clone()).map_err(of_lake);
    }
    for _ in 0..LAKE_TRIES {
        match Lake::open_to_ask(&config.lake) {
            // The first of all processes makes it.
            Err(lake::LakeError::NoLake { .. }) => match Lake::open(config.lake.clone()) {
                Ok(made) => drop(made),
                Err(lake::LakeError::InUse { .. }) => tokio::time::sleep(LAKE_PAUSE).await,
                Err(why) => return Err(of_lake(why)),
            },
            opened => return opened.map_err(of_lake),
        }
    }
    Lake::open_to_ask(&config.lake).map_err(of_lake)
}

pub(super) fn make_dir(dir: &std::path::Path) -> Result<(), UserError> {
    std::fs::create_dir_all(dir).map_err(|why| {
        UserError::new(
            format!("{}: the directory cannot be made: {why}", dir.display()),
            "choose another `data` in the configuration, or give this user the right to write there",
        )
    })
}

/// The event log of an installation: embedded, by one process at a time, or on a Kafka cluster, by any number.
///
/// # Errors
///
/// What stops a log from opening is in its surroundings: a directory, another process, a damaged file, brokers that do not answer.
pub(crate) async fn open_bus(config: &Config) -> Result<Arc<dyn Bus>, BusError> {
    #[cfg(feature = "kafka")]
    if config.bus.is_kafka() {
        return Ok(Arc::new(bus::KafkaBus::open(&config.bus.url, config.bus.kafka.clone()).await?));
    }
    Ok(Arc::new(EmbeddedBus::open(&config.bus_dir(), config.bus.embedded.clone())?))
}

/// Whether event log, database and lake are of one installation: each alone may have been deleted or restored, and calls would be
/// lost or doubled if work went on.
pub(super) async fn belong_together(
    bus: &dyn Bus,
    store: &Store,
    lake: &Lake,
    config: &Config,
) -> anyhow::Result<()> {
    runner::check_positions(bus, &Positions::load(store, Some(lake)).await?)
        .await
        .map_err(|why| UserError::new(format!("{}: {why}", config.bus_place()), ""))?;
    if lake.count_rows()? > 0 && store.lane_positions().await?.is_empty() {
        return Err(UserError::new(
            format!("the database is new, and the lake in {} holds calls already", lake.place().display()),
            "restore the database from a backup, or begin with an empty data directory",
        )
        .into());
    }
    Ok(())
}
