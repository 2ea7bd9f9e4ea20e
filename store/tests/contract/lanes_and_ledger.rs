//! The commit of a stage, and the ledger it writes to.

use expect_test::expect;
use model::{
    AccountId, Alert, AlertId, Currency, LedgerAccount, Lock, LockLevel, LockSource, Posting, PostingId,
    PostingReason, Retry, StateChange, Suspended, TenantId, Topic,
};
use store::{Balance, LaneCommit, Mail, ResendOrder, SideSum, StoreEffect, StoreError, Watermark};

use crate::database::Database;
use crate::sample::{alert, at, cdr, eur, export, lock, posting, second, step, world};

fn set(key: &str, value: &str) -> StateChange {
    StateChange { key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn unset(key: &str) -> StateChange {
    StateChange { key: key.to_owned(), value: None }
}

fn mark(partition: u32, offset: u64, index: u32) -> Watermark {
    Watermark { stage: "mediator".to_owned(), partition, offset, index }
}

pub(crate) fn aside(code: &str) -> StoreEffect {
    StoreEffect::Suspend {
        suspended: Suspended {
            code: code.to_owned(),
            message: "no rate for 4930".to_owned(),
            retry: Retry::AfterTariffChange,
            account: AccountId(7),
            cdr: Some(cdr(1)),
        },
        topic: Topic::Cdrs,
        partition: 3,
        offset: 41,
        raw: vec![0, 255, 7],
        at: second(1),
    }
}

pub(crate) async fn one_refused_posting_undoes_its_whole_batch(db: Database) {
    let store = &db.store;
    store
        .commit("rating", vec![step(0, 0, 10, vec![StoreEffect::Post(posting(1, 7, "0.25"))])])
        .await
        .unwrap();
    let before = store.table_counts().await.unwrap();
    let lanes = store.load_lanes("rating").await.unwrap();

    let mut first = step(
        0,
        10,
        20,
        vec![
            StoreEffect::Post(posting(2, 7, "1")),
            StoreEffect::Alert(Box::new(alert(7, &["fraud@vox.example"]))),
            StoreEffect::Lock(lock(7, LockLevel::Outgoing)),
            export(2, "system"),
            aside("RAT001"),
        ],
    );
    first.watermarks = vec![mark(0, 19, 0)];
    first.changes = vec![set("acme", "1")];
    let second = step(1, 0, 5, vec![StoreEffect::Post(posting(1, 7, "0.26"))]);
    let refused = store.commit("rating", vec![first, second]).await;
    assert!(matches!(refused, Err(StoreError::PostingConflict { .. })), "{refused:?}");

    assert_eq!(store.table_counts().await.unwrap(), before);
    assert_eq!(store.load_lanes("rating").await.unwrap(), lanes);
    assert_eq!(store.balance_check().await.unwrap(), []);
}

pub(crate) async fn former_owner_of_a_lane_is_refused(db: Database) {
    let store = &db.store;
    store.commit("rating", vec![step(0, 0, 10, vec![]), step(1, 0, 3, vec![])]).await.unwrap();
    for expected in [0, 7, 11] {
        let stale = step(0, expected, 20, vec![StoreEffect::Post(posting(1, 7, "1"))]);
        let refused = store.commit("rating", vec![step(1, 3, 4, vec![]), stale]).await.unwrap_err();
        assert!(matches!(refused, StoreError::LaneMoved { partition: 0, .. }), "{refused}");
        assert_eq!(refused.code(), "STO013");
    }
    // A lane that nobody ever moved is at 0.
    let refused = store.commit("rating", vec![step(2, 5, 6, vec![])]).await.unwrap_err();
    assert!(matches!(refused, StoreError::LaneMoved { partition: 2, expected: 5, .. }), "{refused}");
    let lanes = store.load_lanes("rating").await.unwrap();
    assert_eq!(
        lanes.iter().map(|lane| (lane.partition, lane.position)).collect::<Vec<_>>(),
        [(0, 10), (1, 3)]
    );
    assert_eq!(store.balances().await.unwrap(), []);
}

pub(crate) async fn lane_comes_back_as_it_was_left(mut db: Database) {
    let first = LaneCommit {
        watermarks: vec![mark(0, 4, 1), mark(1, 9, 0), mark(0, 5, 0)],
        changes: vec![set("a", "1"), set("b", "2"), set("a", "3"), set("c", "4")],
        ..step(0, 0, 10, vec![])
    };
    db.store.commit("rating", vec![first]).await.unwrap();
    let second = LaneCommit {
        watermarks: vec![mark(1, 12, 2)],
        changes: vec![unset("b"), unset("never there"), set("c", "")],
        ..step(0, 10, 20, vec![])
    };
    db.store.commit("rating", vec![second]).await.unwrap();
    db.store
        .commit("fraud", vec![LaneCommit { changes: vec![set("a", "of fraud")], ..step(0, 0, 1, vec![]) }])
        .await
        .unwrap();
    db.reopen().await;

    let lanes = db.store.load_lanes("rating").await.unwrap();
    assert_eq!(lanes.len(), 1);
    assert_eq!((lanes[0].partition, lanes[0].position), (0, 20));
    assert_eq!(lanes[0].watermarks, [mark(0, 5, 0), mark(1, 12, 2)]);
    assert_eq!(lanes[0].state, [("a".to_owned(), b"3".to_vec()), ("c".to_owned(), Vec::new())]);
    assert_eq!(db.store.load_lanes("mediator").await.unwrap(), []);
}

pub(crate) async fn replayed_posting_is_counted_once(db: Database) {
    let store = &db.store;
    let twice = || StoreEffect::Post(posting(1, 7, "0.30"));
    store.commit("rating", vec![step(0, 0, 1, vec![twice(), twice()])]).await.unwrap();
    store
        .commit("rating", vec![step(0, 1, 2, vec![twice(), StoreEffect::Post(posting(2, 7, "0.03"))])])
        .await
        .unwrap();
    let balances = store.balances().await.unwrap();
    assert_eq!(
        balances,
        [
            Balance { account: LedgerAccount::Receivable(AccountId(7)), balance: eur("0.33") },
            Balance { account: LedgerAccount::Revenue(TenantId(1)), balance: eur("-0.33") },
        ]
    );
    let of_the_first_second = store.postings(AccountId(7), second(1), second(2)).await.unwrap();
    assert_eq!(of_the_first_second, [posting(1, 7, "0.30")]);
}

/// Of as many as take several statements: half of them there already, then all, then one that is another by the same id.
pub(crate) async fn replays_among_many_fresh_postings_are_told_apart(db: Database) {
    let store = &db.store;
    let all = || (0..700).map(|n| posting(n, 7, "0.01"));
    let came_to = |cents: &str| {
        [
            Balance { account: LedgerAccount::Receivable(AccountId(7)), balance: eur(cents) },
            Balance { account: LedgerAccount::Revenue(TenantId(1)), balance: eur(&format!("-{cents}")) },
        ]
    };
    store.post(all().step_by(2).collect()).await.unwrap();
    assert_eq!(store.balances().await.unwrap(), came_to("3.5"));
    for _ in 0..2 {
        store.post(all().collect()).await.unwrap();
        assert_eq!(store.balances().await.unwrap(), came_to("7"));
    }
    let mut another: Vec<_> = (400..1_100).map(|n| posting(n, 7, "0.01")).collect();
    another[123] = posting(523, 7, "0.02");
    let refused = store.post(another).await.unwrap_err();
    assert!(refused.to_string().contains(&posting(523, 7, "0").id.to_string()), "{refused}");
    assert_eq!(store.balances().await.unwrap(), came_to("7"));
    assert_eq!(store.balance_check().await.unwrap(), []);
    let kept = store.postings(AccountId(7), second(0), second(2_000)).await.unwrap();
    assert_eq!(kept, all().collect::<Vec<_>>());
}

/// Sent in again under its token, a payment has another time: it is the same payment all the same, and not a second one.
pub(crate) async fn payment_that_comes_again_at_another_time_is_refused(db: Database) {
    let payment = |at| Posting {
        id: PostingId::of_top_up(AccountId(7), "token-1"),
        at,
        reason: PostingReason::TopUp,
        cdr: None,
        ..posting(1, 7, "5")
    };
    for _ in 0..2 {
        db.store.post(vec![posting(2, 7, "1"), payment(second(1)), payment(second(1))]).await.unwrap();
    }
    let refused = db.store.post(vec![posting(3, 7, "1"), payment(second(9))]).await.unwrap_err();
    assert!(matches!(refused, StoreError::PostingConflict { .. }), "{refused}");
    let refused = db.store.post(vec![payment(second(9)), payment(second(1))]).await.unwrap_err();
    assert!(matches!(refused, StoreError::PostingConflict { .. }), "{refused}");
    let kept = db.store.postings(AccountId(7), second(0), second(99)).await.unwrap();
    assert_eq!(kept, [payment(second(1)), posting(2, 7, "1")]);
    assert_eq!(db.store.balance_check().await.unwrap(), []);
}

pub(crate) async fn posting_with_a_taken_id_is_refused_by_name(db: Database) {
    db.store.post(vec![posting(1, 7, "0.30")]).await.unwrap();
    let refused = db.store.post(vec![posting(2, 7, "1"), posting(1, 8, "0.30")]).await.unwrap_err();
    assert!(refused.to_string().contains(&posting(1, 7, "0").id.to_string()), "{refused}");
    let refused = db.store.post(vec![posting(3, 7, "1"), posting(3, 7, "2")]).await.unwrap_err();
    assert!(matches!(refused, StoreError::PostingConflict { .. }), "{refused}");
    let refused = db.store.post(vec![posting(4, 7, "0.0000001")]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Amount { .. }), "{refused}");
    assert_eq!(
        db.store.postings(AccountId(7), at("2026-01-01T00:00:00Z"), second(99)).await.unwrap().len(),
        1
    );
}

pub(crate) async fn balances_are_the_sums_of_their_postings(db: Database) {
    let store = &db.store;
    let amounts = ["0.000001", "-3.5", "12345678.123456", "0"];
    let effects =
        (0..1000).map(|n| StoreEffect::Post(posting(n, i64::from(n % 9), amounts[n as usize % 4]))).collect();
    store.commit("rating", vec![step(0, 0, 1000, effects)]).await.unwrap();
    assert_eq!(store.balance_check().await.unwrap(), []);
    let balances = store.balances().await.unwrap();
    assert_eq!(balances.len(), 10);
    let revenue = balances.iter().find(|kept| kept.account == LedgerAccount::Revenue(TenantId(1))).unwrap();
    // 250 of each amount.
    assert_eq!(revenue.balance, eur("-3086418655.864250"));

    db.meddle("UPDATE balances SET micros = micros + 1 WHERE ledger_account = 'receivable:4'").await;
    let faults = store.balance_check().await.unwrap();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].account, LedgerAccount::Receivable(AccountId(4)));
    assert_eq!(faults[0].balance.amount - faults[0].postings.amount, eur("0.000001").amount);
}

