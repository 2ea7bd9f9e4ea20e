//! The one place that reads the clock. Everything else is handed a [`Moment`].

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use model::Moment;

/// The machine's clock, wall and monotonic.
#[derive(Debug, Clone)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// Starts counting monotonic time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// One reading.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Moment {
        Moment { wall: Utc::now(), mono: self.began.elapsed() }
    }

    /// UTC alone.
    pub fn utc(&self) -> DateTime<Utc> {
        self.now().wall
    }

    /// For rooms that read it often.
    pub fn shared(&self) -> Arc<dyn Fn() -> Moment + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}
