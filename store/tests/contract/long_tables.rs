//! Tables of many rows, which are read in another way than the rest: all of it comes back, of one moment, and a broken row is named.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{
    AccountId, AccountKind, AccountStatus, CdrId, Currency, Directory, LedgerAccount, LockLevel, Money,
    Package, Posting, PostingId, PostingReason, StartMode, StateChange, TenantId,
};
use store::{
    HeldBalance, LaneCommit, NewContract, NewMapping, NewPackage, NewProfileChoice, NewTenant, StoreEffect,
    Watermark, World,
};

use crate::database::Database;
use crate::sample::{account, at, contact, decimal, lock, posting, second, step, subscriber, tariff, world};

/// More than are read at once.
const N_MANY: usize = 2_347;

/// What no format may trip over.
const ODD: [&str; 6] =
    ["", "O'Neill \"& Söhne\"", "a\\b\n\tc", "null", "[1,2],[\u{1}]", "\u{1f4de} Ω, 漢字;\u{7f}"];

/// Two tenants whose accounts have the same handles, in all states, with schedules, packages, limits and contracts of all sorts.
fn odd_world() -> World {
    let mut odd = World { tariffs: Vec::new(), ..world() };
    odd.tenants.push(NewTenant { handle: "tel".to_owned(), ..odd.tenants[0].clone() });
    odd.tenants[1].contact = contact("Tel");
    odd.networks
        .push(toml::from_str("tenant = \"vox\"\nname = \"office\"\nblocks = [\"10.0.0.0/8\"]").unwrap());
    for tenant in ["vox", "tel"] {
        for (handle, prepaid) in [("retail", false), ("prepaid", true)] {
            let mut new = tariff(handle, "2026-01-01T00:00:00Z", Vec::new());
            new.tenant = tenant.to_owned();
            new.version.profile.prepaid = prepaid;
            odd.tariffs.push(new);
        }
        let package = Package { handle: "gold".to_owned(), start: StartMode::TopUp, ..Package::default() };
        let profile = NewProfileChoice { profile: "prepaid".to_owned(), network: None };
        odd.packages.push(NewPackage {
            tenant: tenant.to_owned(),
            package,
            initial_profiles: vec![profile],
            underrun_profiles: None,
            topup_profiles: Vec::new(),
        });
    }
    for old in &mut odd.accounts {
        "vox".clone_into(&mut old.tenant);
    }
    for old in &mut odd.subscribers {
        "vox".clone_into(&mut old.tenant);
    }
    odd.trunks[0].tenant = "vox".to_owned();
    odd.billing_terms[0].tenant = "vox".to_owned();
    odd.profile_limits[0].tenant = "vox".to_owned();
    for n in 0..N_MANY {
        let tenant = if n % 2 == 0 { "vox" } else { "tel" }.to_owned();
        let handle = format!("many-{:05}", n / 2);
        let mut new = account(&handle, AccountKind::Customer, None);
        new.tenant = tenant.clone();
        new.contact.name = ODD[n % ODD.len()].to_owned();
        new.contact.address.city = ODD[(n / 7) % ODD.len()].to_owned();
        new.status = [AccountStatus::Active, AccountStatus::Suspended, AccountStatus::Terminated][n % 3];
        new.timezone = (n % 5 == 0).then(|| "America/New_York".parse().unwrap());
        new.currency = (n % 11 == 0).then(|| "USD".parse().unwrap());
        new.calls_max = (n % 2 == 0).then(|| u32::try_from(n).unwrap());
        if n % 4 > 0 {
            new.fraud.daily = None;
        }
        new.profile = Some(if n % 3 == 0 { "prepaid" } else { "retail" }.to_owned());
        // Some begin in the future.
        new.valid_from = (n % 6 == 0).then(|| at("2031-01-01T00:00:00Z"));
        if n % 8 == 0 {
            let network = Some("office".to_owned());
            let (from, to) = (Some(at("2026-02-01T00:00:00Z")), Some(at("2026-03-01T00:00:00Z")));
            new.profiles.push(NewMapping { profile: "prepaid".to_owned(), network, from, to });
        }
        odd.accounts.push(new);
        let number = format!("4366{:08}", N_MANY - n);
        let mut of_it = subscriber(&format!("user-{n}"), &handle, &[number.as_str()]);
        of_it.tenant = tenant.clone();
        of_it.cli = of_it.cli.filter(|_| n % 3 == 0);
        odd.subscribers.push(of_it);
        if n % 2 == 1 {
            odd.contracts.push(NewContract {
                tenant,
                account: handle,
                // Its profiles are prepaid and in the tenants' currency: so must its accounts be.
                package: if n % 3 == 0 && n % 11 > 0 { "gold" } else { "" }.to_owned(),
                credit_limit: (n % 5 == 0).then(|| decimal("12.345678")),
                low_balance: None,
            });
        }
    }
    odd
}

