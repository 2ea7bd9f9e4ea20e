//! Named hard cases, each worked by hand beside it, through the files of the workbench as a carrier's script would use them.
//!
//! A fee is written `DESTINATION ON-PEAK OFF-PEAK INIT/FOLLOW key=value...`: rates per minute, `INIT:FOLLOW` where they differ, `-`
//! for nothing; keys are further columns of `fees.csv`. A call is `START SECONDS DESTINATION key=value...` with the keys
//! `from`, `account` and `dir`; its result is `COST ON-PEAK-SECONDS+OFF-PEAK-SECONDS`, then `free=SECONDS` and `cash=AMOUNT`
//! where some was used, ` | ` between fragments. Calls of one case share their account's balance.

mod balances;
mod clock_changes;
mod compat;
mod fee_choice;
mod flat_amounts;
mod fragments;
mod intervals;
mod listed;
mod peak_borders;
mod ported;

use crate::workbench::{TariffDir, TariffIds, rate_calls};

/// A tariff directory in a few words.
#[derive(Clone, Copy)]
struct Files<'a> {
    /// Lines of `profile.toml` beside the currency, EUR, and the zone, Europe/Vienna.
    profile: &'a str,
    /// One fee a line.
    fees: &'a str,
    /// Weekly off-peak spans, `mon 18:00:00 23:59:59`, and special ones, `2026-12-24 00:00:00 / 2026-12-24 23:59:59`, one a line.
    off_peak: &'a str,
    /// Lines of `accounts.csv`.
    accounts: &'a str,
    /// Lines of `ported.csv`: number, carrier, type, from, to.
    ported: &'a str,
}

const PLAIN: Files<'static> = Files { profile: "", fees: "", off_peak: "", accounts: "", ported: "" };

/// Evenings and nights from Monday to Friday, and the weekend.
const NIGHTS: &str = "mon 00:00:00 07:59:59\nmon 18:00:00 23:59:59\ntue 00:00:00 07:59:59\ntue 18:00:00 23:59:59\n\
    wed 00:00:00 07:59:59\nwed 18:00:00 23:59:59\nthu 00:00:00 07:59:59\nthu 18:00:00 23:59:59\n\
    fri 00:00:00 07:59:59\nfri 18:00:00 23:59:59\nsat 00:00:00 23:59:59\nsun 00:00:00 23:59:59";

/// A case: its name, its calls, what they cost.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// Runs each case on its own; all that fail are told together.
#[track_caller]
fn check(files: Files<'_>, cases: &[Case<'_>]) {
    check_by(files, cases, |row| {
        let mut picture =
            format!("{} {}+{}", row.cell("cost"), row.cell("onpeak_seconds"), row.cell("offpeak_seconds"));
        for (column, name) in [("free_seconds", "free"), ("free_cash", "cash")] {
            if row.cell(column) != "0" {
                picture += &format!(" {name}={}", row.cell(column));
            }
        }
        picture
    });
}

/// As [`check`]; of a result only the zone is looked at, which names the fee that was chosen.
#[track_caller]
fn check_zones(files: Files<'_>, cases: &[Case<'_>]) {
    check_by(files, cases, |row| row.cell("zone").to_owned());
}

struct Row {
    header: csv::StringRecord,
    cells: csv::StringRecord,
}

impl Row {
    fn cell(&self, name: &str) -> &str {
        &self.cells[self.header.iter().position(|column| column == name).unwrap()]
    }
}

