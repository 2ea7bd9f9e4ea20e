//! The world file of `tollbook import`: provisioning data as people write it, with passwords, and the tariff directories
//! beside it.

use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use model::E164;
use rating::workbench::{TariffIds, read_tariff};
use serde::Deserialize;
use sha2::Sha256;
use store::{NewAccount, NewRoute, NewSubscriber, NewTariff, NewTenant, NewTrunk, World};

use crate::failure::UserError;
use crate::toml_file;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct WorldFile {
    /// Directories with profile.toml and fees.csv, relative to this file.
    tariffs: Vec<PathBuf>,
    tenants: Vec<NewTenant>,
    accounts: Vec<NewAccount>,
    subscribers: Vec<SubscriberInFile>,
    trunks: Vec<NewTrunk>,
    routes: Vec<NewRoute>,
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
    for dir in &world.tariffs {
        let wrong =
            |why: &dyn std::fmt::Display| UserError::new(format!("tariff {}: {why}", dir.display()), "");
        let version = read_tariff(&base.join(dir), TariffIds::default()).map_err(|why| wrong(&why))?;
        // What does not compile would only be found when the first call is priced.
        rating::Tariff::compile(&version).map_err(|why| wrong(&why))?;
        tariffs.push(NewTariff { tenant: String::new(), version });
    }
    Ok(World {
        tenants: world.tenants,
        accounts: world.accounts,
        subscribers,
        trunks: world.trunks,
        routes: world.routes,
        tariffs,
    })
}

fn with_hashes(given: SubscriberInFile, file: &Path) -> Result<NewSubscriber, UserError> {
    let name = format!("{}@{}", given.username, given.domain);
    let (ha1_md5, ha1_sha256) = match (given.password, given.ha1_md5, given.ha1_sha256) {
        (Some(password), None, None) => ha1(&given.username, &given.domain, &password),
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
    })
}

/// HA1 in both hashes (RFC 8760, 2.4).
fn ha1(username: &str, realm: &str, password: &str) -> (String, String) {
    let secret = format!("{username}:{realm}:{password}");
    (hex::encode(Md5::digest(secret.as_bytes())), hex::encode(Sha256::digest(secret.as_bytes())))
}
