//! A handler's leadership as it may count on it: a lease that runs out by itself, renewed by the owner of the exchange,
//! and the guard through which a leader writes to what lies outside the cluster.
//!
//! What does not live here: asking for leases (the node, or the client's connection), and who leads (the registry).

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use squall_kernel::id::LeaderEpoch;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A leadership that was granted until a point of this process's clock. It is exact: between two handlers of an exchange
/// there is no instant at which both hold one, however late an answer was read and however long a process was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    epoch: LeaderEpoch,
    until: Instant,
}

impl Leadership {
    /// Epoch of the leadership: later leaders have higher ones.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// What is left of it; zero when it is over.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// True while it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        Instant::now() < self.until
    }
}

/// What a handler is told of its leadership. It may be told late, while it answers a request: only [`Context`] says
/// what holds at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadershipChange {
    /// It leads, from now on or for longer.
    Leads(Leadership),
    /// The leadership of that epoch is over: another leader was named, or nobody renewed it in time.
    Over(LeaderEpoch),
}

/// A number to send along with every write of a leader: an outside resource refuses what comes under a lower one than
/// it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(LeaderEpoch);

impl FencingToken {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The handler holds no leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this handler does not lead")]
pub struct NotLeading;

/// The leadership of a guard is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the leadership of epoch {epoch} is over")]
pub struct LeaseOver {
    /// Its epoch.
    pub epoch: LeaderEpoch,
}

/// The right to write as the leader of one epoch. It can be had while the lease holds, and gives its token only then.
///
/// ```
/// # use squall_client::{Context, FencingToken, LeaseOver};
/// # fn store(_entry: &str, _token: FencingToken) {}
/// fn append(context: &Context, entries: &[&str]) -> Result<(), LeaseOver> {
///     let Ok(guard) = context.lead() else { return Ok(()) };
///     for entry in entries {
///         store(entry, guard.token()?);
///     }
///     Ok(())
/// }
/// # let _ = append;
/// ```
#[derive(Debug, Clone)]
pub struct LeaderGuard {
    epoch: LeaderEpoch,
    context: Context,
}

impl LeaderGuard {
    /// The token to write with now. Renewals of the same leadership count.
    ///
    /// # Errors
    /// [`LeaseOver`] when the lease has run out or another leader was named; a guard whose lease was over may give its
    /// token again after a renewal, for nobody else can have led in between.
    pub fn token(&self) -> Result<FencingToken, LeaseOver> {
        let held = self.context.leadership();
        if held.is_some_and(|held| held.epoch == self.epoch) {
            Ok(FencingToken(self.epoch))
        } else {
            Err(LeaseOver { epoch: self.epoch })
        }
    }
}

/// What a handler knows of its own standing, at any time and from any of its tasks.
#[derive(Debug, Clone)]
pub struct Context {
    /// None where nobody leads.
    standing: Option<Arc<Standing>>,
}

impl Context {
    /// The leadership that the handler holds now.
    #[must_use]
    pub fn leadership(&self) -> Option<Leadership> {
        let held = self.standing.as_ref()?.lock().held;
        held.filter(Leadership::holds)
    }

    /// The right to write as the leader.
    ///
    /// # Errors
    /// [`NotLeading`].
    pub fn lead(&self) -> Result<LeaderGuard, NotLeading> {
        let held = self.leadership().ok_or(NotLeading)?;
        Ok(LeaderGuard {
            epoch: held.epoch,
            context: self.clone(),
        })
    }

    /// Whether the handler may lead. Where it is not known that its exchange has no leaders, as to clients, it may.
    #[must_use]
    pub const fn may_lead(&self) -> bool {
        self.standing.is_some()
    }

    /// Follows the leadership.
    #[must_use]
    pub fn changes(&self) -> Changes {
        // One behind: whether it leads already is to be told, too.
        let told_of = self
            .standing
            .as_ref()
            .map_or(0, |standing| standing.changes().wrapping_sub(1));
        Changes {
            standing: self.standing.clone(),
            told_of,
            told: None,
        }
    }
}

/// Follows a handler's leadership, its end by time included. Changes that come faster than they are taken are told as
/// one.
#[derive(Debug)]
pub struct Changes {
    standing: Option<Arc<Standing>>,
    /// Changes that were looked at.
    told_of: u32,
    told: Option<Leadership>,
}

impl Changes {
    /// The next change. Loses nothing when it is cancelled.
    pub async fn next(&mut self) -> LeadershipChange {
        let Some(standing) = self.standing.clone() else {
            return std::future::pending().await;
        };
        loop {
            let mut later = pin!(standing.later.notified());
            // Before it is looked at: a change in between is not missed.
            later.as_mut().enable();
            if let Some(change) = self.take(&standing) {
                return change;
            }
            let until = self.told.map(|told| told.until);
            tokio::select! {
                () = later => {}
                () = ends(until) => {}
            }
        }
    }

