//! Formats as data: what is refused when a description is loaded, with its line; the delivered formats byte for byte;
//! and that every file we write is one that we accept, whatever stands in a call.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[expect(dead_code, reason = "the world around the calls is for the tests of streams")]
mod calls;

use std::fs;
use std::path::PathBuf;

use calls::*;
use expect_test::{Expect, expect};
use exports::{
    Contents, DELIVERED, Entry, FileSpec, Format, Owner, Queued, Rendered, Subject, digest_of, load_format,
    render, render_all, unpacked,
};
use model::RatedCdr;
use proptest::prelude::*;

fn spec<'a>(format: &'a Format, owner: Owner) -> FileSpec<'a> {
    FileSpec {
        format,
        owner,
        owner_name: "tele/co",
        stream: "ama",
        way: "out",
        name: "ama/1",
        sequence: 42,
        created_at: at("2026-03-25T23:30:05Z"),
        day: None,
        zone: format.zone().unwrap_or(chrono_tz::Europe::Vienna),
    }
}

fn file_of(format: &Format, owner: Owner, entries: &[Entry]) -> Rendered {
    render(&spec(format, owner), entries).unwrap()
}

fn entries(rows: Vec<RatedCdr>) -> Vec<Entry> {
    rows.into_iter().map(Entry::from).collect()
}

/// A call, and the same call corrected.
fn corrected() -> Entry {
    let earlier = calls().swap_remove(0);
    let mut rated = earlier.clone();
    rated.cdr.revision = 1;
    rated.charges[2].cost = "0.3".parse().unwrap();
    Entry { rated, earlier: Some(earlier) }
}

#[track_caller]
fn check_golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let kept = fs::read(&path).unwrap_or_default();
    assert!(kept == bytes, "{name} is not what was kept; now it is:\n{}", String::from_utf8_lossy(bytes));
}

/// What a format of these facts writes of a call, for that owner.
fn shown(facts: &[&str], owner: Owner, rated: &RatedCdr) -> String {
    let fields: Vec<String> = facts.iter().map(|fact| format!("{{ name = {fact:?} }}")).collect();
    let text =
        format!("about = \"x\"\nlayout = \"delimited\"\nquotes = \"\"\nfield = [{}]\n", fields.join(","));
    let format = Format::parse("facts", &text).unwrap();
    let spec = spec(&format, owner);
    let entries = [Entry::from(rated.clone())];
    String::from_utf8(render(&spec, &entries).unwrap().bytes).unwrap().trim_end().to_owned()
}

#[test]
fn what_mediation_keeps_of_a_call_can_be_shown_to_those_it_is_of() {
    let mut rated = calls().swap_remove(0);
    rated.cdr.source.party = subscriber(1, RESELLER);
    rated.cdr.destination.party = trunk(CARRIER);
    rated.cdr.detail = model::CdrDetail {
        emergency: true,
        stir: "attest=A".into(),
        preferred_identity: "sip:alice@example.org".into(),
        user_to_user: "00ff".into(),
        history_info: "<sip:bob@example.org>;index=1".into(),
        media: Some(model::MediaQuality {
            mos_hundredths: Some(441),
            loss_hundredths: Some(150),
            jitter_us: Some(12_500),
            round_trip_us: None,
        }),
        peer_auth_user: "tollbook".into(),
        peer_auth_realm: "telco".into(),
        ..model::CdrDetail::default()
    };
    let caller = ["stir", "preferred_identity", "user_to_user", "history_info"];
    let peer = ["peer_auth_user", "peer_auth_realm"];
    let media =
        ["emergency", "media_mos_hundredths", "media_loss_hundredths", "media_jitter", "media_round_trip"];
    for owner in [Owner::System, Owner::Reseller(RESELLER)] {
        let told = "attest=A,sip:alice@example.org,00ff,<sip:bob@example.org>;index=1";
        assert_eq!(shown(&caller, owner, &rated), told);
        assert_eq!(shown(&peer, owner, &rated), "tollbook,telco");
        assert_eq!(shown(&media, owner, &rated), "1,441,150,0.013,");
    }
    // The carrier has its own account's login, and nothing of who called; another one not even that.
    assert_eq!(shown(&caller, Owner::Carrier(CARRIER), &rated), ",,,");
    assert_eq!(shown(&peer, Owner::Carrier(CARRIER), &rated), "tollbook,telco");
    assert_eq!(shown(&peer, Owner::Carrier(OTHER_CARRIER), &rated), ",");
    // What a carrier sent us it may read again.
    rated.cdr.source.party = trunk(OTHER_CARRIER);
    assert!(shown(&caller, Owner::Carrier(OTHER_CARRIER), &rated).starts_with("attest=A,"));
}

