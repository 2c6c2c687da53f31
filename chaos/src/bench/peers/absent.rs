//! In place of a broker's client in a build without it. What does not live here: saying so before anybody asks (`clients_built`).

use std::convert::Infallible;
use std::net::SocketAddr;

use crate::bench::BenchError;
use crate::bench::req_resp::asker::Asker;
use crate::bench::req_resp::tally::{Tally, Times};

/// There is none.
#[derive(Debug, Clone)]
pub(super) struct Client(Infallible);

impl Asker for Client {
    async fn ask(&mut self, _: u64) -> Option<String> {
        match self.0 {}
    }
}

/// There are none.
pub(super) struct Publishers(Infallible);

impl Publishers {
    pub(super) async fn begin(_: SocketAddr, _: usize, _: usize) -> Result<Self, BenchError> {
        Err(BenchError::Unsound(super::NOT_BUILT.into()))
    }

    pub(super) async fn publish(&mut self, _: usize, _: Times) -> Result<Tally, BenchError> {
        match self.0 {}
    }

    pub(super) fn end(self) {
        match self.0 {}
    }
}

pub(in crate::bench) async fn subscribe(_: SocketAddr, _: usize, _: usize) -> Result<(), BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}

pub(super) async fn connect(_: SocketAddr) -> Result<Client, BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}

pub(in crate::bench) async fn serve(_: SocketAddr) -> Result<(), BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}
