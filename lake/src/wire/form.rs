//! What a statement does with the answer of the query in it: gives it row by row, as the text of a COPY, or keeps it as a cursor.
//!
//! In: a parsed statement. Out: the query, and its form. Cursors and COPY read; what would write is refused as any other statement is.

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::arrow::error::ArrowError;
use datafusion::sql::sqlparser::ast::{
    CloseCursor, CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Declare,
    DeclareType, FetchDirection, Ident, Statement, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use pgwire::messages::data::DataRow;

use crate::LakeError;

/// What becomes of an answer.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// It is given.
    Rows,
    /// `COPY (...) TO STDOUT`: given as text.
    Copy(Copy),
    /// `DECLARE ... CURSOR FOR`: kept, to be fetched from.
    Declare { name: String, is_held: bool },
    /// `FETCH`: so many rows of a cursor; `None`: all that are left.
    Fetch { name: String, rows: Option<usize> },
    /// `CLOSE`; `None`: all cursors.
    Close { name: Option<String> },
}

/// How rows become text (PostgreSQL's manual, COPY, "File Formats").
#[derive(Debug, Clone)]
pub(super) struct Copy {
    is_csv: bool,
    delimiter: char,
    null: String,
    has_header: bool,
    quote: char,
    escape: char,
    /// Columns that are always in quotes.
    force_quote: Vec<String>,
    forces_all: bool,
}

fn refuse<T>(message: impl Into<String>) -> Result<T, LakeError> {
    Err(LakeError::Sql { message: message.into() })
}

/// The statement to be asked, and what becomes of its answer.
///
/// # Errors
///
/// [`LakeError::Sql`] for a form that there is none of here.
pub(super) fn form_of(statement: Statement) -> Result<(Statement, Form), LakeError> {
    Ok(match statement {
        Statement::Copy { source, to: true, target, options, legacy_options, .. } => {
            if target != CopyTarget::Stdout {
                return refuse(
                    "COPY writes to STDOUT alone; psql's \\copy makes a file of that on your machine",
                );
            }
            (query_of(source)?, Form::Copy(Copy::of(&options, &legacy_options)?))
        }
        Statement::Declare { stmts } => match <[Declare; 1]>::try_from(stmts) {
            Ok([declared]) => declare(declared)?,
            Err(stmts) => (Statement::Declare { stmts }, Form::Rows),
        },
        Statement::Fetch { name, direction, position, into: None } => {
            let form = Form::Fetch { name: name_of(&name), rows: forward(&direction)? };
            (Statement::Fetch { name, direction, position, into: None }, form)
        }
        Statement::Close { cursor } => {
            let name = match &cursor {
                CloseCursor::All => None,
                CloseCursor::Specific { name } => Some(name_of(name)),
            };
            (Statement::Close { cursor }, Form::Close { name })
        }
        other => (other, Form::Rows),
    })
}

fn name_of(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn query_of(source: CopySource) -> Result<Statement, LakeError> {
    match source {
        CopySource::Query(query) => Ok(Statement::Query(query)),
        CopySource::Table { table_name, columns } => {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
            let sql = format!("SELECT {columns} FROM {table_name}");
            let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &sql);
            match parsed.ok().and_then(|mut statements| statements.pop()) {
                Some(query) => Ok(query),
                None => refuse(format!("COPY cannot read {table_name}; write COPY (SELECT ...) TO STDOUT")),
            }
        }
    }
}

fn declare(declared: Declare) -> Result<(Statement, Form), LakeError> {
    let (Some(DeclareType::Cursor), Some(query)) = (&declared.declare_type, declared.for_query.clone())
    else {
        return refuse("of DECLARE there is only DECLARE name CURSOR FOR SELECT ...");
    };
    if declared.binary == Some(true) {
        return refuse("a cursor gives what FETCH asks for, text or binary: leave out BINARY");
    }
    if declared.scroll == Some(true) {
        return refuse("a cursor goes forward alone: leave out SCROLL");
    }
    let name = declared.names.first().map(name_of).unwrap_or_default();
    Ok((Statement::Query(query), Form::Declare { name, is_held: declared.hold == Some(true) }))
}

/// How many rows; `None`: all.
fn forward(direction: &FetchDirection) -> Result<Option<usize>, LakeError> {
    let count = |limit: &ValueWithSpan| match &limit.value {
        Value::Number(digits, _) => match digits.to_string().parse() {
            Ok(rows) => Ok(Some(rows)),
            Err(_) => refuse("FETCH takes a number of rows, or ALL"),
        },
        _ => refuse("FETCH takes a number of rows, or ALL"),
    };
    match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Ok(Some(1)),
        FetchDirection::All | FetchDirection::ForwardAll => Ok(None),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => count(limit),
        _ => refuse("a cursor goes forward alone: FETCH FORWARD n, or FETCH ALL"),
    }
}

