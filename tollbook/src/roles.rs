//! What one process of an installation does.

use std::collections::BTreeSet;

use clap::ValueEnum;
use model::Topic;

/// A part of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// SIP, and the events of its calls.
    Switch,
    /// Events to CDRs.
    Mediator,
    /// The watch on calls as they happen, both of its stages.
    Watch,
    /// Prices.
    Rating,
    /// Limits and locks.
    Fraud,
    /// Queues of calls for CDR files.
    Exports,
    /// Postings.
    Ledger,
    /// Rated calls into Parquet files.
    Lake,
    /// What one process does for all: the time of the log, retention, CDR files, billing, alarms, mail.
    Desk,
    /// CDR files over SFTP.
    Sftp,
    /// Console and API.
    Web,
}

impl Role {
    const ALL: [Role; 11] = [
        Role::Switch,
        Role::Mediator,
        Role::Watch,
        Role::Rating,
        Role::Fraud,
        Role::Exports,
        Role::Ledger,
        Role::Lake,
        Role::Desk,
        Role::Sftp,
        Role::Web,
    ];

    const fn name(self) -> &'static str {
        match self {
            Role::Switch => "switch",
            Role::Mediator => "mediator",
            Role::Watch => "watch",
            Role::Rating => "rating",
            Role::Fraud => "fraud",
            Role::Exports => "exports",
            Role::Ledger => "ledger",
            Role::Lake => "lake",
            Role::Desk => "desk",
            Role::Sftp => "sftp",
            Role::Web => "web",
        }
    }
}

/// The stage of the watch that counts by something else than the payer.
pub(crate) const SIGHTINGS: &str = "sightings";

/// Names of the stages, in the order of the pipeline; in positions, origins and suspense.
pub(crate) const STAGES: [(&str, Topic); 7] = [
    ("mediator", Topic::Calls),
    ("watch", Topic::Calls),
    (SIGHTINGS, Topic::Sightings),
    ("rating", Topic::Cdrs),
    ("fraud", Topic::Rated),
    ("exports", Topic::Rated),
    ("ledger", Topic::Postings),
];

/// The role whose processes work a stage.
pub(crate) fn role_of(stage: &'static str) -> &'static str {
    if stage == SIGHTINGS { Role::Watch.name() } else { stage }
}

/// What a process does, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<Role>);

impl Roles {
    /// The whole house.
    pub(crate) fn all() -> Self {
        Self(Role::ALL.into())
    }

    /// These; none named are all.
    pub(crate) fn of(named: &[Role]) -> Self {
        if named.is_empty() { Self::all() } else { Self(named.iter().copied().collect()) }
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// By the name of a role, which but for [`SIGHTINGS`] is that of its stage.
    pub(crate) fn has_stage(&self, name: &str) -> bool {
        self.0.iter().any(|role| role.name() == name)
    }

    pub(crate) fn is_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|role| role.name()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_a_role_and_none_named_are_all() {
        assert!(STAGES.iter().all(|(name, _)| Roles::all().has_stage(role_of(name))));
        assert!(Roles::of(&[Role::Watch]).has_stage(role_of(SIGHTINGS)));
        assert!(Roles::of(&[]).is_all());
        let some = Roles::of(&[Role::Rating, Role::Switch]);
        assert_eq!((some.to_string().as_str(), some.has(Role::Desk)), ("switch,rating", false));
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for role in Role::ALL {
            assert_eq!(Role::from_str(role.name(), false), Ok(role));
        }
    }
}
