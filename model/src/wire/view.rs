//! A rated call read where it lies: its texts stay in the bytes that [`super::encode_rated`] made, so that a file of half a million
//! calls is written without a string for each of their fields.
//!
//! What a tariff shows of its workings (pieces, rounding, conversion) and the routes tried are stepped over. A property holds the
//! view to [`super::decode_rated`], which also says what is wrong with bytes that are no call.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::words::Word;
use super::{WireError, decode_rated};
use crate::{
    AccountId, CallStatus, CallType, Cause, CdrId, Charge, Direction, E164, Initiator, MediaQuality, Party,
    Provider, RatedCdr, SubscriberId, TenantId, TrunkId,
};

/// A text as it lies in the record: UTF-8 if the record is one of ours, which nobody has looked at yet.
pub type RawText<'a> = &'a [u8];

/// A decimal as it lies in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawDecimal {
    low: i64,
    high: i64,
    scale: u32,
}

impl RawDecimal {
    /// Digits without their point, of which so many are decimals.
    pub const fn scale(self) -> u32 {
        self.scale
    }

    /// The digits without their point.
    #[inline]
    pub fn mantissa(self) -> i128 {
        (i128::from(self.high) << 63) + i128::from(self.low)
    }

    /// The digits where they fit 64 bits, as those of all but absurd amounts do.
    #[inline]
    pub fn small_mantissa(self) -> Option<i64> {
        if self.high == 0 { Some(self.low) } else { i64::try_from(self.mantissa()).ok() }
    }

    /// The same amount the other way.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self { low: -self.low, high: -self.high, scale: self.scale }
    }

    fn is_valid(self) -> bool {
        // Both parts have the sign of the whole, and the low one 63 bits.
        self.scale <= Decimal::MAX_SCALE
            && self.low != i64::MIN
            && self.mantissa().unsigned_abs() < 1 << 96
            && (self.low == 0 || self.high == 0 || (self.low < 0) == (self.high < 0))
    }
}

impl From<Decimal> for RawDecimal {
    fn from(value: Decimal) -> Self {
        let wire = super::scalar::from_decimal(value);
        Self { low: wire.low, high: wire.high, scale: wire.scale }
    }
}

/// A side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartyView<'a> {
    /// One of our subscribers.
    Subscriber {
        /// Who.
        subscriber: SubscriberId,
        /// The customer's account.
        account: AccountId,
        /// The reseller's account above it.
        reseller: AccountId,
        /// The stable key in files.
        uuid: RawText<'a>,
    },
    /// A carrier's trunk.
    Trunk {
        /// Which.
        trunk: TrunkId,
        /// The carrier's account.
        account: AccountId,
    },
    /// Neither.
    #[default]
    Unknown,
}

/// The calling side, as in [`crate::CdrSource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields of CdrSource")]
pub struct SourceView<'a> {
    pub party: PartyView<'a>,
    pub user: RawText<'a>,
    pub domain: RawText<'a>,
    pub cli: Option<E164>,
    pub clir: bool,
    pub user_out: RawText<'a>,
    pub ip: RawText<'a>,
    pub user_agent: RawText<'a>,
}

/// The called side, as in [`crate::CdrDestination`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields of CdrDestination")]
pub struct DestinationView<'a> {
    pub party: PartyView<'a>,
    pub dialed: RawText<'a>,
    pub domain: RawText<'a>,
    pub user_in: RawText<'a>,
    pub number: Option<E164>,
    pub user_out: RawText<'a>,
    pub user_agent: RawText<'a>,
}

/// What is known beyond what a call is billed by, as in [`crate::CdrDetail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields of CdrDetail")]
pub struct DetailView<'a> {
    pub reason: RawText<'a>,
    pub setup_us: Option<u64>,
    pub asserted_identity: RawText<'a>,
    pub diversion: RawText<'a>,
    pub emergency: bool,
    pub stir: RawText<'a>,
    pub preferred_identity: RawText<'a>,
    pub user_to_user: RawText<'a>,
    pub history_info: RawText<'a>,
    pub media: Option<MediaQuality>,
    pub peer_auth_user: RawText<'a>,
    pub peer_auth_realm: RawText<'a>,
}

