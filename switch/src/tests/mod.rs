//! The core under a virtual clock: phones, gateways and a switch in one thread, on a network that loses what it is told to.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

mod advice;
mod barrings;
mod calls;
mod clock;
mod credit;
mod everyday;
mod forks;
mod forwards;
mod keep_alive;
mod messages;
mod names;
mod numbers;
mod pair;
mod permissions;
mod provisional;
mod registrations;
mod scenarios;
mod sessions;
mod strays;
mod streams;
mod torture;
mod trunk_peers;
mod under_attack;
pub(crate) mod world;
