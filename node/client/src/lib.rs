//! What services use: attach, request, reply; the one `Handler` trait.
//!
//! A [`Client`] keeps one connection to any node of a cluster, over native frames. It fails over among the addresses it
//! was given and the members it learns, and attaches its handlers again by itself.
//!
//! ```
//! use squall_client::{Client, ConnectOptions, RequestOptions};
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut scene = scene::Scene::with("users", "request-response", "round-robin").await;
//! # scene.answer("users", "Ada").await;
//! # let addresses = scene.addresses.clone();
//! // Of some nodes, such as "127.0.0.1:7400".
//! let client = Client::connect(ConnectOptions::new(addresses)).await?;
//! let reply = client.request("users", "who is 7?", RequestOptions::default()).await?;
//! assert_eq!(reply.payload, "Ada");
//! # Ok(())
//! # }
//! ```
//!
//! What does not live here: routing, leaders, deadlines of the cluster; the requester's node decides every outcome.

mod addresses;
mod ask;
pub mod attachment;
mod backoff;
pub mod chunks;
mod client;
mod connection;
pub mod error;
pub mod handler;
pub mod leadership;
mod limits;
mod lines;
mod link;
pub mod operator;
pub mod options;
pub mod publish;
mod replies;
mod state;
pub mod subscription;
pub mod talk;
pub mod tasks;

pub use attachment::{Attachment, AttachmentCounts};
pub use chunks::{CHUNKS_DEFAULT, Chunk, Chunks};
pub use client::{Client, Declared};
pub use error::{AttachError, CommandError, ConnectError, Ended, Invalid, RequestError};
pub use handler::{Answer, Delivery, Handler, Notice, NoticeKind, Restart, ServerInfo, Supervision};
pub use leadership::{
    Context, FencingToken, LeaderGuard, Leadership, LeadershipChange, LeaseOver, NotLeading,
};
pub use limits::{CREDIT_DEFAULT, CREDIT_MAX};
pub use operator::{Certificate, Operator, OperatorError, Traced};
pub use options::{AttachOptions, ConnectOptions, Declaration, RequestOptions};
pub use publish::{PublishError, PublishOptions, PublishReceipt};
pub use replies::{Replies, Reply};
pub use squall_kernel::publishing::Confirm;
pub use subscription::{Event, SubscribeError, SubscribeOptions, Subscription};
pub use talk::{ChunkSender, Talk, TalkError};
pub use tasks::{Done, SettleError, SubmitOptions, Task, WorkOptions, Worker};
