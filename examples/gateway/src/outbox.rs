//! What waits for one client: answers to it, and events, of which a client that reads slowly loses the oldest, or is left.
//! What does not live here: the client's socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use clap::ValueEnum;
use futures::{Sink, SinkExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Answers that wait at most: then nothing more is read from the client.
const ANSWERS_MAX: usize = 16;

/// What becomes of a client that reads more slowly than events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenSlow {
    /// It loses the oldest events, and is told how many
    DropOldest,
    /// Its connection is closed
    Close,
}

/// The client has left too many events unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it reads too slowly: {0} events wait")]
pub(crate) struct TooSlow(pub(crate) usize);

/// What waits for a client.
#[derive(Debug)]
pub(crate) struct Outbox {
    answers: VecDeque<String>,
    events: VecDeque<String>,
    max: usize,
    when_slow: WhenSlow,
    /// Events lost since the client was last told.
    missed: u64,
    /// Something was given to the socket that it may not have sent.
    unflushed: bool,
}

impl Outbox {
    /// With room for `max` events.
    pub(crate) fn new(max: usize, when_slow: WhenSlow) -> Self {
        Self {
            answers: VecDeque::new(),
            events: VecDeque::new(),
            max,
            when_slow,
            missed: 0,
            unflushed: false,
        }
    }

    /// Nothing waits, not even in the socket.
    pub(crate) fn is_idle(&self) -> bool {
        self.answers.is_empty() && self.events.is_empty() && self.missed == 0 && !self.unflushed
    }

    /// True while there is room for the answer to one more thing the client says.
    pub(crate) fn takes_answers(&self) -> bool {
        self.answers.len() < ANSWERS_MAX
    }

    /// An answer to something that was read while there was room.
    pub(crate) fn answer(&mut self, text: String) {
        self.answers.push_back(text);
    }

    /// An event. Errors when the client is to be left.
    pub(crate) fn event(&mut self, text: String) -> Result<(), TooSlow> {
        if self.events.len() >= self.max {
            match self.when_slow {
                WhenSlow::Close => return Err(TooSlow(self.max)),
                WhenSlow::DropOldest => {
                    self.events.pop_front();
                    self.missed += 1;
                }
            }
        }
        self.events.push_back(text);
        Ok(())
    }

    /// Writes until nothing waits, as fast as the client reads. Loses nothing when it is cancelled.
    pub(crate) async fn write<S>(&mut self, sink: &mut S) -> Result<(), Error>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        poll_fn(|cx| self.poll_write(sink, cx)).await
    }

    fn poll_write<S>(&mut self, sink: &mut S, cx: &mut Context<'_>) -> Poll<Result<(), Error>>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        loop {
            ready!(sink.poll_ready_unpin(cx))?;
            let Some(text) = self.next() else { break };
            self.unflushed = true;
            sink.start_send_unpin(Message::text(text))?;
        }
        ready!(sink.poll_flush_unpin(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Answers first; then how many events are missing before the next one.
    fn next(&mut self) -> Option<String> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front(),
            missed => Some(json!({ "missed": missed }).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.next()).collect()
    }

    /// A35: the newest are kept, and the client learns what it missed where it missed it.
    #[test]
    fn a_slow_client_loses_the_oldest_and_is_told_how_many() {
        let mut outbox = Outbox::new(2, WhenSlow::DropOldest);
        for event in ["1", "2", "3", "4"] {
            outbox.event(event.into()).expect("never left");
        }
        outbox.answer("answer".into());
        assert!(!outbox.is_idle());
        assert_eq!(all(&mut outbox), ["answer", r#"{"missed":2}"#, "3", "4"]);
        assert!(outbox.is_idle());
    }

    #[test]
    fn a_slow_client_is_left_where_that_is_the_policy() {
        let mut outbox = Outbox::new(1, WhenSlow::Close);
        outbox.event("1".into()).expect("there is room");
        assert_eq!(outbox.event("2".into()), Err(TooSlow(1)));
        assert_eq!(all(&mut outbox), ["1"], "what was taken is kept");
    }

    #[test]
    fn answers_are_bounded_by_what_is_read() {
        let mut outbox = Outbox::new(1, WhenSlow::Close);
        let room = std::iter::repeat_with(|| {
            let takes = outbox.takes_answers();
            outbox.answer("x".into());
            takes
        });
        assert_eq!(room.take_while(|takes| *takes).take(100).count(), ANSWERS_MAX);
    }
}
