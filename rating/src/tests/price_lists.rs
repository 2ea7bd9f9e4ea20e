//! Price lists: carriers' own layouts, and what a new list changes.

use chrono::DateTime;
use expect_test::{Expect, expect};
use model::{ExtraRate, Fee, FeeMatch, PeakOptions};

use super::fee;
use crate::workbench::{Mapping, WorkbenchError, read_fees, read_mapped_fees, text_rows};
use crate::{compared_prices, fee_diff};

/// A fee in one line: where to, on-peak and off-peak rates and intervals, since when.
fn shown(fee: &Fee) -> String {
    let rate = |rate: model::Rate| {
        format!("{}/{}s/{}", rate.price.normalize(), rate.per_seconds, rate.interval_seconds)
    };
    let rates =
        [fee.onpeak_init, fee.onpeak_follow, fee.offpeak_init, fee.offpeak_follow].map(rate).join(" ");
    let since = fee.valid_from.map(|at| format!(" from {at}")).unwrap_or_default();
    format!("{} {} {} [{}]: {rates}{since}\n", fee.direction, fee.destination, fee.zone, fee.zone_detail)
}

fn read(mapping: &str, list: &[u8]) -> Result<Vec<Fee>, WorkbenchError> {
    let mapping = Mapping::read("map.toml", mapping)?;
    let rows = text_rows("list.csv", list, &mapping)?;
    read_mapped_fees("list.csv", &rows, &mapping, FeeMatch::Prefix)
}

fn check(mapping: &str, list: &str, expected: Expect) {
    let picture = match read(mapping, list.as_bytes()) {
        Ok(fees) => fees.iter().map(shown).collect(),
        Err(why) => format!("{why}\n"),
    };
    expected.assert_eq(&picture);
}

