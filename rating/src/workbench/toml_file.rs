//! A TOML file read key by key, so that every mistake in it is found at once and has its place.

use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::issue::Issue;

/// One table of the file, and the keys it may have.
pub(crate) struct Keys<'a> {
    file: &'a str,
    text: &'a str,
    table: &'a DeTable<'a>,
    /// Where issues about the table as a whole point to.
    span: std::ops::Range<usize>,
}

/// Parses `text` and hands its root table to `read`; `None` when the syntax is broken.
pub(crate) fn parse<T>(
    file: &str,
    text: &str,
    issues: &mut Vec<Issue>,
    read: impl FnOnce(&Keys<'_>, &mut Vec<Issue>) -> T,
) -> Option<T> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        issues.push(Issue {
            rule: error.message().replace('\n', ", "),
            remedy: "write it as TOML".to_owned(),
            ..Issue::at_span(file, text, &span)
        });
    }
    if !errors.is_empty() {
        return None;
    }
    let keys = Keys { file, text, table: root.get_ref(), span: 0..0 };
    Some(read(&keys, issues))
}

impl<'a> Keys<'a> {
    /// Reports every key that is not `allowed`, with the nearest one that is.
    pub(crate) fn allow(&self, allowed: &[&str], issues: &mut Vec<Issue>) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if allowed.contains(&name) {
                continue;
            }
            issues.push(Issue {
                field: name.to_owned(),
                rule: "unknown key".to_owned(),
                remedy: suggestion(name, allowed),
                ..Issue::at_span(self.file, self.text, &key.span())
            });
        }
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// An issue at the value of `key`, or at the table where it is missing.
    pub(crate) fn issue(&self, key: &str, rule: impl Into<String>, remedy: impl Into<String>) -> Issue {
        let span = self.value(key).map_or(self.span.clone(), Spanned::span);
        Issue {
            field: key.to_owned(),
            rule: rule.into(),
            remedy: remedy.into(),
            ..Issue::at_span(self.file, self.text, &span)
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The text of `key`, parsed. Dates and times may also be written without quotes.
    pub(crate) fn parsed<T>(
        &self,
        key: &str,
        remedy: &str,
        issues: &mut Vec<Issue>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(datetime) => datetime.to_string(),
            DeValue::Integer(integer) => integer.to_string(),
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let rule = format!("a quoted text is expected here, not a {}", value.get_ref().type_str());
                issues.push(self.issue(key, rule, remedy));
                return None;
            }
        };
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(rule) => {
                issues.push(self.issue(key, rule, remedy));
                None
            }
        }
    }

    /// As [`Self::parsed`], by the type's own `FromStr`.
    pub(crate) fn word<T: FromStr<Err: std::fmt::Display>>(
        &self,
        key: &str,
        remedy: &str,
        issues: &mut Vec<Issue>,
    ) -> Option<T> {
        self.parsed(key, remedy, issues, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    pub(crate) fn boolean(&self, key: &str, issues: &mut Vec<Issue>) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref().as_bool() {
            Some(boolean) => Some(boolean),
            None => {
                issues.push(self.issue(key, "true or false is expected here", "write it without quotes"));
                None
            }
        }
    }

    /// The text of `key`, or its list of texts; empty when there is none.
    pub(crate) fn texts(&self, key: &str, remedy: &str, issues: &mut Vec<Issue>) -> Vec<String> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let one = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
        let texts = match value.get_ref().as_array() {
            Some(list) => list.iter().map(one).collect::<Option<Vec<String>>>(),
            None => one(value).map(|text| vec![text]),
        };
        texts.filter(|texts| !texts.is_empty()).unwrap_or_else(|| {
            issues.push(self.issue(key, "a quoted text or a list of them is expected here", remedy));
            Vec::new()
        })
    }

    /// A whole number from `min` on.
    pub(crate) fn number<T: TryFrom<u64>>(&self, key: &str, min: u64, issues: &mut Vec<Issue>) -> Option<T> {
        let value = self.value(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| *number >= min)
            .and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            issues.push(self.issue(
                key,
                format!("a whole number from {min} on is expected here"),
                "write it without quotes",
            ));
        }
        number
    }

    /// The table `key`.
    pub(crate) fn table(&self, key: &str, issues: &mut Vec<Issue>) -> Option<Keys<'a>> {
        let value = self.value(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Keys { file: self.file, text: self.text, table, span: value.span() }),
            None => {
                issues.push(self.issue(key, "a table is expected here", "write { key = value, ... }"));
                None
            }
        }
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables(&self, key: &str, issues: &mut Vec<Issue>) -> Vec<Keys<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let elements = value.get_ref().as_array();
        let tables: Option<Vec<_>> = elements.and_then(|elements| {
            elements
                .iter()
                .map(|element| {
                    let table = element.get_ref().as_table()?;
                    Some(Keys { file: self.file, text: self.text, table, span: element.span() })
                })
                .collect()
        });
        tables.unwrap_or_else(|| {
            issues.push(self.issue(key, "a list of tables is expected here", format!("write [[{key}]]")));
            Vec::new()
        })
    }

    /// Reports `key` where it is missing.
    pub(crate) fn require(&self, key: &str, remedy: &str, issues: &mut Vec<Issue>) {
        if !self.has(key) {
            issues.push(self.issue(key, "missing", remedy));
        }
    }
}

/// The nearest of `allowed`, or all of them.
pub(crate) fn suggestion(name: &str, allowed: &[&str]) -> String {
    let nearest = allowed.iter().map(|word| (strsim::levenshtein(name, word), word)).min();
    match nearest {
        Some((distance, word)) if distance <= 1 + name.len() / 4 => format!("did you mean {word}?"),
        _ => format!("use one of {}", allowed.join(", ")),
    }
}
