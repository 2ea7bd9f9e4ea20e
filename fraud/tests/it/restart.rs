//! The desk stops and starts: nothing is counted twice, nothing fires twice.

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::expect;
use model::{Effect, Stage};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::script::{Saved, desk, directory, feed, picture, records};

const SCRIPT: &str = "2026-10-05T10:00:00Z call a 60 4
    2026-10-05T10:05:00Z call b 60 5 currency=USD
    2026-10-05T10:06:00Z call c 60 5
    2026-10-05T10:07:00Z call a 90 4.50 rev=1
    2026-10-05T10:08:00Z call d 60 0.50
    2026-10-05T10:09:00Z call e 60 3
    2026-10-05T10:09:00Z call f 60 6 account=3
    2026-10-05T21:00:00Z call g 7200 8
    2026-10-05T21:00:00Z call g 60 8 rev=1
    2026-10-05T22:00:00Z tick
    2026-10-05T22:30:00Z call h 60 9.99
    2026-10-05T22:30:30Z running j 5
    2026-10-05T22:31:00Z call i 60 0.01
    2026-10-06T22:00:00Z tick
    2026-10-12T22:00:00Z tick";

proptest! {
    /// A batch is applied, the process dies before the commit, and the batch comes again.
    #[test]
    fn replay_after_a_crash_gives_the_same_outputs(cuts in proptest::collection::vec(0_usize..15, 0..6)) {
        let all = records(SCRIPT);
        let whole = feed(&mut desk(directory()), &all);
        let mut cuts = cuts;
        cuts.sort_unstable();
        cuts.push(all.len());
        let mut saved = Saved::default();
        let (mut from, mut pieces) = (0, Vec::new());
        for to in cuts {
            let lost = feed(&mut saved.load(), &all[from..to]);
            let mut desk = saved.load();
            let kept = feed(&mut desk, &all[from..to]);
            prop_assert_eq!(&lost, &kept);
            saved.commit(desk.take_changes());
            pieces.extend(kept);
            from = to;
        }
        prop_assert_eq!(pieces, whole);
    }
}

proptest! {
    /// The plainest description of the rule: after each record, add up the highest revisions.
    #[test]
    fn limit_fires_when_the_sum_of_highest_revisions_reaches_it_and_its_doubles(
        steps in proptest::collection::vec((0_u8..6, 0_u32..4, 0_i64..6_000_000), 0..30),
    ) {
        let mut script = String::new();
        let mut highest: BTreeMap<u8, (u32, i64)> = BTreeMap::new();
        let mut fired = Vec::new();
        let mut next = 10_000_000;
        for (call, revision, micros) in steps {
            let name = char::from(b'a' + call);
            let cost = model::from_micros(micros);
            writeln!(script, "2026-10-05T10:00:00Z call {name} 60 {cost} rev={revision}").unwrap();
            if highest.get(&call).is_none_or(|(held, _)| *held < revision) {
                highest.insert(call, (revision, micros));
            }
            let sum: i64 = highest.values().map(|(_, micros)| micros).sum();
            if sum >= next {
                fired.push(model::from_micros(sum));
                while next <= sum {
                    next *= 2;
                }
            }
        }
        let effects = feed(&mut desk(directory()), &records(&script));
        let alerts: Vec<Decimal> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Alert(alert) => Some(alert.value.amount),
                _ => None,
            })
            .collect();
        prop_assert_eq!(alerts, fired);
    }
}

#[test]
fn whole_script_in_one_picture() {
    expect![[r#"
        FRD001 of 1 after_provisioning: account 1 has its limits in EUR and this call is charged in USD: map the account to a profile in EUR, rate the call again and resubmit
        lock 1 outgoing by fraud since 10-05T10:09:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-05: 10.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by c a d
          control: end calls of 1
        alert daily_spend 3 2026-10-05: 6 EUR of 5 EUR, lock none, to desk@example.org, shown by f
        lock 1 outgoing by fraud since 10-05T21:01:00 until 10-05T22:00:00: spent 21 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert update 1 daily_spend 1 2026-10-05: 21.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by g c a e d
          control: end calls of 1
        lock 1 none by fraud since 10-05T22:00:00 for good: its time is over (spent 21 EUR on 2026-10-05, the daily limit is 10 EUR)
          control: 1 is none
        lock 1 outgoing by fraud since 10-05T22:30:30 until 10-06T22:00:00: spent 14.99 EUR on 2026-10-06, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-06: 14.99 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by h j
          control: end calls of 1
        lock 1 none by fraud since 10-06T22:00:00 for good: its time is over (spent 14.99 EUR on 2026-10-06, the daily limit is 10 EUR)
          control: 1 is none
    "#]].assert_eq(&picture(&feed(&mut desk(directory()), &records(SCRIPT))));
}

#[test]
fn days_and_months_long_gone_leave_nothing_but_the_clock() {
    let mut saved = Saved::default();
    let mut desk = desk(directory());
    feed(&mut desk, &records(SCRIPT));
    saved.commit(desk.take_changes());
    assert_eq!(saved.0.keys().collect::<Vec<_>>(), ["clock", "period/1/2026-10", "period/3/2026-10"]);
    feed(&mut desk, &records("2026-11-03T23:00:00Z tick"));
    saved.commit(desk.take_changes());
    assert_eq!(saved.0.keys().collect::<Vec<_>>(), ["clock"]);
}

/// What 0.1.0 wrote: later versions must go on reading it.
#[test]
fn state_of_the_first_version_is_still_read() {
    let kept = include_str!("../golden/v1/state.jsonl");
    let saved = Saved(
        kept.lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
            .collect(),
    );
    // It fired once a day; from now on it fires again at the double, which the next call finds passed.
    let next = records("2026-10-05T21:30:00Z call z 60 1");
    let mut desk = saved.load();
    let mut effects = feed(&mut desk, &next);
    effects.extend(feed(&mut desk, &records(SCRIPT)[9..]));
    expect![[r#"
        lock 1 outgoing by fraud since 10-05T21:31:00 until 10-05T22:00:00: spent 22 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert update 1 daily_spend 1 2026-10-05: 22.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by g c a e z d
          control: end calls of 1
        lock 1 none by fraud since 10-05T22:00:00 for good: its time is over (spent 22 EUR on 2026-10-05, the daily limit is 10 EUR)
          control: 1 is none
        lock 1 outgoing by fraud since 10-05T22:30:30 until 10-06T22:00:00: spent 14.99 EUR on 2026-10-06, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-06: 14.99 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by h j
          control: end calls of 1
        lock 1 none by fraud since 10-06T22:00:00 for good: its time is over (spent 14.99 EUR on 2026-10-06, the daily limit is 10 EUR)
          control: 1 is none
    "#]].assert_eq(&picture(&effects));
}

#[test]
fn state_that_cannot_be_read_is_refused_with_its_name() {
    let refused = |key: &str, value: &str| {
        desk(directory()).restore(vec![(key.to_owned(), value.as_bytes().to_vec())]).unwrap_err()
    };
    expect![[r#"entry "clock" has version 2, this program reads up to 1: run the version that wrote it"#]]
        .assert_eq(&refused("clock", r#"{"v":2,"is":""}"#));
    expect![[r#"entry "weather" is of no kind this version knows: run the version that wrote it"#]]
        .assert_eq(&refused("weather", r#"{"v":1,"is":""}"#));
    expect![[r#"entry "call/zz" is of no kind this version knows: run the version that wrote it"#]]
        .assert_eq(&refused("call/zz", r#"{"v":1,"is":""}"#));
}
