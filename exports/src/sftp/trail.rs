//! What users did, as values for whoever keeps them: logins, files fetched and how much of them, files put, renamed
//! and deleted.
//!
//! Events go into a bounded channel, and whoever makes one waits while it is full: a trail that forgets under load is
//! none.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tracing::warn;

/// Events on their way to the store at most; a session waits for its place.
pub const EVENTS_WAITING_MAX: usize = 1_000;

/// Pieces of one file remembered while it is open. A client that reads in more pieces than that in no order is not
/// found to have read all of it.
const PIECES_MAX: usize = 1_024;

/// What one user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEvent {
    /// From where.
    pub peer: SocketAddr,
    /// Who; of a refused login the first 16 characters of what was given as a name.
    pub user: String,
    /// What.
    pub action: TrailAction,
}

/// What it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrailAction {
    /// Logged in.
    Login {
        /// `publickey` or `password`.
        method: &'static str,
    },
    /// Was refused.
    Refused {
        /// `publickey` or `password`.
        method: &'static str,
    },
    /// Its address was banned.
    Banned {
        /// For so long.
        seconds: u64,
    },
    /// Looked into a directory.
    Listed {
        /// As the user sees it.
        path: String,
    },
    /// Read a file, or some of it.
    Fetched {
        /// As the user sees it.
        path: String,
        /// As the file system does.
        real: PathBuf,
        /// Its length.
        size: u64,
        /// First byte read, and the one after the last.
        from: u64,
        /// See `from`.
        to: u64,
        /// Different bytes read.
        n_bytes: u64,
    },
    /// Put a file.
    Put {
        /// As the user sees it.
        path: String,
        /// Its length.
        size: u64,
        /// Whether the client closed it; what it broke off is not kept.
        is_complete: bool,
    },
    /// Renamed a file.
    Renamed {
        /// As the user sees it.
        path: String,
        /// Where it was.
        real: PathBuf,
        /// Its new name.
        to: String,
    },
    /// Deleted a file.
    Deleted {
        /// As the user sees it.
        path: String,
        /// Where it was.
        real: PathBuf,
        /// Its length.
        size: u64,
    },
}

impl TrailAction {
    /// The word in lists and in the store.
    pub const fn as_str(&self) -> &'static str {
        match self {
            TrailAction::Login { .. } => "login",
            TrailAction::Refused { .. } => "refused",
            TrailAction::Banned { .. } => "banned",
            TrailAction::Listed { .. } => "listed",
            TrailAction::Fetched { .. } => "fetched",
            TrailAction::Put { .. } => "put",
            TrailAction::Renamed { .. } => "renamed",
            TrailAction::Deleted { .. } => "deleted",
        }
    }
}

/// Where events go.
#[derive(Debug, Clone)]
pub(super) struct Trail {
    sender: mpsc::Sender<TrailEvent>,
}

impl Trail {
    pub(super) fn new(sender: mpsc::Sender<TrailEvent>) -> Self {
        Self { sender }
    }

    /// Waits for its place.
    pub(super) async fn tell(&self, peer: SocketAddr, user: &str, action: TrailAction) {
        let event = TrailEvent { peer, user: user.to_owned(), action };
        if self.sender.send(event).await.is_err() {
            warn!(%peer, user, "an sftp event has nobody to keep it");
        }
    }

    /// From where nothing can wait, such as the end of a session.
    pub(super) fn tell_later(&self, peer: SocketAddr, user: &str, action: TrailAction) {
        let (trail, user) = (self.clone(), user.to_owned());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move { trail.tell(peer, &user, action).await });
            }
            Err(_) => warn!(%peer, user, action = action.as_str(), "an sftp event came too late to be kept"),
        }
    }
}

/// Which bytes of a file were read, in whatever order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// In order, apart from each other: first byte, and the one after the last.
    pieces: Vec<(u64, u64)>,
}

impl Pieces {
    pub(super) fn add(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        // Nearly always the next piece follows the last.
        if let Some(last) = self.pieces.last_mut()
            && last.1 == from
        {
            last.1 = to;
            return;
        }
        let begin = self.pieces.partition_point(|(_, end)| *end < from);
        let end = self.pieces.partition_point(|(start, _)| *start <= to);
        let (mut from, mut to) = (from, to);
        if begin < end {
            from = from.min(self.pieces[begin].0);
            to = to.max(self.pieces[end - 1].1);
        } else if self.pieces.len() >= PIECES_MAX {
            return;
        }
        self.pieces.splice(begin..end, [(from, to)]);
    }

    /// Different bytes.
    pub(super) fn n_bytes(&self) -> u64 {
        self.pieces.iter().map(|(from, to)| to - from).sum()
    }

    /// From the first to the last.
    pub(super) fn span(&self) -> (u64, u64) {
        match (self.pieces.first(), self.pieces.last()) {
            (Some((from, _)), Some((_, to))) => (*from, *to),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_count_each_byte_once_in_any_order(reads in prop::collection::vec((0_u64..200, 0_u64..30), 0..60)) {
            let mut pieces = Pieces::default();
            let mut seen = [false; 256];
            for (from, len) in &reads {
                pieces.add(*from, from + len);
                for byte in *from..from + len {
                    seen[usize::try_from(byte).unwrap()] = true;
                }
            }
            let count = seen.iter().filter(|is_seen| **is_seen).count() as u64;
            prop_assert_eq!(pieces.n_bytes(), count);
            let first = seen.iter().position(|is_seen| *is_seen).unwrap_or(0) as u64;
            let end = seen.iter().rposition(|is_seen| *is_seen).map_or(0, |at| at as u64 + 1);
            prop_assert_eq!(pieces.span(), (first, end));
        }
    }

    #[test]
    fn memory_of_pieces_is_bounded() {
        let mut pieces = Pieces::default();
        for n in 0..10_000 {
            pieces.add(n * 10, n * 10 + 1);
        }
        assert_eq!(pieces.pieces.len(), PIECES_MAX);
    }
}
