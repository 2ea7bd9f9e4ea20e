//! One SSH connection: login, and at most some SFTP sessions in it. Everything else SSH can do is refused.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use super::SftpUser;
use super::guard::Admission;
use super::jail::Jail;
use super::login::Logins;
use super::session::SftpSession;
use super::trail::{Trail, TrailAction};

/// Channels open at once in one connection: for clients that fetch several files side by side.
const CHANNELS_MAX: usize = 8;

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) logins: Arc<Logins>,
    pub(super) trail: Trail,
    /// For handles of all sessions.
    pub(super) places: Arc<Semaphore>,
    pub(super) upload_bytes_max: u64,
}

/// What is kept of one connection.
pub(super) struct Connection {
    peer: SocketAddr,
    shared: Shared,
    admission: Admission,
    /// Set by the login that was accepted.
    user: Option<SftpUser>,
    /// Offered keys that were not accepted, which the guard has not been told of.
    has_tried_keys: bool,
    logged_in: watch::Sender<bool>,
    open: HashSet<ChannelId>,
    /// Opened and not yet asked to be anything.
    waiting: HashMap<ChannelId, Channel<Msg>>,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, shared: Shared, admission: Admission) -> Self {
        Self {
            peer,
            shared,
            admission,
            user: None,
            has_tried_keys: false,
            logged_in: watch::Sender::new(false),
            open: HashSet::new(),
            waiting: HashMap::new(),
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Becomes true with the login.
    pub(super) fn logged_in(&self) -> watch::Receiver<bool> {
        self.logged_in.subscribe()
    }

    async fn decide(&mut self, name: &str, method: &'static str, user: Option<SftpUser>) -> Auth {
        let trail = self.shared.trail.clone();
        match user {
            Some(user) => {
                info!(peer = %self.peer, user = %user.name, method, "sftp login");
                self.admission.login_succeeded();
                trail.tell(self.peer, &user.name, TrailAction::Login { method }).await;
                self.user = Some(user);
                Auth::Accept
            }
            None => {
                // The name is the client's word, so it is cut; a password typed as a name is not kept in full.
                let name: String = name.chars().take(16).collect();
                info!(peer = %self.peer, user = ?name, method, "sftp login refused");
                self.has_tried_keys = false;
                trail.tell(self.peer, &name, TrailAction::Refused { method }).await;
                if let Some(seconds) = self.admission.login_failed() {
                    trail.tell(self.peer, &name, TrailAction::Banned { seconds }).await;
                }
                Auth::reject()
            }
        }
    }

    fn start_sftp(&mut self, channel: ChannelId) -> Option<(Channel<Msg>, SftpSession)> {
        let user = self.user.clone()?;
        let jail = match Jail::new(&user, self.shared.upload_bytes_max) {
            Ok(jail) => jail,
            Err(error) => {
                warn!(user = %user.name, root = %user.root.display(), %error, "sftp root cannot be opened");
                return None;
            }
        };
        let channel = self.waiting.remove(&channel)?;
        let (trail, places) = (self.shared.trail.clone(), Arc::clone(&self.shared.places));
        Some((channel, SftpSession::new(user, jail, self.peer, trail, places)))
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        // Clients offer all the keys they have, so a wrong one is no failed login yet; russh counts and delays it.
        match self.shared.logins.by_key(user, self.peer.ip(), offer.public_key, offer.algorithm) {
            Some(_) => Ok(Auth::Accept),
            None => {
                debug!(peer = %self.peer, "sftp key not accepted");
                self.has_tried_keys = true;
                Ok(Auth::reject())
            }
        }
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let found = self.shared.logins.by_key(user, self.peer.ip(), key.public_key, key.algorithm);
        Ok(self.decide(user, "publickey", found).await)
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let found = self.shared.logins.by_password(user, self.peer.ip(), password).await;
        Ok(self.decide(user, "password", found).await)
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.logged_in.send_replace(true);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.open.len() >= CHANNELS_MAX {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.open.insert(channel.id());
        self.waiting.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        // `scp` takes a channel that closes without a status for a failure.
        session.exit_status_request(channel, 0)?;
        session.close(channel)
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.open.remove(&channel);
        self.waiting.remove(&channel);
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let started = if name == "sftp" { self.start_sftp(channel) } else { None };
        let Some((stream, sftp)) = started else {
            return session.channel_failure(channel);
        };
        session.channel_success(channel)?;
        // Ends with the channel, and that with its connection.
        tokio::spawn(sftp.run(stream));
        Ok(())
    }

    // What follows is refused in words, for a client waits for the answer. Forwarding is refused by russh itself.

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _col_width: u32,
        _row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _x11_auth_protocol: &str,
        _x11_auth_cookie: &str,
        _x11_screen_number: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.has_tried_keys && self.user.is_none() {
            // Tried keys, had none of ours, and left: one failed login.
            let trail = &self.shared.trail;
            trail.tell_later(self.peer, "", TrailAction::Refused { method: "publickey" });
            if let Some(seconds) = self.admission.login_failed() {
                trail.tell_later(self.peer, "", TrailAction::Banned { seconds });
            }
        }
    }
}
