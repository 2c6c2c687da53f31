//! One client, from its hello to its leave: what it says, and what it is told. What does not live here: what waits for it
//! (`outbox`), who may have what (`tokens`), and the sockets of all (`main`).
//!
//! Texts are JSON. The client begins with `{"token":"…"}`, or `{"name":"…"}` where anyone may connect, and then says
//! `{"subscribe":"weather.#"}` and `{"unsubscribe":"weather.#"}` as often as it likes. It hears `hello`, `subscribed`,
//! `unsubscribed`, `refused`, `event`, `missed` and `resubscribed`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use futures::stream::SplitSink;
use serde_json::{Value, json};
use squall_client::{Client, Event, SubscribeOptions, Subscription};
use squall_kernel::id::ExchangeName;
use squall_kernel::keys::KeyPattern;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use crate::outbox::{Outbox, WhenSlow};
use crate::tokens::{Known, Tokens};

/// How long a client may take to shake hands and to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a client may take to acknowledge that it is left.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of what a client says at once: a token, or a pattern.
const SAID_BYTES_MAX: usize = 4096;
/// Bytes that wait in the WebSocket itself at most: one event, and control frames.
const WRITE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the reason in a close frame (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;
/// Patterns of one client at most.
const PATTERNS_MAX: usize = 64;

/// What all conversations share.
pub(crate) struct Terms {
    pub(crate) client: Client,
    pub(crate) exchange: ExchangeName,
    /// None where anyone may connect.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) queue: usize,
    pub(crate) when_slow: WhenSlow,
}

/// Why a client is left.
#[derive(Debug, thiserror::Error)]
enum Leave {
    #[error("{0}")]
    Gone(#[from] Box<Error>),
    #[error("the first message says who you are, within {HELLO_WITHIN:?}")]
    NoHello,
    #[error("that token is not known")]
    Unknown,
    #[error("{0}")]
    Slow(#[from] crate::outbox::TooSlow),
    #[error("the subscription has ended: {0}")]
    Ended(String),
    #[error("the gateway ends")]
    Stopped,
}

impl Leave {
    /// What the client is told; none when it is gone, or would not read it.
    fn frame(&self) -> Option<CloseFrame> {
        let code = match self {
            Self::Gone(error) if matches!(**error, Error::Capacity(_)) => CloseCode::Size,
            Self::Gone(_) | Self::Slow(_) => return None,
            Self::NoHello | Self::Unknown => CloseCode::Policy,
            Self::Ended(_) => CloseCode::Again,
            Self::Stopped => CloseCode::Away,
        };
        let mut reason = self.to_string();
        while reason.len() > REASON_BYTES_MAX {
            reason.pop();
        }
        Some(CloseFrame {
            code,
            reason: reason.into(),
        })
    }
}

type Socket = WebSocketStream<TcpStream>;

/// Talks with a client until it goes, is left, or the gateway ends.
pub(crate) async fn hold(socket: TcpStream, terms: &Terms, mut stop: watch::Receiver<bool>) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(SAID_BYTES_MAX))
        .max_frame_size(Some(SAID_BYTES_MAX))
        // What was not written waits in the outbox, where it can be dropped.
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX);
    let shaken = timeout(HELLO_WITHIN, accept_async_with_config(socket, Some(config)));
    let Ok(Ok(mut socket)) = shaken.await else { return };
    let why = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Leave::Stopped,
        why = talk(&mut socket, terms) => why,
    };
    if let Some(frame) = why.frame() {
        // A client that is gone needs no leave.
        let _gone = timeout(LEAVE_WITHIN, socket.close(Some(frame))).await;
    }
}

async fn talk(socket: &mut Socket, terms: &Terms) -> Leave {
    let who = match timeout(HELLO_WITHIN, hello(socket, terms)).await {
        Ok(Ok(who)) => who,
        Ok(Err(why)) => return why,
        Err(_) => return Leave::NoHello,
    };
    let (mut writes, mut reads) = socket.split();
    let mut conversation = Conversation {
        terms,
        outbox: Outbox::new(terms.queue, terms.when_slow),
        subscription: None,
        patterns: BTreeSet::new(),
        asked_for: BTreeSet::new(),
        times: 1,
        known: who.known,
    };
    conversation
        .outbox
        .answer(json!({ "hello": who.name }).to_string());
    loop {
        if let Err(why) = conversation.turn(&mut writes, &mut reads).await {
            return why;
        }
    }
}

/// A client that has said who it is.
struct Who<'a> {
    name: String,
    /// None where anyone may connect.
    known: Option<&'a Known>,
}