/// What one party owes, as in [`Charge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Charge")]
pub struct ChargeView<'a> {
    pub provider: Provider,
    pub direction: Direction,
    pub account: AccountId,
    pub profile: RawText<'a>,
    pub matched: RawText<'a>,
    pub zone: RawText<'a>,
    pub zone_detail: RawText<'a>,
    pub currency: RawText<'a>,
    pub cost: RawDecimal,
    pub free_seconds: u64,
    pub free_cash: RawDecimal,
    pub billed_seconds: u64,
    pub onpeak_seconds: u64,
    pub offpeak_seconds: u64,
}

/// A rated call, as in [`RatedCdr`]. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Cdr")]
pub struct RatedView<'a> {
    pub id: CdrId,
    pub revision: u32,
    pub call: RawText<'a>,
    pub leg: u16,
    pub sip_call_id: RawText<'a>,
    pub node: RawText<'a>,
    pub tenant: TenantId,
    pub source: SourceView<'a>,
    pub destination: DestinationView<'a>,
    pub call_type: CallType,
    pub status: CallStatus,
    pub code: u16,
    pub cause: Cause,
    pub ended_by: Initiator,
    pub init_at_us: i64,
    pub start_at_us: i64,
    pub duration_us: u64,
    pub pdd_us: Option<u64>,
    pub codec: RawText<'a>,
    pub partial: bool,
    pub detail: DetailView<'a>,
    pub charges: Vec<ChargeView<'a>>,
}

impl Default for RatedView<'_> {
    fn default() -> Self {
        Self {
            id: CdrId::from_bytes([0; 16]),
            revision: 0,
            call: &[],
            leg: 0,
            sip_call_id: &[],
            node: &[],
            tenant: TenantId::default(),
            source: SourceView::default(),
            destination: DestinationView::default(),
            call_type: CallType::Call,
            status: CallStatus::Other,
            code: 0,
            cause: Cause::Other,
            ended_by: Initiator::Switch,
            init_at_us: 0,
            start_at_us: 0,
            duration_us: 0,
            pdd_us: None,
            codec: &[],
            partial: false,
            detail: DetailView::default(),
            charges: Vec::new(),
        }
    }
}

impl<'a> RatedView<'a> {
    /// Reads the bytes of [`super::encode_rated`] over what was here before. `wants` is asked of each charge by level, side and
    /// account; the others are stepped over.
    ///
    /// # Errors
    ///
    /// What [`decode_rated`] says of the bytes.
    pub fn read(
        &mut self,
        bytes: &'a [u8],
        wants: impl Fn(Provider, Direction, AccountId) -> bool,
    ) -> Result<(), WireError> {
        self.charges.clear();
        if self.try_read(bytes, wants).is_some() {
            return Ok(());
        }
        match decode_rated(bytes) {
            Err(why) => Err(why),
            Ok(_) => Err(WireError::Malformed { reason: "its parts are not each there once".to_owned() }),
        }
    }

