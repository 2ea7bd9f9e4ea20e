//! One SIP message as it lies in its datagram: a scan that notes where things are, and decoding on demand.
//!
//! In: the bytes of one datagram. Out: a [`Message`] that borrows them: start line, an index of the headers (compact forms
//! and folding resolved, order kept) and the body. Bytes are never assumed to be UTF-8, unknown headers and bodies stay
//! byte for byte. What is decoded (`grammar`) is what a switch needs. `write` puts messages together. What to
//! do about a [`Fault`] is the caller's business: most are answered with its code, some responses are dropped.

mod frame;
mod grammar;
mod names;
mod write;

use std::cell::OnceCell;

pub use frame::{Framed, Framer, Unframed};
pub use grammar::{CSeq, NameAddr, Params, Scheme, Uri, Via};
pub(crate) use grammar::{parse_number, split_commas, text, trim, unquote};
pub use names::{HeaderName, Method};
pub(crate) use write::{ReplyHead, Writer, phrase_of, route_set};

/// Longest message, bytes; a UDP datagram cannot hold more, and the index holds 16-bit offsets.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Headers in one message; more get a 400.
pub const HEADERS_MAX: usize = 128;
/// Bytes in one header, folded lines together; more get a 400.
pub const HEADER_BYTES_MAX: usize = 8_192;

/// What a message begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// `INVITE sip:bob@example.net SIP/2.0`
    Request {
        /// What is asked.
        method: Method<'a>,
        /// Of whom, as sent.
        uri: &'a [u8],
    },
    /// `SIP/2.0 180 Ringing`
    Response {
        /// 100 to 699.
        code: u16,
        /// As sent, perhaps empty.
        phrase: &'a [u8],
    },
}

/// Why bytes are no SIP message at all. There is nobody to answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Line ends or zeroes alone: a NAT keep-alive (RFC 5626, 4.4.1), not a fault.
    #[error("keep-alive")]
    KeepAlive,
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("longer than 65535 bytes")]
    TooLong,
    /// The first line is neither a request line nor a status line.
    #[error("no SIP start line")]
    NotSip,
    /// A status code that is not three digits from 100 to 699.
    #[error("impossible status code")]
    StatusCode,
}

/// What is wrong with a message that could be read so far: the answer it deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The SIP code to answer with.
    pub code: u16,
    /// And the phrase, saying what is wrong.
    pub phrase: &'static str,
}

impl Fault {
    const fn bad(phrase: &'static str) -> Self {
        Self { code: 400, phrase }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    name: HeaderName,
    line_start: u16,
    name_len: u16,
    value_start: u16,
    value_end: u16,
}

const EMPTY_SLOT: Slot =
    Slot { name: HeaderName::Other, line_start: 0, name_len: 0, value_start: 0, value_end: 0 };

/// A message and where its parts are.
#[derive(Clone)]
pub struct Message<'a> {
    bytes: &'a [u8],
    start: StartLine<'a>,
    slots: [Slot; HEADERS_MAX],
    n_headers: usize,
    body: &'a [u8],
    fault: Option<Fault>,
    /// There is a header that was not looked at.
    lacks_headers: bool,
    /// What is asked for again and again is decoded once.
    decoded: Decoded<'a>,
}

