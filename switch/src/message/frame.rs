//! Messages out of a stream (RFC 3261, 18.3): cut by Content-Length, keep-alives answered.
//!
//! In: bytes as they come, in any pieces. Out: whole messages, and pings to be answered. What cannot be cut ends the connection, for nobody can
//! tell where the next message begins.

use super::{HeaderName, MESSAGE_BYTES_MAX, Message, parse_number};

/// What a stream brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// A whole message.
    Message(Vec<u8>),
    /// A double line end: answer with a single one (RFC 5626, 4.4.1).
    Ping,
}

/// Why a stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unframed {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("a message is longer than 65535 bytes")]
    TooLong,
    /// Not SIP, or without a usable Content-Length.
    #[error("no telling where a message ends")]
    NoLength,
}

/// Cuts one stream.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Before this the headers do not end.
    n_searched: usize,
}

impl Framer {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next one, once it is whole. `None`: more must come.
    ///
    /// # Errors
    ///
    /// The stream is of no use any more.
    pub fn take(&mut self) -> Result<Option<Framed>, Unframed> {
        let n_blank = self.bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        if n_blank >= 4 && n_blank == self.bytes.len() {
            self.bytes.clear();
            self.n_searched = 0;
            return Ok(Some(Framed::Ping));
        }
        if n_blank == self.bytes.len() {
            return Ok(None);
        }
        self.bytes.drain(..n_blank);
        self.n_searched = self.n_searched.saturating_sub(n_blank);
        let Some(head) = self.end_of_headers()? else {
            if self.bytes.len() > MESSAGE_BYTES_MAX {
                return Err(Unframed::TooLong);
            }
            return Ok(None);
        };
        let length = length_of_body(&self.bytes[..head])?;
        let whole = head.checked_add(length).filter(|whole| *whole <= MESSAGE_BYTES_MAX);
        let whole = whole.ok_or(Unframed::TooLong)?;
        if self.bytes.len() < whole {
            return Ok(None);
        }
        let message = self.bytes.drain(..whole).collect();
        self.n_searched = 0;
        Ok(Some(Framed::Message(message)))
    }

    /// Behind the empty line, as [`Message::scan`] finds it: some peers leave the CR out of their line ends.
    ///
    /// They leave it out of all of them. A message that begins with CRLF and has its empty line without CR may come through a proxy
    /// that takes that line for a part of a header; where it ends is not for us to guess.
    fn end_of_headers(&mut self) -> Result<Option<usize>, Unframed> {
        let from = self.n_searched.saturating_sub(2);
        for at in memchr::memchr_iter(b'\n', &self.bytes[from..]).map(|at| from + at) {
            let n_empty = match &self.bytes[at + 1..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => continue,
            };
            let has_cr = |at: usize| at > 0 && self.bytes[at - 1] == b'\r';
            let first = memchr::memchr(b'\n', &self.bytes).unwrap_or(at);
            if has_cr(first) != (n_empty == 2) || has_cr(first) != has_cr(at) {
                return Err(Unframed::NoLength);
            }
            // Found again when the body is whole.
            self.n_searched = at;
            return Ok(Some(at + 1 + n_empty));
        }
        self.n_searched = self.bytes.len();
        Ok(None)
    }
}

