//! The chaos console behind the observer: the fault client in the observer's terms. What does not live here: what an
//! order would do (`radius`) and how it is carried out (`client`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use squall_kernel::fault::{Latency, LinkFault, Shape, Share};
use squall_kernel::time::Span;
use squall_observer::console::{Console, ConsoleError, Order, Picture, Radius};
use squall_proto::v1::Child;

use crate::client::{ActiveFault, ChaosClient, ChaosError};
use crate::radius::radius;

/// Fires the observer's orders.
#[derive(Debug, Clone)]
pub struct ChaosConsole {
    client: Arc<ChaosClient>,
}

impl ChaosConsole {
    /// A console that acts through `client`.
    #[must_use]
    pub fn new(client: Arc<ChaosClient>) -> Self {
        Self { client }
    }
}

impl Console for ChaosConsole {
    fn preview(&self, order: &Order, picture: &Picture) -> Radius {
        radius(order, picture)
    }

    fn fire(&self, order: Order) -> BoxFuture<'static, Result<String, ConsoleError>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { fire(&client, order).await.map_err(|error| refused(&error)) })
    }

    fn halt(&self) -> BoxFuture<'static, Result<String, ConsoleError>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move {
            client
                .halt()
                .await
                .map(|halted| halted.to_string())
                .map_err(|error| refused(&error))
        })
    }
}

async fn fire(client: &ChaosClient, order: Order) -> Result<String, ChaosError> {
    match order {
        Order::Kill {
            node,
            ttl,
            stay_down,
            expect_os_pid,
        } => client
            .kill(&node, ttl, stay_down, expect_os_pid)
            .await
            .map(|child| killed(&child)),
        Order::Pause {
            node,
            ttl,
            expect_os_pid,
        } => {
            let child = client.pause(&node, ttl, expect_os_pid).await?;
            Ok(format!("{node} paused, goes on in {}", seconds(child.left_ms)))
        }
        Order::Resume { node } => client.resume(&node).await.map(|_| format!("{node} goes on")),
        Order::Restart { node, expect_os_pid } => {
            let child = client.restart(&node, expect_os_pid).await?;
            Ok(format!("{node} started again as process {}", child.os_pid))
        }
        Order::Delay {
            from,
            to,
            delay,
            jitter,
            ttl,
        } => {
            let latency = Latency {
                time: span(delay),
                jitter: span(jitter),
                shape: Shape::Uniform,
            };
            link(client, (&from, &to), LinkFault::Delay(latency), ttl).await
        }
        Order::Loss {
            from,
            to,
            share_ppm,
            ttl,
        } => link(client, (&from, &to), LinkFault::Loss(Share(share_ppm)), ttl).await,
        Order::Cut { from, to, ttl } => link(client, (&from, &to), LinkFault::Cut, ttl).await,
    }
}

async fn link(
    client: &ChaosClient,
    ends: (&str, &str),
    what: LinkFault,
    ttl: Duration,
) -> Result<String, ChaosError> {
    client.link(ends, what, ttl).await.map(|fault| set(&fault))
}

fn span(time: Duration) -> Span {
    Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

fn killed(child: &Child) -> String {
    match child.left_ms {
        0 => format!("{} killed, stays down", child.name),
        left => format!("{} killed, starts again in {}", child.name, seconds(left)),
    }
}

fn set(fault: &ActiveFault) -> String {
    format!("{}, for {}", fault.what, seconds(fault.left_ms))
}

/// Whole seconds, rounded: what is left of a time is a little less than what was asked for.
fn seconds(ms: u64) -> String {
    format!("{}s", ms.saturating_add(500) / 1000)
}

fn refused(error: &ChaosError) -> ConsoleError {
    let text = error.to_string();
    match error {
        ChaosError::Unavailable { .. } => ConsoleError::Unreachable(text),
        _ => ConsoleError::Refused(text),
    }
}