#[test]
fn calls_read_where_they_lie_make_the_same_files() {
    let mut calls = calls();
    // What needs a second look in one format or another.
    calls[0].cdr.source.user = "o'n\\eil \"x\", Żółć\n".into();
    calls[1].cdr.codec = "é".into();
    let entries: Vec<Entry> = calls.into_iter().map(Entry::from).chain([corrected()]).collect();
    let payloads: Vec<(Vec<u8>, Option<Vec<u8>>)> = entries
        .iter()
        .map(|entry| {
            let earlier = entry.earlier.as_ref().map(model::wire::encode_rated);
            (model::wire::encode_rated(&entry.rated), earlier)
        })
        .collect();
    let queued: Vec<Queued<'_>> =
        payloads.iter().map(|(call, earlier)| Queued { call, earlier: earlier.as_deref() }).collect();
    for (name, _) in DELIVERED {
        let format = load_format(name).unwrap();
        if format.subject() == Subject::Events {
            continue;
        }
        for owner in [Owner::System, Owner::Reseller(RESELLER), Owner::Carrier(CARRIER)] {
            let spec = spec(&format, owner);
            let both = [Contents::Calls(&entries), Contents::Queued(&queued)];
            let files: Vec<_> = both.into_iter().map(|contents| (spec.clone(), contents)).collect();
            let rendered: Vec<_> = render_all(&files).into_iter().map(Result::unwrap).collect();
            assert_eq!(rendered[0], rendered[1], "{name} for {owner}");
        }
    }
    // One that cannot be read is said so, and no file comes of it.
    let format = load_format("csv").unwrap();
    let broken = [queued[0], Queued { call: b"\xff", earlier: None }];
    let refused = render_all(&[(spec(&format, Owner::System), Contents::Queued(&broken))]).pop().unwrap();
    assert_eq!(refused.unwrap_err().code(), "EXP009");
}

/// Room for a header that tells of the records is left as the file before had it, and buffers are those of files before.
#[test]
fn header_with_sums_is_that_of_its_own_file_whatever_was_written_before() {
    let few = entries(calls());
    let mut long = calls();
    long.iter_mut().for_each(|rated| rated.cdr.duration_us = 1_234_567_890_123);
    let many: Vec<Entry> = entries(long.iter().cycle().take(40).cloned().collect());
    let format = load_format("reference-kabelplus").unwrap();
    let alone = |entries: &[Entry]| {
        // A format of its own knows of no file before.
        let format = load_format("reference-kabelplus").unwrap();
        render_all(&[(spec(&format, Owner::System), Contents::Calls(entries))]).pop().unwrap().unwrap()
    };
    let buffers = exports::Buffers::default();
    for entries in [few.as_slice(), &many, &[], &many, &few] {
        let payloads: Vec<Vec<u8>> =
            entries.iter().map(|entry| model::wire::encode_rated(&entry.rated)).collect();
        let queued: Vec<Queued<'_>> = payloads.iter().map(|call| Queued { call, earlier: None }).collect();
        let files = vec![(spec(&format, Owner::System), Contents::Queued(&queued)); 17];
        for rendered in exports::render_all_into(&files, &buffers) {
            let rendered = rendered.unwrap();
            assert_eq!(rendered, alone(entries));
            buffers.give_back(rendered.bytes);
        }
    }
}

