//! SQL over the network: PostgreSQL's protocol, for psql, drivers, spreadsheets and dashboards.
//!
//! In: connections. Out: the answers of [`crate::Lake`], to whoever the [`Door`] knows, as far as the door lets them see. Each
//! statement reads the newest commit; nothing can be changed. Who may come in, and how fast passwords may be tried, is the door's.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of SQL, of the protocol and of the engine grow; what is not named is passed by"
)]

mod catalogue;
mod connection;
mod cursors;
mod encode;
mod extended;
mod form;
mod functions;
mod labels;
mod layout;
mod measured;
mod parameters;
mod question;
mod rewrite;
mod server;
mod settings;

use async_trait::async_trait;

pub use server::{WireConfig, WireServer};

use crate::access::Access;

/// Who stands at the door: knows people and their passwords.
#[async_trait]
pub trait Door: Send + Sync + 'static {
    /// Lets somebody in, or not.
    ///
    /// # Errors
    ///
    /// Why not.
    async fn admit(&self, name: &str, password: &str) -> Result<Admitted, Refused>;

    /// What somebody who was let in may see now; `None`: nothing any more. Asked before each statement.
    async fn still(&self, admitted: &Admitted) -> Option<Access>;
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The name.
    pub name: String,
    /// What has to be the same for the connection to go on, such as a digest of the password that it was let in by.
    pub mark: String,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Name or password is wrong; which of them is not said.
    WrongPassword,
    /// Too many attempts; the next one is looked at in so many seconds.
    Wait {
        /// Seconds, at least 1.
        seconds: u64,
    },
    /// Known, but may not ask.
    NoRight,
    /// Known, but has still to set up the second factor that the role needs.
    NotEnrolled,
    /// The door itself failed; the reason is for our log.
    Failed(String),
}