pub(crate) async fn past_balance_is_the_sum_of_the_postings_before(db: Database) {
    let (store, account) = (&db.store, AccountId(7));
    let own = [
        LedgerAccount::Cash(account),
        LedgerAccount::FreeCash(account),
        LedgerAccount::FreeTime(account),
        LedgerAccount::Receivable(account),
    ];
    let mut postings = Vec::new();
    for n in 0..40 {
        // Onto each side of its own and from each, and of others at the same times.
        let (side, of) = (own[n as usize % 4], posting(n, 7, "1.25"));
        let world = LedgerAccount::Revenue(TenantId(1));
        let (debit, credit) = if n % 3 == 0 { (world, side) } else { (side, world) };
        let reason = if n == 4 || n == 21 { PostingReason::Grant } else { PostingReason::Call };
        postings.push(Posting { debit, credit, reason, ..of });
        postings.push(posting(n + 100, 8, "9"));
    }
    store.post(postings).await.unwrap();
    for until in [0, 1, 4, 5, 20, 21, 22, 39, 40, 99] {
        let until = second(until);
        let before = store.postings(account, second(-1), until).await.unwrap();
        for side in own {
            let debits = before.iter().filter(|one| one.debit == side).map(|one| one.amount.amount);
            let credits = before.iter().filter(|one| one.credit == side).map(|one| -one.amount.amount);
            let sum: rust_decimal::Decimal = debits.chain(credits).sum();
            let told = store.balances_before(account, until).await.unwrap();
            let told = told.iter().find(|one| one.account == side).map(|one| one.balance.amount);
            assert_eq!(told.unwrap_or_default(), sum, "{side} before {until}");
        }
        let grants = before.iter().filter(|one| one.reason == PostingReason::Grant).map(|one| one.at);
        assert_eq!(store.last_grant_before(account, until).await.unwrap(), grants.max(), "before {until}");
    }
}

