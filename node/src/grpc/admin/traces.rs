//! The admin service's part about traces: which share of messages is traced at this node.

use squall_proto::v1;

use super::{AdminService, Proposer};
use crate::grpc::membership::Membership;
use crate::grpc::status::CallError;
use crate::introspect::Sources;
use crate::telemetry::Share;

impl<P: Proposer + Membership, S: Sources> AdminService<P, S> {
    pub(super) fn traced(&self, asked: v1::TracingRequest) -> Result<v1::TracingResponse, CallError> {
        let spans = self.sources.spans();
        let Some(sampling) = spans.sampling() else {
            let node = self.sources.node().to_string();
            return Err(CallError::NoTraces { node });
        };
        let before = sampling.share();
        if let Some(share) = asked.share {
            let share = Share::new(share).map_err(|error| CallError::Invalid {
                field: "share",
                reason: error.to_string(),
            })?;
            sampling.set(share);
            tracing::info!(
                from = before.get(),
                to = share.get(),
                "the share of traced messages is changed"
            );
        }
        let figures = spans.figures();
        Ok(v1::TracingResponse {
            node: self.sources.node().to_string(),
            share: sampling.share().get(),
            before: before.get(),
            exported: figures.exported,
            dropped: figures.dropped,
            failed: figures.failed,
        })
    }
}
