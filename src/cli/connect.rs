//! How commands reach a cluster: addresses, cookie, and the client or the gRPC address that comes of them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use clap::parser::ValueSource;
use squall_client::{Client, ConnectError, ConnectOptions, Operator};
use squall_proto::v1::ListNodesRequest;
use squall_proto::v1::admin_client::AdminClient;
use tonic::transport::{Channel, Endpoint};

use super::cookie;
use super::exit::{Unavailable, Usage, Worded};
use super::values::Addresses;

/// First port of a local `squall up`.
pub(crate) const BASE_PORT: u16 = 7400;
/// Nodes of a local cluster whose addresses are tried when none are given; the others are learned.
const NODES_TRIED: u16 = 3;
/// Ports set aside for each node of a local cluster.
const PORTS_PER_NODE: u16 = 10;
/// How long one gRPC address may take to connect.
const GRPC_WITHIN: Duration = Duration::from_secs(1);
/// How long an operator's command looks for a node that answers.
const OPERATOR_WITHIN: Duration = Duration::from_secs(5);

/// Reaching a cluster: taken by every command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ConnectArgs {
    /// Addresses of some nodes, any port of each; the other members are learned [default: those of a local `squall up`].
    /// A --base-port that is said wins over the environment
    #[arg(
        long,
        global = true,
        env = "SQUALL_CONNECT",
        value_name = "ADDR[,ADDR…]",
        hide_default_value = true
    )]
    #[arg(default_value_t)]
    pub(crate) connect: Addresses,
    /// First port of a local cluster: node i listens on PORT+10·i, its gRPC services one above
    #[arg(long, global = true, value_name = "PORT", default_value_t = BASE_PORT)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) base_port: u16,
    /// File with the cluster's secret [default: the one that a local `squall up` wrote, if there is one]
    #[arg(long, global = true, env = "SQUALL_COOKIE_FILE", value_name = "FILE")]
    pub(crate) cookie_file: Option<PathBuf>,
}

impl ConnectArgs {
    /// What was said on the command line wins over what the environment says: a base port names a cluster as well as
    /// addresses do.
    pub(crate) fn prefer_said(&mut self, source: impl Fn(&str) -> Option<ValueSource>) {
        let addresses_said = source("connect") == Some(ValueSource::CommandLine);
        if source("base_port") == Some(ValueSource::CommandLine) && !addresses_said {
            self.connect = Addresses::default();
        }
    }

    /// Addresses to dial with native frames.
    pub(crate) fn addrs(&self) -> Result<Vec<String>> {
        self.addrs_or_ports(0)
    }

    /// Addresses to dial with gRPC.
    pub(crate) fn grpc_addrs(&self) -> Result<Vec<String>> {
        self.addrs_or_ports(1)
    }

    fn addrs_or_ports(&self, offset: u16) -> Result<Vec<String>> {
        if !self.connect.0.is_empty() {
            return Ok(self.connect.0.clone());
        }
        let port = |node| self.base_port.checked_add(node * PORTS_PER_NODE + offset);
        let ports: Option<Vec<u16>> = (0..NODES_TRIED).map(port).collect();
        let ports = ports.ok_or_else(|| {
            Usage(format!(
                "--base-port {} leaves no room for the ports of {NODES_TRIED} nodes",
                self.base_port
            ))
        })?;
        Ok(ports
            .into_iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect())
    }

    /// The cluster's secret: from the file given, or from the local cluster's, or none.
    pub(crate) fn cookie(&self) -> Result<Option<Vec<u8>>> {
        match &self.cookie_file {
            Some(file) => cookie::read(file).map(Some),
            None => cookie::of_local_cluster(),
        }
    }

    /// Connects. Any port of any node will do: one that speaks gRPC only tells where the others are.
    pub(crate) async fn client(&self, name: &str, within: Duration) -> Result<Client> {
        let options = ConnectOptions {
            cookie: self.cookie()?,
            name: name.into(),
            connect_within: within,
            ..ConnectOptions::new(self.addrs()?)
        };
        let error = match Client::connect(options.clone()).await {
            Ok(client) => return Ok(client),
            Err(error @ ConnectError::Unreachable(_)) if !self.connect.0.is_empty() => error,
            Err(error) => return Err(self.explained(error)),
        };
        let learned = mesh_addrs(&options.addrs).await;
        if learned.is_empty() {
            return Err(self.explained(error));
        }
        Client::connect(ConnectOptions {
            addrs: learned,
            ..options
        })
        .await
        .map_err(|error| self.explained(error))
    }

    fn explained(&self, error: ConnectError) -> anyhow::Error {
        let hint = match &error {
            ConnectError::Unreachable(_) if self.connect.0.is_empty() => {
                "; start a local cluster with `squall up`, or name one with --connect"
            }
            ConnectError::Unreachable(_) => "; is the cluster running, and are the addresses right?",
            _ => return error.into(),
        };
        let text = format!("{error}{hint}");
        Worded::of(error, text)
    }

    /// A client of the admin services: the node that answers first is asked first, then the others.
    pub(crate) async fn operator(&self) -> Result<Operator> {
        let client = self.client("squall operator", OPERATOR_WITHIN).await?;
        let mut addrs: Vec<String> = Vec::new();
        for node in client.node().into_iter().chain(client.members()) {
            if !addrs.contains(&node.grpc_addr) {
                addrs.push(node.grpc_addr);
            }
        }
        client.close().await;
        Operator::new(addrs).map_err(|error| Unavailable(error.to_string()).into())
    }
}

async fn channel(addr: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).context("not an address")?;
    Ok(endpoint
        .connect_timeout(GRPC_WITHIN)
        .timeout(Duration::from_secs(10))
        .connect()
        .await?)
}

/// What the first of the addresses that speaks gRPC knows of its members.
async fn mesh_addrs(addrs: &[String]) -> Vec<String> {
    for addr in addrs {
        let Ok(channel) = channel(addr).await else {
            continue;
        };
        if let Ok(answer) = AdminClient::new(channel).list_nodes(ListNodesRequest {}).await {
            return answer
                .into_inner()
                .members
                .into_iter()
                .map(|member| member.mesh_addr)
                .collect();
        }
    }
    Vec::new()
}
