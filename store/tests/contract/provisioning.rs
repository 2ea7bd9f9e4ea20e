//! Import, and the snapshot that comes out.

use std::time::Duration;

use model::{
    Account, AccountKind, BillingTerms, CallForward, Currency, Directory, E164, ForwardKind, PortedNumber,
    RouteCalling, SubscriberId,
};
use store::{ImportCount, NewBillingTerms, NewExchangeRate, NewMapping, NewNetwork, Store, StoreError};

use crate::database::Database;
use crate::sample::{T0, account, at, decimal, fee, second, tariff, world};

fn account_of<'a>(directory: &'a Directory, handle: &str) -> &'a Account {
    directory.accounts.iter().find(|account| account.handle == handle).unwrap()
}

fn profile_of(directory: &Directory, handle: &str, when: &str) -> String {
    let id = account_of(directory, handle).profile_at(at(when)).unwrap();
    directory.tariffs.iter().find(|version| version.profile.id == id).unwrap().profile.handle.clone()
}

pub(crate) async fn billing_terms_come_back_change_and_are_refused_with_their_owner(db: Database) {
    let mut wanted = world();
    let first = db.store.import(&wanted, second(0), "test").await.unwrap();
    assert_eq!(first.billing_terms.added, 1);
    let directory = db.store.directory().await.unwrap();
    let (acme, tenant) = (account_of(&directory, "acme").id, directory.tenants[0].id);
    let book = db.store.billing_terms().await.unwrap();
    assert_eq!(book.account(acme), wanted.billing_terms[0].terms);
    assert_eq!(book.tenant(tenant), BillingTerms::default());
    assert_eq!(db.store.import(&wanted, second(1), "test").await.unwrap().billing_terms.unchanged, 1);

    wanted.billing_terms[0].terms.call_list = true;
    let phone = "+43 1 5125550".to_owned();
    let terms = BillingTerms { phone, ..BillingTerms::default() };
    wanted.billing_terms.push(NewBillingTerms { tenant: String::new(), account: String::new(), terms });
    let second_one = db.store.import(&wanted, second(2), "test").await.unwrap();
    assert_eq!((second_one.billing_terms.changed, second_one.billing_terms.added), (1, 1));
    let book = db.store.billing_terms().await.unwrap();
    assert!(book.account(acme).call_list);
    assert_eq!(book.tenant(tenant).phone, "+43 1 5125550");

    wanted.billing_terms[0].terms.discount_percent = decimal("101");
    let refused = db.store.import(&wanted, second(3), "test").await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Invalid { .. }) && refused.to_string().contains("acme"),
        "{refused}"
    );
    wanted.billing_terms[0].account = "nobody".to_owned();
    let refused = db.store.import(&wanted, second(3), "test").await.unwrap_err();
    assert!(matches!(refused, StoreError::UnknownReference { .. }), "{refused}");
}

pub(crate) async fn imported_world_is_read_back(db: Database) {
    let world = world();
    let report = db.store.import(&world, second(0), "eve").await.unwrap();
    assert_eq!((report.is_changed, report.revision), (true, 1));
    assert_eq!(report.accounts, ImportCount { added: 3, ..ImportCount::default() });
    assert_eq!((report.numbers.added, report.tariff_versions.added), (3, 1));
    let directory = db.store.directory().await.unwrap();
    assert_eq!((directory.revision, db.store.revision().await.unwrap()), (1, 1));

    let tenant = &directory.tenants[0];
    assert_eq!((tenant.handle.as_str(), &tenant.contact), ("vox", &world.tenants[0].contact));
    for new in &world.accounts {
        let there = account_of(&directory, &new.handle);
        let reseller = new.reseller.as_ref().map(|handle| account_of(&directory, handle).id);
        assert_eq!((there.kind, there.status, there.reseller), (new.kind, new.status, reseller));
        assert_eq!((there.currency, there.timezone), (tenant.currency, tenant.timezone));
        assert_eq!((&there.contact, &there.fraud), (&new.contact, &new.fraud));
        assert_eq!((there.vat_percent, there.calls_max), (new.vat_percent, new.calls_max));
        assert_eq!(profile_of(&directory, &new.handle, "2020-01-01T00:00:00Z"), "retail");
    }
    for new in &world.subscribers {
        let there = directory.subscribers.iter().find(|there| there.username == new.username).unwrap();
        assert_eq!(there.account, account_of(&directory, &new.account).id);
        assert_eq!((there.digest.ha1_md5.as_str(), there.cli), (new.ha1_md5.as_str(), new.cli));
        assert_eq!(there.uuid.len(), 36);
        let numbers: Vec<E164> = directory
            .numbers
            .iter()
            .filter(|owner| owner.subscriber == there.id && owner.from == second(0) && owner.to.is_none())
            .map(|owner| owner.number)
            .collect();
        assert_eq!(numbers, new.numbers);
    }
    let (trunk, new) = (&directory.trunks[0], &world.trunks[0]);
    assert_eq!((trunk.address, trunk.transport, trunk.enabled), (new.address, new.transport, new.enabled));
    assert_eq!(
        (&trunk.sources, &trunk.tech_prefix, trunk.calls_max),
        (&new.sources, &new.tech_prefix, new.calls_max)
    );
    let route = &directory.routes[0];
    assert_eq!((route.prefix.as_str(), route.trunk, route.priority, route.weight), ("49", trunk.id, 1, 3));
    let mut version = directory.tariffs[0].clone();
    let mut expected = world.tariffs[0].version.clone();
    expected.id = version.id;
    expected.profile.id = version.profile.id;
    expected.profile.tenant = tenant.id;
    for (fee, expected) in version.fees.iter_mut().zip(&expected.fees) {
        fee.id = expected.id;
    }
    assert_eq!(version, expected);

    let acme = db.store.account_by_handle("vox", "acme").await.unwrap().unwrap();
    assert_eq!(&acme, account_of(&directory, "acme"));
    assert_eq!(db.store.account_by_handle("", "acme").await.unwrap(), Some(acme));
    assert_eq!(db.store.account_by_handle("vox", "nobody").await.unwrap(), None);
}

