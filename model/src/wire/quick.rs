//! The records that every call makes, read without the generated code's structs in between: half the time of a stage goes into reading.
//!
//! In: the bytes of a record. Out: the record, if it is an event of a call or a CDR and all of it is as this version writes it; `None` else,
//! and then the generated code decides. Where both read the same bytes they say the same; a property holds them to it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use chrono::{DateTime, Utc};

use super::reader::{Reader, tag};
use super::words::Word;
use crate::{
    AccountId, Answer, Attempt, AttemptDetail, AuthMethod, Body, CallEvent, CallStatus, CallType, CallUid,
    Cause, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource, ChargeTick, E164, End, EventBody, Initiator,
    MediaQuality, Origin, Party, PeerLogin, Record, RouteAction, RouteAttempt, RouteResult, RouteTry,
    SubscriberId, TenantId, Text, Transport, TrunkId,
};

/// As [`super::decode`], of what is usual.
pub(super) fn record(bytes: &[u8]) -> Option<Record> {
    let (mut origin, mut body) = (None, None);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 if origin.is_none() => origin = Some(read_origin(reader.bytes()?)?),
            tag::LEN_3 if body.is_none() => body = Some(Body::Call(Box::new(read_event(reader.bytes()?)?))),
            tag::LEN_4 if body.is_none() => body = Some(Body::Cdr(Box::new(read_cdr(reader.bytes()?)?))),
            other => reader.skip(other, |field| matches!(field, 1..=9))?,
        }
    }
    Some(Record { origin, body: body? })
}

fn text(bytes: &[u8]) -> Option<Text> {
    std::str::from_utf8(bytes).ok().map(Text::from)
}

fn call_uid(bytes: &[u8]) -> Option<CallUid> {
    std::str::from_utf8(bytes).ok().map(CallUid::new)
}

fn moment(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

/// A number of 16 bits.
fn short(reader: &mut Reader<'_>) -> Option<u16> {
    u16::try_from(reader.u32()?).ok()
}

fn flag(reader: &mut Reader<'_>) -> Option<bool> {
    Some(reader.varint()? != 0)
}

fn read_origin(bytes: &[u8]) -> Option<Origin> {
    let mut origin = Origin { stage: Text::new(), partition: 0, offset: 0, index: 0 };
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 => origin.stage = text(reader.bytes()?)?,
            tag::INT_2 => origin.partition = reader.u32()?,
            tag::INT_3 => origin.offset = reader.varint()?,
            tag::INT_4 => origin.index = reader.u32()?,
            other => reader.skip(other, |field| matches!(field, 1..=4))?,
        }
    }
    Some(origin)
}

fn read_event(bytes: &[u8]) -> Option<CallEvent> {
    let (mut node, mut boot, mut seq, mut at_us, mut config_revision) = (Text::new(), 0, 0, 0, 0);
    let (mut tenant, mut payer, mut call, mut leg, mut body) = (0, 0, None, 0, None);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 => node = text(reader.bytes()?)?,
            tag::INT_2 => boot = reader.varint()?,
            tag::INT_3 => seq = reader.varint()?,
            tag::INT_4 => at_us = reader.i64()?,
            tag::INT_5 => config_revision = reader.i64()?,
            tag::INT_6 => tenant = reader.i64()?,
            tag::INT_7 => payer = reader.i64()?,
            tag::LEN_8 => call = Some(call_uid(reader.bytes()?)?),
            tag::INT_9 => leg = short(&mut reader)?,
            tag::LEN_16 if body.is_none() => {
                body = Some(EventBody::Attempt(Box::new(read_attempt(reader.bytes()?)?)));
            }
            tag::LEN_18 if body.is_none() => {
                body = Some(EventBody::RouteAttempt(read_route_attempt(reader.bytes()?)?));
            }
            tag::LEN_19 if body.is_none() => {
                body = Some(EventBody::RouteResult(read_route_result(reader.bytes()?)?));
            }
            tag::LEN_21 if body.is_none() => body = Some(EventBody::Answer(read_answer(reader.bytes()?)?)),
            tag::LEN_23 if body.is_none() => body = Some(EventBody::ChargeTick(read_tick(reader.bytes()?)?)),
            tag::LEN_24 if body.is_none() => body = Some(EventBody::End(read_end(reader.bytes()?)?)),
            // The other bodies are rare.
            other => reader.skip(other, |field| matches!(field, 1..=9 | 16..=30))?,
        }
    }
    Some(CallEvent {
        node,
        boot,
        seq,
        at: moment(at_us)?,
        config_revision,
        tenant: TenantId(tenant),
        payer: AccountId(payer),
        call,
        leg,
        body: body?,
    })
}