pub(crate) async fn odd_installation_of_many_is_read_as_it_was_written(db: Database) {
    let odd = odd_world();
    db.store.import(&odd, second(0), "test").await.unwrap();
    let locks =
        vec![StoreEffect::Lock(lock(7, LockLevel::Foreign)), StoreEffect::Lock(lock(9, LockLevel::Outgoing))];
    db.store.commit("fraud", vec![step(0, 0, 1, locks)]).await.unwrap();
    let directory = db.store.directory().await.unwrap();
    assert_eq!(directory.accounts.len(), odd.accounts.len());
    assert!(directory.accounts.is_sorted_by_key(|account| account.id));
    assert!(directory.numbers.is_sorted_by_key(|owner| (owner.number, owner.from)));
    for new in &odd.accounts {
        let tenant = directory.tenants.iter().find(|tenant| tenant.handle == new.tenant).unwrap();
        let name = format!("{}:{}", new.tenant, new.handle);
        let [there] = directory.accounts_named(&name)[..] else { panic!("{name} is not there once") };
        assert_eq!((there.tenant, &there.contact, there.status), (tenant.id, &new.contact, new.status));
        assert_eq!((there.calls_max, &there.fraud), (new.calls_max, &new.fraud));
        assert_eq!(there.currency, new.currency.unwrap_or(tenant.currency));
        assert_eq!(there.timezone, new.timezone.unwrap_or(tenant.timezone));
        assert_eq!(
            there.profiles.iter().filter(|mapping| mapping.network.is_some()).count(),
            new.profiles.len()
        );
        assert!(there.profiles.is_sorted_by_key(|mapping| (mapping.from, mapping.network)));
        assert_eq!(
            there.profiles.iter().any(|mapping| Some(mapping.from) == new.valid_from),
            new.valid_from.is_some()
        );
    }
    check_contracts(&odd, &directory);
    for new in &odd.subscribers {
        let there = directory.subscribers.iter().find(|there| there.username == new.username).unwrap();
        assert_eq!((there.cli, &there.digest.ha1_sha256), (new.cli, &new.ha1_sha256));
        let owned: HashSet<_> = directory
            .numbers
            .iter()
            .filter(|owner| owner.subscriber == there.id)
            .map(|owner| owner.number)
            .collect();
        assert_eq!(owned, new.numbers.iter().copied().collect());
    }
    assert_eq!(directory.locks.len(), 2);
    // What an import compares with is read within its transaction, in another way: to that one, too, nothing is new.
    let again = db.store.import(&odd, second(9), "test").await.unwrap();
    assert!(!again.is_changed, "{again:?}");
    assert!(db.store.directory().await.unwrap() == directory);
}

fn check_contracts(odd: &World, directory: &Directory) {
    for new in &odd.contracts {
        let [there] = directory.accounts_named(&format!("{}:{}", new.tenant, new.account))[..] else {
            panic!("{} is not there once", new.account)
        };
        let terms = &directory.contracts[&there.id];
        assert_eq!((&terms.package, terms.credit_limit), (&new.package, new.credit_limit));
        assert_eq!(terms.created_at, second(0));
    }
}

