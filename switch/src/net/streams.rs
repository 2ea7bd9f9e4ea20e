//! Connections of the switch: TCP and TLS, taken and made.
//!
//! Each connection has one task that reads and one that writes; the switch's own task holds the ends of their channels by [`Hop`]. In:
//! messages to send. Out: [`StreamEvent`]s. A connection that cannot be made or breaks is `Closed`, and the switch tries another way.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::Transport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tracing::{debug, info, warn};

use super::tls::{Tls, TlsFiles};
use crate::{Framed, Framer, Hop, SwitchError};

/// Connections at once.
const CONNECTIONS_MAX: usize = 8_192;
/// Connections from one address at once.
const CONNECTIONS_OF_ADDRESS_MAX: usize = 256;
/// Messages waiting to be written to one connection; a peer that reads slower than this is cut off.
const WAITING_MAX: usize = 256;
/// Messages of all connections waiting for the switch; further ones wait in the sockets.
const EVENTS_MAX: usize = 1_024;
/// How long a connection may take to be made; shorter than the silence after which the next route is tried.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// A TLS handshake of somebody who connects to us.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that brings nothing for so long is closed; phones send keep-alives every two minutes (RFC 5626, 4.4.1).
const IDLE_MAX: Duration = Duration::from_secs(900);
/// How often the files of the certificate are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// What the connections tell the switch.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// Somebody connected, perhaps with a certificate; what goes there goes through `to`.
    Opened { hop: Hop, to: mpsc::Sender<Vec<u8>>, certificate: Option<CertificateDer<'static>> },
    /// A whole message.
    Message { from: Hop, bytes: Vec<u8> },
    /// It broke, or was never made.
    Closed { hop: Hop },
}

/// All connections, as the switch's task sees them.
pub(super) struct Streams {
    open: HashMap<Hop, mpsc::Sender<Vec<u8>>>,
    events: mpsc::Sender<StreamEvent>,
    tls: Option<Arc<Tls>>,
    room: Arc<Semaphore>,
    /// Those whose certificate is somebody else's: nothing of theirs is looked at until they are gone.
    refused: HashSet<Hop>,
}

impl Streams {
    /// Listens for TCP on `tcp`, and for TLS if it is configured. Out: the connections, and what they tell.
    ///
    /// # Errors
    ///
    /// An address in use, or a certificate that cannot be used.
    pub(super) async fn listen(
        tcp: Option<SocketAddr>,
        tls: Option<&crate::TlsConfig>,
    ) -> Result<(Self, mpsc::Receiver<StreamEvent>), SwitchError> {
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut streams = Self { open: HashMap::new(), events, tls: None, room, refused: HashSet::new() };
        if let Some(address) = tcp {
            let listener = bind(address).await?;
            tokio::spawn(accept(listener, None, streams.events.clone(), streams.room.clone()));
            info!(%address, "switch listens on tcp");
        }
        if let Some(config) = tls {
            let files = TlsFiles::of(config);
            let tls = Arc::new(Tls::load(files)?);
            let listener = bind(config.listen).await?;
            info!(address = %config.listen, "switch listens on tls");
            tokio::spawn(accept(listener, Some(tls.clone()), streams.events.clone(), streams.room.clone()));
            tokio::spawn(reload(tls.clone(), streams.events.clone()));
            streams.tls = Some(tls);
        }
        Ok((streams, told))
    }

    /// Takes note of a connection that came up or went down; `true`: the hop can no longer be reached.
    pub(super) fn note(&mut self, event: &StreamEvent) -> bool {
        match event {
            // Without anybody to write to it, its task says goodbye.
            StreamEvent::Opened { hop, .. } if self.refused.contains(hop) => false,
            StreamEvent::Opened { hop, to, .. } => {
                self.open.insert(*hop, to.clone());
                false
            }
            StreamEvent::Closed { hop } => {
                self.refused.remove(hop);
                self.open.remove(hop).is_some()
            }
            StreamEvent::Message { .. } => false,
        }
    }

