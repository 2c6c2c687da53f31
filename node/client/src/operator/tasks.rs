//! Tasks of an exchange, asked of its owner.

use squall_proto::v1;

use super::asking::{ANSWER_WITHIN, answered, contact};
use super::{Operator, OperatorError};

impl Operator {
    /// A page of the tasks of an exchange, from its owner: open ones, or dead letters, after that number, at most `limit`
    /// (0 for 100).
    ///
    /// # Errors
    /// [`OperatorError`]: there is no such exchange, it has no tasks, or its owner cannot be asked.
    pub async fn tasks(
        &self,
        exchange: &str,
        dead: bool,
        after: u64,
        limit: u32,
    ) -> Result<v1::ListTasksResponse, OperatorError> {
        let request = v1::ListTasksRequest {
            exchange: exchange.into(),
            dead,
            after,
            limit,
        };
        let Some(owner) = self.owner_of(exchange).await? else {
            // Whoever answers says why there are none.
            return self
                .ask(request, |mut admin, request| async move {
                    admin.list_tasks(request).await
                })
                .await;
        };
        let mut admin = contact(owner.grpc_addr.clone())?.admin;
        answered(ANSWER_WITHIN, admin.list_tasks(request))
            .await
            .map_err(|error| match error {
                // It is a question: nothing can have been done.
                OperatorError::Unknown(why) | OperatorError::Unavailable(why) => {
                    untold(exchange, &owner, &why)
                }
                other => other,
            })
    }
}

/// An owner that has just been lost is asked until the registry names another one.
fn untold(exchange: &str, owner: &v1::Member, why: &str) -> OperatorError {
    let (node, addr) = (&owner.name, &owner.grpc_addr);
    OperatorError::Unavailable(format!(
        "exchange '{exchange}': its owner, node {node} at {addr}, does not tell its tasks ({why}); try again in a moment: if \
         the node is lost, another one takes over"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_does_not_answer_is_named_with_what_to_do() {
        let owner = v1::Member {
            name: "b".into(),
            grpc_addr: "127.0.0.1:7411".into(),
            ..v1::Member::default()
        };
        let OperatorError::Unavailable(words) = untold("mails", &owner, "tcp connect error") else {
            panic!("nothing was done");
        };
        for part in [
            "'mails'",
            "node b at 127.0.0.1:7411",
            "(tcp connect error)",
            "try again",
        ] {
            assert!(words.contains(part), "{words}");
        }
    }
}
