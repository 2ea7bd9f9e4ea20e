//! Rules over stored calls.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use fraud::backtest::{Backtest, BacktestReport, BacktestShare, StoredCall, name_hash};
use fraud::rule::{Key, Rule, RuleFile, presets};
use fraud::simulate::{Pattern, Simulation, Size};
use fraud::watch::HotList;
use model::{
    AccountId, CallUid, CdrId, Directory, FraudException, Lock, LockLevel, LockSource, SubscriberId, TenantId,
};
use rust_decimal::Decimal;

const SIZE: Size = Size { customers: 40, days: 18, quiet_days: 15, attacks_each: 1 };

fn stored(n: usize, account: AccountId, callee: u64, start_at: DateTime<Utc>, seconds: i64) -> StoredCall {
    let call = format!("c{n}");
    StoredCall {
        cdr: CdrId::derive(&CallUid::new(call.as_str()), 0),
        call: name_hash(&call),
        leg: 0,
        payer: account,
        subscriber: Some(SubscriberId(account.0)),
        trunk: None,
        source: [10, 0, 0, 1].into(),
        user_agent: 0,
        cli: None,
        callee: Some(callee),
        vendor: None,
        init_at: start_at - TimeDelta::seconds(5),
        start_at,
        answered_us: u64::try_from(seconds * 1_000_000).ok().filter(|us| *us > 0),
        cost: Decimal::TEN,
    }
}

fn run(
    rules: Vec<Rule>,
    directory: Directory,
    from: DateTime<Utc>,
    calls: Vec<StoredCall>,
) -> BacktestReport {
    let mut test = Backtest::new(rules, HotList::default(), HotList::default(), Arc::new(directory), from);
    calls.into_iter().for_each(|call| test.call(call));
    test.finish()
}

#[test]
fn calls_that_a_lock_would_have_cut_or_refused_are_counted_with_what_they_cost() {
    let rules = RuleFile::read(
        "[[rule]]\nname = \"three\"\nversion = 1\ntitle = \"Three\"\nkey = \"account\"\nwindow = \"1h\"\n\
         when = [{ measure = \"attempts\", at_least = 3 }]\n\
         action = [\"end_calls\", \"lock\"]\nlock = \"outgoing\"\nlock_for = \"1h\"\n",
    )
    .unwrap()
    .rules;
    let mut directory = Simulation::new(1, SIZE).directory();
    let begin: DateTime<Utc> = "2026-10-05T10:00:05Z".parse().unwrap();
    let at = |minutes| begin + TimeDelta::minutes(minutes);
    // That the account is locked by now is not what would have been.
    directory.locks.push(Lock {
        tenant: TenantId(1),
        account: AccountId(1),
        level: LockLevel::Global,
        source: LockSource::Admin,
        reason: String::new(),
        alert: None,
        since: begin,
        until: None,
    });
    directory.fraud_exceptions.push(FraudException {
        account: AccountId(1),
        rule: String::new(),
        author: String::new(),
        reason: String::new(),
        since: begin,
        until: None,
    });
    let mut calls: Vec<_> =
        (0..5).map(|n| stored(n, AccountId(1), 493_012_345_678, at(n as i64), 600)).collect();
    // After the lock, and somebody else's.
    calls.push(stored(5, AccountId(2), 493_012_345_678, at(6), 600));
    calls.push(stored(6, AccountId(1), 493_012_345_678, at(120), 600));
    let report = run(rules, directory, begin - TimeDelta::hours(1), calls);
    assert_eq!((report.n_calls, report.incidents.len(), report.locks.len()), (7, 1, 1));
    assert_eq!((report.n_incidents, report.n_locks), (1, 1));
    // At the third INVITE: two are cut after 115 and 55 of 600 seconds, the third before its answer; two are refused.
    assert_eq!((report.n_blocked, report.locks[0].n_blocked), (5, 5));
    assert_eq!(report.saved.round_dp(4), "47.1667".parse::<Decimal>().unwrap());
    assert_eq!(report.locks[0].saved, report.saved);
}

#[test]
fn what_happened_while_the_rules_learned_is_not_reported() {
    let simulation = Simulation::new(9, SIZE);
    let mut calls = Vec::new();
    for day in 0..simulation.days() {
        for call in simulation.calls_of(day) {
            calls.push(stored(calls.len(), call.account, call.destination, call.start, call.seconds));
        }
    }
    calls.sort_by_key(|call| call.init_at);
    let begin = simulation.began() + TimeDelta::days(15);
    let report = run(presets(), simulation.directory(), begin, calls.clone());
    assert!(report.n_calls < calls.len() as u64 / 2);
    assert!(report.incidents.iter().all(|alert| alert.at >= begin));
    // The stolen account is found in the stored calls as in the live ones.
    let victims: Vec<AccountId> = simulation
        .attacks()
        .iter()
        .filter(|attack| attack.pattern == Pattern::Irsf)
        .map(|attack| attack.account)
        .collect();
    assert!(!victims.is_empty());
    for victim in victims {
        assert!(report.locks.iter().any(|lock| lock.account == victim), "{victim}: {report:?}");
    }
}

