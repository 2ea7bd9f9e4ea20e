//! Keeps the SIP trace in a ring of files: the oldest is dropped when all are full.
//!
//! The switch's task fills a buffer; a thread of its own writes it. When the disk is slower than the traffic, buffers are dropped and counted: a
//! trace must never hold up a call.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use model::{CallEvent, EventBody, Moment};
use tracing::warn;

use crate::{Hop, trace};

/// Files of the ring.
const FILES: u64 = 8;
/// A buffer is handed to the writer when it is this large or this old.
const BUFFER_BYTES: usize = 256 << 10;
const BUFFER_AGE: Duration = Duration::from_millis(200);
/// Buffers waiting for the writer.
const BUFFERS_WAITING_MAX: usize = 16;

/// The trace, as the switch's task sees it.
pub(super) struct Tracer {
    buffer: Vec<u8>,
    began: Duration,
    to: SyncSender<Vec<u8>>,
    n_dropped: u64,
}

impl Tracer {
    /// Writes to `dir`, which is made if need be, and keeps about `bytes_max` there.
    pub(super) fn start(dir: &Path, bytes_max: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (to, waiting) = sync_channel(BUFFERS_WAITING_MAX);
        let (dir, file_bytes) = (dir.to_owned(), (bytes_max / FILES).max(1));
        std::thread::Builder::new()
            .name("sip-trace".to_owned())
            .spawn(move || write(&dir, file_bytes, &waiting))?;
        Ok(Self { buffer: Vec::with_capacity(BUFFER_BYTES), began: Duration::ZERO, to, n_dropped: 0 })
    }

    /// A message crossed a socket.
    pub(super) fn message(&mut self, now: Moment, is_sent: bool, hop: Hop, bytes: &[u8]) {
        self.begin(now);
        trace::push_message(
            &mut self.buffer,
            micros(now),
            is_sent,
            hop.transport,
            canonical(hop.address),
            bytes,
        );
        self.hand_over_if_due(now);
    }

    /// An event may tie a Call-ID to a call.
    pub(super) fn event(&mut self, now: Moment, event: &CallEvent) {
        let id = match &event.body {
            EventBody::Attempt(attempt) => &attempt.sip_call_id,
            EventBody::RouteAttempt(route) => &route.sip_call_id,
            EventBody::Rejected(_)
            | EventBody::RouteResult(_)
            | EventBody::Progress(_)
            | EventBody::Answer(_)
            | EventBody::Update(_)
            | EventBody::ChargeTick(_)
            | EventBody::End(_)
            | EventBody::Forwarded(_)
            | EventBody::Registration(_)
            | EventBody::TrunkState(_)
            | EventBody::Security(_)
            | EventBody::NodeStarted(_)
            | EventBody::Provisioned(_) => return,
        };
        let Some(call) = &event.call else { return };
        self.begin(now);
        trace::push_link(&mut self.buffer, micros(now), call, id);
    }

    /// When the buffer should be handed over at the latest.
    pub(super) fn due(&self, now: Moment) -> Option<Duration> {
        (!self.buffer.is_empty()).then(|| (self.began + BUFFER_AGE).saturating_sub(now.mono))
    }

    /// Hands the buffer to the writer if it is large or old.
    pub(super) fn hand_over_if_due(&mut self, now: Moment) {
        let is_due = self.buffer.len() >= BUFFER_BYTES || now.mono >= self.began + BUFFER_AGE;
        if self.buffer.is_empty() || !is_due {
            return;
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(BUFFER_BYTES));
        if self.to.try_send(full).is_err() {
            self.n_dropped += 1;
            if self.n_dropped.is_power_of_two() {
                warn!(n_dropped = self.n_dropped, "parts of the SIP trace are lost: the disk is too slow");
            }
        }
    }

    fn begin(&mut self, now: Moment) {
        if self.buffer.is_empty() {
            self.began = now.mono;
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut self.buffer);
        let _ = self.to.try_send(rest);
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn micros(now: Moment) -> u64 {
    u64::try_from(now.wall.timestamp_micros()).unwrap_or(0)
}

fn write(dir: &Path, file_bytes: u64, waiting: &Receiver<Vec<u8>>) {
    use std::io::Write as _;
    let mut number = files(dir).last().map_or(1, |(number, _)| number + 1);
    let mut open: Option<(std::fs::File, u64)> = None;
    while let Ok(buffer) = waiting.recv() {
        let length = u64::try_from(buffer.len()).unwrap_or(0);
        if open.as_ref().is_some_and(|(_, written)| written + length > file_bytes) {
            open = None;
            number += 1;
        }
        let outcome = match &mut open {
            Some((file, written)) => {
                *written += length;
                file.write_all(&buffer)
            }
            None => std::fs::File::create(dir.join(format!("{number:012}.trace"))).and_then(|mut file| {
                for (_, old) in files(dir).iter().filter(|(old, _)| old + FILES <= number) {
                    std::fs::remove_file(old)?;
                }
                file.write_all(&buffer)?;
                open = Some((file, length));
                Ok(())
            }),
        };
        if let Err(error) = outcome {
            warn!(%error, dir = %dir.display(), "SIP trace cannot be written");
            open = None;
        }
    }
}

/// The files of the ring, oldest first.
pub(super) fn files(dir: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(found) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<(u64, PathBuf)> = found
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_suffix(".trace")?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    files.sort();
    files
}

/// Reads the trace in `dir`, oldest file first; for [`trace::find_call`].
///
/// # Errors
///
/// A file that cannot be read.
pub fn read_trace(dir: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut read = Vec::new();
    for (_, file) in files(dir) {
        match std::fs::read(file) {
            Ok(bytes) => read.push(bytes),
            // The running switch has just dropped its oldest.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_keeps_the_latest_and_no_more_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let call = |n: u64| {
            format!("OPTIONS sip:x SIP/2.0\r\nCall-ID: {n}\r\nX-Filler: {}\r\n\r\n", "x".repeat(900))
                .into_bytes()
        };
        let moment = |n: u64| Moment {
            wall: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(n.cast_signed()),
            mono: Duration::from_secs(n),
        };
        let hop = Hop::udp("192.0.2.7:5060".parse().unwrap());
        let mut tracer = Tracer::start(dir.path(), 40_000).unwrap();
        for n in 1..200 {
            tracer.message(moment(n), n % 2 == 0, hop, &call(n));
            // Each second is a buffer of its own; the writer must keep up for this test.
            while tracer.to.try_send(Vec::new()).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let wait_for = |call: &str| {
            let is_written = || !trace::find_call(&read_trace(dir.path()).unwrap(), call).is_empty();
            (0..3_000).find(|_| {
                is_written() || {
                    std::thread::sleep(Duration::from_millis(10));
                    false
                }
            })
        };
        // The last buffer is handed over when the tracer goes; the writer must have room for it.
        wait_for("198").expect("the writer came to call 198");
        drop(tracer);
        wait_for("199").expect("the writer came to call 199");
        let kept = read_trace(dir.path()).unwrap();
        assert!(kept.len() <= 8, "{}", kept.len());
        assert!(kept.iter().map(Vec::len).sum::<usize>() < 48_000);
        assert_eq!(trace::find_call(&kept, "199").len(), 1);
        assert_eq!(trace::find_call(&kept, "1").len(), 0, "the oldest are gone");
    }
}
