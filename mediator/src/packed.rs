//! The binary form of what is known of a call: a tenth of its size in memory, a third of its JSON.
//!
//! In: the facts of a call. Out: bytes, the same for the same facts, and back. A value is its parts one after the other in the order of
//! their declaration here: numbers in seven-bit groups, lowest first; texts with their length in front; words as texts, so that their
//! number and order may change; times in microseconds from the call's own. There are no names and no lengths of structs: another
//! part is another [`VERSION`](crate::state_log::VERSION) of the entry around it. Bytes of any origin are safe to read: what does not fit is `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use chrono::{DateTime, Utc};
use model::{
    AccountId, Answer, Attempt, AttemptDetail, AuthMethod, CallType, Cause, ChargeTick, E164, End, Forwarded,
    Initiator, MediaQuality, Party, PeerLogin, Rejected, RouteAction, RouteAttempt, RouteResult,
    SubscriberId, TenantId, Text, Transport, TrunkId,
};

use crate::call::{Call, Envelope, Fact, Forward, Issued, Leg, RouteFacts};
use crate::numbered::Numbered;

/// Bytes on their way out.
pub(crate) struct Packer {
    bytes: Vec<u8>,
    /// What times are counted from.
    base_us: i64,
}

/// Bytes on their way in.
pub(crate) struct Unpacker<'a> {
    left: &'a [u8],
    base_us: i64,
}

