//! What the switch reports: raw events, each a fact at the time of the call.
//!
//! The switch writes who the parties are, the numbers as dialled, as normalised and as sent, and the
//! configuration revision; nothing downstream derives them again from later data.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Text;
use crate::cause::named_enum;
use crate::{
    AccountId, CallType, CallUid, Cause, E164, Initiator, SubscriberId, TenantId, Transport, TrunkId,
};

/// One event of the switch: the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEvent {
    /// The switch process, as configured (`switch.node`).
    pub node: Text,
    /// When that process started, in microseconds since 1970: tells its lives apart.
    pub boot: u64,
    /// Counts up from 1 within (`node`, `boot`); a gap is a lost event.
    pub seq: u64,
    /// When it happened, UTC.
    pub at: DateTime<Utc>,
    /// Revision of the provisioning data in force.
    pub config_revision: i64,
    /// Whose platform this is.
    pub tenant: TenantId,
    /// The paying party: decides the partition.
    pub payer: AccountId,
    /// The call; `None` for events that belong to no call.
    pub call: Option<CallUid>,
    /// Which record of the call it concerns: 0 is the call itself, 1 its first forward.
    pub leg: u16,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    /// An INVITE was accepted for processing.
    Attempt(Box<Attempt>),
    /// We refused it ourselves.
    Rejected(Rejected),
    /// An INVITE went out to a trunk or a registered contact.
    RouteAttempt(RouteAttempt),
    /// Its final answer.
    RouteResult(RouteResult),
    /// First 18x.
    Progress(Progress),
    /// 2xx to the INVITE.
    Answer(Answer),
    /// Hold, codec change, session refresh.
    Update(CallUpdate),
    /// The call is still up: sign of life, and the prepaid quantum.
    ChargeTick(ChargeTick),
    /// The call is over.
    End(End),
    /// The callee sends the call elsewhere.
    Forwarded(Forwarded),
    /// The registrar's doings.
    Registration(Registration),
    /// A trunk went up or down.
    TrunkState(TrunkState),
    /// Failed authentication, bans, rate limits.
    Security(Security),
    /// The switch process began; every call it had open before is gone. Written to every partition.
    NodeStarted(NodeStarted),
    /// Provisioning data or a lock changed. Not from the switch: from whoever changed them.
    Provisioned(Provisioned),
}

/// Who a party of a call is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "party", rename_all = "snake_case")]
pub enum Party {
    /// One of our subscribers.
    Subscriber {
        /// Who.
        subscriber: SubscriberId,
        /// The customer's account.
        account: AccountId,
        /// The reseller's account above it; [`AccountId::NOBODY`] if there is none.
        reseller: AccountId,
        /// The stable key in the reference's files.
        uuid: Text,
    },
    /// A carrier's trunk.
    Trunk {
        /// Which.
        trunk: TrunkId,
        /// The carrier's account.
        account: AccountId,
    },
    /// Neither.
    Unknown,
}

impl Party {
    /// The account that pays or is paid for this side; nobody's for an unknown party.
    pub fn account(&self) -> AccountId {
        match self {
            Party::Subscriber { account, .. } | Party::Trunk { account, .. } => *account,
            Party::Unknown => AccountId::NOBODY,
        }
    }
}

named_enum! {
    /// How the caller proved who he is.
    AuthMethod {
        /// Digest (RFC 8760).
        Digest = "digest",
        /// By source address.
        Ip = "ip",
        /// Not at all.
        None = "none",
    }
}

/// An INVITE accepted for processing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Call-ID of the incoming leg.
    pub sip_call_id: Text,
    /// Who calls.
    pub caller: Party,
    /// User part of From, as sent.
    pub from_user: Text,
    /// Host part of From, as sent; of a trunk its address.
    pub from_domain: Text,
    /// User part of the Request-URI, as dialled.
    pub dialed: Text,
    /// Host part of the Request-URI.
    pub dialed_domain: Text,
    /// Network-provided caller number, canonical; the one that is billed.
    pub cli: Option<E164>,
    /// The caller hides the number (Privacy: id).
    pub clir: bool,
    /// Number called, after inbound rewriting; what fees match.
    pub callee: Option<E164>,
    /// Where the INVITE came from.
    pub source: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
    /// User-Agent, as sent.
    pub user_agent: Text,
    /// How the caller proved who he is.
    pub auth: AuthMethod,
    /// P-Asserted-Identity, as sent.
    pub asserted_identity: Text,
    /// Diversion, as sent.
    pub diversion: Text,
    /// What few calls have; `None` if this one has nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<AttemptDetail>>,
}

