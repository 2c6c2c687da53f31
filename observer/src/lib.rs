//! The terminal program that shows a whole cluster, live.

pub mod console;
