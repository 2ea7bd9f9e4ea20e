//! What can go wrong with the switch as a whole. What peers send is never an error here: it is answered or counted.

use std::net::SocketAddr;

/// Why the switch or the phones stopped.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The socket cannot be opened.
    #[error("cannot listen on udp {address}: {source}; is another process using the port?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// TCP or TLS cannot listen there.
    #[error("cannot listen on tcp {address}: {source}; is another process using the port?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file of `[switch.tls]` cannot be used.
    #[error("{}: {why}; give a PEM file that this user may read", file.display())]
    Certificate {
        /// Which.
        file: std::path::PathBuf,
        /// Why.
        why: String,
    },
    /// The directory of the trace cannot be used.
    #[error("SIP trace cannot be kept in {}: {source}; make it writable, or set switch.trace_bytes_max = 0", dir.display())]
    Trace {
        /// Which.
        dir: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The socket broke.
    #[error("udp socket {address} failed: {source}")]
    Socket {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody takes the events any more.
    #[error("the receiver of call events is gone; calls cannot be recorded, so none can be carried")]
    EventsClosed,
}

impl SwitchError {
    /// Stable; explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            SwitchError::Config(_) => "SWI001",
            SwitchError::Bind { .. } => "SWI002",
            SwitchError::Socket { .. } => "SWI003",
            SwitchError::EventsClosed => "SWI004",
            SwitchError::Listen { .. } => "SWI005",
            SwitchError::Certificate { .. } => "SWI006",
            SwitchError::Trace { .. } => "SWI007",
        }
    }
}