/// What few INVITEs carry, for the record alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptDetail {
    /// To an emergency number of the tenant: it passed every gate.
    pub emergency: bool,
    /// What a peer says of the caller's number, unverified by us: the `verstat` it sent, else `attest=A` (B, C) of an Identity
    /// header (RFC 8224, RFC 8588), else empty.
    pub stir: Text,
    /// P-Preferred-Identity, as sent.
    pub preferred_identity: Text,
    /// User-to-User, as sent.
    pub user_to_user: Text,
    /// History-Info, as sent.
    pub history_info: Text,
}

/// A refusal of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Why.
    pub cause: Cause,
    /// The SIP code we answered.
    pub code: u16,
    /// And its phrase.
    pub phrase: Text,
    /// What decided, such as `account 12 lock 2` or `subscriber 7 limit 3/3`; empty if nothing in particular.
    pub object: Text,
}

/// One INVITE towards the callee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAttempt {
    /// Counts from 1 within the leg.
    pub attempt: u16,
    /// To whom.
    pub callee: Party,
    /// Next hop.
    pub next_hop: SocketAddr,
    /// User part of From as sent out.
    pub caller_out: Text,
    /// User part of the Request-URI as sent out.
    pub callee_out: Text,
    /// Call-ID of the outgoing leg.
    pub sip_call_id: Text,
    /// With which credentials, if the trunk asks for some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Box<PeerLogin>>,
}

/// How we prove ourselves to a trunk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerLogin {
    /// User name.
    pub user: Text,
    /// Realm; empty if it is whatever the trunk names.
    pub realm: Text,
}

named_enum! {
    /// What a route's answer led to.
    RouteAction {
        /// The next route was tried.
        Next = "next",
        /// Hunting stopped; the answer went to the caller.
        Stop = "stop",
    }
}

/// The final answer of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteResult {
    /// Of which attempt.
    pub attempt: u16,
    /// SIP code; 408 when nothing came.
    pub code: u16,
    /// Its phrase, as received.
    pub phrase: Text,
    /// Reason header (RFC 3326), as received.
    pub reason: Text,
    /// Post-dial delay: INVITE to first 18x or final answer, microseconds.
    pub pdd_us: Option<u64>,
    /// What came of it.
    pub action: RouteAction,
}

/// First 18x.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 180, 183...
    pub code: u16,
    /// With early media.
    pub with_sdp: bool,
}

/// 2xx to the INVITE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which attempt answered.
    pub attempt: u16,
    /// Its code.
    pub code: u16,
    /// INVITE in to 2xx, by the monotonic clock, microseconds.
    pub setup_us: u64,
    /// First audio codec of the answer, such as `PCMA/8000`; empty without SDP.
    pub codec: Text,
    /// User-Agent or Server of the answering side.
    pub user_agent: Text,
}

named_enum! {
    /// What a re-INVITE or UPDATE changed.
    UpdateKind {
        /// Media stopped.
        Hold = "hold",
        /// Media again.
        Resume = "resume",
        /// Another codec.
        Codec = "codec",
        /// Only the session timer.
        Refresh = "refresh",
    }
}

/// A change inside the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallUpdate {
    /// Of what kind.
    pub change: UpdateKind,
    /// Codec from now on; empty if unchanged.
    pub codec: Text,
}

/// The call is still up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeTick {
    /// Answered for so long, by the monotonic clock, microseconds.
    pub answered_us: u64,
}

/// The call is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Answered for so long, by the monotonic clock, microseconds; 0 if never.
    pub answered_us: u64,
    /// Who ended it.
    pub by: Initiator,
    /// Why.
    pub cause: Cause,
    /// Final SIP code of the INVITE: 200 for an answered call.
    pub code: u16,
    /// Reason header, as received; of a call that was let through because its balance could not be asked, with one more value that says so.
    pub reason: Text,
    /// How the media were, as a party told at the end; `None` if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaQuality>,
}

