//! The tokio shell of a broker node: mesh, meta plane, processes, gRPC services, telemetry, fault shim.

pub mod datadir;
pub mod meta;
