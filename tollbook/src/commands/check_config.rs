//! `tollbook check-config`: everything that can be known without starting.

use std::path::Path;

use crate::config::Config;

/// Reads and checks the file; says where things would be.
pub(crate) fn check_config(file: &Path) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    println!("{} is in order", file.display());
    println!("  data      {}", config.data.display());
    println!("  SIP       {}", config.switch.listen);
    println!("  SFTP      {}, {} users", config.sftp.server.listen, config.sftp.users.len());
    println!("  console   {}", config.web.listen);
    Ok(())
}
