//! Contracts, top-ups, vouchers.

use chrono::TimeDelta;
use model::{
    AccountId, Currency, Lock, LockLevel, LockSource, Money, Package, ProfileChoice, ProfileSwitch,
    StartMode, TenantId, Underrun,
};
use store::{
    InvoiceSums, LaneCommit, NewContract, NewInvoice, NewPackage, NewProfileChoice, NewTopUp, NewVoucher,
    StoreEffect, TopUpKind, TopUpOutcome, World,
};

use crate::database::Database;
use crate::invoices::invoice;
use crate::sample::{decimal, eur, second, world};

pub(crate) fn asked(account: AccountId, token: &str, kind: TopUpKind) -> NewTopUp {
    let (tenant, actor) = (TenantId(1), "eve".to_owned());
    NewTopUp {
        tenant,
        account,
        currency: Currency::EUR,
        token: token.to_owned(),
        kind,
        actor,
        reason: "paid at the desk".to_owned(),
    }
}

pub(crate) async fn acme(db: &Database) -> AccountId {
    db.store.import(&world(), second(0), "test").await.unwrap();
    db.store.account_by_handle("", "acme").await.unwrap().unwrap().id
}

pub(crate) async fn account_gets_a_contract_by_its_profile_or_its_own(db: Database) {
    let acme = acme(&db).await;
    let directory = db.store.directory().await.unwrap();
    // Its profile gives free cash; a carrier's and a reseller's do not make it a customer.
    assert_eq!(directory.contracts.keys().copied().collect::<Vec<_>>(), [acme]);
    assert_eq!(directory.contracts[&acme].created_at, second(0));
    let mut more = world();
    let package = Package { handle: "gold".to_owned(), ..Package::default() };
    more.packages = vec![NewPackage {
        tenant: String::new(),
        package: package.clone(),
        initial_profiles: Vec::new(),
        underrun_profiles: None,
        topup_profiles: Vec::new(),
    }];
    let contract = NewContract {
        tenant: String::new(),
        account: "acme".to_owned(),
        package: "gold".to_owned(),
        credit_limit: Some(decimal("50")),
        low_balance: None,
    };
    more.contracts = vec![contract.clone()];
    let report = db.store.import(&more, second(5), "test").await.unwrap();
    assert_eq!((report.packages.added, report.contracts.changed), (1, 1));
    let directory = db.store.directory().await.unwrap();
    let terms = &directory.contracts[&acme];
    assert_eq!((terms.created_at, terms.credit_limit), (second(0), Some(decimal("50"))));
    assert_eq!(directory.package_of(TenantId(1), terms), Some(&package));
    assert!(!db.store.import(&more, second(6), "test").await.unwrap().is_changed);
    more.contracts = vec![NewContract { package: "silver".to_owned(), ..contract }];
    let refused = db.store.import(&more, second(7), "test").await.unwrap_err();
    assert!(refused.to_string().contains("silver"), "{refused}");
}

