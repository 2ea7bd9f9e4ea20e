//! Reads one record by its described format.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use model::{Cause, Initiator};

use super::{Field, FieldRule, Foreign, ForeignError, Format, Kind, Unit, cause_of, freeswitch};

/// The values of one record, before they mean anything.
enum Values {
    Csv(csv::StringRecord),
    Json(serde_json::Value),
    Fixed(Vec<char>),
}

impl Format {
    /// Reads one record. `header` holds the column names of a CSV file that has them. `None` for a record that is about no call of
    /// its own.
    ///
    /// # Errors
    ///
    /// The first field that is wrong.
    pub fn read(&self, header: &[String], raw: &[u8]) -> Result<Option<Foreign>, ForeignError> {
        let text = std::str::from_utf8(raw)
            .map_err(|why| ForeignError::Unreadable { why: format!("it is not UTF-8: {why}") })?;
        let text = text.trim_end_matches(['\r', '\n']);
        if self.kind == Kind::Freeswitch {
            return freeswitch::read(text, &self.numbers);
        }
        let values = self.split(text)?;
        Reader { format: self, header, values }.foreign().map(Some)
    }

    /// The column names in a header line.
    ///
    /// # Errors
    ///
    /// [`ForeignError::Unreadable`], and [`ForeignError::Missing`] for a column that the format needs and the file has not.
    pub fn read_header(&self, raw: &[u8]) -> Result<Vec<String>, ForeignError> {
        let text = String::from_utf8_lossy(raw);
        // Programs of a certain kind begin their files with a mark of the byte order.
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        let Values::Csv(record) = self.split(text)? else { return Ok(Vec::new()) };
        let names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
        for (field, rule) in &self.fields {
            if let Some(from) = &rule.from
                && column(&names, from).is_none()
            {
                return Err(ForeignError::Missing { field: field.as_str(), place: rule.place() });
            }
        }
        Ok(names)
    }

    fn split(&self, text: &str) -> Result<Values, ForeignError> {
        let unreadable = |why: String| ForeignError::Unreadable { why };
        match self.kind {
            Kind::Csv => {
                let delimiter = u8::try_from(self.delimiter).unwrap_or(b',');
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .delimiter(delimiter)
                    .flexible(true)
                    .from_reader(text.as_bytes());
                let mut record = csv::StringRecord::new();
                match reader.read_record(&mut record) {
                    Ok(true) => Ok(Values::Csv(record)),
                    Ok(false) => Err(unreadable("it is empty".to_owned())),
                    Err(why) => Err(unreadable(why.to_string())),
                }
            }
            Kind::JsonLines | Kind::Freeswitch => match serde_json::from_str(text) {
                Ok(value @ serde_json::Value::Object(_)) => Ok(Values::Json(value)),
                Ok(_) => Err(unreadable("it is JSON, but no object".to_owned())),
                Err(why) => Err(unreadable(format!("it is not JSON: {why}"))),
            },
            Kind::Fixed => Ok(Values::Fixed(text.chars().collect())),
        }
    }
}

/// Where a CSV column is: by name, or by its number from 1.
fn column(header: &[String], from: &str) -> Option<usize> {
    header
        .iter()
        .position(|name| name == from)
        .or_else(|| from.parse::<usize>().ok().and_then(|number| number.checked_sub(1)))
}

/// A value in an object, by names joined by dots.
pub(super) fn find<'a>(value: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    path.split('.').try_fold(value, |value, step| match value {
        serde_json::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        serde_json::Value::Object(members) => members.get(step),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => None,
    })
}

/// A scalar as text; nothing for null, lists and objects.
pub(super) fn scalar(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

struct Reader<'a> {
    format: &'a Format,
    header: &'a [String],
    values: Values,
}