#[test]
fn list_with_its_own_columns_decimal_comma_and_dates() {
    check(
        "separator = \";\"\nheader_row = 3\ndecimal = \",\"\ndate_format = \"%d.%m.%Y\"\ntimezone = \"Europe/Berlin\"\n\
         [columns]\ndestination = \"Vorwahl\"\nzone = \"Land\"\nzone_detail = \"Netz\"\nonpeak_rate = \"Haupt\"\noffpeak_rate = \"Neben\"\n\
         interval = \"Takt\"\nvalid_from = \"gueltig ab\"\n",
        "Preisliste;;;;;;\n;;;;;;\nLand;Netz;Vorwahl;Haupt;Neben;Takt;gueltig ab\n\
         Oesterreich;Mobil;+43660;0,0450;0,0300;60/1;01.07.2026\n\n;;;;;;\nDeutschland;Fest;49;1.000,5;0,01;1;01.01.2026\n",
        expect![[r#"
            out 43660 Oesterreich [Mobil]: 0.045/60s/60 0.045/60s/1 0.03/60s/60 0.03/60s/1 from 2026-06-30 22:00:00 UTC
            out 49 Deutschland [Fest]: 1000.5/60s/1 1000.5/60s/1 0.01/60s/1 0.01/60s/1 from 2025-12-31 23:00:00 UTC
        "#]],
    );
}

#[test]
fn country_and_area_codes_are_joined_and_lists_are_spread() {
    check(
        "codes = \"list\"\nrates = \"cents_per_minute\"\n[columns]\ndestination = [\"CC\", \"Codes\"]\nzone = \"Name\"\nrate = \"Rate\"\n\
         [constants]\ninterval = \"30/6\"\n",
        "Name,CC,Codes,Rate\nAustria mobile,43,\"650, 660-662;664\",4.5\nFrance,33,,1.25\n",
        expect![[r#"
            out 43650 Austria mobile []: 0.045/60s/30 0.045/60s/6 0.045/60s/30 0.045/60s/6
            out 43660 Austria mobile []: 0.045/60s/30 0.045/60s/6 0.045/60s/30 0.045/60s/6
            out 43661 Austria mobile []: 0.045/60s/30 0.045/60s/6 0.045/60s/30 0.045/60s/6
            out 43662 Austria mobile []: 0.045/60s/30 0.045/60s/6 0.045/60s/30 0.045/60s/6
            out 43664 Austria mobile []: 0.045/60s/30 0.045/60s/6 0.045/60s/30 0.045/60s/6
            out 33 France []: 0.0125/60s/30 0.0125/60s/6 0.0125/60s/30 0.0125/60s/6
        "#]],
    );
}

#[test]
fn mistakes_in_a_carriers_list_have_its_own_lines() {
    let mapping = "[columns]\ndestination = \"Code\"\nzone = \"Name\"\nrate = \"Rate\"\n[constants]\ninterval = \"60/60\"\n";
    check(
        mapping,
        "Name,Code,Rate\nGermany,49,0.01\nAustria,43x,0.02\n\nItaly,39,free\nGermany,49,0.03\n",
        expect![[r#"
            list.csv:5: onpeak_init_rate: "free" is not a decimal number of at most 28 digits; write a price per minute such as 0.05
            list.csv:5: onpeak_follow_rate: "free" is not a decimal number of at most 28 digits; write a price per minute such as 0.05
            list.csv:5: offpeak_init_rate: "free" is not a decimal number of at most 28 digits; write a price per minute such as 0.05
            list.csv:5: offpeak_follow_rate: "free" is not a decimal number of at most 28 digits; write a price per minute such as 0.05
            list.csv:6: destination: the fee of line 2 prices the same calls at the same time; remove one, or let the first end (valid_to) where the second begins
        "#]],
    );
    // A column that is not there is told with those that are.
    check(
        mapping,
        "Name,Dial code,Rate\nGermany,49,0.01\n",
        expect![[r#"
        list.csv:1: there is no column "Code" in row 1; use one of Name, Dial code, Rate
    "#]],
    );
    check(
        "codes = \"list\"\n[columns]\ndestination = \"Code\"\nrate = \"Rate\"\n[constants]\ninterval = \"1\"\n",
        "Code,Rate\n660-59,1\n",
        expect![[r#"
            list.csv:2: destination: "660-59" is not a range of codes of the same length; correct the list, or the mapping's `codes`
        "#]],
    );
}

#[test]
fn mistakes_in_a_mapping_have_their_lines() {
    check(
        "separator = \";;\"\ndecimal = \"'\"\nrates = \"per_hour\"\n[columns]\nzone = 5\nprice = \"Rate\"\n",
        "",
        expect![[r#"
            map.toml:1:13: separator: ";;" is not one character; use one character such as ";"
            map.toml:2:11: decimal: "'" does not mark decimals; use "." or ","
            map.toml:3:9: rates: "per_hour" is not a unit of rates; use "per_minute", "cents_per_minute", "per_second" or "cents_per_second"
            map.toml:6:1: price: unknown key; use one of source, destination, direction, zone, zone_detail, rate, onpeak_rate, offpeak_rate, onpeak_init_rate, onpeak_follow_rate, offpeak_init_rate, offpeak_follow_rate, interval, onpeak_init_interval, onpeak_follow_interval, offpeak_init_interval, offpeak_follow_interval, match_mode, connection_fee, minimum_charge, maximum_charge, failed_attempt_fee, onpeak_extra_rate, onpeak_extra_second, offpeak_extra_rate, offpeak_extra_second, onpeak_use_free_time, offpeak_use_free_time, valid_from, valid_to
            map.toml:5:8: zone: a quoted text or a list of them is expected here; name their column, or columns to be joined
            map.toml:4:1: columns: no column holds the destination; add destination = "THEIR COLUMN" to [columns]
            map.toml:4:1: columns: no column holds a rate; add rate = "THEIR COLUMN" to [columns]
        "#]],
    );
}

#[test]
fn latin_letters_of_old_spreadsheets_are_read() {
    let mapping = "[columns]\ndestination = \"Code\"\nzone = \"Name\"\nrate = \"Rate\"\n[constants]\ninterval = \"60/60\"\n";
    // "Türkei" in Latin-1.
    let fees = read(mapping, b"Name,Code,Rate\nT\xfcrkei,90,0.10\n").unwrap();
    assert_eq!(fees[0].zone, "Türkei");
}

#[test]
fn reference_file_is_a_price_list_too() {
    let list = "43,,out,Austria,fixed,0.1,60,0.1,60,0.1,60,0.1,60,0\n";
    let reordered = list.replacen("43,,", ",43,", 1);
    let fees = read_fees("fees.csv", &reordered, FeeMatch::Prefix).unwrap();
    assert_eq!(shown(&fees[0]), "out 43 Austria [fixed]: 0.001/1s/60 0.001/1s/60 0.001/1s/60 0.001/1s/60\n");
    // The older file has one flag for both states; the newer one extra rates in cents, each with its second.
    let free = read_fees("fees.csv", &reordered.replace(",60,0\n", ",60,1\n"), FeeMatch::Prefix).unwrap();
    assert!(free[0].onpeak.use_free_time && free[0].offpeak.use_free_time);
    let newer = reordered.replace(",60,0\n", ",60,1,prefix,25,30,,,0,0\n");
    let fee = &read_fees("fees.csv", &newer, FeeMatch::Prefix).unwrap()[0];
    let extra = ExtraRate { second: 30, amount: "0.25".parse().unwrap() };
    assert_eq!(fee.onpeak, PeakOptions { use_free_time: true, extra: Some(extra) });
    assert_eq!(fee.offpeak, PeakOptions::default());
}

#[test]
fn list_of_a_carrier_may_have_flat_amounts_free_time_and_extra_rates() {
    let mapping = "[columns]\ndestination = \"Code\"\nrate = \"Rate\"\nfailed_attempt_fee = \"Attempt\"\nonpeak_extra_rate = \"Extra\"\n\
        [constants]\nzone = \"all\"\ninterval = \"60/60\"\nonpeak_extra_second = \"120\"\nonpeak_use_free_time = \"1\"\noffpeak_use_free_time = \"0\"\n";
    let fee = &read(mapping, b"Code,Rate,Attempt,Extra\n49,0.10,0.005,0.50\n").unwrap()[0];
    assert_eq!(fee.failed_attempt_fee, "0.005".parse().unwrap());
    let extra = ExtraRate { second: 120, amount: "0.50".parse().unwrap() };
    assert_eq!(fee.onpeak, PeakOptions { use_free_time: true, extra: Some(extra) });
    assert_eq!(fee.offpeak, PeakOptions::default());
}

/// The differences, a word and a destination each.
fn differences(old: &[Fee], new: &[Fee]) -> Vec<String> {
    let diff = fee_diff(old, new, DateTime::UNIX_EPOCH);
    let shown = diff.differences.iter().map(|difference| {
        let fee = difference.new.or(difference.old).unwrap();
        format!("{} {}", difference.change.as_str(), fee.destination)
    });
    shown.chain([format!("{} the same, {} in the future", diff.n_same, diff.n_future)]).collect()
}

#[test]
fn each_fee_is_new_dearer_cheaper_changed_gone_or_the_same() {
    let old = [
        "43 0.06 0.03 60/60",
        "49 0.06 0.03 60/60",
        "33 0.06 0.03 60/60",
        "39 0.06 0.03 60/60",
        "44 0.06 0.03 60/60",
    ];
    let new = [
        "43 0.07 0.03 60/60", // dearer on-peak
        "49 0.06 0.02 60/60", // cheaper off-peak
        "33 0.07 0.02 60/60", // both
        "39 0.06 0.03 60/60", // the same
        "41 0.06 0.03 60/60", // new; 44 is gone
    ];
    let list = |specs: &[&str]| specs.iter().map(|spec| fee(spec)).collect::<Vec<_>>();
    assert_eq!(
        differences(&list(&old), &list(&new)),
        [
            "dearer 43",
            "cheaper 49",
            "otherwise changed 33",
            "new 41",
            "gone 44",
            "1 the same, 0 in the future"
        ]
    );
}

#[test]
fn only_the_way_a_rate_is_written_is_no_difference() {
    let minute = fee("43 0.06 0.06 1/1");
    let second = model::Rate { price: "0.001".parse().unwrap(), per_seconds: 1, interval_seconds: 1 };
    let by_second = Fee {
        onpeak_init: second,
        onpeak_follow: second,
        offpeak_init: second,
        offpeak_follow: second,
        ..minute.clone()
    };
    assert_eq!(differences(&[minute], &[by_second]), ["1 the same, 0 in the future"]);
}

#[test]
fn a_fee_that_begins_later_is_another_one_and_in_the_future() {
    let now = fee("43 0.06 0.06 1/1");
    let later = Fee { valid_from: Some("2030-01-01T00:00:00Z".parse().unwrap()), ..now.clone() };
    let ended = Fee { valid_to: later.valid_from, ..now.clone() };
    assert_eq!(
        differences(&[now], &[ended, later]),
        ["otherwise changed 43", "new 43", "0 the same, 1 in the future"]
    );
}

#[test]
fn compared_call_of_three_minutes_counts_intervals_and_flat_amounts() {
    // 30 s, then 25 intervals of 6 s: 180 s at 0.01 a second; and 0.05.
    let mut fee = fee("43 0.60 0.30 30/6");
    fee.connection_fee = "0.05".parse().unwrap();
    assert_eq!(compared_prices(&fee), ("1.85".parse().unwrap(), "0.95".parse().unwrap()));
    fee.maximum_charge = Some("1".parse().unwrap());
    fee.minimum_charge = Some("0.98".parse().unwrap());
    assert_eq!(compared_prices(&fee), ("1".parse().unwrap(), "0.98".parse().unwrap()));
}

#[test]
fn extra_rate_that_a_compared_call_reaches_makes_a_fee_dearer() {
    let before = fee("43 0.60 0.60 1/1");
    let with = |second| {
        let mut fee = before.clone();
        fee.onpeak.extra = Some(ExtraRate { second, amount: "0.10".parse().unwrap() });
        fee
    };
    // Second 179, counted from 0, is the last of three minutes.
    assert_eq!(compared_prices(&with(179)), ("1.90".parse().unwrap(), "1.80".parse().unwrap()));
    assert_eq!(
        differences(std::slice::from_ref(&before), &[with(179)]),
        ["dearer 43", "0 the same, 0 in the future"]
    );
    assert_eq!(compared_prices(&with(180)), compared_prices(&before));
}
