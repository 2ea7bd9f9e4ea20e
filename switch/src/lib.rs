//! SIP: messages, transactions, dialogs, B2BUA, registrar, trunks and routing. The only room that knows SIP.
//!
//! In: datagrams, provisioning snapshots and control messages, each as an [`Input`] with the [`model::Moment`] of its
//! arrival. Out: datagrams and [`model::CallEvent`]s, as [`Output`] values. [`Switch`] does no I/O, reads no clock and
//! draws no random number but from the seed it is given; the sockets are in [`net`] and nowhere else. Left to others:
//! CDRs (the mediator), prices (rating), locks (fraud), and the durable log of the events (bus).
//!
//! ```text
//! bytes -> message (scan, in place) -> transaction (RFC 3261 17, RFC 6026) -> core (B2BUA, registrar) -> events
//!                                                                          -> phone (test phones and gateways)
//! ```

mod ascii;
mod b2bua;
mod config;
mod credit;
mod dialog;
mod digest;
mod error;
mod hop;
mod message;
mod names;
pub mod net;
pub mod phone;
mod rules;
mod screen;
mod sdp;
mod timer;
mod told;
pub mod trace;
mod transaction;

pub use crate::b2bua::{
    Counters, EventLog, Input, Output, PlannedAttempt, PlannedRefusal, RouteFrom, RoutePlan, Switch, Tables,
    node_started,
};
pub use crate::config::{
    CALLS_ACTIVE_MAX, ClientCertificates, CreditConfig, DigestAlgorithm, NatKeepAlive, SwitchConfig,
    TlsConfig, WithoutRating,
};
pub use crate::credit::{Credit, CreditAnswer, CreditKey, CreditQuestion, CreditStep};
pub use crate::error::SwitchError;
pub use crate::hop::{Addresses, Hop};
pub use crate::message::{
    CSeq, Fault, Framed, Framer, HEADER_BYTES_MAX, HEADERS_MAX, HeaderName, MESSAGE_BYTES_MAX, Message,
    Method, NameAddr, Params, Scheme, StartLine, Unframed, Unreadable, Uri, Via,
};
pub use crate::names::{NameAnswer, NameQuestion, NamedServer};
pub use crate::rules::{CallingOf, Rewritten, canonical_network, check_calling, is_network, rewrite};
pub use crate::screen::Screen;
pub use crate::timer::Timer;

#[cfg(test)]
mod tests;