    /// Looks at nothing that comes over a connection, and ends it.
    pub(super) fn refuse(&mut self, hop: Hop) -> bool {
        self.refused.insert(hop);
        // With nobody to write to it, its task ends the connection.
        self.open.remove(&hop).is_some()
    }

    /// Whether that was said of it.
    pub(super) fn is_refused(&self, hop: Hop) -> bool {
        self.refused.contains(&hop)
    }

    /// Sends over the connection that is up, or makes one; `name` is what the certificate there must say. `false`: it cannot be sent.
    pub(super) fn send(&mut self, hop: Hop, bytes: Vec<u8>, name: impl FnOnce() -> String) -> bool {
        if let Some(to) = self.open.get(&hop) {
            if to.try_send(bytes).is_ok() {
                return true;
            }
            // Closed, or too slow to keep.
            self.open.remove(&hop);
            return false;
        }
        let tls = match (hop.transport, &self.tls) {
            (Transport::Tls, Some(tls)) => Some((tls.clone(), name())),
            (Transport::Tls, None) => {
                warn!(%hop, "a trunk wants TLS, which is not configured");
                return false;
            }
            (Transport::Tcp | Transport::Udp, _) => None,
        };
        let Ok(permit) = self.room.clone().try_acquire_owned() else { return false };
        let (to, waiting) = mpsc::channel(WAITING_MAX);
        // There is room for one.
        let _ = to.try_send(bytes);
        self.open.insert(hop, to);
        tokio::spawn(connect(hop, tls, waiting, self.events.clone(), permit));
        true
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, SwitchError> {
    TcpListener::bind(address).await.map_err(|source| SwitchError::Listen { address, source })
}

/// Takes connections, within the limits.
async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    events: mpsc::Sender<StreamEvent>,
    room: Arc<Semaphore>,
) {
    let of_address: Arc<std::sync::Mutex<HashMap<IpAddr, usize>>> = Arc::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles, or the peer was gone already: neither is a reason to stop.
                debug!(%error, "connection not taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if events.is_closed() {
            return;
        }
        let Ok(permit) = room.clone().try_acquire_owned() else { continue };
        let Some(guard) = AddressGuard::enter(&of_address, from.ip()) else { continue };
        let (tls, events) = (tls.clone(), events.clone());
        tokio::spawn(async move {
            let address = SocketAddr::new(from.ip().to_canonical(), from.port());
            // Small messages, and somebody waits for each.
            let _ = stream.set_nodelay(true);
            match tls {
                None => {
                    serve(Hop { transport: Transport::Tcp, address }, stream, Side::Taken(None), &events)
                        .await
                }
                Some(tls) => {
                    let shaken = tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await;
                    match shaken {
                        Ok(Ok(stream)) => {
                            let shown = stream.get_ref().1.peer_certificates();
                            let certificate =
                                shown.and_then(<[_]>::first).map(|one| one.clone().into_owned());
                            let hop = Hop { transport: Transport::Tls, address };
                            serve(hop, stream, Side::Taken(certificate), &events).await;
                        }
                        Ok(Err(error)) => debug!(%address, %error, "no TLS with a peer that connected"),
                        Err(_elapsed) => debug!(%address, "TLS handshake took too long"),
                    }
                }
            }
            drop((permit, guard));
        });
    }
}