async fn hello<'a>(socket: &mut Socket, terms: &'a Terms) -> Result<Who<'a>, Leave> {
    let said = loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => break serde_json::from_str::<Value>(&text).unwrap_or_default(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) | None => return Err(Leave::NoHello),
            Some(Err(error)) => return Err(Leave::Gone(Box::new(error))),
        }
    };
    match &terms.tokens {
        Some(tokens) => {
            let known = tokens.of(said["token"].as_str().ok_or(Leave::NoHello)?);
            let known = known.ok_or(Leave::Unknown)?;
            Ok(Who {
                name: known.name.clone(),
                known: Some(known),
            })
        }
        None => Ok(Who {
            name: said["name"].as_str().ok_or(Leave::NoHello)?.to_owned(),
            known: None,
        }),
    }
}

struct Conversation<'a> {
    terms: &'a Terms,
    outbox: Outbox,
    subscription: Option<Subscription>,
    /// What the client wants.
    patterns: BTreeSet<String>,
    /// What the subscription has: the same, and what the client has given up since.
    asked_for: BTreeSet<String>,
    /// How often the subscription stood when the client was last told.
    times: u64,
    known: Option<&'a Known>,
}

impl Conversation<'_> {
    /// The next thing that happens: room to write, an event, something the client says.
    async fn turn(
        &mut self,
        writes: &mut SplitSink<&mut Socket, Message>,
        reads: &mut futures::stream::SplitStream<&mut Socket>,
    ) -> Result<(), Leave> {
        let idle = self.outbox.is_idle();
        let reading = self.outbox.takes_answers();
        tokio::select! {
            written = self.outbox.write(writes), if !idle => Ok(written.map_err(Box::new)?),
            event = next_of(&mut self.subscription) => self.event(event),
            said = reads.next(), if reading => match said {
                Some(Ok(Message::Text(text))) => {
                    self.said(&text).await;
                    Ok(())
                }
                Some(Ok(Message::Binary(_))) => {
                    self.refuse("", "only text is understood");
                    Ok(())
                }
                Some(Ok(_)) => Ok(()),
                Some(Err(error)) => Err(Leave::Gone(Box::new(error))),
                None => Err(Leave::Gone(Box::new(Error::ConnectionClosed))),
            },
        }
    }

    fn event(&mut self, event: Option<Event>) -> Result<(), Leave> {
        let subscription = self.subscription.as_ref();
        let Some(event) = event else {
            let why = subscription.and_then(Subscription::ended);
            return Err(Leave::Ended(why.map(|why| why.to_string()).unwrap_or_default()));
        };
        let times = subscription.map_or(0, Subscription::times_subscribed);
        if times > self.times {
            // The node was lost: what was published before the next event may be missing.
            self.times = times;
            self.outbox
                .event(json!({ "resubscribed": times - 1 }).to_string())?;
        }
        match text_of(&event, &self.patterns) {
            Some(text) => Ok(self.outbox.event(text)?),
            None => Ok(()),
        }
    }

    async fn said(&mut self, text: &str) {
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        match (said["subscribe"].as_str(), said["unsubscribe"].as_str()) {
            (Some(asked), None) => self.subscribe(asked).await,
            (None, Some(pattern)) => self.unsubscribe(pattern),
            _ => self.refuse(
                "",
                r#"say {"subscribe":"a pattern"} or {"unsubscribe":"a pattern"}"#,
            ),
        }
    }

    /// What goes on is what the client still wants; with the last pattern the subscription ends.
    fn unsubscribe(&mut self, pattern: &str) {
        if !self.patterns.remove(pattern) {
            return self.refuse(pattern, "you have not subscribed to it");
        }
        if self.patterns.is_empty() {
            self.subscription = None;
            self.asked_for.clear();
        }
        self.outbox.answer(json!({ "unsubscribed": pattern }).to_string());
    }

    async fn subscribe(&mut self, asked: &str) {
        let pattern = match KeyPattern::new(asked) {
            Ok(pattern) => pattern,
            Err(error) => return self.refuse(asked, &error.to_string()),
        };
        if self.patterns.len() >= PATTERNS_MAX && !self.patterns.contains(asked) {
            return self.refuse(asked, &format!("a client has at most {PATTERNS_MAX} patterns"));
        }
        if self.known.is_some_and(|known| !known.may_have(&pattern)) {
            return self.refuse(asked, "this is not for you");
        }
        match self.subscribed(asked).await {
            Ok(()) => {
                self.patterns.insert(asked.to_owned());
                self.outbox.answer(json!({ "subscribed": asked }).to_string());
            }
            Err(error) => self.refuse(asked, &format!("{error:#}")),
        }
    }

    /// One subscriber for the whole connection: an event that several of its patterns match comes once. A node drops
    /// patterns with their subscriber alone, so one that has too many given up is replaced.
    async fn subscribed(&mut self, pattern: &str) -> Result<()> {
        let standing = self.subscription.as_ref().filter(|s| s.ended().is_none());
        if standing.is_some() && self.asked_for.contains(pattern) {
            return Ok(());
        }
        let Some(subscription) = standing.filter(|_| self.asked_for.len() < PATTERNS_MAX) else {
            return self.begin_anew(pattern).await;
        };
        subscription.also(pattern, [pattern]).await?;
        self.asked_for.insert(pattern.to_owned());
        Ok(())
    }

    /// A subscription to what the client wants, and to `pattern`.
    async fn begin_anew(&mut self, pattern: &str) -> Result<()> {
        let options = SubscribeOptions {
            connection_tag: pattern.into(),
            ..SubscribeOptions::default()
        };
        let exchange = self.terms.exchange.as_str();
        let subscription = self.terms.client.subscribe(exchange, [pattern], options).await?;
        for other in &self.patterns {
            subscription.also(other.as_str(), [other.as_str()]).await?;
        }
        self.times = subscription.times_subscribed();
        if self.subscription.replace(subscription).is_some() {
            // What the one before had read in is gone with it.
            self.outbox.answer(json!({ "resubscribed": 1 }).to_string());
        }
        self.asked_for = self.patterns.clone();
        self.asked_for.insert(pattern.to_owned());
        Ok(())
    }

    fn refuse(&mut self, what: &str, why: &str) {
        let what: String = what.chars().take(64).collect();
        self.outbox
            .answer(json!({ "refused": what, "reason": why }).to_string());
    }
}

