//! The invariant bar, and whether the nodes are locked: asked for as long as somebody looks. What does not live here: judging
//! (`crate::judge`).

use std::sync::Arc;

use squall_observer::console::{Bar, Board, Invariant, Lock, Verdict};
use squall_proto::v1 as proto;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{ChaosClient, ChaosError, Locked};
use crate::limits::BAR_EVERY;

/// Keeps the board true until nobody looks at it.
pub(super) async fn keep(client: Arc<ChaosClient>, board: watch::Sender<Arc<Board>>) {
    // A node that does not answer must not hold up what the judge says.
    let judge = Arc::clone(&client);
    let bar = move || {
        let judge = Arc::clone(&judge);
        async move { Some(said(judge.verdicts().await)) }
    };
    let lock = move || {
        let client = Arc::clone(&client);
        async move { locked(client.list().await.ok()?.locked) }
    };
    tokio::join!(
        asked(board.clone(), bar, |board| &mut board.bar),
        asked(board, lock, |board| &mut board.lock)
    );
}

/// Keeps one part of it true.
async fn asked<T: PartialEq, A: Future<Output = T>>(
    board: watch::Sender<Arc<Board>>,
    ask: impl Fn() -> A,
    part: impl Fn(&mut Board) -> &mut T,
) {
    let mut looks = interval(BAR_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = board.closed() => return,
            _ = looks.tick() => {}
        }
        let now = ask().await;
        board.send_if_modified(|board| {
            let mut changed = Board::clone(board);
            let new = std::mem::replace(part(&mut changed), now);
            let is_new = new != *part(&mut changed);
            if is_new {
                *board = Arc::new(changed);
            }
            is_new
        });
    }
}

fn locked(nodes: Vec<Locked>) -> Option<Lock> {
    let first = nodes.first()?;
    let (by, reason) = (first.by.clone(), first.reason.clone());
    Some(Lock {
        by,
        reason,
        nodes: nodes.into_iter().map(|locked| locked.node).collect(),
    })
}

fn said(said: Result<proto::VerdictsResponse, ChaosError>) -> Result<Bar, String> {
    let said = said.map_err(|error| match error {
        ChaosError::NoSupervisor => "nobody judges a cluster that `squall up` did not start".to_owned(),
        error => error.to_string(),
    })?;
    let broken = said
        .invariants
        .iter()
        .any(|one| one.state() == proto::VerdictState::Broken);
    // What was broken before stays broken.
    if !said.failed.is_empty() && !broken {
        return Err(format!("nothing is judged any more: {}", said.failed));
    }
    Ok(Bar {
        invariants: said.invariants.into_iter().map(invariant).collect(),
        seen: said
            .seen
            .into_iter()
            .map(|seen| (seen.what, seen.count))
            .collect(),
        events: said.events,
    })
}

fn invariant(said: proto::InvariantVerdict) -> Invariant {
    let verdict = match said.state() {
        proto::VerdictState::Holds => Verdict::Holds,
        proto::VerdictState::Broken => Verdict::Broken {
            text: said.text,
            first: Some(said.first).filter(|first| !first.is_empty()),
            second: said.second,
        },
        proto::VerdictState::Unknown | proto::VerdictState::Unspecified => Verdict::Unknown(said.text),
    };
    Invariant {
        id: said.id,
        claim: said.claim,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(state: proto::VerdictState, failed: &str) -> proto::VerdictsResponse {
        let mut one = proto::InvariantVerdict {
            id: "I1".into(),
            claim: "one owner".into(),
            text: "two".into(),
            second: "b owns".into(),
            ..Default::default()
        };
        one.set_state(state);
        proto::VerdictsResponse {
            invariants: vec![one],
            failed: failed.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn a_breach_stays_when_nothing_is_judged_any_more_and_nothing_else_does() {
        let why = "a.journal: the recording ended";
        let holds = said(Ok(response(proto::VerdictState::Holds, why)));
        assert_eq!(holds.unwrap_err(), format!("nothing is judged any more: {why}"));
        let broken = said(Ok(response(proto::VerdictState::Broken, why))).expect("a bar");
        let Verdict::Broken { first, second, .. } = &broken.invariants[0].verdict else {
            panic!("{broken:?}");
        };
        assert_eq!((first, second.as_str()), (&None, "b owns"));
    }

    #[test]
    fn a_lock_is_told_with_all_its_nodes_and_who_was_first() {
        assert_eq!(locked(Vec::new()), None);
        let one = |node: &str, by: &str| Locked {
            node: node.into(),
            by: by.into(),
            reason: "enough".into(),
        };
        let lock = locked(vec![one("a", "ada"), one("b", "bob")]).expect("two are");
        assert_eq!(
            (lock.nodes, lock.by.as_str()),
            (vec!["a".to_owned(), "b".to_owned()], "ada")
        );
    }

    #[tokio::test]
    async fn it_asks_no_more_when_nobody_looks() {
        let (board, looks) = watch::channel(Arc::new(Board::default()));
        drop(looks);
        let client = Arc::new(ChaosClient::new(vec!["127.0.0.1:1".into()], "test".into()));
        keep(client, board).await;
    }
}