#[derive(Clone, Default)]
struct Decoded<'a> {
    top_via: OnceCell<Option<Via<'a>>>,
    from: OnceCell<Option<NameAddr<'a>>>,
    to: OnceCell<Option<NameAddr<'a>>>,
    cseq: OnceCell<Option<CSeq<'a>>>,
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither numbers nor digest answers belong into a log.
        f.debug_struct("Message")
            .field("n_bytes", &self.bytes.len())
            .field("n_headers", &self.n_headers)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl<'a> Message<'a> {
    /// Notes where the parts of `datagram` are. Tolerant: whatever can be stepped over is, and the first thing that is wrong
    /// is kept as [`Self::fault`].
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when there is no start line to go by.
    pub fn scan(datagram: &'a [u8]) -> Result<Self, Unreadable> {
        let bytes = skip_line_ends(datagram);
        if bytes.is_empty() {
            return Err(Unreadable::KeepAlive);
        }
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        let (line, mut at) = next_line(bytes, 0);
        let (start, mut fault) = start_line(line)?;
        let mut message = Message {
            bytes,
            start,
            slots: [EMPTY_SLOT; HEADERS_MAX],
            n_headers: 0,
            body: &[],
            fault: None,
            lacks_headers: false,
            decoded: Decoded::default(),
        };

        let mut ended = false;
        while at < bytes.len() {
            let line_start = at;
            let (line, next) = next_line(bytes, at);
            at = next;
            if line.is_empty() {
                ended = true;
                break;
            }
            let mut line_end = line_start + line.len();
            // Folding (RFC 3261, 7.3.1): a line that begins with white space goes on with the one before.
            while matches!(bytes.get(at), Some(b' ' | b'\t')) {
                let (folded, next) = next_line(bytes, at);
                if trim(folded).is_empty() {
                    // A line of blanks is not the empty line; step over it.
                    at = next;
                    continue;
                }
                line_end = at + folded.len();
                at = next;
            }
            if let Err(found) = message.note_header(line_start, line_end) {
                fault = fault.or(Some(found));
            }
        }
        if !ended {
            fault = fault.or(Some(Fault::bad("Headers Not Ended By An Empty Line")));
        }
        let rest = &bytes[at.min(bytes.len())..];
        match message.content_length() {
            Ok(None) => message.body = rest,
            Ok(Some(length)) if length <= rest.len() => message.body = &rest[..length],
            Ok(Some(_)) => {
                message.body = rest;
                fault = fault.or(Some(Fault::bad("Content-Length Beyond The Datagram")));
            }
            Err(found) => {
                message.body = rest;
                fault = fault.or(Some(found));
            }
        }
        message.fault = fault;
        Ok(message)
    }

    fn note_header(&mut self, line_start: usize, line_end: usize) -> Result<(), Fault> {
        let line = &self.bytes[line_start..line_end];
        let colon = memchr::memchr(b':', line).ok_or(Fault::bad("Header Without A Colon"))?;
        let raw_name = trim(&line[..colon]);
        let name = HeaderName::of(raw_name);
        // The known ones are tokens.
        if name == HeaderName::Other
            && (raw_name.is_empty() || !raw_name.iter().all(|byte| grammar::is_token(*byte)))
        {
            return Err(Fault::bad("Bad Header Name"));
        }
        if line.len() > HEADER_BYTES_MAX {
            self.lacks_headers = true;
            return Err(Fault::bad("Header Too Long"));
        }
        if self.n_headers == HEADERS_MAX {
            self.lacks_headers = true;
            return Err(Fault::bad("Too Many Headers"));
        }
        let value = trim(&line[colon + 1..]);
        // An all-blank value has nowhere to point to; the end of the line does.
        let value_start = if value.is_empty() {
            line_end
        } else {
            line_start + colon + 1 + offset_of(value, &line[colon + 1..])
        };
        self.slots[self.n_headers] = Slot {
            name,
            // The first header may begin with blanks; copied with them it would go on with the line before.
            line_start: short(line_start + offset_of(raw_name, line)),
            name_len: short(raw_name.len()),
            value_start: short(value_start),
            value_end: short(value_start + value.len()),
        };
        self.n_headers += 1;
        Ok(())
    }

    fn content_length(&self) -> Result<Option<usize>, Fault> {
        let mut found = None;
        for value in self.values(HeaderName::ContentLength) {
            let length = parse_number(value).ok_or(Fault::bad("Bad Content-Length"))?;
            if found.is_some_and(|before| before != length) {
                return Err(Fault::bad("Two Different Content-Lengths"));
            }
            found = Some(length);
        }
        Ok(found.map(|length| usize::try_from(length).unwrap_or(usize::MAX)))
    }

    /// The first thing wrong with the framing, if anything is.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Request line or status line.
    pub fn start(&self) -> StartLine<'a> {
        self.start
    }

    /// What a request asks; `None` for a response.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// Request-URI as sent; empty for a response.
    pub fn request_uri(&self) -> &'a [u8] {
        match self.start {
            StartLine::Request { uri, .. } => uri,
            StartLine::Response { .. } => &[],
        }
    }

    /// The body, as long as Content-Length says; without one, the rest of the datagram.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// All of it, as it came.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All headers in order: id, name as sent, value as sent (folds inside).
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, &'a [u8], &'a [u8])> + '_ {
        let bytes = self.bytes;
        self.slots[..self.n_headers].iter().map(move |slot| {
            let name_start = usize::from(slot.line_start);
            (
                slot.name,
                &bytes[name_start..name_start + usize::from(slot.name_len)],
                &bytes[usize::from(slot.value_start)..usize::from(slot.value_end)],
            )
        })
    }

    /// The values of every header of that name, in order, lists not yet split.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + '_ {
        let bytes = self.bytes;
        self.slots[..self.n_headers]
            .iter()
            .filter(move |slot| slot.name == name)
            .map(move |slot| &bytes[usize::from(slot.value_start)..usize::from(slot.value_end)])
    }

    /// The values of every header of that name, lists split at their commas.
    pub fn list(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.values(name).flat_map(split_commas)
    }

    /// The first value of that name, lists not split.
    pub fn value(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The first value of that name as text, for records; empty if there is none.
    pub fn value_text(&self, name: HeaderName) -> String {
        self.value(name).map(text).unwrap_or_default()
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Option<Via<'a>> {
        *self.decoded.top_via.get_or_init(|| self.list(HeaderName::Via).next().and_then(Via::parse))
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr<'a>> {
        *self.decoded.from.get_or_init(|| self.value(HeaderName::From).and_then(NameAddr::parse))
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr<'a>> {
        *self.decoded.to.get_or_init(|| self.value(HeaderName::To).and_then(NameAddr::parse))
    }

    /// First Contact.
    pub fn contact(&self) -> Option<NameAddr<'a>> {
        self.list(HeaderName::Contact).next().and_then(NameAddr::parse)
    }

    /// Call-ID, as sent.
    pub fn call_id(&self) -> Option<&'a [u8]> {
        self.value(HeaderName::CallId)
    }

    /// CSeq.
    pub fn cseq(&self) -> Option<CSeq<'a>> {
        *self.decoded.cseq.get_or_init(|| self.value(HeaderName::CSeq).and_then(CSeq::parse))
    }

    /// A header that holds one number.
    pub fn number(&self, name: HeaderName) -> Option<u64> {
        self.value(name).and_then(parse_number)
    }

    /// Whether what RFC 3261, 8.1.1 demands is there, once, and can be decoded.
    ///
    /// # Errors
    ///
    /// The answer it deserves. For a response: it can only be dropped.
    pub fn check(&self) -> Result<(), Fault> {
        for (name, missing, twice) in SINGLE_HEADERS {
            let mut values = self.values(*name);
            if values.next().is_none() {
                return Err(Fault::bad(missing));
            }
            if values.next().is_some() {
                return Err(Fault::bad(twice));
            }
        }
        // Only now the framing: without these four headers it could not be answered anyway.
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.top_via().is_none() || self.values(HeaderName::Via).any(has_empty_parts) {
            return Err(Fault::bad("Bad Via Header"));
        }
        if self.from().is_none() {
            return Err(Fault::bad("Invalid From Header"));
        }
        if self.to().is_none() {
            return Err(Fault::bad("Invalid To Header"));
        }
        if has_uri_headers(self.request_uri()) {
            return Err(Fault::bad("Bad Request-URI"));
        }
        let cseq = self.cseq().ok_or(Fault::bad("Bad CSeq Header"))?;
        if let Some(method) = self.method() {
            if cseq.method != method {
                return Err(match method {
                    Method::Known(_) => Fault::bad("CSeq Method Differs From Request"),
                    // RFC 4475, 3.1.2.18.
                    Method::Other(_) => Fault { code: 501, phrase: "Not Implemented" },
                });
            }
            if self.value(HeaderName::MaxForwards).is_some()
                && self.number(HeaderName::MaxForwards).is_none_or(|hops| hops > 255)
            {
                return Err(Fault::bad("Bad Max-Forwards Header"));
            }
            if self
                .values(HeaderName::Contact)
                .any(|value| trim(value) != b"*" && split_commas(value).any(|contact| !is_usable(contact)))
            {
                return Err(Fault::bad("Bad Contact Header"));
            }
        }
        Ok(())
    }

    /// Whether enough could be read that an answer finds its way.
    pub(crate) fn is_answerable(&self) -> bool {
        self.method().is_some_and(|method| method != Method::ACK)
            && self.top_via().is_some()
            && self.value(HeaderName::CSeq).is_some()
    }
}

