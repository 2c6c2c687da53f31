//! Calls to nodes and to the supervisor, each bounded in time, many at once. What does not live here: what is called
//! when (`client`).

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use squall_proto::v1 as proto;
use squall_proto::v1::admin_client::AdminClient;
use squall_proto::v1::chaos_client::ChaosClient as Calls;
use squall_proto::v1::introspection_client::IntrospectionClient;
use squall_proto::v1::supervisor_client::SupervisorClient;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::key::keyed;
use super::listing::NodeFaults;
use super::{ChaosError, ChaosKey};
use crate::limits::{ACT_TIMEOUT, CALL_TIMEOUT, CONNECT_TIMEOUT, OTHERS_WITHIN};

const SUPERVISOR: &str = "the supervisor";

/// A channel to a node that gives up in time, also when the node is paused or cut off.
pub(crate) async fn node(addr: &str) -> Result<Channel, String> {
    connect(format!("http://{addr}"), CALL_TIMEOUT).await
}

/// The first node among `addrs` that answers and knows as many members as there are addresses. When none does, the one that
/// sees most of them up: a node that has just joined may not know the others yet. Who knows of no leader has nothing to say
/// worth a hurry: the others are then waited for as long as any call is.
pub(super) async fn hello_any(addrs: &[String]) -> Result<proto::HelloResponse, String> {
    most_informed(addrs.iter().map(|addr| hello(addr)).collect()).await
}

async fn most_informed<F>(mut asked: FuturesUnordered<F>) -> Result<proto::HelloResponse, String>
where
    F: Future<Output = Result<proto::HelloResponse, String>>,
{
    let enough = asked.len();
    let (mut best, mut why, mut until) = (None, String::from("no address"), None);
    while let Some(answer) = next_soon(&mut asked, until).await {
        match answer {
            Ok(hello) if hello.members.len() >= enough => return Ok(hello),
            Ok(hello) => {
                let led = hello
                    .members
                    .iter()
                    .any(|member| member.role() == proto::MetaRole::Leader);
                best = best.into_iter().chain([hello]).max_by_key(members_up);
                until = until.or_else(|| led.then(|| Instant::now() + OTHERS_WITHIN));
            }
            Err(error) => why = error,
        }
    }
    best.ok_or(why)
}

fn members_up(hello: &proto::HelloResponse) -> usize {
    let up = |member: &&proto::Member| member.state() == proto::NodeState::Up;
    hello.members.iter().filter(up).count()
}

/// The next of the answers, when it comes before `until`.
async fn next_soon<F: Future>(asked: &mut FuturesUnordered<F>, until: Option<Instant>) -> Option<F::Output> {
    match until {
        None => asked.next().await,
        Some(until) => tokio::time::timeout_at(until, asked.next()).await.ok().flatten(),
    }
}

/// How nodes see their cluster: what those say that answer at once, or soon after the first of them that knows as many members
/// as are asked.
pub(super) async fn views(
    members: &[(String, String)],
) -> Vec<(Vec<proto::Member>, Vec<proto::ExchangeInfo>)> {
    let mut asked: FuturesUnordered<_> = members.iter().map(|(_, addr)| view(addr)).collect();
    let (mut views, mut until) = (Vec::new(), None);
    while let Some(next) = next_soon(&mut asked, until).await {
        if let Ok(view) = next {
            let whole = view.0.len() >= members.len();
            until = until.or_else(|| whole.then(|| Instant::now() + OTHERS_WITHIN));
            views.push(view);
        }
    }
    views
}

async fn view(addr: &str) -> Result<(Vec<proto::Member>, Vec<proto::ExchangeInfo>), Status> {
    let hello = hello(addr).await.map_err(Status::unavailable)?;
    Ok((hello.members, exchanges(addr).await?))
}

async fn exchanges(addr: &str) -> Result<Vec<proto::ExchangeInfo>, Status> {
    bounded(async {
        let mut admin = AdminClient::new(node(addr).await.map_err(Status::unavailable)?);
        let list = admin.list_exchanges(proto::ListExchangesRequest {}).await?;
        Ok(list.into_inner().exchanges)
    })
    .await
}

