//! The way to a collector over OTLP/gRPC, the same for traces and metrics: where it is, what goes along with each export, one
//! connection with its bounds, and what the log says while nothing arrives there.
//!
//! What does not live here: who says where it is (`settings`), what is sent, and when (`batch`, `metrics::push`).

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Extensions, Request, Response, Status};

/// How long one export may take, the connection included, before it is given up, unless the environment says otherwise.
pub const EXPORT_TIME_MAX: Duration = Duration::from_secs(5);
/// A connection that carries nothing back is asked for a sign of life after so long, and given up after as long again: within an
/// export's time, so that the next one has another connection.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Largest answer taken from a collector: there is next to nothing in it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Largest list of headers likewise.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// The log says at most once in so long that nothing arrives: a collector that comes and goes does not fill it.
pub const QUIET: Duration = Duration::from_secs(60);

const _: () = assert!(2 * KEEPALIVE.as_millis() < EXPORT_TIME_MAX.as_millis());

/// What a collector is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Figures.
    Metrics,
}

impl Signal {
    /// The one method of its service (opentelemetry-proto, `collector/*/v1`).
    const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        })
    }
}

/// Why there can be no collector at an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("{0}")]
    Malformed(String),
    /// It needs what there is not.
    #[error("only http:// is spoken, without encryption")]
    Scheme,
}

/// Where a signal goes. Shown, it is its address, without anything secret.
#[derive(Clone)]
pub struct Collector {
    address: Endpoint,
    headers: MetadataMap,
    within: Duration,
}

impl Collector {
    /// The one at `endpoint`, with `http://` in front or without.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn at(endpoint: &str) -> Result<Self, AddressError> {
        let endpoint = if endpoint.contains("://") {
            endpoint.to_owned()
        } else {
            format!("http://{endpoint}")
        };
        let address =
            Endpoint::from_shared(endpoint).map_err(|error| AddressError::Malformed(error.to_string()))?;
        if address.uri().scheme_str() != Some("http") {
            return Err(AddressError::Scheme);
        }
        Ok(Self {
            address,
            headers: MetadataMap::new(),
            within: EXPORT_TIME_MAX,
        })
    }

    /// With these headers along with each export.
    #[must_use]
    pub fn with_headers(self, headers: MetadataMap) -> Self {
        Self { headers, ..self }
    }

    /// Given up on after so long.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// How long one export may take.
    #[must_use]
    pub const fn time(&self) -> Duration {
        self.within
    }

    /// The way there: a connection is made when it is needed, and anew when it broke. To be called on the runtime that drives it.
    pub(crate) fn connect(&self, signal: Signal) -> Way {
        let channel = self
            .address
            .clone()
            .connect_timeout(self.within)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .connect_lazy();
        Way {
            grpc: Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
            headers: self.headers.clone(),
            path: PathAndQuery::from_static(signal.path()),
        }
    }
}

impl fmt::Display for Collector {
    /// What stands before an `@` in an address may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.address.uri();
        write!(f, "http://{}", uri.host().unwrap_or_default())?;
        uri.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({self})")
    }
}

/// A connection to a collector, for one signal.
#[derive(Clone)]
pub(crate) struct Way {
    grpc: Grpc<Channel>,
    headers: MetadataMap,
    path: PathAndQuery,
}

impl Way {
    /// Sends an export, which is encoded already, and gives the collector's answer. It takes as long as it takes.
    pub(crate) async fn export<A: Message + Default + 'static>(
        mut self,
        message: Bytes,
    ) -> Result<A, Status> {
        self.grpc
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let request = Request::from_parts(self.headers, Extensions::default(), message);
        let answer = self.grpc.unary(request, self.path, Encoded(PhantomData));
        answer.await.map(Response::into_inner)
    }
}

/// Messages that are encoded before they are sent: what is sent again is not made again.
struct Encoded<A>(PhantomData<fn() -> A>);

impl<A: Message + Default + 'static> Codec for Encoded<A> {
    type Encode = Bytes;
    type Decode = A;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<A> Encoder for Encoded<A> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl<A: Message + Default> Decoder for Encoded<A> {
    type Item = A;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<A>, Status> {
        let answer = A::decode(from).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some(answer))
    }
}