/// Counts the connections of one address while it lives.
struct AddressGuard {
    of_address: Arc<std::sync::Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl AddressGuard {
    fn enter(of_address: &Arc<std::sync::Mutex<HashMap<IpAddr, usize>>>, address: IpAddr) -> Option<Self> {
        let mut counts = of_address.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= CONNECTIONS_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Self { of_address: of_address.clone(), address })
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut counts = self.of_address.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Makes a connection and serves it.
async fn connect(
    hop: Hop,
    tls: Option<(Arc<Tls>, String)>,
    waiting: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<StreamEvent>,
    permit: OwnedSemaphorePermit,
) {
    let made = tokio::time::timeout(CONNECT_PATIENCE, async {
        let stream = TcpStream::connect(hop.address).await?;
        let _ = stream.set_nodelay(true);
        match tls {
            None => Ok::<_, std::io::Error>((Some(stream), None)),
            Some((tls, name)) => Ok((None, Some(tls.connect(stream, &name).await?))),
        }
    })
    .await;
    match made {
        Ok(Ok((Some(stream), _))) => serve(hop, stream, Side::Made(waiting), &events).await,
        Ok(Ok((None, Some(stream)))) => serve(hop, stream, Side::Made(waiting), &events).await,
        Ok(Ok((None, None))) => {}
        Ok(Err(error)) => {
            warn!(%hop, %error, "no connection");
            let _ = events.send(StreamEvent::Closed { hop }).await;
        }
        Err(_elapsed) => {
            warn!(%hop, "no connection within {} s", CONNECT_PATIENCE.as_secs());
            let _ = events.send(StreamEvent::Closed { hop }).await;
        }
    }
    drop(permit);
}

/// Who made a connection.
enum Side {
    /// We did; this is what to write.
    Made(mpsc::Receiver<Vec<u8>>),
    /// The other end, with this certificate.
    Taken(Option<CertificateDer<'static>>),
}

/// Reads and writes one connection until either end closes it.
async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    hop: Hop,
    stream: S,
    side: Side,
    events: &mpsc::Sender<StreamEvent>,
) {
    let mut waiting = match side {
        Side::Made(waiting) => waiting,
        Side::Taken(certificate) => {
            let (to, waiting) = mpsc::channel(WAITING_MAX);
            if events.send(StreamEvent::Opened { hop, to, certificate }).await.is_err() {
                return;
            }
            waiting
        }
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (pong, mut pongs) = mpsc::channel::<()>(1);
    let mut writing = tokio::spawn(async move {
        loop {
            let bytes = tokio::select! {
                bytes = waiting.recv() => match bytes {
                    Some(bytes) => bytes,
                    None => break,
                },
                Some(()) = pongs.recv() => b"\r\n".to_vec(),
            };
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    });
    let mut framer = Framer::default();
    let mut buffer = vec![0; 16_384];
    'reading: loop {
        let read = tokio::select! {
            read = tokio::time::timeout(IDLE_MAX, reader.read(&mut buffer)) => read,
            // Nobody has anything to say to it any more, or nothing can be said: nobody listens to it, either.
            _ = &mut writing => break,
        };
        let length = match read {
            Ok(Ok(length)) if length > 0 => length,
            // The other end closed it, it broke, or nothing came for long.
            Ok(Ok(_) | Err(_)) | Err(_) => break,
        };
        framer.push(&buffer[..length]);
        loop {
            match framer.take() {
                Ok(Some(Framed::Message(bytes))) => {
                    if events.send(StreamEvent::Message { from: hop, bytes }).await.is_err() {
                        break 'reading;
                    }
                }
                // A ping that comes before the last one is answered needs no answer of its own.
                Ok(Some(Framed::Ping)) => drop(pong.try_send(())),
                Ok(None) => break,
                Err(error) => {
                    debug!(%hop, %error, "connection closed");
                    break 'reading;
                }
            }
        }
    }
    writing.abort();
    let _ = events.send(StreamEvent::Closed { hop }).await;
}

/// Reads the certificate again when its files have changed.
async fn reload(tls: Arc<Tls>, events: mpsc::Sender<StreamEvent>) {
    while !events.is_closed() {
        tokio::time::sleep(RELOAD_EVERY).await;
        match tls.reload_if_changed() {
            Ok(true) => info!("TLS certificate was read again; new connections use it"),
            Ok(false) => {}
            Err(error) => warn!(%error, "the new TLS certificate cannot be used; the old one stays"),
        }
    }
}
