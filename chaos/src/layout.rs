//! Names and ports of a local cluster: node i is called a, b, c, …, its mesh is on base + 10·i, its gRPC services
//! one port above.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use squall_kernel::id::NodeName;
use squall_kernel::limits::NODES_MAX;

/// First port of a local cluster unless `--base-port` moves it.
pub const BASE_PORT: u16 = 7400;
/// Ports set aside for each node.
const PORTS_PER_NODE: u16 = 10;
/// Nodes whose default addresses a client tries when it is not told any.
const NODES_TRIED: usize = 5;

/// Where a node of a local cluster listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name.
    pub name: NodeName,
    /// Mesh.
    pub mesh: SocketAddr,
    /// gRPC services.
    pub grpc: SocketAddr,
}

/// Why a local cluster cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// None, or too many nodes.
    #[error("a local cluster has 1 to {NODES_MAX} nodes, not {0}")]
    Nodes(usize),
    /// The ports go beyond 65535.
    #[error("base port {base} leaves no room for {nodes} nodes: the last would be above 65535")]
    Ports {
        /// Base port.
        base: u16,
        /// Nodes wanted.
        nodes: usize,
    },
    /// Another program listens there.
    #[error("port {addr} of node {node} is in use: end the program that has it, or choose another --base-port", addr = .addr.port())]
    InUse {
        /// Node.
        node: NodeName,
        /// Address.
        addr: SocketAddr,
    },
}

/// The places of `nodes` nodes from `base` on.
///
/// # Errors
/// [`LayoutError`] when the count or the ports are out of range.
pub fn places(nodes: usize, base: u16) -> Result<Vec<Place>, LayoutError> {
    if nodes == 0 || nodes > NODES_MAX {
        return Err(LayoutError::Nodes(nodes));
    }
    (0..nodes)
        .map(|i| place(i, base).ok_or(LayoutError::Ports { base, nodes }))
        .collect()
}

/// The gRPC addresses a client tries when it is told none: those of a local cluster on `base`.
#[must_use]
pub fn default_grpc_addresses(base: u16) -> Vec<String> {
    (0..NODES_TRIED)
        .filter_map(|i| place(i, base))
        .map(|p| p.grpc.to_string())
        .collect()
}

/// Checks that nobody listens on the ports of `places`.
///
/// # Errors
/// [`LayoutError::InUse`] names the first port that is taken, and its node.
pub fn check_free(places: &[Place]) -> Result<(), LayoutError> {
    for place in places {
        for addr in [place.mesh, place.grpc] {
            TcpListener::bind(addr).map_err(|_| LayoutError::InUse {
                node: place.name.clone(),
                addr,
            })?;
        }
    }
    Ok(())
}

/// The first base at or above `preferred`, in steps of a hundred, where all ports of `nodes` nodes are free.
#[must_use]
pub fn free_base(nodes: usize, preferred: u16) -> Option<u16> {
    (preferred..=u16::MAX)
        .step_by(100)
        .find(|&base| places(nodes, base).is_ok_and(|places| check_free(&places).is_ok()))
}

fn place(i: usize, base: u16) -> Option<Place> {
    let mesh = u16::try_from(i)
        .ok()?
        .checked_mul(PORTS_PER_NODE)?
        .checked_add(base)?;
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Some(Place {
        name: name(i),
        mesh: at(mesh),
        grpc: at(mesh.checked_add(1)?),
    })
}

/// a to z, then aa to bl: [`NODES_MAX`] is below 26 + 26·26.
fn name(i: usize) -> NodeName {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).expect("a remainder by 26 fits"));
    let text = if i < 26 {
        String::from(letter(i))
    } else {
        [letter(i / 26 - 1), letter(i)].into_iter().collect()
    };
    NodeName::new(&text).expect("one or two letters are a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_node_is_c_on_7420_and_7421() {
        let c = places(3, BASE_PORT).unwrap().pop().unwrap();
        assert_eq!((c.name.as_str(), c.mesh.port(), c.grpc.port()), ("c", 7420, 7421));
    }

    #[test]
    fn names_go_on_after_z() {
        let names: Vec<String> = places(28, 1000)
            .unwrap()
            .iter()
            .map(|p| p.name.to_string())
            .collect();
        assert_eq!(names[25..], ["z", "aa", "ab"]);
    }

    #[test]
    fn impossible_layouts_are_refused() {
        assert_eq!(places(0, 7400), Err(LayoutError::Nodes(0)));
        assert_eq!(places(65, 7400), Err(LayoutError::Nodes(65)));
        assert_eq!(
            places(3, 65_520),
            Err(LayoutError::Ports {
                base: 65_520,
                nodes: 3
            })
        );
    }

    #[test]
    fn a_taken_port_is_named_with_its_node() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let name = NodeName::new("b").unwrap();
        let place = Place {
            name: name.clone(),
            mesh: addr,
            grpc: addr,
        };
        let error = check_free(&[place]).unwrap_err();
        assert_eq!(error, LayoutError::InUse { node: name, addr });
        assert!(
            error
                .to_string()
                .starts_with(&format!("port {} of node b is in use", addr.port()))
        );
    }
}
