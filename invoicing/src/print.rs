//! The words and figures of an invoice as they are printed.
//!
//! In: an [`Invoice`]. Out: the data a template sees as `invoice.json`: text only, every amount and date already
//! written out in the invoice's language, so that no template computes and no binary fraction comes near an amount.
//! Layout and labels are the template's.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use model::{Contact, Currency, Language};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::payment_qr::payment_text;
use crate::{CallEntry, DocumentKind, Invoice, InvoiceLine, LineItem, PartyDetails, Period, VatLine};

/// What a template sees.
#[derive(Serialize)]
pub(crate) struct Printed<'a> {
    language: &'static str,
    /// `invoice`, `credit_note` or `corrected`.
    kind: &'static str,
    number: Option<&'a str>,
    /// What it takes back or replaces.
    preceding: Option<PrintedReference<'a>>,
    issuer: PrintedParty<'a>,
    customer: PrintedParty<'a>,
    account: &'a str,
    buyer_reference: &'a str,
    order_reference: &'a str,
    issue_date: String,
    due_date: String,
    first_day: String,
    last_day: String,
    /// Both in few words.
    period: String,
    timezone: &'static str,
    currency: &'a str,
    lines: Vec<PrintedLine<'a>>,
    vat: Vec<PrintedVat<'a>>,
    net: String,
    vat_total: String,
    gross: String,
    /// Empty if nothing is.
    prepaid: String,
    /// Empty if there is none.
    rounding: String,
    payable: String,
    /// Lines include VAT.
    includes_vat: bool,
    /// Something remains to be paid.
    is_payable: bool,
    /// `payment-qr.svg` can be read.
    has_payment_qr: bool,
    zones: Vec<PrintedZone<'a>>,
    /// Start, number, zone, length, amount.
    calls: Vec<[String; 5]>,
    /// All of it has room on one page, as it seems. Where that proves wrong the layout is asked again, and told so.
    pub(crate) is_one_page: bool,
}

#[derive(Serialize)]
struct PrintedReference<'a> {
    number: &'a str,
    date: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct PrintedParty<'a> {
    name: &'a str,
    /// Below the name, one string a line.
    address: Vec<String>,
    email: &'a str,
    vat_id: &'a str,
    tax_number: &'a str,
    registration: &'a str,
    /// In groups of four.
    iban: String,
    bic: &'a str,
}

#[derive(Serialize)]
struct PrintedLine<'a> {
    kind: &'static str,
    name: String,
    detail: &'a str,
    /// Name and detail have room in one line.
    is_short: bool,
    /// First and last day; empty for the whole period.
    days: String,
    quantity: String,
    /// Minutes and seconds; empty for a fee.
    duration: String,
    category: &'static str,
    vat_percent: String,
    /// Without VAT, or with it where prices include it.
    amount: String,
}

#[derive(Serialize)]
struct PrintedVat<'a> {
    category: &'static str,
    percent: String,
    net: String,
    vat: String,
    /// Why none is charged; empty if some is.
    reason: &'a str,
}

#[derive(Serialize)]
struct PrintedZone<'a> {
    name: &'a str,
    calls: String,
    duration: String,
    amount: String,
}

/// As many lines of calls are seen at a glance and need no summary.
const USAGE_LINES_PLAIN: usize = 20;

/// How one language writes figures and dates.
#[derive(Clone, Copy)]
struct Style {
    language: Language,
    thousands: char,
    decimal: char,
}

impl Style {
    const fn of(language: Language) -> Self {
        match language {
            Language::English => Self { language, thousands: ',', decimal: '.' },
            Language::German | Language::Vietnamese => Self { language, thousands: '.', decimal: ',' },
        }
    }
}

