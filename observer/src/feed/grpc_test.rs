//! The live feed against nodes that are real gRPC servers in this process.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;

use futures::{Stream, StreamExt as _, stream};
use squall_proto::v1::introspection_server::{Introspection, IntrospectionServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::super::{Detailed, Entity, Link};
use super::*;

/// A node that tells its name and its members, and leaves a gap in its second frame.
struct Fake {
    name: &'static str,
    members: Vec<v1::Member>,
    asked: mpsc::Sender<v1::Interest>,
    frames: Mutex<Option<mpsc::Receiver<v1::Frame>>>,
    /// What is watched in detail.
    watched: mpsc::Sender<String>,
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Introspection for Fake {
    type WatchStream = Out<v1::Frame>;
    type EventsStream = Out<v1::EventBatch>;
    type DetailStream = Out<v1::DetailFrame>;

    /// Exchanges are shown once and stay; no process is known.
    async fn detail(
        &self,
        asked: Request<v1::DetailRequest>,
    ) -> Result<Response<Self::DetailStream>, Status> {
        use v1::detail_request::Entity as Asked;
        let name = match asked.into_inner().entity {
            Some(Asked::Exchange(name)) => name,
            Some(Asked::Process(pid)) => {
                return Err(Status::not_found(format!("there is no process '{pid}'")));
            }
            None => return Err(Status::invalid_argument("nothing is asked for")),
        };
        self.watched.try_send(name.clone()).expect("the test reads it");
        let detail = v1::ExchangeDetail {
            name,
            decided: 7,
            ..Default::default()
        };
        let frame = v1::DetailFrame {
            seq: 1,
            body: Some(v1::detail_frame::Body::Exchange(detail)),
            ..Default::default()
        };
        Ok(Response::new(
            stream::iter([Ok(frame)]).chain(stream::pending()).boxed(),
        ))
    }

    async fn hello(&self, _: Request<v1::HelloRequest>) -> Result<Response<v1::HelloResponse>, Status> {
        let members = self.members.clone();
        Ok(Response::new(v1::HelloResponse {
            node: self.name.to_owned(),
            members,
            ..Default::default()
        }))
    }

    async fn watch(
        &self,
        asks: Request<Streaming<v1::Interest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (asked, mut asks) = (self.asked.clone(), asks.into_inner());
        tokio::spawn(async move {
            while let Some(Ok(interest)) = asks.next().await {
                if asked.send(interest).await.is_err() {
                    break;
                }
            }
        });
        let frames = self.frames.lock().expect("no test panics with it").take();
        let Some(frames) = frames else {
            return Err(Status::unavailable("the test has ended"));
        };
        Ok(Response::new(ReceiverStream::new(frames).map(Ok).boxed()))
    }

    async fn events(&self, _: Request<v1::EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        let event = v1::Event {
            seq: 1,
            kind: "started".to_owned(),
            ..Default::default()
        };
        let batch = v1::EventBatch {
            events: vec![event],
            ..Default::default()
        };
        Ok(Response::new(
            stream::iter([Ok(batch)]).chain(stream::pending()).boxed(),
        ))
    }
}

/// A running fake: what it was asked, and the way to send frames.
struct Running {
    asked: mpsc::Receiver<v1::Interest>,
    frames: mpsc::Sender<v1::Frame>,
    watched: mpsc::Receiver<String>,
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}

fn serve(listener: TcpListener, name: &'static str, members: Vec<v1::Member>) -> Running {
    let (asked, asks) = mpsc::channel(8);
    let (frames, out) = mpsc::channel(8);
    let (watched, watches) = mpsc::channel(8);
    let fake = Fake {
        watched,
        name,
        members,
        asked,
        frames: Mutex::new(Some(out)),
    };
    let server = tonic::transport::Server::builder().add_service(IntrospectionServer::new(fake));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Running {
        asked: asks,
        frames,
        watched: watches,
    }
}

fn frame(interest: u32, seq: u64, name: &str) -> v1::Frame {
    let row = v1::row::Row::Node(v1::NodeRow {
        name: name.to_owned(),
        ..Default::default()
    });
    let part = v1::SnapshotPart {
        id: seq,
        part: 0,
        last: true,
        rows: vec![v1::Row { row: Some(row) }],
    };
    v1::Frame {
        interest,
        seq,
        body: Some(v1::frame::Body::Snapshot(part)),
        ..Default::default()
    }
}

/// Updates until one is wanted.
async fn until(feed: &mut GrpcFeed, wanted: impl Fn(&Update) -> bool) -> Update {
    loop {
        let updates = feed.next().await.expect("the feed goes on");
        if let Some(update) = updates.into_iter().find(&wanted) {
            return update;
        }
    }
}

fn is_rows(update: &Update, name: &str) -> bool {
    matches!(update, Update::Rows(r) if r.node == name && r.whole)
}

#[tokio::test]
async fn one_address_finds_all_and_a_gap_is_healed_by_asking_again() {
    let ((on_a, a), (on_b, b)) = (bind().await, bind().await);
    let member = |name: &str, addr: SocketAddr| v1::Member {
        name: name.to_owned(),
        grpc_addr: addr.to_string(),
        ..Default::default()
    };
    let mut fake_a = serve(on_a, "a", vec![member("a", a), member("b", b)]);
    let mut fake_b = serve(on_b, "b", vec![]);
    let mut feed = GrpcFeed::start(vec![a.to_string()]);

    let first = fake_b.asked.recv().await.expect("b is found through a");
    assert!(!first.kinds.contains(&v1::RowKind::Process.into()));
    fake_b
        .frames
        .send(frame(first.id, 1, "b"))
        .await
        .expect("b is watched");
    until(&mut feed, |u| is_rows(u, "b")).await;

    let first = fake_a.asked.recv().await.expect("a is asked");
    fake_a
        .frames
        .send(frame(first.id, 1, "a"))
        .await
        .expect("a is watched");
    fake_a
        .frames
        .send(frame(first.id, 3, "a"))
        .await
        .expect("a is watched");
    let again = fake_a.asked.recv().await.expect("a is asked again after the gap");
    assert_ne!(again.id, first.id);
    fake_a
        .frames
        .send(frame(again.id, 4, "a"))
        .await
        .expect("a is watched");
    let healed = until(
        &mut feed,
        |u| matches!(u, Update::Rows(r) if r.node == "a" && r.gaps == 1),
    )
    .await;
    assert!(is_rows(&healed, "a"));

    feed.want(Wants {
        processes: true,
        sort: "mailbox".to_owned(),
        reverse: false,
        filter: "mailbox > 10".to_owned(),
        detail: None,
        limit: 7,
    });
    let more = fake_a.asked.recv().await.expect("a is asked for processes");
    assert!(more.kinds.contains(&v1::RowKind::Process.into()) && more.sort == "mailbox");
    assert_eq!((more.process_filter.as_str(), more.limit), ("mailbox > 10", 7));
}

/// C3.
#[tokio::test]
async fn what_a_page_is_about_is_watched_in_detail_by_whoever_knows_it() {
    let (on_a, a) = bind().await;
    let mut fake = serve(on_a, "a", vec![]);
    let mut feed = GrpcFeed::start(vec![a.to_string()]);
    let first = fake.asked.recv().await.expect("a is asked");
    fake.frames
        .send(frame(first.id, 1, "a"))
        .await
        .expect("a is watched");
    let watching = |entity| Wants {
        detail: Some(entity),
        ..Wants::default()
    };
    let orders = Entity::Exchange("orders".to_owned());
    feed.want(watching(orders.clone()));
    assert_eq!(fake.watched.recv().await.as_deref(), Some("orders"));
    let shown = until(&mut feed, |u| matches!(u, Update::Detail { .. })).await;
    assert!(
        matches!(&shown, Update::Detail { node, of, what: Detailed::Exchange(d) }
            if node == "a" && *of == orders && d.decided == 7),
        "{shown:?}"
    );
    let process = |node: &str| Entity::Process {
        node: node.to_owned(),
        pid: format!("<{node}.9>"),
    };
    feed.want(watching(process("b")));
    feed.want(watching(process("a")));
    let none = until(&mut feed, |u| matches!(u, Update::Detail { .. })).await;
    let words = "there is no process '<a.9>'".to_owned();
    assert_eq!(
        none,
        Update::Detail {
            node: "a".to_owned(),
            of: process("a"),
            what: Detailed::Nothing(words)
        }
    );
}

#[tokio::test]
async fn a_stream_that_ends_is_down_and_tried_again() {
    let (on_a, a) = bind().await;
    let mut fake = serve(on_a, "a", vec![]);
    let mut feed = GrpcFeed::start(vec![a.to_string()]);
    let first = fake.asked.recv().await.expect("a is asked");
    fake.frames
        .send(frame(first.id, 1, "a"))
        .await
        .expect("a is watched");
    until(&mut feed, |u| is_rows(u, "a")).await;
    drop(fake.frames);
    until(&mut feed, |u| {
        matches!(
            u,
            Update::Connection {
                state: Link::Down { .. },
                ..
            }
        )
    })
    .await;
    let again = fake.asked.recv().await.expect("a is asked by the next session");
    assert_ne!(again.id, 0);
}

#[tokio::test]
async fn an_address_where_nothing_runs_says_so() {
    let (listener, addr) = bind().await;
    drop(listener);
    let mut feed = GrpcFeed::start(vec![addr.to_string()]);
    let update = until(&mut feed, |u| matches!(u, Update::Seed { why: Some(_), .. })).await;
    assert_eq!(
        update,
        Update::Seed {
            addr: addr.to_string(),
            why: Some("connection refused".to_owned())
        }
    );
}
