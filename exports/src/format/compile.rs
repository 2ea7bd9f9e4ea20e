//! From a description to a format that can be written: every rule is checked here, once, and told with its line.

use chrono_tz::Tz;
use toml::Spanned;

use super::description::{
    Charset, Compression, Condition, Description, FieldDescription, Layout, LineEnd, Overflow, Quoting,
    Subject, Unfit,
};
use super::field::{Field, Source, Style, compile_field};
use super::folded::Shelf;
use super::program::Program;
use super::template::{Place, Template, Token};
use super::write::Encoder;
use crate::event_fact::EventFact;
use crate::fact::{Fact, Facts, Kind, N_CHARGES, Value, charge_idx};

/// Fields of one record at most.
pub const FIELDS_MAX: usize = 1000;

/// What is wrong with a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}: {rule}")]
pub struct DescriptionError {
    /// The file, or the delivered format.
    pub name: String,
    /// Counted from 1.
    pub line: usize,
    /// The rule that is broken, and what to try.
    pub rule: String,
}

/// A format that can be written and checked.
#[derive(Debug, Clone)]
pub struct Format {
    pub(super) name: String,
    pub(super) description: Description,
    pub(super) encoder: Encoder,
    pub(super) header: Vec<Template>,
    pub(super) trailer: Vec<Template>,
    pub(super) only: Vec<Filter>,
    pub(super) fields: Vec<Field>,
    /// Names of the fields, separated like values.
    pub(super) columns: String,
    /// Zones of the clocks of a file; `None` is the file's own.
    pub(super) zones: Vec<Option<Tz>>,
    /// Decimal points of the fields, for sums.
    pub(super) points: Vec<Vec<u8>>,
    /// How a record is written.
    pub(super) program: Program,
    /// And how one of a shape that many have.
    pub(super) shelf: Shelf,
}

/// A condition, ready to be asked.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    fact: Fact,
    is: Vec<String>,
    is_not: Vec<String>,
}

impl Filter {
    pub(super) fn holds<'a>(&self, row: &impl Facts<'a>) -> bool {
        let mut buffer = itoa::Buffer::new();
        let text = match row.value(self.fact) {
            Value::Text(text) => text.as_bytes(),
            Value::Number(number) => buffer.format(number).as_bytes(),
            Value::Flag(flag) => buffer.format(u8::from(flag)).as_bytes(),
            // Refused when the description was loaded.
            Value::Absent | Value::Hex(_) | Value::Time(_) | Value::Micros(_) | Value::Amount(_) => &[],
        };
        (self.is.is_empty() || self.is.iter().any(|word| word.as_bytes() == text))
            && !self.is_not.iter().any(|word| word.as_bytes() == text)
    }
}

