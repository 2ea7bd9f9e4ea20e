//! Decoding of the few headers a switch needs, on demand and without copying.
//!
//! In: the bytes of one value. Out: borrowed parts, or `None` when they are not what the grammar of RFC 3261, 25 says, read
//! as widely as real phones write. White space includes the line ends of folded headers. Parameter names have no case.

use super::names::Method;

/// A byte of a `token` (RFC 3261, 25.1).
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}

/// Every name of every header is looked at byte by byte.
const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without white space at either end.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// As text for records: what is not UTF-8 becomes U+FFFD; folds and other control characters become blanks, for neither a
/// database column nor a line of a CDR file can hold them.
pub(crate) fn text(bytes: &[u8]) -> String {
    let bytes = trim(bytes);
    // Nearly always.
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    let text = String::from_utf8_lossy(bytes);
    if text.contains(char::is_control) {
        text.replace(char::is_control, " ").trim().to_owned()
    } else {
        text.into_owned()
    }
}

/// A decimal number, digits alone; `None` above `u64`.
pub(crate) fn parse_number(bytes: &[u8]) -> Option<u64> {
    let digits = trim(bytes);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        byte.is_ascii_digit().then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// Without its quotes, escapes resolved; a token stays as it is.
pub(crate) fn unquote(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    if memchr::memchr(b'\\', inner).is_none() {
        return inner.to_vec();
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    plain
}

/// Where `wanted` first stands outside of quotes and angle brackets.
fn find_outside(bytes: &[u8], wanted: u8, brackets_count: bool) -> Option<usize> {
    // Nothing before the first of these matters.
    let opening = if brackets_count { b'<' } else { b'"' };
    let mut idx = memchr::memchr3(wanted, b'"', opening, bytes)?;
    if bytes[idx] == wanted {
        return Some(idx);
    }
    let (mut in_quotes, mut in_brackets) = (false, false);
    while idx < bytes.len() {
        let byte = bytes[idx];
        match byte {
            b'\\' if in_quotes => idx += 1,
            b'"' if !in_brackets => in_quotes = !in_quotes,
            _ if in_quotes => {}
            _ if byte == wanted && !in_brackets => return Some(idx),
            b'<' if brackets_count => in_brackets = true,
            b'>' if brackets_count => in_brackets = false,
            _ => {}
        }
        idx += 1;
    }
    None
}

/// The elements of a comma-separated list, trimmed, empty ones left out.
pub(crate) fn split_commas(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let bytes = rest?;
            let element = match find_outside(bytes, b',', true) {
                Some(comma) => {
                    rest = Some(&bytes[comma + 1..]);
                    &bytes[..comma]
                }
                None => {
                    rest = None;
                    bytes
                }
            };
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
    })
}

/// `;name=value;flag`, as it stands behind a URI, an address or a Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params<'a>(pub(crate) &'a [u8]);

impl<'a> Params<'a> {
    /// All of them: name, and value (quotes kept; empty for a flag).
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rest = trim(self.0);
        std::iter::from_fn(move || {
            while let Some(after) = rest.strip_prefix(b";") {
                let end = find_outside(after, b';', false).unwrap_or(after.len());
                let param = trim(&after[..end]);
                rest = &after[end..];
                if param.is_empty() {
                    continue;
                }
                return Some(match memchr::memchr(b'=', param) {
                    Some(equals) => (trim(&param[..equals]), Some(trim(&param[equals + 1..]))),
                    None => (param, None),
                });
            }
            None
        })
    }

    /// The parameter of that name: `Some(None)` is a flag without a value.
    pub fn find(self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of the parameter of that name.
    pub fn value(self, name: &str) -> Option<&'a [u8]> {
        self.find(name).flatten()
    }

    /// As sent, from the first semicolon.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// What a URI begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Anything else, `urn:` among them: 416 in a Request-URI.
    Other,
}

