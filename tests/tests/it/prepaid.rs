//! Prepaid, with real phones: ten calls at once share one balance, are cut when it is used up, and leave exactly nothing.

use std::path::Path;
use std::process::Command;

use crate::rig::{Installation, Running, eventually, free_address, have, printed, scenario, write_file};
use crate::sipp_call::{calls, gateway};

const WORLD: &str = r#"
tariffs = ["tariffs/prepaid"]

[[accounts]]
handle = "budget"
profile = "prepaid"

[[subscribers]]
account = "budget"
username = "pia"
domain = "sip.meridian.example"
password = "change-me-pia"
numbers = ["43720555001"]
cli = "43720555001"
"#;

/// A cent a second.
const FEES: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,\
    onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval\n\
    ,49,out,Germany,fixed,0.60,1,0.60,1,0.60,1,0.60,1\n";

const PROFILE: &str = "handle = \"prepaid\"\nname = \"Prepaid\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\nprepaid = true\n";

/// An installation with a prepaid account, granting two seconds at a time.
fn installation() -> Installation {
    let made = Installation::new();
    add_prepaid_account(&made);
    let config = std::fs::read_to_string(made.config()).unwrap();
    let more = "[switch.credit]\nno_credit_code = 403\n[charging]\nquantum_seconds = 2\n";
    std::fs::write(made.config(), format!("{config}{more}")).unwrap();
    made
}

/// The account `budget`, which has nothing yet.
pub(crate) fn add_prepaid_account(made: &Installation) {
    let tariff = made.home().join("tariffs/prepaid");
    std::fs::create_dir_all(&tariff).unwrap();
    write_file(&tariff, "profile.toml", PROFILE);
    write_file(&tariff, "fees.csv", FEES);
    let world = write_file(&made.home(), "prepaid.toml", WORLD);
    made.run_command(&["import", world.to_str().unwrap()]);
}

/// Up, and aware of all balances.
fn start(made: &Installation) -> Running {
    let log = || std::fs::read_to_string(made.path().join("log")).unwrap_or_default();
    let before = log().matches("balances are known").count();
    let house = made.start();
    eventually("balances are known", || log().matches("balances are known").count() > before);
    house
}

fn has_balance(made: &Installation, balance: &str) -> bool {
    made.run_command(&["balance", "budget"]).lines().any(|line| line == format!("balance        {balance}"))
}

/// `n_calls` calls at once that nobody but the switch ends; how long each was up, in milliseconds.
fn held(made: &Installation, dir: &Path, n_calls: u32) -> Vec<u64> {
    let fields = write_file(
        made.path(),
        "pia.csv",
        "SEQUENTIAL\npia;4930555123;[authentication username=pia password=change-me-pia]\n",
    );
    std::fs::create_dir_all(dir).unwrap();
    let local = free_address("127.0.0.1");
    printed(
        Command::new("sipp")
            .current_dir(dir)
            .arg(made.sip.to_string())
            .arg("-sf")
            .arg(scenario("held_call.xml"))
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
            .args([
                "-m",
                &n_calls.to_string(),
                "-r",
                "20",
                "-l",
                &n_calls.to_string(),
                "-trace_rtt",
                "-rtt_freq",
                "1",
            ]),
    );
    let file = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let file =
        file.into_iter().find(|path| path.to_string_lossy().contains("rtt")).expect("sipp wrote its times");
    let text = std::fs::read_to_string(file).unwrap();
    // Date_ms;response_time_ms;rtd_name
    let times =
        text.lines().filter(|line| !line.starts_with("Date")).map(|line| line.split(';').nth(1).unwrap());
    times
        .map(|ms| {
            ms.trim().split('.').next().unwrap().parse().unwrap_or_else(|why| panic!("{ms:?}: {why}\n{text}"))
        })
        .collect()
}

