//! The demo without a terminal: one line a second, and one for each thing that happens to a node. What does not live
//! here: counting (`load`), starting (`demo`).

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall_proto::v1 as proto;
use squall_proto::v1::admin_client::AdminClient;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::interval;

use super::Demo;
use crate::client::reach;
use crate::limits::CALL_TIMEOUT;
use crate::load::Totals;

const SECOND: Duration = Duration::from_secs(1);

/// How things are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusLine {
    /// Seconds since midnight, UTC.
    pub second_of_day: u64,
    /// Nodes that run, and nodes there are.
    pub nodes: (usize, usize),
    /// Meta leader; empty while nobody knows one.
    pub meta_leader: String,
    /// The exchanges.
    pub exchanges: Vec<ExchangeLine>,
    /// Load processes that report, and those there are.
    pub load: (usize, usize),
}

/// An exchange in a [`StatusLine`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExchangeLine {
    /// Name.
    pub name: String,
    /// Owner; empty while there is none.
    pub owner: String,
    /// Epoch of the ownership.
    pub epoch: u64,
    /// Leader with its epoch, where the strategy has one.
    pub leader: Option<(String, u64)>,
    /// Replies in the last second.
    pub replied: u64,
    /// Requests that ended without a reply in the last second.
    pub failed: u64,
    /// Requests that ended without a reply since the start.
    pub failed_ever: u64,
}

impl fmt::Display for StatusLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (
            self.second_of_day / 3600,
            self.second_of_day / 60 % 60,
            self.second_of_day % 60,
        );
        let (up, all) = self.nodes;
        let leader = if self.meta_leader.is_empty() {
            "none"
        } else {
            &self.meta_leader
        };
        write!(
            f,
            "{hour:02}:{minute:02}:{second:02}Z  nodes {up}/{all}  meta leader {leader}"
        )?;
        for exchange in &self.exchanges {
            write!(f, "  | {exchange}")?;
        }
        match self.load {
            (alive, started) if alive < started => write!(f, "  | load: {alive} of {started} processes"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ExchangeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            owner,
            epoch,
            leader,
            replied,
            failed,
            failed_ever,
        } = self;
        let owner = if owner.is_empty() { "none" } else { owner };
        write!(f, "{name}: owner {owner} epoch {epoch}")?;
        if let Some((leader, epoch)) = leader {
            let leader = if leader.is_empty() { "none" } else { leader };
            write!(f, ", leader {leader} epoch {epoch}")?;
        }
        write!(f, ", {replied}/s")?;
        match (*failed, *failed_ever) {
            (0, 0) => Ok(()),
            (failed, ever) => write!(f, ", unanswered {failed}/s ({ever} in all)"),
        }
    }
}

/// Writes until the output is closed.
pub(super) async fn tell(demo: &Demo, out: &mut impl Write) -> io::Result<()> {
    let mut events = demo.supervisor.events();
    let mut ticks = interval(SECOND);
    let mut before = demo.totals();
    ticks.tick().await;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => writeln!(out, "{event}")?,
                Err(RecvError::Lagged(missed)) => writeln!(out, "({missed} events more)")?,
                // The supervisor outlives this call.
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = ticks.tick() => {
                let now = demo.totals();
                let line = look(demo, &before, &now).await;
                before = now;
                writeln!(out, "{line}")?;
            }
        }
        out.flush()?;
    }
}

/// Tells the load's figures until nobody listens.
pub(super) async fn figures(demo: &Demo, besides: &str, to: &watch::Sender<String>) {
    let mut ticks = interval(SECOND);
    let mut before = demo.totals();
    ticks.tick().await;
    while !to.is_closed() {
        ticks.tick().await;
        let now = demo.totals();
        to.send_replace(format!("{} · {besides}", figure_line(&before, &now)));
        before = now;
    }
}

fn figure_line(before: &Totals, now: &Totals) -> String {
    let exchange = |name: &String| {
        let line = exchange_line(name, &[], before, now);
        let unanswered = match line.failed_ever {
            0 => String::new(),
            ever => format!(" ({}/s unanswered, {ever} in all)", line.failed),
        };
        format!("{name} {}/s{unanswered}", line.replied)
    };
    let parts: Vec<String> = now.exchanges.keys().map(exchange).collect();
    format!(
        "load: {}",
        if parts.is_empty() {
            "starting".to_owned()
        } else {
            parts.join(", ")
        }
    )
}

