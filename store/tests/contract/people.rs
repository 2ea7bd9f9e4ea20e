//! Mail, logins, and the trail of what people did.

use model::{AccountId, TenantId};
use sqlx::Row;
use store::{
    AuditFault, ExportPlan, HoldScope, KeptFormat, MailState, NewMail, NewUser, StoreEffect, StoreError,
    WaitsFor,
};

use crate::database::Database;
use crate::sample::{cdr, export, posting, second, step};

fn mail(subject: &str) -> NewMail {
    NewMail {
        to: vec!["a@vox.example".to_owned(), "b@vox.example".to_owned()],
        subject: subject.to_owned(),
        text: "Grüße".to_owned(),
        attachments: vec![
            ("1.txt".to_owned(), "text/plain".to_owned(), b"one".to_vec()),
            ("2.txt".to_owned(), "text/plain".to_owned(), Vec::new()),
        ],
        about: String::new(),
    }
}

pub(crate) async fn mail_is_claimed_by_one_sender_and_comes_back_after_its_lease(db: Database) {
    let store = &db.store;
    for n in 0..10 {
        store.mail_enqueue(&mail(&format!("mail {n}")), second(n)).await.unwrap();
    }
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.mail_claim(second(60), 3).await.unwrap() })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap());
    }
    // A sender that came second to a row may have got fewer than it asked for; another claim finds the rest.
    claimed.extend(store.mail_claim(second(60), 10).await.unwrap());
    claimed.sort_by_key(|mail| mail.id);
    assert_eq!(claimed.len(), 10, "each mail is claimed once");
    assert_eq!(claimed[4].mail, mail("mail 4"));
    assert_eq!((claimed[0].state, claimed[0].attempts), (MailState::Sending, 1));

    store.mail_sent(claimed[0].id, second(61)).await.unwrap();
    store.mail_failed(claimed[1].id, "451 try later", second(100)).await.unwrap();
    assert!(store.mail_failed(claimed[0].id, "too late", second(100)).await.is_err());
    assert_eq!(store.mail_claim(second(99), 10).await.unwrap(), []);
    let again = store.mail_claim(second(100), 10).await.unwrap();
    assert_eq!((again.len(), again[0].id, again[0].attempts), (1, claimed[1].id, 2));
    assert_eq!(again[0].last_error, "451 try later");
    // Ten minutes later whoever claimed the other eight is taken for dead.
    assert_eq!(store.mail_claim(second(60 + 600), 100).await.unwrap().len(), 8);
    let sent =
        store.mail_list().await.unwrap().into_iter().filter(|mail| mail.state == MailState::Sent).count();
    assert_eq!(sent, 1);
}

pub(crate) async fn expired_session_opens_nothing(db: Database) {
    let store = &db.store;
    let eve = store.user_create("eve", "$argon2id$...", "operator", second(0)).await.unwrap();
    store.session_create("hash-1", eve, second(1), second(100)).await.unwrap();
    let session = store.session_get("hash-1", second(99)).await.unwrap().unwrap();
    assert_eq!((session.user.name.as_str(), session.user.role.as_str()), ("eve", "operator"));
    assert_eq!((session.created_at, session.user.created_at), (second(1), second(0)));
    assert_eq!(store.session_get("hash-1", second(100)).await.unwrap(), None);
    assert_eq!(store.session_get("hash-2", second(2)).await.unwrap(), None);
    store.session_create("hash-2", eve, second(2), second(100)).await.unwrap();
    store.session_delete("hash-2").await.unwrap();
    assert_eq!(store.session_get("hash-2", second(3)).await.unwrap(), None);
    store.user_set_password("eve", "$argon2id$other", "ann", second(3)).await.unwrap();
    assert_eq!(
        store.session_get("hash-1", second(3)).await.unwrap(),
        None,
        "a new password ends old sessions"
    );
}

