//! UN/CEFACT Cross Industry Invoice, D16B. The order of elements is the schema's.

use chrono::NaiveDate;
use model::{Contact, TaxCategory};

use super::xml::Xml;
use super::{
    Means, Profile, amount, breakdown_rate, days_within, endpoint, is_out_of_scope, plain,
    quantity_and_price, street_lines, terms_note, type_code, words,
};
use crate::{Invoice, InvoiceLine, PartyDetails};

const RSM: &str = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100";
const RAM: &str = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100";
const UDT: &str = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100";
const QDT: &str = "urn:un:unece:uncefact:data:standard:QualifiedDataType:100";

/// Year, month and day without separators (UNTDID 2379).
const DATE_FORMAT: &[(&str, &str)] = &[("format", "102")];

/// The document.
pub(super) fn write(invoice: &Invoice, profile: Profile) -> Vec<u8> {
    let mut xml = Xml::new();
    let namespaces = [("xmlns:rsm", RSM), ("xmlns:ram", RAM), ("xmlns:udt", UDT), ("xmlns:qdt", QDT)];
    xml.root("rsm:CrossIndustryInvoice", &namespaces, |xml| {
        xml.element("rsm:ExchangedDocumentContext", |xml| {
            if !profile.process().is_empty() {
                xml.element("ram:BusinessProcessSpecifiedDocumentContextParameter", |xml| {
                    xml.text("ram:ID", profile.process());
                });
            }
            xml.element("ram:GuidelineSpecifiedDocumentContextParameter", |xml| {
                xml.text("ram:ID", profile.specification());
            });
        });
        xml.element("rsm:ExchangedDocument", |xml| {
            xml.text("ram:ID", invoice.name());
            xml.text("ram:TypeCode", type_code(invoice, profile));
            date(xml, "ram:IssueDateTime", "udt:DateTimeString", invoice.issue_date);
            if let Some((_, reason)) = invoice.preceding() {
                xml.element("ram:IncludedNote", |xml| xml.text("ram:Content", reason));
            }
        });
        xml.element("rsm:SupplyChainTradeTransaction", |xml| {
            for (idx, line) in invoice.lines.iter().enumerate() {
                line_element(xml, invoice, idx + 1, line);
            }
            agreement(xml, invoice);
            xml.element("ram:ApplicableHeaderTradeDelivery", |xml| delivery(xml, invoice));
            xml.element("ram:ApplicableHeaderTradeSettlement", |xml| settlement(xml, invoice, profile));
        });
    });
    xml.into_bytes()
}

fn date(xml: &mut Xml, element: &str, inner: &str, day: NaiveDate) {
    xml.element(element, |xml| xml.with(inner, DATE_FORMAT, &day.format("%Y%m%d").to_string()));
}

fn period(xml: &mut Xml, first: NaiveDate, last: NaiveDate) {
    xml.element("ram:BillingSpecifiedPeriod", |xml| {
        date(xml, "ram:StartDateTime", "udt:DateTimeString", first);
        date(xml, "ram:EndDateTime", "udt:DateTimeString", last);
    });
}

