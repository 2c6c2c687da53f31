//! Faults, the local supervisor, and the chaos console behind the observer.
//!
//! What does not live here: the faults' effect on frames, which is the node's (`squall-node`), and the screen.

pub mod bench;
pub mod client;
pub mod console;
pub mod corpus;
pub mod coverage;
pub mod demo;
pub mod fault;
pub mod guard;
pub mod history;
pub mod invariant;
mod judge;
pub mod layout;
pub mod limits;
pub mod load;
pub mod process;
pub mod radius;
pub mod record;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod sim;
pub mod supervisor;
pub mod up;
