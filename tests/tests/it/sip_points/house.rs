//! What people do to the house while real phones call: they lock an account and end its calls, stop the program, and guess passwords.

use std::process::Child;
use std::time::Duration;

use super::points::{ANSWERS, POINT, Point};
use super::{Place, ended, spawn_gateways};
use crate::rig::{Installation, eventually, have};
use crate::sipp_call::calls;

/// An installation where this point's peers have their trunks, not started yet.
fn installation(place: &Place<'_>) -> Installation {
    let made = Installation::new();
    let world = made.home().join("world.toml");
    let text = std::fs::read_to_string(&world).unwrap() + &place.world();
    std::fs::write(&world, text).unwrap();
    made.run_command(&["import", world.to_str().unwrap()]);
    made
}

/// A phone at the caller's address plays a script.
fn phone(made: &Installation, place: &Place<'_>, what: &str, script: &str) -> Child {
    place.sipp(made.path(), what, script, place.caller, Some(made.sip)).spawn().unwrap()
}

#[test]
fn lock_and_kill_by_hand_cut_the_call_that_is_up_and_refuse_the_next() {
    if !["sipp", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let point = Point {
        name: "cut by the operator",
        gateways: &["< INVITE\nanswer 180 Ringing\nanswer 200 OK sdp\n< ACK\n< BYE\nreply 200 OK"],
        ..POINT
    };
    let place = Place::of(60, &point);
    let made = installation(&place);
    let mut gateways = spawn_gateways(made.path(), &place);
    let house = made.start();
    let caller = phone(&made, &place, "caller", "invite\n< 180?\n< 200!\n> ACK\n< BYE\nreply 200 OK");
    std::thread::sleep(Duration::from_millis(1_500));
    made.run_command(&["fraud", "lock", "baeckerei-huber", "--level", "all", "--reason", "stolen phone"]);
    made.run_command(&["fraud", "kill", "baeckerei-huber", "--reason", "stolen phone"]);
    // Both sides hear of it: each script ends with a BYE.
    ended(caller, made.path(), &place, "caller").unwrap();
    ended(gateways.remove(0), made.path(), &place, "gateway-0").unwrap();
    calls(&made, "refused_call.xml", "huber", "change-me-huber", &place.number, 1, 0);
    eventually("both have their records", || {
        made.sql("select status, cause, ended_by from calls order by init_at")
            == ["ok,killed,operator", "other,locked_out,switch"]
    });
    house.stop();
}

#[test]
fn house_that_stops_lets_calls_end_and_tells_new_ones_when_to_come_again() {
    if !["sipp", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let point = Point { name: "draining", gateways: &[ANSWERS], ..POINT };
    let place = Place::of(61, &point);
    let made = installation(&place);
    made.configure("[pipeline]\ndrain = \"30s\"\n");
    let mut gateways = spawn_gateways(made.path(), &place);
    let mut house = made.start();
    let caller = phone(&made, &place, "caller", "invite\n< 180?\n< 200!\n> ACK\nwait 4000\n> BYE\n< 200");
    std::thread::sleep(Duration::from_millis(1_500));
    house.signal("TERM");
    std::thread::sleep(Duration::from_millis(700));
    let late = Place::of(62, &point);
    let refused = phone(&made, &late, "refused", "invite!\n< 503\n  Retry-After: [0-9]+\n> ACK");
    ended(refused, made.path(), &late, "refused").unwrap();
    let asked = Place::of(63, &point);
    let asked_whether = phone(&made, &asked, "asked", "> OPTIONS\n< 503\n  Retry-After: [0-9]+");
    ended(asked_whether, made.path(), &asked, "asked").unwrap();
    ended(caller, made.path(), &place, "caller").unwrap();
    ended(gateways.remove(0), made.path(), &place, "gateway-0").unwrap();
    eventually("the house has gone", || !house.is_up());
    let house = made.start();
    eventually("the call has its whole record", || {
        made.sql("select status, cause, ended_by, duration_seconds >= 3.9 from calls")
            == ["ok,normal,caller,true"]
    });
    house.stop();
}

#[test]
fn guessed_passwords_shut_their_address_out_and_nobody_else() {
    if !["sipp", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let guesser = Point { name: "guesser", phone: "huber:wrong", user: "huber:wrong", ..POINT };
    let place = Place::of(64, &guesser);
    let beside = Point { name: "customer", gateways: &[ANSWERS], ..POINT };
    let beside = Place::of(65, &beside);
    let made = installation(&beside);
    let mut gateways = spawn_gateways(made.path(), &beside);
    let house = made.start();
    // Ten are forgiven, the eleventh is one too many; each of these is answered.
    for n in 0..11 {
        let what = format!("guess-{n}");
        ended(phone(&made, &place, &what, "register\n< 403"), made.path(), &place, &what).unwrap();
    }
    let mut silent = place.sipp(made.path(), "silent", "register\n< 403", place.caller, Some(made.sip));
    let silent = silent.args(["-timeout", "3"]).spawn().unwrap();
    ended(silent, made.path(), &place, "silent").expect_err("nothing comes back any more");
    let caller = phone(&made, &beside, "caller", "invite\n< 180?\n< 200!\n> ACK\nwait 200\n> BYE\n< 200");
    ended(caller, made.path(), &beside, "caller").unwrap();
    ended(gateways.remove(0), made.path(), &beside, "gateway-0").unwrap();
    // The desk, and whoever reads the records of events, sees whom and why.
    eventually("the ban is a record", || {
        let events = made.run_command(&["edr", "--kind", "security"]);
        events.contains("ban_added") && events.contains(&place.caller.ip().to_string())
    });
    house.stop();
}
