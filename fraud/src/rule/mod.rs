//! Rules of the watch: what is counted, for whom, in which window, when it is too much, and what follows.
//!
//! A rule is data, read from TOML ([`RuleFile`]) and checked when it is read. Its name and version stand in every alert; a changed
//! rule gets a new version and begins to count anew.

mod file;

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{LockLevel, Span};

pub use file::{RuleFault, RuleFile, preset_text, presets, rule_text};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word in rule files and alerts.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// For whom a rule counts: the calls of everybody, whoever pays.
    Key {
        /// The paying account.
        Account = "account",
        /// The subscriber that calls.
        Subscriber = "subscriber",
        /// The trunk that a call came from.
        Trunk = "trunk",
        /// The address that signalling came from; of IPv6 its /64.
        Source = "source",
        /// The calling number without its last four digits.
        ARange = "a_range",
        /// The number called without its last four digits.
        BRange = "b_range",
        /// The country called.
        Country = "country",
        /// The paying account and the country called.
        AccountCountry = "account_country",
        /// The trunk that carries a call on and the country called.
        VendorCountry = "vendor_country",
    }
}

words! {
    /// What a rule measures over its window, among what its filter lets through.
    Measure {
        /// INVITEs; of a rule on `registrations` its REGISTERs and refusals.
        Attempts = "attempts",
        /// INVITEs a second, over the last sixth of the window.
        AttemptsPerSecond = "attempts_per_second",
        /// Answered calls.
        Answered = "answered",
        /// Calls that ended without an answer, percent of those that ended.
        FailedShare = "failed_share",
        /// Answer-seizure ratio: answered calls, percent of the attempts.
        AnsweredShare = "answered_share",
        /// What the calls cost, estimated, in currency units.
        Cost = "cost",
        /// What a minute more of the calls in progress costs, in currency units, those that still ring among them.
        CostRate = "cost_rate",
        /// Minutes talked in calls that ended.
        Minutes = "minutes",
        /// Calls in progress, those that still ring among them.
        Concurrent = "concurrent",
        /// Different numbers called, estimated beyond 64 in half a window.
        DistinctCallees = "distinct_callees",
        /// Different numbers calling.
        DistinctCallers = "distinct_callers",
        /// Different source addresses.
        DistinctSources = "distinct_sources",
        /// Different user agents.
        DistinctUserAgents = "distinct_user_agents",
        /// Different numbers called, percent of the attempts.
        DistinctShare = "distinct_share",
        /// Attempts to a number within 20 of one of the four before it.
        Sequential = "sequential",
        /// Answered calls shorter than ten seconds, percent of the answered ones that ended.
        ShortShare = "short_share",
        /// Calls given up within five seconds without an answer, percent of those that ended.
        ShortRingShare = "short_ring_share",
        /// Average call duration, seconds, of the answered calls that ended.
        MeanSeconds = "mean_seconds",
        /// Standard deviation of the duration, percent of its mean: machines are near 0, people near 100.
        DurationSpread = "duration_spread",
        /// Answer-seizure ratio against its own long-term value, percent of change.
        AsrChange = "asr_change",
        /// Average call duration against its own long-term value, percent of change.
        AcdChange = "acd_change",
    }
}

impl Measure {
    /// Whether its values are amounts of money; they are counted in ten-thousandths of a currency unit.
    pub const fn is_money(self) -> bool {
        matches!(self, Measure::Cost | Measure::CostRate)
    }

    /// Whether an account's usual hour is learned for it.
    pub const fn has_usual(self) -> bool {
        matches!(self, Measure::Cost | Measure::Attempts)
    }

    /// Whether it is a share of sums, which can be compared with that of others.
    pub const fn is_share(self) -> bool {
        matches!(
            self,
            Measure::FailedShare | Measure::AnsweredShare | Measure::ShortShare | Measure::ShortRingShare
        )
    }

    /// What stands behind a value.
    pub const fn unit(self) -> &'static str {
        match self {
            Measure::Attempts
            | Measure::Answered
            | Measure::Cost
            | Measure::Concurrent
            | Measure::DistinctCallees
            | Measure::DistinctCallers
            | Measure::DistinctSources
            | Measure::DistinctUserAgents
            | Measure::Sequential => "",
            Measure::AttemptsPerSecond => "/s",
            Measure::CostRate => "/min",
            Measure::Minutes => " min",
            Measure::MeanSeconds => " s",
            Measure::FailedShare
            | Measure::AnsweredShare
            | Measure::DistinctShare
            | Measure::ShortShare
            | Measure::ShortRingShare
            | Measure::DurationSpread
            | Measure::AsrChange
            | Measure::AcdChange => " %",
        }
    }
}

/// Ten-thousandths of a currency unit: the resolution of estimated money.
pub const MONEY_SCALE: u32 = 4;

/// When a measure is too much, or too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// This or more. Money in ten-thousandths.
    AtLeast(i64),
    /// This or less.
    AtMost(i64),
    /// So many standard deviations, in tenths, above what the account has at this hour of the week.
    AboveUsual(u32),
    /// So many percentage points above that of all others on the same destination.
    AboveOthers(i64),
}

/// One condition of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// What.
    pub measure: Measure,
    /// How much.
    pub bound: Bound,
}

