//! Messages of the DNS (RFC 1035), as far as a stub resolver needs them: one question out, an answer in.
//!
//! In: a name and a type, and the bytes of an answer. Out: bytes to send, and the records that answer the question. Nothing here does I/O;
//! what comes in may be anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The records that RFC 3263 asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordType {
    A,
    Aaaa,
    Srv,
    Naptr,
}

impl RecordType {
    const fn number(self) -> u16 {
        match self {
            RecordType::A => 1,
            RecordType::Aaaa => 28,
            RecordType::Srv => 33,
            RecordType::Naptr => 35,
        }
    }
}

const CNAME: u16 = 5;
/// Larger answers come by TCP: this much passes every network unfragmented (RFC 9715).
const UDP_BYTES_MAX: u16 = 1_232;
/// Aliases followed within one answer.
const ALIASES_MAX: usize = 8;
/// Records of one answer looked at.
const RECORDS_MAX: usize = 128;

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Address(IpAddr),
    Srv { priority: u16, weight: u16, port: u16, target: String },
    Naptr { order: u16, preference: u16, flags: String, service: String, replacement: String },
}

/// An answer to our question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The records, and how long they may be kept, seconds. None: the name does not exist or has no such records.
    Records(Vec<Data>, u32),
    /// It was cut: ask again by TCP.
    Truncated,
    /// The server could not say.
    Failed(u8),
}

/// A question, ready to be sent. `None`: the name cannot be asked for.
pub(super) fn question(id: u16, name: &str, wanted: RecordType) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len() + 32);
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question, and one record that says how large an answer may be (RFC 6891).
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        out.push(length);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&wanted.number().to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&[0, 0, 41]);
    out.extend_from_slice(&UDP_BYTES_MAX.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
    Some(out)
}

/// Reads the answer to the question `id` for `name`. `None`: it is none, or not to that question.
pub(super) fn answer(bytes: &[u8], id: u16, name: &str, wanted: RecordType) -> Option<Answer> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.u16()? != id {
        return None;
    }
    let flags = reader.u16()?;
    let (n_questions, n_answers) = (reader.u16()?, reader.u16()?);
    reader.skip(4)?;
    if flags & 0x8000 == 0 || n_questions != 1 {
        return None;
    }
    let asked = reader.name()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if !asked.eq_ignore_ascii_case(name) || reader.u16()? != wanted.number() || reader.u16()? != 1 {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Answer::Truncated);
    }
    let code = u8::try_from(flags & 0xf).ok()?;
    match code {
        0 => {}
        // No such name.
        3 => return Some(Answer::Records(Vec::new(), 0)),
        other => return Some(Answer::Failed(other)),
    }
    let mut records = Vec::new();
    for _ in 0..usize::from(n_answers).min(RECORDS_MAX) {
        records.push(reader.record()?);
    }
    Some(records_of(&records, name, wanted))
}

/// One record of an answer, not yet read.
struct Record<'a> {
    owner: String,
    kind: u16,
    seconds: u32,
    /// The whole message: names in it point back.
    bytes: &'a [u8],
    data: std::ops::Range<usize>,
}

