//! The locks that one stage has set: the stronger wins, time lifts them, and what one stood before comes back.
//!
//! A database row and the switch know one lock for each account. So a lock that ends while a weaker one of ours still has time to
//! run, or while the lock of a person stood behind it, puts that one back.

use chrono::{DateTime, Utc};
use model::{AccountId, Body, Control, Directory, Effect, Effects, Lock, LockLevel, LockSource, Topic};
use serde::{Deserialize, Serialize};

/// The locks of ours on one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The strongest: the one that was announced.
    pub(crate) lock: Lock,
    /// The weaker lock of somebody else that it hides, to come back when ours is lifted.
    pub(crate) hides: Option<Lock>,
    /// Weaker or shorter ones of ours, of other rules, that may outlast it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) behind: Vec<Lock>,
}

/// Weaker locks of ours remembered for one account.
const BEHIND_MAX: usize = 8;

/// What became of a wish to lock.
pub(crate) struct Outcome {
    /// What is in force now.
    pub(crate) level: LockLevel,
    /// What is to be remembered, if something changed.
    pub(crate) held: Option<Held>,
}

/// Sets `wanted` unless something as strong is in force and lasts as long. `held` is what we set before; `trust_held` is false
/// where the directory alone can tell whether it still stands.
pub(crate) fn set(
    wanted: Lock,
    held: Option<&Held>,
    trust_held: bool,
    directory: &Directory,
    now: DateTime<Utc>,
    effects: &mut Effects,
) -> Outcome {
    let account = wanted.account;
    let ours = held.filter(|held| is_in_force(&held.lock, now) && !is_lifted_by_hand(&held.lock, directory));
    let in_force = locks_of(directory, account)
        .chain(ours.filter(|_| trust_held).map(|held| &held.lock))
        .filter(|lock| is_in_force(lock, now))
        .max_by_key(|lock| rank(lock));
    let level = in_force.map_or(LockLevel::None, |lock| lock.level);
    if wanted.level == LockLevel::None {
        return Outcome { level, held: None };
    }
    let mut behind: Vec<Lock> = ours.map(|held| held.behind.clone()).unwrap_or_default();
    behind.retain(|lock| is_in_force(lock, now) && lock.alert != wanted.alert);
    if in_force.is_some_and(|lock| rank(lock) >= rank(&wanted)) {
        let Some(ours) = ours.filter(|ours| ours.lock.alert != wanted.alert) else {
            return Outcome { level, held: None };
        };
        behind.push(wanted);
        behind.truncate(BEHIND_MAX);
        return Outcome { level, held: Some(Held { behind, ..ours.clone() }) };
    }
    let hides = locks_of(directory, account)
        .filter(|lock| lock.source != LockSource::Fraud || lock.alert.is_none())
        .chain(held.and_then(|held| held.hides.as_ref()))
        .filter(|lock| is_in_force(lock, now))
        .max_by_key(|lock| rank(lock))
        .cloned();
    behind.extend(ours.map(|held| held.lock.clone()).filter(|lock| lock.alert != wanted.alert));
    behind.truncate(BEHIND_MAX);
    announce(wanted.clone(), effects);
    Outcome { level: wanted.level, held: Some(Held { lock: wanted, hides, behind }) }
}

/// Lifts a lock of ours whose time is up, unless somebody put another in its place. What is to be remembered then.
pub(crate) fn lift(
    held: Held,
    directory: &Directory,
    now: DateTime<Utc>,
    effects: &mut Effects,
) -> Option<Held> {
    let Held { lock, hides, mut behind } = held;
    let is_ours = |other: &Lock| other.source == LockSource::Fraud && other.alert == lock.alert;
    let ours_stands = locks_of(directory, lock.account).any(is_ours);
    let other = locks_of(directory, lock.account)
        .filter(|other| !is_ours(other) && is_in_force(other, now))
        .max_by_key(|other| rank(other))
        .cloned();
    if other.is_some() && !ours_stands {
        // Somebody has put another lock in the place of ours: it is not for us to lift.
        return None;
    }
    let by_hand = is_lifted_by_hand(&lock, directory);
    announce(
        Lock {
            level: LockLevel::None,
            reason: format!("its time is over ({})", lock.reason),
            since: lock.until.unwrap_or(now),
            until: None,
            ..lock.clone()
        },
        effects,
    );
    behind.retain(|lock| is_in_force(lock, now) && !by_hand);
    behind.sort_by_key(|lock| std::cmp::Reverse(rank(lock)));
    // The lock that ours stood before, unless a person has lifted it all in the meantime.
    let hidden = hides.clone().filter(|hidden| ours_stands && is_in_force(hidden, now));
    let back = other.or(hidden);
    if behind.first().is_some_and(|ours| back.as_ref().is_none_or(|back| rank(ours) > rank(back))) {
        let lock = behind.remove(0);
        announce(lock.clone(), effects);
        return Some(Held { lock, hides, behind });
    }
    if let Some(back) = back {
        announce(back, effects);
    }
    None
}

/// Keeps a lock and tells every process.
fn announce(lock: Lock, effects: &mut Effects) {
    let account = lock.account;
    effects.0.push(Effect::Lock(Box::new(lock.clone())));
    effects.append(Topic::Control, account, Body::Control(Control::LockChanged(lock)));
}

fn locks_of(directory: &Directory, account: AccountId) -> impl Iterator<Item = &Lock> {
    // A lifted lock is listed too, with level `none`.
    directory.locks.iter().filter(move |lock| lock.account == account && lock.level != LockLevel::None)
}

/// A person has lifted what we set: the account's row says so, and is later than ours.
fn is_lifted_by_hand(ours: &Lock, directory: &Directory) -> bool {
    directory.locks.iter().any(|row| {
        row.account == ours.account
            && row.level == LockLevel::None
            && row.source != LockSource::Fraud
            && row.since >= ours.since
    })
}

pub(crate) fn is_in_force(lock: &Lock, now: DateTime<Utc>) -> bool {
    lock.level != LockLevel::None && lock.until.is_none_or(|until| until > now)
}

/// The stronger first; of equals the one that lasts longer.
fn rank(lock: &Lock) -> (u8, DateTime<Utc>) {
    (lock.level.number(), lock.until.unwrap_or(DateTime::<Utc>::MAX_UTC))
}
