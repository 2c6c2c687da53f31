use futures::future::{BoxFuture, pending, ready};

use super::*;

type Answer = BoxFuture<'static, Result<proto::HelloResponse, String>>;

/// A node that knows these, all of them up.
fn knows(names: &[&str]) -> Answer {
    let members = names.iter().map(|name| proto::Member {
        name: (*name).to_owned(),
        state: proto::NodeState::Up.into(),
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

#[tokio::test]
async fn of_nobody_the_reason_is_told() {
    let refused: Answer = Box::pin(ready(Err("refused".into())));
    assert_eq!(names(vec![refused]).await.unwrap_err(), "refused");
}
