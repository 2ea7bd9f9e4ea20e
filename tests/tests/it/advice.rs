//! Advice of charge, with real phones: what the last message of a call says it has cost is what the ledger has for it, and nobody else is told.

use std::path::Path;
use std::process::Command;

use crate::rig::{Installation, eventually, free_address, have, printed, scenario, write_file};
use crate::sipp_call::gateway;

/// Pia is told what her calls cost, Paul is not; they share an account.
const WORLD: &str = r#"
tariffs = ["tariffs/told"]

[[accounts]]
handle = "told"
profile = "told"

[[subscribers]]
account = "told"
username = "pia"
domain = "sip.meridian.example"
password = "change-me-pia"
numbers = ["43720555001"]
cli = "43720555001"
[subscribers.calling]
advice_of_charge = true

[[subscribers]]
account = "told"
username = "paul"
domain = "sip.meridian.example"
password = "change-me-paul"
numbers = ["43720555002"]
cli = "43720555002"
"#;

/// Two and a half cents a second, so that the header needs thousandths.
const FEES: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,\
    onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval\n\
    ,49,out,Germany,fixed,1.50,1,1.50,1,1.50,1,1.50,1\n";

const PROFILE: &str =
    "handle = \"told\"\nname = \"Told\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\nprepaid = true\n";

/// `n_calls` of a user, each held for `hold_ms` if the scenario hangs up. Returns all messages of them.
fn messages(
    made: &Installation,
    dir: &Path,
    scenario_name: &str,
    user: &str,
    n_calls: u32,
    hold_ms: u32,
) -> String {
    std::fs::create_dir_all(dir).unwrap();
    let line =
        format!("SEQUENTIAL\n{user};4930555123;[authentication username={user} password=change-me-{user}]\n");
    let fields = write_file(dir, "fields.csv", &line);
    let local = free_address("127.0.0.1");
    printed(
        Command::new("sipp")
            .current_dir(dir)
            .arg(made.sip.to_string())
            .arg("-sf")
            .arg(scenario(scenario_name))
            .arg("-inf")
            .arg(fields)
            .args(["-i", "127.0.0.1", "-p", &local.port().to_string(), "-nostdin", "-timeout", "50"])
            .args(["-timeout_error", "-trace_msg", "-message_file", "messages", "-r", "5", "-l", "5"])
            .args(["-m", &n_calls.to_string(), "-d", &hold_ms.to_string()]),
    );
    std::fs::read_to_string(dir.join("messages")).unwrap()
}

/// The prices told, in thousandths, with the kind of message.
fn told(messages: &str) -> Vec<(bool, i64)> {
    let mut is_bye = false;
    let mut told = Vec::new();
    for line in messages.lines().map(str::trim_end) {
        if line.starts_with("BYE ") || line.starts_with("SIP/2.0 ") {
            is_bye = line.starts_with("BYE ");
        }
        let Some(value) = line.strip_prefix("AOC: ") else { continue };
        let words: Vec<&str> = value.split(';').collect();
        assert_eq!(
            words[..4],
            ["charging", "state=completed", "charging-info=currency", "currency=EUR"],
            "{line}"
        );
        let amount: i64 = words[4].strip_prefix("currency-amount=").unwrap().parse().unwrap();
        let factor = match words[5] {
            "multiplier=0.01" => 10,
            "multiplier=0.001" => 1,
            other => panic!("{other}"),
        };
        told.push((is_bye, amount * factor));
    }
    told
}

/// What was taken from the balance for each call, in thousandths.
fn settled(made: &Installation) -> Vec<i64> {
    let rows = made
        .sql("select cast(amount * 1000 as bigint) from postings where reason = 'settlement' order by at");
    let mut amounts: Vec<i64> = rows.iter().map(|row| row.parse().unwrap()).collect();
    amounts.sort_unstable();
    amounts
}

#[test]
fn caller_is_told_what_the_ledger_says() {
    if !have("sipp") {
        return;
    }
    let made = Installation::new();
    let tariff = made.home().join("tariffs/told");
    std::fs::create_dir_all(&tariff).unwrap();
    write_file(&tariff, "profile.toml", PROFILE);
    write_file(&tariff, "fees.csv", FEES);
    let world = write_file(&made.home(), "told.toml", WORLD);
    made.run_command(&["import", world.to_str().unwrap()]);
    let config = std::fs::read_to_string(made.config()).unwrap();
    // Beside other tests the machine is slow; the default is for one that is not.
    let more = "[switch.credit]\nadvice_ms = 490\n[charging]\nquantum_seconds = 2\n";
    std::fs::write(made.config(), format!("{config}{more}")).unwrap();
    let house = made.start();
    let log = || std::fs::read_to_string(made.path().join("log")).unwrap_or_default();
    eventually("balances are known", || log().contains("balances are known"));
    let _gateways = made.carriers.map(gateway);
    made.run_command(&["topup", "told", "0.70"]);
    eventually("the money is there", || {
        made.run_command(&["balance", "told"]).contains("balance        0.7")
    });

    // Who hangs up is told in the 200.
    let answers = told(&messages(&made, &made.path().join("answers"), "customer_call.xml", "pia", 3, 1_200));
    eventually("three calls are paid", || settled(&made).len() == 3);
    let mut expected: Vec<i64> = answers.iter().map(|(_, amount)| *amount).collect();
    expected.sort_unstable();
    assert_eq!((answers.len(), answers.iter().any(|(is_bye, _)| *is_bye)), (3, false), "{answers:?}");
    assert_eq!(expected, settled(&made));
    // One that is not set so is told nothing.
    let nothing = messages(&made, &made.path().join("nothing"), "customer_call.xml", "paul", 1, 1_200);
    assert!(nothing.contains("BYE") && !nothing.contains("AOC"), "{nothing}");
    eventually("the fourth is paid", || settled(&made).len() == 4);
    // The balance pays for the rest of 0.70 at most, then the call is cut: told in the BYE.
    let before: i64 = settled(&made).iter().sum();
    let byes = told(&messages(&made, &made.path().join("byes"), "held_call.xml", "pia", 1, 0));
    assert!(matches!(byes[..], [(true, 1..)]), "{byes:?}");
    eventually("the fifth is paid", || settled(&made).len() == 5);
    assert_eq!(settled(&made).iter().sum::<i64>() - before, byes[0].1);
    // Not before: whole seconds of 25 thousandths use it up to the last.
    assert_eq!(settled(&made).iter().sum::<i64>(), 700, "the call was cut before its money was used");
    let left = made.run_command(&["balance", "told"]);
    assert!(left.lines().any(|line| line.split_whitespace().eq(["balance", "0"])), "{left}");
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}