/// Writes out what is printed of `invoice`.
pub(crate) fn printed(invoice: &Invoice) -> Printed<'_> {
    let style = Style::of(invoice.language);
    let money = |amount: Decimal| style.amount(amount, invoice.currency);
    let unless_zero = |amount: Decimal| if amount.is_zero() { String::new() } else { money(amount) };
    let issuer_country = &invoice.issuer.address.country;
    let totals = &invoice.totals;
    Printed {
        language: invoice.language.as_str(),
        kind: match invoice.kind {
            DocumentKind::Invoice => "invoice",
            DocumentKind::CreditNote { .. } => "credit_note",
            DocumentKind::Corrected { .. } => "corrected",
        },
        number: invoice.number.as_deref(),
        preceding: invoice.preceding().map(|(of, reason)| PrintedReference {
            number: &of.number,
            date: style.date(of.issue_date),
            reason,
        }),
        issuer: party(&invoice.issuer, &invoice.issuer_details, issuer_country),
        customer: party(&invoice.customer, &invoice.customer_details, issuer_country),
        account: &invoice.account,
        buyer_reference: &invoice.buyer_reference,
        order_reference: &invoice.order_reference,
        issue_date: style.date(invoice.issue_date),
        due_date: style.date(invoice.due_date),
        first_day: style.date(invoice.period.first_day()),
        last_day: style.date(invoice.period.last_day()),
        period: style.period(invoice.period),
        timezone: invoice.period.timezone.name(),
        currency: invoice.currency.as_str(),
        lines: invoice.lines.iter().map(|line| printed_line(line, invoice.currency, style)).collect(),
        vat: invoice
            .vat
            .iter()
            .map(|VatLine { category, percent, exemption, net, vat }| PrintedVat {
                category: category.as_str(),
                percent: style.percent(*percent),
                net: money(*net),
                vat: money(*vat),
                reason: exemption.as_ref().map_or("", |exemption| &exemption.reason),
            })
            .collect(),
        net: money(totals.net),
        vat_total: money(totals.vat),
        gross: money(totals.gross),
        prepaid: unless_zero(totals.prepaid),
        rounding: unless_zero(totals.rounding),
        payable: money(totals.payable()),
        includes_vat: invoice.lines.iter().any(|line| line.gross.is_some()),
        is_payable: totals.payable() > Decimal::ZERO,
        has_payment_qr: payment_text(invoice).is_some(),
        zones: zones(invoice, style),
        is_one_page: invoice.calls.is_empty() && invoice.lines.len() <= LINES_OF_ONE_PAGE,
        calls: invoice.calls.iter().map(|call| printed_call(call, invoice.currency, style)).collect(),
    }
}

fn printed_call(call: &CallEntry, currency: Currency, style: Style) -> [String; 5] {
    [
        call.at.format("%Y-%m-%d %H:%M:%S").to_string(),
        call.to.clone(),
        call.zone.clone(),
        style.minutes(false, call.seconds.ceil().try_into().unwrap_or_default()),
        style.exact(call.cost, currency),
    ]
}

/// So many lines, with their sections, their sums and the payment part, fill a page.
const LINES_OF_ONE_PAGE: usize = 16;

/// No wider than so many thousandths of the font's size: each letter counted as one of the wider ones of its kind.
fn width_at_most(text: &str) -> u32 {
    let of = |c: char| match c {
        ' ' | '.' | ',' | ':' | ';' | '\'' | '!' | '|' | 'i' | 'j' | 'l' | 'I' | '(' | ')' | '·' => 380,
        '0'..='9' | 'a'..='l' | 'n'..='v' | 'x'..='z' | '-' | '/' => 580,
        'A'..='L' | 'N'..='V' | 'X'..='Z' => 760,
        _ => 1_050,
    };
    text.chars().map(of).sum()
}

/// What the first column of the lines has room for.
const DESCRIPTION_WIDTH: u32 = 19_000;

