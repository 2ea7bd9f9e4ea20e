//! The call detail record: what happened, before money.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Text;
use crate::cause::named_enum;
use crate::{
    AccountId, AuthMethod, CallUid, Cause, CdrId, E164, Initiator, MediaQuality, Party, RouteAction,
    TenantId, Transport,
};

named_enum! {
    /// How a leg came to be (billing-reference 2.1, `call_type`).
    CallType {
        /// Dialled.
        Call = "call",
        /// Forward, unconditional.
        Cfu = "cfu",
        /// Forward on busy.
        Cfb = "cfb",
        /// Forward on no answer.
        Cft = "cft",
        /// Forward when not registered.
        Cfna = "cfna",
        /// Forward on response code.
        Cfr = "cfr",
        /// Forward on overflow.
        Cfo = "cfo",
        /// Transfer.
        Xfer = "xfer",
    }
}

named_enum! {
    /// The reference's status (billing-reference 1.4), from the SIP code alone; [`Cause`] is finer.
    CallStatus {
        /// 200.
        Ok = "ok",
        /// 486.
        Busy = "busy",
        /// 480.
        NoAnswer = "noanswer",
        /// 487.
        Cancel = "cancel",
        /// 404.
        Offline = "offline",
        /// 408.
        Timeout = "timeout",
        /// Everything else.
        Other = "other",
        /// Answered, and its end was never seen.
        Failed = "failed",
    }
}

impl CallStatus {
    /// The reference's map of final codes.
    pub const fn of_code(code: u16) -> Self {
        match code {
            200 => CallStatus::Ok,
            480 => CallStatus::NoAnswer,
            487 => CallStatus::Cancel,
            486 => CallStatus::Busy,
            408 => CallStatus::Timeout,
            404 => CallStatus::Offline,
            _ => CallStatus::Other,
        }
    }
}

/// One leg of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cdr {
    /// Derived from call and leg; the same over all revisions.
    pub id: CdrId,
    /// 0 for the first record of the leg; a higher one supersedes.
    pub revision: u32,
    /// Our name for the call.
    pub call: CallUid,
    /// 0 is the call itself.
    pub leg: u16,
    /// Call-ID of the incoming leg.
    pub sip_call_id: Text,
    /// The switch that carried it.
    pub node: Text,
    /// Whose platform.
    pub tenant: TenantId,
    /// Who pays; decides the partition.
    pub payer: AccountId,
    /// The calling side.
    pub source: CdrSource,
    /// The called side.
    pub destination: CdrDestination,
    /// How the leg came to be.
    pub call_type: CallType,
    /// The reference's status.
    pub status: CallStatus,
    /// Final SIP code.
    pub code: u16,
    /// Why it ended, finer.
    pub cause: Cause,
    /// Who ended it.
    pub ended_by: Initiator,
    /// When the INVITE came in.
    pub init_at: DateTime<Utc>,
    /// When the final answer went out; what a tariff looks at.
    pub start_at: DateTime<Utc>,
    /// Answered for so long, microseconds, by the monotonic clock; 0 if never.
    pub duration_us: u64,
    /// INVITE out to first 18x of the route that was used, microseconds.
    pub pdd_us: Option<u64>,
    /// First audio codec; empty if never answered.
    pub codec: Text,
    /// Every route tried, in order.
    pub attempts: Vec<RouteTry>,
    /// Revision of the provisioning data in force.
    pub config_revision: i64,
    /// Closed without its end having been seen, or not closed yet.
    pub partial: bool,
    /// Beyond what it is billed by.
    #[serde(default)]
    pub detail: CdrDetail,
}

/// What is known of a leg beyond what it is billed by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CdrDetail {
    /// Reason header (RFC 3326) of whoever ended it, as received; empty if there was none. Of a call that was let through because its balance
    /// could not be asked, with one more value: `Tollbook;text="balance not asked"`.
    pub reason: Text,
    /// What refused it, such as `account 12 lock 2`; empty unless the switch did.
    pub refused_by: Text,
    /// INVITE in to 2xx out, microseconds; `None` if never answered.
    pub setup_us: Option<u64>,
    /// How the INVITE came in; `None` for records from elsewhere.
    pub transport: Option<Transport>,
    /// How the caller proved who he is; `None` for records from elsewhere.
    pub auth: Option<AuthMethod>,
    /// P-Asserted-Identity, as sent.
    pub asserted_identity: Text,
    /// Diversion, as sent.
    pub diversion: Text,
    /// Of a record made elsewhere, its key there: `source/key`; empty for our own.
    pub foreign_key: Text,
    /// To an emergency number.
    #[serde(default, skip_serializing_if = "is_false")]
    pub emergency: bool,
    /// What a peer says of the caller's number, unverified by us: `TN-Validation-Passed`, `attest=A`; empty if nothing.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub stir: Text,
    /// P-Preferred-Identity, as sent.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub preferred_identity: Text,
    /// User-to-User, as sent.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub user_to_user: Text,
    /// History-Info, as sent.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub history_info: Text,
    /// How the media were, as a party told at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaQuality>,
    /// User name with which we prove ourselves to the trunk that was used; empty if none is asked for.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub peer_auth_user: Text,
    /// And the realm.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub peer_auth_realm: Text,
}

