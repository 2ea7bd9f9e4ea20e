//! `tollbook run`: the installation, until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::config::Config;
use crate::system::System;

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let house = System::start(config, Clock::start()).await?;
    println!("SIP      {}", house.addresses.sip);
    println!("SFTP     {}  host key {}", house.addresses.sftp, house.sftp_fingerprint);
    println!("console  http://{}/", house.addresses.web);
    wait_for_stop().await?;
    println!("stopping");
    house.stop().await
}

/// Resolves at SIGINT or SIGTERM.
pub(crate) async fn wait_for_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