pub(crate) async fn same_world_again_changes_nothing(db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let (directory, counts) = (db.store.directory().await.unwrap(), db.store.table_counts().await.unwrap());
    let report = db.store.import(&world(), second(100), "eve").await.unwrap();
    assert_eq!((report.is_changed, report.revision), (false, 1));
    assert_eq!(report.accounts, ImportCount { unchanged: 3, ..ImportCount::default() });
    assert_eq!(report.tariff_versions, ImportCount { unchanged: 1, ..ImportCount::default() });
    assert_eq!(db.store.directory().await.unwrap(), directory);
    assert_eq!(db.store.table_counts().await.unwrap(), counts);

    // The same content said to be new from another day is no change either.
    let mut again = world();
    again.tariffs[0].version.valid_from = at("2026-06-01T00:00:00Z");
    again.tariffs[0].version.fees[0].onpeak_init.price = decimal("0.0500");
    assert!(!db.store.import(&again, second(200), "eve").await.unwrap().is_changed);

    let mut changed = world();
    changed.accounts[0].calls_max = Some(11);
    changed.trunks[0].enabled = false;
    changed.tenants[0].contact.iban = "AT02".to_owned();
    let report = db.store.import(&changed, second(300), "eve").await.unwrap();
    assert_eq!((report.accounts.changed, report.trunks.changed, report.tenants.changed), (1, 1, 1));
    assert_eq!(report.revision, 2);
    let directory = db.store.directory().await.unwrap();
    assert_eq!(account_of(&directory, "acme").calls_max, Some(11));
    assert_eq!((directory.trunks[0].enabled, directory.tenants[0].contact.iban.as_str()), (false, "AT02"));
    assert_eq!(db.store.audit_list(9).await.unwrap().len(), 2);
}

pub(crate) async fn changed_price_becomes_a_version_and_the_old_one_stays(db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let old = db.store.directory().await.unwrap().tariffs[0].clone();
    let mut dearer = world();
    dearer.tariffs = vec![tariff("retail", "2026-11-01T00:00:00Z", vec![fee("49", "0.06")])];
    dearer.tariffs[0].version.profile.timezone = "Europe/London".parse().unwrap();
    let report = db.store.import(&dearer, second(100), "eve").await.unwrap();
    assert_eq!((report.tariff_versions.added, report.profiles.unchanged), (1, 1));
    let tariffs = db.store.directory().await.unwrap().tariffs;
    assert_eq!(tariffs.len(), 2);
    assert_eq!(tariffs[0], old, "what priced a call once prices it for ever");
    assert_eq!((tariffs[1].profile.id, tariffs[1].valid_from), (old.profile.id, at("2026-11-01T00:00:00Z")));
    assert_eq!(tariffs[1].profile.timezone.name(), "Europe/London");
    assert_eq!(tariffs[1].fees[0].onpeak_init.price, decimal("0.06"));

    // Made of the first one, of which somebody else has made the second meanwhile.
    let mut late = world();
    late.tariffs = vec![tariff("retail", "2026-12-01T00:00:00Z", vec![fee("49", "0.07")])];
    let refused = db.store.import_over(&late, tariffs[0].id, second(200), "eve").await.unwrap_err();
    assert!(matches!(&refused, StoreError::Invalid { .. }), "{refused}");
    assert_eq!(db.store.revision().await.unwrap(), 2);
    let report = db.store.import_over(&late, tariffs[1].id, second(200), "eve").await.unwrap();
    assert_eq!(report.tariff_versions.added, 1);
}

