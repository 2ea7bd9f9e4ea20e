//! What an operator gets wrong is told in one line with file, place and remedy; exit code 2; nothing half written.

use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output, Stdio};

use crate::rig::{Installation, tollbook, tollbook_path, write_file};

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
fn output_that_nobody_reads_any_more_ends_a_command_without_a_word() {
    let made = Installation::new();
    let (unread, output) = std::io::pipe().unwrap();
    drop(unread);
    let mut command = Command::new(tollbook_path());
    let ended = command
        .args(["sql", "--list", "--config"])
        .arg(made.config())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert!(!ended.status.success());
}

#[test]
fn missing_file_is_told_with_what_to_do() {
    refused(
        &tollbook(&["sql", "--config", "/nowhere/tollbook.toml", "select 1"]),
        &["/nowhere/tollbook.toml", "tollbook init"],
    );
}

#[test]
fn event_log_of_no_known_kind_is_told_with_those_there_are() {
    let rabbit = check_config("[bus]\nurl = \"amqp://localhost\"\n");
    refused(&rabbit, &["bus.url", "embedded", "kafka://host:9092"]);
}

#[test]
fn port_in_use_is_told_and_nothing_is_left_running() {
    let made = Installation::new();
    let run = || tollbook(&["run", "--config", made.config().to_str().unwrap()]);
    {
        let _taken = UdpSocket::bind(made.sip).unwrap();
        refused(&run(), &["switch.listen", &made.sip.to_string(), "choose another"]);
    }
    // SIP is served over TCP on the same port; half a switch is none.
    let _taken = TcpListener::bind(made.sip).unwrap();
    refused(&run(), &["switch.listen", &made.sip.to_string(), "choose another"]);
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

/// `tollbook import` of `text` into an installation of the sample world; a dry run must say the same.
fn refused_world(made: &Installation, text: &str, words: &[&str]) {
    let world = write_file(made.path(), "more.toml", text);
    let (config, world) = (made.config(), world.to_str().unwrap().to_owned());
    let import = ["import", "--config", config.to_str().unwrap(), &world];
    let output = tollbook(&import);
    refused(&output, &[&["more.toml: "], words].concat());
    let dry = tollbook(&[import.as_slice(), &["--dry-run"]].concat());
    assert_eq!(
        (dry.status.code(), String::from_utf8_lossy(&dry.stderr)),
        (output.status.code(), String::from_utf8_lossy(&output.stderr))
    );
}

#[test]
fn world_that_breaks_a_rule_is_refused_and_a_dry_run_says_the_same() {
    let made = Installation::new();
    let account = |rest: &str| format!("[[accounts]]\nhandle = \"new\"\n{rest}\n");
    let subscriber = |account: &str, user: &str, rest: &str| {
        format!(
            "[[subscribers]]\naccount = \"{account}\"\nusername = \"{user}\"\ndomain = \"d.example\"\n{rest}\n"
        )
    };
    let password = "password = \"long enough\"";
    let check = |text: String, words: &[&str]| refused_world(&made, &text, words);
    check(account("profile = \"retial\""), &["account \"new\"", "no profile \"retial\""]);
    check(account("reseller = \"nobody\""), &["account \"new\"", "no account \"nobody\""]);
    check(account("reseller = \"atelier-novak\""), &["is a customer, not a reseller"]);
    check(account("reseller = \"new\""), &["its own reseller"]);
    check(account("vat_percent = \"200\""), &["vat_percent", "\"0\" to \"100\""]);
    check(account("currency = \"USD\"\nprofile = \"retail\""), &["kept in USD", "one currency"]);
    check(account("fraud.daily = { amount = \"-1\", lock = \"all\", notify = [] }"), &["above 0"]);
    check(
        account("fraud.daily = { amount = \"1\", lock = \"all\", notify = [\"x\"] }"),
        &["not a mail address"],
    );
    check(account("") + &account("profile = \"retail\""), &["account \"new\"", "twice"]);
    check("[[accounts]]\nhandle = \"alpine\"\n".to_owned(), &["cannot become a customer"]);
    check("[[accounts]]\nhandle = \"../x\"\n".to_owned(), &["letters, digits"]);
    check(subscriber("atelier-novak", "z", "password = \"short\""), &["fewer than 8"]);
    check(subscriber("atelier-novak", "z:y", password), &["':'"]);
    check(subscriber("nobody", "z", password), &["no account \"nobody\""]);
    check(subscriber("alpine", "z", password), &["is a reseller, not a customer"]);
    check(subscriber("atelier-novak", "z", "ha1_md5 = \"1\"\nha1_sha256 = \"2\""), &["32 hexadecimal"]);
    check(
        subscriber("atelier-novak", "z", &format!("{password}\nnumbers = [\"43512900100\"]")),
        &["43512900100", "huber@sip.meridian.example"],
    );
    check("[[routes]]\nprefix = \"43\"\ntrunk = \"nowhere\"\n".to_owned(), &["no trunk \"nowhere\""]);
    check("[[routes]]\nprefix = \"+43\"\ntrunk = \"transalp-1\"\n".to_owned(), &["'+' is not a digit"]);
    check(
        "[[trunks]]\naccount = \"atelier-novak\"\nname = \"t\"\naddress = \"127.0.0.1:5090\"\n".to_owned(),
        &["is a customer, not a carrier"],
    );
    let output =
        tollbook(&["fraud", "lock", "--config", made.config().to_str().unwrap(), "new", "--reason", "x"]);
    refused(&output, &["there is no account \"new\""]);
}

#[test]
fn changed_tariff_is_a_new_version_and_an_unchanged_one_is_none() {
    let made = Installation::new();
    let (world, fees) = (made.home().join("world.toml"), made.home().join("tariffs/retail/fees.csv"));
    let import = || {
        let shown = made.run_command(&["import", world.to_str().unwrap()]);
        shown.lines().find(|line| line.starts_with("tariff versions")).unwrap().to_owned()
    };
    assert_eq!(import(), "tariff versions  0 added, 0 changed, 4 as they were");
    let text = std::fs::read_to_string(&fees).unwrap();
    std::fs::write(&fees, text.replacen("0.021", "0.022", 1)).unwrap();
    assert_eq!(import(), "tariff versions  1 added, 0 changed, 3 as they were");
    assert_eq!(import(), "tariff versions  0 added, 0 changed, 4 as they were");
    // What was in force once is priced: it does not change any more.
    let past = "tariffs = [{ dir = \"tollbook/tariffs/reseller\", valid_from = \"2026-01-01T00:00:00Z\" }]\n";
    let fees = made.home().join("tariffs/reseller/fees.csv");
    let text = std::fs::read_to_string(&fees).unwrap();
    let fee = text.lines().nth(1).unwrap();
    std::fs::write(&fees, text.replacen(fee, &fee.replace("0.0083", "0.0084"), 1)).unwrap();
    refused_world(&made, past, &["reseller", "in the past"]);
    // But for a number that had no fee: a call in suspense waits for it.
    let (_, of_a_number) = fee.split_once(",1,").unwrap();
    std::fs::write(&fees, format!("{}\n,9999,{of_a_number}\n", text.trim_end())).unwrap();
    let world = write_file(made.path(), "past.toml", past);
    assert!(made.run_command(&["import", world.to_str().unwrap()]).contains("tariff versions  1 added"));
}

/// The retail tariff and two calls in a directory of their own.
fn workbench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    assert!(tollbook(&["init", dir.path().join("home").to_str().unwrap()]).status.success());
    write_file(
        dir.path(),
        "march.csv",
        "id,account,source,destination,start,duration_seconds\n1,a,1,4930555,2026-03-02T10:00:00Z,60\n",
    );
    dir
}

