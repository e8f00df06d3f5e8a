//! Passes a merged batch to the library: as one payload, or as a batch that the library holds.

use std::time::Duration;

use otlp2iceberg::{Batch, Delivery, Export, Outcome, Part, Pipeline, Result, Signal};
use tokio_util::sync::CancellationToken;

use crate::requests::OtlpRequest;

/// The requests of one batch, for all calls that it takes.
pub(crate) enum Sending {
    /// As the Lambda passes them.
    Payload {
        signal: Signal,
        payload: Vec<u8>,
        parts: Vec<Part>,
    },
    /// As the Collector passes them: the library releases the bytes when it can.
    Batch(Box<Batch>),
}

impl Sending {
    /// As one payload.
    pub(crate) fn payload(requests: &[OtlpRequest]) -> Self {
        let part = |request: &OtlpRequest| Part {
            id: request.id,
            len: request.payload.len() as u64,
        };
        Sending::Payload {
            signal: requests[0].signal,
            payload: requests
                .iter()
                .flat_map(|request| request.payload.clone())
                .collect(),
            parts: requests.iter().map(part).collect(),
        }
    }

    /// As a batch; `redelivered` when another generation may have sent part of it.
    ///
    /// # Errors
    /// None, unless the library has a bug.
    pub(crate) fn batch(requests: &[OtlpRequest], redelivered: bool) -> Result<Self> {
        let mut batch = Batch::new(requests[0].signal);
        for request in requests {
            let mut next = Batch::new(request.signal);
            next.append(request.id, &request.payload)?;
            batch.merge(&mut next)?;
        }
        if redelivered {
            batch.set_redelivered();
        }
        Ok(Sending::Batch(Box::new(batch)))
    }

    /// Makes one call.
    ///
    /// # Errors
    /// Any error of the library.
    pub(crate) async fn export(
        &mut self,
        pipeline: &Pipeline,
        received_unix_nano: u64,
        cancel: CancellationToken,
        timeout: Duration,
    ) -> Result<Outcome> {
        match self {
            Sending::Payload {
                signal,
                payload,
                parts,
            } => {
                let export = Export {
                    signal: *signal,
                    payload,
                    parts,
                    received_unix_nano,
                    cancel,
                    timeout,
                };
                pipeline.export(export).await
            }
            Sending::Batch(batch) => {
                let delivery = Delivery {
                    received_unix_nano,
                    cancel,
                    timeout,
                };
                pipeline.export_batch(batch, delivery).await
            }
        }
    }
}
