//! In place of a broker's client in a build without it. What does not live here: saying so before anybody asks (`clients_built`).

use std::convert::Infallible;
use std::net::SocketAddr;

use crate::bench::BenchError;
use crate::bench::req_resp::asker::Asker;

/// There is none.
#[derive(Debug, Clone)]
pub(super) struct Client(Infallible);

impl Asker for Client {
    async fn ask(&mut self, _: u64) -> Option<String> {
        match self.0 {}
    }
}

pub(super) async fn connect(_: SocketAddr) -> Result<Client, BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}

pub(in crate::bench) async fn serve(_: SocketAddr) -> Result<(), BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}
