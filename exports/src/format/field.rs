//! One field of a format: from its description to something that can be written, with every key checked against what
//! the fact is.

use chrono_tz::Tz;

use super::compile::{Filter, compile_condition, fact_name, fact_named};
use super::description::{Align, Case, FieldDescription, Layout, Overflow, Subject, Unit};
use super::time_pattern::TimePattern;
use super::write::Encoder;
use crate::fact::{Fact, Kind};

/// Characters of one field at most.
pub const WIDTH_MAX: usize = 4096;
/// Digits behind the point at most: finer than any cost in the ledger.
pub const DECIMALS_MAX: usize = 9;

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

pub(super) fn compile_field(
    raw: &FieldDescription,
    lead: Vec<u8>,
    encoder: &Encoder,
    (of, layout): (Subject, Layout),
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
            let (fact, kind) = fact_named(fact, of).map_err(|rule| (at, rule))?;
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
    let when = raw.when.as_ref().map(|raw| compile_condition(raw, of)).transpose()?;
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
