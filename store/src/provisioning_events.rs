//! What changes of provisioning data mean for records: whose profile began, whose number moved, who was locked.
//!
//! In: who held what before and after a change. Out: one event for each thing that is different, numbered and kept in the
//! transaction of the change, until the running installation has put it on the log. Profiles begin and end by number, as in
//! the reference (billing-reference 2.3): one event for each number of a subscriber, one without a number if it has none.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use model::{
    AccountId, AccountStatus, Body, CallEvent, E164, EventBody, Lock, LockLevel, Provisioned,
    ProvisioningChange, Record, SubscriberId, TenantId,
};
use sqlx::AnyConnection;

use crate::fraud_desk::{LOCK_COLUMNS, lock_of};
use crate::sql::{Bind, Columns, cells, insert_rows, query, query_of, signed, unreadable};
use crate::webhook_words::tell_of_lapse;
use crate::{Result, Store};

/// Name of the node in these events, and of the stage in their origins.
pub const PROVISIONING: &str = "provisioning";

/// Why a lock that lapses is lifted.
const OVER: &str = "its time is over";

/// A change that waits to be put on the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingChange {
    /// Counts up over all changes, without reuse.
    pub seq: u64,
    /// Whose lane it goes to.
    pub account: AccountId,
    /// The record, without its origin.
    pub record: Vec<u8>,
}

/// What a subscriber has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    tenant: TenantId,
    account: AccountId,
    reseller: AccountId,
    uuid: String,
    /// Empty if it has none, or its account is terminated.
    profile: String,
    numbers: BTreeSet<E164>,
}

/// What every subscriber has.
pub(crate) type Holdings = BTreeMap<SubscriberId, Holding>;

/// A change, and in whose lane it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    tenant: TenantId,
    account: AccountId,
    is: Provisioned,
}

