//! Invoices: their numbers, which tax offices count, their mails, and what credits and payments move.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::{AccountId, AccountKind, Currency, InvoiceId, Language, MailEvent, Money, TenantId};
use store::{
    EventMail, InvoiceKind, InvoiceState, InvoiceSums, MailFill, NewInvoice, NewMail, NewTenant, StoreError,
    World,
};

use crate::database::Database;
use crate::sample::{account, at, decimal, second, world};

pub(crate) fn invoice(account: i64) -> NewInvoice {
    NewInvoice {
        tenant: TenantId(1),
        seller: None,
        account: AccountId(account),
        kind: InvoiceKind::Invoice,
        period_start: at("2026-09-30T22:00:00Z"),
        period_end: at("2026-10-31T23:00:00Z"),
        currency: Currency::EUR,
        net: decimal("100"),
        tax: decimal("20"),
        gross: decimal("120"),
        prefix: "R-".to_owned(),
        year: 2026,
        issued_at: second(5),
        made_after: None,
    }
}

pub(crate) async fn second_billing_run_finds_the_first_ones_invoice(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let document = |number: &str| format!("{{\"number\":{number:?}}}");
    let (first, is_new) = store.invoice_create(&invoice(1), document).await.unwrap();
    assert!(is_new);
    assert_eq!(
        (first.number.as_str(), first.document.as_str()),
        ("R-2026-000001", "{\"number\":\"R-2026-000001\"}")
    );
    assert_eq!(first.gross.to_string(), "120 EUR");
    let (second, is_new) = store.invoice_create(&invoice(1), document).await.unwrap();
    assert!(!is_new);
    assert_eq!(second, first);
    let next_year = NewInvoice { year: 2027, period_start: at("2027-01-01T00:00:00Z"), ..invoice(1) };
    assert_eq!(store.invoice_create(&next_year, document).await.unwrap().0.number, "R-2027-000001");
    assert_eq!(store.invoice_create(&invoice(2), document).await.unwrap().0.number, "R-2026-000002");
    assert_eq!(store.invoice_list().await.unwrap().len(), 3);
    assert!(matches!(store.invoice_get(InvoiceId(99)).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn invoice_numbers_have_no_gap_when_many_bill_at_once(db: Database) {
    let mut world = world();
    world.accounts.extend((0..20).map(|n| account(&format!("c{n}"), AccountKind::Customer, None)));
    db.store.import(&world, second(0), "test").await.unwrap();
    // Every account is billed by two of the tasks.
    let tasks: Vec<_> = (0..6_i64)
        .map(|task| {
            let store = db.store.clone();
            tokio::spawn(async move {
                for n in 0..23 {
                    if n % 3 == task % 3 {
                        store.invoice_create(&invoice(n + 1), |number| number.to_owned()).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut numbers: Vec<_> =
        db.store.invoice_list().await.unwrap().into_iter().map(|there| there.number).collect();
    numbers.sort();
    let expected: Vec<_> = (1..=23).map(|n| format!("R-2026-{n:06}")).collect();
    assert_eq!(numbers, expected);
}

pub(crate) async fn sellers_number_apart_and_without_a_gap_when_both_bill_at_once(db: Database) {
    let mut world = world();
    world.accounts.extend((0..20).map(|n| account(&format!("c{n}"), AccountKind::Customer, None)));
    db.store.import(&world, second(0), "test").await.unwrap();
    // Three sell: the tenant and two resellers. Every account is billed by two of the tasks, and one invoice of each seller fails.
    let of_seller = |n: i64| {
        let (seller, prefix) = [(None, "R-"), (Some(AccountId(2)), "NORTH-"), (Some(AccountId(9)), "SOUTH-")]
            [usize::try_from(n % 3).unwrap()];
        NewInvoice { seller, prefix: prefix.to_owned(), ..invoice(n + 1) }
    };
    let tasks: Vec<_> = (0..4_i64)
        .map(|task| {
            let store = db.store.clone();
            tokio::spawn(async move {
                for n in 0..23 {
                    if n % 2 == task % 2 {
                        store.invoice_create(&of_seller(n), |number| number.to_owned()).await.unwrap();
                    }
                }
                let nobody = NewInvoice { account: AccountId(999), ..of_seller(task) };
                assert!(store.invoice_create(&nobody, |number| number.to_owned()).await.is_err());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut numbers: Vec<_> =
        db.store.invoice_list().await.unwrap().into_iter().map(|there| there.number).collect();
    numbers.sort();
    let run = |prefix: &'static str, last| (1..=last).map(move |n| format!("{prefix}2026-{n:06}"));
    let expected: Vec<_> = run("NORTH-", 8).chain(run("R-", 8)).chain(run("SOUTH-", 7)).collect();
    assert_eq!(numbers, expected);
}

pub(crate) async fn two_sellers_with_one_prefix_are_refused_and_no_number_is_lost(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let document = |number: &str| number.to_owned();
    store.invoice_create(&invoice(1), document).await.unwrap();
    let other = NewInvoice { seller: Some(AccountId(2)), ..invoice(3) };
    let taken = store.invoice_create(&other, document).await;
    assert!(matches!(taken, Err(StoreError::Database(_))), "{taken:?}");
    let other = NewInvoice { prefix: "NORTH-".to_owned(), ..other };
    assert_eq!(store.invoice_create(&other, document).await.unwrap().0.number, "NORTH-2026-000001");
}

pub(crate) async fn number_of_a_failed_invoice_is_given_back(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let nobody = store.invoice_create(&invoice(999), |number| number.to_owned()).await;
    assert!(matches!(nobody, Err(StoreError::Database(_))), "{nobody:?}");
    let (first, _) = store.invoice_create(&invoice(1), |number| number.to_owned()).await.unwrap();
    assert_eq!(first.number, "R-2026-000001");
}

pub(crate) async fn number_is_found_with_every_tenant_that_gave_it_and_open_ones_are_listed(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let other = NewTenant { handle: "other".to_owned(), ..world().tenants.remove(0) };
    store.import(&World { tenants: vec![other], ..World::default() }, second(1), "test").await.unwrap();
    let document = |number: &str| number.to_owned();
    let (ours, _) = store.invoice_create(&invoice(1), document).await.unwrap();
    let theirs = NewInvoice { tenant: TenantId(2), ..invoice(2) };
    let (theirs, _) = store.invoice_create(&theirs, document).await.unwrap();
    assert_eq!(theirs.number, ours.number);
    assert_eq!(store.invoices_numbered(&ours.number).await.unwrap(), [ours.clone(), theirs.clone()]);
    assert!(store.invoices_numbered("R-2026-000002").await.unwrap().is_empty());
    for (text, max, found) in [
        ("R-2026", 9, vec![theirs.id, ours.id]),
        ("R-2026-000001", 1, vec![theirs.id]),
        ("r-2026", 9, vec![]),
        ("%", 9, vec![]),
        ("R-2026-000001x", 9, vec![]),
    ] {
        let begins = store.invoices_beginning(text, max).await.unwrap();
        assert_eq!(begins.iter().map(|invoice| invoice.id).collect::<Vec<_>>(), found, "{text}");
    }
    let part = NewInvoice {
        kind: InvoiceKind::CreditNote { of: ours.id },
        net: decimal("50"),
        tax: decimal("10"),
        gross: decimal("60"),
        ..invoice(1)
    };
    let (note, _) = store.invoice_create(&part, document).await.unwrap();
    assert_eq!(store.invoice_credited(ours.id).await.unwrap(), decimal("60"));
    assert_eq!(store.invoice_credited(theirs.id).await.unwrap(), decimal("0"));
    let heads = store.invoice_heads().await.unwrap();
    assert_eq!(heads.iter().map(|head| head.id).collect::<Vec<_>>(), [ours.id, theirs.id, note.id]);
    assert_eq!(store.invoices_open().await.unwrap(), [ours.id, theirs.id]);
    let sums = InvoiceSums { payable: theirs.gross.amount, calls: theirs.gross.amount };
    store.invoice_paid(theirs.id, sums, "maria", second(9)).await.unwrap();
    assert_eq!(store.invoices_open().await.unwrap(), [ours.id]);
}

pub(crate) async fn pdf_that_left_the_house_is_never_changed(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let (issued, _) = store.invoice_create(&invoice(1), |_| String::new()).await.unwrap();
    assert!(!issued.has_pdf);
    assert_eq!(store.invoice_pdf(issued.id).await.unwrap(), None);
    for pdf in [b"%PDF-1", b"%PDF-2"] {
        assert_eq!(store.invoice_finish(issued.id, pdf.to_vec(), None, second(5)).await.unwrap(), None);
    }
    assert_eq!(store.invoice_pdf(issued.id).await.unwrap(), Some(b"%PDF-1".to_vec()));
    assert!(store.invoice_get(issued.id).await.unwrap().has_pdf);
}

pub(crate) async fn invoice_made_from_documents_that_have_changed_is_refused(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let november = NewInvoice {
        period_start: at("2026-10-31T23:00:00Z"),
        period_end: at("2026-11-30T23:00:00Z"),
        made_after: Some(0),
        ..invoice(1)
    };
    store.invoice_create(&invoice(1), |number| number.to_owned()).await.unwrap();
    let refused = store.invoice_create(&november, |number| number.to_owned()).await.unwrap_err();
    assert!(refused.to_string().contains("run it again"), "{refused}");
    let again = NewInvoice { made_after: Some(1), ..november };
    let (made, is_new) = store.invoice_create(&again, |number| number.to_owned()).await.unwrap();
    assert_eq!(
        (made.number.as_str(), is_new),
        ("R-2026-000002", true),
        "the refused one gave its number back"
    );
    // The invoice of a period that is there already is found, whatever else has changed.
    assert_eq!(store.invoice_create(&again, |number| number.to_owned()).await.unwrap(), (made, false));
    assert_eq!(store.invoices_of(AccountId(1)).await.unwrap().len(), 2);
    assert_eq!(store.invoices_of(AccountId(2)).await.unwrap(), []);
}

pub(crate) async fn credit_notes_take_back_what_is_left_and_the_last_one_voids(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let document = |number: &str| number.to_owned();
    let (of, _) = store.invoice_create(&invoice(1), document).await.unwrap();
    let credit = |gross: &str| NewInvoice {
        kind: InvoiceKind::CreditNote { of: of.id },
        gross: decimal(gross),
        ..invoice(1)
    };
    let state = async || store.invoice_get(of.id).await.unwrap().state;
    let corrected = NewInvoice { kind: InvoiceKind::Corrected { of: of.id }, ..invoice(1) };
    let early = store.invoice_create(&corrected, document).await.unwrap_err();
    assert!(early.to_string().contains("credit it first"), "{early}");

    let (part, is_new) = store.invoice_create(&credit("50"), document).await.unwrap();
    assert_eq!(
        (part.number.as_str(), is_new, part.kind),
        ("R-2026-000002", true, InvoiceKind::CreditNote { of: of.id })
    );
    assert_eq!(state().await, InvoiceState::Final);
    let beyond = store.invoice_create(&credit("70.01"), document).await.unwrap_err();
    assert!(beyond.to_string().contains("70.00 EUR of it are left"), "{beyond}");

    // Two at once for all that is left: one of them comes too late.
    let rest = credit("70");
    let (first, second) =
        tokio::join!(store.invoice_create(&rest, document), store.invoice_create(&rest, document));
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
    assert_eq!(state().await, InvoiceState::Void);
    let sums = InvoiceSums { payable: decimal("120"), calls: decimal("99.5") };
    let paid = store.invoice_paid(of.id, sums, "test", second_at()).await.unwrap_err();
    assert!(paid.to_string().contains("void already"), "{paid}");

    let (again, is_new) = store.invoice_create(&corrected, document).await.unwrap();
    assert_eq!((again.number.as_str(), is_new), ("R-2026-000004", true));
    assert_eq!(store.invoice_create(&corrected, document).await.unwrap(), (again.clone(), false));
    let a_part = NewInvoice { kind: InvoiceKind::CreditNote { of: again.id }, ..credit("20") };
    store.invoice_create(&a_part, document).await.unwrap();
    let paid = store.invoice_paid(again.id, sums, "test", second_at()).await.unwrap();
    assert_eq!(paid, Money::new(decimal("100"), Currency::EUR));
    let twice = store.invoice_paid(again.id, sums, "test", second_at()).await.unwrap_err();
    assert!(twice.to_string().contains("paid already"), "{twice}");
    // Rating is told once: the payment, and what the invoice asks beyond its calls.
    let moved: Vec<_> = store.topups_waiting(9).await.unwrap();
    let moved: Vec<_> = moved.iter().map(|moved| format!("{} {}", moved.kind, moved.amount)).collect();
    assert_eq!(moved, ["payment 100 EUR", "invoice 0.5 EUR"]);
    let again = store.invoice_get(again.id).await.unwrap();
    assert_eq!((again.state, again.paid_at), (InvoiceState::Paid, Some(second_at())));
    let note = store.invoice_paid(part.id, sums, "test", second_at()).await;
    assert!(note.is_err(), "a credit note is not paid");
}

/// What has been left to rating since this was asked last.
async fn moved(db: &Database) -> Vec<String> {
    let waiting = db.store.topups_waiting(99).await.unwrap();
    db.store.topups_sent(&waiting.iter().map(|moved| moved.id).collect::<Vec<_>>()).await.unwrap();
    let shown = waiting.iter().map(|moved| {
        let seller = moved.seller.map_or_else(String::new, |seller| format!(" of {seller}"));
        format!("{} {}{seller}", moved.kind, moved.amount)
    });
    shown.collect()
}

pub(crate) async fn what_was_paid_of_an_invoice_is_given_back_when_it_is_credited(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let document = |number: &str| number.to_owned();
    let credit = |of: &store::Invoice, gross: &str| NewInvoice {
        kind: InvoiceKind::CreditNote { of: of.id },
        gross: decimal(gross),
        ..invoice(1)
    };
    let sums = InvoiceSums { payable: decimal("120"), calls: decimal("100") };
    let (first, _) = store.invoice_create(&invoice(1), document).await.unwrap();
    store.invoice_paid(first.id, sums, "test", second_at()).await.unwrap();
    assert_eq!(moved(&db).await, ["payment 120 EUR", "invoice 20 EUR"]);
    // A part: what its payment and its fees would have been, had it been credited before.
    store.invoice_create(&credit(&first, "30"), document).await.unwrap();
    assert_eq!(moved(&db).await, ["invoice -30 EUR", "payment -30 EUR"]);
    assert_eq!(store.invoice_get(first.id).await.unwrap().state, InvoiceState::Paid);
    // The rest: nothing of it is left, and its calls are owed again.
    store.invoice_create(&credit(&first, "90"), document).await.unwrap();
    assert_eq!(moved(&db).await, ["invoice 10 EUR", "payment -90 EUR"]);

    let corrected = NewInvoice { kind: InvoiceKind::Corrected { of: first.id }, ..invoice(1) };
    let (second, _) = store.invoice_create(&corrected, document).await.unwrap();
    store.invoice_create(&credit(&second, "20"), document).await.unwrap();
    assert_eq!(moved(&db).await, [""; 0], "it was not paid yet");
    store.invoice_paid(second.id, sums, "test", second_at()).await.unwrap();
    assert_eq!(moved(&db).await, ["payment 100 EUR"]);
    store.invoice_create(&credit(&second, "100"), document).await.unwrap();
    assert_eq!(moved(&db).await, ["payment -100 EUR"]);
}

pub(crate) async fn what_a_reseller_was_paid_is_taken_from_its_sales_whoever_sells_now(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let document = |number: &str| number.to_owned();
    let seller = Some(AccountId(2));
    let of_reseller = NewInvoice { seller, prefix: "NORTH-".to_owned(), ..invoice(1) };
    let sums = InvoiceSums { payable: decimal("120"), calls: decimal("100") };
    let (first, _) = store.invoice_create(&of_reseller, document).await.unwrap();
    store.invoice_paid(first.id, sums, "test", second_at()).await.unwrap();
    assert_eq!(moved(&db).await, ["payment 100 EUR of 2"]);
    // The account is the tenant's own by now, which issues the credit notes.
    let credit = |gross: &str| NewInvoice {
        kind: InvoiceKind::CreditNote { of: first.id },
        gross: decimal(gross),
        ..invoice(1)
    };
    store.invoice_create(&credit("30"), document).await.unwrap();
    assert_eq!(moved(&db).await, [""; 0], "its calls are as they were");
    store.invoice_create(&credit("90"), document).await.unwrap();
    assert_eq!(moved(&db).await, ["payment -100 EUR of 2"]);
}

pub(crate) async fn invoice_that_asks_for_nothing_or_less_is_posted_unless_a_balance_paid_it(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    for (account, gross, payable, calls, expected) in [
        // A discount of as much as the calls come to.
        (1, "0", "0", "10", ["invoice -10 EUR"].as_slice()),
        (2, "-5", "-5", "10", &["payment -5 EUR", "invoice -15 EUR"]),
        (3, "120", "0", "100", &[]),
    ] {
        let new = NewInvoice { gross: decimal(gross), ..invoice(account) };
        let (issued, _) = store.invoice_create(&new, |number| number.to_owned()).await.unwrap();
        let sums = InvoiceSums { payable: decimal(payable), calls: decimal(calls) };
        let paid = store.invoice_paid(issued.id, sums, "test", second_at()).await.unwrap();
        assert_eq!(paid.amount, decimal(payable));
        assert_eq!(moved(&db).await, expected, "gross {gross}");
    }
}

fn of_invoice(mail: NewMail) -> EventMail {
    let (event, language) = (MailEvent::Invoice, Language::English);
    EventMail { mail, tenant: TenantId(1), fill: MailFill { event, language, variables: BTreeMap::new() } }
}

fn second_at() -> DateTime<Utc> {
    second(9)
}

pub(crate) async fn mail_of_an_invoice_is_queued_once(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let (issued, _) = store.invoice_create(&invoice(1), |_| String::new()).await.unwrap();
    let mail = of_invoice(NewMail {
        to: vec!["billing@acme.example".to_owned()],
        subject: "Your invoice".to_owned(),
        text: "Attached.".to_owned(),
        attachments: vec![("R-2026-000001.pdf".to_owned(), "application/pdf".to_owned(), b"%PDF".to_vec())],
        about: format!("invoice:{}", issued.id),
    });
    let queue = async |at| store.invoice_finish(issued.id, b"%PDF".to_vec(), Some(&mail), at).await.unwrap();
    assert!(queue(second(6)).await.is_some());
    assert!(queue(second(7)).await.is_none());
    let mails = store.mail_list().await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].mail, mail.mail);
    assert_eq!(store.invoice_get(issued.id).await.unwrap().state, InvoiceState::Queued);
    store.mail_sent(mails[0].id, second(8)).await.unwrap();
    assert_eq!(store.invoice_get(issued.id).await.unwrap().state, InvoiceState::Sent);
}

pub(crate) async fn invoice_paid_before_it_was_mailed_is_mailed_once_and_stays_paid(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let (issued, _) = store.invoice_create(&invoice(1), |_| String::new()).await.unwrap();
    let sums = InvoiceSums { payable: decimal("120"), calls: decimal("100") };
    store.invoice_paid(issued.id, sums, "test", second(6)).await.unwrap();
    let mail = of_invoice(NewMail {
        to: vec!["billing@acme.example".to_owned()],
        subject: "Your invoice".to_owned(),
        text: "Attached.".to_owned(),
        attachments: Vec::new(),
        about: format!("invoice:{}", issued.id),
    });
    let finish = async || store.invoice_finish(issued.id, b"%PDF".to_vec(), Some(&mail), second(7)).await;
    let queued = finish().await.unwrap().unwrap();
    assert_eq!(finish().await.unwrap(), None);
    store.mail_sent(queued, second(8)).await.unwrap();
    assert_eq!(store.invoice_get(issued.id).await.unwrap().state, InvoiceState::Paid);
}
