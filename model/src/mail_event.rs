//! What mails are written for, and what their templates may say: the contract between those who queue a mail and those who word it.

use crate::cause::named_enum;

named_enum! {
    /// An event that somebody is written to about, in words that a tenant may choose.
    MailEvent {
        /// A new invoice, or a corrected one, with its PDF.
        Invoice = "invoice",
        /// A credit note, with its PDF.
        CreditNote = "credit_note",
        /// An invoice is overdue; with its PDF once more.
        Reminder = "reminder",
        /// A fraud rule or a spend limit was met, and nothing was locked.
        FraudWarning = "fraud_warning",
        /// A fraud rule or a spend limit was met, and the account was locked.
        FraudLock = "fraud_lock",
        /// A balance fell below what its owner wants to hear of.
        LowBalance = "low_balance",
    }
}

/// A variable that the templates of an event may use. All are texts; one that does not apply is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailVariable {
    /// As templates name it.
    pub name: &'static str,
    /// What it holds.
    pub meaning: &'static str,
    /// An example, for previews and checks.
    pub sample: &'static str,
}

const fn variable(name: &'static str, meaning: &'static str, sample: &'static str) -> MailVariable {
    MailVariable { name, meaning, sample }
}

const INVOICE: &[MailVariable] = &[
    variable("number", "number of the document", "INV-2026-000117"),
    variable("issuer", "name of who sells", "Nordtel GmbH"),
    variable("issuer_email", "address of who sells", "billing@nordtel.example"),
    variable("customer", "name of who pays", "Huber & Söhne KG"),
    variable("handle", "the account's handle", "huber"),
    variable("period", "the period in words", "1 – 31 October 2026"),
    variable("first_day", "first day of the period", "2026-10-01"),
    variable("last_day", "last day of the period", "2026-10-31"),
    variable("total", "what is to be paid, with its currency", "EUR 118.40"),
    variable("due_date", "when it is to be paid", "15 November 2026"),
];

const CREDIT_NOTE: &[MailVariable] = &[
    INVOICE[0],
    INVOICE[1],
    INVOICE[2],
    INVOICE[3],
    INVOICE[4],
    INVOICE[5],
    INVOICE[6],
    INVOICE[7],
    variable("total", "what is credited, with its currency", "EUR 118.40"),
];

const REMINDER: &[MailVariable] = &[
    INVOICE[0],
    INVOICE[1],
    INVOICE[2],
    INVOICE[3],
    INVOICE[4],
    INVOICE[5],
    INVOICE[6],
    INVOICE[7],
    variable("total", "what is still to be paid, with its currency", "EUR 118.40"),
    variable("due_date", "when it was to be paid", "15 November 2026"),
    variable("days_overdue", "days since then", "9"),
];

const FRAUD: &[MailVariable] = &[
    variable("title", "what happened, in one line", "Huber & Söhne KG (huber): calls to premium numbers"),
    variable(
        "details",
        "all the facts, one to a line",
        "Rule:     irsf-burst, version 2\nSpent:    48.12 EUR",
    ),
    variable("name", "name of the customer", "Huber & Söhne KG"),
    variable("handle", "the account's handle", "huber"),
    variable("rule", "the rule or the limit", "irsf-burst"),
    variable("period", "the day or month it is about", "2026-10-05"),
    variable("spent", "what was spent", "48.12 EUR"),
    variable("limit", "the limit", "50.00 EUR"),
    variable("lock", "what is locked, in words", "outgoing calls are locked"),
    variable("reached", "when, in the account's zone", "2026-10-05 03:12:44 CEST"),
    variable("lock_ends", "when the lock lifts itself", "2026-10-06 00:00:00 CEST"),
    variable("alert", "the alert's id", "5b0c2d9e8f7a61524334251607f8e9da"),
];

const LOW_BALANCE: &[MailVariable] = &[
    variable("account", "name of the account", "huber"),
    variable("customer", "name of who pays", "Huber & Söhne KG"),
    variable("left", "what is left, with its currency", "1.75 EUR"),
    variable("below", "what it fell below, with its currency", "5 EUR"),
];

impl MailEvent {
    /// What its templates may use, in the order in which lists show it.
    pub const fn variables(self) -> &'static [MailVariable] {
        match self {
            MailEvent::Invoice => INVOICE,
            MailEvent::CreditNote => CREDIT_NOTE,
            MailEvent::Reminder => REMINDER,
            MailEvent::FraudWarning | MailEvent::FraudLock => FRAUD,
            MailEvent::LowBalance => LOW_BALANCE,
        }
    }
}
