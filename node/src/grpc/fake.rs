//! A node for tests: rows as the test sets them, a registry that applies commands at once, a fault table.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use squall_kernel::exchange::{NotBindable, Signature, Unsure, WishAnswer};
use squall_kernel::id::{ClusterId, ExchangeName, Incarnation, NodeId, NodeName, Pid, Revision};
use squall_kernel::membership::{MemberChange, MemberResult};
use squall_kernel::message::ProposeResult;
use squall_kernel::profile::Profile;
use squall_kernel::registry::Command;
use squall_proto::v1::row::Row as Content;
use squall_proto::v1::{self, Row, RowKind};

use super::*;
use crate::calendar::Calendar;
use crate::exchanges::{BindingQuestion, BindingReply, ShownBinding};
use crate::introspect::rows::key_of;
use crate::introspect::{
    Detail, Entity, KindSet, Look, NoBindings, NoDetail, NoTasks, ProcessView, TaskPage,
};
use crate::metrics::{self, Scrape};
use crate::telemetry::SpanSink;

/// Looks at the one entity in detail, and whether it has ended; held once by the node and once by each stream.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) looks: AtomicUsize,
    pub(super) ended: AtomicBool,
}

struct FakeDetail(Arc<Details>);

impl Detail for FakeDetail {
    fn look(&mut self) -> Look {
        let looks = self.0.looks.fetch_add(1, Ordering::Relaxed);
        if self.0.ended.load(Ordering::Relaxed) {
            return Look::Ended("the exchange 'orders' was deleted".into());
        }
        Look::Exchange(Box::new(v1::ExchangeDetail {
            name: "orders".into(),
            decided: looks as u64,
            ..Default::default()
        }))
    }
}

/// Rows and processes as the test sets them.
#[derive(Debug)]
pub(super) struct FakeNode {
    name: NodeName,
    calendar: Calendar,
    pub(super) rows: Mutex<Vec<Row>>,
    /// Serial, name and messages in the mailbox.
    pub(super) processes: Mutex<Vec<(u64, String, u64)>>,
    pub(super) looks: AtomicUsize,
    /// Members; "b" and "a" unless the test says otherwise.
    pub(super) members: Mutex<Vec<v1::Member>>,
    pub(super) details: Arc<Details>,
    /// Where spans go; nowhere unless the test says otherwise.
    pub(super) spans: SpanSink,
}

impl FakeNode {
    pub(super) fn new() -> Arc<Self> {
        let name = NodeName::new("a").expect("a name");
        Arc::new(Self {
            name,
            calendar: Calendar::default(),
            rows: Mutex::default(),
            processes: Mutex::default(),
            looks: AtomicUsize::default(),
            members: Mutex::new(["b", "a"].map(member).into()),
            details: Arc::default(),
            spans: SpanSink::default(),
        })
    }

    pub(super) fn set(&self, rows: Vec<Row>) {
        *self.rows.lock().expect("not poisoned") = rows;
    }
}

impl Sources for FakeNode {
    fn node(&self) -> &NodeName {
        &self.name
    }

    fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    fn measure(&self, to: &mut Scrape) {
        to.count(&metrics::RECEIVED, &[], 7);
    }

    fn hello(&self) -> v1::HelloResponse {
        v1::HelloResponse {
            node: "a".into(),
            members: self.members.lock().expect("not poisoned").clone(),
            ..Default::default()
        }
    }

