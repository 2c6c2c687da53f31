//! The cluster as its nodes show it: who is up, who leads, who owns. What does not live here: changing any of it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use squall_kernel::id::NodeId;
use squall_proto::v1 as proto;
use squall_proto::v1::admin_client::AdminClient;
use tokio::time::{interval, timeout};

use crate::bench::BenchError;
use crate::client::reach;
use crate::layout::Place;

/// A cluster that is not whole by then on this machine will not be.
pub(crate) const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A cluster that is whole: every node sees every node up, and all name the same meta leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    /// The meta leader.
    pub(crate) leader: String,
    /// Runs of the nodes.
    pub(crate) incarnations: BTreeMap<String, u64>,
    /// Their ids.
    pub(crate) ids: BTreeMap<String, NodeId>,
}

/// Waits until the cluster is whole and `node`, if one is named, has started again since the run given with it.
pub(crate) async fn whole(places: &[Place], again: Option<(&str, u64)>) -> Result<Whole, BenchError> {
    let mut missing = String::from("no node was asked");
    let looking = async {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            match now(places).await {
                Ok(whole) if newer(&whole, again) => return whole,
                Ok(_) => "the killed node runs again".clone_into(&mut missing),
                Err(why) => missing = why,
            }
        }
    };
    let found = timeout(WHOLE_WITHIN, looking).await;
    found.map_err(|_| BenchError::Late {
        what: format!("the cluster is whole ({missing})"),
        seconds: WHOLE_WITHIN.as_secs(),
    })
}

fn newer(whole: &Whole, again: Option<(&str, u64)>) -> bool {
    again.is_none_or(|(node, before)| whole.incarnations.get(node).is_some_and(|run| *run > before))
}

/// The cluster, when it is whole now; otherwise what is missing.
pub(crate) async fn now(places: &[Place]) -> Result<Whole, String> {
    let mut common: Option<Whole> = None;
    let asked = places.iter().map(|place| async move {
        let hello = reach::hello(&place.grpc.to_string()).await;
        (place, hello)
    });
    for (place, hello) in join_all(asked).await {
        let hello = hello.map_err(|why| format!("node {} does not answer: {why}", place.name))?;
        let view = view(place, &hello, places.len())?;
        match &common {
            Some(other) if *other != view => return Err(format!("node {} sees it differently", place.name)),
            Some(_) => {}
            None => common = Some(view),
        }
    }
    common.ok_or_else(|| "there are no nodes".into())
}

fn view(place: &Place, hello: &proto::HelloResponse, wanted: usize) -> Result<Whole, String> {
    let up: Vec<_> = hello
        .members
        .iter()
        .filter(|member| member.state() == proto::NodeState::Up)
        .collect();
    if up.len() != wanted {
        return Err(format!(
            "node {} sees {} of {wanted} nodes up",
            place.name,
            up.len()
        ));
    }
    if up.iter().any(|member| member.role() == proto::MetaRole::Learner) {
        return Err(format!("node {} sees a node without a vote", place.name));
    }
    let leader = up.iter().find(|member| member.role() == proto::MetaRole::Leader);
    let leader = leader.ok_or_else(|| format!("node {} sees no meta leader", place.name))?;
    Ok(Whole {
        leader: leader.name.clone(),
        incarnations: up
            .iter()
            .map(|member| (member.name.clone(), member.incarnation))
            .collect(),
        ids: up
            .iter()
            .map(|member| (member.name.clone(), NodeId(member.raft_id)))
            .collect(),
    })
}

/// Owner of an exchange, as a node has it.
pub(crate) async fn owner(place: &Place, exchange: &str) -> Result<String, BenchError> {
    let ask = async {
        let channel = reach::node(&place.grpc.to_string()).await?;
        let mut admin = AdminClient::new(channel);
        let list = admin.list_exchanges(proto::ListExchangesRequest {}).await;
        list.map_err(|status| status.message().to_owned())
    };
    let list = ask
        .await
        .map_err(|why| BenchError::Unsound(format!("node {} lists no exchanges: {why}", place.name)))?;
    let found = list
        .into_inner()
        .exchanges
        .into_iter()
        .find(|info| info.name == exchange);
    Ok(found.map(|info| info.owner).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(states: &[(&str, proto::MetaRole, proto::NodeState)]) -> proto::HelloResponse {
        let member = |(name, role, state): &(&str, proto::MetaRole, proto::NodeState)| proto::Member {
            name: (*name).to_owned(),
            role: (*role).into(),
            state: (*state).into(),
            incarnation: 7,
            ..Default::default()
        };
        proto::HelloResponse {
            members: states.iter().map(member).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn whole_means_that_all_are_up_vote_and_have_a_leader() {
        use proto::MetaRole::{Leader, Learner, Voter};
        use proto::NodeState::{Suspect, Up};
        let place = &crate::layout::places(1, 7400).unwrap()[0];
        let seen = |states: &[_]| view(place, &hello(states), 2);
        let whole = seen(&[("a", Voter, Up), ("b", Leader, Up)]).unwrap();
        assert_eq!((whole.leader.as_str(), whole.incarnations.len()), ("b", 2));
        for broken in [
            [("a", Voter, Up), ("b", Leader, Suspect)],
            [("a", Voter, Up), ("b", Voter, Up)],
            [("a", Leader, Up), ("b", Learner, Up)],
        ] {
            assert!(seen(&broken).is_err(), "{broken:?}");
        }
        assert!(newer(&whole, Some(("a", 6))) && !newer(&whole, Some(("a", 7))) && newer(&whole, None));
    }
}