#[track_caller]
fn check_by(files: Files<'_>, cases: &[Case<'_>], picture: impl Fn(&Row) -> String) {
    let dir = tempfile::tempdir().unwrap();
    write(&files, dir.path());
    let tariff = TariffDir::read(dir.path(), TariffIds::default()).unwrap();
    let mut wrong = String::new();
    for (name, calls, expected) in cases {
        let mut rated = Vec::new();
        rate_calls(&tariff, calls_csv(calls).as_bytes(), &mut rated, |_| {}).unwrap();
        let mut reader = csv::Reader::from_reader(rated.as_slice());
        let header = reader.headers().unwrap().clone();
        let mut results: Vec<Vec<String>> = vec![Vec::new(); calls.len()];
        for cells in reader.records() {
            let row = Row { header: header.clone(), cells: cells.unwrap() };
            let shown =
                if row.cell("error").is_empty() { picture(&row) } else { row.cell("error").to_owned() };
            results[row.cell("id").parse::<usize>().unwrap()].push(shown);
        }
        let results: Vec<String> = results.iter().map(|fragments| fragments.join(" | ")).collect();
        if results != *expected {
            wrong += &format!("{name}\n  expected {expected:?}\n  found    {results:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn write(files: &Files<'_>, dir: &std::path::Path) {
    let profile = format!(
        "handle = \"hard\"\ncurrency = \"EUR\"\n{}{}\n",
        if files.profile.contains("timezone") { "" } else { "timezone = \"Europe/Vienna\"\n" },
        files.profile
    );
    std::fs::write(dir.join("profile.toml"), profile).unwrap();
    let columns = [
        "source",
        "destination",
        "direction",
        "zone",
        "zone_detail",
        "onpeak_init_rate",
        "onpeak_init_interval",
        "onpeak_follow_rate",
        "onpeak_follow_interval",
        "offpeak_init_rate",
        "offpeak_init_interval",
        "offpeak_follow_rate",
        "offpeak_follow_interval",
        "match_mode",
        "onpeak_extra_rate",
        "onpeak_extra_second",
        "offpeak_extra_rate",
        "offpeak_extra_second",
        "onpeak_use_free_time",
        "offpeak_use_free_time",
        "connection_fee",
        "minimum_charge",
        "maximum_charge",
        "valid_from",
        "valid_to",
    ];
    let mut fees = csv::Writer::from_path(dir.join("fees.csv")).unwrap();
    fees.write_record(columns).unwrap();
    for line in files.fees.lines() {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or_else(|| panic!("{line}: four words"));
        let (destination, on, off, intervals) = (next(), next(), next(), next());
        let (init, follow) = intervals.split_once('/').unwrap();
        let both = |rate: &str| {
            let (init, follow) = rate.split_once(':').unwrap_or((rate, rate));
            (init.to_owned(), follow.to_owned())
        };
        let ((on_init, on_follow), (off_init, off_follow)) = (both(on), both(off));
        let mut cells = std::collections::HashMap::from([
            ("destination", if destination == "-" { String::new() } else { destination.to_owned() }),
            ("direction", "out".to_owned()),
            ("zone", destination.to_owned()),
            ("onpeak_init_rate", on_init),
            ("onpeak_init_interval", init.to_owned()),
            ("onpeak_follow_rate", on_follow),
            ("onpeak_follow_interval", follow.to_owned()),
            ("offpeak_init_rate", off_init),
            ("offpeak_init_interval", init.to_owned()),
            ("offpeak_follow_rate", off_follow),
            ("offpeak_follow_interval", follow.to_owned()),
        ]);
        for word in words {
            let (key, value) = word.split_once('=').unwrap();
            let column = columns.iter().find(|column| **column == key).unwrap_or_else(|| panic!("{key}"));
            cells.insert(*column, value.to_owned());
        }
        fees.write_record(columns.map(|column| cells.get(column).map_or("", String::as_str))).unwrap();
    }
    fees.flush().unwrap();
    let mut off_peak = String::new();
    for line in files.off_peak.lines() {
        off_peak += &match line.split_once(" / ") {
            Some((start, end)) => format!("[[special]]\nstart = \"{start}\"\nend = \"{end}\"\n"),
            None => {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [day, start, end] = words[..] else { panic!("{line}: three words") };
                format!("[[weekday]]\nday = \"{day}\"\nstart = \"{start}\"\nend = \"{end}\"\n")
            }
        };
    }
    std::fs::write(dir.join("offpeak.toml"), off_peak).unwrap();
    if !files.ported.is_empty() {
        let ported = format!("number,carrier,number_type,valid_from,valid_to\n{}\n", files.ported);
        std::fs::write(dir.join("ported.csv"), ported).unwrap();
    }
    if !files.accounts.is_empty() {
        let accounts = format!("account,cash,free_seconds\n{}\n", files.accounts);
        std::fs::write(dir.join("accounts.csv"), accounts).unwrap();
    }
}

fn calls_csv(calls: &[&str]) -> String {
    let mut text = "id,account,source,destination,start,duration_seconds,direction\n".to_owned();
    for (id, call) in calls.iter().enumerate() {
        let mut words = call.split_whitespace();
        let mut next = || words.next().unwrap_or_else(|| panic!("{call}: three words"));
        let (start, seconds, destination) = (next(), next(), next());
        let (mut from, mut account, mut direction) = ("43660555123", "a", "out");
        for word in words {
            match word.split_once('=').unwrap() {
                ("from", value) => from = value,
                ("account", value) => account = value,
                ("dir", value) => direction = value,
                (key, _) => panic!("{key}"),
            }
        }
        text += &format!("{id},{account},{from},{destination},{start},{seconds},{direction}\n");
    }
    text
}
