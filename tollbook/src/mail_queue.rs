//! The outbox in the database, as the mailer sees it: each mail gets its last words at its first attempt, from its tenant's template if
//! that works, and links in the place of attachments that are too large.
//!
//! Whatever is wrong with a template, the mail goes out: in the words of the version before, or those it was queued with.

use chrono::{DateTime, Utc};
use notify::{
    Attachment, Claimed, Delivered, Drained, LinkConfig, MailTemplate, Mailer, NotifyError, OutgoingMail,
    Queue, Words,
};
use store::{Mail, Store, StoreError};
use tracing::warn;

use crate::downloads;

/// One mail at a time: the queue is asked again for the next.
const CLAIM_MAX: u32 = 1;

struct Outbox<'a> {
    store: &'a Store,
    links: Option<&'a LinkConfig>,
}

impl Outbox<'_> {
    /// Gives a mail the words of its tenant's template, which are kept before they are sent.
    async fn word(&self, mail: &mut Mail, now: DateTime<Utc>) -> Result<(), StoreError> {
        if mail.fill.is_none() {
            return Ok(());
        }
        let words = self.by_template(mail, now).await?.unwrap_or_else(|| words_of(mail));
        self.store.mail_worded(mail.id, (&words.subject, &words.text, words.html.as_deref()), now).await?;
        say(mail, words);
        Ok(())
    }

    /// Puts links in the place of attachments that are too large, at each attempt: the mail may have been queued, and tried, before there
    /// were any links, or long ago. False: a link was revoked, and the mail is given up.
    async fn link(&self, mail: &mut Mail, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let n_bytes: usize = mail.mail.attachments.iter().map(|(_, _, content)| content.len()).sum();
        let Some(links) = self.links.filter(|links| n_bytes > links.above) else { return Ok(true) };
        match downloads::linked(self.store, links, mail, words_of(mail), now).await? {
            Ok(words) => {
                say(mail, words);
                mail.mail.attachments.clear();
                Ok(true)
            }
            Err(link) => {
                let why = format!("link {link}, which it has in place of an attachment, was revoked");
                self.store.mail_given_up(mail.id, false, &why, now).await?;
                warn!(mail = mail.id, link, "mail given up: its link was revoked");
                Ok(false)
            }
        }
    }

    /// The words of the newest version of the tenant's template that works, if there is one.
    async fn by_template(&self, mail: &Mail, now: DateTime<Utc>) -> Result<Option<Words>, StoreError> {
        let (Some(fill), Some(tenant)) = (&mail.fill, mail.tenant) else { return Ok(None) };
        for kept in self.store.mail_templates_for(tenant, fill.event, fill.language).await? {
            let template = MailTemplate { text: kept.text, html: kept.html };
            match template.fill(&fill.variables) {
                Ok(words) => return Ok(Some(words)),
                Err(fault) => {
                    warn!(mail = mail.id, event = %fill.event, version = kept.id, %fault, "mail template fails; using the words before it");
                    self.store.mail_template_failed(kept.id, &fault.to_string(), now).await?;
                }
            }
        }
        Ok(None)
    }
}

impl Queue for Outbox<'_> {
    type Error = StoreError;

    async fn claim(&self, now: DateTime<Utc>) -> Result<Option<Claimed>, StoreError> {
        loop {
            let Some(mut claimed) = self.store.mail_claim(now, CLAIM_MAX).await?.pop() else {
                return Ok(None);
            };
            if claimed.worded_at.is_none() {
                self.word(&mut claimed, now).await?;
            }
            if self.link(&mut claimed, now).await? {
                return Ok(Some(outgoing(claimed)));
            }
        }
    }

    async fn sent(&self, id: i64, _delivered: &Delivered, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.store.mail_sent(id, now).await
    }

    async fn failed(
        &self,
        id: i64,
        error: &NotifyError,
        retry_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let why = format!("{} {error}", error.code());
        match retry_at {
            Some(retry_at) => self.store.mail_failed(id, &why, retry_at).await,
            None => {
                let has_bounced = matches!(error, NotifyError::Refused { .. });
                self.store.mail_given_up(id, has_bounced, &why, now).await
            }
        }
    }
}