impl Format {
    /// Reads a description. `name` is its file or the delivered format's name, for messages.
    ///
    /// # Errors
    ///
    /// The first rule it breaks, with the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, DescriptionError> {
        let line_of = |byte: usize| text.get(..byte).unwrap_or(text).matches('\n').count() + 1;
        let description: Description = toml::from_str(text).map_err(|error| DescriptionError {
            name: name.to_owned(),
            line: line_of(error.span().map_or(0, |span| span.start)),
            rule: error.message().replace('\n', " "),
        })?;
        Self::compile(name, description).map_err(|(byte, rule)| DescriptionError {
            name: name.to_owned(),
            line: line_of(byte),
            rule,
        })
    }

    /// The format of a description that was changed after it was read.
    ///
    /// # Errors
    ///
    /// The first rule it breaks; its line is 0.
    pub(crate) fn from_description(name: &str, description: Description) -> Result<Self, DescriptionError> {
        Self::compile(name, description).map_err(|(_, rule)| DescriptionError {
            name: name.to_owned(),
            line: 0,
            rule,
        })
    }

    pub(crate) fn into_description(self) -> Description {
        self.description
    }

    /// The description as TOML: what [`Format::parse`] makes the same format of.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.description).unwrap_or_default()
    }

    /// Its name: of the delivered format, or of the file it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in a sentence.
    pub fn about(&self) -> &str {
        &self.description.about
    }

    /// The format's own version.
    pub fn version(&self) -> &str {
        &self.description.version
    }

    /// Last part of file names.
    pub fn suffix(&self) -> &str {
        self.description.suffix.get_ref()
    }

    /// Whether its records are calls or events.
    pub fn subject(&self) -> Subject {
        self.description.of
    }

    /// Zone of all times that name none of their own.
    pub fn zone(&self) -> Option<Tz> {
        self.description.zone
    }

    /// Whether corrected calls are taken back before they are written anew.
    pub fn has_reversals(&self) -> bool {
        self.description.reversals
    }

    /// Whether each fragment of a call has a record.
    pub fn has_fragments(&self) -> bool {
        self.description.fragments
    }

    /// The same, with a record for each fragment of a call.
    ///
    /// # Errors
    ///
    /// The first rule it breaks.
    pub(crate) fn in_fragments(self) -> Result<Self, DescriptionError> {
        let (name, description) = (self.name, Description { fragments: true, ..self.description });
        Self::from_description(&name, description)
    }

    /// The names of its fields, in order.
    pub fn field_names(&self) -> Vec<&str> {
        self.fields.iter().map(|field| field.name.as_str()).collect()
    }

    /// Whether some calls cannot be written by it, so that each is tried before it is queued.
    pub fn refuses_some(&self) -> bool {
        self.description.unfit == Unfit::Refuse && self.description.charset != Charset::Utf8
            || self.fields.iter().any(|field| {
                field.shape.width.is_some()
                    && field.shape.overflow == Overflow::Refuse
                    && field.source != Source::Constant
            })
    }

    pub(crate) fn wants<'a>(&self, row: &impl Facts<'a>) -> bool {
        self.only.iter().all(|filter| filter.holds(row))
    }

    /// Builds the format; a rule that is broken comes with the byte where it is.
    pub(crate) fn compile(name: &str, description: Description) -> Result<Self, (usize, String)> {
        let layout = *description.layout.get_ref();
        let encoder = encoder_of(&description)?;
        check_whole(&description, layout)?;

        let mut zones = vec![None];
        let mut fields: Vec<Field> = Vec::new();
        let mut column = 1;
        for (idx, raw) in description.field.iter().enumerate() {
            let at = raw.name.span().start;
            check_name(raw, &fields, layout).map_err(|rule| (at, rule))?;
            if layout == Layout::Fixed {
                check_column(raw, column, &fields)?;
                column += raw.width.as_ref().map_or(0, |width| *width.get_ref());
            }
            let lead = match layout {
                Layout::Fixed => Vec::new(),
                Layout::Delimited if idx == 0 => Vec::new(),
                Layout::Delimited => vec![encoder.separator],
                Layout::Json => {
                    let mark = if idx == 0 { '{' } else { ',' };
                    format!("{mark}\"{}\":", raw.name.get_ref()).into_bytes()
                }
            };
            fields.push(compile_field(raw, lead, &encoder, (description.of, layout), &mut zones)?);
        }
        if let Some(expected) = &description.record_width
            && *expected.get_ref() != column - 1
        {
            let rule = format!(
                "the widths add up to {}, and record_width says {}; a field is missing or of another width",
                column - 1,
                expected.get_ref()
            );
            return Err((expected.span().start, rule));
        }

        let sums: Vec<Option<&str>> = fields
            .iter()
            .map(|field| {
                let can_be_added = matches!(field.kind, Kind::Number | Kind::Amount | Kind::Duration)
                    && matches!(field.source, Source::Fact(_));
                can_be_added.then_some(field.name.as_str())
            })
            .collect();
        let read_all = |lines: &[Spanned<String>], place| -> Result<Vec<Template>, (usize, String)> {
            lines
                .iter()
                .map(|line| {
                    Template::parse(line.get_ref(), place, &sums).map_err(|rule| (line.span().start, rule))
                })
                .collect()
        };
        let header = read_all(&description.header, Place::Header)?;
        let trailer = read_all(&description.trailer, Place::Trailer)?;
        for line in header.iter().chain(&trailer) {
            for field_idx in line.sums() {
                fields[field_idx].is_summed = true;
            }
        }
        let points = fields
            .iter()
            .map(|field| match &field.style {
                Style::Scaled { point, .. } => point.clone(),
                Style::Text | Style::Number | Style::Flag | Style::Time { .. } => b".".to_vec(),
            })
            .collect();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let columns = names.join(&char::from(encoder.separator).to_string());
        let mut record_end = if layout == Layout::Json { b"}".to_vec() } else { Vec::new() };
        record_end.extend_from_slice(encoder.line_end);
        let of = description.of;
        let only = description.only.iter().map(|raw| compile_condition(raw, of)).collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            header,
            trailer,
            only,
            columns,
            zones,
            points,
            program: Program::new(&fields, &encoder, &record_end),
            shelf: Shelf::default(),
            encoder,
            fields,
            description,
        })
    }

    /// Which charges of a call its fields and its conditions look at, by [`charge_idx`].
    pub(crate) fn charges(&self) -> [bool; N_CHARGES] {
        let of_fields = self.fields.iter().filter_map(|field| match field.source {
            Source::Constant => None,
            Source::Fact(fact) => Some(fact),
        });
        let of_conditions = self.fields.iter().filter_map(|field| field.when.as_ref()).map(|when| when.fact);
        let mut wanted = [false; N_CHARGES];
        for fact in of_fields.chain(of_conditions) {
            if let Fact::Charge(provider, direction, _) = fact {
                wanted[charge_idx(provider, direction)] = true;
            }
        }
        wanted
    }

    /// Whether each record of a file shows its header or its trailer the number of records.
    pub(super) fn counts_rows(&self) -> bool {
        self.header.iter().chain(&self.trailer).any(|line| line.has(Token::Rows))
    }
}

