//! Whoever reads the log, at whatever level, or what commands print, learns no secret: a machine that is lost takes its log with it, and
//! logs are sent to others when something is to be found out.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::kafka_house::sleep_s;
use crate::rig::{Installation, eventually, have, printed, tollbook_path, write_file};
use crate::sipp_call::{calls, gateway};

const CONSOLE: &str = "console-passphrase-7341";
const SMTP: &str = "smtp-passphrase-5520";
const STORE: &str = "store-passphrase-9917";
const KAFKA: &str = "kafka-passphrase-2083";
const WRONG: &str = "mistyped-passphrase-6638";
/// Base64 as webhooks have it.
const WEBHOOK: &str = "whsec_c2lnbmF0dXJlLXNlY3JldC1vZi10aGlzLXRlc3Q=";

fn run(made: &Installation, args: &[&str]) -> Output {
    Command::new(tollbook_path())
        .args(args)
        .arg("--config")
        .arg(made.config())
        .env("TOLLBOOK_LOG", "trace")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn add_user(made: &Installation) {
    let mut adding = Command::new(tollbook_path())
        .args(["user", "add", "ada", "--config"])
        .arg(made.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    adding.stdin.take().unwrap().write_all(CONSOLE.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
}

fn sign_in(made: &Installation, password: &str) {
    printed(
        Command::new("curl")
            .args(["-s", "-o", "/dev/null", "--data-urlencode", "name=ada"])
            .args(["--data-urlencode", &format!("password={password}")])
            .arg(format!("http://{}/sign-in", made.web)),
    );
}

/// What a phone's password comes down to on the wire's side of the digest (RFC 7616, 3.4.2): as good as the password.
fn digest_of_phone() -> String {
    let hashed = "printf huber:sip.meridian.example:change-me-huber | md5sum | cut -d' ' -f1";
    printed(Command::new("sh").args(["-c", hashed])).trim().to_owned()
}

#[test]
fn no_secret_is_in_the_log_or_in_an_error() {
    if !["sipp", "curl", "md5sum", "openssl"].into_iter().all(have) {
        return;
    }
    let made = Installation::new();
    let key = made.home().join("dkim.pem");
    printed(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key));
    let dkim: String = std::fs::read_to_string(&key).unwrap().lines().nth(1).unwrap().to_owned();
    made.configure(&format!(
        "[mail]\nfrom = \"Billing <billing@meridian.example>\"\n\
         [mail.smtp]\nhost = \"127.0.0.1\"\nport = 9\ntls = \"none\"\nuser = \"billing\"\npassword = \"{SMTP}\"\n\
         [mail.dkim]\ndomain = \"meridian.example\"\nselector = \"a\"\nkey = {{ file = \"{}\" }}\n\
         [webhooks]\nallow_http = true\nallow_private = true\n\
         [alarms]\nno_cdr_after = \"1ms\"\nevery = \"1s\"\nnotify = [\"noc@meridian.example\"]\n",
        key.display()
    ));
    add_user(&made);
    let token = made.run_command(&["token", "add", "desk", "--role", "operator"]).trim().to_owned();
    let secret = write_file(made.path(), "webhook-secret", WEBHOOK);
    let mut shown = Vec::new();
    let mut note = |output: Output| {
        shown.extend(output.stdout);
        shown.extend(output.stderr);
    };
    note(run(
        &made,
        &["webhook", "add", "desk", "http://127.0.0.1:9/", "--secret-file", secret.to_str().unwrap()],
    ));

    // A house that tells all it can.
    let house = made.start_under(&["env", "TOLLBOOK_LOG=trace"], &[]);
    let _gateways = made.carriers.map(gateway);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 2, 200);
    calls(&made, "refused_call.xml", "huber", WRONG, "4930555123", 1, 0);
    sign_in(&made, CONSOLE);
    sign_in(&made, WRONG);
    for token in [token.as_str(), WRONG] {
        let asked = format!("http://{}/api/v1/accounts", made.web);
        let header = format!("Authorization: Bearer {token}");
        printed(Command::new("curl").args(["-s", "-o", "/dev/null", "-H", &header, &asked]));
    }
    note(run(&made, &["webhook", "test", "desk"]));
    // It is signed, and the server is not there.
    eventually("a mail is tried", || made.run_command(&["mail", "list"]).contains("noc@meridian.example"));
    sleep_s(3);
    note(run(&made, &["mail", "list"]));
    eventually("the calls have their records", || {
        made.sql("select count(*) from calls where status = 'ok'") == ["2"]
    });
    let backup = made.path().join("backup");
    note(run(&made, &["backup", backup.to_str().unwrap()]));
    house.stop();

    // Servers that are not there, and a configuration that is wrong beside a secret.
    let config = std::fs::read_to_string(made.config()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(config.contains(from), "{from} is not in {config}");
        std::fs::write(made.config(), config.replacen(from, to, 1)).unwrap();
    };
    changed("url = \"sqlite\"", &format!("url = \"postgres://bill:{STORE}@127.0.0.1:9/books\""));
    for args in [&["run"][..], &["audit"], &["backup", "elsewhere"], &["check-config"]] {
        note(run(&made, args));
    }
    changed("url = \"sqlite\"", &format!("url = \"mysql://bill:{STORE}@127.0.0.1:9/books\""));
    note(run(&made, &["check-config"]));
    changed(&format!("password = \"{SMTP}\""), &format!("password = \"{SMTP}\"\npasswort = \"{SMTP}\""));
    note(run(&made, &["check-config"]));
    std::fs::write(made.home().join("kafka-password"), KAFKA).unwrap();
    let kafka = "[bus]\nurl = \"kafka://127.0.0.1:9\"\n[bus.kafka]\npatience = \"1s\"\n\
                 [bus.kafka.sasl]\nuser = \"tollbook\"\npassword_file = \"kafka-password\"\n";
    std::fs::write(made.config(), format!("{config}{kafka}")).unwrap();
    note(run(&made, &["audit"]));

    let log = std::fs::read_to_string(made.path().join("log")).unwrap();
    // No library that is compiled in has anything to say at `trace` now; one that begins to is heard.
    assert!(log.contains("DEBUG"), "the house did not tell all it can");
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let secrets = [
        ("a phone's password", "change-me-huber"),
        ("a phone's digest", &digest_of_phone()),
        ("a password of the console", CONSOLE),
        ("a mistyped password", WRONG),
        ("a token", &token),
        ("the mail server's password", SMTP),
        ("the mail key", &dkim),
        ("a webhook's secret", WEBHOOK),
        ("a webhook's secret, without its mark", WEBHOOK.trim_start_matches("whsec_")),
        ("the database's password", STORE),
        ("the brokers' password", KAFKA),
    ];
    for (what, secret) in secrets {
        for (place, text) in [("the log", &log), ("what commands print", &shown)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{what} is in {place}: {}", line.unwrap_or_default());
        }
    }
}
