//! UBL 2.1: `Invoice` and `CreditNote`. The order of elements is the schema's.

use model::{Contact, TaxCategory};
use rust_decimal::Decimal;

use super::xml::Xml;
use super::{
    Means, Profile, amount, breakdown_rate, days_within, endpoint, is_out_of_scope, iso_date, plain,
    quantity_and_price, street_lines, terms_note, type_code, words,
};
use crate::{Exemption, Invoice, InvoiceLine, PartyDetails};

const CAC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2";
const CBC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2";
const INVOICE: &str = "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2";
const CREDIT_NOTE: &str = "urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2";

/// The document.
pub(super) fn write(invoice: &Invoice, profile: Profile) -> Vec<u8> {
    let is_credit = invoice.is_credit_note();
    let (root, namespace) = if is_credit { ("CreditNote", CREDIT_NOTE) } else { ("Invoice", INVOICE) };
    let mut xml = Xml::new();
    xml.root(root, &[("xmlns", namespace), ("xmlns:cac", CAC), ("xmlns:cbc", CBC)], |xml| {
        head(xml, invoice, profile, is_credit);
        let has_vat_ids = !is_out_of_scope(invoice);
        xml.element("cac:AccountingSupplierParty", |xml| {
            party(xml, &invoice.issuer, &invoice.issuer_details, has_vat_ids);
        });
        xml.element("cac:AccountingCustomerParty", |xml| {
            party(xml, &invoice.customer, &invoice.customer_details, has_vat_ids);
        });
        if invoice.vat.iter().any(|rate| rate.category == TaxCategory::IntraCommunity) {
            xml.element("cac:Delivery", |xml| {
                xml.text("cbc:ActualDeliveryDate", &iso_date(invoice.period.last_day()));
                xml.element("cac:DeliveryLocation", |xml| {
                    xml.element("cac:Address", |xml| {
                        xml.optional("cbc:CityName", &invoice.customer.address.city);
                        xml.optional("cbc:PostalZone", &invoice.customer.address.postcode);
                        country(xml, &invoice.customer.address.country);
                    });
                });
            });
        }
        payment(xml, invoice, is_credit);
        sums(xml, invoice, profile);
        for (idx, line) in invoice.lines.iter().enumerate() {
            line_element(xml, invoice, idx + 1, line, is_credit);
        }
    });
    xml.into_bytes()
}

fn head(xml: &mut Xml, invoice: &Invoice, profile: Profile, is_credit: bool) {
    xml.text("cbc:CustomizationID", profile.specification());
    xml.optional("cbc:ProfileID", profile.process());
    xml.text("cbc:ID", invoice.name());
    xml.text("cbc:IssueDate", &iso_date(invoice.issue_date));
    if is_credit {
        xml.text("cbc:CreditNoteTypeCode", type_code(invoice, profile));
    } else {
        xml.text("cbc:DueDate", &iso_date(invoice.due_date));
        xml.text("cbc:InvoiceTypeCode", type_code(invoice, profile));
    }
    if let Some((_, reason)) = invoice.preceding() {
        xml.optional("cbc:Note", reason);
    }
    xml.text("cbc:DocumentCurrencyCode", invoice.currency.as_str());
    xml.optional("cbc:BuyerReference", &invoice.buyer_reference);
    xml.element("cac:InvoicePeriod", |xml| {
        xml.text("cbc:StartDate", &iso_date(invoice.period.first_day()));
        xml.text("cbc:EndDate", &iso_date(invoice.period.last_day()));
    });
    if !invoice.order_reference.trim().is_empty() {
        xml.element("cac:OrderReference", |xml| xml.text("cbc:ID", &invoice.order_reference));
    }
    if let Some((of, _)) = invoice.preceding() {
        xml.element("cac:BillingReference", |xml| {
            xml.element("cac:InvoiceDocumentReference", |xml| {
                xml.text("cbc:ID", &of.number);
                xml.text("cbc:IssueDate", &iso_date(of.issue_date));
            });
        });
    }
}

fn party(xml: &mut Xml, contact: &Contact, details: &PartyDetails, has_vat_ids: bool) {
    xml.element("cac:Party", |xml| {
        if let Some((scheme, id)) = endpoint(contact, details) {
            xml.with("cbc:EndpointID", &[("schemeID", scheme)], id);
        }
        xml.element("cac:PostalAddress", |xml| {
            let [first, second, third] = street_lines(&contact.address.street);
            xml.optional("cbc:StreetName", &first);
            xml.optional("cbc:AdditionalStreetName", &second);
            xml.optional("cbc:CityName", &contact.address.city);
            xml.optional("cbc:PostalZone", &contact.address.postcode);
            if !third.is_empty() {
                xml.element("cac:AddressLine", |xml| xml.text("cbc:Line", &third));
            }
            country(xml, &contact.address.country);
        });
        let mut registered = |id: &str, scheme: &str| {
            if has_vat_ids && !id.trim().is_empty() {
                xml.element("cac:PartyTaxScheme", |xml| {
                    xml.text("cbc:CompanyID", id);
                    xml.element("cac:TaxScheme", |xml| xml.text("cbc:ID", scheme));
                });
            }
        };
        registered(&contact.vat_id, "VAT");
        registered(&details.tax_number, "FC");
        xml.element("cac:PartyLegalEntity", |xml| {
            xml.text("cbc:RegistrationName", &contact.name);
            xml.optional("cbc:CompanyID", &contact.registration);
        });
        let parts = [&details.contact_person, &details.phone, &contact.email];
        if parts.iter().any(|part| !part.trim().is_empty()) {
            xml.element("cac:Contact", |xml| {
                xml.optional("cbc:Name", &details.contact_person);
                xml.optional("cbc:Telephone", &details.phone);
                xml.optional("cbc:ElectronicMail", &contact.email);
            });
        }
    });
}

