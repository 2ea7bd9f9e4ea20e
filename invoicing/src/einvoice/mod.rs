//! Invoices as XML for machines: EN 16931 in UBL 2.1 and UN/CEFACT CII D16B.
//!
//! In: a final [`Invoice`]. Out: the bytes of one XML document in a [`Profile`], or the list of what the invoice lacks for it.
//! The terms "BT-31" in the comments are those of EN 16931-1, "BR-DE-2" of XRechnung 3.0.2, "PEPPOL-EN16931-R020" of Peppol
//! BIS Billing 3. `tests/einvoice.rs` has every kind of document checked by the official rules.

mod cii;
mod ubl;
mod words;
mod xml;

use chrono::NaiveDate;
use model::{Contact, Currency, Language, TaxCategory};
use rust_decimal::Decimal;

use crate::{DocumentKind, Invoice, InvoiceLine, InvoicingError, LineItem, PartyDetails};

/// Electronic address scheme of mail addresses (EAS code list).
const MAIL_SCHEME: &str = "EM";

/// Decimals of an amount that EN 16931 allows (BR-DEC-01 to BR-DEC-28).
const DECIMALS_MAX: u32 = 2;

/// A syntax and the rules beside those of EN 16931.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// CII with the rules of EN 16931 alone: what Factur-X and ZUGFeRD carry as profile "EN 16931".
    FacturX,
    /// XRechnung 3 in UBL.
    XRechnungUbl,
    /// XRechnung 3 in CII.
    XRechnungCii,
    /// Peppol BIS Billing 3, in UBL.
    Peppol,
}

impl Profile {
    /// All.
    pub const ALL: [Profile; 4] =
        [Profile::FacturX, Profile::XRechnungUbl, Profile::XRechnungCii, Profile::Peppol];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::FacturX => "Factur-X (EN 16931)",
            Profile::XRechnungUbl => "XRechnung 3 (UBL)",
            Profile::XRechnungCii => "XRechnung 3 (CII)",
            Profile::Peppol => "Peppol BIS Billing 3",
        }
    }

    /// BT-24.
    const fn specification(self) -> &'static str {
        match self {
            Profile::FacturX => "urn:cen.eu:en16931:2017",
            Profile::XRechnungUbl | Profile::XRechnungCii => {
                "urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0"
            }
            Profile::Peppol => "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0",
        }
    }

    /// BT-23.
    const fn process(self) -> &'static str {
        match self {
            Profile::FacturX => "",
            Profile::XRechnungUbl | Profile::XRechnungCii | Profile::Peppol => {
                "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
            }
        }
    }

    const fn is_xrechnung(self) -> bool {
        match self {
            Profile::XRechnungUbl | Profile::XRechnungCii => true,
            Profile::FacturX | Profile::Peppol => false,
        }
    }
}

/// Writes `invoice` as XML.
///
/// # Errors
///
/// [`InvoicingError::EInvoice`] with all that is [`missing`].
pub fn to_xml(invoice: &Invoice, profile: Profile) -> Result<Vec<u8>, InvoicingError> {
    let missing = missing(invoice, profile);
    if !missing.is_empty() {
        let number = invoice.name().to_owned();
        return Err(InvoicingError::EInvoice { number, profile: profile.name(), missing });
    }
    Ok(match profile {
        Profile::FacturX | Profile::XRechnungCii => cii::write(invoice, profile),
        Profile::XRechnungUbl | Profile::Peppol => ubl::write(invoice, profile),
    })
}

