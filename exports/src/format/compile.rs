//! From a description to a format that can be written: every rule is checked here, once, and told with its line.

use chrono_tz::Tz;
use toml::Spanned;

use super::description::{
    Align, Case, Charset, Compression, Condition, Description, FieldDescription, Layout, LineEnd, Overflow,
    Quoting, Unfit, Unit,
};
use super::template::{Place, Template, Token};
use super::time_pattern::TimePattern;
use super::write::Encoder;
use crate::fact::{Fact, Kind, Row, Value};

/// Fields of one record at most.
pub const FIELDS_MAX: usize = 1000;
/// Characters of one field at most.
pub const WIDTH_MAX: usize = 4096;
/// Digits behind the point at most: finer than any cost in the ledger.
pub const DECIMALS_MAX: usize = 9;

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
    /// Behind the last value of a record.
    pub(super) record_end: Vec<u8>,
}

/// Where the text of a field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The same in every record: what is ready as `absent`.
    Constant,
    Fact(Fact),
}

/// How a value becomes characters.
#[derive(Debug, Clone)]
pub(super) enum Style {
    Text,
    Number,
    Flag,
    Time { pattern: TimePattern, clock: usize },
    Scaled { unit: Unit, decimals: usize, point: Vec<u8> },
}

/// One field, ready to be written.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// Before its value: a separator, or a name in JSON.
    pub(super) lead: Vec<u8>,
    pub(super) source: Source,
    pub(super) kind: Kind,
    pub(super) when: Option<Filter>,
    pub(super) style: Style,
    /// Ready to be written, with quotes and padding.
    pub(super) absent: Vec<u8>,
    pub(super) words: Vec<(String, Vec<u8>)>,
    pub(super) otherwise: Option<Vec<u8>>,
    pub(super) shape: Shape,
    /// Its characters are never marks and have no width, so that they go straight into the file.
    pub(super) is_direct: bool,
    pub(super) is_summed: bool,
}

/// What is done to the characters of a value.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) width: Option<usize>,
    pub(super) align: Align,
    pub(super) pad: u8,
    pub(super) overflow: Overflow,
    pub(super) case: Option<Case>,
    pub(super) is_quoted: bool,
}

/// A condition, ready to be asked.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    fact: Fact,
    is: Vec<String>,
    is_not: Vec<String>,
}

