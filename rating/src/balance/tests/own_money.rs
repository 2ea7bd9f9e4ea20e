//! Own money that expires, and records that come late: what had expired is there for them as it was in time, and nothing else.

use expect_test::expect;
use model::{BalanceUnit, CarryOver, StartMode};

use super::{check, length, local, rules};
use crate::balance::{Contract, Due, Grant, Outcome, Rules};

#[test]
fn own_money_expires_without_a_top_up() {
    // Two months after the end of May.
    let expiring = Rules { discard_without_topup: Some(2), ..rules() };
    check(
        &expiring,
        ("1", 0),
        &["2026-05-01 00:00", "2026-05-10 00:00 topup 10", "2026-07-31 23:59 to"],
        expect![[r#"
            05-01 00:00 GrantCash 1
            05-10 00:00 TopUp 10
            06-01 00:00 ExpireCash -1
            06-01 00:00 GrantCash 1
            07-01 00:00 ExpireCash -1
            07-01 00:00 GrantCash 1
            07-01 00:00 to 08-01 00:00: own 10, free 1 and 0 s
        "#]],
    );
    check(
        &expiring,
        ("1", 0),
        &["2026-05-01 00:00", "2026-05-10 00:00 topup 10", "2026-08-01 00:00 to"],
        expect![[r#"
            05-01 00:00 GrantCash 1
            05-10 00:00 TopUp 10
            06-01 00:00 ExpireCash -1
            06-01 00:00 GrantCash 1
            07-01 00:00 ExpireCash -1
            07-01 00:00 GrantCash 1
            08-01 00:00 ExpireCash -1
            08-01 00:00 DiscardOwn -10
            08-01 00:00 GrantCash 1
            08-01 00:00 to 09-01 00:00: own 0, free 1 and 0 s
        "#]],
    );
    // Another top-up puts it off.
    check(
        &expiring,
        ("1", 0),
        &["2026-05-01 00:00", "2026-05-10 00:00 topup 10", "2026-07-20 00:00 topup 1", "2026-08-01 00:00 to"],
        expect![[r#"
            05-01 00:00 GrantCash 1
            05-10 00:00 TopUp 10
            06-01 00:00 ExpireCash -1
            06-01 00:00 GrantCash 1
            07-01 00:00 ExpireCash -1
            07-01 00:00 GrantCash 1
            07-20 00:00 TopUp 1
            08-01 00:00 ExpireCash -1
            08-01 00:00 GrantCash 1
            08-01 00:00 to 09-01 00:00: own 11, free 1 and 0 s
        "#]],
    );
    // Of an open interval, counted from the top-up.
    let open = Rules { start: Some(StartMode::TopUp), ..expiring };
    check(
        &open,
        ("1", 0),
        &["2026-05-01 00:00", "2026-05-10 08:00 topup 10", "2026-07-10 07:59 to"],
        expect![[r#"
        05-01 00:00 GrantCash 1
        05-10 08:00 ExpireCash -1
        05-10 08:00 GrantCash 1
        05-10 08:00 TopUp 10
        05-10 08:00 to open: own 10, free 1 and 0 s
    "#]],
    );
    check(
        &open,
        ("1", 0),
        &["2026-05-01 00:00", "2026-05-10 08:00 topup 10", "2026-07-10 08:00 to"],
        expect![[r#"
        05-01 00:00 GrantCash 1
        05-10 08:00 ExpireCash -1
        05-10 08:00 GrantCash 1
        05-10 08:00 TopUp 10
        07-10 08:00 DiscardOwn -10
        05-10 08:00 to open: own 0, free 1 and 0 s
    "#]],
    );
}

#[test]
fn late_call_uses_what_had_expired() {
    check(
        &rules(),
        ("5", 0),
        &["2026-05-01 00:00", "2026-06-02 00:00 late 7 2026-05-20", "2026-06-03 00:00 call 1"],
        expect![[r#"
            05-01 00:00 GrantCash 5
            06-01 00:00 ExpireCash -5
            06-01 00:00 GrantCash 5
            05-20 12:00 ExpireCash 5
            05-20 12:00 CallFreeCash -5
            06-03 00:00 CallFreeCash -1
            06-01 00:00 to 07-01 00:00: own 0, free 4 and 0 s
        "#]],
    );
    // So does own money that had expired with it, and goes again if the call is taken back.
    let discards = Rules { carry_over: CarryOver::Discard, ..rules() };
    check(
        &discards,
        ("5", 0),
        &[
            "2026-05-01 00:00",
            "2026-05-02 00:00 topup 3",
            "2026-06-02 00:00 late 7 2026-05-20",
            "2026-06-03 00:00 undo",
        ],
        expect![[r#"
            05-01 00:00 GrantCash 5
            05-02 00:00 TopUp 3
            06-01 00:00 ExpireCash -5
            06-01 00:00 DiscardOwn -3
            06-01 00:00 GrantCash 5
            05-20 12:00 ExpireCash 5
            05-20 12:00 CallFreeCash -5
            05-20 12:00 DiscardOwn 2
            05-20 12:00 CallOwn -2
            05-20 12:00 CallFreeCash 5
            05-20 12:00 ExpireCash -5
            05-20 12:00 CallOwn 2
            05-20 12:00 DiscardOwn -2
            06-01 00:00 to 07-01 00:00: own 0, free 5 and 0 s
        "#]],
    );
    // Older than all that is kept: own money alone.
    check(
        &rules(),
        ("5", 0),
        &["2026-01-01 00:00", "2026-01-02 00:00 topup 3", "2026-08-02 00:00 late 7 2026-01-20"],
        expect![[r#"
            01-01 00:00 GrantCash 5
            01-02 00:00 TopUp 3
            02-01 00:00 ExpireCash -5
            02-01 00:00 GrantCash 5
            03-01 00:00 ExpireCash -5
            03-01 00:00 GrantCash 5
            04-01 00:00 ExpireCash -5
            04-01 00:00 GrantCash 5
            05-01 00:00 ExpireCash -5
            05-01 00:00 GrantCash 5
            06-01 00:00 ExpireCash -5
            06-01 00:00 GrantCash 5
            07-01 00:00 ExpireCash -5
            07-01 00:00 GrantCash 5
            08-01 00:00 ExpireCash -5
            08-01 00:00 GrantCash 5
            01-20 12:00 CallOwn -3
            08-01 00:00 to 09-01 00:00: own 0, free 5 and 0 s
        "#]],
    );
}

#[test]
fn own_money_that_comes_back_after_it_has_ended_is_gone_too() {
    let discards = Rules { carry_over: CarryOver::Discard, ..rules() };
    let script =
        ["2026-05-01 00:00", "2026-05-02 00:00 topup 5", "2026-05-03 00:00 call 1", "2026-06-02 00:00 undo"];
    check(
        &discards,
        ("0", 0),
        &script,
        expect![[r#"
        05-02 00:00 TopUp 5
        05-03 00:00 CallOwn -1
        06-01 00:00 DiscardOwn -4
        05-03 00:00 CallOwn 1
        05-03 00:00 DiscardOwn -1
        06-01 00:00 to 07-01 00:00: own 0, free 0 and 0 s
    "#]],
    );
    // Two months later, where the first carried it over and the second did not.
    let timely =
        Rules { carry_over: CarryOver::Timely, timely: Some(length(7, BalanceUnit::Day)), ..rules() };
    let script =
        ["2026-05-01 00:00", "2026-05-28 00:00 topup 5", "2026-05-29 00:00 call 1", "2026-07-02 00:00 undo"];
    check(
        &timely,
        ("0", 0),
        &script,
        expect![[r#"
        05-28 00:00 TopUp 5
        05-29 00:00 CallOwn -1
        07-01 00:00 DiscardOwn -4
        05-29 00:00 CallOwn 1
        05-29 00:00 DiscardOwn -1
        07-01 00:00 to 08-01 00:00: own 0, free 0 and 0 s
    "#]],
    );
    // A debt does not end: what comes back pays it first.
    let prepaid = Rules { prepaid: true, ..discards };
    let script = [
        "2026-05-01 00:00",
        "2026-05-02 00:00 topup 2",
        "2026-05-03 00:00 call 5",
        "2026-06-02 00:00 topup 1",
        "2026-06-03 00:00 undo",
    ];
    check(
        &prepaid,
        ("0", 0),
        &script,
        expect![[r#"
        05-02 00:00 TopUp 2
        05-03 00:00 CallOwn -5
        06-02 00:00 TopUp 1
        05-03 00:00 CallOwn 5
        05-03 00:00 DiscardOwn -2
        06-01 00:00 to 07-01 00:00: own 1, free 0 and 0 s
    "#]],
    );
    // A late call is paid from what had expired and owes the rest, as in time; the money of the next month is not its own.
    let script = [
        "2026-05-01 00:00",
        "2026-05-02 00:00 topup 2",
        "2026-06-02 00:00 topup 10",
        "2026-06-03 00:00 late 5 2026-05-03",
        "2026-06-04 00:00 undo",
    ];
    check(
        &Rules { prepaid: false, ..prepaid.clone() },
        ("0", 0),
        &script,
        expect![[r#"
        05-02 00:00 TopUp 2
        06-01 00:00 DiscardOwn -2
        06-02 00:00 TopUp 10
        05-03 12:00 DiscardOwn 2
        05-03 12:00 CallOwn -2
        05-03 12:00 CallOwn 2
        05-03 12:00 DiscardOwn -2
        06-01 00:00 to 07-01 00:00: own 10, free 0 and 0 s
    "#]],
    );
    check(
        &prepaid,
        ("0", 0),
        &script,
        expect![[r#"
        05-02 00:00 TopUp 2
        06-01 00:00 DiscardOwn -2
        06-02 00:00 TopUp 10
        05-03 12:00 DiscardOwn 2
        05-03 12:00 CallOwn -5
        05-03 12:00 CallOwn 5
        05-03 12:00 DiscardOwn -2
        06-01 00:00 to 07-01 00:00: own 10, free 0 and 0 s
    "#]],
    );
}

#[test]
fn late_call_uses_what_had_expired_in_an_open_interval() {
    let open = Rules { start: Some(StartMode::TopUp), carry_over: CarryOver::Timely, ..rules() };
    // It expires on 2 February. The call of January is paid from it, that of February is not.
    let script = [
        "2026-01-01 00:00",
        "2026-01-02 00:00 topup 5",
        "2026-02-10 00:00 call 1",
        "2026-02-11 00:00 late 3 2026-01-20",
        "2026-02-12 00:00 undo",
    ];
    check(
        &open,
        ("0", 0),
        &script,
        expect![[r#"
        01-02 00:00 TopUp 5
        02-02 00:00 DiscardOwn -5
        01-20 12:00 DiscardOwn 3
        01-20 12:00 CallOwn -3
        01-20 12:00 CallOwn 3
        01-20 12:00 DiscardOwn -3
        01-02 00:00 to open: own 0, free 0 and 0 s
    "#]],
    );
}

#[test]
fn second_end_of_own_money_is_not_there_for_calls_before_the_first() {
    let open = Rules { start: Some(StartMode::TopUp), carry_over: CarryOver::Timely, ..rules() };
    // 5.00 expire on 2 February. What is given by hand afterwards has expired too, and is not the late call's of January.
    let script = [
        "2026-01-01 00:00",
        "2026-01-02 00:00 topup 5",
        "2026-02-10 00:00 to",
        "2026-02-11 00:00 adjust 3",
        "2026-02-12 00:00 call 1",
        "2026-02-13 00:00 late 7 2026-01-20",
        "2026-02-14 00:00 undo",
        "2026-02-15 00:00 late 2 2026-01-21",
        "2026-02-16 00:00 late 7 2026-01-22",
    ];
    check(
        &open,
        ("0", 0),
        &script,
        expect![[r#"
        01-02 00:00 TopUp 5
        02-02 00:00 DiscardOwn -5
        02-11 00:00 Adjustment 3
        02-02 00:00 DiscardOwn -3
        01-20 12:00 DiscardOwn 5
        01-20 12:00 CallOwn -5
        01-20 12:00 CallOwn 5
        01-20 12:00 DiscardOwn -5
        01-21 12:00 DiscardOwn 2
        01-21 12:00 CallOwn -2
        01-22 12:00 DiscardOwn 3
        01-22 12:00 CallOwn -3
        01-02 00:00 to open: own 0, free 0 and 0 s
    "#]],
    );
    // A prepaid call takes all it costs: what it owed in time, the money given by hand would have paid.
    check(
        &Rules { prepaid: true, ..open },
        ("0", 0),
        &script[..7],
        expect![[r#"
        01-02 00:00 TopUp 5
        02-02 00:00 DiscardOwn -5
        02-11 00:00 Adjustment 3
        02-02 00:00 DiscardOwn -3
        02-12 00:00 CallOwn -1
        01-20 12:00 DiscardOwn 7
        01-20 12:00 CallOwn -7
        01-20 12:00 CallOwn 7
        01-20 12:00 DiscardOwn -7
        01-02 00:00 to open: own -1, free 0 and 0 s
    "#]],
    );
}

#[test]
fn money_of_a_later_interval_is_not_there_for_calls_between_two_ends() {
    let open = Rules { start: Some(StartMode::TopUp), carry_over: CarryOver::Timely, ..rules() };
    // 5.00 expire on 2 February, the interval ends with the top-up of the 20th, when there is nothing. A call from between had nothing.
    let script = [
        "2026-01-01 00:00",
        "2026-01-02 00:00 topup 5",
        "2026-02-10 00:00 to",
        "2026-02-20 00:00 topup 10",
        "2026-02-21 00:00 late 3 2026-02-15",
        "2026-02-22 00:00 late 4 2026-01-20",
        "2026-02-23 00:00 undo",
    ];
    check(
        &open,
        ("0", 0),
        &script,
        expect![[r#"
        01-02 00:00 TopUp 5
        02-02 00:00 DiscardOwn -5
        02-20 00:00 TopUp 10
        01-20 12:00 DiscardOwn 4
        01-20 12:00 CallOwn -4
        01-20 12:00 CallOwn 4
        01-20 12:00 DiscardOwn -4
        02-20 00:00 to open: own 10, free 0 and 0 s
    "#]],
    );
}

#[test]
fn account_without_own_money_keeps_nothing_of_its_ends() {
    let discards = Rules { carry_over: CarryOver::Discard, prepaid: true, ..rules() };
    let grant_at = |_| Grant { micros: 5_000_000, seconds: 0 };
    let mut outcome = Outcome::default();
    let mut contract = Contract::open(local("2026-01-01 00:00"), &discards, &grant_at, &mut outcome);
    assert!(contract.catch_up(local("2026-12-15 00:00"), &discards, &grant_at, &mut outcome));
    assert_eq!(contract.orders, []);
    // A credit that comes late has ended with its month all the same, and what takes it away again leaves no trace.
    let due = Due { interval: local("2026-11-01 00:00"), price_micros: -1_000_000, free_seconds: 0 };
    let taken = contract.spend(local("2026-11-05 12:00"), &[due], &discards, &mut outcome);
    assert_eq!((contract.own_micros, contract.orders.len()), (0, 1));
    contract.give_back(local("2026-11-05 12:00"), &taken, &discards, &mut outcome);
    assert_eq!(contract.own_micros, 0);
    // Where some was there, it is known what of it expired.
    contract.top_up(local("2026-12-15 00:00"), 2_000_000, &discards, &discards, &grant_at, &mut outcome);
    assert!(contract.catch_up(local("2027-01-15 00:00"), &discards, &grant_at, &mut outcome));
    assert_eq!(contract.own_at_hand(local("2026-12-20 00:00"), local("2026-12-01 00:00")), 2_000_000);
    assert_eq!(contract.own_at_hand(local("2026-11-20 00:00"), local("2026-11-01 00:00")), 0);
}
