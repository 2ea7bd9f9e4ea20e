//! What the switch and the charging service say to each other about calls that are held to a balance.
//!
//! In: nothing. Out: [`CreditQuestion`]s before an INVITE goes out, on the answer, before what was granted is used up, and at the end;
//! [`CreditAnswer`]s to the first three. Also what a call has cost, where its caller is told so. What a call costs, and what an account has, only the charging service knows.

use chrono::{DateTime, Utc};
use model::{AccountId, CallUid, Money};

/// Names one payer's part of one call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CreditKey {
    /// The call.
    pub call: CallUid,
    /// Which of its records: 0 is the call itself, 1 its first forward.
    pub leg: u16,
    /// Where the switch keeps the call; it means nothing to others.
    pub place: u64,
}

/// What is asked, or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditQuestion {
    /// Of which part of which call.
    pub key: CreditKey,
    /// What.
    pub what: CreditStep,
}

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreditStep {
    /// May it be sent on its way?
    Begin {
        /// Who pays.
        account: AccountId,
        /// The number it is priced from, as digits, else the user part.
        source: String,
        /// The number it is priced to.
        destination: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// It was answered; the price is that of this start.
    Answered {
        /// When.
        at: DateTime<Utc>,
    },
    /// What was granted is soon used up; may it go on?
    Extend,
    /// It was answered and is over, and its record is on its way: what will it cost this account? Not for calls held to a balance alone.
    Price {
        /// Who pays.
        account: AccountId,
    },
    /// It is over. No answer is expected.
    End {
        /// Answered for so long, microseconds, as its record says; 0 if never.
        answered_us: u64,
        /// An INVITE went out: where none did, nothing is owed for the attempt.
        was_sent: bool,
    },
}

/// How long a call may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credit {
    /// So many seconds from its answer on, all grants together.
    Seconds(u32),
    /// As long as it likes: it needs no balance.
    Unlimited,
    /// Not at all; in a word why.
    Refused(&'static str),
    /// Nobody can say: the balance or the price is not known.
    Unknown,
    /// It has cost so much.
    Cost(Money),
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditAnswer {
    /// Of which part of which call.
    pub key: CreditKey,
    /// How long it may last.
    pub credit: Credit,
}