    /// The view of a call that was read in full.
    pub fn of(rated: &'a RatedCdr) -> Self {
        let (cdr, detail) = (&rated.cdr, &rated.cdr.detail);
        Self {
            id: cdr.id,
            revision: cdr.revision,
            call: cdr.call.as_str().as_bytes(),
            leg: cdr.leg,
            sip_call_id: cdr.sip_call_id.as_bytes(),
            node: cdr.node.as_bytes(),
            tenant: cdr.tenant,
            source: SourceView {
                party: PartyView::of(&cdr.source.party),
                user: cdr.source.user.as_bytes(),
                domain: cdr.source.domain.as_bytes(),
                cli: cdr.source.cli,
                clir: cdr.source.clir,
                user_out: cdr.source.user_out.as_bytes(),
                ip: cdr.source.ip.as_bytes(),
                user_agent: cdr.source.user_agent.as_bytes(),
            },
            destination: DestinationView {
                party: PartyView::of(&cdr.destination.party),
                dialed: cdr.destination.dialed.as_bytes(),
                domain: cdr.destination.domain.as_bytes(),
                user_in: cdr.destination.user_in.as_bytes(),
                number: cdr.destination.number,
                user_out: cdr.destination.user_out.as_bytes(),
                user_agent: cdr.destination.user_agent.as_bytes(),
            },
            call_type: cdr.call_type,
            status: cdr.status,
            code: cdr.code,
            cause: cdr.cause,
            ended_by: cdr.ended_by,
            init_at_us: cdr.init_at.timestamp_micros(),
            start_at_us: cdr.start_at.timestamp_micros(),
            duration_us: cdr.duration_us,
            pdd_us: cdr.pdd_us,
            codec: cdr.codec.as_bytes(),
            partial: cdr.partial,
            detail: DetailView {
                reason: detail.reason.as_bytes(),
                setup_us: detail.setup_us,
                asserted_identity: detail.asserted_identity.as_bytes(),
                diversion: detail.diversion.as_bytes(),
                emergency: detail.emergency,
                stir: detail.stir.as_bytes(),
                preferred_identity: detail.preferred_identity.as_bytes(),
                user_to_user: detail.user_to_user.as_bytes(),
                history_info: detail.history_info.as_bytes(),
                media: detail.media,
                peer_auth_user: detail.peer_auth_user.as_bytes(),
                peer_auth_realm: detail.peer_auth_realm.as_bytes(),
            },
            charges: rated.charges.iter().map(ChargeView::of).collect(),
        }
    }

    /// As [`crate::Cdr::end_at`], in microseconds since 1970; the end of the calendar for a duration that goes beyond it.
    #[inline]
    pub fn end_at_us(&self) -> i64 {
        let end = self.start_at_us.saturating_add(i64::try_from(self.duration_us).unwrap_or(i64::MAX));
        end.min(DateTime::<Utc>::MAX_UTC.timestamp_micros())
    }

    /// As [`crate::Cdr::is_answered`].
    pub fn is_answered(&self) -> bool {
        matches!(self.status, CallStatus::Ok | CallStatus::Failed) && self.code == 200
    }

    fn try_read(
        &mut self,
        bytes: &'a [u8],
        wants: impl Fn(Provider, Direction, AccountId) -> bool,
    ) -> Option<()> {
        let mut reader = Reader(bytes);
        let mut has_cdr = false;
        while let Some((field, kind)) = reader.tag()? {
            match (field, kind) {
                (1, LEN) if !has_cdr => {
                    has_cdr = true;
                    self.read_cdr(reader.bytes()?)?;
                }
                (2, LEN) => {
                    if let Some(charge) = ChargeView::read(reader.bytes()?, &wants)? {
                        self.charges.push(charge);
                    }
                }
                (1 | 2, _) => return None,
                (_, kind) => reader.skip(kind)?,
            }
        }
        has_cdr.then_some(())
    }

    fn read_cdr(&mut self, bytes: &'a [u8]) -> Option<()> {
        let charges = std::mem::take(&mut self.charges);
        *self = Self { charges, ..Self::default() };
        // What has no zero among its words is looked at once the record has told it.
        let (mut call_type, mut status, mut cause, mut ended_by) = (0, 0, 0, 0);
        let (mut id, mut source, mut destination) = (None, None, None);
        let mut reader = Reader(bytes);
        while let Some((field, kind)) = reader.tag()? {
            match (field, kind) {
                (1, LEN) => id = Some(<[u8; 16]>::try_from(reader.bytes()?).ok()?),
                (2, INT) => self.revision = reader.u32()?,
                (3, LEN) => self.call = reader.bytes()?,
                (4, INT) => self.leg = u16::try_from(reader.u32()?).ok()?,
                (5, LEN) => self.sip_call_id = reader.bytes()?,
                (6, LEN) => self.node = reader.bytes()?,
                (7, INT) => self.tenant = TenantId(reader.i64()?),
                (9, LEN) if source.is_none() => source = Some(SourceView::read(reader.bytes()?)?),
                (10, LEN) if destination.is_none() => {
                    destination = Some(DestinationView::read(reader.bytes()?)?);
                }
                (11, INT) => call_type = reader.word()?,
                (12, INT) => status = reader.word()?,
                (13, INT) => self.code = u16::try_from(reader.u32()?).ok()?,
                (14, INT) => cause = reader.word()?,
                (15, INT) => ended_by = reader.word()?,
                (16, INT) => self.init_at_us = reader.time()?,
                (17, INT) => self.start_at_us = reader.time()?,
                (18, INT) => self.duration_us = reader.varint()?,
                (19, INT) => self.pdd_us = Some(reader.varint()?),
                (20, LEN) => self.codec = reader.bytes()?,
                (23, INT) => self.partial = reader.varint()? != 0,
                (24, LEN) => self.detail.read(reader.bytes()?)?,
                (1..=7 | 9..=20 | 23 | 24, _) => return None,
                (_, kind) => reader.skip(kind)?,
            }
        }
        self.id = CdrId::from_bytes(id?);
        self.source = source?;
        self.destination = destination?;
        self.call_type = CallType::of(call_type, "").ok()?;
        self.status = CallStatus::of(status, "").ok()?;
        self.cause = Cause::of(cause, "").ok()?;
        self.ended_by = Initiator::of(ended_by, "").ok()?;
        Some(())
    }
}