fn read_party(bytes: &[u8]) -> Option<Party> {
    let mut reader = Reader(bytes);
    let which = reader.tag()??;
    let mut inner = Reader(reader.bytes()?);
    if !reader.0.is_empty() {
        return None;
    }
    let (mut first, mut second, mut third, mut uuid) = (0, 0, 0, Text::new());
    while let Some(tag) = inner.tag()? {
        match tag {
            tag::INT_1 if which != tag::LEN_3 => first = inner.i64()?,
            tag::INT_2 if which != tag::LEN_3 => second = inner.i64()?,
            tag::INT_3 if which == tag::LEN_1 => third = inner.i64()?,
            tag::LEN_4 if which == tag::LEN_1 => uuid = text(inner.bytes()?)?,
            other => inner.skip(other, |field| matches!(field, 1..=4))?,
        }
    }
    match which {
        tag::LEN_1 => Some(Party::Subscriber {
            subscriber: SubscriberId(first),
            account: AccountId(second),
            reseller: AccountId(third),
            uuid,
        }),
        tag::LEN_2 => Some(Party::Trunk { trunk: TrunkId(first), account: AccountId(second) }),
        tag::LEN_3 => Some(Party::Unknown),
        _ => None,
    }
}

fn read_endpoint(bytes: &[u8]) -> Option<SocketAddr> {
    let (mut ip, mut port, mut flow_info, mut scope_id): (&[u8], _, _, _) = (&[], 0, 0, 0);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 => ip = reader.bytes()?,
            tag::INT_2 => port = short(&mut reader)?,
            tag::INT_3 => flow_info = reader.u32()?,
            tag::INT_4 => scope_id = reader.u32()?,
            other => reader.skip(other, |field| matches!(field, 1..=4))?,
        }
    }
    if let Ok(octets) = <[u8; 4]>::try_from(ip) {
        return Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(octets), port)));
    }
    let octets = <[u8; 16]>::try_from(ip).ok()?;
    Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), port, flow_info, scope_id)))
}

