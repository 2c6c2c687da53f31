//! The three arrangements: starts what each needs, checks that everything is where it should be, ends it. What does not
//! live here: the measured loops (`closed`).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use squall_client::{Client, CommandError, ConnectOptions, Declaration, RequestOptions};
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::registry::{Refused, Registry, Strategy};
use squall_node::router::Request;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

use super::closed::{self, Tally};
use super::host::{Host, HostOptions, LOOK, PATIENCE, late, name};
use super::{EXCHANGE, HANDLERS, ReqRespOptions, Traces, Where};
use crate::bench::{BenchError, free_base, io_error, temporary};
use crate::layout;

/// A child has nothing to hand over: it ends with its standard input.
const END_GRACE: Duration = Duration::from_secs(5);

/// An arrangement that runs. What it started ends when it is dropped.
pub(in crate::bench) struct Place {
    requester: Requester,
    children: Vec<Child>,
    _dir: TempDir,
}

enum Requester {
    Embedded(Box<Host>, ExchangeId),
    Client(Client),
}

impl Place {
    pub(in crate::bench) async fn begin(at: Where, options: &ReqRespOptions) -> Result<Self, BenchError> {
        let ground = Ground::new(options, if at == Where::ThreeNodes { 3 } else { 1 })?;
        let place = match at {
            Where::Local => ground.local().await?,
            Where::ThreeNodes => ground.three_nodes().await?,
            Where::Clients => ground.clients().await?,
        };
        place.settled().await?;
        Ok(place)
    }

    pub(in crate::bench) async fn ask(
        &self,
        in_flight: usize,
        warm_up: Duration,
        measured: Duration,
    ) -> Result<Tally, BenchError> {
        let times = (warm_up, measured);
        match &self.requester {
            Requester::Embedded(host, exchange) => {
                closed::embedded(host.plane(), *exchange, in_flight, times).await
            }
            Requester::Client(client) => closed::of_client(client, in_flight, times).await,
        }
    }

    /// Address of the gRPC services of the node in this process, where one is.
    pub(in crate::bench) fn grpc(&self) -> Option<String> {
        match &self.requester {
            Requester::Embedded(host, _) => Some(host.grpc()),
            Requester::Client(_) => None,
        }
    }

    pub(in crate::bench) async fn end(mut self) {
        match self.requester {
            Requester::Embedded(host, _) => host.end().await,
            Requester::Client(client) => client.close().await,
        }
        for child in &mut self.children {
            drop(child.stdin.take());
        }
        for child in &mut self.children {
            if timeout(END_GRACE, child.wait()).await.is_err() {
                // Fails only for a process that has ended meanwhile.
                drop(child.kill().await);
            }
        }
    }

    /// Waits until every handler has answered a request.
    async fn settled(&self) -> Result<(), BenchError> {
        let all = async {
            let mut seen = BTreeSet::new();
            let mut look = interval(LOOK);
            while seen.len() < HANDLERS {
                look.tick().await;
                for _ in 0..HANDLERS {
                    seen.extend(self.probe().await);
                }
            }
            seen
        };
        let seen = timeout(PATIENCE, all)
            .await
            .map_err(|_| late("all handlers answer"))?;
        self.apart(&seen)
    }

    /// Who answers a request, if anybody does yet.
    async fn probe(&self) -> Option<Pid> {
        match &self.requester {
            Requester::Embedded(host, exchange) => {
                let request = Request::new(*exchange, bytes::Bytes::from_static(b"ping"));
                host.plane().router.request(request).await.handler
            }
            Requester::Client(client) => {
                let reply = client.request(EXCHANGE, "ping", RequestOptions::default()).await;
                reply.ok().map(|reply| reply.from)
            }
        }
    }

    /// The handlers are where the arrangement says.
    fn apart(&self, handlers: &BTreeSet<Pid>) -> Result<(), BenchError> {
        let Requester::Embedded(host, exchange) = &self.requester else {
            return Ok(());
        };
        let context = &host.plane().context;
        let nodes: BTreeSet<NodeId> = handlers.iter().map(|pid| pid.node).collect();
        let owner = context.registry().exchanges.get(exchange).and_then(|e| e.owner);
        let places = BTreeSet::from_iter(nodes.iter().copied().chain(owner).chain([context.node]));
        let wanted = if self.children.is_empty() { 1 } else { 3 };
        if nodes.len() == 1 && places.len() == wanted {
            Ok(())
        } else {
            let what = format!(
                "requester, exchange and handlers are on {} nodes, not {wanted}",
                places.len()
            );
            Err(BenchError::Unsound(what))
        }
    }
}

/// A directory, ports and a secret.
struct Ground {
    dir: TempDir,
    places: Vec<layout::Place>,
    cookie: String,
    program: std::path::PathBuf,
    traces: Option<Traces>,
}

impl Ground {
    fn new(options: &ReqRespOptions, nodes: usize) -> Result<Self, BenchError> {
        let dir = temporary()?;
        let base = free_base(nodes)?;
        let places = layout::places(nodes, base).map_err(|_| BenchError::NoPorts(nodes))?;
        let cookie = format!("{:032x}", rand::random::<u128>());
        // The directory is its owner's alone, so the file is too.
        std::fs::write(dir.path().join("cookie"), &cookie).map_err(io_error("cookie file"))?;
        Ok(Self {
            dir,
            places,
            cookie,
            program: options.program.clone(),
            traces: options.traces.clone(),
        })
    }

