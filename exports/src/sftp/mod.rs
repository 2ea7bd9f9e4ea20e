//! The SFTP server that partners fetch their files from.
//!
//! In: a bound listener, who may log in ([`SftpUser`], asked anew at each login) and a future that ends it. Out:
//! each account sees one directory as `/`, or the four `out/ archive/ in/ ack/`; it can list and read, delete and
//! rename where that is allowed, and put files into `in/` and `ack/`. Every login, fetch, put, rename and deletion is a
//! [`TrailEvent`] with who, what and how much. There is no shell, no command and no forwarding.
//!
//! ```text
//! listener -> admission (guard) -> SSH (russh) -> login -> SFTP session (russh-sftp) -> jail -> files
//! ```
//!
//! Every limit has a name: here those that an operator sets, in the modules those that nobody needs to.

mod connection;
mod guard;
mod host_key;
mod jail;
mod login;
mod network;
mod session;
mod trail;

use std::net::{Shutdown, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::{Disconnect, MethodKind, MethodSet, SshId, server};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use self::connection::{Connection, Shared};
use self::guard::{Guard, SharedGuard};
use self::login::Logins;
use self::session::HANDLES_OF_ALL_MAX;
use self::trail::Trail;
use crate::ExportsError;

pub use host_key::{host_key_fingerprint, new_client_key};
pub use login::{check_key, check_password_hash, hash_password};
pub use network::{Network, UnknownNetwork};
pub use trail::{EVENTS_WAITING_MAX, TrailAction, TrailEvent};

/// Pause before a refused login is answered, the same whatever was wrong with it.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);
/// What clients with work under way get when the server ends.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Pause after the system could not give us a connection, such as when it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What one channel of a client may have on its way to us, and at once from us.
const WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// How the SFTP server listens and what it puts up with: the section `[exports.sftp]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SftpConfig {
    /// Address and port. Default: `"0.0.0.0:2022"`.
    pub listen: SocketAddr,
    /// The server's own Ed25519 key in OpenSSH's format, readable by nobody else. Made at the first start. Keep it
    /// in the backup: partners' clients refuse a server whose key has changed. Default: `"sftp_host_ed25519"`.
    pub host_key: PathBuf,
    /// A client that says nothing for so long is disconnected, e.g. `"10m"`. Default: `"10m"`.
    #[serde(with = "humantime_serde")]
    pub idle_max: Duration,
    /// Time from connecting to a successful login. Default: `"60s"`.
    #[serde(with = "humantime_serde")]
    pub login_max: Duration,
    /// Logins that may be refused on one connection before it is closed. Default: 6.
    pub attempts_max: u32,
    /// Connections at once. Default: 200.
    pub connections_max: u32,
    /// Of these from one address. Default: 20.
    pub connections_per_address_max: u32,
    /// Bytes that one user may have in `in/` and `ack/` together. Default: 1 GiB (1073741824).
    pub upload_bytes_max: u64,
}

impl Default for SftpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 2022)),
            host_key: PathBuf::from("sftp_host_ed25519"),
            idle_max: Duration::from_secs(10 * 60),
            login_max: Duration::from_secs(60),
            attempts_max: 6,
            connections_max: 200,
            connections_per_address_max: 20,
            upload_bytes_max: 1 << 30,
        }
    }
}

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct SftpUser {
    /// The name to log in with.
    pub name: String,
    /// Public keys, each a line as in OpenSSH's `id_ed25519.pub`. Ed25519, ECDSA, and RSA with SHA-2. A line with
    /// options in front (`from="..."`), which this server would not keep to, is left out with a warning.
    pub authorized_keys: Vec<String>,
    /// Argon2 hash of a password as a PHC string (`$argon2id$v=19$...`); `None` for keys only.
    pub password_hash: Option<String>,
    /// Networks that the user may come from; empty for all.
    pub networks: Vec<Network>,
    /// Where our files for the user are; made at the login if it is not there yet. The user sees it as `/`, or as `/out`.
    pub root: PathBuf,
    /// Where `archive/`, `in/` and `ack/` are; `None` for a user who sees our files alone.
    pub exchange: Option<PathBuf>,
    /// May delete files, as partners do with what they have fetched (billing-reference 7.8).
    pub deletable: bool,
    /// May rename files within our directory, or into `archive/`.
    pub renamable: bool,
}

impl std::fmt::Debug for SftpUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SftpUser")
            .field("name", &self.name)
            .field("root", &self.root)
            .field("exchange", &self.exchange)
            .field("deletable", &self.deletable)
            .field("renamable", &self.renamable)
            .finish_non_exhaustive()
    }
}

