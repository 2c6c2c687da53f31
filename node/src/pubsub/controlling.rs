//! The controller of an exchange: the leader of another one, that is asked before anybody subscribes (A5, A6).
//!
//! It gets `subscribe`, the exchange, the subscriber and the pattern, with tabs between them, and answers `accept`, `refuse`
//! and a reason, or `keys` and the patterns that are to be subscribed instead, with tabs between them. Whatever else
//! happens is a refusal. `unsubscribe`, the exchange and the subscriber tell it who is gone; the answer does not matter.
//!
//! What does not live here: who answers (an ordinary exchange, `consensus`, so that there is one), and the subscribing.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, ExchangeName, Pid};
use squall_kernel::keys::KeyPattern;
use squall_kernel::limits::PATTERNS_PER_SUBSCRIBER_MAX;

use super::table::Running;
use super::{Mail, Post, PubSub, SubscribeError, Subscribing};
use crate::data::DataContext;
use crate::limits::CONTROLLER_ASKED_MAX;
use crate::process::Push;
use crate::router::Request;
use crate::singleton::answering;

/// What the controller says to one pattern.
type Verdict = Result<Vec<KeyPattern>, String>;

impl Running {
    /// Subscribes at once, or after the controller was asked.
    pub(super) fn subscribe(&mut self, subscribing: Subscribing) {
        let Some(controller) = self.settings.controller.clone() else {
            return self.permitted(subscribing);
        };
        if self.post.figures.asking.fetch_add(1, Ordering::Relaxed) >= CONTROLLER_ASKED_MAX {
            self.post.figures.asking.fetch_sub(1, Ordering::Relaxed);
            let _gone = subscribing.answer.send(Err(SubscribeError::Overloaded));
            return;
        }
        let question = Question {
            context: Arc::clone(&self.context),
            controller,
            exchange: self.name.clone(),
        };
        let (post, id) = (Arc::clone(&self.post), self.id);
        self.context.runtime.spawn(async move {
            let permitted = question.ask(subscribing, &post).await;
            if let (Some(permitted), Some(plane)) = (permitted, question.context.wire.local()) {
                plane.pubsub.permitted(id, permitted);
            }
        });
    }

    /// Tells the controller that a subscriber has left, as far as it can be told.
    pub(super) fn tell_controller_gone(&self, subscriber: Pid) {
        let Some(controller) = &self.settings.controller else {
            return;
        };
        let Some(plane) = self.context.wire.local() else {
            return;
        };
        let Ok(exchange) = answering(&self.context.registry(), controller) else {
            return;
        };
        let who = self.context.pid_text(subscriber);
        let payload = format!("unsubscribe\t{}\t{who}", self.name);
        let request = Request::new(exchange, Bytes::from(payload));
        // Bounded as all requests of the node are.
        self.context.runtime.spawn(async move {
            let _does_not_matter = plane.router.request(request).await;
        });
    }
}

impl PubSub {
    /// Gives a subscriber that the controller has let to its table.
    fn permitted(&self, exchange: ExchangeId, permitted: Subscribing) {
        let refused = match self.known(exchange) {
            None => Some((permitted, SubscribeError::Ended)),
            Some(table) => match table.mailbox.push(Mail::Permitted(permitted)) {
                Err(Push::Full(Mail::Permitted(permitted))) => Some((permitted, SubscribeError::Overloaded)),
                Err(Push::Closed(Mail::Permitted(permitted))) => Some((permitted, SubscribeError::Ended)),
                _ => None,
            },
        };
        if let Some((permitted, error)) = refused {
            let _gone = permitted.answer.send(Err(error));
        }
    }
}

struct Question {
    context: Arc<DataContext>,
    controller: ExchangeName,
    exchange: ExchangeName,
}

impl Question {
    /// Asks for each pattern; none when one is refused, which the caller was told then.
    async fn ask(&self, mut subscribing: Subscribing, post: &Post) -> Option<Subscribing> {
        let outcome = self.patterns(&subscribing).await;
        post.figures.asking.fetch_sub(1, Ordering::Relaxed);
        match outcome {
            Ok(patterns) => {
                subscribing.patterns = patterns;
                Some(subscribing)
            }
            Err(refused) => {
                let _gone = subscribing.answer.send(Err(refused));
                None
            }
        }
    }

    async fn patterns(&self, subscribing: &Subscribing) -> Result<Vec<KeyPattern>, SubscribeError> {
        let mut permitted = Vec::new();
        for pattern in &subscribing.patterns {
            match self.verdict(subscribing, pattern).await {
                Ok(patterns) => permitted.extend(patterns),
                Err(reason) => {
                    return Err(SubscribeError::Controller {
                        pattern: pattern.clone(),
                        controller: self.controller.clone(),
                        reason,
                    });
                }
            }
        }
        match permitted.len() {
            1..=PATTERNS_PER_SUBSCRIBER_MAX => Ok(permitted),
            n => Err(SubscribeError::Patterns(n)),
        }
    }

    async fn verdict(&self, subscribing: &Subscribing, pattern: &KeyPattern) -> Verdict {
        let plane = self.context.wire.local().ok_or("the node ends")?;
        let exchange = answering(&self.context.registry(), &self.controller)?;
        let who = self.context.pid_text(subscribing.subscriber.pid());
        let mut payload = format!("subscribe\t{}\t{who}", self.exchange);
        write!(payload, "\t{pattern}").expect("a text takes it");
        let outcome = plane
            .router
            .request(Request::new(exchange, Bytes::from(payload)))
            .await;
        match outcome.status {
            Status::Reply => read(&outcome.payload, pattern),
            _ => Err(outcome.reason()),
        }
    }
}

/// What an answer says.
fn read(answer: &[u8], pattern: &KeyPattern) -> Verdict {
    let text = std::str::from_utf8(answer)
        .map_err(|_| "its answer is no text")?
        .trim_end();
    let (word, rest) = text
        .split_once(['\t', ' '])
        .map_or((text, ""), |(word, rest)| (word, rest.trim()));
    match word {
        "accept" => Ok(vec![pattern.clone()]),
        "refuse" if rest.is_empty() => Err("without a reason".into()),
        "refuse" => Err(rest.chars().take(REASON_CHARS_MAX).collect()),
        "keys" => rest
            .split('\t')
            .map(|key| KeyPattern::new(key).map_err(|error| format!("it gave other keys: {error}")))
            .collect(),
        _ => Err("its answer is neither accept, refuse nor keys".into()),
    }
}

/// Of a refusal's reason.
const REASON_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_an_answer_that_is_none_refuses() {
        let pattern = KeyPattern::new("a.*").unwrap();
        let read = |answer: &str| read(answer.as_bytes(), &pattern);
        assert_eq!(read("accept\n"), Ok(vec![pattern.clone()]));
        let others = ["b.c", "d.#"].map(|text| KeyPattern::new(text).unwrap());
        assert_eq!(read("keys\tb.c\td.#"), Ok(others.to_vec()));
        assert_eq!(read("refuse not you"), Err("not you".into()));
        for none in ["", "yes", "keys", "keys\ta..b", "accepted"] {
            assert!(read(none).is_err(), "{none:?}");
        }
    }
}
