// What the examples of the documentation run against: a node of its own with one exchange, and handlers that they ask. Put
// into each of them, out of sight, so that `cargo test --doc` carries them out; nothing else uses it.

mod scene {
    use std::net::SocketAddr;
    use std::time::Duration;

    use squall_client::{
        Answer, AttachOptions, Attachment, Client, ConnectOptions, Declaration, Delivery, Handler,
    };
    use squall_kernel::founding::Founding;
    use squall_kernel::id::{ExchangeName, NodeName};
    use squall_kernel::profile::Profile;
    use squall_kernel::registry::{Pattern, Strategy};
    use squall_node::datadir::DataDir;
    use squall_node::death::Proofs;
    use squall_node::node::{Node, NodeOptions};

    const LONG: Duration = Duration::from_secs(60);

    pub struct Scene {
        pub client: Client,
        pub addresses: Vec<String>,
        attached: Vec<Attachment>,
        // Before its directory, which goes with it.
        node: Option<Node>,
        _dir: tempfile::TempDir,
    }

    impl Scene {
        /// A node, an exchange of a pattern and strategy by their words, and a client.
        pub async fn with(exchange: &str, pattern: &str, strategy: &str) -> Self {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let node = node(&dir).await;
            let addresses = vec![node.introduction().mesh_addr.clone()];
            let options = ConnectOptions {
                connect_within: LONG,
                ..ConnectOptions::new(addresses.clone())
            };
            let client = Client::connect(options).await.expect("connected");
            declare(&node, &client, exchange, pattern, strategy).await;
            Self {
                client,
                addresses,
                attached: Vec::new(),
                node: Some(node),
                _dir: dir,
            }
        }

        /// A handler that always says the same.
        pub async fn answer(&mut self, exchange: &str, with: &'static str) {
            self.attach(exchange, Always(with)).await;
        }

        pub async fn attach(&mut self, exchange: &str, handler: impl Handler) {
            let attached = self.client.attach(exchange, AttachOptions::default(), handler).await;
            self.attached.push(attached.expect("attached"));
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            if let Some(node) = self.node.take() {
                node.leave_at_once();
            }
        }
    }

    async fn node(dir: &tempfile::TempDir) -> Node {
        let options = NodeOptions {
            data_workers: 1,
            ..NodeOptions::alone(NodeName::new("a").expect("a good name"), b"")
        };
        let node = Node::start(DataDir::open(dir.path()).expect("fresh"), options).expect("the node starts");
        let mut opinion = node.opinion();
        opinion
            .wait_for(|o| o.leads && o.waiting_for.is_empty())
            .await
            .expect("the node runs");
        node
    }

    async fn declare(node: &Node, client: &Client, exchange: &str, pattern: &str, strategy: &str) {
        let name = ExchangeName::new(exchange).expect("a good name");
        let declaration = Declaration {
            pattern: Pattern::parse(pattern).expect("a pattern"),
            ..Declaration::new(name.clone(), Strategy::parse(strategy).expect("a strategy"))
        };
        client.declare(declaration, LONG).await.expect("declared");
        // The data plane hears of it a moment later; the control side publishes its opinion after that.
        let mut opinion = node.opinion();
        opinion
            .wait_for(|_| node.lookup(&name).is_some())
            .await
            .expect("the node runs");
    }

    struct Always(&'static str);

    impl Handler for Always {
        async fn handle(&mut self, _delivery: Delivery) -> Answer {
            Answer::Reply(self.0.into())
        }
    }
}
