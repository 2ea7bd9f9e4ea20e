//! A described format: what a TOML file says of how another system writes its records.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// How records are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Separated values (RFC 4180).
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Fields by their place in the line.
    Fixed,
    /// What FreeSWITCH's `mod_json_cdr` writes; its fields are known.
    Freeswitch,
}

/// A field of ours that a format can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Names the record for ever within its source; required.
    Key,
    /// The caller's number.
    Source,
    /// The number called; required.
    Destination,
    /// When the call came in; this or `answer` is required.
    Start,
    /// When it was answered; empty if never.
    Answer,
    /// When it ended.
    End,
    /// How long it was answered; this or `end` is required.
    Duration,
    /// Final SIP code. Without it, a call of some length is 200 and another one 480.
    Code,
    /// One of our causes; else it follows from the code.
    Cause,
    /// `caller`, `callee`, `switch` or `operator`. Default: `switch`.
    EndedBy,
    /// Handle of the account that pays; else it is the owner of `source`, or the carrier of `trunk_in`.
    Account,
    /// Name of the trunk it came in from.
    TrunkIn,
    /// Name of the trunk it went out to.
    TrunkOut,
    /// SIP Call-ID.
    CallId,
    /// Audio codec.
    Codec,
    /// User-Agent of the caller.
    UserAgent,
    /// Source address of the signalling.
    Ip,
    /// Post-dial delay.
    Pdd,
}

impl Field {
    /// Its word in format files and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Field::Key => "key",
            Field::Source => "source",
            Field::Destination => "destination",
            Field::Start => "start",
            Field::Answer => "answer",
            Field::End => "end",
            Field::Duration => "duration",
            Field::Code => "code",
            Field::Cause => "cause",
            Field::EndedBy => "ended_by",
            Field::Account => "account",
            Field::TrunkIn => "trunk_in",
            Field::TrunkOut => "trunk_out",
            Field::CallId => "call_id",
            Field::Codec => "codec",
            Field::UserAgent => "user_agent",
            Field::Ip => "ip",
            Field::Pdd => "pdd",
        }
    }

    const fn is_time(self) -> bool {
        matches!(self, Field::Start | Field::Answer | Field::End)
    }

    const fn is_length(self) -> bool {
        matches!(self, Field::Duration | Field::Pdd)
    }
}

/// Unit of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds, with decimals if need be.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// `1:02:03`, `02:03` or `3`.
    Hms,
}

/// Where a field of ours is found. One of `from`, `at` and `value`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldRule {
    /// CSV: name of the column, or its number from 1. JSON: names joined by dots, numbers for places in lists, from 0.
    pub from: Option<String>,
    /// Fixed: first column, from 1, and width, in characters.
    pub at: Option<(usize, usize)>,
    /// The same for every record.
    pub value: Option<String>,
    /// What words of theirs mean to us. A word that is not here stays as it is.
    pub map: BTreeMap<String, String>,
    /// Of times: `rfc3339`, `epoch`, `epoch_ms`, `epoch_us`, or a pattern such as `%Y-%m-%d %H:%M:%S%.f`, with `%z` where the
    /// offset is written. Default: `rfc3339`.
    pub time: Option<String>,
    /// Of lengths. Default: seconds.
    pub unit: Unit,
}

impl FieldRule {
    /// In words, for messages.
    pub(super) fn place(&self) -> String {
        match (&self.from, self.at) {
            (Some(from), _) => format!("{from:?}"),
            (None, Some((start, width))) => format!("columns {start} to {}", start + width.saturating_sub(1)),
            (None, None) => "a fixed value".to_owned(),
        }
    }
}

/// How numbers are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NumberPlan {
    /// Country code of numbers without one, such as `"43"`; empty if all have theirs.
    pub country: String,
    /// What stands before a number of the country. Default: `"0"`.
    pub national: String,
    /// What stands before a country code. Default: `"00"`; `+` is always understood.
    pub international: String,
}

impl Default for NumberPlan {
    fn default() -> Self {
        Self { country: String::new(), national: "0".to_owned(), international: "00".to_owned() }
    }
}

