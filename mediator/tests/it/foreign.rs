//! Records of other systems.

use chrono_tz::Tz;
use expect_test::{Expect, expect};
use mediator::foreign::{Foreign, ForeignError, Format, Kind, Splitter};
use proptest::prelude::*;

fn format(toml: &str) -> Format {
    // The TOML that people write has the same shape; engines do not read it.
    serde_json::from_str(toml).unwrap_or_else(|why| panic!("{why}: {toml}"))
}

fn csv() -> Format {
    format(
        r#"{"kind": "csv", "delimiter": ";", "timezone": "Europe/Vienna", "numbers": {"country": "43"}, "fields": {
            "key": {"from": "id"}, "source": {"from": "from"}, "destination": {"from": "to"},
            "start": {"from": "when", "time": "%d.%m.%Y %H:%M:%S"}, "duration": {"from": "length", "unit": "hms"},
            "code": {"from": "what", "map": {"ANSWERED": "200", "BUSY": "486"}}}}"#,
    )
}

fn header() -> Vec<String> {
    csv().read_header(b"\xef\xbb\xbfid;from;to;when;length;what\r\n").unwrap()
}

fn line_of(read: &Result<Option<Foreign>, ForeignError>) -> String {
    match read {
        Ok(None) => "passed over".to_owned(),
        Ok(Some(call)) => format!(
            "{} {} -> {} in {} start {} for {} us, {} {} by {}",
            call.key,
            call.source,
            call.destination,
            call.init_at.format("%F %T%.f"),
            call.start_at.format("%T%.f"),
            call.duration_us,
            call.code,
            call.cause,
            call.ended_by,
        ),
        Err(why) => format!("{} {why}", why.code()),
    }
}

fn check(records: &[&str], expected: Expect) {
    let shown: Vec<String> =
        records.iter().map(|raw| line_of(&csv().read(&header(), raw.as_bytes())) + "\n").collect();
    expected.assert_eq(&shown.concat());
}

