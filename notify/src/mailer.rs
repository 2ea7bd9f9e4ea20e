//! Hands mails to the SMTP server, or puts them in the outbox folder.
//!
//! In: a mail and the time. Out: [`Delivered`], or an error that says whether the mail or the server is at fault. One
//! session is kept open between mails. Which mails are due, and when one is tried again, is `drain`'s work.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;

use crate::dkim::Signer;
use crate::message::{build, message_id};
use crate::{MailConfig, NotifyError, OutgoingMail, SmtpConfig, TlsMode, outbox};

/// How much longer than a login a transfer may take.
const TRANSFER_TIMEOUTS: u32 = 10;

/// Where a mail went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// A server has it.
    Accepted {
        /// The same for every attempt.
        message_id: String,
        /// What the server said; its queue number, mostly.
        answer: String,
    },
    /// It lies in the outbox folder.
    Filed {
        /// The same for every attempt.
        message_id: String,
        /// The file.
        path: PathBuf,
    },
}

impl Delivered {
    /// The Message-ID.
    pub fn message_id(&self) -> &str {
        match self {
            Delivered::Accepted { message_id, .. } | Delivered::Filed { message_id, .. } => message_id,
        }
    }
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delivered::Accepted { answer, .. } => write!(f, "accepted: {answer}"),
            Delivered::Filed { path, .. } => write!(f, "filed: {}", path.display()),
        }
    }
}

/// Sends mails.
pub struct Mailer {
    from: Mailbox,
    signer: Option<Signer>,
    way: Way,
}

enum Way {
    Smtp(Box<Smtp>),
    Outbox(PathBuf),
}

struct Smtp {
    config: SmtpConfig,
    credentials: Option<Credentials>,
    tls: Option<TlsParameters>,
    /// The session after the last mail; one at a time.
    session: Mutex<Option<AsyncSmtpConnection>>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Smtp(smtp) => write!(f, "Mailer(from {}, to {:?})", self.from, smtp.config),
            Way::Outbox(dir) => write!(f, "Mailer(from {}, into {})", self.from, dir.display()),
        }
    }
}

impl Mailer {
    /// Checks the settings and reads secrets and certificates. Does not talk to the server.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Config`], [`NotifyError::Unreadable`], [`NotifyError::Outbox`].
    pub fn new(config: MailConfig) -> Result<Mailer, NotifyError> {
        config.check()?;
        let from = config.sender()?;
        let signer = config.dkim.as_ref().map(Signer::new).transpose()?;
        let way = match config.smtp {
            Some(smtp) => Way::Smtp(Box::new(Smtp::new(smtp)?)),
            None => {
                let path = config.outbox_dir;
                fs::create_dir_all(&path)
                    .map_err(|source| NotifyError::Outbox { path: path.clone(), source })?;
                Way::Outbox(path)
            }
        };
        Ok(Mailer { from, signer, way })
    }

    /// Sends one mail, dated `now`. A second call with the same mail carries the same Message-ID or overwrites the
    /// same file.
    ///
    /// # Errors
    ///
    /// Any but the two of the configuration. [`NotifyError::is_permanent`] says whether to try again; after an error
    /// in the last moment of a transfer the server may have the mail all the same.
    pub async fn send(&self, mail: &OutgoingMail, now: DateTime<Utc>) -> Result<Delivered, NotifyError> {
        let message = build(mail, &self.from, now)?;
        let message_id = message_id(mail.id, &self.from.email);
        let mut bytes = message.formatted();
        if let Some(signer) = &self.signer {
            bytes = signer.sign(&bytes, now).map_err(|rule| NotifyError::Unsigned { id: mail.id, rule })?;
        }
        match &self.way {
            Way::Smtp(smtp) => {
                let answer = smtp.send(mail.id, message.envelope(), &bytes).await?;
                Ok(Delivered::Accepted { message_id, answer })
            }
            Way::Outbox(dir) => {
                let path = outbox::write(dir, mail.id, bytes).await?;
                Ok(Delivered::Filed { message_id, path })
            }
        }
    }

    /// Says goodbye to the server. Without it the session ends when the mailer is dropped.
    pub async fn close(&self) {
        match &self.way {
            Way::Smtp(smtp) => {
                if let Some(mut session) = smtp.session.lock().await.take() {
                    let _ = timeout(smtp.config.timeout, session.abort()).await;
                }
            }
            Way::Outbox(_) => {}
        }
    }
}