/// What few calls have is left out of the JSON of the others.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Cdr {
    /// Whether somebody picked up; any other call costs at most its failed-attempt fee (billing-reference 5.1).
    pub fn is_answered(&self) -> bool {
        matches!(self.status, CallStatus::Ok | CallStatus::Failed) && self.code == 200
    }

    /// Whether the call was still up when the record was written; another revision follows, so it is nothing to hand on yet.
    pub fn is_in_progress(&self) -> bool {
        self.partial && self.cause == Cause::InProgress
    }

    /// When the answered part ended; the start for a call that was never answered. Of a length that leads out of all time, which only
    /// a foreign record can claim, the end of the year 9999.
    pub fn end_at(&self) -> DateTime<Utc> {
        let length = i64::try_from(self.duration_us).ok().map(chrono::TimeDelta::microseconds);
        length
            .and_then(|length| self.start_at.checked_add_signed(length))
            .or_else(|| DateTime::from_timestamp(253_402_300_799, 0))
            .unwrap_or(self.start_at)
    }
}

/// The calling side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdrSource {
    /// Who.
    pub party: Party,
    /// User part of From, as sent.
    pub user: Text,
    /// Host part of From, as sent.
    pub domain: Text,
    /// Network-provided number; stays when the caller is anonymous.
    pub cli: Option<E164>,
    /// The caller hides it.
    pub clir: bool,
    /// As sent on.
    pub user_out: Text,
    /// Source address of the signalling, without the port.
    pub ip: Text,
    /// User-Agent.
    pub user_agent: Text,
}

/// The called side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdrDestination {
    /// Who answered or was tried last.
    pub party: Party,
    /// As dialled, before rewriting.
    pub dialed: Text,
    /// Host part as dialled.
    pub domain: Text,
    /// After inbound rewriting: what fees match. Digits where it is a number.
    pub user_in: Text,
    /// The same as a number.
    pub number: Option<E164>,
    /// As sent on.
    pub user_out: Text,
    /// User-Agent of the answering side.
    pub user_agent: Text,
}

/// What the final answer of a route says of who is at fault (RFC 3261, 21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteClass {
    /// None came.
    Pending,
    /// 2xx.
    Answered,
    /// 3xx: the called side sends the call elsewhere.
    Redirected,
    /// The called party is busy, away or will not: the route did its work.
    Callee,
    /// There is no such number.
    NoSuchNumber,
    /// We gave it up, because the caller did or another route had answered.
    Cancelled,
    /// Nothing came back, or too late.
    Timeout,
    /// The route or its peer failed.
    Network,
}

impl RouteClass {
    /// The stable word in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            RouteClass::Pending => "pending",
            RouteClass::Answered => "answered",
            RouteClass::Redirected => "redirected",
            RouteClass::Callee => "callee",
            RouteClass::NoSuchNumber => "no_such_number",
            RouteClass::Cancelled => "cancelled",
            RouteClass::Timeout => "timeout",
            RouteClass::Network => "network",
        }
    }
}

impl RouteTry {
    /// Whose doing the outcome of this route was.
    pub const fn class(&self) -> RouteClass {
        match self.code {
            0 => RouteClass::Pending,
            200..=299 => RouteClass::Answered,
            300..=399 => RouteClass::Redirected,
            // 603 and 606 speak for the person called, as 480 does where nobody is there to pick up.
            480 | 486 | 600 | 603 | 606 => RouteClass::Callee,
            404 | 410 | 484 | 604 => RouteClass::NoSuchNumber,
            487 => RouteClass::Cancelled,
            408 | 504 => RouteClass::Timeout,
            _ => RouteClass::Network,
        }
    }
}

/// One route that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTry {
    /// Counts from 1.
    pub attempt: u16,
    /// To whom.
    pub party: Party,
    /// Its final code; 0 while none came.
    pub code: u16,
    /// INVITE to first 18x or final answer, microseconds.
    pub pdd_us: Option<u64>,
    /// What came of it.
    pub action: RouteAction,
}
