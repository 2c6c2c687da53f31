//! The handlers of an exchange as one value that is shared, not copied: an exchange with ten thousand handlers tells each of them
//! of all the others. Whoever changes it while somebody holds it gets a copy of its own.
//!
//! What does not live here: who is told of it, and when (`exchange`, and the shell's telling).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Server;
use crate::id::Pid;

/// Handlers by pid, with their service tags. A clone costs nothing; on the wire it is a list of [`Server`]s.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Servers(Arc<BTreeMap<Pid, String>>);

impl Servers {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when that handler is one of them.
    #[must_use]
    pub fn contains(&self, pid: Pid) -> bool {
        self.0.contains_key(&pid)
    }

    /// The service tag of a handler.
    #[must_use]
    pub fn tag(&self, pid: Pid) -> Option<&str> {
        self.0.get(&pid).map(String::as_str)
    }

    /// Pids, in their order.
    pub fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.0.keys().copied()
    }

    /// Pids with service tags, by pid.
    pub fn iter(&self) -> impl Iterator<Item = (Pid, &str)> {
        self.0.iter().map(|(pid, tag)| (*pid, tag.as_str()))
    }

    /// Adds one; false when it was there already.
    pub(crate) fn insert(&mut self, pid: Pid, service_tag: &str) -> bool {
        Arc::make_mut(&mut self.0)
            .insert(pid, service_tag.into())
            .is_none()
    }

    /// Takes one out; its service tag.
    pub(crate) fn remove(&mut self, pid: Pid) -> Option<String> {
        // Not copied for nothing.
        self.contains(pid)
            .then(|| Arc::make_mut(&mut self.0).remove(&pid))
            .flatten()
    }
}

impl FromIterator<Server> for Servers {
    fn from_iter<I: IntoIterator<Item = Server>>(servers: I) -> Self {
        let by_pid = servers.into_iter().map(|server| (server.pid, server.service_tag));
        Self(Arc::new(by_pid.collect()))
    }
}

impl From<Vec<Server>> for Servers {
    fn from(servers: Vec<Server>) -> Self {
        servers.into_iter().collect()
    }
}

/// A server that is not copied to be written.
#[derive(Serialize)]
#[serde(rename = "Server")]
struct Written<'a> {
    pid: Pid,
    service_tag: &'a str,
}

impl Serialize for Servers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(pid, service_tag)| Written {
            pid: *pid,
            service_tag,
        }))
    }
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Servers;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of servers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Servers, A::Error> {
                let mut by_pid = BTreeMap::new();
                while let Some(server) = list.next_element::<Server>()? {
                    by_pid.insert(server.pid, server.service_tag);
                }
                Ok(Servers(Arc::new(by_pid)))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Boot, NodeId};
    use alloc::vec;

    fn server(n: u32) -> Server {
        Server {
            pid: Pid::new(NodeId(1), Boot(1), n),
            service_tag: "eu".into(),
        }
    }

    #[test]
    fn what_somebody_holds_stays_as_it_was() {
        let mut servers = Servers::from(vec![server(1)]);
        let held = servers.clone();
        assert!(servers.insert(server(2).pid, "us") && !servers.insert(server(2).pid, "us"));
        assert_eq!(servers.remove(server(1).pid).as_deref(), Some("eu"));
        assert_eq!(servers.remove(server(1).pid), None);
        assert_eq!((held.len(), servers.len()), (1, 1));
        assert_eq!(held.tag(server(1).pid), Some("eu"));
        assert!(servers.contains(server(2).pid) && !servers.contains(server(1).pid));
    }

    #[test]
    fn it_travels_as_a_list() {
        let list = vec![server(1), server(2)];
        let servers = Servers::from(list.clone());
        let bytes = postcard::to_allocvec(&servers).unwrap();
        assert_eq!(bytes, postcard::to_allocvec(&list).unwrap());
        assert_eq!(postcard::from_bytes::<Servers>(&bytes).unwrap(), servers);
    }
}
