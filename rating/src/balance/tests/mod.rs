//! Scripts of what happens to an account, and pictures of what came of it.

mod intervals;
mod modes;
mod own_money;
mod properties;
mod table;

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use expect_test::Expect;
use model::{BalanceLength, BalanceUnit, CarryOver, LockLevel, StartMode};

use super::cadence::resolved;
use super::{Contract, Due, Grant, Happening, Outcome, Rules};

pub(super) const VIENNA: Tz = chrono_tz::Europe::Vienna;

/// A month from the first, own money stays.
pub(super) fn rules() -> Rules {
    Rules { start: Some(StartMode::FirstTz), ..Rules::without_package(BalanceLength::MONTH, VIENNA) }
}

/// `2026-01-30 12:00` by the clock of Vienna.
pub(super) fn local(text: &str) -> DateTime<Utc> {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    resolved(VIENNA, local).unwrap()
}

fn shown(at: DateTime<Utc>) -> String {
    at.with_timezone(&VIENNA).format("%m-%d %H:%M").to_string()
}

fn money(micros: i64) -> String {
    model::from_micros(micros).normalize().to_string()
}

fn cents(text: &str) -> i64 {
    super::rules::micros(text.parse().unwrap())
}

/// Runs a script: the first word pair is the local time, then `call PRICE [SECONDS]`, `topup AMOUNT`, `to`, `adjust AMOUNT`,
/// `package` (to `other`), `undo` (the last call is given back). Prints each movement, then the balance.
#[track_caller]
pub(super) fn check(rules: &Rules, grant: (&str, u64), script: &[&str], expect: Expect) {
    check_switch(rules, rules, grant, script, expect);
}

#[track_caller]
pub(super) fn check_switch(
    rules: &Rules,
    other: &Rules,
    grant: (&str, u64),
    script: &[&str],
    expect: Expect,
) {
    let grant = Grant { micros: cents(grant.0), seconds: grant.1 };
    let grant_at = |_| grant;
    let mut contract: Option<Contract> = None;
    let mut last = None;
    let mut rules = rules;
    let mut out = String::new();
    for line in script {
        let words: Vec<&str> = line.split(' ').collect();
        let at = local(&format!("{} {}", words[0], words[1]));
        let mut outcome = Outcome::default();
        let before = rules;
        match &mut contract {
            None => contract = Some(Contract::open(at, rules, &grant_at, &mut outcome)),
            Some(contract) => {
                assert!(contract.catch_up(at, rules, &grant_at, &mut outcome));
                match words[2] {
                    "to" => {}
                    "call" => {
                        let seconds = words.get(4).map_or(0, |seconds| seconds.parse().unwrap());
                        let touched = contract.touched(at, at + TimeDelta::seconds(1));
                        let due = Due {
                            interval: touched[0].stretch.start,
                            price_micros: cents(words[3]),
                            free_seconds: seconds,
                        };
                        last = Some((at, contract.spend(at, &[due], rules, &mut outcome)));
                    }
                    // The record of a call of some days ago.
                    "late" => {
                        let start = local(&format!("{} 12:00", words[4]));
                        let touched = contract.touched(start, start + TimeDelta::seconds(1));
                        let due = Due {
                            interval: touched[0].stretch.start,
                            price_micros: cents(words[3]),
                            free_seconds: 0,
                        };
                        last = Some((start, contract.spend(start, &[due], rules, &mut outcome)));
                    }
                    "undo" => {
                        let (start, taken) = last.take().unwrap();
                        contract.give_back(start, &taken, rules, &mut outcome);
                    }
                    "topup" => {
                        contract.top_up(at, cents(words[3]), rules, rules, &grant_at, &mut outcome);
                    }
                    "voucher" => {
                        rules = other;
                        contract.top_up(at, cents(words[3]), before, rules, &grant_at, &mut outcome);
                    }
                    "adjust" => contract.adjust(at, cents(words[3]), rules, &mut outcome),
                    "package" => {
                        rules = other;
                        contract.switch_package(at, rules, &grant_at, &mut outcome);
                    }
                    other => panic!("{other}"),
                }
            }
        }
        for movement in outcome.movements {
            let is_time = format!("{:?}", movement.what).ends_with("Time");
            let amount = if is_time { movement.amount.to_string() } else { money(movement.amount) };
            writeln!(out, "{} {:?} {amount}", shown(movement.at), movement.what).unwrap();
        }
        for happening in outcome.happenings {
            match happening {
                Happening::Lock { at, level, .. } => writeln!(out, "{} lock {level}", shown(at)),
                Happening::Profiles { at, set } => writeln!(out, "{} profiles {set:?}", shown(at)),
            }
            .unwrap();
        }
    }
    let contract = contract.unwrap();
    let running = contract.running();
    let end = running.stretch.end.map_or_else(|| "open".to_owned(), shown);
    writeln!(
        out,
        "{} to {end}: own {}, free {} and {} s",
        shown(running.stretch.start),
        money(contract.own_micros),
        money(running.left.micros),
        running.left.seconds
    )
    .unwrap();
    expect.assert_eq(&out);
}

pub(super) const LOCK: (i64, LockLevel) = (2_000_000, LockLevel::Outgoing);
pub(super) const DEAR: i64 = 1_000_000;

pub(super) fn length(count: u32, unit: BalanceUnit) -> BalanceLength {
    BalanceLength { unit, count }
}

pub(super) fn carrying(carry_over: CarryOver) -> Rules {
    Rules { carry_over, ..rules() }
}
