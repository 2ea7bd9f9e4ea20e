//! The tariff workbench: tariffs and calls as files.
//!
//! In: a directory with `profile.toml`, `fees.csv` and, if wanted, `offpeak.toml`, `ported.csv` and `accounts.csv`; a file of calls. Out: a
//! [`TariffVersion`] for the store, or a file of rated calls. Nothing here needs a running system. What a file asks
//! for and this version cannot price is refused by name: a wrong price is worse than none.

mod accounts;
mod balances;
mod billing_intervals;
mod calls;
mod fees;
mod issue;
mod mapping;
mod offpeak;
mod ported;
mod price_list;
mod profile;
mod table;
mod toml_file;

use std::collections::HashMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use model::{FeeId, FeeMatch, PortedNumber, ProfileId, ProfileVersionId, TariffVersion, TenantId};

use crate::tariff::Tariff;

pub use accounts::OpeningBalance;
pub use calls::{CALLS, RateSummary, RatedCall, rate_calls, rate_one};
pub use issue::{Issue, WorkbenchError};
pub use mapping::{Mapping, SheetRow};
pub use ported::read_ported;
pub use price_list::{read_fees, read_mapped_fees, text_rows};

/// What the files do not say: the ids of what they describe, and since when it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TariffIds {
    /// Whose profile.
    pub tenant: TenantId,
    /// The profile.
    pub profile: ProfileId,
    /// This version of it.
    pub version: ProfileVersionId,
    /// The first fee; the others count on from it in the order of the file.
    pub first_fee: FeeId,
    /// In force for calls that start at or after this.
    pub valid_from: DateTime<Utc>,
}

impl Default for TariffIds {
    /// For a tariff that no store knows: ids from 0, in force since 1970.
    fn default() -> Self {
        Self {
            tenant: TenantId(0),
            profile: ProfileId(0),
            version: ProfileVersionId(0),
            first_fee: FeeId(0),
            valid_from: DateTime::UNIX_EPOCH,
        }
    }
}

/// A tariff directory, read and checked.
#[derive(Debug, Clone)]
pub struct TariffDir {
    /// The tariff.
    pub version: TariffVersion,
    /// Balances at the first interval's start, by account; an account that is missing has the grants alone.
    pub accounts: HashMap<String, OpeningBalance>,
    /// Numbers that another carrier serves than their prefix says.
    pub ported: Vec<PortedNumber>,
}

impl TariffDir {
    /// Reads the files in `dir`.
    ///
    /// # Errors
    ///
    /// [`WorkbenchError`] with everything that is wrong in them, each with file, line, column, rule and remedy.
    pub fn read(dir: &Path, ids: TariffIds) -> Result<TariffDir, WorkbenchError> {
        let mut issues = Vec::new();
        let profile = read_file(dir, "profile.toml", &mut issues)
            .and_then(|text| profile::read("profile.toml", &text, &mut issues));
        let fee_match = profile.as_ref().map_or(FeeMatch::Prefix, |profile| profile.fee_match);
        let fees = read_file(dir, "fees.csv", &mut issues)
            .map(|text| fees::read("fees.csv", &text, ids.first_fee, fee_match, &mut issues));
        let off_peak = if dir.join("offpeak.toml").exists() {
            read_file(dir, "offpeak.toml", &mut issues)
                .map(|text| offpeak::read("offpeak.toml", &text, &mut issues))
                .unwrap_or_default()
        } else {
            offpeak::OffPeak::default()
        };
        let accounts = if dir.join("accounts.csv").exists() {
            read_file(dir, "accounts.csv", &mut issues)
                .map(|text| accounts::read("accounts.csv", &text, &mut issues))
                .unwrap_or_default()
        } else {
            HashMap::new()
        };
        let ported = if dir.join("ported.csv").exists() {
            read_file(dir, "ported.csv", &mut issues)
                .map(|text| ported::read("ported.csv", &text, &mut issues))
                .unwrap_or_default()
        } else {
            Vec::new()
        };
        let (Some(profile), Some(fees), true) = (profile, fees, issues.is_empty()) else {
            return Err(WorkbenchError::Input { issues });
        };
        Ok(TariffDir { version: profile.into_version(ids, fees.into(), off_peak), accounts, ported })
    }
}

impl TariffDir {
    /// Compiles the tariff to be priced without balances, and without the reference's quirks.
    ///
    /// # Errors
    ///
    /// [`WorkbenchError::Input`] with what makes no sense.
    pub fn compile(&self) -> Result<Tariff, WorkbenchError> {
        let version = TariffVersion { compat: false, ..self.version.clone() };
        Tariff::compile(&version).map_err(|error| WorkbenchError::Input {
            issues: vec![Issue::of_file("fees.csv", error.to_string(), "correct the tariff")],
        })
    }
}

/// Reads the files in `dir` into a version for the store.
///
/// # Errors
///
/// As [`TariffDir::read`].
pub fn read_tariff(dir: &Path, ids: TariffIds) -> Result<TariffVersion, WorkbenchError> {
    TariffDir::read(dir, ids).map(|read| read.version)
}

fn read_file(dir: &Path, name: &str, issues: &mut Vec<Issue>) -> Option<String> {
    match std::fs::read_to_string(dir.join(name)) {
        Ok(text) => Some(text),
        Err(error) => {
            let remedy = if error.kind() == std::io::ErrorKind::NotFound {
                "create it, or name the directory that holds it"
            } else {
                "make it readable, and save it as UTF-8"
            };
            issues.push(Issue::of_file(name, error.to_string(), remedy));
            None
        }
    }
}