    fn rows(&self, kinds: KindSet, out: &mut Vec<Row>) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let rows = self.rows.lock().expect("not poisoned");
        out.extend(
            rows.iter()
                .filter(|row| kinds.contains(key_of(row).expect("content").0))
                .cloned(),
        );
    }

    fn spans(&self) -> &SpanSink {
        &self.spans
    }

    fn quorum(&self) -> bool {
        true
    }

    fn figures(&self, exchange: &ExchangeName) -> Option<v1::ExchangeFiguresResponse> {
        (exchange.as_str() == "orders").then(|| v1::ExchangeFiguresResponse {
            node: "a".into(),
            requests: 7,
            ..Default::default()
        })
    }

    fn tasks(&self, exchange: &ExchangeName, page: TaskPage) -> Result<v1::ListTasksResponse, NoTasks> {
        match exchange.as_str() {
            "mails" => Ok(v1::ListTasksResponse {
                tasks: vec![v1::TaskInfo::default(); page.limit],
                more: page.dead,
                ..Default::default()
            }),
            "orders" => Err(NoTasks::OtherPattern("request-response")),
            "far" => Err(NoTasks::Elsewhere("b".into())),
            "nowhere" => Err(NoTasks::Elsewhere(String::new())),
            _ => Err(NoTasks::Unknown),
        }
    }

    fn bindings(
        &self,
        exchange: &ExchangeName,
        question: BindingQuestion,
    ) -> BoxFuture<'static, Result<BindingReply, NoBindings>> {
        let handler = Pid {
            node: NodeId(1),
            serial: 7,
        };
        let signature = Signature::new(0xfeed);
        let answer = match (exchange.as_str(), question) {
            ("sticky", BindingQuestion::Page { limit, .. }) => Ok(BindingReply::Page {
                bindings: vec![
                    ShownBinding {
                        signature,
                        handler,
                        service_tag: "eu".into()
                    };
                    limit
                ],
                more: true,
                total: 2000,
                signature: None,
                incomplete: true,
            }),
            ("sticky", BindingQuestion::Bind { handler: name, .. }) if name == "<x.1>" => {
                Ok(BindingReply::NoSuchHandler(name))
            }
            ("sticky", BindingQuestion::Bind { rebind: false, .. }) => Ok(BindingReply::Changed {
                signature,
                handler: Some(handler),
                answer: WishAnswer::Refused(NotBindable::BoundTo(handler)),
            }),
            ("sticky", BindingQuestion::Bind { .. }) => Ok(BindingReply::Changed {
                signature,
                handler: Some(handler),
                answer: WishAnswer::Unknown(Unsure::Silent(handler)),
            }),
            ("sticky", BindingQuestion::Unbind { .. }) => Ok(BindingReply::Changed {
                signature,
                handler: None,
                answer: WishAnswer::NotBound,
            }),
            ("full", _) => Ok(BindingReply::Changed {
                signature,
                handler: Some(handler),
                answer: WishAnswer::Refused(NotBindable::Full),
            }),
            ("orders", _) => Err(NoBindings::NotSticky("round-robin")),
            ("far", _) => Err(NoBindings::Elsewhere("b".into())),
            ("nowhere", _) => Err(NoBindings::Elsewhere(String::new())),
            _ => Err(NoBindings::Unknown),
        };
        ready(answer).boxed()
    }

    fn detail(&self, entity: &Entity) -> Result<Box<dyn Detail>, NoDetail> {
        match entity {
            Entity::Exchange(name) if name.as_str() == "orders" => {
                Ok(Box::new(FakeDetail(Arc::clone(&self.details))))
            }
            Entity::Exchange(name) => Err(NoDetail::Exchange(name.as_str().to_owned())),
            Entity::Process(pid) => Err(NoDetail::Process(pid.clone())),
        }
    }

    fn processes(&self, visit: &mut dyn FnMut(&ProcessView<'_>)) {
        for (serial, name, mailbox) in self.processes.lock().expect("not poisoned").iter() {
            visit(&ProcessView {
                pid: Pid {
                    node: NodeId(1),
                    serial: *serial,
                },
                name,
                kind: "handler",
                enqueued: *mailbox,
                dequeued: 0,
                bound: 4096,
                oldest_us: 0,
                busy_us: 0,
                sent: 0,
                restarts: 0,
                age_ms: 0,
                dropped: 0,
            });
        }
    }
}

