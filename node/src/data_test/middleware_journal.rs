//! What a journal has of a request on its way through middleware: each station is a request of its own (I5 judges them).

use std::io::Cursor;

use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::registry::{Pattern, Settings};

use super::cluster::{Cluster, Log, name, quiet, reply};
use super::failover::Memory;
use crate::handlers::HandlerTags;
use crate::journal::{Ending, Entry, Fact, Journal, read};

struct Passes;

impl Handler for Passes {
    async fn handle(&mut self, _: Delivery) -> Answer {
        Answer::Pass
    }
}

/// A30: no request is handled twice, and each ends once.
#[tokio::test(start_paused = true)]
async fn each_station_is_begun_tried_handled_and_ended_once() {
    let memory = Memory::default();
    let (journal, writer) = Journal::start_writer(memory.clone()).unwrap();
    let mut cluster = Cluster::recording(1, Some((&journal, 0)));
    cluster.declare_pattern("auth", Pattern::RequestResponse, Settings::default());
    let settings = Settings {
        middleware: vec![name("auth")],
        ..Settings::default()
    };
    let orders = cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
    let handlers = &cluster.planes[0].handlers;
    let passes = handlers.attach_embedded(&name("auth"), HandlerTags::default(), Passes);
    let serves = cluster.attach(0, "orders", Log::default().handler("serves"));
    quiet().await;
    assert_eq!(reply(&cluster.request(0, orders, "x").await), "serves");
    drop((cluster, journal));
    quiet().await;
    writer.finish().unwrap();
    let bytes = memory.0.lock().unwrap().clone();
    let mut story = Vec::new();
    let mut numbers = Vec::new();
    read(Cursor::new(bytes), |entry| {
        let Entry::Fact { fact, .. } = entry else { return };
        match fact {
            Fact::Begun { request, .. } => {
                numbers.push(request);
                story.push("begun".to_owned());
            }
            Fact::Tried { request, .. } => {
                assert_eq!(Some(&request), numbers.last());
                story.push("tried".into());
            }
            Fact::Passed { handler, .. } => story.push(format!("handled by {handler}")),
            Fact::Outcome {
                request,
                ending,
                more,
                ..
            } => {
                assert_eq!((Some(&request), more), (numbers.last(), false));
                let Ending::Reply(handler) = ending else {
                    panic!("{ending:?}")
                };
                story.push(format!("answered by {handler}"));
            }
            _ => {}
        }
    })
    .unwrap();
    let station = |handler| {
        [
            "begun".to_owned(),
            "tried".into(),
            format!("handled by {handler}"),
            format!("answered by {handler}"),
        ]
    };
    let expected = [station(passes.unwrap()), station(serves)].concat();
    assert_eq!(story, expected);
    assert_ne!(numbers[0], numbers[1]);
}
