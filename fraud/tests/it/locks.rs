//! Locks: set, left alone, lifted.

use expect_test::expect;
use model::{Directory, Lock, LockLevel, LockSource};

use crate::script::{check, check_in, desk, directory, feed, lock, picture, records};

fn with_lock(lock: Lock) -> Directory {
    Directory { locks: vec![lock], ..directory() }
}

#[test]
fn lock_is_lifted_at_local_midnight_and_once() {
    check(
        "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T21:59:59Z tick
         2026-10-05T22:00:00Z tick
         2026-10-05T22:00:10Z tick
         2026-10-09T22:00:10Z tick",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
              control: end calls of 1
            lock 1 none by fraud since 10-05T22:00:00 for good: its time is over (spent 12 EUR on 2026-10-05, the daily limit is 10 EUR)
              control: 1 is none
        "#]],
    );
}

#[test]
fn account_is_locked_again_when_the_next_day_reaches_the_limit_too() {
    check(
        "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T22:30:00Z call b 60 12
         2026-10-05T22:30:00Z tick
         2026-10-06T22:00:00Z tick",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
              control: end calls of 1
            lock 1 outgoing by fraud since 10-05T22:31:00 until 10-06T22:00:00: spent 12 EUR on 2026-10-06, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-06: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b
              control: end calls of 1
            lock 1 none by fraud since 10-06T22:00:00 for good: its time is over (spent 12 EUR on 2026-10-06, the daily limit is 10 EUR)
              control: 1 is none
        "#]],
    );
}

#[test]
fn stronger_lock_of_a_person_stays_as_it_is() {
    check_in(
        with_lock(lock(LockLevel::All, LockSource::Admin)),
        "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T22:00:00Z tick",
        expect![[r#"
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock all, to desk@example.org, shown by a
              control: end calls of 1
        "#]],
    );
}

#[test]
fn equal_lock_of_a_person_is_not_lifted_at_midnight() {
    check_in(
        with_lock(lock(LockLevel::Outgoing, LockSource::Dunning)),
        "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T22:00:00Z tick",
        expect![[r#"
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
              control: end calls of 1
        "#]],
    );
}

#[test]
fn lock_that_has_run_out_does_not_count() {
    let past = Some("2026-10-05T09:00:00Z".parse().unwrap());
    check_in(
        with_lock(Lock { until: past, ..lock(LockLevel::All, LockSource::Admin) }),
        "2026-10-05T10:00:00Z call a 60 12",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
              control: end calls of 1
        "#]],
    );
}

#[test]
fn weaker_lock_of_a_person_comes_back_when_ours_is_lifted() {
    let mut desk = desk(with_lock(lock(LockLevel::Foreign, LockSource::Admin)));
    let mut effects = feed(&mut desk, &records("2026-10-05T10:00:00Z call a 60 12"));
    let ours = locks_of(&effects);
    // The database keeps one lock for each account: ours has taken the place of the other.
    desk.set_directory(Directory { locks: ours, ..directory() }.into());
    effects.extend(feed(&mut desk, &records("2026-10-05T22:00:00Z tick")));
    expect![[r#"
        lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
          control: end calls of 1
        lock 1 none by fraud since 10-05T22:00:00 for good: its time is over (spent 12 EUR on 2026-10-05, the daily limit is 10 EUR)
          control: 1 is none
        lock 1 foreign by admin since 10-01T00:00:00 for good: by hand
          control: 1 is foreign
    "#]].assert_eq(&picture(&effects));
}

#[test]
fn weaker_lock_beside_ours_is_told_again_when_ours_is_lifted() {
    let by_hand = lock(LockLevel::Foreign, LockSource::Admin);
    let mut desk = desk(with_lock(by_hand.clone()));
    let mut effects = feed(&mut desk, &records("2026-10-05T10:00:00Z call a 60 12"));
    let locks = [locks_of(&effects), vec![by_hand]].concat();
    desk.set_directory(Directory { locks, ..directory() }.into());
    effects = feed(&mut desk, &records("2026-10-05T22:00:00Z tick"));
    expect![[r#"
        lock 1 none by fraud since 10-05T22:00:00 for good: its time is over (spent 12 EUR on 2026-10-05, the daily limit is 10 EUR)
          control: 1 is none
        lock 1 foreign by admin since 10-01T00:00:00 for good: by hand
          control: 1 is foreign
    "#]]
    .assert_eq(&picture(&effects));
}

#[test]
fn lock_that_a_person_put_in_the_place_of_ours_stays() {
    let mut desk = desk(directory());
    feed(&mut desk, &records("2026-10-05T10:00:00Z call a 60 12"));
    desk.set_directory(with_lock(lock(LockLevel::Foreign, LockSource::Admin)).into());
    assert_eq!(feed(&mut desk, &records("2026-10-05T22:00:00Z tick")), []);
}

fn locks_of(effects: &[model::Effect]) -> Vec<Lock> {
    let mut locks = Vec::new();
    for effect in effects {
        if let model::Effect::Lock(lock) = effect {
            locks.push((**lock).clone());
        }
    }
    locks
}

#[test]
fn account_unlocked_by_hand_is_locked_again_when_it_spends_as_much_again() {
    let mut desk = desk(directory());
    let mut effects = feed(&mut desk, &records("2026-10-05T10:00:00Z call a 60 12"));
    // Unlocked by hand: the database has no lock of the account any more.
    desk.set_directory(Directory { revision: 2, ..directory() }.into());
    effects.extend(feed(
        &mut desk,
        &records(
            "2026-10-05T10:05:00Z call b 60 7.99
             2026-10-05T10:06:00Z call c 60 0.01
             2026-10-05T10:07:00Z call d 60 19.99
             2026-10-05T22:00:00Z tick",
        ),
    ));
    expect![[r#"
        lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
          control: end calls of 1
        lock 1 outgoing by fraud since 10-05T10:07:00 until 10-05T22:00:00: spent 20 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert update 1 daily_spend 1 2026-10-05: 20.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a b c
          control: end calls of 1
        lock 1 none by fraud since 10-05T22:00:00 for good: its time is over (spent 20 EUR on 2026-10-05, the daily limit is 10 EUR)
          control: 1 is none
    "#]].assert_eq(&picture(&effects));
}
