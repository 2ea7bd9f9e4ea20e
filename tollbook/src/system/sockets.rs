//! Binds what a process listens on, before anything runs.

use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use crate::config::Config;
use crate::failure::UserError;
use crate::roles::{Role, Roles};
use crate::system::Addresses;

/// What is bound before anything runs; only what this process serves.
pub(super) struct Sockets {
    pub(super) sip: Option<UdpSocket>,
    pub(super) sftp: Option<TcpListener>,
    pub(super) web: Option<TcpListener>,
    pub(super) sql: Option<TcpListener>,
    pub(super) health: Option<TcpListener>,
}

impl Sockets {
    pub(super) async fn bind(config: &Config, roles: &Roles) -> anyhow::Result<(Self, Addresses)> {
        let sip = match roles.has(Role::Switch) {
            true => Some(
                switch::net::bind(config.switch.listen)
                    .map_err(|why| cannot_listen("switch.listen", config.switch.listen, &why))?,
            ),
            false => None,
        };
        let sftp = match roles.has(Role::Sftp) {
            true => Some(bind_tcp("sftp.server.listen", config.sftp.server.listen).await?),
            false => None,
        };
        let web = match roles.has(Role::Web) {
            true => Some(bind_tcp("web.listen", config.web.listen).await?),
            false => None,
        };
        let sql = match config.lake.pg_listen.filter(|_| roles.has(Role::Web)) {
            Some(address) => Some(bind_tcp("lake.pg_listen", address).await?),
            None => None,
        };
        let health = match config.health.listen {
            Some(address) => Some(bind_tcp("health.listen", address).await?),
            None => None,
        };
        let addresses = Addresses {
            sip: sip.as_ref().map(UdpSocket::local_addr).transpose()?,
            sftp: sftp.as_ref().map(TcpListener::local_addr).transpose()?,
            web: web.as_ref().map(TcpListener::local_addr).transpose()?,
            sql: sql.as_ref().map(TcpListener::local_addr).transpose()?,
        };
        // The switch listens for streams by itself; whether it can is asked here, before anything runs.
        if let Some(sip) = addresses.sip.filter(|_| config.switch.tcp) {
            drop(bind_tcp("switch.listen", sip).await?);
        }
        if let Some(tls) = config.switch.tls.as_ref().filter(|_| sip.is_some()) {
            drop(bind_tcp("switch.tls.listen", tls.listen).await?);
        }
        Ok((Self { sip, sftp, web, sql, health }, addresses))
    }
}

async fn bind_tcp(key: &str, address: SocketAddr) -> Result<TcpListener, UserError> {
    TcpListener::bind(address).await.map_err(|why| cannot_listen(key, address, &why))
}

fn cannot_listen(key: &str, address: SocketAddr, why: &dyn std::fmt::Display) -> UserError {
    UserError::new(
        format!("{key} = \"{address}\": cannot listen there: {why}"),
        "stop the program that has the port, or choose another in the configuration",
    )
}
