//! Who may be refused for what is known of numbers alone.

use chrono::{DateTime, Utc};
use model::{AccountId, Attempt};

/// What is known of numbers before anything is known of the call: asked once at each INVITE and at each forward, never for an
/// emergency call.
pub trait Screen: std::fmt::Debug + Send + Sync {
    /// Why the call is refused, if it is: the record of the call says so. The switch waits for it, so it answers within microseconds
    /// and from memory. `leg` is above 0 for a forward, which `payer` pays for.
    fn refuses(&self, payer: AccountId, leg: u16, at: DateTime<Utc>, attempt: &Attempt) -> Option<String>;
}
