//! The UDP socket of the switch: watched by the runtime, or looked at now and then.
//!
//! A watched socket wakes the switch for each datagram, also for one that is to wait for the next look: the kernel tells the runtime whether anybody
//! waits or not. So under load it is taken out of what the runtime watches, and given back when little comes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tracing::debug;

/// Waits of a millisecond for room in the send buffer, before a datagram counts as lost.
const WAITS_MAX: u32 = 5;

/// The socket and how it is seen to.
pub(super) enum Door {
    /// Datagrams are told of.
    Watched(UdpSocket),
    /// They are looked for.
    Polled(std::net::UdpSocket),
}

impl Door {
    /// Resolves when there may be a datagram: at once if nobody watches.
    pub(super) async fn ready(&self) -> std::io::Result<()> {
        match self {
            Door::Watched(socket) => socket.readable().await,
            Door::Polled(_) => Ok(()),
        }
    }

    /// The next datagram, if one is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] when none is.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        match self {
            Door::Watched(socket) => socket.try_recv_from(buffer),
            Door::Polled(socket) => socket.recv_from(buffer),
        }
    }

    /// Sends a datagram; as [`super::send`].
    pub(super) async fn send(&self, is_ipv6: bool, to: SocketAddr, bytes: &[u8]) {
        let socket = match self {
            Door::Watched(socket) => return super::send(socket, is_ipv6, to, bytes).await,
            Door::Polled(socket) => socket,
        };
        let to = super::in_family(is_ipv6, to);
        let mut n_waits = 0;
        while let Err(error) = socket.send_to(bytes, to) {
            if error.kind() != ErrorKind::WouldBlock || n_waits == WAITS_MAX {
                debug!(%to, %error, "datagram not sent");
                return;
            }
            n_waits += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The same socket, polled from now on, or watched.
    ///
    /// # Errors
    ///
    /// When the runtime cannot take it, or give it back.
    pub(super) fn polled(self, is_polled: bool) -> std::io::Result<Self> {
        Ok(match (self, is_polled) {
            (Door::Watched(socket), true) => Door::Polled(socket.into_std()?),
            (Door::Polled(socket), false) => Door::Watched(UdpSocket::from_std(socket)?),
            (door, _) => door,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_come_and_go_however_the_socket_is_seen_to() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (socket, peer) = (super::super::bind(any).unwrap(), super::super::bind(any).unwrap());
        let (own, far) = (socket.local_addr().unwrap(), peer.local_addr().unwrap());
        let mut door = Door::Watched(socket);
        let mut buffer = [0; 64];
        for (idx, is_polled) in [false, true, false, true, true, false].into_iter().enumerate() {
            door = door.polled(is_polled).unwrap();
            assert_eq!(door.receive(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock, "{idx}");
            let text = format!("datagram {idx}");
            peer.send_to(text.as_bytes(), own).await.unwrap();
            let received = tokio::time::timeout(Duration::from_secs(20), async {
                loop {
                    door.ready().await.unwrap();
                    match door.receive(&mut buffer) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::task::yield_now().await,
                        received => break received.unwrap(),
                    }
                }
            });
            assert_eq!(received.await.unwrap(), (text.len(), far));
            assert_eq!(&buffer[..text.len()], text.as_bytes());
            door.send(false, far, text.as_bytes()).await;
            let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..length], from), (text.as_bytes(), own));
        }
    }
}
