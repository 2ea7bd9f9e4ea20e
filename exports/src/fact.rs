//! The facts of a rated call that a file can show, by name, and which of them an owner may see.
//!
//! A format chooses facts and says how they are written; it never widens what its reader may see. That is decided
//! here, for every format alike: a carrier sees of the other side what was exchanged with it and nobody else's
//! price; a reseller sees no carrier's price and no other reseller's.

use model::wire::view::{ChargeView, PartyView, RatedView, RawDecimal, RawText};
use model::{AccountId, Direction, MediaQuality, Peak, Provider, TrunkId};

use crate::Owner;
use crate::event_fact::EventFact;
use crate::fragments::Place;

/// A side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// What a fact is, which decides how it can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    Time,
    Duration,
    Amount,
}

impl Kind {
    /// For messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "a text",
            Kind::Number => "a number",
            Kind::Flag => "a flag",
            Kind::Time => "a time",
            Kind::Duration => "a duration",
            Kind::Amount => "an amount of money",
        }
    }
}

/// Of a charge, one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfCharge {
    Cost,
    Currency,
    Zone,
    Detail,
    FreeTime,
    FreeCash,
    Billed,
    OnPeak,
    OffPeak,
    Profile,
    Matched,
}

/// Of a fragment of a call, one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfFragment {
    /// Whether the record is of one.
    Is,
    /// Counted from 1.
    Number,
    /// Record id of the one before.
    Previous,
    /// State at its start, by the tariff of this level.
    OnPeak(Provider),
}

/// What came with an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// What a peer says of the caller's number, unverified by us.
    Stir,
    AssertedIdentity,
    PreferredIdentity,
    Diversion,
    UserToUser,
    HistoryInfo,
}

/// Of the media of a call, one thing, as a party told it at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfMedia {
    /// Hundredths.
    Mos,
    /// Hundredths of a percent.
    Loss,
    Jitter,
    RoundTrip,
}

/// A fact of a rated call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    RecordId,
    RecordHex,
    Revision,
    RecordType,
    Partial,
    Tenant,
    Call,
    Leg,
    CallId,
    Node,
    /// When the record became what it is. Rating follows the end of a call within moments and a record does not
    /// tell when, so this and the next are the end of the call: the same in every file, whenever it is written.
    UpdateTime,
    RatedAt,
    RatingStatus,
    UserId(Side),
    ProviderId(Side),
    SubscriberId(Side),
    AccountId(Side),
    TrunkId(Side),
    SourceUser,
    SourceUserOut,
    SourceDomain,
    SourceCli,
    SourceClir,
    SourceIp,
    DestinationUser,
    DestinationUserIn,
    DestinationUserOut,
    DestinationUserDialed,
    DestinationDomain,
    DestinationNumber,
    Direction,
    CallType,
    CallStatus,
    CallCode,
    Cause,
    EndedBy,
    Codec,
    InitTime,
    StartTime,
    EndTime,
    Duration,
    Pdd,
    /// From the INVITE to the answer.
    Setup,
    /// Identities and headers that the caller sent, which are his and our affair, and that of the carrier he came from.
    FromCaller(Header),
    /// To an emergency number.
    Emergency,
    /// How we prove ourselves to the trunk that was used.
    PeerAuthUser,
    PeerAuthRealm,
    /// Why it ended, as a party said it.
    Reason,
    Media(OfMedia),
    Charge(Provider, Direction, OfCharge),
    /// Of the fragment that a record is of.
    Fragment(OfFragment),
    /// Of formats for events.
    Event(EventFact),
}

