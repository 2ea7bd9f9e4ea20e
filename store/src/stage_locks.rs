//! The locks that stages set: one is in force for each account, and the others wait behind it.
//!
//! A stage decides by a snapshot that may be a moment old, and knows nothing of the locks that another one sets meanwhile. So it is
//! settled here, in the transaction that writes: a weaker lock does not take the place of a stronger one, a stage lifts what was its
//! own alone, and what waits behind a lock comes back when it is lifted.

use chrono::{DateTime, Utc};
use model::{AccountId, Lock, LockLevel, LockSource};
use sqlx::AnyConnection;

use crate::Result;
use crate::fraud_desk::{LOCK_COLUMNS, insert_lock, lock_of};
use crate::revision::count_revision;
use crate::sql::{Bind, Columns, cells, json, query, query_of};

/// The stage that says what packages want.
const RATING: &str = "rating";

/// Locks that wait behind the one in force; of more the strongest.
const BEHIND_MAX: usize = 8;

/// Sets or lifts a lock as `stage` says, if it is for it to do. The revision counts up when another lock is in force then, so that
/// every process hears of it.
pub(crate) async fn lock_by_stage(conn: &mut AnyConnection, stage: &str, lock: &Lock) -> Result<()> {
    if lock.source == LockSource::Package && stage != RATING {
        // A lock of a package that another stage brings back. It has come back by itself, unless the package has lifted it since.
        return Ok(());
    }
    hold_locks(conn).await?;
    let (there, mut behind) = standing(conn, lock.account).await?;
    let before = behind.clone();
    behind.retain(|other| !is_same(other, lock) && is_in_force(other, lock.since));
    let mut entries = Vec::new();
    if lock.level == LockLevel::None {
        let is_its = there.is_some_and(|there| there.level != LockLevel::None && is_same(&there, lock));
        if is_its {
            entries.push(lock.clone());
            entries.extend(take_strongest(&mut behind, lock.since));
        }
    } else {
        match there.filter(|there| is_in_force(there, lock.since)) {
            Some(there) if is_same(&there, lock) => {
                let is_known = lock.source == LockSource::Package && there.level == lock.level;
                entries.extend((!is_known).then(|| lock.clone()));
            }
            Some(there) if goes_before(&there, lock) => behind.push(lock.clone()),
            Some(there) => {
                behind.push(there);
                entries.push(lock.clone());
            }
            None => entries.push(lock.clone()),
        }
    }
    behind.sort_by_key(|lock| std::cmp::Reverse(rank(lock)));
    behind.truncate(BEHIND_MAX);
    for entry in &entries {
        insert_lock(conn, entry).await?;
    }
    if behind != before {
        query("UPDATE locks SET behind = $2 WHERE account = $1")
            .cells(cells![lock.account.0, json(&behind)])
            .execute(&mut *conn)
            .await?;
    }
    if !entries.is_empty() {
        count_revision(conn).await?;
    }
    Ok(())
}

/// A person has lifted the lock of an account: what waits behind it does not come back.
pub(crate) async fn forget_behind(conn: &mut AnyConnection, account: AccountId) -> Result<()> {
    query("UPDATE locks SET behind = '[]' WHERE account = $1").cells(cells![account.0]).execute(conn).await?;
    Ok(())
}

/// Whoever changes locks does so alone until the end of the transaction: on PostgreSQL two could otherwise read the same row, and the
/// later would overwrite what the other wrote.
pub(crate) async fn hold_locks(conn: &mut AnyConnection) -> Result<()> {
    query("UPDATE revisions SET revision = revision WHERE one = 1").execute(conn).await?;
    Ok(())
}

/// The last lock of an account, and those behind it.
async fn standing(conn: &mut AnyConnection, account: AccountId) -> Result<(Option<Lock>, Vec<Lock>)> {
    let row = query_of(format!("SELECT {LOCK_COLUMNS}, behind FROM locks WHERE account = $1"))
        .cells(cells![account.0])
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok((Some(lock_of(&row)?), row.json("behind")?)),
        None => Ok((None, Vec::new())),
    }
}

/// The strongest of those that wait, from `since` on: who heard of the lifted lock takes what is later for the newer.
fn take_strongest(behind: &mut Vec<Lock>, since: DateTime<Utc>) -> Option<Lock> {
    let (place, _) = behind.iter().enumerate().max_by_key(|(_, lock)| rank(lock))?;
    let lock = behind.remove(place);
    Some(Lock { since: lock.since.max(since), ..lock })
}

/// Of one rule's alert, or of the package.
fn is_same(one: &Lock, other: &Lock) -> bool {
    one.source == other.source && one.alert == other.alert
}

/// Whether the lock that is there stays when another one comes. What a package says never takes the place of anybody's.
fn goes_before(there: &Lock, lock: &Lock) -> bool {
    lock.source == LockSource::Package || rank(there) >= rank(lock)
}

fn is_in_force(lock: &Lock, at: DateTime<Utc>) -> bool {
    lock.level != LockLevel::None && lock.until.is_none_or(|until| until > at)
}

/// The stronger first; of equals the one that lasts longer.
fn rank(lock: &Lock) -> (u8, DateTime<Utc>) {
    (lock.level.number(), lock.until.unwrap_or(DateTime::<Utc>::MAX_UTC))
}
