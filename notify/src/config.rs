//! The `[mail]` section of the configuration file.
//!
//! In: TOML. Out: checked settings; secrets are read only when a [`crate::Mailer`] is made and are never printed.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::Mailbox;
use serde::Deserialize;

use crate::message::MAIL_BYTES_MAX;
use crate::{DkimConfig, NotifyError};

/// How mails leave the house.
///
/// ```toml
/// [mail]
/// from = "Nordtel Billing <billing@nordtel.example>"
///
/// [mail.smtp]
/// host = "mail.nordtel.example"
/// user = "billing"
/// password = { file = "/etc/tollbook/smtp-password" }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// Sender of every mail: `"billing@nordtel.example"` or `"Nordtel <billing@nordtel.example>"`. The part after the
    /// `@` also ends every Message-ID, so two installations do not share it with one address. No default.
    pub from: String,
    /// The SMTP server that takes our mails. Absent: no mail leaves, each becomes a file in `outbox_dir`.
    #[serde(default)]
    pub smtp: Option<SmtpConfig>,
    /// The key that signs our mails (DKIM). Absent: they are not signed.
    #[serde(default)]
    pub dkim: Option<DkimConfig>,
    /// Folder for mails as `.eml` files when there is no `smtp` section. Made if missing. Default: `"outbox"`.
    #[serde(default = "default_outbox_dir")]
    pub outbox_dir: PathBuf,
    /// Links in the place of attachments that are too large for a mail. Absent: there are none, and a mail that is too large is given up.
    #[serde(default)]
    pub links: Option<LinkConfig>,
}

/// Links from which receivers fetch what is too large for a mail, without signing in.
///
/// ```toml
/// [mail.links]
/// base_url = "https://billing.nordtel.example"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// Where receivers reach the console's server (`[web] listen`), such as `"https://billing.nordtel.example"`. A proxy in front of it need
    /// hand on nothing but `/d/`. No default.
    pub base_url: String,
    /// Whether `base_url` may begin with `http://`: whoever reads along has the files then. Default: `false`.
    #[serde(default)]
    pub allow_http: bool,
    /// Attachments of more bytes together are linked instead of sent. Default: 10 000 000.
    #[serde(default = "default_above")]
    pub above: usize,
    /// How long a link can be used, such as `"60days"`. Default: `"60days"`.
    #[serde(default = "default_valid_for", with = "humantime_serde")]
    pub valid_for: Duration,
}

fn default_above() -> usize {
    10_000_000
}

fn default_valid_for() -> Duration {
    Duration::from_secs(60 * 24 * 60 * 60)
}

impl LinkConfig {
    fn check(&self) -> Result<(), NotifyError> {
        let host = self.base_url.strip_prefix("https://").or_else(|| self.base_url.strip_prefix("http://"));
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '<' | '>' | '"');
        if !host.is_some_and(|host| !host.is_empty() && host.chars().all(is_plain)) {
            let rule = format!("{:?} is no address; write \"https://billing.example.com\"", self.base_url);
            return Err(config("links.base_url", rule));
        }
        if !self.allow_http && self.base_url.starts_with("http://") {
            let rule = "it is not encrypted; write https://, or set mail.links.allow_http = true";
            return Err(config("links.base_url", rule));
        }
        if self.above > MAIL_BYTES_MAX {
            let rule =
                format!("no mail is larger than {MAIL_BYTES_MAX} bytes; write {MAIL_BYTES_MAX} or less");
            return Err(config("links.above", rule));
        }
        if self.valid_for < Duration::from_secs(60) {
            return Err(config("links.valid_for", "nobody reads a mail so soon; write \"60days\""));
        }
        Ok(())
    }
}

/// One SMTP server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name, which its certificate must bear, or its address. No default.
    pub host: String,
    /// Its port. Default: 587 with `starttls`, 465 with `tls`, 25 with `none`.
    #[serde(default)]
    pub port: Option<u16>,
    /// Login. Absent: no login.
    #[serde(default)]
    pub user: Option<String>,
    /// Password of the login: `{ file = "/path" }`, `{ env = "NAME" }`, or the text itself. Absent: no login.
    #[serde(default)]
    pub password: Option<Secret>,
    /// `"starttls"`: in the clear until both sides agree to encrypt, and no mail if they do not. `"tls"`: encrypted
    /// from the first byte. `"none"`: never encrypted; refused with a login unless the server is this machine.
    /// Default: `"starttls"`.
    #[serde(default)]
    pub tls: TlsMode,
    /// PEM file with certificates of a private authority, trusted beside the system's. Default: none.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Time to connect and log in, such as `"30s"`. The transfer of a mail may take ten times as long.
    /// Default: `"30s"`.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
}

