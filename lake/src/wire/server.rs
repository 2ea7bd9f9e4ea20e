//! The socket: who connects, over TLS or not, and how many at once.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use pgwire::api::cancel::DefaultCancelHandler;
use pgwire::api::{
    ClientInfo, ConnectionManager, DefaultClient, NoopHandler, PgWireConnectionState,
    RandomPidSecretKeyGenerator,
};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::PgWireFrontendMessage;
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::codec::Framed;

use super::Door;
use super::connection::{Connection, Handlers, State};
use super::extended::Prepared;
use super::measured::Measured;
use super::settings::Settings;
use crate::query::Engine;
use crate::{Lake, LakeConfig, LakeError};

/// Who has not signed in by then is hung up on: from the first byte, TLS included.
const SIGN_IN_MAX: Duration = Duration::from_secs(15);
/// Answers of the largest size that all connections together may hold.
const ANSWERS_HELD: usize = 4;
/// Connections beyond the limit that are told so, at once; more are hung up on.
const TOLD_SO_MAX: usize = 16;
/// A pause after a failure to accept, such as no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The two requests that may come before anything else, eight bytes each (PostgreSQL's manual, 55.7).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
/// First byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// How the server is to be reached.
#[derive(Debug, Clone)]
pub struct WireConfig {
    /// PEM files of certificate chain and key; without them nobody but this machine itself can sign in.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Connections at once.
    pub connections_max: usize,
}

impl WireConfig {
    /// As the section says.
    pub fn of(config: &LakeConfig) -> Self {
        Self {
            tls: config.pg_certificate.clone().zip(config.pg_key.clone()),
            connections_max: config.pg_connections_max,
        }
    }

    /// Whether certificate and key can be used; reads them.
    ///
    /// # Errors
    ///
    /// [`LakeError::Certificate`].
    pub fn check(&self) -> Result<(), LakeError> {
        let Some((certificate, key)) = &self.tls else { return Ok(()) };
        server_config(certificate, key).map(|_| ())
    }
}

/// The server.
pub struct WireServer {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    door: Arc<dyn Door>,
    manager: Arc<ConnectionManager>,
    keys: Arc<RandomPidSecretKeyGenerator>,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    told_so: Arc<Semaphore>,
    /// KiB of answers.
    held: Arc<Semaphore>,
}

impl std::fmt::Debug for WireServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireServer").field("tls", &self.shared.tls.is_some()).finish_non_exhaustive()
    }
}

