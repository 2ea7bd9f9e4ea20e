//! What can go wrong between a tariff and a price.

use chrono::{DateTime, Utc};
use model::{AccountId, CdrId, Currency, Direction, FeeId, ProfileId, ProfileVersionId, Retry};

/// Why a call was not priced. The call is suspended; the lane goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// No outgoing fee covers the call.
    #[error(
        "no fee for {destination} in profile {profile}, version {version}, at {at}; add a fee for this destination, \
         then resubmit the call"
    )]
    NoRate {
        /// The number called, its middle hidden.
        destination: String,
        /// Handle of the profile.
        profile: String,
        /// The version searched.
        version: ProfileVersionId,
        /// Start of the call.
        at: DateTime<Utc>,
    },
    /// The customer who should pay has no profile.
    #[error("account {account} has no billing profile at {at}; give it one that is in force then")]
    NoProfile {
        /// Whose.
        account: AccountId,
        /// Start of the call.
        at: DateTime<Utc>,
    },
    /// The profile has no version in force.
    #[error(
        "profile {profile} of account {account} has no tariff version in force at {at}; import one that is valid then"
    )]
    NoVersion {
        /// Whose.
        account: AccountId,
        /// The profile.
        profile: ProfileId,
        /// Start of the call.
        at: DateTime<Utc>,
    },
    /// A revision whose predecessor was never seen here, or too long ago.
    #[error(
        "cdr {cdr} is revision {revision}, but what was posted for the one before is not known; check whether that \
         was billed, reverse it by hand if so, and resubmit the call as revision 0"
    )]
    UnknownPredecessor {
        /// Which.
        cdr: CdrId,
        /// Its revision.
        revision: u32,
    },
    /// The price has no exact form, or the call no plausible length.
    #[error("{what} is out of range; check the record and the fee")]
    OutOfRange {
        /// Start, length or price.
        what: &'static str,
    },
    /// The books of the account are in another currency than its tariff, and what that is worth is not known.
    #[error(
        "account {account} is kept in {account_currency}, its tariff {profile} in {tariff_currency}, and there is no \
         exchange rate between them at {at}; import one (`[[exchange_rates]]`), or use one currency"
    )]
    TwoCurrencies {
        /// Whose.
        account: AccountId,
        /// Of its balance.
        account_currency: Currency,
        /// Of the tariff.
        tariff_currency: Currency,
        /// Handle of the profile.
        profile: String,
        /// Start of the call.
        at: DateTime<Utc>,
    },
    /// A regular expression of the tariff was given up on.
    #[error(
        "a pattern of profile {profile}, version {version}, takes too long on {destination}; write it without nested \
         repetitions or look-around, then resubmit the call"
    )]
    PatternTooSlow {
        /// The number called, its middle hidden.
        destination: String,
        /// Handle of the profile.
        profile: String,
        /// The version.
        version: ProfileVersionId,
    },
    /// Asked to price again a call whose end has not been seen.
    #[error("cdr {cdr} is partial; price it again once its final record has come")]
    StillPartial {
        /// Which.
        cdr: CdrId,
    },
    /// A later revision was priced before this one came (back from suspense).
    #[error(
        "cdr {cdr} revision {revision} was superseded by revision {known}, which is already priced; discard it"
    )]
    Superseded {
        /// Which.
        cdr: CdrId,
        /// Of this record.
        revision: u32,
        /// The later one.
        known: u32,
    },
}

/// Codes, and the words that say the same.
const NAMES: [(&str, &str); 9] = [
    ("RAT001", "no_rate"),
    ("RAT002", "no_profile"),
    ("RAT003", "no_version"),
    ("RAT004", "unknown_predecessor"),
    ("RAT005", "out_of_range"),
    ("RAT006", "two_currencies"),
    ("RAT007", "superseded"),
    ("RAT008", "pattern_too_slow"),
    ("RAT009", "still_partial"),
];

/// The word of a code, such as `no_rate` of `RAT001`; `None` where rating has no such code.
pub fn word_of(code: &str) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == code).map(|(_, word)| *word)
}

impl RatingError {
    /// Stable; printed in the suspense list.
    pub const fn code(&self) -> &'static str {
        self.names().0
    }

    /// The stable word in the workbench's `error` column; a code may be asked for by it too.
    pub const fn word(&self) -> &'static str {
        self.names().1
    }

    const fn names(&self) -> (&'static str, &'static str) {
        let place = match self {
            RatingError::NoRate { .. } => 0,
            RatingError::NoProfile { .. } => 1,
            RatingError::NoVersion { .. } => 2,
            RatingError::UnknownPredecessor { .. } => 3,
            RatingError::OutOfRange { .. } => 4,
            RatingError::TwoCurrencies { .. } => 5,
            RatingError::Superseded { .. } => 6,
            RatingError::PatternTooSlow { .. } => 7,
            RatingError::StillPartial { .. } => 8,
        };
        NAMES[place]
    }

    /// What would have to change for the same call to be priced.
    pub const fn retry(&self) -> Retry {
        match self {
            RatingError::NoRate { .. }
            | RatingError::NoVersion { .. }
            | RatingError::PatternTooSlow { .. } => Retry::AfterTariffChange,
            RatingError::NoProfile { .. } | RatingError::TwoCurrencies { .. } => Retry::AfterProvisioning,
            RatingError::UnknownPredecessor { .. }
            | RatingError::OutOfRange { .. }
            | RatingError::StillPartial { .. }
            | RatingError::Superseded { .. } => Retry::AfterRepair,
        }
    }
}

/// Why a tariff version cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile}, version {version}: {fault}")]
pub struct TariffError {
    /// Which.
    pub version: ProfileVersionId,
    /// Handle of its profile.
    pub profile: String,
    /// What is wrong.
    pub fault: TariffFault,
}

/// What is wrong with a tariff version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TariffFault {
    /// Two fees for the same call.
    #[error(
        "fees {first} and {second} both price {direction} calls from {source_prefix:?} to {destination:?} at the same \
         time; remove one, or let the first end (valid_to) where the second begins"
    )]
    DuplicateFee {
        /// One.
        first: FeeId,
        /// The other.
        second: FeeId,
        /// Both sides.
        direction: Direction,
        /// Of both.
        source_prefix: String,
        /// Of both.
        destination: String,
    },
    /// A destination or source that is no regular expression.
    #[error("{pattern:?} is not a regular expression: {why}")]
    BadPattern {
        /// As given.
        pattern: String,
        /// As the library says it.
        why: String,
    },
    /// A fee whose values make no sense.
    #[error("fee {fee} for {destination:?}: {rule}")]
    BadFee {
        /// Which.
        fee: FeeId,
        /// Its destination.
        destination: String,
        /// The rule it breaks, with the remedy.
        rule: String,
    },
    /// Rounding beyond what the ledger keeps.
    #[error("rounding to {scale} decimals; the ledger keeps 6, use 0 to 6")]
    BadRounding {
        /// As given.
        scale: u32,
    },
    /// An off-peak span that ends before it starts.
    #[error("the off-peak span from {start} ends before, at {end}; a span over midnight needs two entries")]
    SpanEndsBeforeStart {
        /// Start as text.
        start: String,
        /// End as text.
        end: String,
    },
}

/// First four and last two characters: enough to recognise a number, too little to call it. Up to six digits are a
/// service, not a subscriber.
pub(crate) fn masked(number: &str) -> String {
    let chars: Vec<char> = number.chars().collect();
    match chars.len() {
        0..=6 => number.to_owned(),
        n => chars[..4].iter().chain(&['…']).chain(&chars[n - 2..]).collect(),
    }
}