impl NumberPlan {
    /// E.164 digits, if it is a number at all; short codes stay as they are.
    pub(super) fn normalise(&self, written: &str) -> String {
        let digits: String =
            written.chars().filter(|c| !matches!(c, ' ' | '-' | '/' | '(' | ')' | '.')).collect();
        if let Some(rest) = digits.strip_prefix('+') {
            return rest.to_owned();
        }
        let after = |prefix: &str| digits.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        if let Some(rest) = after(&self.international) {
            return rest.to_owned();
        }
        if !self.country.is_empty()
            && let Some(rest) = after(&self.national)
        {
            return format!("{}{rest}", self.country);
        }
        digits
    }
}

/// A described format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// How records are told apart.
    pub kind: Kind,
    /// Between the values of a CSV record. Default: `","`.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Whether the first line of a CSV file names the columns. Default: true.
    #[serde(default = "yes")]
    pub header: bool,
    /// Lines before the first record, or before the header. Default: 0.
    #[serde(default)]
    pub skip_lines: u64,
    /// Zone of times without an offset. Default: UTC.
    #[serde(default)]
    pub timezone: Tz,
    /// How numbers are written.
    #[serde(default)]
    pub numbers: NumberPlan,
    /// Where each field of ours is found.
    #[serde(default)]
    pub fields: BTreeMap<Field, FieldRule>,
}

const fn comma() -> char {
    ','
}

const fn yes() -> bool {
    true
}

impl Format {
    /// What FreeSWITCH writes.
    pub fn freeswitch() -> Self {
        Self {
            kind: Kind::Freeswitch,
            delimiter: ',',
            header: false,
            skip_lines: 0,
            timezone: Tz::UTC,
            numbers: NumberPlan::default(),
            fields: BTreeMap::new(),
        }
    }

    /// Whether the first line after those skipped names the columns.
    pub fn has_header(&self) -> bool {
        self.kind == Kind::Csv && self.header
    }

    /// Looks for rules that no record could follow.
    ///
    /// # Errors
    ///
    /// The key and the rule, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.kind == Kind::Freeswitch {
            return if self.fields.is_empty() {
                Ok(())
            } else {
                Err("fields: those of freeswitch are known; use json_lines to describe your own".to_owned())
            };
        }
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\n' | '\r') {
            return Err(
                "delimiter: one ASCII character that is neither a quote nor the end of a line".to_owned()
            );
        }
        for required in [Field::Key, Field::Destination] {
            if !self.fields.contains_key(&required) {
                return Err(format!("fields.{0}: is missing; every record needs one", required.as_str()));
            }
        }
        for (one, other) in [(Field::Start, Field::Answer), (Field::Duration, Field::End)] {
            if !self.fields.contains_key(&one) && !self.fields.contains_key(&other) {
                return Err(format!("fields.{}: is missing, and so is {}", one.as_str(), other.as_str()));
            }
        }
        self.fields.iter().try_for_each(|(field, rule)| self.check_rule(*field, rule))
    }

    fn check_rule(&self, field: Field, rule: &FieldRule) -> Result<(), String> {
        let name = field.as_str();
        let n_places = [rule.from.is_some(), rule.at.is_some(), rule.value.is_some()];
        if n_places.iter().filter(|given| **given).count() != 1 {
            return Err(format!("fields.{name}: needs one of from, at and value"));
        }
        if rule.at.is_some() != (self.kind == Kind::Fixed) && rule.value.is_none() {
            return Err(match self.kind {
                Kind::Fixed => {
                    format!("fields.{name}.from: fields of a fixed format have `at = [first column, width]`")
                }
                Kind::Csv | Kind::JsonLines | Kind::Freeswitch => {
                    format!(
                        "fields.{name}.at: only fields of a fixed format have a place in the line; use from"
                    )
                }
            });
        }
        if rule.at.is_some_and(|(start, width)| start == 0 || width == 0) {
            return Err(format!("fields.{name}.at: columns count from 1, and a field is at least 1 wide"));
        }
        if let (Kind::Csv, false, Some(from)) = (self.kind, self.header, &rule.from)
            && !from.parse::<usize>().is_ok_and(|number| number > 0)
        {
            return Err(format!(
                "fields.{name}.from: {from:?} names a column, but the file has no header; give its number"
            ));
        }
        if rule.time.is_some() && !field.is_time() {
            return Err(format!("fields.{name}.time: {name} is not a time"));
        }
        if rule.unit != Unit::default() && !field.is_length() {
            return Err(format!("fields.{name}.unit: {name} is not a length"));
        }
        Ok(())
    }
}
