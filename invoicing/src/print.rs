//! The words and figures of an invoice as they are printed.
//!
//! In: an [`Invoice`]. Out: the data a template sees as `invoice.json`: text only, every amount and date already
//! written out, so that no template computes and no binary fraction comes near an amount. Layout and labels are the
//! template's. English figures and dates for now; another language is another set of these functions.

use chrono::NaiveDate;
use model::{Contact, Currency};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::{Invoice, InvoiceLine, LineItem, VatLine};

/// What a template sees.
#[derive(Serialize)]
pub(crate) struct Printed<'a> {
    number: Option<&'a str>,
    issuer: PrintedParty<'a>,
    customer: PrintedParty<'a>,
    account: &'a str,
    issue_date: String,
    due_date: String,
    first_day: String,
    last_day: String,
    /// Both in few words.
    period: String,
    timezone: &'static str,
    currency: &'a str,
    lines: Vec<PrintedLine<'a>>,
    vat: Vec<PrintedVat>,
    net: String,
    vat_total: String,
    gross: String,
    /// Something remains to be paid.
    is_payable: bool,
}

#[derive(Serialize)]
struct PrintedParty<'a> {
    name: &'a str,
    /// Below the name, one string a line.
    address: Vec<String>,
    email: &'a str,
    vat_id: &'a str,
    registration: &'a str,
    /// In groups of four.
    iban: String,
}

#[derive(Serialize)]
struct PrintedLine<'a> {
    kind: &'static str,
    name: &'a str,
    detail: &'a str,
    quantity: String,
    /// Minutes and seconds; empty for a fee.
    duration: String,
    vat_percent: String,
    net: String,
}

#[derive(Serialize)]
struct PrintedVat {
    percent: String,
    net: String,
    vat: String,
}

/// Writes out what is printed of `invoice`.
pub(crate) fn printed(invoice: &Invoice) -> Printed<'_> {
    let money = |amount: Decimal| amount_text(amount, invoice.currency);
    let issuer_country = &invoice.issuer.address.country;
    Printed {
        number: invoice.number.as_deref(),
        issuer: party(&invoice.issuer, issuer_country),
        customer: party(&invoice.customer, issuer_country),
        account: &invoice.account,
        issue_date: date_text(invoice.issue_date),
        due_date: date_text(invoice.due_date),
        first_day: date_text(invoice.period.first_day()),
        last_day: date_text(invoice.period.last_day()),
        period: invoice.period.in_words(),
        timezone: invoice.period.timezone.name(),
        currency: invoice.currency.as_str(),
        lines: invoice.lines.iter().map(|line| printed_line(line, invoice.currency)).collect(),
        vat: invoice
            .vat
            .iter()
            .map(|VatLine { percent, net, vat }| PrintedVat {
                percent: percent_text(*percent),
                net: money(*net),
                vat: money(*vat),
            })
            .collect(),
        net: money(invoice.totals.net),
        vat_total: money(invoice.totals.vat),
        gross: money(invoice.totals.gross),
        is_payable: invoice.totals.gross > Decimal::ZERO,
    }
}

fn printed_line(line: &InvoiceLine, currency: Currency) -> PrintedLine<'_> {
    let (kind, name, detail, quantity, duration) = match &line.item {
        LineItem::Recurring { name, quantity } => {
            ("recurring", name.as_str(), "", grouped(&quantity.to_string()), String::new())
        }
        LineItem::Usage { zone, zone_detail, calls, billed_seconds } => {
            let detail = if zone_detail == zone { "" } else { zone_detail.as_str() };
            ("usage", zone.as_str(), detail, grouped(&calls.to_string()), minutes_text(*billed_seconds))
        }
    };
    PrintedLine {
        kind,
        name,
        detail,
        quantity,
        duration,
        vat_percent: percent_text(line.vat_percent),
        net: amount_text(line.net, currency),
    }
}

fn party<'a>(contact: &'a Contact, issuer_country: &str) -> PrintedParty<'a> {
    let address = &contact.address;
    let mut lines: Vec<String> = address.street.lines().map(|line| line.trim().to_owned()).collect();
    lines.push(format!("{} {}", address.postcode.trim(), address.city.trim()).trim().to_owned());
    // Mail within the country carries no country line (Universal Postal Union, S42).
    if address.country != issuer_country {
        lines.push(address.country.trim().to_owned());
    }
    lines.retain(|line| !line.is_empty());
    PrintedParty {
        name: &contact.name,
        address: lines,
        email: &contact.email,
        vat_id: &contact.vat_id,
        registration: &contact.registration,
        iban: iban_text(&contact.iban),
    }
}

/// `1,234,567.80`: all decimals of the currency.
fn amount_text(amount: Decimal, currency: Currency) -> String {
    let mut amount = amount;
    amount.rescale(currency.minor_decimals());
    grouped(&amount.to_string())
}

/// Puts a comma before every third digit from the end of the whole part.
fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let mut text = sign.to_owned();
    for (idx, digit) in whole.chars().enumerate() {
        if idx > 0 && (whole.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !decimals.is_empty() {
        text.push('.');
        text.push_str(decimals);
    }
    text
}

/// `1,234:05`: minutes and seconds.
fn minutes_text(seconds: u64) -> String {
    format!("{}:{:02}", grouped(&(seconds / 60).to_string()), seconds % 60)
}

/// `8.1`, `20`: no zeros at the end.
fn percent_text(percent: Decimal) -> String {
    percent.normalize().to_string()
}

/// `1 October 2026`.
fn date_text(date: NaiveDate) -> String {
    date.format("%-d %B %Y").to_string()
}

/// `AT61 1904 3002 3457 3201`, whatever the spaces it came with.
fn iban_text(iban: &str) -> String {
    let compact: Vec<char> = iban.chars().filter(|c| !c.is_whitespace()).collect();
    compact.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_thousands_separators_and_all_decimals() {
        let text =
            |amount: &str, currency: &str| amount_text(amount.parse().unwrap(), currency.parse().unwrap());
        assert_eq!(text("0", "EUR"), "0.00");
        assert_eq!(text("999.5", "EUR"), "999.50");
        assert_eq!(text("1234567.80", "EUR"), "1,234,567.80");
        assert_eq!(text("-123456.70", "EUR"), "-123,456.70");
        assert_eq!(text("-999", "VND"), "-999");
        assert_eq!(text("12345678", "VND"), "12,345,678");
        assert_eq!(text("1234.5", "KWD"), "1,234.500");
    }

    #[test]
    fn duration_percent_and_iban_are_written_for_people() {
        assert_eq!(minutes_text(59), "0:59");
        assert_eq!(minutes_text(74_045), "1,234:05");
        assert_eq!(percent_text("20.00".parse().unwrap()), "20");
        assert_eq!(percent_text("8.10".parse().unwrap()), "8.1");
        assert_eq!(iban_text("AT611904300234573201"), "AT61 1904 3002 3457 3201");
        assert_eq!(iban_text(""), "");
    }
}
