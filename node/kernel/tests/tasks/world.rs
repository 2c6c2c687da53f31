//! A cluster around one task queue: an owner, a backup, workers, a registry that names them, and messages between owner and
//! backup that are late or get lost. It does what a list of operations says, and watches what everybody is told.
//!
//! What it holds against: no acknowledged task is lost with one node; one completion counts; attempts and leases only grow,
//! and attempts stay within their limit; in the end every acknowledged task is completed or a dead letter.

#[path = "trouble.rs"]
mod trouble;
#[path = "watch.rs"]
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Boot, Epoch, ExchangeId, ExchangeName, MessageId, NodeId, Pid};
use squall_kernel::tasks::{
    Answer, Backup, Batch, Bound, Chosen, Delivery, LeaseNo, Priority, Retry, Spec, Submit, TaskConfig,
    TaskId, TaskInput, TaskQueue, TaskReplica,
};
use squall_kernel::time::{Instant, Span};

/// Nodes that may own the exchange or hold its second copy.
pub(crate) const BROKERS: u64 = 4;
/// Workers, each on a node of its own.
pub(crate) const WORKERS: u64 = 3;
const LARGE: &[u8] = &[0; 40_000];
const FAR: Instant = Instant(u64::MAX / 2);

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Submit {
        key: u8,
        priority: u8,
        deadline_ms: Option<u64>,
        wait_ms: Option<u64>,
        attempts: u32,
        unique: Option<u8>,
        /// So large that no other entry goes with it.
        large: bool,
    },
    Attach(u64, u32),
    Detach(u64),
    /// A worker says something about one of the tasks in its hand.
    Confirm(u64, usize),
    GiveBack(u64, usize, Retry),
    Extend(u64, usize),
    /// A worker speaks of a lease it had once.
    StaleConfirm(usize),
    /// So many messages between owner and backup arrive.
    Pass(usize),
    LoseBatch,
    LoseAnswer,
    AdvanceMs(u64),
    /// The owner has the right to act, or not.
    Right(bool),
    KillOwner,
    KillBackup,
    /// The owner is killed, be there another copy or not.
    Disaster,
    /// The scheduler answers one of its questions.
    Schedule(usize, u64),
    /// A dead letter has arrived elsewhere.
    Forwarded(usize),
    /// The registry names who holds the second copy.
    Name,
    /// A node that was killed comes back, empty.
    Return(u64),
    Move(u64),
}

/// What kind of exchange it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    pub(crate) ordered: bool,
    pub(crate) scheduler: bool,
    pub(crate) forwards: bool,
    pub(crate) bound: Bound,
}

#[derive(Debug, Default)]
struct Hand {
    attached: bool,
    credit: u32,
    tasks: BTreeMap<TaskId, LeaseNo>,
}

/// What went wrong.
pub(crate) type Broken = String;

pub(crate) struct World {
    queue: TaskQueue,
    shape: Shape,
    owner: NodeId,
    backup: Backup,
    replica: TaskReplica,
    up: BTreeSet<NodeId>,
    batches: VecDeque<Batch>,
    answers: VecDeque<(NodeId, Answer)>,
    hands: BTreeMap<Pid, Hand>,
    now: Instant,
    right: bool,
    messages: u64,
    /// Copies lost since every acknowledged task was last at two nodes.
    losses: u32,
    /// Submits of which somebody was told what became of them.
    answered: BTreeSet<RequestKey>,
    acknowledged: BTreeSet<TaskId>,
    completed: BTreeMap<TaskId, LeaseNo>,
    dead: BTreeSet<TaskId>,
    deliveries: Vec<Delivery>,
    latest: BTreeMap<TaskId, (LeaseNo, u32)>,
    /// Leases whose worker said that it never saw the task: no attempts.
    unseen: BTreeSet<LeaseNo>,
    /// Tasks about which the scheduler was asked.
    asked: Vec<TaskId>,
    /// Acknowledged tasks were lost with both copies, or the only one.
    disasters: u32,
    /// What has been seen, so that a test can say that it was.
    pub(crate) failovers: u32,
    pub(crate) moves: u32,
}

fn config(node: NodeId, epoch: u64, shape: Shape) -> TaskConfig {
    TaskConfig {
        exchange: ExchangeId(1),
        node,
        epoch: Epoch(epoch),
        ordered: shape.ordered,
        attempts: 4,
        lease: Span::from_ms(1000),
        backoff: Span::from_ms(50),
        unique_for: Span::from_ms(1000),
        dead_letter: shape
            .forwards
            .then(|| ExchangeName::new("morgue").expect("a name")),
        scheduler: shape.scheduler,
        bound: shape.bound,
    }
}