/// Encryption of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Never.
    None,
    /// From the STARTTLS command on, or no session.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
}

/// A secret, or where it is found. `Debug` prints the place and never the secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a secret is { file = \"/path\" }, { env = \"NAME\" } or a text")]
pub enum Secret {
    /// The secret itself.
    Plain(String),
    /// In an environment variable.
    Env(EnvPlace),
    /// In a file; a line end after it is not part of it.
    File(FilePlace),
}

/// `{ env = "NAME" }`
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvPlace {
    /// The variable.
    pub env: String,
}

/// `{ file = "/path" }`
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePlace {
    /// The file.
    pub file: PathBuf,
}

fn default_outbox_dir() -> PathBuf {
    PathBuf::from("outbox")
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

impl Default for MailConfig {
    /// From `tollbook@localhost` into the folder `outbox`: for a first look at the system.
    fn default() -> Self {
        Self {
            from: "Tollbook <tollbook@localhost>".to_owned(),
            smtp: None,
            dkim: None,
            outbox_dir: default_outbox_dir(),
            links: None,
        }
    }
}

impl MailConfig {
    /// The files that it names: certificates, keys, passwords.
    pub fn files(&self) -> Vec<&Path> {
        let smtp = self.smtp.iter();
        let secrets = smtp
            .clone()
            .filter_map(|smtp| smtp.password.as_ref())
            .chain(self.dkim.iter().map(|dkim| &dkim.key))
            .filter_map(Secret::file);
        smtp.filter_map(|smtp| smtp.ca_file.as_deref()).chain(secrets).collect()
    }

    /// The rules beyond the types, without touching files, environment or network.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Config`] with the first rule broken.
    pub fn check(&self) -> Result<(), NotifyError> {
        let sender = self.sender()?;
        if let Some(dkim) = &self.dkim {
            dkim.check(sender.email.domain())?;
        }
        if self.outbox_dir.as_os_str().is_empty() {
            return Err(config("outbox_dir", "is empty; name a folder, such as \"outbox\""));
        }
        if let Some(links) = &self.links {
            links.check()?;
        }
        let Some(smtp) = &self.smtp else { return Ok(()) };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if smtp.host.is_empty() || !smtp.host.chars().all(is_host) {
            let rule = format!("{:?} is not a host name or address, such as \"mail.example.com\"", smtp.host);
            return Err(config("smtp.host", rule));
        }
        if smtp.port == Some(0) {
            return Err(config("smtp.port", "0 is no port; leave the key out for the usual one"));
        }
        if smtp.user.is_some() != smtp.password.is_some() {
            return Err(config("smtp.user", "a login needs user and password; give both or neither"));
        }
        if smtp.user.is_some() && smtp.tls == TlsMode::None && !is_this_machine(&smtp.host) {
            let rule = "\"none\" would send the password readable through the network; use \"starttls\" or \"tls\", \
                        or drop user and password";
            return Err(config("smtp.tls", rule));
        }
        if smtp.timeout.is_zero() {
            return Err(config("smtp.timeout", "0 leaves no time; write \"30s\""));
        }
        Ok(())
    }

    /// The sender as a mailbox.
    pub(crate) fn sender(&self) -> Result<Mailbox, NotifyError> {
        let rule = |why: &str| format!("{:?} {why}; write \"Name <user@example.com>\"", self.from);
        if self.from.chars().any(char::is_control) {
            return Err(config("from", rule("holds a line end or another control character")));
        }
        let mailbox: Mailbox =
            self.from.parse().map_err(|_| config("from", rule("is not a mail address")))?;
        if !mailbox.email.domain().is_ascii() {
            return Err(config(
                "from",
                rule("has a domain beyond ASCII, which not every server takes (use xn--)"),
            ));
        }
        Ok(mailbox)
    }
}

impl SmtpConfig {
    /// The port, given or usual.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            TlsMode::None => 25,
            TlsMode::Starttls => 587,
            TlsMode::Tls => 465,
        })
    }
}

impl Secret {
    /// The file that it is in, if it is in one.
    fn file(&self) -> Option<&Path> {
        match self {
            Secret::File(place) => Some(&place.file),
            Secret::Plain(_) | Secret::Env(_) => None,
        }
    }

