//! A stream that hangs up on messages that are too long, before they are kept, and on whoever does not take what is sent.
//!
//! The protocol's library collects a message until all of it is there, and takes up to 1 GiB from people who have not signed in yet.
//! So the word with its length is read here, as it goes by.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes of a message of somebody who has not signed in: settings, a password.
const STRANGER_BYTES_MAX: usize = 30_000;
/// And of somebody who has: a statement, the values of its parameters.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// Whoever takes nothing for so long is hung up on.
const SEND_MAX: Duration = Duration::from_secs(60);

pub(super) struct Measured<S> {
    inner: S,
    bytes_max: usize,
    /// What is known of the head of the message that goes by: letter and length; the first message has no letter.
    head: Vec<u8>,
    head_bytes: usize,
    /// Bytes of it that are still to come.
    left: usize,
    is_too_long: bool,
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Measured<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            bytes_max: STRANGER_BYTES_MAX,
            head: Vec::new(),
            head_bytes: 4,
            left: 0,
            is_too_long: false,
            waits: None,
        }
    }

    /// Whoever is at the other end has signed in.
    pub(super) fn let_in(&mut self) {
        self.bytes_max = BYTES_MAX;
    }

    /// Whether it was ended for a message that is too long.
    pub(super) fn was_too_long(&self) -> bool {
        self.is_too_long
    }

    /// Follows what was read; whether all of it may be kept.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.left > 0 {
                let gone = self.left.min(bytes.len());
                self.left -= gone;
                bytes = &bytes[gone..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if self.head.len() < self.head_bytes {
                continue;
            }
            // The length counts itself.
            let word = self.head.last_chunk::<4>().copied().unwrap_or_default();
            let length = usize::try_from(u32::from_be_bytes(word)).unwrap_or(usize::MAX);
            if length > self.bytes_max {
                return false;
            }
            self.left = length.saturating_sub(4);
            self.head.clear();
            self.head_bytes = 5;
        }
        true
    }

    /// What came of sending, unless nothing has been taken for too long.
    fn patient<T>(&mut self, cx: &mut Context<'_>, sent: Poll<Result<T>>) -> Poll<Result<T>> {
        if sent.is_ready() {
            self.waits = None;
            return sent;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(SEND_MAX)));
        ready!(waits.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if self.follow(&buffer.filled()[before..]) {
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(before);
        self.is_too_long = true;
        Poll::Ready(Err(Error::new(ErrorKind::InvalidData, "a message is longer than it may be")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.patient(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = Pin::new(&mut self.inner).poll_flush(cx);
        self.patient(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.patient(cx, sent)
    }
}
