//! Middleware whose handlers are clients of a whole node (A30).

use std::time::Duration;

use squall_client::{
    Answer, AttachOptions, Client, ConnectOptions, Declaration, Delivery, Handler, RequestError,
    RequestOptions,
};
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::registry::{Settings, Strategy};
use squall_node::datadir::DataDir;
use squall_node::node::{Node, NodeOptions};

const LONG: Duration = Duration::from_secs(60);

async fn node(dir: &tempfile::TempDir) -> Node {
    let options = NodeOptions {
        data_workers: 2,
        ..NodeOptions::alone(NodeName::new("a").expect("a good name"), b"secret")
    };
    let node = Node::start(DataDir::open(dir.path()).expect("fresh"), options).expect("the node starts");
    let mut opinion = node.opinion();
    opinion
        .wait_for(|o| o.leads && o.waiting_for.is_empty())
        .await
        .expect("the node runs");
    node
}

async fn client(node: &Node) -> Client {
    let address = node.introduction().mesh_addr.clone();
    let options = ConnectOptions {
        cookie: Some(b"secret".to_vec()),
        connect_within: LONG,
        ..ConnectOptions::new([address])
    };
    Client::connect(options).await.expect("connected")
}

async fn declare(node: &Node, client: &Client, name: &str, middleware: &[&str]) {
    let name_of = |text: &&str| ExchangeName::new(text).expect("a good name");
    let declaration = Declaration {
        settings: Settings {
            middleware: middleware.iter().map(name_of).collect(),
            ..Settings::default()
        },
        ..Declaration::new(name_of(&name), Strategy::RoundRobin)
    };
    client.declare(declaration, LONG).await.expect("declared");
    // The data plane hears of it a moment later; the control side publishes its opinion after that.
    let mut opinion = node.opinion();
    opinion
        .wait_for(|_| node.lookup(&name_of(&name)).is_some())
        .await
        .expect("the node runs");
}

/// Says what it is told to by the payload, and in whose way it stands.
struct Judge;

impl Handler for Judge {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let Some(of) = &delivery.ahead_of else {
            return Answer::Reply(delivery.payload);
        };
        match &delivery.payload[..] {
            b"decline" => Answer::Decline(format!("not to {of}")),
            b"elsewhere" => Answer::Redirect("other".parse().expect("a name")),
            b"panic" => panic!("as asked"),
            b"rewrite" => Answer::Rewrite(format!("for {of}").into()),
            _ => Answer::Pass,
        }
    }
}

async fn ask(client: &Client, exchange: &str, payload: &'static str) -> Result<String, RequestError> {
    let options = RequestOptions {
        timeout: LONG,
        ..RequestOptions::default()
    };
    let reply = client.request(exchange, payload, options).await?;
    Ok(String::from_utf8(reply.payload.to_vec()).expect("text"))
}

/// A30: the whole of it, from client to client; the service's handler knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_middleware_of_each_other() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let node = node(&dir).await;
    let (serving, asking) = (client(&node).await, client(&node).await);
    declare(&node, &serving, "auth", &[]).await;
    declare(&node, &serving, "other", &[]).await;
    declare(&node, &serving, "orders", &["auth"]).await;
    let missing = ask(&asking, "orders", "x").await;
    assert!(
        matches!(&missing, Err(RequestError::NoMiddleware(words)) if words.contains("'auth'")),
        "{missing:?}"
    );
    let mut attached = Vec::new();
    for exchange in ["auth", "other", "orders"] {
        let options = AttachOptions::default();
        attached.push(serving.attach(exchange, options, Judge).await.expect("attached"));
    }
    for (payload, expected) in [
        ("x", Ok("x".into())),
        ("rewrite", Ok("for orders".into())),
        ("elsewhere", Ok("elsewhere".into())),
        ("decline", Err(RequestError::Declined("not to orders".into()))),
        ("panic", Err(RequestError::Failed("as asked".into()))),
        ("y", Ok("y".into())),
    ] {
        assert_eq!(ask(&asking, "orders", payload).await, expected, "{payload}");
    }
    let events = node.events().read(0).events;
    let panicked = events.iter().find(|event| event.kind == "handler-panicked");
    let panicked = panicked.expect("a client's handler's panic is in the timeline");
    assert!(panicked.text.ends_with("panicked: as asked"), "{}", panicked.text);
    assert_eq!(panicked.subject, "auth");
    serving.close().await;
    asking.close().await;
    tokio::task::spawn_blocking(move || node.stop())
        .await
        .expect("no panic")
        .expect("it ran to its end");
}