/// A SIP, SIPS or TEL URI; of any other the scheme alone is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// What it begins with.
    pub scheme: Scheme,
    /// User part with its own parameters, password left out; of a TEL URI the number.
    pub user: Option<&'a [u8]>,
    /// Host; brackets of an IPv6 address kept. Empty for TEL.
    pub host: &'a [u8],
    /// Port, if written.
    pub port: Option<u16>,
    /// Behind the host, or behind the number.
    pub params: Params<'a>,
    /// As sent.
    pub raw: &'a [u8],
}

impl<'a> Uri<'a> {
    /// `None` when it has no scheme, no host, or a port that is none.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let raw = trim(bytes);
        let colon = memchr::memchr(b':', raw)?;
        let (scheme, rest) = (&raw[..colon], &raw[colon + 1..]);
        if scheme.is_empty()
            || !scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
        {
            return None;
        }
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
            _ if scheme.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
            _ if scheme.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
            _ => Scheme::Other,
        };
        match scheme {
            Scheme::Other => {
                Some(Uri { scheme, user: None, host: &[], port: None, params: Params::default(), raw })
            }
            Scheme::Tel => {
                let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
                let (number, params) = rest.split_at(end);
                (!number.is_empty()).then_some(Uri {
                    scheme,
                    user: Some(number),
                    host: &[],
                    port: None,
                    params: Params(params),
                    raw,
                })
            }
            Scheme::Sip | Scheme::Sips => {
                // The user part may hold `;` and `?`, never an unescaped `@` (RFC 3261, 25.1).
                let (user, host) = match memchr::memchr(b'@', rest) {
                    Some(at) => {
                        let user = &rest[..at];
                        let user = &user[..memchr::memchr(b':', user).unwrap_or(user.len())];
                        (Some(user), &rest[at + 1..])
                    }
                    None => (None, rest),
                };
                let end = host.iter().position(|byte| b";?".contains(byte)).unwrap_or(host.len());
                let (hostport, tail) = host.split_at(end);
                let params = &tail[..memchr::memchr(b'?', tail).unwrap_or(tail.len())];
                let (host, port) = host_port(hostport)?;
                Some(Uri { scheme, user, host, port, params: Params(params), raw })
            }
        }
    }

    /// The user part without its own parameters, `%` escapes resolved, as text.
    pub fn user_text(&self) -> String {
        let user = self.user.unwrap_or_default();
        let user = &user[..memchr::memchr(b';', user).unwrap_or(user.len())];
        if memchr::memchr(b'%', user).is_some() { text(&unescape(user)) } else { text(user) }
    }

    /// The host as text, in lower case.
    pub fn host_text(&self) -> String {
        let mut host = text(self.host);
        host.make_ascii_lowercase();
        host
    }

    /// The address it names without asking anybody, if it names one.
    pub fn socket_address(&self) -> Option<std::net::SocketAddr> {
        let host = std::str::from_utf8(self.host).ok()?;
        let ip = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Some(std::net::SocketAddr::new(ip.parse().ok()?, self.port.unwrap_or(5060)))
    }
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut idx = 0;
    while idx < bytes.len() {
        let escaped = bytes.get(idx + 1..idx + 3).filter(|_| bytes[idx] == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                idx += 3;
            }
            None => {
                plain.push(bytes[idx]);
                idx += 1;
            }
        }
    }
    plain
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, with white space around the colon.
fn host_port(bytes: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let bytes = trim(bytes);
    let host_end = if bytes.first() == Some(&b'[') {
        memchr::memchr(b']', bytes)? + 1
    } else {
        memchr::memchr(b':', bytes).unwrap_or(bytes.len())
    };
    let (host, rest) = bytes.split_at(host_end);
    let (host, rest) = (trim(host), trim(rest));
    if host.is_empty() || host.iter().any(|byte| is_space(*byte) || b"<>\"@,".contains(byte)) {
        return None;
    }
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = parse_number(rest.strip_prefix(b":")?)?;
    Some((host, Some(u16::try_from(port).ok()?)))
}

