//! The PDF of an invoice: its bytes, its text, its pages.
//!
//! The text is read back with poppler's `pdftotext`; where that is missing the tests that need it say so and pass,
//! unless `CI` is `true`. Every PDF made here stays in `target/tmp/invoices` to be looked at.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail and speak like the tests"
)]

mod fixture;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::NaiveDate;
use fixture::{calls, customer, final_invoice, invoice, issuer, usual_calls};
use invoicing::{CallEntry, Invoice, Template};
use model::{Address, Contact};
use rust_decimal::Decimal;

fn render_pdf(invoice: &Invoice) -> Vec<u8> {
    invoicing::render_pdf(invoice, &Template::default()).unwrap()
}

/// Renders and keeps `name`.pdf.
fn render(name: &str, invoice: &Invoice) -> Vec<u8> {
    let pdf = render_pdf(invoice);
    assert!(pdf.starts_with(b"%PDF-1.7"), "{name}");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("invoices");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("{name}.pdf")), &pdf).unwrap();
    pdf
}

/// The text of the pages, or `None` after a line that says why not.
fn text_of(pdf: &[u8]) -> Option<String> {
    let started = Command::new("pdftotext")
        .args(["-layout", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut reader = match started {
        Ok(reader) => reader,
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "pdftotext: {error}");
            eprintln!("skipped: pdftotext ({error}); apt-get install poppler-utils");
            return None;
        }
    };
    reader.stdin.take().unwrap().write_all(pdf).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    // The breaking places inside long words are not part of the text.
    Some(String::from_utf8(output.stdout).unwrap().replace('\u{200b}', ""))
}

/// Spaces and line ends are the layout's; the rest must be there.
#[track_caller]
fn assert_holds(text: &str, expected: &str) {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    assert!(squeeze(text).contains(&squeeze(expected)), "{expected:?} is not in:\n{text}");
}

#[test]
fn same_invoice_gives_the_same_bytes_and_another_one_others() {
    let first = final_invoice(issuer(), customer(), usual_calls());
    let mut second = first.clone();
    second.number = Some("NT-2026-000118".to_owned());
    let pdf = render("usual", &first);
    assert_ne!(render_pdf(&second), pdf);
    assert_eq!(render_pdf(&first), pdf, "a second rendering, with another one between");
    let stored = Invoice::from_json(&first.to_json().unwrap()).unwrap();
    assert_eq!(render_pdf(&stored), pdf, "rendered from what the store keeps");
}

#[test]
fn page_says_who_owes_whom_how_much_until_when() {
    let Some(text) = text_of(&render("usual", &final_invoice(issuer(), customer(), usual_calls()))) else {
        return;
    };
    for expected in [
        "Nordtel Telekommunikation GmbH",
        "Gumpendorfer Straße 14",
        "Müller & Söhne Spedition AG",
        "Tor 3",
        "80331 München",
        "Invoice NT-2026-000117",
        "Invoice date 1 November 2026",
        "Customer no. K-10482",
        "1 – 31 October 2026",
        "local time of Europe/Vienna",
        "Business Voice 30 1 20 % 1,049.00",
        "Loyalty discount 1 20 % -49.90",
        "Austria · fixed 1,204 6,020:05 20 % 90.30",
        "Austria · mobile 860 2,580:22 20 % 232.23",
        "Cuba 1 1:01 20 % 1.01",
        "20 % 1,430.66 286.13",
        "Total EUR 1,716.79",
        "Please pay EUR 1,716.79 by 15 November 2026",
        "IBAN AT61 1904 3002 3457 3201",
        "Reference NT-2026-000117",
        "VAT ID ATU12345678",
        "DE123456789",
        "Page 1 of 1",
    ] {
        assert_holds(&text, expected);
    }
}

