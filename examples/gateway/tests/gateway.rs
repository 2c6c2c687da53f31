//! The gateway as a process, at a node that is a proxy, with WebSocket clients (A35).

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use squall_client::{
    Answer, AttachOptions, Client, Confirm, ConnectOptions, Declaration, Delivery, Handler, PublishOptions,
};
use squall_kernel::id::{ExchangeId, ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{self, Outcome, Pattern, Settings, Strategy};
use squall_node::datadir::DataDir;
use squall_node::node::{Node, NodeOptions};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Only decides how long a broken build takes to fail.
const PATIENCE: Duration = Duration::from_secs(60);
const ALICE: &str = "the token of alice";
const BOB: &str = "the token of bob 17";

fn node(name: &str, join: Option<String>) -> (Node, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = NodeOptions {
        profile: Profile::Slow,
        data_workers: 2,
        ..NodeOptions::alone(NodeName::new(name).expect("a name"), b"secret").joining(join)
    };
    let data = DataDir::open(dir.path()).expect("a fresh directory");
    (Node::start(data, options).expect("the node starts"), dir)
}

/// Two nodes; `a` owns `news`, `b` is its proxy and has the gateway beside it.
struct Rig {
    a: Node,
    b: Node,
    news: ExchangeId,
    publisher: Client,
    gateway: Gateway,
    dirs: Vec<tempfile::TempDir>,
}

/// The gateway's process, killed with its holder.
struct Gateway {
    process: Child,
    at: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

async fn propose(node: &Node, command: registry::Command) {
    let result = node.proposals().propose(command).await;
    let done = matches!(
        &result,
        ProposeResult::Committed {
            outcome: Outcome::Done,
            ..
        }
    );
    assert!(done, "{result:?}");
}

impl Rig {
    async fn start(more: &[&str]) -> Self {
        Self::with(Settings::default(), more).await
    }

    async fn with(settings: Settings, more: &[&str]) -> Self {
        let (a, a_dir) = node("a", None);
        let (b, b_dir) = node("b", Some(a.introduction().mesh_addr.clone()));
        for node in [&a, &b] {
            let mut registry = node.registry();
            let both = registry.wait_for(|r| r.nodes.values().filter(|n| n.is_up()).count() == 2);
            both.await.expect("the node runs");
        }
        let name = ExchangeName::new("news").expect("a name");
        let [owner, proxy] = ["a", "b"].map(|name| NodeName::new(name).expect("a name"));
        let declare = registry::Command::Declare {
            name: name.clone(),
            pattern: Pattern::PublishSubscribe,
            strategy: Strategy::Default,
            function: None,
            settings,
            failover: vec![owner],
            takeover: None,
        };
        propose(&a, declare).await;
        let proxied = registry::Command::SetProxy {
            exchange: name.clone(),
            node: proxy,
            on: true,
        };
        propose(&a, proxied).await;
        for node in [&a, &b] {
            let mut opinion = node.opinion();
            let known = opinion.wait_for(|_| node.lookup(&name).is_some()).await;
            known.expect("the node runs");
        }
        let options = ConnectOptions {
            cookie: Some(b"secret".to_vec()),
            ..ConnectOptions::new([a.introduction().mesh_addr.clone()])
        };
        let publisher = Client::connect(options).await.expect("connected");
        let gateway = Gateway::start(&b, b_dir.path(), more);
        Self {
            news: a.lookup(&name).expect("declared"),
            a,
            b,
            publisher,
            gateway,
            dirs: vec![a_dir, b_dir],
        }
    }

    /// Published, and in the mailbox of every subscriber.
    async fn publish(&self, key: &str, payload: Vec<u8>) {
        let options = PublishOptions {
            confirm: Confirm::Received,
            ..PublishOptions::default()
        };
        let published = self.publisher.publish("news", key, payload, options).await;
        published.expect("received");
    }

    async fn stop(self) {
        self.publisher.close().await;
        drop(self.gateway);
        let stopped = tokio::task::spawn_blocking(move || {
            // The leader of the registry last.
            let ends = [self.b, self.a].map(|node| node.stop().is_ok());
            drop(self.dirs);
            ends
        });
        assert_eq!(stopped.await.expect("they stop"), [true, true]);
    }
}

impl Gateway {
    fn start(beside: &Node, dir: &std::path::Path, more: &[&str]) -> Self {
        let file = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let line = |token: &str, name: &str, patterns: &str| {
            format!("{} {name} {patterns}\n", token.replace(' ', "-"))
        };
        let tokens = line(ALICE, "alice", "weather.#") + line(BOB, "bob", "sport.*,weather.north").as_str();
        let tokens = file("gateway-tokens", tokens);
        let who = if more.contains(&"--anyone") {
            Vec::new()
        } else {
            vec!["--tokens".as_ref(), tokens.as_os_str()]
        };
        let mut process = Command::new(env!("CARGO_BIN_EXE_squall-gateway"))
            .args(["--listen", "127.0.0.1:0", "--exchange", "news"])
            .args(["--connect", &beside.introduction().mesh_addr])
            .arg("--cookie-file")
            .arg(file("gateway-cookie", "secret\n".into()))
            .args(who)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("piped");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("it says where it is");
        let at = line.trim_end().rsplit('/').next().and_then(|at| at.parse().ok());
        let at = at.unwrap_or_else(|| panic!("no address in {line:?}"));
        Self { process, at }
    }
}

struct Guest(WebSocketStream<TcpStream>);

impl Guest {
    async fn connect(gateway: &Gateway) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // What the system keeps for whoever does not read would hide that it does not.
        socket.set_recv_buffer_size(16 * 1024).expect("a small buffer");
        let socket = socket.connect(gateway.at).await.expect("connected");
        let (guest, _) = client_async(format!("ws://{}/", gateway.at), socket)
            .await
            .expect("a WebSocket");
        Self(guest)
    }

    /// Connected, known, subscribed.
    async fn subscribed(gateway: &Gateway, token: &str, name: &str, pattern: &str) -> Self {
        let mut guest = Self::connect(gateway).await;
        guest.say(&json!({ "token": token.replace(' ', "-") })).await;
        assert_eq!(guest.hears().await, json!({ "hello": name }));
        guest.say(&json!({ "subscribe": pattern })).await;
        assert_eq!(guest.hears().await, json!({ "subscribed": pattern }));
        guest
    }

    async fn say(&mut self, what: &Value) {
        self.0.send(Message::text(what.to_string())).await.expect("sent");
    }

    async fn message(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
        next.expect("something is said in time")
            .expect("open")
            .expect("no error")
    }

    async fn hears(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?} is no text"),
        }
    }

    async fn is_left(&mut self) -> (CloseCode, String) {
        match self.message().await {
            Message::Close(Some(frame)) => (frame.code, frame.reason.to_string()),
            other => panic!("{other:?} is no leave"),
        }
    }
}