impl Copy {
    fn of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Self, LakeError> {
        let mut is_csv = legacy.iter().any(|option| matches!(option, CopyLegacyOption::Csv(_)));
        for option in options {
            if let CopyOption::Format(format) = option {
                is_csv = match format.value.to_lowercase().as_str() {
                    "csv" => true,
                    "text" => false,
                    other => return refuse(format!("COPY has no format {other:?} here; use csv or text")),
                };
            }
        }
        let mut copy = Self {
            is_csv,
            delimiter: if is_csv { ',' } else { '\t' },
            null: if is_csv { String::new() } else { "\\N".to_owned() },
            has_header: false,
            quote: '"',
            escape: '"',
            force_quote: Vec::new(),
            forces_all: false,
        };
        let mut escape = None;
        for option in options {
            match option {
                CopyOption::Format(_) => {}
                CopyOption::Delimiter(delimiter) => copy.delimiter = *delimiter,
                CopyOption::Null(null) => copy.null.clone_from(null),
                CopyOption::Header(has_header) => copy.has_header = *has_header,
                CopyOption::Quote(quote) if is_csv => copy.quote = *quote,
                CopyOption::Escape(letter) if is_csv => escape = Some(*letter),
                CopyOption::ForceQuote(columns) if is_csv => copy.force(columns),
                CopyOption::Encoding(name) if name.to_lowercase().replace('-', "") == "utf8" => {}
                other => return refuse(format!("COPY TO STDOUT has no {other} here")),
            }
        }
        for option in legacy {
            match option {
                CopyLegacyOption::Csv(more) => {
                    for option in more {
                        match option {
                            CopyLegacyCsvOption::Header => copy.has_header = true,
                            CopyLegacyCsvOption::Quote(quote) => copy.quote = *quote,
                            CopyLegacyCsvOption::Escape(letter) => escape = Some(*letter),
                            CopyLegacyCsvOption::ForceQuote(columns) => copy.force(columns),
                            other @ CopyLegacyCsvOption::ForceNotNull(_) => {
                                return refuse(format!("COPY TO STDOUT has no {other}"));
                            }
                        }
                    }
                }
                CopyLegacyOption::Delimiter(delimiter) => copy.delimiter = *delimiter,
                CopyLegacyOption::Null(null) => copy.null.clone_from(null),
                CopyLegacyOption::Header => copy.has_header = true,
                other => return refuse(format!("COPY TO STDOUT has no {other} here; use csv or text")),
            }
        }
        copy.escape = escape.unwrap_or(copy.quote);
        if "\n\r\\".contains(copy.delimiter) || copy.delimiter == copy.quote && is_csv {
            return refuse("COPY: that delimiter cannot be told from a row's end or a quote");
        }
        let letter = copy.delimiter;
        if !is_csv && (letter.is_ascii_alphanumeric() || letter == '.') {
            return refuse(format!(
                "COPY: as text {letter:?} cannot delimit columns, since it is part of values and of their escapes"
            ));
        }
        if copy.null.contains([letter, '\n', '\r']) {
            return refuse("COPY: what stands for NULL contains the delimiter or a row's end");
        }
        Ok(copy)
    }

    fn force(&mut self, columns: &[Ident]) {
        self.forces_all |= columns.is_empty() || columns.iter().any(|column| column.value == "*");
        self.force_quote.extend(columns.iter().map(name_of));
    }

    /// The line of names before the rows, where one is wanted.
    pub(super) fn header(&self, names: &[String]) -> Option<Bytes> {
        self.has_header.then(|| {
            let mut line = BytesMut::new();
            let is_alone = names.len() == 1;
            for (idx, name) in names.iter().enumerate() {
                self.begin(&mut line, idx);
                self.put(&mut line, name, false, is_alone);
            }
            line.put_u8(b'\n');
            line.freeze()
        })
    }

    /// Which columns are always in quotes.
    pub(super) fn forced(&self, names: &[String]) -> Vec<bool> {
        names.iter().map(|name| self.forces_all || self.force_quote.contains(name)).collect()
    }

    /// One row, whose values are texts.
    ///
    /// # Errors
    ///
    /// A row that is none: our own fault.
    pub(super) fn line(&self, row: &DataRow, forced: &[bool]) -> Result<Bytes, ArrowError> {
        let broken = || ArrowError::ParseError("a row cannot be copied".to_owned());
        let mut line = BytesMut::with_capacity(row.data.len() + forced.len());
        let mut rest = row.data.as_ref();
        for (idx, is_forced) in forced.iter().enumerate() {
            let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            self.begin(&mut line, idx);
            rest = behind;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                line.put_slice(self.null.as_bytes());
                continue;
            };
            let (text, behind) = rest.split_at_checked(length).ok_or_else(broken)?;
            rest = behind;
            let text = std::str::from_utf8(text).map_err(|_| broken())?;
            self.put(&mut line, text, *is_forced, forced.len() == 1);
        }
        line.put_u8(b'\n');
        Ok(line.freeze())
    }

    fn begin(&self, line: &mut BytesMut, idx: usize) {
        if idx > 0 {
            put_char(line, self.delimiter);
        }
    }

    fn put(&self, line: &mut BytesMut, text: &str, is_forced: bool, is_alone: bool) {
        if !self.is_csv {
            return self.put_escaped(line, text);
        }
        let needs_quotes = is_forced
            || text == self.null
            // Alone in its line it would end the data.
            || (is_alone && text == "\\.")
            || text.contains([self.delimiter, self.quote, '\n', '\r']);
        if !needs_quotes {
            line.put_slice(text.as_bytes());
            return;
        }
        put_char(line, self.quote);
        for letter in text.chars() {
            if letter == self.quote || letter == self.escape {
                put_char(line, self.escape);
            }
            put_char(line, letter);
        }
        put_char(line, self.quote);
    }

    fn put_escaped(&self, line: &mut BytesMut, text: &str) {
        for letter in text.chars() {
            match letter {
                '\\' => line.put_slice(b"\\\\"),
                '\n' => line.put_slice(b"\\n"),
                '\r' => line.put_slice(b"\\r"),
                '\t' => line.put_slice(b"\\t"),
                '\u{8}' => line.put_slice(b"\\b"),
                '\u{b}' => line.put_slice(b"\\v"),
                '\u{c}' => line.put_slice(b"\\f"),
                other => {
                    if other == self.delimiter {
                        line.put_u8(b'\\');
                    }
                    put_char(line, other);
                }
            }
        }
    }
}

fn put_char(line: &mut BytesMut, letter: char) {
    line.put_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}