fn country(xml: &mut Xml, code: &str) {
    xml.element("cac:Country", |xml| xml.text("cbc:IdentificationCode", code));
}

fn payment(xml: &mut Xml, invoice: &Invoice, is_credit: bool) {
    let means = Means::of(invoice);
    xml.element("cac:PaymentMeans", |xml| {
        xml.text("cbc:PaymentMeansCode", means.code());
        if let Means::Transfer { iban, .. } = &means {
            xml.text("cbc:PaymentID", invoice.name());
            xml.element("cac:PayeeFinancialAccount", |xml| {
                xml.text("cbc:ID", iban);
                xml.text("cbc:Name", &invoice.issuer.name);
                if !invoice.issuer_details.bic.is_empty() {
                    xml.element("cac:FinancialInstitutionBranch", |xml| {
                        xml.text("cbc:ID", &invoice.issuer_details.bic);
                    });
                }
            });
        }
    });
    if is_credit {
        xml.element("cac:PaymentTerms", |xml| xml.text("cbc:Note", terms_note(invoice.language)));
    }
}

fn sums(xml: &mut Xml, invoice: &Invoice, profile: Profile) {
    let currency = invoice.currency;
    let money = |xml: &mut Xml, name: &str, sum| {
        xml.with(name, &[("currencyID", currency.as_str())], &amount(sum, currency))
    };
    let totals = &invoice.totals;
    xml.element("cac:TaxTotal", |xml| {
        money(xml, "cbc:TaxAmount", totals.vat);
        for rate in &invoice.vat {
            xml.element("cac:TaxSubtotal", |xml| {
                money(xml, "cbc:TaxableAmount", rate.net);
                money(xml, "cbc:TaxAmount", rate.vat);
                {
                    let percent = breakdown_rate(rate.category, rate.percent, profile);
                    tax_category(xml, "cac:TaxCategory", rate.category, percent, rate.exemption.as_ref())
                };
            });
        }
    });
    xml.element("cac:LegalMonetaryTotal", |xml| {
        money(xml, "cbc:LineExtensionAmount", totals.net);
        money(xml, "cbc:TaxExclusiveAmount", totals.net);
        money(xml, "cbc:TaxInclusiveAmount", totals.gross);
        if !totals.prepaid.is_zero() {
            money(xml, "cbc:PrepaidAmount", totals.prepaid);
        }
        if !totals.rounding.is_zero() {
            money(xml, "cbc:PayableRoundingAmount", totals.rounding);
        }
        money(xml, "cbc:PayableAmount", totals.payable());
    });
}

fn tax_category(
    xml: &mut Xml,
    element: &str,
    category: TaxCategory,
    percent: Option<Decimal>,
    exemption: Option<&Exemption>,
) {
    xml.element(element, |xml| {
        xml.text("cbc:ID", category.as_str());
        if let Some(percent) = percent {
            xml.text("cbc:Percent", &plain(percent));
        }
        if let Some(exemption) = exemption {
            xml.optional("cbc:TaxExemptionReasonCode", &exemption.code);
            xml.optional("cbc:TaxExemptionReason", &exemption.reason);
        }
        xml.element("cac:TaxScheme", |xml| xml.text("cbc:ID", "VAT"));
    });
}

fn line_element(xml: &mut Xml, invoice: &Invoice, number: usize, line: &InvoiceLine, is_credit: bool) {
    let (element, quantity_element) = if is_credit {
        ("cac:CreditNoteLine", "cbc:CreditedQuantity")
    } else {
        ("cac:InvoiceLine", "cbc:InvoicedQuantity")
    };
    let currency = invoice.currency;
    let (quantity, price) = quantity_and_price(line);
    xml.element(element, |xml| {
        xml.text("cbc:ID", &number.to_string());
        // C62: one piece (UN/ECE Recommendation 20).
        xml.with(quantity_element, &[("unitCode", "C62")], &plain(quantity));
        xml.with(
            "cbc:LineExtensionAmount",
            &[("currencyID", currency.as_str())],
            &amount(line.net, currency),
        );
        if let Some((first, last)) = days_within(invoice, line) {
            xml.element("cac:InvoicePeriod", |xml| {
                xml.text("cbc:StartDate", &iso_date(first));
                xml.text("cbc:EndDate", &iso_date(last));
            });
        }
        xml.element("cac:Item", |xml| {
            xml.optional("cbc:Description", &words::description(line, invoice.language));
            xml.text("cbc:Name", &words::name(line, invoice.language));
            // What is outside the scope has no rate (BR-O-5).
            let percent = (line.tax_category != TaxCategory::OutOfScope).then_some(line.vat_percent);
            tax_category(xml, "cac:ClassifiedTaxCategory", line.tax_category, percent, None);
        });
        xml.element("cac:Price", |xml| {
            xml.with("cbc:PriceAmount", &[("currencyID", currency.as_str())], &plain(price));
        });
    });
}