fn read_attempt(bytes: &[u8]) -> Option<Attempt> {
    let (mut sip_call_id, mut from_user, mut from_domain) = (Text::new(), Text::new(), Text::new());
    let (mut dialed, mut dialed_domain, mut user_agent) = (Text::new(), Text::new(), Text::new());
    let (mut asserted_identity, mut diversion) = (Text::new(), Text::new());
    let (mut caller, mut source, mut detail) = (None, None, None);
    let (mut cli, mut callee, mut clir): (Option<E164>, _, _) = (None, None, false);
    let (mut transport, mut auth) = (0, 0);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 => sip_call_id = text(reader.bytes()?)?,
            tag::LEN_2 if caller.is_none() => caller = Some(read_party(reader.bytes()?)?),
            tag::LEN_3 => from_user = text(reader.bytes()?)?,
            tag::LEN_4 => from_domain = text(reader.bytes()?)?,
            tag::LEN_5 => dialed = text(reader.bytes()?)?,
            tag::LEN_6 => dialed_domain = text(reader.bytes()?)?,
            tag::INT_7 => cli = reader.number()?,
            tag::INT_8 => clir = flag(&mut reader)?,
            tag::INT_9 => callee = reader.number()?,
            tag::LEN_10 if source.is_none() => source = Some(read_endpoint(reader.bytes()?)?),
            tag::INT_11 => transport = reader.word()?,
            tag::LEN_12 => user_agent = text(reader.bytes()?)?,
            tag::INT_13 => auth = reader.word()?,
            tag::LEN_14 => asserted_identity = text(reader.bytes()?)?,
            tag::LEN_15 => diversion = text(reader.bytes()?)?,
            tag::LEN_16 if detail.is_none() => {
                detail = Some(Box::new(read_attempt_detail(reader.bytes()?)?));
            }
            other => reader.skip(other, |field| matches!(field, 1..=16))?,
        }
    }
    Some(Attempt {
        sip_call_id,
        caller: caller?,
        from_user,
        from_domain,
        dialed,
        dialed_domain,
        cli,
        clir,
        callee,
        source: source?,
        transport: Transport::of(transport, "").ok()?,
        user_agent,
        auth: AuthMethod::of(auth, "").ok()?,
        asserted_identity,
        diversion,
        detail,
    })
}

fn read_attempt_detail(bytes: &[u8]) -> Option<AttemptDetail> {
    let mut detail = AttemptDetail::default();
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => detail.emergency = flag(&mut reader)?,
            tag::LEN_2 => detail.stir = text(reader.bytes()?)?,
            tag::LEN_3 => detail.preferred_identity = text(reader.bytes()?)?,
            tag::LEN_4 => detail.user_to_user = text(reader.bytes()?)?,
            tag::LEN_5 => detail.history_info = text(reader.bytes()?)?,
            other => reader.skip(other, |field| matches!(field, 1..=5))?,
        }
    }
    Some(detail)
}

fn read_route_attempt(bytes: &[u8]) -> Option<RouteAttempt> {
    let (mut attempt, mut callee, mut next_hop, mut login) = (0, None, None, None);
    let (mut caller_out, mut callee_out, mut sip_call_id) = (Text::new(), Text::new(), Text::new());
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => attempt = short(&mut reader)?,
            tag::LEN_2 if callee.is_none() => callee = Some(read_party(reader.bytes()?)?),
            tag::LEN_3 if next_hop.is_none() => next_hop = Some(read_endpoint(reader.bytes()?)?),
            tag::LEN_4 => caller_out = text(reader.bytes()?)?,
            tag::LEN_5 => callee_out = text(reader.bytes()?)?,
            tag::LEN_6 => sip_call_id = text(reader.bytes()?)?,
            tag::LEN_7 if login.is_none() => login = Some(Box::new(read_login(reader.bytes()?)?)),
            other => reader.skip(other, |field| matches!(field, 1..=7))?,
        }
    }
    let (callee, next_hop) = (callee?, next_hop?);
    Some(RouteAttempt { attempt, callee, next_hop, caller_out, callee_out, sip_call_id, login })
}

fn read_login(bytes: &[u8]) -> Option<PeerLogin> {
    let mut login = PeerLogin { user: Text::new(), realm: Text::new() };
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 => login.user = text(reader.bytes()?)?,
            tag::LEN_2 => login.realm = text(reader.bytes()?)?,
            other => reader.skip(other, |field| matches!(field, 1..=2))?,
        }
    }
    Some(login)
}