pub(crate) async fn package_adds_to_the_schedule_and_leaves_the_locks_of_others_alone(db: Database) {
    let acme = acme(&db).await;
    let store = &db.store;
    let mut more = world();
    let first = more.tariffs[0].clone();
    let mut dear = first.clone();
    dear.version.profile.handle = "dear".to_owned();
    let mut prepaid = dear.clone();
    prepaid.version.profile.handle = "prepaid".to_owned();
    prepaid.version.profile.prepaid = true;
    let retail = first.version.profile.handle.clone();
    more.tariffs.extend([dear, prepaid]);
    more.networks.push(toml::from_str("name = \"office\"\nblocks = [\"10.0.0.0/8\"]").unwrap());
    let choice = |profile: &str, network: Option<&str>| NewProfileChoice {
        profile: profile.to_owned(),
        network: network.map(str::to_owned),
    };
    let gold = NewPackage {
        tenant: String::new(),
        package: Package { handle: "gold".to_owned(), ..Package::default() },
        initial_profiles: vec![choice(&retail, None), choice("dear", Some("office"))],
        underrun_profiles: Some(Underrun { below: decimal("1"), then: vec![choice("dear", None)] }),
        topup_profiles: Vec::new(),
    };
    for (wrong, why) in [
        (
            NewPackage { initial_profiles: vec![choice("dear", Some("office"))], ..gold.clone() },
            "without a network",
        ),
        (NewPackage { topup_profiles: vec![choice("prepaid", None)], ..gold.clone() }, "all prepaid"),
        (NewPackage { topup_profiles: vec![choice("gone", None)], ..gold.clone() }, "gone"),
    ] {
        let refused = store.import(&World { packages: vec![wrong], ..more.clone() }, second(1), "test").await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    }
    more.packages = vec![gold.clone()];
    more.contracts = vec![NewContract {
        tenant: String::new(),
        account: "acme".to_owned(),
        package: "gold".to_owned(),
        credit_limit: None,
        low_balance: None,
    }];
    let of_other_kind = NewPackage {
        initial_profiles: Vec::new(),
        underrun_profiles: None,
        topup_profiles: vec![choice("prepaid", None)],
        ..gold.clone()
    };
    let refused = World { packages: vec![of_other_kind], ..more.clone() };
    let refused = store.import(&refused, second(1), "test").await.unwrap_err().to_string();
    assert!(refused.contains("for accounts that are so too"), "{refused}");
    store.import(&more, second(2), "test").await.unwrap();
    let schedule = async || {
        let directory = store.directory().await.unwrap();
        let account = directory.accounts.iter().find(|there| there.id == acme).unwrap().clone();
        (directory.revision, account.profiles)
    };
    let (revision, before) = schedule().await;
    assert!(before.iter().any(|mapping| mapping.network.is_some() && mapping.from == second(2)));
    let other = Package { start: StartMode::CreateTz, ..gold.package.clone() };
    let other = World { packages: vec![NewPackage { package: other, ..gold }], ..more.clone() };
    let refused = store.import(&other, second(3), "test").await.unwrap_err();
    assert!(refused.to_string().contains("make another package"), "{refused}");

    let profile = before.iter().find(|mapping| mapping.network.is_some()).unwrap().profile;
    let switch = ProfileSwitch {
        tenant: TenantId(1),
        account: acme,
        from: second(9),
        profiles: vec![ProfileChoice { profile, network: None }],
    };
    let lock = |level, source, at| Lock {
        tenant: TenantId(1),
        account: acme,
        level,
        source,
        reason: "test".to_owned(),
        alert: None,
        since: second(at),
        until: None,
    };
    let mut position = 0;
    let mut commit = async |effects| {
        let (partition, expected) = (7, position);
        position += 1;
        let (watermarks, changes) = (Vec::new(), Vec::new());
        let lane = LaneCommit { partition, expected, position, watermarks, changes, effects };
        store.commit("rating", vec![lane]).await.unwrap();
    };
    // Said twice, it is done once.
    commit(vec![StoreEffect::Profiles(switch.clone())]).await;
    commit(vec![StoreEffect::Profiles(switch.clone())]).await;
    let (now, after) = schedule().await;
    assert_eq!(now, revision + 1);
    assert!(switch.is_in(&after));
    // What was bound to the office ends there.
    assert!(after.iter().any(|mapping| mapping.network.is_some() && mapping.to == Some(second(9))));

    let level = async || store.locks().await.unwrap().iter().map(|lock| lock.level).collect::<Vec<_>>();
    commit(vec![StoreEffect::Lock(lock(LockLevel::Outgoing, LockSource::Package, 10))]).await;
    assert_eq!(level().await, [LockLevel::Outgoing]);
    commit(vec![StoreEffect::Lock(lock(LockLevel::None, LockSource::Package, 11))]).await;
    assert!(level().await.is_empty());
    commit(vec![StoreEffect::Lock(lock(LockLevel::Foreign, LockSource::Fraud, 12))]).await;
    commit(vec![StoreEffect::Lock(lock(LockLevel::Outgoing, LockSource::Package, 13))]).await;
    commit(vec![StoreEffect::Lock(lock(LockLevel::None, LockSource::Package, 14))]).await;
    assert_eq!(level().await, [LockLevel::Foreign]);
    // What the package wants meanwhile holds when the lock of the rule ends.
    commit(vec![StoreEffect::Lock(lock(LockLevel::Outgoing, LockSource::Package, 15))]).await;
    assert_eq!(level().await, [LockLevel::Foreign]);
    commit(vec![StoreEffect::Lock(lock(LockLevel::None, LockSource::Fraud, 16))]).await;
    assert_eq!(level().await, [LockLevel::Outgoing]);
    // And what it has lifted meanwhile does not come back.
    commit(vec![StoreEffect::Lock(lock(LockLevel::All, LockSource::Fraud, 17))]).await;
    commit(vec![StoreEffect::Lock(lock(LockLevel::None, LockSource::Package, 18))]).await;
    assert_eq!(level().await, [LockLevel::All]);
    commit(vec![StoreEffect::Lock(lock(LockLevel::None, LockSource::Fraud, 19))]).await;
    assert!(level().await.is_empty());
}