fn line_element(xml: &mut Xml, invoice: &Invoice, number: usize, line: &InvoiceLine) {
    let (quantity, price) = quantity_and_price(line);
    xml.element("ram:IncludedSupplyChainTradeLineItem", |xml| {
        xml.element("ram:AssociatedDocumentLineDocument", |xml| {
            xml.text("ram:LineID", &number.to_string());
        });
        xml.element("ram:SpecifiedTradeProduct", |xml| {
            xml.text("ram:Name", &words::name(line, invoice.language));
            xml.optional("ram:Description", &words::description(line, invoice.language));
        });
        xml.element("ram:SpecifiedLineTradeAgreement", |xml| {
            xml.element("ram:NetPriceProductTradePrice", |xml| xml.text("ram:ChargeAmount", &plain(price)));
        });
        xml.element("ram:SpecifiedLineTradeDelivery", |xml| {
            // C62: one piece (UN/ECE Recommendation 20).
            xml.with("ram:BilledQuantity", &[("unitCode", "C62")], &plain(quantity));
        });
        xml.element("ram:SpecifiedLineTradeSettlement", |xml| {
            xml.element("ram:ApplicableTradeTax", |xml| {
                xml.text("ram:TypeCode", "VAT");
                xml.text("ram:CategoryCode", line.tax_category.as_str());
                // What is outside the scope has no rate (BR-O-5).
                if line.tax_category != TaxCategory::OutOfScope {
                    xml.text("ram:RateApplicablePercent", &plain(line.vat_percent));
                }
            });
            if let Some((first, last)) = days_within(invoice, line) {
                period(xml, first, last);
            }
            xml.element("ram:SpecifiedTradeSettlementLineMonetarySummation", |xml| {
                xml.text("ram:LineTotalAmount", &amount(line.net, invoice.currency));
            });
        });
    });
}

fn agreement(xml: &mut Xml, invoice: &Invoice) {
    let has_vat_ids = !is_out_of_scope(invoice);
    xml.element("ram:ApplicableHeaderTradeAgreement", |xml| {
        xml.optional("ram:BuyerReference", &invoice.buyer_reference);
        xml.element("ram:SellerTradeParty", |xml| {
            party(xml, &invoice.issuer, &invoice.issuer_details, has_vat_ids);
        });
        xml.element("ram:BuyerTradeParty", |xml| {
            party(xml, &invoice.customer, &invoice.customer_details, has_vat_ids);
        });
        if !invoice.order_reference.trim().is_empty() {
            xml.element("ram:BuyerOrderReferencedDocument", |xml| {
                xml.text("ram:IssuerAssignedID", &invoice.order_reference);
            });
        }
    });
}

fn party(xml: &mut Xml, contact: &Contact, details: &PartyDetails, has_vat_ids: bool) {
    let is_given = |text: &str| !text.trim().is_empty();
    xml.text("ram:Name", &contact.name);
    if is_given(&contact.registration) {
        xml.element("ram:SpecifiedLegalOrganization", |xml| xml.text("ram:ID", &contact.registration));
    }
    if is_given(&details.contact_person) || is_given(&details.phone) || is_given(&contact.email) {
        xml.element("ram:DefinedTradeContact", |xml| {
            xml.optional("ram:PersonName", &details.contact_person);
            if is_given(&details.phone) {
                xml.element("ram:TelephoneUniversalCommunication", |xml| {
                    xml.text("ram:CompleteNumber", &details.phone);
                });
            }
            if is_given(&contact.email) {
                xml.element("ram:EmailURIUniversalCommunication", |xml| {
                    xml.text("ram:URIID", &contact.email)
                });
            }
        });
    }
    xml.element("ram:PostalTradeAddress", |xml| {
        let [first, second, third] = street_lines(&contact.address.street);
        xml.optional("ram:PostcodeCode", &contact.address.postcode);
        xml.optional("ram:LineOne", &first);
        xml.optional("ram:LineTwo", &second);
        xml.optional("ram:LineThree", &third);
        xml.optional("ram:CityName", &contact.address.city);
        xml.text("ram:CountryID", &contact.address.country);
    });
    if let Some((scheme, id)) = endpoint(contact, details) {
        xml.element("ram:URIUniversalCommunication", |xml| {
            xml.with("ram:URIID", &[("schemeID", scheme)], id);
        });
    }
    let mut registered = |id: &str, scheme: &str| {
        if has_vat_ids && is_given(id) {
            xml.element("ram:SpecifiedTaxRegistration", |xml| {
                xml.with("ram:ID", &[("schemeID", scheme)], id);
            });
        }
    };
    registered(&details.tax_number, "FC");
    registered(&contact.vat_id, "VA");
}