    /// Whether [`next`](Self::next) may have something to tell: a look at a number, and while the handler leads at the clock. True
    /// once too often at times.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let changes = self.standing.as_ref().map(|standing| standing.changes());
        changes.is_some_and(|changes| changes != self.told_of) || self.told.is_some_and(|told| !told.holds())
    }

    /// The change since the last one told.
    fn take(&mut self, standing: &Standing) -> Option<LeadershipChange> {
        let held = {
            let known = standing.lock();
            self.told_of = standing.changes();
            known.held.filter(Leadership::holds)
        };
        let before = std::mem::replace(&mut self.told, held);
        match (held, before) {
            (Some(now), before) if before != Some(now) => Some(LeadershipChange::Leads(now)),
            (None, Some(before)) => Some(LeadershipChange::Over(before.epoch)),
            _ => None,
        }
    }
}

async fn ends(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// What a lease meant to a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It held none before.
    Began,
    /// It holds its lease longer.
    Renewed,
    /// It is one for another leadership, or an earlier one.
    Nothing,
}

/// What is known of one handler's leadership. Small: every handler of an exchange with leaders has one, whether it leads or not.
#[derive(Debug, Default)]
struct Standing {
    known: Mutex<Known>,
    /// Changes of what is held; counted while it is locked.
    changes: AtomicU32,
    later: Notify,
}

#[derive(Debug, Default)]
struct Known {
    held: Option<Leadership>,
    /// Epoch under which the handler leads, as it was last told.
    leads: Option<LeaderEpoch>,
}

impl Standing {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// What is held has changed.
    fn tell(&self, known: MutexGuard<'_, Known>) {
        self.changes.fetch_add(1, Ordering::Release);
        drop(known);
        self.later.notify_waiters();
    }
}

/// The granting end of a handler's leadership: for whoever talks with the owner, or with the node, on its behalf.
#[derive(Debug)]
pub struct Grants {
    standing: Option<Arc<Standing>>,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            standing: Some(Arc::default()),
        }
    }
}

impl Grants {
    /// Of a handler where nobody leads: it is never granted anything.
    #[must_use]
    pub const fn none() -> Self {
        Self { standing: None }
    }

    /// The handler's end.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            standing: self.standing.clone(),
        }
    }

    /// Who leads was told: this handler under that epoch, or another one. What was held under another epoch is over;
    /// gives its epoch.
    pub fn appointed(&self, leads: Option<LeaderEpoch>) -> Option<LeaderEpoch> {
        let standing = self.standing.as_ref()?;
        let mut known = standing.lock();
        known.leads = leads;
        let over = known
            .held
            .map(|held| held.epoch)
            .filter(|epoch| Some(*epoch) != leads);
        if over.is_some() {
            known.held = None;
            standing.tell(known);
        }
        over
    }

    /// Epoch under which the handler leads, as it was last told.
    #[must_use]
    pub fn leads(&self) -> Option<LeaderEpoch> {
        self.standing.as_ref()?.lock().leads
    }

    /// A lease was granted. It counts for the leadership that the handler was last told of, and never shortens what an
    /// earlier answer gave.
    pub fn granted(&self, epoch: LeaderEpoch, until: Instant) -> Grant {
        let Some(standing) = &self.standing else {
            return Grant::Nothing;
        };
        let mut known = standing.lock();
        if known.leads != Some(epoch) || known.held.is_some_and(|held| held.until >= until) {
            return Grant::Nothing;
        }
        let held_before = known.held.is_some_and(|held| held.holds());
        known.held = Some(Leadership { epoch, until });
        standing.tell(known);
        if held_before { Grant::Renewed } else { Grant::Began }
    }

    /// The handler gives its leadership up, before anybody is told of it. Gives the epoch of what it held.
    pub fn give_up(&self) -> Option<LeaderEpoch> {
        self.appointed(None)
    }
}

/// When a lease is asked for again: at the latest after `every`, earlier when less than twice that is left, so that one
/// lost answer costs no leadership. While none is held there is no hurry: the answer comes by itself.
#[must_use]
pub fn ask_again_in(left: Duration, every: Duration) -> Duration {
    if left.is_zero() {
        return every;
    }
    (left / 2).clamp(every / 8, every)
}

#[cfg(test)]
#[path = "leadership_test.rs"]
mod tests;
