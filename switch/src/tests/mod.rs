//! The core under a virtual clock: phones, gateways and a switch in one thread, on a network that loses what it is told to.

mod calls;
mod messages;
mod registrations;
mod strays;
pub(crate) mod world;
