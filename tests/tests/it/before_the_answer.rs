//! What happens before the answer, by foreign phones: sipp acknowledges provisional answers (RFC 3262) as caller, as callee, or as both.

use std::net::SocketAddr;
use std::process::Command;

use crate::rig::{Installation, Running, eventually, free_address, have, printed, scenario, write_file};
use crate::sipp_call::{calls, gateway_with};

fn gateway(at: SocketAddr, of: &str) -> Running {
    gateway_with(at, &["-sf", scenario(of).to_str().unwrap()])
}

/// A call by a phone that says `header` of PRACK, and acknowledges what it hears; sipp checks every message.
fn call_with(made: &Installation, header: &str) {
    let fields = write_file(
        made.path(),
        "prack.csv",
        &format!(
            "SEQUENTIAL\nhuber;4930555123;[authentication username=huber password=change-me-huber];{header}\n"
        ),
    );
    let local = free_address("127.0.0.1");
    printed(
        Command::new("sipp")
            .arg(made.sip.to_string())
            .arg("-sf")
            .arg(scenario("prack_call.xml"))
            .arg("-inf")
            .arg(fields)
            .args([
                "-i",
                "127.0.0.1",
                "-p",
                &local.port().to_string(),
                "-nostdin",
                "-timeout",
                "50",
                "-timeout_error",
            ])
            .args(["-m", "1", "-d", "200"]),
    );
}

/// The answered calls, with what they speak.
fn answered(made: &Installation) -> Vec<String> {
    made.sql("select count(*), min(codec), max(attempts) from calls where status = 'ok'")
}

#[test]
fn callee_with_prack_is_called_by_phones_with_and_without_it() {
    if !["sipp", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let made = Installation::new();
    let _gateways = made.carriers.map(|at| gateway(at, "prack_gateway.xml"));
    let house = made.start();
    // The PRACK of the one crosses the switch, for the other the switch sends it.
    call_with(&made, "Supported: 100rel");
    calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 200);
    eventually("both have their records", || answered(&made) == ["2,PCMA/8000,1"]);
    house.stop();
}

#[test]
fn phone_that_insists_on_prack_reaches_a_callee_that_knows_none() {
    if !["sipp", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let made = Installation::new();
    let _gateways = made.carriers.map(|at| gateway(at, "early_gateway.xml"));
    let house = made.start();
    call_with(&made, "Require: 100rel");
    eventually("it has its record", || answered(&made) == ["1,PCMA/8000,1"]);
    house.stop();
}
