//! Balances in the running system, with real phones: packages that change prices and lock, free time before money, prices by usage, the mail
//! that little is left. What came of it is asked for as its owner would.

use std::process::Command;
use std::time::Duration;

use crate::rig::{Installation, Running, eventually, free_address, have, printed, scenario, write_file};
use crate::sipp_call::{calls, gateway};

const WORLD: &str = r#"
tariffs = ["tariffs/cent", "tariffs/dear", "tariffs/minutes", "tariffs/tiers"]

[[packages]]
package = { handle = "guarded", start = "create_tz", underrun_lock = { below = "0.10", then = "outgoing" }, topup_lock = "none" }
initial_profiles = [{ profile = "cent" }]
underrun_profiles = { below = "0.30", then = [{ profile = "dear" }] }
topup_profiles = [{ profile = "cent" }]

[[packages]]
package = { handle = "fresh", start = "create_tz" }

[[accounts]]
handle = "family"

[[accounts]]
handle = "minutes"
profile = "minutes"

[[accounts]]
handle = "tiers"
profile = "tiers"

[[contracts]]
account = "family"
package = "guarded"
low_balance = { below = "0.25", notify = ["owner@family.example"] }

[[contracts]]
account = "minutes"
package = "fresh"
"#;

/// Seconds of a cent, seconds of two, a cent after four free seconds, and a price by usage.
const TARIFFS: [(&str, &str, &str, &str); 4] = [
    ("cent", "0.60", "0", ""),
    ("dear", "1.20", "0", ""),
    ("minutes", "0.60", "1", "interval_free_seconds = 4\n"),
    (
        "tiers",
        "9",
        "0",
        "interval_price = { model = \"tiered\", steps = [{ from_seconds = 0, per_minute = \"0.60\" }, { from_seconds = 3, per_minute = \"0.30\" }] }\n",
    ),
];

const COLUMNS: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,\
    onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval,\
    onpeak_use_free_time\n";

const SUBSCRIBERS: [(&str, &str); 4] =
    [("family", "gina"), ("family", "gabe"), ("minutes", "mia"), ("tiers", "tom")];

fn installation() -> Installation {
    let made = Installation::new();
    for (name, rate, free, more) in TARIFFS {
        let dir = made.home().join("tariffs").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let profile = format!(
            "handle = \"{name}\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\nprepaid = true\n{more}"
        );
        write_file(&dir, "profile.toml", &profile);
        let fees = format!("{COLUMNS},49,out,Germany,fixed,{rate},1,{rate},1,{rate},1,{rate},1,{free}\n");
        write_file(&dir, "fees.csv", &fees);
    }
    let mut world = WORLD.to_owned();
    for (n, (account, name)) in SUBSCRIBERS.into_iter().enumerate() {
        world.push_str(&format!(
            "[[subscribers]]\naccount = \"{account}\"\nusername = \"{name}\"\ndomain = \"sip.meridian.example\"\n\
             password = \"change-me-{name}\"\nnumbers = [\"4372055500{n}\"]\ncli = \"4372055500{n}\"\n"
        ));
    }
    let world = write_file(&made.home(), "balances.toml", &world);
    made.run_command(&["import", world.to_str().unwrap()]);
    made.configure("[switch.credit]\nno_credit_code = 403\n[charging]\nquantum_seconds = 2\n");
    made
}

fn start(made: &Installation) -> Running {
    let house = made.start();
    let log = || std::fs::read_to_string(made.path().join("log")).unwrap_or_default();
    eventually("balances are known", || log().contains("balances are known"));
    house
}

fn shows(made: &Installation, account: &str, line: &str) -> bool {
    made.run_command(&["balance", account]).lines().any(|shown| shown == line)
}

fn becomes(made: &Installation, account: &str, balance: &str) {
    let line = format!("balance        {balance}");
    eventually(&format!("{account} has {balance}"), || shows(made, account, &line));
}

fn call(made: &Installation, name: &str, hold_ms: u32) {
    calls(made, "customer_call.xml", name, &format!("change-me-{name}"), "4930555123", 1, hold_ms);
}