/// The calls of each zone, whatever their details, by name; none where the lines themselves are easy to overlook.
fn zones(invoice: &Invoice, style: Style) -> Vec<PrintedZone<'_>> {
    let mut sums: BTreeMap<&str, (u64, u64, Decimal)> = BTreeMap::new();
    let mut n_lines = 0;
    for line in &invoice.lines {
        match &line.item {
            LineItem::Usage { zone, calls, billed_seconds, .. } => {
                n_lines += 1;
                let sum = sums.entry(zone).or_default();
                sum.0 += calls;
                sum.1 += billed_seconds;
                sum.2 += line.gross.unwrap_or(line.net);
            }
            LineItem::Recurring { .. }
            | LineItem::OneOff { .. }
            | LineItem::Discount { .. }
            | LineItem::LateUsage { .. }
            | LineItem::Part { .. } => {}
        }
    }
    if sums.len() == n_lines || n_lines <= USAGE_LINES_PLAIN && invoice.calls.is_empty() {
        return Vec::new();
    }
    sums.into_iter()
        .map(|(name, (calls, seconds, amount))| PrintedZone {
            name,
            calls: style.grouped(&calls.to_string()),
            duration: style.minutes(false, seconds),
            amount: style.amount(amount, invoice.currency),
        })
        .collect()
}

fn printed_line(line: &InvoiceLine, currency: Currency, style: Style) -> PrintedLine<'_> {
    let count = |quantity: &dyn ToString| style.grouped(&quantity.to_string());
    let (kind, name, detail, quantity, duration) = match &line.item {
        LineItem::Recurring { name, quantity } => {
            ("recurring", name.clone(), "", count(quantity), String::new())
        }
        LineItem::OneOff { name, quantity } => ("one_off", name.clone(), "", count(quantity), String::new()),
        LineItem::Discount { percent } => {
            ("discount", style.percent(*percent), "", String::new(), String::new())
        }
        LineItem::Part { text } => ("part", text.clone(), "", String::new(), String::new()),
        LineItem::Usage { zone, zone_detail, calls, billed_seconds } => {
            ("usage", zone.clone(), zone_detail.as_str(), count(calls), style.minutes(false, *billed_seconds))
        }
        LineItem::LateUsage { zone, zone_detail, calls, billed_seconds } => {
            let duration = style.minutes(*billed_seconds < 0, billed_seconds.unsigned_abs());
            ("late_usage", zone.clone(), zone_detail.as_str(), count(calls), duration)
        }
    };
    let detail = if detail == name { "" } else { detail };
    PrintedLine {
        kind,
        // The words of a discount are the template's, and so is the name of a zone that has none.
        is_short: kind != "discount"
            && !name.is_empty()
            && width_at_most(&name) + width_at_most(" · ") + width_at_most(detail) <= DESCRIPTION_WIDTH,
        detail,
        name,
        days: line.days.map_or(String::new(), |(first, last)| style.days(first, last)),
        quantity,
        duration,
        category: line.tax_category.as_str(),
        vat_percent: style.percent(line.vat_percent),
        amount: style.amount(line.gross.unwrap_or(line.net), currency),
    }
}

fn party<'a>(contact: &'a Contact, details: &'a PartyDetails, issuer_country: &str) -> PrintedParty<'a> {
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
        tax_number: &details.tax_number,
        registration: &contact.registration,
        iban: iban_text(&contact.iban),
        bic: &details.bic,
    }
}

impl Style {
    /// `1,234,567.80`: all decimals of the currency.
    fn amount(self, amount: Decimal, currency: Currency) -> String {
        let mut amount = amount;
        amount.rescale(currency.minor_decimals());
        self.grouped(&amount.to_string())
    }

    /// `0.0125`: all its decimals, and those of the currency at least.
    fn exact(self, amount: Decimal, currency: Currency) -> String {
        let mut amount = amount.normalize();
        amount.rescale(amount.scale().max(currency.minor_decimals()));
        self.grouped(&amount.to_string())
    }

    /// Puts a mark before every third digit from the end of the whole part.
    fn grouped(self, number: &str) -> String {
        let (sign, digits) = match number.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", number),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let mut text = sign.to_owned();
        for (idx, digit) in whole.chars().enumerate() {
            if idx > 0 && (whole.len() - idx).is_multiple_of(3) {
                text.push(self.thousands);
            }
            text.push(digit);
        }
        if !decimals.is_empty() {
            text.push(self.decimal);
            text.push_str(decimals);
        }
        text
    }

