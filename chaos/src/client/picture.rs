//! The cluster as a node shows it, as a picture to aim at: for whoever has no observer. What does not live here: what is made
//! of it (`fault`, `radius`).

use squall_observer::console::{Picture, PictureExchange, PictureNode, node_of_pid};
use squall_proto::v1 as proto;

/// The picture of the node that knows the latest epochs, and of several the one that sees most nodes up: whoever is cut off
/// knows no better than it did before.
pub(super) fn newest(views: Vec<(Vec<proto::Member>, Vec<proto::ExchangeInfo>)>) -> Picture {
    let up = |member: &&proto::Member| member.state() == proto::NodeState::Up;
    let knows = |(members, exchanges): &(Vec<proto::Member>, Vec<proto::ExchangeInfo>)| {
        let epochs: u64 = exchanges.iter().map(|info| info.epoch).sum();
        (epochs, members.iter().filter(up).count())
    };
    let newest = views.into_iter().max_by_key(knows);
    newest.map_or_else(Picture::default, |(members, exchanges)| {
        picture(&members, &exchanges)
    })
}

/// A picture of what a node says of its cluster and of the exchanges.
fn picture(members: &[proto::Member], exchanges: &[proto::ExchangeInfo]) -> Picture {
    let leader = members
        .iter()
        .find(|member| member.role() == proto::MetaRole::Leader);
    Picture {
        nodes: members.iter().map(node).collect(),
        exchanges: exchanges.iter().map(exchange).collect(),
        meta_leader: leader.map(|member| member.name.clone()),
    }
}

fn node(member: &proto::Member) -> PictureNode {
    PictureNode {
        name: member.name.clone(),
        voter: matches!(member.role(), proto::MetaRole::Leader | proto::MetaRole::Voter),
        up: member.state() == proto::NodeState::Up,
    }
}

fn exchange(info: &proto::ExchangeInfo) -> PictureExchange {
    PictureExchange {
        name: info.name.clone(),
        owner: Some(info.owner.clone()).filter(|owner| !owner.is_empty()),
        leader: node_of_pid(&info.leader),
        handlers: Vec::new(),
    }
}
