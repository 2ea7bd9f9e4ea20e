//! The quick way through a rated call: its fields are looked for one by one in the order in which we write them.
//!
//! In: the bytes of [`super::encode_rated`]. Out: a [`RatedView`] filled in; `None` wherever something is not at its place, which says
//! nothing but that the call has to be read the other way.

use super::quick::read_media;
use super::reader::Reader;
use super::view::{
    ChargeView, DestinationView, DetailView, PartyView, RatedView, RawDecimal, RawText, SourceView,
    is_currency,
};
use super::words::Word;
use crate::{
    AccountId, CallStatus, CallType, Cause, CdrId, Direction, E164, Initiator, Provider, SubscriberId,
    TenantId, TrunkId,
};

/// Kinds of fields, as in protobuf's tags: whole numbers, and what has a length.
const INT: usize = 0;
const LEN: usize = 2;

/// A message within a record, and how far it is read.
struct InOrder<'a> {
    record: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> InOrder<'a> {
    /// Whether the next field is this one; its tag is stepped over then.
    #[inline(always)]
    fn is_next<const FIELD: usize, const KIND: usize>(&mut self) -> bool {
        // Numbers from 16 on take a second byte.
        let first = u8::try_from(FIELD % 16 * 8 + KIND).unwrap_or(0) | if FIELD < 16 { 0 } else { 0x80 };
        let second = u8::try_from(FIELD / 16).unwrap_or(0);
        // Last of all, as it seldom is otherwise: what lies behind the end of this message may look the same.
        let is_it = self.record.get(self.at) == Some(&first)
            && (FIELD < 16 || self.record.get(self.at + 1) == Some(&second))
            && self.at < self.end;
        if is_it {
            self.at += if FIELD < 16 { 1 } else { 2 };
        }
        is_it
    }

    /// One that goes on beyond the end of this message leaves it there, so that [`InOrder::is_read`] and [`InOrder::stretch`] say so.
    #[inline(always)]
    fn varint(&mut self) -> Option<u64> {
        let byte = *self.record.get(self.at)?;
        if byte < 0x80 {
            self.at += 1;
            return Some(u64::from(byte));
        }
        let second = *self.record.get(self.at + 1)?;
        if second < 0x80 {
            self.at += 2;
            return Some(u64::from(byte & 0x7f) | u64::from(second) << 7);
        }
        self.long_varint()
    }

    /// Of more than two bytes. By itself, as there are forty places that call it.
    #[inline(never)]
    fn long_varint(&mut self) -> Option<u64> {
        let rest = self.record.get(self.at..)?;
        if let Some(piece) = rest.first_chunk::<8>()
            && let Some((value, n_bytes)) = varint_in(u64::from_le_bytes(*piece))
        {
            self.at += n_bytes;
            return Some(value);
        }
        let mut reader = Reader(rest);
        let value = reader.varint()?;
        self.at = self.record.len() - reader.0.len();
        Some(value)
    }

    /// Where a length and what it is of lie.
    #[inline(always)]
    fn stretch(&mut self) -> Option<(usize, usize)> {
        let len = usize::try_from(self.varint()?).ok()?;
        let begin = self.at;
        if len > self.end.checked_sub(begin)? {
            return None;
        }
        self.at = begin + len;
        Some((begin, len))
    }

    #[inline(always)]
    fn message(&mut self) -> Option<InOrder<'a>> {
        let (at, len) = self.stretch()?;
        Some(InOrder { record: self.record, at, end: at + len })
    }

    /// A number, 0 where there is none.
    #[inline(always)]
    fn int<const FIELD: usize>(&mut self) -> Option<u64> {
        if self.is_next::<FIELD, INT>() { self.varint() } else { Some(0) }
    }

    #[inline(always)]
    fn word<const FIELD: usize, W: Word>(&mut self) -> Option<W> {
        W::known(self.int::<FIELD>()?)
    }

    #[inline(always)]
    fn number<const FIELD: usize>(&mut self) -> Option<Option<E164>> {
        match self.int::<FIELD>()? {
            0 => Some(None),
            digits => E164::from_u64(digits).map(Some),
        }
    }

    #[inline(always)]
    fn time<const FIELD: usize>(&mut self) -> Option<i64> {
        let micros = self.int::<FIELD>()?.cast_signed();
        Reader::is_time(micros).then_some(micros)
    }

    /// A text, an empty one where there is none.
    #[inline(always)]
    fn text<const FIELD: usize>(&mut self) -> Option<RawText<'a>> {
        if !self.is_next::<FIELD, LEN>() {
            return Some(RawText::default());
        }
        let (at, len) = self.stretch()?;
        Some(RawText::in_front_of(self.record.get(at..)?, len))
    }

    #[inline(always)]
    fn skip<const FIELD: usize, const KIND: usize>(&mut self) -> Option<()> {
        while self.is_next::<FIELD, KIND>() {
            if KIND == INT {
                self.varint()?;
            } else {
                self.stretch()?;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn is_read(&self) -> Option<()> {
        (self.at == self.end).then_some(())
    }
}

/// A number that ends within eight bytes, and how many of them it takes: the seven bits of each are moved together two, four and eight
/// bytes at a time.
#[inline(always)]
fn varint_in(bytes: u64) -> Option<(u64, usize)> {
    let ends = !bytes & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    let last_bit = ends.trailing_zeros();
    let sevens = bytes & (u64::MAX >> (63 - last_bit)) & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    let value = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
    Some((value, usize::try_from(last_bit / 8).unwrap_or(0) + 1))
}

impl<'a> RatedView<'a> {
    #[inline(always)]
    pub(super) fn read_in_order(
        &mut self,
        record: &'a [u8],
        wants: &impl Fn(Provider, Direction, AccountId) -> bool,
    ) -> Option<()> {
        let mut whole = InOrder { record, at: 0, end: record.len() };
        if !whole.is_next::<1, LEN>() {
            return None;
        }
        let cdr = whole.message()?;
        self.cdr_in_order(cdr)?;
        while whole.is_next::<2, LEN>() {
            let charge = whole.message()?;
            if let Some(charge) = charge_in_order(charge, wants)? {
                self.charges.push(charge);
            }
        }
        whole.is_read()
    }

    #[inline(always)]
    fn cdr_in_order(&mut self, mut cdr: InOrder<'a>) -> Option<()> {
        let id = cdr.text::<1>()?;
        self.id = CdrId::from_bytes(<[u8; 16]>::try_from(id.as_bytes()).ok()?);
        self.revision = u32::try_from(cdr.int::<2>()?).ok()?;
        self.call = cdr.text::<3>()?;
        self.leg = u16::try_from(cdr.int::<4>()?).ok()?;
        self.sip_call_id = cdr.text::<5>()?;
        self.node = cdr.text::<6>()?;
        self.tenant = TenantId(cdr.int::<7>()?.cast_signed());
        cdr.skip::<8, INT>()?;
        if !cdr.is_next::<9, LEN>() {
            return None;
        }
        source_in_order(&mut self.source, cdr.message()?)?;
        if !cdr.is_next::<10, LEN>() {
            return None;
        }
        destination_in_order(&mut self.destination, cdr.message()?)?;
        self.call_type = cdr.word::<11, CallType>()?;
        self.status = cdr.word::<12, CallStatus>()?;
        self.code = u16::try_from(cdr.int::<13>()?).ok()?;
        self.cause = cdr.word::<14, Cause>()?;
        self.ended_by = cdr.word::<15, Initiator>()?;
        self.init_at_us = cdr.time::<16>()?;
        self.start_at_us = cdr.time::<17>()?;
        self.duration_us = cdr.int::<18>()?;
        self.pdd_us = if cdr.is_next::<19, INT>() { Some(cdr.varint()?) } else { None };
        self.codec = cdr.text::<20>()?;
        cdr.skip::<21, LEN>()?;
        cdr.skip::<22, INT>()?;
        self.partial = cdr.int::<23>()? != 0;
        if self.has_detail {
            self.detail = DetailView::default();
            self.has_detail = false;
        }
        if cdr.is_next::<24, LEN>() {
            self.has_detail = true;
            detail_in_order(&mut self.detail, cdr.message()?)?;
        }
        cdr.is_read()
    }
}

#[inline(always)]
fn party_in_order<'a>(mut outer: InOrder<'a>) -> Option<PartyView<'a>> {
    let party = if outer.is_next::<1, LEN>() {
        let mut party = outer.message()?;
        let subscriber = SubscriberId(party.int::<1>()?.cast_signed());
        let account = AccountId(party.int::<2>()?.cast_signed());
        let reseller = AccountId(party.int::<3>()?.cast_signed());
        let uuid = party.text::<4>()?;
        party.is_read()?;
        PartyView::Subscriber { subscriber, account, reseller, uuid }
    } else if outer.is_next::<2, LEN>() {
        let mut party = outer.message()?;
        let trunk = TrunkId(party.int::<1>()?.cast_signed());
        let account = AccountId(party.int::<2>()?.cast_signed());
        party.is_read()?;
        PartyView::Trunk { trunk, account }
    } else if outer.is_next::<3, LEN>() {
        outer.message()?.is_read()?;
        PartyView::Unknown
    } else {
        return None;
    };
    outer.is_read()?;
    Some(party)
}