/// Why something of a signal does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The collector is not there, or has not taken an export.
    Unsent(Code),
    /// It has refused an export in part.
    Refused,
    /// There is more than it takes in time.
    Full,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(code) => write!(f, "exports fail: {}", code.description()),
            Self::Refused => f.write_str("the collector refuses a part of them"),
            Self::Full => f.write_str("there are more than the collector takes in time"),
        }
    }
}

/// Says in the log when a signal begins to be lost, and when all of it arrives again.
#[derive(Debug)]
pub(crate) struct Losses {
    signal: Signal,
    collector: String,
    /// What was lost that no line has told of as over.
    lost: u64,
    /// The log says that it is lost.
    said: bool,
    not_before: Option<Instant>,
}

impl Losses {
    pub(crate) fn new(signal: Signal, collector: &Collector) -> Self {
        Self {
            signal,
            collector: collector.to_string(),
            lost: 0,
            said: false,
            not_before: None,
        }
    }

    /// So many were lost.
    pub(crate) fn lost(&mut self, number: u64, why: Loss) {
        self.lost += number;
        let now = Instant::now();
        if self.said || self.not_before.is_some_and(|at| now < at) {
            return;
        }
        self.said = true;
        self.not_before = Some(now + QUIET);
        let (collector, lost) = (&self.collector, self.lost);
        tracing::warn!(collector, lost, %why, "{} are lost", self.signal);
    }

    /// Everything has arrived.
    pub(crate) fn arrived(&mut self) {
        if std::mem::take(&mut self.said) {
            let (collector, lost) = (&self.collector, std::mem::take(&mut self.lost));
            tracing::info!(collector, lost, "{} arrive again", self.signal);
        }
    }
}

/// A resource of the SDK's, as it goes to a collector.
pub(crate) fn resource(of: &opentelemetry_sdk::Resource) -> Resource {
    let attribute = |(name, value): (&opentelemetry::Key, &opentelemetry::Value)| KeyValue {
        key: name.as_str().to_owned(),
        value: Some(value.clone().into()),
        ..KeyValue::default()
    };
    Resource {
        attributes: of.iter().map(attribute).collect(),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logging::overheard;

    #[test]
    fn an_address_is_shown_without_what_may_be_a_password() {
        let collector = Collector::at("http://me:secret@collector:4317/path").expect("an address");
        assert_eq!(collector.to_string(), "http://collector:4317");
        assert_eq!(
            Collector::at("[::1]:4317").expect("one").to_string(),
            "http://[::1]:4317"
        );
        let mut headers = MetadataMap::new();
        headers.insert("authorization", "Bearer secret".parse().expect("a value"));
        let collector = collector.with_headers(headers);
        assert!(!format!("{collector:?}").contains("secret"));
    }

    /// What comes and goes is told of once a minute, and how much was lost meanwhile is never forgotten.
    #[tokio::test(start_paused = true)]
    async fn the_log_says_once_a_minute_that_something_is_lost_and_that_it_is_over() {
        let heard = overheard();
        let collector = Collector::at("collector:4317").expect("an address");
        let mut losses = Losses::new(Signal::Traces, &collector);
        losses.arrived();
        assert_eq!(heard.take(), [""; 0], "all was well");
        losses.lost(3, Loss::Unsent(Code::Unavailable));
        losses.lost(4, Loss::Full);
        let [line] = &heard.take()[..] else {
            panic!("one line")
        };
        for part in [
            "WARN",
            "traces are lost",
            "lost=3",
            "http://collector:4317",
            "unavailable",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        losses.arrived();
        losses.arrived();
        let [line] = &heard.take()[..] else {
            panic!("one line")
        };
        for part in ["INFO", "traces arrive again", "lost=7"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        tokio::time::advance(QUIET - Duration::from_millis(1)).await;
        losses.lost(5, Loss::Refused);
        losses.arrived();
        assert_eq!(heard.take(), [""; 0], "it was said within this minute");
        tokio::time::advance(Duration::from_millis(1)).await;
        losses.lost(6, Loss::Refused);
        let [line] = &heard.take()[..] else {
            panic!("one line")
        };
        assert!(line.contains("lost=11"), "{line}");
    }
}
