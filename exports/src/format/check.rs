//! Checks a file of any described format, ours or a partner's: header, every value, counts, sums and checksums.
//!
//! In: the bytes of a file. Out: what it says of itself and a list of faults, each with its line. Nothing is believed:
//! a partner's file may be cut off, padded wrongly or made by somebody else.

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::compile::Format;
use super::description::{Align, Charset, Layout};
use super::field::{Field, Source, Style};
use super::template::{Digest, Known, Template, Token};

/// Faults that are told in words; further ones are counted.
pub const FAULTS_TOLD_MAX: usize = 20;

/// What is wrong in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; one past the last line when something is missing at the end.
    pub line: usize,
    /// In words.
    pub what: String,
}

/// What a file says of itself, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Records, counted.
    pub rows: u64,
    /// Whether the file says how many there should be.
    pub is_counted: bool,
    /// Its number, if it says one.
    pub sequence: Option<u64>,
    /// Checksums that it carries and that are right.
    pub digests: Vec<(Digest, String)>,
    /// The first [`FAULTS_TOLD_MAX`] faults.
    pub faults: Vec<Fault>,
    /// All of them.
    pub n_faults: u64,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.n_faults == 0
    }

    fn fault(&mut self, line: usize, what: String) {
        self.n_faults += 1;
        if self.faults.len() < FAULTS_TOLD_MAX {
            self.faults.push(Fault { line, what });
        }
    }
}

/// A checksum of `bytes`, in lowercase hexadecimal.
pub fn digest_of(kind: Digest, bytes: &[u8]) -> String {
    match kind {
        Digest::Md5 => hex::encode(Md5::digest(bytes)),
        Digest::Sha256 => hex::encode(Sha256::digest(bytes)),
        Digest::Crc32 => format!("{:08x}", crc32fast::hash(bytes)),
    }
}

impl Format {
    /// Checks an unpacked file.
    pub fn check(&self, bytes: &[u8]) -> Checked {
        let mut found = Checked {
            rows: 0,
            is_counted: self.counts_rows(),
            sequence: None,
            digests: Vec::new(),
            faults: Vec::new(),
            n_faults: 0,
        };
        let end = self.encoder.line_end;
        let lines = split_lines(bytes, end);
        if !bytes.is_empty() && !bytes.ends_with(end) {
            found.fault(lines.len().max(1), "the last line has no end; the file was cut off".to_owned());
        }
        let n_outside = self.header.len() + self.trailer.len();
        if lines.len() < n_outside {
            let what = format!(
                "{} lines are too few: the format has {} before the records and {} after them",
                lines.len(),
                self.header.len(),
                self.trailer.len()
            );
            found.fault(lines.len() + 1, what);
            return found;
        }
        let (head, rest) = lines.split_at(self.header.len());
        let (body, tail) = rest.split_at(rest.len() - self.trailer.len());
        let mut sums = vec![0_i128; self.fields.len()];
        for (idx, line) in body.iter().enumerate() {
            let number = head.len() + idx + 1;
            if let Err(what) = self.check_record(line.content(bytes), &mut sums) {
                found.fault(number, what);
            }
        }
        found.rows = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let all = head.iter().zip(&self.header).enumerate().map(|(idx, pair)| (idx + 1, pair));
        let after = tail
            .iter()
            .zip(&self.trailer)
            .enumerate()
            .map(|(idx, pair)| (head.len() + body.len() + idx + 1, pair));
        for (number, (line, template)) in all.chain(after) {
            self.check_line(bytes, line, number, template, &sums, &mut found);
        }
        found
    }

    /// A line of the header or the trailer.
    fn check_line(
        &self,
        bytes: &[u8],
        line: &Line,
        number: usize,
        template: &Template,
        sums: &[i128],
        found: &mut Checked,
    ) {
        let known = self.known_of_any_file();
        let text = decoded(line.content(bytes), self.description.charset);
        let Some(said) = template.read(&text, &known) else {
            let shown: String = text.chars().take(80).collect();
            found.fault(number, format!("{shown:?} is not a line of this kind"));
            return;
        };
        for (token, value) in said {
            match token {
                Token::Rows if value.parse() != Ok(found.rows) => {
                    found.fault(number, format!("it says {value} records, and there are {}", found.rows));
                }
                Token::Sequence => found.sequence = value.parse().ok(),
                Token::Sum(field_idx) => {
                    let field = &self.fields[field_idx];
                    let sum = sums[field_idx];
                    if read_scaled(value.as_bytes(), field) != Some(sum) {
                        let what = format!(
                            "it says that {:?} adds up to {value}, and the records add up to {}",
                            field.name,
                            shown_scaled(sum, field)
                        );
                        found.fault(number, what);
                    }
                }
                Token::Digest(kind) => {
                    let computed = digest_of(kind, &bytes[..line.begin]);
                    if computed == value {
                        found.digests.push((kind, value));
                    } else {
                        let what = format!(
                            "the {} of what is before is {computed}, and the line says {value}; fetch the file again",
                            kind.as_str()
                        );
                        found.fault(number, what);
                    }
                }
                Token::Rows
                | Token::Version
                | Token::Owner
                | Token::Stream
                | Token::Prefix
                | Token::Suffix
                | Token::Way
                | Token::Created
                | Token::Day
                | Token::First
                | Token::Last
                | Token::Columns => {}
            }
        }
    }

