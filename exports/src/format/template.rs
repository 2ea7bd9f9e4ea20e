//! Lines and names with places for what is known of a file: `007,${rows:04}` and the like.
//!
//! In: a text with `${word}` or `${word:how}`. Out: its bytes for one file, and the other way round: what a line of
//! somebody's file says in each place.

use chrono::{DateTime, Utc};

use super::digits::push_scaled;
use super::time_pattern::{TimePattern, ZoneClock};

/// A checksum over all bytes before the line it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Digest {
    /// MD5, 32 lowercase hexadecimal digits.
    Md5,
    /// SHA-256, 64 of them.
    Sha256,
    /// CRC-32 (ISO 3309, as in gzip), 8 of them.
    Crc32,
}

impl Digest {
    /// The word in templates and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Digest::Md5 => "md5",
            Digest::Sha256 => "sha256",
            Digest::Crc32 => "crc32",
        }
    }

    const fn n_digits(self) -> usize {
        match self {
            Digest::Md5 => 32,
            Digest::Sha256 => 64,
            Digest::Crc32 => 8,
        }
    }
}

/// What can stand in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// Records in the file.
    Rows,
    /// Of the format.
    Version,
    /// Of the file.
    Sequence,
    /// Handle of the account whose file it is, or `system`.
    Owner,
    Stream,
    Prefix,
    Suffix,
    /// `out` or `in`, where a stream has a file for each.
    Way,
    /// When the file was closed.
    Created,
    /// Local day of the calls, where a stream has a file for each.
    Day,
    /// Earliest and latest start of a call in the file.
    First,
    Last,
    /// Sum of the field of that index, as it is written.
    Sum(usize),
    /// The names of the fields, separated like values.
    Columns,
    Digest(Digest),
}

/// How it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fit {
    Plain,
    Zeros(usize),
    Left(usize),
    Right(usize),
    Time(TimePattern),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Place(Token, Fit),
}

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

/// What a template can be filled with.
#[derive(Debug, Clone)]
pub(crate) struct Known<'a> {
    pub(crate) rows: u64,
    pub(crate) version: &'a str,
    pub(crate) sequence: u64,
    pub(crate) owner: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) suffix: &'a str,
    pub(crate) way: &'a str,
    pub(crate) created: DateTime<Utc>,
    pub(crate) day: Option<DateTime<Utc>>,
    pub(crate) first: Option<DateTime<Utc>>,
    pub(crate) last: Option<DateTime<Utc>>,
    /// Value and digits behind the point, for each field.
    pub(crate) sums: &'a [(i128, usize)],
    /// Decimal point of each field.
    pub(crate) points: &'a [Vec<u8>],
    pub(crate) columns: &'a str,
}

/// Words without a field or a pattern behind them, and whether they stand in lines, and in names.
const WORDS: &[(&str, Token, bool, bool)] = &[
    ("rows", Token::Rows, true, false),
    ("version", Token::Version, true, true),
    ("sequence", Token::Sequence, true, true),
    ("owner", Token::Owner, true, true),
    ("stream", Token::Stream, true, true),
    ("prefix", Token::Prefix, false, true),
    ("suffix", Token::Suffix, false, true),
    ("way", Token::Way, true, true),
    ("created", Token::Created, true, true),
    ("day", Token::Day, true, true),
    ("first", Token::First, true, false),
    ("last", Token::Last, true, false),
    ("columns", Token::Columns, true, false),
    ("md5", Token::Digest(Digest::Md5), true, false),
    ("sha256", Token::Digest(Digest::Sha256), true, false),
    ("crc32", Token::Digest(Digest::Crc32), true, false),
];

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Trailer,
    Name,
}

