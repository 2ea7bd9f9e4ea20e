//! Mails about events: tenants' own words, links in the place of attachments, and what webhooks are told of mails, invoices and locks.

use std::collections::BTreeMap;

use model::{Language, Lock, LockLevel, MailEvent, PostingId, TenantId};
use store::{
    DeliveryState, EventMail, InvoiceKind, InvoiceSums, LastMail, MailFill, NewInvoice, NewMail,
    PipelineAnswer, StoreError, WordKind,
};

use crate::database::Database;
use crate::invoices::invoice;
use crate::sample::{eur, lock, second, world};

const ACTOR: &str = "maria";
const OURS: TenantId = TenantId(1);

pub(crate) fn event_mail(subject: &str) -> EventMail {
    let variables = BTreeMap::from([("number".to_owned(), "R-1".to_owned())]);
    EventMail {
        mail: NewMail {
            to: vec!["a@vox.example".to_owned()],
            subject: subject.to_owned(),
            text: "Grüße\n".to_owned(),
            attachments: vec![
                ("1.pdf".to_owned(), "application/pdf".to_owned(), b"%PDF-1".to_vec()),
                ("1.xml".to_owned(), "application/xml".to_owned(), b"<xml/>".to_vec()),
            ],
            about: "invoice:1".to_owned(),
        },
        tenant: OURS,
        fill: MailFill { event: MailEvent::Invoice, language: Language::German, variables },
    }
}

