//! Squall's core without IO: state machines that take `now` and randomness as arguments and return effects
//! as plain data. The tokio shell and the simulator drive the same code.
//!
//! What does not live here: clocks, random numbers, sockets, files, threads, async.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod core;
pub mod dedup;
pub mod detector;
pub mod exchange;
pub mod fault;
pub mod fence;
pub mod founding;
pub mod frame;
pub mod handshake;
pub mod id;
pub mod keys;
pub mod limits;
pub mod membership;
pub mod message;
pub mod nearest;
pub mod numbered;
pub mod order;
pub mod planted;
pub mod profile;
pub mod promises;
pub mod publishing;
pub mod reason;
pub mod registry;
pub mod shared;
pub mod spread;
pub mod subscriptions;
pub mod supervision;
pub mod talk;
pub mod tasks;
pub mod time;
pub mod view;
pub mod voters;