impl<'a> PartyView<'a> {
    /// The view of a party.
    pub fn of(party: &'a Party) -> Self {
        match party {
            Party::Subscriber { subscriber, account, reseller, uuid } => PartyView::Subscriber {
                subscriber: *subscriber,
                account: *account,
                reseller: *reseller,
                uuid: uuid.as_bytes(),
            },
            Party::Trunk { trunk, account } => PartyView::Trunk { trunk: *trunk, account: *account },
            Party::Unknown => PartyView::Unknown,
        }
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (which, kind) = reader.tag()??;
        if kind != LEN {
            return None;
        }
        let mut inner = Reader(reader.bytes()?);
        if !reader.0.is_empty() {
            return None;
        }
        let (mut first, mut second, mut third, mut uuid): (_, _, _, RawText<'a>) = (0, 0, 0, &[]);
        while let Some((field, kind)) = inner.tag()? {
            match (which, field, kind) {
                (1 | 2, 1, INT) => first = inner.i64()?,
                (1 | 2, 2, INT) => second = inner.i64()?,
                (1, 3, INT) => third = inner.i64()?,
                (1, 4, LEN) => uuid = inner.bytes()?,
                (1, 1..=4, _) | (2, 1..=2, _) => return None,
                (_, _, kind) => inner.skip(kind)?,
            }
        }
        match which {
            1 => Some(PartyView::Subscriber {
                subscriber: SubscriberId(first),
                account: AccountId(second),
                reseller: AccountId(third),
                uuid,
            }),
            2 => Some(PartyView::Trunk { trunk: TrunkId(first), account: AccountId(second) }),
            3 => Some(PartyView::Unknown),
            _ => None,
        }
    }
}

impl<'a> SourceView<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mut source, mut party) = (Self::default(), None);
        let mut reader = Reader(bytes);
        while let Some((field, kind)) = reader.tag()? {
            match (field, kind) {
                (1, LEN) if party.is_none() => party = Some(PartyView::read(reader.bytes()?)?),
                (2, LEN) => source.user = reader.bytes()?,
                (3, LEN) => source.domain = reader.bytes()?,
                (4, INT) => source.cli = reader.number()?,
                (5, INT) => source.clir = reader.varint()? != 0,
                (6, LEN) => source.user_out = reader.bytes()?,
                (7, LEN) => source.ip = reader.bytes()?,
                (8, LEN) => source.user_agent = reader.bytes()?,
                (1..=8, _) => return None,
                (_, kind) => reader.skip(kind)?,
            }
        }
        source.party = party?;
        Some(source)
    }
}

impl<'a> DestinationView<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mut destination, mut party) = (Self::default(), None);
        let mut reader = Reader(bytes);
        while let Some((field, kind)) = reader.tag()? {
            match (field, kind) {
                (1, LEN) if party.is_none() => party = Some(PartyView::read(reader.bytes()?)?),
                (2, LEN) => destination.dialed = reader.bytes()?,
                (3, LEN) => destination.domain = reader.bytes()?,
                (4, LEN) => destination.user_in = reader.bytes()?,
                (5, INT) => destination.number = reader.number()?,
                (6, LEN) => destination.user_out = reader.bytes()?,
                (7, LEN) => destination.user_agent = reader.bytes()?,
                (1..=7, _) => return None,
                (_, kind) => reader.skip(kind)?,
            }
        }
        destination.party = party?;
        Some(destination)
    }
}