/// Every fact but those of charges, by the name that descriptions use.
const NAMED: &[(&str, Fact, Kind)] = &[
    ("id", Fact::RecordId, Kind::Number),
    ("id_hex", Fact::RecordHex, Kind::Text),
    ("revision", Fact::Revision, Kind::Number),
    ("record_type", Fact::RecordType, Kind::Text),
    ("partial", Fact::Partial, Kind::Flag),
    ("tenant", Fact::Tenant, Kind::Number),
    ("call", Fact::Call, Kind::Text),
    ("leg", Fact::Leg, Kind::Number),
    ("call_id", Fact::CallId, Kind::Text),
    ("node", Fact::Node, Kind::Text),
    ("update_time", Fact::UpdateTime, Kind::Time),
    ("rated_at", Fact::RatedAt, Kind::Time),
    ("rating_status", Fact::RatingStatus, Kind::Text),
    ("source_user_id", Fact::UserId(Side::Source), Kind::Text),
    ("source_provider_id", Fact::ProviderId(Side::Source), Kind::Number),
    ("source_subscriber_id", Fact::SubscriberId(Side::Source), Kind::Number),
    ("source_account_id", Fact::AccountId(Side::Source), Kind::Number),
    ("source_trunk_id", Fact::TrunkId(Side::Source), Kind::Number),
    ("source_user", Fact::SourceUser, Kind::Text),
    ("source_user_out", Fact::SourceUserOut, Kind::Text),
    ("source_domain", Fact::SourceDomain, Kind::Text),
    ("source_cli", Fact::SourceCli, Kind::Number),
    ("source_clir", Fact::SourceClir, Kind::Flag),
    ("source_ip", Fact::SourceIp, Kind::Text),
    ("destination_user_id", Fact::UserId(Side::Destination), Kind::Text),
    ("destination_provider_id", Fact::ProviderId(Side::Destination), Kind::Number),
    ("destination_subscriber_id", Fact::SubscriberId(Side::Destination), Kind::Number),
    ("destination_account_id", Fact::AccountId(Side::Destination), Kind::Number),
    ("destination_trunk_id", Fact::TrunkId(Side::Destination), Kind::Number),
    ("destination_user", Fact::DestinationUser, Kind::Text),
    ("destination_user_in", Fact::DestinationUserIn, Kind::Text),
    ("destination_user_out", Fact::DestinationUserOut, Kind::Text),
    ("destination_user_dialed", Fact::DestinationUserDialed, Kind::Text),
    ("destination_domain", Fact::DestinationDomain, Kind::Text),
    ("destination_domain_in", Fact::DestinationDomain, Kind::Text),
    ("destination_number", Fact::DestinationNumber, Kind::Number),
    ("direction", Fact::Direction, Kind::Text),
    ("call_type", Fact::CallType, Kind::Text),
    ("call_status", Fact::CallStatus, Kind::Text),
    ("call_code", Fact::CallCode, Kind::Number),
    ("cause", Fact::Cause, Kind::Text),
    ("ended_by", Fact::EndedBy, Kind::Text),
    ("codec", Fact::Codec, Kind::Text),
    ("init_time", Fact::InitTime, Kind::Time),
    ("start_time", Fact::StartTime, Kind::Time),
    ("end_time", Fact::EndTime, Kind::Time),
    ("duration", Fact::Duration, Kind::Duration),
    ("pdd", Fact::Pdd, Kind::Duration),
    ("setup_time", Fact::Setup, Kind::Duration),
    ("emergency", Fact::Emergency, Kind::Flag),
    ("stir", Fact::FromCaller(Header::Stir), Kind::Text),
    ("asserted_identity", Fact::FromCaller(Header::AssertedIdentity), Kind::Text),
    ("preferred_identity", Fact::FromCaller(Header::PreferredIdentity), Kind::Text),
    ("diversion", Fact::FromCaller(Header::Diversion), Kind::Text),
    ("user_to_user", Fact::FromCaller(Header::UserToUser), Kind::Text),
    ("history_info", Fact::FromCaller(Header::HistoryInfo), Kind::Text),
    ("peer_auth_user", Fact::PeerAuthUser, Kind::Text),
    ("peer_auth_realm", Fact::PeerAuthRealm, Kind::Text),
    ("reason", Fact::Reason, Kind::Text),
    ("is_fragmented", Fact::Fragment(OfFragment::Is), Kind::Flag),
    ("fragment", Fact::Fragment(OfFragment::Number), Kind::Number),
    ("prev_fragment_id", Fact::Fragment(OfFragment::Previous), Kind::Number),
    ("frag_carrier_onpeak", Fact::Fragment(OfFragment::OnPeak(Provider::Carrier)), Kind::Flag),
    ("frag_reseller_onpeak", Fact::Fragment(OfFragment::OnPeak(Provider::Reseller)), Kind::Flag),
    ("frag_customer_onpeak", Fact::Fragment(OfFragment::OnPeak(Provider::Customer)), Kind::Flag),
    ("media_mos_hundredths", Fact::Media(OfMedia::Mos), Kind::Number),
    ("media_loss_hundredths", Fact::Media(OfMedia::Loss), Kind::Number),
    ("media_jitter", Fact::Media(OfMedia::Jitter), Kind::Duration),
    ("media_round_trip", Fact::Media(OfMedia::RoundTrip), Kind::Duration),
];

