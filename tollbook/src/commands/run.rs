//! `tollbook run`: the installation, until it is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Clock;
use crate::config::Config;
use crate::roles::Roles;
use crate::system::System;

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn run(config: Config, roles: Roles) -> anyhow::Result<()> {
    // Before anything starts: a signal that comes meanwhile must stop the house in order too, not kill it.
    let mut stop = StopSignals::listen()?;
    let house = System::start(config, Clock::start(), roles).await?;
    if let Some(sip) = house.addresses.sip {
        println!("SIP      {sip}");
    }
    if let Some(sftp) = house.addresses.sftp {
        println!("SFTP     {sftp}  host key {}", house.sftp_fingerprint);
    }
    if let Some(web) = house.addresses.web {
        println!("console  http://{web}/");
    }
    if let Some(sql) = house.addresses.sql {
        println!("SQL      postgres://{sql}/tollbook");
    }
    println!("running");
    stop.wait().await;
    println!("stopping");
    house.stop().await
}

/// SIGINT and SIGTERM. From [`StopSignals::listen`] on they no longer end the process by themselves.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Takes both signals over.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Resolves at the first of them since [`StopSignals::listen`].
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
