//! Tariff directories and files of calls.

use std::path::Path;

use expect_test::{Expect, expect};

use crate::explain;
use crate::workbench::{TariffDir, TariffIds, rate_calls};

const PROFILE: &str =
    "handle = \"retail\"\nname = \"Retail\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\n";

const HEADER: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,\
    onpeak_follow_rate,onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,\
    offpeak_follow_interval";

fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn check_issues(files: &[(&str, &str)], expected: Expect) {
    let dir = dir(files);
    expected.assert_eq(&TariffDir::read(dir.path(), TariffIds::default()).unwrap_err().to_string());
}

fn rated(dir: &Path, calls: &str) -> String {
    let tariff = TariffDir::read(dir, TariffIds::default()).unwrap();
    let mut out = Vec::new();
    rate_calls(&tariff, calls.as_bytes(), &mut out, |_| {}).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_mistake_of_every_file_is_named_at_once_with_its_place() {
    let fees = format!(
        "{HEADER}\n,49,out,Germany,fixed,0.06,60,0.06,60,0.03,60,0.03,60\n\
         ,+43,up,Austria,fixed,six,60,0.06,0,0.03,60,,60\n\
         ,49,out,Germany,fixed,0.07,60\n\
         ,49,out,Germany,fixed,0.07,60,0.07,60,0.03,60,0.03,60\n"
    );
    check_issues(
        &[
            (
                "profile.toml",
                "handle = \"retail-2026\"\nname = \"Retail\"\ncurency = \"EUR\"\ntimezone = \"Vienna\"\n\
                 interval_free_cash = 50.0\nrounding = { mode = \"half_up\", scale = 8 }\ncompat = \"yes\"\n",
            ),
            ("fees.csv", &fees),
            (
                "offpeak.toml",
                "[[weekday]]\nday = \"mon\"\nstart = \"18:00:00\"\nend = \"07:59:59\"\n[[special]]\nstart = \"2026-12-24\"\n",
            ),
        ],
        expect![[r#"
            profile.toml:3:1: curency: unknown key; did you mean currency?
            profile.toml:1:1: currency: missing; name the currency of all prices: currency = "EUR"
            profile.toml:1:10: handle: "retail-2026" is not a handle of 1 to 63 letters, digits and underscores; such as "retail_2026"
            profile.toml:4:12: timezone: "Vienna" is not an IANA time zone; use a name such as "Europe/Vienna"
            profile.toml:6:40: scale: the ledger keeps 6 decimals, not 8; use 0 to 6
            profile.toml:5:22: interval_free_cash: a quoted text is expected here, not a float; write a quoted decimal such as "9.90"
            profile.toml:7:10: compat: "yes" is nothing to be compatible with; write compat = "reference", or remove the key to price exactly
            fees.csv:3:2: destination: "+43" is not the beginning of a number; write digits without +, the beginning of user@domain, or nothing for any number
            fees.csv:3:3: direction: "up" is not one of out, in; use out or in
            fees.csv:3:6: onpeak_init_rate: "six" is not a decimal number of at most 28 digits; write a price per minute such as 0.05
            fees.csv:3:9: onpeak_follow_interval: "0" is not a charging interval of 1 to 31622400 seconds; write whole seconds such as 60
            fees.csv:3:12: offpeak_follow_rate: empty; write a price per minute such as 0.05
            fees.csv:4: this line has 7 columns, the header has 13; add or remove commas; quote texts that contain one
            fees.csv:5: destination: the fee of line 2 prices the same calls at the same time; remove one, or let the first end (valid_to) where the second begins
            offpeak.toml:4:7: end: 07:59:59 is before the start, 18:00:00; a span over midnight needs two entries
            offpeak.toml:5:1: end: missing; give start and end
            offpeak.toml:6:9: start: "2026-12-24" is not a local time, yyyy-mm-dd hh:mm:ss; such as "2026-12-24 00:00:00""#]],
    );
}

#[test]
fn prefix_that_no_number_begins_with_is_refused() {
    let line = |destination: &str| format!(",{destination},out,X,,1,60,1,60,1,60,1,60\n");
    let fees = [HEADER, "\n"]
        .into_iter()
        .map(str::to_owned)
        .chain(["43 660", "43-660", "(0)43", "1/2", "43\"1", "*21", "alice.b-c@x", "2nd-floor@"].map(line))
        .collect::<String>();
    check_issues(
        &[("profile.toml", PROFILE), ("fees.csv", &fees)],
        expect![[r#"
            fees.csv:2:2: destination: "43 660" holds ' ', so it would match no call; write digits without +, the beginning of user@domain, or nothing for any number
            fees.csv:3:2: destination: "43-660" holds '-', so it would match no call; write digits without +, the beginning of user@domain, or nothing for any number
            fees.csv:4:2: destination: "(0)43" is not the beginning of a number; write digits without +, the beginning of user@domain, or nothing for any number
            fees.csv:5:2: destination: "1/2" holds '/', so it would match no call; write digits without +, the beginning of user@domain, or nothing for any number
            fees.csv:6:2: destination: "43\"1" holds '"', so it would match no call; write digits without +, the beginning of user@domain, or nothing for any number"#]],
    );
}

#[test]
fn file_with_other_separators_is_told_in_one_line() {
    let fees = format!("{HEADER}\n,49,out,Germany,fixed,0.06,60,0.06,60,0.03,60,0.03,60\n").replace(',', ";");
    check_issues(
        &[
            ("profile.toml", PROFILE),
            ("fees.csv", &fees),
            ("accounts.csv", "account\tcash\tfree_seconds\na\t1\t2\n"),
        ],
        expect![[r#"
            fees.csv:1: the columns are separated by semicolons (';'); save it as comma-separated values, with a point in decimals
            accounts.csv:1: the columns are separated by tabs ('\t'); save it as comma-separated values, with a point in decimals"#]],
    );
}

#[test]
fn broken_syntax_and_missing_files_are_named_too() {
    check_issues(
        &[("profile.toml", "handle = \n")],
        expect![[r#"
        profile.toml:1:10: string values must be quoted, expected literal string; write it as TOML
        fees.csv: No such file or directory (os error 2); create it, or name the directory that holds it"#]],
    );
}

#[test]
fn pattern_that_is_none_is_named_with_its_line() {
    let fees = format!(
        "{HEADER},match_mode\n\
         ^4[,^49,out,Germany,fixed,0.06,60,0.06,60,0.03,60,0.03,60,regex_longest_match\n\
         ,4(,out,Germany,fixed,0.06,60,0.06,60,0.03,60,0.03,60,\n\
         ,4(,out,Germany,fixed,0.06,60,0.06,60,0.03,60,0.03,60,prefix\n"
    );
    let profile = format!("{PROFILE}fee_match = \"reference\"\ncompat = \"other\"\n");
    check_issues(
        &[("profile.toml", &profile), ("fees.csv", &fees)],
        expect![[r#"
        profile.toml:6:10: compat: "other" is nothing to be compatible with; write compat = "reference", or remove the key to price exactly
        fees.csv:2:1: source: Parsing error at position 3: Invalid character class; write a regular expression such as ^4366
        fees.csv:3:2: destination: Parsing error at position 2: Opening parenthesis without closing parenthesis; write a regular expression such as ^4366"#]],
    );
}

#[test]
fn file_of_calls_is_priced_in_the_order_of_their_start() {
    let fees = format!("{HEADER}\n,49,out,Germany,fixed,0.06,60,0.06,1,0.03,60,0.03,1\n");
    let off_peak = "[[weekday]]\nday = \"mon\"\nstart = \"18:00:00\"\nend = \"23:59:59\"\n";
    let dir = dir(&[("profile.toml", PROFILE), ("fees.csv", &fees), ("offpeak.toml", off_peak)]);
    let calls = "id,account,source,destination,start,duration_seconds,direction\n\
        late,a,43660,4930555,2026-03-02T17:59:30+01:00,90.5,out\n\
        zero,a,43660,4930555,2026-03-02T12:00:00+01:00,0,out\n\
        lost,a,43660,8613800,2026-03-02T12:00:01+01:00,10,out\n\
        in,a,4930555,43660,2026-03-02T12:00:02+01:00,10,in\n";
    expect![[r#"
        id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error
        zero,0,EUR,Germany,fixed,0,0,0,0,0,
        lost,,,,,,,,,,no_rate
        in,0,EUR,,,0,0,0,0,0,
        late,0.0755,EUR,Germany,fixed,0,0,60,31,91,
    "#]].assert_eq(&rated(dir.path(), calls));
}

#[test]
fn free_minutes_run_out_mid_call_and_come_back_next_month() {
    let fees =
        format!("{HEADER},onpeak_use_free_time\n,49,out,Germany,fixed,0.60,60,0.60,60,0.60,60,0.60,60,1\n");
    let profile = format!("{PROFILE}interval_free_seconds = 150\n");
    let dir = dir(&[("profile.toml", &profile), ("fees.csv", &fees)]);
    // 150 of 180 s are free: half of the third minute is paid, 0.30. The next call has none left, April has new ones.
    let calls = "id,account,source,destination,start,duration_seconds\n\
        1,a,43660,4930555,2026-03-30T12:00:00+02:00,170\n\
        2,a,43660,4930555,2026-03-31T23:59:59+02:00,60\n\
        3,a,43660,4930555,2026-04-01T00:00:00+02:00,60\n\
        4,b,43660,4930555,2026-03-31T12:00:00+02:00,60\n";
    expect![[r#"
        id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error
        1,0.3,EUR,Germany,fixed,150,0,180,0,180,
        4,0,EUR,Germany,fixed,60,0,60,0,60,
        2,0.6,EUR,Germany,fixed,0,0,60,0,60,
        3,0,EUR,Germany,fixed,60,0,60,0,60,
    "#]].assert_eq(&rated(dir.path(), calls));
}

#[test]
fn free_time_that_covers_a_part_of_an_interval_across_the_border_lowers_it_in_proportion() {
    let fees =
        format!("{HEADER},onpeak_use_free_time\n,49,out,Germany,fixed,0.60,60,0.60,60,0.30,60,0.30,60,1\n");
    let profile = format!("{PROFILE}split_at_peak = \"boundary\"\ninterval_free_seconds = 20\n");
    let off_peak = "[[weekday]]\nday = \"mon\"\nstart = \"18:00:00\"\nend = \"23:59:59\"\n";
    let dir = dir(&[("profile.toml", &profile), ("fees.csv", &fees), ("offpeak.toml", off_peak)]);
    // 30 s at 0.60 and 30 s at 0.30 are 0.45 a minute; 40 of its 60 s are paid: 0.30.
    let calls = "id,account,source,destination,start,duration_seconds\n\
        1,a,43660,4930555,2026-03-02T17:59:30+01:00,60\n";
    assert!(rated(dir.path(), calls).contains("1,0.3,EUR,Germany,fixed,20,0,30,30,60,\n"));
}

#[test]
fn attempt_that_nobody_answered_is_paid_from_the_balance() {
    let fees =
        format!("{HEADER},failed_attempt_fee\n,49,out,Germany,fixed,1.00,60,1.00,60,1.00,60,1.00,60,0.05\n");
    let calls = "id,account,source,destination,start,duration_seconds,answered\n\
        1,a,43660,4930555,2026-03-02T12:00:00+01:00,0,0\n\
        2,a,43660,4930555,2026-03-02T12:01:00+01:00,0,0\n\
        3,a,43660,4930555,2026-03-02T12:02:00+01:00,60,1\n";
    let header = "id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error\n";
    // 0.08 pay the first attempt whole and 0.03 of the second; the reference pays whole amounts alone. A prepaid one costs all of it.
    for (more, expected) in [
        (
            "",
            [
                "1,0,EUR,Germany,fixed,0,0.05,0,0,0,",
                "2,0.02,EUR,Germany,fixed,0,0.03,0,0,0,",
                "3,1,EUR,Germany,fixed,0,0,60,0,60,",
            ],
        ),
        (
            "compat = \"reference\"\n",
            [
                "1,0,EUR,Germany,fixed,0,0.05,0,0,0,",
                "2,0.05,EUR,Germany,fixed,0,0,0,0,0,",
                "3,1,EUR,Germany,fixed,0,0,60,0,60,",
            ],
        ),
        (
            "prepaid = true\n",
            [
                "1,0.05,EUR,Germany,fixed,0,0.05,0,0,0,",
                "2,0.05,EUR,Germany,fixed,0,0.03,0,0,0,",
                "3,1,EUR,Germany,fixed,0,0,60,0,60,",
            ],
        ),
    ] {
        let profile = format!("{PROFILE}{more}");
        let accounts = "account,cash,free_seconds\na,0.08,0\n";
        let dir = dir(&[("profile.toml", &profile), ("fees.csv", &fees), ("accounts.csv", accounts)]);
        assert_eq!(rated(dir.path(), calls), format!("{header}{}\n", expected.join("\n")), "{more}");
    }
}

#[test]
fn free_cash_expires_and_own_money_stays() {
    let fees = format!("{HEADER}\n,49,out,Germany,fixed,1.00,60,1.00,60,1.00,60,1.00,60\n");
    let profile = format!("{PROFILE}interval_free_cash = \"5.00\"\n");
    let accounts = "account,cash,free_seconds\na,7.50,0\n";
    let dir = dir(&[("profile.toml", &profile), ("fees.csv", &fees), ("accounts.csv", accounts)]);
    // a: 5.00 granted, 2.50 its own. March takes 3 of the grant, 2 expire; April takes 5 granted and 2.50 own of 8.00.
    let calls = "id,account,source,destination,start,duration_seconds\n\
        1,a,43660,4930555,2026-03-30T12:00:00+02:00,180\n\
        2,a,43660,4930555,2026-04-01T12:00:00+02:00,480\n\
        3,a,43660,4930555,2026-05-01T12:00:00+02:00,60\n\
        4,b,43660,4930555,2026-05-01T12:00:00+02:00,360\n";
    expect![[r#"
        id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error
        1,0,EUR,Germany,fixed,0,3,180,0,180,
        2,0.5,EUR,Germany,fixed,0,7.5,480,0,480,
        3,0,EUR,Germany,fixed,0,1,60,0,60,
        4,1,EUR,Germany,fixed,0,5,360,0,360,
    "#]].assert_eq(&rated(dir.path(), calls));
}

#[test]
fn prepaid_cost_is_the_whole_price() {
    let fees = format!("{HEADER}\n,49,out,Germany,fixed,1.00,60,1.00,60,1.00,60,1.00,60\n");
    let profile = format!("{PROFILE}prepaid = true\n");
    let dir = dir(&[
        ("profile.toml", &profile),
        ("fees.csv", &fees),
        ("accounts.csv", "account,cash,free_seconds\na,1.50,0\n"),
    ]);
    let calls = "id,account,source,destination,start,duration_seconds\n1,a,1,49,2026-03-30T12:00:00Z,120\n";
    expect![[r#"
        id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error
        1,2,EUR,Germany,fixed,0,1.5,120,0,120,
    "#]].assert_eq(&rated(dir.path(), calls));
}

#[test]
fn extra_amount_falls_due_once_beyond_its_second() {
    let fees = format!(
        "{HEADER},onpeak_extra_rate,onpeak_extra_second\n,49,out,Germany,fixed,0,1,0,1,0,1,0,1,0.10,60\n"
    );
    let dir = dir(&[("profile.toml", PROFILE), ("fees.csv", &fees)]);
    let calls = "id,account,source,destination,start,duration_seconds\n\
        exactly,a,1,49,2026-03-30T12:00:00Z,60\nbeyond,a,1,49,2026-03-30T12:00:00Z,60.001\n";
    expect![[r#"
        id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error
        exactly,0,EUR,Germany,fixed,0,0,60,0,60,
        beyond,0.1,EUR,Germany,fixed,0,0,61,0,61,
    "#]].assert_eq(&rated(dir.path(), calls));
}

#[test]
fn cents_per_second_and_the_references_headless_columns_are_read_as_such() {
    let headed = HEADER.replace("_rate,", "_rate_cents_per_second,");
    let fees = format!("{headed}\n,49,out,Germany,fixed,0.1,1,0.1,1,0.1,1,0.1,1\n");
    let calls = "id,account,source,destination,start,duration_seconds\n1,a,1,49,2026-03-30T12:00:00Z,60\n";
    let with_header = dir(&[("profile.toml", PROFILE), ("fees.csv", &fees)]);
    let headless = ",49,out,\"Germany, all\",fixed,0.1,1,0.1,1,0.1,1,0.1,1,0\n";
    let without = dir(&[("profile.toml", PROFILE), ("fees.csv", headless)]);
    expect![[r#"
        id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error
        1,0.06,EUR,Germany,fixed,0,0,60,0,60,
        id,cost,currency,zone,zone_detail,free_seconds,free_cash,onpeak_seconds,offpeak_seconds,billed_seconds,error
        1,0.06,EUR,"Germany, all",fixed,0,0,60,0,60,
    "#]].assert_eq(&(rated(with_header.path(), calls) + &rated(without.path(), calls)));
}

#[test]
fn mistakes_in_the_calls_are_named_before_one_is_priced() {
    let fees = format!("{HEADER}\n,49,out,Germany,fixed,1.00,60,1.00,60,1.00,60,1.00,60\n");
    let dir = dir(&[("profile.toml", PROFILE), ("fees.csv", &fees)]);
    let tariff = TariffDir::read(dir.path(), TariffIds::default()).unwrap();
    let calls = "id,account,source,destination,start,duration_seconds\n1,a,1,49,2026-03-30 12:00,-5\n";
    let mut out = Vec::new();
    let error = rate_calls(&tariff, calls.as_bytes(), &mut out, |_| {}).unwrap_err();
    expect![[r#"
        calls.csv:2:5: start: "2026-03-30 12:00" is not a time with its offset in the years 1900 to 9999; write RFC 3339, such as 2026-03-02T17:59:30+01:00
        calls.csv:2:6: duration_seconds: "-5" is not a length in seconds from 0 on; write seconds such as 60 or 60.25"#]].assert_eq(&error.to_string());
    assert!(out.is_empty());
}

#[test]
fn evidence_of_a_call_is_handed_out_for_explain() {
    let fees = format!("{HEADER}\n,49,out,Germany,fixed,0.60,60,0.60,1,0.60,60,0.60,1\n");
    let dir = dir(&[("profile.toml", PROFILE), ("fees.csv", &fees)]);
    let tariff = TariffDir::read(dir.path(), TariffIds::default()).unwrap();
    let calls = "id,account,source,destination,start,duration_seconds\n1,a,1,49,2026-03-30T12:00:00Z,61\n";
    let mut text = String::new();
    let summary = rate_calls(&tariff, calls.as_bytes(), Vec::new(), |call| {
        text += &format!(
            "{} of {}: {}",
            call.done,
            call.total,
            explain(&call.outcome.unwrap()[0], chrono_tz::UTC)
        );
    })
    .unwrap();
    expect![[r#"
        1 of 1: customer out: profile retail version 0, fee 0 for 49, zone Germany fixed
          2026-03-30 12:00:00 UTC     60 s  onpeak   first 60 s   0.6 per 60 s  0.6
          2026-03-30 12:01:00 UTC      1 s  onpeak   then 1 s     0.6 per 60 s  0.01
          61 s billed (61 onpeak, 0 offpeak): 0.61 EUR, half_up 6
    "#]]
    .assert_eq(&text);
    assert_eq!((summary.calls, summary.failed), (1, 0));
}