    /// `1,234:05`: minutes and seconds.
    fn minutes(self, is_negative: bool, seconds: u64) -> String {
        let sign = if is_negative { "-" } else { "" };
        format!("{sign}{}:{:02}", self.grouped(&(seconds / 60).to_string()), seconds % 60)
    }

    /// `8.1`, `20`: no zeros at the end.
    fn percent(self, percent: Decimal) -> String {
        self.grouped(&percent.normalize().to_string())
    }

    /// `1 October 2026`, `1. Oktober 2026`, `01/10/2026`.
    fn date(self, date: NaiveDate) -> String {
        match self.language {
            Language::English => date.format("%-d %B %Y").to_string(),
            Language::German => {
                let month = usize::try_from(date.month0()).ok().and_then(|idx| GERMAN_MONTHS.get(idx));
                format!("{}. {} {}", date.day(), month.unwrap_or(&""), date.year())
            }
            Language::Vietnamese => date.format("%d/%m/%Y").to_string(),
        }
    }

    /// Two days, or one.
    fn days(self, first: NaiveDate, last: NaiveDate) -> String {
        let short = |date: NaiveDate| match self.language {
            Language::English => date.format("%-d %b %Y").to_string(),
            Language::German => date.format("%d.%m.%Y").to_string(),
            Language::Vietnamese => date.format("%d/%m/%Y").to_string(),
        };
        if first == last { short(first) } else { format!("{} – {}", short(first), short(last)) }
    }

    fn period(self, period: Period) -> String {
        match self.language {
            Language::English => period.in_words(),
            Language::German | Language::Vietnamese => self.days(period.first_day(), period.last_day()),
        }
    }
}

const GERMAN_MONTHS: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

/// `AT61 1904 3002 3457 3201`, whatever the spaces it came with.
fn iban_text(iban: &str) -> String {
    let compact: Vec<char> = iban.chars().filter(|c| !c.is_whitespace()).collect();
    compact.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: Style = Style::of(Language::English);

    #[test]
    fn figures_have_thousands_separators_and_all_decimals() {
        let text =
            |amount: &str, currency: &str| ENGLISH.amount(amount.parse().unwrap(), currency.parse().unwrap());
        assert_eq!(text("0", "EUR"), "0.00");
        assert_eq!(text("999.5", "EUR"), "999.50");
        assert_eq!(text("1234567.80", "EUR"), "1,234,567.80");
        assert_eq!(text("-123456.70", "EUR"), "-123,456.70");
        assert_eq!(text("-999", "VND"), "-999");
        assert_eq!(text("12345678", "VND"), "12,345,678");
        assert_eq!(text("1234.5", "KWD"), "1,234.500");
    }

    #[test]
    fn each_language_writes_figures_and_dates_its_own_way() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let shown = |language| {
            let style = Style::of(language);
            format!("{} {}", style.amount("-1234.5".parse().unwrap(), Currency::EUR), style.date(day))
        };
        assert_eq!(shown(Language::English), "-1,234.50 1 March 2026");
        assert_eq!(shown(Language::German), "-1.234,50 1. März 2026");
        assert_eq!(shown(Language::Vietnamese), "-1.234,50 01/03/2026");
    }

    #[test]
    fn duration_percent_and_iban_are_written_for_people() {
        assert_eq!(ENGLISH.minutes(false, 59), "0:59");
        assert_eq!(ENGLISH.minutes(true, 74_045), "-1,234:05");
        assert_eq!(ENGLISH.percent("20.00".parse().unwrap()), "20");
        assert_eq!(ENGLISH.percent("8.10".parse().unwrap()), "8.1");
        assert_eq!(ENGLISH.exact("0.0125".parse().unwrap(), Currency::EUR), "0.0125");
        assert_eq!(ENGLISH.exact("1.5".parse().unwrap(), Currency::EUR), "1.50");
        assert_eq!(iban_text("AT611904300234573201"), "AT61 1904 3002 3457 3201");
        assert_eq!(iban_text(""), "");
    }
}