pub(crate) async fn version_is_never_replaced(db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let mut changed = world();
    changed.tariffs[0].version.fees[0].onpeak_init.price = decimal("0.06");
    let refused = db.store.import(&changed, second(100), "eve").await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::VersionExists { profile, .. } if profile == "retail"),
        "{refused}"
    );
    assert_eq!(db.store.revision().await.unwrap(), 1);
}

pub(crate) async fn number_that_changes_hands_keeps_its_history(db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let mut moved = world();
    // Swapped, and one given up.
    moved.subscribers[0].numbers = vec!["43660555200".parse().unwrap()];
    moved.subscribers[1].numbers = vec!["43660555123".parse().unwrap()];
    let report = db.store.import(&moved, second(100), "eve").await.unwrap();
    assert_eq!((report.numbers.changed, report.numbers.added), (3, 2));
    let numbers: Vec<_> = db
        .store
        .directory()
        .await
        .unwrap()
        .numbers
        .iter()
        .map(|owner| (owner.number.to_string(), owner.subscriber, owner.from, owner.to))
        .collect();
    let (alice, bob) = (SubscriberId(1), SubscriberId(2));
    let row = |number: &str, owner, from, to| (number.to_owned(), owner, second(from), to);
    assert_eq!(
        numbers,
        [
            row("43660555123", alice, 0, Some(second(100))),
            row("43660555123", bob, 100, None),
            row("43660555124", alice, 0, Some(second(100))),
            row("43660555200", bob, 0, Some(second(100))),
            row("43660555200", alice, 100, None),
        ]
    );
    let mut both = moved;
    both.subscribers[0].numbers = both.subscribers[1].numbers.clone();
    let refused = db.store.import(&both, second(200), "eve").await.unwrap_err();
    assert!(refused.to_string().contains("bob@vox.example"), "{refused}");
}

pub(crate) async fn reference_to_nothing_is_named_and_nothing_is_written(db: Database) {
    let before = db.store.table_counts().await.unwrap();
    let check = async |break_it: fn(&mut store::World), expected: &str| {
        let mut world = world();
        break_it(&mut world);
        let refused = db.store.import(&world, second(0), "eve").await.unwrap_err();
        assert_eq!(refused.to_string(), expected);
        assert!(refused.is_users());
    };
    check(
        |world| world.accounts[0].reseller = Some("nort".to_owned()),
        "account \"acme\" names reseller \"nort\", which does not exist; add it, or correct the name",
    )
    .await;
    check(
        |world| world.accounts[1].reseller = Some("acme".to_owned()),
        "account \"acme\" names reseller \"north\", which does not exist; add it, or correct the name",
    )
    .await;
    check(
        |world| world.accounts[2].profile = Some("wholesale".to_owned()),
        "account \"globex\" names profile \"wholesale\", which does not exist; add it, or correct the name",
    )
    .await;
    check(
        |world| world.subscribers[1].account = "acne".to_owned(),
        "subscriber bob@vox.example names account \"acne\", which does not exist; add it, or correct the name",
    )
    .await;
    check(
        |world| world.routes[0].trunk = "globex-2".to_owned(),
        "route \"49\" to \"globex-2\" names trunk \"globex-2\", which does not exist; add it, or correct the name",
    )
    .await;
    check(
        |world| world.routes[0].prefix = "+49".to_owned(),
        "route \"+49\" to \"globex-1\": '+' is not a digit; a prefix has digits only, no +",
    )
    .await;
    check(
        |world| world.tenants.clear(),
        "profile \"retail\": no tenant is named, and there are 0; add tenant = \"HANDLE\"",
    )
    .await;
    check(
        |world| world.accounts.push(account("two words", AccountKind::Customer, None)),
        "account \"two words\": its name must be of letters, digits, - and _, and not empty",
    )
    .await;
    assert_eq!(db.store.table_counts().await.unwrap(), before);
}

