//! What `squall bench` starts beside itself, under hidden commands: nodes with handlers, and processes of other roles. What does not
//! live here: what they do.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use squall_chaos::bench::fanout::{PATTERNS_MAX, PUBLISHERS_MAX};
use squall_chaos::bench::req_resp::Traces;
use squall_chaos::bench::req_resp::host::{self, HostOptions};
use squall_chaos::bench::role::{self, Part, Role};
use squall_kernel::id::NodeName;
use squall_node::telemetry::Share;
use squall_node::telemetry::settings::RATIO_DEFAULT;

use crate::cli::connect::ConnectArgs;
use crate::cli::exit::Usage;
use crate::cli::values::Addresses;

/// Where the nodes of a measurement send traces.
#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct TracesArgs {
    /// The nodes send traces to this OTLP/gRPC collector; of arrangements in one process only one can
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,
    /// Share of requests that start a trace, from 0 to 1
    #[arg(long, value_name = "RATIO", requires = "otlp", default_value_t = RATIO_DEFAULT)]
    trace_ratio: f64,
}

impl BenchNodeArgs {
    /// The node sends traces.
    pub(crate) const fn sends_traces(&self) -> bool {
        self.traces.otlp.is_some()
    }
}

impl TracesArgs {
    pub(super) fn traces(self) -> Result<Option<Traces>> {
        let share = Share::new(self.trace_ratio).map_err(|error| Usage(format!("--trace-ratio: {error}")))?;
        Ok(self.otlp.map(|endpoint| Traces { endpoint, share }))
    }
}

/// Runs a node with handlers; started by the benchmark.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct BenchNodeArgs {
    /// Name
    #[arg(long)]
    name: NodeName,
    /// Address of the mesh
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Address of the gRPC services
    #[arg(long, value_name = "ADDR")]
    grpc: SocketAddr,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Mesh addresses of the other nodes
    #[arg(long, value_name = "ADDR[,ADDR…]")]
    join: Addresses,
    /// Nodes in all
    #[arg(long, value_name = "N")]
    expect: u32,
    #[command(flatten)]
    traces: TracesArgs,
}

/// Does something for a benchmark until standard input ends; started by it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct BenchRoleArgs {
    #[command(subcommand)]
    role: RoleArgs,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum RoleArgs {
    /// Attaches handlers through a gRPC session
    GrpcHandlers {
        /// Address of the node's gRPC services
        #[arg(long, value_name = "ADDR")]
        grpc: SocketAddr,
    },
    /// Watches nodes
    Watch {
        /// Addresses of their gRPC services
        #[arg(long, value_name = "ADDR[,ADDR…]", value_delimiter = ',', required = true)]
        grpc: Vec<SocketAddr>,
        /// With the details of the benchmark's exchange
        #[arg(long)]
        details: bool,
    },
    /// Passes bytes on
    Relay {
        /// Where to
        #[arg(long, value_name = "ADDR")]
        to: SocketAddr,
    },
    /// Runs a program, and ends it
    Keep {
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Responds at a NATS server
    NatsHandlers {
        /// Its address
        #[arg(long, value_name = "ADDR")]
        server: SocketAddr,
    },
    /// Subscribes at a NATS server
    NatsSubscribers {
        /// Its address
        #[arg(long, value_name = "ADDR")]
        server: SocketAddr,
        #[command(flatten)]
        part: PartArgs,
    },
    /// Responds at a RabbitMQ server
    RabbitmqHandlers {
        /// Its address
        #[arg(long, value_name = "ADDR")]
        server: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
struct PartArgs {
    /// Subscribers in all
    #[arg(long, value_name = "N", value_parser = within(0, 1_000_000))]
    subscribers: usize,
    /// Processes over which they are spread
    #[arg(long, value_name = "N", value_parser = within(1, 1_000))]
    nodes: usize,
    /// Different patterns with wildcards
    #[arg(long, value_name = "N", value_parser = within(0, PATTERNS_MAX))]
    patterns: usize,
    /// Which of the processes
    #[arg(long, value_name = "N", value_parser = within(0, 999))]
    node: usize,
    /// How many publishers there are at most
    #[arg(long, value_name = "N", value_parser = within(0, PUBLISHERS_MAX))]
    publishers: usize,
}

fn within(least: usize, most: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least as u64..=most as u64)
}

impl From<RoleArgs> for Role {
    fn from(args: RoleArgs) -> Self {
        match args {
            RoleArgs::GrpcHandlers { grpc } => Self::GrpcHandlers { grpc },
            RoleArgs::Watch { grpc, details } => Self::Watch { grpc, details },
            RoleArgs::Relay { to } => Self::Relay { to },
            RoleArgs::Keep { command } => Self::Keep { command },
            RoleArgs::NatsHandlers { server } => Self::NatsHandlers { server },
            RoleArgs::NatsSubscribers { server, part } => Self::NatsSubscribers {
                server,
                part: Part {
                    subscribers: part.subscribers,
                    nodes: part.nodes,
                    patterns: part.patterns,
                    node: part.node,
                    publishers: part.publishers,
                },
            },
            RoleArgs::RabbitmqHandlers { server } => Self::RabbitmqHandlers { server },
        }
    }
}

/// A node with handlers.
pub(crate) async fn node(args: BenchNodeArgs, connect: ConnectArgs) -> Result<()> {
    let options = HostOptions {
        name: args.name,
        listen: args.listen,
        grpc: args.grpc,
        data_dir: args.data_dir,
        join: args.join.0,
        nodes: args.expect,
        cookie: connect.cookie()?.unwrap_or_default(),
        traces: args.traces.traces()?,
    };
    Ok(host::run(options).await?)
}

/// Anything else.
pub(crate) async fn role(args: BenchRoleArgs) -> Result<()> {
    Ok(role::run(args.role.into()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchRoleArgs,
    }

    #[test]
    fn each_role_is_understood_as_it_is_told() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let command = ["server", "--port", "1", "--", "-x"];
        let roles = [
            Role::GrpcHandlers { grpc: at(1) },
            Role::Watch {
                grpc: vec![at(1), at(2)],
                details: false,
            },
            Role::Watch {
                grpc: vec![at(1)],
                details: true,
            },
            Role::Relay { to: at(3) },
            Role::Keep {
                command: command.map(OsString::from).to_vec(),
            },
            Role::NatsHandlers { server: at(4) },
            Role::RabbitmqHandlers { server: at(5) },
            Role::NatsSubscribers {
                server: at(6),
                part: Part {
                    subscribers: 10,
                    nodes: 5,
                    patterns: 3,
                    node: 4,
                    publishers: 2,
                },
            },
        ];
        for role in roles {
            let line = <Line as clap::Parser>::try_parse_from(role.arguments());
            let line = line.unwrap_or_else(|error| panic!("{role:?}: {error}"));
            assert_eq!(Role::from(line.args.role), role);
        }
    }
}