impl Store {
    /// Changes to be put on the log, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn provisioning_waiting(&self, max: u32) -> Result<Vec<WaitingChange>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT seq, account, record FROM provisioning_events ORDER BY seq LIMIT $1")
            .cells(cells![max])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                Ok(WaitingChange {
                    seq: row.narrow("seq")?,
                    account: AccountId(row.int("account")?),
                    record: row.bytes("record")?,
                })
            })
            .collect()
    }

    /// Forgets what is on the log: everything up to a number.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn provisioning_sent(&self, up_to: u64) -> Result<()> {
        let mut tx = self.write().await?;
        query("DELETE FROM provisioning_events WHERE seq <= $1")
            .cells(cells![signed("seq", up_to)?])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Tells of locks that have lifted themselves by `now`, each once. Returns how many.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn tell_lapsed_locks(&self, now: DateTime<Utc>) -> Result<usize> {
        let of_lapsed = format!(
            "SELECT {LOCK_COLUMNS} FROM locks WHERE lapse_told = 0 AND level <> 'none' AND until_at <= $1 \
             ORDER BY account"
        );
        let mut tx = self.read().await?;
        let there = query_of(of_lapsed.clone()).cells(cells![now]).fetch_optional(&mut *tx).await?;
        tx.commit().await?;
        if there.is_none() {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let rows = query_of(of_lapsed).cells(cells![now]).fetch_all(&mut *tx).await?;
        for row in &rows {
            let lock = lock_of(row)?;
            query("UPDATE locks SET lapse_told = 1 WHERE account = $1")
                .cells(cells![lock.account.0])
                .execute(&mut *tx)
                .await?;
            let at = lock.until.unwrap_or(now);
            tell_lock(&mut tx, &lock, lock.level, LockLevel::None, OVER, at).await?;
            tell_of_lapse(&mut tx, &lock, OVER, at).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }
}

/// What every subscriber has now.
pub(crate) async fn load_holdings(conn: &mut AnyConnection) -> Result<Holdings> {
    let rows = query(
        "SELECT subscribers.id, subscribers.tenant, subscribers.account, subscribers.uuid, accounts.reseller, \
         accounts.status, subscriber_profiles.profile FROM subscribers \
         JOIN accounts ON accounts.id = subscribers.account \
         LEFT JOIN subscriber_profiles ON subscriber_profiles.subscriber = subscribers.id \
         AND subscriber_profiles.valid_to IS NULL",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut holdings = Holdings::new();
    for row in &rows {
        let status: AccountStatus = row.word("status")?;
        let profile = match status {
            AccountStatus::Active | AccountStatus::Suspended => row.opt_text("profile")?,
            AccountStatus::Terminated => None,
        };
        let holding = Holding {
            tenant: TenantId(row.int("tenant")?),
            account: AccountId(row.int("account")?),
            reseller: row.opt_int("reseller")?.map_or(AccountId::NOBODY, AccountId),
            uuid: row.text("uuid")?,
            profile: profile.unwrap_or_default(),
            numbers: BTreeSet::new(),
        };
        holdings.insert(SubscriberId(row.int("id")?), holding);
    }
    let rows = query("SELECT number, subscriber FROM numbers WHERE valid_to IS NULL").fetch_all(conn).await?;
    for row in &rows {
        let digits: u64 = row.narrow("number")?;
        let number = E164::from_u64(digits).ok_or_else(|| unreadable("number", digits))?;
        if let Some(holding) = holdings.get_mut(&SubscriberId(row.int("subscriber")?)) {
            holding.numbers.insert(number);
        }
    }
    Ok(holdings)
}

/// Gives a subscriber the profile `wanted`, from `now` on. Whether that changes anything.
pub(crate) async fn keep_profile(
    conn: &mut AnyConnection,
    subscriber: SubscriberId,
    wanted: &str,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<bool> {
    let held = query("SELECT profile FROM subscriber_profiles WHERE subscriber = $1 AND valid_to IS NULL")
        .cells(cells![subscriber.0])
        .fetch_optional(&mut *conn)
        .await?
        .map(|row| row.text("profile"))
        .transpose()?
        .unwrap_or_default();
    if held == wanted {
        return Ok(false);
    }
    query("UPDATE subscriber_profiles SET valid_to = $2, revision = $3 WHERE subscriber = $1 AND valid_to IS NULL")
        .cells(cells![subscriber.0, now, revision])
        .execute(&mut *conn)
        .await?;
    if !wanted.is_empty() {
        query(
            "INSERT INTO subscriber_profiles (subscriber, profile, valid_from, revision) VALUES ($1, $2, $3, $4)",
        )
        .cells(cells![subscriber.0, wanted, now, revision])
        .execute(conn)
        .await?;
    }
    Ok(true)
}

/// Keeps what is different between `before` and now for the log. `why` is what people read.
pub(crate) async fn tell_changes(
    conn: &mut AnyConnection,
    before: &Holdings,
    why: &str,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<()> {
    let after = load_holdings(conn).await?;
    keep(conn, changes(before, &after, why), now, revision).await
}

/// Keeps the change of a lock for the log, if its level is another one. `before` is the lock that was there.
pub(crate) async fn tell_locked(
    conn: &mut AnyConnection,
    before: Option<(&Lock, bool)>,
    lock: &Lock,
) -> Result<()> {
    let old = match before {
        // That it had lifted itself has been told.
        None | Some((_, true)) => LockLevel::None,
        Some((before, false)) => before.level,
    };
    if old == lock.level {
        return Ok(());
    }
    let why = format!("{}: {}", lock.source, lock.reason);
    tell_lock(conn, lock, old, lock.level, &why, lock.since).await
}

async fn tell_lock(
    conn: &mut AnyConnection,
    lock: &Lock,
    old: LockLevel,
    new: LockLevel,
    why: &str,
    at: DateTime<Utc>,
) -> Result<()> {
    let reseller = query("SELECT reseller FROM accounts WHERE id = $1")
        .cells(cells![lock.account.0])
        .fetch_optional(&mut *conn)
        .await?
        .map(|row| row.opt_int("reseller"))
        .transpose()?
        .flatten();
    let is = Provisioned {
        change: ProvisioningChange::LockChanged,
        subscriber: None,
        uuid: String::new(),
        reseller: reseller.map_or(AccountId::NOBODY, AccountId),
        number: None,
        old: old.as_str().to_owned(),
        new: new.as_str().to_owned(),
        detail: why.to_owned(),
    };
    keep(conn, vec![Change { tenant: lock.tenant, account: lock.account, is }], at, 0).await
}

/// Numbers and keeps changes, in their order.
async fn keep(
    conn: &mut AnyConnection,
    changes: Vec<Change>,
    at: DateTime<Utc>,
    config_revision: i64,
) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let n_changes = signed("count", changes.len() as u64)?;
    // The head is locked until the commit: a lower number never becomes visible after a higher one.
    let head =
        query("UPDATE provisioning_heads SET last_seq = last_seq + $1 WHERE one = 1 RETURNING last_seq")
            .cells(cells![n_changes])
            .fetch_one(&mut *conn)
            .await?;
    let first = head.int("last_seq")? - n_changes + 1;
    let rows = (first..)
        .zip(changes)
        .map(|(seq, change)| {
            let event = CallEvent {
                node: PROVISIONING.into(),
                boot: 0,
                seq: seq.unsigned_abs(),
                at,
                config_revision,
                tenant: change.tenant,
                payer: change.account,
                call: None,
                leg: 0,
                body: EventBody::Provisioned(change.is),
            };
            let record = Record { origin: None, body: Body::Call(Box::new(event)) };
            cells![seq, change.account.0, model::wire::encode(&record)]
        })
        .collect();
    insert_rows(conn, "INSERT INTO provisioning_events (seq, account, record)", "", rows).await?;
    Ok(())
}

/// What ended, in the order of the numbers, then what changed, then what began: who takes a number over follows who gives it up.
fn changes(before: &Holdings, after: &Holdings, why: &str) -> Vec<Change> {
    let owners = |holdings: &Holdings| -> BTreeMap<E164, String> {
        holdings
            .values()
            .flat_map(|holding| holding.numbers.iter().map(|number| (*number, holding.uuid.clone())))
            .collect()
    };
    let (owners_before, owners_after) = (owners(before), owners(after));
    let mut told = Vec::new();
    let ids: BTreeSet<SubscriberId> = before.keys().chain(after.keys()).copied().collect();
    for id in ids {
        let (old, new) = (before.get(&id), after.get(&id));
        if old == new {
            continue;
        }
        let mut tell = |holding: &Holding, change, number, from: &str, to: &str| {
            let is = Provisioned {
                change,
                subscriber: Some(id),
                uuid: holding.uuid.clone(),
                reseller: holding.reseller,
                number,
                old: from.to_owned(),
                new: to.to_owned(),
                detail: why.to_owned(),
            };
            told.push(Change { tenant: holding.tenant, account: holding.account, is });
        };
        let (places_before, places_after) = (places(old), places(new));
        let profile_before = old.map_or("", |old| &old.profile);
        let profile_after = new.map_or("", |new| &new.profile);
        for place in places_before.union(&places_after) {
            let from = if places_before.contains(place) { profile_before } else { "" };
            let to = if places_after.contains(place) { profile_after } else { "" };
            let (holding, change) = match (old, new) {
                (Some(old), _) if !from.is_empty() && to.is_empty() => (old, ProvisioningChange::EndProfile),
                (_, Some(new)) if from.is_empty() && !to.is_empty() => {
                    (new, ProvisioningChange::StartProfile)
                }
                (_, Some(new)) if from != to => (new, ProvisioningChange::UpdateProfile),
                _ => continue,
            };
            tell(holding, change, *place, from, to);
        }
        let uuid_in =
            |owners: &BTreeMap<E164, String>, number| owners.get(number).cloned().unwrap_or_default();
        for number in old.iter().flat_map(|old| &old.numbers) {
            if let Some(old) = old.filter(|_| !places_after.contains(&Some(*number))) {
                let next = uuid_in(&owners_after, number);
                tell(old, ProvisioningChange::NumberReleased, Some(*number), &old.uuid, &next);
            }
        }
        for number in new.iter().flat_map(|new| &new.numbers) {
            if let Some(new) = new.filter(|_| !places_before.contains(&Some(*number))) {
                let last = uuid_in(&owners_before, number);
                tell(new, ProvisioningChange::NumberAssigned, Some(*number), &last, &new.uuid);
            }
        }
    }
    told.sort_by_key(|change| (turn(change.is.change), change.is.number, change.is.subscriber));
    told
}

/// By what a profile is told: each number, or nothing where there is none.
fn places(holding: Option<&Holding>) -> BTreeSet<Option<E164>> {
    let Some(holding) = holding else { return BTreeSet::new() };
    if holding.numbers.is_empty() {
        return BTreeSet::from([None]);
    }
    holding.numbers.iter().copied().map(Some).collect()
}

const fn turn(change: ProvisioningChange) -> u8 {
    match change {
        ProvisioningChange::EndProfile => 0,
        ProvisioningChange::NumberReleased => 1,
        ProvisioningChange::UpdateProfile => 2,
        ProvisioningChange::NumberAssigned => 3,
        ProvisioningChange::StartProfile => 4,
        ProvisioningChange::LockChanged => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(account: i64, uuid: &str, profile: &str, numbers: &[&str]) -> Holding {
        Holding {
            tenant: TenantId(1),
            account: AccountId(account),
            reseller: AccountId(5),
            uuid: uuid.to_owned(),
            profile: profile.to_owned(),
            numbers: numbers.iter().map(|number| number.parse().expect("a number")).collect(),
        }
    }

    fn check(before: &[(i64, Holding)], after: &[(i64, Holding)], expected: &[&str]) {
        let holdings = |given: &[(i64, Holding)]| -> Holdings {
            given.iter().map(|(id, holding)| (SubscriberId(*id), holding.clone())).collect()
        };
        let told: Vec<String> = changes(&holdings(before), &holdings(after), "import")
            .iter()
            .map(|change| {
                let number = change.is.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
                let is = &change.is;
                format!("{} {} of {} {number}: {:?} {:?}", change.account, is.change, is.uuid, is.old, is.new)
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn new_subscriber_starts_its_profile_once_for_each_number() {
        check(
            &[],
            &[
                (1, holding(10, "a", "flat-s", &["43512100", "43512101"])),
                (2, holding(10, "b", "flat-s", &[])),
            ],
            &[
                r#"10 number_assigned of a 43512100: "" "a""#,
                r#"10 number_assigned of a 43512101: "" "a""#,
                r#"10 start_profile of b -: "" "flat-s""#,
                r#"10 start_profile of a 43512100: "" "flat-s""#,
                r#"10 start_profile of a 43512101: "" "flat-s""#,
            ],
        );
    }

    #[test]
    fn another_profile_is_an_update_and_none_is_an_end() {
        let of = |profile| [(1, holding(10, "a", profile, &["43512100"]))];
        check(&of("flat-s"), &of("flat-l"), &[r#"10 update_profile of a 43512100: "flat-s" "flat-l""#]);
        check(&of("flat-s"), &of(""), &[r#"10 end_profile of a 43512100: "flat-s" """#]);
        check(&of("flat-s"), &of("flat-s"), &[]);
    }

    #[test]
    fn number_that_moves_ends_at_one_and_starts_at_the_other() {
        check(
            &[(1, holding(10, "a", "flat-s", &["43512100"])), (2, holding(11, "b", "", &[]))],
            &[(1, holding(10, "a", "flat-s", &[])), (2, holding(11, "b", "", &["43512100"]))],
            &[
                r#"10 end_profile of a 43512100: "flat-s" """#,
                r#"10 number_released of a 43512100: "a" "b""#,
                r#"11 number_assigned of b 43512100: "a" "b""#,
                r#"10 start_profile of a -: "" "flat-s""#,
            ],
        );
    }

    #[test]
    fn first_number_takes_the_profile_over_from_the_subscriber_alone() {
        check(
            &[(1, holding(10, "a", "flat-s", &[]))],
            &[(1, holding(10, "a", "flat-s", &["43512100"]))],
            &[
                r#"10 end_profile of a -: "flat-s" """#,
                r#"10 number_assigned of a 43512100: "" "a""#,
                r#"10 start_profile of a 43512100: "" "flat-s""#,
            ],
        );
    }
}
