//! The delivered queries: what finance, carrier managers, analysts and the fraud desk ask again and again.
//!
//! Each is a file in `queries/`, with its title, whom it is for and what it says in its first lines. `:from` and `:to` stand for the
//! period asked about, `:before` for the beginning of the one of the same length before it.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};

/// One delivered query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedQuery {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Whom it is for: finance, carriers, analysts, fraud.
    pub audience: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// The statement, with its placeholders.
    pub sql: &'static str,
}

macro_rules! saved {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../queries/", $name, ".sql")))),+] };
}

const FILES: [(&str, &str); 36] = saved![
    "daily-close",
    "revenue-by-zone",
    "revenue-by-account",
    "margin-by-carrier",
    "margin-by-destination",
    "losses",
    "top-movers",
    "unbilled",
    "revenue-assurance",
    "free-of-charge",
    "balances",
    "open-invoices",
    "invoiced-against-rated",
    "carrier-quality",
    "destination-quality",
    "carrier-and-destination",
    "route-quality",
    "failures-by-code",
    "fallback",
    "carrier-statement",
    "dispute-candidates",
    "false-answers",
    "rate-changes",
    "traffic-heat-map",
    "traffic-by-hour",
    "busy-hours",
    "why-calls-failed",
    "destinations",
    "lengths",
    "registrations-by-day",
    "risky-destinations",
    "night-spend",
    "new-countries",
    "ringing-and-gone",
    "alerts-by-rule",
    "refused-registrations",
];

static QUERIES: LazyLock<Vec<SavedQuery>> =
    LazyLock::new(|| FILES.into_iter().filter_map(|(name, text)| parsed(name, text)).collect());

/// All of them, by whom they are for.
pub fn saved_queries() -> &'static [SavedQuery] {
    &QUERIES
}

fn parsed(name: &'static str, text: &'static str) -> Option<SavedQuery> {
    let (title, rest) = text.strip_prefix("-- ")?.split_once('\n')?;
    let (audience, rest) = rest.strip_prefix("-- for: ")?.split_once('\n')?;
    let (says, sql) = rest.strip_prefix("-- says: ")?.split_once('\n')?;
    Some(SavedQuery { name, title, audience, says, sql: sql.trim_end() })
}

impl SavedQuery {
    /// The query of this name.
    pub fn named(name: &str) -> Option<SavedQuery> {
        QUERIES.iter().copied().find(|query| query.name == name)
    }

    /// The statement for calls that started at or after `from` and before `to`.
    pub fn statement(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> String {
        let before = from.checked_sub_signed(to - from).unwrap_or(DateTime::UNIX_EPOCH);
        // A time is written by us, so nothing of what people typed gets into the statement.
        let literal = |at: DateTime<Utc>| at.format("TIMESTAMP '%Y-%m-%dT%H:%M:%S%.6f'").to_string();
        self.sql
            .replace(":from", &literal(from))
            .replace(":before", &literal(before))
            .replace(":to", &literal(to))
    }
}