impl Filter {
    pub(super) fn holds(&self, row: &Row<'_>) -> bool {
        let mut buffer = itoa::Buffer::new();
        let text = match row.value(self.fact) {
            Value::Text(text) => text,
            Value::Number(number) => buffer.format(number),
            Value::Flag(flag) => buffer.format(u8::from(flag)),
            // Refused when the description was loaded.
            Value::Absent | Value::Hex(_) | Value::Time(_) | Value::Micros(_) | Value::Amount(_) => "",
        };
        (self.is.is_empty() || self.is.iter().any(|word| word == text))
            && !self.is_not.iter().any(|word| word == text)
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

    /// Zone of all times that name none of their own.
    pub fn zone(&self) -> Option<Tz> {
        self.description.zone
    }

    /// Whether corrected calls are taken back before they are written anew.
    pub fn has_reversals(&self) -> bool {
        self.description.reversals
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

    pub(crate) fn wants(&self, row: &Row<'_>) -> bool {
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
            fields.push(compile_field(raw, lead, &encoder, layout, &mut zones)?);
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
        let only = description.only.iter().map(compile_condition).collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            encoder,
            header,
            trailer,
            only,
            fields,
            columns,
            zones,
            points,
            record_end,
            description,
        })
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

fn fact_name(raw: &FieldDescription) -> Option<&str> {
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

fn compile_condition(raw: &Condition) -> Result<Filter, (usize, String)> {
    let at = raw.fact.span().start;
    let (fact, kind) = fact_named(raw.fact.get_ref()).map_err(|rule| (at, rule))?;
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

fn fact_named(name: &str) -> Result<(Fact, Kind), String> {
    if let Some(found) = Fact::named(name) {
        return Ok(found);
    }
    let names = Fact::names();
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

fn compile_field(
    raw: &FieldDescription,
    lead: Vec<u8>,
    encoder: &Encoder,
    layout: Layout,
    zones: &mut Vec<Option<Tz>>,
) -> Result<Field, (usize, String)> {
    let name = raw.name.get_ref();
    let at_name = raw.name.span().start;
    let here = |rule: String| (at_name, format!("field {name:?}: {rule}"));
    if let (Some(_), Some(text)) = (&raw.fact, &raw.text) {
        return Err((text.span().start, format!("field {name:?} has both a fact and a text; choose one")));
    }
    let (source, kind) = match fact_name(raw) {
        Some(fact) => {
            let at = raw.fact.as_ref().map_or(at_name, |fact| fact.span().start);
            let (fact, kind) = fact_named(fact).map_err(|rule| (at, rule))?;
            (Source::Fact(fact), kind)
        }
        None => (Source::Constant, Kind::Text),
    };
    check_keys(raw, kind, layout)?;
    let style = style_of(raw, kind, zones)?;
    let shape = shape_of(raw, kind, layout)?;
    let ready = |text: &str, at: usize| -> Result<Vec<u8>, (usize, String)> {
        encoder.ready(text, &shape).map_err(|rule| (at, format!("field {name:?}: {text:?} {rule}")))
    };
    let absent = match (&raw.text, &raw.absent) {
        (Some(text), _) => ready(text.get_ref(), text.span().start)?,
        (None, Some(absent)) => ready(absent.get_ref(), absent.span().start)?,
        (None, None) if layout == Layout::Json => b"null".to_vec(),
        (None, None) => ready("", at_name)?,
    };
    let words = raw
        .words
        .iter()
        .map(|(ours, theirs)| Ok((ours.clone(), ready(theirs, at_name)?)))
        .collect::<Result<Vec<_>, (usize, String)>>()?;
    let otherwise = match &raw.otherwise {
        Some(otherwise) if words.is_empty() => {
            return Err((otherwise.span().start, format!("field {name:?}: otherwise needs words beside it")));
        }
        Some(otherwise) => Some(ready(otherwise.get_ref(), otherwise.span().start)?),
        None => None,
    };
    let when = raw.when.as_ref().map(compile_condition).transpose()?;
    if when.is_some() && source == Source::Constant {
        return Err(here(
            "a constant has no condition; give it a fact and words, or leave `when` out".to_owned(),
        ));
    }
    let mut field = Field {
        name: name.clone(),
        lead,
        source,
        kind,
        when,
        style,
        absent,
        words,
        otherwise,
        shape,
        is_direct: false,
        is_summed: false,
    };
    field.is_direct = encoder.is_direct(&field);
    Ok(field)
}

/// Keys that mean nothing for the kind of a fact would be believed by whoever wrote them.
fn check_keys(raw: &FieldDescription, kind: Kind, layout: Layout) -> Result<(), (usize, String)> {
    let name = raw.name.get_ref();
    let scaled = matches!(kind, Kind::Amount | Kind::Duration);
    let spans = [
        ("time", raw.time.as_ref().map(|key| key.span().start), kind == Kind::Time),
        ("zone", raw.zone.as_ref().map(|key| key.span().start), kind == Kind::Time),
        ("unit", raw.unit.as_ref().map(|key| key.span().start), scaled),
        ("decimals", raw.decimals.as_ref().map(|key| key.span().start), scaled),
        ("point", raw.point.as_ref().map(|key| key.span().start), scaled),
        ("case", raw.case.as_ref().map(|key| key.span().start), kind == Kind::Text),
    ];
    for (key, at, is_for_it) in spans {
        if let Some(at) = at
            && !is_for_it
        {
            return Err((at, format!("field {name:?} is {}; {key} says nothing of it", kind.as_str())));
        }
    }
    if !raw.words.is_empty() && (scaled || kind == Kind::Time) {
        let rule = format!("field {name:?} is {}; words are for texts, numbers and flags", kind.as_str());
        return Err((raw.name.span().start, rule));
    }
    if raw.quoted.is_some() && layout != Layout::Json {
        let rule = format!(
            "field {name:?}: quoted is for layout = \"json\"; elsewhere `quotes` and `quoting` say it"
        );
        return Err((raw.name.span().start, rule));
    }
    Ok(())
}

fn style_of(
    raw: &FieldDescription,
    kind: Kind,
    zones: &mut Vec<Option<Tz>>,
) -> Result<Style, (usize, String)> {
    let name = raw.name.get_ref();
    let scaled = |default: Unit, decimals_default: usize, allowed: &[Unit]| {
        let unit = raw.unit.as_ref().map_or(default, |unit| *unit.get_ref());
        if !allowed.contains(&unit) {
            let at = raw.unit.as_ref().map_or(0, |unit| unit.span().start);
            return Err((at, format!("field {name:?} is {}, which is not counted in that", kind.as_str())));
        }
        let decimals = raw.decimals.as_ref().map_or(decimals_default, |decimals| *decimals.get_ref());
        if decimals > DECIMALS_MAX {
            let at = raw.decimals.as_ref().map_or(0, |decimals| decimals.span().start);
            return Err((at, format!("field {name:?}: use 0 to {DECIMALS_MAX} decimals")));
        }
        let point = raw.point.as_ref().map_or(".", |point| point.get_ref().as_str());
        if !matches!(point, "" | "." | ",") {
            let at = raw.point.as_ref().map_or(0, |point| point.span().start);
            return Err((at, format!("field {name:?}: the point is \".\", \",\" or \"\"")));
        }
        Ok(Style::Scaled { unit, decimals, point: point.as_bytes().to_vec() })
    };
    match kind {
        Kind::Text => Ok(Style::Text),
        Kind::Number => Ok(Style::Number),
        Kind::Flag => Ok(Style::Flag),
        Kind::Amount => {
            scaled(Unit::Units, 6, &[Unit::Units, Unit::Cents, Unit::Thousandths, Unit::Millionths])
        }
        Kind::Duration => scaled(Unit::Seconds, 3, &[Unit::Seconds, Unit::Milliseconds, Unit::Minutes]),
        Kind::Time => {
            let Some(time) = &raw.time else {
                return Err((
                    raw.name.span().start,
                    format!(
                        "field {name:?} is a time; say how it is written, as in time = \"%Y-%m-%d %H:%M:%S\""
                    ),
                ));
            };
            let pattern = TimePattern::parse(time.get_ref()).map_err(|rule| (time.span().start, rule))?;
            let zone = raw.zone.as_ref().map(|zone| *zone.get_ref());
            let clock = match zones.iter().position(|known| *known == zone) {
                Some(clock) => clock,
                None => {
                    zones.push(zone);
                    zones.len() - 1
                }
            };
            Ok(Style::Time { pattern, clock })
        }
    }
}

fn shape_of(raw: &FieldDescription, kind: Kind, layout: Layout) -> Result<Shape, (usize, String)> {
    let name = raw.name.get_ref();
    let width = match &raw.width {
        Some(width) if !(1..=WIDTH_MAX).contains(width.get_ref()) => {
            return Err((width.span().start, format!("field {name:?}: a width is 1 to {WIDTH_MAX}")));
        }
        Some(width) => Some(*width.get_ref()),
        None => None,
    };
    let pad = match &raw.pad {
        Some(pad) => match pad.get_ref().as_bytes() {
            [byte] if (b' '..=b'~').contains(byte) => *byte,
            _ => {
                return Err((
                    pad.span().start,
                    format!("field {name:?}: pad is one printable ASCII character"),
                ));
            }
        },
        None => b' ',
    };
    if width.is_none()
        && let Some(pad) = &raw.pad
    {
        return Err((pad.span().start, format!("field {name:?}: pad needs a width")));
    }
    let is_text = kind == Kind::Text;
    let overflow = match &raw.overflow {
        Some(overflow) if *overflow.get_ref() == Overflow::Cut && !is_text => {
            let rule = format!(
                "field {name:?} is {}, and one that is cut is another one; leave overflow out",
                kind.as_str()
            );
            return Err((overflow.span().start, rule));
        }
        Some(overflow) => *overflow.get_ref(),
        None if is_text => Overflow::Cut,
        None => Overflow::Refuse,
    };
    // Fractions are strings, for many readers make binary fractions of the numbers of JSON.
    let is_whole = raw.decimals.as_ref().is_some_and(|decimals| *decimals.get_ref() == 0);
    let is_bare = matches!(kind, Kind::Number | Kind::Flag) || kind == Kind::Duration && is_whole;
    let is_quoted = match layout {
        Layout::Json => raw.quoted.unwrap_or(!is_bare || !raw.words.is_empty()),
        Layout::Delimited => true,
        Layout::Fixed => false,
    };
    if layout == Layout::Json && !is_quoted {
        let is_fraction = matches!(kind, Kind::Amount | Kind::Duration) && !is_whole;
        if matches!(kind, Kind::Text | Kind::Time) || is_fraction || !raw.words.is_empty() {
            return Err((
                raw.name.span().start,
                format!("field {name:?} is no whole number, and all else is a string here; leave quoted out"),
            ));
        }
    }
    let align =
        raw.align.unwrap_or(if matches!(kind, Kind::Text | Kind::Time) { Align::Left } else { Align::Right });
    Ok(Shape { width, align, pad, overflow, case: raw.case.as_ref().map(|case| *case.get_ref()), is_quoted })
}