    fn known_of_any_file(&self) -> Known<'_> {
        Known {
            rows: 0,
            version: self.version(),
            sequence: 0,
            owner: "",
            stream: "",
            prefix: "",
            suffix: "",
            way: "",
            created: chrono::DateTime::UNIX_EPOCH,
            day: None,
            first: None,
            last: None,
            sums: &[],
            points: &self.points,
            columns: &self.columns,
        }
    }

    fn check_record(&self, line: &[u8], sums: &mut [i128]) -> Result<(), String> {
        let values = match *self.description.layout.get_ref() {
            Layout::Delimited => self.split_delimited(line)?,
            Layout::Fixed => self.split_fixed(line)?,
            Layout::Json => self.split_json(line)?,
        };
        for ((field, value), sum) in self.fields.iter().zip(&values).zip(sums) {
            if let Some(added) = self.check_value(field, value)? {
                *sum += added;
            }
        }
        Ok(())
    }

    fn split_delimited(&self, line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let (separator, quote, escape) = (self.encoder.separator, self.encoder.quote, self.encoder.escape);
        let mut values = vec![Vec::new()];
        let mut bytes = line.iter().copied().peekable();
        let mut is_quoted = false;
        let mut is_at_begin = true;
        while let Some(byte) = bytes.next() {
            let value = values.last_mut().ok_or("")?;
            if Some(byte) == escape && (Some(byte) != quote || is_quoted && bytes.peek() == Some(&byte)) {
                value.extend(bytes.next());
            } else if is_quoted && Some(byte) == quote {
                is_quoted = false;
                if bytes.peek().is_some_and(|next| *next != separator) {
                    return Err(format!("something follows the closing quote of value {}", values.len()));
                }
            } else if is_at_begin && Some(byte) == quote {
                is_quoted = true;
            } else if byte == separator && !is_quoted {
                values.push(Vec::new());
                is_at_begin = true;
                continue;
            } else {
                value.push(byte);
            }
            is_at_begin = false;
        }
        if is_quoted {
            return Err(format!("the quote of value {} is never closed", values.len()));
        }
        self.count_values(values.len())?;
        Ok(values)
    }

    fn count_values(&self, n_values: usize) -> Result<(), String> {
        if n_values == self.fields.len() {
            return Ok(());
        }
        Err(format!("it has {n_values} values, and a record has {}", self.fields.len()))
    }

    fn split_fixed(&self, line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let expected: usize = self.fields.iter().filter_map(|field| field.shape.width).sum();
        if line.len() != expected {
            return Err(format!("it is {} characters long, and a record has {expected}", line.len()));
        }
        let mut rest = line;
        let mut values = Vec::new();
        for field in &self.fields {
            let (value, after) = rest.split_at(field.shape.width.unwrap_or(0));
            values.push(value.to_vec());
            rest = after;
        }
        Ok(values)
    }

    fn split_json(&self, line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let parsed: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| format!("it is not JSON: {error}"))?;
        let serde_json::Value::Object(object) = parsed else {
            return Err("it is JSON and no object".to_owned());
        };
        if let Some(other) = object.keys().find(|key| self.fields.iter().all(|field| field.name != **key)) {
            return Err(format!("there is no field {other:?} in this format"));
        }
        self.fields
            .iter()
            .map(|field| match object.get(&field.name) {
                None => Err(format!("field {:?} is missing", field.name)),
                Some(serde_json::Value::Null) => Ok(b"null".to_vec()),
                Some(serde_json::Value::String(text)) if field.shape.is_quoted => {
                    Ok(text.as_bytes().to_vec())
                }
                Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)))
                    if !field.shape.is_quoted =>
                {
                    Ok(value.to_string().into_bytes())
                }
                Some(other) => Err(format!("field {:?} is {other}, which is of another type", field.name)),
            })
            .collect()
    }

    /// Whether `value` can be that of `field`, and what it adds to a sum.
    fn check_value(&self, field: &Field, value: &[u8]) -> Result<Option<i128>, String> {
        // Constants and absent values are kept as they are written, with their padding.
        let ready = |ready: &[u8]| self.is_ready(field, ready, value);
        if let Some(width) = field.shape.width
            && count_chars(value, self.description.charset) != width
        {
            return Err(format!("field {:?} is not {width} characters wide", field.name));
        }
        if ready(&field.absent) {
            return Ok(None);
        }
        let shown = || decoded(&value[..value.len().min(60)], self.description.charset);
        if field.source == Source::Constant {
            return Err(format!("field {:?} is {:?} and not its constant", field.name, shown()));
        }
        if field.words.iter().any(|(_, theirs)| ready(theirs))
            || field.otherwise.as_deref().is_some_and(ready)
        {
            return Ok(None);
        }
        if !field.words.is_empty() && field.otherwise.is_none() && !matches!(field.style, Style::Text) {
            return Err(format!("field {:?} is {:?}, which is none of its words", field.name, shown()));
        }
        let bare = unpadded(value, field);
        let is_good = match &field.style {
            Style::Text => return Ok(None),
            Style::Number => {
                return match read_scaled(bare, field) {
                    Some(number) => Ok(field.is_summed.then_some(number)),
                    None => Err(format!("field {:?} is {:?} and no number", field.name, shown())),
                };
            }
            Style::Flag => matches!(bare, b"0" | b"1" | b"true" | b"false"),
            Style::Time { pattern, .. } => pattern.accepts(bare),
            Style::Scaled { decimals, .. } => match read_scaled(bare, field) {
                Some(scaled) => return Ok(field.is_summed.then_some(scaled)),
                None => {
                    let rule = format!("no number with {decimals} decimals");
                    return Err(format!("field {:?} is {:?} and {rule}", field.name, shown()));
                }
            },
        };
        if is_good {
            Ok(None)
        } else {
            Err(format!(
                "field {:?} is {:?}, which is {} of another kind",
                field.name,
                shown(),
                field.kind.as_str()
            ))
        }
    }

    /// Whether `value` is what is written for `ready`, which has its quotes on.
    fn is_ready(&self, field: &Field, ready: &[u8], value: &[u8]) -> bool {
        match *self.description.layout.get_ref() {
            Layout::Fixed => ready == value,
            Layout::Json if ready == b"null" => value == b"null",
            Layout::Json | Layout::Delimited => {
                let mut written = Vec::new();
                self.encoder.put_again(&mut written, field, value);
                // An absent value may be bare where quotes are spared.
                written == ready || ready.is_empty() && value.is_empty()
            }
        }
    }
}

