//! Why a rated call is put aside.

use model::{AccountId, CdrId, Currency, Retry, Suspended};

/// What cannot be counted. [`FraudError::code`] is stable; people look it up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FraudError {
    /// The limit is in one currency, the charge in another.
    #[error(
        "account {account} has its limits in {limit} and this call is charged in {charge}: map the account to a profile in \
         {limit}, rate the call again and resubmit"
    )]
    TwoCurrencies {
        /// Who pays.
        account: AccountId,
        /// Currency of the account.
        limit: Currency,
        /// Currency of the charge.
        charge: Currency,
    },
    /// The account is not among those provisioned.
    #[error("account {account} pays for this call and is not provisioned: restore the account and resubmit")]
    UnknownAccount {
        /// Who pays.
        account: AccountId,
    },
    /// Beyond what a decimal holds.
    #[error(
        "the spending of account {account} has too many digits with this call: repair the charge and resubmit"
    )]
    OutOfRange {
        /// Who pays.
        account: AccountId,
    },
    /// A record of another kind.
    #[error("a {kind} record lies on the topic of rated calls: find out who wrote it")]
    NotRated {
        /// Its kind.
        kind: &'static str,
    },
}

impl FraudError {
    /// `"FRD001"`...; printed in the suspense list, explained in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            FraudError::TwoCurrencies { .. } => "FRD001",
            FraudError::UnknownAccount { .. } => "FRD002",
            FraudError::OutOfRange { .. } => "FRD003",
            FraudError::NotRated { .. } => "FRD004",
        }
    }

    /// What would have to change for the same record to be counted.
    pub const fn retry(&self) -> Retry {
        match self {
            FraudError::TwoCurrencies { .. } | FraudError::UnknownAccount { .. } => Retry::AfterProvisioning,
            FraudError::OutOfRange { .. } => Retry::AfterRepair,
            FraudError::NotRated { .. } => Retry::AfterUpgrade,
        }
    }

    pub(crate) fn suspended(&self, account: AccountId, cdr: Option<CdrId>) -> Suspended {
        Suspended {
            code: self.code().to_owned(),
            message: self.to_string(),
            retry: self.retry(),
            account,
            cdr,
        }
    }
}