const SINGLE_HEADERS: &[(HeaderName, &str, &str)] = &[
    (HeaderName::From, "Missing From Header", "Two From Headers"),
    (HeaderName::To, "Missing To Header", "Two To Headers"),
    (HeaderName::CallId, "Missing Call-ID Header", "Two Call-ID Headers"),
    (HeaderName::CSeq, "Missing CSeq Header", "Two CSeq Headers"),
];

fn start_line(line: &[u8]) -> Result<(StartLine<'_>, Option<Fault>), Unreadable> {
    if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        let space = memchr::memchr(b' ', line).ok_or(Unreadable::NotSip)?;
        if !line[..space].eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(Unreadable::NotSip);
        }
        let rest = &line[space + 1..];
        let (code, phrase) = match memchr::memchr(b' ', rest) {
            Some(space) => (&rest[..space], &rest[space + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        let code = Some(code).filter(|code| code.len() == 3).and_then(parse_number);
        let code = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (100..700).contains(code));
        let code = code.ok_or(Unreadable::StatusCode)?;
        return Ok((StartLine::Response { code, phrase: trim(phrase) }, None));
    }
    let line = trim(line);
    let first = memchr::memchr(b' ', line).ok_or(Unreadable::NotSip)?;
    let last = memchr::memrchr(b' ', line).ok_or(Unreadable::NotSip)?;
    let (method, version) = (&line[..first], &line[last + 1..]);
    if first == last || !method.iter().all(|byte| grammar::is_token(*byte)) {
        return Err(Unreadable::NotSip);
    }
    if version.len() < 5 || !version[..4].eq_ignore_ascii_case(b"SIP/") {
        return Err(Unreadable::NotSip);
    }
    let uri = &line[first + 1..last];
    let fault = if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        Some(Fault { code: 505, phrase: "Version Not Supported" })
    } else if uri.is_empty() || uri.iter().any(|byte| b" \t<>\"".contains(byte)) {
        Some(Fault::bad("Bad Request-URI"))
    } else {
        None
    };
    Ok((StartLine::Request { method: Method::of(method), uri }, fault))
}

