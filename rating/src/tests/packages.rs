//! Packages that change profiles, prices by usage, and the reference's balances, as the stage of the running system does them.

#![expect(clippy::wildcard_enum_match_arm, reason = "what a test does not look for it leaves alone")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Body, CarryOver, Cdr, Direction, Directory, Effect, IntervalPrice, LedgerAccount, LockLevel,
    Package, PostingId, PriceModel, PriceStep, ProfileChoice, ProfileId, ProfileSwitch, RatedCdr, Stage as _,
    StartMode, TenantId, TenantPackage, Underrun,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::contracts::{at, call, stage, top_up, with_contract};
use super::stage::{ALICE, apply};
use crate::RatingStage;
use crate::interval_price::sum;

/// Alice has a package; profile 1 costs 0.06 a minute begun, profile 4 0.12.
fn with_package(package: Package) -> Directory {
    let mut rows = with_contract(true, "0");
    let mut dear = rows.tariffs[0].clone();
    dear.id = model::ProfileVersionId(4);
    dear.profile.id = ProfileId(4);
    dear.profile.handle = "dear".to_owned();
    dear.fees[0] = super::fee("49 0.12 0.12 60/60");
    rows.tariffs.push(dear);
    rows.contracts.get_mut(&ALICE).unwrap().package = "gold".to_owned();
    let package = Package { handle: "gold".to_owned(), ..package };
    rows.packages.push(TenantPackage { tenant: TenantId(1), package });
    rows
}

