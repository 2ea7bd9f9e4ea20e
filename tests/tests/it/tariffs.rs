//! Tariffs in a running installation: ported numbers, networks, exchange rates, calls cut at peak borders, and calls that no fee covers.

use std::path::Path;
use std::process::Command;

use crate::rig::{Installation, eventually, printed, write_file};

/// Records of another system, by the address they came from.
const FORMAT: &str = r#"
kind = "csv"
timezone = "Europe/Vienna"
[fields]
key = { from = "id" }
source = { from = "src" }
destination = { from = "dst" }
answer = { from = "answer", time = "%Y-%m-%d %H:%M:%S" }
duration = { from = "seconds" }
ip = { from = "ip" }
trunk_out = { value = "pelagic-1" }
"#;

/// One more customer: retail prices of its own, in dollars for calls from its office.
const WORLD: &str = r#"
tariffs = ["cut", "dollar"]

[[networks]]
name = "office"
blocks = ["198.51.100.0/24"]

[[accounts]]
handle = "labor"
tenant = "meridian"
profile = "cut"
profiles = [{ profile = "dollar", network = "office" }]

[[subscribers]]
account = "labor"
username = "labor"
domain = "sip.meridian.example"
password = "change-me-labor"
numbers = ["431900600"]
cli = "431900600"

[[exchange_rates]]
from = "USD"
to = "EUR"
rate = "0.9"
valid_from = "2026-01-01T00:00:00Z"

[[exchange_rates]]
from = "USD"
to = "EUR"
rate = "0.8"
valid_from = "2026-11-03T12:00:00Z"
"#;

const HEADER: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,\
    onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval\n";

fn tariff(dir: &Path, handle: &str, settings: &str, fees: &str) {
    let dir = dir.join(handle);
    std::fs::create_dir(&dir).unwrap();
    let profile = format!("handle = \"{handle}\"\ntimezone = \"Europe/Vienna\"\n{settings}");
    write_file(&dir, "profile.toml", &profile);
    write_file(&dir, "fees.csv", &format!("{HEADER}{fees}"));
    write_file(
        &dir,
        "offpeak.toml",
        "[[weekday]]\nday = \"tue\"\nstart = \"18:00:00\"\nend = \"23:59:59\"\n",
    );
}

/// The values of the operator's records of a call, by their start.
fn records_of(home: &Path, call: &str) -> Vec<Vec<String>> {
    let files =
        printed(Command::new("find").arg(home).args(["-path", "*/exports/system/*", "-name", "*.cdr"]));
    let of_call = format!("','{call}','");
    let mut records = Vec::new();
    for file in files.lines() {
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.lines().filter(|line| line.contains(&of_call));
        records.extend(lines.map(|line| line.split("','").map(str::to_owned).collect::<Vec<_>>()));
    }
    records.sort_by(|one, other| one[START].cmp(&other[START]));
    records
}

/// Columns of the reference's file, counted from 0.
const START: usize = 30;
const DURATION: usize = 31;
const CUSTOMER_COST: usize = 36;