impl Smtp {
    fn new(config: SmtpConfig) -> Result<Self, NotifyError> {
        let credentials = match (&config.user, &config.password) {
            (Some(user), Some(password)) => {
                Some(Credentials::new(user.clone(), password.read("smtp.password")?))
            }
            _ => None,
        };
        let tls = match config.tls {
            TlsMode::None => None,
            TlsMode::Starttls | TlsMode::Tls => Some(tls_parameters(&config)?),
        };
        Ok(Self { config, credentials, tls, session: Mutex::new(None) })
    }

    async fn send(&self, id: i64, envelope: &Envelope, bytes: &[u8]) -> Result<String, NotifyError> {
        let mut slot = self.session.lock().await;
        // Taken out: whatever goes wrong below, a broken session is never used again.
        let mut session = match self.still_open(slot.take()).await {
            Some(session) => session,
            None => self.open().await?,
        };
        let transfer = session.send(envelope, bytes);
        match timeout(self.config.timeout * TRANSFER_TIMEOUTS, transfer).await {
            Ok(Ok(response)) => {
                *slot = Some(session);
                Ok(answer(&response))
            }
            Ok(Err(error)) => Err(self.mail_error(id, &error)),
            Err(_) => Err(self.no_session("sending", "the server took too long")),
        }
    }

    async fn still_open(&self, session: Option<AsyncSmtpConnection>) -> Option<AsyncSmtpConnection> {
        let mut session = session?;
        // Servers close idle sessions, so the last one may be gone.
        match timeout(self.config.timeout, session.test_connected()).await {
            Ok(true) => Some(session),
            Ok(false) | Err(_) => None,
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, NotifyError> {
        let limit = self.config.timeout;
        let hello = ClientId::default();
        let (from_start, upgrade) = match self.config.tls {
            TlsMode::None => (None, None),
            TlsMode::Starttls => (None, self.tls.clone()),
            TlsMode::Tls => (self.tls.clone(), None),
        };
        let server = (self.config.host.as_str(), self.config.port());
        let connecting = AsyncSmtpConnection::connect_tokio1(server, Some(limit), &hello, from_start, None);
        let mut session = self.step("connecting", timeout(limit, connecting).await)?;
        if let Some(parameters) = upgrade {
            let upgrading = timeout(limit, session.starttls(parameters, &hello)).await;
            self.step("starting TLS", upgrading)?;
        }
        if let Some(credentials) = &self.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let login = timeout(limit, session.auth(&mechanisms, credentials)).await;
            self.step("logging in", login)?;
        }
        debug!(host = self.config.host, port = self.config.port(), "mail session opened");
        Ok(session)
    }

    fn step<T>(
        &self,
        step: &'static str,
        result: Result<Result<T, lettre::transport::smtp::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, NotifyError> {
        match result {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.no_session(step, &chain(&error))),
            Err(_) => Err(self.no_session(step, "the server took too long")),
        }
    }

    fn no_session(&self, step: &'static str, reason: &str) -> NotifyError {
        NotifyError::NoSession {
            host: self.config.host.clone(),
            port: self.config.port(),
            step,
            reason: reason.to_owned(),
        }
    }

    /// What an error during the transfer says of the mail. Before it, none does: a wrong password is answered with
    /// 5xx too, and must not throw the whole queue away.
    fn mail_error(&self, id: i64, error: &lettre::transport::smtp::Error) -> NotifyError {
        let answer = chain(error);
        // 421: the server is closing the session (RFC 5321, 4.2.3).
        let is_closing = error.status().is_some_and(|code| code.to_string() == "421");
        if error.is_transient() {
            NotifyError::NotNow { id, answer, is_closing }
        } else if error.is_permanent() || error.is_client() {
            // A client error here is an address that this server cannot take (no SMTPUTF8).
            NotifyError::Refused { id, answer }
        } else {
            self.no_session("sending", &answer)
        }
    }
}

fn tls_parameters(config: &SmtpConfig) -> Result<TlsParameters, NotifyError> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let unreadable = |reason: String| NotifyError::Unreadable {
            key: "smtp.ca_file",
            place: file.display().to_string(),
            reason,
        };
        let pem = fs::read(file).map_err(|error| unreadable(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| unreadable(error.to_string()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| NotifyError::Config { key: "smtp.tls", rule: chain(&error) })
}

/// What the server said at the end of a transfer.
fn answer(response: &Response) -> String {
    let words: Vec<&str> = response.message().collect();
    format!("{} {}", response.code(), words.join(" "))
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