pub(crate) async fn second_user_of_a_name_is_refused(db: Database) {
    let store = &db.store;
    store.user_create("eve", "hash-of-first", "admin", second(0)).await.unwrap();
    let refused = store.user_create("eve", "hash-of-second", "admin", second(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Taken { .. }), "{refused}");
    let eve = store.user_by_name("eve").await.unwrap().unwrap();
    assert_eq!(eve.password_hash, "hash-of-first");
    assert!(!format!("{eve:?}").contains("hash-of-first"), "{eve:?}");
    assert_eq!(store.user_by_name("mallory").await.unwrap(), None);
}

pub(crate) async fn user_of_one_tenant_is_one_until_told_otherwise(db: Database) {
    let store = &db.store;
    let eve = store.user_create("eve", "hash", "analyst", second(0)).await.unwrap();
    assert_eq!(store.user_by_name("eve").await.unwrap().unwrap().tenant, None);
    store.session_create("hash-1", eve, second(1), second(100)).await.unwrap();
    store.user_set_tenant("eve", Some(TenantId(7))).await.unwrap();
    assert_eq!(store.users().await.unwrap()[0].tenant, Some(TenantId(7)));
    assert_eq!(store.session_get("hash-1", second(2)).await.unwrap(), None, "a tenant ends old sessions");
    store.user_set_tenant("eve", None).await.unwrap();
    assert_eq!(store.user_by_name("eve").await.unwrap().unwrap().tenant, None);
    let unknown = store.user_set_tenant("mallory", None).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })), "{unknown:?}");
}

pub(crate) async fn forgotten_number_leaves_the_request_too(db: Database) {
    let store = &db.store;
    let number = "43660555123".parse().unwrap();
    let id = store.lake_erasure_ask(number, Some(TenantId(7)), "letter", "eve", second(1)).await.unwrap();
    let asked = store.lake_erasures().await.unwrap().remove(0);
    assert_eq!((asked.id, asked.number, asked.done_at), (id, Some(number), None));
    // While rows are held it waits, with its number.
    store.lake_erasure_held(id, 3, 2, &["proofs/g0.json".to_owned()], second(2)).await.unwrap();
    let held = store.lake_erasures().await.unwrap().remove(0);
    assert_eq!((held.number, held.rows_held, held.done_at), (Some(number), 2, None));
    store.lake_erasure_done(id, 4, 1, &["proofs/g1.json".to_owned()], second(2)).await.unwrap();
    let done = store.lake_erasures().await.unwrap().remove(0);
    assert_eq!((done.number, done.rows_changed, done.rows_held), (None, 4, 1));
    assert_eq!((done.proofs.len(), done.done_at, done.tenant), (1, Some(second(2)), Some(TenantId(7))));
    assert!(!done.said.contains("660555"), "{}", done.said);
    // What is done is done once.
    let twice = store.lake_erasure_done(id, 0, 0, &[], second(3)).await;
    assert!(matches!(twice, Err(StoreError::NotFound { .. })), "{twice:?}");

    let scope = HoldScope { account: Some(AccountId(1001)), number: Some(number), tenant: None };
    let hold = store.lake_hold_set(&scope, "court", "eve", second(4)).await.unwrap();
    assert_eq!(store.lake_holds().await.unwrap()[0].number, Some(number));
    store.lake_hold_lift(hold, "over", "eve", second(5)).await.unwrap();
    assert_eq!(store.lake_holds().await.unwrap()[0].lifted_at, Some(second(5)));
    assert!(store.lake_hold_lift(hold, "over", "eve", second(6)).await.is_err());
    // The trail has all of it, and not the number.
    let trail = store.audit_list(10).await.unwrap();
    assert_eq!(trail.len(), 5);
    assert!(trail.iter().all(|entry| !format!("{entry:?}").contains("660555")), "{trail:?}");
}