#[test]
fn calls_are_priced_by_who_serves_the_number_where_they_come_from_and_what_a_dollar_is() {
    let made = Installation::new();
    made.configure("[exports]\nevery = \"1s\"\nfragments = true\n[alarms]\nevery = \"1s\"\nnotify = [\"noc@meridian.example\"]\n");
    let cut = "currency = \"EUR\"\nsplit_at_peak = \"reference_fragments\"\n";
    let of_cut = ",49,out,Germany,,0.06,60,0.06,60,0.03,60,0.03,60\n,lnp:7,out,Carrier 7,,0.60,60,0.60,60,0.60,60,0.60,60\n";
    tariff(made.path(), "cut", cut, of_cut);
    tariff(
        made.path(),
        "dollar",
        "currency = \"USD\"\n",
        ",49,out,Germany,,0.10,60,0.10,60,0.10,60,0.10,60\n",
    );
    let world = write_file(made.path(), "labor.toml", WORLD);
    made.run_command(&["import", world.to_str().unwrap()]);
    let ported = write_file(made.path(), "ported.csv", "number,carrier\n4930555123,7\n");
    made.run_command(&["import", "ported", ported.to_str().unwrap()]);

    let house = made.start();
    let format = write_file(made.path(), "pbx.toml", FORMAT);
    let calls = "id,src,dst,answer,seconds,ip\n\
        plain,431900600,4930555124,2026-11-03 10:00:00,60,192.0.2.1\n\
        ported,431900600,4930555123,2026-11-03 10:00:00,60,192.0.2.1\n\
        office,431900600,4930555124,2026-11-03 10:00:00,60,198.51.100.7\n\
        later,431900600,4930555124,2026-11-03 14:00:00,60,198.51.100.7\n\
        border,431900600,4930555124,2026-11-03 17:59:30,100,192.0.2.1\n\
        nowhere,431900600,4320555124,2026-11-03 10:00:00,60,192.0.2.1\n";
    let file = write_file(made.path(), "calls.csv", calls);
    let (format, file) = (format.to_str().unwrap(), file.to_str().unwrap());
    made.run_command(&["import", "cdrs", "--first-owners", "--source", "pbx", "--format", format, file]);

    eventually("five calls are priced", || made.sql("select count(*) from calls") == ["5"]);
    let prices = made.sql(
        "select foreign_key, customer_cost, customer_currency, customer_zone from calls order by foreign_key",
    );
    assert_eq!(
        prices,
        [
            // A minute on-peak, and 40 s that begin off-peak.
            "pbx/border,0.090000,EUR,Germany",
            // 0.10 USD at 0.8, the rate since noon in London.
            "pbx/later,0.080000,EUR,Germany",
            "pbx/office,0.090000,EUR,Germany",
            "pbx/plain,0.060000,EUR,Germany",
            "pbx/ported,0.600000,EUR,Carrier 7",
        ]
    );

    let id = made.sql("select cdr_id from calls where foreign_key = 'pbx/border'").remove(0);
    let shown = made.run_command(&["explain", &id]);
    assert!(
        shown.contains("fragment 1 from 2026-11-03 17:59:30 CET, 60 s, 60 s billed: 0.06 EUR"),
        "{shown}"
    );
    assert!(
        shown.contains("fragment 2 from 2026-11-03 18:00:30 CET, 40 s, 60 s billed: 0.03 EUR"),
        "{shown}"
    );
    let mut records = Vec::new();
    eventually("the call that was cut is two records of the operator's file", || {
        made.run_command(&["export", "run"]);
        records = records_of(&made.home(), "border");
        records.len() == 2
    });
    // What the customer pays is in cents.
    let shown: Vec<_> = records
        .iter()
        .map(|record| [START, DURATION, CUSTOMER_COST].map(|column| record[column].as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ["2026-11-03 17:59:30.000", "60.000", "6.000000"],
            ["2026-11-03 18:00:30.000", "40.000", "3.000000"],
        ]
    );

    // The call that no fee covers waits, and somebody is told.
    let waiting = made.run_command(&["suspense"]);
    assert!(waiting.contains("RAT001 no_rate") && waiting.contains("no fee for 4320"), "{waiting}");
    let outbox = made.home().join("data/outbox");
    eventually("somebody is told by mail", || {
        std::fs::read_dir(&outbox).into_iter().flatten().flatten().any(|mail| {
            std::fs::read_to_string(mail.path())
                .is_ok_and(|text| text.contains("no fee covers calls to 43205"))
        })
    });
    let fees = write_file(
        made.path(),
        "fees.csv",
        &format!("{HEADER}{of_cut},43,out,Austria,,0.02,60,0.02,60,0.02,60,0.02,60\n"),
    );
    let since = ["--valid-from", "2026-11-01T00:00:00Z", "--correct-past", "--yes"];
    let shown = made
        .run_command(&[&["import", "fees", fees.to_str().unwrap(), "--profile", "cut"], &since[..]].concat());
    assert!(shown.contains("1 suspended calls waited for a fee and are sent in again"), "{shown}");
    eventually("the call has its price", || {
        made.sql("select customer_cost from calls where foreign_key = 'pbx/nowhere'") == ["0.020000"]
    });
    assert!(made.run_command(&["suspense"]).contains("nothing is in suspense"));
    // Simulated by the tariff that priced them, calls cost what they cost: over the border and to the ported number too.
    let cut = made.path().join("cut");
    let simulated =
        ["simulate", "--tariff", cut.to_str().unwrap(), "--period", "2026-11", "--profile", "cut"];
    let shown = made.run_command(&simulated);
    assert!(
        shown.contains("0.75 EUR as they were priced, 0.75 by ") && shown.contains("0 more, 1 the same"),
        "{shown}"
    );
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}
