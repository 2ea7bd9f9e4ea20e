//! What can go wrong with a mail, and whether trying again helps.

use std::io;
use std::path::PathBuf;

/// Why a mail was not sent, or no mailer made.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// A key of the `[mail]` section is wrong.
    #[error("mail.{key}: {rule}")]
    Config {
        /// Below `mail`, such as `smtp.host`.
        key: &'static str,
        /// What is wrong and what to write.
        rule: String,
    },
    /// A secret or certificate could not be read.
    #[error("mail.{key} names {place}, which cannot be read: {reason}")]
    Unreadable {
        /// The key.
        key: &'static str,
        /// The variable or file.
        place: String,
        /// Why.
        reason: String,
    },
    /// Something would end a header line or is no address. Nobody will ever accept it.
    #[error("mail {id}: {what} {text:?} cannot be sent: {rule}")]
    BadHeader {
        /// Of the mail.
        id: i64,
        /// `the subject`, `the address`, `the attachment name`, `the attachment type`.
        what: &'static str,
        /// As given.
        text: String,
        /// Why.
        rule: String,
    },
    /// Nobody or too many to send it to.
    #[error("mail {id} has {n_recipients} recipients: give it 1 to {max}")]
    Recipients {
        /// Of the mail.
        id: i64,
        /// How many it has.
        n_recipients: usize,
        /// How many it may have.
        max: usize,
    },
    /// Not signed, and so not sent: a mail without its signature is taken for a forgery.
    #[error("mail {id} cannot be signed: {rule}")]
    Unsigned {
        /// Of the mail.
        id: i64,
        /// Why.
        rule: &'static str,
    },
    /// Larger than mail servers take.
    #[error("mail {id} is too large: {bytes} bytes of text and attachments, at most {max} are sent")]
    TooLarge {
        /// Of the mail.
        id: i64,
        /// Its size before encoding.
        bytes: usize,
        /// Our limit.
        max: usize,
    },
    /// The server refuses this mail for good: 5xx.
    #[error("mail {id} was refused for good: {answer}")]
    Refused {
        /// Of the mail.
        id: i64,
        /// What the server said.
        answer: String,
    },
    /// The server does not take this mail now: 4xx.
    #[error("mail {id} was not taken now: {answer}")]
    NotNow {
        /// Of the mail.
        id: i64,
        /// What the server said.
        answer: String,
        /// The server is going away: no other mail will fare better.
        is_closing: bool,
    },
    /// There is no session with the server: name, network, certificate, login. No mail's fault.
    #[error("no session with mail server {host}:{port} while {step}: {reason}")]
    NoSession {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// `connecting`, `starting TLS`, `logging in`, `sending`.
        step: &'static str,
        /// Why.
        reason: String,
    },
    /// The folder for mails does not take the file.
    #[error("cannot write mail to {}: {source}", path.display())]
    Outbox {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl NotifyError {
    /// Whether the same mail will fail again whatever happens outside: it is not tried again.
    pub fn is_permanent(&self) -> bool {
        match self {
            NotifyError::BadHeader { .. }
            | NotifyError::Recipients { .. }
            | NotifyError::TooLarge { .. }
            | NotifyError::Unsigned { .. }
            | NotifyError::Refused { .. } => true,
            NotifyError::Config { .. }
            | NotifyError::Unreadable { .. }
            | NotifyError::NotNow { .. }
            | NotifyError::NoSession { .. }
            | NotifyError::Outbox { .. } => false,
        }
    }

    /// Whether every other mail would fail for the same reason now: the queue is left alone for a while.
    pub fn is_outage(&self) -> bool {
        match self {
            NotifyError::Config { .. }
            | NotifyError::Unreadable { .. }
            | NotifyError::NoSession { .. }
            | NotifyError::Outbox { .. } => true,
            NotifyError::NotNow { is_closing, .. } => *is_closing,
            NotifyError::BadHeader { .. }
            | NotifyError::Recipients { .. }
            | NotifyError::TooLarge { .. }
            | NotifyError::Unsigned { .. }
            | NotifyError::Refused { .. } => false,
        }
    }

    /// Stable; explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            NotifyError::Config { .. } => "NTF001",
            NotifyError::Unreadable { .. } => "NTF002",
            NotifyError::BadHeader { .. } => "NTF003",
            NotifyError::Recipients { .. } => "NTF004",
            NotifyError::TooLarge { .. } => "NTF005",
            NotifyError::Refused { .. } => "NTF006",
            NotifyError::NotNow { .. } => "NTF007",
            NotifyError::NoSession { .. } => "NTF008",
            NotifyError::Outbox { .. } => "NTF009",
            NotifyError::Unsigned { .. } => "NTF010",
        }
    }
}
