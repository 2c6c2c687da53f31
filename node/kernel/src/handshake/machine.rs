//! The two sides of the handshake as state machines: messages and facts in, one [`Step`] out.
//!
//! What does not live here: the messages and the proof (`handshake`), who may link with whom (`admission`), reading frames,
//! deadlines.

use alloc::string::String;
use alloc::vec::Vec;

use super::admission::{acceptable, check_hello, cookie_detail, printable};
use super::{
    Accepted, Claim, Hello, Nonce, PROTOCOL_VERSION, ProcessIdentity, Prove, Purpose, Role, Transcript,
    Welcome,
};
use crate::id::{ClusterId, LinkSeq};
use crate::limits;
use crate::message::HandshakeMessage;
use crate::reason::Refusal;
use crate::registry::Introduction;

/// What a node knows while it shakes hands.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The node itself.
    pub me: &'a Introduction,
    /// The process it is; none where the system cannot tell, or nobody is to watch it.
    pub process: Option<ProcessIdentity>,
    /// Its cluster; none before it has one.
    pub cluster: Option<ClusterId>,
    /// True when its Raft log is not empty.
    pub initialized: bool,
    /// The secret.
    pub cookie: &'a [u8],
    /// Nodes connected now, without `me`.
    pub live: &'a [Introduction],
}

/// Who is on the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A node.
    Node {
        /// Who.
        introduction: Introduction,
        /// Which process it is, if it tells.
        process: Option<ProcessIdentity>,
        /// What the connection is for.
        purpose: Purpose,
        /// Its cluster; none before it has one.
        cluster: Option<ClusterId>,
        /// True when its Raft log is not empty.
        initialized: bool,
    },
    /// A client.
    Client {
        /// Name for display.
        name: String,
    },
}

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This side: send the refusal, then close.
    Us,
    /// The other side, which closes.
    Them,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send that and wait for the answer.
    Send(HandshakeMessage),
    /// The other side has proved itself. A listener sends `Accepted`; a dialler has it here.
    Done {
        /// The other side.
        peer: Peer,
        /// What the listener said last; none at the listener.
        accepted: Option<Accepted>,
    },
    /// It ends here.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// In words, naming both.
        detail: String,
        /// Who refused.
        by: Side,
    },
}

impl Step {
    fn refuse(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self::Refuse {
            refusal,
            detail: detail.into(),
            by: Side::Us,
        }
    }
}

/// The side that dials.
#[derive(Debug)]
pub struct Dialler {
    pub(super) hello: Hello,
    welcome: Option<Welcome>,
}

impl Dialler {
    /// A node that dials for that purpose.
    #[must_use]
    pub fn node(facts: &Facts<'_>, purpose: Purpose, nonce: Nonce) -> Self {
        let hello = Hello {
            version: PROTOCOL_VERSION,
            purpose,
            cluster: facts.cluster,
            node: Some(facts.me.clone()),
            process: facts.process,
            initialized: facts.initialized,
            client_name: String::new(),
            nonce,
        };
        Self { hello, welcome: None }
    }

    /// A client that dials.
    #[must_use]
    pub fn client(name: &str, nonce: Nonce) -> Self {
        let hello = Hello {
            version: PROTOCOL_VERSION,
            purpose: Purpose::Client,
            cluster: None,
            node: None,
            process: None,
            initialized: false,
            client_name: printable(name, limits::NODE_NAME_BYTES_MAX),
            nonce,
        };
        Self { hello, welcome: None }
    }

    /// The first message.
    #[must_use]
    pub fn hello(&self) -> HandshakeMessage {
        HandshakeMessage::Hello(self.hello.clone())
    }

    /// Who answered, once it has.
    #[must_use]
    pub fn listener(&self) -> Option<&Introduction> {
        self.welcome.as_ref().map(|w| &w.node)
    }

    /// Takes the listener's next message. `live` are the nodes connected now; empty for clients.
    pub fn step(&mut self, cookie: &[u8], live: &[Introduction], message: HandshakeMessage) -> Step {
        match (message, self.welcome.take()) {
            (HandshakeMessage::Welcome(welcome), None) => {
                let step = self.greeted(cookie, live, &welcome);
                self.welcome = Some(welcome);
                step
            }
            (HandshakeMessage::Accepted(accepted), Some(welcome)) => {
                let peer = Peer::Node {
                    introduction: welcome.node.clone(),
                    process: welcome.process,
                    purpose: self.hello.purpose,
                    cluster: welcome.cluster,
                    initialized: welcome.initialized,
                };
                self.welcome = Some(welcome);
                Step::Done {
                    peer,
                    accepted: Some(accepted),
                }
            }
            (HandshakeMessage::Refused { refusal, detail }, _) => told(refusal, &detail),
            _ => Step::refuse(Refusal::Garbage, "the listener's message is out of turn"),
        }
    }

