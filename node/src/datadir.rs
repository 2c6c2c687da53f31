//! The node's data directory.