/// The next event; never, before there is a subscription.
async fn next_of(subscription: &mut Option<Subscription>) -> Option<Event> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// The event as the client reads it, a payload that is no text in hexadecimal; none when the client wants nothing of it
/// any more.
fn text_of(event: &Event, wanted: &BTreeSet<String>) -> Option<String> {
    let tags = event.connection_tags.iter();
    let patterns = tags.map(|tag| String::from_utf8_lossy(tag));
    let patterns: Vec<_> = patterns.filter(|it| wanted.contains(it.as_ref())).collect();
    if patterns.is_empty() {
        return None;
    }
    let mut text = json!({ "event": event.key, "patterns": patterns });
    match std::str::from_utf8(&event.payload) {
        Ok(payload) => text["payload"] = payload.into(),
        Err(_) => text["payload_hex"] = hexadecimal(&event.payload).into(),
    }
    Some(text.to_string())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use squall_kernel::id::{NodeId, Pid};

    use super::*;

    #[test]
    fn an_event_is_told_with_what_it_matched_and_bytes_in_hexadecimal() {
        let event = |payload: &'static [u8]| Event {
            key: "weather.north".into(),
            payload: Bytes::from_static(payload),
            connection_tags: vec!["weather.#".into()],
            publisher: Pid {
                node: NodeId(1),
                serial: 7,
            },
            message_id: Bytes::new(),
            trace: Default::default(),
        };
        let wanted = BTreeSet::from(["weather.#".to_owned()]);
        let told = |payload| -> Value {
            let text = text_of(&event(payload), &wanted).expect("wanted");
            serde_json::from_str(&text).expect("JSON")
        };
        assert_eq!(
            told(b"rain"),
            json!({ "event": "weather.north", "patterns": ["weather.#"], "payload": "rain" })
        );
        assert_eq!(told(&[0xff, 0])["payload_hex"], "ff00");
        assert_eq!(text_of(&event(b"rain"), &BTreeSet::new()), None, "given up");
    }

    #[test]
    fn a_client_is_told_why_it_is_left_unless_it_could_not_read_it() {
        let code = |why: &Leave| why.frame().map(|frame| frame.code);
        assert_eq!(code(&Leave::Unknown), Some(CloseCode::Policy));
        assert_eq!(code(&Leave::Stopped), Some(CloseCode::Away));
        assert_eq!(code(&Leave::Slow(crate::outbox::TooSlow(1))), None);
        let long = Leave::Ended("x".repeat(1000)).frame().expect("told");
        assert!(long.reason.len() <= 123);
    }
}