words! {
    /// Which way a call goes.
    Flow {
        /// From one of our subscribers.
        Outgoing = "outgoing",
        /// From a trunk.
        Incoming = "incoming",
        /// A forwarded or transferred leg; its forwarder pays.
        Forwarded = "forwarded",
        /// Not a call: REGISTERs, failed authentication, unknown sources.
        Registrations = "registrations",
    }
}

words! {
    /// What a calling number must be for a rule to look at the call.
    CallerNumber {
        /// One of our own numbers, on a call that comes from a trunk.
        OursFromOutside = "ours_from_outside",
        /// In the same range of ten thousand as the number called.
        Neighbour = "neighbour",
        /// On a do-not-originate list.
        Listed = "listed",
        /// None.
        Missing = "missing",
    }
}

/// Which events a rule looks at. Everything given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Which way.
    pub flow: Option<Flow>,
    /// The country called is new to the account: first called less than seven days ago.
    pub new_country: bool,
    /// The number called is on a hot list.
    pub hot_listed: bool,
    /// Outside of Monday to Friday, 07:00 to 19:00, in the account's zone.
    pub off_hours: bool,
    /// At least so much a minute, in ten-thousandths of a currency unit.
    pub rate_min: Option<i64>,
    /// The account was seen first less than so long ago.
    pub account_younger: Option<Span>,
    /// The user agent is new to the account: first seen less than a day ago.
    pub new_user_agent: bool,
    /// What the calling number is.
    pub caller_number: Option<CallerNumber>,
    /// The call leaves for another country than that of the account's own number.
    pub abroad: bool,
    /// To an emergency number of the tenant.
    pub emergency: bool,
}

words! {
    /// What follows.
    Action {
        /// Tell people. Always done.
        Alert = "alert",
        /// End the call that crossed it, and those that follow while it stays crossed.
        EndCall = "end_call",
        /// End all calls that the account pays for.
        EndCalls = "end_calls",
        /// Lock the account.
        Lock = "lock",
        /// Bar the numbers beside the one called, or the country where the rule counts by country.
        BlockRange = "block_range",
        /// Refuse the call at its INVITE. For rules that need no history: the first attempt of what `where` describes crosses them.
        Refuse = "refuse",
        /// Let the account make only so many calls a minute.
        Throttle = "throttle",
        /// Mark the alert with a word of the rule's own.
        Tag = "tag",
    }
}

words! {
    /// For whom a range is barred.
    Barred {
        /// The paying account.
        Account = "account",
        /// Everybody of the tenant.
        Everybody = "everybody",
    }
}

/// How a rule slows an account down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// Calls that get through in a minute; at least 1.
    pub calls_per_minute: u32,
    /// For how long; `None` until somebody lifts it.
    pub span: Option<Span>,
}

/// Who and what a rule leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions {
    /// Handles of accounts.
    pub accounts: BTreeSet<String>,
    /// Prefixes of numbers called.
    pub callees: Vec<String>,
    /// Source addresses.
    pub sources: BTreeSet<IpAddr>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Letters, digits, dash; unique.
    pub name: String,
    /// Counts up with every change.
    pub version: u32,
    /// What it means when it fires, in a sentence.
    pub title: String,
    /// For whom it counts.
    pub key: Key,
    /// How far back it looks; it moves in sixths of itself.
    pub window: Span,
    /// What it looks at.
    pub filter: Filter,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// It is silent about an account that was not watched for so long yet.
    pub warm_up: Option<Span>,
    /// What follows, besides the alert.
    pub actions: BTreeSet<Action>,
    /// The lock, if there is one.
    pub lock: LockLevel,
    /// How long the lock stays; `None` until somebody lifts it.
    pub lock_for: Option<Span>,
    /// For whom ranges are barred, where they are.
    pub block: Barred,
    /// How long ranges stay barred; `None` until somebody lifts it.
    pub block_for: Option<Span>,
    /// How the account is slowed down, if it is.
    pub throttle: Option<Throttle>,
    /// The word that its alerts are marked with.
    pub tag: Option<String>,
    /// Who is told besides those named in the configuration.
    pub notify: Vec<String>,
    /// Without a crossing for so long, the incident is over and the next crossing is another.
    pub cool_down: Span,
    /// Whom it leaves alone.
    pub except: Exceptions,
}

impl Rule {
    /// Whether each call is news of its own: it is for emergency calls, and asks only that there be one.
    pub(crate) fn tells_each_call(&self) -> bool {
        let one = Condition { measure: Measure::Attempts, bound: Bound::AtLeast(1) };
        self.filter.emergency && self.conditions.iter().all(|condition| *condition == one)
    }

    /// What a rule on emergency calls must not ask for, if it does: people are told of such a call, and nothing stands between the caller and
    /// the help.
    pub fn action_against_help(&self) -> Option<Action> {
        let asked = |action: &Action| self.actions.contains(action);
        let is_for_help = self.filter.emergency;
        [Action::EndCall, Action::EndCalls, Action::Refuse].into_iter().find(asked).filter(|_| is_for_help)
    }

    /// The same rule without [`Self::action_against_help`]: people are told all the same.
    #[must_use]
    pub fn letting_help_through(mut self) -> Self {
        while let Some(action) = self.action_against_help() {
            self.actions.remove(&action);
        }
        self
    }

    /// The same rule, telling people and doing nothing else.
    #[must_use]
    pub fn only_alerting(mut self) -> Self {
        self.actions.retain(|action| matches!(action, Action::Alert | Action::Tag));
        self.lock = LockLevel::None;
        self.throttle = None;
        self
    }
}
