//! The SIP trace: every message of the switch as it crossed its sockets, kept for a while, found by call.
//!
//! In: messages as they come and go, and which Call-IDs belong to one call. Out: records for a file, and back from files, the messages of
//! one call in order. Where the files are and how long they stay is the shell's business (`net::tracer`). A record is
//! `length u32, time u64 (microseconds since 1970), kind u8`, then for a message `transport u8, peer (length u8, text), bytes`, for a link
//! `call (length u16, text), Call-ID`; numbers are big-endian. A file may end in the middle of a record: the rest was never written.

use std::collections::HashSet;
use std::net::SocketAddr;

use model::{CallUid, CdrId, Transport};

use crate::ascii;
use crate::message::{HeaderName, Message, text};

const KIND_RECEIVED: u8 = 1;
const KIND_SENT: u8 = 2;
const KIND_LINK: u8 = 3;

/// One message that crossed a socket of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedMessage {
    /// When, microseconds since 1970.
    pub at_us: u64,
    /// Whether we sent it.
    pub is_sent: bool,
    /// Over which transport.
    pub transport: Transport,
    /// From or to whom.
    pub peer: SocketAddr,
    /// As it was, but for answers to challenges.
    pub bytes: Vec<u8>,
}

impl TracedMessage {
    /// Request line or status line, and what it is an answer to.
    pub fn summary(&self) -> String {
        let first = self.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = text(first);
        let message = Message::scan(&self.bytes).ok();
        let has_sdp = message.as_ref().is_some_and(|message| !message.body().is_empty());
        let mut summary = match first.strip_prefix("SIP/2.0 ") {
            Some(status) => {
                let cseq =
                    message.and_then(|message| message.cseq().map(|cseq| text(cseq.method.as_bytes())));
                format!("{status} ({})", cseq.unwrap_or_default())
            }
            None => first.split(' ').take(2).collect::<Vec<_>>().join(" "),
        };
        if has_sdp {
            summary.push_str(" +body");
        }
        summary
    }
}

/// Appends the record of a message.
pub(crate) fn push_message(
    out: &mut Vec<u8>,
    at_us: u64,
    is_sent: bool,
    transport: Transport,
    peer: SocketAddr,
    bytes: &[u8],
) {
    let peer = ascii::address(peer);
    let peer = peer.as_bytes();
    record(out, at_us, if is_sent { KIND_SENT } else { KIND_RECEIVED }, |out| {
        out.push(match transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
        });
        out.push(u8::try_from(peer.len()).unwrap_or(0));
        out.extend_from_slice(peer);
        out.extend_from_slice(bytes);
    });
}

/// Appends the record that a Call-ID belongs to a call.
pub(crate) fn push_link(out: &mut Vec<u8>, at_us: u64, call: &CallUid, sip_call_id: &str) {
    record(out, at_us, KIND_LINK, |out| {
        out.extend_from_slice(&u16::try_from(call.as_str().len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(call.as_str().as_bytes());
        out.extend_from_slice(sip_call_id.as_bytes());
    });
}

fn record(out: &mut Vec<u8>, at_us: u64, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&at_us.to_be_bytes());
    out.push(kind);
    fill(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(0);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

enum Entry<'a> {
    Message { at_us: u64, is_sent: bool, transport: Transport, peer: SocketAddr, bytes: &'a [u8] },
    Link { call: &'a str, sip_call_id: &'a str },
}

/// The records of one file, up to where it ends or makes no sense any more.
fn entries(mut file: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let (length, rest) = file.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let record = rest.get(..length)?;
        file = &rest[length..];
        entry(record)
    })
}

fn entry(record: &[u8]) -> Option<Entry<'_>> {
    let (at_us, rest) = record.split_first_chunk::<8>()?;
    let at_us = u64::from_be_bytes(*at_us);
    let (kind, rest) = rest.split_first()?;
    match *kind {
        KIND_LINK => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (call, id) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            Some(Entry::Link {
                call: std::str::from_utf8(call).ok()?,
                sip_call_id: std::str::from_utf8(id).ok()?,
            })
        }
        KIND_RECEIVED | KIND_SENT => {
            let (transport, rest) = rest.split_first()?;
            let transport = match transport {
                0 => Transport::Udp,
                1 => Transport::Tcp,
                2 => Transport::Tls,
                _ => return None,
            };
            let (length, rest) = rest.split_first()?;
            let (peer, bytes) = rest.split_at_checked(usize::from(*length))?;
            let peer = std::str::from_utf8(peer).ok()?.parse().ok()?;
            Some(Entry::Message { at_us, is_sent: *kind == KIND_SENT, transport, peer, bytes })
        }
        _ => None,
    }
}