/// What has a binary form.
pub(crate) trait Packed: Sized {
    fn pack(&self, to: &mut Packer);
    fn unpack(from: &mut Unpacker<'_>) -> Option<Self>;
}

/// What `pack` says, with times counted from `base`, behind what is in `bytes`.
pub(crate) fn pack_from(base: DateTime<Utc>, bytes: &mut Vec<u8>, pack: impl FnOnce(&mut Packer)) {
    let base_us = base.timestamp_micros();
    let mut packer = Packer { bytes: std::mem::take(bytes), base_us: 0 };
    base_us.pack(&mut packer);
    packer.base_us = base_us;
    pack(&mut packer);
    *bytes = packer.bytes;
}

/// Back from [`pack_from`]; `unpack` is told what times are counted from, and must take all there is.
pub(crate) fn unpack_from<T>(
    bytes: &[u8],
    unpack: impl FnOnce(DateTime<Utc>, &mut Unpacker<'_>) -> Option<T>,
) -> Option<T> {
    let mut unpacker = Unpacker { left: bytes, base_us: 0 };
    unpacker.base_us = i64::unpack(&mut unpacker)?;
    let unpacked = unpack(DateTime::from_timestamp_micros(unpacker.base_us)?, &mut unpacker)?;
    unpacker.left.is_empty().then_some(unpacked)
}

/// The facts of a call as bytes, behind what is in `bytes`.
pub(crate) fn pack_call(call: &Call, bytes: &mut Vec<u8>) {
    pack_from(call.quiet_since, bytes, |to| call.pack(to));
}

/// Back from [`pack_call`].
pub(crate) fn unpack_call(bytes: &[u8]) -> Option<Call> {
    unpack_from(bytes, |_, from| Call::unpack(from))
}

/// Appends a number of seven bits a byte.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

/// Takes such a number off the front.
pub(crate) fn take_number(left: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = left.split_first()?;
        *left = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has one bit of 64 left.
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes so many bytes off the front.
pub(crate) fn take_bytes<'a>(left: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (taken, rest) = left.split_at_checked(usize::try_from(count).ok()?)?;
    *left = rest;
    Some(taken)
}

impl Packed for u64 {
    fn pack(&self, to: &mut Packer) {
        put_number(&mut to.bytes, *self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        take_number(&mut from.left)
    }
}

impl Packed for i64 {
    fn pack(&self, to: &mut Packer) {
        // Small numbers of either sign are short.
        ((self << 1) ^ (self >> 63)).cast_unsigned().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let number = u64::unpack(from)?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

macro_rules! narrow {
    ($($number:ident),+) => {$(
        impl Packed for $number {
            fn pack(&self, to: &mut Packer) {
                u64::from(*self).pack(to);
            }

            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                u64::unpack(from)?.try_into().ok()
            }
        }
    )+};
}

narrow!(u16, u32);

impl Packed for bool {
    fn pack(&self, to: &mut Packer) {
        to.bytes.push(u8::from(*self));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        match take_bytes(&mut from.left, 1)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

fn pack_text(text: &str, to: &mut Packer) {
    (text.len() as u64).pack(to);
    to.bytes.extend_from_slice(text.as_bytes());
}

fn unpack_text<'a>(from: &mut Unpacker<'a>) -> Option<&'a str> {
    let count = u64::unpack(from)?;
    std::str::from_utf8(take_bytes(&mut from.left, count)?).ok()
}

impl Packed for String {
    fn pack(&self, to: &mut Packer) {
        pack_text(self, to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        unpack_text(from).map(str::to_owned)
    }
}

impl Packed for Text {
    fn pack(&self, to: &mut Packer) {
        pack_text(self, to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        unpack_text(from).map(Text::from)
    }
}

impl Packed for DateTime<Utc> {
    fn pack(&self, to: &mut Packer) {
        self.timestamp_micros().wrapping_sub(to.base_us).pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let from_base_us = i64::unpack(from)?;
        DateTime::from_timestamp_micros(from.base_us.wrapping_add(from_base_us))
    }
}

impl<T: Packed> Packed for Option<T> {
    fn pack(&self, to: &mut Packer) {
        self.is_some().pack(to);
        if let Some(is) = self {
            is.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        if bool::unpack(from)? { T::unpack(from).map(Some) } else { Some(None) }
    }
}

impl<T: Packed> Packed for Box<T> {
    fn pack(&self, to: &mut Packer) {
        (**self).pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        T::unpack(from).map(Box::new)
    }
}

impl Packed for () {
    fn pack(&self, _to: &mut Packer) {}

    fn unpack(_from: &mut Unpacker<'_>) -> Option<Self> {
        Some(())
    }
}

impl<T: Packed> Packed for Numbered<T> {
    fn pack(&self, to: &mut Packer) {
        (self.len() as u64).pack(to);
        for (number, held) in self.iter() {
            number.pack(to);
            held.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let count = u64::unpack(from)?;
        (0..count).map(|_| Some((u16::unpack(from)?, T::unpack(from)?))).collect()
    }
}

macro_rules! words {
    ($($word:ident),+ $(,)?) => {$(
        impl Packed for $word {
            fn pack(&self, to: &mut Packer) {
                pack_text(self.as_str(), to);
            }

            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                unpack_text(from)?.parse().ok()
            }
        }
    )+};
}

words!(AuthMethod, CallType, Cause, Initiator, RouteAction, Transport);

macro_rules! ids {
    ($($id:ident),+ $(,)?) => {$(
        impl Packed for $id {
            fn pack(&self, to: &mut Packer) {
                self.0.pack(to);
            }

            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                i64::unpack(from).map($id)
            }
        }
    )+};
}

ids!(AccountId, SubscriberId, TenantId, TrunkId);

impl Packed for E164 {
    fn pack(&self, to: &mut Packer) {
        self.as_u64().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        E164::from_u64(u64::unpack(from)?)
    }
}

impl Packed for SocketAddr {
    fn pack(&self, to: &mut Packer) {
        let (flow_info, scope_id) = match self {
            SocketAddr::V4(v4) => {
                to.bytes.push(4);
                to.bytes.extend_from_slice(&v4.ip().octets());
                (None, None)
            }
            SocketAddr::V6(v6) => {
                to.bytes.push(6);
                to.bytes.extend_from_slice(&v6.ip().octets());
                (Some(v6.flowinfo()), Some(v6.scope_id()))
            }
        };
        self.port().pack(to);
        for number in [flow_info, scope_id].into_iter().flatten() {
            number.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let ip = match take_bytes(&mut from.left, 1)? {
            [4] => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(take_bytes(&mut from.left, 4)?).ok()?)),
            [6] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(take_bytes(&mut from.left, 16)?).ok()?)),
            _ => return None,
        };
        let port = u16::unpack(from)?;
        Some(match ip {
            IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
            IpAddr::V6(ip) => {
                SocketAddr::V6(SocketAddrV6::new(ip, port, u32::unpack(from)?, u32::unpack(from)?))
            }
        })
    }
}

impl Packed for Party {
    fn pack(&self, to: &mut Packer) {
        match self {
            Party::Unknown => to.bytes.push(0),
            Party::Subscriber { subscriber, account, reseller, uuid } => {
                to.bytes.push(1);
                subscriber.pack(to);
                account.pack(to);
                reseller.pack(to);
                uuid.pack(to);
            }
            Party::Trunk { trunk, account } => {
                to.bytes.push(2);
                trunk.pack(to);
                account.pack(to);
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(match take_bytes(&mut from.left, 1)? {
            [0] => Party::Unknown,
            [1] => Party::Subscriber {
                subscriber: SubscriberId::unpack(from)?,
                account: AccountId::unpack(from)?,
                reseller: AccountId::unpack(from)?,
                uuid: Text::unpack(from)?,
            },
            [2] => Party::Trunk { trunk: TrunkId::unpack(from)?, account: AccountId::unpack(from)? },
            _ => return None,
        })
    }
}

impl<T: Packed> Packed for Fact<T> {
    fn pack(&self, to: &mut Packer) {
        let Fact { seq, at, is } = self;
        seq.pack(to);
        at.pack(to);
        is.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Fact { seq: u64::unpack(from)?, at: DateTime::unpack(from)?, is: T::unpack(from)? })
    }
}

/// A struct is its parts in this order. Those after `;` are not kept, and begin with their defaults.
macro_rules! structs {
    ($($name:ident { $($part:ident),+ $(; $($skipped:ident),+)? })+) => {$(
        impl Packed for $name {
            fn pack(&self, to: &mut Packer) {
                let $name { $($part),+ $(, $($skipped: _),+)? } = self;
                $($part.pack(to);)+
            }

            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                Some($name {
                    $($part: Packed::unpack(from)?,)+
                    $($($skipped: Default::default(),)+)?
                })
            }
        }
    )+};
}

structs! {
    AttemptDetail { emergency, stir, preferred_identity, user_to_user, history_info }
    Attempt {
        sip_call_id, caller, from_user, from_domain, dialed, dialed_domain, cli, clir, callee, source, transport,
        user_agent, auth, asserted_identity, diversion, detail
    }
    Rejected { cause, code, phrase, object }
    PeerLogin { user, realm }
    RouteAttempt { attempt, callee, next_hop, caller_out, callee_out, sip_call_id, login }
    RouteResult { attempt, code, phrase, reason, pdd_us, action }
    Answer { attempt, code, setup_us, codec, user_agent }
    ChargeTick { answered_us }
    MediaQuality { mos_hundredths, loss_hundredths, jitter_us, round_trip_us }
    End { answered_us, by, cause, code, reason, media }
    Forwarded { call_type, forwarder, target, callee, new_leg }
    Envelope { tenant, payer, config_revision }
    RouteFacts { attempt, result }
    Issued { revision, partial, is_outdated }
    Leg { first, life, attempt, rejected, routes, answer, tick, end, issued, refused }
    Forward { parent, forwarded }
    Call { quiet_since, node, boot, closed_at, interim_at, legs, forwards; sources, timed }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(us: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_790_000_000_000_000 + us).unwrap()
    }

    fn fact<T>(seq: u64, is: T) -> Fact<T> {
        Fact { seq, at: at(i64::try_from(seq).unwrap() * 1_234 - 5_000), is }
    }

    /// A call that has something in every part that a call may have.
    fn full_call() -> Call {
        let subscriber = Party::Subscriber {
            subscriber: SubscriberId(7),
            account: AccountId(-1),
            reseller: AccountId(i64::MAX),
            uuid: "ü-1".into(),
        };
        let route = RouteFacts {
            attempt: Some(fact(
                5,
                RouteAttempt {
                    attempt: 1,
                    callee: Party::Trunk { trunk: TrunkId(3), account: AccountId(20) },
                    next_hop: "[2001:db8::1%9]:5061".parse().unwrap(),
                    caller_out: "+43".into(),
                    callee_out: "+49".into(),
                    sip_call_id: "y".into(),
                    login: Some(Box::new(PeerLogin { user: "u".into(), realm: "r".into() })),
                },
            )),
            result: Some(fact(
                6,
                RouteResult {
                    attempt: 1,
                    code: 503,
                    phrase: "no".into(),
                    reason: "Q.850".into(),
                    pdd_us: Some(u64::MAX),
                    action: RouteAction::Next,
                },
            )),
        };
        let leg = Leg {
            first: fact(1, Envelope { tenant: TenantId(1), payer: AccountId(11), config_revision: -4 }),
            life: fact(300, ()),
            attempt: Some(fact(
                1,
                Box::new(Attempt {
                    sip_call_id: "x@phone".into(),
                    caller: subscriber.clone(),
                    from_user: "anna".into(),
                    from_domain: "example.org".into(),
                    dialed: "0660".into(),
                    dialed_domain: "example.org".into(),
                    cli: "431234567".parse().ok(),
                    clir: true,
                    callee: None,
                    source: "192.0.2.1:5060".parse().unwrap(),
                    transport: Transport::Tls,
                    user_agent: "phone".into(),
                    auth: AuthMethod::Digest,
                    asserted_identity: "sip:a".into(),
                    diversion: "sip:b".into(),
                    detail: Some(Box::new(AttemptDetail {
                        emergency: true,
                        stir: "attest=A".into(),
                        preferred_identity: "sip:c".into(),
                        user_to_user: "00".into(),
                        history_info: "sip:d".into(),
                    })),
                }),
            )),
            rejected: Some(fact(
                9,
                Rejected {
                    cause: Cause::LockedOut,
                    code: 403,
                    phrase: "Forbidden".into(),
                    object: "account 1".into(),
                },
            )),
            routes: [(1, route), (300, RouteFacts::default())].into_iter().collect(),
            answer: Some(fact(
                8,
                Answer {
                    attempt: 1,
                    code: 200,
                    setup_us: 5,
                    codec: "PCMA/8000".into(),
                    user_agent: "gw".into(),
                },
            )),
            tick: Some(fact(10, ChargeTick { answered_us: 30_000_000 })),
            end: Some(fact(
                11,
                End {
                    answered_us: 31_000_000,
                    by: Initiator::Callee,
                    cause: Cause::Normal,
                    code: 200,
                    reason: "bye".into(),
                    media: Some(MediaQuality {
                        mos_hundredths: Some(441),
                        loss_hundredths: None,
                        jitter_us: Some(1),
                        round_trip_us: Some(u32::MAX),
                    }),
                },
            )),
            issued: Some(Issued { revision: 2, partial: Some(Cause::LostEnd), is_outdated: true }),
            refused: Some("MED004".to_owned()),
        };
        let forward = Forward {
            parent: 0,
            forwarded: Forwarded {
                call_type: CallType::Cfu,
                forwarder: subscriber,
                target: "voicemail".into(),
                callee: "4930".parse().ok(),
                new_leg: 1,
            },
        };
        Call {
            node: "sw1".into(),
            boot: 1_790_000_000_000_000,
            legs: [(0, leg)].into_iter().collect(),
            forwards: [(1, fact(2, forward))].into_iter().collect(),
            quiet_since: at(0),
            closed_at: Some(at(10)),
            interim_at: Some(DateTime::<Utc>::MIN_UTC),
            sources: None,
            timed: None,
        }
    }

    #[test]
    fn every_part_of_a_call_comes_back() {
        let call = full_call();
        let mut bytes = Vec::new();
        pack_call(&call, &mut bytes);
        assert_eq!(unpack_call(&bytes), Some(call));
        assert!(bytes.len() < 600, "{} bytes", bytes.len());
    }

    #[test]
    fn what_was_cut_short_or_goes_on_is_not_a_call() {
        let mut bytes = Vec::new();
        pack_call(&full_call(), &mut bytes);
        let read: BTreeSet<usize> =
            (0..bytes.len()).filter(|length| unpack_call(&bytes[..*length]).is_some()).collect();
        assert_eq!(read, BTreeSet::new());
        bytes.push(0);
        assert_eq!(unpack_call(&bytes), None);
    }

    #[test]
    fn bytes_that_were_changed_never_make_it_panic() {
        let mut bytes = Vec::new();
        pack_call(&full_call(), &mut bytes);
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                let _ = unpack_call(&changed);
            }
        }
    }

    #[test]
    fn numbers_of_any_size_come_back() {
        for number in [0, 1, 127, 128, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(take_number(&mut bytes.as_slice()), Some(number));
        }
        assert_eq!(take_number(&mut [0xff; 11].as_slice()), None);
    }
}