fn rate(dir: &std::path::Path, calls: &str, out: &str) -> Output {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (tariff, calls, out) = (path("home/tariffs/retail"), path(calls), path(out));
    tollbook(&["rate", "--tariff", &tariff, "--calls", &calls, "--out", &out])
}

#[test]
fn workbench_never_writes_over_its_calls_nor_beside_a_directory() {
    let dir = workbench();
    refused(&rate(dir.path(), "march.csv", "march.csv"), &["march.csv", "name another file"]);
    refused(&rate(dir.path(), "march.csv", "home"), &["is a directory"]);
    assert!(std::fs::read_to_string(dir.path().join("march.csv")).unwrap().starts_with("id,account"));
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["home", "march.csv"]);
}

#[test]
fn mistakes_in_a_tariff_and_in_calls_are_told_with_the_files_own_paths() {
    let dir = workbench();
    write_file(
        dir.path(),
        "bad.csv",
        "id,account,source,destination,start,duration_seconds\n1,a,1,49,noon,60\n",
    );
    refused(&rate(dir.path(), "bad.csv", "out.csv"), &["bad.csv:2:5: start: \"noon\"", "RFC 3339"]);
    write_file(dir.path(), "semicolons.csv", "id;account;source;destination;start;duration_seconds\n");
    refused(&rate(dir.path(), "semicolons.csv", "out.csv"), &["semicolons.csv:1: ", "comma-separated"]);
    let fees = dir.path().join("home/tariffs/retail/fees.csv");
    let text = std::fs::read_to_string(&fees).unwrap();
    std::fs::write(&fees, text.replacen("0.021", "O.021", 1)).unwrap();
    refused(&rate(dir.path(), "march.csv", "out.csv"), &["home/tariffs/retail/fees.csv:", "O.021"]);
    assert!(!dir.path().join("out.csv").exists() && !dir.path().join("out.csv.part").exists());
}

