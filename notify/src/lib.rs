//! Outgoing mail and webhooks: the only room that knows SMTP, and HTTP from the asking side ([`WebhookSender`]).
//!
//! In: [`OutgoingMail`]s from a durable [`Queue`] (the store's table, behind a trait), a [`MailConfig`]. Out: mails
//! accepted by an SMTP server, or `.eml` files in a folder where no server is configured. What a mail says is filled into a [`MailTemplate`];
//! that each event queues it once, is the caller's work; the clock is the binary's.
//!
//! A mail is sent at least once. A crash between the server's answer and its note in the queue sends it again with
//! the same Message-ID (or over the same file), by which mailboxes and people recognise the second copy.

mod config;
mod dkim;
mod download;
mod drain;
mod error;
mod mailer;
mod message;
mod outbox;
mod template;
mod webhook;

pub use config::{LinkConfig, MailConfig, Secret, SmtpConfig, TlsMode};
pub use dkim::DkimConfig;
pub use download::{DownloadKey, DownloadToken, Linked, with_links};
pub use drain::{Claimed, DRAIN_MAX, Drained, Queue, drain, retry_after};
pub use error::NotifyError;
pub use mailer::{Delivered, Mailer};
pub use message::{Attachment, MAIL_BYTES_MAX, OutgoingMail, RECIPIENTS_MAX};
pub use template::{
    MailTemplate, TEMPLATE_BYTES_MAX, TemplateFault, TemplatePart, Variables, Words, own_template, own_words,
    sample_variables,
};
pub use webhook::{
    WebhookConfig, WebhookError, WebhookMessage, WebhookSecret, WebhookSender, webhook_retry_after,
};
