//! What the console shows, as gathered once a second.

use serde::Serialize;

use crate::role::{Right, Role};

/// Seconds of calls per second that the chart shows.
pub const HISTORY_SECONDS: usize = 300;

impl Figures {
    /// Without what is not for this role's eyes.
    pub(crate) fn for_role(mut self, role: Role) -> Self {
        if !role.may(Right::Books) {
            (self.balances, self.invoices) = (Vec::new(), Vec::new());
        }
        if !role.may(Right::Files) {
            self.files = Vec::new();
        }
        if !role.may(Right::FraudDesk) {
            (self.alerts, self.locks) = (Vec::new(), Vec::new());
        }
        self
    }

    /// The same a second later: `self` becomes the newest, and what it counts joins the history of the one before.
    #[must_use]
    pub fn after(mut self, before: &Figures) -> Self {
        self.calls_per_second = self.calls_total.saturating_sub(before.calls_total);
        self.history = before.history.clone();
        self.history.push(self.calls_per_second);
        let excess = self.history.len().saturating_sub(HISTORY_SECONDS);
        self.history.drain(..excess);
        self
    }
}

/// Everything on the front page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
    /// The same by the stage that put them aside and the code of what is wrong with them; for `/metrics`.
    #[serde(skip)]
    pub suspended_by_code: Vec<(String, String, u64)>,
    /// Mails not yet handed over.
    pub mails_waiting: u64,
    /// New calls of each of the last seconds, oldest first; at most [`HISTORY_SECONDS`]. The page draws it once and goes on by itself.
    #[serde(skip)]
    pub history: Vec<u64>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StageRow {
    /// Its name.
    pub name: String,
    /// Records consumed since the process began.
    pub consumed: u64,
    /// Records waiting for it.
    pub waiting: u64,
}

/// One balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BalanceRow {
    /// Ledger account, in people's words.
    pub name: String,
    /// Decimal.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileRow {
    /// Whose.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Its MD5.
    pub md5: String,
    /// Who has fetched how much of it over SFTP, and when.
    pub fetched: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_keeps_the_last_seconds() {
        let mut now = Figures::default();
        for second in 1..=310 {
            now = Figures { calls_total: second * 2, ..Figures::default() }.after(&now);
        }
        assert_eq!((now.history.len(), now.calls_per_second), (HISTORY_SECONDS, 2));
        // A switch that began anew counts from nothing.
        assert_eq!(Figures::default().after(&now).calls_per_second, 0);
    }
}
