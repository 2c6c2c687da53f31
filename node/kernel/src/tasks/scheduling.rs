//! What a scheduler is asked about a task and what it may answer (A4), as plain data.
//!
//! What does not live here: when it is asked, and how long its word is waited for (`granting`).

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::number::TaskId;
use crate::id::Pid;

/// Which worker gets a task, as a scheduler says (A4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chosen {
    /// That one.
    Worker(Pid),
    /// Whoever it would be without a scheduler.
    Any,
    /// Nobody now: it is asked again a little later.
    Wait,
    /// It said nothing of use, or nothing in time.
    Nothing,
}

/// What a scheduler is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoGets {
    /// The task.
    pub task: TaskId,
    /// Its key.
    pub key: Bytes,
    /// Group of workers that it is for; empty for any.
    pub service_tag: Bytes,
    /// Bytes of its payload.
    pub bytes: usize,
    /// Which attempt this would be, from 1.
    pub attempt: u32,
    /// Attempts allowed.
    pub attempts: u32,
    /// Workers with room, those with least in hand first; not all of them when there are many.
    pub free: Vec<Candidate>,
}

/// A worker with room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Worker.
    pub worker: Pid,
    /// Tasks in its hand.
    pub in_hand: u32,
    /// How many it takes.
    pub credit: u32,
}

/// What became of questions to the scheduler, since this ownership began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// Questions.
    pub asked: u64,
    /// It named a worker, who got the task.
    pub followed: u64,
    /// It left it to the owner.
    pub left: u64,
    /// It wanted to be asked again.
    pub waits: u64,
    /// No answer of use in time: the owner decided.
    pub unanswered: u64,
    /// It named somebody without room, or who is no worker: the owner decided.
    pub unfit: u64,
}
