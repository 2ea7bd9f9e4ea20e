//! Prepaid, with real phones: ten calls at once share one balance, are cut when it is used up, and leave exactly nothing.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::rig::{Installation, Running, eventually, free_address, have, printed, scenario, write_file};
use crate::sipp_call::{calls, gateway, gateway_with};

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

/// A cent a second; what an attempt costs that nobody answers follows.
const FEES: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,\
    onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval,failed_attempt_fee\n\
    ,49,out,Germany,fixed,0.60,1,0.60,1,0.60,1,0.60,1,";

const PROFILE: &str = "handle = \"prepaid\"\nname = \"Prepaid\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\nprepaid = true\n";

/// An installation with a prepaid account, granting two seconds at a time; an attempt costs it so much.
fn installation(attempt: &str) -> Installation {
    let made = Installation::new();
    add_prepaid_account(&made, attempt);
    let config = std::fs::read_to_string(made.config()).unwrap();
    let more = "[switch.credit]\nno_credit_code = 403\n[charging]\nquantum_seconds = 2\n";
    std::fs::write(made.config(), format!("{config}{more}")).unwrap();
    made
}

/// The account `budget`, which has nothing yet; an attempt costs it so much.
pub(crate) fn add_prepaid_account(made: &Installation, attempt: &str) {
    let tariff = made.home().join("tariffs/prepaid");
    std::fs::create_dir_all(&tariff).unwrap();
    write_file(&tariff, "profile.toml", PROFILE);
    write_file(&tariff, "fees.csv", &format!("{FEES}{attempt}\n"));
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

/// Of what `tollbook balance` shows, the calls, by column.
fn rows_of_calls(shown: &str) -> Vec<Vec<&str>> {
    let rows = shown.lines().skip_while(|line| !line.trim_start().starts_with("call ")).skip(1);
    rows.take_while(|line| !line.is_empty()).map(|line| line.split_whitespace().collect()).collect()
}

fn instant() -> String {
    printed(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%6NZ"])).trim().to_owned()
}

const DAY_MS: u64 = 86_400_000;

/// Of `2026-11-26 22:12:27.582371`, milliseconds since midnight.
fn ms_of_day(at: &str) -> u64 {
    let clock = at.trim().split(' ').nth(1).unwrap_or_else(|| panic!("{at:?} is no time"));
    let numbers: Vec<u64> = clock.split([':', '.']).map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds, micros] = numbers[..] else { panic!("{at:?} is no time") };
    ((hours * 60 + minutes) * 60 + seconds) * 1_000 + micros / 1_000
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

/// The calls that a gateway was sent, by what it wrote down: how long each was up by its clock, in milliseconds, and the Reason of the BYE.
fn ended(messages: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(messages).unwrap_or_default();
    let mut answered: HashMap<String, u64> = HashMap::new();
    let mut ended: HashMap<String, (u64, String)> = HashMap::new();
    for entry in text.split("-----------------------------------------------").skip(1) {
        let mut lines = entry.lines().map(str::trim_end);
        let at = ms_of_day(lines.next().unwrap());
        let lines: Vec<&str> = lines.collect();
        let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
        let call = value("Call-ID:").to_owned();
        let begins = |word: &str| lines.iter().any(|line| line.starts_with(word));
        if begins("SIP/2.0 200") && value("CSeq:").ends_with("INVITE") {
            answered.entry(call).or_insert(at);
        } else if begins("BYE ")
            && let Some(up) = answered.get(&call)
        {
            let ms = (at + DAY_MS - up) % DAY_MS;
            ended.entry(call).or_insert((ms, value("Reason:").to_owned()));
        }
    }
    ended.into_values().collect()
}

#[test]
fn ten_calls_at_once_are_cut_at_the_second_and_leave_exactly_nothing() {
    if !have("sipp") {
        return;
    }
    let made = installation("");
    let house = start(&made);
    let messages = [0, 1].map(|n| made.path().join(format!("gateway-{n}")));
    let _gateways = [0, 1].map(|n| {
        let file = messages[n].to_str().unwrap();
        gateway_with(made.carriers[n], &["-sn", "uas", "-trace_msg", "-message_file", file])
    });
    // Nothing is there yet.
    calls(&made, "refused_call.xml", "pia", "change-me-pia", "4930555123", 1, 0);
    let shown = made.run_command(&["topup", "budget", "1.05", "--token", "first"]);
    assert!(shown.contains("is topped up with 1.05 EUR"), "{shown}");
    assert!(made.run_command(&["topup", "budget", "1.05", "--token", "first"]).contains("nothing was done"));
    eventually("the money is there", || has_balance(&made, "1.05"));
    let before_the_calls = instant();

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
    // Both sides are told why.
    let ended: Vec<(u64, String)> = messages.iter().flat_map(|file| ended(file)).collect();
    assert_eq!(ended.len(), 10, "{ended:?}");
    assert!(ended.iter().all(|(_, reason)| reason == r#"Q.850;cause=31;text="no credit""#), "{ended:?}");
    let mut far_ms: Vec<u64> = ended.iter().map(|(ms, _)| *ms).collect();
    far_ms.sort_unstable();
    let late = |up_ms: &[u64]| -> Vec<f64> {
        seconds.iter().zip(up_ms).map(|(seconds, up_ms)| *up_ms as f64 - seconds * 1_000.0).collect()
    };
    let n_late = |late: &[f64]| late.iter().filter(|ms| !(-50.0..200.0).contains(*ms)).count();
    let (near, far) = (late(&up_ms), late(&far_ms));
    // Each side by its own clock. Beside other tests, now and then a sipp waits for its turn, and the other tells; alone, neither is late.
    let is_alone = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let counts = [n_late(&near), n_late(&far)];
    assert!(
        counts.iter().min() <= Some(&if is_alone { 0 } else { 2 }),
        "granted {seconds:?} s; {near:?}, {far:?}"
    );
    assert!(!is_alone || counts == [0, 0], "granted {seconds:?} s; {near:?}, {far:?}");
    assert!(
        near.iter().chain(&far).all(|ms| (-200.0..1_000.0).contains(ms)),
        "granted {seconds:?} s; {near:?}, {far:?}"
    );
    // Now, and as it was: what there is, and which calls have used it.
    let now = made.run_command(&["balance", "budget"]);
    assert_eq!(rows_of_calls(&now).len(), 10, "{now}");
    let used: f64 = rows_of_calls(&now).iter().map(|row| row[row.len() - 2].parse::<f64>().unwrap()).sum();
    assert!((used - 1.05).abs() < 1e-9, "{now}");
    let then = made.run_command(&["balance", "budget", "--at", &before_the_calls]);
    assert!(then.contains("balance        1.05\n") && then.contains("no calls in it"), "{then}");
    assert!(then.contains("interval       ") && then.contains("own money      1.05\n"), "{then}");
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
fn attempt_that_no_carrier_takes_is_paid_from_the_balance() {
    if !have("sipp") {
        return;
    }
    let made = installation("0.05");
    let house = start(&made);
    let refusing = scenario("refusing_gateway.xml");
    let _gateways = made.carriers.map(|at| gateway_with(at, &["-sf", refusing.to_str().unwrap()]));
    made.run_command(&["topup", "budget", "0.12"]);
    eventually("the money is there", || has_balance(&made, "0.12"));
    for left in ["0.07", "0.02"] {
        calls(&made, "refused_call.xml", "pia", "change-me-pia", "4930555123", 1, 0);
        eventually("the attempt is paid", || has_balance(&made, left));
    }
    let shown = made.run_command(&["balance", "budget"]);
    assert!(shown.contains("own money      0.02\n") && shown.contains("owed           0\n"), "{shown}");
    assert_eq!(rows_of_calls(&shown).len(), 2, "{shown}");
    // Two cents pay two seconds and no attempt: it does not go out, and costs nothing.
    calls(&made, "refused_call.xml", "pia", "change-me-pia", "4930555123", 1, 0);
    let refused = "select count(*) from calls where cause = 'no_credit'";
    eventually("the refusal has its record", || made.sql(refused) == ["1"]);
    assert!(has_balance(&made, "0.02"));
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}

#[test]
fn reservation_does_not_outlive_a_killed_switch() {
    if !have("sipp") {
        return;
    }
    let made = installation("");
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