fn worker(n: u64) -> Pid {
    Pid::new(NodeId(10 + n % WORKERS), Boot(1), 1)
}

impl World {
    pub(crate) fn new(shape: Shape) -> Self {
        let owner = NodeId(1);
        Self {
            queue: TaskQueue::new(config(owner, 1, shape)),
            shape,
            owner,
            backup: Backup::Awaited,
            replica: TaskReplica::new(),
            up: (1..=BROKERS).map(NodeId).collect(),
            batches: VecDeque::new(),
            answers: VecDeque::new(),
            hands: BTreeMap::new(),
            now: Instant(0),
            right: true,
            messages: 0,
            losses: 1,
            answered: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            completed: BTreeMap::new(),
            dead: BTreeSet::new(),
            deliveries: Vec::new(),
            latest: BTreeMap::new(),
            unseen: BTreeSet::new(),
            asked: Vec::new(),
            disasters: 0,
            failovers: 0,
            moves: 0,
        }
    }

    pub(crate) fn run(&mut self, ops: &[Op]) -> Result<(), Broken> {
        for op in ops {
            self.op(op)?;
        }
        self.heal()
    }

    fn op(&mut self, op: &Op) -> Result<(), Broken> {
        match op {
            Op::Submit { .. } => self.submit(op),
            Op::Attach(n, credit) => self.attach(worker(*n), *credit),
            Op::Detach(n) => {
                self.hands.remove(&worker(*n));
                self.step(&TaskInput::WorkerDetach { worker: worker(*n) })
            }
            Op::Confirm(..) | Op::GiveBack(..) | Op::Extend(..) => self.speak(op),
            Op::StaleConfirm(place) => match nth(&self.deliveries, *place) {
                Some(d) => self.step(&confirm(d.task, d.lease, d.worker)),
                None => Ok(()),
            },
            Op::Pass(n) => (0..*n).try_for_each(|_| self.pass().map(|_| ())),
            Op::LoseBatch => {
                self.batches.pop_front();
                Ok(())
            }
            Op::LoseAnswer => {
                self.answers.pop_front();
                Ok(())
            }
            Op::AdvanceMs(ms) => self.advance(*ms),
            Op::Right(right) => {
                self.right = *right;
                self.step(&TaskInput::Tick)
            }
            Op::KillOwner => self.kill_owner(),
            Op::KillBackup => self.kill_backup(),
            Op::Disaster => self.disaster(),
            Op::Schedule(place, n) => match nth(&self.asked, *place) {
                Some(task) => {
                    let chosen = match n % 5 {
                        0 => Chosen::Wait,
                        1 => Chosen::Any,
                        _ => Chosen::Worker(worker(*n)),
                    };
                    self.step(&TaskInput::Scheduled { task, chosen })
                }
                None => Ok(()),
            },
            Op::Forwarded(place) => {
                let letters: Vec<TaskId> = self.queue.dead_letters().map(|l| l.task).collect();
                match nth(&letters, *place) {
                    Some(task) => self.step(&TaskInput::Forwarded { task }),
                    None => Ok(()),
                }
            }
            Op::Name => self.name(),
            Op::Return(n) => {
                self.up.insert(NodeId(1 + n % BROKERS));
                Ok(())
            }
            Op::Move(n) => self.move_to(NodeId(1 + n % BROKERS)),
        }
    }

    fn advance(&mut self, ms: u64) -> Result<(), Broken> {
        self.now = self.now + Span::from_ms(ms);
        self.step(&TaskInput::Tick)
    }

    fn submit(&mut self, op: &Op) -> Result<(), Broken> {
        let Op::Submit {
            key,
            priority,
            deadline_ms,
            wait_ms,
            attempts,
            unique,
            large,
        } = op
        else {
            return Ok(());
        };
        self.messages += 1;
        let submit = Submit {
            submitter: RequestKey {
                origin: NodeId(9),
                message: MessageId(self.messages),
            },
            epoch: self.queue.epoch(),
            spec: Spec {
                payload: Bytes::from_static(if *large { LARGE } else { b"work" }),
                key: Bytes::from(vec![b'k'; usize::from(*key)]),
                priority: Priority::new(*priority).expect("drawn below ten"),
                attempts: *attempts,
                unique: unique.iter().copied().collect(),
                ..Spec::default()
            },
            not_before: wait_ms.map(|ms| self.now + Span::from_ms(ms)),
            deadline: deadline_ms.map(|ms| self.now + Span::from_ms(ms)),
            patience: self.now + Span::from_ms(3000),
        };
        self.step(&TaskInput::Submit(submit))
    }

