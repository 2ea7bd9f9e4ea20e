//! Why a record of another system is put aside.

use model::{AccountId, CdrId, Retry, Suspended};

/// What keeps a foreign record from becoming a CDR. [`ForeignError::code`] is stable; people look it up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// Not even its fields can be told apart.
    #[error("the record cannot be read: {why}")]
    Unreadable {
        /// In a few words.
        why: String,
    },
    /// A field that every record needs is empty or absent.
    #[error("{field} is missing: the format looks for it in {place}")]
    Missing {
        /// Our name of the field.
        field: &'static str,
        /// Where the format says it is.
        place: String,
    },
    /// A field holds something else than it should.
    #[error("{field} is {value:?}, but it should be {expected}")]
    BadValue {
        /// Our name of the field.
        field: &'static str,
        /// As written.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Fields that cannot all be true.
    #[error("the record contradicts itself: {why}")]
    Contradiction {
        /// In a few words.
        why: String,
    },
    /// No account pays for it.
    #[error("nobody pays for the record: {why}")]
    NobodyPays {
        /// What was looked for.
        why: String,
    },
    /// It names a trunk that is not provisioned.
    #[error("there is no trunk {name:?}: provision it, or correct the format's map")]
    NoTrunk {
        /// As written, or as mapped.
        name: String,
    },
}

impl ForeignError {
    /// `"IMP001"`...; printed in the suspense list, explained in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            ForeignError::Unreadable { .. } => "IMP001",
            ForeignError::Missing { .. } => "IMP002",
            ForeignError::BadValue { .. } => "IMP003",
            ForeignError::Contradiction { .. } => "IMP004",
            ForeignError::NobodyPays { .. } => "IMP005",
            ForeignError::NoTrunk { .. } => "IMP006",
        }
    }

    /// What would have to change for the same record to be taken in.
    pub const fn retry(&self) -> Retry {
        match self {
            ForeignError::Unreadable { .. }
            | ForeignError::Missing { .. }
            | ForeignError::BadValue { .. }
            | ForeignError::Contradiction { .. } => Retry::AfterRepair,
            ForeignError::NobodyPays { .. } | ForeignError::NoTrunk { .. } => Retry::AfterProvisioning,
        }
    }

    /// As it stands in suspense.
    pub fn suspended(&self, cdr: Option<CdrId>) -> Suspended {
        Suspended {
            code: self.code().to_owned(),
            message: self.to_string(),
            retry: self.retry(),
            account: AccountId::NOBODY,
            cdr,
        }
    }
}
