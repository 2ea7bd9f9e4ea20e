//! A rated call read where it lies: its texts stay in the bytes that [`super::encode_rated`] made, so that a file of half a million
//! calls is written without a string for each of their fields.
//!
//! What a tariff shows of its workings (pieces, rounding, conversion) and the routes tried are stepped over. A property holds the
//! view to [`super::decode_rated`], which also says what is wrong with bytes that are no call.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::quick::read_media;
use super::reader::{Reader, tag};
use super::words::Word;
use super::{WireError, decode_rated};
use crate::{
    AccountId, CallStatus, CallType, Cause, CdrDetail, CdrId, Charge, Direction, E164, Initiator,
    MediaQuality, Party, Provider, RatedCdr, SubscriberId, TenantId, TrunkId,
};

/// A text as it lies in the record: UTF-8 if the record is one of ours, which nobody has looked at yet.
#[derive(Clone, Copy, Default)]
pub struct RawText<'a> {
    /// From its first byte to the end of the record, so that a few bytes more can be read in one piece.
    from: &'a [u8],
    len: usize,
}

impl<'a> RawText<'a> {
    /// A text that lies by itself.
    #[inline]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { from: text, len: text.len() }
    }

    /// The first so many of these bytes. [`RawText::as_bytes`] panics where there are fewer.
    #[inline(always)]
    pub const fn in_front_of(from: &'a [u8], len: usize) -> Self {
        Self { from, len }
    }

    /// Its bytes.
    #[inline(always)]
    pub fn as_bytes(self) -> &'a [u8] {
        &self.from[..self.len]
    }

    /// How many.
    #[inline(always)]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// So many bytes from its first on, of which only [`RawText::len`] are its own; `None` at the end of a record.
    #[inline(always)]
    pub fn piece<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.from.first_chunk()
    }
}

impl PartialEq for RawText<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RawText<'_> {}

impl std::fmt::Debug for RawText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().fmt(f)
    }
}

/// A decimal as it lies in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawDecimal {
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) scale: u32,
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

    #[inline(always)]
    pub(super) fn is_valid(self) -> bool {
        if self.high == 0 && self.low != i64::MIN {
            return self.scale <= Decimal::MAX_SCALE;
        }
        self.is_valid_in_full()
    }

    #[cold]
    fn is_valid_in_full(self) -> bool {
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
    /// Whether something of it may be told.
    pub(super) has_detail: bool,
}