#[inline(always)]
fn source_in_order<'a>(source: &mut SourceView<'a>, mut from: InOrder<'a>) -> Option<()> {
    if !from.is_next::<1, LEN>() {
        return None;
    }
    source.party = party_in_order(from.message()?)?;
    source.user = from.text::<2>()?;
    source.domain = from.text::<3>()?;
    source.cli = from.number::<4>()?;
    source.clir = from.int::<5>()? != 0;
    source.user_out = from.text::<6>()?;
    source.ip = from.text::<7>()?;
    source.user_agent = from.text::<8>()?;
    from.is_read()
}

#[inline(always)]
fn destination_in_order<'a>(destination: &mut DestinationView<'a>, mut from: InOrder<'a>) -> Option<()> {
    if !from.is_next::<1, LEN>() {
        return None;
    }
    destination.party = party_in_order(from.message()?)?;
    destination.dialed = from.text::<2>()?;
    destination.domain = from.text::<3>()?;
    destination.user_in = from.text::<4>()?;
    destination.number = from.number::<5>()?;
    destination.user_out = from.text::<6>()?;
    destination.user_agent = from.text::<7>()?;
    from.is_read()
}

#[inline(always)]
fn detail_in_order<'a>(detail: &mut DetailView<'a>, mut from: InOrder<'a>) -> Option<()> {
    detail.reason = from.text::<1>()?;
    from.skip::<2, LEN>()?;
    detail.setup_us = if from.is_next::<3, INT>() { Some(from.varint()?) } else { None };
    from.skip::<4, INT>()?;
    from.skip::<5, INT>()?;
    detail.asserted_identity = from.text::<6>()?;
    detail.diversion = from.text::<7>()?;
    from.skip::<8, LEN>()?;
    detail.emergency = from.int::<9>()? != 0;
    detail.stir = from.text::<10>()?;
    detail.preferred_identity = from.text::<11>()?;
    detail.user_to_user = from.text::<12>()?;
    detail.history_info = from.text::<13>()?;
    if from.is_next::<14, LEN>() {
        let (at, len) = from.stretch()?;
        detail.media = Some(read_media(from.record.get(at..at + len)?)?);
    }
    detail.peer_auth_user = from.text::<15>()?;
    detail.peer_auth_realm = from.text::<16>()?;
    from.is_read()
}