/// How the media of a call were, as one party told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MediaQuality {
    /// Mean opinion score, hundredths: 441 is 4.41.
    pub mos_hundredths: Option<u32>,
    /// Packets lost, hundredths of a percent: 150 is 1.5 %.
    pub loss_hundredths: Option<u32>,
    /// Jitter, microseconds.
    pub jitter_us: Option<u32>,
    /// Round trip, microseconds.
    pub round_trip_us: Option<u32>,
}

/// The callee sends the call elsewhere; the forwarder pays for the new leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// `cfu`, `cfb`...
    pub call_type: CallType,
    /// Who forwards.
    pub forwarder: Party,
    /// Where to, as provisioned or as in the Contact of a 302.
    pub target: Text,
    /// The same, canonical.
    pub callee: Option<E164>,
    /// The leg that the forward opens.
    pub new_leg: u16,
}

named_enum! {
    /// What happened to a registration.
    RegistrationChange {
        /// Made or renewed.
        Ok = "ok",
        /// Ran out.
        Expired = "expired",
        /// Taken back by the phone.
        Removed = "removed",
        /// Refused.
        Failed = "failed",
    }
}

/// The registrar's doings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// What happened.
    pub change: RegistrationChange,
    /// Whose; `None` when the name is unknown.
    pub subscriber: Option<SubscriberId>,
    /// Address of record.
    pub aor: String,
    /// Contact, as sent.
    pub contact: String,
    /// Where it came from.
    pub source: SocketAddr,
    /// User-Agent, as sent.
    pub user_agent: String,
    /// Granted seconds.
    pub expires_seconds: u32,
    /// The contact was there before: nothing but its time has changed.
    #[serde(default)]
    pub renewed: bool,
}

named_enum! {
    /// Whether a trunk can be used.
    TrunkHealth {
        /// Answers.
        Up = "up",
        /// Does not.
        Down = "down",
        /// Not probed.
        Unknown = "unknown",
    }
}

/// A trunk went up or down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkState {
    /// Which.
    pub trunk: TrunkId,
    /// Before.
    pub old: TrunkHealth,
    /// Now.
    pub new: TrunkHealth,
    /// The SIP code that told us; 408 for silence.
    pub code: u16,
    /// Round trip of the probe, microseconds.
    pub rtt_us: Option<u64>,
}

named_enum! {
    /// What the guard noticed.
    SecurityKind {
        /// Wrong or forged credentials.
        AuthFailed = "auth_failed",
        /// Source shut out for a time.
        BanAdded = "ban_added",
        /// And let in again.
        BanRemoved = "ban_removed",
        /// Too much at once.
        RateLimited = "rate_limited",
        /// Not SIP, or broken SIP.
        Malformed = "malformed",
        /// An INVITE from a source we do not know.
        UnknownSource = "unknown_source",
        /// A call that several trunks at one address could have sent: people are told what to set.
        AmbiguousSource = "ambiguous_source",
    }
}

/// Something the guard noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// What.
    pub what: SecurityKind,
    /// Where from.
    pub source: SocketAddr,
    /// User name tried; empty if none.
    pub user: String,
    /// In a few words.
    pub detail: String,
    /// How often since the last such event.
    pub count: u32,
}

/// A switch process began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStarted {
    /// Version of the program.
    pub version: String,
}

named_enum! {
    /// What was changed.
    ProvisioningChange {
        /// A number of a subscriber, or a subscriber without one, has a profile from now on.
        StartProfile = "start_profile",
        /// It has another one.
        UpdateProfile = "update_profile",
        /// It has none any more.
        EndProfile = "end_profile",
        /// A number has an owner from now on.
        NumberAssigned = "number_assigned",
        /// It has left its owner.
        NumberReleased = "number_released",
        /// The lock of an account was set, changed or lifted.
        LockChanged = "lock_changed",
    }
}

/// One such change. Its account is the payer of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// What.
    pub change: ProvisioningChange,
    /// Whose; `None` where it is the account as a whole.
    pub subscriber: Option<SubscriberId>,
    /// The subscriber's stable key; empty without one.
    pub uuid: String,
    /// The reseller's account above; [`AccountId::NOBODY`] if there is none.
    pub reseller: AccountId,
    /// The number it is about, if one.
    pub number: Option<E164>,
    /// Before: a profile, the `uuid` of an owner or a lock level; empty if there was none.
    pub old: String,
    /// After.
    pub new: String,
    /// In a few words, for people.
    pub detail: String,
}
