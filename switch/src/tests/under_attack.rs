//! Floods, guessed passwords and scanners: they are shut out, and nobody else notices.

use model::{EventBody, SecurityKind};

use super::world::{ALICE, CAROL, GATEWAY_1, HOMES, World, directory};
use crate::SwitchConfig;
use crate::phone::{PhoneCommand, PhoneStep};

const ATTACKER: &str = "198.51.100.66:5060";

fn bans(world: &World) -> Vec<(SecurityKind, String)> {
    let kinds = [SecurityKind::BanAdded, SecurityKind::BanRemoved];
    let all = world.events.iter().filter_map(|event| match &event.body {
        EventBody::Security(security) if kinds.contains(&security.what) => {
            Some((security.what, security.detail.clone()))
        }
        _ => None,
    });
    all.collect()
}

fn options(n: u32, agent: &str) -> String {
    format!(
        "FOO sip:x@example.net SIP/2.0\r\nVia: SIP/2.0/UDP {ATTACKER};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@b>;tag=f\r\nTo: <sip:x@y>\r\nCall-ID: {n}\r\nCSeq: 1 FOO\r\nUser-Agent: {agent}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn flood_is_shut_out_for_longer_each_time_and_others_are_served() {
    let mut world = World::new();
    for n in 0..500 {
        world.inject(ATTACKER, options(n, "x"));
    }
    assert_eq!(world.raw.len(), 201, "the burst, and the one that was too much");
    assert_eq!(world.switch.counters().dropped, 299);
    assert_eq!(bans(&world), [(SecurityKind::BanAdded, "too many requests; shut out for 300 s".to_owned())]);
    let id = world.dial(ALICE, "49301234", 1);
    world.run_seconds(299);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "who calls meanwhile is served");
    assert_eq!(world.switch.counters().bans_active, 1);
    world.run_seconds(2);
    assert_eq!(bans(&world)[1].0, SecurityKind::BanRemoved);
    for n in 1_000..1_300 {
        world.inject(ATTACKER, options(n, "x"));
    }
    assert_eq!(bans(&world)[2].1, "too many requests; shut out for 600 s");
}

#[test]
fn guessed_passwords_shut_the_guesser_out_but_not_the_trunk_next_to_it() {
    let mut rows = directory();
    rows.subscribers[CAROL].digest = crate::digest::secret_of("carol", "example.net", "another");
    let mut world = World::with(SwitchConfig::default(), rows);
    for _ in 0..20 {
        world.command(HOMES, PhoneCommand::Register { line: CAROL, seconds: 100 });
    }
    assert_eq!(
        bans(&world),
        [(SecurityKind::BanAdded, "wrong passwords, the last one for carol; shut out for 300 s".to_owned())]
    );
    world.register(ALICE);
    assert_eq!(world.switch.counters().contacts_active, 0, "from the same address nothing is answered");
    world.dial_from(GATEWAY_1, None, "49301234", "43111", Some(1));
    assert!(world.story().contains("480 Offline"), "{}", world.story());
}

#[test]
fn who_has_an_account_cannot_guess_the_passwords_of_others_between_two_logins() {
    let mut rows = directory();
    rows.subscribers[CAROL].digest = crate::digest::secret_of("carol", "example.net", "another");
    let mut world = World::with(SwitchConfig::default(), rows);
    for n in 0..11 {
        assert_eq!(bans(&world), [], "{n}");
        world.register(ALICE);
        world.command(HOMES, PhoneCommand::Register { line: CAROL, seconds: 100 });
    }
    assert_eq!(bans(&world).len(), 1);
}

