//! Tariff versions in and out of their tables. A version is written once, whole, and never touched again.
//!
//! Currency, zone and prepaid flag are kept with each version, so a later change of the profile cannot reprice the past.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chrono::{DateTime, NaiveDateTime, NaiveTime, Utc};
use model::{
    BillingInterval, BillingProfile, Fee, FeeId, Fees, OffPeakSpecial, OffPeakWeekday, PeakOptions,
    ProfileId, ProfileVersionId, Rate, Rounding, TariffVersion, TenantId,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::Result;
use crate::directory::joined;
use crate::fee_list::{PackedFees, pack, unpack};
use crate::sql::{
    Bind, Cell, Columns, cells, count, fetch_in, insert_rows, json, query, query_of, signed, unreadable,
};

/// A packed list that is longer is unpacked beside the others: four hundred thousand fees take a tenth of a second.
const LONG_LIST_BYTES: usize = 256 << 10;

/// Lists that somebody in this process still has: a version never changes, so it is unpacked once.
#[derive(Debug, Default)]
pub(crate) struct KnownLists(Mutex<HashMap<ProfileVersionId, KnownList>>);

#[derive(Debug)]
struct KnownList {
    digest: String,
    fees: Weak<Vec<Fee>>,
}

impl KnownLists {
    /// The fees of a version, by their digest.
    fn get(&self, version: ProfileVersionId, digest: &str) -> Option<Fees> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.get(&version).filter(|known| known.digest == digest)?.fees.upgrade().map(Fees::from)
    }

    fn keep<'f>(&self, unpacked: impl Iterator<Item = (ProfileVersionId, &'f str, &'f Fees)>) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|_, known| known.fees.strong_count() > 0);
        for (version, digest, fees) in unpacked {
            let fees = Arc::downgrade(fees.shared());
            lists.insert(version, KnownList { digest: digest.to_owned(), fees });
        }
    }
}

/// All versions, by profile and time; their fees are those of `known`, where it has them.
pub(crate) async fn load_versions(
    conn: &mut AnyConnection,
    known: &KnownLists,
) -> Result<Vec<TariffVersion>> {
    let mut versions = load_versions_without_fees(conn).await?;
    let mut place_of = HashMap::new();
    for (place, version) in versions.iter().enumerate() {
        place_of.insert(version.id.0, place);
    }
    let rows = query("SELECT version, digest FROM fee_lists").fetch_all(&mut *conn).await?;
    let mut missing = Vec::new();
    for row in &rows {
        let (version, digest) = (row.int("version")?, row.text("digest")?);
        let Some(&place) = place_of.get(&version) else { continue };
        match known.get(ProfileVersionId(version), &digest) {
            Some(fees) => versions[place].fees = fees,
            None => missing.push(Cell::from(version)),
        }
    }
    let (mut unpacking, mut unpacked) = (Vec::new(), Vec::new());
    for row in fetch_in(conn, SELECT_LISTS, &[], missing).await? {
        let Some(&place) = place_of.get(&row.int("version")?) else { continue };
        let (packed, first, digest) =
            (row.bytes("packed")?, FeeId(row.int("first_fee")?), row.text("digest")?);
        if packed.len() < LONG_LIST_BYTES {
            unpacked.push((place, digest, Fees::from(unpack(&packed, first)?)));
        } else {
            unpacking.push((place, digest, tokio::task::spawn_blocking(move || unpack(&packed, first))));
        }
    }
    for (place, digest, fees) in unpacking {
        unpacked.push((place, digest, joined(fees).await?.into()));
    }
    known.keep(unpacked.iter().map(|(place, digest, fees)| (versions[*place].id, digest.as_str(), fees)));
    for (place, _, fees) in unpacked {
        versions[place].fees = fees;
    }
    let rows =
        query_of(format!("{SELECT_FEE_ROWS} ORDER BY f.version, f.place")).fetch_all(&mut *conn).await?;
    for row in &rows {
        if let Some(place) = place_of.get(&row.int("version")?) {
            versions[*place].fees.push(fee_of(row)?);
        }
    }
    Ok(versions)
}

const SELECT_LISTS: &str = "SELECT version, digest, first_fee, packed FROM fee_lists WHERE version";