/// The records of the wanted type that belong to `name`, or to what it is an alias of.
fn records_of(records: &[Record<'_>], name: &str, wanted: RecordType) -> Answer {
    let mut owner = name.to_owned();
    let mut seconds = u32::MAX;
    for _ in 0..ALIASES_MAX {
        let is_alias =
            |record: &&Record<'_>| record.kind == CNAME && record.owner.eq_ignore_ascii_case(&owner);
        let Some(alias) = records.iter().find(is_alias) else { break };
        let mut reader = Reader { bytes: alias.bytes, at: alias.data.start };
        let Some(target) = reader.name() else { break };
        seconds = seconds.min(alias.seconds);
        owner = target;
    }
    let mut found = Vec::new();
    for record in records {
        if record.kind == wanted.number()
            && record.owner.eq_ignore_ascii_case(&owner)
            && let Some(data) = record.read(wanted)
        {
            seconds = seconds.min(record.seconds);
            found.push(data);
        }
    }
    Answer::Records(found, if seconds == u32::MAX { 0 } else { seconds })
}

impl Record<'_> {
    fn read(&self, wanted: RecordType) -> Option<Data> {
        let mut reader = Reader { bytes: self.bytes, at: self.data.start };
        let raw = self.bytes.get(self.data.clone())?;
        match wanted {
            RecordType::A => Some(Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(raw).ok()?).into())),
            RecordType::Aaaa => Some(Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(raw).ok()?).into())),
            RecordType::Srv => {
                let (priority, weight, port) = (reader.u16()?, reader.u16()?, reader.u16()?);
                Some(Data::Srv { priority, weight, port, target: reader.name()? })
            }
            RecordType::Naptr => Some(Data::Naptr {
                order: reader.u16()?,
                preference: reader.u16()?,
                flags: reader.text()?,
                service: reader.text()?,
                replacement: {
                    // The regular expression, which SIP has no use for.
                    reader.text()?;
                    reader.name()?
                },
            }),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.skip(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.skip(4)?.try_into().ok()?))
    }

    /// A character-string.
    fn text(&mut self) -> Option<String> {
        let length = self.skip(1)?[0];
        Some(String::from_utf8_lossy(self.skip(length.into())?).into_owned())
    }

    /// A name, without its last dot; compressed names point backwards only, so this ends (RFC 1035, 4.1.4).
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let (mut at, mut end) = (self.at, None);
        loop {
            let length = *self.bytes.get(at)?;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.bytes.get(at + 1..at + 1 + usize::from(length))?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    // A dot inside a label would make another name of it.
                    if label.contains(&b'.') || name.len() + label.len() > 253 {
                        return None;
                    }
                    name.push_str(&String::from_utf8_lossy(label));
                    at += 1 + usize::from(length);
                }
                192..=255 => {
                    let low = *self.bytes.get(at + 1)?;
                    end.get_or_insert(at + 2);
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    if target >= at {
                        return None;
                    }
                    at = target;
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at + 1);
        Some(name)
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let owner = self.name()?;
        let kind = self.u16()?;
        let class = self.u16()?;
        let seconds = self.u32()?;
        let length = usize::from(self.u16()?);
        let start = self.at;
        self.skip(length)?;
        // Of the Internet; others are as if they were not there.
        let kind = if class == 1 { kind } else { 0 };
        Some(Record { owner, kind, seconds, bytes: self.bytes, data: start..start + length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer to `question` with these records: owner, type, seconds, data.
    fn answered(question: &[u8], flags: u16, records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let end = question.len() - 11;
        let mut out = question[..end].to_vec();
        out[2..4].copy_from_slice(&flags.to_be_bytes());
        out[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        out[10..12].copy_from_slice(&[0, 0]);
        for (owner, kind, seconds, data) in records {
            out.extend_from_slice(owner);
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(&seconds.to_be_bytes());
            out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend_from_slice(data);
        }
        out
    }

    const OWNER: &[u8] = &[0xc0, 12];

    #[test]
    fn service_behind_an_alias_is_read_with_the_shortest_life() {
        let asked = question(7, "_sip._udp.carrier.example", RecordType::Srv).unwrap();
        let alias = b"\x03sip\xc0\x16";
        let srv = b"\x00\x0a\x00\x3c\x13\xc6\x02s1\xc0\x16";
        let target: &[u8] = b"\x03sip\xc0\x16";
        let bytes = answered(&asked, 0x8180, &[(OWNER, 5, 60, alias), (target, 33, 300, srv)]);
        let expected =
            Data::Srv { priority: 10, weight: 60, port: 5062, target: "s1.carrier.example".to_owned() };
        let said = answer(&bytes, 7, "_SIP._udp.carrier.example.", RecordType::Srv);
        assert_eq!(said, Some(Answer::Records(vec![expected], 60)));
        assert_eq!(answer(&bytes, 8, "_sip._udp.carrier.example", RecordType::Srv), None, "another number");
        assert_eq!(answer(&bytes, 7, "_sip._tcp.carrier.example", RecordType::Srv), None, "another name");
        assert_eq!(answer(&asked, 7, "_sip._udp.carrier.example", RecordType::Srv), None, "no answer");
    }

    #[test]
    fn missing_cut_and_failed_answers_are_told_apart() {
        let asked = question(7, "a.example", RecordType::A).unwrap();
        let said = |flags, records: &[(&[u8], u16, u32, &[u8])]| {
            answer(&answered(&asked, flags, records), 7, "a.example", RecordType::A)
        };
        assert_eq!(said(0x8183, &[]), Some(Answer::Records(Vec::new(), 0)));
        assert_eq!(said(0x8380, &[]), Some(Answer::Truncated));
        assert_eq!(said(0x8182, &[]), Some(Answer::Failed(2)));
        // Not ours, and not an address.
        let stray = said(0x8180, &[(b"\x01x\x00", 1, 9, &[192, 0, 2, 1]), (OWNER, 1, 9, &[192, 0, 2])]);
        assert_eq!(stray, Some(Answer::Records(Vec::new(), 0)));
    }

    #[test]
    fn name_that_points_at_itself_or_forward_is_no_name() {
        let asked = question(7, "a.example", RecordType::A).unwrap();
        let own_place = u8::try_from(asked.len() - 11).unwrap();
        for owner in [[0xc0, own_place], [0xc0, own_place + 40]] {
            let bytes = answered(&asked, 0x8180, &[(&owner, 1, 9, &[192, 0, 2, 1])]);
            assert_eq!(answer(&bytes, 7, "a.example", RecordType::A), None);
        }
        assert_eq!(question(1, "", RecordType::A), None);
        assert_eq!(question(1, &format!("{}.example", "x".repeat(64)), RecordType::A), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none(
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let asked = question(7, "_sip._udp.carrier.example", RecordType::Naptr).unwrap();
            let naptr = b"\x00\x0a\x00\x32\x01s\x07SIP+D2U\x00\x04_sip\x04_udp\xc0\x16";
            let mut bytes = answered(&asked, 0x8180, &[(OWNER, 35, 60, naptr), (OWNER, 5, 60, b"\xc0\x16")]);
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            for wanted in [RecordType::A, RecordType::Aaaa, RecordType::Srv, RecordType::Naptr] {
                let _ = answer(&bytes, 7, "_sip._udp.carrier.example", wanted);
            }
        }
    }
}