/// `"Display" <uri>;params`, or a bare `uri;params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As sent, quotes kept; empty if there is none.
    pub display: &'a [u8],
    /// As sent, without the brackets.
    pub uri: &'a [u8],
    /// Header parameters, such as `tag`.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// One element of From, To, Contact, Route and the like. `None` when quotes or brackets do not match, or when what should
    /// be a URI has no scheme.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let (display, uri, params) = match find_outside(value, b'<', false) {
            Some(open) => {
                let display = trim(&value[..open]);
                let rest = &value[open + 1..];
                let close = memchr::memchr(b'>', rest)?;
                (display, trim(&rest[..close]), trim(&rest[close + 1..]))
            }
            None => {
                if value.contains(&b'"') && value.first() == Some(&b'"') {
                    return None;
                }
                // Without brackets, everything behind the first semicolon belongs to the header (RFC 3261, 20.10).
                let semicolon = memchr::memchr(b';', value).unwrap_or(value.len());
                let uri = trim(&value[..semicolon]);
                // And a URI with a question mark must have brackets.
                if uri.contains(&b'?') {
                    return None;
                }
                (&value[..0], uri, &value[semicolon..])
            }
        };
        if !params.is_empty() && params.first() != Some(&b';') {
            return None;
        }
        if !quotes_match(display) {
            return None;
        }
        let scheme = &uri[..memchr::memchr(b':', uri)?];
        if scheme.is_empty()
            || !scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
        {
            return None;
        }
        Some(NameAddr { display, uri, params: Params(params) })
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.value("tag")
    }

    /// The URI, decoded.
    pub fn parse_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }
}

/// Either no quotes at all, or one quoted string and nothing else.
fn quotes_match(display: &[u8]) -> bool {
    let Some(rest) = display.strip_prefix(b"\"") else { return !display.contains(&b'"') };
    let mut idx = 0;
    while idx < rest.len() {
        match rest[idx] {
            b'\\' => idx += 2,
            b'"' => return trim(&rest[idx + 1..]).is_empty(),
            _ => idx += 1,
        }
    }
    false
}

/// One Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`...
    pub transport: &'a [u8],
    /// Host part of sent-by.
    pub host: &'a [u8],
    /// Port of sent-by, if written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`...
    pub params: Params<'a>,
    /// `SIP/2.0/UDP host:port`, as sent.
    pub head: &'a [u8],
}

impl<'a> Via<'a> {
    /// One element of a Via header.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let (head, params) = (trim(&value[..end]), &value[end..]);
        let slash = memchr::memchr(b'/', head)?;
        let protocol = trim(&head[..slash]);
        let rest = &head[slash + 1..];
        let slash = memchr::memchr(b'/', rest)?;
        let version = trim(&rest[..slash]);
        let rest = trim(&rest[slash + 1..]);
        let space = rest.iter().position(|byte| is_space(*byte))?;
        let (transport, sent_by) = rest.split_at(space);
        // A request of another version must be answered with 505, so its Via is read too.
        if !protocol.eq_ignore_ascii_case(b"SIP")
            || version.is_empty()
            || !version.iter().all(|byte| is_token(*byte))
        {
            return None;
        }
        let (host, port) = host_port(sent_by)?;
        Some(Via { transport, host, port, params: Params(params), head })
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.value("branch")
    }
}

/// CSeq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261, 8.1.1.5).
    pub number: u32,
    /// Of the request.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// The value of a CSeq header.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let space = value.iter().position(|byte| is_space(*byte))?;
        let number = parse_number(&value[..space]).filter(|number| *number < 1 << 31)?;
        let method = trim(&value[space..]);
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return None;
        }
        Some(CSeq { number: u32::try_from(number).ok()?, method: Method::of(method) })
    }
}
