//! What a journal has of deliveries that a client never got: they passed the fence, and took no effect (I5 judges them).

use std::collections::BTreeSet;
use std::io::Cursor;

use squall_kernel::registry::Strategy;

use super::cluster::{Cluster, quiet};
use super::failover::Memory;
use super::sessions::Client;
use crate::journal::{Entry, Fact, Journal, read};

/// More than a session has on its way to its client.
const REQUESTS: usize = 200;

#[tokio::test(start_paused = true)]
async fn what_never_reached_its_client_is_told_as_given_back() {
    let memory = Memory::default();
    let (journal, writer) = Journal::start_writer(memory.clone()).unwrap();
    let mut cluster = Cluster::recording(1, Some((&journal, 0)));
    let orders = cluster.declare("orders", Strategy::RoundRobin);
    let mut client = Client::connect(&cluster, 0);
    let handler = client.attach("orders", 1_000).await;
    quiet().await;
    let asked: Vec<_> = (0..REQUESTS).map(|_| cluster.request(0, orders, "x")).collect();
    let asked = futures::future::join_all(asked);
    tokio::select! {
        _ = asked => panic!("nobody reads what is delivered"),
        () = quiet() => {}
    }
    drop(client);
    quiet().await;
    drop((cluster, journal));
    quiet().await;
    writer.finish().unwrap();
    let bytes = memory.0.lock().unwrap().clone();
    let (mut passed, mut back) = (BTreeSet::new(), BTreeSet::new());
    read(Cursor::new(bytes), |entry| {
        let Entry::Fact { fact, .. } = entry else { return };
        match fact {
            Fact::Passed {
                request, handler: by, ..
            } if by == handler => {
                passed.insert(request);
            }
            Fact::GivenBack { request, handler: by } => {
                assert_eq!(by, handler);
                assert!(passed.contains(&request), "told behind what it undoes");
                back.insert(request);
            }
            _ => {}
        }
    })
    .unwrap();
    assert_eq!(passed.len(), REQUESTS);
    assert!(
        !back.is_empty() && back.len() < REQUESTS,
        "{} of them",
        back.len()
    );
}
