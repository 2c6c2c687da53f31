//! What services use: attach, request, reply; the one `Handler` trait.

pub mod handler;