pub(crate) async fn broken_row_of_a_long_table_is_named(db: Database) {
    db.store.import(&world(), second(0), "test").await.unwrap();
    let before = db.store.directory().await.unwrap();
    for (break_it, mend_it, what) in [
        (
            "UPDATE accounts SET kind = 'guest' WHERE id = 2",
            "kind = 'carrier'",
            "column kind of accounts 2 holds \"guest\"",
        ),
        (
            "UPDATE accounts SET timezone = 'Mars' WHERE id = 3",
            "timezone = 'Europe/Vienna'",
            "column timezone of accounts 3 holds \"Mars\"",
        ),
        (
            "UPDATE subscribers SET calls_max = -1 WHERE id = 2",
            "calls_max = NULL",
            "column calls_max of subscribers 2 holds \"-1\"",
        ),
        (
            "UPDATE subscribers SET cli = 0 WHERE id = 1",
            "cli = 43660555123",
            "column cli of subscribers 1 holds \"0\"",
        ),
        (
            "UPDATE contracts SET terms = '{' WHERE account = 3",
            "terms = '{}'",
            "column terms of contracts 3 holds \"{\"",
        ),
    ] {
        db.meddle(break_it).await;
        let refused = db.store.directory().await.unwrap_err();
        assert!(refused.to_string().starts_with(what), "{refused}");
        assert_eq!(refused.code(), "STO020");
        let (table, place) = (break_it.split(' ').nth(1).unwrap(), break_it.split(" WHERE ").nth(1).unwrap());
        db.meddle(&format!("UPDATE {table} SET {mend_it} WHERE {place}")).await;
        // Kept short: all of it would be printed.
        assert!(db.store.directory().await.unwrap() == before, "after {what}");
    }
}

/// Every change adds one of each; whoever reads meanwhile sees as many of each as the revision says.
pub(crate) async fn what_changes_while_it_is_read_is_read_of_one_moment(db: Database) {
    const N_CHANGES: usize = 25;
    let mut growing = World { accounts: Vec::new(), subscribers: Vec::new(), ..odd_world() };
    let all = odd_world();
    growing.contracts.clear();
    growing.trunks.clear();
    growing.routes.clear();
    growing.billing_terms.clear();
    let is_over = Arc::new(AtomicBool::new(false));
    let (store, over) = (db.store.clone(), is_over.clone());
    let reading = tokio::spawn(async move {
        let mut seen = HashSet::new();
        while !over.load(Ordering::Relaxed) {
            let directory = store.directory().await.unwrap();
            let n = usize::try_from(directory.revision).unwrap();
            assert_eq!((directory.accounts.len(), directory.subscribers.len()), (n, n));
            assert_eq!((directory.numbers.len(), directory.contracts.len()), (n, n));
            assert!(directory.accounts.iter().all(|account| account.profiles.len() == 1));
            seen.insert(n);
        }
        seen.len()
    });
    for (new, of_it) in all.accounts[3..].iter().zip(&all.subscribers[2..]).take(N_CHANGES) {
        let (tenant, account) = (new.tenant.clone(), new.handle.clone());
        let mut new = new.clone();
        new.profiles.clear();
        new.valid_from = None;
        growing.accounts.push(new);
        growing.subscribers.push(of_it.clone());
        let contract =
            NewContract { tenant, account, package: String::new(), credit_limit: None, low_balance: None };
        growing.contracts.push(contract);
        db.store.import(&growing, second(0), "test").await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(reading.await.unwrap() > 1);
    assert_eq!(db.store.directory().await.unwrap().accounts.len(), N_CHANGES);
    assert_eq!(db.store.revision().await.unwrap(), i64::try_from(N_CHANGES).unwrap());
}

/// Each takes several connections, of which there are sixteen to a server: none may wait with some in hand for those of another who does.
pub(crate) async fn many_who_read_everything_at_once_all_come_to_an_end(db: Database) {
    db.store.import(&world(), second(0), "test").await.unwrap();
    let expected = db.store.directory().await.unwrap();
    let mut reading = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = db.store.clone();
        reading.spawn(async move { store.directory().await.unwrap() });
    }
    let all = tokio::time::timeout(std::time::Duration::from_secs(60), reading.join_all()).await.unwrap();
    assert!(all.into_iter().all(|read| read == expected));
}

