//! Sticky bindings of an exchange, asked of its owner: bound and taken back by hand, and shown.

use std::future::Future;
use std::time::Duration;

use squall_proto::v1;
use squall_proto::v1::admin_client::AdminClient;
use tonic::Status;
use tonic::transport::Channel;

use super::asking::{ANSWER_WITHIN, CALL_WITHIN, answered, contact};
use super::{Operator, OperatorError};

/// Which binding is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// That of requests with this key, at most 255 bytes, and this service tag, empty for none. Under `sticky-fun` the
    /// exchange's function is asked with both, and with an empty payload.
    Key {
        /// Key.
        key: Vec<u8>,
        /// Service tag.
        service_tag: String,
    },
    /// That of a signature as it is listed: 16 hexadecimal digits.
    Signature(String),
}

impl Binding {
    /// That of requests with this key and no service tag.
    #[must_use]
    pub fn of_key(key: impl Into<Vec<u8>>) -> Self {
        Self::Key {
            key: key.into(),
            service_tag: String::new(),
        }
    }

    fn told(&self) -> v1::BindingKey {
        match self {
            Self::Key { key, service_tag } => v1::BindingKey {
                key: key.clone().into(),
                service_tag: service_tag.clone().into(),
                signature: String::new(),
            },
            Self::Signature(signature) => v1::BindingKey {
                signature: signature.clone(),
                ..v1::BindingKey::default()
            },
        }
    }
}

/// Which bindings to show; by default the first hundred.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BindingsPage {
    /// Only this one.
    pub binding: Option<Binding>,
    /// Only those of the handler with this pid.
    pub handler: Option<String>,
    /// Only those after this signature: the last one of the page before.
    pub after: Option<String>,
    /// At most so many, up to 1000; 0 for 100.
    pub limit: u32,
}

impl Operator {
    /// Binds a key of a `sticky` or `sticky-fun` exchange to an attached handler, and with `rebind` takes it from another one
    /// that has it. Returns once the handler's node keeps it, and the other one's node has forgotten it: from then on requests
    /// with the key go to the handler, also when the owner is killed. Bound to it already, nothing changes.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), squall_client::OperatorError> {
    /// use squall_client::Operator;
    /// use squall_client::operator::{Binding, BindingsPage};
    ///
    /// let operator = Operator::new(["127.0.0.1:7401"])?;
    /// let key = Binding::of_key("customer-7");
    /// let bound = operator.bind("orders", &key, "<b.12>", true).await?;
    /// println!("signature {} is at node {}", bound.signature, bound.node);
    /// let page = operator.bindings("orders", &BindingsPage::default()).await?;
    /// assert!(page.bindings.iter().any(|binding| binding.signature == bound.signature));
    /// operator.unbind("orders", &key).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`OperatorError::Refused`]: there is no such exchange, it is not sticky, the handler is not attached to it or of
    /// another group, another one has the key, or there is no room. [`OperatorError::Unavailable`]: not now.
    /// [`OperatorError::Unknown`]: a node did not answer in time; the same may be asked again.
    pub async fn bind(
        &self,
        exchange: &str,
        binding: &Binding,
        handler: &str,
        rebind: bool,
    ) -> Result<v1::BindKeyResponse, OperatorError> {
        let request = v1::BindKeyRequest {
            exchange: exchange.into(),
            binding: Some(binding.told()),
            handler: handler.into(),
            rebind,
        };
        self.ask_owner(exchange, CALL_WITHIN, request, |mut admin, request| async move {
            admin.bind_key(request).await
        })
        .await
    }

    /// Takes a key back: the next request with it is bound as if it were new. Returns once the node of the handler that had
    /// it has forgotten it. Where nobody had it, nothing changes.
    ///
    /// # Errors
    /// [`OperatorError`], as with [`Operator::bind`].
    pub async fn unbind(
        &self,
        exchange: &str,
        binding: &Binding,
    ) -> Result<v1::UnbindKeyResponse, OperatorError> {
        let request = v1::UnbindKeyRequest {
            exchange: exchange.into(),
            binding: Some(binding.told()),
        };
        self.ask_owner(exchange, CALL_WITHIN, request, |mut admin, request| async move {
            admin.unbind_key(request).await
        })
        .await
    }

    /// A page of the bindings of an exchange, by signature. What changes between two pages may be missing or shown as it
    /// was.
    ///
    /// # Errors
    /// [`OperatorError`]: there is no such exchange, it is not sticky, or its owner cannot be asked.
    pub async fn bindings(
        &self,
        exchange: &str,
        page: &BindingsPage,
    ) -> Result<v1::ListBindingsResponse, OperatorError> {
        let request = v1::ListBindingsRequest {
            exchange: exchange.into(),
            binding: page.binding.as_ref().map(Binding::told),
            handler: page.handler.clone().unwrap_or_default(),
            after: page.after.clone().unwrap_or_default(),
            limit: page.limit,
        };
        let told = self.ask_owner(
            exchange,
            ANSWER_WITHIN,
            request,
            |mut admin, request| async move { admin.list_bindings(request).await },
        );
        told.await.map_err(|error| match error {
            // It is a question: nothing can have been done.
            OperatorError::Unknown(why) => OperatorError::Unavailable(why),
            other => other,
        })
    }

    async fn ask_owner<R, T, F>(
        &self,
        exchange: &str,
        within: Duration,
        request: R,
        call: impl Fn(AdminClient<Channel>, R) -> F,
    ) -> Result<T, OperatorError>
    where
        R: Clone,
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let Some(owner) = self.owner_of(exchange).await? else {
            // Whoever answers says why there is none.
            return self.ask(request, call).await;
        };
        let admin = contact(owner.grpc_addr.clone())?.admin;
        answered(within, call(admin, request))
            .await
            .map_err(|error| of_owner(exchange, &owner, error))
    }
}

/// An owner that has just been lost is asked until the registry names another one.
fn of_owner(exchange: &str, owner: &v1::Member, error: OperatorError) -> OperatorError {
    let words = |why: &str| {
        let (node, addr) = (&owner.name, &owner.grpc_addr);
        format!("exchange '{exchange}', asked of its owner, node {node} at {addr}: {why}")
    };
    match error {
        OperatorError::Unavailable(why) => OperatorError::Unavailable(words(&why)),
        OperatorError::Unknown(why) => OperatorError::Unknown(words(&why)),
        decided => decided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_is_in_doubt_is_named_and_a_refusal_keeps_its_words() {
        let owner = v1::Member {
            name: "b".into(),
            grpc_addr: "127.0.0.1:7411".into(),
            ..v1::Member::default()
        };
        let said = |error| of_owner("orders", &owner, error);
        let OperatorError::Unknown(words) = said(OperatorError::Unknown("no answer".into())) else {
            panic!("it may have been done");
        };
        for part in ["'orders'", "node b at 127.0.0.1:7411", "no answer"] {
            assert!(words.contains(part), "{words}");
        }
        let refused = OperatorError::Refused("there is no exchange 'orders'".into());
        assert_eq!(said(refused.clone()), refused);
    }

    #[test]
    fn a_signature_stands_for_itself() {
        let told = Binding::Signature("00000000deadbeef".into()).told();
        assert_eq!(
            (told.signature.as_str(), told.key.is_empty()),
            ("00000000deadbeef", true)
        );
        let told = Binding::of_key("k").told();
        assert_eq!(
            (told.key.as_ref(), told.signature.is_empty()),
            (b"k".as_slice(), true)
        );
    }
}
