//! What the client library tells us besides what it was asked: its log, and errors of connections.

use std::sync::{Arc, Mutex, PoisonError};

use model::Topic;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{debug, error, info, warn};

use super::ends::Ends;
use crate::OFFSET_UNKNOWN;

/// Shared by all clients of one bus.
#[derive(Clone)]
pub(super) struct Context {
    /// What went wrong last with a connection: the library's own answers to requests are only that they timed out.
    trouble: Arc<Mutex<Option<String>>>,
    ends: Arc<Ends>,
}

impl Context {
    pub(super) fn new(ends: Arc<Ends>) -> Self {
        Self { trouble: Arc::default(), ends }
    }

    /// `why`, and what went wrong before it.
    pub(super) fn explain(&self, why: &dyn std::fmt::Display) -> String {
        match self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(trouble) => format!("{why} ({trouble})"),
            None => why.to_string(),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, what: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(what, message, "kafka client");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!(what, message, "kafka client"),
            RDKafkaLogLevel::Notice => info!(what, message, "kafka client"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => debug!(what, message, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Connections come and go; whoever waits for one tells its user.
        debug!(%error, reason, "kafka connection");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // Says nothing of why.
            return;
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ConsumerContext for Context {}

/// One append, until each of its records is acknowledged.
pub(super) struct Pending {
    state: Mutex<PendingState>,
}

struct PendingState {
    offsets: Vec<u64>,
    n_open: usize,
    failed: Option<String>,
    reply: Option<oneshot::Sender<Result<Vec<u64>, String>>>,
    /// Given back when all is said, even if nobody waits any more.
    _room: OwnedSemaphorePermit,
}

impl Pending {
    pub(super) fn new(
        n_entries: usize,
        room: OwnedSemaphorePermit,
    ) -> (Arc<Self>, oneshot::Receiver<Result<Vec<u64>, String>>) {
        let (reply, acknowledged) = oneshot::channel();
        let state = PendingState {
            offsets: vec![OFFSET_UNKNOWN; n_entries],
            n_open: n_entries,
            failed: None,
            reply: Some(reply),
            _room: room,
        };
        (Arc::new(Self { state: Mutex::new(state) }), acknowledged)
    }

    /// What became of `n` of its records, the first being `idx`.
    pub(super) fn settle(&self, idx: usize, n: usize, outcome: Result<u64, String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(offset) => state.offsets[idx] = offset,
            Err(why) => {
                state.failed.get_or_insert(why);
            }
        }
        state.n_open -= n;
        if state.n_open == 0
            && let Some(reply) = state.reply.take()
        {
            let answer = match state.failed.take() {
                Some(why) => Err(why),
                None => Ok(std::mem::take(&mut state.offsets)),
            };
            // The caller may have gone.
            let _ = reply.send(answer);
        }
    }
}

/// One record on its way.
pub(super) struct Delivery {
    pub(super) pending: Arc<Pending>,
    pub(super) idx: usize,
    pub(super) topic: Topic,
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => {
                let offset = u64::try_from(message.offset()).unwrap_or(OFFSET_UNKNOWN);
                if let (true, Ok(partition)) = (offset != OFFSET_UNKNOWN, u32::try_from(message.partition()))
                {
                    self.ends.reached(delivery.topic, partition, offset + 1);
                }
                Ok(offset)
            }
            Err((why, _)) => Err(self.explain(why)),
        };
        delivery.pending.settle(delivery.idx, 1, outcome);
    }
}
