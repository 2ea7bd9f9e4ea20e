//! Invoices that show a template all it has to print, for those who write one.

use chrono::NaiveDate;
use chrono_tz::Tz;
use model::{Address, Contact, Currency, Language, TaxCategory};
use rust_decimal::Decimal;

use crate::document::add_up;
use crate::{
    CallEntry, DocumentKind, INVOICE_VERSION, Invoice, InvoiceLine, InvoicingError, LineItem, PartyDetails,
    Period, Reference,
};

/// An invoice with every kind of line and a call list.
///
/// # Errors
///
/// None of a document of this kind.
pub fn sample_invoice(language: Language) -> Result<Invoice, InvoicingError> {
    let day = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap_or_default();
    let period = Period::month("2026-10", Tz::Europe__Vienna)?;
    let line = |item, cents, days| InvoiceLine {
        item,
        tax_category: TaxCategory::Standard,
        vat_percent: Decimal::from(20),
        exemption: None,
        net: Decimal::new(cents, 2),
        gross: None,
        days,
    };
    let usage = |zone: &str, zone_detail: &str, calls, billed_seconds| LineItem::Usage {
        zone: zone.to_owned(),
        zone_detail: zone_detail.to_owned(),
        calls,
        billed_seconds,
    };
    let lines = vec![
        line(LineItem::Recurring { name: "Business Voice 30".to_owned(), quantity: 1 }, 10_490, None),
        line(
            LineItem::Recurring { name: "Number +43 1 512 00".to_owned(), quantity: 3 },
            450,
            Some((day(10, 12), day(10, 31))),
        ),
        line(
            LineItem::OneOff { name: "Set-up".to_owned(), quantity: 1 },
            4_900,
            Some((day(10, 12), day(10, 12))),
        ),
        line(usage("Austria", "fixed", 204, 61_205), 1_530, None),
        line(usage("Austria", "mobile", 160, 24_822), 3_723, None),
        line(usage("Việt Nam", "di động", 12, 2_904), 436, None),
        line(LineItem::Discount { percent: Decimal::new(75, 1) }, -427, None),
        line(
            LineItem::LateUsage {
                zone: "Austria".to_owned(),
                zone_detail: "mobile".to_owned(),
                calls: 2,
                billed_seconds: 120,
            },
            18,
            Some((day(9, 30), day(9, 30))),
        ),
    ];
    let (vat, totals) = add_up(&lines, Currency::EUR, false)?;
    let start = day(10, 1).and_hms_opt(8, 2, 17).unwrap_or_default();
    let calls = (0..40_i64).map(|n| CallEntry {
        at: start + chrono::TimeDelta::minutes(97 * n),
        to: format!("4366055512{:02}***", n),
        zone: "Austria".to_owned(),
        seconds: Decimal::from(17 * (n + 1)),
        cost: Decimal::new(4_250 * (n + 1), 6),
    });
    Ok(Invoice {
        version: INVOICE_VERSION,
        number: Some("SAMPLE-2026-000117".to_owned()),
        kind: DocumentKind::Invoice,
        issuer: Contact {
            name: "Nordtel Telekommunikation GmbH".to_owned(),
            address: address("Gumpendorfer Straße 14", "1060", "Wien", "AT"),
            email: "billing@nordtel.example".to_owned(),
            vat_id: "ATU12345678".to_owned(),
            registration: "FN 123456a".to_owned(),
            iban: "AT611904300234573201".to_owned(),
        },
        issuer_details: PartyDetails { phone: "+43 1 5125550".to_owned(), ..PartyDetails::default() },
        customer: Contact {
            name: "Công ty Nguyễn & Söhne".to_owned(),
            address: address("Lagerhausstraße 7\nTor 3", "6020", "Innsbruck", "AT"),
            email: "invoices@nguyen.example".to_owned(),
            vat_id: "ATU23456789".to_owned(),
            ..Contact::default()
        },
        customer_details: PartyDetails::default(),
        account: "K-10482".to_owned(),
        buyer_reference: "PO 4711".to_owned(),
        order_reference: String::new(),
        language,
        period,
        issue_date: day(11, 1),
        due_date: day(11, 15),
        currency: Currency::EUR,
        lines,
        vat,
        totals,
        calls: calls.collect(),
        billed: Vec::new(),
    })
}

/// A draft, a credit note and an invoice in each language: what a template is tried on.
///
/// # Errors
///
/// None of documents of this kind.
pub fn sample_documents() -> Result<Vec<Invoice>, InvoicingError> {
    let mut documents =
        Language::ALL.iter().map(|language| sample_invoice(*language)).collect::<Result<Vec<_>, _>>()?;
    let invoice = sample_invoice(Language::English)?;
    documents.push(Invoice { number: None, ..invoice.clone() });
    let of = Reference { number: "SAMPLE-2026-000116".to_owned(), issue_date: invoice.issue_date };
    let kind = DocumentKind::CreditNote { of, reason: "Wrong address".to_owned() };
    documents.push(Invoice { kind, calls: Vec::new(), ..invoice });
    Ok(documents)
}

fn address(street: &str, postcode: &str, city: &str, country: &str) -> Address {
    Address {
        street: street.to_owned(),
        postcode: postcode.to_owned(),
        city: city.to_owned(),
        country: country.to_owned(),
    }
}