/// A message without Content-Length has no body here: on a stream it must have one (RFC 3261, 20.14), but some peers leave a zero out.
fn length_of_body(head: &[u8]) -> Result<usize, Unframed> {
    let message = Message::scan(head).map_err(|_| Unframed::NoLength)?;
    // One of those that were not looked at may be a length.
    if message.lacks_headers {
        return Err(Unframed::NoLength);
    }
    let mut lengths = message.values(HeaderName::ContentLength);
    let Some(first) = lengths.next() else { return Ok(0) };
    let length = parse_number(first).and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or(Unframed::NoLength)?;
    if lengths.any(|other| parse_number(other) != parse_number(first)) {
        return Err(Unframed::NoLength);
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &str) -> Vec<u8> {
        format!("OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\nl: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn all(framer: &mut Framer) -> Vec<Framed> {
        std::iter::from_fn(|| framer.take().unwrap()).collect()
    }

    #[test]
    fn message_without_length_has_no_body_and_two_lengths_end_the_connection() {
        let mut framer = Framer::default();
        framer.push(b"BYE sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\nACK");
        assert!(matches!(&all(&mut framer)[..], [Framed::Message(bytes)] if bytes.ends_with(b"\r\n\r\n")));
        for lengths in ["l: 1\r\nContent-Length: 2", "l: -1", "l: 99999"] {
            let mut framer = Framer::default();
            framer.push(format!("BYE sip:a@b SIP/2.0\r\n{lengths}\r\n\r\n").as_bytes());
            assert!(framer.take().is_err(), "{lengths}");
        }
        let mut framer = Framer::default();
        framer.push(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(framer.take(), Err(Unframed::NoLength));
        let mut framer = Framer::default();
        framer.push(&[b'x'; MESSAGE_BYTES_MAX + 1]);
        assert_eq!(framer.take(), Err(Unframed::TooLong));
    }

    #[test]
    fn lines_that_end_without_a_cr_are_cut_like_others() {
        for line_end in ["\n", "\r\n"] {
            let head = ["OPTIONS sip:a@b SIP/2.0", "Call-ID: x", "l: 2", "", "ok"].join(line_end);
            let mut framer = Framer::default();
            for byte in [head.as_bytes(), head.as_bytes()].concat() {
                framer.push(&[byte]);
            }
            let whole = Framed::Message(head.into_bytes());
            assert_eq!(all(&mut framer), [whole.clone(), whole], "{line_end:?}");
        }
    }

    #[test]
    fn second_request_cannot_hide_behind_line_ends_of_another_kind() {
        for smuggled in [
            "OPTIONS sip:a@b SIP/2.0\r\nSubject: x\n\nINVITE sip:900@b SIP/2.0\n\n",
            "OPTIONS sip:a@b SIP/2.0\r\nSubject: x\r\n\nINVITE sip:900@b SIP/2.0\r\n\r\n",
            "OPTIONS sip:a@b SIP/2.0\nSubject: x\r\n\r\nINVITE sip:900@b SIP/2.0\n\n",
        ] {
            let mut framer = Framer::default();
            framer.push(smuggled.as_bytes());
            assert_eq!(framer.take(), Err(Unframed::NoLength), "{smuggled:?}");
        }
    }

    #[test]
    fn length_among_headers_that_are_not_read_ends_the_connection() {
        let many = "X: y\r\n".repeat(200);
        let long = format!("X: {}\r\n", "y".repeat(9_000));
        for before in [many, long] {
            let mut framer = Framer::default();
            framer.push(format!("OPTIONS sip:a@b SIP/2.0\r\n{before}l: 4\r\n\r\nbody").as_bytes());
            assert_eq!(framer.take(), Err(Unframed::NoLength));
        }
    }

    #[test]
    fn ping_is_told_from_the_line_ends_before_a_message() {
        let mut framer = Framer::default();
        framer.push(b"\r\n");
        assert_eq!(framer.take(), Ok(None));
        framer.push(b"\r\n");
        assert_eq!(framer.take(), Ok(Some(Framed::Ping)));
        framer.push(&[b"\r\n\r\n", &message("")[..]].concat());
        assert_eq!(all(&mut framer), [Framed::Message(message(""))]);
    }

    proptest! {
        #[test]
        fn any_pieces_of_a_stream_make_the_same_messages(
            bodies in proptest::collection::vec("[a-z\r\n]{0,40}", 1..6),
            cuts in proptest::collection::vec(1usize..30, 1..80),
        ) {
            let messages: Vec<Vec<u8>> = bodies.iter().map(|body| message(body)).collect();
            let stream = messages.concat();
            let mut framer = Framer::default();
            let (mut found, mut at, mut cuts) = (Vec::new(), 0, cuts.into_iter().cycle());
            while at < stream.len() {
                let end = (at + cuts.next().unwrap()).min(stream.len());
                framer.push(&stream[at..end]);
                found.extend(all(&mut framer));
                at = end;
            }
            let expected: Vec<Framed> = messages.into_iter().map(Framed::Message).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
