//! Why a call was refused or ended: finer than the SIP code, which means different things in different mouths.

macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The stable word in records, files and SQL.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::cause::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::cause::UnknownWord> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err($crate::cause::UnknownWord {
                        text: text.to_owned(),
                        allowed: &[$($text),+],
                    }),
                }
            }
        }
    };
}
pub(crate) use named_enum;

/// A word that is none of those allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not one of {}", allowed.join(", "))]
pub struct UnknownWord {
    /// The word as given.
    pub text: String,
    /// What it may be.
    pub allowed: &'static [&'static str],
}

named_enum! {
    /// Why a call was refused or ended. The names of refusals are those of the reference (switch-reference 7.13).
    Cause {
        /// An answered call that a party hung up.
        Normal = "normal",
        /// 486, 600.
        Busy = "busy",
        /// 480, or nobody picked up in time.
        NoAnswer = "no_answer",
        /// The caller gave up: 487.
        Cancelled = "cancelled",
        /// 603, 606 and other final refusals of the callee.
        Declined = "declined",
        /// 404, 410, 484, 604: there is no such number.
        CalleeUnknown = "callee_unknown",
        /// Ours: the subscriber has no registration.
        CalleeOffline = "callee_offline",
        /// 408: nothing came back.
        Timeout = "timeout",
        /// 5xx from every route.
        PeeringUnavailable = "peering_unavailable",
        /// No route covers the number.
        NoRoute = "no_route",
        /// The caller's account is locked for outgoing calls.
        LockedOut = "locked_out",
        /// The callee's account is locked for incoming calls.
        LockedIn = "locked_in",
        /// The caller's limit of parallel calls.
        MaxCallsOut = "max_calls_out",
        /// The callee's limit of parallel calls.
        MaxCallsIn = "max_calls_in",
        /// The trunk's limit of parallel calls.
        MaxCallsPeer = "max_calls_peer",
        /// Digest authentication failed.
        Unauthorised = "unauthorised",
        /// A source we do not know wants to call out.
        RelayingDenied = "relaying_denied",
        /// Prepaid balance used up.
        NoCredit = "no_credit",
        /// Max-Forwards reached 0, or the call came round again.
        Loop = "loop",
        /// The message could not be understood or lacks what RFC 3261 demands.
        BadRequest = "bad_request",
        /// The media offered is not acceptable: 488.
        NotAcceptable = "not_acceptable",
        /// The switch is full or draining.
        Overload = "overload",
        /// Longer than a call may last.
        MaxDuration = "max_duration",
        /// The session timer ran out (RFC 4028).
        SessionExpired = "session_expired",
        /// No media for too long.
        RtpTimeout = "rtp_timeout",
        /// Open when the switch process ended; closed at its last sign of life.
        SwitchRestart = "switch_restart",
        /// No end was ever seen; closed by the mediator at its last sign of life.
        LostEnd = "lost_end",
        /// Still up when the record was written; a later revision follows.
        InProgress = "in_progress",
        /// Ended by an operator or by the fraud desk.
        Killed = "killed",
        /// The number called is on a list of the caller or of its account.
        BlockedOut = "block_out",
        /// The caller is on a list of the callee, or hides its number from one who does not want that.
        BlockedIn = "block_in",
        /// The caller's NCOS level does not allow the number.
        Ncos = "block_ncos",
        /// The subscriber may not call from that address.
        SourceRefused = "unauth_caller_ip",
        /// The caller may not use the calling number it gave.
        CliRefused = "cli_refused",
        /// The device is of a kind that is refused.
        UserAgentRefused = "ua_refused",
        /// More new calls a second than allowed.
        RateLimited = "rate_limited",
        /// A forward led back to somebody the call has been at.
        ForwardLoop = "cf_loop",
        /// Anything else; the SIP code says more.
        Other = "other",
    }
}

named_enum! {
    /// Who ended a call.
    Initiator {
        /// The calling side.
        Caller = "caller",
        /// The called side.
        Callee = "callee",
        /// The switch itself.
        Switch = "switch",
        /// A person or rule through the control topic.
        Operator = "operator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_read_back_from_its_word() {
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse(), Ok(*cause));
        }
        assert!("nonsense".parse::<Cause>().unwrap_err().to_string().contains("locked_out"));
    }
}
