//! Our words and their numbers on the wire. 0 is never written: a record that lacks a word is not taken for one
//! that has the first.

use super::{WireError, proto};

/// One of our enums, as a protobuf enum.
pub(super) trait Word: Sized {
    /// Its number.
    fn to_wire(self) -> i32;

    /// Back from its number; `field` is for the error.
    fn of(number: i32, field: &'static str) -> Result<Self, WireError>;

    /// Back from the number of one that we know; `None` of all others, whatever [`Word::of`] makes of them.
    fn known(number: u64) -> Option<Self>;
}

macro_rules! words {
    ($($name:ident { $($variant:ident),+ $(,)? } unknown: $unknown:expr;)+) => {$(
        impl Word for crate::$name {
            fn to_wire(self) -> i32 {
                match self { $(crate::$name::$variant => proto::$name::$variant as i32,)+ }
            }

            fn of(number: i32, field: &'static str) -> Result<Self, WireError> {
                match proto::$name::try_from(number) {
                    $(Ok(proto::$name::$variant) => Ok(crate::$name::$variant),)+
                    Ok(proto::$name::Unspecified) => Err(WireError::Missing { field }),
                    Err(_) => {
                        let unknown: Option<Self> = $unknown;
                        unknown.ok_or(WireError::UnknownWord { field, number })
                    }
                }
            }

            #[inline(always)]
            fn known(number: u64) -> Option<Self> {
                match proto::$name::try_from(i32::try_from(number).ok()?) {
                    $(Ok(proto::$name::$variant) => Some(crate::$name::$variant),)+
                    Ok(proto::$name::Unspecified) | Err(_) => None,
                }
            }
        }
    )+};
}

words! {
    Cause {
        Normal, Busy, NoAnswer, Cancelled, Declined, CalleeUnknown, CalleeOffline, Timeout, PeeringUnavailable,
        NoRoute, LockedOut, LockedIn, MaxCallsOut, MaxCallsIn, MaxCallsPeer, Unauthorised, RelayingDenied, NoCredit,
        Loop, BadRequest, NotAcceptable, Overload, MaxDuration, SessionExpired, RtpTimeout, SwitchRestart, LostEnd,
        InProgress,
        Killed, BlockedOut, BlockedIn, Ncos, SourceRefused, CliRefused, UserAgentRefused, RateLimited, ForwardLoop, Other,
    } unknown: Some(crate::Cause::Other);
    Initiator { Caller, Callee, Switch, Operator } unknown: None;
    CallType { Call, Cfu, Cfb, Cft, Cfna, Cfr, Cfo, Xfer } unknown: None;
    // `Other` here is an unanswered call: an unknown status must not become a free one.
    CallStatus { Ok, Busy, NoAnswer, Cancel, Offline, Timeout, Other, Failed } unknown: None;
    RouteAction { Next, Stop } unknown: None;
    Transport { Udp, Tcp, Tls } unknown: None;
    AuthMethod { Digest, Ip, None } unknown: None;
    UpdateKind { Hold, Resume, Codec, Refresh } unknown: None;
    RegistrationChange { Ok, Expired, Removed, Failed } unknown: None;
    TrunkHealth { Up, Down, Unknown } unknown: None;
    SecurityKind { AuthFailed, BanAdded, BanRemoved, RateLimited, Malformed, UnknownSource, AmbiguousSource } unknown: None;
    EdrKind {
        Registered, Unregistered, RegisterFailed, StartProfile, UpdateProfile, EndProfile, TrunkState, LockChanged,
        Security, NumberAssigned, NumberReleased,
    } unknown: None;
    ProvisioningChange {
        StartProfile, UpdateProfile, EndProfile, NumberAssigned, NumberReleased, LockChanged,
    } unknown: None;
    Provider { Carrier, Reseller, Customer } unknown: None;
    Direction { Out, In } unknown: None;
    Peak { On, Off } unknown: None;
    PostingReason {
        Call, Reversal, RecurringFee, Payment, Adjustment, TopUp, Voucher, ServiceCharge, Grant, Expiry, Settlement,
        OutOfOrder, OutOfOrderHeld, OutOfOrderUnknown,
    } unknown: None;
    LockLevel { None, Foreign, Outgoing, All, Global, Ported } unknown: None;
    LockSource { Fraud, Admin, Dunning, Package } unknown: None;
    SightedBy { Trunk, Source, CallingRange, CalledRange, Destination } unknown: None;
}
