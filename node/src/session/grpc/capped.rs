//! The session service with its refusals counted: a single request above the bound never reaches the service's own code.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tonic::Code;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;

use super::count_unread;
use crate::data::DataContext;

/// A service whose messages are bounded, and counted where they are above the bound.
#[derive(Clone)]
pub struct Capped<S> {
    inner: S,
    context: Arc<DataContext>,
}

impl<S> Capped<S> {
    pub(super) fn new(inner: S, context: Arc<DataContext>) -> Self {
        Self { inner, context }
    }
}

impl<S: NamedService> NamedService for Capped<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, In, Out> Service<Request<In>> for Capped<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let (answer, context) = (self.inner.call(request), Arc::clone(&self.context));
        Box::pin(async move {
            let response = answer.await?;
            // Only what ends before it began has its status here: a stream's comes after its messages.
            if let Some(status) = response.headers().get("grpc-status") {
                let faults = &context.wire.tally.client_faults;
                count_unread(faults, Code::from_bytes(status.as_bytes()));
            }
            Ok(response)
        })
    }
}
