//! Names in a failover list that no member has: `squall exchange declare` warns of them.

use std::io::{Write as _, stderr};

use anyhow::Result;
use squall_client::Client;
use squall_kernel::id::NodeName;

/// A node that is not there yet may come; a slip of the pen never does.
pub(super) fn warn_of(client: &Client, failover: &[NodeName]) -> Result<()> {
    let members: Vec<NodeName> = client.members().into_iter().map(|m| m.name).collect();
    for name in strangers(failover, &members) {
        writeln!(
            stderr(),
            "warning: the failover list names '{name}', which is not up in this cluster; `squall node list` names all"
        )?;
    }
    Ok(())
}

fn strangers<'a>(failover: &'a [NodeName], members: &[NodeName]) -> Vec<&'a NodeName> {
    failover.iter().filter(|name| !members.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_no_member_has_are_warned_of() {
        let names =
            |list: &[&str]| -> Vec<NodeName> { list.iter().map(|n| NodeName::new(n).unwrap()).collect() };
        let failover = names(&["a", "x", "b"]);
        let strange: Vec<&str> = strangers(&failover, &names(&["a", "b", "c"]))
            .into_iter()
            .map(NodeName::as_str)
            .collect();
        assert_eq!(strange, ["x"]);
    }
}