impl WireServer {
    /// A server of `lake`, for whoever `door` lets in.
    ///
    /// # Errors
    ///
    /// [`LakeError::Certificate`] when certificate or key cannot be used.
    pub fn new(lake: &Lake, door: Arc<dyn Door>, config: &WireConfig) -> Result<Self, LakeError> {
        let tls = config.tls.clone().map(|(certificate, key)| Tls::load(certificate, key)).transpose()?;
        let shared = Shared {
            engine: lake.engine.clone(),
            door,
            manager: Arc::new(ConnectionManager::new()),
            keys: Arc::new(RandomPidSecretKeyGenerator::default()),
            tls,
            places: Arc::new(Semaphore::new(config.connections_max)),
            told_so: Arc::new(Semaphore::new(TOLD_SO_MAX)),
            held: Arc::new(Semaphore::new(
                lake.engine.result_kib().saturating_mul(ANSWERS_HELD).min(Semaphore::MAX_PERMITS),
            )),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Serves until `stop`; then statements that run are ended.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()> + Send) {
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let shared = self.shared.clone();
                        connections.spawn(async move {
                            if let Err(why) = shared.meet(stream, peer).await {
                                tracing::debug!(%peer, error = %why, "a connection for SQL ended");
                            }
                        });
                    }
                    Err(why) => {
                        tracing::warn!(error = %why, "a connection for SQL could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        connections.shutdown().await;
    }
}

impl Shared {
    async fn meet(&self, mut stream: TcpStream, peer: SocketAddr) -> std::io::Result<()> {
        let place = self.places.clone().try_acquire_owned();
        let is_one_too_many = place.is_err();
        let Ok(_place) = place.or_else(|_| self.told_so.clone().try_acquire_owned()) else { return Ok(()) };
        stream.set_nodelay(true)?;
        let until = Instant::now() + SIGN_IN_MAX;
        let wants_tls = tokio::time::timeout_at(until, wants_tls(&mut stream, self.tls.is_some())).await??;
        match self.tls.as_ref().filter(|_| wants_tls) {
            Some(tls) => {
                let acceptor = TlsAcceptor::from(tls.current());
                let stream = tokio::time::timeout_at(until, acceptor.accept(stream)).await??;
                self.talk(stream, peer, true, is_one_too_many, until).await
            }
            None => self.talk(stream, peer, false, is_one_too_many, until).await,
        }
    }

    async fn talk<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        is_secure: bool,
        is_one_too_many: bool,
        until: Instant,
    ) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
    {
        let connection = Arc::new(Connection {
            engine: self.engine.clone(),
            door: self.door.clone(),
            manager: self.manager.clone(),
            keys: self.keys.clone(),
            is_private: is_secure || is_loopback(peer.ip()),
            is_one_too_many,
            held: self.held.clone(),
            state: Mutex::new(State::new(Settings::new(self.engine.timeout()))),
        });
        let handlers = Arc::new(Handlers(connection));
        let cancel = Arc::new(DefaultCancelHandler::new(self.manager.clone()));
        let client = DefaultClient::new(peer, is_secure);
        let mut socket =
            Framed::new(Measured::new(stream), PgWireMessageServerCodec::<Prepared>::new(client));
        socket.set_state(PgWireConnectionState::AwaitingStartup);
        let sign_in_ends = tokio::time::sleep_until(until);
        tokio::pin!(sign_in_ends);
        loop {
            let is_signing_in = matches!(
                socket.state(),
                PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
            );
            if !is_signing_in {
                socket.get_mut().let_in();
            }
            let message = tokio::select! {
                message = socket.next() => message,
                () = &mut sign_in_ends, if is_signing_in => None,
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(_)) if socket.get_ref().was_too_long() => {
                    let info = ErrorInfo::new(
                        "FATAL".to_owned(),
                        "08P01".to_owned(),
                        "a message is longer than it may be".to_owned(),
                    );
                    process_error(&mut socket, PgWireError::UserError(Box::new(info)), false).await?;
                    return Ok(());
                }
                Some(Err(why)) => return Err(std::io::Error::other(why)),
                None => return Ok(()),
            };
            if matches!(message, PgWireFrontendMessage::Terminate(_)) {
                return Ok(());
            }
            let waits_for_sync = message.is_extended_query();
            let is_cancel = matches!(message, PgWireFrontendMessage::CancelRequest(_));
            let done = process_message(
                message,
                &mut socket,
                handlers.clone(),
                handlers.clone(),
                handlers.clone(),
                Arc::new(NoopHandler),
                cancel.clone(),
            );
            if let Err(why) = done.await {
                let is_fatal = why.is_fatal();
                process_error(&mut socket, why, waits_for_sync).await?;
                if is_fatal {
                    return Ok(());
                }
            }
            if is_cancel {
                return Ok(());
            }
        }
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Answers the requests before the first message; whether TLS begins now. No byte beyond them is read: what somebody slipped in
/// between would be taken for the client's.
async fn wants_tls(stream: &mut TcpStream, has_tls: bool) -> std::io::Result<bool> {
    loop {
        let mut first = [0; 8];
        let n_seen = stream.peek(&mut first).await?;
        if n_seen == 0 {
            return Ok(false);
        }
        if first[0] == TLS_HANDSHAKE {
            return Ok(has_tls);
        }
        if n_seen < first.len() {
            // The rest is on its way; `peek` would say the same at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        if first != SSL_REQUEST && first != GSS_REQUEST {
            return Ok(false);
        }
        stream.read_exact(&mut first).await?;
        let accepts = first == SSL_REQUEST && has_tls;
        stream.write_all(if accepts { b"S" } else { b"N" }).await?;
        if accepts {
            return Ok(true);
        }
    }
}

/// Certificate and key, read again when they change.
struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    loaded: RwLock<(Arc<ServerConfig>, [Option<SystemTime>; 2])>,
}

impl Tls {
    fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, LakeError> {
        let changed_at = changed_at(&certificate, &key);
        let loaded = RwLock::new((server_config(&certificate, &key)?, changed_at));
        Ok(Self { certificate, key, loaded })
    }

    /// What new connections use. Files that cannot be used leave the last ones in force.
    fn current(&self) -> Arc<ServerConfig> {
        let now = changed_at(&self.certificate, &self.key);
        let (config, of) = self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone();
        if of == now {
            return config;
        }
        match server_config(&self.certificate, &self.key) {
            Ok(fresh) => {
                tracing::info!("the certificate of SQL connections was read again");
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = (fresh.clone(), now);
                fresh
            }
            Err(why) => {
                tracing::warn!(error = %why, "the new certificate of SQL connections cannot be used");
                config
            }
        }
    }
}

fn changed_at(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|file| std::fs::metadata(file).and_then(|found| found.modified()).ok())
}

fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, LakeError> {
    let unusable = |file: &Path, why: String| LakeError::Certificate { file: file.to_owned(), problem: why };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| unusable(certificate, why.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "it holds no certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| unusable(key, why.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| unusable(certificate, why.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|why| unusable(certificate, why.to_string()))?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Arc::new(config))
}
