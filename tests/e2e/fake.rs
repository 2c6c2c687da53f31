//! Nodes that are none: gRPC servers which tell the observer whatever a test makes up. What does not live here: what a test
//! makes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use squall_proto::v1;
use squall_proto::v1::introspection_server::{Introspection, IntrospectionServer};
use squall_proto::v1::row::Row;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Rows of one part of a picture: some hundred bytes each, and a part has 64 KiB at most.
const PART_ROWS: usize = 250;
/// A node says something at least once a second, or is overdue.
const BEAT: Duration = Duration::from_millis(200);

/// What a made-up node tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    pub(crate) hello: v1::HelloResponse,
    /// Its picture. Of processes only as many are sent as are asked for.
    pub(crate) rows: Vec<Row>,
    pub(crate) events: Vec<v1::Event>,
    /// Frames between the picture and the first beat, with the right numbers filled in.
    pub(crate) odd: Vec<Option<v1::frame::Body>>,
    /// It knows no stream of rows.
    pub(crate) is_older: bool,
}

impl Story {
    /// A node of that name and version that knows these members, and is well.
    pub(crate) fn of(name: &str, version: &str) -> Self {
        let own = v1::NodeRow {
            name: name.to_owned(),
            incarnation: 1,
            role: v1::MetaRole::Voter.into(),
            quorum: true,
            revision: 1,
            version: version.to_owned(),
            ..Default::default()
        };
        Self {
            hello: v1::HelloResponse {
                node: name.to_owned(),
                version: version.to_owned(),
                incarnation: 1,
                ..Default::default()
            },
            rows: vec![Row::Node(own)],
            ..Self::default()
        }
    }

    fn own(&self) -> Option<&v1::NodeRow> {
        self.rows.iter().find_map(|row| match row {
            Row::Node(own) => Some(own),
            _ => None,
        })
    }
}

/// Where made-up nodes run; they end with it.
pub(crate) struct Fakes(Runtime);

impl Fakes {
    pub(crate) fn new() -> Self {
        Self(Runtime::new().expect("a runtime"))
    }

    /// Starts a node; gives its address. Its revision goes up with each beat.
    pub(crate) fn start(&self, story: Story) -> String {
        let node = IntrospectionServer::new(Fake(Arc::new(story)));
        self.serve(Routes::new(node))
    }

    /// Starts something that speaks gRPC and is no node.
    pub(crate) fn start_stranger(&self) -> String {
        self.serve(Routes::default())
    }

    fn serve(&self, routes: Routes) -> String {
        let listener = self.0.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let addr = listener.local_addr().expect("it is bound").to_string();
        let server = Server::builder().add_routes(routes);
        self.0
            .spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        addr
    }
}

struct Fake(Arc<Story>);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Introspection for Fake {
    type WatchStream = Out<v1::Frame>;
    type EventsStream = Out<v1::EventBatch>;
    type DetailStream = Out<v1::DetailFrame>;

    async fn hello(&self, _: Request<v1::HelloRequest>) -> Result<Response<v1::HelloResponse>, Status> {
        Ok(Response::new(self.0.hello.clone()))
    }

    async fn watch(
        &self,
        asks: Request<Streaming<v1::Interest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if self.0.is_older {
            return Err(Status::unimplemented(""));
        }
        let (frames, out) = mpsc::channel(64);
        tokio::spawn(tell(Arc::clone(&self.0), asks.into_inner(), frames));
        Ok(Response::new(ReceiverStream::new(out).map(Ok).boxed()))
    }

    async fn events(&self, _: Request<v1::EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        let batch = v1::EventBatch {
            events: self.0.events.clone(),
            incarnation: 1,
            ..Default::default()
        };
        let first = stream::iter([Ok(batch)]);
        Ok(Response::new(first.chain(stream::pending()).boxed()))
    }

    async fn detail(&self, _: Request<v1::DetailRequest>) -> Result<Response<Self::DetailStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Numbers the frames of one stream.
struct Teller {
    interest: u32,
    seq: u64,
    to: mpsc::Sender<v1::Frame>,
}

impl Teller {
    /// None once nobody listens.
    async fn tell(&mut self, body: Option<v1::frame::Body>) -> Option<()> {
        self.seq += 1;
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let frame = v1::Frame {
            interest: self.interest,
            seq: self.seq,
            taken_unix_ms: since.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(0)),
            body,
            ..Default::default()
        };
        self.to.send(frame).await.ok()
    }
}

/// A picture for each interest, and a beat now and then.
async fn tell(
    story: Arc<Story>,
    mut asks: Streaming<v1::Interest>,
    to: mpsc::Sender<v1::Frame>,
) -> Option<()> {
    let mut teller = Teller {
        interest: 0,
        seq: 0,
        to,
    };
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            asked = asks.next() => {
                let asked = asked?.ok()?;
                teller.interest = asked.id;
                picture(&story, &asked, &mut teller).await?;
            }
            _ = beat.tick() => {
                let own = story.own().map(|own| v1::NodeRow {
                    revision: own.revision.saturating_add(teller.seq),
                    ..own.clone()
                });
                let rows = own.map(|own| v1::Row { row: Some(Row::Node(own)) });
                let delta = v1::Delta { rows: rows.into_iter().collect(), ..Default::default() };
                teller.tell(Some(v1::frame::Body::Delta(delta))).await?;
            }
        }
    }
}

async fn picture(story: &Story, asked: &v1::Interest, teller: &mut Teller) -> Option<()> {
    let room = if asked.limit == 0 {
        usize::MAX
    } else {
        usize::try_from(asked.limit).unwrap_or(usize::MAX)
    };
    let is_process = |row: &&Row| matches!(row, Row::Process(_));
    let others = story.rows.iter().filter(|row| !is_process(row));
    let processes = story.rows.iter().filter(is_process).take(room);
    let rows: Vec<v1::Row> = others
        .chain(processes)
        .map(|row| v1::Row {
            row: Some(row.clone()),
        })
        .collect();
    let parts: Vec<_> = rows.chunks(PART_ROWS).collect();
    for (part, rows) in parts.iter().enumerate() {
        let snapshot = v1::SnapshotPart {
            id: asked.id.into(),
            part: u32::try_from(part).ok()?,
            last: part + 1 == parts.len(),
            rows: rows.to_vec(),
        };
        teller.tell(Some(v1::frame::Body::Snapshot(snapshot))).await?;
    }
    for body in &story.odd {
        teller.tell(body.clone()).await?;
    }
    Some(())
}
