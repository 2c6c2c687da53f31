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
        let Some(addr) = self.owner_of(exchange).await? else {
            // Whoever answers says why there are none.
            return self
                .ask(request, |mut admin, request| async move {
                    admin.list_tasks(request).await
                })
                .await;
        };
        let mut admin = contact(addr)?.admin;
        answered(ANSWER_WITHIN, admin.list_tasks(request))
            .await
            .map_err(|error| match error {
                // It is a question: nothing can have been done.
                OperatorError::Unknown(why) => OperatorError::Unavailable(why),
                other => other,
            })
    }

    /// Address of an exchange's owner.
    async fn owner_of(&self, exchange: &str) -> Result<Option<String>, OperatorError> {
        let exchanges = self.exchanges().await?.exchanges;
        let Some(found) = exchanges.into_iter().find(|e| e.name == exchange) else {
            return Ok(None);
        };
        let members = self.nodes().await?.members;
        let owner = members.into_iter().find(|member| member.name == found.owner);
        Ok(owner.map(|member| member.grpc_addr))
    }
}