async fn look(demo: &Demo, before: &Totals, now: &Totals) -> StatusLine {
    let children = demo.supervisor.children().await;
    let up = children
        .iter()
        .filter(|child| child.state() == proto::ChildState::Running)
        .count();
    let mut line = StatusLine {
        second_of_day: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() % 86_400),
        nodes: (up, children.len()),
        load: demo
            .load
            .as_ref()
            .map_or((0, 0), |load| (load.alive(), load.started())),
        ..StatusLine::default()
    };
    let mut exchanges = Vec::new();
    for child in children
        .iter()
        .filter(|child| child.state() == proto::ChildState::Running)
    {
        if let Ok((leader, infos)) = ask(&child.grpc_addr).await {
            (line.meta_leader, exchanges) = (leader, infos);
            break;
        }
    }
    line.exchanges = exchange_lines(&exchanges, before, now);
    line
}

/// The meta leader and the exchanges as one node has them.
async fn ask(addr: &str) -> Result<(String, Vec<proto::ExchangeInfo>), String> {
    let call = async {
        let mut admin = AdminClient::new(reach::node(addr).await?);
        let said = |status: tonic::Status| status.message().to_owned();
        let nodes = admin
            .list_nodes(proto::ListNodesRequest {})
            .await
            .map_err(said)?
            .into_inner();
        let exchanges = admin
            .list_exchanges(proto::ListExchangesRequest {})
            .await
            .map_err(said)?
            .into_inner();
        let leader = nodes
            .members
            .into_iter()
            .find(|member| member.role() == proto::MetaRole::Leader);
        Ok((
            leader.map(|member| member.name).unwrap_or_default(),
            exchanges.exchanges,
        ))
    };
    tokio::time::timeout(CALL_TIMEOUT, call)
        .await
        .map_err(|late| late.to_string())?
}

/// What is known of an exchange from the registry and from the load; the load goes on being counted when no node
/// answers.
fn exchange_lines(infos: &[proto::ExchangeInfo], before: &Totals, now: &Totals) -> Vec<ExchangeLine> {
    let mut names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    names.extend(
        now.exchanges
            .keys()
            .map(String::as_str)
            .filter(|name| !infos.iter().any(|i| i.name == *name)),
    );
    names
        .into_iter()
        .map(|name| exchange_line(name, infos, before, now))
        .collect()
}

fn exchange_line(name: &str, infos: &[proto::ExchangeInfo], before: &Totals, now: &Totals) -> ExchangeLine {
    let count = |totals: &Totals| {
        totals
            .exchanges
            .get(name)
            .map_or((0, 0), |outcomes| (outcomes.replied, outcomes.failed()))
    };
    let ((replied, failed), (replied_before, failed_before)) = (count(now), count(before));
    let mut line = ExchangeLine {
        name: name.to_owned(),
        replied: replied.saturating_sub(replied_before),
        failed: failed.saturating_sub(failed_before),
        failed_ever: failed,
        ..ExchangeLine::default()
    };
    if let Some(info) = infos.iter().find(|info| info.name == name) {
        (line.owner, line.epoch) = (info.owner.clone(), info.epoch);
        line.leader = (info.strategy == "consensus").then(|| (info.leader.clone(), info.leader_epoch));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Counts, Outcomes};

    fn totals(replied: u64, timeout: u64) -> Totals {
        let outcomes = Outcomes {
            exchange: "orders".into(),
            replied,
            timeout,
            ..Outcomes::default()
        };
        Totals::of(&[Counts {
            handled: 0,
            exchanges: vec![outcomes],
        }])
    }

    fn orders() -> proto::ExchangeInfo {
        proto::ExchangeInfo {
            name: "orders".into(),
            strategy: "consensus".into(),
            owner: "b".into(),
            epoch: 3,
            leader: "<c.17>".into(),
            leader_epoch: 5,
            ..Default::default()
        }
    }

    #[test]
    fn a_line_tells_owner_epochs_leader_and_rates() {
        let line = StatusLine {
            second_of_day: 3_661,
            nodes: (2, 3),
            meta_leader: "b".into(),
            exchanges: exchange_lines(&[orders()], &totals(900, 5), &totals(1000, 7)),
            load: (4, 4),
        };
        assert_eq!(
            line.to_string(),
            "01:01:01Z  nodes 2/3  meta leader b  | orders: owner b epoch 3, leader <c.17> epoch 5, 100/s, \
             unanswered 2/s (7 in all)"
        );
    }

    #[test]
    fn the_short_line_tells_rates_and_what_was_not_answered() {
        assert_eq!(
            figure_line(&Totals::default(), &Totals::default()),
            "load: starting"
        );
        assert_eq!(figure_line(&totals(0, 0), &totals(100, 0)), "load: orders 100/s");
        let line = figure_line(&totals(900, 5), &totals(1000, 7));
        assert_eq!(line, "load: orders 100/s (2/s unanswered, 7 in all)");
    }

    #[test]
    fn the_load_is_told_when_no_node_answers() {
        let lines = exchange_lines(&[], &totals(10, 0), &totals(10, 4));
        assert_eq!(
            lines[0].to_string(),
            "orders: owner none epoch 0, 0/s, unanswered 4/s (4 in all)"
        );
    }
}
