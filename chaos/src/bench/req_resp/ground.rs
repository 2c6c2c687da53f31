//! What an arrangement stands on: a directory, ports, a secret, and the command lines of its processes. What does not live here:
//! which arrangement has what (`place`).

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use squall_client::{Client, CommandError, ConnectOptions, Declaration};
use squall_kernel::registry::{Refused, Strategy};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

use super::host::{HostOptions, LOOK, PATIENCE, late, name};
use super::{EXCHANGE, HANDLERS, ReqRespOptions, Traces};
use crate::bench::{BenchError, free_base, io_error, temporary};
use crate::layout;

/// A directory, ports and a secret.
pub(super) struct Ground {
    pub(super) dir: TempDir,
    pub(super) places: Vec<layout::Place>,
    cookie: String,
    pub(super) program: PathBuf,
    traces: Option<Traces>,
}

impl Ground {
    pub(super) fn new(options: &ReqRespOptions, nodes: usize) -> Result<Self, BenchError> {
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

    /// Addresses of the nodes' gRPC services.
    pub(super) fn grpc(&self) -> Vec<SocketAddr> {
        self.places.iter().map(|place| place.grpc).collect()
    }

    /// A client of the first node, when that has founded its cluster and has the exchange.
    pub(super) async fn client(&self) -> Result<Client, BenchError> {
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
        Ok(client)
    }

    pub(super) fn host(&self, place: usize) -> HostOptions {
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

    fn data_dir(&self, place: usize) -> PathBuf {
        self.dir.path().join(self.places[place].name.as_str())
    }

    fn others(&self, place: usize) -> Vec<String> {
        let others = self.places.iter().enumerate().filter(|(i, _)| *i != place);
        others.map(|(_, other)| other.mesh.to_string()).collect()
    }

    pub(super) fn node_arguments(&self, command: &str, place: usize, plain: bool) -> Vec<OsString> {
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

    pub(super) fn handler_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["load-client", "--connect"].map(Into::into).into();
        arguments.push(self.places[0].mesh.to_string().into());
        arguments.extend(["--cookie-file".into(), self.cookie_file().into_os_string()]);
        arguments.extend(["--handlers".into(), format!("{EXCHANGE}={HANDLERS}").into()]);
        arguments
    }

    fn cookie_file(&self) -> PathBuf {
        Path::new(self.dir.path()).join("cookie")
    }

    pub(super) fn spawn(&self, arguments: Vec<OsString>) -> Result<Child, BenchError> {
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