pub(crate) async fn concurrent_lanes_share_a_balance_without_losing_a_cent(db: Database) {
    let tasks: Vec<_> = (0..8_u32)
        .map(|lane| {
            let store = db.store.clone();
            tokio::spawn(async move {
                for batch in 0..5_u32 {
                    let first = lane * 1000 + batch * 20;
                    let effects = (first..first + 20)
                        .map(|n| StoreEffect::Post(posting(n, i64::from(n % 5), "0.01")))
                        .collect();
                    let (expected, position) = (u64::from(batch * 20), u64::from(batch * 20 + 20));
                    store.commit("rating", vec![step(lane, expected, position, effects)]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(db.store.balance_check().await.unwrap(), []);
    let balances = db.store.balances().await.unwrap();
    assert!(
        balances.contains(&Balance { account: LedgerAccount::Revenue(TenantId(1)), balance: eur("-8") }),
        "{balances:?}"
    );
}

pub(crate) async fn suspended_record_comes_back_whole(db: Database) {
    let store = &db.store;
    store.commit("rating", vec![step(3, 0, 42, vec![aside("RAT001"), aside("RAT002")])]).await.unwrap();
    let list = store.suspense_list(0, 10).await.unwrap();
    assert_eq!(list.len(), 2);
    let record = store.suspense_get(list[0].id).await.unwrap();
    assert_eq!(record, list[0]);
    assert_eq!(
        (record.stage.as_str(), record.topic, record.partition, record.offset),
        ("rating", Topic::Cdrs, 3, 41)
    );
    assert_eq!((record.raw, record.suspended.code), (vec![0, 255, 7], "RAT001".to_owned()));
    assert_eq!((record.suspended.retry, record.suspended.cdr), (Retry::AfterTariffChange, Some(cdr(1))));

    assert!(store.suspense_resolve(list[0].id, second(9)).await.unwrap());
    assert!(!store.suspense_resolve(list[0].id, second(10)).await.unwrap(), "two people resubmit it once");
    assert_eq!(store.suspense_get(list[0].id).await.unwrap().resolved_at, Some(second(9)));
    assert_eq!(store.suspense_list(0, 10).await.unwrap(), list[1..]);
    assert_eq!(store.suspense_counts().await.unwrap(), [("rating".to_owned(), "RAT002".to_owned(), 1)]);
    assert!(matches!(store.suspense_get(999).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn suspended_records_are_sent_in_again_in_order_or_discarded_with_a_reason(db: Database) {
    let store = &db.store;
    let four = ["RAT001", "RAT002", "RAT001", "RAT003"].map(aside).to_vec();
    store.commit("rating", vec![step(3, 0, 42, four)]).await.unwrap();
    let ids: Vec<i64> = store.suspense_list(0, 10).await.unwrap().iter().map(|record| record.id).collect();

    let asked = store.suspense_request(&[ids[2], ids[0], ids[2], 999], "ann", second(2)).await.unwrap();
    assert_eq!(asked, [ids[0], ids[2]]);
    assert_eq!(store.suspense_request(&[ids[0], ids[3]], "ann", second(2)).await.unwrap(), [ids[3]]);
    let numbered = |records: Vec<store::SuspendedRecord>| -> Vec<_> {
        records.into_iter().map(|record| (record.id, record.resubmit_seq)).collect()
    };
    assert_eq!(
        numbered(store.suspense_requested(10).await.unwrap()),
        [(ids[0], Some(1)), (ids[2], Some(2)), (ids[3], Some(3))]
    );
    let discarded = store.suspense_discard(&[ids[0], ids[1]], "a test call", "ann", second(3)).await.unwrap();
    assert_eq!(discarded, [ids[1]], "one that is about to be sent in again is not discarded");
    assert_eq!(store.suspense_get(ids[1]).await.unwrap().discard_reason.as_deref(), Some("a test call"));

    store.suspense_sent(&[ids[0], ids[2]], second(4)).await.unwrap();
    store.suspense_release(ids[3], "cannot be read").await.unwrap();
    assert_eq!(store.suspense_requested(10).await.unwrap(), []);
    let open = store.suspense_list(0, 10).await.unwrap();
    assert_eq!((open.len(), open[0].id, open[0].suspended.message.as_str()), (1, ids[3], "cannot be read"));
    assert_eq!(store.suspense_request(&ids, "ann", second(5)).await.unwrap(), [ids[3]]);
    assert_eq!(numbered(store.suspense_requested(10).await.unwrap()), [(ids[3], Some(3))]);
    assert_eq!(store.suspense_held().await.unwrap().len(), 2, "the open one and the discarded one");
    let entries = store.audit_list(10).await.unwrap();
    assert_eq!(entries.len(), 4);
    assert_eq!((entries[1].action.as_str(), entries[1].after.as_str()), ("discard", "a test call"));
}

pub(crate) async fn orders_are_sent_in_behind_what_was_asked_for_before(db: Database) {
    let store = &db.store;
    let order = |n: u8| ResendOrder {
        stage: "rating".to_owned(),
        topic: Topic::Cdrs,
        partition: 3,
        raw: vec![n, 0, 255],
        code: "RERATE".to_owned(),
        account: AccountId(7),
        cdr: cdr(n.into()),
    };
    assert_eq!(store.suspense_order(Vec::new(), "none", "ann", second(1)).await.unwrap(), 0);
    assert_eq!(
        store.suspense_order(vec![order(1), order(2)], "wrong price", "ann", second(2)).await.unwrap(),
        2
    );
    assert_eq!(store.suspense_order(vec![order(3)], "once more", "ann", second(3)).await.unwrap(), 1);
    let waiting = store.suspense_requested(10).await.unwrap();
    let shown: Vec<_> = waiting.iter().map(|one| (one.resubmit_seq, one.raw[0], one.partition)).collect();
    assert_eq!(shown, [(Some(1), 1, 3), (Some(2), 2, 3), (Some(3), 3, 3)]);
    assert_eq!((waiting[0].stage.as_str(), waiting[0].suspended.message.as_str()), ("rating", "wrong price"));
    // An order is not asked for a second time, nor discarded on its way.
    let ids: Vec<i64> = waiting.iter().map(|one| one.id).collect();
    assert_eq!(store.suspense_request(&ids, "ann", second(4)).await.unwrap(), [0_i64; 0]);
    assert_eq!(store.suspense_discard(&ids, "no", "ann", second(4)).await.unwrap(), [0_i64; 0]);
    store.suspense_sent(&ids, second(5)).await.unwrap();
    assert_eq!(store.suspense_list(0, 10).await.unwrap(), []);
    assert_eq!(store.audit_verify().await.unwrap(), None);
}

pub(crate) async fn alert_is_kept_once_and_mailed_to_each_address(db: Database) {
    let store = &db.store;
    let crossed = alert(7, &["fraud@vox.example", "noc@vox.example"]);
    store
        .commit("fraud", vec![step(0, 0, 1, vec![StoreEffect::Alert(Box::new(crossed.clone()))])])
        .await
        .unwrap();
    store
        .commit("fraud", vec![step(0, 1, 2, vec![StoreEffect::Alert(Box::new(crossed.clone()))])])
        .await
        .unwrap();
    assert_eq!(store.alerts(10).await.unwrap(), [crossed]);
    let mails = store.mail_list().await.unwrap();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[1].mail.to, ["noc@vox.example"]);
    assert!(
        mails[0].mail.text.contains("51.25 EUR") && mails[0].mail.text.contains(&cdr(3).to_string()),
        "{mails:?}"
    );
}

pub(crate) async fn mail_of_an_alert_says_who_what_until_when_and_how_to_unlock(db: Database) {
    let store = &db.store;
    let mut provisioned = world();
    let acme = provisioned.accounts.iter_mut().find(|account| account.handle == "acme").unwrap();
    acme.contact.name = "Acme\r\nBcc: thief@example.com".to_owned();
    acme.timezone = Some("Europe/Vienna".parse().unwrap());
    store.import(&provisioned, second(0), "test").await.unwrap();
    let directory = store.directory().await.unwrap();
    let id = |handle: &str| directory.accounts.iter().find(|account| account.handle == handle).unwrap().id.0;
    let again = Alert {
        period: "2026-10-05/2".to_owned(),
        id: AlertId::from_bytes([1; 16]),
        ..alert(id("acme"), &["b"])
    };
    let untold = Alert { lock: LockLevel::None, evidence: Vec::new(), ..alert(id("globex"), &["c"]) };
    // Somebody has locked the reseller before, and said no end.
    let locked = alert(id("north"), &["d"]);
    let no_day = Alert {
        id: AlertId::from_bytes([2; 16]),
        rule: "other".to_owned(),
        period: "whenever".to_owned(),
        lock: LockLevel::All,
        ..alert(id("globex"), &["e"])
    };
    let mut effects = vec![StoreEffect::Lock(lock(id("north"), LockLevel::Outgoing))];
    let alerts = [Alert { value: eur("51.256"), ..alert(id("acme"), &["a"]) }, again, untold, locked, no_day];
    effects.extend(alerts.into_iter().map(|alert| StoreEffect::Alert(Box::new(alert))));
    store.commit("fraud", vec![step(0, 0, 1, effects)]).await.unwrap();
    let shown: Vec<_> = store
        .mail_list()
        .await
        .unwrap()
        .into_iter()
        .map(|Mail { mail, .. }| format!("To: {}\n{}\n\n{}", mail.to[0], mail.subject, mail.text))
        .collect();
    expect![[r#"
        To: a
        AcmeBcc: thief@example.com (acme): 51.26 EUR spent on 2026-10-05, limit 50.00 EUR - outgoing calls are locked

        AcmeBcc: thief@example.com (acme) has reached a limit.

        Limit:    50.00 EUR (daily_spend)
        Spent:    51.26 EUR on 2026-10-05
        Lock:     outgoing calls are locked
        Reached:  2026-10-05 10:00:09 CEST
        Lock ends by itself: 2026-10-06 00:00:00 CEST

        The dearest calls, and how each was priced:
          tollbook explain ad9ae1f30afdf89627cb1e4c6ba89173
          tollbook explain 22d28bc813382c5ce71598a6eca19e74

        To unlock the account:
          tollbook fraud unlock acme --reason "..."

        What was it? The answer makes the rules better:
          tollbook fraud verdict 17d7837fcc3d fraud|clean|unsure --note "..."

        Alert 17d7837fcc3df70c369656bb12f4a89d
        ---
        To: b
        AcmeBcc: thief@example.com (acme): 51.25 EUR spent on 2026-10-05, limit 50.00 EUR - outgoing calls are locked

        AcmeBcc: thief@example.com (acme) has reached a limit.

        Limit:    50.00 EUR (daily_spend)
        Spent:    51.25 EUR on 2026-10-05
        Lock:     outgoing calls are locked
        Reached:  2026-10-05 10:00:09 CEST
        Lock ends by itself: 2026-10-06 00:00:00 CEST

        The dearest calls, and how each was priced:
          tollbook explain ad9ae1f30afdf89627cb1e4c6ba89173
          tollbook explain 22d28bc813382c5ce71598a6eca19e74

        To unlock the account:
          tollbook fraud unlock acme --reason "..."

        What was it? The answer makes the rules better:
          tollbook fraud verdict 010101010101 fraud|clean|unsure --note "..."

        Alert 01010101010101010101010101010101
        ---
        To: c
        globex (globex): 51.25 EUR spent on 2026-10-05, limit 50.00 EUR - nothing was locked

        globex (globex) has reached a limit.

        Limit:    50.00 EUR (daily_spend)
        Spent:    51.25 EUR on 2026-10-05
        Lock:     nothing was locked
        Reached:  2026-10-05 10:00:09 CEST

        What was it? The answer makes the rules better:
          tollbook fraud verdict f50b94bfc538 fraud|clean|unsure --note "..."

        Alert f50b94bfc538e0201f0dc114a17e1610
        ---
        To: d
        north (north): 51.25 EUR spent on 2026-10-05, limit 50.00 EUR - outgoing calls are locked

        north (north) has reached a limit.

        Limit:    50.00 EUR (daily_spend)
        Spent:    51.25 EUR on 2026-10-05
        Lock:     outgoing calls are locked
        Reached:  2026-10-05 10:00:09 CEST

        The dearest calls, and how each was priced:
          tollbook explain ad9ae1f30afdf89627cb1e4c6ba89173
          tollbook explain 22d28bc813382c5ce71598a6eca19e74

        To unlock the account:
          tollbook fraud unlock north --reason "..."

        What was it? The answer makes the rules better:
          tollbook fraud verdict 24d161b49951 fraud|clean|unsure --note "..."

        Alert 24d161b49951e05358841ebcafa4e047
        ---
        To: e
        globex (globex): 51.25 EUR spent in whenever, limit 50.00 EUR - all calls are locked

        globex (globex) has reached a limit.

        Limit:    50.00 EUR (other)
        Spent:    51.25 EUR in whenever
        Lock:     all calls are locked
        Reached:  2026-10-05 10:00:09 CEST

        The dearest calls, and how each was priced:
          tollbook explain ad9ae1f30afdf89627cb1e4c6ba89173
          tollbook explain 22d28bc813382c5ce71598a6eca19e74

        To unlock the account:
          tollbook fraud unlock globex --reason "..."

        What was it? The answer makes the rules better:
          tollbook fraud verdict 020202020202 fraud|clean|unsure --note "..."

        Alert 02020202020202020202020202020202
    "#]].assert_eq(&shown.join("---\n"));
}

pub(crate) async fn last_lock_counts_and_none_lifts_it(db: Database) {
    let store = &db.store;
    let locks = vec![
        StoreEffect::Lock(lock(7, LockLevel::Foreign)),
        StoreEffect::Lock(lock(8, LockLevel::All)),
        StoreEffect::Lock(lock(7, LockLevel::Outgoing)),
    ];
    store.commit("fraud", vec![step(0, 0, 3, locks)]).await.unwrap();
    assert_eq!(store.locks().await.unwrap(), [lock(7, LockLevel::Outgoing), lock(8, LockLevel::All)]);
    assert_eq!(store.directory().await.unwrap().locks.len(), 2);

    let mut lifted = lock(7, LockLevel::None);
    lifted.source = LockSource::Admin;
    store.set_lock(&lifted, "eve", second(20)).await.unwrap();
    assert_eq!(store.locks().await.unwrap(), [lock(8, LockLevel::All)]);
    // The snapshot tells a lifted lock from one it has not heard of.
    let lifted = store.directory().await.unwrap().locks;
    assert_eq!(
        lifted.iter().find(|lock| lock.account == AccountId(7)).map(|lock| lock.level),
        Some(LockLevel::None)
    );
    let history: Vec<_> =
        store.lock_history(AccountId(7)).await.unwrap().iter().map(|lock| lock.level).collect();
    assert_eq!(history, [LockLevel::Foreign, LockLevel::Outgoing, LockLevel::None]);
    let trail = store.audit_list(1).await.unwrap();
    assert_eq!((trail[0].actor.as_str(), trail[0].object.as_str()), ("eve", "account:7"));
    assert!(trail[0].before.contains("outgoing") && trail[0].after.contains("none"), "{trail:?}");
}

pub(crate) async fn weaker_lock_of_another_rule_waits_behind_the_stronger(db: Database) {
    let store = &db.store;
    let of_rule = |rule: &str, level, since| Lock {
        alert: Some(AlertId::derive(rule, AccountId(7), "2026-10-05")),
        since: second(since),
        ..lock(7, level)
    };
    let level = async || store.locks().await.unwrap().iter().map(|lock| lock.level).collect::<Vec<_>>();
    let revision = async || store.directory().await.unwrap().revision;
    let before = revision().await;
    let set = StoreEffect::Lock(of_rule("a", LockLevel::All, 10));
    store.commit("watch", vec![step(0, 0, 1, vec![set])]).await.unwrap();
    assert!(before < revision().await, "whoever locks must hear of it");
    // Another stage does not know of it yet.
    let weaker = StoreEffect::Lock(of_rule("b", LockLevel::Outgoing, 11));
    store.commit("fraud", vec![step(0, 0, 1, vec![weaker.clone()])]).await.unwrap();
    assert_eq!(level().await, [LockLevel::All]);
    // When the stronger ends, the weaker is in force; and each lifts its own alone.
    let lifted = StoreEffect::Lock(of_rule("a", LockLevel::None, 12));
    store.commit("watch", vec![step(0, 1, 2, vec![lifted.clone()])]).await.unwrap();
    assert_eq!(level().await, [LockLevel::Outgoing]);
    store.commit("watch", vec![step(0, 2, 3, vec![lifted])]).await.unwrap();
    assert_eq!(level().await, [LockLevel::Outgoing]);
    let lifted = StoreEffect::Lock(of_rule("b", LockLevel::None, 13));
    store.commit("fraud", vec![step(0, 1, 2, vec![lifted])]).await.unwrap();
    assert!(level().await.is_empty());
    // A person lifts all of it.
    let set = StoreEffect::Lock(of_rule("a", LockLevel::All, 20));
    store.commit("fraud", vec![step(0, 2, 3, vec![set, weaker])]).await.unwrap();
    let by_hand = Lock { source: LockSource::Admin, alert: None, ..of_rule("a", LockLevel::None, 21) };
    store.set_lock(&by_hand, "eve", second(21)).await.unwrap();
    let lifted = StoreEffect::Lock(of_rule("a", LockLevel::None, 22));
    store.commit("fraud", vec![step(0, 3, 4, vec![lifted])]).await.unwrap();
    assert!(level().await.is_empty());
}

pub(crate) async fn calls_of_a_period_come_to_their_postings_less_the_reversals(db: Database) {
    let store = &db.store;
    let first = posting(1, 7, "0.25");
    // Taken back and posted anew, as a superseding revision does.
    let reversal = Posting {
        id: PostingId::derive(cdr(1), 1, 0),
        debit: first.credit,
        credit: first.debit,
        reason: PostingReason::Reversal,
        reverses: Some(first.id),
        ..first.clone()
    };
    let anew = Posting { id: PostingId::derive(cdr(1), 1, 1), amount: eur("0.40"), ..first.clone() };
    let carrier = Posting {
        id: PostingId::derive(cdr(1), 0, 1),
        account: AccountId(9),
        debit: LedgerAccount::Cost(TenantId(1)),
        credit: LedgerAccount::Payable(AccountId(9)),
        amount: eur("0.10"),
        ..first.clone()
    };
    let payment = Posting {
        id: PostingId::derive(cdr(9), 0, 0),
        debit: LedgerAccount::Bank(TenantId(1)),
        credit: LedgerAccount::Receivable(AccountId(7)),
        reason: PostingReason::Payment,
        cdr: None,
        ..first.clone()
    };
    let all = [first, reversal, anew, carrier, payment, posting(2, 8, "1")].map(StoreEffect::Post).to_vec();
    store.commit("ledger", vec![step(0, 0, 6, all)]).await.unwrap();
    let sum = |side, amount: &str| SideSum { side, currency: Currency::EUR, amount: amount.parse().unwrap() };
    assert_eq!(
        store.call_postings(second(0), second(3)).await.unwrap(),
        [sum("payable", "0.10"), sum("receivable", "1.40")]
    );
    // The last instant is the next period's.
    assert_eq!(
        store.call_postings(second(0), second(2)).await.unwrap(),
        [sum("payable", "0.10"), sum("receivable", "0.40")]
    );
    assert_eq!(store.call_postings(second(3), second(9)).await.unwrap(), []);
}