#[test]
fn described_csv_is_read_with_its_own_times_words_and_numbers() {
    check(
        &[
            "a1;0660 555-123;+49 30 555123;05.10.2026 12:00:00;1:02:03;ANSWERED",
            "a2;00491234;112;05.10.2026 12:00:00;0;BUSY",
            "\"a;3\";431234;4930555;05.10.2026 12:00:00;02:03;ANSWERED\r\n",
        ],
        expect![[r#"
            a1 43660555123 -> 4930555123 in 2026-10-05 10:00:00 start 10:00:00 for 3723000000 us, 200 normal by switch
            a2 491234 -> 112 in 2026-10-05 10:00:00 start 10:00:00 for 0 us, 486 busy by switch
            a;3 431234 -> 4930555 in 2026-10-05 10:00:00 start 10:00:00 for 123000000 us, 200 normal by switch
        "#]],
    );
}

#[test]
fn wrong_field_is_named_with_what_it_should_be() {
    check(
        &[
            ";1;2;05.10.2026 12:00:00;3;ANSWERED",
            "a;1;;05.10.2026 12:00:00;3;ANSWERED",
            "a;1;2;2026-10-05;3;ANSWERED",
            "a;1;2;05.10.2026 12:00:00;-3;ANSWERED",
            "a;1;2;05.10.2026 12:00:00;3;HUNG UP",
            "a;1;2;05.10.2026 12:00:00;3;BUSY",
            "a;1;2",
            "a;1;2;05.10.2026 12:00:00;900:00:00;ANSWERED",
        ],
        expect![[r#"
            IMP002 key is missing: the format looks for it in "id"
            IMP002 destination is missing: the format looks for it in "to"
            IMP003 start is "2026-10-05", but it should be a time as the format describes it
            IMP003 duration is "-3", but it should be a length of 31 days at most, not negative
            IMP003 code is "HUNG UP", but it should be a SIP code from 100 to 699; map other words to one
            IMP004 the record contradicts itself: a call that was not answered has a length
            IMP002 duration is missing: the format looks for it in "length"
            IMP003 duration is "900:00:00", but it should be a length of 31 days at most, not negative
        "#]],
    );
}

/// Both nights in Vienna: 02:30 on 29 March never was, 02:30 on 25 October was twice.
#[test]
fn local_time_that_never_was_is_refused_and_one_that_came_twice_is_the_first() {
    check(
        &["a;1;2;29.03.2026 02:30:00;3;ANSWERED", "b;1;2;25.10.2026 02:30:00;3;ANSWERED"],
        expect![[r#"
        IMP003 start is "29.03.2026 02:30:00", but it should be a time as the format describes it
        b 1 -> 2 in 2026-10-25 00:30:00 start 00:30:00 for 3000000 us, 200 normal by switch
    "#]],
    );
}

#[test]
fn fixed_fields_are_cut_by_their_columns() {
    let format = format(
        r#"{"kind": "fixed", "fields": {
            "key": {"at": [1, 6]}, "source": {"at": [7, 12]}, "destination": {"at": [19, 12]},
            "answer": {"at": [31, 14], "time": "%Y%m%d%H%M%S"}, "duration": {"at": [45, 6]}}}"#,
    );
    let read = |line: &str| line_of(&format.read(&[], line.as_bytes()));
    assert_eq!(
        read("000001431234567   49305551    20261005120000000061"),
        "000001 431234567 -> 49305551 in 2026-10-05 12:00:00 start 12:00:00 for 61000000 us, 200 normal by switch"
    );
    assert_eq!(
        read("000001431234567"),
        "IMP002 answer is missing: the format looks for it in columns 31 to 44"
    );
}

#[test]
fn json_is_read_by_paths_and_the_answer_is_counted_back_from_the_end() {
    let format = format(
        r#"{"kind": "json_lines", "fields": {
            "key": {"from": "id"}, "destination": {"from": "legs.1.number"}, "account": {"from": "customer"},
            "start": {"from": "t0", "time": "epoch_ms"}, "end": {"from": "t1", "time": "epoch_ms"},
            "duration": {"from": "ms", "unit": "milliseconds"}, "ended_by": {"from": "by"}}}"#,
    );
    let line = r#"{"id": 7, "legs": [{}, {"number": "49305551"}], "t0": 1790000000000, "t1": 1790000070500, "ms": 60500, "by": "callee"}"#;
    let read = format.read(&[], line.as_bytes());
    assert_eq!(
        line_of(&read),
        "7  -> 49305551 in 2026-09-21 14:13:20 start 14:13:30 for 60500000 us, 200 normal by callee"
    );
    assert_eq!(read.unwrap().unwrap().account, None);
    assert_eq!(
        line_of(&format.read(&[], b"[1]")),
        "IMP001 the record cannot be read: it is JSON, but no object"
    );
}

/// As FreeSWITCH 1.10 writes it, but for its other variables.
const FREESWITCH: &str = r#"{"core-uuid": "c0", "variables": {"uuid": "5f6d", "direction": "inbound", "sip_call_id": "ab%40192.0.2.10",
 "start_uepoch": "1790000000250000", "answer_uepoch": "1790000005500000", "progress_uepoch": "1790000001250000",
 "end_uepoch": "1790000066000000", "billusec": "60500000", "hangup_cause": "NORMAL_CLEARING", "sip_term_status": "200",
 "sip_hangup_disposition": "recv_bye", "read_codec": "PCMA", "read_rate": "8000", "sip_user_agent": "Phone%2F1.0",
 "sip_network_ip": "192.0.2.10", "accountcode": "baeckerei-huber"},
 "callflow": [{"caller_profile": {"caller_id_number": "%2B43900500", "destination_number": "004930555123"}}]}"#;