/// `{source|destination}_{carrier|reseller|customer}_` and one of these.
const OF_CHARGE: &[(&str, OfCharge, Kind)] = &[
    ("cost", OfCharge::Cost, Kind::Amount),
    ("currency", OfCharge::Currency, Kind::Text),
    ("zone", OfCharge::Zone, Kind::Text),
    ("detail", OfCharge::Detail, Kind::Text),
    ("free_time", OfCharge::FreeTime, Kind::Number),
    ("free_cash", OfCharge::FreeCash, Kind::Amount),
    ("billed_seconds", OfCharge::Billed, Kind::Number),
    ("onpeak_seconds", OfCharge::OnPeak, Kind::Number),
    ("offpeak_seconds", OfCharge::OffPeak, Kind::Number),
    ("profile", OfCharge::Profile, Kind::Text),
    ("matched", OfCharge::Matched, Kind::Text),
];

/// The side that pays, as the reference's columns name it.
const PAYING_SIDES: [(&str, Direction); 2] = [("source", Direction::Out), ("destination", Direction::In)];

impl Fact {
    /// The fact of that name, and what it is.
    pub(crate) fn named(name: &str) -> Option<(Fact, Kind)> {
        if let Some((_, fact, kind)) = NAMED.iter().find(|(known, ..)| *known == name) {
            return Some((*fact, *kind));
        }
        let (side, rest) = name.split_once('_')?;
        let (level, what) = rest.split_once('_')?;
        let (_, direction) = PAYING_SIDES.iter().find(|(known, _)| *known == side)?;
        let provider = level.parse().ok()?;
        let (_, of, kind) = OF_CHARGE.iter().find(|(known, ..)| *known == what)?;
        Some((Fact::Charge(provider, *direction, *of), *kind))
    }

    /// The names of all, for suggestions and lists.
    pub(crate) fn names() -> Vec<String> {
        let mut names: Vec<String> = NAMED.iter().map(|(name, ..)| (*name).to_owned()).collect();
        for (side, _) in PAYING_SIDES {
            for level in Provider::ALL {
                names.extend(OF_CHARGE.iter().map(|(what, ..)| format!("{side}_{level}_{what}")));
            }
        }
        names
    }
}

/// A fact, before it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Absent,
    /// UTF-8 wherever it is shown: nobody has looked at it yet.
    Text(RawText<'a>),
    Hex([u8; 16]),
    Number(i64),
    Flag(bool),
    /// Microseconds since 1970.
    Time(i64),
    Micros(u64),
    Amount(RawDecimal),
}

/// What a record can be written from.
pub(crate) trait Facts<'a> {
    fn value(&self, fact: Fact) -> Value<'a>;

    /// The same, compiled into the one place that every field of every record passes.
    #[inline(always)]
    fn value_here(&self, fact: Fact) -> Value<'a> {
        self.value(fact)
    }

    /// When it began, in microseconds since 1970: decides the day of a file, and its first and last.
    fn at_us(&self) -> i64;
}

