//! Ranges of numbers that are barred: refused at the INVITE, the rest goes through.

use chrono::TimeDelta;
use model::{AccountId, Barring, Control, LockSource, TenantId};

use super::world::{ALICE, World, directory};
use crate::Input;
use crate::phone::PhoneStep;

pub(super) fn barring(world: &World, account: i64, range: &str, calls_per_minute: u32) -> Barring {
    Barring {
        tenant: TenantId(1),
        account: AccountId(account),
        range: range.to_owned(),
        calls_per_minute,
        source: LockSource::Fraud,
        reason: String::new(),
        alert: None,
        since: world.now().wall,
        until: Some(world.now().wall + TimeDelta::minutes(10)),
    }
}

fn with_rows(barrings: Vec<Barring>) -> Input {
    let rows = model::Directory { barrings, ..directory() };
    Input::Directory(std::sync::Arc::new(rows))
}

/// Code of a refusal; 200 for a call that was made and hung up.
fn code(world: &mut World, number: &str) -> u16 {
    let id = world.dial(ALICE, number, 1);
    world.run_seconds(3);
    match world.outcome(id) {
        Some(PhoneStep::Refused { code, .. }) => *code,
        Some(PhoneStep::HungUp { .. }) => 200,
        other => panic!("{other:?}: {}", world.story()),
    }
}

#[test]
fn barred_range_is_refused_to_the_account_and_every_other_number_goes_through() {
    let mut world = World::new();
    let bar = barring(&world, 1, "49301", 0);
    world.control(Control::BarringChanged(bar));
    assert_eq!(code(&mut world, "49301234"), 403);
    assert!(
        world.story().contains("403 Destination barred locked_out (49301 barred for account 1)"),
        "{}",
        world.story()
    );
    assert_eq!(code(&mut world, "49302234"), 200);
    world.run_seconds(600);
    assert_eq!(code(&mut world, "49301234"), 200, "its time is over");
    world.assert_idle();
}

#[test]
fn range_barred_for_everybody_of_a_tenant_is_barred_for_no_other_tenant() {
    let mut world = World::new();
    let bar = barring(&world, AccountId::NOBODY.0, "4930", 0);
    world.control(Control::BarringChanged(Barring { tenant: TenantId(2), ..bar.clone() }));
    assert_eq!(code(&mut world, "49301234"), 200);
    world.control(Control::BarringChanged(bar));
    assert_eq!(code(&mut world, "49301234"), 403);
}

#[test]
fn slowed_account_gets_its_calls_a_minute_and_those_over_it_are_told_to_try_later() {
    let mut world = World::new();
    let bar = barring(&world, 1, "", 2);
    world.control(Control::BarringChanged(bar.clone()));
    let codes: Vec<u16> = (0..3).map(|_| code(&mut world, "49301234")).collect();
    assert_eq!(codes, [200, 200, 480]);
    // A snapshot with the same barring gives nobody new turns.
    world.input(with_rows(vec![bar]));
    assert_eq!(code(&mut world, "49301234"), 480);
    world.run_seconds(30);
    assert_eq!(code(&mut world, "49301234"), 200);
    assert!(world.story().contains("all numbers barred for account 1 beyond 2 calls a minute"));
}

#[test]
fn barring_heard_just_now_outweighs_a_snapshot_that_does_not_know_it_and_no_later_one() {
    let mut world = World::new();
    let bar = barring(&world, 1, "4930", 0);
    world.control(Control::BarringChanged(bar.clone()));
    world.input(with_rows(Vec::new()));
    assert_eq!(code(&mut world, "49301234"), 403);
    world.input(with_rows(vec![bar.clone()]));
    assert_eq!(code(&mut world, "49301234"), 403);
    // Lifted by hand: the row says when.
    let lifted = Barring { since: world.now().wall, until: Some(world.now().wall), ..bar };
    world.input(with_rows(vec![lifted]));
    assert_eq!(code(&mut world, "49301234"), 200);
    world.input(with_rows(Vec::new()));
    assert_eq!(code(&mut world, "49301234"), 200);
}

/// Refuses numbers of one beginning, whoever calls them.
#[derive(Debug)]
struct Beginning(&'static str);

impl crate::Screen for Beginning {
    fn refuses(
        &self,
        _: AccountId,
        _: u16,
        _: chrono::DateTime<chrono::Utc>,
        attempt: &model::Attempt,
    ) -> Option<String> {
        let is_refused = attempt.callee.is_some_and(|callee| callee.to_string().starts_with(self.0));
        is_refused.then(|| "rule hot, version 1".to_owned())
    }
}

#[test]
fn screen_refuses_by_its_word_before_the_call_goes_anywhere() {
    let mut world = World::new();
    world.input(Input::Screen(Some(std::sync::Arc::new(Beginning("49301")))));
    assert_eq!(code(&mut world, "49301234"), 403);
    assert!(world.story().contains("403 Forbidden locked_out (rule hot, version 1)"), "{}", world.story());
    assert_eq!(world.count(super::world::SWITCH, super::world::GATEWAY_1, "INVITE"), 0);
    assert_eq!(code(&mut world, "49302234"), 200);
    world.input(Input::Screen(None));
    assert_eq!(code(&mut world, "49301234"), 200);
    world.assert_idle();
}