fn read_route_result(bytes: &[u8]) -> Option<RouteResult> {
    let (mut attempt, mut code, mut phrase, mut reason) = (0, 0, Text::new(), Text::new());
    let (mut pdd_us, mut action) = (None, 0);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => attempt = short(&mut reader)?,
            tag::INT_2 => code = short(&mut reader)?,
            tag::LEN_3 => phrase = text(reader.bytes()?)?,
            tag::LEN_4 => reason = text(reader.bytes()?)?,
            tag::INT_5 => pdd_us = Some(reader.varint()?),
            tag::INT_6 => action = reader.word()?,
            other => reader.skip(other, |field| matches!(field, 1..=6))?,
        }
    }
    Some(RouteResult { attempt, code, phrase, reason, pdd_us, action: RouteAction::of(action, "").ok()? })
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let mut answer = Answer { attempt: 0, code: 0, setup_us: 0, codec: Text::new(), user_agent: Text::new() };
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => answer.attempt = short(&mut reader)?,
            tag::INT_2 => answer.code = short(&mut reader)?,
            tag::INT_3 => answer.setup_us = reader.varint()?,
            tag::LEN_4 => answer.codec = text(reader.bytes()?)?,
            tag::LEN_5 => answer.user_agent = text(reader.bytes()?)?,
            other => reader.skip(other, |field| matches!(field, 1..=5))?,
        }
    }
    Some(answer)
}

fn read_tick(bytes: &[u8]) -> Option<ChargeTick> {
    let mut tick = ChargeTick { answered_us: 0 };
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => tick.answered_us = reader.varint()?,
            other => reader.skip(other, |field| field == 1)?,
        }
    }
    Some(tick)
}

fn read_end(bytes: &[u8]) -> Option<End> {
    let (mut answered_us, mut by, mut cause, mut code) = (0, 0, 0, 0);
    let (mut reason, mut media) = (Text::new(), None);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => answered_us = reader.varint()?,
            tag::INT_2 => by = reader.word()?,
            tag::INT_3 => cause = reader.word()?,
            tag::INT_4 => code = short(&mut reader)?,
            tag::LEN_5 => reason = text(reader.bytes()?)?,
            tag::LEN_6 if media.is_none() => media = Some(read_media(reader.bytes()?)?),
            other => reader.skip(other, |field| matches!(field, 1..=6))?,
        }
    }
    let (by, cause) = (Initiator::of(by, "").ok()?, Cause::of(cause, "").ok()?);
    Some(End { answered_us, by, cause, code, reason, media })
}

pub(super) fn read_media(bytes: &[u8]) -> Option<MediaQuality> {
    let mut media = MediaQuality::default();
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => media.mos_hundredths = Some(reader.u32()?),
            tag::INT_2 => media.loss_hundredths = Some(reader.u32()?),
            tag::INT_3 => media.jitter_us = Some(reader.u32()?),
            tag::INT_4 => media.round_trip_us = Some(reader.u32()?),
            other => reader.skip(other, |field| matches!(field, 1..=4))?,
        }
    }
    Some(media)
}