/// A call that nobody but the switch ends.
fn held(made: &Installation, name: &str) {
    let dir = made.path().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let fields = write_file(
        &dir,
        "fields.csv",
        &format!(
            "SEQUENTIAL\n{name};4930555123;[authentication username={name} password=change-me-{name}]\n"
        ),
    );
    let local = free_address("127.0.0.1").port().to_string();
    let mut sipp = Command::new("sipp");
    sipp.current_dir(&dir).arg(made.sip.to_string()).arg("-sf").arg(scenario("held_call.xml"));
    sipp.arg("-inf").arg(fields).args(["-i", "127.0.0.1", "-p", &local, "-nostdin", "-timeout", "50"]);
    printed(sipp.args(["-timeout_error", "-m", "1"]));
}

/// A snapshot of provisioning data is looked for twice a second.
fn until_everybody_knows() {
    std::thread::sleep(Duration::from_secs(3));
}

#[test]
fn family_shares_a_balance_whose_package_makes_calls_dear_locks_and_forgives() {
    if !have("sipp") {
        return;
    }
    let made = installation();
    let house = start(&made);
    let _gateways = made.carriers.map(gateway);
    made.run_command(&["topup", "family", "0.35"]);
    becomes(&made, "family", "0.35");
    call(&made, "gina", 5_500);
    becomes(&made, "family", "0.29");
    // Below 0.30: seconds cost two cents now, for everybody of the family.
    until_everybody_knows();
    call(&made, "gabe", 2_500);
    becomes(&made, "family", "0.23");
    let outbox = made.home().join("data/outbox");
    let mails = || -> Vec<String> {
        let files = std::fs::read_dir(&outbox).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    };
    eventually("its owner is told that little is left", || {
        mails().iter().any(|mail| mail.contains("owner@family.example") && mail.contains("family is low"))
    });
    call(&made, "gina", 6_500);
    becomes(&made, "family", "0.09");
    // Below 0.10: locked.
    until_everybody_knows();
    calls(&made, "refused_call.xml", "gabe", "change-me-gabe", "4930555123", 1, 0);
    eventually("the lock is the reason", || {
        made.sql("select count(*) from calls where source_user = 'gabe' and cause = 'locked_out'") == ["1"]
    });
    // Money lifts the lock and the price.
    made.run_command(&["topup", "family", "1"]);
    becomes(&made, "family", "1.09");
    until_everybody_knows();
    call(&made, "gabe", 2_500);
    becomes(&made, "family", "1.06");
    let pdf = made.path().join("family.pdf");
    let from = ["--from", "2026-01-01", "--to", "2099-12-31"];
    let shown =
        made.run_command(&[&["balance", "family", "--statement", pdf.to_str().unwrap()][..], &from].concat());
    assert!(shown.contains("movements"), "{shown}");
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF-"));
    if have("pdftotext") {
        let pages = printed(Command::new("pdftotext").args(["-layout"]).arg(&pdf).arg("-"));
        // The first top-up, and what is left after the last call.
        for amount in ["0.35", "1.06"] {
            assert!(pages.contains(amount), "{amount} is not in:\n{pages}");
        }
    }
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}

#[test]
fn free_time_is_used_before_money_and_usage_before_the_next_step() {
    if !have("sipp") {
        return;
    }
    let made = installation();
    let house = start(&made);
    let _gateways = made.carriers.map(gateway);
    made.run_command(&["topup", "minutes", "0.03"]);
    made.run_command(&["topup", "tiers", "0.045"]);
    becomes(&made, "minutes", "0.03");
    becomes(&made, "tiers", "0.045");
    assert!(shows(&made, "minutes", "free time      4 s given, 0 s used, 4 s left"));
    // Four free seconds and three of a cent; three of a cent and three of half a cent.
    held(&made, "mia");
    held(&made, "tom");
    becomes(&made, "minutes", "0");
    becomes(&made, "tiers", "0");
    assert!(shows(&made, "minutes", "free time      4 s given, 4 s used, 0 s left"));
    let seconds = "select duration_seconds from calls where cause = 'no_credit' order by duration_seconds";
    eventually("both are in the lake", || made.sql(seconds).len() == 2);
    let seconds: Vec<f64> = made.sql(seconds).iter().map(|seconds| seconds.parse().unwrap()).collect();
    assert_eq!(seconds, [6.0, 7.0]);
    // Simulated by the tariff that priced it, the call would cost its free seconds too: nobody is to think that he would pay more.
    let minutes = made.home().join("tariffs/minutes");
    let simulated =
        made.run_command(&["simulate", "--tariff", minutes.to_str().unwrap(), "--profile", "minutes"]);
    assert!(simulated.contains("1 calls used free time of a package and are left out"), "{simulated}");
    assert!(simulated.contains("0 calls of 0 accounts"), "{simulated}");
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}