/// Fees of versions from before there were lists.
const SELECT_FEE_ROWS: &str = "SELECT f.id, f.version, f.source, f.destination, f.direction, f.match_mode, z.zone, z.detail, \
     f.onpeak_init_price, f.onpeak_init_per, f.onpeak_init_interval, f.onpeak_follow_price, f.onpeak_follow_per, \
     f.onpeak_follow_interval, f.offpeak_init_price, f.offpeak_init_per, f.offpeak_init_interval, \
     f.offpeak_follow_price, f.offpeak_follow_per, f.offpeak_follow_interval, f.connection_fee, f.minimum_charge, \
     f.maximum_charge, f.valid_from, f.valid_to, f.failed_attempt_fee, f.peak_options FROM fees f JOIN zones z ON z.id = f.zone";

/// As [`load_versions`], with all but their fees.
pub(crate) async fn load_versions_without_fees(conn: &mut AnyConnection) -> Result<Vec<TariffVersion>> {
    let mut versions = Vec::new();
    let mut place_of = HashMap::new();
    let rows = query(
        "SELECT v.id, v.profile, v.tenant, p.handle, p.name, v.valid_from, v.currency, v.timezone, v.prepaid, \
         v.rounding_mode, v.rounding_scale, v.fee_match, v.peak_split, v.interval_charge, v.interval_free_seconds, \
         v.interval_free_cash, v.interval_price, v.compat, v.interval_unit, v.interval_count FROM profile_versions v \
         JOIN billing_profiles p ON p.id = v.profile \
         ORDER BY v.profile, v.valid_from",
    )
    .fetch_all(&mut *conn)
    .await?;
    for row in &rows {
        place_of.insert(row.int("id")?, versions.len());
        versions.push(version_of(row)?);
    }
    let rows =
        query("SELECT version, day, start_time, end_time FROM offpeak_weekdays ORDER BY version, place")
            .fetch_all(&mut *conn)
            .await?;
    for row in &rows {
        if let Some(place) = place_of.get(&row.int("version")?) {
            versions[*place].weekdays.push(OffPeakWeekday {
                day: row.word("day")?,
                start: row.word("start_time")?,
                end: row.word("end_time")?,
            });
        }
    }
    let rows = query("SELECT version, start_time, end_time FROM offpeak_specials ORDER BY version, place")
        .fetch_all(&mut *conn)
        .await?;
    for row in &rows {
        if let Some(place) = place_of.get(&row.int("version")?) {
            versions[*place]
                .specials
                .push(OffPeakSpecial { start: row.word("start_time")?, end: row.word("end_time")? });
        }
    }
    Ok(versions)
}

/// The digest of the fees of a version, as [`pack`] makes it.
pub(crate) async fn fees_digest(conn: &mut AnyConnection, version: ProfileVersionId) -> Result<String> {
    let row = query("SELECT digest FROM fee_lists WHERE version = $1")
        .cells(cells![version.0])
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(row) = row {
        return row.text("digest");
    }
    let rows = query_of(format!("{SELECT_FEE_ROWS} WHERE f.version = $1 ORDER BY f.place"))
        .cells(cells![version.0])
        .fetch_all(&mut *conn)
        .await?;
    let fees: Vec<Fee> = rows.iter().map(fee_of).collect::<Result<_>>()?;
    Ok(pack(&fees)?.digest)
}

fn version_of(row: &AnyRow) -> Result<TariffVersion> {
    Ok(TariffVersion {
        id: ProfileVersionId(row.int("id")?),
        profile: BillingProfile {
            id: ProfileId(row.int("profile")?),
            tenant: TenantId(row.int("tenant")?),
            handle: row.text("handle")?,
            name: row.text("name")?,
            currency: row.word("currency")?,
            timezone: row.word("timezone")?,
            prepaid: row.flag("prepaid")?,
        },
        valid_from: row.time("valid_from")?,
        rounding: Rounding { mode: row.word("rounding_mode")?, scale: row.narrow("rounding_scale")? },
        fee_match: row.word("fee_match")?,
        peak_split: row.word("peak_split")?,
        compat: row.flag("compat")?,
        interval: BillingInterval { unit: row.word("interval_unit")?, count: row.narrow("interval_count")? },
        interval_charge: row.word("interval_charge")?,
        interval_free_seconds: row.narrow("interval_free_seconds")?,
        interval_free_cash: row.word("interval_free_cash")?,
        interval_price: row.json("interval_price")?,
        fees: Fees::default(),
        weekdays: Vec::new(),
        specials: Vec::new(),
    })
}