pub(crate) async fn token_opens_until_it_ends_or_is_taken_back(db: Database) {
    let store = &db.store;
    store.api_token_create("grafana", "hash-1", "auditor", second(100), "eve", second(1)).await.unwrap();
    let user = store.api_token_user("hash-1", second(99)).await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.role.as_str()), ("token:grafana", "auditor"));
    assert_eq!(store.api_token_user("hash-1", second(100)).await.unwrap(), None);
    assert_eq!(store.api_token_user("hash-2", second(2)).await.unwrap(), None);
    let again = store.api_token_create("grafana", "hash-3", "operator", second(100), "eve", second(2)).await;
    assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
    store.api_token_revoke("grafana", "eve", second(3)).await.unwrap();
    assert_eq!(store.api_token_user("hash-1", second(4)).await.unwrap(), None);
    let twice = store.api_token_revoke("grafana", "eve", second(5)).await;
    assert!(matches!(twice, Err(StoreError::NotFound { .. })), "{twice:?}");
    let tokens = store.api_tokens().await.unwrap();
    assert_eq!((tokens.len(), tokens[0].revoked_at), (1, Some(second(3))));
    let actions: Vec<String> =
        store.audit_list(10).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["token revoke", "token add"]);
}

pub(crate) async fn code_of_a_second_factor_is_used_up_and_a_reset_ends_all_sessions(db: Database) {
    let store = &db.store;
    let eve = store.user_create("eve", "$argon2id$...", "operator", second(0)).await.unwrap();
    let since = || async { store.user_by_name("eve").await.unwrap().unwrap().second_factor_since };
    let until = (second(0), second(50));
    store.second_factor_begin(eve, "thief", "STOLEN", until).await.unwrap();
    store.second_factor_begin(eve, "before", "OLD", until).await.unwrap();
    store.second_factor_begin(eve, "before", "SECRET", until).await.unwrap();
    let draft =
        |session, at| async move { store.second_factor_draft(eve, session, second(at)).await.unwrap() };
    assert_eq!(draft("before", 49).await.as_deref(), Some("SECRET"));
    assert_eq!(
        (draft("before", 50).await, draft("other", 1).await),
        (None, None),
        "its session's, for a while"
    );
    assert!(!store.second_factor_use(eve, 7).await.unwrap(), "not set up yet");
    assert_eq!(since().await, None);
    store.session_create("before", eve, second(1), second(100)).await.unwrap();
    let hashes = ["a".to_owned(), "b".to_owned()];
    let confirm = |of, step, at| {
        let hashes = &hashes;
        async move { store.second_factor_confirm(eve, of, step, hashes, "eve", second(at)).await.unwrap() }
    };
    assert!(!confirm(("before", "OLD"), 7, 2).await, "not the one begun before it");
    assert!(!confirm(("before", "STOLEN"), 7, 2).await, "nor another session's");
    assert!(!confirm(("before", "SECRET"), 7, 50).await, "nor too late");
    assert!(confirm(("before", "SECRET"), 7, 2).await);
    assert!(!confirm(("before", "SECRET"), 9, 2).await, "once");
    assert_eq!(draft("thief", 2).await, None);
    store.second_factor_begin(eve, "late", "OTHER", until).await.unwrap();
    assert!(!confirm(("late", "OTHER"), 9, 3).await, "there is one in use");
    assert_eq!(since().await, Some(second(2)));
    assert_eq!(store.session_get("before", second(3)).await.unwrap(), None);
    for (step, is_taken) in [(7, false), (6, false), (8, true), (8, false), (10, true), (9, false)] {
        assert_eq!(store.second_factor_use(eve, step).await.unwrap(), is_taken, "{step}");
    }
    assert!(store.recovery_code_use(eve, "a", "eve", second(4)).await.unwrap());
    assert!(!store.recovery_code_use(eve, "a", "eve", second(4)).await.unwrap());
    let factor = store.second_factor(eve).await.unwrap().unwrap();
    assert_eq!((factor.secret.as_str(), factor.n_recovery_codes), ("SECRET", 1));

    let ends = (second(5), second(100));
    store.session_create_waiting("waiting", eve, WaitsFor::Code, ends).await.unwrap();
    assert_eq!(store.session_get("waiting", second(6)).await.unwrap(), None, "it opens nothing");
    let waiting =
        |what| async move { store.session_waiting("waiting", what, second(6)).await.unwrap().is_some() };
    assert!(waiting(WaitsFor::Code).await && !waiting(WaitsFor::Enrolment).await);
    store.session_create("open", eve, second(5), second(100)).await.unwrap();
    store.second_factor_remove("eve", "command line", second(7)).await.unwrap();
    assert_eq!(store.session_get("open", second(8)).await.unwrap(), None);
    assert!(!waiting(WaitsFor::Code).await);
    assert_eq!((store.second_factor(eve).await.unwrap(), since().await), (None, None));
    for nobody in ["eve", "nobody"] {
        let again = store.second_factor_remove(nobody, "command line", second(9)).await;
        assert!(matches!(again, Err(StoreError::NotFound { .. })), "{nobody}");
    }
    let actions: Vec<String> =
        store.audit_list(10).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["second factor removed", "recovery code used", "second factor set up"]);
}

