//! What a session is set to: what clients ask for by `SHOW` and change by `SET`.
//!
//! One setting has an effect, `statement_timeout`: it can be made shorter than the operator's limit, not longer. The others are
//! remembered, since drivers read back what they have set.

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Reset, Set, Statement, Value};

/// The version that clients are told: they choose their questions by it.
pub(super) const VERSION: &str = "15.0";
/// What `version()` says.
pub(super) const VERSION_TEXT: &str = "PostgreSQL 15.0 (Tollbook: SQL over the lake, read-only)";

/// The settings of a session.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    values: BTreeMap<String, String>,
    /// The operator's limit.
    timeout_max: Duration,
}

/// What came of a statement about the session itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// Done; the tag that says so.
    Done(&'static str),
    /// A transaction begins; nothing else does.
    Begun,
    /// It is over.
    Over(&'static str),
    /// One row under the name of the setting.
    Shown(String, String),
}

impl Settings {
    pub(super) fn new(timeout_max: Duration) -> Self {
        let values = [
            ("application_name", ""),
            ("bytea_output", "hex"),
            ("client_encoding", "UTF8"),
            ("client_min_messages", "notice"),
            ("datestyle", "ISO, MDY"),
            ("default_transaction_isolation", "read committed"),
            ("default_transaction_read_only", "on"),
            ("extra_float_digits", "1"),
            ("in_hot_standby", "off"),
            ("integer_datetimes", "on"),
            ("intervalstyle", "postgres"),
            ("is_superuser", "off"),
            ("lc_collate", "C"),
            ("lc_ctype", "C"),
            ("max_identifier_length", "63"),
            ("max_index_keys", "32"),
            ("search_path", "\"$user\", public"),
            ("server_encoding", "UTF8"),
            ("server_version", VERSION),
            ("server_version_num", "150000"),
            ("standard_conforming_strings", "on"),
            ("statement_timeout", "0"),
            ("timezone", "UTC"),
            ("transaction_isolation", "read committed"),
            ("transaction_read_only", "on"),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { values, timeout_max }
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The value of one.
    pub(super) fn value_of(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        if name == "statement_timeout" {
            return Some(format!("{}ms", self.timeout().as_millis()));
        }
        self.values.get(&name).cloned()
    }

    /// How long a statement of this session may run.
    pub(super) fn timeout(&self) -> Duration {
        let asked = self.values.get("statement_timeout").and_then(|value| span(value));
        asked.filter(|asked| !asked.is_zero()).map_or(self.timeout_max, |asked| asked.min(self.timeout_max))
    }

    /// Sets one. Names are letters, digits and points, values short: whatever a client sends is kept no longer than that.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        const LETTERS_MAX: usize = 256;
        const SETTINGS_MAX: usize = 100;
        let name = name.to_lowercase();
        if value.len() > LETTERS_MAX || name.len() > LETTERS_MAX {
            return Err(format!("setting {name:?} is too long"));
        }
        if matches!(name.as_str(), "default_transaction_read_only" | "transaction_read_only")
            && !matches!(value, "on" | "true" | "1" | "yes")
        {
            return Err("the lake is read-only".to_owned());
        }
        if name == "statement_timeout" && span(value).is_none() {
            return Err(format!("{value:?} is no time; write it like 5000, '5s' or '2min'"));
        }
        if !self.values.contains_key(&name) && self.values.len() >= SETTINGS_MAX {
            return Err("there are too many settings".to_owned());
        }
        self.values.insert(name, value.to_owned());
        Ok(())
    }

    /// Carries out a statement about the session; `None`: it is about something else.
    pub(super) fn apply(&mut self, statement: &Statement) -> Option<Result<Changed, String>> {
        let done = |tag| Some(Ok(Changed::Done(tag)));
        match statement {
            Statement::Set(set) => Some(self.apply_set(set).map(|()| Changed::Done("SET"))),
            Statement::ShowVariable { variable } => {
                let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
                let name = match words.join(" ").as_str() {
                    "transaction isolation level" => "transaction_isolation".to_owned(),
                    "time zone" => "timezone".to_owned(),
                    _ => words.join("."),
                };
                let unknown = || format!("there is no setting {name:?}");
                Some(
                    self.value_of(&name).map(|value| Changed::Shown(name.clone(), value)).ok_or_else(unknown),
                )
            }
            Statement::Reset(reset) => {
                let fresh = Settings::new(self.timeout_max);
                match &reset.reset {
                    Reset::ALL => *self = fresh,
                    Reset::ConfigurationParameter(name) => {
                        let name = joined(name);
                        match fresh.values.get(&name) {
                            Some(value) => self.values.insert(name, value.clone()),
                            None => self.values.remove(&name),
                        };
                    }
                }
                done("RESET")
            }
            Statement::StartTransaction { .. } => Some(Ok(Changed::Begun)),
            Statement::Commit { .. } => Some(Ok(Changed::Over("COMMIT"))),
            Statement::Rollback { savepoint: None, .. } => Some(Ok(Changed::Over("ROLLBACK"))),
            Statement::Rollback { .. } => done("ROLLBACK"),
            Statement::Savepoint { .. } => done("SAVEPOINT"),
            Statement::ReleaseSavepoint { .. } => done("RELEASE"),
            Statement::Discard { .. } => {
                *self = Settings::new(self.timeout_max);
                done("DISCARD ALL")
            }
            Statement::Deallocate { .. } => done("DEALLOCATE"),
            Statement::UNLISTEN { .. } => done("UNLISTEN"),
            _ => None,
        }
    }

    fn apply_set(&mut self, set: &Set) -> Result<(), String> {
        match set {
            Set::SingleAssignment { variable, values, .. } => {
                let value: Vec<String> = values.iter().map(word).collect();
                self.set(&joined(variable), &value.join(", "))
            }
            Set::SetTimeZone { value, .. } => self.set("timezone", &word(value)),
            Set::SetNames { charset_name, .. } => self.set("client_encoding", &charset_name.value),
            // A reader sees the newest commit by each statement, whatever the level.
            Set::SetTransaction { .. } => Ok(()),
            _ => Err("this SET is not known here".to_owned()),
        }
    }
}

fn joined(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident().map(|ident| ident.value.to_lowercase()));
    parts.collect::<Vec<_>>().join(".")
}

fn word(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.clone(),
            other => other.clone().into_string().unwrap_or_else(|| other.to_string()),
        },
        Expr::Identifier(ident) => ident.value.clone(),
        other => other.to_string(),
    }
}

/// `5000`, `5s`, `2min`: milliseconds where no unit is said.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..end].parse().ok()?;
    let unit_ms: u64 = match text[end..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.checked_mul(unit_ms)?))
}
