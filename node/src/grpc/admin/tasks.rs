//! Tasks of an exchange, in pages. What does not live here: the queue, and how its tasks are put in words (`sources`).

use squall_kernel::registry::Refused;
use squall_kernel::tasks::TaskId;
use squall_proto::v1;

use super::parse::exchange_name;
use super::{AdminService, Membership, Proposer};
use crate::grpc::limits::{TASKS_PAGE_DEFAULT, TASKS_PAGE_MAX};
use crate::grpc::status::CallError;
use crate::introspect::{NoTasks, Sources, TaskPage};

impl<P: Proposer + Membership, S: Sources> AdminService<P, S> {
    pub(super) fn tasks(&self, asked: &v1::ListTasksRequest) -> Result<v1::ListTasksResponse, CallError> {
        let name = exchange_name(&asked.exchange)?;
        let limit = match asked.limit {
            0 => TASKS_PAGE_DEFAULT,
            limit if limit <= TASKS_PAGE_MAX => limit,
            limit => {
                return Err(CallError::Invalid {
                    field: "limit",
                    reason: format!("a page has at most {TASKS_PAGE_MAX} tasks, not {limit}"),
                });
            }
        };
        let page = TaskPage {
            dead: asked.dead,
            after: TaskId(asked.after),
            limit: limit as usize,
        };
        self.sources.tasks(&name, page).map_err(|none| match none {
            NoTasks::Unknown => Refused::UnknownExchange(name.as_str().into()).into(),
            NoTasks::OtherPattern(pattern) => CallError::Unsafe(format!(
                "the exchange '{name}' has no tasks: its pattern is {pattern}"
            )),
            NoTasks::Elsewhere(owner) if owner.is_empty() => CallError::Unavailable {
                reason: format!("'{name}' has no owner now that could tell its tasks"),
            },
            NoTasks::Elsewhere(owner) => {
                CallError::Unsafe(format!("the tasks of '{name}' are at its owner, {owner}"))
            }
        })
    }
}
