//! Putting messages together: line by line into one buffer, Content-Length last.

use std::net::SocketAddr;

use super::{HeaderName, Message, NameAddr, Via, split_commas};
use crate::ascii;
use crate::hop::Hop;

/// A message being written.
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Begins a request.
    pub(crate) fn request(method: &[u8], uri: &[u8]) -> Self {
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(method);
        out.push(b' ');
        out.extend_from_slice(uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        Self { out }
    }

    /// Begins a response.
    pub(crate) fn response(code: u16, phrase: &[u8]) -> Self {
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(ascii::number(code).as_bytes());
        out.push(b' ');
        out.extend_from_slice(phrase);
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// Begins lines that go into another message.
    pub(crate) fn lines_only() -> Self {
        Self { out: Vec::with_capacity(512) }
    }

    /// The lines written so far.
    pub(crate) fn into_lines(self) -> Vec<u8> {
        self.out
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.push_header(name.as_bytes(), value.as_ref());
        self
    }

    /// Adds a header, in place.
    pub(crate) fn push_header(&mut self, name: &[u8], value: &[u8]) {
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Adds a header whose value is made of parts, in place.
    pub(crate) fn push_parts(&mut self, name: &[u8], parts: &[&[u8]]) {
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Adds whole header lines as they are.
    pub(crate) fn lines(mut self, lines: &[u8]) -> Self {
        self.out.extend_from_slice(lines);
        self
    }

    /// Copies the headers that `keep` wants.
    pub(crate) fn copy(mut self, message: &Message<'_>, keep: impl Fn(HeaderName) -> bool) -> Self {
        for (name, raw_name, value) in message.headers() {
            if keep(name) {
                // Known names are written long: some peers know no compact forms.
                let name = if name == HeaderName::Other { raw_name } else { name.as_str().as_bytes() };
                self.push_header(name, value);
            }
        }
        self
    }

    /// Ends the message.
    pub(crate) fn finish(mut self, body: &[u8]) -> Vec<u8> {
        self.out.extend_from_slice(b"Content-Length: ");
        self.out.extend_from_slice(ascii::number(body.len() as u64).as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
        self.out
    }
}

/// What every response to one request begins with: kept when the request itself is gone.
#[derive(Debug, Clone)]
pub(crate) struct ReplyHead {
    /// Via, Record-Route, From, Call-ID and CSeq, as lines.
    lines: Vec<u8>,
    /// To, as sent.
    to: Box<[u8]>,
    to_has_tag: bool,
    /// Where responses go (RFC 3261, 18.2.2; RFC 3581, 4).
    pub(crate) destination: Hop,
}

impl ReplyHead {
    /// Of `request`, which came from `source`. The topmost Via learns where it came from.
    pub(crate) fn of(request: &Message<'_>, source: Hop) -> Self {
        let mut lines = Vec::with_capacity(512);
        let mut line = |name: &str, value: &[u8]| {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        };
        let mut destination = source;
        let mut is_top = true;
        for value in request.list(HeaderName::Via) {
            match is_top.then(|| Via::parse(value)).flatten() {
                Some(via) => {
                    // On a stream the answer goes back the way the request came (RFC 3261, 18.2.2).
                    if via.params.find("rport").is_none() && !source.is_reliable() {
                        destination.address.set_port(via.port.unwrap_or(5060));
                    }
                    line("Via", &via_with_source(&via, source.address));
                }
                None => line("Via", value),
            }
            is_top = false;
        }
        for (name, _, value) in request.headers() {
            if [HeaderName::RecordRoute, HeaderName::From, HeaderName::CallId, HeaderName::CSeq]
                .contains(&name)
            {
                line(name.as_str(), value);
            }
        }
        let to = request.value(HeaderName::To).unwrap_or_default();
        let to_has_tag = NameAddr::parse(to).is_some_and(|to| to.tag().is_some());
        Self { lines, to: to.into(), to_has_tag, destination }
    }

    /// Frees what responses begin with; where they went is kept.
    pub(crate) fn forget(&mut self) {
        (self.lines, self.to) = Default::default();
    }

    /// Begins a response. `tag` is added to To unless the request brought one.
    pub(crate) fn reply(&self, code: u16, phrase: &[u8], tag: Option<&str>) -> Writer {
        let mut writer = Writer::response(code, phrase).lines(&self.lines);
        match tag.filter(|_| !self.to_has_tag && !self.to.is_empty()) {
            Some(tag) => {
                writer.push_parts(b"To", &[&self.to, b";tag=", tag.as_bytes()]);
            }
            // A request without To is refused without one (RFC 4475, 3.3.1).
            None if self.to.is_empty() => {}
            None => writer.push_header(b"To", &self.to),
        }
        writer
    }
}

/// Most bytes that a Via grows by: the longest address, and a port.
const ADDED_TO_VIA: usize = 64;

fn via_with_source(via: &Via<'_>, source: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(via.head.len() + via.params.0.len() + ADDED_TO_VIA);
    out.extend_from_slice(via.head);
    for (name, value) in via.params.iter() {
        // What the sender says about these two is our business (RFC 3581, 4).
        if name.eq_ignore_ascii_case(b"received") {
            continue;
        }
        out.push(b';');
        out.extend_from_slice(name);
        if name.eq_ignore_ascii_case(b"rport") {
            out.push(b'=');
            out.extend_from_slice(ascii::number(source.port()).as_bytes());
        } else if let Some(value) = value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(b";received=");
    out.extend_from_slice(ascii::ip(source.ip()).as_bytes());
    out
}

/// `<sip:user@host>` values of a list header, reversed or not, each as one line value: a route set.
pub(crate) fn route_set(message: &Message<'_>, reversed: bool) -> Vec<Box<[u8]>> {
    let mut routes: Vec<Box<[u8]>> =
        message.values(HeaderName::RecordRoute).flat_map(split_commas).map(Box::from).collect();
    if reversed {
        routes.reverse();
    }
    routes
}

/// The usual phrase of a code.
pub(crate) fn phrase_of(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => "Unknown",
    }
}
