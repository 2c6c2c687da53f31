//! Servers of peers, each on ports and a directory of its own, on this machine's loopback alone. What does not live here: who asks
//! them, and how they are ended (`keep`).

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{interval, timeout};

use super::keep;
use crate::bench::req_resp::host::{LOOK, PATIENCE, late};
use crate::bench::{BenchError, free_base, role, temporary};
use crate::layout::{self, Place};

/// Where Debian has the server itself: the one on the search path goes by the system's settings and user.
const RABBITMQ_PLACES: [&str; 1] = ["/usr/lib/rabbitmq/bin"];

pub(super) fn nats_server() -> Result<PathBuf, String> {
    let found = keep::find("nats-server", &["/usr/sbin", "/usr/local/bin"]);
    found.ok_or_else(|| "no nats-server on the search path (Debian: nats-server)".into())
}

pub(super) fn rabbitmq_server() -> Result<(PathBuf, PathBuf), String> {
    let server = keep::find("rabbitmq-server", &RABBITMQ_PLACES);
    let server = server.ok_or("no rabbitmq-server on the search path (Debian: rabbitmq-server)")?;
    let names = keep::find("epmd", &[]).ok_or("no epmd on the search path (Debian: erlang-base)")?;
    Ok((server, names))
}

/// Servers that run. They end when this is dropped.
pub(super) struct Servers {
    /// Where each takes clients.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) children: Vec<Child>,
    // After the processes: it is their directory.
    dir: Option<TempDir>,
}

impl Servers {
    /// They all take clients; else they are ended.
    async fn listen(self, what: &str) -> Result<Self, BenchError> {
        for address in &self.addresses {
            if let Err(error) = listens(*address, what).await {
                self.end().await;
                return Err(error);
            }
        }
        Ok(self)
    }

    pub(super) async fn end(mut self) {
        role::end(&mut self.children).await;
        drop(self.dir);
    }
}

/// So many NATS servers, as one cluster when there are several.
pub(super) async fn nats(program: &Path, nodes: usize) -> Result<Servers, BenchError> {
    let server = nats_server().map_err(BenchError::Unsound)?;
    let places = places(nodes)?;
    let mut children = Vec::new();
    for place in &places {
        children.push(keep::start(
            program,
            &server,
            nats_arguments(place, &places),
            &[],
        )?);
    }
    let addresses: Vec<SocketAddr> = places.iter().map(|place| place.mesh).collect();
    let servers = Servers {
        addresses,
        children,
        dir: None,
    };
    servers.listen("a NATS server listens").await
}

fn nats_arguments(here: &Place, all: &[Place]) -> Vec<OsString> {
    let mut arguments = vec![
        "-a".to_owned(),
        here.mesh.ip().to_string(),
        "-p".into(),
        here.mesh.port().to_string(),
    ];
    if all.len() > 1 {
        let routes: Vec<String> = all.iter().map(|place| format!("nats://{}", place.grpc)).collect();
        arguments.extend(["--cluster".into(), format!("nats://{}", here.grpc)]);
        arguments.extend(["--cluster_name", "squall-bench", "--routes"].map(Into::into));
        arguments.push(routes.join(","));
    }
    arguments.into_iter().map(OsString::from).collect()
}

/// A RabbitMQ server, and the name service that it needs: else it would start one that stays.
pub(super) async fn rabbitmq(program: &Path) -> Result<Servers, BenchError> {
    let (server, epmd) = rabbitmq_server().map_err(BenchError::Unsound)?;
    let dir = temporary()?;
    let places = places(2)?;
    let (here, names) = (&places[0], places[1].mesh);
    let arguments = [
        "-port".into(),
        names.port().to_string(),
        "-address".into(),
        names.ip().to_string(),
    ];
    let epmd = keep::start(program, &epmd, arguments.map(OsString::from), &[])?;
    listens(names, "epmd listens").await?;
    let variables = rabbitmq_variables(here, names, dir.path());
    let server = keep::start(program, &server, [], &variables)?;
    let servers = Servers {
        addresses: vec![here.mesh],
        children: vec![server, epmd],
        dir: Some(dir),
    };
    servers.listen("a RabbitMQ server listens").await
}

fn rabbitmq_variables(here: &Place, names: SocketAddr, dir: &Path) -> Vec<(&'static str, OsString)> {
    let inside = |name: &str| dir.join(name).into_os_string();
    vec![
        ("HOME", dir.as_os_str().to_owned()),
        ("ERL_EPMD_PORT", names.port().to_string().into()),
        ("ERL_EPMD_ADDRESS", names.ip().to_string().into()),
        ("RABBITMQ_NODENAME", "squall-bench@localhost".into()),
        ("RABBITMQ_NODE_IP_ADDRESS", here.mesh.ip().to_string().into()),
        ("RABBITMQ_NODE_PORT", here.mesh.port().to_string().into()),
        ("RABBITMQ_DIST_PORT", here.grpc.port().to_string().into()),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1}".into(),
        ),
        // The system's own settings are for the system's own server.
        ("RABBITMQ_CONF_ENV_FILE", inside("none")),
        ("RABBITMQ_CONFIG_FILE", inside("none")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", inside("none.config")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("plugins")),
        ("RABBITMQ_MNESIA_BASE", inside("mnesia")),
        ("RABBITMQ_LOG_BASE", inside("log")),
        ("RABBITMQ_PID_FILE", inside("pid")),
    ]
}

fn places(nodes: usize) -> Result<Vec<Place>, BenchError> {
    layout::places(nodes, free_base(nodes)?).map_err(|_| BenchError::NoPorts(nodes))
}

async fn listens(address: SocketAddr, what: &str) -> Result<(), BenchError> {
    let connected = async {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            if TcpStream::connect(address).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, connected).await.map_err(|_| late(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_nats_servers_know_each_others_routes_and_one_has_none() {
        let three = layout::places(3, 9000).unwrap();
        let words = nats_arguments(&three[1], &three);
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words[..6],
            [
                "-a",
                "127.0.0.1",
                "-p",
                "9010",
                "--cluster",
                "nats://127.0.0.1:9011"
            ]
        );
        assert_eq!(
            words.last(),
            Some(&"nats://127.0.0.1:9001,nats://127.0.0.1:9011,nats://127.0.0.1:9021")
        );
        let one = layout::places(1, 9000).unwrap();
        assert_eq!(nats_arguments(&one[0], &one).len(), 4);
    }

    #[test]
    fn all_that_rabbitmq_writes_is_in_its_directory_and_all_it_listens_to_is_its_own() {
        let place = &layout::places(1, 9000).unwrap()[0];
        let variables = rabbitmq_variables(place, "127.0.0.1:9999".parse().unwrap(), Path::new("/d"));
        let of = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.unwrap().1.to_str().unwrap()
        };
        for name in [
            "HOME",
            "RABBITMQ_MNESIA_BASE",
            "RABBITMQ_LOG_BASE",
            "RABBITMQ_PID_FILE",
        ] {
            assert!(of(name).starts_with("/d"), "{name}");
        }
        assert_eq!((of("RABBITMQ_NODE_PORT"), of("ERL_EPMD_PORT")), ("9000", "9999"));
        assert_eq!(of("RABBITMQ_NODE_IP_ADDRESS"), "127.0.0.1");
    }
}