fn read_cdr(bytes: &[u8]) -> Option<Cdr> {
    let (mut id, mut source, mut destination, mut detail) = (None, None, None, None);
    let (mut revision, mut leg, mut tenant, mut payer, mut code) = (0, 0, 0, 0, 0);
    let (mut call, mut sip_call_id, mut node, mut codec) = (None, Text::new(), Text::new(), Text::new());
    let (mut call_type, mut status, mut cause, mut ended_by) = (0, 0, 0, 0);
    let (mut init_at_us, mut start_at_us, mut duration_us, mut pdd_us) = (0, 0, 0, None);
    let (mut attempts, mut config_revision, mut partial) = (Vec::new(), 0, false);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 => id = Some(<[u8; 16]>::try_from(reader.bytes()?).ok()?),
            tag::INT_2 => revision = reader.u32()?,
            tag::LEN_3 => call = Some(call_uid(reader.bytes()?)?),
            tag::INT_4 => leg = short(&mut reader)?,
            tag::LEN_5 => sip_call_id = text(reader.bytes()?)?,
            tag::LEN_6 => node = text(reader.bytes()?)?,
            tag::INT_7 => tenant = reader.i64()?,
            tag::INT_8 => payer = reader.i64()?,
            tag::LEN_9 if source.is_none() => source = Some(read_source(reader.bytes()?)?),
            tag::LEN_10 if destination.is_none() => destination = Some(read_destination(reader.bytes()?)?),
            tag::INT_11 => call_type = reader.word()?,
            tag::INT_12 => status = reader.word()?,
            tag::INT_13 => code = short(&mut reader)?,
            tag::INT_14 => cause = reader.word()?,
            tag::INT_15 => ended_by = reader.word()?,
            tag::INT_16 => init_at_us = reader.i64()?,
            tag::INT_17 => start_at_us = reader.i64()?,
            tag::INT_18 => duration_us = reader.varint()?,
            tag::INT_19 => pdd_us = Some(reader.varint()?),
            tag::LEN_20 => codec = text(reader.bytes()?)?,
            tag::LEN_21 => attempts.push(read_route_try(reader.bytes()?)?),
            tag::INT_22 => config_revision = reader.i64()?,
            tag::INT_23 => partial = flag(&mut reader)?,
            tag::LEN_24 if detail.is_none() => detail = Some(read_detail(reader.bytes()?)?),
            other => reader.skip(other, |field| matches!(field, 1..=24))?,
        }
    }
    Some(Cdr {
        id: CdrId::from_bytes(id?),
        revision,
        // Every record of ours names it; of one that does not, the generated code decides.
        call: call?,
        leg,
        sip_call_id,
        node,
        tenant: TenantId(tenant),
        payer: AccountId(payer),
        source: source?,
        destination: destination?,
        call_type: CallType::of(call_type, "").ok()?,
        status: CallStatus::of(status, "").ok()?,
        code,
        cause: Cause::of(cause, "").ok()?,
        ended_by: Initiator::of(ended_by, "").ok()?,
        init_at: moment(init_at_us)?,
        start_at: moment(start_at_us)?,
        duration_us,
        pdd_us,
        codec,
        attempts,
        config_revision,
        partial,
        detail: detail.unwrap_or_default(),
    })
}

fn read_source(bytes: &[u8]) -> Option<CdrSource> {
    let (mut party, mut cli, mut clir) = (None, None, false);
    let (mut user, mut domain, mut user_out) = (Text::new(), Text::new(), Text::new());
    let (mut ip, mut user_agent) = (Text::new(), Text::new());
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 if party.is_none() => party = Some(read_party(reader.bytes()?)?),
            tag::LEN_2 => user = text(reader.bytes()?)?,
            tag::LEN_3 => domain = text(reader.bytes()?)?,
            tag::INT_4 => cli = reader.number()?,
            tag::INT_5 => clir = flag(&mut reader)?,
            tag::LEN_6 => user_out = text(reader.bytes()?)?,
            tag::LEN_7 => ip = text(reader.bytes()?)?,
            tag::LEN_8 => user_agent = text(reader.bytes()?)?,
            other => reader.skip(other, |field| matches!(field, 1..=8))?,
        }
    }
    Some(CdrSource { party: party?, user, domain, cli, clir, user_out, ip, user_agent })
}

fn read_destination(bytes: &[u8]) -> Option<CdrDestination> {
    let (mut party, mut number) = (None, None);
    let (mut dialed, mut domain, mut user_in) = (Text::new(), Text::new(), Text::new());
    let (mut user_out, mut user_agent) = (Text::new(), Text::new());
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 if party.is_none() => party = Some(read_party(reader.bytes()?)?),
            tag::LEN_2 => dialed = text(reader.bytes()?)?,
            tag::LEN_3 => domain = text(reader.bytes()?)?,
            tag::LEN_4 => user_in = text(reader.bytes()?)?,
            tag::INT_5 => number = reader.number()?,
            tag::LEN_6 => user_out = text(reader.bytes()?)?,
            tag::LEN_7 => user_agent = text(reader.bytes()?)?,
            other => reader.skip(other, |field| matches!(field, 1..=7))?,
        }
    }
    Some(CdrDestination { party: party?, dialed, domain, user_in, number, user_out, user_agent })
}

