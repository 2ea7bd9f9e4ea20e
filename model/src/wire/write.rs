//! Writes the records that every call makes, without a copy of their texts on the way.
//!
//! In: a record. Out: its bytes, the same that the schema's generated code would make: fields in the order of their numbers, and none that
//! has its default (`tests/wire/compatibility.rs` holds the bytes). What is rare goes through the generated code.

use std::net::SocketAddr;

use prost::Message;
use rust_decimal::Decimal;

use super::proto;
use super::scalar::{from_decimal, from_number, from_time};
use super::words::Word as _;
use crate::{
    Answer, Attempt, Body, CallEvent, Cdr, CdrDestination, CdrDetail, CdrSource, Charge, Conversion, End,
    EventBody, Forwarded, Fragment, MediaQuality, Origin, Party, Piece, RatedCdr, Record, Rejected,
    RouteAttempt, RouteResult, RouteTry,
};

/// Wire type of numbers.
const VARINT: u64 = 0;
/// Of texts, bytes and messages.
const LENGTH_DELIMITED: u64 = 2;

/// Bytes of a record as a call usually has them.
const RECORD_BYTES: usize = 768;

/// A message on its way out.
struct Writer {
    bytes: Vec<u8>,
}

/// As [`super::encode`].
pub(super) fn record(record: &Record) -> Vec<u8> {
    let mut to = Writer { bytes: Vec::with_capacity(RECORD_BYTES) };
    if let Some(Origin { stage, partition, offset, index }) = &record.origin {
        to.message(1, |to| {
            to.text(1, stage);
            to.number(2, *partition);
            to.number(3, *offset);
            to.number(4, *index);
        });
    }
    match &record.body {
        Body::Tick(at) => to.always(2, from_time(*at).cast_unsigned()),
        Body::Call(event) => to.message(3, |to| call_event(to, event)),
        Body::Cdr(is) => to.message(4, |to| cdr(to, is)),
        Body::Edr(edr) => to.generated(5, &proto::Edr::from(&**edr)),
        Body::Rated(is) => to.message(6, |to| rated(to, is)),
        Body::Posting(posting) => to.generated(7, &proto::Posting::from(&**posting)),
        Body::Control(control) => to.generated(8, &proto::Control::from(control)),
        Body::Accrual(accrual) => to.generated(9, &proto::Accrual::from(accrual)),
        Body::Sighting(sighting) => to.generated(10, &proto::Sighting::from(&**sighting)),
    }
    to.bytes
}

/// As [`super::encode_rated`].
pub(super) fn rated_cdr(is: &RatedCdr) -> Vec<u8> {
    let mut to = Writer { bytes: Vec::with_capacity(RECORD_BYTES) };
    rated(&mut to, is);
    to.bytes
}