pub(super) fn member(name: &str) -> v1::Member {
    v1::Member {
        name: name.into(),
        ..Default::default()
    }
}

/// Applies commands to a registry of its own, or answers as told.
#[derive(Debug)]
pub(super) struct FakeMeta {
    pub(super) registry: watch::Sender<Arc<Registry>>,
    /// Answers to give before any command is applied.
    pub(super) answers: Mutex<Vec<ProposeResult>>,
    /// What becomes of the next change of the voters, and what was asked for.
    pub(super) members: Mutex<(Option<MemberResult>, Vec<MemberChange>)>,
}

impl FakeMeta {
    pub(super) fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        registry.apply(
            Revision(1),
            &Command::Found {
                cluster: ClusterId(7),
                profile: Profile::Lan,
            },
        );
        Arc::new(Self {
            registry: watch::Sender::new(Arc::new(registry)),
            answers: Mutex::default(),
            members: Mutex::default(),
        })
    }
}

impl Proposer for FakeMeta {
    fn propose(&self, command: Command) -> BoxFuture<'_, ProposeResult> {
        Box::pin(std::future::ready(self.answer(&command)))
    }
}

impl Membership for FakeMeta {
    fn change(&self, change: MemberChange) -> BoxFuture<'_, MemberResult> {
        let mut members = self.members.lock().expect("not poisoned");
        members.1.push(change);
        let done = MemberResult::Done { voters: Vec::new() };
        Box::pin(std::future::ready(members.0.take().unwrap_or(done)))
    }
}

impl FakeMeta {
    fn answer(&self, command: &Command) -> ProposeResult {
        if let Some(answer) = self.answers.lock().expect("not poisoned").pop() {
            return answer;
        }
        let mut registry = Registry::clone(&self.registry.borrow());
        let revision = Revision(registry.revision.0 + 1);
        let outcome = registry.apply(revision, command);
        self.registry.send_replace(Arc::new(registry));
        ProposeResult::Committed { outcome, revision }
    }
}

/// A server over a fake node, and where to find it.
pub(super) struct Running {
    pub(super) address: std::net::SocketAddr,
    pub(super) node: Arc<FakeNode>,
    pub(super) meta: Arc<FakeMeta>,
    pub(super) events: Arc<EventLog>,
    pub(super) wake: Wake,
    pub(super) server: Server,
    pub(super) channel: tonic::transport::Channel,
}

/// Starts a server on a port of its own and connects to it.
pub(super) async fn start(faults: Option<Arc<dyn FaultPlane>>) -> Running {
    let (node, meta, wake) = (FakeNode::new(), FakeMeta::new(), Wake::default());
    let events = Arc::new(EventLog::new(Incarnation(7), wake.clone()));
    let parts = Parts {
        sources: Arc::clone(&node),
        events: Arc::clone(&events),
        wake: wake.clone(),
        proposer: Arc::clone(&meta),
        registry: meta.registry.subscribe(),
        faults,
        chaos_key: None,
        breaches: Arc::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let (sender, incoming) = mpsc::channel(limits::INCOMING_MAX);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if sender.send(stream).await.is_err() {
                return;
            }
        }
    });
    let server = Server::start(incoming, |services, closing| {
        services.add_control(parts, closing.clone());
    })
    .expect("a thread");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("a connection");
    Running {
        address,
        node,
        meta,
        events,
        wake,
        server,
        channel,
    }
}

/// An exchange row.
pub(super) fn exchange(name: &str, requests: u64) -> Row {
    Row {
        row: Some(Content::Exchange(v1::ExchangeRow {
            name: name.into(),
            requests,
            ..Default::default()
        })),
    }
}

/// A key of a removed row.
pub(super) fn key(kind: RowKind, key: &str) -> v1::RowKey {
    v1::RowKey {
        kind: kind as i32,
        key: key.into(),
    }
}