impl<'a> DetailView<'a> {
    fn read(&mut self, bytes: &'a [u8]) -> Option<()> {
        let mut reader = Reader(bytes);
        while let Some((field, kind)) = reader.tag()? {
            match (field, kind) {
                (1, LEN) => self.reason = reader.bytes()?,
                (3, INT) => self.setup_us = Some(reader.varint()?),
                (6, LEN) => self.asserted_identity = reader.bytes()?,
                (7, LEN) => self.diversion = reader.bytes()?,
                (9, INT) => self.emergency = reader.varint()? != 0,
                (10, LEN) => self.stir = reader.bytes()?,
                (11, LEN) => self.preferred_identity = reader.bytes()?,
                (12, LEN) => self.user_to_user = reader.bytes()?,
                (13, LEN) => self.history_info = reader.bytes()?,
                (14, LEN) if self.media.is_none() => self.media = Some(read_media(reader.bytes()?)?),
                (15, LEN) => self.peer_auth_user = reader.bytes()?,
                (16, LEN) => self.peer_auth_realm = reader.bytes()?,
                (1 | 3 | 6 | 7 | 9..=16, _) => return None,
                (_, kind) => reader.skip(kind)?,
            }
        }
        Some(())
    }
}

fn read_media(bytes: &[u8]) -> Option<MediaQuality> {
    let mut media = MediaQuality::default();
    let mut reader = Reader(bytes);
    while let Some((field, kind)) = reader.tag()? {
        match (field, kind) {
            (1, INT) => media.mos_hundredths = Some(reader.u32()?),
            (2, INT) => media.loss_hundredths = Some(reader.u32()?),
            (3, INT) => media.jitter_us = Some(reader.u32()?),
            (4, INT) => media.round_trip_us = Some(reader.u32()?),
            (1..=4, _) => return None,
            (_, kind) => reader.skip(kind)?,
        }
    }
    Some(media)
}

impl<'a> ChargeView<'a> {
    /// The view of a charge.
    pub fn of(charge: &'a Charge) -> Self {
        Self {
            provider: charge.provider,
            direction: charge.direction,
            account: charge.account,
            profile: charge.profile.as_bytes(),
            matched: charge.matched.as_bytes(),
            zone: charge.zone.as_bytes(),
            zone_detail: charge.zone_detail.as_bytes(),
            currency: charge.currency.as_str().as_bytes(),
            cost: charge.cost.into(),
            free_seconds: charge.free_seconds,
            free_cash: charge.free_cash.into(),
            billed_seconds: charge.billed_seconds,
            onpeak_seconds: charge.onpeak_seconds,
            offpeak_seconds: charge.offpeak_seconds,
        }
    }