/// What a record is to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// The first record of a leg.
    Original,
    /// Takes back an earlier record: the same, with its amounts negated.
    Reversal,
    /// A later revision of an earlier record.
    Replacement,
}

impl RecordType {
    /// The word in files: `original`, `reversal`, `replacement`.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordType::Original => "original",
            RecordType::Reversal => "reversal",
            RecordType::Replacement => "replacement",
        }
    }
}

/// One call as one owner may see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'v, 'a> {
    pub(crate) call: &'v RatedView<'a>,
    pub(crate) viewer: Owner,
    pub(crate) record_type: RecordType,
    /// The charges that the owner may see, by [`charge_idx`]: a record asks for each of them many times.
    pub(crate) charges: [Option<&'v ChargeView<'a>>; N_CHARGES],
    /// Which fragment of a call it is, if it is one.
    pub(crate) fragment: Option<&'v Place>,
}

/// Levels times sides.
pub(crate) const N_CHARGES: usize = 6;

/// Which of the charges of a call one is.
pub(crate) const fn charge_idx(provider: Provider, direction: Direction) -> usize {
    let level = match provider {
        Provider::Carrier => 0,
        Provider::Reseller => 1,
        Provider::Customer => 2,
    };
    match direction {
        Direction::Out => level,
        Direction::In => level + 3,
    }
}

impl<'a> Facts<'a> for Row<'_, 'a> {
    #[inline(always)]
    fn at_us(&self) -> i64 {
        self.call.start_at_us
    }