/// What the invoice lacks for `profile`, each with where to add it. Empty: it can be written.
pub fn missing(invoice: &Invoice, profile: Profile) -> Vec<String> {
    let mut missing = Vec::new();
    let mut demand = |is_there: bool, what: &str| {
        if !is_there {
            missing.push(what.to_owned());
        }
    };
    let (seller, buyer) = (&invoice.issuer, &invoice.customer);
    let (seller_details, buyer_details) = (&invoice.issuer_details, &invoice.customer_details);
    let is_given = |text: &str| !text.trim().is_empty();
    demand(invoice.number.is_some(), "a number (it is a draft)");
    demand(!invoice.lines.is_empty(), "a line (BR-16)");
    demand(
        invoice.currency.minor_decimals() <= DECIMALS_MAX,
        "a currency of two decimals at most (BR-DEC rules)",
    );
    demand(is_given(&seller.name), "name in the seller's contact (BR-6)");
    demand(is_country(&seller.address.country), "country, two letters, in the seller's contact (BR-9)");
    demand(is_given(&buyer.name), "name in the customer's contact (BR-7)");
    demand(is_country(&buyer.address.country), "country, two letters, in the customer's contact (BR-11)");
    if is_out_of_scope(invoice) {
        demand(is_given(&seller.registration), "registration in the seller's contact (BR-CO-26)");
    } else {
        demand(
            is_given(&seller.vat_id) || is_given(&seller_details.tax_number),
            "vat_id in the seller's contact or tax_number in its terms (BR-S-2 and its like)",
        );
        demand(
            is_given(&seller.vat_id) || is_given(&seller.registration),
            "vat_id or registration in the seller's contact (BR-CO-26)",
        );
        let is_vat_id = |id: &str| id.is_empty() || id.get(..2).is_some_and(is_country);
        demand(is_vat_id(&seller.vat_id), "a seller's vat_id that begins with its country (BR-CO-9)");
        demand(is_vat_id(&buyer.vat_id), "a customer's vat_id that begins with its country (BR-CO-9)");
    }
    if profile != Profile::FacturX {
        // Peppol has participants, XRechnung takes a mail address.
        let is_reachable = |contact, details| {
            endpoint(contact, details)
                .is_some_and(|(scheme, _)| profile != Profile::Peppol || scheme != MAIL_SCHEME)
        };
        demand(
            is_reachable(seller, seller_details),
            "electronic_address in the seller's terms (PEPPOL-EN16931-R020)",
        );
        demand(
            is_reachable(buyer, buyer_details),
            "electronic_address in the customer's terms, such as \"9930:DE123456789\" (PEPPOL-EN16931-R010)",
        );
    }
    if profile == Profile::Peppol {
        demand(
            is_given(&invoice.buyer_reference) || is_given(&invoice.order_reference),
            "buyer_reference or order_reference in the customer's terms (PEPPOL-EN16931-R003)",
        );
    }
    if profile.is_xrechnung() {
        demand(is_given(&invoice.buyer_reference), "buyer_reference in the customer's terms (BR-DE-15)");
        demand(is_given(&seller_details.contact_person), "contact_person in the seller's terms (BR-DE-5)");
        demand(
            seller_details.phone.chars().filter(char::is_ascii_digit).count() >= 3,
            "phone in the seller's terms (BR-DE-6, BR-DE-27)",
        );
        demand(is_given(&seller.email), "email in the seller's contact (BR-DE-7)");
        demand(is_given(&seller.address.city), "city in the seller's contact (BR-DE-3)");
        demand(is_given(&seller.address.postcode), "postcode in the seller's contact (BR-DE-4)");
        demand(is_given(&buyer.address.city), "city in the customer's contact (BR-DE-8)");
        demand(is_given(&buyer.address.postcode), "postcode in the customer's contact (BR-DE-9)");
    }
    missing
}

fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Then no party has a VAT ID in the document (BR-O-2).
fn is_out_of_scope(invoice: &Invoice) -> bool {
    invoice.lines.iter().any(|line| line.tax_category == TaxCategory::OutOfScope)
}

/// BT-3, UNTDID 1001.
fn type_code(invoice: &Invoice, profile: Profile) -> &'static str {
    match invoice.kind {
        DocumentKind::Invoice => "380",
        DocumentKind::CreditNote { .. } => "381",
        // Peppol knows 384 between German parties alone (PEPPOL-EN16931-P0112); elsewhere the reference says what it corrects.
        DocumentKind::Corrected { .. } => {
            let is_german = |contact: &Contact| contact.address.country == "DE";
            if profile == Profile::Peppol && !(is_german(&invoice.issuer) && is_german(&invoice.customer)) {
                "380"
            } else {
                "384"
            }
        }
    }
}