pub(crate) async fn profile_changes_from_its_date_on(db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let mut moved = world();
    moved.tariffs.push(tariff("gold", "2026-01-01T00:00:00Z", vec![fee("49", "0.01")]));
    moved.accounts[0].profile = Some("gold".to_owned());
    moved.accounts[0].valid_from = Some(at("2026-12-01T00:00:00Z"));
    let report = db.store.import(&moved, second(100), "eve").await.unwrap();
    assert_eq!((report.accounts.changed, report.profiles.added), (1, 1));
    let directory = db.store.directory().await.unwrap();
    assert_eq!(profile_of(&directory, "acme", "2026-11-30T23:59:59Z"), "retail");
    assert_eq!(profile_of(&directory, "acme", "2026-12-01T00:00:00Z"), "gold");
    assert_eq!(profile_of(&directory, "north", "2026-12-01T00:00:00Z"), "retail");
    assert!(!db.store.import(&moved, second(200), "eve").await.unwrap().is_changed);
}

pub(crate) async fn calling_rules_are_read_back_and_a_change_of_them_alone_is_a_change(db: Database) {
    let mut world = world();
    world.tenants[0].calling.emergency = vec!["112".parse().unwrap()];
    world.subscribers[0].calling.country_code = "43".to_owned();
    world.subscribers[0].calling.forwards = vec![CallForward {
        when: ForwardKind::Busy,
        to: "0512900200".to_owned(),
        after_seconds: 20,
        enabled: true,
    }];
    world.accounts[0].calling.calls_per_second = Some(3);
    world.routes[0].calling.stopper = true;
    db.store.import(&world, second(0), "eve").await.unwrap();
    let directory = db.store.directory().await.unwrap();
    let calling = &directory.calling;
    assert_eq!(calling.tenants.values().collect::<Vec<_>>(), [&world.tenants[0].calling]);
    assert_eq!(calling.subscribers.values().collect::<Vec<_>>(), [&world.subscribers[0].calling]);
    assert_eq!(calling.trunks[&directory.trunks[0].id], world.trunks[0].calling);
    assert_eq!(calling.routes[&directory.routes[0].id], world.routes[0].calling);
    let acme = account_of(&directory, "acme").id;
    assert_eq!(calling.accounts[&acme].calls_per_second, Some(3));

    let again = db.store.import(&world, second(1), "eve").await.unwrap();
    assert!(!again.is_changed);
    world.subscribers[0].calling.forwards.clear();
    world.routes[0].calling = RouteCalling::default();
    let changed = db.store.import(&world, second(2), "eve").await.unwrap();
    assert_eq!((changed.subscribers.changed, changed.routes.changed, changed.trunks.changed), (1, 1, 0));
    let calling = db.store.directory().await.unwrap().calling;
    assert!(calling.routes.is_empty(), "rules that say nothing are not kept");
    assert!(calling.subscribers.values().all(|rules| rules.forwards.is_empty()));
}

