//! What the console shows, as gathered once a second.

use serde::Serialize;

/// What a role may see. Operations sees everything, and so does an auditor; finance does not see whom the fraud desk watches, and
/// the fraud desk does not see the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Sees {
    /// Balances, invoices, CDR files.
    pub(crate) money: bool,
    /// Alerts and locks.
    pub(crate) fraud: bool,
}

impl Sees {
    /// An unknown role sees the traffic alone.
    pub(crate) fn of_role(role: &str) -> Self {
        match role {
            "operator" | "auditor" => Self { money: true, fraud: true },
            "finance" => Self { money: true, fraud: false },
            "fraud" => Self { money: false, fraud: true },
            _ => Self::default(),
        }
    }
}

impl Figures {
    /// Without what is not for these eyes.
    pub(crate) fn only(mut self, sees: Sees) -> Self {
        if !sees.money {
            (self.balances, self.invoices, self.files) = (Vec::new(), Vec::new(), Vec::new());
        }
        if !sees.fraud {
            (self.alerts, self.locks) = (Vec::new(), Vec::new());
        }
        self
    }
}

/// Everything on the front page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// When they were gathered, RFC 3339 UTC.
    pub at: String,
    /// Calls up or being set up.
    pub calls_active: u64,
    /// Calls accepted for processing since the switch began.
    pub calls_total: u64,
    /// New calls in the last second.
    pub calls_per_second: u64,
    /// Calls that were answered since the switch began.
    pub calls_answered: u64,
    /// Calls the switch refused itself.
    pub calls_rejected: u64,
    /// Phones registered now.
    pub registrations: u64,
    /// Datagrams that were not SIP.
    pub malformed: u64,
    /// Records put aside and not yet resolved.
    pub suspended: u64,
    /// Mails not yet handed over.
    pub mails_waiting: u64,
    /// The consumers of the pipeline.
    pub stages: Vec<StageRow>,
    /// Ledger balances, largest first.
    pub balances: Vec<BalanceRow>,
    /// Latest alerts, newest first.
    pub alerts: Vec<AlertRow>,
    /// Locks in force.
    pub locks: Vec<LockRow>,
    /// Latest invoices, newest first.
    pub invoices: Vec<InvoiceRow>,
    /// Latest CDR files, newest first.
    pub files: Vec<FileRow>,
}

/// One consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageRow {
    /// Its name.
    pub name: String,
    /// Records consumed since the process began.
    pub consumed: u64,
    /// Records waiting for it.
    pub waiting: u64,
}

/// One balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceRow {
    /// Ledger account, in people's words.
    pub name: String,
    /// Decimal.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertRow {
    /// When.
    pub at: String,
    /// Whose.
    pub account: String,
    /// Which rule.
    pub rule: String,
    /// What it came to.
    pub value: String,
    /// What was allowed.
    pub limit: String,
    /// Which lock followed.
    pub lock: String,
}

/// One lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockRow {
    /// Whose.
    pub account: String,
    /// How far.
    pub level: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
}

/// One invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceRow {
    /// For the link to its PDF.
    pub id: i64,
    /// Its number.
    pub number: String,
    /// Whose.
    pub account: String,
    /// With tax and currency.
    pub total: String,
    /// Draft, final, sent...
    pub state: String,
}

/// One CDR file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRow {
    /// Whose.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Its MD5.
    pub md5: String,
}