/// Asks one node who it is.
pub(crate) async fn hello(addr: &str) -> Result<proto::HelloResponse, String> {
    bounded(async {
        let mut client = IntrospectionClient::new(node(addr).await.map_err(Status::unavailable)?);
        let request = proto::HelloRequest {
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        client.hello(request).await.map(tonic::Response::into_inner)
    })
    .await
    .map_err(|status| status.message().to_owned())
}

pub(crate) async fn set_fault(
    name: &str,
    addr: &str,
    request: proto::SetFaultRequest,
    key: Option<&ChaosKey>,
) -> Result<proto::FaultInfo, ChaosError> {
    let call = async {
        let mut client = Calls::new(node(addr).await.map_err(Status::unavailable)?);
        client.set_fault(keyed(request, key)).await
    };
    let response = bounded(call)
        .await
        .map_err(|status| ChaosError::of(name, &status))?;
    response
        .into_inner()
        .fault
        .ok_or_else(|| ChaosError::Refused(format!("node {name} set no fault")))
}

/// Tells a node of a broken invariant.
pub(crate) async fn report_breach(
    addr: &str,
    breach: proto::ReportBreachRequest,
    key: Option<&ChaosKey>,
) -> Result<(), Status> {
    bounded(async {
        let mut client = Calls::new(node(addr).await.map_err(Status::unavailable)?);
        client.report_breach(keyed(breach, key)).await.map(drop)
    })
    .await
}

/// The faults of all members, asked at once.
pub(super) async fn faults_of_all(members: &[(String, String)]) -> Vec<NodeFaults> {
    join_all(members.iter().map(|(name, addr)| async move {
        let call = async {
            let mut client = Calls::new(node(addr).await.map_err(Status::unavailable)?);
            client.list_faults(proto::ListFaultsRequest {}).await
        };
        match bounded(call).await {
            Ok(response) => {
                let told = response.into_inner();
                let locked = told.lock.map(|lock| (name.clone(), lock));
                NodeFaults::Some(told.faults, locked)
            }
            Err(status) if status.code() == Code::Unimplemented => NodeFaults::Some(Vec::new(), None),
            Err(status) => NodeFaults::Silent {
                node: name.clone(),
                why: status.message().to_owned(),
            },
        }
    }))
    .await
}

/// Halts all members that answer; how many faults that ended. Those that did not answer show in the listing that follows.
///
/// # Errors
/// A member does not let itself be halted.
pub(super) async fn halt_all(
    members: &[(String, String)],
    order: &proto::HaltRequest,
    key: Option<&ChaosKey>,
) -> Result<u32, ChaosError> {
    let calls = members.iter().map(|(name, addr)| async move {
        let call = async {
            let mut client = Calls::new(node(addr).await.map_err(Status::unavailable)?);
            client.halt(keyed(order.clone(), key)).await
        };
        (name, bounded(call).await)
    });
    let mut cleared = 0;
    for (name, answer) in join_all(calls).await {
        match answer {
            Ok(response) => cleared += response.into_inner().cleared,
            Err(status) if status.code() == Code::Unauthenticated => {
                return Err(ChaosError::of(name, &status));
            }
            Err(_) => {}
        }
    }
    Ok(cleared)
}

/// Lets all members take faults again; names those that were locked, or says who did not answer.
pub(super) async fn unlock_all(
    members: &[(String, String)],
    order: &proto::UnlockRequest,
    key: Option<&ChaosKey>,
) -> Result<Vec<String>, ChaosError> {
    let calls = members.iter().map(|(name, addr)| async move {
        let call = async {
            let mut client = Calls::new(node(addr).await.map_err(Status::unavailable)?);
            client.unlock(keyed(order.clone(), key)).await
        };
        (name, bounded(call).await)
    });
    let mut unlocked = Vec::new();
    for (name, answer) in join_all(calls).await {
        match answer {
            Ok(response) if response.get_ref().was_locked => unlocked.push(name.clone()),
            // One that does not run comes back unlocked, and one without faults needs no lock.
            Ok(_) => {}
            Err(status)
                if matches!(
                    status.code(),
                    Code::Unavailable | Code::DeadlineExceeded | Code::Unimplemented
                ) => {}
            Err(status) => return Err(ChaosError::of(name, &status)),
        }
    }
    unlocked.sort();
    Ok(unlocked)
}

pub(super) async fn act(socket: &Path, request: proto::ActRequest) -> Result<proto::Child, ChaosError> {
    let response = supervisor(socket).await?.act(request).await;
    let response = response.map_err(|status| ChaosError::of(SUPERVISOR, &status))?;
    response
        .into_inner()
        .child
        .ok_or_else(|| ChaosError::Refused("the supervisor names no node".to_owned()))
}

pub(super) async fn halt_children(
    socket: &Path,
    order: &proto::HaltRequest,
) -> Result<Vec<String>, ChaosError> {
    let request = proto::HaltChildrenRequest {
        by: order.by.clone(),
        lock: order.lock,
        reason: order.reason.clone(),
    };
    let response = supervisor(socket).await?.halt_children(request).await;
    Ok(response
        .map_err(|status| ChaosError::of(SUPERVISOR, &status))?
        .into_inner()
        .nodes)
}

pub(super) async fn unlock_children(socket: &Path, order: &proto::UnlockRequest) -> Result<bool, ChaosError> {
    let response = supervisor(socket).await?.unlock_children(order.clone()).await;
    let response = response.map_err(|status| ChaosError::of(SUPERVISOR, &status))?;
    Ok(response.into_inner().was_locked)
}

pub(super) async fn children(socket: &Path) -> Result<Vec<proto::Child>, ChaosError> {
    Ok(processes(socket).await?.children)
}

/// The nodes' processes, and whether they may be acted on.
pub(crate) async fn processes(socket: &Path) -> Result<proto::ListChildrenResponse, ChaosError> {
    let asked = proto::ListChildrenRequest {};
    let response = supervisor(socket).await?.list_children(asked).await;
    let response = response.map_err(|status| ChaosError::of(SUPERVISOR, &status))?;
    Ok(response.into_inner())
}

/// What was done to the cluster.
pub(super) async fn session(socket: &Path) -> Result<proto::SessionResponse, ChaosError> {
    let response = supervisor(socket).await?.session(proto::SessionRequest {}).await;
    let response = response.map_err(|status| ChaosError::of(SUPERVISOR, &status))?;
    Ok(response.into_inner())
}

/// What the invariants say.
pub(crate) async fn verdicts(socket: &Path) -> Result<proto::VerdictsResponse, ChaosError> {
    let response = supervisor(socket)
        .await?
        .verdicts(proto::VerdictsRequest {})
        .await;
    let response = response.map_err(|status| ChaosError::of(SUPERVISOR, &status))?;
    Ok(response.into_inner())
}

async fn supervisor(socket: &Path) -> Result<SupervisorClient<Channel>, ChaosError> {
    let channel = connect(format!("unix://{}", socket.display()), ACT_TIMEOUT).await;
    let who = || format!("{SUPERVISOR} at {}", socket.display());
    channel
        .map(SupervisorClient::new)
        .map_err(|why| ChaosError::Unavailable { who: who(), why })
}

async fn connect(uri: String, call: Duration) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(uri).map_err(|error| error.to_string())?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(call)
        .http2_keep_alive_interval(call)
        .keep_alive_timeout(call);
    endpoint.connect().await.map_err(|error| innermost(&error))
}

/// A paused node accepts connections and answers nothing: connecting and calling together have one bound.
async fn bounded<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded(format!("no answer within {} ms", CALL_TIMEOUT.as_millis()));
    tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(late)?
}

/// `transport error` says nothing; the error at its root does.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
#[path = "reach_test.rs"]
mod tests;