pub(crate) async fn schedules_by_network_and_exchange_rates_come_back_and_begun_ones_stay(db: Database) {
    let mut wanted = world();
    wanted.tariffs.push(tariff("night", T0, vec![fee("49", "0.01")]));
    wanted.networks = vec![NewNetwork {
        tenant: String::new(),
        name: "office".to_owned(),
        blocks: vec!["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()],
    }];
    let rate = |value: &str, from: &str| NewExchangeRate {
        tenant: String::new(),
        from: "USD".parse().unwrap(),
        to: Currency::EUR,
        rate: decimal(value),
        valid_from: at(from),
    };
    wanted.exchange_rates = vec![rate("0.91", "2026-01-01T00:00:00Z")];
    let acme = wanted.accounts.iter().position(|account| account.handle == "acme").unwrap();
    wanted.accounts[acme].profiles = vec![
        NewMapping { profile: "night".to_owned(), from: None, to: None, network: Some("office".to_owned()) },
        NewMapping {
            profile: "night".to_owned(),
            from: Some(second(100)),
            to: Some(second(200)),
            network: None,
        },
    ];
    let report = db.store.import(&wanted, second(0), "test").await.unwrap();
    assert_eq!((report.networks.added, report.exchange_rates.added), (1, 1));
    let directory = db.store.directory().await.unwrap();
    assert_eq!(directory.networks[0].blocks, wanted.networks[0].blocks);
    assert_eq!(directory.exchange_rates[0].rate, decimal("0.91"));
    let account = account_of(&directory, "acme");
    let (retail, office) = (account.profile_at(second(0)).unwrap(), directory.networks[0].id);
    let night = account.profile_at(second(100)).unwrap();
    assert_ne!(retail, night);
    assert_eq!(account.profile_at(second(200)), Some(retail), "its time is over");
    assert_eq!(account.profile_from(second(0), |network| network == office), Some(night));
    let again = db.store.import(&wanted, second(1), "test").await.unwrap();
    assert!(!again.is_changed, "{again}");

    // What holds already stays; what is to come may change.
    wanted.exchange_rates[0].rate = decimal("0.92");
    let refused = db.store.import(&wanted, second(2), "test").await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Invalid { .. }) && refused.to_string().contains("USD"),
        "{refused}"
    );
    wanted.exchange_rates = vec![rate("0.92", "2099-01-01T00:00:00Z")];
    wanted.accounts[acme].profiles[1].profile = "retail".to_owned();
    wanted.networks[0].blocks.pop();
    let changed = db.store.import(&wanted, second(99), "test").await.unwrap();
    assert_eq!((changed.exchange_rates.added, changed.networks.changed, changed.accounts.changed), (1, 1, 1));
    wanted.accounts[acme].profiles[1].profile = "night".to_owned();
    let refused = db.store.import(&wanted, second(100), "test").await.unwrap_err();
    assert!(refused.to_string().contains("acme"), "{refused}");
    wanted.accounts[acme].profiles[0].network = Some("nowhere".to_owned());
    let refused = db.store.import(&wanted, second(99), "test").await.unwrap_err();
    assert!(matches!(refused, StoreError::UnknownReference { .. }), "{refused}");
    wanted.networks[0].blocks.push("192.0.2.0/64".to_owned());
    let refused = db.store.import(&wanted, second(99), "test").await.unwrap_err();
    assert!(refused.to_string().contains("192.0.2.0/64"), "{refused}");
}

pub(crate) async fn ported_numbers_are_added_once_and_ended_not_deleted(db: Database) {
    db.store.import(&world(), second(0), "test").await.unwrap();
    let number = |number: &str, carrier: &str| PortedNumber {
        number: number.to_owned(),
        carrier: carrier.to_owned(),
        number_type: "mobile".to_owned(),
        from: None,
        to: None,
    };
    let first = [number("43660", "7"), number("43660555", "8")];
    let report = db.store.import_ported(&first, false, second(1), "test").await.unwrap();
    assert_eq!((report.added, report.unchanged, report.closed, report.revision), (2, 0, 0, 2));
    let again = db.store.import_ported(&first[1..], false, second(2), "test").await.unwrap();
    assert_eq!((again.added, again.unchanged, again.closed, again.revision), (0, 1, 0, 2));
    let whole = [number("43660555", "8"), number("49171", "9")];
    let report = db.store.import_ported(&whole, true, second(3), "test").await.unwrap();
    assert_eq!((report.added, report.unchanged, report.closed, report.revision), (1, 1, 1, 3));
    let there = db.store.directory().await.unwrap().ported_numbers;
    assert_eq!(there[0], PortedNumber { to: Some(second(3)), ..number("43660", "7") });
    assert_eq!(there[1..], whole);
}

pub(crate) async fn change_by_another_process_is_told_when_it_is_committed(db: Database) {
    const NEVER: Duration = Duration::from_secs(60);
    let Some(mut told) = db.store.announcements().await.unwrap() else {
        assert!(db.url.starts_with("sqlite"), "{}", db.url);
        return;
    };
    let other = Store::open(&db.url).await.unwrap();
    let revision = db.store.revision().await.unwrap();
    // What is refused changes nothing, and nobody hears of it.
    let mut wrong = world();
    wrong.subscribers[0].account = "nobody".to_owned();
    other.import(&wrong, second(0), "test").await.unwrap_err();
    assert!(tokio::time::timeout(Duration::from_millis(300), told.next()).await.is_err());
    other.import(&world(), second(0), "test").await.unwrap();
    tokio::time::timeout(NEVER, told.next()).await.expect("nobody was told").unwrap();
    assert_eq!(db.store.revision().await.unwrap(), revision + 1, "it was told before it can be seen");
    // Nor of an import that finds all as it is.
    other.import(&world(), second(1), "test").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), told.next()).await.is_err());
    other.kill_calls(model::AccountId(1), "stolen phone", "eve", second(2)).await.unwrap();
    tokio::time::timeout(NEVER, told.next()).await.expect("nobody was told").unwrap();
}