/// Scheme and identifier of an electronic address (BT-34, BT-49).
fn endpoint<'a>(contact: &'a Contact, details: &'a PartyDetails) -> Option<(&'a str, &'a str)> {
    let address = details.electronic_address.trim();
    if let Some((scheme, id)) = address.split_once(':') {
        return Some((scheme.trim(), id.trim()));
    }
    let mail = if address.is_empty() { contact.email.trim() } else { address };
    (!mail.is_empty()).then_some(("EM", mail))
}

/// How it is paid (BT-81, UNTDID 4461).
enum Means {
    /// By transfer to the seller's account.
    Transfer { code: &'static str, iban: String },
    /// Set off against what the parties owe each other: credit notes, prepaid balances, a seller without an account.
    Clearing,
}

impl Means {
    fn of(invoice: &Invoice) -> Self {
        let iban: String = invoice.issuer.iban.chars().filter(|c| !c.is_whitespace()).collect();
        if iban.is_empty() || invoice.is_credit_note() || !invoice.totals.prepaid.is_zero() {
            return Means::Clearing;
        }
        let code = if invoice.currency == Currency::EUR { "58" } else { "30" };
        Means::Transfer { code, iban }
    }

    const fn code(&self) -> &'static str {
        match self {
            Means::Transfer { code, .. } => code,
            Means::Clearing => "97",
        }
    }
}

/// Quantity and price of a line. A price is never negative (BR-27) and quantity times price is the amount
/// (PEPPOL-EN16931-R120): a negative line is minus one of its amount, and what has no even price of one is one piece.
fn quantity_and_price(line: &InvoiceLine) -> (Decimal, Decimal) {
    let whole = if line.net.is_sign_negative() && !line.net.is_zero() {
        (Decimal::NEGATIVE_ONE, -line.net)
    } else {
        (Decimal::ONE, line.net)
    };
    let quantity = match &line.item {
        LineItem::Recurring { quantity, .. } | LineItem::OneOff { quantity, .. } => Decimal::from(*quantity),
        LineItem::Usage { .. }
        | LineItem::Discount { .. }
        | LineItem::LateUsage { .. }
        | LineItem::Part { .. } => Decimal::ONE,
    };
    if quantity <= Decimal::ONE || line.net.is_sign_negative() {
        return whole;
    }
    let price = (line.net / quantity).normalize();
    if price.scale() <= 6 && price * quantity == line.net { (quantity, price) } else { whole }
}

fn amount(amount: Decimal, currency: Currency) -> String {
    let mut amount = amount;
    amount.rescale(currency.minor_decimals());
    amount.to_string()
}

fn plain(number: Decimal) -> String {
    number.normalize().to_string()
}

/// Address lines BT-35, BT-36 and BT-162; what is beyond three is put on the third.
fn street_lines(street: &str) -> [String; 3] {
    let mut lines = street.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    let second = lines.next().unwrap_or_default().to_owned();
    [first, second, lines.collect::<Vec<_>>().join(", ")]
}

/// The line's own days, where they lie within the period of the invoice (PEPPOL-EN16931-R110, R111); days before it are told in
/// the description.
fn days_within(invoice: &Invoice, line: &InvoiceLine) -> Option<(NaiveDate, NaiveDate)> {
    let (first, last) = (invoice.period.first_day(), invoice.period.last_day());
    line.days.filter(|days| first <= days.0 && days.1 <= last)
}

/// The rate of a VAT breakdown; `None` where it is left out. What is outside the scope has none (BR-48), but XRechnung asks for
/// it all the same (BR-DE-14).
fn breakdown_rate(category: TaxCategory, percent: Decimal, profile: Profile) -> Option<Decimal> {
    (category != TaxCategory::OutOfScope || profile.is_xrechnung()).then_some(percent)
}

fn iso_date(date: NaiveDate) -> String {
    date.format("%Y-%m-%d").to_string()
}

/// BT-20 where no due date can be said.
fn terms_note(language: Language) -> &'static str {
    words::of(language).credited
}
