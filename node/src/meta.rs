//! The meta plane.