#[test]
fn billing_run_of_what_cannot_be_billed_says_why() {
    let made = Installation::new();
    let config = made.config();
    let invoice =
        |args: &[&str]| tollbook(&[&["invoice", "run", "--config", config.to_str().unwrap()], args].concat());
    refused(&invoice(&["--period", "2026-13"]), &["2026-13", "2026-10"]);
    refused(&invoice(&["--period", "2026-01", "--account", "transalp"]), &["transalp", "carrier"]);
    refused(
        &invoice(&["--period", "2026-01", "--account", "atelier-nowak"]),
        &["did you mean atelier-novak?"],
    );
    refused(&invoice(&["--period", "2026-01"]), &["there is no lake", "start tollbook"]);
    made.start().stop();
    let shown = made.run_command(&["invoice", "run", "--through", "2999-11-21"]);
    assert_eq!(shown.matches("held back: 1 – 21 November 2999 is not over").count(), 7, "{shown}");
    let shown = made.run_command(&["invoice", "list"]);
    assert!(shown.contains("there are no invoices"), "{shown}");
}

#[test]
fn tampered_cdr_file_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_file(dir.path(), "x.cdr", "007,0000\n00000000000000000000000000000000\n");
    let made = Installation::new();
    let config = made.config();
    let verify = |file: &std::path::Path| {
        tollbook(&["export", "verify", "--config", config.to_str().unwrap(), file.to_str().unwrap()])
    };
    refused(&verify(&file), &["x.cdr: the contents have the MD5"]);
    refused(&verify(&dir.path().join("none.cdr")), &["none.cdr", "name a CDR file"]);
}

/// The remedy that `check-config` names must not need the configuration that it finds wrong.
#[test]
fn partners_files_and_passwords_need_no_installation() {
    use std::io::Write as _;

    let dir = tempfile::tempdir().unwrap();
    let user = "[[sftp.users]]\nname = \"acme\"\nfolder = \"resellers/acme\"\npassword_hash = \"secret\"\n";
    let config = write_file(dir.path(), "tollbook.toml", user);
    refused(&check_config(user), &["tollbook export password"]);
    let run = |args: &[&str], input: &str| {
        let mut command = Command::new(tollbook_path());
        command.arg("export").args(args).current_dir(dir.path());
        let (stdin, stdout, stderr) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
        let mut running = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
        running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let ended = running.wait_with_output().unwrap();
        assert!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    };
    let hash = run(&["password"], "correct horse battery\n");
    std::fs::write(&config, user.replace("secret", hash.trim())).unwrap();
    let good = tollbook(&["check-config", "--config", config.to_str().unwrap()]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));

    std::fs::remove_file(&config).unwrap();
    // `printf '007,0000\n' | md5sum`.
    write_file(dir.path(), "a.cdr", "007,0000\n9b8bd11538a55b017aab6b2ce9d7374f\n");
    assert!(run(&["verify", "a.cdr"], "").contains("a.cdr: in order, 0 calls"));
    assert!(run(&["formats"], "").contains("reference-kabelplus"));
    write_file(dir.path(), "own.toml", &run(&["formats", "json-lines"], ""));
    write_file(dir.path(), "b.jsonl", "");
    assert!(run(&["verify", "--format", "own.toml", "b.jsonl"], "").contains("b.jsonl: in order, 0 records"));
}
