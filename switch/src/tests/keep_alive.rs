//! Phones behind a NAT, and what keeps the way in to them open.

use super::world::{ALICE, HOMES, SWITCH, World, directory};
use crate::{NatKeepAlive, SwitchConfig};

/// Alice's phone believes that it is at 10.0.0.5.
fn behind_nat(config: SwitchConfig) -> World {
    let mut world = World::with(config, directory());
    world.rewrite_next("REGISTER", "@198.51.100.1:5062", "@10.0.0.5:5062");
    world.register(ALICE);
    world
}

/// Datagrams of line ends alone.
fn n_line_ends(world: &World) -> usize {
    world.log.iter().filter(|(_, from, _, line)| from.to_string() == SWITCH && line.is_empty()).count()
}

#[test]
fn phone_behind_a_nat_is_kept_in_reach_while_it_is_registered() {
    let mut world = behind_nat(SwitchConfig::default());
    world.run_seconds(24);
    assert_eq!(n_line_ends(&world), 0);
    world.run_seconds(2);
    assert_eq!(n_line_ends(&world), 1);
    // Registering anew does not double it.
    world.register(ALICE);
    world.run_seconds(250);
    assert_eq!(n_line_ends(&world), 11);
    assert_eq!(world.switch.n_kept_alive(), 1);
}

#[test]
fn phone_that_went_or_needs_none_gets_none() {
    let mut world = World::new();
    world.register(ALICE);
    world.run_seconds(100);
    assert_eq!((n_line_ends(&world), world.switch.n_kept_alive()), (0, 0), "it is where it says");
    let off = SwitchConfig { nat_keepalive_seconds: 0, ..SwitchConfig::default() };
    let mut world = behind_nat(off);
    world.run_seconds(100);
    assert_eq!(n_line_ends(&world), 0);

    let mut world = behind_nat(SwitchConfig::default());
    world.command(HOMES, crate::phone::PhoneCommand::Register { line: ALICE, seconds: 0 });
    world.run_seconds(100);
    assert_eq!((n_line_ends(&world), world.switch.n_kept_alive()), (0, 0), "it has taken its leave");
}

#[test]
fn options_make_the_phone_speak_too_and_its_answer_is_no_fault() {
    let mut world =
        behind_nat(SwitchConfig { nat_keepalive: NatKeepAlive::Options, ..SwitchConfig::default() });
    world.run_seconds(60);
    assert_eq!(world.count(SWITCH, HOMES, "OPTIONS sip:alice@10.0.0.5:5062 SIP/2.0"), 2, "each sent once");
    assert_eq!(world.switch.counters().malformed, 0);
    assert_eq!(world.switch.counters().dropped, 0);
}
