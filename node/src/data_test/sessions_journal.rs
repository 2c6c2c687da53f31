//! What journals have of deliveries that a client never saw: they took no effect, and go to another handler (I5 judges them).

use std::collections::HashSet;
use std::io::Cursor;

use squall_kernel::frame::{Kind, Status};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Strategy;

use super::cluster::{Cluster, Log, quiet};
use super::failover::Memory;
use super::sessions::Client;
use crate::journal::{Entry, Fact, Journal, read};

/// More than are on their way to a client at once.
const REQUESTS: u64 = 80;
const ON_THEIR_WAY: usize = 32;

#[tokio::test(start_paused = true)]
async fn what_a_client_never_saw_is_told_as_given_back() {
    let memory = Memory::default();
    let (journal, writer) = Journal::start_writer(memory.clone()).unwrap();
    let mut cluster = Cluster::recording(2, Some((&journal, 1)));
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let mut server = Client::narrow(&cluster, 1, ON_THEIR_WAY);
    server.attach("orders", 0).await;
    quiet().await;
    let mut client = Client::connect(&cluster, 0);
    client.request(0, exchange).await;
    let first = server.data().await;
    assert_eq!(first.kind, Kind::Deliver);
    for n in 1..REQUESTS {
        client.request(n, exchange).await;
    }
    quiet().await;
    let log = Log::default();
    cluster.attach(0, "orders", log.handler("stays"));
    quiet().await;
    // It has never seen the first one, as it says; then it is gone, and some have never reached it.
    server.answer(&first, Status::None(NoReply::Unreachable)).await;
    quiet().await;
    server.vanish();
    let mut elsewhere = 0;
    for _ in 0..REQUESTS {
        match client.data().await.status {
            Status::Reply => elsewhere += 1,
            Status::None(reason) => assert_eq!(reason, NoReply::Interrupted),
            other => panic!("{other:?}"),
        }
    }
    assert!(elsewhere > 1, "{elsewhere}");
    drop((cluster, client, journal));
    quiet().await;
    writer.finish().unwrap();
    let bytes = memory.0.lock().unwrap().clone();
    let (mut passed, mut given_back) = (HashSet::new(), HashSet::new());
    read(Cursor::new(bytes), |entry| {
        let Entry::Fact { fact, .. } = entry else { return };
        match fact {
            Fact::Passed { request, handler, .. } => {
                passed.insert((request, handler));
            }
            Fact::GivenBack { request, handler } => {
                given_back.insert((request, handler));
            }
            _ => {}
        }
    })
    .unwrap();
    assert!(given_back.is_subset(&passed));
    assert_eq!(given_back.len(), elsewhere);
}
