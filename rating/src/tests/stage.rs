//! Who pays, what is posted, what is suspended.

#![expect(clippy::wildcard_enum_match_arm, reason = "a picture prints what it does not know as it is")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use expect_test::{Expect, expect};
use model::{
    Account, AccountId, AccountKind, AccountStatus, Body, CallStatus, CallType, CallUid, Cause, Cdr,
    CdrDestination, CdrDetail, CdrId, CdrSource, Contact, Currency, Direction, Directory, Effect, Effects,
    FraudPolicy, Initiator, Party, ProfileId, ProfileMapping, ProfileVersionId, Stage, StageInput,
    SubscriberId, TariffVersion, TenantId, TrunkId,
};
use rust_decimal::Decimal;

use super::vienna;
use crate::RatingStage;

pub(super) const RESELLER: AccountId = AccountId(2);
pub(super) const ALICE: AccountId = AccountId(10);
const BOB: AccountId = AccountId(11);
pub(super) const CARRIER_A: AccountId = AccountId(20);
const CARRIER_B: AccountId = AccountId(21);

pub(super) fn subscriber(account: AccountId, reseller: AccountId) -> Party {
    Party::Subscriber { subscriber: SubscriberId(account.0), account, reseller, uuid: "".into() }
}

pub(super) fn trunk(account: AccountId) -> Party {
    Party::Trunk { trunk: TrunkId(account.0), account }
}

