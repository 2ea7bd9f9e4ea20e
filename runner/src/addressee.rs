//! For whom a record is that was sent in again out of suspense.
//!
//! Its origin names the stage that put it aside: the others that read the topic have had it, and pass over it.

use model::Origin;

/// Before the stage's name, in the origin of what is sent in again.
const PREFIX: &str = "suspense:";

/// The stage of the origin of what is sent in again for `consumer`.
pub fn addressed_to(consumer: &str) -> String {
    format!("{PREFIX}{consumer}")
}

/// Whether a record was sent in again.
pub fn is_resent(origin: Option<&Origin>) -> bool {
    addressee(origin).is_some()
}

/// The one that a record was sent in again for; `None` for all others, which are for everybody.
pub fn addressee(origin: Option<&Origin>) -> Option<&str> {
    origin.and_then(|origin| origin.stage.strip_prefix(PREFIX))
}

/// Whether `consumer` is to take a record of this origin.
pub fn is_for(consumer: &str, origin: Option<&Origin>) -> bool {
    addressee(origin).is_none_or(|name| name == consumer)
}
