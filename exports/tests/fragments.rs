//! A call that its tariff cuts at peak borders, as one record for each fragment (billing-reference 4.1).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[expect(dead_code, reason = "the world around the calls is for the tests of streams")]
mod calls;

use calls::*;
use chrono::TimeDelta;
use expect_test::{Expect, expect};
use exports::{
    Contents, Digest, Entry, ExportConfig, FileSpec, Format, Owner, Queued, Streams, digest_of, render,
    render_all, verify,
};
use model::{Fragment, Peak, RatedCdr};
use rust_decimal::Decimal;

/// 10.880 s, of which the first 6 s are on-peak and cost 0.20; the carrier charges the whole.
fn cut() -> RatedCdr {
    let mut rated = calls().swap_remove(0);
    let start = rated.cdr.start_at;
    let fragment = |offset: i64, duration_us, peak, cost: &str, free_seconds, billed_seconds: u64| Fragment {
        start: start + TimeDelta::seconds(offset),
        duration_us,
        peak,
        cost: cost.parse().unwrap(),
        free_seconds,
        free_cash: Decimal::ZERO,
        billed_seconds,
        onpeak_seconds: if peak == Peak::On { billed_seconds } else { 0 },
        offpeak_seconds: if peak == Peak::Off { billed_seconds } else { 0 },
    };
    rated.charges[1].fragments =
        vec![fragment(0, 6_000_000, Peak::On, "0.03", 0, 6), fragment(6, 4_880_000, Peak::Off, "0.02", 0, 5)];
    rated.charges[2].fragments =
        vec![fragment(0, 6_000_000, Peak::On, "0.2", 4, 6), fragment(6, 4_880_000, Peak::Off, "0.04", 56, 5)];
    rated
}

const FORMAT: &str = r#"about = "fragments"
layout = "delimited"
quotes = ""
fragments = true
reversals = true
header = ["${rows}"]
trailer = ["${sum duration} ${sum source_customer_cost} ${sum source_carrier_cost}"]
field = [
  { name = "record_type" },
  { name = "fragment" },
  { name = "is_fragmented" },
  { name = "frag_carrier_onpeak" },
  { name = "frag_customer_onpeak" },
  { name = "start_time", time = "%H:%M:%S.%3f" },
  { name = "init_time", time = "%H:%M:%S.%3f" },
  { name = "duration" },
  { name = "source_carrier_cost" },
  { name = "source_customer_cost" },
  { name = "source_customer_free_time" },
  { name = "source_customer_billed_seconds" },
]
"#;

fn spec(format: &Format, owner: Owner) -> FileSpec<'_> {
    FileSpec {
        format,
        owner,
        owner_name: "system",
        stream: "main",
        way: "",
        name: "main/1",
        sequence: 1,
        created_at: at("2026-03-25T23:30:05Z"),
        day: None,
        zone: chrono_tz::UTC,
    }
}

/// As a file of entries, and of the same calls where they lie in a queue.
fn file(text: &str, owner: Owner, entries: &[Entry]) -> String {
    let format = Format::parse("facts", text).unwrap();
    let rendered = render(&spec(&format, owner), entries).unwrap();
    let bytes: Vec<_> = entries
        .iter()
        .map(|entry| {
            let earlier = entry.earlier.as_ref().map(model::wire::encode_rated);
            (model::wire::encode_rated(&entry.rated), earlier)
        })
        .collect();
    let queued: Vec<Queued<'_>> =
        bytes.iter().map(|(call, earlier)| Queued { call, earlier: earlier.as_deref() }).collect();
    let from_queue = render_all(&[(spec(&format, owner), Contents::Queued(&queued))]).pop().unwrap().unwrap();
    assert_eq!(rendered, from_queue);
    assert_eq!(digest_of(Digest::Sha256, &rendered.bytes), rendered.sha256);
    String::from_utf8(rendered.bytes).unwrap()
}

#[track_caller]
fn check(owner: Owner, entries: &[Entry], expected: Expect) {
    expected.assert_eq(&file(FORMAT, owner, entries));
}