    fn greeted(&self, cookie: &[u8], live: &[Introduction], welcome: &Welcome) -> Step {
        let hello = &self.hello;
        if welcome.version != PROTOCOL_VERSION {
            return Step::refuse(Refusal::Version, super::version_detail(welcome.version));
        }
        let transcript = transcript(hello, welcome);
        if !transcript.proves(Role::Listener, cookie, &welcome.proof) {
            return Step::refuse(Refusal::Cookie, cookie_detail(hello, &welcome.node));
        }
        if let Some(me) = &hello.node {
            let theirs = (&welcome.node, welcome.cluster);
            if let Err((refusal, detail)) = acceptable(theirs, (me, hello.cluster), live) {
                return Step::refuse(refusal, detail);
            }
        }
        Step::Send(HandshakeMessage::Prove(Prove {
            proof: transcript.prove(Role::Dialler, cookie),
        }))
    }
}

/// The side that listens.
#[derive(Debug)]
pub struct Listener {
    nonce: Nonce,
    greeted: Option<(Hello, Welcome)>,
}

impl Listener {
    /// A connection has come in.
    #[must_use]
    pub fn new(nonce: Nonce) -> Self {
        Self { nonce, greeted: None }
    }

    /// Takes the dialler's next message.
    pub fn step(&mut self, facts: &Facts<'_>, message: HandshakeMessage) -> Step {
        match (message, self.greeted.take()) {
            (HandshakeMessage::Hello(hello), None) => self.hello(facts, hello),
            (HandshakeMessage::Prove(prove), Some((hello, welcome))) => {
                proved(facts, hello, &welcome, &prove)
            }
            (HandshakeMessage::Refused { refusal, detail }, _) => told(refusal, &detail),
            _ => Step::refuse(Refusal::Garbage, "the dialler's message is out of turn"),
        }
    }

    fn hello(&mut self, facts: &Facts<'_>, hello: Hello) -> Step {
        if let Err((refusal, detail)) = check_hello(facts, &hello) {
            return Step::refuse(refusal, detail);
        }
        let mut welcome = Welcome {
            version: PROTOCOL_VERSION,
            cluster: facts.cluster,
            node: facts.me.clone(),
            process: facts.process,
            initialized: facts.initialized,
            nonce: self.nonce,
            proof: Vec::new(),
        };
        welcome.proof = transcript(&hello, &welcome).prove(Role::Listener, facts.cookie);
        self.greeted = Some((hello, welcome.clone()));
        Step::Send(HandshakeMessage::Welcome(welcome))
    }
}

fn proved(facts: &Facts<'_>, hello: Hello, welcome: &Welcome, prove: &Prove) -> Step {
    if !transcript(&hello, welcome).proves(Role::Dialler, facts.cookie, &prove.proof) {
        return Step::refuse(Refusal::Cookie, cookie_detail(&hello, &welcome.node));
    }
    // Once more: others may have connected meanwhile, and the cluster may have been founded.
    if let Err((refusal, detail)) = check_hello(facts, &hello) {
        return Step::refuse(refusal, detail);
    }
    let Hello {
        process,
        purpose,
        cluster,
        initialized,
        client_name,
        ..
    } = hello;
    let peer = match hello.node {
        Some(introduction) => Peer::Node {
            introduction,
            process,
            purpose,
            cluster,
            initialized,
        },
        None => Peer::Client {
            name: printable(&client_name, limits::NODE_NAME_BYTES_MAX),
        },
    };
    Step::Done { peer, accepted: None }
}

fn transcript<'a>(hello: &'a Hello, welcome: &'a Welcome) -> Transcript<'a> {
    let dialler = hello.node.as_ref().map(|node| node.name.as_str());
    Transcript {
        dialler: Claim {
            nonce: &hello.nonce,
            name: dialler.unwrap_or(&hello.client_name),
            process: hello.process.as_ref(),
        },
        listener: Claim {
            nonce: &welcome.nonce,
            name: welcome.node.name.as_str(),
            process: welcome.process.as_ref(),
        },
    }
}

fn told(refusal: Refusal, detail: &str) -> Step {
    Step::Refuse {
        refusal,
        detail: printable(detail, limits::REASON_BYTES_MAX),
        by: Side::Them,
    }
}

/// The message that tells the other side of a refusal.
#[must_use]
pub fn refusal_message(refusal: Refusal, detail: &str) -> HandshakeMessage {
    HandshakeMessage::Refused {
        refusal,
        detail: printable(detail, limits::REASON_BYTES_MAX),
    }
}

impl Accepted {
    /// The listener's last word; it names at most as many members as a cluster has.
    #[must_use]
    pub fn new(received: LinkSeq, mut members: Vec<Introduction>) -> Self {
        members.truncate(limits::NODES_MAX);
        Self { received, members }
    }
}