fn delivery(xml: &mut Xml, invoice: &Invoice) {
    if invoice.vat.iter().any(|rate| rate.category == TaxCategory::IntraCommunity) {
        xml.element("ram:ShipToTradeParty", |xml| {
            xml.element("ram:PostalTradeAddress", |xml| {
                xml.optional("ram:PostcodeCode", &invoice.customer.address.postcode);
                xml.optional("ram:CityName", &invoice.customer.address.city);
                xml.text("ram:CountryID", &invoice.customer.address.country);
            });
        });
    }
    // The service is complete on the last day; the element must not be empty (PEPPOL-EN16931-R008).
    xml.element("ram:ActualDeliverySupplyChainEvent", |xml| {
        date(xml, "ram:OccurrenceDateTime", "udt:DateTimeString", invoice.period.last_day());
    });
}

fn settlement(xml: &mut Xml, invoice: &Invoice, profile: Profile) {
    let currency = invoice.currency;
    let means = Means::of(invoice);
    if let Means::Transfer { .. } = &means {
        xml.text("ram:PaymentReference", invoice.name());
    }
    xml.text("ram:InvoiceCurrencyCode", currency.as_str());
    xml.element("ram:SpecifiedTradeSettlementPaymentMeans", |xml| {
        xml.text("ram:TypeCode", means.code());
        if let Means::Transfer { iban, .. } = &means {
            xml.element("ram:PayeePartyCreditorFinancialAccount", |xml| {
                xml.text("ram:IBANID", iban);
                xml.text("ram:AccountName", &invoice.issuer.name);
            });
            if !invoice.issuer_details.bic.is_empty() {
                xml.element("ram:PayeeSpecifiedCreditorFinancialInstitution", |xml| {
                    xml.text("ram:BICID", &invoice.issuer_details.bic);
                });
            }
        }
    });
    for tax in &invoice.vat {
        xml.element("ram:ApplicableTradeTax", |xml| {
            xml.text("ram:CalculatedAmount", &amount(tax.vat, currency));
            xml.text("ram:TypeCode", "VAT");
            if let Some(exemption) = &tax.exemption {
                xml.optional("ram:ExemptionReason", &exemption.reason);
            }
            xml.text("ram:BasisAmount", &amount(tax.net, currency));
            xml.text("ram:CategoryCode", tax.category.as_str());
            if let Some(exemption) = &tax.exemption {
                xml.optional("ram:ExemptionReasonCode", &exemption.code);
            }
            if let Some(percent) = breakdown_rate(tax.category, tax.percent, profile) {
                xml.text("ram:RateApplicablePercent", &plain(percent));
            }
        });
    }
    period(xml, invoice.period.first_day(), invoice.period.last_day());
    xml.element("ram:SpecifiedTradePaymentTerms", |xml| {
        if invoice.is_credit_note() {
            xml.text("ram:Description", terms_note(invoice.language));
        } else {
            date(xml, "ram:DueDateDateTime", "udt:DateTimeString", invoice.due_date);
        }
    });
    xml.element("ram:SpecifiedTradeSettlementHeaderMonetarySummation", |xml| {
        let totals = &invoice.totals;
        xml.text("ram:LineTotalAmount", &amount(totals.net, currency));
        xml.text("ram:TaxBasisTotalAmount", &amount(totals.net, currency));
        xml.with("ram:TaxTotalAmount", &[("currencyID", currency.as_str())], &amount(totals.vat, currency));
        if !totals.rounding.is_zero() {
            xml.text("ram:RoundingAmount", &amount(totals.rounding, currency));
        }
        xml.text("ram:GrandTotalAmount", &amount(totals.gross, currency));
        if !totals.prepaid.is_zero() {
            xml.text("ram:TotalPrepaidAmount", &amount(totals.prepaid, currency));
        }
        xml.text("ram:DuePayableAmount", &amount(totals.payable(), currency));
    });
    if let Some((of, _)) = invoice.preceding() {
        xml.element("ram:InvoiceReferencedDocument", |xml| {
            xml.text("ram:IssuerAssignedID", &of.number);
            date(xml, "ram:FormattedIssueDateTime", "qdt:DateTimeString", of.issue_date);
        });
    }
}