#[test]
fn each_fragment_is_a_record_and_they_add_up_to_the_call() {
    check(
        Owner::System,
        &[Entry::from(cut()), Entry::from(calls().swap_remove(0))],
        expect![[r#"
            3
            original,1,1,,1,19:24:51.460,19:24:50.890,6.000,0.032100,0.200000,4,6
            original,2,1,,0,19:24:57.460,19:24:50.890,4.880,0.000000,0.040000,56,5
            original,,0,,,19:24:51.460,19:24:50.890,10.880,0.032100,0.240000,60,11
            21.760 0.480000 0.064200
        "#]],
    );
}

#[test]
fn format_that_does_not_ask_for_fragments_has_the_call() {
    expect![[r#"
        1
        original,,0,,,19:24:51.460,19:24:50.890,10.880,0.032100,0.240000,60,11
        10.880 0.240000 0.032100
    "#]]
    .assert_eq(&file(&FORMAT.replace("fragments = true\n", ""), Owner::System, &[Entry::from(cut())]));
}

#[test]
fn corrected_call_is_taken_back_fragment_by_fragment() {
    let rated = RatedCdr { cdr: model::Cdr { revision: 1, ..calls()[0].cdr.clone() }, ..calls()[0].clone() };
    check(
        Owner::System,
        &[Entry { rated, earlier: Some(cut()) }],
        expect![[r#"
            3
            reversal,1,1,,1,19:24:51.460,19:24:50.890,6.000,-0.032100,-0.200000,4,6
            reversal,2,1,,0,19:24:57.460,19:24:50.890,4.880,0.000000,-0.040000,56,5
            replacement,,0,,,19:24:51.460,19:24:50.890,10.880,0.032100,0.240000,60,11
            21.760 0.000000 0.000000
        "#]],
    );
}

#[test]
fn a_tariff_that_the_reader_may_not_see_cuts_nothing_for_him() {
    // The customer's and the reseller's prices are none of the carrier's business, and so is where their intervals end.
    check(
        Owner::Carrier(CARRIER),
        &[Entry::from(cut())],
        expect![[r#"
            1
            original,,0,,,19:24:51.460,19:24:50.890,10.880,0.032100,,,
            10.880 0.000000 0.032100
        "#]],
    );
}

#[test]
fn references_file_in_fragments_has_a_record_with_an_id_of_its_own_for_each() {
    let config = ExportConfig { fragments: true, ..ExportConfig::default() };
    let streams = Streams::load(&config).unwrap();
    let format = streams.named("").unwrap().format(Owner::System);
    let rendered = render(&spec(format, Owner::System), &[Entry::from(cut())]).unwrap();
    assert_eq!(verify(&rendered.bytes).unwrap().rows, 2);
    let text = String::from_utf8(rendered.bytes).unwrap();
    assert!(text.starts_with("007,0002\n"), "{text}");
    let columns =
        |line: &str| line.split(',').map(|value| value.trim_matches('\'').to_owned()).collect::<Vec<_>>();
    let [first, second] = [1, 2].map(|line| columns(text.lines().nth(line).unwrap()));
    let changed: Vec<_> = (1..).zip(first.iter().zip(&second)).filter(|(_, (a, b))| a != b).collect();
    // The id; update time and rating time, which are the end; start, duration; of reseller and customer cost and free time.
    let places: Vec<_> = changed.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [1, 2, 31, 32, 35, 36, 37, 43, 52], "{changed:?}");
    assert_ne!(first[0], second[0]);
    let id_of_call = Format::parse(
        "id",
        "about = \"x\"\nlayout = \"delimited\"\nquotes = \"\"\nfield = [{ name = \"id\" }]\n",
    );
    let whole = render(&spec(&id_of_call.unwrap(), Owner::System), &[Entry::from(cut())]).unwrap();
    assert_eq!(String::from_utf8(whole.bytes).unwrap().trim_end(), first[0], "the first has the call's own");
}

#[test]
fn repeated_calls_are_not_in_fragments_where_no_record_can_be_taken_back() {
    let refused: ExportConfig = toml::from_str("fragments = true\ncorrections = \"repeat\"\n").unwrap();
    let why = Streams::load(&refused).unwrap_err().to_string();
    assert!(why.contains("a format with reversals, beside fragments = true"), "{why}");
    let with_reversals: ExportConfig = toml::from_str(
        "[[streams]]\nname = \"csv\"\nformat = \"csv\"\nowners = [\"system\"]\nfragments = true\ncorrections = \"repeat\"\n",
    )
    .unwrap();
    Streams::load(&with_reversals).unwrap();
}