/// The messages of one call in the order of their time. `wanted` is the Call-ID of one of its legs, the call's own id, or the id of its
/// CDR. `files` are the trace files, oldest first. Answers to challenges are blotted out.
pub fn find_call(files: &[Vec<u8>], wanted: &str) -> Vec<TracedMessage> {
    let links = || {
        files.iter().flat_map(|file| entries(file)).filter_map(|entry| match entry {
            Entry::Link { call, sip_call_id } => Some((call, sip_call_id)),
            Entry::Message { .. } => None,
        })
    };
    let is_cdr = |call: &str| {
        wanted
            .parse::<CdrId>()
            .is_ok_and(|cdr| (0..6).any(|leg| CdrId::derive(&CallUid::new(call.to_owned()), leg) == cdr))
    };
    let calls: HashSet<&str> = links()
        .filter(|(call, sip_call_id)| *sip_call_id == wanted || *call == wanted || is_cdr(call))
        .map(|(call, _)| call)
        .collect();
    let mut ids: HashSet<&str> =
        links().filter(|(call, _)| calls.contains(call)).map(|(_, sip_call_id)| sip_call_id).collect();
    // What never became a call has no link: a challenge, a registration.
    ids.insert(wanted);
    let mut found: Vec<TracedMessage> = files
        .iter()
        .flat_map(|file| entries(file))
        .filter_map(|entry| match entry {
            Entry::Message { at_us, is_sent, transport, peer, bytes } => {
                let message = Message::scan(bytes).ok()?;
                ids.contains(message.call_id().map(text)?.as_str()).then(|| TracedMessage {
                    at_us,
                    is_sent,
                    transport,
                    peer,
                    bytes: blotted(&message, bytes),
                })
            }
            Entry::Link { .. } => None,
        })
        .collect();
    found.sort_by_key(|message| message.at_us);
    found
}

/// The same message, with `response="..."` of credentials made unreadable; as long as before.
fn blotted(message: &Message<'_>, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for name in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
        for value in message.values(name) {
            let start = value.as_ptr().addr() - bytes.as_ptr().addr();
            let Some(at) = memchr::memmem::find(value, b"response=\"") else { continue };
            let from = start + at + b"response=\"".len();
            for byte in out[from..].iter_mut().take_while(|byte| byte.is_ascii_hexdigit()) {
                *byte = b'*';
            }
        }
    }
    out
}

/// A pcap file (classic format, link type raw IP) of these messages, each as one UDP datagram between `own` and its peer, whatever it
/// really went by: every tool that reads SIP reads that.
pub fn pcap(messages: &[TracedMessage], own: SocketAddr) -> Vec<u8> {
    const LINK_RAW_IP: u32 = 101;
    let mut out = Vec::new();
    for part in [0xa1b2_c3d4u32, 0x0002_0004, 0, 0, 0x0001_0000, LINK_RAW_IP] {
        out.extend_from_slice(&part.to_be_bytes());
    }
    for message in messages {
        let (from, to) = if message.is_sent { (own, message.peer) } else { (message.peer, own) };
        let packet = packet(from, to, &message.bytes);
        let length = u32::try_from(packet.len()).unwrap_or(0);
        let seconds = u32::try_from(message.at_us / 1_000_000).unwrap_or(0);
        let micros = u32::try_from(message.at_us % 1_000_000).unwrap_or(0);
        for part in [seconds, micros, length, length] {
            out.extend_from_slice(&part.to_be_bytes());
        }
        out.extend_from_slice(&packet);
    }
    out
}

