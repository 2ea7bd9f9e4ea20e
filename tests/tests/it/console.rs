//! The console in a real browser, after real calls; and the API held against its own description by a stranger that makes up
//! requests.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::{Installation, Running, eventually, have, printed, tollbook_path, write_file};
use crate::sipp_call::{calls, gateway};

const PASSWORD: &str = "correct horse battery";

/// An installation with a user, calls of one customer, a CDR file and an invoice.
fn house_with_calls() -> (Installation, Running, [Running; 2]) {
    let made = Installation::new();
    // Three calls are a case for the fraud desk.
    write_file(
        &made.home(),
        "rules.toml",
        "[[rule]]\nname = \"often\"\nversion = 1\ntitle = \"Calls often\"\nkey = \"account\"\nwindow = \"1h\"\n\
         when = [{ measure = \"attempts\", at_least = 2 }]\naction = [\"tag\"]\ntag = \"often\"\n",
    );
    made.configure("[fraud]\nrules = [\"rules.toml\"]\n");
    let kept = write_file(&made.home(), "kept.toml", "[[contracts]]\naccount = \"baeckerei-huber\"\n");
    made.run_command(&["import", &kept.display().to_string()]);
    let mut adding = Command::new(tollbook_path())
        .args(["user", "add", "ada", "--config"])
        .arg(made.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    adding.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
    let house = made.start();
    let gateways = made.carriers.map(gateway);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 3, 200);
    eventually("the calls are in the lake", || made.sql("select count(*) from calls") == ["3"]);
    made.run_command(&["invoice", "run", "--now"]);
    made.run_command(&["export", "run"]);
    (made, house, gateways)
}

#[test]
fn every_page_does_its_task_in_a_browser_at_both_widths() {
    if !["sipp", "chromium", "chromedriver"].into_iter().all(have) {
        return;
    }
    let (made, house, _gateways) = house_with_calls();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/console.py");
    // The system's own Python: it has the driver as a package.
    let shown =
        printed(Command::new("/usr/bin/python3").arg(script).arg(format!("http://{}", made.web)).args([
            "ada",
            PASSWORD,
            "baeckerei-huber",
        ]));
    assert_eq!(shown.lines().filter(|line| line.contains("every page in order")).count(), 2, "{shown}");
    house.stop();
}

#[test]
fn api_keeps_to_its_description_whatever_is_asked() {
    // `./test` puts it there.
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/schemathesis/bin/schemathesis");
    if !tool.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", tool.display());
        eprintln!("left out: schemathesis is not installed");
        return;
    }
    let (made, house, _gateways) = house_with_calls();
    let token = made.run_command(&["token", "add", "stranger", "--role", "operator"]);
    printed(
        Command::new(tool)
            .arg("run")
            .arg(format!("http://{}/api/v1/openapi.json", made.web))
            .args(["-H", &format!("Authorization: Bearer {}", token.trim())])
            // The same requests each time; none beyond this machine.
            .args(["--seed", "7", "--max-examples", "20", "--no-color"])
            // 2026-02-31 fits the pattern of a day, and is refused all the same.
            .args(["--exclude-checks", "positive_data_acceptance"])
            .current_dir(made.path()),
    );
    house.stop();
}