    fn value(&self, fact: Fact) -> Value<'a> {
        self.value_here(fact)
    }

    #[inline(always)]
    fn value_here(&self, fact: Fact) -> Value<'a> {
        let cdr = self.call;
        match fact {
            Fact::RecordId => Value::Number(record_number(cdr.id.as_bytes())),
            Fact::RecordHex => Value::Hex(*cdr.id.as_bytes()),
            Fact::Revision => Value::Number(i64::from(cdr.revision)),
            Fact::RecordType => word(self.record_type.as_str()),
            Fact::Partial => Value::Flag(cdr.partial),
            Fact::Tenant => Value::Number(cdr.tenant.0),
            Fact::Call => text(cdr.call),
            Fact::Leg => Value::Number(i64::from(cdr.leg)),
            Fact::CallId => text(cdr.sip_call_id),
            Fact::Node => text(cdr.node),
            Fact::UpdateTime | Fact::RatedAt | Fact::EndTime => Value::Time(cdr.end_at_us()),
            Fact::RatingStatus => word("ok"),
            Fact::UserId(side) => self.user_id(side),
            Fact::ProviderId(side) => self.provider_id(side),
            Fact::SubscriberId(side) => self.subscriber_id(side),
            Fact::AccountId(side) => self.account_id(side),
            Fact::TrunkId(side) => self.trunk_id(side),
            Fact::SourceUser if self.is_far(Side::Source) => text(cdr.source.user_out),
            Fact::SourceUser => text(cdr.source.user),
            Fact::SourceUserOut => text(cdr.source.user_out),
            Fact::SourceDomain => text(cdr.source.domain),
            Fact::SourceCli => cdr.source.cli.map_or(Value::Absent, |cli| count(cli.as_u64())),
            Fact::SourceClir => Value::Flag(cdr.source.clir),
            Fact::SourceIp if self.is_far(Side::Source) => Value::Absent,
            Fact::SourceIp => text(cdr.source.ip),
            // Refused before it was sent on, a call has no final destination but the one asked for.
            Fact::DestinationUser
                if cdr.destination.user_out.is_empty() || self.is_far(Side::Destination) =>
            {
                text(cdr.destination.user_in)
            }
            Fact::DestinationUser => text(cdr.destination.user_out),
            Fact::DestinationUserIn => text(cdr.destination.user_in),
            Fact::DestinationUserOut if self.is_far(Side::Destination) => Value::Absent,
            Fact::DestinationUserOut => text(cdr.destination.user_out),
            Fact::DestinationUserDialed => text(cdr.destination.dialed),
            Fact::DestinationDomain => text(cdr.destination.domain),
            Fact::DestinationNumber => {
                cdr.destination.number.map_or(Value::Absent, |number| count(number.as_u64()))
            }
            Fact::Direction => word(way_of(cdr, self.viewer).as_str()),
            Fact::CallType => word(cdr.call_type.as_str()),
            Fact::CallStatus => word(cdr.status.as_str()),
            Fact::CallCode => Value::Number(i64::from(cdr.code)),
            Fact::Cause => word(cdr.cause.as_str()),
            Fact::EndedBy => word(cdr.ended_by.as_str()),
            Fact::Codec => text(cdr.codec),
            Fact::InitTime => Value::Time(cdr.init_at_us),
            Fact::StartTime => Value::Time(cdr.start_at_us),
            Fact::Duration => Value::Micros(cdr.duration_us),
            Fact::Pdd => cdr.pdd_us.map_or(Value::Absent, Value::Micros),
            Fact::Setup => cdr.detail.setup_us.map_or(Value::Absent, Value::Micros),
            Fact::Emergency => Value::Flag(cdr.detail.emergency),
            Fact::FromCaller(_) if self.is_far(Side::Source) => Value::Absent,
            Fact::FromCaller(Header::Stir) => text(cdr.detail.stir),
            Fact::FromCaller(Header::AssertedIdentity) => text(cdr.detail.asserted_identity),
            Fact::FromCaller(Header::PreferredIdentity) => text(cdr.detail.preferred_identity),
            Fact::FromCaller(Header::Diversion) => text(cdr.detail.diversion),
            Fact::FromCaller(Header::UserToUser) => text(cdr.detail.user_to_user),
            Fact::FromCaller(Header::HistoryInfo) => text(cdr.detail.history_info),
            Fact::PeerAuthUser | Fact::PeerAuthRealm if self.is_far(Side::Destination) => Value::Absent,
            Fact::PeerAuthUser => text(cdr.detail.peer_auth_user),
            Fact::PeerAuthRealm => text(cdr.detail.peer_auth_realm),
            Fact::Reason => text(cdr.detail.reason),
            Fact::Media(of) => cdr.detail.media.map_or(Value::Absent, |media| of_media(media, of)),
            Fact::Charge(provider, direction, of) => match self.charges[charge_idx(provider, direction)] {
                Some(charge) => self.of_charge(charge, of),
                None => Value::Absent,
            },
            Fact::Fragment(of) => self.of_fragment(of),
            // A format is of calls or of events; its facts were looked up accordingly.
            Fact::Event(_) => Value::Absent,
        }
    }
}

impl<'v, 'a> Row<'v, 'a> {
    #[inline(always)]
    pub(crate) fn new(call: &'v RatedView<'a>, viewer: Owner, record_type: RecordType) -> Self {
        let mut charges = [None; 6];
        for charge in call.charges.iter().rev() {
            if is_shown(charge.provider, charge.account, viewer) {
                charges[charge_idx(charge.provider, charge.direction)] = Some(charge);
            }
        }
        Self { call, viewer, record_type, charges, fragment: None }
    }