fn fee_of(row: &AnyRow) -> Result<Fee> {
    let options = row.text("peak_options")?;
    let (onpeak, offpeak): (PeakOptions, PeakOptions) = match options.as_str() {
        "" => Default::default(),
        text => serde_json::from_str(text).map_err(|_| unreadable("peak_options", text))?,
    };
    Ok(Fee {
        id: FeeId(row.int("id")?),
        source: row.text("source")?,
        destination: row.text("destination")?,
        direction: row.word("direction")?,
        match_mode: row.word("match_mode")?,
        zone: row.text("zone")?,
        zone_detail: row.text("detail")?,
        onpeak_init: rate_of(row, "onpeak_init_price", "onpeak_init_per", "onpeak_init_interval")?,
        onpeak_follow: rate_of(row, "onpeak_follow_price", "onpeak_follow_per", "onpeak_follow_interval")?,
        offpeak_init: rate_of(row, "offpeak_init_price", "offpeak_init_per", "offpeak_init_interval")?,
        offpeak_follow: rate_of(
            row,
            "offpeak_follow_price",
            "offpeak_follow_per",
            "offpeak_follow_interval",
        )?,
        connection_fee: row.word("connection_fee")?,
        minimum_charge: row.opt_word("minimum_charge")?,
        maximum_charge: row.opt_word("maximum_charge")?,
        valid_from: row.opt_time("valid_from")?,
        valid_to: row.opt_time("valid_to")?,
        failed_attempt_fee: row.word("failed_attempt_fee")?,
        onpeak,
        offpeak,
    })
}

fn rate_of(row: &AnyRow, price: &'static str, per: &'static str, interval: &'static str) -> Result<Rate> {
    Ok(Rate {
        price: row.word(price)?,
        per_seconds: row.narrow(per)?,
        interval_seconds: row.narrow(interval)?,
    })
}

