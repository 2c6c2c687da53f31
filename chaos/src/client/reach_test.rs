use std::iter;

use futures::future::{BoxFuture, pending, ready};

use super::*;

type Answer = BoxFuture<'static, Result<proto::HelloResponse, String>>;

/// A node that knows these, all of them up, the first of them as the leader.
fn knows(names: &[&str]) -> Answer {
    answers(names, proto::MetaRole::Leader)
}

/// A node that knows these, all of them up, and of no leader.
fn knows_unled(names: &[&str]) -> Answer {
    answers(names, proto::MetaRole::Learner)
}

fn answers(names: &[&str], first: proto::MetaRole) -> Answer {
    let roles = iter::once(first).chain(iter::repeat(proto::MetaRole::Learner));
    let members = names.iter().zip(roles).map(|(name, role)| proto::Member {
        name: (*name).to_owned(),
        state: proto::NodeState::Up.into(),
        role: role.into(),
        ..Default::default()
    });
    let members = members.collect();
    Box::pin(ready(Ok(proto::HelloResponse {
        members,
        ..Default::default()
    })))
}

async fn names(answers: Vec<Answer>) -> Result<Vec<String>, String> {
    let hello = most_informed(answers.into_iter().collect()).await?;
    Ok(hello.members.into_iter().map(|member| member.name).collect())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_just_joined_is_not_taken_at_its_word() {
    let (both, of_both) = tokio::sync::oneshot::channel();
    let late: Answer = Box::pin(async { of_both.await.expect("it answers") });
    let asked = tokio::spawn(names(vec![knows(&["b"]), late]));
    tokio::task::yield_now().await;
    tokio::time::advance(OTHERS_WITHIN / 2).await;
    assert!(!asked.is_finished(), "another may know more");
    both.send(knows(&["a", "b"]).await).expect("it is waited for");
    assert_eq!(asked.await.expect("no panic").unwrap(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn who_answers_not_at_all_is_not_waited_for() {
    let begun = Instant::now();
    let enough = names(vec![Box::pin(pending()), knows(&["a", "b"])]);
    assert_eq!(enough.await.unwrap(), ["a", "b"]);
    assert_eq!(begun.elapsed(), Duration::ZERO, "it knows all that were asked");
    let some = names(vec![Box::pin(pending()), knows(&[]), knows(&["b"])]);
    assert_eq!(some.await.unwrap(), ["b"]);
    assert_eq!(begun.elapsed(), OTHERS_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn who_knows_of_no_leader_hurries_nobody() {
    let (begun, late) = (Instant::now(), OTHERS_WITHIN * 3);
    let slow: Answer = Box::pin(async move {
        tokio::time::sleep(late).await;
        knows(&["a", "b"]).await
    });
    let asked = names(vec![knows_unled(&["b"]), slow]);
    assert_eq!(asked.await.unwrap(), ["a", "b"]);
    assert_eq!(begun.elapsed(), late);
}

#[tokio::test]
async fn of_nobody_the_reason_is_told() {
    let refused: Answer = Box::pin(ready(Err("refused".into())));
    assert_eq!(names(vec![refused]).await.unwrap_err(), "refused");
}