fn event(key: &str, payload: &str, patterns: &[&str]) -> Value {
    json!({ "event": key, "payload": payload, "patterns": patterns })
}

/// A35: two clients get what they may have, through the proxy, one frame for both; what they may not have, and what is
/// wrong, is refused to them alone; at the end everybody is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a35_clients_subscribe_through_the_nearest_proxy_to_what_they_may_have() {
    let mut rig = Rig::start(&[]).await;
    let mut alice = Guest::subscribed(&rig.gateway, ALICE, "alice", "weather.#").await;
    let mut bob = Guest::subscribed(&rig.gateway, BOB, "bob", "weather.north").await;
    let at_proxy = rig.b.data().pubsub.figures(rig.news).expect("subscribers at b");
    assert_eq!(at_proxy.subscribers, 2, "one process for each connection");
    let sent = |rig: &Rig| rig.a.data().pubsub.figures(rig.news).expect("a owns it");
    let before = sent(&rig);
    assert_eq!(
        (before.subscribers, before.downstreams),
        (0, 1),
        "all of it through b"
    );
    rig.publish("weather.north", b"rain".to_vec()).await;
    assert_eq!(sent(&rig).sent - before.sent, 1, "one frame for both");
    assert_eq!(
        alice.hears().await,
        event("weather.north", "rain", &["weather.#"])
    );
    assert_eq!(
        bob.hears().await,
        event("weather.north", "rain", &["weather.north"])
    );

    refusals(&rig, &mut alice).await;
    rig.publish("weather.south", b"sun".to_vec()).await;
    assert_eq!(alice.hears().await, event("weather.south", "sun", &["weather.#"]));
    bob.say(&json!({ "subscribe": "sport.*" })).await;
    assert_eq!(
        bob.hears().await,
        json!({ "subscribed": "sport.*" }),
        "south was not for bob"
    );

    let id = i32::try_from(rig.gateway.process.id()).expect("an id");
    kill_process(Pid::from_raw(id).expect("an id"), Signal::INT).expect("it runs");
    for guest in [&mut alice, &mut bob] {
        assert_eq!(
            guest.is_left().await,
            (CloseCode::Away, "the gateway ends".into())
        );
        // Answers the leave.
        assert!(guest.0.next().await.is_none());
    }
    let ended = rig.gateway.process.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
    rig.stop().await;
}