impl Reader<'_> {
    fn foreign(&self) -> Result<Foreign, ForeignError> {
        let (start, answer, end) =
            (self.time(Field::Start)?, self.time(Field::Answer)?, self.time(Field::End)?);
        let duration_us = match (self.length(Field::Duration)?, answer, end) {
            (Some(duration_us), ..) => duration_us,
            (None, Some(answer), Some(end)) => between(answer, end)?,
            // Not answered, or without an end.
            (None, ..) if self.format.fields.contains_key(&Field::Answer) => 0,
            (None, _, Some(end)) => between(self.required(Field::Start, start)?, end)?,
            (None, _, None) => return Err(self.missing(Field::Duration)),
        };
        let code = match self.text(Field::Code) {
            Some(code) => parse_code(&code)?,
            None if duration_us > 0 => 200,
            None => 480,
        };
        let counted_back = || {
            let duration = TimeDelta::microseconds(i64::try_from(duration_us).ok()?);
            end?.checked_sub_signed(duration)
        };
        let begun = start.or(answer);
        let init_at = self.required(if start.is_some() { Field::Start } else { Field::Answer }, begun)?;
        let start_at = match answer {
            Some(answer) => answer,
            // What is not charged of a call is its ringing, at its beginning.
            None if duration_us > 0 => counted_back().unwrap_or(init_at),
            None => init_at,
        };
        check_sense(code, duration_us, init_at, start_at)?;
        Ok(Foreign {
            key: self.text(Field::Key).ok_or_else(|| self.missing(Field::Key))?,
            source: self.number(Field::Source).unwrap_or_default(),
            destination: self.number(Field::Destination).ok_or_else(|| self.missing(Field::Destination))?,
            init_at,
            start_at,
            duration_us,
            code,
            cause: match self.text(Field::Cause) {
                Some(word) => {
                    word.parse::<Cause>().map_err(|_| bad(Field::Cause, &word, "one of our causes"))?
                }
                None => cause_of(code),
            },
            ended_by: match self.text(Field::EndedBy) {
                Some(word) => word
                    .parse()
                    .map_err(|_| bad(Field::EndedBy, &word, "caller, callee, switch or operator"))?,
                None => Initiator::Switch,
            },
            account: self.text(Field::Account),
            trunk_in: self.text(Field::TrunkIn),
            trunk_out: self.text(Field::TrunkOut),
            call_id: self.text(Field::CallId).unwrap_or_default(),
            codec: self.text(Field::Codec).unwrap_or_default(),
            user_agent: self.text(Field::UserAgent).unwrap_or_default(),
            ip: self.text(Field::Ip).unwrap_or_default(),
            pdd_us: self.length(Field::Pdd)?,
        })
    }

    /// As written, mapped; `None` for a field that is absent or empty.
    fn text(&self, field: Field) -> Option<String> {
        let rule = self.format.fields.get(&field)?;
        let found = self.found(rule)?;
        let found = found.trim();
        let meant = rule.map.get(found).map_or(found, String::as_str);
        (!meant.is_empty()).then(|| meant.to_owned())
    }

    fn found(&self, rule: &FieldRule) -> Option<String> {
        if let Some(value) = &rule.value {
            return Some(value.clone());
        }
        match &self.values {
            Values::Csv(record) => record.get(column(self.header, rule.from.as_deref()?)?).map(str::to_owned),
            Values::Json(object) => scalar(find(object, rule.from.as_deref()?)?),
            Values::Fixed(line) => {
                let (start, width) = rule.at?;
                let from = start.checked_sub(1)?.min(line.len());
                Some(line[from..from.saturating_add(width).min(line.len())].iter().collect())
            }
        }
    }

    fn number(&self, field: Field) -> Option<String> {
        self.text(field)
            .map(|written| self.format.numbers.normalise(&written))
            .filter(|digits| !digits.is_empty())
    }

    fn time(&self, field: Field) -> Result<Option<DateTime<Utc>>, ForeignError> {
        let Some(written) = self.text(field) else { return Ok(None) };
        let pattern = self.format.fields.get(&field).and_then(|rule| rule.time.as_deref());
        parse_time(field, &written, pattern.unwrap_or("rfc3339"), self.format.timezone)
    }

    fn length(&self, field: Field) -> Result<Option<u64>, ForeignError> {
        let Some(written) = self.text(field) else { return Ok(None) };
        let unit = self.format.fields.get(&field).map_or(Unit::Seconds, |rule| rule.unit);
        parse_length(field, &written, unit).map(Some)
    }

    fn required<T>(&self, field: Field, value: Option<T>) -> Result<T, ForeignError> {
        value.ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: Field) -> ForeignError {
        let place = self.format.fields.get(&field).map_or_else(|| "no place".to_owned(), FieldRule::place);
        ForeignError::Missing { field: field.as_str(), place }
    }
}

