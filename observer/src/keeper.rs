//! Keeps what was seen in a thread of its own: what comes is put away, and a moment made again, while keys and frames go on.
//!
//! What does not live here: what is kept and for how long ([`crate::history`]), and which moment is shown (`update`).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::cluster::Cluster;
use crate::feed::Update;
use crate::history::{History, is_kept};
use crate::limits::KEEPER_BYTES;
use crate::units::Moment;

/// A moment that was made again: the one that was asked for, and what there is of it; none where nothing was seen yet.
pub type Found = (Moment, Option<(Box<Cluster>, Moment)>);

/// The way to the thread. Dropped, the thread ends with what it has in hand.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    wake: Condvar,
}

/// What waits for the thread.
#[derive(Debug, Default)]
struct Desk {
    came: VecDeque<(Moment, Vec<Update>)>,
    /// About how much that is.
    bytes: usize,
    /// Begin anew from this, before what came.
    anew: Option<(Moment, Box<Cluster>)>,
    /// The moment that is wanted: of several the latest.
    wanted: Option<Moment>,
    /// What came may be put away.
    called: bool,
    closed: bool,
}

impl Keeper {
    /// Starts the thread; `answer` is called in it with each moment that was made again, and false ends it.
    ///
    /// # Errors
    /// Those of the operating system, when it gives no thread.
    pub fn start(answer: impl FnMut(Found) -> bool + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        let work = move || of_thread.work(answer);
        let thread = thread::Builder::new().name("history".to_owned()).spawn(work)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Takes in what has just come; `live` has it already. It is put away after [`Keeper::go_on`], or when a moment is wanted. A
    /// thread that cannot follow any more begins anew with `live`: what was seen before that is forgotten, and what is kept is
    /// true. False then.
    pub fn push(&self, now: Moment, mut updates: Vec<Update>, live: &Cluster) -> bool {
        updates.retain(is_kept);
        let bytes: usize = updates.iter().map(Update::bytes).sum();
        let mut desk = self.shared.desk();
        if desk.bytes + bytes > KEEPER_BYTES && !desk.came.is_empty() {
            (desk.came, desk.bytes) = (VecDeque::new(), 0);
            desk.anew = Some((now, Box::new(live.without_events())));
            return false;
        }
        desk.bytes += bytes;
        desk.came.push_back((now, updates));
        true
    }

    /// Lets the thread put away what came: the caller has drawn it, and what both need at once neither has.
    ///
    /// # Panics
    /// As the thread did, if it did: nothing is put away any more.
    pub fn go_on(&mut self) {
        if let Some(ended) = self.thread.take_if(|thread| thread.is_finished())
            && let Err(panic) = ended.join()
        {
            std::panic::resume_unwind(panic);
        }
        self.shared.desk().called = true;
        self.shared.wake.notify_one();
    }

    /// Wants a moment to be made again.
    pub fn recall(&self, wanted: Moment) {
        self.shared.desk().wanted = Some(wanted);
        self.shared.wake.notify_one();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.desk().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut answer: impl FnMut(Found) -> bool) {
        let mut history = History::default();
        while let Some(desk) = self.next() {
            if let Some((at, cluster)) = desk.anew {
                history = History::beginning(at, *cluster);
            }
            for (at, updates) in desk.came {
                history.push(at, updates);
            }
            if let Some(wanted) = desk.wanted {
                let found = history.at(wanted).map(|(cluster, at)| (Box::new(cluster), at));
                if !answer((wanted, found)) {
                    return;
                }
            }
        }
    }

    /// All that waits, as soon as something does; none at the end.
    fn next(&self) -> Option<Desk> {
        let desk = self.desk();
        let idle = |desk: &mut Desk| !desk.closed && !desk.called && desk.wanted.is_none();
        let mut desk = self
            .wake
            .wait_while(desk, idle)
            .unwrap_or_else(PoisonError::into_inner);
        (!desk.closed).then(|| std::mem::take(&mut *desk))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use squall_proto::v1;
    use squall_proto::v1::row::Row;

    use super::*;
    use crate::feed::RowsUpdate;

    fn told(messages_in: u64, ballast: usize) -> Vec<Update> {
        let row = v1::NodeRow {
            name: "a".to_owned(),
            messages_in,
            waiting_for: "x".repeat(ballast),
            ..Default::default()
        };
        vec![Update::Rows(RowsUpdate {
            node: "a".to_owned(),
            rows: vec![v1::Row {
                row: Some(Row::Node(row)),
            }],
            ..Default::default()
        })]
    }

    fn messages(found: &Found) -> Option<(u64, Moment)> {
        let (cluster, at) = found.1.as_ref()?;
        Some((cluster.nodes.get("a")?.row.as_ref()?.messages_in, *at))
    }

    #[test]
    fn a_moment_is_made_again_behind_what_came_before_it_was_wanted() {
        let (tell, told_of) = mpsc::channel();
        let keeper = Keeper::start(move |found| tell.send(found).is_ok()).expect("a thread");
        keeper.recall(Moment(5_000));
        let (wanted, found) = told_of.recv().unwrap();
        assert_eq!(wanted, Moment(5_000));
        assert!(found.is_none(), "nothing was seen yet");
        for n in 1..=10 {
            assert!(keeper.push(Moment(n * 1_000), told(n, 0), &Cluster::default()));
        }
        keeper.recall(Moment(7_500));
        let found = told_of.recv().unwrap();
        assert_eq!(
            (found.0, messages(&found)),
            (Moment(7_500), Some((7, Moment(7_500))))
        );
        drop(keeper);
        assert!(told_of.recv().is_err(), "the thread has ended");
    }

    #[test]
    fn what_cannot_be_followed_is_forgotten_and_what_is_kept_is_true() {
        let (tell, told_of) = mpsc::channel();
        let (go_on, held) = mpsc::channel::<()>();
        let keeper = Keeper::start(move |found| {
            let told = tell.send(found).is_ok();
            told && held.recv().is_ok()
        });
        let keeper = keeper.expect("a thread");
        keeper.push(Moment(1_000), told(1, 0), &Cluster::default());
        keeper.recall(Moment(1_000));
        assert_eq!(messages(&told_of.recv().unwrap()), Some((1, Moment(1_000))));
        // It stands still from here on.
        let (mut live, mut all_kept) = (Cluster::default(), true);
        for n in 2..=6 {
            let came = told(n, KEEPER_BYTES / 4);
            came.iter()
                .for_each(|update| live.look_at(Moment(n * 1_000), update));
            all_kept &= keeper.push(Moment(n * 1_000), came, &live);
        }
        assert!(!all_kept);
        let since = {
            let desk = keeper.shared.desk();
            assert!(desk.bytes <= KEEPER_BYTES);
            desk.anew.as_ref().expect("it begins anew").0
        };
        assert!(since > Moment(2_000));
        go_on.send(()).unwrap();
        for (wanted, known) in [(2_000, (since.0 / 1_000, since)), (9_000, (6, Moment(9_000)))] {
            keeper.recall(Moment(wanted));
            let found = told_of.recv().unwrap();
            assert_eq!(messages(&found), Some(known), "at {wanted}");
            go_on.send(()).unwrap();
        }
    }
}