    /// Reads it.
    pub(crate) fn read(&self, key: &'static str) -> Result<String, NotifyError> {
        let unreadable = |reason: String| NotifyError::Unreadable { key, place: format!("{self:?}"), reason };
        let secret = match self {
            Secret::Plain(secret) => secret.clone(),
            Secret::Env(EnvPlace { env }) => {
                std::env::var(env).map_err(|error| unreadable(error.to_string()))?
            }
            Secret::File(FilePlace { file }) => {
                let text = fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if secret.is_empty() {
            return Err(unreadable("it is empty".to_owned()));
        }
        Ok(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Plain(_) => f.write_str("a text that is not shown"),
            Secret::Env(EnvPlace { env }) => write!(f, "the environment variable {env}"),
            Secret::File(FilePlace { file }) => write!(f, "the file {}", file.display()),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn config(key: &'static str, rule: impl Into<String>) -> NotifyError {
    NotifyError::Config { key, rule: rule.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        from = "Nordtel Billing <billing@nordtel.example>"
        [smtp]
        host = "mail.nordtel.example"
        user = "billing"
        password = "s3cret-word"
    "#;

    #[test]
    fn password_is_never_printed() {
        let config: MailConfig = toml::from_str(FULL).unwrap();
        config.check().unwrap();
        let printed = format!("{config:?}");
        assert!(printed.contains("not shown") && !printed.contains("s3cret"), "{printed}");
        let mailer = crate::Mailer::new(config).unwrap();
        assert!(!format!("{mailer:?}").contains("s3cret"));
    }

    #[test]
    fn usual_port_follows_the_encryption() {
        let mut smtp = toml::from_str::<MailConfig>(FULL).unwrap().smtp.unwrap();
        assert_eq!((smtp.tls, smtp.port()), (TlsMode::Starttls, 587));
        smtp.tls = TlsMode::Tls;
        assert_eq!(smtp.port(), 465);
        smtp.tls = TlsMode::None;
        assert_eq!(smtp.port(), 25);
    }

    #[test]
    fn wrong_values_name_the_key_and_the_remedy() {
        let broken = |change: &dyn Fn(&mut MailConfig)| {
            let mut config: MailConfig = toml::from_str(FULL).unwrap();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        let smtp = |change: &dyn Fn(&mut SmtpConfig)| broken(&|config| change(config.smtp.as_mut().unwrap()));
        assert!(
            broken(&|config| config.from = "nobody".to_owned()).starts_with("mail.from: \"nobody\" is not")
        );
        assert!(
            broken(&|config| config.from = "a@b.example\r\nBcc: c@d.example".to_owned()).contains("line end")
        );
        assert!(broken(&|config| config.from = "a@büro.example".to_owned()).contains("xn--"));
        let links = |base_url: &str| {
            let (base_url, above, valid_for) = (base_url.to_owned(), default_above(), default_valid_for());
            broken(&|config| {
                let base_url = base_url.clone();
                config.links = Some(LinkConfig { base_url, allow_http: false, above, valid_for });
            })
        };
        assert!(links("http://x.example").contains("it is not encrypted"));
        assert!(links("billing.example").starts_with("mail.links.base_url"));
        assert!(links("https://x.example/?a=").contains("is no address"));
        assert!(smtp(&|smtp| smtp.host = "mail server".to_owned()).starts_with("mail.smtp.host"));
        assert!(smtp(&|smtp| smtp.password = None).contains("both or neither"));
        assert!(smtp(&|smtp| smtp.tls = TlsMode::None).contains("readable through the network"));
    }

    #[test]
    fn unknown_key_and_wrong_secret_are_refused_with_the_rule() {
        let error =
            toml::from_str::<MailConfig>("from = \"a@b.example\"\noutbox = \"x\"").unwrap_err().to_string();
        assert!(error.contains("unknown field `outbox`") && error.contains("outbox_dir"), "{error}");
        let error = toml::from_str::<MailConfig>(&FULL.replace("\"s3cret-word\"", "{ path = \"x\" }"));
        assert!(error.unwrap_err().to_string().contains("{ file = \"/path\" }"));
    }

    #[test]
    fn secret_comes_from_a_file_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, "s3cret word\n").unwrap();
        let secret = Secret::File(FilePlace { file: file.clone() });
        assert_eq!(secret.read("smtp.password").unwrap(), "s3cret word");
        fs::remove_file(&file).unwrap();
        let error = secret.read("smtp.password").unwrap_err();
        assert_eq!(error.code(), "NTF002");
        assert!(error.to_string().contains("mail.smtp.password names the file"), "{error}");
        let secret = Secret::Env(EnvPlace { env: "TOLLBOOK_NO_SUCH_VARIABLE".to_owned() });
        assert!(secret.read("smtp.password").unwrap_err().to_string().contains("TOLLBOOK_NO_SUCH_VARIABLE"));
    }
}