/// Calls that come by the dozen are written by steps of their own, which say the same.
#[test]
fn many_calls_of_many_kinds_make_the_files_that_each_makes_alone() {
    let mut kinds = calls();
    let mut told = calls().swap_remove(0);
    told.cdr.detail.setup_us = Some(2_300_000);
    told.cdr.detail.stir = "attest=A".into();
    told.cdr.detail.peer_auth_user = "us".into();
    told.cdr.detail.emergency = true;
    let mut hidden = told.clone();
    hidden.cdr.source.clir = true;
    hidden.cdr.detail.reason = "Q.850;cause=\"16\"".into();
    hidden.cdr.code = 486;
    let mut partial = told.clone();
    partial.cdr.partial = true;
    partial.cdr.source.user = " o'n\\eil, \"x\" ".into();
    kinds.extend([told, hidden, partial]);
    let rows: Vec<RatedCdr> = (0..40).flat_map(|_| kinds.clone()).collect();
    let mut payloads: Vec<(Vec<u8>, Option<Vec<u8>>)> =
        rows.iter().map(|rated| (model::wire::encode_rated(rated), None)).collect();
    let (entry, n_plain) = (corrected(), payloads.len());
    let earlier = entry.earlier.as_ref().map(model::wire::encode_rated);
    payloads.extend((0..40).map(|_| (model::wire::encode_rated(&entry.rated), earlier.clone())));
    let entries: Vec<Entry> = entries(rows).into_iter().chain((0..40).map(|_| entry.clone())).collect();
    assert_eq!(entries.len(), n_plain + 40);
    let queued: Vec<Queued<'_>> =
        payloads.iter().map(|(call, earlier)| Queued { call, earlier: earlier.as_deref() }).collect();
    for (name, _) in DELIVERED {
        let format = load_format(name).unwrap();
        if format.subject() == Subject::Events {
            continue;
        }
        let owners = [
            Owner::System,
            Owner::Reseller(RESELLER),
            Owner::Carrier(CARRIER),
            Owner::Carrier(OTHER_CARRIER),
        ];
        // Beside each other, so that what one file has worked out is used by those of other owners, and so many that they are hashed together.
        let specs: Vec<_> = owners.iter().chain(&owners).map(|owner| spec(&format, *owner)).collect();
        let files: Vec<_> = specs.iter().map(|spec| (spec.clone(), Contents::Queued(&queued))).collect();
        for (spec, rendered) in specs.iter().zip(render_all(&files)) {
            assert!(rendered.unwrap() == render(spec, &entries).unwrap(), "{name} for {}", spec.owner);
        }
    }
}

#[test]
fn delivered_formats_write_what_they_always_wrote() {
    for (name, owner) in [
        ("reference-kabelplus", Owner::System),
        ("reference-intermediate", Owner::System),
        ("csv", Owner::System),
        ("json-lines", Owner::System),
        ("corrections", Owner::System),
        ("fixed-record", Owner::Carrier(CARRIER)),
    ] {
        let format = load_format(name).unwrap();
        let mut rows = calls();
        rows[2].cdr.partial = true;
        if name == "reference-intermediate" {
            rows.retain(|rated| rated.cdr.partial);
        }
        let mut rows = entries(rows);
        rows.push(corrected());
        let rendered = file_of(&format, owner, &rows);
        check_golden(&format!("{name}.{}", format.suffix()), &rendered.bytes);
        let checked = format.check(&rendered.bytes);
        assert!(checked.is_good(), "{name}: {checked:#?}");
        assert_eq!(checked.rows, rendered.rows as u64, "{name}");
    }
}

#[test]
fn every_delivered_format_can_be_read_and_says_what_it_is() {
    for (name, text) in DELIVERED {
        let format = Format::parse(name, text).unwrap();
        assert!(!format.about().is_empty());
        // What is kept with a file gives the same file again.
        let kept = Format::parse(name, &format.to_toml()).unwrap();
        if format.subject() == Subject::Events {
            assert_eq!(kept.to_toml(), format.to_toml());
            continue;
        }
        let rows = entries(calls());
        assert_eq!(file_of(&kept, Owner::System, &rows), file_of(&format, Owner::System, &rows), "{name}");
    }
}

#[test]
fn examples_of_the_manual_are_what_they_say() {
    let manual = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut examples = manual.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let stream: exports::StreamConfig =
        toml::from_str(&examples.next().unwrap().replace("[[exports.streams]]", "")).unwrap();
    let config = exports::ExportConfig { streams: vec![stream], ..exports::ExportConfig::default() };
    exports::Streams::load(&config).unwrap();
    Format::parse("README.md", examples.next().unwrap()).unwrap();
    assert_eq!(examples.next(), None);
}

