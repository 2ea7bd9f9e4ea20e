//! Contracts, top-ups, vouchers.

use chrono::TimeDelta;
use model::{AccountId, Currency, Money, Package, TenantId};
use store::{NewContract, NewPackage, NewTopUp, NewVoucher, TopUpKind, TopUpOutcome};

use crate::database::Database;
use crate::sample::{decimal, eur, second, world};

fn asked(account: AccountId, token: &str, kind: TopUpKind) -> NewTopUp {
    let (tenant, actor) = (TenantId(1), "eve".to_owned());
    NewTopUp { tenant, account, currency: Currency::EUR, token: token.to_owned(), kind, actor }
}

async fn acme(db: &Database) -> AccountId {
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
    store.topups_sent(waiting[0].id).await.unwrap();
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
    assert_eq!(db.store.vouchers_add(&mine, second(0)).await.unwrap(), 3);
    assert_eq!(db.store.vouchers_add(&mine, second(0)).await.unwrap(), 0);
    let store = &db.store;
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
    db.store.vouchers_add(&[voucher("DDDD-4444", None, 1)], second(2)).await.unwrap();
    assert_eq!(refused(use_it("j", "DDDD-4444", 3).await), "throttled");
    assert_eq!(use_it("k", "DDDD-4444", 3_700).await, TopUpOutcome::Done(eur("10")));
}