/// Serves until `stop` is done; then clients have two seconds to take their leave.
///
/// `users` gives the account of a login name, and is asked at each attempt: what is provisioned now counts. `trail`
/// gets what users do; while it is full, they wait.
///
/// # Errors
///
/// [`ExportsError::HostKey`] before anything is accepted. What goes wrong with one client is that client's log line.
pub async fn serve(
    config: SftpConfig,
    users: impl Fn(&str) -> Option<SftpUser> + Send + Sync + 'static,
    trail: mpsc::Sender<TrailEvent>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ExportsError> {
    let key = host_key::load_or_create(&config.host_key)?;
    let fingerprint = host_key::fingerprint_of(&key);
    let shared = Shared {
        logins: Arc::new(Logins::new(Box::new(users))),
        trail: Trail::new(trail),
        places: Arc::new(Semaphore::new(HANDLES_OF_ALL_MAX)),
        upload_bytes_max: config.upload_bytes_max,
    };
    let guard = SharedGuard::new(Guard::new(config.connections_max, config.connections_per_address_max));
    let ssh = Arc::new(server::Config {
        server_id: SshId::Standard("SSH-2.0-Tollbook".into()),
        methods: MethodSet::from([MethodKind::PublicKey, MethodKind::Password].as_slice()),
        auth_rejection_time: REFUSAL_PAUSE,
        // OpenSSH first asks with the method "none" what it may try: that is a question, not an attempt.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        window_size: WINDOW_BYTES,
        max_auth_attempts: usize::try_from(config.attempts_max).unwrap_or(usize::MAX),
        inactivity_timeout: Some(config.idle_max),
        nodelay: true,
        ..server::Config::default()
    });
    info!(address = ?listener.local_addr().ok(), %fingerprint, "sftp server started");

    let (ending, ended) = watch::channel(false);
    let mut clients = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(admission) = guard.admit(peer) else { continue };
                    let connection = Connection::new(peer, shared.clone(), admission);
                    clients.spawn(attend(Arc::clone(&ssh), stream, connection, config.login_max, ended.clone()));
                }
                Err(error) => {
                    warn!(%error, "cannot accept an sftp connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    // Nobody listening any more is fine.
    let _ = ending.send(true);
    let all_gone = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE * 2, all_gone).await.is_err() {
        clients.shutdown().await;
    }
    info!("sftp server stopped");
    Ok(())
}

/// One connection from its first byte to its last.
async fn attend(
    ssh: Arc<server::Config>,
    stream: TcpStream,
    connection: Connection,
    login_max: Duration,
    mut ended: watch::Receiver<bool>,
) {
    let peer = connection.peer();
    let mut logged_in = connection.logged_in();
    // The session runs in a task of its own that cannot be stopped from outside but by taking away its socket.
    let (stream, socket) = match split_socket(stream) {
        Ok(pair) => pair,
        Err(error) => {
            warn!(%peer, %error, "cannot set up an sftp connection");
            return;
        }
    };
    let deadline = tokio::time::sleep(login_max);
    tokio::pin!(deadline);

    let session = tokio::select! {
        session = server::run_stream(ssh, stream, connection) => session,
        () = &mut deadline => {
            debug!(%peer, "sftp client did not introduce itself in time");
            return;
        }
        _ = ended.wait_for(|ended| *ended) => return,
    };
    let mut session = match session {
        Ok(session) => session,
        Err(error) => {
            debug!(%peer, %error, "sftp connection broke off before the login");
            return;
        }
    };
    let handle = session.handle();
    let reason = tokio::select! {
        result = &mut session => {
            match result {
                Ok(()) => debug!(%peer, "sftp connection closed"),
                Err(error) => debug!(%peer, %error, "sftp connection broke off"),
            }
            return;
        }
        () = login_overdue(&mut logged_in, deadline) => "no login in time",
        _ = ended.wait_for(|ended| *ended) => "the server is ending",
    };
    // A client that reads nothing cannot be told either, so it is told for a while only.
    let farewell = async {
        let _ = handle.disconnect(Disconnect::ByApplication, reason.to_owned(), String::new()).await;
        let _ = (&mut session).await;
    };
    if tokio::time::timeout(STOP_GRACE, farewell).await.is_err() {
        let _ = socket.shutdown(Shutdown::Both);
    }
    debug!(%peer, reason, "sftp connection ended by the server");
}

/// Done when the deadline has passed without a login; never after a login or the end of the session.
async fn login_overdue(logged_in: &mut watch::Receiver<bool>, deadline: impl Future<Output = ()>) {
    let login = async {
        let _ = logged_in.wait_for(|is_in| *is_in).await;
    };
    tokio::select! {
        biased;
        () = login => std::future::pending().await,
        () = deadline => {}
    }
}

fn split_socket(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, socket))
}