#[test]
fn freeswitch_is_understood_out_of_the_box() {
    let format = Format::freeswitch();
    let read = format.read(&[], FREESWITCH.as_bytes());
    assert_eq!(
        line_of(&read),
        "5f6d 43900500 -> 4930555123 in 2026-09-21 14:13:20.250 start 14:13:25.500 for 60500000 us, 200 normal by caller"
    );
    let call = read.unwrap().unwrap();
    assert_eq!(
        (
            call.call_id.as_str(),
            call.user_agent.as_str(),
            call.codec.as_str(),
            call.pdd_us,
            call.account.as_deref()
        ),
        ("ab@192.0.2.10", "Phone/1.0", "PCMA/8000", Some(1_000_000), Some("baeckerei-huber"))
    );
    // Never answered: the code is SIP's where there is one, else that of the cause.
    let unanswered = FREESWITCH.replace("1790000005500000", "0").replace("60500000", "0");
    let busy = unanswered.replace("NORMAL_CLEARING", "USER_BUSY").replace("\"200\"", "\"486\"");
    assert!(line_of(&format.read(&[], busy.as_bytes())).ends_with("486 busy by caller"));
    let given_up = unanswered.replace("NORMAL_CLEARING", "ORIGINATOR_CANCEL").replace("\"200\"", "\"\"");
    assert!(line_of(&format.read(&[], given_up.as_bytes())).ends_with("487 cancelled by caller"));
    // The leg towards the callee is no call of its own.
    let outgoing = FREESWITCH.replace("inbound", "outbound");
    assert_eq!(format.read(&[], outgoing.as_bytes()), Ok(None));
    assert!(line_of(&format.read(&[], b"{\"a\": 1}")).starts_with("IMP001"));
}

#[test]
fn format_that_no_record_could_follow_is_refused_with_its_rule() {
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(csv()).unwrap();
        change(&mut value);
        serde_json::from_value::<Format>(value).unwrap().check().unwrap_err()
    };
    assert_eq!(csv().check(), Ok(()));
    assert_eq!(csv().timezone, Tz::Europe__Vienna);
    assert_eq!(
        refused(&|value| drop(value["fields"].as_object_mut().unwrap().remove("key"))),
        "fields.key: is missing; every record needs one"
    );
    assert_eq!(
        refused(&|value| value["fields"]["key"]["value"] = "x".into()),
        "fields.key: needs one of from, at and value"
    );
    assert!(refused(&|value| value["header"] = false.into()).contains("give its number"));
    assert!(refused(&|value| value["fields"]["code"]["time"] = "epoch".into()).contains("is not a time"));
    assert!(refused(&|value| value["kind"] = "fixed".into()).contains("first column"));
    assert!(refused(&|value| value["delimiter"] = "\"".into()).contains("delimiter"));
}

#[test]
fn header_without_a_column_that_is_needed_is_refused() {
    let refused = csv().read_header(b"id;from;when;length;what\n").unwrap_err();
    assert_eq!(refused.to_string(), "destination is missing: the format looks for it in \"to\"");
}

#[test]
fn record_ends_where_its_quotes_and_braces_are_closed() {
    let lines = |kind, text: &str| {
        let mut splitter = Splitter::new(kind);
        text.split_inclusive('\n').map(|line| splitter.ends_with(line.as_bytes())).collect::<Vec<_>>()
    };
    assert_eq!(lines(Kind::Csv, "a;\"two\nlines \"\"quoted\"\"\nend\";b\n"), [false, false, true]);
    assert_eq!(lines(Kind::Freeswitch, "{\n \"a\": {\"}\": \"\\\"}\"\n}\n}\n"), [false, false, false, true]);
    assert_eq!(lines(Kind::JsonLines, "{\n"), [true]);
}

proptest! {
    /// Nothing that somebody feeds in makes it fail.
    #[test]
    fn any_bytes_are_read_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        for format in [csv(), Format::freeswitch()] {
            let _ = format.read(&header(), &raw);
            let _ = format.read(&[], text.as_bytes());
            let _ = format.read_header(&raw);
        }
        let hostile = FREESWITCH.replace("60500000", &text.replace(['"', '\\'], "")).replace("1790000005500000", "99999999999999999999");
        let _ = Format::freeswitch().read(&[], hostile.as_bytes());
    }
}