pub(crate) async fn whoever_is_shut_out_has_no_session_and_no_token(db: Database) {
    let store = &db.store;
    let new = NewUser {
        name: "eve",
        password_hash: "$argon2id$...",
        role: "finance",
        tenant: Some(TenantId(7)),
        mail: Some("eve@vox.example"),
        ..NewUser::default()
    };
    store.user_let_in(new, "ann", second(0)).await.unwrap();
    let eve = store.user_by_name("eve").await.unwrap().unwrap();
    assert_eq!((eve.tenant, eve.mail.as_deref()), (Some(TenantId(7)), Some("eve@vox.example")));
    let told = store.audit_list(1).await.unwrap().remove(0);
    assert!(told.after.contains("tenant 7") && told.after.contains("eve@vox.example"), "{told:?}");
    let times = (second(1), second(100));
    assert!(store.session_create_known("open", &eve, times).await.unwrap());
    store.api_token_create("hers", "hash-1", "finance", second(100), "eve", second(1)).await.unwrap();
    store.api_token_create("other", "hash-2", "finance", second(100), "ann", second(1)).await.unwrap();

    assert_eq!(store.user_shut_out("eve", "ann", second(2)).await.unwrap(), ["hers"]);
    assert_eq!(store.session_get("open", second(3)).await.unwrap(), None);
    assert_eq!(store.api_token_user("hash-1", second(3)).await.unwrap(), None);
    assert!(store.api_token_user("hash-2", second(3)).await.unwrap().is_some());
    // A sign-in that was on its way comes to nothing.
    assert!(!store.session_create_known("late", &eve, times).await.unwrap());
    assert_eq!(store.session_get("late", second(3)).await.unwrap(), None);
    store.user_set_password("eve", "$argon2id$other", "ann", second(4)).await.unwrap();
    let eve = store.user_by_name("eve").await.unwrap().unwrap();
    assert!(store.session_create_known("again", &eve, times).await.unwrap());
    assert!(store.user_shut_out("nobody", "ann", second(5)).await.is_err());
    let actions: Vec<String> =
        store.audit_list(3).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["user password", "user shut out", "token revoke"]);
}

async fn trail(db: &Database) {
    assert_eq!(db.store.audit_verify().await.unwrap(), None);
    for n in 0..5 {
        db.store.audit_append("eve", "change", "account:7", "1", &n.to_string(), second(n)).await.unwrap();
    }
    assert_eq!(db.store.audit_verify().await.unwrap(), None);
}

pub(crate) async fn altered_audit_entry_is_found(db: Database) {
    trail(&db).await;
    db.meddle("UPDATE audit_log SET actor = 'bob' WHERE id = 3").await;
    assert_eq!(db.store.audit_verify().await.unwrap(), Some(AuditFault::Altered { id: 3 }));
    db.meddle("UPDATE audit_log SET actor = 'eve' WHERE id = 3; DELETE FROM audit_log WHERE id = 2").await;
    assert_eq!(db.store.audit_verify().await.unwrap(), Some(AuditFault::Missing { id: 2 }));
}

pub(crate) async fn cut_off_audit_entry_is_found(db: Database) {
    trail(&db).await;
    db.meddle("DELETE FROM audit_log WHERE id = 5").await;
    assert_eq!(db.store.audit_verify().await.unwrap(), Some(AuditFault::CutOff { found: 4, expected: 5 }));
}