/// Each wrong thing is told to the one who did it.
async fn refusals(rig: &Rig, alice: &mut Guest) {
    for (asked, why) in [
        ("sport.tennis", "this is not for you"),
        ("#", "this is not for you"),
        ("weather..north", "a pattern has no empty segment"),
    ] {
        alice.say(&json!({ "subscribe": asked })).await;
        let heard = alice.hears().await;
        assert_eq!(heard["refused"], asked);
        let reason = heard["reason"].as_str().expect("a reason");
        assert!(reason.contains(why), "{heard}");
    }
    alice.0.send(Message::text("no JSON")).await.expect("sent");
    assert_eq!(alice.hears().await["refused"], "");
    let mut stranger = Guest::connect(&rig.gateway).await;
    stranger.say(&json!({ "token": "a token that nobody has" })).await;
    assert_eq!(
        stranger.is_left().await,
        (CloseCode::Policy, "that token is not known".into())
    );
    let mut mute = Guest::connect(&rig.gateway).await;
    mute.0.send(Message::binary(vec![0; 8])).await.expect("sent");
    assert_eq!(mute.is_left().await.0, CloseCode::Policy);
    let mut large = Guest::connect(&rig.gateway).await;
    large.0.send(Message::text("x".repeat(8192))).await.expect("sent");
    assert_eq!(large.is_left().await.0, CloseCode::Size);
}

/// A35: what a client has given up does not come any more, the rest goes on, and the node hears of the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a35_a_client_unsubscribes_from_one_pattern_and_keeps_the_others() {
    let rig = Rig::start(&[]).await;
    let mut bob = Guest::subscribed(&rig.gateway, BOB, "bob", "weather.north").await;
    bob.say(&json!({ "subscribe": "sport.*" })).await;
    assert_eq!(bob.hears().await, json!({ "subscribed": "sport.*" }));
    bob.say(&json!({ "unsubscribe": "sport.*" })).await;
    assert_eq!(bob.hears().await, json!({ "unsubscribed": "sport.*" }));
    rig.publish("sport.tennis", b"6:4".to_vec()).await;
    rig.publish("weather.north", b"rain".to_vec()).await;
    let rain = event("weather.north", "rain", &["weather.north"]);
    assert_eq!(bob.hears().await, rain, "tennis was given up");
    for (said, told) in [("subscribe", "subscribed"), ("unsubscribe", "unsubscribed")] {
        bob.say(&json!({ said: "sport.*" })).await;
        assert_eq!(
            bob.hears().await,
            json!({ told: "sport.*" }),
            "as often as it likes"
        );
    }
    bob.say(&json!({ "unsubscribe": "sport.*" })).await;
    let refused = json!({ "refused": "sport.*", "reason": "you have not subscribed to it" });
    assert_eq!(bob.hears().await, refused);
    bob.say(&json!({ "unsubscribe": "weather.north" })).await;
    assert_eq!(bob.hears().await, json!({ "unsubscribed": "weather.north" }));
    bob.say(&json!({ "subscribe": "sport.*" })).await;
    assert_eq!(bob.hears().await, json!({ "subscribed": "sport.*" }), "anew");
    rig.publish("weather.north", b"sun".to_vec()).await;
    rig.publish("sport.golf", b"72".to_vec()).await;
    assert_eq!(bob.hears().await, event("sport.golf", "72", &["sport.*"]));
    rig.stop().await;
}