pub(crate) async fn balances_of_all_kinds_add_up_by_account(db: Database) {
    let one = AccountId(1);
    let moved = |n: u32, debit, credit, amount: &str, currency| Posting {
        id: PostingId::derive(CdrId::from_bytes([9; 16]), 0, n),
        debit,
        credit,
        amount: Money::new(decimal(amount), currency),
        reason: PostingReason::Grant,
        cdr: None,
        ..posting(n, 1, "0")
    };
    let tenant = TenantId(1);
    let mut postings = vec![
        moved(0, LedgerAccount::Bank(tenant), LedgerAccount::Cash(one), "5.25", Currency::EUR),
        moved(1, LedgerAccount::Bank(tenant), LedgerAccount::Cash(one), "1", "USD".parse().unwrap()),
        moved(2, LedgerAccount::Grants(tenant), LedgerAccount::FreeCash(one), "0.5", Currency::EUR),
        moved(3, LedgerAccount::Grants(tenant), LedgerAccount::FreeTime(one), "90", Currency::SECONDS),
        moved(4, LedgerAccount::Receivable(one), LedgerAccount::Revenue(tenant), "0.75", Currency::EUR),
    ];
    let many = i64::try_from(N_MANY).unwrap();
    postings.extend((2..many).map(|account| posting(u32::try_from(account + 9).unwrap(), account, "0.01")));
    let effects = postings.into_iter().map(StoreEffect::Post).collect();
    let watermarks = vec![Watermark { stage: "rating".to_owned(), partition: 2, offset: 7, index: 1 }];
    let lane = LaneCommit { watermarks: watermarks.clone(), ..step(3, 0, 40, effects) };
    db.store.commit("ledger", vec![lane]).await.unwrap();
    let (held, lanes) = db.store.held_balances("ledger").await.unwrap();
    assert_eq!(held.len(), N_MANY - 1);
    assert!(held.is_sorted_by_key(|(account, _)| *account));
    assert_eq!(held[0], (one, HeldBalance { micros: 6_000_000, seconds: 90 }));
    assert!(held[1..].iter().all(|(_, held)| *held == HeldBalance { micros: -10_000, seconds: 0 }));
    assert_eq!(lanes.len(), 1);
    assert_eq!((lanes[0].partition, lanes[0].position, &lanes[0].watermarks), (3, 40, &watermarks));
    db.meddle("UPDATE balances SET ledger_account = 'cash:x' WHERE ledger_account = 'cash:1'").await;
    let refused = db.store.held_balances("ledger").await.unwrap_err();
    assert!(refused.to_string().contains("cash:x"), "{refused}");
}

pub(crate) async fn long_state_of_several_lanes_comes_back_by_key(db: Database) {
    let key = |n: usize| format!("contract:{n}");
    let mut lanes = Vec::new();
    for partition in 0..5_u32 {
        let share = (0..N_MANY).filter(|n| n % 5 == partition as usize);
        let changes = share
            .map(|n| StateChange { key: key(n), value: Some(vec![0, 255, u8::try_from(n % 251).unwrap()]) })
            .collect();
        lanes.push(LaneCommit { changes, ..step(partition, 0, u64::from(partition) + 1, vec![]) });
    }
    db.store.commit("rating", lanes).await.unwrap();
    db.store
        .commit(
            "fraud",
            vec![LaneCommit {
                changes: vec![StateChange { key: "contract:0".to_owned(), value: Some(Vec::new()) }],
                ..step(0, 0, 1, vec![])
            }],
        )
        .await
        .unwrap();
    let loaded = db.store.load_lanes("rating").await.unwrap();
    assert_eq!(loaded.iter().map(|lane| lane.position).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for lane in &loaded {
        assert!(lane.state.is_sorted());
        let mut expected: Vec<(String, Vec<u8>)> = (0..N_MANY)
            .filter(|n| n % 5 == lane.partition as usize)
            .map(|n| (key(n), vec![0, 255, u8::try_from(n % 251).unwrap()]))
            .collect();
        expected.sort();
        assert_eq!(lane.state, expected);
    }
}