    fn of_fragment(&self, of: OfFragment) -> Value<'a> {
        match (of, self.fragment) {
            (OfFragment::Is, place) => Value::Flag(place.is_some()),
            (OfFragment::Number | OfFragment::Previous | OfFragment::OnPeak(_), None) => Value::Absent,
            (OfFragment::Number, Some(place)) => Value::Number(place.number.into()),
            (OfFragment::Previous, Some(place)) => {
                let number = |id: model::CdrId| Value::Number(record_number(id.as_bytes()));
                place.previous.map_or(Value::Absent, number)
            }
            (OfFragment::OnPeak(provider), Some(place)) => {
                place.peak_of(provider).map_or(Value::Absent, |peak| Value::Flag(peak == Peak::On))
            }
        }
    }

    #[inline(always)]
    fn of_charge(&self, charge: &ChargeView<'a>, of: OfCharge) -> Value<'a> {
        match of {
            OfCharge::Cost => self.amount(charge.cost),
            OfCharge::Currency => text(charge.currency),
            OfCharge::Zone => text(charge.zone),
            OfCharge::Detail => text(charge.zone_detail),
            OfCharge::FreeTime => count(charge.free_seconds),
            OfCharge::FreeCash => self.amount(charge.free_cash),
            OfCharge::Billed => count(charge.billed_seconds),
            OfCharge::OnPeak => count(charge.onpeak_seconds),
            OfCharge::OffPeak => count(charge.offpeak_seconds),
            OfCharge::Profile => text(charge.profile),
            OfCharge::Matched => text(charge.matched),
        }
    }

    fn amount(&self, amount: RawDecimal) -> Value<'a> {
        match self.record_type {
            RecordType::Original | RecordType::Replacement => Value::Amount(amount),
            RecordType::Reversal => Value::Amount(amount.negated()),
        }
    }

    #[inline]
    fn party(&self, side: Side) -> PartyView<'a> {
        match side {
            Side::Source => self.call.source.party,
            Side::Destination => self.call.destination.party,
        }
    }

    /// Whether this side is none of a carrier's business: our subscriber, or another carrier. Its ids, address
    /// and user names are not shown; what was exchanged with the carrier is.
    #[inline(always)]
    pub(crate) fn is_far(&self, side: Side) -> bool {
        match self.viewer {
            Owner::System | Owner::Reseller(_) => false,
            Owner::Carrier(id) => {
                !matches!(self.party(side), PartyView::Trunk { account, .. } if account == id)
            }
        }
    }

    fn user_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            PartyView::Subscriber { uuid, .. } if !self.is_far(side) => text(uuid),
            PartyView::Subscriber { .. } | PartyView::Trunk { .. } | PartyView::Unknown => Value::Absent,
        }
    }

    fn subscriber_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            PartyView::Subscriber { subscriber, .. } if !self.is_far(side) => Value::Number(subscriber.0),
            PartyView::Subscriber { .. } | PartyView::Trunk { .. } | PartyView::Unknown => Value::Absent,
        }
    }

    /// The customer's account; carriers have theirs in the provider column.
    fn account_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            PartyView::Subscriber { account, .. } if !self.is_far(side) => known(account),
            PartyView::Subscriber { .. } | PartyView::Trunk { .. } | PartyView::Unknown => Value::Absent,
        }
    }

    fn trunk_id(&self, side: Side) -> Value<'a> {
        match (self.viewer, self.party(side)) {
            // Which of our trunks carried a call is our affair, but for the carrier at its other end.
            (Owner::System | Owner::Carrier(_), PartyView::Trunk { trunk: TrunkId(id), .. })
                if !self.is_far(side) =>
            {
                Value::Number(id)
            }
            (_, PartyView::Trunk { .. } | PartyView::Subscriber { .. } | PartyView::Unknown) => Value::Absent,
        }
    }

    fn provider_id(&self, side: Side) -> Value<'a> {
        match self.party(side) {
            PartyView::Subscriber { .. } | PartyView::Trunk { .. } if self.is_far(side) => Value::Absent,
            PartyView::Subscriber { reseller: provider, .. } | PartyView::Trunk { account: provider, .. } => {
                known(provider)
            }
            PartyView::Unknown => Value::Absent,
        }
    }
}

/// A carrier is never shown what another one is owed for the same call, and a reseller neither what a carrier
/// is owed nor what another reseller pays us (billing-reference 7.4).
#[inline(always)]
pub(crate) fn is_shown(provider: Provider, account: AccountId, viewer: Owner) -> bool {
    match (viewer, provider) {
        (Owner::System, _) | (Owner::Reseller(_), Provider::Customer) => true,
        (Owner::Reseller(_), Provider::Carrier) => false,
        (Owner::Reseller(id), Provider::Reseller) | (Owner::Carrier(id), _) => account == id,
    }
}