impl Default for RatedView<'_> {
    fn default() -> Self {
        Self {
            id: CdrId::from_bytes([0; 16]),
            revision: 0,
            call: RawText::default(),
            leg: 0,
            sip_call_id: RawText::default(),
            node: RawText::default(),
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
            codec: RawText::default(),
            partial: false,
            detail: DetailView::default(),
            charges: Vec::new(),
            has_detail: false,
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
    #[inline(always)]
    pub fn read(
        &mut self,
        bytes: &'a [u8],
        wants: impl Fn(Provider, Direction, AccountId) -> bool,
    ) -> Result<(), WireError> {
        self.charges.clear();
        if self.read_in_order(bytes, &wants).is_some() {
            return Ok(());
        }
        self.read_in_any_order(bytes, wants)
    }

    /// The same, for calls that are few: slower, and a fraction of the code.
    ///
    /// # Errors
    ///
    /// What [`decode_rated`] says of the bytes.
    #[cold]
    pub fn read_in_any_order(
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
            call: RawText::new(cdr.call.as_str().as_bytes()),
            leg: cdr.leg,
            sip_call_id: RawText::new(cdr.sip_call_id.as_bytes()),
            node: RawText::new(cdr.node.as_bytes()),
            tenant: cdr.tenant,
            source: SourceView {
                party: PartyView::of(&cdr.source.party),
                user: RawText::new(cdr.source.user.as_bytes()),
                domain: RawText::new(cdr.source.domain.as_bytes()),
                cli: cdr.source.cli,
                clir: cdr.source.clir,
                user_out: RawText::new(cdr.source.user_out.as_bytes()),
                ip: RawText::new(cdr.source.ip.as_bytes()),
                user_agent: RawText::new(cdr.source.user_agent.as_bytes()),
            },
            destination: DestinationView {
                party: PartyView::of(&cdr.destination.party),
                dialed: RawText::new(cdr.destination.dialed.as_bytes()),
                domain: RawText::new(cdr.destination.domain.as_bytes()),
                user_in: RawText::new(cdr.destination.user_in.as_bytes()),
                number: cdr.destination.number,
                user_out: RawText::new(cdr.destination.user_out.as_bytes()),
                user_agent: RawText::new(cdr.destination.user_agent.as_bytes()),
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
            codec: RawText::new(cdr.codec.as_bytes()),
            partial: cdr.partial,
            detail: DetailView {
                reason: RawText::new(detail.reason.as_bytes()),
                setup_us: detail.setup_us,
                asserted_identity: RawText::new(detail.asserted_identity.as_bytes()),
                diversion: RawText::new(detail.diversion.as_bytes()),
                emergency: detail.emergency,
                stir: RawText::new(detail.stir.as_bytes()),
                preferred_identity: RawText::new(detail.preferred_identity.as_bytes()),
                user_to_user: RawText::new(detail.user_to_user.as_bytes()),
                history_info: RawText::new(detail.history_info.as_bytes()),
                media: detail.media,
                peer_auth_user: RawText::new(detail.peer_auth_user.as_bytes()),
                peer_auth_realm: RawText::new(detail.peer_auth_realm.as_bytes()),
            },
            charges: rated.charges.iter().map(ChargeView::of).collect(),
            has_detail: *detail != CdrDetail::default(),
        }
    }

    /// As [`crate::Cdr::end_at`], in microseconds since 1970; the end of the calendar for a duration that goes beyond it.
    #[inline]
    pub fn end_at_us(&self) -> i64 {
        const LAST_US: i64 = DateTime::<Utc>::MAX_UTC.timestamp_micros();
        let end = self.start_at_us.saturating_add(i64::try_from(self.duration_us).unwrap_or(i64::MAX));
        end.min(LAST_US)
    }

    /// Whether something of [`RatedView::detail`] may be told; nothing of it is, else.
    #[inline(always)]
    pub const fn has_detail(&self) -> bool {
        self.has_detail
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
        while let Some(tag) = reader.tag()? {
            match tag {
                tag::LEN_1 if !has_cdr => {
                    has_cdr = true;
                    self.read_cdr(reader.bytes()?)?;
                }
                tag::LEN_2 => {
                    if let Some(charge) = ChargeView::read(reader.bytes()?, &wants)? {
                        self.charges.push(charge);
                    }
                }
                other => reader.skip(other, |field| matches!(field, 1 | 2))?,
            }
        }
        has_cdr.then_some(())
    }

    /// Forgets what a record need not tell, in place: what it must is overwritten.
    fn clear(&mut self) {
        self.revision = 0;
        self.call = RawText::default();
        self.leg = 0;
        self.sip_call_id = RawText::default();
        self.node = RawText::default();
        self.tenant = TenantId(0);
        self.code = 0;
        self.init_at_us = 0;
        self.start_at_us = 0;
        self.duration_us = 0;
        self.pdd_us = None;
        self.codec = RawText::default();
        self.partial = false;
        if self.has_detail {
            self.detail = DetailView::default();
            self.has_detail = false;
        }
    }

    fn read_cdr(&mut self, bytes: &'a [u8]) -> Option<()> {
        self.clear();
        // What has no zero among its words is looked at once the record has told it.
        let (mut call_type, mut status, mut cause, mut ended_by) = (0, 0, 0, 0);
        let (mut id, mut source, mut destination) = (None, None, None);
        let mut reader = Reader(bytes);
        while let Some(tag) = reader.tag()? {
            match tag {
                tag::LEN_1 => id = Some(<[u8; 16]>::try_from(reader.bytes()?).ok()?),
                tag::INT_2 => self.revision = reader.u32()?,
                tag::LEN_3 => self.call = reader.text()?,
                tag::INT_4 => self.leg = u16::try_from(reader.u32()?).ok()?,
                tag::LEN_5 => self.sip_call_id = reader.text()?,
                tag::LEN_6 => self.node = reader.text()?,
                tag::INT_7 => self.tenant = TenantId(reader.i64()?),
                tag::LEN_9 if source.is_none() => source = Some(SourceView::read(reader.bytes()?)?),
                tag::LEN_10 if destination.is_none() => {
                    destination = Some(DestinationView::read(reader.bytes()?)?);
                }
                tag::INT_11 => call_type = reader.word()?,
                tag::INT_12 => status = reader.word()?,
                tag::INT_13 => self.code = u16::try_from(reader.u32()?).ok()?,
                tag::INT_14 => cause = reader.word()?,
                tag::INT_15 => ended_by = reader.word()?,
                tag::INT_16 => self.init_at_us = reader.time()?,
                tag::INT_17 => self.start_at_us = reader.time()?,
                tag::INT_18 => self.duration_us = reader.varint()?,
                tag::INT_19 => self.pdd_us = Some(reader.varint()?),
                tag::LEN_20 => self.codec = reader.text()?,
                tag::INT_23 => self.partial = reader.varint()? != 0,
                tag::LEN_24 => {
                    self.has_detail = true;
                    self.detail.read(reader.bytes()?)?;
                }
                other => reader.skip(other, |field| matches!(field, 1..=7 | 9..=20 | 23 | 24))?,
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
                uuid: RawText::new(uuid.as_bytes()),
            },
            Party::Trunk { trunk, account } => PartyView::Trunk { trunk: *trunk, account: *account },
            Party::Unknown => PartyView::Unknown,
        }
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let which = reader.tag()??;
        let mut inner = Reader(reader.bytes()?);
        if !reader.0.is_empty() {
            return None;
        }
        let (mut first, mut second, mut third, mut uuid) = (0, 0, 0, RawText::default());
        while let Some(tag) = inner.tag()? {
            match tag {
                tag::INT_1 => first = inner.i64()?,
                tag::INT_2 => second = inner.i64()?,
                tag::INT_3 if which == tag::LEN_1 => third = inner.i64()?,
                tag::LEN_4 if which == tag::LEN_1 => uuid = inner.text()?,
                other => inner.skip(other, |field| field <= 2 || which == tag::LEN_1 && field <= 4)?,
            }
        }
        match which {
            tag::LEN_1 => Some(PartyView::Subscriber {
                subscriber: SubscriberId(first),
                account: AccountId(second),
                reseller: AccountId(third),
                uuid,
            }),
            tag::LEN_2 => Some(PartyView::Trunk { trunk: TrunkId(first), account: AccountId(second) }),
            tag::LEN_3 => Some(PartyView::Unknown),
            _ => None,
        }
    }
}

impl<'a> SourceView<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mut source, mut party) = (Self::default(), None);
        let mut reader = Reader(bytes);
        while let Some(tag) = reader.tag()? {
            match tag {
                tag::LEN_1 if party.is_none() => party = Some(PartyView::read(reader.bytes()?)?),
                tag::LEN_2 => source.user = reader.text()?,
                tag::LEN_3 => source.domain = reader.text()?,
                tag::INT_4 => source.cli = reader.number()?,
                tag::INT_5 => source.clir = reader.varint()? != 0,
                tag::LEN_6 => source.user_out = reader.text()?,
                tag::LEN_7 => source.ip = reader.text()?,
                tag::LEN_8 => source.user_agent = reader.text()?,
                other => reader.skip(other, |field| matches!(field, 1..=8))?,
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
        while let Some(tag) = reader.tag()? {
            match tag {
                tag::LEN_1 if party.is_none() => party = Some(PartyView::read(reader.bytes()?)?),
                tag::LEN_2 => destination.dialed = reader.text()?,
                tag::LEN_3 => destination.domain = reader.text()?,
                tag::LEN_4 => destination.user_in = reader.text()?,
                tag::INT_5 => destination.number = reader.number()?,
                tag::LEN_6 => destination.user_out = reader.text()?,
                tag::LEN_7 => destination.user_agent = reader.text()?,
                other => reader.skip(other, |field| matches!(field, 1..=7))?,
            }
        }
        destination.party = party?;
        Some(destination)
    }
}

impl<'a> DetailView<'a> {
    fn read(&mut self, bytes: &'a [u8]) -> Option<()> {
        let mut reader = Reader(bytes);
        while let Some(tag) = reader.tag()? {
            match tag {
                tag::LEN_1 => self.reason = reader.text()?,
                tag::INT_3 => self.setup_us = Some(reader.varint()?),
                tag::LEN_6 => self.asserted_identity = reader.text()?,
                tag::LEN_7 => self.diversion = reader.text()?,
                tag::INT_9 => self.emergency = reader.varint()? != 0,
                tag::LEN_10 => self.stir = reader.text()?,
                tag::LEN_11 => self.preferred_identity = reader.text()?,
                tag::LEN_12 => self.user_to_user = reader.text()?,
                tag::LEN_13 => self.history_info = reader.text()?,
                tag::LEN_14 if self.media.is_none() => self.media = Some(read_media(reader.bytes()?)?),
                tag::LEN_15 => self.peer_auth_user = reader.text()?,
                tag::LEN_16 => self.peer_auth_realm = reader.text()?,
                other => reader.skip(other, |field| matches!(field, 1 | 3 | 6 | 7 | 9..=16))?,
            }
        }
        Some(())
    }
}

impl<'a> ChargeView<'a> {
    /// The view of a charge.
    pub fn of(charge: &'a Charge) -> Self {
        Self {
            provider: charge.provider,
            direction: charge.direction,
            account: charge.account,
            profile: RawText::new(charge.profile.as_bytes()),
            matched: RawText::new(charge.matched.as_bytes()),
            zone: RawText::new(charge.zone.as_bytes()),
            zone_detail: RawText::new(charge.zone_detail.as_bytes()),
            currency: RawText::new(charge.currency.as_str().as_bytes()),
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
        while let Some(tag) = head.tag()? {
            match tag {
                tag::INT_1 => provider = head.word()?,
                tag::INT_2 => direction = head.word()?,
                tag::INT_3 => account = head.i64()?,
                _ => break,
            }
            reader = head;
        }
        let mut charge = Self {
            provider: Provider::of(provider, "").ok()?,
            direction: Direction::of(direction, "").ok()?,
            account: AccountId(account),
            profile: RawText::default(),
            matched: RawText::default(),
            zone: RawText::default(),
            zone_detail: RawText::default(),
            currency: RawText::default(),
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
        while let Some(tag) = reader.tag()? {
            match tag {
                tag::LEN_5 => charge.profile = reader.text()?,
                tag::LEN_7 => charge.matched = reader.text()?,
                tag::LEN_8 => charge.zone = reader.text()?,
                tag::LEN_9 => charge.zone_detail = reader.text()?,
                tag::LEN_10 => charge.currency = reader.text()?,
                tag::LEN_11 if cost.is_none() => cost = Some(reader.decimal()?),
                tag::INT_12 => charge.free_seconds = reader.varint()?,
                tag::LEN_13 if free_cash.is_none() => free_cash = Some(reader.decimal()?),
                tag::INT_14 => charge.billed_seconds = reader.varint()?,
                tag::INT_15 => charge.onpeak_seconds = reader.varint()?,
                tag::INT_16 => charge.offpeak_seconds = reader.varint()?,
                other => reader.skip(other, |field| matches!(field, 1..=3 | 5 | 7..=16))?,
            }
        }
        charge.cost = cost?;
        charge.free_cash = free_cash?;
        is_currency(charge.currency).then_some(Some(charge))
    }
}

#[inline(always)]
pub(super) fn is_currency(text: RawText<'_>) -> bool {
    text.len() == 3 && text.as_bytes().iter().all(u8::is_ascii_uppercase)
}

impl<'a> Reader<'a> {
    fn text(&mut self) -> Option<RawText<'a>> {
        self.bytes().map(RawText::new)
    }

    fn decimal(&mut self) -> Option<RawDecimal> {
        let mut inner = Reader(self.bytes()?);
        let mut decimal = RawDecimal::default();
        let zigzag = |bits: u64| (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed();
        while let Some(tag) = inner.tag()? {
            match tag {
                tag::INT_1 => decimal.low = zigzag(inner.varint()?),
                tag::INT_2 => decimal.high = zigzag(inner.varint()?),
                tag::INT_3 => decimal.scale = inner.u32()?,
                other => inner.skip(other, |field| matches!(field, 1..=3))?,
            }
        }
        decimal.is_valid().then_some(decimal)
    }
}