    fn attach(&mut self, worker: Pid, credit: u32) -> Result<(), Broken> {
        let hand = self.hands.entry(worker).or_default();
        (hand.attached, hand.credit) = (true, credit);
        let in_hand = hand.tasks.iter().map(|(task, lease)| (*task, *lease)).collect();
        self.step(&TaskInput::WorkerAttach {
            worker,
            service_tag: Bytes::new(),
            credit,
            in_hand,
        })
    }

    fn speak(&mut self, op: &Op) -> Result<(), Broken> {
        let (Op::Confirm(n, place) | Op::GiveBack(n, place, _) | Op::Extend(n, place)) = op else {
            return Ok(());
        };
        let worker = worker(*n);
        let tasks = self.hands.get(&worker).map(|hand| &hand.tasks);
        let tasks: Vec<(TaskId, LeaseNo)> = tasks.into_iter().flatten().map(|(t, l)| (*t, *l)).collect();
        let Some((task, lease)) = nth(&tasks, *place) else {
            return Ok(());
        };
        if matches!(op, Op::GiveBack(_, _, Retry::Unseen)) {
            self.unseen.insert(lease);
        }
        self.step(&match op {
            Op::GiveBack(_, _, retry) => TaskInput::GiveBack {
                task,
                lease,
                worker,
                said: "no luck".into(),
                retry: *retry,
            },
            Op::Extend(..) => TaskInput::Extend {
                task,
                lease,
                worker,
                by: Span::from_ms(1500),
            },
            _ => confirm(task, lease, worker),
        })
    }

    /// One message arrives; false when none is on its way.
    fn pass(&mut self) -> Result<bool, Broken> {
        if let Some((from, answer)) = self.answers.pop_front() {
            self.step(&TaskInput::Answered { from, answer })?;
            return Ok(true);
        }
        let (Some(batch), Backup::On(node)) = (self.batches.pop_front(), self.backup) else {
            return Ok(false);
        };
        let coded = postcard::to_allocvec(&batch).map_err(|e| e.to_string())?;
        let batch: Batch = postcard::from_bytes(&coded).map_err(|e| e.to_string())?;
        let answer = self.replica.take(self.now, &batch);
        self.answers.push_back((node, answer));
        Ok(true)
    }

    fn step(&mut self, input: &TaskInput) -> Result<(), Broken> {
        let mut out = Vec::new();
        let until = if self.right { FAR } else { Instant(0) };
        self.queue.step(self.now, until, input, &mut out);
        for effect in out {
            self.watch(effect)?;
        }
        if self.right && self.queue.next_timeout().is_some_and(|at| at <= self.now) {
            return Err(format!("ticks without end after {input:?}"));
        }
        match self.backup {
            Backup::On(_) if self.queue.is_doubled() => self.losses = 0,
            Backup::On(_) => {}
            Backup::Alone | Backup::Awaited => self.losses = self.losses.max(1),
        }
        Ok(())
    }

    /// Everything becomes good: then all tasks come to an end.
    fn heal(&mut self) -> Result<(), Broken> {
        self.up.extend((1..=BROKERS).map(NodeId));
        self.op(&Op::Right(true))?;
        if self.backup == Backup::Alone {
            self.backup = Backup::Awaited;
        }
        self.name()?;
        for n in 0..WORKERS {
            self.attach(worker(n), 8)?;
            let node = worker(n).node;
            self.step(&TaskInput::Rolled { node })?;
        }
        for _ in 0..1000 {
            while self.pass()? {}
            for (worker, task, lease) in self.in_hand() {
                self.step(&confirm(task, lease, worker))?;
            }
            while self.pass()? {}
            let view = self.queue.view();
            if view.doubled
                && view.open + self.queue.held() == 0
                && view.pending == 0
                && self.in_hand().is_empty()
            {
                return self.judge();
            }
            self.advance(600)?;
        }
        Err(format!("tasks do not come to an end: {:?}", self.queue.view()))
    }

    fn in_hand(&self) -> Vec<(Pid, TaskId, LeaseNo)> {
        let of_one = |(pid, hand): (&Pid, &Hand)| {
            let pid = *pid;
            let tasks: Vec<_> = hand.tasks.iter().map(|(t, l)| (pid, *t, *l)).collect();
            tasks
        };
        self.hands.iter().flat_map(of_one).collect()
    }
}

fn confirm(task: TaskId, lease: LeaseNo, worker: Pid) -> TaskInput {
    TaskInput::Confirm { task, lease, worker }
}

fn nth<T: Clone>(of: &[T], place: usize) -> Option<T> {
    of.get(place % of.len().max(1)).cloned()
}