fn of_media(media: MediaQuality, of: OfMedia) -> Value<'static> {
    let number = |number: Option<u32>| number.map_or(Value::Absent, |number| Value::Number(number.into()));
    let micros = |micros: Option<u32>| micros.map_or(Value::Absent, |micros| Value::Micros(micros.into()));
    match of {
        OfMedia::Mos => number(media.mos_hundredths),
        OfMedia::Loss => number(media.loss_hundredths),
        OfMedia::Jitter => micros(media.jitter_us),
        OfMedia::RoundTrip => micros(media.round_trip_us),
    }
}

/// Which way a call went, as the reader of a file sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the owner's customers, or from us to the carrier whose file it is.
    Out,
    /// To the owner's customers, or from that carrier to us.
    In,
    /// Both sides are the owner's.
    Both,
    /// Neither is; in no file but the operator's.
    Neither,
}

impl Way {
    /// All of them, in the order of their declaration.
    pub const ALL: [Way; 4] = [Way::Out, Way::In, Way::Both, Way::Neither];

    /// The word in files and file names: `out`, `in`, `both`, `neither`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Way::Out => "out",
            Way::In => "in",
            Way::Both => "both",
            Way::Neither => "neither",
        }
    }
}

/// Which way `call` went for `viewer`. The operator's own customers are all subscribers.
pub(crate) fn way_of(call: &RatedView<'_>, viewer: Owner) -> Way {
    let is_own = |party: &PartyView<'_>| match (viewer, party) {
        (Owner::System, PartyView::Subscriber { .. }) => true,
        (Owner::Reseller(id), PartyView::Subscriber { reseller, .. }) => *reseller == id,
        (Owner::Carrier(id), PartyView::Trunk { account, .. }) => *account == id,
        (_, PartyView::Subscriber { .. } | PartyView::Trunk { .. } | PartyView::Unknown) => false,
    };
    let (from, to) = (is_own(&call.source.party), is_own(&call.destination.party));
    match (viewer, from, to) {
        (_, true, true) => Way::Both,
        (_, false, false) => Way::Neither,
        // A carrier's customers are behind it: what it sends us comes in.
        (Owner::Carrier(_), true, false) | (Owner::System | Owner::Reseller(_), false, true) => Way::In,
        (Owner::Carrier(_), false, true) | (Owner::System | Owner::Reseller(_), true, false) => Way::Out,
    }
}

/// The first 63 bits of a record's id: one less than there are, for readers whose `bigint` is signed.
fn record_number(id: &[u8; 16]) -> i64 {
    let mut head = [0; 8];
    head.copy_from_slice(&id[..8]);
    i64::try_from(u64::from_be_bytes(head) >> 1).unwrap_or(i64::MAX)
}

#[inline]
pub(crate) fn text(text: RawText<'_>) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Text(text) }
}

/// A text that lies by itself.
pub(crate) const fn of_string(string: &str) -> Value<'_> {
    if string.is_empty() { Value::Absent } else { Value::Text(RawText::new(string.as_bytes())) }
}

/// One of our own words.
#[inline]
pub(crate) const fn word(word: &'static str) -> Value<'static> {
    Value::Text(RawText::new(word.as_bytes()))
}

pub(crate) fn count(number: u64) -> Value<'static> {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn known(account: AccountId) -> Value<'static> {
    if account == AccountId::NOBODY { Value::Absent } else { Value::Number(account.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_none_twice() {
        let mut names = Fact::names();
        for name in &names {
            assert!(Fact::named(name).is_some(), "{name}");
        }
        let n_names = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n_names);
        assert_eq!(Fact::named("source_carrier_price"), None);
        assert_eq!(Fact::named("source_nobody_cost"), None);
        assert_eq!(Fact::named(""), None);
    }
}