fn encoder_of(description: &Description) -> Result<Encoder, (usize, String)> {
    let mark = |text: &Spanned<String>, what: &str, may_be_none: bool| match text.get_ref().as_bytes() {
        [] if may_be_none => Ok(None),
        [mark]
            if mark.is_ascii()
                && !mark.is_ascii_alphanumeric()
                && (*mark == b'\t' || !mark.is_ascii_control()) =>
        {
            Ok(Some(*mark))
        }
        _ => Err((
            text.span().start,
            format!(
                "{what} = {:?} cannot be; use one ASCII character that is no letter and no digit{}",
                text.get_ref(),
                if may_be_none { ", or \"\" for none" } else { "" }
            ),
        )),
    };
    let layout = *description.layout.get_ref();
    let separator = mark(&description.separator, "separator", false)?.unwrap_or(b',');
    let quote = mark(&description.quotes, "quotes", true)?;
    let escape = match &description.escape {
        Some(escape) => mark(escape, "escape", true)?,
        None => quote,
    };
    if quote == Some(separator) {
        return Err((
            description.quotes.span().start,
            "quotes and separator are the same character".to_owned(),
        ));
    }
    if let (Some(escape), Some(given)) = (&description.escape, escape)
        && given == separator
    {
        return Err((escape.span().start, "escape and separator are the same character".to_owned()));
    }
    Ok(Encoder::new(
        layout,
        description.charset,
        description.unfit,
        separator,
        quote,
        escape,
        description.quoting == Quoting::Needed,
        match description.line_end {
            LineEnd::Lf => b"\n",
            LineEnd::Crlf => b"\r\n",
        },
    ))
}

fn check_whole(description: &Description, layout: Layout) -> Result<(), (usize, String)> {
    let at_layout = description.layout.span().start;
    if description.field.is_empty() || description.field.len() > FIELDS_MAX {
        let rule = format!("a record has 1 to {FIELDS_MAX} fields, this one has {}", description.field.len());
        return Err((at_layout, rule));
    }
    if layout == Layout::Fixed && description.charset == Charset::Utf8 {
        return Err((
            at_layout,
            "columns are counted in bytes, which UTF-8 has one to four of for a character; \
             use charset = \"iso-8859-1\" or \"ascii\""
                .to_owned(),
        ));
    }
    if layout == Layout::Json && description.charset != Charset::Utf8 {
        return Err((at_layout, "JSON is UTF-8 (RFC 8259, 8.1); leave charset out".to_owned()));
    }
    if layout != Layout::Fixed
        && let Some(width) = &description.record_width
    {
        return Err((width.span().start, "record_width is for layout = \"fixed\"".to_owned()));
    }
    let suffix = description.suffix.get_ref();
    let is_plain = suffix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    if suffix.is_empty() || suffix.starts_with('.') || !is_plain || suffix.ends_with("part") {
        let rule = format!(
            "suffix = {suffix:?} cannot be; use letters, digits, dashes and dots, and not .part, which marks files \
             that are being written"
        );
        return Err((description.suffix.span().start, rule));
    }
    let has_type =
        description.field.iter().any(|field| fact_name(field).is_some_and(|name| name == "record_type"));
    if description.reversals && !has_type {
        return Err((
            at_layout,
            "reversals = true needs a field with fact = \"record_type\", or nobody could tell them from calls"
                .to_owned(),
        ));
    }
    if description.compression == Compression::Gzip && !suffix.ends_with("gz") {
        return Err((
            description.suffix.span().start,
            format!("a file packed with gzip is not {suffix:?} to its reader; use suffix = \"{suffix}.gz\""),
        ));
    }
    Ok(())
}