#[inline(always)]
fn decimal_in_order(mut from: InOrder<'_>) -> Option<RawDecimal> {
    let zigzag = |bits: u64| (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed();
    let decimal = RawDecimal {
        low: zigzag(from.int::<1>()?),
        high: zigzag(from.int::<2>()?),
        scale: u32::try_from(from.int::<3>()?).ok()?,
    };
    from.is_read()?;
    decimal.is_valid().then_some(decimal)
}

/// `Some(None)` of one that is not wanted.
#[inline(always)]
#[expect(clippy::option_option, reason = "not at its place, not wanted, a charge")]
fn charge_in_order<'a>(
    mut from: InOrder<'a>,
    wants: &impl Fn(Provider, Direction, AccountId) -> bool,
) -> Option<Option<ChargeView<'a>>> {
    let provider = from.word::<1, Provider>()?;
    let direction = from.word::<2, Direction>()?;
    let account = AccountId(from.int::<3>()?.cast_signed());
    if !wants(provider, direction, account) {
        return (from.at <= from.end).then_some(None);
    }
    from.skip::<4, INT>()?;
    let profile = from.text::<5>()?;
    from.skip::<6, INT>()?;
    let matched = from.text::<7>()?;
    let zone = from.text::<8>()?;
    let zone_detail = from.text::<9>()?;
    let currency = from.text::<10>()?;
    if !from.is_next::<11, LEN>() {
        return None;
    }
    let cost = decimal_in_order(from.message()?)?;
    let free_seconds = from.int::<12>()?;
    if !from.is_next::<13, LEN>() {
        return None;
    }
    let free_cash = decimal_in_order(from.message()?)?;
    let billed_seconds = from.int::<14>()?;
    let onpeak_seconds = from.int::<15>()?;
    let offpeak_seconds = from.int::<16>()?;
    from.skip::<17, LEN>()?;
    from.skip::<18, LEN>()?;
    from.skip::<19, LEN>()?;
    from.skip::<20, LEN>()?;
    from.is_read()?;
    is_currency(currency).then_some(Some(ChargeView {
        provider,
        direction,
        account,
        profile,
        matched,
        zone,
        zone_detail,
        currency,
        cost,
        free_seconds,
        free_cash,
        billed_seconds,
        onpeak_seconds,
        offpeak_seconds,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_in_one_piece_as_byte_by_byte(bytes: [u8; 8], n_ends in 0_usize..9) {
            let mut bytes = bytes;
            // Random bytes seldom go on for long.
            bytes[..n_ends.min(8)].iter_mut().for_each(|byte| *byte |= 0x80);
            let mut reader = Reader(&bytes);
            let slow = reader.varint();
            prop_assert_eq!(
                varint_in(u64::from_le_bytes(bytes)),
                slow.map(|value| (value, bytes.len() - reader.0.len()))
            );
        }
    }
}
