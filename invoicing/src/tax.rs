//! Which VAT an amount bears: category, rate, and why none where none is charged.
//!
//! In: the parties, their terms, the day on which the service is complete. Out: a [`Tax`] for the lines of an invoice.
//! Sources: EN 16931-1, 6.4.3 (rules BR-S, BR-Z, BR-E, BR-AE, BR-IC, BR-G, BR-O); Council Directive 2006/112/EC,
//! articles 44 and 196.

use chrono::NaiveDate;
use model::{Account, BillingTerms, Contact, Language, TaxCategory, TaxRate};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::InvoicingError;

/// Member states of the Union (ISO 3166-1), where the customer of a service owes its VAT.
const UNION: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT",
    "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// VAT of an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tax {
    /// Category.
    pub category: TaxCategory,
    /// Rate, percent; zero outside [`TaxCategory::Standard`].
    pub percent: Decimal,
    /// Why no tax is charged, where a reason must be given.
    pub exemption: Option<Exemption>,
}

/// Why no tax is charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemption {
    /// As printed (BT-120).
    pub reason: String,
    /// Code of the VATEX list (BT-121); empty if none fits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

/// The VAT of what `seller` sells to `account`, complete on `day`.
///
/// The rate is the account's, or by country and date (`tax_by_country`). The category is the one agreed; without one it
/// is `S` above zero percent, `AE` at zero percent for a business in another member state, and `Z` for the rest.
///
/// # Errors
///
/// [`InvoicingError::VatRate`], [`InvoicingError::NoTaxRate`], [`InvoicingError::Tax`].
pub fn tax_of(
    seller: &Contact,
    seller_terms: &BillingTerms,
    account: &Account,
    terms: &BillingTerms,
    day: NaiveDate,
) -> Result<Tax, InvoicingError> {
    let percent = if terms.tax_by_country {
        let country = &account.contact.address.country;
        rate_in(&seller_terms.tax_rates, country, day).ok_or_else(|| InvoicingError::NoTaxRate {
            account: account.handle.clone(),
            country: country.clone(),
            day,
        })?
    } else {
        account.vat_percent
    };
    let percent = checked_percent(percent, &account.handle)?;
    let category = terms.tax_category.unwrap_or_else(|| {
        if !percent.is_zero() {
            TaxCategory::Standard
        } else if is_business_in_another_member_state(seller, &account.contact) {
            TaxCategory::ReverseCharge
        } else {
            TaxCategory::Zero
        }
    });
    tax(category, percent, account, terms)
}

/// The tax of one category, checked against its rules.
pub(crate) fn tax(
    category: TaxCategory,
    percent: Decimal,
    account: &Account,
    terms: &BillingTerms,
) -> Result<Tax, InvoicingError> {
    let refused =
        |rule: &'static str| InvoicingError::Tax { account: account.handle.clone(), category, rule };
    let percent = match category {
        TaxCategory::Standard if percent.is_zero() => {
            return Err(refused("category S has a rate above zero: set the rate, or another category"));
        }
        TaxCategory::Standard => checked_percent(percent, &account.handle)?,
        TaxCategory::ReverseCharge | TaxCategory::IntraCommunity if account.contact.vat_id.is_empty() => {
            return Err(refused(
                "the customer owes the tax and is named by its VAT ID: add vat_id to its contact",
            ));
        }
        TaxCategory::Zero
        | TaxCategory::Exempt
        | TaxCategory::ReverseCharge
        | TaxCategory::IntraCommunity
        | TaxCategory::Export
        | TaxCategory::OutOfScope => Decimal::ZERO,
    };
    let exemption = exemption(category, terms);
    if category == TaxCategory::Exempt && exemption.is_none() {
        return Err(refused(
            "an exemption names its reason: set tax_exemption, such as \"§ 6 Abs. 1 Z 27 UStG\"",
        ));
    }
    Ok(Tax { category, percent, exemption })
}

/// The rate in force in `country` on `day`: of those that begin by then the latest.
fn rate_in(rates: &[TaxRate], country: &str, day: NaiveDate) -> Option<Decimal> {
    rates
        .iter()
        .filter(|rate| rate.country.eq_ignore_ascii_case(country) && rate.from <= day)
        .max_by_key(|rate| rate.from)
        .map(|rate| rate.percent)
}

fn checked_percent(percent: Decimal, account: &str) -> Result<Decimal, InvoicingError> {
    if percent.is_sign_negative() && !percent.is_zero() || percent > Decimal::ONE_HUNDRED {
        return Err(InvoicingError::VatRate { account: account.to_owned(), percent });
    }
    Ok(percent)
}

fn is_business_in_another_member_state(seller: &Contact, customer: &Contact) -> bool {
    let (from, to) = (seller.address.country.as_str(), customer.address.country.as_str());
    from != to && UNION.contains(&from) && UNION.contains(&to) && !customer.vat_id.is_empty()
}

/// Reason and code of a category: as agreed, or the usual ones.
fn exemption(category: TaxCategory, terms: &BillingTerms) -> Option<Exemption> {
    let (usual, code) = match category {
        TaxCategory::Standard | TaxCategory::Zero => return None,
        TaxCategory::Exempt => ("", ""),
        TaxCategory::ReverseCharge => (reverse_charge(terms.language), "VATEX-EU-AE"),
        TaxCategory::IntraCommunity => (intra_community(terms.language), "VATEX-EU-IC"),
        TaxCategory::Export => (export(terms.language), "VATEX-EU-G"),
        TaxCategory::OutOfScope => (out_of_scope(terms.language), "VATEX-EU-O"),
    };
    let chosen = |agreed: &str, usual: &str| if agreed.is_empty() { usual } else { agreed }.to_owned();
    let exemption = Exemption {
        reason: chosen(&terms.tax_exemption, usual),
        code: chosen(&terms.tax_exemption_code, code),
    };
    (!exemption.reason.is_empty()).then_some(exemption)
}

// The English words are those of the directive, article 226 (11a), which other languages translate by law.
const fn reverse_charge(language: Language) -> &'static str {
    match language {
        Language::English => "Reverse charge",
        Language::German => "Steuerschuldnerschaft des Leistungsempfängers (Reverse Charge)",
        Language::Vietnamese => "Người mua có nghĩa vụ nộp thuế (Reverse charge)",
    }
}

const fn intra_community(language: Language) -> &'static str {
    match language {
        Language::English => "Intra-Community supply",
        Language::German => "Steuerfreie innergemeinschaftliche Lieferung",
        Language::Vietnamese => "Cung cấp trong nội khối Liên minh châu Âu",
    }
}

const fn export(language: Language) -> &'static str {
    match language {
        Language::English => "Export outside the EU",
        Language::German => "Steuerfreie Ausfuhr",
        Language::Vietnamese => "Xuất khẩu ngoài Liên minh châu Âu",
    }
}

const fn out_of_scope(language: Language) -> &'static str {
    match language {
        Language::English => "Not subject to VAT",
        Language::German => "Nicht steuerbar",
        Language::Vietnamese => "Không thuộc đối tượng chịu thuế GTGT",
    }
}
