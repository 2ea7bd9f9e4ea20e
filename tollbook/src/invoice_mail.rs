//! The mail that carries an invoice: its words in the language of the invoice, its PDF, its XML.

use anyhow::Context;
use invoicing::{Invoice, Profile};
use model::{EInvoice, Language};
use store::NewMail;

/// The profile and the file name's end of an e-invoice beside the PDF.
pub(crate) const fn profile_of(einvoice: EInvoice) -> Option<Profile> {
    match einvoice {
        EInvoice::None => None,
        EInvoice::XRechnung => Some(Profile::XRechnungUbl),
        EInvoice::XRechnungCii => Some(Profile::XRechnungCii),
        EInvoice::Peppol => Some(Profile::Peppol),
    }
}

/// The mail of `invoice`, kept as `kept`, with its PDF and the XML that its customer wants.
///
/// # Errors
///
/// When the invoice lacks what that XML demands.
pub(crate) fn of(
    kept: &store::Invoice,
    invoice: &Invoice,
    pdf: Vec<u8>,
    einvoice: EInvoice,
) -> anyhow::Result<NewMail> {
    let (subject, text) = words(invoice);
    let mut attachments = vec![(format!("{}.pdf", kept.number), "application/pdf".to_owned(), pdf)];
    if let Some(profile) = profile_of(einvoice) {
        let xml = invoicing::to_xml(invoice, profile).context("write the e-invoice of the mail")?;
        attachments.push((format!("{}.xml", kept.number), "application/xml".to_owned(), xml));
    }
    let to = vec![invoice.customer.email.clone()];
    Ok(NewMail { to, subject, text, attachments, about: format!("invoice:{}", kept.id) })
}

/// Subject and text.
fn words(invoice: &Invoice) -> (String, String) {
    let (number, issuer, customer) = (invoice.name(), &invoice.issuer, &invoice.customer.name);
    let mut payable = invoice.totals.payable();
    payable.rescale(invoice.currency.minor_decimals());
    let sum = format!("{} {payable}", invoice.currency);
    let period = invoice.period.in_words();
    let (first, last) = (invoice.period.first_day(), invoice.period.last_day());
    let is_credit = invoice.is_credit_note();
    let (subject, body) = match invoice.language {
        Language::English if is_credit => (
            format!("Credit note {number} from {}", issuer.name),
            format!("Dear {customer},\n\nplease find attached credit note {number} for {period}: {sum}."),
        ),
        Language::English => (
            format!("Invoice {number} from {}", issuer.name),
            format!(
                "Dear {customer},\n\nplease find attached invoice {number} for {period}: {sum}, due on {}.",
                invoice.due_date.format("%-d %B %Y")
            ),
        ),
        Language::German => {
            let what = if is_credit { "Gutschrift" } else { "Rechnung" };
            let span = format!("{} bis {}", first.format("%d.%m.%Y"), last.format("%d.%m.%Y"));
            let due = if is_credit {
                String::new()
            } else {
                format!(", fällig am {}", invoice.due_date.format("%d.%m.%Y"))
            };
            (
                format!("{what} {number} von {}", issuer.name),
                format!(
                    "Guten Tag {customer},\n\nanbei finden Sie die {what} {number} für {span}: {sum}{due}."
                ),
            )
        }
        Language::Vietnamese => {
            let what = if is_credit { "hóa đơn điều chỉnh giảm" } else { "hóa đơn" };
            let span = format!("từ {} đến {}", first.format("%d/%m/%Y"), last.format("%d/%m/%Y"));
            let due = if is_credit {
                String::new()
            } else {
                format!(", hạn thanh toán {}", invoice.due_date.format("%d/%m/%Y"))
            };
            (
                format!(
                    "{} {number} – {}",
                    if is_credit { "Hóa đơn điều chỉnh giảm" } else { "Hóa đơn" },
                    issuer.name
                ),
                format!("Kính gửi {customer},\n\nXin gửi kèm {what} {number} {span}: {sum}{due}."),
            )
        }
    };
    (subject, format!("{body}\n\n{}\n{}\n", issuer.name, issuer.email))
}
