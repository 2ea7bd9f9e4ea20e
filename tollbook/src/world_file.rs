//! The world file of `tollbook import`: provisioning data as people write it, with passwords, and the tariff directories
//! beside it.
//!
//! In: the file. Out: a [`World`] for the store, checked against itself and against what is provisioned already, so that what
//! is wrong is told before anything is written, also by a dry run.

mod check;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use md5::{Digest, Md5};
use model::{Directory, E164, SubscriberCalling};
use rating::workbench::{Issue, TariffIds, WorkbenchError, read_tariff};
use serde::Deserialize;
use sha2::Sha256;
use store::{
    NewAccount, NewBillingTerms, NewContract, NewExchangeRate, NewNetwork, NewPackage, NewProfileLimits,
    NewRoute, NewSubscriber, NewTariff, NewTenant, NewTrunk, World,
};

use crate::failure::UserError;
use crate::toml_file;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct WorldFile {
    /// Directories with profile.toml and fees.csv, relative to this file.
    tariffs: Vec<TariffInFile>,
    tenants: Vec<NewTenant>,
    accounts: Vec<NewAccount>,
    subscribers: Vec<SubscriberInFile>,
    trunks: Vec<NewTrunk>,
    routes: Vec<NewRoute>,
    profile_limits: Vec<NewProfileLimits>,
    billing_terms: Vec<NewBillingTerms>,
    networks: Vec<NewNetwork>,
    exchange_rates: Vec<NewExchangeRate>,
    packages: Vec<NewPackage>,
    contracts: Vec<NewContract>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a tariff is \"tariffs/retail\" or { dir = \"tariffs/retail\", valid_from = \"2026-12-01T00:00:00+01:00\" }"
)]
enum TariffInFile {
    /// In force from the import on; of a profile that is new, always.
    Dir(PathBuf),
    Dated(DatedTariff),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedTariff {
    dir: PathBuf,
    #[serde(default)]
    tenant: String,
    /// Prices calls that start at or after this.
    valid_from: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriberInFile {
    #[serde(default)]
    tenant: String,
    account: String,
    username: String,
    domain: String,
    /// In place of the two hashes.
    password: Option<String>,
    ha1_md5: Option<String>,
    ha1_sha256: Option<String>,
    #[serde(default)]
    numbers: Vec<E164>,
    cli: Option<E164>,
    calls_max: Option<u32>,
    uuid: Option<String>,
    profile: Option<String>,
    #[serde(default)]
    calling: SubscriberCalling,
}

/// Reads a world and its tariffs.
///
/// # Errors
///
/// A [`UserError`] naming the file, the line and what to do.
pub(crate) fn read(file: &Path) -> Result<World, UserError> {
    let world: WorldFile =
        toml_file::read(file, "give the world file, such as the one that `tollbook init` writes")?;
    let base = file.parent().unwrap_or(Path::new("."));
    let mut subscribers = Vec::new();
    for subscriber in world.subscribers {
        subscribers.push(with_hashes(subscriber, file)?);
    }
    let mut tariffs = Vec::new();
    for tariff in world.tariffs {
        let DatedTariff { dir, tenant, valid_from } = match tariff {
            TariffInFile::Dir(dir) => DatedTariff { dir, tenant: String::new(), valid_from: None },
            TariffInFile::Dated(dated) => dated,
        };
        let dir = base.join(dir);
        let ids = TariffIds { valid_from: valid_from.unwrap_or(ALWAYS), ..TariffIds::default() };
        let version = read_tariff(&dir, ids).map_err(|why| of_workbench(why, &dir))?;
        // What does not compile would only be found when the first call is priced.
        rating::Tariff::compile(&version)
            .map_err(|why| UserError::new(format!("{}: {why}", dir.display()), ""))?;
        tariffs.push(NewTariff { tenant, version });
    }
    let world = World {
        tenants: world.tenants,
        accounts: world.accounts,
        subscribers,
        trunks: world.trunks,
        routes: world.routes,
        profile_limits: world.profile_limits,
        billing_terms: world.billing_terms,
        networks: world.networks,
        exchange_rates: world.exchange_rates,
        packages: world.packages,
        contracts: world.contracts,
        tariffs,
    };
    check::within(&world).map_err(|wrong| wrong.in_file(file))?;
    Ok(world)
}

/// A tariff without a date.
const ALWAYS: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// Fits `world`, read from `file`, to what is provisioned already: a tariff without a date, of a profile that prices calls
/// already, is a new version from `now` on, so that calls made before keep their price.
///
/// # Errors
///
/// A [`UserError`] for what does not fit; nothing has been written then.
pub(crate) fn fit(
    world: &mut World,
    directory: &Directory,
    now: DateTime<Utc>,
    file: &Path,
) -> Result<(), UserError> {
    check::against(world, directory, now).map_err(|wrong| wrong.in_file(file))?;
    for tariff in &mut world.tariffs {
        if tariff.version.valid_from == ALWAYS && check::versions(directory, tariff).next().is_some() {
            tariff.version.valid_from = now;
        }
    }
    Ok(())
}

/// What must hold in a world, and beside what is provisioned: the object that breaks a rule, the rule, and what to do.
pub(crate) fn check_world(
    world: &World,
    directory: &Directory,
    now: DateTime<Utc>,
) -> Result<(), (String, String, &'static str)> {
    check::within(world).and_then(|()| check::against(world, directory, now)).map_err(check::Wrong::parts)
}

/// Both hashes of a password, or the rule that it breaks.
pub(crate) fn hashes(username: &str, domain: &str, password: &str) -> Result<(String, String), String> {
    check::password(username, password)?;
    Ok(ha1(username, domain, password))
}

/// What is wrong in the files of a tariff in `dir`, each line with the file's whole path.
pub(crate) fn of_workbench(error: WorkbenchError, dir: &Path) -> UserError {
    let error = match error {
        WorkbenchError::Input { issues } => WorkbenchError::Input {
            issues: issues
                .into_iter()
                .map(|issue| Issue { file: dir.join(&issue.file).display().to_string(), ..issue })
                .collect(),
        },
        output @ WorkbenchError::Output { .. } => output,
    };
    UserError::new(error.to_string(), "")
}

/// What is wrong in a file that is named in full already.
pub(crate) fn of_file(error: WorkbenchError) -> UserError {
    UserError::new(error.to_string(), "")
}

fn with_hashes(given: SubscriberInFile, file: &Path) -> Result<NewSubscriber, UserError> {
    let name = format!("{}@{}", given.username, given.domain);
    let (ha1_md5, ha1_sha256) = match (given.password, given.ha1_md5, given.ha1_sha256) {
        (Some(password), None, None) => {
            check::password(&given.username, &password).map_err(|rule| {
                UserError::new(format!("{}: subscriber {name}: {rule}", file.display()), "")
            })?;
            ha1(&given.username, &given.domain, &password)
        }
        (None, Some(md5), Some(sha256)) => (md5, sha256),
        _ => {
            return Err(UserError::new(
                format!(
                    "{}: subscriber {name} needs either `password`, or both `ha1_md5` and `ha1_sha256`",
                    file.display()
                ),
                "give one of the two",
            ));
        }
    };
    Ok(NewSubscriber {
        tenant: given.tenant,
        account: given.account,
        username: given.username,
        domain: given.domain,
        ha1_md5,
        ha1_sha256,
        numbers: given.numbers,
        cli: given.cli,
        calls_max: given.calls_max,
        uuid: given.uuid,
        profile: given.profile,
        calling: given.calling,
    })
}

/// HA1 in both hashes (RFC 8760, 2.4).
fn ha1(username: &str, realm: &str, password: &str) -> (String, String) {
    let secret = format!("{username}:{realm}:{password}");
    (hex::encode(Md5::digest(secret.as_bytes())), hex::encode(Sha256::digest(secret.as_bytes())))
}
