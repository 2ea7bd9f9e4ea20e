//! The PDF of an invoice: its bytes, its text, its pages.
//!
//! The text is read back with poppler's `pdftotext`; where that is missing the tests that need it say so and pass,
//! unless `CI` is `true`. Every PDF made here stays in `target/tmp/invoices` to be looked at.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail and speak like the tests"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::NaiveDate;
use invoicing::{Invoice, Period, RecurringFee, UsageLine, assemble, render_pdf};
use model::{
    Account, AccountId, AccountKind, AccountStatus, Address, Contact, Currency, FraudPolicy, Money, Tenant,
    TenantId,
};
use rust_decimal::Decimal;

const VIENNA: chrono_tz::Tz = chrono_tz::Europe::Vienna;

fn issuer() -> Contact {
    Contact {
        name: "Nordtel Telekommunikation GmbH".to_owned(),
        address: Address {
            street: "Gumpendorfer Straße 14".to_owned(),
            postcode: "1060".to_owned(),
            city: "Wien".to_owned(),
            country: "AT".to_owned(),
        },
        email: "billing@nordtel.example".to_owned(),
        vat_id: "ATU12345678".to_owned(),
        registration: "FN 123456a".to_owned(),
        iban: "AT611904300234573201".to_owned(),
    }
}

fn customer() -> Contact {
    Contact {
        name: "Müller & Söhne Spedition AG".to_owned(),
        address: Address {
            street: "Lagerhausstraße 7\nTor 3".to_owned(),
            postcode: "80331".to_owned(),
            city: "München".to_owned(),
            country: "DE".to_owned(),
        },
        email: "rechnung@mueller.example".to_owned(),
        vat_id: "DE123456789".to_owned(),
        ..Contact::default()
    }
}

fn calls(zone: &str, zone_detail: &str, calls: u64, billed_seconds: u64, micros: i64) -> UsageLine {
    UsageLine {
        zone: zone.to_owned(),
        zone_detail: zone_detail.to_owned(),
        calls,
        billed_seconds,
        cost: Decimal::new(micros, 6),
    }
}

fn usual_calls() -> Vec<UsageLine> {
    vec![
        calls("Austria", "fixed", 1_204, 361_205, 90_301_250),
        calls("Austria", "mobile", 860, 154_822, 232_233_000),
        calls("Germany", "fixed", 377, 90_480, 27_144_000),
        calls("Germany", "mobile", 214, 41_736, 76_516_000),
        calls("Vietnam", "mobile", 12, 2_904, 4_356_000),
        calls("Cuba", "", 1, 61, 1_014_166),
    ]
}

fn invoice(issuer: Contact, customer: Contact, usage: Vec<UsageLine>) -> Invoice {
    let tenant = Tenant {
        id: TenantId(1),
        handle: "nordtel".to_owned(),
        contact: issuer,
        currency: Currency::EUR,
        timezone: VIENNA,
    };
    let account = Account {
        id: AccountId(7),
        tenant: TenantId(1),
        kind: AccountKind::Customer,
        handle: "K-10482".to_owned(),
        reseller: None,
        status: AccountStatus::Active,
        currency: Currency::EUR,
        timezone: VIENNA,
        contact: customer,
        vat_percent: Decimal::from(20),
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: Vec::new(),
    };
    let fees = vec![
        RecurringFee {
            name: "Business Voice 30".to_owned(),
            amount: Money::new(Decimal::from(1_049), Currency::EUR),
        },
        RecurringFee {
            name: "Loyalty discount".to_owned(),
            amount: Money::new(Decimal::new(-4_990, 2), Currency::EUR),
        },
    ];
    let period = Period::month("2026-10", VIENNA).unwrap();
    let issue_date = NaiveDate::from_ymd_opt(2026, 11, 1).unwrap();
    assemble(&tenant, &account, period, fees, usage, issue_date).unwrap()
}

fn final_invoice(issuer: Contact, customer: Contact, usage: Vec<UsageLine>) -> Invoice {
    let mut invoice = invoice(issuer, customer, usage);
    invoice.finalise("NT-2026-000117".to_owned()).unwrap();
    invoice
}

/// Renders and keeps `name`.pdf.
fn render(name: &str, invoice: &Invoice) -> Vec<u8> {
    let pdf = render_pdf(invoice).unwrap();
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
    assert_ne!(render_pdf(&second).unwrap(), pdf);
    assert_eq!(render_pdf(&first).unwrap(), pdf, "a second rendering, with another one between");
    let stored = Invoice::from_json(&first.to_json().unwrap()).unwrap();
    assert_eq!(render_pdf(&stored).unwrap(), pdf, "rendered from what the store keeps");
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
