//! The tasks of an exchange that this node owns, for people: a page of them, and what the queue is like.

use squall_kernel::id::{ExchangeName, NodeId, Pid};
use squall_kernel::registry::{Pattern, Registry};
use squall_kernel::tasks::{Backup, DeadLetter, QueueView, Standing, TaskQueue, TaskView};
use squall_kernel::time::{Instant, Span};
use squall_proto::v1;

use crate::data::DataPlane;
use crate::introspect::opinions::name_or_empty;
use crate::introspect::{NoTasks, TaskPage};

pub(super) fn of(
    data: &DataPlane,
    exchange: &ExchangeName,
    page: TaskPage,
) -> Result<v1::ListTasksResponse, NoTasks> {
    let registry = data.context.registry_kept();
    let record = registry.exchange(exchange).ok_or(NoTasks::Unknown)?;
    if record.pattern != Pattern::Task {
        return Err(NoTasks::OtherPattern(record.pattern.as_str()));
    }
    let now = data.context.clock.now();
    let shown = data
        .exchanges
        .look_at_tasks(record.id, |queue| shown(queue, &registry, now, page));
    shown.ok_or_else(|| {
        let owner = record.owner.filter(|owner| *owner != data.context.node);
        NoTasks::Elsewhere(name_or_empty(&registry, owner))
    })
}

fn shown(queue: &TaskQueue, registry: &Registry, now: Instant, page: TaskPage) -> v1::ListTasksResponse {
    // One more than is shown tells whether there are more.
    let wanted = page.limit.saturating_add(1);
    let mut tasks: Vec<v1::TaskInfo> = if page.dead {
        let letters = queue.dead_after(page.after).take(wanted);
        letters.map(|letter| dead(queue, letter)).collect()
    } else {
        let open = queue.open_after(now, page.after).take(wanted);
        open.map(|task| open_task(registry, task)).collect()
    };
    let more = tasks.len() > page.limit;
    tasks.truncate(page.limit);
    v1::ListTasksResponse {
        tasks,
        more,
        figures: Some(figures(registry, &queue.view())),
    }
}

fn pid(registry: &Registry, pid: Pid) -> String {
    pid.text(&name_or_empty(registry, Some(pid.node)))
}

/// At least one where there is some time left: 0 stands for none.
fn ms(span: Span) -> u64 {
    span.as_ms().max(1)
}

fn open_task(registry: &Registry, task: TaskView) -> v1::TaskInfo {
    let mut info = v1::TaskInfo {
        task: task.task.0,
        name: task.task.to_string(),
        key: task.key,
        service_tag: task.service_tag,
        priority: u32::from(task.priority.get()),
        payload_bytes: task.payload_bytes as u64,
        attempts: task.attempts,
        attempts_max: task.attempts_max,
        deadline_ms: task.deadline.map_or(0, ms),
        said: task.said,
        ..v1::TaskInfo::default()
    };
    let state = match task.standing {
        Standing::Ready => v1::TaskState::Ready,
        Standing::Behind => v1::TaskState::Behind,
        Standing::Asked => v1::TaskState::Asked,
        Standing::Later(left) => {
            info.left_ms = ms(left);
            v1::TaskState::Later
        }
        Standing::InHand { worker, lease, left } => {
            info.worker = pid(registry, worker);
            info.lease = lease.to_string();
            info.left_ms = left.map_or(0, ms);
            v1::TaskState::InHand
        }
    };
    info.set_state(state);
    info
}

fn dead(queue: &TaskQueue, letter: &DeadLetter) -> v1::TaskInfo {
    v1::TaskInfo {
        task: letter.task.0,
        name: letter.task.to_string(),
        state: v1::TaskState::Dead as i32,
        key: letter.spec.key.clone(),
        service_tag: letter.spec.service_tag.clone(),
        priority: u32::from(letter.spec.priority.get()),
        payload_bytes: letter.spec.payload.len() as u64,
        attempts: letter.attempts,
        attempts_max: queue.attempts_max(letter.spec.attempts),
        said: letter.said.clone(),
        reason: letter.reason.as_str().into(),
        to_forward: letter.to_forward,
        ..v1::TaskInfo::default()
    }
}

/// What a queue is like.
fn figures(registry: &Registry, view: &QueueView) -> v1::TaskFigures {
    let backup: Option<NodeId> = match view.backup {
        Backup::On(node) => Some(node),
        Backup::Alone | Backup::Awaited => None,
    };
    v1::TaskFigures {
        waiting: view.open.saturating_sub(view.in_hand) as u64,
        in_hand: view.in_hand as u64,
        dead: view.dead as u64,
        workers: view.workers as u64,
        backup: name_or_empty(registry, backup),
        doubled: view.doubled,
        submitted: view.figures.submitted,
        completed: view.figures.confirmed,
        returned: view.figures.returned,
        died: view.figures.dead,
        dropped: view.figures.dropped,
        lost: view.figures.lost,
        lost_unknown: view.figures.lost_unknown,
    }
}
