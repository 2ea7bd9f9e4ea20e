//! Killed without warning in the middle of everything, and started again: nothing lost, nothing twice.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::rig::{Running, eventually, printed, tollbook_path};

#[test]
fn kill_in_the_middle_of_the_demo_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("demo");
    let config = home.join("tollbook.toml");
    let demo = Running::spawn(
        Command::new(tollbook_path())
            .args(["demo", "--calls", "600", "--cps", "60", "--dir"])
            .arg(&home)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    // Far enough for calls in every state: ringing, up, rated, exported.
    eventually("calls are rated", || {
        let output = Command::new(tollbook_path())
            .args(["sql", "--format", "csv", "select count(*) from calls", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.lines().nth(1).and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n >= 100)
    });
    demo.kill();

    let mut again = Command::new(tollbook_path());
    again.args(["run", "--config"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let again = Running::spawn(&mut again);
    let audit = || Command::new(tollbook_path()).args(["audit", "--config"]).arg(&config).output().unwrap();
    let count = |query: &str| {
        let shown = printed(
            Command::new(tollbook_path()).args(["sql", "--format", "csv", query, "--config"]).arg(&config),
        );
        shown.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    eventually("the open calls of the killed switch are closed", || {
        count("select count(*) from calls where cause = 'switch_restart'") > 0
    });
    // What was on the way is worked off.
    let mut last = 0;
    eventually("the figures stand still", || {
        std::thread::sleep(Duration::from_secs(2));
        let rows = count("select count(*) from calls");
        std::mem::replace(&mut last, rows) == rows
    });
    again.stop();

    let proof = audit();
    let shown = String::from_utf8_lossy(&proof.stdout);
    assert!(proof.status.success(), "{shown}\n{}", String::from_utf8_lossy(&proof.stderr));
    assert!(shown.contains("all of it holds") && !shown.contains("not read"), "{shown}");
    assert!(shown.contains("0 are open"), "{shown}");
}