#[test]
fn call_that_is_up_goes_on_although_its_address_is_shut_out() {
    let mut rows = directory();
    rows.subscribers[CAROL].digest = crate::digest::secret_of("carol", "example.net", "another");
    let mut world = World::with(SwitchConfig::default(), rows);
    let id = world.dial(ALICE, "49301234", 30);
    world.run_seconds(5);
    for _ in 0..20 {
        world.command(HOMES, PhoneCommand::Register { line: CAROL, seconds: 100 });
    }
    assert_eq!(bans(&world).len(), 1);
    world.run_seconds(60);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { by_us: true, .. })));
    assert!(world.story().ends_with("end 200 normal by caller after 30.000 s\n"), "{}", world.story());
}

#[test]
fn office_whose_phones_all_start_at_once_is_no_flood() {
    let mut world = World::new();
    for _ in 0..1_000 {
        world.command(HOMES, PhoneCommand::Register { line: ALICE, seconds: 3_600 });
    }
    assert_eq!(bans(&world), []);
    assert_eq!(world.switch.counters().registrations, 1_000);
}

#[test]
fn scanner_gets_no_answer_at_all() {
    let mut world = World::new();
    world.inject(ATTACKER, options(1, "friendly-scanner"));
    world.inject(ATTACKER, options(2, "SIPVicious/0.3"));
    assert!(world.raw.is_empty());
    assert_eq!(world.switch.counters().dropped, 2);
}

#[test]
fn exempt_network_is_never_shut_out() {
    let config = SwitchConfig { never_banned: vec!["198.51.100.0/24".into()], ..SwitchConfig::default() };
    let mut world = World::with(config, directory());
    for n in 0..500 {
        world.inject(ATTACKER, options(n, "x"));
    }
    assert_eq!((world.raw.len(), bans(&world)), (500, Vec::new()));
}

#[test]
fn source_that_is_never_banned_is_served_whatever_was_shut_out_by_hand() {
    let config = SwitchConfig { never_banned: vec!["198.51.100.66".into()], ..SwitchConfig::default() };
    let ban = model::SourceBan {
        network: "198.51.100.0/24".into(),
        reason: "the whole house".into(),
        author: "ops".into(),
        since: chrono::DateTime::UNIX_EPOCH,
        until: None,
    };
    let mut world = World::with(config, model::Directory { source_bans: vec![ban], ..directory() });
    world.inject("198.51.100.67:5060", options(1, "phone"));
    assert!(world.raw.is_empty());
    world.inject(ATTACKER, options(2, "phone"));
    assert_eq!(world.raw.len(), 1);
}

#[test]
fn source_shut_out_by_hand_is_dropped_until_its_time_but_no_trunk_and_no_call_that_is_up() {
    let ban = |network: &str, until: Option<i64>| model::SourceBan {
        network: network.into(),
        reason: "scans us".into(),
        author: "ops".into(),
        since: chrono::DateTime::UNIX_EPOCH,
        until: until.map(|seconds| {
            let start: chrono::DateTime<chrono::Utc> = "2026-10-05T12:00:00Z".parse().unwrap();
            start + chrono::TimeDelta::seconds(seconds)
        }),
    };
    let mut world = World::new();
    let id = world.dial(ALICE, "49301234", 20);
    world.run_seconds(3);
    let mut rows = directory();
    rows.source_bans =
        vec![ban("198.51.100.0/24", Some(100)), ban("203.0.113.0/24", None), ban("nonsense", None)];
    world.input(crate::Input::Directory(std::sync::Arc::new(rows)));
    world.inject("198.51.100.9:5060", options(1, "phone"));
    assert!(world.raw.is_empty(), "not even an answer");
    assert_eq!(world.switch.counters().dropped, 1);
    world.inject("192.0.2.99:5060", options(2, "phone"));
    assert_eq!(world.raw.len(), 1, "its neighbours are served");
    // Alice's call is up, and she hangs up as ever; the gateway is a trunk.
    world.run_seconds(30);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{:?}", world.outcome(id));
    world.run_seconds(70);
    world.raw.clear();
    world.inject("198.51.100.9:5060", options(3, "phone"));
    assert_eq!(world.raw.len(), 1, "its time is over");
}