pub(super) fn fact_name(raw: &FieldDescription) -> Option<&str> {
    match (&raw.fact, &raw.text) {
        (Some(fact), _) => Some(fact.get_ref()),
        (None, Some(_)) => None,
        (None, None) => Some(raw.name.get_ref()),
    }
}

fn check_name(raw: &FieldDescription, before: &[Field], layout: Layout) -> Result<(), String> {
    let name = raw.name.get_ref();
    if name.is_empty() || name.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '{' | '}')) {
        return Err(format!("{name:?} cannot be a field's name"));
    }
    if before.iter().any(|field| field.name == *name) {
        return Err(format!("there are two fields {name:?}; each has a name of its own"));
    }
    if layout != Layout::Fixed && raw.at.is_some() {
        return Err(format!("field {name:?}: `at` is for layout = \"fixed\""));
    }
    if layout == Layout::Fixed && raw.width.is_none() {
        return Err(format!("field {name:?} needs a width in layout = \"fixed\""));
    }
    if layout == Layout::Json && raw.width.is_some() {
        return Err(format!("field {name:?}: values in JSON have no width"));
    }
    Ok(())
}

/// Neither overlap nor gap.
fn check_column(raw: &FieldDescription, column: usize, before: &[Field]) -> Result<(), (usize, String)> {
    let Some(at) = &raw.at else { return Ok(()) };
    let (given, name) = (*at.get_ref(), raw.name.get_ref());
    if given > column {
        let rule = format!(
            "columns {column} to {} belong to no field before {name:?}; put a field there, such as \
             {{ name = \"filler\", text = \"\", width = {} }}",
            given - 1,
            given - column
        );
        return Err((at.span().start, rule));
    }
    if given < column {
        let mut end = column;
        let mut inside = "";
        for field in before.iter().rev() {
            end -= field.shape.width.unwrap_or(0);
            inside = &field.name;
            if end <= given {
                break;
            }
        }
        let rule = format!(
            "field {name:?} begins in column {given}, which is part of {inside:?}; the next free column is {column}"
        );
        return Err((at.span().start, rule));
    }
    Ok(())
}

pub(super) fn compile_condition(raw: &Condition, of: Subject) -> Result<Filter, (usize, String)> {
    let at = raw.fact.span().start;
    let (fact, kind) = fact_named(raw.fact.get_ref(), of).map_err(|rule| (at, rule))?;
    if !matches!(kind, Kind::Text | Kind::Number | Kind::Flag) || fact == Fact::RecordHex {
        return Err((
            at,
            format!(
                "{:?} is {}; conditions ask for texts, numbers and flags",
                raw.fact.get_ref(),
                kind.as_str()
            ),
        ));
    }
    if raw.is.is_empty() && raw.is_not.is_empty() {
        return Err((at, "a condition needs `is = [...]` or `is_not = [...]`".to_owned()));
    }
    Ok(Filter { fact, is: raw.is.clone(), is_not: raw.is_not.clone() })
}

pub(super) fn fact_named(name: &str, of: Subject) -> Result<(Fact, Kind), String> {
    let (found, names) = match of {
        Subject::Calls => (Fact::named(name), Fact::names()),
        Subject::Events => (EventFact::named(name), EventFact::names()),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let nearest = names.iter().min_by_key(|known| strsim::damerau_levenshtein(name, known));
    let hint = match nearest {
        Some(nearest) if strsim::damerau_levenshtein(name, nearest) <= name.len() / 2 => {
            format!("; did you mean {nearest:?}?")
        }
        Some(_) | None => {
            "; exports/README.md lists them, and a constant is written as text = \"...\"".to_owned()
        }
    };
    Err(format!("there is no fact {name:?}{hint}"))
}