pub(crate) async fn top_up_is_done_once_and_every_attempt_is_kept(db: Database) {
    let acme = acme(&db).await;
    let cash = |amount: &str| TopUpKind::Cash(eur(amount));
    let store = &db.store;
    let top_up =
        |token, kind| async move { store.top_up(&asked(acme, token, kind), second(1)).await.unwrap() };
    assert_eq!(top_up("a", cash("5")).await, TopUpOutcome::Done(eur("5")));
    assert_eq!(top_up("a", cash("5")).await, TopUpOutcome::Known(eur("5")));
    for (token, kind, why) in [
        ("a", cash("6"), "token_used"),
        ("b", cash("-1"), "bad_amount"),
        ("c", TopUpKind::Cash(Money::new(decimal("1"), "USD".parse().unwrap())), "bad_currency"),
    ] {
        assert!(matches!(top_up(token, kind).await, TopUpOutcome::Refused { outcome, .. } if outcome == why));
    }
    let carrier = store.account_by_handle("", "globex").await.unwrap().unwrap().id;
    let stranger = store.top_up(&asked(carrier, "d", cash("1")), second(1)).await.unwrap();
    assert!(matches!(stranger, TopUpOutcome::Refused { outcome: "no_contract", .. }));
    assert_eq!(top_up("e", TopUpKind::Adjustment(eur("-2"))).await, TopUpOutcome::Done(eur("-2")));
    let outcomes: Vec<String> =
        store.topups(Some(acme), 9).await.unwrap().into_iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, ["done", "bad_currency", "bad_amount", "token_used", "known", "done"]);
    // Rating is sent each good one, once.
    let waiting = store.topups_waiting(9).await.unwrap();
    assert_eq!(waiting.iter().map(|attempt| attempt.amount).collect::<Vec<_>>(), [eur("5"), eur("-2")]);
    store.topups_sent(&[waiting[0].id]).await.unwrap();
    assert_eq!(store.topups_waiting(9).await.unwrap().len(), 1);
}