pub(crate) async fn newest_own_words_come_first_and_those_of_the_language_before_all_others(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let set = async |language, text: &str, n| {
        let which = (OURS, MailEvent::Invoice, language);
        store.mail_template_set(which, text, Some("<p>"), ACTOR, second(n)).await.unwrap()
    };
    let everywhere = set(None, "all", 1).await;
    let older = set(Some(Language::German), "old", 2).await;
    let newer = set(Some(Language::German), "new", 3).await;
    let ids = async |event, language| {
        let found = store.mail_templates_for(OURS, event, language).await.unwrap();
        found.into_iter().map(|kept| kept.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(MailEvent::Invoice, Language::German).await, [newer, older, everywhere]);
    assert_eq!(ids(MailEvent::Invoice, Language::English).await, [everywhere]);
    assert!(ids(MailEvent::Reminder, Language::German).await.is_empty());
    store.mail_template_failed(newer, "text:3:1: broken", second(4)).await.unwrap();
    let in_use = store.mail_templates().await.unwrap();
    assert_eq!(in_use.iter().map(|kept| kept.id).collect::<Vec<_>>(), [everywhere, newer]);
    assert_eq!((in_use[1].last_fault.as_str(), in_use[1].failed_at), ("text:3:1: broken", Some(second(4))));

    let german = (OURS, MailEvent::Invoice, Some(Language::German));
    store.mail_template_reset(german, ACTOR, second(5)).await.unwrap();
    assert_eq!(ids(MailEvent::Invoice, Language::German).await, [everywhere]);
    let again = store.mail_template_reset(german, ACTOR, second(6)).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
}

pub(crate) async fn mail_about_an_event_keeps_its_last_words(db: Database) {
    let store = &db.store;
    let id = store.mail_enqueue_event(&event_mail("Invoice R-1"), second(0)).await.unwrap();
    let claimed = store.mail_claim(second(1), 1).await.unwrap().remove(0);
    assert_eq!((claimed.tenant, claimed.worded_at, &claimed.html), (Some(OURS), None, &None));
    assert_eq!(claimed.fill, Some(event_mail("").fill));
    store.mail_worded(id, ("Rechnung", "Text", Some("<p>Text</p>")), second(1)).await.unwrap();
    store.mail_failed(id, "451", second(60)).await.unwrap();
    let again = store.mail_claim(second(60), 1).await.unwrap().remove(0);
    assert_eq!((again.mail.subject.as_str(), again.mail.text.as_str()), ("Rechnung", "Text"));
    assert_eq!((again.html.as_deref(), again.worded_at), (Some("<p>Text</p>"), Some(second(1))));
    assert_eq!(again.mail.attachments, event_mail("").mail.attachments);
}

pub(crate) async fn last_mail_about_each_thing_is_found_by_the_beginning_of_its_name(db: Database) {
    let store = &db.store;
    let queue = async |about: &str, n| {
        let mail = NewMail { about: about.to_owned(), ..event_mail("").mail };
        store.mail_enqueue(&mail, second(n)).await.unwrap()
    };
    queue("reminder:1", 1).await;
    queue("reminder:22", 3).await;
    queue("remind", 4).await;
    queue("invoice:1", 6).await;
    let good = queue("reminder:1", 5).await;
    let given_up = queue("reminder:22", 7).await;
    store.mail_given_up(given_up, true, "550", second(8)).await.unwrap();
    let found: BTreeMap<_, _> = store.mails_about("reminder:").await.unwrap().into_iter().collect();
    let expected = [("reminder:1", good, second(5)), ("reminder:22", given_up, second(3))];
    let last = |id, at| LastMail { id, queued_at: Some(at) };
    assert_eq!(found, expected.map(|(about, id, at)| (about.to_owned(), last(id, at))).into());
}

/// Both saw the same last mail, so one of them would be one too many.
pub(crate) async fn of_two_who_queue_the_next_mail_about_a_thing_at_once_one_does(db: Database) {
    let store = &db.store;
    let mut mail = event_mail("");
    mail.mail.about = "reminder:7".to_owned();
    let seen = async || store.mails_about("reminder:").await.unwrap().get("reminder:7").copied();
    for round in 0..5 {
        let last = seen().await;
        let next = || store.mail_enqueue_next(&mail, last, second(round));
        let queued = tokio::join!(next(), next(), next());
        let queued = [queued.0.unwrap(), queued.1.unwrap(), queued.2.unwrap()];
        let queued: Vec<i64> = queued.into_iter().flatten().collect();
        assert_eq!(queued.len(), 1, "round {round}: {queued:?}");
        assert_eq!(seen().await.map(|last| last.id), Some(queued[0]));
    }
    // One that bounced was queued all the same; the next follows it.
    let last = seen().await.unwrap();
    store.mail_given_up(last.id, true, "550", second(9)).await.unwrap();
    assert_eq!(store.mail_enqueue_next(&mail, None, second(9)).await.unwrap(), None);
    assert!(store.mail_enqueue_next(&mail, seen().await, second(9)).await.unwrap().is_some());
    assert_eq!(store.mail_list().await.unwrap().len(), 6);
}

pub(crate) async fn question_to_a_running_house_is_seen_once_answered_and_forgotten(db: Database) {
    let store = &db.store;
    assert!(store.pipeline_see(second(0)).await.unwrap().is_empty());
    let question = store.pipeline_ask(second(1)).await.unwrap();
    assert_eq!(store.pipeline_answer_to(question).await.unwrap(), PipelineAnswer::Unseen);
    assert_eq!(store.pipeline_see(second(2)).await.unwrap(), [question]);
    assert!(store.pipeline_see(second(2)).await.unwrap().is_empty());
    assert_eq!(store.pipeline_answer_to(question).await.unwrap(), PipelineAnswer::Seen);
    store.pipeline_answer(question, "2 for ledger", second(3)).await.unwrap();
    let answer = PipelineAnswer::Answered("2 for ledger".to_owned());
    assert_eq!(store.pipeline_answer_to(question).await.unwrap(), answer);
    // Whoever asked this one has gone.
    let old = store.pipeline_ask(second(10)).await.unwrap();
    assert!(store.pipeline_see(second(10 + 61)).await.unwrap().is_empty());
    assert_eq!(store.pipeline_answer_to(old).await.unwrap(), PipelineAnswer::Unseen);
    store.pipeline_ask(second(10 + 61)).await.unwrap();
    assert!(matches!(store.pipeline_answer_to(old).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn link_leads_to_its_attachment_until_it_is_revoked(db: Database) {
    let store = &db.store;
    let mail = store.mail_enqueue_event(&event_mail("Invoice R-1"), second(0)).await.unwrap();
    let links = async |mail, tenant, fresh, until, n| {
        store.download_links_of((mail, tenant), [fresh; 32], second(until), second(n)).await.unwrap()
    };
    let (made, key) = links(mail, OURS, 7, 900, 1).await;
    let names: Vec<_> = made.iter().map(|link| (link.name.as_str(), link.n_bytes)).collect();
    assert_eq!((names, key.as_slice()), (vec![("1.pdf", 6), ("1.xml", 6)], &[7; 32][..]));
    // A second attempt finds those of the first, with their end and key.
    assert_eq!(links(mail, OURS, 8, 1900, 2).await, (made.clone(), key.clone()));
    let other = store.mail_enqueue_event(&event_mail("Invoice R-2"), second(0)).await.unwrap();
    let (others, others_key) = links(other, TenantId(2), 8, 900, 1).await;
    assert_eq!(others_key, [8; 32]);
    let (found, signed_with) = store.download_link(made[1].id).await.unwrap().unwrap();
    assert_eq!((&found, signed_with), (&made[1], key));
    assert_eq!(store.download_link(4711).await.unwrap(), None);
    assert_eq!(store.download_fetch(made[1].id, second(5)).await.unwrap(), b"<xml/>");
    store.download_revoke(made[1].id, ACTOR, second(6)).await.unwrap();
    assert!(store.download_revoke(made[1].id, ACTOR, second(7)).await.is_err());
    assert!(matches!(store.download_fetch(made[1].id, second(7)).await, Err(StoreError::NotFound { .. })));
    let mut listed = store.download_links(9).await.unwrap();
    assert_eq!(listed.drain(..2).map(|link| link.mail).collect::<Vec<_>>(), [other, other]);
    assert_eq!((listed[0].n_fetched, listed[0].fetched_at), (1, Some(second(5))));
    assert_eq!((listed[0].revoked_at, listed[1].revoked_at), (Some(second(6)), None));
    // All of a tenant: what is signed with the old key opens nothing any more.
    assert_eq!(store.download_revoke_all(OURS, [9; 32], ACTOR, second(8)).await.unwrap(), 1);
    let (_, signed_with) = store.download_link(made[0].id).await.unwrap().unwrap();
    assert_eq!(signed_with, [9; 32]);
    // What is over works again when its mail is sent again, what was revoked does not, and such a mail is not sent.
    let (again, _) = links(other, TenantId(2), 8, 1900, 900).await;
    assert_eq!(again.iter().map(|link| link.id).collect::<Vec<_>>(), [others[0].id, others[1].id]);
    assert!(again.iter().all(|link| link.expires_at == second(1900)));
    let (ended, _) = links(mail, OURS, 8, 1900, 900).await;
    assert!(ended.iter().all(|link| link.revoked_at.is_some() && link.expires_at == second(900)));
    for id in [mail, other] {
        store.mail_given_up(id, true, "550", second(901)).await.unwrap();
    }
    store.mail_again(other, second(902)).await.unwrap();
    let refused = store.mail_again(mail, second(902)).await.unwrap_err().to_string();
    assert!(refused.contains("was revoked"), "{refused}");
    assert_eq!(store.audit_verify().await.unwrap(), None);
}

pub(crate) async fn webhook_is_told_of_what_it_wants_and_of_each_event_once(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let directory = store.directory().await.unwrap();
    let acme = directory.accounts.iter().find(|account| account.handle == "acme").unwrap().id;
    let add = async |name: &str, kinds: &[WordKind]| {
        store.webhook_add(name, "https://x.example/", ("whsec_a", kinds), ACTOR, second(0)).await.unwrap()
    };
    let mails = add("mails", &[WordKind::Mail, WordKind::Balance]).await;
    let locks = add("locks", &[WordKind::Lock]).await;
    let alerts = add("alerts", &[WordKind::Alert]).await;
    let told = async |webhook| {
        let found = store.webhook_deliveries(Some(webhook), 20).await.unwrap();
        let types = found.iter().rev().map(|one| {
            let body: serde_json::Value = serde_json::from_str(&one.body).unwrap();
            assert_eq!(one.state, DeliveryState::Queued);
            assert_eq!(body["data"]["tenant"], "vox", "{body}");
            format!("{} {}", body["type"].as_str().unwrap(), body["data"]["account"].as_str().unwrap_or("-"))
        });
        types.collect::<Vec<_>>()
    };
    let id = store.mail_enqueue_event(&event_mail("one"), second(1)).await.unwrap();
    store.mail_given_up(id, true, "550 no such mailbox", second(2)).await.unwrap();
    store.mail_again(id, second(3)).await.unwrap();
    store.mail_sent(id, second(4)).await.unwrap();
    store.mail_sent(id, second(5)).await.unwrap();
    // Two processes read the posting.
    let low = async || {
        let by = (acme, PostingId::from_bytes([5; 16]));
        store.balance_is_low(by, (eur("1.75"), eur("5")), &event_mail("low"), second(6)).await.unwrap()
    };
    let (one, other) = tokio::join!(low(), low());
    assert_eq!([one, other].iter().flatten().count(), 1);
    assert_eq!(store.mail_list().await.unwrap().iter().filter(|mail| mail.mail.subject == "low").count(), 1);
    assert_eq!(told(mails).await, ["mail.bounced -", "mail.sent -", "balance.low acme"]);

    store.set_lock(&lock(acme.0, LockLevel::Outgoing), ACTOR, second(7)).await.unwrap();
    store.set_lock(&lock(acme.0, LockLevel::None), ACTOR, second(8)).await.unwrap();
    let lapsing = Lock { until: Some(second(60)), ..lock(acme.0, LockLevel::Outgoing) };
    store.set_lock(&Lock { since: second(50), ..lapsing }, ACTOR, second(50)).await.unwrap();
    for n in [59, 60, 61] {
        store.tell_lapsed_locks(second(n)).await.unwrap();
    }
    let twice = ["account.locked acme", "account.unlocked acme"];
    assert_eq!(told(locks).await, [twice, twice].concat());
    assert!(told(alerts).await.is_empty());

    let books = add("books", &[WordKind::Invoice]).await;
    let first = NewInvoice { account: acme, ..invoice(acme.0) };
    let (issued, _) = store.invoice_create(&first, |_| String::new()).await.unwrap();
    let (there, is_new) = store.invoice_create(&first, |_| String::new()).await.unwrap();
    assert_eq!((there.id, is_new), (issued.id, false));
    let sums = InvoiceSums { payable: issued.gross.amount, calls: issued.gross.amount };
    store.invoice_paid(issued.id, sums, ACTOR, second(9)).await.unwrap();
    let whole = NewInvoice { kind: InvoiceKind::CreditNote { of: issued.id }, ..first };
    store.invoice_create(&whole, |_| String::new()).await.unwrap();
    assert_eq!(
        told(books).await,
        ["invoice.final acme", "invoice.paid acme", "invoice.void acme", "invoice.final acme"]
    );

    store.webhook_tell_of("alerts", &[WordKind::Lock, WordKind::Alert], ACTOR, second(9)).await.unwrap();
    store.set_lock(&lock(acme.0, LockLevel::All), ACTOR, second(10)).await.unwrap();
    assert_eq!(told(alerts).await, ["account.locked acme"]);
    assert!(store.webhook_tell_of("nobody", &[], ACTOR, second(9)).await.is_err());
}