#[test]
fn text_that_looks_like_markup_is_printed_as_it_is() {
    let attempts = [
        r##"#panic("no") #import "/etc/passwd""##,
        r#"*bold* _it_ `raw` $x^2$ @ref <label> ~ \ // /* */"#,
        r##"]#read("/etc/passwd")["##,
        r#"= Title "quotes" 'single' -- --- ... {code} %s {{x}}"#,
    ];
    let [name, street, zone, fee] = attempts;
    let customer = Contact {
        name: name.to_owned(),
        address: Address { street: street.to_owned(), ..customer().address },
        ..customer()
    };
    let mut invoice = invoice(issuer(), customer, vec![calls(zone, attempts[3], 1, 60, 100_000)]);
    invoice.account = fee.to_owned();
    invoice.finalise(r#"1]#"$"#.to_owned()).unwrap();
    let Some(text) = text_of(&render("markup", &invoice)) else { return };
    // What wraps stands in two lines of the layout.
    for part in [name, street, zone, r#"= Title "quotes" 'single' -- --- ..."#, "{code} %s", "{{x}}"] {
        assert_holds(&text, part);
    }
    assert_holds(&text, r#"Invoice 1]#"$"#);
}

#[test]
fn names_of_every_script_and_length_do_not_stop_an_invoice() {
    let names = [
        ("vietnamese", "Công ty TNHH Viễn thông Nguyễn Đức Phượng".to_owned(), true),
        ("greek", "Ελληνικές Τηλεπικοινωνίες · Телеком".to_owned(), true),
        ("arabic", "شركة الاتصالات العربية".to_owned(), false),
        ("chinese", "中国电信集团有限公司 😀".to_owned(), false),
        ("long", "Vereinigte ".repeat(19), true),
        ("unbroken", "Donaudampfschifffahrtsgesellschaft".repeat(6), true),
        ("control", "bell\u{7} null\u{0} tab\t line\nnext\u{202e}".to_owned(), false),
        ("empty", String::new(), true),
    ];
    for (file, name, reads_back) in names {
        let customer = Contact { name: name.clone(), ..customer() };
        let issuer = Contact { name: name.clone(), ..issuer() };
        let invoice = final_invoice(issuer, customer, vec![calls(&name, &name, 1, 60, 100_000)]);
        let Some(text) = text_of(&render(file, &invoice)) else { continue };
        assert_holds(&text, "Total EUR 1,199.04");
        if reads_back && !name.contains("Donau") {
            assert_holds(&text, name.split(' ').next().unwrap());
        }
    }
}

#[test]
fn four_hundred_lines_run_over_pages_that_repeat_the_header_and_lose_none() {
    let usage = (0..400).map(|idx| calls(&format!("Zone-{idx:03}"), "mobile", 3, 181, 1_234_567)).collect();
    let Some(text) = text_of(&render("pages", &final_invoice(issuer(), customer(), usage))) else { return };
    for idx in 0..400 {
        assert_eq!(text.matches(&format!("Zone-{idx:03}")).count(), 1, "zone {idx}");
    }
    let pages: Vec<&str> = text.trim_end_matches('\u{c}').split('\u{c}').collect();
    assert!(pages.len() > 8, "{} pages", pages.len());
    for (idx, page) in pages.iter().enumerate() {
        assert_holds(page, &format!("Page {} of {}", idx + 1, pages.len()));
        assert_eq!(page.contains("Zone-"), page.contains("Minutes (m:ss)"), "page {}", idx + 1);
        assert!(page.contains("Invoice NT-2026-000117"), "page {}", idx + 1);
    }
    assert_holds(&text, "Total EUR 1,789.32");
    assert_holds(pages.last().unwrap(), "Reference NT-2026-000117");
    assert_holds(pages.last().unwrap(), "Net amount 1,491.10");
}

#[test]
fn draft_and_empty_invoice_ask_for_no_payment() {
    let Some(text) = text_of(&render("draft", &invoice(issuer(), customer(), usual_calls()))) else { return };
    assert_holds(&text, "Draft invoice");
    assert_holds(&text, "nothing is to be paid on it");
    assert!(!text.contains("Please pay"));

    let mut empty = final_invoice(issuer(), customer(), Vec::new());
    empty.lines.clear();
    empty.vat.clear();
    empty.totals.net = Decimal::ZERO;
    empty.totals.vat = Decimal::ZERO;
    empty.totals.gross = Decimal::ZERO;
    empty.check().unwrap();
    let Some(text) = text_of(&render("empty-invoice", &empty)) else { return };
    assert_holds(&text, "No charges in this period.");
    assert_holds(&text, "Total EUR 0.00");
    assert_holds(&text, "Nothing is to be paid on this invoice.");
}

/// Lists of carriers are often in capitals, which need more room than as many small letters; and a destination may be a name.
#[test]
fn calls_to_long_zones_do_not_lie_on_each_other() {
    let zones = ["UNITED KINGDOM MOBILE VODAFONE", "PAPUA NEW GUINEA MOBILE DIGICEL", "Germany, fixed"];
    for (file, callee) in [("capitals", "004930123456"), ("names", "SUPPORT@CUSTOMER.EXAMPLE")] {
        let mut invoice = invoice(issuer(), customer(), vec![calls("Far", "mobile", 9, 61, 90_000)]);
        invoice.calls = (0..9_usize)
            .map(|idx| CallEntry {
                at: NaiveDate::from_ymd_opt(2026, 10, 1).unwrap().and_hms_opt(8, 0, 7).unwrap(),
                to: callee.to_owned(),
                zone: zones[idx % zones.len()].to_owned(),
                seconds: Decimal::from(61),
                cost: Decimal::new(1, 2),
            })
            .collect();
        invoice.finalise("NT-2026-000118".to_owned()).unwrap();
        let Some(rows) = rows_of(&render(file, &invoice)) else { return };
        let callees = rows.iter().filter(|(word, _)| word == callee).map(|(_, at)| *at).collect::<Vec<_>>();
        assert_eq!(callees.len(), 9, "{rows:?}");
        // The last word of a zone that has no room in one line stands between two calls, not on the next.
        for (word, at) in rows.iter().filter(|(word, _)| word == "VODAFONE" || word == "DIGICEL") {
            let nearest = callees.iter().map(|callee| (callee - at).abs()).min().unwrap();
            assert!(nearest == 0 || nearest > 400, "{word} is {nearest} hundredths of a point from a call");
        }
        assert_eq!(rows.iter().filter(|(word, _)| word == "VODAFONE").count(), 3);
    }
}

/// Each word and how far down the page it begins, in hundredths of a point; `None` where the reader is missing.
fn rows_of(pdf: &[u8]) -> Option<Vec<(String, i64)>> {
    text_of(pdf)?;
    let mut reader = Command::new("pdftotext")
        .args(["-bbox", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    reader.stdin.take().unwrap().write_all(pdf).unwrap();
    let output = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
    let word = |line: &str| {
        let (_, rest) = line.trim().strip_prefix("<word ")?.split_once("yMin=\"")?;
        let (at, rest) = rest.split_once('"')?;
        let (_, word) = rest.split_once('>')?;
        let at: Decimal = at.parse().ok()?;
        let hundredths = i64::try_from((at * Decimal::ONE_HUNDRED).round().mantissa()).ok()?;
        Some((word.strip_suffix("</word>")?.replace('\u{200b}', ""), hundredths))
    };
    Some(output.lines().filter_map(word).collect())
}