/// Whether elements or parameters are missing between separators (RFC 4475, 3.1.2.1).
fn has_empty_parts(value: &[u8]) -> bool {
    let mut last = 0;
    // A single separator at the end is what careless devices write, and harms nobody.
    value.iter().filter(|byte| !byte.is_ascii_whitespace()).any(|byte| {
        let is_empty = b";,".contains(byte) && b";,".contains(&last);
        last = *byte;
        is_empty
    })
}

/// Whether a Request-URI carries headers, which it may not (RFC 3261, 19.1.1). A user part may hold a question mark.
fn has_uri_headers(uri: &[u8]) -> bool {
    without_uri_headers(uri).len() < uri.len()
}

/// A URI of a Contact as it may stand in a request line: headers that it asks to be added (`?Route=...`) may not (RFC 3261, 19.1.1), and
/// are not added either, or whoever registers could write headers into our requests.
pub(crate) fn without_uri_headers(uri: &[u8]) -> &[u8] {
    let is_sip = uri.get(..3).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sip"));
    // The user part may hold `?`, never an unescaped `@`: as in `Uri::parse`, the first one ends it, and a later one belongs to a header.
    let host_at = memchr::memchr(b'@', uri).unwrap_or(0);
    match memchr::memchr(b'?', &uri[host_at..]).filter(|_| is_sip) {
        Some(mark) => &uri[..host_at + mark],
        None => uri,
    }
}

/// Whether a Contact can become the Request-URI of ours: a blank or a fold inside would break the request line.
fn is_usable(contact: &[u8]) -> bool {
    NameAddr::parse(contact)
        .is_some_and(|contact| !contact.uri.iter().any(|byte| *byte <= b' ' || *byte == 0x7f))
}

/// The line at `at` without its end, and where the next one begins.
fn next_line(bytes: &[u8], at: usize) -> (&[u8], usize) {
    match memchr::memchr(b'\n', &bytes[at..]) {
        Some(end) => {
            let line = &bytes[at..at + end];
            (line.strip_suffix(b"\r").unwrap_or(line), at + end + 1)
        }
        None => {
            let line = &bytes[at..];
            (line.strip_suffix(b"\r").unwrap_or(line), bytes.len())
        }
    }
}

fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !b"\r\n\0".contains(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

/// Where `part` begins within `whole`, of which it is a slice.
fn offset_of(part: &[u8], whole: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

fn short(offset: usize) -> u16 {
    u16::try_from(offset).expect("a message is at most 65535 bytes long")
}