fn only(profile: i64) -> Vec<ProfileChoice> {
    vec![ProfileChoice { profile: ProfileId(profile), network: None }]
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn guarded() -> Package {
    Package {
        underrun_profiles: Some(Underrun { below: decimal("1.00"), then: only(4) }),
        underrun_lock: Some(Underrun { below: decimal("0.50"), then: LockLevel::Outgoing }),
        topup_profiles: only(1),
        topup_lock: Some(LockLevel::None),
        ..Package::default()
    }
}

/// What Alice pays for a call.
fn price(stage: &mut RatingStage, cdr: Cdr) -> (Decimal, Vec<Effect>) {
    let effects = apply(stage, Body::Cdr(Box::new(cdr)));
    let charge = rated(&effects).charges.into_iter().find(|charge| charge.account == ALICE).unwrap();
    (charge.cost + charge.free_cash, effects)
}

fn rated(effects: &[Effect]) -> RatedCdr {
    let rated = effects.iter().find_map(|effect| match effect {
        Effect::Append { body, .. } => match &**body {
            Body::Rated(rated) => Some((**rated).clone()),
            _ => None,
        },
        _ => None,
    });
    rated.expect("it is rated")
}

fn switches(effects: &[Effect]) -> Vec<ProfileSwitch> {
    let switch = |effect: &Effect| match effect {
        Effect::Profiles(switch) => Some((**switch).clone()),
        _ => None,
    };
    effects.iter().filter_map(switch).collect()
}

fn locks(effects: &[Effect]) -> Vec<LockLevel> {
    let level = |effect: &Effect| match effect {
        Effect::Lock(lock) => Some(lock.level),
        _ => None,
    };
    effects.iter().filter_map(level).collect()
}

#[test]
fn underrun_and_top_up_change_the_profile_of_calls_that_begin_after() {
    let rows = with_package(guarded());
    let mut stage = stage(rows.clone());
    apply(&mut stage, top_up("1.05", "2026-10-05T09:00:00Z"));
    let (cost, effects) = price(&mut stage, call(1, "2026-10-05T10:00:00Z", 60));
    // It sets the switch off and is not priced by it, nor is one that began while it was up.
    assert_eq!(cost, decimal("0.06"));
    let from = at("2026-10-05T10:01:00Z");
    let expected = ProfileSwitch { tenant: TenantId(1), account: ALICE, from, profiles: only(4) };
    assert_eq!(switches(&effects), std::slice::from_ref(&expected));
    assert_eq!(price(&mut stage, call(2, "2026-10-05T10:00:59Z", 60)).0, decimal("0.06"));
    assert_eq!(price(&mut stage, call(3, "2026-10-05T10:01:00Z", 60)).0, decimal("0.12"));

    // A stage loaded again knows it though the provisioning data does not say so yet, and agrees with one where it does.
    let kept = stage.take_changes().into_iter().map(|change| (change.key, change.value.unwrap()));
    let kept: Vec<_> = kept.collect();
    let mut second = RatingStage::for_lanes(1);
    second.set_directory(Arc::new(rows.clone())).unwrap();
    second.restore(kept.clone()).unwrap();
    assert_eq!(price(&mut second, call(4, "2026-10-05T11:00:00Z", 60)).0, decimal("0.12"));
    let mut known = rows;
    expected.apply(&mut known.accounts.iter_mut().find(|there| there.id == ALICE).unwrap().profiles);
    let mut third = RatingStage::for_lanes(1);
    third.set_directory(Arc::new(known)).unwrap();
    third.restore(kept).unwrap();
    assert_eq!(price(&mut third, call(4, "2026-10-05T11:00:00Z", 60)).0, decimal("0.12"));

    // 0.81 left: three minutes of 0.12 take it below 0.50.
    let (_, effects) = price(&mut stage, call(5, "2026-10-05T12:00:00Z", 180));
    assert_eq!((locks(&effects), switches(&effects)), (vec![LockLevel::Outgoing], vec![]));
    let effects = apply(&mut stage, top_up("2", "2026-10-05T13:00:00Z"));
    assert_eq!(locks(&effects), [LockLevel::None]);
    assert_eq!(switches(&effects)[0].profiles, only(1));
    assert_eq!(price(&mut stage, call(6, "2026-10-05T13:00:00Z", 60)).0, decimal("0.06"));
    // A late record of a call before it has the price of its day.
    assert_eq!(price(&mut stage, call(7, "2026-10-05T12:30:00Z", 60)).0, decimal("0.12"));
}

#[test]
fn switch_that_another_one_of_the_same_instant_replaced_does_not_come_back() {
    let package = Package {
        initial_balance: decimal("1.50"),
        service_charge: decimal("1.00"),
        topup_profiles: only(4),
        underrun_profiles: Some(Underrun { below: decimal("1.00"), then: only(1) }),
        ..Package::default()
    };
    let rows = with_package(package);
    let mut first = stage(rows.clone());
    // What is kept of the top-up takes the balance below the threshold.
    let both = switches(&apply(&mut first, top_up("0.10", "2026-10-05T09:00:00Z")));
    assert_eq!(both.iter().map(|switch| switch.profiles.clone()).collect::<Vec<_>>(), [only(4), only(1)]);
    assert_eq!(both[0].from, both[1].from);
    let kept = first.take_changes().into_iter().map(|change| (change.key, change.value.unwrap()));
    let mut known = rows;
    let profiles = &mut known.accounts.iter_mut().find(|there| there.id == ALICE).unwrap().profiles;
    both.iter().for_each(|switch| switch.apply(profiles));
    let mut second = stage(known);
    second.restore(kept.collect()).unwrap();
    for n in 1..3 {
        assert_eq!(price(&mut second, call(n, "2026-10-05T10:00:00Z", 60)).0, decimal("0.06"), "call {n}");
    }
}

#[test]
fn top_up_that_brings_the_profiles_in_force_writes_no_new_entry() {
    let package = Package { initial_balance: decimal("2.00"), ..guarded() };
    let mut stage = stage(with_package(package));
    assert_eq!(switches(&apply(&mut stage, top_up("5", "2026-10-05T09:00:00Z"))), []);
}

#[test]
fn profiles_of_a_network_end_where_a_set_for_all_begins() {
    let office = Some(model::NetworkId(1));
    let mapping = |from: &str, network, profile| model::ProfileMapping {
        from: at(from),
        to: None,
        network,
        profile: ProfileId(profile),
    };
    let mut schedule =
        vec![mapping("2026-01-01T00:00:00Z", None, 1), mapping("2026-02-01T00:00:00Z", office, 2)];
    let switch = ProfileSwitch {
        tenant: TenantId(1),
        account: ALICE,
        from: at("2026-03-01T00:00:00Z"),
        profiles: only(4),
    };
    switch.apply(&mut schedule);
    assert_eq!(schedule[1].to, Some(switch.from));
    assert!(switch.is_in(&schedule));
    let mut account = with_package(Package::default()).accounts[1].clone();
    account.profiles = schedule;
    let profile = |text: &str| account.profile_from(at(text), |network| Some(network) == office);
    assert_eq!(profile("2026-02-15T00:00:00Z"), Some(ProfileId(2)));
    assert_eq!(profile("2026-03-15T00:00:00Z"), Some(ProfileId(4)));
}

/// Top-ups make the intervals, which stay open.
fn of_top_ups(package: Package) -> Package {
    Package { start: StartMode::TopUp, ..package }
}

/// The entries of a stage, as they are read again after a restart.
fn kept(stage: &mut RatingStage) -> Vec<(String, Vec<u8>)> {
    stage.take_changes().into_iter().map(|change| (change.key, change.value.unwrap())).collect()
}

/// Alice's postings.
fn posted(effects: &[Effect]) -> String {
    super::stage::picture(effects).lines().filter(|line| line.starts_with("postings of 10:")).fold(
        String::new(),
        |mut text, line| {
            text += line;
            text += "\n";
            text
        },
    )
}

#[test]
fn own_money_of_an_open_interval_expires_after_a_restart_too() {
    let one_month = of_top_ups(Package { discard_without_topup: Some(1), ..Package::default() });
    let timely = of_top_ups(Package { carry_over: CarryOver::Timely, ..Package::default() });
    for package in [one_month, timely] {
        let rows = with_package(package);
        let mut first = stage(rows.clone());
        apply(&mut first, top_up("1", "2026-10-05T09:00:00Z"));
        let entries = kept(&mut first);
        let mut second = stage(rows.clone());
        second.restore(entries.clone()).unwrap();
        // One that does not have the account at first, as where its directory comes after the first tick.
        let mut third = RatingStage::for_lanes(1);
        third.restore(entries).unwrap();
        let tick = |text| Body::Tick(at(text));
        for stage in [&mut first, &mut second, &mut third] {
            // A month later by the clock of Vienna, which is an hour behind by then; nothing is written before.
            assert_eq!(apply(stage, tick("2026-11-05T09:59:59Z")), []);
            assert_eq!(stage.take_changes(), []);
        }
        third.set_directory(Arc::new(rows)).unwrap();
        for stage in [&mut first, &mut second, &mut third] {
            let effects = apply(stage, tick("2026-11-05T10:00:00Z"));
            assert_eq!(posted(&effects), "postings of 10: expiry revenue:1 -> cash:10 1 EUR\n");
            assert_eq!(stage.take_changes().len(), 1);
            assert_eq!(apply(stage, tick("2026-12-05T10:00:00Z")), []);
        }
    }
}

/// The end of Alice's interval has moved: a restarted lane does not know of the first, and must put out at each tick what the other has put out.
#[test]
fn end_that_has_moved_does_not_take_the_turn_of_another_at_a_tick() {
    let package = Package {
        start: StartMode::TopUpInterval,
        carry_over: CarryOver::Discard,
        discard_without_topup: None,
        ..Package::default()
    };
    let mut rows = with_package(package);
    let alice = rows.accounts.iter().find(|account| account.id == ALICE).unwrap().clone();
    let terms = rows.contracts[&ALICE].clone();
    let others: Vec<AccountId> = (0..600).map(|n| AccountId(1_000 + n)).collect();
    for id in &others {
        rows.accounts.push(model::Account { id: *id, ..alice.clone() });
        rows.contracts.insert(*id, terms.clone());
    }
    let mut first = stage(rows.clone());
    apply(&mut first, top_up("1", "2026-10-05T09:00:00Z"));
    apply(&mut first, top_up("1", "2026-10-06T09:00:00Z"));
    for id in others {
        let Body::Posting(mut posting) = top_up("1", "2026-10-06T09:00:00Z") else { unreachable!() };
        posting.id = PostingId::of_top_up(id, "first");
        (posting.account, posting.credit) = (id, LedgerAccount::Cash(id));
        apply(&mut first, Body::Posting(posting));
    }
    let mut second = stage(rows);
    second.restore(kept(&mut first)).unwrap();
    for when in ["2026-11-06T10:00:00Z", "2026-11-06T10:00:01Z"] {
        let put_out = [&mut first, &mut second].map(|stage| apply(stage, Body::Tick(at(when))));
        assert!(put_out[0].len() > 90, "{when}: {}", put_out[0].len());
        assert_eq!(put_out[0], put_out[1], "{when}");
    }
}

#[test]
fn package_change_that_takes_money_locks_and_changes_the_profile() {
    let package = Package { initial_balance: decimal("10"), ..Package::default() };
    let mut rows = with_package(package);
    let strict = of_top_ups(Package {
        handle: "strict".to_owned(),
        carry_over: CarryOver::Discard,
        initial_balance: Decimal::ZERO,
        topup_lock: None,
        topup_profiles: Vec::new(),
        ..guarded()
    });
    rows.packages.push(TenantPackage { tenant: TenantId(1), package: strict });
    let mut stage = stage(rows.clone());
    price(&mut stage, call(1, "2026-10-05T10:00:00Z", 60));
    rows.revision += 1;
    rows.contracts.get_mut(&ALICE).unwrap().package = "strict".to_owned();
    stage.set_directory(Arc::new(rows)).unwrap();
    // The change is known by one tick, committed, and made by the next.
    assert_eq!(apply(&mut stage, Body::Tick(at("2026-10-06T10:00:00Z"))), []);
    stage.take_changes();
    let effects = apply(&mut stage, Body::Tick(at("2026-10-06T10:00:01Z")));
    assert_eq!(posted(&effects), "postings of 10: expiry revenue:1 -> cash:10 9.94 EUR\n");
    assert_eq!(locks(&effects), [LockLevel::Outgoing]);
    assert_eq!(switches(&effects)[0].profiles, only(4));
    assert_eq!(switches(&effects)[0].from, at("2026-10-06T10:00:01Z"));
    assert_eq!(price(&mut stage, call(2, "2026-10-06T11:00:00Z", 60)).0, decimal("0.12"));
}

/// Minutes begun: the first ten at 0.06, then 0.03.
fn by_usage(model: PriceModel) -> Directory {
    let mut rows = with_contract(false, "0");
    let step = |from_seconds, per_minute| PriceStep { from_seconds, per_minute: decimal(per_minute) };
    let is_package = model == PriceModel::Package;
    rows.tariffs[0].interval_price = Some(IntervalPrice {
        model,
        zones: Vec::new(),
        steps: if is_package { Vec::new() } else { vec![step(0, "0.06"), step(600, "0.03")] },
        package_seconds: if is_package { 600 } else { 0 },
        package_price: if is_package { decimal("0.50") } else { Decimal::ZERO },
    });
    rows
}

#[test]
fn tiers_are_counted_by_interval_and_a_new_one_begins_at_the_first_step() {
    let mut stage = stage(by_usage(PriceModel::Tiered));
    assert_eq!(price(&mut stage, call(1, "2026-10-05T10:00:00Z", 540)).0, decimal("0.54"));
    // A minute at each price.
    assert_eq!(price(&mut stage, call(2, "2026-10-05T11:00:00Z", 120)).0, decimal("0.09"));
    assert_eq!(price(&mut stage, call(3, "2026-11-05T11:00:00Z", 120)).0, decimal("0.12"));
    // The record of a call of the month before counts there.
    assert_eq!(price(&mut stage, call(4, "2026-10-07T11:00:00Z", 60)).0, decimal("0.03"));
}

#[test]
fn volume_step_reached_is_given_back_for_what_was_used_before() {
    let mut stage = stage(by_usage(PriceModel::Volume));
    assert_eq!(price(&mut stage, call(1, "2026-10-05T10:00:00Z", 600)).0, decimal("0.6"));
    assert_eq!(price(&mut stage, call(2, "2026-10-05T11:00:00Z", 60)).0, decimal("-0.27"));
}

#[test]
fn call_within_a_package_that_is_paid_costs_nothing() {
    let mut stage = stage(by_usage(PriceModel::Package));
    assert_eq!(price(&mut stage, call(1, "2026-10-05T10:00:00Z", 60)).0, decimal("0.5"));
    assert_eq!(price(&mut stage, call(2, "2026-10-05T11:00:00Z", 540)).0, decimal("0"));
    assert_eq!(price(&mut stage, call(3, "2026-10-05T12:00:00Z", 1)).0, decimal("0.5"));
}

/// Minutes from whole peak to off-peak at 18:00; 0.06 and 0.03.
fn compat(compat: bool, free_seconds: u64, free_cash: &str) -> Directory {
    let mut rows = with_contract(false, free_cash);
    let tariff = &mut rows.tariffs[0];
    tariff.compat = compat;
    tariff.interval_free_seconds = free_seconds;
    tariff.fees[0] = super::fee("49 0.06 0.03 60/60");
    tariff.fees[0].onpeak.use_free_time = true;
    tariff.fees[0].offpeak.use_free_time = true;
    tariff.weekdays = super::spans(&["mon 18:00:00 23:59:59"]);
    rows
}

/// What is owed and what was paid from free cash.
fn owed(rows: Directory, start: &str, seconds: u64) -> (Decimal, Decimal) {
    let mut stage = stage(rows);
    let effects = apply(&mut stage, Body::Cdr(Box::new(call(1, start, seconds))));
    let charge = rated(&effects).charges.into_iter().find(|charge| charge.account == ALICE).unwrap();
    assert_eq!(charge.direction, Direction::Out);
    (charge.cost, charge.free_cash)
}

#[test]
fn reference_pays_interval_by_interval_where_one_fits_whole() {
    // 0.10 of free cash and two minutes of 0.06.
    let start = "2026-10-05T10:00:00Z";
    assert_eq!(owed(compat(true, 0, "0.10"), start, 120), (decimal("0.06"), decimal("0.06")));
    assert_eq!(owed(compat(false, 0, "0.10"), start, 120), (decimal("0.02"), decimal("0.10")));
}

#[test]
fn reference_lets_the_clock_stand_while_time_is_free() {
    // Monday, 17:59:30 in Vienna: a free minute, then one that begins at 18:00:30.
    let start = "2026-10-05T15:59:30Z";
    assert_eq!(owed(compat(true, 60, "0"), start, 120).0, decimal("0.06"));
    assert_eq!(owed(compat(false, 60, "0"), start, 120).0, decimal("0.03"));
}

#[test]
fn reference_takes_what_a_call_took_from_the_next_balance_too() {
    // The last two minutes of October, of which each month's 1.00 pays; the call lasts one more.
    let spent = |compat_on| {
        let mut stage = stage(compat(compat_on, 0, "1"));
        apply(&mut stage, Body::Cdr(Box::new(call(1, "2026-10-31T22:58:00Z", 180))));
        let changes = stage.take_changes();
        let key = crate::contract_key(ALICE);
        let entry = changes.into_iter().find(|change| change.key == key).unwrap().value.unwrap();
        let contract = crate::contract_of(&entry).unwrap();
        model::from_micros(contract.cash_micros()).normalize()
    };
    // The new month pays for its own minute; in the reference for the two before as well.
    assert_eq!(spent(false), decimal("0.94"));
    assert_eq!(spent(true), decimal("0.82"));
}

/// What is at hand of Alice's balance, own money and free cash.
fn at_hand(stage: &mut RatingStage) -> Decimal {
    let entries = kept(stage);
    let (_, entry) = entries.iter().find(|(key, _)| *key == crate::contract_key(ALICE)).unwrap();
    model::from_micros(crate::contract_of(entry).unwrap().cash_micros()).normalize()
}

/// What a call leaves to be paid, and what was paid of it from the balance.
fn left_and_paid(stage: &mut RatingStage, cdr: Cdr) -> (Decimal, Decimal) {
    let effects = apply(stage, Body::Cdr(Box::new(cdr)));
    let charge = rated(&effects).charges.into_iter().find(|charge| charge.account == ALICE).unwrap();
    (charge.cost, charge.free_cash)
}

#[test]
fn reference_takes_what_a_late_call_took_from_the_balance_of_today_too() {
    let october = |n| call(n, "2026-10-20T10:00:00Z", 120);
    let begin = |compat_on| {
        let mut stage = stage(compat(compat_on, 0, "0.20"));
        // Three minutes of November: of the month's 0.20, 0.02 are left.
        let first = left_and_paid(&mut stage, call(1, "2026-11-05T10:00:00Z", 180));
        assert_eq!((first, at_hand(&mut stage)), ((decimal("0"), decimal("0.18")), decimal("0.02")));
        stage
    };
    // The right way: October's own free cash pays, November's is left alone; what October does not cover is owed.
    let mut stage = begin(false);
    assert_eq!(left_and_paid(&mut stage, october(2)), (decimal("0"), decimal("0.12")));
    assert_eq!(left_and_paid(&mut stage, october(3)), (decimal("0.04"), decimal("0.08")));
    assert_eq!(at_hand(&mut stage), decimal("0.02"));
    // The reference's row of October has 0.20: two minutes of 0.06, then one. Neither fits the 0.02 of November.
    let mut stage = begin(true);
    assert_eq!(left_and_paid(&mut stage, october(2)), (decimal("0"), decimal("0.12")));
    assert_eq!(left_and_paid(&mut stage, october(3)), (decimal("0.06"), decimal("0.06")));
    assert_eq!(at_hand(&mut stage), decimal("0.02"));
    // Of one minute in November 0.14 are left: they bear both minutes of October, and then no third one.
    let mut stage = self::stage(compat(true, 0, "0.20"));
    assert_eq!(
        left_and_paid(&mut stage, call(1, "2026-11-05T10:00:00Z", 60)),
        (decimal("0"), decimal("0.06"))
    );
    assert_eq!(left_and_paid(&mut stage, october(2)), (decimal("0"), decimal("0.12")));
    assert_eq!(at_hand(&mut stage), decimal("0.02"));
    assert_eq!(
        left_and_paid(&mut stage, call(3, "2026-10-21T10:00:00Z", 60)),
        (decimal("0"), decimal("0.06"))
    );
    assert_eq!(at_hand(&mut stage), decimal("0.02"));
}

#[test]
fn reference_row_of_an_ended_month_has_again_what_a_corrected_call_gives_back() {
    for (compat_on, today) in [(false, "0.2"), (true, "0.08")] {
        let mut stage = stage(compat(compat_on, 0, "0.20"));
        let up = Cdr { partial: true, ..call(1, "2026-10-31T21:00:00Z", 180) };
        assert_eq!(left_and_paid(&mut stage, up.clone()), (decimal("0"), decimal("0.18")));
        // Its last record is known in November: two minutes, of which October's 0.20 pay both. In the reference November's bears them too.
        apply(&mut stage, Body::Tick(at("2026-10-31T23:00:00Z")));
        let over = Cdr { revision: 1, partial: false, duration_us: 120_000_000, ..up };
        assert_eq!(left_and_paid(&mut stage, over), (decimal("0"), decimal("0.12")), "compat {compat_on}");
        assert_eq!(at_hand(&mut stage), decimal(today), "compat {compat_on}");
    }
}

#[test]
fn reference_row_of_own_money_has_again_what_a_corrected_call_gives_back() {
    let mut stage = stage(compat(true, 0, "0"));
    apply(&mut stage, top_up("0.20", "2026-10-05T09:00:00Z"));
    let up = Cdr { partial: true, ..call(1, "2026-10-31T21:00:00Z", 180) };
    assert_eq!(left_and_paid(&mut stage, up.clone()), (decimal("0"), decimal("0.18")));
    apply(&mut stage, Body::Tick(at("2026-10-31T23:00:00Z")));
    // 0.18 come back to what was carried over, and 0.12 are taken from it and from October's row.
    let over = Cdr { revision: 1, partial: false, duration_us: 120_000_000, ..up };
    assert_eq!(left_and_paid(&mut stage, over.clone()), (decimal("0"), decimal("0.12")));
    assert_eq!(at_hand(&mut stage), decimal("0.08"));
    // Once more, and the month after: nothing is lost or doubled on the way.
    let longer = Cdr { revision: 2, duration_us: 180_000_000, ..over.clone() };
    assert_eq!(left_and_paid(&mut stage, longer), (decimal("0"), decimal("0.18")));
    apply(&mut stage, Body::Tick(at("2026-11-30T23:00:00Z")));
    let shorter = Cdr { revision: 3, duration_us: 60_000_000, ..over };
    assert_eq!(left_and_paid(&mut stage, shorter), (decimal("0"), decimal("0.06")));
    assert_eq!(at_hand(&mut stage), decimal("0.14"));
}

#[derive(Debug, Clone, Copy)]
struct Usage {
    seconds: u64,
    is_partial: bool,
    is_rerated: bool,
}

fn usages() -> impl Strategy<Value = Vec<Usage>> {
    let usage = (1u64..900, any::<bool>(), any::<bool>())
        .prop_map(|(seconds, is_partial, is_rerated)| Usage { seconds, is_partial, is_rerated });
    prop::collection::vec(usage, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In whatever order the calls of an interval are known, corrected and priced again: together they cost the price of what was used.
    #[test]
    fn calls_of_an_interval_cost_its_price_in_any_order(
        usages in usages(), model in prop::sample::select(PriceModel::ALL.to_vec()), seed: u64,
    ) {
        let rows = by_usage(model);
        let (tiers, rounding) = (rows.tariffs[0].interval_price.clone().unwrap(), rows.tariffs[0].rounding);
        let mut stage = stage(rows);
        let start: DateTime<Utc> = at("2026-10-05T00:00:00Z");
        let mut order: Vec<usize> = (0..usages.len()).collect();
        for idx in 0..order.len() {
            let other = usize::try_from(seed.rotate_left(u32::try_from(idx).unwrap()) % u64::try_from(order.len()).unwrap()).unwrap();
            order.swap(idx, other);
        }
        let of = |n: usize| {
            let start_at = start + TimeDelta::hours(i64::try_from(n).unwrap());
            let usage = usages[n];
            let number = u32::try_from(n).unwrap() + 1;
            Cdr { start_at, partial: usage.is_partial, ..call(number, "2026-10-05T00:00:00Z", usage.seconds) }
        };
        let mut last: Vec<Option<RatedCdr>> = vec![None; usages.len()];
        for n in order.iter().copied() {
            last[n] = Some(rated(&apply(&mut stage, Body::Cdr(Box::new(of(n))))));
        }
        for n in order.iter().copied().rev() {
            if usages[n].is_partial {
                let over = Cdr { revision: 1, partial: false, duration_us: of(n).duration_us + 61_000_000, ..of(n) };
                last[n] = Some(rated(&apply(&mut stage, Body::Cdr(Box::new(over)))));
            } else if usages[n].is_rerated {
                let again = last[n].take().unwrap();
                last[n] = Some(rated(&apply(&mut stage, Body::Rated(Box::new(again)))));
            }
        }
        let charges = last.iter().flatten().flat_map(|rated| &rated.charges).filter(|charge| charge.account == ALICE);
        let (mut cost, mut seconds) = (Decimal::ZERO, 0);
        for charge in charges {
            cost += charge.cost + charge.free_cash;
            seconds += charge.billed_seconds;
        }
        prop_assert_eq!(model::to_micros(cost).ok(), sum(&tiers, rounding, seconds));
    }
}
