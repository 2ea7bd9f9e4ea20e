//! `tollbook check-config`: everything that can be known without starting.

use std::path::Path;

use model::Directory;

use crate::config::Config;
use crate::failure::UserError;
use crate::fraud_watch::RuleBook;

/// Reads and checks the file; says where things would be.
pub(crate) fn check_config(file: &Path) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    if config.mail.smtp.is_some() {
        // Reads the password and the certificates; talks to nobody.
        notify::Mailer::new(config.mail.clone())
            .map_err(|why| UserError::new(format!("{}: {why}", file.display()), ""))?;
    }
    notify::WebhookSender::new(config.webhooks.clone())
        .map_err(|why| UserError::new(format!("{}: {why}", file.display()), ""))?;
    let rules = RuleBook::load(&config.fraud, &Directory::default())?;
    println!("{} is in order", file.display());
    println!("  data      {}", config.data.display());
    println!("  SIP       {}", config.switch.listen);
    println!("  SFTP      {}, {} users", config.sftp.server.listen, config.sftp.users.len());
    println!("  console   {}", config.web.listen);
    if let Some(listen) = config.lake.pg_listen {
        lake::wire::WireConfig::of(&config.lake)
            .check()
            .map_err(|why| UserError::new(format!("{}: {why}", file.display()), ""))?;
        println!("  SQL       {listen}");
    }
    println!("  fraud     {} rules", rules.configured().len());
    Ok(())
}
