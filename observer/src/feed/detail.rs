//! The detail stream of the entity whose page is open: opened, followed and given up beside the node's other streams, which it
//! never holds up.
//!
//! What does not live here: what is shown of it, and who opens a page.

use std::future::pending;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use squall_proto::v1;
use squall_proto::v1::introspection_client::IntrospectionClient;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::Update;

/// A node that could not show an entity is asked again after that long.
const AGAIN: Duration = Duration::from_secs(2);

/// What is watched in detail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    /// An exchange, at every node.
    Exchange(String),
    /// A process.
    Process {
        /// Node that it lives on.
        node: String,
        /// Pid.
        pid: String,
    },
}

/// What a node shows of an entity.
#[derive(Debug, Clone, PartialEq)]
pub enum Detailed {
    /// An exchange.
    Exchange(Box<v1::ExchangeDetail>),
    /// A process.
    Process(Box<v1::ProcessDetail>),
    /// Nothing, or nothing more: why, in words.
    Nothing(String),
}

impl Entity {
    /// What to ask a node for; none where it is not concerned.
    fn request(&self, node: &str) -> Option<v1::DetailRequest> {
        use v1::detail_request::Entity as Asked;
        let entity = match self {
            Self::Exchange(name) => Asked::Exchange(name.clone()),
            Self::Process { node: own, pid } if own == node => Asked::Process(pid.clone()),
            Self::Process { .. } => return None,
        };
        Some(v1::DetailRequest { entity: Some(entity) })
    }
}

/// The detail stream of one node's session.
#[derive(Default)]
pub(super) struct Details {
    of: Option<Entity>,
    stream: Option<BoxStream<'static, Result<v1::DetailFrame, Status>>>,
}

impl Details {
    /// Watches what is wanted now; a stream of what was wanted before ends.
    pub(super) fn follow(
        &mut self,
        client: &IntrospectionClient<Channel>,
        node: &str,
        wanted: Option<&Entity>,
    ) {
        if self.of.as_ref() == wanted {
            return;
        }
        self.of = wanted.cloned();
        self.stream = wanted
            .and_then(|entity| entity.request(node))
            .map(|request| frames(client.clone(), request));
    }

    /// What comes next; waits for ever while nothing is wanted.
    pub(super) async fn next(&mut self, node: &str) -> Update {
        loop {
            let (Some(stream), Some(of)) = (&mut self.stream, &self.of) else {
                return pending().await;
            };
            let what = match stream.next().await {
                None => {
                    self.stream = None;
                    continue;
                }
                Some(Ok(frame)) => shown(frame),
                Some(Err(status)) => Some(Detailed::Nothing(words(&status))),
            };
            if let Some(what) = what {
                return Update::Detail {
                    node: node.to_owned(),
                    of: of.clone(),
                    what,
                };
            }
        }
    }
}

/// The frames of an entity; after an error that may pass the node is asked again.
fn frames(
    client: IntrospectionClient<Channel>,
    request: v1::DetailRequest,
) -> BoxStream<'static, Result<v1::DetailFrame, Status>> {
    let is_process = matches!(request.entity, Some(v1::detail_request::Entity::Process(_)));
    let open = move |again: bool| {
        let (mut client, request) = (client.clone(), request.clone());
        let opened = async move {
            if again {
                sleep(AGAIN).await;
            }
            client.detail(request).await.map(tonic::Response::into_inner)
        };
        stream::once(opened).try_flatten().boxed()
    };
    let first = open(false);
    let step = move |mut frames: Option<BoxStream<'static, _>>| {
        let open = open.clone();
        async move {
            let next: Option<Result<v1::DetailFrame, Status>> = frames.as_mut()?.next().await;
            let go_on = match &next {
                Some(Ok(_)) => frames,
                Some(Err(status)) if is_final(status, is_process) => None,
                Some(Err(_)) => Some(open(true)),
                None => return None,
            };
            Some((next?, go_on))
        }
    };
    stream::unfold(Some(first), step).boxed()
}

/// A process that has ended does not come again; nor does what the node's version cannot do.
fn is_final(status: &Status, is_process: bool) -> bool {
    status.code() == Code::Unimplemented || (is_process && status.code() == Code::NotFound)
}

fn shown(frame: v1::DetailFrame) -> Option<Detailed> {
    use v1::detail_frame::Body;
    Some(match frame.body? {
        Body::Exchange(detail) => Detailed::Exchange(Box::new(detail)),
        Body::Process(detail) => Detailed::Process(Box::new(detail)),
        Body::Ended(ended) => Detailed::Nothing(ended.why),
    })
}

fn words(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "its version shows no details".to_owned(),
        _ if status.message().is_empty() => format!("refused: {}", status.code()),
        _ => status.message().to_owned(),
    }
}
