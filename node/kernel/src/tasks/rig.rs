//! For tests: an owner and its backup, stepped by hand. Effects are compared as lines.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::exchange::RequestKey;
use crate::id::{Boot, ExchangeId, MessageId, NodeId, Pid};

pub(super) const OWNER: NodeId = NodeId(1);
pub(super) const BACKUP: NodeId = NodeId(2);
/// No lines.
pub(super) const NONE: [&str; 0] = [];
pub(super) const FAR: Instant = Instant(u64::MAX / 2);

pub(super) fn worker(node: u64, n: u32) -> Pid {
    Pid::new(NodeId(node), Boot(1), n)
}

pub(super) fn ms(ms: u64) -> Instant {
    Instant(ms * 1000)
}

pub(super) fn config(node: NodeId, epoch: u64) -> TaskConfig {
    TaskConfig {
        exchange: ExchangeId(1),
        node,
        epoch: Epoch(epoch),
        ordered: false,
        attempts: 3,
        lease: Span::from_ms(1000),
        backoff: Span::from_ms(100),
        unique_for: Span::from_ms(5000),
        dead_letter: None,
        scheduler: false,
        bound: Bound::default(),
    }
}

/// A submit as message `message` with default settings.
pub(super) fn submit(message: u64, epoch: u64) -> Submit {
    Submit {
        submitter: RequestKey {
            origin: NodeId(9),
            message: MessageId(message),
        },
        epoch: Epoch(epoch),
        spec: Spec {
            payload: Bytes::from_static(b"work"),
            ..Spec::default()
        },
        not_before: None,
        deadline: None,
        patience: Instant(u64::MAX),
    }
}

/// Owner, backup, and a clock.
pub(super) struct Rig {
    pub(super) queue: TaskQueue,
    pub(super) replica: TaskReplica,
    pub(super) now: Instant,
    pub(super) lease_until: Instant,
}

impl Rig {
    /// With a backup that has its copy.
    pub(super) fn new(change: impl FnOnce(&mut TaskConfig)) -> Self {
        let mut rig = Self::without_backup(change);
        assert_eq!(rig.backup(Backup::On(BACKUP)), [""; 0]);
        rig
    }

    /// Before the registry has said anything about a backup.
    pub(super) fn without_backup(change: impl FnOnce(&mut TaskConfig)) -> Self {
        let mut config = config(OWNER, 1);
        change(&mut config);
        Self {
            queue: TaskQueue::new(config),
            replica: TaskReplica::new(),
            now: ms(0),
            lease_until: FAR,
        }
    }

    /// All effects of one step, nothing passed on.
    pub(super) fn raw(&mut self, input: &TaskInput) -> Vec<TaskEffect> {
        let mut out = Vec::new();
        self.queue.step(self.now, self.lease_until, input, &mut out);
        out
    }

    /// A step; batches go to the backup and its answers back, until nothing is on its way. The other effects as lines.
    pub(super) fn step(&mut self, input: &TaskInput) -> Vec<String> {
        let effects = self.raw(input);
        self.pass_on(effects)
    }

    /// Passes batches on, and the answers to them.
    pub(super) fn pass_on(&mut self, effects: Vec<TaskEffect>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut effects: alloc::collections::VecDeque<TaskEffect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                TaskEffect::Replicate { to, batch } => {
                    let answer = self.replica.take(self.now, &batch);
                    effects.extend(self.raw(&TaskInput::Answered { from: to, answer }));
                }
                other => lines.push(other.to_string()),
            }
        }
        lines
    }

    pub(super) fn at(&mut self, at: u64) -> Vec<String> {
        self.now = ms(at);
        self.step(&TaskInput::Tick)
    }

    pub(super) fn backup(&mut self, backup: Backup) -> Vec<String> {
        self.step(&TaskInput::BackupChanged { backup })
    }

    pub(super) fn submit(&mut self, message: u64) -> Vec<String> {
        self.submit_with(message, |_| {})
    }

    pub(super) fn submit_with(&mut self, message: u64, change: impl FnOnce(&mut Submit)) -> Vec<String> {
        let mut wanted = submit(message, self.queue.epoch().0);
        change(&mut wanted);
        self.step(&TaskInput::Submit(wanted))
    }

    pub(super) fn attach(&mut self, worker: Pid, credit: u32) -> Vec<String> {
        self.attach_with(worker, "", credit, Vec::new())
    }

    pub(super) fn attach_with(
        &mut self,
        worker: Pid,
        tag: &'static str,
        credit: u32,
        in_hand: Vec<(TaskId, LeaseNo)>,
    ) -> Vec<String> {
        self.step(&TaskInput::WorkerAttach {
            worker,
            service_tag: Bytes::from_static(tag.as_bytes()),
            credit,
            in_hand,
        })
    }

    pub(super) fn confirm(&mut self, task: u64, lease: u64, worker: Pid) -> Vec<String> {
        self.step(&confirm(task, lease, worker))
    }

    pub(super) fn give_back(&mut self, task: u64, lease: u64, worker: Pid, retry: Retry) -> Vec<String> {
        self.step(&TaskInput::GiveBack {
            task: TaskId(EPOCH_1 + task),
            lease: LeaseNo(EPOCH_1 + lease),
            worker,
            said: "no luck".into(),
            retry,
        })
    }

    /// The owner is killed; its backup, which becomes the owner under the next epoch, has nobody behind it yet.
    pub(super) fn fail_over(&mut self) {
        let epoch = self.queue.epoch().0 + 1;
        let replica = core::mem::take(&mut self.replica);
        let before = self.queue.config.clone();
        let config = TaskConfig {
            node: BACKUP,
            epoch: Epoch(epoch),
            ..before
        };
        self.queue = TaskQueue::from_replica(config, self.now, replica);
    }
}

/// What numbers of the first epoch begin with.
pub(super) const EPOCH_1: u64 = 1 << 32;

pub(super) fn confirm(task: u64, lease: u64, worker: Pid) -> TaskInput {
    TaskInput::Confirm {
        task: TaskId(EPOCH_1 + task),
        lease: LeaseNo(EPOCH_1 + lease),
        worker,
    }
}
