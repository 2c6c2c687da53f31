//! What faults tell a handler inside the node while it waits or works: that it is killed, or that something has changed.
//!
//! What does not live here: which fault does what (`suffering`), and what the handler makes of it (`embedded`).

use crate::process::Bell;

const KILLED: u8 = 1;
const STIRRED: u8 = 2;
/// It is attached no more. Stays so.
const LEFT: u8 = 4;

/// What a handler's task was told and has not heard. Looking at it is one relaxed load.
#[derive(Debug, Default)]
pub struct Fate(Bell);

impl Fate {
    /// To be waited for by the task itself, before anything else.
    pub(super) async fn begin(&self) {
        self.0.begin().await;
    }

    /// It is to end as if it had crashed.
    pub(super) fn kill(&self) {
        self.0.ring(KILLED);
    }

    /// What it suffers has changed.
    pub(super) fn stir(&self) {
        self.0.ring(STIRRED);
    }

    /// It is detached: from now on it suffers nothing.
    pub(super) fn leave(&self) {
        self.0.ring(LEFT | STIRRED);
    }

    /// Whether it is detached.
    pub(super) fn has_left(&self) -> bool {
        self.0.was_told(LEFT)
    }

    /// Waits until it is killed; that is heard once.
    pub(super) async fn killed(&self) {
        self.0.heard(KILLED).await;
    }

    /// Waits until it is stirred; that is heard once.
    pub(super) async fn stirred(&self) {
        self.0.heard(STIRRED).await;
    }

    /// Whether it was told anything that it has not heard.
    pub(super) fn is_told(&self) -> bool {
        self.0.is_rung(KILLED | STIRRED)
    }

    /// What it was told, if anything, which is heard once: true when it is killed.
    pub(super) fn anything(&self) -> Option<bool> {
        match self.0.hear(KILLED | STIRRED) {
            0 => None,
            heard => Some(heard & KILLED != 0),
        }
    }
}
