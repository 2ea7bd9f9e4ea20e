//! A price list on its way to being the next version of a profile: for `tollbook import fees` and for the console.
//!
//! In: the version in force, and the fees of a list. Out: the version that they make, what is different about it, what that does to the
//! calls of the last days, and after a yes the version in force, in one transaction. Rating goes on with the old one until the new one is
//! compiled, so no call waits.

use std::collections::HashMap;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use lake::Lake;
use model::{Directory, Fee, FeeId, ProfileVersionId, Provider, Retry, TariffVersion};
use rating::{FeeChange, FeeDiff, FeeDifference, Tariff, TariffError, compared_prices};
use rust_decimal::Decimal;
use store::{ImportReport, NewTariff, Store, StoreError, World};
use web::{ChangedFee, FeeChanges};

use crate::failure::UserError;
use crate::past_calls::{Compared, Selection, compare};
use crate::resubmit;
use crate::system::of_store;
use crate::world_file::fit;

/// The version that `listed` makes of `base`, compiled. With `keep` the fees stay that the list does not name.
pub(crate) fn next_version(
    base: &TariffVersion,
    listed: Vec<Fee>,
    valid_from: DateTime<Utc>,
    keep: bool,
) -> Result<(TariffVersion, Tariff), TariffError> {
    let mut version = TariffVersion { valid_from, fees: listed.into(), ..base.clone() };
    if keep {
        keep_unlisted(&mut version.fees, &base.fees);
    }
    for (fee, id) in version.fees.iter_mut().zip(0..) {
        fee.id = FeeId(id);
    }
    let tariff = Tariff::compile(&version)?;
    Ok((version, tariff))
}

/// Adds the fees of `old` that `fees` does not name; one that it names from a later time on stays until then.
pub(crate) fn keep_unlisted(fees: &mut Vec<Fee>, old: &[Fee]) {
    let key = |fee: &Fee| (fee.direction, fee.match_mode, fee.destination.clone(), fee.source.clone());
    // The earliest of each; one without a beginning comes before all.
    let mut begins = HashMap::new();
    for fee in fees.iter() {
        let begin = begins.entry(key(fee)).or_insert(fee.valid_from);
        *begin = fee.valid_from.min(*begin);
    }
    fees.extend(old.iter().filter_map(|fee| match begins.get(&key(fee)) {
        None => Some(fee.clone()),
        Some(None) => None,
        Some(Some(begin)) => {
            let is_before = fee.valid_from.is_none_or(|from| from < *begin);
            let valid_to = fee.valid_to.map_or(*begin, |to| to.min(*begin));
            is_before.then(|| Fee { valid_to: Some(valid_to), ..fee.clone() })
        }
    }));
}

/// The differences by kind; of each those that move most, up to `shown_max`, with what three minutes cost on-peak and off-peak.
pub(crate) fn changes_of(diff: &FeeDiff<'_>, shown_max: usize) -> Vec<FeeChanges> {
    let kinds = FeeChange::ALL.into_iter();
    kinds
        .map(|change| {
            let mut of_it: Vec<_> =
                diff.differences.iter().filter(|difference| difference.change == change).collect();
            of_it.sort_by_key(|difference| std::cmp::Reverse(moved(difference)));
            let shown = of_it.iter().take(shown_max).filter_map(|difference| changed(difference)).collect();
            FeeChanges { change: change.as_str(), n_fees: of_it.len(), fees: shown }
        })
        .collect()
}

fn changed(difference: &FeeDifference<'_>) -> Option<ChangedFee> {
    let fee = difference.new.or(difference.old)?;
    let prices = |fee: Option<&Fee>| {
        fee.map_or_else(String::new, |fee| {
            let (on, off) = compared_prices(fee);
            format!("{} / {}", on.round_dp(6).normalize(), off.round_dp(6).normalize())
        })
    };
    let any = |text: &str| if text.is_empty() { "any".to_owned() } else { text.to_owned() };
    Some(ChangedFee {
        destination: any(&fee.destination),
        source: any(&fee.source),
        zone: format!("{} {}", fee.zone, fee.zone_detail).trim_end().to_owned(),
        before: prices(difference.old),
        after: prices(difference.new),
    })
}

/// How much dearer or cheaper a call gets, in the state where it is more.
fn moved(difference: &FeeDifference<'_>) -> Decimal {
    let prices = |fee: Option<&Fee>| fee.map(compared_prices).unwrap_or_default();
    let (old, new) = (prices(difference.old), prices(difference.new));
    (new.0 - old.0).abs().max((new.1 - old.1).abs())
}

/// What the new fees do to calls of one level.
#[derive(Debug)]
pub(crate) struct Impact {
    pub(crate) provider: Provider,
    pub(crate) total: Compared,
    /// What comes on top of our margin.
    pub(crate) margin: Decimal,
}

/// What the calls of the last days, priced by this profile at whatever level, would have cost; levels without a call are left out.
pub(crate) async fn impacts(
    lake: &Lake,
    directory: &Directory,
    (version, tariff): (&TariffVersion, &Tariff),
    days: u32,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Impact>> {
    let of_profile = directory.tariffs.iter().filter(|there| there.profile.id == version.profile.id);
    let versions: Vec<_> = of_profile.map(|there| there.id).collect();
    let mut impacts = Vec::new();
    for provider in [Provider::Customer, Provider::Reseller, Provider::Carrier] {
        let selection = Selection {
            from: now - TimeDelta::days(i64::from(days)),
            to: now,
            provider,
            account: None,
            versions: versions.clone(),
        };
        let compared =
            compare(lake, &selection, tariff, &directory.ported_numbers, &mut |_, _, _| {}).await?;
        let total = compared.total();
        if total.calls == 0 {
            continue;
        }
        // What carriers are paid is our cost, what the others pay our income.
        let margin = match provider {
            Provider::Carrier => -total.difference(),
            Provider::Customer | Provider::Reseller => total.difference(),
        };
        impacts.push(Impact { provider, total, margin });
    }
    Ok(impacts)
}

/// Puts a version in force, if the one that it was made of still is. Unless it is to `correct_past` it may not begin in a time that is
/// over. `source` is what faults name.
pub(crate) async fn apply(
    store: &Store,
    directory: &Directory,
    (base, version): (ProfileVersionId, TariffVersion),
    correct_past: bool,
    (source, actor, now): (&Path, &str, DateTime<Utc>),
) -> anyhow::Result<ImportReport> {
    let tenant = directory.tenants.iter().find(|tenant| tenant.id == version.profile.tenant);
    let tenant = tenant.map(|tenant| tenant.handle.clone()).unwrap_or_default();
    let mut world = World { tariffs: vec![NewTariff { tenant, version }], ..World::default() };
    if !correct_past {
        fit(&mut world, directory, now, source)?;
    }
    store.import_over(&world, base, now, actor).await.map_err(|why| {
        if matches!(why, StoreError::VersionExists { .. }) {
            UserError::new(format!("{}: {why}", source.display()), "").into()
        } else {
            of_store(why)
        }
    })
}

/// Sends in again what waited for a tariff: calls that no fee covered, above all. How many.
pub(crate) async fn catch_up(store: &Store, actor: &str, now: DateTime<Utc>) -> store::Result<usize> {
    let mut ids = Vec::new();
    for record in store.suspense_list(0, u32::MAX).await? {
        let waits = record.suspended.retry == Retry::AfterTariffChange && record.resubmit_seq.is_none();
        if waits && resubmit::refusal(&record).is_none() {
            ids.push(record.id);
        }
    }
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(store.suspense_request(&ids, actor, now).await?.len())
}