pub(crate) async fn voucher_is_used_once_and_guessing_is_throttled(db: Database) {
    let acme = acme(&db).await;
    let voucher = |code: &str, account, days| NewVoucher {
        tenant: TenantId(1),
        code: code.to_owned(),
        amount: eur("10"),
        valid_until: second(0) + TimeDelta::days(days),
        account,
    };
    let mine =
        [voucher("AAAA-1111", None, 1), voucher("BBBB-2222", Some(acme), 1), voucher("CCCC-3333", None, 0)];
    assert_eq!(db.store.vouchers_add(&mine, "eve", second(0)).await.unwrap(), 3);
    assert_eq!(db.store.vouchers_add(&mine, "eve", second(0)).await.unwrap(), 0);
    let store = &db.store;
    let trail = store.audit_list(2).await.unwrap();
    let made = trail.iter().filter(|entry| (&*entry.actor, &*entry.action) == ("eve", "make_vouchers"));
    assert_eq!(
        made.count(),
        1,
        "who made them is known, and what was there already is not made again: {trail:?}"
    );
    let use_it = |token: &'static str, code: &'static str, at| async move {
        store.top_up(&asked(acme, token, TopUpKind::Voucher(code.to_owned())), second(at)).await.unwrap()
    };
    let refused = |outcome: TopUpOutcome| match outcome {
        TopUpOutcome::Refused { outcome, .. } => outcome,
        TopUpOutcome::Done(amount) | TopUpOutcome::Known(amount) => panic!("{amount}"),
    };
    // As people type it.
    assert_eq!(use_it("a", "aaaa 1111", 1).await, TopUpOutcome::Done(eur("10")));
    assert_eq!(refused(use_it("b", "AAAA-1111", 1).await), "used");
    assert_eq!(refused(use_it("c", "CCCC-3333", 1).await), "expired");
    assert_eq!(use_it("d", "BBBB2222", 1).await, TopUpOutcome::Done(eur("10")));
    for token in ["e", "f", "g", "h", "i"] {
        assert_eq!(refused(use_it(token, "ZZZZ-9999", 2).await), "bad_code");
    }
    db.store.vouchers_add(&[voucher("DDDD-4444", None, 1)], "eve", second(2)).await.unwrap();
    assert_eq!(refused(use_it("j", "DDDD-4444", 3).await), "throttled");
    assert_eq!(use_it("k", "DDDD-4444", 3_700).await, TopUpOutcome::Done(eur("10")));
    // Two at once: one of them has it.
    db.store.vouchers_add(&[voucher("EEEE-5555", None, 1)], "eve", second(3_701)).await.unwrap();
    let both = tokio::join!(use_it("l", "EEEE-5555", 3_702), use_it("m", "EEEE-5555", 3_702));
    let is_done = |outcome: &TopUpOutcome| matches!(outcome, TopUpOutcome::Done(_));
    assert!(is_done(&both.0) != is_done(&both.1), "{both:?}");
}

pub(crate) async fn payment_that_waits_is_not_overtaken_by_a_top_up(db: Database) {
    use sqlx::AssertSqlSafe;

    let acme = acme(&db).await;
    let store = &db.store;
    let issued = NewInvoice { account: acme, ..invoice(acme.0) };
    let (issued, _) = store.invoice_create(&issued, |_| String::new()).await.unwrap();
    // A process that writes into the audit log: whoever notes a payment has numbers for it by then, and waits.
    let mut other = db.connect().await;
    let begin = if db.url.starts_with("postgres") { "BEGIN" } else { "BEGIN IMMEDIATE" };
    let hold = format!("{begin}; UPDATE audit_heads SET last_id = last_id WHERE one = 1");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut other).await.unwrap();
    let a_while = std::time::Duration::from_millis(300);
    let paying = {
        let store = store.clone();
        let sums = InvoiceSums { payable: decimal("120"), calls: decimal("100") };
        tokio::spawn(async move { store.invoice_paid(issued.id, sums, "test", second(9)).await })
    };
    tokio::time::sleep(a_while).await;
    let topping_up = {
        let store = store.clone();
        let cash = asked(acme, "a", TopUpKind::Cash(eur("5")));
        tokio::spawn(async move { store.top_up(&cash, second(9)).await })
    };
    tokio::time::sleep(a_while).await;
    // As the feed does meanwhile.
    let mut sent = store.topups_waiting(9).await.unwrap();
    if !sent.is_empty() {
        store.topups_sent(&sent.iter().map(|top_up| top_up.id).collect::<Vec<_>>()).await.unwrap();
    }
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    paying.await.unwrap().unwrap();
    topping_up.await.unwrap().unwrap();
    sent.extend(store.topups_waiting(9).await.unwrap());
    let sent: Vec<_> = sent.iter().map(|sent| (sent.id, format!("{} {}", sent.kind, sent.amount))).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.is_sorted(), "rating drops a number that comes behind a later one: {sent:?}");
}