impl Template {
    /// Reads a template. `sums` are the names of the fields that can be added up.
    ///
    /// # Errors
    ///
    /// What is not understood, and what would be.
    pub(crate) fn parse(text: &str, place: Place, sums: &[Option<&str>]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find("${") {
            if begin > 0 {
                pieces.push(Piece::Literal(rest[..begin].to_owned()));
            }
            let inside = &rest[begin + 2..];
            let end = inside.find('}').ok_or_else(|| format!("a ${{ in {text:?} has no }} after it"))?;
            pieces.push(parse_place(&inside[..end], place, sums)?);
            rest = &inside[end + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        if text.chars().any(char::is_control) {
            return Err("a template is one line without control characters".to_owned());
        }
        Ok(Self { pieces })
    }

    pub(crate) fn has(&self, token: Token) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Place(found, _) if *found == token))
    }

    /// Whether it shows what is known only when all records are.
    pub(crate) fn is_of_records(&self) -> bool {
        let is_one = |token: &Token| matches!(token, Token::First | Token::Last | Token::Sum(_));
        self.pieces.iter().any(|piece| matches!(piece, Piece::Place(token, _) if is_one(token)))
    }

    /// The checksums in it.
    pub(crate) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Place(Token::Digest(digest), _) => Some(*digest),
            Piece::Place(..) | Piece::Literal(_) => None,
        })
    }

    /// The fields it adds up.
    pub(crate) fn sums(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Place(Token::Sum(field_idx), _) => Some(*field_idx),
            Piece::Place(..) | Piece::Literal(_) => None,
        })
    }

    /// Its text for one file. `digest` is asked for checksums.
    pub(crate) fn fill(
        &self,
        known: &Known<'_>,
        clock: &mut ZoneClock,
        digest: impl Fn(Digest) -> String,
    ) -> String {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Place(token, fit) => {
                    let begin = out.len();
                    write_token(&mut out, *token, fit, known, clock, &digest);
                    fit_in(&mut out, begin, fit);
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What `line` says in each place; `None` when it is not such a line.
    pub(crate) fn read(&self, line: &str, known: &Known<'_>) -> Option<Vec<(Token, String)>> {
        let mut said = Vec::new();
        let mut rest = line;
        for (idx, piece) in self.pieces.iter().enumerate() {
            let next = self.pieces.get(idx + 1);
            match piece {
                Piece::Literal(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Place(token, fit) => {
                    let width = width_in(rest, *token, fit, next, known)?;
                    let (this, after) = rest.split_at_checked(width)?;
                    let value = match fit {
                        Fit::Left(_) => this.trim_end_matches(' '),
                        Fit::Right(_) => this.trim_start_matches(' '),
                        Fit::Plain | Fit::Zeros(_) | Fit::Time(_) => this,
                    };
                    if !is_of(*token, fit, value, known) {
                        return None;
                    }
                    said.push((*token, value.to_owned()));
                    rest = after;
                }
            }
        }
        rest.is_empty().then_some(said)
    }
}

fn parse_place(inside: &str, place: Place, sums: &[Option<&str>]) -> Result<Piece, String> {
    let (word, how) = match inside.split_once(':') {
        Some((word, how)) => (word, Some(how)),
        None => (inside, None),
    };
    let token = if let Some(field) = word.strip_prefix("sum ") {
        let field_idx = sums.iter().position(|name| *name == Some(field));
        match (field_idx, place) {
            (Some(field_idx), Place::Header | Place::Trailer) => Token::Sum(field_idx),
            _ => {
                return Err(format!(
                    "${{sum {field}}}: there is no field {field:?} of numbers, amounts or durations to add up"
                ));
            }
        }
    } else {
        let is_here = |(_, _, in_lines, in_names): &&(&str, Token, bool, bool)| match place {
            Place::Header | Place::Trailer => *in_lines,
            Place::Name => *in_names,
        };
        let known = WORDS.iter().filter(is_here).find(|(known, ..)| *known == word);
        let Some((_, token, ..)) = known else {
            let all: Vec<String> =
                WORDS.iter().filter(is_here).map(|(known, ..)| format!("${{{known}}}")).collect();
            return Err(format!("${{{word}}} says nothing here; there are {}", all.join(" ")));
        };
        *token
    };
    if place == Place::Header && matches!(token, Token::Digest(_)) {
        return Err("a checksum covers what is before it; put it into the trailer".to_owned());
    }
    let is_time = matches!(token, Token::Created | Token::Day | Token::First | Token::Last);
    let fit = match how {
        _ if is_time => Fit::Time(TimePattern::parse(how.unwrap_or("%Y%m%d%H%M%S"))?),
        None => Fit::Plain,
        Some(how) => parse_fit(word, how)?,
    };
    Ok(Piece::Place(token, fit))
}

fn parse_fit(word: &str, how: &str) -> Result<Fit, String> {
    let wrong = || {
        format!(
            "${{{word}:{how}}}: write how it is filled up like :04 (zeros to 4 digits), :<20 (blanks behind, to 20) \
             or :>20 (blanks before)"
        )
    };
    let (make, digits): (fn(usize) -> Fit, &str) = match how.chars().next() {
        Some('0') => (Fit::Zeros, &how[1..]),
        Some('<') => (Fit::Left, &how[1..]),
        Some('>') => (Fit::Right, &how[1..]),
        Some(_) | None => return Err(wrong()),
    };
    match digits.parse() {
        Ok(width @ 1..=999) => Ok(make(width)),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

fn write_token(
    out: &mut Vec<u8>,
    token: Token,
    fit: &Fit,
    known: &Known<'_>,
    clock: &mut ZoneClock,
    digest: &impl Fn(Digest) -> String,
) {
    let mut write_time = |out: &mut Vec<u8>, at: Option<DateTime<Utc>>| match (at, fit) {
        (Some(at), Fit::Time(pattern)) => pattern.write(out, at, clock),
        // A file without calls has neither a first nor a last.
        (None, Fit::Time(pattern)) => out.resize(out.len() + pattern.width().unwrap_or(0), b' '),
        (_, Fit::Plain | Fit::Zeros(_) | Fit::Left(_) | Fit::Right(_)) => {}
    };
    match token {
        Token::Rows => out.extend_from_slice(known.rows.to_string().as_bytes()),
        Token::Sequence => out.extend_from_slice(known.sequence.to_string().as_bytes()),
        Token::Version => out.extend_from_slice(known.version.as_bytes()),
        Token::Owner => out.extend_from_slice(known.owner.as_bytes()),
        Token::Stream => out.extend_from_slice(known.stream.as_bytes()),
        Token::Prefix => out.extend_from_slice(known.prefix.as_bytes()),
        Token::Suffix => out.extend_from_slice(known.suffix.as_bytes()),
        Token::Way => out.extend_from_slice(known.way.as_bytes()),
        Token::Columns => out.extend_from_slice(known.columns.as_bytes()),
        Token::Created => write_time(out, Some(known.created)),
        Token::Day => write_time(out, Some(known.day.unwrap_or(known.created))),
        Token::First => write_time(out, known.first),
        Token::Last => write_time(out, known.last),
        Token::Sum(field_idx) => {
            let (sum, decimals) = known.sums.get(field_idx).copied().unwrap_or((0, 0));
            let point = known.points.get(field_idx).map_or(b".".as_slice(), Vec::as_slice);
            push_scaled(out, sum, decimals, point);
        }
        Token::Digest(kind) => out.extend_from_slice(digest(kind).as_bytes()),
    }
}

/// Fills up what was written from `begin` on.
fn fit_in(out: &mut Vec<u8>, begin: usize, fit: &Fit) {
    let n_chars = String::from_utf8_lossy(&out[begin..]).chars().count();
    match fit {
        Fit::Plain | Fit::Time(_) => {}
        Fit::Left(width) => out.resize(out.len() + width.saturating_sub(n_chars), b' '),
        Fit::Right(width) => {
            out.splice(begin..begin, std::iter::repeat_n(b' ', width.saturating_sub(n_chars)));
        }
        Fit::Zeros(width) => {
            let behind_sign = begin + usize::from(out.get(begin) == Some(&b'-'));
            out.splice(behind_sign..behind_sign, std::iter::repeat_n(b'0', width.saturating_sub(n_chars)));
        }
    }
}

/// How many bytes of `rest` are the value of `token`.
fn width_in(rest: &str, token: Token, fit: &Fit, next: Option<&Piece>, known: &Known<'_>) -> Option<usize> {
    let digits =
        || rest.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')).count();
    let until_next = || match next {
        Some(Piece::Literal(text)) => rest.find(text.as_str()),
        None => Some(rest.len()),
        // What follows at once must be told from it by its width.
        Some(Piece::Place(..)) => None,
    };
    match fit {
        Fit::Time(pattern) => match pattern.width() {
            Some(width) => Some(width),
            None => Some(digits()),
        },
        // Wider than agreed when the number is: then up to the next literal.
        Fit::Zeros(width) => Some(if matches!(next, Some(Piece::Place(..))) { *width } else { digits() }),
        Fit::Left(width) | Fit::Right(width) => {
            let end = rest.char_indices().nth(*width).map_or(rest.len(), |(at, _)| at);
            (rest.chars().count() >= *width).then_some(end)
        }
        Fit::Plain => match token {
            Token::Digest(digest) => Some(digest.n_digits()),
            Token::Columns => Some(known.columns.len()),
            Token::Version if !known.version.is_empty() => Some(known.version.len()),
            Token::Rows | Token::Sequence => Some(rest.bytes().take_while(u8::is_ascii_digit).count()),
            Token::Version
            | Token::Owner
            | Token::Stream
            | Token::Prefix
            | Token::Suffix
            | Token::Way
            | Token::Sum(_)
            | Token::Created
            | Token::Day
            | Token::First
            | Token::Last => until_next(),
        },
    }
}

fn is_of(token: Token, fit: &Fit, value: &str, known: &Known<'_>) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_wide = match fit {
        Fit::Zeros(width) => value.len() >= *width,
        Fit::Plain | Fit::Left(_) | Fit::Right(_) | Fit::Time(_) => true,
    };
    is_wide
        && match token {
            Token::Rows | Token::Sequence => is_number(value),
            Token::Version => known.version.is_empty() || value == known.version,
            Token::Columns => value == known.columns,
            Token::Digest(digest) => {
                value.len() == digest.n_digits()
                    && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }
            Token::Created | Token::Day | Token::First | Token::Last => match fit {
                Fit::Time(pattern) => pattern.accepts(value.as_bytes()) || value.trim_matches(' ').is_empty(),
                Fit::Plain | Fit::Zeros(_) | Fit::Left(_) | Fit::Right(_) => true,
            },
            Token::Owner | Token::Stream | Token::Prefix | Token::Suffix | Token::Way | Token::Sum(_) => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Tz;

    fn known() -> Known<'static> {
        Known {
            rows: 738,
            version: "007",
            sequence: 42,
            owner: "acme",
            stream: "ama",
            prefix: "cdr",
            suffix: "csv",
            way: "out",
            created: "2026-03-25T23:30:05Z".parse().unwrap(),
            day: None,
            first: Some("2026-03-25T01:02:03Z".parse().unwrap()),
            last: None,
            sums: &[(-12_345, 2)],
            points: &[],
            columns: "id,duration",
        }
    }

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let read = Template::parse(template, Place::Trailer, &[Some("cost")]).unwrap();
        let shown = read.fill(&known(), &mut ZoneClock::new(Tz::UTC), |_| "ab".repeat(16));
        assert_eq!(shown, expected);
        assert!(read.read(&shown, &known()).is_some(), "{shown:?} is not read back");
    }

    #[test]
    fn places_are_filled_and_read_back() {
        check("${version},${rows:04}", "007,0738");
        check("T${rows:09}${sum cost:012}", "T000000738-00000123.45");
        check("${sum cost};${md5}", "-123.45;abababababababababababababababab");
        check("H${owner:<8}|${owner:>8}|", "Hacme    |    acme|");
        check("${created:%Y%m%d%H%M%S}${sequence:010}", "202603252330050000000042");
        check("${first:%H:%M} ${last:%H:%M}", "01:02      ");
        check("${columns}", "id,duration");
        check("no place", "no place");
    }

    #[test]
    fn what_stands_nowhere_is_named_with_what_does() {
        let refused = |text, place| Template::parse(text, place, &[Some("cost"), None]).unwrap_err();
        assert!(refused("${lines}", Place::Header).contains("${rows}"));
        assert!(
            refused("${rows}", Place::Name).starts_with("${rows} says nothing here; there are ${version}")
        );
        assert!(refused("${sum zone}", Place::Trailer).contains("no field \"zone\""));
        assert!(refused("${md5}", Place::Header).contains("trailer"));
        assert!(refused("${rows:4}", Place::Header).contains(":04"));
        assert!(refused("${rows", Place::Header).contains("no } after it"));
        assert!(refused("${created:%Q}", Place::Name).contains("%Q"));
    }

    #[test]
    fn another_line_is_not_read() {
        let header = Template::parse("${version},${rows:04}", Place::Header, &[]).unwrap();
        for other in ["007;0001", "008,0001", "007,001", "007,0001x", "007,", ""] {
            assert_eq!(header.read(other, &known()), None, "{other}");
        }
        assert!(header.read("007,12345", &known()).is_some());
    }
}