/// A35: a client that goes from topic to topic, however many, is told once its subscription begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a35_given_up_patterns_are_no_bound_for_new_ones() {
    const PATTERNS_MAX: usize = 64;
    let rig = Rig::start(&[]).await;
    let mut alice = Guest::subscribed(&rig.gateway, ALICE, "alice", "weather.here").await;
    for n in 1..=PATTERNS_MAX {
        let pattern = format!("weather.{n}");
        alice.say(&json!({ "subscribe": pattern })).await;
        if n == PATTERNS_MAX {
            assert_eq!(alice.hears().await, json!({ "resubscribed": 1 }));
        }
        assert_eq!(alice.hears().await, json!({ "subscribed": pattern }));
        alice.say(&json!({ "unsubscribe": pattern })).await;
        assert_eq!(alice.hears().await, json!({ "unsubscribed": pattern }));
    }
    rig.publish("weather.1", b"fog".to_vec()).await;
    rig.publish("weather.here", b"sun".to_vec()).await;
    assert_eq!(
        alice.hears().await,
        event("weather.here", "sun", &["weather.here"])
    );
    rig.stop().await;
}

/// Lets subscribers have the weather, and nothing else.
struct WeatherOnly;

impl Handler for WeatherOnly {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let asked = String::from_utf8_lossy(&delivery.payload).into_owned();
        let mut fields = asked.split('\t');
        let answer = match (fields.next(), fields.nth(2)) {
            (Some("subscribe"), Some(pattern)) if !pattern.starts_with("weather.") => {
                "refuse\tonly the weather"
            }
            _ => "accept",
        };
        Answer::Reply(answer.into())
    }
}

/// A5, A35: where anyone may connect, the exchange's controller decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a35_where_anyone_may_connect_the_controller_decides() {
    let gate = ExchangeName::new("gate").expect("a name");
    let settings = Settings {
        controller: Some(gate.clone()),
        ..Settings::default()
    };
    let rig = Rig::with(settings, &["--anyone"]).await;
    let declaration = Declaration::new(gate, Strategy::Consensus);
    rig.publisher
        .declare(declaration, PATIENCE)
        .await
        .expect("declared");
    let attached = rig
        .publisher
        .attach("gate", AttachOptions::default(), WeatherOnly)
        .await;
    let attachment = attached.expect("attached");
    let mut guest = Guest::connect(&rig.gateway).await;
    guest.say(&json!({ "name": "carol" })).await;
    assert_eq!(guest.hears().await, json!({ "hello": "carol" }));
    // The gateway's node may hear of the controller a moment later than the publisher's.
    let give_up = Instant::now() + PATIENCE;
    let refused = loop {
        guest.say(&json!({ "subscribe": "sport.#" })).await;
        let refused = guest.hears().await;
        let unknown = refused.to_string().contains("there is no such exchange");
        if !unknown || Instant::now() > give_up {
            break refused;
        }
    };
    assert!(
        refused["reason"]
            .as_str()
            .is_some_and(|why| why.contains("only the weather")),
        "{refused}"
    );
    guest.say(&json!({ "subscribe": "weather.#" })).await;
    assert_eq!(guest.hears().await, json!({ "subscribed": "weather.#" }));
    rig.publish("weather.north", b"rain".to_vec()).await;
    assert_eq!(
        guest.hears().await,
        event("weather.north", "rain", &["weather.#"])
    );
    attachment.detach().await;
    rig.stop().await;
}

/// A35, B9: who does not read loses the oldest and is told how many; everybody else has everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a35_a_slow_client_loses_the_oldest_and_hurts_nobody() {
    const PUBLISHES: usize = 60;
    let rig = Rig::start(&["--queue", "4"]).await;
    let mut slow = Guest::subscribed(&rig.gateway, ALICE, "alice", "weather.#").await;
    let mut quick = Guest::subscribed(&rig.gateway, BOB, "bob", "weather.north").await;
    for n in 0..PUBLISHES {
        let mut payload = vec![b' '; 64 * 1024];
        payload[..8].copy_from_slice(format!("{n:08}").as_bytes());
        rig.publish("weather.north", payload).await;
        assert_eq!(number(&quick.hears().await), Some(n), "in order, each once");
    }
    let (mut came, mut missed) = (Vec::new(), 0);
    while came.last() != Some(&(PUBLISHES - 1)) {
        let heard = slow.hears().await;
        match number(&heard) {
            Some(n) => came.push(n),
            None => missed += heard["missed"].as_u64().expect("how many"),
        }
    }
    assert!(missed > 0 && came.is_sorted(), "{missed} missed, {came:?} came");
    assert_eq!(
        came.len() as u64 + missed,
        PUBLISHES as u64,
        "each came or was missed"
    );
    rig.stop().await;
}

/// Which publish an event is.
fn number(heard: &Value) -> Option<usize> {
    heard["payload"].as_str()?.get(..8)?.parse().ok()
}