    /// `Some(None)` of one that is not wanted.
    fn read(
        bytes: &'a [u8],
        wants: &impl Fn(Provider, Direction, AccountId) -> bool,
    ) -> Option<Option<Self>> {
        let mut reader = Reader(bytes);
        let (mut provider, mut direction, mut account) = (0, 0, 0);
        // These three come first in what we write; where they do not, the charge is not skipped.
        let mut head = reader;
        while let Some((field @ 1..=3, INT)) = head.tag()? {
            match field {
                1 => provider = head.word()?,
                2 => direction = head.word()?,
                _ => account = head.i64()?,
            }
            reader = head;
        }
        let mut charge = Self {
            provider: Provider::of(provider, "").ok()?,
            direction: Direction::of(direction, "").ok()?,
            account: AccountId(account),
            profile: &[],
            matched: &[],
            zone: &[],
            zone_detail: &[],
            currency: &[],
            cost: RawDecimal::default(),
            free_seconds: 0,
            free_cash: RawDecimal::default(),
            billed_seconds: 0,
            onpeak_seconds: 0,
            offpeak_seconds: 0,
        };
        if !wants(charge.provider, charge.direction, charge.account) {
            return Some(None);
        }
        let (mut cost, mut free_cash) = (None, None);
        while let Some((field, kind)) = reader.tag()? {
            match (field, kind) {
                (5, LEN) => charge.profile = reader.bytes()?,
                (7, LEN) => charge.matched = reader.bytes()?,
                (8, LEN) => charge.zone = reader.bytes()?,
                (9, LEN) => charge.zone_detail = reader.bytes()?,
                (10, LEN) => charge.currency = reader.bytes()?,
                (11, LEN) if cost.is_none() => cost = Some(reader.decimal()?),
                (12, INT) => charge.free_seconds = reader.varint()?,
                (13, LEN) if free_cash.is_none() => free_cash = Some(reader.decimal()?),
                (14, INT) => charge.billed_seconds = reader.varint()?,
                (15, INT) => charge.onpeak_seconds = reader.varint()?,
                (16, INT) => charge.offpeak_seconds = reader.varint()?,
                (1..=3 | 5 | 7..=16, _) => return None,
                (_, kind) => reader.skip(kind)?,
            }
        }
        charge.cost = cost?;
        charge.free_cash = free_cash?;
        let is_currency = charge.currency.len() == 3 && charge.currency.iter().all(u8::is_ascii_uppercase);
        is_currency.then_some(Some(charge))
    }
}

/// Kinds of fields (protobuf, "wire types").
const INT: u8 = 0;
const LEN: u8 = 2;

/// What is left to be read. `None` wherever the bytes are not what they should be.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Number and kind of the next field; `Some(None)` at the end.
    #[inline(always)]
    #[expect(clippy::option_option, reason = "broken, at the end, a field")]
    fn tag(&mut self) -> Option<Option<(u32, u8)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).ok().filter(|field| *field > 0)?;
        Some(Some((field, u8::try_from(tag & 7).ok()?)))
    }

    #[inline(always)]
    fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if *first < 0x80 {
            self.0 = rest;
            return Some(u64::from(*first));
        }
        self.long_varint()
    }

    #[inline]
    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            // The tenth has one bit left.
            if at == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * at);
            if *byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    #[inline(always)]
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "as protobuf has it: the low 32 bits")]
    fn u32(&mut self) -> Option<u32> {
        Some(self.varint()? as u32)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "as protobuf has it: the low 32 bits")]
    fn word(&mut self) -> Option<i32> {
        Some(self.varint()? as i32)
    }

    #[inline(always)]
    fn i64(&mut self) -> Option<i64> {
        Some(self.varint()?.cast_signed())
    }

    #[inline(always)]
    fn number(&mut self) -> Option<Option<E164>> {
        match self.varint()? {
            0 => Some(None),
            digits => E164::from_u64(digits).map(Some),
        }
    }

    /// Microseconds since 1970, of the years that a calendar has.
    #[inline(always)]
    fn time(&mut self) -> Option<i64> {
        let micros = self.i64()?;
        let range = DateTime::<Utc>::MIN_UTC.timestamp_micros()..=DateTime::<Utc>::MAX_UTC.timestamp_micros();
        range.contains(&micros).then_some(micros)
    }

    #[inline(always)]
    fn decimal(&mut self) -> Option<RawDecimal> {
        let mut inner = Reader(self.bytes()?);
        let mut decimal = RawDecimal::default();
        let zigzag = |bits: u64| (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed();
        while let Some((field, kind)) = inner.tag()? {
            match (field, kind) {
                (1, INT) => decimal.low = zigzag(inner.varint()?),
                (2, INT) => decimal.high = zigzag(inner.varint()?),
                (3, INT) => decimal.scale = inner.u32()?,
                (1..=3, _) => return None,
                (_, kind) => inner.skip(kind)?,
            }
        }
        decimal.is_valid().then_some(decimal)
    }

    fn skip(&mut self, kind: u8) -> Option<()> {
        match kind {
            INT => self.varint().map(|_| ()),
            LEN => self.bytes().map(|_| ()),
            1 => self.0.split_at_checked(8).map(|(_, rest)| self.0 = rest),
            5 => self.0.split_at_checked(4).map(|(_, rest)| self.0 = rest),
            _ => None,
        }
    }
}