pub(crate) async fn every_table_is_counted(db: Database) {
    let counts = db.store.table_counts().await.unwrap();
    let counted: Vec<&str> = counts.iter().map(|(table, _)| table.as_str()).collect();
    let list = if db.url.starts_with("sqlite") {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    } else {
        "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
    };
    let mut conn = db.connect().await;
    let rows = sqlx::query(list).fetch_all(&mut conn).await.unwrap();
    let tables: Vec<String> =
        rows.iter().map(|row| row.get("name")).filter(|name| name != "_sqlx_migrations").collect();
    assert_eq!(counted, tables);
}

pub(crate) async fn console_and_audit_see_the_latest_first(db: Database) {
    let store = &db.store;
    let effects = (0..3).flat_map(|n| [export(n, "system"), export(n, "carrier:3")]).collect();
    let posted = StoreEffect::Post(posting(1, 7, "0.25"));
    store.commit("rating", vec![step(0, 0, 1, vec![posted]), step(1, 0, 1, effects)]).await.unwrap();
    for owner in ["system", "carrier:3"] {
        let plan = ExportPlan {
            owner,
            rows_max: 2,
            now: second(1),
            format: "hash",
            zone: "UTC",
            owner_name: "acme",
            may_be_empty: false,
            corrections: None,
        };
        let format = KeptFormat { name: "csv".to_owned(), description: String::new() };
        store.export_keep_format("hash", &format).await.unwrap();
        store.export_plan(plan, None, |sequence, _| format!("{owner}-{sequence}")).await.unwrap().unwrap();
    }
    let names: Vec<_> =
        store.export_files_latest(9).await.unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["carrier:3-1", "system-1"]);
    assert_eq!(store.export_owners().await.unwrap(), ["carrier:3", "system"]);
    assert_eq!(store.export_calls("system").await.unwrap().len(), 3);
    assert_eq!(store.rated_call(cdr(2)).await.unwrap(), Some(b"call 2".to_vec()));
    assert_eq!(store.rated_call(cdr(9)).await.unwrap(), None);
    assert_eq!(store.posting_ids().await.unwrap(), [posting(1, 7, "0.25").id]);
    assert_eq!(store.invoices_latest(9).await.unwrap(), []);
    store.mail_enqueue(&mail("waits"), second(0)).await.unwrap();
    assert_eq!(store.mails_waiting().await.unwrap(), 1);
}

pub(crate) async fn mail_given_up_stays_in_the_list_and_is_claimed_no_more(db: Database) {
    let id = db.store.mail_enqueue(&mail("bounces"), second(0)).await.unwrap();
    let early = db.store.mail_again(id, second(1)).await.unwrap_err();
    assert!(early.to_string().contains("it is queued"), "{early}");
    db.store.mail_given_up(id, true, "550 no such mailbox", second(6)).await.unwrap();
    assert_eq!(db.store.mail_claim(second(1_000_000_000), 10).await.unwrap(), []);
    assert_eq!(db.store.mails_waiting().await.unwrap(), 0);
    let kept = db.store.mail_latest(9).await.unwrap().remove(0);
    assert_eq!((kept.state, kept.last_error.as_str()), (MailState::Bounced, "550 no such mailbox"));
    // Its mailbox is there again.
    db.store.mail_again(id, second(2)).await.unwrap();
    assert_eq!(db.store.mail_claim(second(2), 10).await.unwrap().len(), 1);
    db.store.mail_given_up(id, false, "NTF005 too large", second(6)).await.unwrap();
    assert_eq!(db.store.mail_list().await.unwrap()[0].state, MailState::GivenUp);
    // As an earlier version left it.
    let id = db.store.mail_enqueue(&mail("given up long ago"), second(0)).await.unwrap();
    db.store.mail_failed(id, "550", chrono::DateTime::<chrono::Utc>::MAX_UTC).await.unwrap();
    assert_eq!(db.store.mail_latest(1).await.unwrap()[0].state, MailState::GivenUp);
}
