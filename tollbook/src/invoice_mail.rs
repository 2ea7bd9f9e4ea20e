//! The mails that carry an invoice: their words in the language of the invoice, its PDF, its XML.

use anyhow::Context;
use chrono::NaiveDate;
use invoicing::{Invoice, Profile};
use model::{EInvoice, Language, MailEvent};
use notify::Variables;
use rust_decimal::Decimal;
use store::{EventMail, MailFill, NewMail};

/// The profile and the file name's end of an e-invoice beside the PDF.
pub(crate) const fn profile_of(einvoice: EInvoice) -> Option<Profile> {
    match einvoice {
        EInvoice::None => None,
        EInvoice::XRechnung => Some(Profile::XRechnungUbl),
        EInvoice::XRechnungCii => Some(Profile::XRechnungCii),
        EInvoice::Peppol => Some(Profile::Peppol),
    }
}

/// Why an invoice is mailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// It is new, or asked for once more.
    Issued,
    /// So much of it is still to be paid on this day, after its due date.
    Overdue { left: Decimal, today: NaiveDate },
}

/// The mail of `invoice`, kept as `kept`, of the account `handle`, with its PDF and the XML that its customer wants.
///
/// # Errors
///
/// When the invoice lacks what that XML demands.
pub(crate) fn of(
    kept: &store::Invoice,
    invoice: &Invoice,
    handle: &str,
    pdf: Vec<u8>,
    (einvoice, occasion): (EInvoice, Occasion),
) -> anyhow::Result<EventMail> {
    let event = match occasion {
        Occasion::Overdue { .. } => MailEvent::Reminder,
        Occasion::Issued if invoice.is_credit_note() => MailEvent::CreditNote,
        Occasion::Issued => MailEvent::Invoice,
    };
    let variables = variables_of(invoice, handle, occasion);
    let words = notify::own_words(event, invoice.language, &variables).context("word the mail")?;
    let mut attachments = vec![(format!("{}.pdf", kept.number), "application/pdf".to_owned(), pdf)];
    if let Some(profile) = profile_of(einvoice) {
        let xml = invoicing::to_xml(invoice, profile).context("write the e-invoice of the mail")?;
        attachments.push((format!("{}.xml", kept.number), "application/xml".to_owned(), xml));
    }
    let about = match occasion {
        Occasion::Issued => format!("invoice:{}", kept.id),
        Occasion::Overdue { .. } => reminder_of(kept.id),
    };
    let to = vec![invoice.customer.email.clone()];
    Ok(EventMail {
        mail: NewMail { to, subject: words.subject, text: words.text, attachments, about },
        tenant: kept.tenant,
        fill: MailFill { event, language: invoice.language, variables },
    })
}

/// What the reminders of an invoice are about.
pub(crate) fn reminder_of(invoice: model::InvoiceId) -> String {
    format!("reminder:{invoice}")
}

/// What the templates of mails with invoices may say.
fn variables_of(invoice: &Invoice, handle: &str, occasion: Occasion) -> Variables {
    let mut payable = match occasion {
        Occasion::Issued => invoice.totals.payable(),
        Occasion::Overdue { left, .. } => left,
    };
    payable.rescale(invoice.currency.minor_decimals());
    let (short, long) = match invoice.language {
        Language::English => ("%F", "%-d %B %Y"),
        Language::German => ("%d.%m.%Y", "%d.%m.%Y"),
        Language::Vietnamese => ("%d/%m/%Y", "%d/%m/%Y"),
    };
    let mut values = vec![
        ("number", invoice.name().to_owned()),
        ("issuer", invoice.issuer.name.clone()),
        ("issuer_email", invoice.issuer.email.clone()),
        ("customer", invoice.customer.name.clone()),
        ("handle", handle.to_owned()),
        ("period", invoice.period.in_words()),
        ("first_day", invoice.period.first_day().format(short).to_string()),
        ("last_day", invoice.period.last_day().format(short).to_string()),
        ("total", format!("{} {payable}", invoice.currency)),
    ];
    if !invoice.is_credit_note() {
        values.push(("due_date", invoice.due_date.format(long).to_string()));
    }
    if let Occasion::Overdue { today, .. } = occasion {
        let days = today.signed_duration_since(invoice.due_date).num_days();
        values.push(("days_overdue", days.to_string()));
    }
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
