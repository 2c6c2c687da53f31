//! Faults, the local supervisor, and the chaos console behind the observer.

pub mod guard;
pub mod layout;
pub mod limits;
pub mod process;
pub mod supervisor;
