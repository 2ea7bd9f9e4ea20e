//! The PDF of a statement. The text is read back with poppler's `pdftotext`; where that is missing the test says so and passes, unless
//! `CI` is `true`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail and speak like the tests"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};
use invoicing::{StatementOf, render_statement_pdf};
use model::{AccountId, Contact, Currency, Held, Language, PostingReason, Statement, StatementRow};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn statement() -> Statement {
    let own = |own: &str| Held { own: own.parse().unwrap(), ..Held::default() };
    let row = |time, reason, change: &str, after: &str| StatementRow {
        at: at(time),
        reason,
        cdr: None,
        change: own(change),
        after: own(after),
    };
    Statement {
        account: AccountId(7),
        currency: Currency::EUR,
        from: at("2026-09-30T22:00:00Z"),
        to: at("2026-10-31T23:00:00Z"),
        before: own("1"),
        rows: vec![
            row("2026-10-05T09:00:00Z", PostingReason::TopUp, "5", "6"),
            row("2026-10-05T10:00:00Z", PostingReason::Settlement, "-0.123456", "5.876544"),
        ],
    }
}

fn text_of(pdf: &[u8]) -> Option<String> {
    let started = Command::new("pdftotext")
        .args(["-layout", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut reader) = started else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "pdftotext is not installed");
        eprintln!("skipped: pdftotext; apt-get install poppler-utils");
        return None;
    };
    reader.stdin.take().unwrap().write_all(pdf).unwrap();
    Some(String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap())
}

#[test]
fn statement_shows_each_movement_and_what_is_left_in_the_customers_language() {
    let (issuer, customer) = (
        Contact { name: "Meridian".to_owned(), ..Contact::default() },
        Contact { name: "#strong[Hotel] Seeblick".to_owned(), ..Contact::default() },
    );
    for (language, title, movement) in [
        (Language::English, "Statement of balance", "top-up"),
        (Language::German, "Kontoauszug", "Aufladung"),
        (Language::Vietnamese, "Sao kê số dư", "nạp tiền"),
    ] {
        let of = StatementOf {
            issuer: &issuer,
            customer: &customer,
            account: "hotel-seeblick",
            timezone: chrono_tz::Europe::Vienna,
            language,
        };
        let pdf = render_statement_pdf(&statement(), &of).unwrap();
        assert_eq!(render_statement_pdf(&statement(), &of).unwrap(), pdf, "the same again");
        let Some(text) = text_of(&pdf) else { return };
        for expected in [
            title,
            movement,
            "#strong[Hotel] Seeblick",
            "2026-10-01 – 2026-10-31",
            "2026-10-05 12:00:00",
            "-0.123456",
            "5.876544",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
    }
}
