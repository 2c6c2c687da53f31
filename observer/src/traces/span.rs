//! A span as it is kept: cleaned for a terminal, bounded in bytes, the same whichever way it came.
//!
//! What does not live here: the formats it comes in (`otlp`, `json`, `legacy`).

use std::fmt;
use std::sync::Arc;

use crate::clean;
use crate::limits::{ATTRIBUTES_MAX, SPAN_BYTES_MAX, SPAN_EVENTS_MAX};

/// The attribute that names the exchange a span is about.
pub const EXCHANGE: &str = "messaging.destination.name";
/// Attributes that name a process by its pid.
pub const PIDS: [&str; 2] = ["squall.handler", "squall.picked"];

/// Id of a trace; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u128);

impl TraceId {
    /// From up to 32 hexadecimal digits.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let digits = !hex.is_empty() && hex.len() <= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let id = digits.then(|| u128::from_str_radix(hex, 16).ok())??;
        (id != 0).then_some(Self(id))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Id of a span in its trace; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub u64);

impl SpanId {
    /// From up to 16 hexadecimal digits.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let digits = !hex.is_empty() && hex.len() <= 16 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let id = digits.then(|| u64::from_str_radix(hex, 16).ok())??;
        (id != 0).then_some(Self(id))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which side of a message it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanKind {
    /// Not said.
    #[default]
    Unspecified,
    /// Within a process.
    Internal,
    /// Answers.
    Server,
    /// Asks.
    Client,
    /// Sends.
    Producer,
    /// Takes.
    Consumer,
}

impl SpanKind {
    /// By OTLP's number; what is not known is not said.
    #[must_use]
    pub const fn from_otlp(number: i64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// By its word, as in `SPAN_KIND_CLIENT` and in `client`.
    #[must_use]
    pub fn named(word: &str) -> Self {
        let word = word.strip_prefix("SPAN_KIND_").unwrap_or(word);
        let all = [
            Self::Internal,
            Self::Server,
            Self::Client,
            Self::Producer,
            Self::Consumer,
        ];
        let found = all.into_iter().find(|k| k.as_str().eq_ignore_ascii_case(word));
        found.unwrap_or_default()
    }

    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// The process that a span is from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: of Squall's own spans the node.
    pub node: String,
    /// Its other attributes.
    pub attributes: Vec<Attribute>,
}

/// A key and its value as text.
pub type Attribute = (String, String);

/// Something at one moment of a span.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanEvent {
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// What happened.
    pub name: String,
    /// What is told of it.
    pub attributes: Vec<Attribute>,
}

/// A span. Of two with the same id the greater one is kept, so that the order of their arrival does not matter: the one
/// that ended later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Nanoseconds since the Unix epoch; as it was told, so it may lie before the start.
    pub end_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Trace.
    pub trace: TraceId,
    /// Id.
    pub id: SpanId,
    /// The span it is a part of; none for a root.
    pub parent: Option<SpanId>,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// It failed.
    pub error: bool,
    /// Why, where that is told.
    pub message: String,
    /// Where it is from.
    pub origin: Arc<Origin>,
    /// What is told of it.
    pub attributes: Vec<Attribute>,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
    /// Attributes and events that are not kept: its bounds, or the sender's.
    pub left_out: u64,
}

impl Span {
    /// A span without attributes; an end before the start stays as it was told.
    #[must_use]
    pub fn new(trace: TraceId, id: SpanId, parent: Option<SpanId>, name: &str) -> Self {
        Self {
            end_ns: 0,
            start_ns: 0,
            trace,
            id,
            parent,
            name: clean::name(name),
            kind: SpanKind::default(),
            error: false,
            message: String::new(),
            origin: Arc::default(),
            attributes: Vec::new(),
            events: Vec::new(),
            left_out: 0,
        }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The exchange that it is about.
    #[must_use]
    pub fn exchange(&self) -> Option<&str> {
        self.attribute(EXCHANGE).filter(|name| !name.is_empty())
    }

    /// The pid of the process that it is about.
    #[must_use]
    pub fn pid(&self) -> Option<&str> {
        let mut pids = PIDS.iter().filter_map(|key| self.attribute(key));
        pids.find(|pid| pid.starts_with('<') && pid.ends_with('>'))
    }

    /// Nanoseconds from its start to its end; 0 when the end lies before the start.
    #[must_use]
    pub const fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// Start and end, in this order.
    #[must_use]
    pub fn interval(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns.max(self.start_ns))
    }

    /// About how many bytes it takes; what it shares with others counts in full.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 320;
        let of = |all: &[Attribute]| all.iter().map(|(k, v)| k.len() + v.len() + 48).sum::<usize>();
        let events = self.events.iter().map(|e| 72 + e.name.len() + of(&e.attributes));
        let origin = self.origin.service.len() + self.origin.node.len() + of(&self.origin.attributes);
        FIXED + self.name.len() + self.message.len() + origin + of(&self.attributes) + events.sum::<usize>()
    }
}

/// Room for what one span tells.
#[derive(Debug)]
pub struct Room {
    left: usize,
    /// What found none.
    pub left_out: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            left: SPAN_BYTES_MAX,
            left_out: 0,
        }
    }
}

impl Room {
    /// Those of the attributes for which there is room, cleaned. The value is asked for only where there is.
    pub fn attributes<'a, V>(
        &mut self,
        all: impl IntoIterator<Item = (&'a str, V)>,
        text: impl Fn(V) -> String,
    ) -> Vec<Attribute> {
        let mut kept = Vec::new();
        for (key, value) in all {
            if kept.len() >= ATTRIBUTES_MAX || self.left == 0 {
                self.left_out += 1;
                continue;
            }
            let attribute = (clean::name(key), clean::text(&text(value)));
            self.left = self.left.saturating_sub(attribute.0.len() + attribute.1.len());
            kept.push(attribute);
        }
        kept
    }

    /// Whether there is room for one more event, after so many.
    pub fn event(&mut self, kept: usize) -> bool {
        let fits = kept < SPAN_EVENTS_MAX && self.left > 0;
        self.left_out += u64::from(!fits);
        fits
    }
}

/// The process with these attributes.
#[must_use]
pub fn origin(attributes: Vec<Attribute>) -> Arc<Origin> {
    let mut origin = Origin::default();
    for (key, value) in attributes {
        match key.as_str() {
            "service.name" => origin.service = clean::name(&value),
            "service.instance.id" => origin.node = clean::name(&value),
            _ => origin.attributes.push((key, value)),
        }
    }
    Arc::new(origin)
}
