//! What a format file says, as it is written: one TOML table, unknown keys refused. Whether it makes sense is decided
//! in [`super::compile`].

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// What the records of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Rated calls.
    #[default]
    Calls,
    /// Event detail records.
    Events,
}

impl Subject {
    fn is_calls(&self) -> bool {
        *self == Subject::Calls
    }
}

/// How the records of a file are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Values between separators, quoted or not.
    Delimited,
    /// Every value has its columns.
    Fixed,
    /// One JSON object a line (RFC 8259).
    Json,
}

/// The characters of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Charset {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1: one byte a character.
    #[serde(rename = "iso-8859-1")]
    Latin1,
    /// ASCII.
    #[serde(rename = "ascii")]
    Ascii,
}

/// What happens to a character that the character set does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// It becomes `?`.
    #[default]
    Replace,
    /// It is left out.
    Drop,
    /// The record is put into suspense.
    Refuse,
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// Line feed.
    #[default]
    Lf,
    /// Carriage return and line feed.
    Crlf,
}

/// Which values are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quoting {
    /// All of them, numbers too, as the reference does.
    #[default]
    Always,
    /// Those that hold a separator, a quote or an outer blank (RFC 4180).
    Needed,
}

/// How the whole file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip (RFC 1952), without name and time, so that the same records give the same bytes.
    Gzip,
}

/// Which end of a field a value stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// At its beginning.
    Left,
    /// At its end.
    Right,
}

/// What happens to a value that is wider than its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Its end is cut off. For texts only: a number that is cut is another number.
    Cut,
    /// The record is put into suspense.
    Refuse,
}

/// The case of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// `ABC`.
    Upper,
    /// `abc`.
    Lower,
}

/// What an amount or a duration is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Of money: units of the currency.
    Units,
    /// Of money: hundredths, whatever the currency's minor unit.
    Cents,
    /// Of money: thousandths.
    Thousandths,
    /// Of money: millionths.
    Millionths,
    /// Of time.
    Seconds,
    /// Of time.
    Milliseconds,
    /// Of time.
    Minutes,
}

/// A condition on a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The fact that is looked at: a text, number or flag.
    pub fact: Spanned<String>,
    /// It holds when the fact is one of these; `""` is an absent fact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub is: Vec<String>,
    /// It holds when the fact is none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub is_not: Vec<String>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDescription {
    /// Its name: in headers, in JSON, in messages.
    pub name: Spanned<String>,
    /// The fact it shows. Default: the one of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Spanned<String>>,
    /// A constant, in place of a fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Spanned<String>>,
    /// Its first column, counted from 1, in fixed layouts. Default: after the field before. Where it is given it must
    /// be just that: a gap is a field of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Spanned<usize>>,
    /// Characters it takes. Needed in fixed layouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<Spanned<usize>>,
    /// Default: numbers right, all else left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub align: Option<Align>,
    /// One character that fills it up. Default: a blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<Spanned<String>>,
    /// Default: `"cut"` for texts, `"refuse"` for all else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Spanned<Overflow>>,
    /// Default: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<Spanned<Case>>,
    /// How a time is written, such as `"%Y-%m-%d %H:%M:%S"`. Needed for times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Spanned<String>>,
    /// Zone of this time. Default: that of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Spanned<Tz>>,
    /// Default: `"units"` of money, `"seconds"` of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Spanned<Unit>>,
    /// Digits behind the point of an amount or a duration; halves are rounded away from zero. Default: 6 for amounts,
    /// 3 for durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<Spanned<usize>>,
    /// The decimal point; `""` writes the digits without one. Default: `"."`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Spanned<String>>,
    /// Written when the record has no such fact. Default: nothing (in JSON `null`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Spanned<String>>,
    /// The partner's words for ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<String, String>,
    /// Written for a word that `words` does not list. Default: the word itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Spanned<String>>,
    /// Where this does not hold the field is written as absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// In JSON: whether the value is a string. Default: all but whole numbers and flags are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<bool>,
}

/// A CDR file format as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What it is, in a sentence.
    pub about: String,
    /// What its records are. Default: `"calls"`.
    #[serde(default, skip_serializing_if = "Subject::is_calls")]
    pub of: Subject,
    /// How records are laid out.
    pub layout: Spanned<Layout>,
    /// The format's own version, `${version}` in lines and file names. Default: none.
    #[serde(default)]
    pub version: String,
    /// Last part of file names, without the dot. Default: `"cdr"`.
    #[serde(default = "suffix_default")]
    pub suffix: Spanned<String>,
    /// Default: `"utf-8"`.
    #[serde(default)]
    pub charset: Charset,
    /// What happens to characters it does not have. Default: `"replace"`.
    #[serde(default)]
    pub unfit: Unfit,
    /// Default: `"lf"`.
    #[serde(default)]
    pub line_end: LineEnd,
    /// Zone of all times, unless the stream names one. Default: the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Tz>,
    /// Between values, in delimited layouts: one character. Default: `","`.
    #[serde(default = "separator_default")]
    pub separator: Spanned<String>,
    /// Around values: one character, or `""` for none. Default: `"\""`.
    #[serde(default = "quotes_default")]
    pub quotes: Spanned<String>,
    /// Which values. Default: `"always"`.
    #[serde(default)]
    pub quoting: Quoting,
    /// Put before a quote, or before itself, inside a value (before a separator where there are no quotes): one
    /// character, or `""` for none. The quote itself doubles it (RFC 4180). Default: the quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape: Option<Spanned<String>>,
    /// Lines before the records, with `${...}` (`exports/README.md`). Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<Spanned<String>>,
    /// Lines after them. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailer: Vec<Spanned<String>>,
    /// Characters of a record, where the partner's paper says so: the sum of the widths must be that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_width: Option<Spanned<usize>>,
    /// Which calls are in its files: those for which all of these hold. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Condition>,
    /// How a file is packed. Default: `"none"`.
    #[serde(default)]
    pub compression: Compression,
    /// A corrected call is first taken back by a record of its earlier revision with negated amounts
    /// (`record_type` = `reversal`), then written anew (`replacement`). Default: `false`, it is only written anew.
    #[serde(default)]
    pub reversals: bool,
    /// A call that its tariff cuts at peak borders (`split_at_peak = "reference_fragments"`) has a record for each fragment.
    /// Default: `false`, one record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fragments: bool,
    /// The fields, in order.
    pub field: Vec<FieldDescription>,
}

fn suffix_default() -> Spanned<String> {
    Spanned::new(0..0, "cdr".to_owned())
}

fn separator_default() -> Spanned<String> {
    Spanned::new(0..0, ",".to_owned())
}

fn quotes_default() -> Spanned<String> {
    Spanned::new(0..0, "\"".to_owned())
}