impl Writer {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push((number & 0x7f) as u8);
    }

    /// A number, also if it is 0.
    fn always(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | VARINT);
        self.varint(number);
    }

    fn number(&mut self, field: u64, number: impl Into<u64>) {
        let number = number.into();
        if number != 0 {
            self.always(field, number);
        }
    }

    /// A number of either sign (`int64`).
    fn signed(&mut self, field: u64, number: i64) {
        self.number(field, number.cast_unsigned());
    }

    /// The same as `sint64`: small ones of either sign are short.
    fn zigzag(&mut self, field: u64, number: i64) {
        self.number(field, ((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    fn word(&mut self, field: u64, number: i32) {
        self.signed(field, number.into());
    }

    fn optional(&mut self, field: u64, number: Option<impl Into<u64>>) {
        if let Some(number) = number {
            self.always(field, number.into());
        }
    }

    /// Bytes, also if there are none.
    fn always_bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        if !text.is_empty() {
            self.always_bytes(field, text.as_bytes());
        }
    }

    /// A message, also if it is empty. Its length is known once it is written; most have room for theirs in the one byte that is left for it.
    fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        let place = self.bytes.len();
        self.bytes.push(0);
        write(self);
        let begin = place + 1;
        let mut length = (self.bytes.len() - begin) as u64;
        let n_more = (length.max(1).ilog2() / 7) as usize;
        if n_more > 0 {
            let end = self.bytes.len();
            self.bytes.resize(end + n_more, 0);
            self.bytes.copy_within(begin..end, begin + n_more);
        }
        for byte in &mut self.bytes[place..place + n_more] {
            *byte = (length & 0x7f) as u8 | 0x80;
            length >>= 7;
        }
        self.bytes[place + n_more] = (length & 0x7f) as u8;
    }

    fn generated(&mut self, field: u64, message: &impl Message) {
        self.always_bytes(field, &message.encode_to_vec());
    }

    fn decimal(&mut self, field: u64, value: Decimal) {
        let proto::Decimal { low, high, scale } = from_decimal(value);
        self.message(field, |to| {
            to.zigzag(1, low);
            to.zigzag(2, high);
            to.number(3, scale);
        });
    }

    fn endpoint(&mut self, field: u64, address: SocketAddr) {
        self.message(field, |to| match address {
            SocketAddr::V4(v4) => {
                to.always_bytes(1, &v4.ip().octets());
                to.number(2, v4.port());
            }
            SocketAddr::V6(v6) => {
                to.always_bytes(1, &v6.ip().octets());
                to.number(2, v6.port());
                to.number(3, v6.flowinfo());
                to.number(4, v6.scope_id());
            }
        });
    }

    fn party(&mut self, field: u64, party: &Party) {
        self.message(field, |to| match party {
            Party::Subscriber { subscriber, account, reseller, uuid } => to.message(1, |to| {
                to.signed(1, subscriber.0);
                to.signed(2, account.0);
                to.signed(3, reseller.0);
                to.text(4, uuid);
            }),
            Party::Trunk { trunk, account } => to.message(2, |to| {
                to.signed(1, trunk.0);
                to.signed(2, account.0);
            }),
            Party::Unknown => to.message(3, |_| {}),
        });
    }

    fn media(&mut self, field: u64, media: Option<MediaQuality>) {
        let Some(MediaQuality { mos_hundredths, loss_hundredths, jitter_us, round_trip_us }) = media else {
            return;
        };
        self.message(field, |to| {
            to.optional(1, mos_hundredths);
            to.optional(2, loss_hundredths);
            to.optional(3, jitter_us);
            to.optional(4, round_trip_us);
        });
    }
}

fn call_event(to: &mut Writer, event: &CallEvent) {
    let CallEvent { node, boot, seq, at, config_revision, tenant, payer, call, leg, body } = event;
    to.text(1, node);
    to.number(2, *boot);
    to.number(3, *seq);
    to.signed(4, from_time(*at));
    to.signed(5, *config_revision);
    to.signed(6, tenant.0);
    to.signed(7, payer.0);
    if let Some(call) = call {
        to.always_bytes(8, call.as_bytes());
    }
    to.number(9, *leg);
    match body {
        EventBody::Attempt(is) => to.message(16, |to| attempt(to, is)),
        EventBody::Rejected(is) => to.message(17, |to| rejected(to, is)),
        EventBody::RouteAttempt(is) => to.message(18, |to| route_attempt(to, is)),
        EventBody::RouteResult(is) => to.message(19, |to| route_result(to, is)),
        EventBody::Progress(is) => to.message(20, |to| {
            to.number(1, is.code);
            to.number(2, is.with_sdp);
        }),
        EventBody::Answer(is) => to.message(21, |to| answer(to, is)),
        EventBody::Update(is) => to.message(22, |to| {
            to.word(1, is.change.to_wire());
            to.text(2, &is.codec);
        }),
        EventBody::ChargeTick(is) => to.message(23, |to| to.number(1, is.answered_us)),
        EventBody::End(is) => to.message(24, |to| end(to, is)),
        EventBody::Forwarded(is) => to.message(25, |to| forwarded(to, is)),
        EventBody::Registration(is) => to.generated(26, &proto::Registration::from(is)),
        EventBody::TrunkState(is) => to.generated(27, &proto::TrunkState::from(is)),
        EventBody::Security(is) => to.generated(28, &proto::Security::from(is)),
        EventBody::NodeStarted(is) => to.message(29, |to| to.text(1, &is.version)),
        EventBody::Provisioned(is) => to.generated(30, &proto::Provisioned::from(is)),
    }
}

fn attempt(to: &mut Writer, is: &Attempt) {
    to.text(1, &is.sip_call_id);
    to.party(2, &is.caller);
    to.text(3, &is.from_user);
    to.text(4, &is.from_domain);
    to.text(5, &is.dialed);
    to.text(6, &is.dialed_domain);
    to.number(7, from_number(is.cli));
    to.number(8, is.clir);
    to.number(9, from_number(is.callee));
    to.endpoint(10, is.source);
    to.word(11, is.transport.to_wire());
    to.text(12, &is.user_agent);
    to.word(13, is.auth.to_wire());
    to.text(14, &is.asserted_identity);
    to.text(15, &is.diversion);
    if let Some(detail) = &is.detail {
        to.message(16, |to| {
            to.number(1, detail.emergency);
            to.text(2, &detail.stir);
            to.text(3, &detail.preferred_identity);
            to.text(4, &detail.user_to_user);
            to.text(5, &detail.history_info);
        });
    }
}

fn rejected(to: &mut Writer, is: &Rejected) {
    to.word(1, is.cause.to_wire());
    to.number(2, is.code);
    to.text(3, &is.phrase);
    to.text(4, &is.object);
}

fn route_attempt(to: &mut Writer, is: &RouteAttempt) {
    to.number(1, is.attempt);
    to.party(2, &is.callee);
    to.endpoint(3, is.next_hop);
    to.text(4, &is.caller_out);
    to.text(5, &is.callee_out);
    to.text(6, &is.sip_call_id);
    if let Some(login) = &is.login {
        to.message(7, |to| {
            to.text(1, &login.user);
            to.text(2, &login.realm);
        });
    }
}

fn route_result(to: &mut Writer, is: &RouteResult) {
    to.number(1, is.attempt);
    to.number(2, is.code);
    to.text(3, &is.phrase);
    to.text(4, &is.reason);
    to.optional(5, is.pdd_us);
    to.word(6, is.action.to_wire());
}

fn answer(to: &mut Writer, is: &Answer) {
    to.number(1, is.attempt);
    to.number(2, is.code);
    to.number(3, is.setup_us);
    to.text(4, &is.codec);
    to.text(5, &is.user_agent);
}

fn end(to: &mut Writer, is: &End) {
    to.number(1, is.answered_us);
    to.word(2, is.by.to_wire());
    to.word(3, is.cause.to_wire());
    to.number(4, is.code);
    to.text(5, &is.reason);
    to.media(6, is.media);
}

fn forwarded(to: &mut Writer, is: &Forwarded) {
    to.word(1, is.call_type.to_wire());
    to.party(2, &is.forwarder);
    to.text(3, &is.target);
    to.number(4, from_number(is.callee));
    to.number(5, is.new_leg);
}

fn cdr(to: &mut Writer, is: &Cdr) {
    to.always_bytes(1, is.id.as_bytes());
    to.number(2, is.revision);
    to.text(3, is.call.as_str());
    to.number(4, is.leg);
    to.text(5, &is.sip_call_id);
    to.text(6, &is.node);
    to.signed(7, is.tenant.0);
    to.signed(8, is.payer.0);
    to.message(9, |to| source(to, &is.source));
    to.message(10, |to| destination(to, &is.destination));
    to.word(11, is.call_type.to_wire());
    to.word(12, is.status.to_wire());
    to.number(13, is.code);
    to.word(14, is.cause.to_wire());
    to.word(15, is.ended_by.to_wire());
    to.signed(16, from_time(is.init_at));
    to.signed(17, from_time(is.start_at));
    to.number(18, is.duration_us);
    to.optional(19, is.pdd_us);
    to.text(20, &is.codec);
    for route in &is.attempts {
        to.message(21, |to| route_try(to, route));
    }
    to.signed(22, is.config_revision);
    to.number(23, is.partial);
    if is.detail != CdrDetail::default() {
        to.message(24, |to| detail(to, &is.detail));
    }
}

fn source(to: &mut Writer, is: &CdrSource) {
    to.party(1, &is.party);
    to.text(2, &is.user);
    to.text(3, &is.domain);
    to.number(4, from_number(is.cli));
    to.number(5, is.clir);
    to.text(6, &is.user_out);
    to.text(7, &is.ip);
    to.text(8, &is.user_agent);
}

fn destination(to: &mut Writer, is: &CdrDestination) {
    to.party(1, &is.party);
    to.text(2, &is.dialed);
    to.text(3, &is.domain);
    to.text(4, &is.user_in);
    to.number(5, from_number(is.number));
    to.text(6, &is.user_out);
    to.text(7, &is.user_agent);
}

fn route_try(to: &mut Writer, is: &RouteTry) {
    to.number(1, is.attempt);
    to.party(2, &is.party);
    to.number(3, is.code);
    to.optional(4, is.pdd_us);
    to.word(5, is.action.to_wire());
}

fn detail(to: &mut Writer, is: &CdrDetail) {
    to.text(1, &is.reason);
    to.text(2, &is.refused_by);
    to.optional(3, is.setup_us);
    to.optional(4, is.transport.map(|word| word.to_wire().cast_unsigned()));
    to.optional(5, is.auth.map(|word| word.to_wire().cast_unsigned()));
    to.text(6, &is.asserted_identity);
    to.text(7, &is.diversion);
    to.text(8, &is.foreign_key);
    to.number(9, is.emergency);
    to.text(10, &is.stir);
    to.text(11, &is.preferred_identity);
    to.text(12, &is.user_to_user);
    to.text(13, &is.history_info);
    to.media(14, is.media);
    to.text(15, &is.peer_auth_user);
    to.text(16, &is.peer_auth_realm);
}

fn rated(to: &mut Writer, is: &RatedCdr) {
    to.message(1, |to| cdr(to, &is.cdr));
    for is in &is.charges {
        to.message(2, |to| charge(to, is));
    }
}

fn charge(to: &mut Writer, is: &Charge) {
    to.word(1, is.provider.to_wire());
    to.word(2, is.direction.to_wire());
    to.signed(3, is.account.0);
    to.signed(4, is.version.0);
    to.text(5, &is.profile);
    to.optional(6, is.fee.map(|fee| fee.0.cast_unsigned()));
    to.text(7, &is.matched);
    to.text(8, &is.zone);
    to.text(9, &is.zone_detail);
    to.text(10, is.currency.as_str());
    to.decimal(11, is.cost);
    to.number(12, is.free_seconds);
    to.decimal(13, is.free_cash);
    to.number(14, is.billed_seconds);
    to.number(15, is.onpeak_seconds);
    to.number(16, is.offpeak_seconds);
    to.decimal(17, is.flat);
    to.text(18, &is.rounding);
    for is in &is.pieces {
        to.message(19, |to| piece(to, is));
    }
    if let Some(is) = &is.conversion {
        to.message(20, |to| conversion(to, is));
    }
    for is in &is.fragments {
        to.message(21, |to| fragment(to, is));
    }
}

fn fragment(to: &mut Writer, is: &Fragment) {
    to.signed(1, from_time(is.start));
    to.number(2, is.duration_us);
    to.word(3, is.peak.to_wire());
    to.decimal(4, is.cost);
    to.number(5, is.free_seconds);
    to.decimal(6, is.free_cash);
    to.number(7, is.billed_seconds);
    to.number(8, is.onpeak_seconds);
    to.number(9, is.offpeak_seconds);
}

fn conversion(to: &mut Writer, is: &Conversion) {
    to.text(1, is.from.as_str());
    to.decimal(2, is.amount);
    to.decimal(3, is.rate);
    to.signed(4, from_time(is.rate_from));
}

fn piece(to: &mut Writer, is: &Piece) {
    to.signed(1, from_time(is.start));
    to.number(2, is.seconds);
    to.word(3, is.peak.to_wire());
    to.number(4, is.is_init);
    to.decimal(5, is.rate);
    to.number(6, is.per_seconds);
    to.number(7, is.interval_seconds);
    to.decimal(8, is.price);
}