fn read_route_try(bytes: &[u8]) -> Option<RouteTry> {
    let (mut attempt, mut party, mut code, mut pdd_us, mut action) = (0, None, 0, None, 0);
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::INT_1 => attempt = short(&mut reader)?,
            tag::LEN_2 if party.is_none() => party = Some(read_party(reader.bytes()?)?),
            tag::INT_3 => code = short(&mut reader)?,
            tag::INT_4 => pdd_us = Some(reader.varint()?),
            tag::INT_5 => action = reader.word()?,
            other => reader.skip(other, |field| matches!(field, 1..=5))?,
        }
    }
    Some(RouteTry { attempt, party: party?, code, pdd_us, action: RouteAction::of(action, "").ok()? })
}

fn read_detail(bytes: &[u8]) -> Option<CdrDetail> {
    let mut detail = CdrDetail::default();
    let mut reader = Reader(bytes);
    while let Some(tag) = reader.tag()? {
        match tag {
            tag::LEN_1 => detail.reason = text(reader.bytes()?)?,
            tag::LEN_2 => detail.refused_by = text(reader.bytes()?)?,
            tag::INT_3 => detail.setup_us = Some(reader.varint()?),
            tag::INT_4 => detail.transport = Some(Transport::of(reader.word()?, "").ok()?),
            tag::INT_5 => detail.auth = Some(AuthMethod::of(reader.word()?, "").ok()?),
            tag::LEN_6 => detail.asserted_identity = text(reader.bytes()?)?,
            tag::LEN_7 => detail.diversion = text(reader.bytes()?)?,
            tag::LEN_8 => detail.foreign_key = text(reader.bytes()?)?,
            tag::INT_9 => detail.emergency = flag(&mut reader)?,
            tag::LEN_10 => detail.stir = text(reader.bytes()?)?,
            tag::LEN_11 => detail.preferred_identity = text(reader.bytes()?)?,
            tag::LEN_12 => detail.user_to_user = text(reader.bytes()?)?,
            tag::LEN_13 => detail.history_info = text(reader.bytes()?)?,
            tag::LEN_14 if detail.media.is_none() => detail.media = Some(read_media(reader.bytes()?)?),
            tag::LEN_15 => detail.peer_auth_user = text(reader.bytes()?)?,
            tag::LEN_16 => detail.peer_auth_realm = text(reader.bytes()?)?,
            other => reader.skip(other, |field| matches!(field, 1..=16))?,
        }
    }
    Some(detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::decode_in_full;

    /// The records kept from earlier versions: one of every kind.
    fn kept() -> Vec<Vec<u8>> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1");
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let records = files.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
        records.map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn usual_records_are_read_quickly_and_all_alike() {
        let mut n_quick = 0;
        for bytes in kept() {
            if let Some(read) = record(&bytes) {
                n_quick += 1;
                assert_eq!(Ok(read), decode_in_full(&bytes));
            }
        }
        assert!(n_quick >= 7, "only {n_quick} of the kept records are read quickly");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        /// Whatever is wrong with the bytes: a record that is read quickly is the one that the generated code reads.
        #[test]
        fn wrong_bytes_are_never_another_record(
            which in any::<prop::sample::Index>(),
            wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..5),
        ) {
            let kept = kept();
            let mut bytes = which.get(&kept).clone();
            for (place, value, how) in wrong {
                if bytes.is_empty() {
                    break;
                }
                let place = place.index(bytes.len());
                match how {
                    0 => bytes[place] = value,
                    1 => bytes.insert(place, value),
                    _ => bytes.truncate(place),
                }
            }
            if let Some(read) = record(&bytes) {
                prop_assert_eq!(Ok(read), decode_in_full(&bytes));
            }
        }
    }
}
