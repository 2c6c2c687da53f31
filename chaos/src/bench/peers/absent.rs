//! In place of a broker's client in a build without it. What does not live here: saying so before anybody asks (`clients_built`).

use std::convert::Infallible;
use std::net::SocketAddr;

use crate::bench::BenchError;
use crate::bench::fanout::plan::Plan;
use crate::bench::req_resp::asker::Asker;
use crate::bench::req_resp::tally::{Tally, Times};
use crate::bench::role::Part;
use crate::bench::tasks::ledger::Ledger;
use crate::bench::tasks::working;

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
    pub(super) async fn begin(_: SocketAddr, _: usize, _: Plan, _: usize) -> Result<Self, BenchError> {
        Err(BenchError::Unsound(super::NOT_BUILT.into()))
    }

    pub(super) async fn publish(&mut self, _: usize, _: Times) -> Result<Published, BenchError> {
        match self.0 {}
    }

    pub(super) fn end(self) {
        match self.0 {}
    }
}

/// There is none.
pub(super) struct Published {
    pub(super) tally: Tally,
    pub(super) deliveries: u64,
    pub(super) deliveries_in_all: u64,
}

/// There is none.
pub(super) struct Queue {
    pub(super) submitter: Submitter,
}

/// There is none.
#[derive(Clone)]
pub(super) struct Submitter(Infallible);

impl Queue {
    pub(super) async fn begin(_: SocketAddr) -> Result<Self, BenchError> {
        Err(BenchError::Unsound(super::NOT_BUILT.into()))
    }

    pub(super) async fn end(self) {
        match self.submitter.0 {}
    }
}

impl working::Submitter for Submitter {
    fn ledger(&self) -> &Ledger {
        match self.0 {}
    }

    async fn submit(&self, _: u64) -> Result<(), String> {
        match self.0 {}
    }
}

pub(in crate::bench) async fn subscribe(_: SocketAddr, _: Part) -> Result<(), BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}

pub(super) async fn connect(_: SocketAddr) -> Result<Client, BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}

pub(in crate::bench) async fn serve(_: SocketAddr) -> Result<(), BenchError> {
    Err(BenchError::Unsound(super::NOT_BUILT.into()))
}
