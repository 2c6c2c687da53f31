//! Squall's wire interface for gRPC: the messages and services of `squall.v1`, generated from the
//! `.proto` files beside this crate, and the encoded descriptors that reflection serves.
//!
//! What does not live here: conversions to and from the types of other crates, and the native frames
//! (those are `squall-kernel`'s).

pub mod codec;

/// Messages and services of version 1.
#[allow(missing_docs, clippy::all, clippy::pedantic)] // Generated; comments come from the .proto files.
pub mod v1 {
    include!("generated/squall.v1.rs");
}

/// Encoded `FileDescriptorSet` of all files of `squall.v1`, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
