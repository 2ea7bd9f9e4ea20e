//! `tollbook route` and `tollbook rewrite`: what the rules make of a call, without a running switch.

use std::process::Command;

use crate::rig::{Installation, tollbook_path, write_file};

#[test]
fn route_of_a_call_is_explained_and_wrong_rules_are_refused() {
    let made = Installation::new();
    let ask = |from: &str, to: &str| made.run_command(&["route", "--from", from, "--to", to]);

    let national = ask("huber@sip.meridian.example", "030555");
    assert!(national.contains("030555, which is 4330555"), "{national}");
    let lines: Vec<&str> = national.lines().filter(|line| line.contains("sip:4330555@")).collect();
    assert_eq!(lines.len(), 2, "both carriers, in order: {national}");
    assert!(lines[0].contains("pelagic-1") && lines[1].contains("transalp-1"), "{national}");

    let barred = ask("huber@sip.meridian.example", "00881123456");
    assert!(barred.contains("403 Blocked by NCOS level: block_ncos"), "{barred}");
    assert!(barred.contains("NCOS no-satellite: pattern ^881"), "{barred}");
    let emergency = ask("huber@sip.meridian.example", "112");
    assert!(emergency.contains("emergency: passes every lock"), "{emergency}");
    let transit = ask("transalp-1", "4930555");
    assert!(transit.contains("404 Not Found: callee_unknown"), "a carrier is no customer: {transit}");

    let tried = made.run_command(&["rewrite", "--set", "national", "--country", "43", "0660555123"]);
    assert!(tried.contains("43660555123"), "{tried}");

    let wrong = write_file(
        made.path(),
        "wrong.toml",
        "[[subscribers]]\naccount = \"baeckerei-huber\"\nusername = \"x\"\ndomain = \"y\"\npassword = \"long-enough\"\n\
         calling = { ncos = \"no-satelite\" }\n",
    );
    let output = Command::new(tollbook_path())
        .args(["import", "--config"])
        .arg(made.config())
        .arg(&wrong)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("x@y") && said.contains("it has no-satellite"), "{said}");
}