#[test]
fn calls_to_a_range_that_would_have_been_barred_are_counted_and_others_go_on() {
    let rules = RuleFile::read(
        "[[rule]]\nname = \"two\"\nversion = 1\ntitle = \"Two\"\nkey = \"b_range\"\nwindow = \"1h\"\n\
         when = [{ measure = \"attempts\", at_least = 2 }]\n\
         action = [\"block_range\"]\nblock_for = \"30m\"\n",
    )
    .unwrap()
    .rules;
    let begin: DateTime<Utc> = "2026-10-05T10:00:05Z".parse().unwrap();
    let call = |n: usize, account, number, minute| {
        stored(n, AccountId(account), number, begin + TimeDelta::minutes(minute), 60)
    };
    let calls = vec![
        call(0, 1, 493_012_345_678, 0),
        // The range is barred from here on, for half an hour, for this account.
        call(1, 1, 493_012_345_679, 1),
        call(2, 1, 493_012_340_000, 2),
        call(3, 1, 493_099_999_999, 3),
        call(4, 1, 493_012_345_678, 40),
    ];
    let directory = Simulation::new(1, SIZE).directory();
    let report = run(rules, directory, begin - TimeDelta::hours(1), calls);
    assert_eq!((report.n_calls, report.n_blocked, report.locks.len()), (5, 1, 0));
}

/// All calls of a simulated world, in order.
fn world(simulation: &Simulation) -> Vec<StoredCall> {
    let days = (0..simulation.days()).flat_map(|day| simulation.calls_of(day));
    let mut calls: Vec<StoredCall> = days
        .enumerate()
        .map(|(n, call)| stored(n, call.account, call.destination, call.start, call.seconds))
        .collect();
    calls.sort_by_key(|call| call.init_at);
    calls
}

#[test]
fn shares_on_their_own_find_what_the_whole_finds() {
    let simulation = Simulation::new(10, SIZE);
    let calls = world(&simulation);
    let begin = simulation.began() + TimeDelta::days(15);
    // Those that count the calls of one payer.
    let rules = || -> Vec<Rule> {
        let is_payers =
            |rule: &Rule| matches!(rule.key, Key::Account | Key::AccountCountry | Key::Subscriber);
        presets().into_iter().filter(is_payers).collect()
    };
    let whole = run(rules(), simulation.directory(), begin, calls.clone());
    assert!(!whole.incidents.is_empty() && !whole.locks.is_empty());
    for n in [2, 5] {
        let none = HotList::default;
        let test = Backtest::new(rules(), none(), none(), Arc::new(simulation.directory()), begin);
        let mut shares = test.split(n);
        for call in &calls {
            shares[BacktestShare::place_of(n, call.payer)].call(call.clone());
        }
        let found = BacktestReport::merge(shares.into_iter().map(BacktestShare::finish));
        assert_eq!(found, whole, "{n} shares");
    }
}

#[test]
fn calls_of_several_payers_to_one_range_are_counted_together() {
    let rules = RuleFile::read(
        "[[rule]]\nname = \"range\"\nversion = 1\ntitle = \"One range\"\nkey = \"b_range\"\nwindow = \"1h\"\n\
         when = [{ measure = \"distinct_callees\", at_least = 5 }]\naction = [\"lock\"]\nlock = \"outgoing\"\n",
    )
    .unwrap()
    .rules;
    let begin: DateTime<Utc> = "2026-10-05T10:00:05Z".parse().unwrap();
    let directory = Arc::new(Simulation::new(1, SIZE).directory());
    let test =
        Backtest::new(rules, HotList::default(), HotList::default(), directory, begin - TimeDelta::hours(1));
    let mut shares = test.split(4);
    assert_eq!(shares.len(), 1, "they need all calls in one order");
    for n in 1..=5 {
        let at = begin + TimeDelta::minutes(n);
        let place = usize::try_from(n).unwrap();
        shares[0].call(stored(place, AccountId(n), 493_012_345_670 + n.unsigned_abs(), at, 60));
    }
    let report = shares.pop().unwrap().finish();
    assert_eq!((report.n_incidents, report.n_locks), (1, 1));
    assert_eq!(report.locks[0].account, AccountId(5), "the one whose call crossed it");
}

#[test]
fn rule_that_bars_everybody_is_not_split() {
    let rules = RuleFile::read(
        "[[rule]]\nname = \"one\"\nversion = 1\ntitle = \"One\"\nkey = \"b_range\"\nwindow = \"1h\"\n\
         when = [{ measure = \"attempts\", at_least = 1 }]\naction = [\"block_range\"]\nblock = \"everybody\"\n",
    )
    .unwrap()
    .rules;
    let begin: DateTime<Utc> = "2026-10-05T10:00:05Z".parse().unwrap();
    let directory = Arc::new(Simulation::new(1, SIZE).directory());
    let test =
        Backtest::new(rules, HotList::default(), HotList::default(), directory, begin - TimeDelta::hours(1));
    let mut shares = test.split(4);
    assert_eq!(shares.len(), 1);
    // Accounts of different lanes: what one calls first, no other calls after.
    for account in 1..20 {
        let at = begin + TimeDelta::minutes(account);
        shares[0].call(stored(
            usize::try_from(account).unwrap(),
            AccountId(account),
            493_012_345_678,
            at,
            60,
        ));
    }
    let report = shares.pop().unwrap().finish();
    assert_eq!((report.n_calls, report.n_blocked), (19, 18));
}