/// Around a description of a delimited format: the first field is on line 3.
fn parse(layout: &str, more: &str, fields: &[&str]) -> String {
    let text =
        format!("about = \"x\"\nlayout = \"{layout}\"\nfield = [\n{}\n]\n{more}\n", fields.join(",\n"));
    match Format::parse("acme.toml", &text) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn refuses(layout: &str, more: &str, fields: &[&str], expected: Expect) {
    expected.assert_eq(&parse(layout, more, fields));
}

#[test]
fn columns_that_overlap_or_leave_a_gap_are_refused_with_line_and_remedy() {
    let ascii = "charset = \"ascii\"";
    let id = "{ name = \"id\", fact = \"id_hex\", width = 32 }";
    refuses(
        "fixed",
        ascii,
        &[id, "{ name = \"code\", fact = \"call_code\", width = 3, at = 30 }"],
        expect![[
            r#"acme.toml:5: field "code" begins in column 30, which is part of "id"; the next free column is 33"#
        ]],
    );
    refuses(
        "fixed",
        ascii,
        &[id, "{ name = \"code\", fact = \"call_code\", width = 3, at = 35 }"],
        expect![[
            r#"acme.toml:5: columns 33 to 34 belong to no field before "code"; put a field there, such as { name = "filler", text = "", width = 2 }"#
        ]],
    );
    refuses(
        "fixed",
        "charset = \"ascii\"\nrecord_width = 40",
        &[id],
        expect![
            "acme.toml:7: the widths add up to 32, and record_width says 40; a field is missing or of another width"
        ],
    );
    refuses(
        "fixed",
        "",
        &[id],
        expect![[
            r#"acme.toml:2: columns are counted in bytes, which UTF-8 has one to four of for a character; use charset = "iso-8859-1" or "ascii""#
        ]],
    );
    refuses(
        "fixed",
        ascii,
        &["{ name = \"call_code\" }"],
        expect![[r#"acme.toml:4: field "call_code" needs a width in layout = "fixed""#]],
    );
}

#[test]
fn unknown_facts_keys_and_units_are_refused_with_line_and_remedy() {
    refuses(
        "delimited",
        "",
        &["{ name = \"id\" }", "{ name = \"price\", fact = \"source_carier_cost\" }"],
        expect![[
            r#"acme.toml:5: there is no fact "source_carier_cost"; did you mean "source_carrier_cost"?"#
        ]],
    );
    refuses(
        "delimited",
        "",
        &["{ name = \"id\", witdh = 3 }"],
        expect![[
            r#"acme.toml:4: unknown field `witdh`, expected one of `name`, `fact`, `text`, `at`, `width`, `align`, `pad`, `overflow`, `case`, `time`, `zone`, `unit`, `decimals`, `point`, `absent`, `words`, `otherwise`, `when`, `quoted`"#
        ]],
    );
    refuses(
        "delimited",
        "",
        &["{ name = \"id\" }", "{ name = \"start_time\" }"],
        expect![[
            r#"acme.toml:5: field "start_time" is a time; say how it is written, as in time = "%Y-%m-%d %H:%M:%S""#
        ]],
    );
    refuses(
        "delimited",
        "",
        &["{ name = \"duration\", unit = \"cents\" }"],
        expect![[r#"acme.toml:4: field "duration" is a duration, which is not counted in that"#]],
    );
    refuses(
        "delimited",
        "",
        &["{ name = \"id\", time = \"%Y\" }"],
        expect![[r#"acme.toml:4: field "id" is a number; time says nothing of it"#]],
    );
    refuses(
        "delimited",
        "",
        &["{ name = \"call_code\", width = 2, overflow = \"cut\" }"],
        expect![[
            r#"acme.toml:4: field "call_code" is a number, and one that is cut is another one; leave overflow out"#
        ]],
    );
    refuses(
        "delimited",
        "",
        &["{ name = \"id\" }", "{ name = \"id\" }"],
        expect![[r#"acme.toml:5: there are two fields "id"; each has a name of its own"#]],
    );
    refuses(
        "delimited",
        "trailer = [\"${sum cause}\"]",
        &["{ name = \"cause\" }"],
        expect![[
            r#"acme.toml:6: ${sum cause}: there is no field "cause" of numbers, amounts or durations to add up"#
        ]],
    );
    refuses(
        "delimited",
        "separator = \"'\"\nquotes = \"'\"",
        &["{ name = \"cause\" }"],
        expect!["acme.toml:7: quotes and separator are the same character"],
    );
    refuses(
        "delimited",
        "reversals = true",
        &["{ name = \"cause\" }"],
        expect![[
            r#"acme.toml:2: reversals = true needs a field with fact = "record_type", or nobody could tell them from calls"#
        ]],
    );
    refuses(
        "delimited",
        "only = [{ fact = \"start_time\", is = [\"x\"] }]",
        &["{ name = \"cause\" }"],
        expect![[r#"acme.toml:6: "start_time" is a time; conditions ask for texts, numbers and flags"#]],
    );
    refuses(
        "json",
        "",
        &["{ name = \"source_customer_cost\", point = \",\", quoted = false }"],
        expect![[
            r#"acme.toml:4: field "source_customer_cost" is no whole number, and all else is a string here; leave quoted out"#
        ]],
    );
    refuses(
        "delimited",
        "compression = \"gzip\"",
        &["{ name = \"cause\" }"],
        expect![[
            r#"acme.toml:1: a file packed with gzip is not "cdr" to its reader; use suffix = "cdr.gz""#
        ]],
    );
    refuses(
        "fixed",
        "charset = \"ascii\"",
        &["{ name = \"mark\", text = \"TOO LONG\", width = 3 }"],
        expect![[r#"acme.toml:4: field "mark": "TOO LONG" is wider than its field"#]],
    );
    refuses("delimited", "", &[], expect!["acme.toml:2: a record has 1 to 1000 fields, this one has 0"]);
}

/// The records of `calls` by the fields given.
#[track_caller]
fn writes(more: &str, fields: &[&str], rows: &[RatedCdr], expected: Expect) {
    let text = format!("about = \"x\"\nfield = [\n{}\n]\n{more}\n", fields.join(",\n"));
    let format = Format::parse("acme.toml", &text).unwrap();
    let rendered = file_of(&format, Owner::System, &entries(rows.to_vec()));
    let checked = format.check(&rendered.bytes);
    assert!(checked.is_good(), "{checked:#?}");
    let shown: String = rendered.bytes.iter().map(|byte| char::from(*byte)).collect();
    expected.assert_eq(&shown);
}

fn call_of(user: &str) -> RatedCdr {
    let mut rated = calls().swap_remove(0);
    rated.cdr.source.user = user.into();
    rated
}

#[test]
fn umlauts_in_one_byte_and_what_one_byte_cannot_hold() {
    let more = "layout = \"fixed\"\ncharset = \"iso-8859-1\"\n";
    let user = ["{ name = \"source_user\", width = 9, case = \"upper\" }"];
    writes(
        more,
        &user,
        &[call_of("Jörg"), call_of("Ωmega€"), call_of("Weißenböck")],
        expect![[r#"
        JÖRG     
        ?MEGA?   
        WEISSENBÖ
    "#]],
    );
    writes(
        &format!("{more}unfit = \"drop\""),
        &user,
        &[call_of("Ωmega€")],
        expect![[r#"
        MEGA     
    "#]],
    );
}

#[test]
fn amounts_and_durations_in_the_partners_units() {
    writes(
        "layout = \"delimited\"\nseparator = \"|\"\nquotes = \"\"\nescape = \"\\\\\"",
        &[
            "{ name = \"m\", fact = \"duration\", unit = \"minutes\", decimals = 2 }",
            "{ name = \"ms\", fact = \"duration\", unit = \"milliseconds\", decimals = 0 }",
            "{ name = \"t\", fact = \"source_carrier_cost\", unit = \"thousandths\", decimals = 2, point = \",\" }",
            "{ name = \"u\", fact = \"source_carrier_cost\", unit = \"millionths\", decimals = 0, width = 9, pad = \"0\" }",
            "{ name = \"i\", fact = \"source_carrier_cost\", decimals = 4, point = \"\" }",
            "{ name = \"z\", fact = \"start_time\", time = \"%d.%m.%y %H:%M:%S\", zone = \"America/New_York\" }",
            "{ name = \"w\", fact = \"call_status\", words = { ok = \"A\" }, otherwise = \"X\" }",
            "{ name = \"c\", fact = \"source_user\", when = { fact = \"call_status\", is_not = [\"ok\"] }, absent = \"-\" }",
        ],
        &[calls().swap_remove(0), calls().swap_remove(3)],
        expect![[r#"
            0.18|10880|32,10|000032100|00321|25.03.26 15:24:51|A|-
            0.00|0||000000000||25.03.26 15:24:51|X|o'hara\\, "fred"  007,9999
        "#]],
    );
}

#[test]
fn a_call_that_does_not_fit_is_told_by_field_and_without_its_value() {
    let text = "about = \"x\"\nlayout = \"fixed\"\ncharset = \"ascii\"\n\
                field = [{ name = \"who\", fact = \"source_user\", width = 5, overflow = \"refuse\" }]";
    let format = Format::parse("acme.toml", text).unwrap();
    assert!(format.refuses_some());
    let error = render(&spec(&format, Owner::System), &entries(vec![call_of("margarethe")])).unwrap_err();
    assert_eq!(error.code(), "EXP008");
    assert!(error.to_string().contains("\"who\"") && !error.to_string().contains("margarethe"), "{error}");
}

#[test]
fn packed_file_is_the_same_every_time_and_unpacks_to_what_was_written() {
    let text = DELIVERED.iter().find(|(name, _)| *name == "csv").unwrap().1;
    let packed = text.replace("suffix = \"csv\"", "suffix = \"csv.gz\"\ncompression = \"gzip\"");
    let (plain, packed) = (Format::parse("a", text).unwrap(), Format::parse("b", &packed).unwrap());
    let rows = entries(calls());
    let (one, two) = (file_of(&packed, Owner::System, &rows), file_of(&packed, Owner::System, &rows));
    assert_eq!(one, two);
    assert_eq!(digest_of(exports::Digest::Sha256, &one.bytes), one.sha256);
    assert_eq!(unpacked(one.bytes).unwrap(), file_of(&plain, Owner::System, &rows).bytes);
}

#[test]
fn faults_of_a_partners_file_are_told_with_their_lines() {
    let format = load_format("fixed-record").unwrap();
    let good = file_of(&format, Owner::Carrier(CARRIER), &entries(calls())).bytes;
    let text = String::from_utf8(good).unwrap();
    let broken = text
        .replacen("0000010880", "000001088x", 1)
        .replacen("NORMAL          ", "NORMAL         ", 1)
        .replace("990000000006", "990000000007");
    let shown: String = format
        .check(broken.as_bytes())
        .faults
        .iter()
        .map(|fault| format!("{}: {}\n", fault.line, fault.what))
        .collect();
    expect![[r#"
        2: it is 199 characters long, and a record has 200
        8: it says 0000000007 records, and there are 6
        8: it says that "duration_ms" adds up to 000000000043520, and the records add up to 32640
        8: the crc32 of what is before is c10fd718, and the line says 7316177d; fetch the file again
    "#]]
    .assert_eq(&shown);
}

#[test]
fn cut_off_file_is_told_as_such() {
    for (name, _) in DELIVERED {
        let format = load_format(name).unwrap();
        let good = file_of(&format, Owner::System, &entries(calls())).bytes;
        let checked = format.check(&good[..good.len() - 1]);
        assert!(!checked.is_good(), "{name}");
        assert!(checked.faults[0].what.contains("cut off"), "{name}: {checked:?}");
        let n_lines = checked.rows;
        assert!(format.check(&[]).n_faults > 0 || n_lines > 0, "{name}");
    }
}

proptest! {
    /// What no caller, no name and no number can break: as many values as fields, in as many lines as records.
    #[test]
    fn every_delivered_format_accepts_what_it_wrote(
        user in any::<String>(), call_id in any::<String>(), dialed in "\\PC{0,40}", zone in any::<String>(),
        micros in any::<i64>(), duration in 0_u64..100_000_000_000, start in 0_i64..4_000_000_000,
    ) {
        let mut rated = calls().swap_remove(0);
        rated.cdr.source.user = user.into();
        rated.cdr.sip_call_id = call_id.into();
        rated.cdr.destination.dialed = dialed.into();
        rated.cdr.duration_us = duration;
        rated.cdr.start_at = chrono::DateTime::from_timestamp(start, 123_000_000).unwrap();
        rated.charges[2].zone = zone;
        rated.charges[2].cost = rust_decimal::Decimal::new(micros, 6);
        for (name, _) in DELIVERED {
            let format = load_format(name).unwrap();
            let rendered = file_of(&format, Owner::System, &entries(vec![rated.clone(), rated.clone()]));
            let checked = format.check(&rendered.bytes);
            prop_assert!(checked.is_good(), "{}: {:?}\n{}", name, checked, String::from_utf8_lossy(&rendered.bytes));
            prop_assert_eq!(checked.rows, 2);
        }
    }

    #[test]
    fn no_bytes_make_the_check_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), lines in "[0-9a-f',\\\\\"{}:\r\n]{0,400}") {
        for (name, _) in DELIVERED {
            let format = load_format(name).unwrap();
            format.check(&bytes);
            format.check(lines.as_bytes());
        }
    }
}

fn edr(n: u32, kind: model::EdrKind, old: &str, new: &str) -> model::Edr {
    model::Edr {
        id: format!("provisioning-0-{n}"),
        tenant: model::TenantId(1),
        account: model::AccountId(101),
        subscriber: Some(model::SubscriberId(9)),
        kind,
        old_status: old.to_owned(),
        new_status: new.to_owned(),
        detail: String::new(),
        at: "2026-03-25T23:30:05.250Z".parse().unwrap(),
        reseller: model::AccountId(7),
        uuid: "00000009-0000-4000-8000-000000000000".to_owned(),
        number: Some("43720555123".parse().unwrap()),
    }
}

/// Ten fields for the operator and nine for a reseller, with the count and the MD5 that the reference has (billing-reference 7.3,
/// 7.4).
#[test]
fn edr_file_is_the_references_byte_for_byte() {
    let events = [
        exports::Event {
            edr: edr(17, model::EdrKind::StartProfile, "", "gold"),
            company: "O'Hara Ltd".to_owned(),
        },
        exports::Event {
            edr: edr(18, model::EdrKind::UpdateProfile, "gold", "silver"),
            company: String::new(),
        },
    ];
    for (name, owner, reseller) in [
        ("reference-edr-system", Owner::System, ",'7'"),
        ("reference-edr-reseller", Owner::Reseller(model::AccountId(7)), ""),
    ] {
        let format = load_format(name).unwrap();
        let spec = spec(&format, owner);
        let file = render_all(&[(spec, Contents::Events(&events))]).pop().unwrap().unwrap();
        let text = String::from_utf8(file.bytes.clone()).unwrap();
        let ids: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split('\'').nth(1)).collect();
        let body = format!(
            "001,0002\n\
             '{}','start_profile','','O\\'Hara Ltd','','43720555123','','gold','2026-03-26 00:30:05'{reseller}\n\
             '{}','update_profile','','','','43720555123','gold','silver','2026-03-26 00:30:05'{reseller}\n",
            ids[0], ids[1]
        );
        let md5 = digest_of(exports::Digest::Md5, body.as_bytes());
        assert_eq!(text, format!("{body}{md5}\n"));
        assert!(ids.iter().all(|id| id.parse::<i64>().is_ok_and(|id| id > 0)) && ids[0] != ids[1], "{ids:?}");
        exports::verify(&file.bytes).unwrap();
        assert!(format.check(&file.bytes).is_good(), "{:?}", format.check(&file.bytes));
        let lock = exports::Event {
            edr: edr(19, model::EdrKind::LockChanged, "none", "outgoing"),
            company: String::new(),
        };
        assert!(!format.wants_event(owner, &lock), "the reference has no such event");
    }
}

#[test]
fn facts_of_calls_and_of_events_are_not_mixed() {
    let text =
        "about = \"x\"\nof = \"events\"\nlayout = \"delimited\"\nfield = [\n{ name = \"source_cli\" },\n]\n";
    let refused = Format::parse("x.toml", text).unwrap_err().to_string();
    assert!(refused.starts_with("x.toml:5: there is no fact \"source_cli\""), "{refused}");
}

#[test]
fn events_have_files_of_their_own_and_calls_theirs() {
    let load = |text: &str| {
        let config: exports::ExportConfig = toml::from_str(text).unwrap();
        exports::Streams::load(&config)
    };
    assert!(load("[edr]\n").unwrap().edr().is_some());
    assert!(load("").unwrap().edr().is_none());
    let stream =
        |format: &str| format!("[[streams]]\nname = \"x\"\nformat = \"{format}\"\nowners = [\"system\"]\n");
    let refused = load(&stream("reference-edr-system")).unwrap_err().to_string();
    assert!(refused.contains("[exports.edr]"), "{refused}");
    let refused = load("[edr]\nformat = \"csv\"\n").unwrap_err().to_string();
    assert!(refused.contains("of = \"events\""), "{refused}");
    let refused = load("[edr]\nowners = [\"carriers\"]\n").unwrap_err().to_string();
    assert!(refused.contains("carriers have no events"), "{refused}");
}
