//! SQL over PostgreSQL's protocol, as an operator sets it up: the console's users, their rights, and guesses held up at both doors.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use crate::rig::{Installation, eventually, free_address, have, printed, tollbook_path};
use crate::sipp_call::{calls, gateway};

const PASSWORD: &str = "correct horse battery";

fn add_user(made: &Installation, name: &str, more: &[&str]) {
    let mut adding = Command::new(tollbook_path())
        .args(["user", "add", name, "--config"])
        .arg(made.config())
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    adding.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
}

fn psql(at: SocketAddr, user: &str, password: &str, asked: &str) -> Output {
    Command::new("psql")
        .args(["-X", "-A", "-t", "-c", asked])
        .arg(format!("host={} port={} user={user} dbname=tollbook", at.ip(), at.port()))
        .env("PGPASSWORD", password)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The status that the console's sign-in answers with.
fn console(made: &Installation, user: &str, password: &str) -> String {
    printed(
        Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["--data-urlencode", &format!("name={user}")])
            .args(["--data-urlencode", &format!("password={password}")])
            .arg(format!("http://{}/sign-in", made.web)),
    )
}

#[test]
fn consoles_users_ask_in_psql_within_their_rights() {
    if !["psql", "sipp", "curl"].into_iter().all(have) {
        return;
    }
    let made = Installation::new();
    let sql = free_address("127.0.0.1");
    made.configure(&format!("[lake]\npg_listen = \"{sql}\"\n"));
    add_user(&made, "ada", &[]);
    add_user(&made, "ann", &["--role", "analyst"]);
    add_user(&made, "tim", &["--tenant", "meridian"]);
    assert!(made.run_command(&["user", "list"]).contains("meridian"));
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 200);
    let asked = "SELECT destination_number, customer_cost IS NULL FROM calls";
    // A call is in SQL within two seconds of its end; here it is only waited for.
    eventually("the call is in SQL", || said(&psql(sql, "ada", PASSWORD, asked)) == "4930555123|f\n");
    assert_eq!(said(&psql(sql, "ann", PASSWORD, asked)), "4930…23|t\n");
    assert_eq!(said(&psql(sql, "tim", PASSWORD, asked)), "4930555123|f\n");
    assert!(said(&psql(sql, "ann", PASSWORD, "SELECT * FROM postings")).contains("there is no table"));

    // A user of one tenant has no console: its pages show every tenant.
    assert_eq!(console(&made, "tim", PASSWORD), "403");
    assert_eq!(console(&made, "ada", PASSWORD), "303");

    // Whoever guesses waits, at this door and at the console; others do not.
    for _ in 0..5 {
        assert!(said(&psql(sql, "ada", "guessed", "SELECT 1")).contains("name or password is wrong"));
    }
    assert!(said(&psql(sql, "ada", PASSWORD, "SELECT 1")).contains("too many attempts"));
    assert_eq!(console(&made, "ada", PASSWORD), "429");
    assert_eq!(said(&psql(sql, "ann", PASSWORD, "SELECT 1")), "1\n");

    // Held to no tenant any more, the console is open.
    made.run_command(&["user", "tenant", "tim"]);
    assert_eq!(console(&made, "tim", PASSWORD), "303");
    house.stop();
}

#[test]
fn ctrl_c_ends_the_question_and_not_the_prompt() {
    let made = Installation::new();
    // A lake is there once the house has run.
    made.start().stop();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/prompt.py");
    let shown = printed(
        Command::new("/usr/bin/python3")
            .arg(script)
            .arg(tollbook_path())
            .args(["sql", "--config"])
            .arg(made.config()),
    );
    assert_eq!(shown, "in order\n");
}

#[test]
fn person_is_forgotten_while_the_house_runs_and_the_audit_holds() {
    if !have("sipp") {
        return;
    }
    let made = Installation::new();
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 200);
    eventually("the call is in the lake", || made.sql("select count(*) from calls") == ["1"]);
    let money = made.sql("select customer_cost, carrier_cost, duration_seconds, source_number from calls");
    let erase = ["lake", "erase", "+4930555123", "--reason", "letter"];
    made.run_command(&["lake", "hold", "add", "--number", "4930555123", "--reason", "court"]);
    assert!(made.run_command(&erase).contains("out of 0 rows; 1 rows are held"));
    assert_eq!(made.sql("select destination_number from calls"), ["4930555123"]);
    made.run_command(&["lake", "hold", "lift", "1", "--reason", "over"]);
    // Nobody has to ask again.
    eventually("it is made up for", || made.sql("select destination_number from calls") == ["4930…"]);
    assert!(!made.run_command(&["lake", "erasures"]).contains("waits"));
    assert_eq!(
        made.sql("select customer_cost, carrier_cost, duration_seconds, source_number from calls"),
        money
    );
    assert!(made.run_command(&["lake", "proofs"]).contains("\"rows_changed\": 1"));
    made.run_command(&["audit"]);
    house.stop();
}