#[test]
fn ten_calls_at_once_are_cut_at_the_second_and_leave_exactly_nothing() {
    if !have("sipp") {
        return;
    }
    let made = installation();
    let house = start(&made);
    let _gateways = made.carriers.map(gateway);
    // Nothing is there yet.
    calls(&made, "refused_call.xml", "pia", "change-me-pia", "4930555123", 1, 0);
    let shown = made.run_command(&["topup", "budget", "1.05", "--token", "first"]);
    assert!(shown.contains("is topped up with 1.05 EUR"), "{shown}");
    assert!(made.run_command(&["topup", "budget", "1.05", "--token", "first"]).contains("nothing was done"));
    eventually("the money is there", || has_balance(&made, "1.05"));

    let mut up_ms = held(&made, &made.path().join("first"), 10);
    up_ms.sort_unstable();
    assert_eq!(up_ms.len(), 10, "{up_ms:?}");
    eventually("every call is paid", || has_balance(&made, "0"));
    let cut_off = "from calls where cause = 'no_credit' and status = 'ok'";
    eventually("every call is in the lake", || made.sql(&format!("select count(*) {cut_off}")) == ["10"]);
    let mut seconds: Vec<f64> = made
        .sql(&format!("select duration_seconds {cut_off}"))
        .iter()
        .map(|seconds| seconds.parse().unwrap())
        .collect();
    seconds.sort_by(f64::total_cmp);
    // 105 seconds in all: whole ones, as they were granted.
    assert_eq!(seconds.len(), 10, "{seconds:?}");
    let total: f64 = seconds.iter().sum();
    assert!((total - 105.0).abs() < 1e-9, "{seconds:?}");
    let late_ms: Vec<f64> =
        seconds.iter().zip(&up_ms).map(|(seconds, up_ms)| *up_ms as f64 - seconds * 1_000.0).collect();
    // Beside other tests, now and then sipp waits for its turn; alone, none is late.
    let late_max = if std::env::var_os("RUN_SLOW_TESTS").is_some() { 0 } else { 2 };
    let n_late = late_ms.iter().filter(|ms| !(-50.0..200.0).contains(*ms)).count();
    assert!(n_late <= late_max, "granted {seconds:?} s, up for {up_ms:?} ms");
    assert!(
        late_ms.iter().all(|ms| (-200.0..1_000.0).contains(ms)),
        "granted {seconds:?} s, up for {up_ms:?} ms"
    );
    // Nothing is left for another.
    calls(&made, "refused_call.xml", "pia", "change-me-pia", "4930555123", 1, 0);
    eventually("the refusal has its record", || {
        made.sql("select count(*) from calls where cause = 'no_credit' and code = 403") == ["2"]
    });
    let codes = made.run_command(&["voucher", "0.50", "--account", "budget"]);
    let code = codes.lines().next().unwrap().to_owned();
    made.run_command(&["topup", "budget", "--voucher", &code]);
    eventually("the voucher is there", || has_balance(&made, "0.5"));
    let trail = made.run_command(&["topup", "budget"]);
    assert!(trail.contains("voucher") && trail.contains("known") && trail.contains("done"), "{trail}");
    let statement = made.run_command(&["statement", "budget", "--from", "2026-01-01", "--to", "2099-12-31"]);
    assert!(statement.lines().last().unwrap().contains(",voucher,,0.5,0,0,0,0.5,0,0,0,EUR"), "{statement}");
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}

#[test]
fn reservation_does_not_outlive_a_killed_switch() {
    if !have("sipp") {
        return;
    }
    let made = installation();
    let house = start(&made);
    let _gateways = made.carriers.map(gateway);
    made.run_command(&["topup", "budget", "0.30"]);
    eventually("the money is there", || has_balance(&made, "0.3"));
    let dir = made.path().join("killed");
    std::fs::create_dir_all(&dir).unwrap();
    let fields = write_file(
        made.path(),
        "pia.csv",
        "SEQUENTIAL\npia;4930555123;[authentication username=pia password=change-me-pia]\n",
    );
    let local = free_address("127.0.0.1");
    let up = Running::spawn(
        Command::new("sipp")
            .current_dir(&dir)
            .arg(made.sip.to_string())
            .arg("-sf")
            .arg(scenario("held_call.xml"))
            .arg("-inf")
            .arg(fields)
            .args(["-i", "127.0.0.1", "-p", &local.port().to_string(), "-m", "1"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null()),
    );
    std::thread::sleep(std::time::Duration::from_secs(3));
    house.kill();
    up.kill();
    // What it was up for is paid; all of the rest is there for the next.
    let house = start(&made);
    eventually("the call has its record", || {
        made.sql("select count(*) from calls where cause = 'switch_restart'") == ["1"]
    });
    let up_ms = held(&made, &made.path().join("again"), 1);
    eventually("all is used up", || has_balance(&made, "0"));
    assert!(up_ms[0] >= 1_000, "{up_ms:?}");
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}
