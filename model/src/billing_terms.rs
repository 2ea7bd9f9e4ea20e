//! What a party agreed to about invoices: tax, fees beside the tariff, layout, and how e-invoices reach it.
//!
//! The same terms serve who bills and who is billed; each field says for whom it counts. All of it is optional: without
//! terms an account gets a monthly invoice in English, with the VAT rate of the account.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;

named_enum! {
    /// VAT category of an amount: the codes of UNTDID 5305 that EN 16931 allows and a telephone operator meets.
    #[derive(Default)]
    TaxCategory {
        /// Taxed at a rate above zero.
        #[default]
        Standard = "S",
        /// Taxed at zero percent.
        Zero = "Z",
        /// Exempt; a reason is printed.
        Exempt = "E",
        /// The customer owes the tax (Council Directive 2006/112/EC, article 196).
        ReverseCharge = "AE",
        /// Delivered to a business in another member state.
        IntraCommunity = "K",
        /// Delivered outside the Union.
        Export = "G",
        /// Outside the scope of VAT.
        OutOfScope = "O",
    }
}

named_enum! {
    /// Language of an invoice and its mail.
    #[derive(Default)]
    Language {
        /// English.
        #[default]
        English = "en",
        /// German.
        German = "de",
        /// Vietnamese.
        Vietnamese = "vi",
    }
}

named_enum! {
    /// The XML that accompanies the PDF. The PDF itself always carries Factur-X where EN 16931 can express the invoice.
    #[derive(Default)]
    EInvoice {
        /// None beside the one in the PDF.
        #[default]
        None = "none",
        /// XRechnung 3 in UBL.
        XRechnung = "xrechnung",
        /// XRechnung 3 in CII.
        XRechnungCii = "xrechnung_cii",
        /// Peppol BIS Billing 3 (UBL).
        Peppol = "peppol",
    }
}

named_enum! {
    /// How long one invoice reaches, in whole days of the account's zone.
    #[derive(Default)]
    BillingCycle {
        /// A calendar month.
        #[default]
        Monthly = "monthly",
        /// The 1st to the 15th, the 16th to the end of the month.
        SemiMonthly = "semi_monthly",
        /// Monday to Sunday.
        Weekly = "weekly",
        /// One day.
        Daily = "daily",
    }
}

/// Terms of one party.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BillingTerms {
    /// Who answers questions about an invoice. XRechnung demands it of the seller.
    pub contact_person: String,
    /// Its telephone number, as printed. XRechnung demands it of the seller.
    pub phone: String,
    /// Tax number other than the VAT identification number. Seller.
    pub tax_number: String,
    /// BIC of the IBAN's bank; needed outside the euro area. Seller.
    pub bic: String,
    /// Where e-invoices are delivered: scheme and identifier with a colon, such as `9930:DE123456789`, or a mail address.
    /// Empty: the contact's mail address.
    pub electronic_address: String,
    /// What the customer wants to read on each invoice; a `Leitweg-ID` in Germany. Customer.
    pub buyer_reference: String,
    /// The customer's order number. Customer.
    pub order_reference: String,
    /// VAT category of what is sold to this customer. `None`: decided by rate and countries.
    pub tax_category: Option<TaxCategory>,
    /// Why no tax is charged, as printed. Empty: the usual words of the category.
    pub tax_exemption: String,
    /// The same as a code of the VATEX list. Empty: the usual code of the category.
    pub tax_exemption_code: String,
    /// Take the rate from the seller's `tax_rates` by the customer's country and the last day of the period, instead of the
    /// account's `vat_percent`. Customer.
    pub tax_by_country: bool,
    /// Rates that this seller charges, by country and date. Seller.
    pub tax_rates: Vec<TaxRate>,
    /// Fees and call prices include VAT: it is taken out of them instead of put on top. Customer.
    pub prices_include_tax: bool,
    /// Days from the issue date to the due date. `None`: 14. Customer.
    pub payment_days: Option<u32>,
    /// Off the calls of each invoice, percent. Customer.
    pub discount_percent: Decimal,
    /// Fees beside the tariff's own. Customer.
    pub fees: Vec<AgreedFee>,
    /// How long one invoice reaches. Customer.
    pub cycle: BillingCycle,
    /// Of invoice and mail. Customer.
    pub language: Language,
    /// What goes with the PDF. Customer.
    pub einvoice: EInvoice,
    /// Print every call. Customer.
    pub call_list: bool,
    /// Last digits of each number called that the call list hides. `None`: 3. Customer.
    pub masked_digits: Option<u32>,
}