pub(super) fn bad(field: Field, value: &str, expected: &'static str) -> ForeignError {
    ForeignError::BadValue { field: field.as_str(), value: value.to_owned(), expected }
}

pub(super) fn parse_code(written: &str) -> Result<u16, ForeignError> {
    let code = written.parse().ok().filter(|code| (100..700).contains(code));
    code.ok_or_else(|| bad(Field::Code, written, "a SIP code from 100 to 699; map other words to one"))
}

/// What no call can be.
pub(super) fn check_sense(
    code: u16,
    duration_us: u64,
    init_at: DateTime<Utc>,
    start_at: DateTime<Utc>,
) -> Result<(), ForeignError> {
    let contradiction = |why: &str| Err(ForeignError::Contradiction { why: why.to_owned() });
    if !(200..300).contains(&code) && duration_us > 0 {
        return contradiction("a call that was not answered has a length");
    }
    if start_at < init_at {
        return contradiction("it was answered before it came in");
    }
    Ok(())
}

/// Microseconds from one time to a later one.
pub(super) fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<u64, ForeignError> {
    let us = to.signed_duration_since(from).num_microseconds().and_then(|us| u64::try_from(us).ok());
    us.ok_or_else(|| ForeignError::Contradiction { why: "it ended before it began".to_owned() })
}

fn parse_time(
    field: Field,
    written: &str,
    pattern: &str,
    zone: Tz,
) -> Result<Option<DateTime<Utc>>, ForeignError> {
    let epoch = |per_second: u64| {
        let (seconds, part) = written.split_once('.').unwrap_or((written, ""));
        let units: i64 = seconds.parse().ok()?;
        let us = units.checked_mul(i64::try_from(1_000_000 / per_second).ok()?)?;
        let part = if per_second == 1 { fraction_us(part)? } else { 0 };
        // 0 is how many systems write "never".
        if us == 0 && part == 0 {
            return Some(None);
        }
        DateTime::from_timestamp_micros(us.checked_add(i64::try_from(part).ok()?)?).map(Some)
    };
    let read = match pattern {
        "epoch" => epoch(1),
        "epoch_ms" => epoch(1_000),
        "epoch_us" => epoch(1_000_000),
        "rfc3339" => DateTime::parse_from_rfc3339(written).ok().map(|at| Some(at.to_utc())),
        pattern if pattern.contains("%z") || pattern.contains("%:z") => {
            DateTime::parse_from_str(written, pattern).ok().map(|at| Some(at.to_utc()))
        }
        pattern => NaiveDateTime::parse_from_str(written, pattern)
            .ok()
            // An hour that comes twice is taken for the first; one that never came is wrong.
            .and_then(|local| local.and_local_timezone(zone).earliest())
            .map(|at| Some(at.to_utc())),
    };
    read.ok_or_else(|| bad(field, written, "a time as the format describes it"))
}

/// Microseconds in the decimals of a second; digits beyond are cut off.
fn fraction_us(decimals: &str) -> Option<u64> {
    if decimals.is_empty() {
        return Some(0);
    }
    let digits: String = decimals.chars().chain("000000".chars()).take(6).collect();
    decimals.chars().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn parse_length(field: Field, written: &str, unit: Unit) -> Result<u64, ForeignError> {
    let seconds = |text: &str| {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction_us(part)?)
    };
    let read = match unit {
        Unit::Seconds => seconds(written),
        Unit::Milliseconds => written.parse::<u64>().ok().and_then(|ms| ms.checked_mul(1_000)),
        Unit::Microseconds => written.parse().ok(),
        Unit::Hms => {
            let (before, last) = written.rsplit_once(':').unwrap_or(("", written));
            let minutes = before
                .split(':')
                .filter(|part| !part.is_empty())
                .try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(part.parse::<u64>().ok()?));
            minutes
                .and_then(|minutes| minutes.checked_mul(60_000_000))
                .and_then(|us| us.checked_add(seconds(last)?))
        }
    };
    read.filter(|us| *us <= LENGTH_US_MAX)
        .ok_or_else(|| bad(field, written, "a length of 31 days at most, not negative"))
}

/// A call of a month is a fault of whoever counted.
const LENGTH_US_MAX: u64 = 31 * 86_400 * 1_000_000;