fn packet(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let n_udp = 8 + bytes.len();
    let length = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = Vec::with_capacity(40 + n_udp);
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            let mut head = [0; 20];
            head[0] = 0x45;
            head[2..4].copy_from_slice(&length(20 + n_udp));
            (head[8], head[9]) = (64, 17);
            head[12..16].copy_from_slice(&from.ip().octets());
            head[16..20].copy_from_slice(&to.ip().octets());
            let sum = checksum(&head);
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            out.extend_from_slice(&head);
        }
        (from, to) => {
            let octets = |address: SocketAddr| match address {
                SocketAddr::V4(address) => address.ip().to_ipv6_mapped().octets(),
                SocketAddr::V6(address) => address.ip().octets(),
            };
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&length(n_udp));
            out.extend_from_slice(&[17, 64]);
            out.extend_from_slice(&octets(from));
            out.extend_from_slice(&octets(to));
        }
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&length(n_udp));
    // No checksum: the packet never crossed a wire in this form.
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(bytes);
    out
}

/// RFC 1071.
fn checksum(head: &[u8; 20]) -> u16 {
    let sum: u32 = head.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.7:5060".parse().unwrap()
    }

    fn message(call_id: &str, first: &str) -> Vec<u8> {
        format!(
            "{first}\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
             Proxy-Authorization: Digest username=\"a\", response=\"0123abcd\", uri=\"sip:b\"\r\n\r\n"
        )
        .into_bytes()
    }

    /// Two calls, the second of which has two legs, over two files; the last record is cut off.
    fn files() -> Vec<Vec<u8>> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let call = CallUid::new("sw1-1-2".to_owned());
        push_message(&mut old, 1, false, Transport::Udp, peer(), &message("a", "INVITE sip:x@y SIP/2.0"));
        push_link(&mut old, 2, &CallUid::new("sw1-1-1".to_owned()), "a");
        push_message(&mut old, 5, false, Transport::Tls, peer(), &message("in", "INVITE sip:x@y SIP/2.0"));
        push_link(&mut new, 6, &call, "in");
        push_link(&mut new, 6, &call, "out");
        push_message(&mut new, 7, true, Transport::Udp, peer(), &message("out", "INVITE sip:x@z SIP/2.0"));
        push_message(&mut new, 9, false, Transport::Udp, peer(), &message("out", "SIP/2.0 486 Busy Here"));
        push_message(&mut new, 10, true, Transport::Udp, peer(), &message("in", "SIP/2.0 486 Busy Here"));
        new.truncate(new.len() - 3);
        vec![old, new]
    }

    #[test]
    fn call_is_found_by_either_leg_by_its_own_id_and_by_its_record() {
        let files = files();
        let cdr = CdrId::derive(&CallUid::new("sw1-1-2".to_owned()), 0).to_string();
        for wanted in ["in", "out", "sw1-1-2", &cdr] {
            let found = find_call(&files, wanted);
            let told: Vec<String> = found.iter().map(TracedMessage::summary).collect();
            assert_eq!(told, ["INVITE sip:x@y", "INVITE sip:x@z", "486 Busy Here (INVITE)"], "{wanted}");
        }
        assert_eq!(find_call(&files, "a").len(), 1);
        assert_eq!(find_call(&files, "nobody's"), []);
    }

    #[test]
    fn answer_to_a_challenge_is_not_shown_and_nothing_else_is_changed() {
        let found = find_call(&files(), "a");
        let shown = String::from_utf8(found[0].bytes.clone()).unwrap();
        assert_eq!(
            shown.replace("********", "0123abcd").into_bytes(),
            message("a", "INVITE sip:x@y SIP/2.0")
        );
        assert!(shown.contains("response=\"********\""), "{shown}");
    }

    #[test]
    fn packets_are_whole_and_their_headers_add_up() {
        let own = "192.0.2.1:5060".parse().unwrap();
        let found = find_call(&files(), "a");
        let file = pcap(&found, own);
        let packet = &file[24 + 16..];
        assert_eq!(packet.len(), 28 + found[0].bytes.len());
        assert_eq!(
            checksum(packet[..20].try_into().unwrap()),
            0,
            "RFC 1071: with its sum a header adds up to nothing"
        );
        assert_eq!((&packet[12..16], &packet[16..20]), (&[192, 0, 2, 7][..], &[192, 0, 2, 1][..]));
        assert!(packet.ends_with(&found[0].bytes));
    }

    #[test]
    fn rubbish_in_a_file_ends_it_and_harms_nobody() {
        for file in [vec![0xff; 100], vec![0; 100], b"\0\0\0\x09\0\0\0\0\0\0\0\0\x09".to_vec()] {
            assert_eq!(find_call(&[file], "a"), []);
        }
    }
}