/// One minute, answered.
pub(super) fn cdr(source: Party, destination: Party) -> Cdr {
    let call = CallUid::new("sw1-1-7");
    let start_at: DateTime<Utc> = "2026-10-05T10:00:00Z".parse().unwrap();
    Cdr {
        id: CdrId::derive(&call, 0),
        revision: 0,
        call,
        leg: 0,
        sip_call_id: "abc".into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer: source.account(),
        source: CdrSource {
            party: source,
            user: "anonymous".into(),
            domain: "example.org".into(),
            cli: Some("43660555123".parse().unwrap()),
            clir: true,
            user_out: "43660555123".into(),
            ip: "192.0.2.1".into(),
            user_agent: "".into(),
        },
        destination: CdrDestination {
            party: destination,
            dialed: "004930555123".into(),
            domain: "example.org".into(),
            user_in: "4930555123".into(),
            number: Some("4930555123".parse().unwrap()),
            user_out: "4930555123".into(),
            user_agent: "".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Caller,
        init_at: start_at - TimeDelta::seconds(5),
        start_at,
        duration_us: 60_000_000,
        pdd_us: None,
        codec: "".into(),
        attempts: Vec::new(),
        config_revision: 1,
        partial: false,
        detail: CdrDetail::default(),
    }
}

fn account(id: AccountId, kind: AccountKind, profile: i64) -> Account {
    Account {
        id,
        tenant: TenantId(1),
        kind,
        handle: format!("account-{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: Currency::EUR,
        timezone: chrono_tz::Europe::Vienna,
        contact: Contact::default(),
        vat_percent: Decimal::ZERO,
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: vec![ProfileMapping {
            from: DateTime::UNIX_EPOCH,
            to: None,
            network: None,
            profile: ProfileId(profile),
        }],
    }
}

fn tariff(id: i64, handle: &str, outgoing: &str, incoming: Option<&str>) -> TariffVersion {
    let mut version = vienna(&[outgoing]);
    version.id = ProfileVersionId(id);
    version.profile.id = ProfileId(id);
    version.profile.handle = handle.to_owned();
    if let Some(incoming) = incoming {
        version.fees.push(model::Fee { direction: Direction::In, ..super::fee(incoming) });
    }
    version
}

pub(super) fn directory() -> Directory {
    Directory {
        revision: 1,
        accounts: vec![
            account(RESELLER, AccountKind::Reseller, 2),
            account(ALICE, AccountKind::Customer, 1),
            account(BOB, AccountKind::Customer, 1),
            account(CARRIER_A, AccountKind::Carrier, 3),
            account(CARRIER_B, AccountKind::Carrier, 3),
        ],
        tariffs: vec![
            tariff(1, "retail", "49 0.06 0.06 60/60", Some("49 0.01 0.01 1/1")),
            tariff(2, "reseller", "49 0.04 0.04 1/1", None),
            tariff(3, "carrier", "49 0.02 0.02 1/1", Some("49 -0.005 -0.005 1/1")),
        ],
        ..Directory::default()
    }
}

fn stage(directory: Directory) -> RatingStage {
    let mut stage = RatingStage::new();
    stage.set_directory(Arc::new(directory)).unwrap();
    stage
}

pub(super) fn apply(stage: &mut RatingStage, body: Body) -> Vec<Effect> {
    let mut effects = Effects::default();
    stage.apply(StageInput { partition: 0, offset: 1, body }, &mut effects);
    effects.0
}

pub(super) fn picture(effects: &[Effect]) -> String {
    let mut text = String::new();
    for effect in effects {
        text += &match effect {
            Effect::Append { topic, key, body } => match &**body {
                Body::Rated(rated) => {
                    let charges = rated
                        .charges
                        .iter()
                        .map(|charge| format!(", {} {} {}", charge.provider, charge.direction, charge.cost));
                    format!(
                        "{topic} of {key}: revision {}{}\n",
                        rated.cdr.revision,
                        charges.collect::<String>()
                    )
                }
                Body::Posting(posting) => format!(
                    "{topic} of {key}: {} {} -> {} {}{}\n",
                    posting.reason,
                    posting.credit,
                    posting.debit,
                    posting.amount,
                    if posting.reverses.is_some() { ", taken back" } else { "" },
                ),
                other => format!("{other:?}\n"),
            },
            Effect::Suspend(suspended) => {
                format!("{} {} {}\n", suspended.code, suspended.retry, suspended.message)
            }
            other => format!("{other:?}\n"),
        };
    }
    text
}

fn check(cdr: Cdr, expected: Expect) {
    expected.assert_eq(&picture(&apply(&mut stage(directory()), Body::Cdr(Box::new(cdr)))));
}

#[test]
fn outgoing_call_charges_customer_reseller_and_carrier() {
    check(
        cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A)),
        expect![[r#"
            rated of 10: revision 0, carrier out 0.02, reseller out 0.04, customer out 0.06
            postings of 20: call payable:20 -> cost:1 0.02 EUR
            postings of 2: call revenue:1 -> receivable:2 0.04 EUR
            postings of 10: call sales:2 -> receivable:10 0.06 EUR
        "#]],
    );
}

#[test]
fn call_between_two_customers_charges_both_sides_and_no_carrier() {
    check(
        cdr(subscriber(ALICE, RESELLER), subscriber(BOB, RESELLER)),
        expect![[r#"
            rated of 10: revision 0, reseller out 0.04, customer out 0.06, reseller in 0, customer in 0.01
            postings of 2: call revenue:1 -> receivable:2 0.04 EUR
            postings of 10: call sales:2 -> receivable:10 0.06 EUR
            postings of 11: call sales:2 -> receivable:11 0.01 EUR
        "#]],
    );
}

#[test]
fn incoming_call_charges_the_called_side_and_credits_what_the_carrier_pays_us() {
    check(
        cdr(trunk(CARRIER_A), subscriber(BOB, AccountId::NOBODY)),
        expect![[r#"
        rated of 20: revision 0, carrier in -0.005, customer in 0.01
        postings of 20: call payable:20 -> cost:1 -0.005 EUR
        postings of 11: call revenue:1 -> receivable:11 0.01 EUR
    "#]],
    );
}

#[test]
fn transit_call_charges_both_carriers() {
    check(
        cdr(trunk(CARRIER_A), trunk(CARRIER_B)),
        expect![[r#"
        rated of 20: revision 0, carrier out 0.02, carrier in -0.005
        postings of 21: call payable:21 -> cost:1 0.02 EUR
        postings of 20: call payable:20 -> cost:1 -0.005 EUR
    "#]],
    );
}

#[test]
fn unanswered_call_costs_nobody_anything() {
    let mut busy = cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A));
    (busy.status, busy.code, busy.duration_us) = (CallStatus::Busy, 486, 0);
    check(
        busy,
        expect![[r#"
        rated of 10: revision 0
    "#]],
    );
}

#[test]
fn missing_rate_suspends_that_call_alone() {
    let mut stage = stage(directory());
    let mut lost = cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A));
    lost.destination.number = Some("8613800000000".parse().unwrap());
    expect![[r#"
        RAT001 after_tariff_change no fee for 8613…00 in profile carrier, version 3, at 2026-10-05 10:00:00 UTC; add a fee for this destination, then resubmit the call
    "#]].assert_eq(&picture(&apply(&mut stage, Body::Cdr(Box::new(lost)))));
    let next = cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A));
    assert_eq!(apply(&mut stage, Body::Cdr(Box::new(next))).len(), 4);
}

#[test]
fn missing_carrier_rate_suspends_the_call_too() {
    let mut directory = directory();
    directory.tariffs[2].fees[0].destination = "43".to_owned();
    let call = cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A));
    let effects = apply(&mut stage(directory), Body::Cdr(Box::new(call)));
    assert!(picture(&effects).starts_with("RAT001"));
    assert_eq!(effects.len(), 1);
}

#[test]
fn only_the_customer_who_calls_must_have_a_profile() {
    let mut directory = directory();
    for account in &mut directory.accounts {
        if account.id != BOB {
            account.profiles.clear();
        }
    }
    let mut stage = stage(directory);
    let from_bob = cdr(subscriber(BOB, RESELLER), trunk(CARRIER_A));
    expect![[r#"
        rated of 11: revision 0, customer out 0.06
        postings of 11: call sales:2 -> receivable:11 0.06 EUR
    "#]]
    .assert_eq(&picture(&apply(&mut stage, Body::Cdr(Box::new(from_bob)))));
    let from_alice = cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A));
    expect![[r#"
        RAT002 after_provisioning account 10 has no billing profile at 2026-10-05 10:00:00 UTC; give it one that is in force then
    "#]].assert_eq(&picture(&apply(&mut stage, Body::Cdr(Box::new(from_alice)))));
}

#[test]
fn the_version_in_force_at_the_start_prices_the_call() {
    let mut directory = directory();
    let mut dearer = tariff(4, "retail", "49 0.60 0.60 60/60", None);
    dearer.profile.id = ProfileId(1);
    dearer.valid_from = "2026-10-05T10:00:00Z".parse().unwrap();
    directory.tariffs.insert(0, dearer);
    let mut stage = stage(directory);
    let mut cost_at = |start: &str| {
        let mut cdr = cdr(subscriber(ALICE, AccountId::NOBODY), Party::Unknown);
        cdr.start_at = start.parse().unwrap();
        picture(&apply(&mut stage, Body::Cdr(Box::new(cdr))))
    };
    assert!(cost_at("2026-10-05T09:59:59.999999Z").contains("customer out 0.06"));
    assert!(cost_at("2026-10-05T10:00:00Z").contains("customer out 0.6"));
    assert!(cost_at("1969-12-31T23:59:59Z").starts_with("RAT002"));
}

#[test]
fn a_profile_without_a_version_in_force_suspends() {
    let mut directory = directory();
    directory.tariffs[0].valid_from = "2027-01-01T00:00:00Z".parse().unwrap();
    let call = cdr(subscriber(ALICE, AccountId::NOBODY), Party::Unknown);
    expect![[r#"
        RAT003 after_tariff_change profile 1 of account 10 has no tariff version in force at 2026-10-05 10:00:00 UTC; import one that is valid then
    "#]].assert_eq(&picture(&apply(&mut stage(directory), Body::Cdr(Box::new(call)))));
}

#[test]
fn two_currencies_suspend_rather_than_mix() {
    let mut directory = directory();
    directory.accounts[1].currency = "USD".parse().unwrap();
    let call = cdr(subscriber(ALICE, AccountId::NOBODY), Party::Unknown);
    assert!(
        picture(&apply(&mut stage(directory), Body::Cdr(Box::new(call))))
            .starts_with("RAT006 after_provisioning")
    );
}

fn partial() -> Cdr {
    Cdr { partial: true, status: CallStatus::Failed, ..cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A)) }
}

/// The end that came late: the call lasted two minutes.
fn final_record() -> Cdr {
    Cdr { revision: 1, duration_us: 120_000_000, ..cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A)) }
}

#[test]
fn late_end_reverses_what_the_partial_record_posted() {
    let mut stage = stage(directory());
    let first = apply(&mut stage, Body::Cdr(Box::new(partial())));
    let second = apply(&mut stage, Body::Cdr(Box::new(final_record())));
    expect![[r#"
        rated of 10: revision 1, carrier out 0.04, reseller out 0.08, customer out 0.12
        postings of 20: reversal cost:1 -> payable:20 0.02 EUR, taken back
        postings of 2: reversal receivable:2 -> revenue:1 0.04 EUR, taken back
        postings of 10: reversal receivable:10 -> sales:2 0.06 EUR, taken back
        postings of 20: call payable:20 -> cost:1 0.04 EUR
        postings of 2: call revenue:1 -> receivable:2 0.08 EUR
        postings of 10: call sales:2 -> receivable:10 0.12 EUR
    "#]]
    .assert_eq(&picture(&second));
    let postings: Vec<_> = [first, second]
        .concat()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Append { body, .. } => match *body {
                Body::Posting(posting) => Some(posting),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let ids: std::collections::BTreeSet<_> = postings.iter().map(|posting| posting.id).collect();
    assert_eq!((postings.len(), ids.len()), (9, 9), "every posting has its own id");
}

#[test]
fn state_survives_a_restart_and_a_replay_gives_the_same_outputs() {
    let mut before = stage(directory());
    apply(&mut before, Body::Cdr(Box::new(partial())));
    let entries: Vec<_> =
        before.take_changes().into_iter().filter_map(|change| Some((change.key, change.value?))).collect();
    assert_eq!(entries.len(), 1);
    let mut after = stage(directory());
    after.restore(entries).unwrap();
    assert_eq!(
        apply(&mut after, Body::Cdr(Box::new(final_record()))),
        apply(&mut before, Body::Cdr(Box::new(final_record()))),
    );
    assert!(RatingStage::new().restore(vec![("posted:zz".to_owned(), Vec::new())]).is_err());
}

#[test]
fn revision_whose_predecessor_nobody_saw_is_suspended() {
    check(
        final_record(),
        expect![[r#"
        RAT004 after_repair cdr 2bb6c06b88cfa0b2ed01aea091130110 is revision 1, but what was posted for the one before is not known; check whether that was billed, reverse it by hand if so, and resubmit the call as revision 0
    "#]],
    );
}

/// What the stage rated, out of what it did.
fn rated_of(effects: &[Effect]) -> model::RatedCdr {
    let Some(Effect::Append { body, .. }) = effects.first() else { panic!("{effects:?}") };
    let Body::Rated(rated) = &**body else { panic!("{body:?}") };
    (**rated).clone()
}

#[test]
fn correction_of_a_complete_record_is_posted_as_a_difference() {
    let mut before = stage(directory());
    let first = rated_of(&apply(&mut before, Body::Cdr(Box::new(Cdr { revision: 0, ..final_record() }))));
    assert_eq!(before.take_changes(), [], "a complete call costs no memory");

    // Weeks later, in another process: it asks, and is told what is kept of the call.
    let mut stage = stage(directory());
    let correction = Cdr { duration_us: 30_000_000, ..final_record() };
    let body = Body::Cdr(Box::new(correction.clone()));
    assert_eq!(stage.asks_for(&body), Some(correction.id));
    stage.recall(std::slice::from_ref(&first));
    assert_eq!(stage.asks_for(&body), None);
    let second = apply(&mut stage, body);
    expect![[r#"
        rated of 10: revision 1, carrier out 0.01, reseller out 0.02, customer out 0.06
        postings of 20: reversal cost:1 -> payable:20 0.04 EUR, taken back
        postings of 2: reversal receivable:2 -> revenue:1 0.08 EUR, taken back
        postings of 10: reversal receivable:10 -> sales:2 0.12 EUR, taken back
        postings of 20: call payable:20 -> cost:1 0.01 EUR
        postings of 2: call revenue:1 -> receivable:2 0.02 EUR
        postings of 10: call sales:2 -> receivable:10 0.06 EUR
    "#]]
    .assert_eq(&picture(&second));

    // And once more, in a process that has forgotten this one too: the chain of revisions gives the same postings, with their ids.
    let third = Body::Cdr(Box::new(Cdr { revision: 2, duration_us: 90_000_000, ..correction }));
    let remembered = apply(&mut stage, third.clone());
    let mut forgetful = self::stage(directory());
    assert_eq!(forgetful.asks_for(&third), Some(first.cdr.id));
    forgetful.recall(&[first.clone(), rated_of(&second)]);
    assert_eq!(apply(&mut forgetful, third.clone()), remembered);
    // A chain without its beginning tells nothing.
    let mut blind = self::stage(directory());
    blind.recall(&[rated_of(&second)]);
    assert!(picture(&apply(&mut blind, third)).starts_with("RAT004"));
}

#[test]
fn correction_of_a_complete_record_that_had_no_price_has_nothing_to_reverse() {
    let mut stage = stage(directory());
    let mut wrong = Cdr { revision: 0, ..final_record() };
    wrong.destination.number = Some("8613800000000".parse().unwrap());
    assert!(picture(&apply(&mut stage, Body::Cdr(Box::new(wrong)))).starts_with("RAT001"));
    assert_eq!(stage.asks_for(&Body::Cdr(Box::new(final_record()))), None, "it knows that one was there");
    assert_eq!(apply(&mut stage, Body::Cdr(Box::new(final_record()))).len(), 4);
}

#[test]
fn successor_of_a_suspended_record_is_priced_and_the_record_itself_no_more() {
    let mut stage = stage(directory());
    let mut lost = partial();
    lost.destination.number = Some("8613800000000".parse().unwrap());
    assert!(picture(&apply(&mut stage, Body::Cdr(Box::new(lost)))).starts_with("RAT001"));
    assert_eq!(apply(&mut stage, Body::Cdr(Box::new(final_record()))).len(), 4, "nothing to reverse");
    assert!(picture(&apply(&mut stage, Body::Cdr(Box::new(partial())))).starts_with("RAT007 after_repair"));
}

#[test]
fn suspended_partial_record_is_priced_when_it_comes_again_and_then_only_once() {
    let mut stage = stage(Directory::default());
    assert!(picture(&apply(&mut stage, Body::Cdr(Box::new(partial())))).starts_with("RAT002"));
    stage.set_directory(Arc::new(directory())).unwrap();
    assert_eq!(apply(&mut stage, Body::Cdr(Box::new(partial()))).len(), 4);
    assert_eq!(apply(&mut stage, Body::Cdr(Box::new(partial()))).len(), 0);
}

#[test]
fn partial_records_are_forgotten_after_their_time() {
    let mut stage = stage(directory());
    apply(&mut stage, Body::Cdr(Box::new(partial())));
    let added = stage.take_changes();
    let ended_at = partial().end_at();
    apply(&mut stage, Body::Tick(ended_at + TimeDelta::days(45)));
    assert_eq!(stage.take_changes(), []);
    apply(&mut stage, Body::Tick(ended_at + TimeDelta::days(45) + TimeDelta::seconds(1)));
    let removed = stage.take_changes();
    assert_eq!((removed[0].key.as_str(), &removed[0].value), (added[0].key.as_str(), &None));
    assert!(picture(&apply(&mut stage, Body::Cdr(Box::new(final_record())))).starts_with("RAT004"));
}

#[test]
fn directory_with_a_bad_tariff_leaves_the_old_one_in_force() {
    let mut stage = stage(directory());
    let mut bad = directory();
    bad.tariffs.push(tariff(9, "broken", "49 0.06 0.06 0/1", None));
    let error = stage.set_directory(Arc::new(bad)).unwrap_err();
    expect!["profile broken, version 9: fee 1 for \"49\": a charging interval of 0 s; use 1 to 31622400"]
        .assert_eq(&error.to_string());
    let call = cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_A));
    assert_eq!(apply(&mut stage, Body::Cdr(Box::new(call))).len(), 4);
}

/// What the stage rated, and its postings as a picture.
fn rated_again(stage: &mut RatingStage, previous: &model::RatedCdr) -> (Option<model::RatedCdr>, String) {
    let effects = apply(stage, Body::Rated(Box::new(previous.clone())));
    let rated = effects.iter().find_map(|effect| match effect {
        Effect::Append { body, .. } => match &**body {
            Body::Rated(rated) => Some((**rated).clone()),
            _ => None,
        },
        _ => None,
    });
    (rated, picture(&effects))
}

#[test]
fn call_priced_again_is_a_difference_run() {
    let mut stage = stage(directory());
    let cdr = cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_B));
    let first = apply(&mut stage, Body::Cdr(Box::new(cdr)));
    let Some(Effect::Append { body, .. }) = first.first() else { panic!("{first:?}") };
    let Body::Rated(first) = &**body else { panic!("{body:?}") };
    // A correction: from the same time on, every fee is dearer.
    let mut corrected = directory();
    corrected.revision = 2;
    for version in &mut corrected.tariffs {
        version.id = ProfileVersionId(version.id.0 + 100);
        for fee in &mut version.fees {
            fee.onpeak_init.price += Decimal::ONE;
        }
    }
    stage.set_directory(Arc::new(corrected)).unwrap();
    let (second, shown) = rated_again(&mut stage, first);
    expect![[r#"
        rated of 10: revision 1, carrier out 0.036667, reseller out 0.056667, customer out 1.06
        postings of 21: reversal cost:1 -> payable:21 0.02 EUR, taken back
        postings of 2: reversal receivable:2 -> revenue:1 0.04 EUR, taken back
        postings of 10: reversal receivable:10 -> sales:2 0.06 EUR, taken back
        postings of 21: call payable:21 -> cost:1 0.036667 EUR
        postings of 2: call revenue:1 -> receivable:2 0.056667 EUR
        postings of 10: call sales:2 -> receivable:10 1.06 EUR
    "#]]
    .assert_eq(&shown);
    // And again, back: what the second revision posted is reversed, which only the stage remembers.
    stage.set_directory(Arc::new(directory())).unwrap();
    let (third, shown) = rated_again(&mut stage, &second.unwrap());
    expect![[r#"
        rated of 10: revision 2, carrier out 0.02, reseller out 0.04, customer out 0.06
        postings of 21: reversal cost:1 -> payable:21 0.036667 EUR, taken back
        postings of 2: reversal receivable:2 -> revenue:1 0.056667 EUR, taken back
        postings of 10: reversal receivable:10 -> sales:2 1.06 EUR, taken back
        postings of 21: call payable:21 -> cost:1 0.02 EUR
        postings of 2: call revenue:1 -> receivable:2 0.04 EUR
        postings of 10: call sales:2 -> receivable:10 0.06 EUR
    "#]]
    .assert_eq(&shown);
    assert_eq!(third.unwrap().charges, first.charges);
    // An order for a revision that is no longer the last is refused: its postings are reversed already.
    let (_, shown) = rated_again(&mut stage, first);
    expect![[r#"
        RAT007 after_repair cdr 2bb6c06b88cfa0b2ed01aea091130110 revision 0 was superseded by revision 2, which is already priced; discard it
    "#]].assert_eq(&shown);
}

#[test]
fn later_revision_that_is_not_remembered_and_partial_call_are_not_priced_again() {
    let mut stage = stage(directory());
    let mut unknown =
        model::RatedCdr { cdr: cdr(subscriber(ALICE, RESELLER), trunk(CARRIER_B)), charges: Vec::new() };
    unknown.cdr.revision = 3;
    let (_, shown) = rated_again(&mut stage, &unknown);
    expect![[r#"
        RAT004 after_repair cdr 2bb6c06b88cfa0b2ed01aea091130110 is revision 4, but what was posted for the one before is not known; check whether that was billed, reverse it by hand if so, and resubmit the call as revision 0
    "#]].assert_eq(&shown);
    let partial = model::RatedCdr { cdr: partial(), charges: Vec::new() };
    let (_, shown) = rated_again(&mut stage, &partial);
    expect![[r#"
        RAT009 after_repair cdr 2bb6c06b88cfa0b2ed01aea091130110 is partial; price it again once its final record has come
    "#]].assert_eq(&shown);
}
