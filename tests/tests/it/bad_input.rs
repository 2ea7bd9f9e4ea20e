//! What an operator gets wrong is told in one line with file, place and remedy; exit code 2; nothing half written.

use std::net::UdpSocket;
use std::process::Output;

use crate::rig::{Installation, tollbook, write_file};

fn refused(output: &Output, words: &[&str]) {
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    for word in words {
        assert!(shown.contains(word), "{word:?} is not in: {shown}");
    }
    assert!(shown.lines().count() <= 2, "more than a line: {shown}");
}

fn check_config(text: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = write_file(dir.path(), "tollbook.toml", text);
    tollbook(&["check-config", "--config", file.to_str().unwrap()])
}

#[test]
fn unknown_key_is_told_with_its_line_and_the_nearest_key() {
    refused(
        &check_config("[switch]\nlitsen = \"127.0.0.1:5060\"\n"),
        &["tollbook.toml:2:", "litsen", "did you mean `listen`?"],
    );
}

#[test]
fn wrong_type_is_told_with_its_line() {
    refused(&check_config("\n[switch]\ncalls_max = \"many\"\n"), &["tollbook.toml:3:", "u32"]);
}

#[test]
fn missing_file_is_told_with_what_to_do() {
    refused(
        &tollbook(&["sql", "--config", "/nowhere/tollbook.toml", "select 1"]),
        &["/nowhere/tollbook.toml", "tollbook init"],
    );
}

#[test]
fn kafka_is_not_pretended() {
    refused(&check_config("[bus]\nurl = \"kafka://localhost:9092\"\n"), &["bus.url", "embedded"]);
}

#[test]
fn port_in_use_is_told_and_nothing_is_left_running() {
    let made = Installation::new();
    let _taken = UdpSocket::bind(made.sip).unwrap();
    let output = tollbook(&["run", "--config", made.config().to_str().unwrap()]);
    refused(&output, &["switch.listen", &made.sip.to_string(), "choose another"]);
    assert!(!made.home().join("data/bus").exists(), "the event log was made although nothing could start");
}

#[test]
fn directory_that_cannot_be_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    // A file where a directory should be stops even a superuser.
    write_file(dir.path(), "file", "");
    let config = write_file(dir.path(), "tollbook.toml", "data = \"file/data\"\n");
    refused(&tollbook(&["suspense", "--config", config.to_str().unwrap()]), &["file/data", "choose another"]);
}

#[test]
fn truncated_database_is_told_and_left_as_it_is() {
    let made = Installation::new();
    let file = made.home().join("data/tollbook.db");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    for tail in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(made.home().join(format!("data/tollbook.db{tail}")));
    }
    let output = tollbook(&["suspense", "--config", made.config().to_str().unwrap()]);
    refused(&output, &["tollbook.db", "restore it from a backup"]);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), (whole.len() / 2) as u64);
}

#[test]
fn init_leaves_a_directory_that_holds_something_alone() {
    let dir = tempfile::tempdir().unwrap();
    write_file(dir.path(), "mine", "precious");
    refused(&tollbook(&["init", dir.path().to_str().unwrap()]), &["not empty"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn world_with_an_unknown_reference_changes_nothing() {
    let made = Installation::new();
    let world = write_file(
        made.path(),
        "more.toml",
        "[[accounts]]\ntenant = \"meridian\"\nhandle = \"new\"\nreseller = \"nobody\"\n",
    );
    let output = tollbook(&["import", "--config", made.config().to_str().unwrap(), world.to_str().unwrap()]);
    refused(&output, &["nobody"]);
    let output =
        tollbook(&["fraud", "lock", "--config", made.config().to_str().unwrap(), "new", "--reason", "x"]);
    refused(&output, &["there is no account \"new\""]);
}

#[test]
fn sql_names_the_column_that_is_not_there() {
    let made = Installation::new();
    // The lake is made at the first start.
    made.start().stop();
    let output =
        tollbook(&["sql", "--config", made.config().to_str().unwrap(), "select customr_cost from calls"]);
    refused(&output, &["customr_cost"]);
}