/// Where a line is.
#[derive(Debug, Clone, Copy)]
struct Line {
    begin: usize,
    end: usize,
}

impl Line {
    fn content<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.begin..self.end]
    }
}

fn split_lines(bytes: &[u8], end: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut begin = 0;
    while begin < bytes.len() {
        let mut at = begin;
        let length = loop {
            match bytes[at..].iter().position(|byte| *byte == b'\n') {
                Some(found) if bytes[..=at + found].ends_with(end) && at + found + 1 - begin >= end.len() => {
                    break Some(at + found + 1 - end.len() - begin);
                }
                // A line feed that does not end a line here.
                Some(found) => at += found + 1,
                None => break None,
            }
        };
        match length {
            Some(length) => {
                lines.push(Line { begin, end: begin + length });
                begin += length + end.len();
            }
            None => {
                lines.push(Line { begin, end: bytes.len() });
                begin = bytes.len();
            }
        }
    }
    lines
}

fn decoded(bytes: &[u8], charset: Charset) -> String {
    match charset {
        Charset::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Charset::Latin1 | Charset::Ascii => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn count_chars(value: &[u8], charset: Charset) -> usize {
    match charset {
        Charset::Utf8 => String::from_utf8_lossy(value).chars().count(),
        Charset::Latin1 | Charset::Ascii => value.len(),
    }
}

/// A value without what fills it up. Zeros before a number are part of how it is read.
fn unpadded<'a>(value: &'a [u8], field: &Field) -> &'a [u8] {
    let pad = field.shape.pad;
    if field.shape.width.is_none() || pad == b'0' {
        return value;
    }
    match field.shape.align {
        Align::Left => {
            let end = value.iter().rposition(|byte| *byte != pad).map_or(0, |at| at + 1);
            &value[..end]
        }
        Align::Right => {
            let begin = value.iter().position(|byte| *byte != pad).unwrap_or(value.len());
            &value[begin..]
        }
    }
}

/// The digits of a number, with exactly the decimals of its field.
fn read_scaled(value: &[u8], field: &Field) -> Option<i128> {
    let (decimals, point): (usize, &[u8]) = match &field.style {
        Style::Scaled { decimals, point, .. } => (*decimals, point),
        Style::Text | Style::Number | Style::Flag | Style::Time { .. } => (0, b""),
    };
    let (is_negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let joined: Vec<u8> = match point.first() {
        Some(point) if decimals > 0 => {
            let at = digits.iter().position(|byte| byte == point)?;
            if digits.len() - at - 1 != decimals {
                return None;
            }
            digits.iter().copied().filter(|byte| byte != point).collect()
        }
        Some(_) | None => digits.to_vec(),
    };
    if joined.is_empty() || joined.len() > 38 || !joined.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude: i128 = std::str::from_utf8(&joined).ok()?.parse().ok()?;
    Some(if is_negative { -magnitude } else { magnitude })
}

fn shown_scaled(sum: i128, field: &Field) -> String {
    let mut out = Vec::new();
    match &field.style {
        Style::Scaled { decimals, point, .. } => super::digits::push_scaled(&mut out, sum, *decimals, point),
        Style::Text | Style::Number | Style::Flag | Style::Time { .. } => {
            super::digits::push_scaled(&mut out, sum, 0, b"");
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