/// One VAT rate in force from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxRate {
    /// ISO 3166-1 alpha-2 code of the customer's country.
    pub country: String,
    /// Percent.
    pub percent: Decimal,
    /// First day.
    pub from: NaiveDate,
}

/// A fee agreed with one customer: the rent of a number, channels, a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreedFee {
    /// As printed.
    pub name: String,
    /// Of one, for a whole billing period or once; in the account's currency.
    pub amount: Decimal,
    /// How many.
    #[serde(default = "one")]
    pub quantity: u32,
    /// Charged once, on this day; the fee then has no `from` and `to`.
    #[serde(default)]
    pub once: Option<NaiveDate>,
    /// First day of a recurring fee; `None`: always. A period it begins in is charged by its days.
    #[serde(default)]
    pub from: Option<NaiveDate>,
    /// First day it is no longer charged; `None`: never.
    #[serde(default)]
    pub to: Option<NaiveDate>,
    /// VAT rate of this fee where it differs, percent.
    #[serde(default)]
    pub vat_percent: Option<Decimal>,
    /// VAT category of this fee where it differs.
    #[serde(default)]
    pub tax_category: Option<TaxCategory>,
}

const fn one() -> u32 {
    1
}

impl BillingTerms {
    /// The rules beyond the types. An error names the key and what it may be.
    ///
    /// # Errors
    ///
    /// The first rule broken.
    pub fn check(&self) -> Result<(), String> {
        let is_percent = |percent: Decimal| !percent.is_sign_negative() && percent <= Decimal::ONE_HUNDRED;
        let country = |code: &str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_percent(self.discount_percent) {
            return Err(format!("discount_percent {} is not between 0 and 100", self.discount_percent));
        }
        if self.masked_digits.is_some_and(|digits| digits > MASKED_DIGITS_MAX) {
            return Err(format!("masked_digits is {MASKED_DIGITS_MAX} at most: a number has no more digits"));
        }
        if self.payment_days.is_some_and(|days| days > PAYMENT_DAYS_MAX) {
            return Err(format!("payment_days is {PAYMENT_DAYS_MAX} at most"));
        }
        for rate in &self.tax_rates {
            if !country(&rate.country) || !is_percent(rate.percent) {
                let TaxRate { country, percent, .. } = rate;
                return Err(format!(
                    "tax_rates: {percent} % in {country:?}; a country is two capital letters, a rate 0 to 100"
                ));
            }
        }
        for fee in &self.fees {
            let name = &fee.name;
            if name.trim().is_empty() {
                return Err("fees: a fee needs a name, which is printed".to_owned());
            }
            if fee.quantity == 0 {
                return Err(format!("fees: {name:?} has quantity 0; leave it out"));
            }
            if fee.vat_percent.is_some_and(|percent| !is_percent(percent)) {
                return Err(format!("fees: vat_percent of {name:?} is not between 0 and 100"));
            }
            if fee.once.is_some() && (fee.from.is_some() || fee.to.is_some()) {
                return Err(format!("fees: {name:?} is charged once, so it has no from and to"));
            }
            if fee.from.zip(fee.to).is_some_and(|(from, to)| from >= to) {
                return Err(format!("fees: {name:?} ends before it begins"));
            }
        }
        Ok(())
    }
}

/// Digits of an E.164 number.
const MASKED_DIGITS_MAX: u32 = 15;
/// A year.
const PAYMENT_DAYS_MAX: u32 = 366;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_billed_wrongly_is_refused_with_its_key() {
        let refused = |json: &str| serde_json::from_str::<BillingTerms>(json).unwrap().check().unwrap_err();
        for (json, expected) in [
            (r#"{"discount_percent":"-1"}"#, "discount_percent -1"),
            (r#"{"masked_digits":16}"#, "masked_digits is 15"),
            (r#"{"payment_days":1000}"#, "payment_days is 366"),
            (r#"{"tax_rates":[{"country":"de","percent":"19","from":"2021-01-01"}]}"#, "19 % in \"de\""),
            (r#"{"fees":[{"name":" ","amount":"1"}]}"#, "needs a name"),
            (r#"{"fees":[{"name":"x","amount":"1","quantity":0}]}"#, "quantity 0"),
            (r#"{"fees":[{"name":"x","amount":"1","once":"2026-10-01","to":"2026-11-01"}]}"#, "charged once"),
            (
                r#"{"fees":[{"name":"x","amount":"1","from":"2026-10-02","to":"2026-10-02"}]}"#,
                "before it begins",
            ),
        ] {
            let rule = refused(json);
            assert!(rule.contains(expected), "{rule}");
        }
        BillingTerms::default().check().unwrap();
        assert!(serde_json::from_str::<BillingTerms>(r#"{"langauge":"de"}"#).is_err());
    }
}
