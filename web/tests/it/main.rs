//! The console and the API as a browser and a program meet them: a real server on a free port, a real database, plain HTTP.

#![allow(clippy::unwrap_used, reason = "what a test cannot do ends it")]

mod access;
mod api;
mod exchange;
mod fraud_desk;
mod house;
mod limits;
mod money;
mod objects;
mod own;
mod roles;
mod search;
mod second_factor;
mod sign_in;
mod tariffs;
