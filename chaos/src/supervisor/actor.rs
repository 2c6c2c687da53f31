//! Carries the roster's effects out, one command at a time: spawns, signals, tells the guard, answers. What does not
//! live here: any decision (`roster`).

use std::collections::HashMap;
use std::path::PathBuf;

use squall_kernel::id::NodeName;
use squall_kernel::time::{Instant, Span};
use tokio::process::ChildStdin;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::command::{Command, Shown};
use super::deeds::Deeds;
use super::event::Event;
use super::launch;
use super::order::{Deed, Effect, Order, OsPid, Refused};
use super::roster::{Child, Exit, Phase, Roster};
use super::telling::Telling;
use super::watch::Watch;
use super::{StartError, SupervisorOptions};
use crate::guard::GuardOrder;
use crate::judge::Judge;
use crate::layout::Place;
use crate::limits::GUARD_ANSWER;
use crate::process::{ProcessRef, Send};

/// What does not change while the cluster runs.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) options: SupervisorOptions,
    pub(super) socket: PathBuf,
    pub(super) places: Vec<Place>,
}

/// A process of a node. The node ends when its stdin does.
struct Held {
    pid: OsPid,
    process: ProcessRef,
    _stdin: Option<ChildStdin>,
}

/// Who waits for a process to end before the answer is true.
enum Pending {
    Act(NodeName, oneshot::Sender<Result<Shown, Refused>>),
    Halt(Vec<NodeName>, oneshot::Sender<Vec<NodeName>>),
}

pub(super) struct Actor {
    setting: Setting,
    roster: Roster,
    held: HashMap<NodeName, Held>,
    watch: Option<Watch>,
    guard: JoinHandle<()>,
    pending: Vec<Pending>,
    commands: mpsc::Sender<Command>,
    inbox: mpsc::Receiver<Command>,
    events: broadcast::Sender<Event>,
    telling: Telling,
    epoch: tokio::time::Instant,
    deeds: Deeds,
}

impl Actor {
    /// Starts the guard and every node; what was started is ended again when one cannot be.
    pub(super) async fn start(
        setting: Setting,
        (commands, inbox): (mpsc::Sender<Command>, mpsc::Receiver<Command>),
        events: broadcast::Sender<Event>,
        judge: Option<Judge>,
    ) -> Result<Self, StartError> {
        let program = setting.options.program.clone();
        let temporary = setting
            .options
            .temporary
            .then_some(setting.options.data_dir.as_path());
        let guard = Watch::start(&program, temporary).map_err(|source| StartError::Guard { program, source });
        let (watch, mut guard) = guard?;
        let told = commands.clone();
        let guard = tokio::spawn(async move {
            drop(guard.wait().await);
            drop(told.send(Command::GuardEnded).await);
        });
        let names: Vec<NodeName> = setting.places.iter().map(|place| place.name.clone()).collect();
        let roster = Roster::new(Instant(0), &names, setting.options.restart);
        let epoch = tokio::time::Instant::now();
        let (held, pending) = (HashMap::new(), Vec::new());
        let watch = Some(watch);
        let deeds = Deeds::of(&setting.options);
        let mut actor = Self {
            setting,
            roster,
            held,
            watch,
            guard,
            pending,
            commands,
            inbox,
            events,
            telling: Telling::new(judge),
            epoch,
            deeds,
        };
        actor.settle().await;
        match actor.roster.children().iter().find(|child| child.starts == 0) {
            None => Ok(actor),
            Some(child) => {
                let error = StartError::Node {
                    node: child.name.to_string(),
                    why: child.last_exit.clone(),
                };
                let (_, stopped) = oneshot::channel();
                actor.run(stopped).await;
                Err(error)
            }
        }
    }

