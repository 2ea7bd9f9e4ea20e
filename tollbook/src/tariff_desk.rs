//! Price lists for the console: what one would change, and the version that it makes.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use lake::Lake;
use model::{Directory, TariffVersion};
use rating::workbench::{Issue, WorkbenchError, read_fees};
use rating::{Tariff, fee_diff};
use tracing::warn;
use web::{FeeFault, FeeImpact, FeesApplied, FeesProposed, FeesRefused, FeesWanted, TariffDesk};

use crate::commands::simulate::signed;
use crate::failure::UserError;
use crate::fee_import::{apply, catch_up, changes_of, impacts, next_version};
use crate::provisioning_desk::announce;
use crate::runner::Rooms;

/// Changes of one kind that the console shows; all of them count.
const SHOWN_MAX: usize = 50;

/// What faults call the list, which has no file here.
const LIST: &str = "the list";

/// What the console asks.
pub(crate) fn desk(rooms: &Rooms, lake: Arc<Lake>) -> TariffDesk {
    let (proposing, applying) = (rooms.clone(), rooms.clone());
    TariffDesk {
        propose: Arc::new(move |wanted| {
            let (rooms, lake) = (proposing.clone(), lake.clone());
            async move {
                let now = rooms.clock.utc();
                proposed(&rooms.directory.current(), &lake, wanted, now).await.map_err(refused)
            }
            .boxed()
        }),
        apply: Arc::new(move |wanted, actor| {
            let rooms = applying.clone();
            // Done to its end also where whoever asked has gone: calls that wait for these fees are sent in again behind it.
            let applying = tokio::spawn(async move { applied(&rooms, wanted, &actor).await });
            async move { applying.await.unwrap_or_else(|why| Err(FeesRefused::Failed(why.to_string()))) }
                .boxed()
        }),
    }
}

/// What people can mend is told to them, anything else to the log.
fn refused(why: anyhow::Error) -> FeesRefused {
    if let Some(WorkbenchError::Input { issues }) = why.downcast_ref::<WorkbenchError>() {
        let fault = |issue: &Issue| FeeFault { line: issue.line, said: issue.to_string() };
        return FeesRefused::Faults { said: why.to_string(), faults: issues.iter().map(fault).collect() };
    }
    match why.chain().find_map(|cause| cause.downcast_ref::<UserError>()) {
        Some(said) => FeesRefused::Invalid(said.to_string()),
        None => FeesRefused::Failed(format!("{why:#}")),
    }
}

/// The version in force when the list is to begin, and the one that it makes of it.
async fn made_of(
    directory: &Arc<Directory>,
    wanted: &FeesWanted,
    valid_from: DateTime<Utc>,
) -> anyhow::Result<(TariffVersion, TariffVersion, Tariff)> {
    let (directory, wanted) = (directory.clone(), wanted.clone());
    let made = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let of_profile = directory.tariffs.iter().filter(|version| version.profile.id == wanted.profile);
        let begun = of_profile.filter(|version| version.valid_from <= valid_from);
        let base = begun.max_by_key(|version| version.valid_from).ok_or_else(|| {
            UserError::new("the profile has no version that early", "let the list begin later")
        })?;
        let listed = read_fees(LIST, &wanted.list, base.fee_match)?;
        let (version, tariff) = next_version(base, listed, valid_from, wanted.keep)
            .map_err(|why| UserError::new(format!("{LIST}: {why}"), ""))?;
        Ok((base.clone(), version, tariff))
    });
    made.await.context("read the list")?
}

async fn proposed(
    directory: &Arc<Directory>,
    lake: &Lake,
    wanted: FeesWanted,
    now: DateTime<Utc>,
) -> anyhow::Result<FeesProposed> {
    let (base, version, tariff) = made_of(directory, &wanted, wanted.valid_from.unwrap_or(now)).await?;
    let currency = version.profile.currency.to_string();
    let impacts = impacts(lake, directory, (&version, &tariff), wanted.days, now).await?;
    let impacts = impacts.into_iter().map(|impact| FeeImpact {
        side: impact.provider.to_string(),
        n_calls: impact.total.calls,
        n_unpriced: impact.total.unpriced,
        was: format!("{} {currency}", impact.total.was.normalize()),
        would_be: format!("{} {currency}", impact.total.would_be.normalize()),
        margin: format!("{} {currency}", signed(impact.margin)),
        is_worse: impact.margin.is_sign_negative() && !impact.margin.is_zero(),
    });
    let impacts = impacts.collect();
    let compared = tokio::task::spawn_blocking(move || {
        let diff = fee_diff(&base.fees, &version.fees, now);
        FeesProposed {
            base: base.id,
            n_before: base.fees.len(),
            n_after: version.fees.len(),
            n_same: diff.n_same,
            n_future: diff.n_future,
            changes: changes_of(&diff, SHOWN_MAX),
            impacts,
        }
    });
    compared.await.context("compare the fees")
}

async fn applied(rooms: &Rooms, wanted: FeesWanted, actor: &str) -> Result<FeesApplied, FeesRefused> {
    let now = rooms.clock.utc();
    // As the database has it: another process may have changed it since this one looked.
    let directory = Arc::new(rooms.store.directory().await.map_err(|why| refused(why.into()))?);
    let valid_from = wanted.valid_from.unwrap_or(now);
    let (base, version, _) = made_of(&directory, &wanted, valid_from).await.map_err(refused)?;
    if wanted.seen != Some(base.id) {
        let what = "another version of this profile is in force by now than the list was compared with; look at the differences once more";
        return Err(FeesRefused::Stale(what.to_owned()));
    }
    let n_fees = version.fees.len();
    let profile = version.profile.id;
    let said = (Path::new(LIST), actor, now);
    let report = apply(&rooms.store, &directory, (base.id, version), false, said).await.map_err(refused)?;
    // From here on the fees are in force, whatever fails. What is sent in again is to be priced by them.
    announce(rooms, report.revision).await;
    let n_resubmitted = match catch_up(&rooms.store, actor, now).await {
        Ok(n_resubmitted) => n_resubmitted,
        Err(why) => {
            warn!(error = %why, "suspended calls that wait for a fee could not be sent in again; send them from the page of health");
            0
        }
    };
    if !report.is_changed {
        return Ok(FeesApplied { version: base.id, n_fees, is_changed: false, valid_from, n_resubmitted });
    }
    let current = rooms.directory.current();
    let of_profile = current.tariffs.iter().filter(|version| version.profile.id == profile);
    let newest = of_profile.max_by_key(|version| version.id).map_or(base.id, |version| version.id);
    Ok(FeesApplied { version: newest, n_fees, is_changed: true, valid_from, n_resubmitted })
}