    async fn local(self) -> Result<Place, BenchError> {
        let host = Host::start(self.host(0)).await?;
        host.registry("the node has founded its cluster", members(1))
            .await?;
        host.declare(&self.places[0].name).await?;
        host.attach()?;
        self.embedded(host, Vec::new()).await
    }

    async fn three_nodes(self) -> Result<Place, BenchError> {
        let owner = self.spawn(self.node_arguments("node", 1, true))?;
        let handlers = self.spawn(self.node_arguments("bench-node", 2, false))?;
        let host = Host::start(self.host(0)).await?;
        host.registry("three nodes are a cluster", members(3)).await?;
        host.declare(&self.places[1].name).await?;
        self.embedded(host, vec![owner, handlers]).await
    }

    async fn embedded(self, host: Host, children: Vec<Child>) -> Result<Place, BenchError> {
        let exchange = host.exchange().await?;
        Ok(Place {
            requester: Requester::Embedded(Box::new(host), exchange),
            children,
            _dir: self.dir,
        })
    }

    async fn clients(self) -> Result<Place, BenchError> {
        let node = self.spawn(self.node_arguments("node", 0, true))?;
        let client = Client::connect(ConnectOptions {
            cookie: Some(self.cookie.clone().into_bytes()),
            name: EXCHANGE.into(),
            connect_within: PATIENCE,
            ..ConnectOptions::new([self.places[0].mesh.to_string()])
        })
        .await?;
        timeout(PATIENCE, declared(&client))
            .await
            .map_err(|_| late("the node has founded its cluster"))??;
        let handlers = self.spawn(self.handler_arguments())?;
        Ok(Place {
            requester: Requester::Client(client),
            children: vec![node, handlers],
            _dir: self.dir,
        })
    }

    fn host(&self, place: usize) -> HostOptions {
        HostOptions {
            name: self.places[place].name.clone(),
            listen: self.places[place].mesh,
            grpc: self.places[place].grpc,
            data_dir: self.data_dir(place),
            join: self.others(place),
            nodes: u32::try_from(self.places.len()).expect("three at most"),
            cookie: self.cookie.clone().into_bytes(),
            traces: self.traces.clone(),
        }
    }

    fn data_dir(&self, place: usize) -> std::path::PathBuf {
        self.dir.path().join(self.places[place].name.as_str())
    }

    fn others(&self, place: usize) -> Vec<String> {
        let others = self.places.iter().enumerate().filter(|(i, _)| *i != place);
        others.map(|(_, other)| other.mesh.to_string()).collect()
    }

    fn node_arguments(&self, command: &str, place: usize, plain: bool) -> Vec<OsString> {
        let here = &self.places[place];
        let mut arguments: Vec<OsString> = [command, "--name", here.name.as_str()].map(Into::into).into();
        let mut option =
            |name: &str, value: &std::ffi::OsStr| arguments.extend([name.into(), value.to_owned()]);
        option("--listen", here.mesh.to_string().as_ref());
        option("--grpc", here.grpc.to_string().as_ref());
        option("--data-dir", self.data_dir(place).as_os_str());
        option("--cookie-file", self.cookie_file().as_os_str());
        if let Some(traces) = &self.traces {
            option("--otlp", traces.endpoint.as_ref());
            option("--trace-ratio", traces.share.get().to_string().as_ref());
        }
        match self.places.len() {
            1 => arguments.push("--bootstrap".into()),
            nodes => {
                option("--join", self.others(place).join(",").as_ref());
                option("--expect", nodes.to_string().as_ref());
            }
        }
        if plain {
            arguments.push("--end-with-stdin".into());
        }
        arguments
    }

    fn handler_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["load-client", "--connect"].map(Into::into).into();
        arguments.push(self.places[0].mesh.to_string().into());
        arguments.extend(["--cookie-file".into(), self.cookie_file().into_os_string()]);
        arguments.extend(["--handlers".into(), format!("{EXCHANGE}={HANDLERS}").into()]);
        arguments
    }

    fn cookie_file(&self) -> std::path::PathBuf {
        Path::new(self.dir.path()).join("cookie")
    }

    fn spawn(&self, arguments: Vec<OsString>) -> Result<Child, BenchError> {
        let spawned = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is for this process, whose end is theirs.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        spawned.map_err(io_error("a process of the benchmark"))
    }
}

/// Declares the exchange. A node takes clients in before it has founded its cluster.
async fn declared(client: &Client) -> Result<(), BenchError> {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let declaration = Declaration::new(name(), Strategy::RoundRobin);
        match client.declare(declaration, PATIENCE).await {
            Err(CommandError::Refused(Refused::NotFounded)) => {}
            decided => return Ok(decided.map(drop)?),
        }
    }
}

fn members(wanted: usize) -> impl FnMut(&Arc<Registry>) -> bool {
    move |registry| registry.nodes.values().filter(|node| node.is_up()).count() == wanted
}