    /// Works until `stopped`, then ends all nodes and the guard.
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut stopping = false;
        loop {
            self.settle().await;
            self.answer();
            if self.roster.ended() {
                break;
            }
            let due = self.roster.next_timeout();
            let epoch = self.epoch;
            tokio::select! {
                biased;
                _ = &mut stopped, if !stopping => {
                    stopping = true;
                    let effects = self.roster.end(self.now());
                    self.carry_out(effects).await;
                }
                Some(command) = self.inbox.recv() => self.take(command).await,
                () = until(epoch, due) => {}
            }
        }
        self.watch = None;
        self.deeds.close().await;
        if tokio::time::timeout(GUARD_ANSWER, &mut self.guard).await.is_err() {
            warn!("the guard process does not end");
        }
    }

    async fn take(&mut self, command: Command) {
        match command {
            Command::Act { order, by, reply } => self.act(order, &by, reply).await,
            Command::List { reply } => {
                drop(
                    reply.send(
                        self.roster
                            .children()
                            .iter()
                            .map(|child| self.shown(child))
                            .collect(),
                    ),
                );
            }
            Command::Halt { by, reply } => {
                self.deeds.halted();
                let (effects, names) = self.roster.halt(self.now());
                info!(by, nodes = names.len(), "halt");
                self.carry_out(effects).await;
                self.pending.push(Pending::Halt(names, reply));
            }
            Command::Exited { node, pid, exit } => self.exited(node, pid, exit).await,
            Command::GuardEnded => self.guard_lost().await,
        }
    }

    async fn act(&mut self, order: Order, by: &str, reply: oneshot::Sender<Result<Shown, Refused>>) {
        info!(by, node = order.node, deed = ?order.deed, ttl_ms = order.ttl.as_ms(), "order");
        if order.deed == Deed::Pause && self.watch.is_none() {
            drop(reply.send(Err(Refused::NoGuard)));
            return;
        }
        let node = match self.roster.act(self.now(), &order) {
            Ok(effects) => {
                let node = self.roster.child(&order.node).map(|child| child.name.clone());
                if let Some(node) = &node {
                    self.deeds.ordered(&order, node, by);
                    self.telling.ordered(node, order.deed);
                }
                self.carry_out(effects).await;
                node
            }
            Err(refused) => {
                drop(reply.send(Err(refused)));
                return;
            }
        };
        let lost = order.deed == Deed::Pause && self.watch.is_none();
        match node {
            Some(node) if !lost => self.pending.push(Pending::Act(node, reply)),
            _ => drop(reply.send(Err(Refused::NoGuard))),
        }
    }

    async fn settle(&mut self) {
        loop {
            let effects = self.roster.tick(self.now());
            if effects.is_empty() {
                return;
            }
            self.carry_out(effects).await;
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(node) => {
                    let spawned = self.spawn(&node);
                    self.spawned(node, spawned).await;
                }
                Effect::StartWiped(node) => {
                    let spawned = self.wipe(&node).and_then(|()| self.spawn(&node));
                    self.spawned(node, spawned).await;
                }
                Effect::Kill(node) => self.send(&node, Send::Kill),
                Effect::Term(node) => self.send(&node, Send::Term),
                Effect::Pause(node, ttl) => self.pause(node, ttl).await,
                Effect::Thaw(node) => self.thaw(node).await,
            }
        }
    }

    /// Removes what the node keeps: a directory of its own, in the cluster's.
    fn wipe(&self, node: &NodeName) -> std::io::Result<()> {
        let dir = self.setting.options.data_dir.join(node.as_str());
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn spawned(&mut self, node: NodeName, spawned: std::io::Result<OsPid>) {
        match spawned {
            Ok(pid) => {
                self.guard_order(GuardOrder::Watch(pid.0)).await;
                self.roster.started(self.now(), &node, pid);
                self.telling.started(&node);
                self.deeds.started(&node);
                self.tell(Event::Started { node, pid });
            }
            Err(error) => {
                let why = error.to_string();
                self.roster.start_failed(self.now(), &node, why.clone());
                self.tell(Event::StartFailed { node, why });
            }
        }
    }

    fn spawn(&mut self, node: &NodeName) -> std::io::Result<OsPid> {
        let Setting {
            options,
            socket,
            places,
        } = &self.setting;
        let place = places
            .iter()
            .find(|place| place.name == *node)
            .expect("the roster has the places' names");
        let run = self.roster.child(node.as_str()).map_or(0, |child| child.starts) + 1;
        let journal = launch::journal(options, place, run)?;
        let path = journal.as_ref().map(|journal| journal.path.as_path());
        let mut child = launch::spawn(options, socket, place, places, path)?;
        if let Some(journal) = journal {
            self.telling.begins(node, &journal.path, journal.file);
        }
        let pid = OsPid(child.id().expect("the child was not waited for"));
        let process = ProcessRef::open(pid.0)?;
        let held = Held {
            pid,
            process,
            _stdin: child.stdin.take(),
        };
        self.held.insert(node.clone(), held);
        let log = launch::log_path(&options.data_dir, place);
        let (node, commands) = (node.clone(), self.commands.clone());
        tokio::spawn(async move {
            let exit = match child.wait().await {
                Ok(status) => Exit {
                    how: launch::exit_in_words(status, &log),
                    in_order: status.success(),
                },
                Err(error) => Exit {
                    how: format!("ended: {error}"),
                    in_order: false,
                },
            };
            drop(commands.send(Command::Exited { node, pid, exit }).await);
        });
        Ok(pid)
    }

    async fn exited(&mut self, node: NodeName, pid: OsPid, exit: Exit) {
        self.guard_order(GuardOrder::Forget(pid.0)).await;
        if self.held.get(&node).is_some_and(|held| held.pid == pid) {
            self.held.remove(&node);
        }
        self.deeds.thawed(&node);
        let now = self.now();
        let how = exit.how.clone();
        self.roster.exited(now, &node, pid, exit);
        let restart = self.roster.child(node.as_str()).and_then(Child::deadline);
        let restart_in = restart.map(|at| at.since(now));
        let journal = self.telling.exited(&node, restart_in);
        if let Some(journal) = journal.filter(|_| !self.setting.options.journals) {
            // The judge has it open.
            drop(std::fs::remove_file(journal));
        }
        self.tell(Event::Exited {
            node,
            how,
            restart_in,
        });
    }

    async fn pause(&mut self, node: NodeName, ttl: Span) {
        let Some(held) = self.held.get(&node) else { return };
        self.guard_order(GuardOrder::Pause(held.pid.0, ttl.as_ms())).await;
        if self.watch.is_some() {
            self.telling.paused(&node, ttl);
            self.tell(Event::Paused { node, ttl });
        }
    }

    /// Both do it: the guard so that it forgets its deadline, the supervisor in case the guard is gone.
    async fn thaw(&mut self, node: NodeName) {
        let Some(held) = self.held.get(&node) else { return };
        self.guard_order(GuardOrder::Thaw(held.pid.0)).await;
        self.send(&node, Send::Continue);
        self.telling.resumed(&node);
        self.deeds.thawed(&node);
        self.tell(Event::Resumed { node });
    }

    async fn guard_order(&mut self, order: GuardOrder) {
        let Some(watch) = &mut self.watch else { return };
        let Err(error) = watch.order(order).await else {
            return;
        };
        // A process may have ended between the decision and the order.
        if error.kind() == std::io::ErrorKind::Other {
            info!(%error, "the guard did not carry out");
            return;
        }
        warn!(%error, "the guard does not answer");
        self.drop_guard();
    }

    async fn guard_lost(&mut self) {
        if self.watch.is_some() {
            self.drop_guard();
        }
        let effects = self.roster.thaw_all();
        self.carry_out(effects).await;
    }

    /// A guard that hangs is closed as one that died: its stdin ends. It may then end the nodes; without a guard that
    /// holds them no node may stay paused.
    fn drop_guard(&mut self) {
        self.watch = None;
        for held in self.held.values() {
            report(held.process.send(Send::Continue));
        }
        self.tell(Event::GuardLost);
    }

    fn send(&self, node: &NodeName, what: Send) {
        if let Some(held) = self.held.get(node) {
            report(held.process.send(what));
        }
    }

    /// Answers those whose processes have ended or started.
    fn answer(&mut self) {
        let dying = |node: &NodeName| {
            self.roster
                .child(node.as_str())
                .is_some_and(|child| matches!(child.phase, Phase::Stopping { .. } | Phase::Dying { .. }))
        };
        let (waiting, ready): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(|pending| match pending {
            Pending::Act(node, _) => dying(node),
            Pending::Halt(nodes, _) => nodes.iter().any(dying),
        });
        self.pending = waiting;
        for pending in ready {
            match pending {
                Pending::Act(node, reply) => {
                    let child = self
                        .roster
                        .child(node.as_str())
                        .expect("names do not leave the roster");
                    drop(reply.send(Ok(self.shown(child))));
                }
                Pending::Halt(nodes, reply) => drop(reply.send(nodes)),
            }
        }
    }

    fn shown(&self, child: &Child) -> Shown {
        let left = child.deadline().map_or(Span::ZERO, |at| at.since(self.now()));
        Shown {
            child: child.clone(),
            left,
        }
    }

    fn tell(&self, event: Event) {
        info!("{event}");
        // Nobody has to listen.
        drop(self.events.send(event));
    }

    fn now(&self) -> Instant {
        Instant(
            u64::try_from(self.epoch.elapsed().as_micros()).expect("half a million years have not passed"),
        )
    }
}

async fn until(epoch: tokio::time::Instant, due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(epoch + std::time::Duration::from_micros(due.0)).await,
        None => std::future::pending().await,
    }
}

fn report(result: std::io::Result<()>) {
    if let Err(error) = result {
        warn!(%error, "signal refused");
    }
}