/// Writes `version` for the profile and tenant that its `profile` names by id, with `fees` instead of its own, which are `n_fees`; returns its id.
pub(crate) async fn insert_version(
    conn: &mut AnyConnection,
    version: &TariffVersion,
    fees: PackedFees,
    n_fees: usize,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<ProfileVersionId> {
    let TariffVersion {
        id: _,
        profile,
        valid_from,
        rounding,
        fee_match,
        peak_split,
        compat,
        interval,
        interval_charge,
        interval_free_seconds,
        interval_free_cash,
        interval_price,
        fees: _,
        weekdays,
        specials,
    } = version;
    let row = query(
        "INSERT INTO profile_versions (tenant, profile, valid_from, currency, timezone, prepaid, rounding_mode, \
         rounding_scale, fee_match, peak_split, interval_charge, interval_free_seconds, interval_free_cash, \
         created_at, revision, compat, interval_unit, interval_count, interval_price) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) RETURNING id",
    )
    .cells(cells![
        profile.tenant.0,
        profile.id.0,
        *valid_from,
        profile.currency.as_str(),
        profile.timezone.name(),
        profile.prepaid,
        rounding.mode.as_str(),
        rounding.scale,
        fee_match.as_str(),
        peak_split.as_str(),
        interval_charge.to_string(),
        signed("interval_free_seconds", *interval_free_seconds)?,
        interval_free_cash.to_string(),
        now,
        revision,
        *compat,
        interval.unit.as_str(),
        interval.count,
        json(interval_price),
    ])
    .fetch_one(&mut *conn)
    .await?;
    let id = row.int("id")?;
    // Imports come one after the other, so no other one takes the same ids.
    let first_fee = query(
        "SELECT MAX(next) AS next FROM (SELECT COALESCE(MAX(first_fee + n_fees), 1) AS next FROM fee_lists \
         UNION ALL SELECT COALESCE(MAX(id), 0) + 1 AS next FROM fees) AS both_kinds",
    )
    .fetch_one(&mut *conn)
    .await?
    .int("next")?;
    let PackedFees { digest, bytes } = fees;
    query("INSERT INTO fee_lists (version, first_fee, n_fees, digest, packed) VALUES ($1, $2, $3, $4, $5)")
        .cells(cells![id, first_fee, count(n_fees), digest, bytes])
        .execute(&mut *conn)
        .await?;
    let rows = weekdays
        .iter()
        .enumerate()
        .map(|(idx, span)| {
            cells![id, count(idx), span.day.to_string(), time_text(span.start), time_text(span.end)]
        })
        .collect();
    insert_rows(conn, "INSERT INTO offpeak_weekdays (version, place, day, start_time, end_time)", "", rows)
        .await?;
    let rows = specials
        .iter()
        .enumerate()
        .map(|(idx, span)| cells![id, count(idx), date_text(span.start), date_text(span.end)])
        .collect();
    insert_rows(conn, "INSERT INTO offpeak_specials (version, place, start_time, end_time)", "", rows)
        .await?;
    Ok(ProfileVersionId(id))
}

/// Whether two versions price every call alike, if their fees do: everything but ids, fees, the profile's display name and the time.
pub(crate) fn is_same_but_for_fees(left: &TariffVersion, right: &TariffVersion) -> bool {
    fn bare(version: &TariffVersion) -> TariffVersion {
        let mut bare = without_fees(version);
        bare.id = ProfileVersionId(0);
        bare.valid_from = DateTime::UNIX_EPOCH;
        bare.profile.id = ProfileId(0);
        bare.profile.tenant = TenantId(0);
        bare.profile.name.clear();
        bare
    }
    bare(left) == bare(right)
}

/// A copy without its fees, of which there may be hundreds of thousands.
pub(crate) fn without_fees(version: &TariffVersion) -> TariffVersion {
    let TariffVersion {
        id,
        profile,
        valid_from,
        rounding,
        fee_match,
        peak_split,
        compat,
        interval,
        interval_charge,
        interval_free_seconds,
        interval_free_cash,
        interval_price,
        fees: _,
        weekdays,
        specials,
    } = version;
    TariffVersion {
        id: *id,
        profile: profile.clone(),
        valid_from: *valid_from,
        rounding: *rounding,
        fee_match: *fee_match,
        peak_split: *peak_split,
        compat: *compat,
        interval: *interval,
        interval_charge: *interval_charge,
        interval_free_seconds: *interval_free_seconds,
        interval_free_cash: *interval_free_cash,
        interval_price: interval_price.clone(),
        fees: Fees::default(),
        weekdays: weekdays.clone(),
        specials: specials.clone(),
    }
}

fn time_text(time: NaiveTime) -> String {
    time.format("%H:%M:%S%.f").to_string()
}

fn date_text(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use model::{Currency, Direction, ExtraRate, FeeMatch, IntervalUnit, MatchMode, PeakSplit};
    use rust_decimal::Decimal;

    use super::*;
    use crate::sql::{Cell, json};
    use crate::{NewTariff, Store, World};

    async fn insert_fees(
        conn: &mut AnyConnection,
        tenant: TenantId,
        version: i64,
        fees: &[Fee],
    ) -> Result<()> {
        let zones = zone_ids(conn, tenant, fees).await?;
        let rows = fees
            .iter()
            .enumerate()
            .map(|(idx, fee)| {
                let zone = zones[&(fee.zone.clone(), fee.zone_detail.clone())];
                let mut row = cells![
                    version,
                    count(idx),
                    fee.source.as_str(),
                    fee.destination.as_str(),
                    fee.direction.as_str(),
                    fee.match_mode.as_str(),
                    zone,
                ];
                for rate in [&fee.onpeak_init, &fee.onpeak_follow, &fee.offpeak_init, &fee.offpeak_follow] {
                    row.extend(cells![rate.price.to_string(), rate.per_seconds, rate.interval_seconds]);
                }
                row.extend(cells![
                    fee.connection_fee.to_string(),
                    fee.minimum_charge.map(|amount| amount.to_string()),
                    fee.maximum_charge.map(|amount| amount.to_string()),
                    fee.valid_from,
                    fee.valid_to,
                    fee.failed_attempt_fee.to_string(),
                    peak_options(fee),
                ]);
                row
            })
            .collect();
        insert_rows(
            conn,
            "INSERT INTO fees (version, place, source, destination, direction, match_mode, zone, \
             onpeak_init_price, onpeak_init_per, onpeak_init_interval, \
             onpeak_follow_price, onpeak_follow_per, onpeak_follow_interval, \
             offpeak_init_price, offpeak_init_per, offpeak_init_interval, \
             offpeak_follow_price, offpeak_follow_per, offpeak_follow_interval, \
             connection_fee, minimum_charge, maximum_charge, valid_from, valid_to, failed_attempt_fee, peak_options)",
            "",
            rows,
        )
        .await?;
        Ok(())
    }

    /// Empty for nearly all fees.
    fn peak_options(fee: &Fee) -> String {
        let options = (fee.onpeak, fee.offpeak);
        if options == Default::default() { String::new() } else { json(&options) }
    }

    /// Ids of all zones that `fees` name, new ones added.
    async fn zone_ids(
        conn: &mut AnyConnection,
        tenant: TenantId,
        fees: &[Fee],
    ) -> Result<HashMap<(String, String), i64>> {
        let mut names: Vec<(&str, &str)> =
            fees.iter().map(|fee| (fee.zone.as_str(), fee.zone_detail.as_str())).collect();
        names.sort_unstable();
        names.dedup();
        let rows: Vec<Vec<Cell>> =
            names.iter().map(|(zone, detail)| cells![tenant.0, *zone, *detail]).collect();
        insert_rows(
            conn,
            "INSERT INTO zones (tenant, zone, detail)",
            "ON CONFLICT (tenant, zone, detail) DO NOTHING",
            rows,
        )
        .await?;
        let rows = query("SELECT id, zone, detail FROM zones WHERE tenant = $1")
            .cells(cells![tenant.0])
            .fetch_all(&mut *conn)
            .await?;
        rows.iter().map(|row| Ok(((row.text("zone")?, row.text("detail")?), row.int("id")?))).collect()
    }

    fn tariff(valid_from: &str, prices: &[&str]) -> NewTariff {
        let rate =
            |price: &str| Rate { price: price.parse().unwrap(), per_seconds: 60, interval_seconds: 30 };
        let fee = |(place, price): (usize, &&str)| Fee {
            id: FeeId(0),
            source: if place == 1 { "4366".to_owned() } else { String::new() },
            destination: format!("43{place}"),
            direction: Direction::Out,
            match_mode: MatchMode::Prefix,
            zone: format!("zone {place}"),
            zone_detail: "mobile".to_owned(),
            onpeak_init: rate(price),
            onpeak_follow: rate("0.060"),
            offpeak_init: rate("-0.01"),
            offpeak_follow: rate("0"),
            connection_fee: "0.05".parse().unwrap(),
            minimum_charge: None,
            maximum_charge: Some("9.90".parse().unwrap()),
            failed_attempt_fee: Decimal::ZERO,
            onpeak: PeakOptions {
                use_free_time: true,
                extra: Some(ExtraRate { second: 60, amount: Decimal::ONE }),
            },
            offpeak: PeakOptions::default(),
            valid_from: Some(DateTime::UNIX_EPOCH),
            valid_to: None,
        };
        NewTariff {
            tenant: String::new(),
            version: TariffVersion {
                id: ProfileVersionId(0),
                profile: BillingProfile {
                    id: ProfileId(0),
                    tenant: TenantId(0),
                    handle: "retail".to_owned(),
                    name: "Retail".to_owned(),
                    currency: Currency::EUR,
                    timezone: "Europe/Vienna".parse().unwrap(),
                    prepaid: false,
                },
                valid_from: valid_from.parse().unwrap(),
                rounding: Rounding::default(),
                fee_match: FeeMatch::Prefix,
                peak_split: PeakSplit::Boundary,
                compat: false,
                interval: BillingInterval { unit: IntervalUnit::Month, count: 1 },
                interval_charge: Decimal::ZERO,
                interval_free_seconds: 0,
                interval_free_cash: Decimal::ZERO,
                interval_price: None,
                fees: prices.iter().enumerate().map(fee).collect(),
                weekdays: vec![OffPeakWeekday {
                    day: chrono::Weekday::Sat,
                    start: NaiveTime::MIN,
                    end: "23:59:59".parse().unwrap(),
                }],
                specials: vec![OffPeakSpecial {
                    start: NaiveDate::from_ymd_opt(2026, 12, 24).unwrap().and_time(NaiveTime::MIN),
                    end: NaiveDate::from_ymd_opt(2026, 12, 26).unwrap().and_time(NaiveTime::MIN),
                }],
            },
        }
    }

    /// A world with a tenant, which tariffs need, and these.
    fn world(tariffs: Vec<NewTariff>) -> World {
        let contact = model::Contact { name: "Vox".to_owned(), ..model::Contact::default() };
        let tenant = crate::NewTenant {
            handle: "vox".to_owned(),
            contact,
            currency: Currency::EUR,
            timezone: "Europe/Vienna".parse().unwrap(),
            calling: model::TenantCalling::default(),
        };
        World { tenants: vec![tenant], tariffs, ..World::default() }
    }

    #[tokio::test]
    async fn list_that_did_not_change_is_shared_by_all_who_have_it() {
        let dir = tempfile::tempdir().unwrap();
        let store =
            Store::open(&format!("sqlite://{}", dir.path().join("lists.db").display())).await.unwrap();
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let first = tariff("2026-01-01T00:00:00Z", &["0.06", "0.07"]);
        store.import(&world(vec![first]), now, "test").await.unwrap();
        let before = store.directory().await.unwrap().tariffs;
        let second = tariff("2026-02-01T00:00:00Z", &["0.06", "0.08"]);
        store.import(&world(vec![second]), now, "test").await.unwrap();
        let after = store.directory().await.unwrap().tariffs;
        assert!(Arc::ptr_eq(before[0].fees.shared(), after[0].fees.shared()));
        // Who writes to a copy has one of its own.
        let mut copy = after[0].clone();
        copy.fees.pop();
        assert_eq!((copy.fees.len(), before[0].fees.len()), (1, 2));
        let kept = after.clone();
        drop((before, after, copy));
        assert_eq!(store.directory().await.unwrap().tariffs, kept);
        let told = format!("{kept:?}");
        // With nobody who has them, they are read anew.
        drop(kept);
        assert_eq!(format!("{:?}", store.directory().await.unwrap().tariffs), told);
    }

    #[tokio::test]
    async fn versions_that_have_a_row_for_each_fee_are_read_and_compared_like_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("old.db").display())).await.unwrap();
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let first = tariff("2026-01-01T00:00:00Z", &["0.06", "0.0700", "0.08"]);
        store.import(&world(vec![first.clone()]), now, "test").await.unwrap();
        let as_list = store.directory().await.unwrap().tariffs;
        assert_eq!(as_list[0].fees.iter().map(|fee| fee.id.0).collect::<Vec<_>>(), [1, 2, 3]);

        // As an installation from before has it.
        let mut tx = store.write().await.unwrap();
        query("DELETE FROM fee_lists").execute(&mut *tx).await.unwrap();
        insert_fees(&mut tx, as_list[0].profile.tenant, as_list[0].id.0, &as_list[0].fees).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.directory().await.unwrap().tariffs, as_list);

        let same = store.import(&world(vec![first]), now, "test").await.unwrap();
        assert_eq!((same.tariff_versions.added, same.tariff_versions.unchanged), (0, 1));
        // Its fees have ids of their own.
        let second = tariff("2026-02-01T00:00:00Z", &["0.06", "0.07", "0.09", "0.10"]);
        store.import(&world(vec![second]), now, "test").await.unwrap();
        let both = store.directory().await.unwrap().tariffs;
        assert_eq!(both[0], as_list[0]);
        assert_eq!(both[1].fees.iter().map(|fee| fee.id.0).collect::<Vec<_>>(), [4, 5, 6, 7]);
        let third = tariff("2026-03-01T00:00:00Z", &["0.06"]);
        store.import(&world(vec![third]), now, "test").await.unwrap();
        assert_eq!(store.directory().await.unwrap().tariffs[2].fees[0].id, FeeId(8));
    }
}