fn words_of(mail: &Mail) -> Words {
    Words { subject: mail.mail.subject.clone(), text: mail.mail.text.clone(), html: mail.html.clone() }
}

fn say(mail: &mut Mail, words: Words) {
    mail.mail.subject = words.subject;
    mail.mail.text = words.text;
    mail.html = words.html;
}

fn outgoing(claimed: Mail) -> Claimed {
    let attachments = claimed
        .mail
        .attachments
        .into_iter()
        .map(|(name, mime, bytes)| Attachment { name, mime, bytes })
        .collect();
    Claimed {
        mail: OutgoingMail {
            id: claimed.id,
            to: claimed.mail.to,
            subject: claimed.mail.subject,
            text: claimed.mail.text,
            html: claimed.html,
            attachments,
        },
        attempt: claimed.attempts,
    }
}

/// Sends what is due.
pub(crate) async fn send_waiting(
    store: &Store,
    mailer: &Mailer,
    links: Option<&LinkConfig>,
    now: DateTime<Utc>,
) -> Result<Drained, StoreError> {
    notify::drain(&Outbox { store, links }, mailer, now).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use chrono::TimeDelta;
    use model::{Language, MailEvent, TenantId};
    use notify::MailConfig;
    use store::{EventMail, MailFill, MailState, NewMail};

    use super::*;

    const OURS: TenantId = TenantId(1);

    struct Post {
        store: Store,
        mailer: Mailer,
        dir: tempfile::TempDir,
    }

    fn now() -> DateTime<Utc> {
        "2026-11-02T06:00:00Z".parse().unwrap()
    }

    impl Post {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}", dir.path().join("t.db").display());
            let store = Store::open(&url).await.unwrap();
            let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/world.toml");
            let world = crate::world_file::read(&sample).unwrap();
            store.import(&world, "2026-08-01T00:00:00Z".parse().unwrap(), "test").await.unwrap();
            let config = MailConfig { outbox_dir: dir.path().join("outbox"), ..MailConfig::default() };
            Self { store, mailer: Mailer::new(config).unwrap(), dir }
        }

        async fn queue(&self, n_bytes: usize) -> i64 {
            let variables: BTreeMap<_, _> = notify::sample_variables(MailEvent::Invoice);
            let mail = EventMail {
                mail: NewMail {
                    to: vec!["a@customer.example".to_owned()],
                    subject: "The program's subject".to_owned(),
                    text: "The program's text.\n".to_owned(),
                    attachments: vec![(
                        "i.pdf".to_owned(),
                        "application/pdf".to_owned(),
                        vec![b'%'; n_bytes],
                    )],
                    about: "invoice:1".to_owned(),
                },
                tenant: OURS,
                fill: MailFill { event: MailEvent::Invoice, language: Language::English, variables },
            };
            self.store.mail_enqueue_event(&mail, now()).await.unwrap()
        }

        async fn template(&self, text: &str) -> i64 {
            let which = (OURS, MailEvent::Invoice, None);
            self.store.mail_template_set(which, text, None, "test", now()).await.unwrap()
        }

        /// Sends what waits, and says what the mail says.
        async fn send(&self, id: i64, links: Option<&LinkConfig>) -> Mail {
            let drained = send_waiting(&self.store, &self.mailer, links, now()).await.unwrap();
            assert_eq!((drained.n_sent, drained.n_given_up), (1, 0));
            let mail = self.store.mail_list().await.unwrap().into_iter().find(|mail| mail.id == id).unwrap();
            assert_eq!(mail.state, MailState::Sent);
            let file = self.dir.path().join("outbox").join(format!("mail-{id:010}.eml"));
            assert!(std::fs::read_to_string(file).unwrap().contains(&mail.mail.subject));
            mail
        }
    }

    #[tokio::test]
    async fn template_that_fails_holds_up_no_mail() {
        let post = Post::new().await;
        let id = post.queue(9).await;
        assert_eq!(post.send(id, None).await.mail.subject, "The program's subject");
        // As a later program left it, with a variable that this one does not have.
        let broken = "Subject: {{ a_new_variable }}\n\nHello\n";
        let first = post.template(broken).await;
        let id = post.queue(9).await;
        assert_eq!(post.send(id, None).await.mail.subject, "The program's subject");
        post.template("Subject: Good {{ number }}\n\nHello\n").await;
        let last = post.template(broken).await;
        let id = post.queue(9).await;
        let mail = post.send(id, None).await.mail;
        assert_eq!((mail.subject.as_str(), mail.text.as_str()), ("Good INV-2026-000117", "Hello\n"));
        let faults = post.store.mail_templates().await.unwrap();
        assert_eq!((faults[0].id, faults[0].failed_at), (last, Some(now())));
        assert!(faults[0].last_fault.starts_with("text:1:13"), "{faults:?}");
        assert!(first < last);
    }

    #[tokio::test]
    async fn link_works_until_its_time_is_over_and_for_its_own_file() {
        let post = Post::new().await;
        let links = LinkConfig {
            base_url: "https://b.example".to_owned(),
            allow_http: false,
            above: 100,
            valid_for: Duration::from_secs(3_600),
        };
        let claim = async |links, at| {
            let outbox = Outbox { store: &post.store, links };
            outbox.claim(at).await.unwrap().map(|claimed| claimed.mail)
        };
        let link_in = |text: &str| {
            text.lines().find_map(|line| line.strip_prefix("https://b.example/d/")).unwrap().to_owned()
        };
        let small = post.queue(100).await;
        let mail = claim(Some(&links), now()).await.unwrap();
        assert_eq!((mail.id, mail.attachments.len()), (small, 1));
        assert!(!mail.text.contains("/d/"), "it is sent");
        post.store.mail_sent(small, now()).await.unwrap();
        // Tried at first when there were no links, as too large.
        let large = post.queue(101).await;
        assert_eq!(claim(None, now()).await.unwrap().attachments.len(), 1);
        post.store.mail_given_up(large, false, "too large", now()).await.unwrap();
        post.store.mail_again(large, now()).await.unwrap();
        let mail = claim(Some(&links), now()).await.unwrap();
        assert!(mail.attachments.is_empty());
        assert!(mail.text.starts_with("The program's text.\n\nTo be fetched here"), "{}", mail.text);
        let link = link_in(&mail.text);
        let fetch = async |token: &str, at| downloads::fetch(&post.store, token, at).await.unwrap();
        let found = fetch(&link, now() + TimeDelta::minutes(59)).await.unwrap();
        assert_eq!((found.name.as_str(), found.bytes.len()), ("i.pdf", 101));
        let over = now() + TimeDelta::minutes(60);
        assert_eq!(fetch(&link, over).await, None);
        assert_eq!(fetch(&link[1..], now()).await, None);
        // Sent again after its end: with a link that works.
        post.store.mail_given_up(large, true, "550", over).await.unwrap();
        post.store.mail_again(large, over).await.unwrap();
        let mail = claim(Some(&links), over).await.unwrap();
        assert_eq!(mail.text.matches("/d/").count(), 1, "{}", mail.text);
        let link = link_in(&mail.text);
        assert!(fetch(&link, over).await.is_some());
        post.store.mail_failed(large, "450 later", over).await.unwrap();
        post.store.download_revoke_all(OURS, [3; 32], "test", over).await.unwrap();
        assert_eq!(fetch(&link, over).await, None);
        assert!(claim(Some(&links), over).await.is_none(), "its link leads nowhere");
        let mails = post.store.mail_list().await.unwrap();
        let state = mails.iter().find(|mail| mail.id == large).map(|mail| mail.state);
        assert_eq!(state, Some(MailState::GivenUp));
    }
}
