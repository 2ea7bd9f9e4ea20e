//! Objects changed one by one at the desk, and what files and sent-again writes make of that.

use model::{AccountId, AccountStatus, Retry, Suspended, Topic};
use serde_json::{Value, json};
use store::{
    DeskRules, Edit, EditFault, Edited, FaultKind, KeptAnswer, KeyState, NewContract, ObjectKind,
    StoreEffect, World,
};

use crate::database::Database;
use crate::sample::{second, step, subscriber, tariff, world};

/// No rules of the house.
const RULES: DeskRules = DeskRules { complete: |_, _| Ok(()), check: |_, _, _| Ok(()) };

impl Database {
    async fn edit(&self, kind: ObjectKind, edits: &[Edit], now: i64) -> Result<Edited, Vec<EditFault>> {
        self.store.edit(kind, edits, &RULES, false, second(now), "desk").await.unwrap()
    }

    async fn patch(
        &self,
        kind: ObjectKind,
        name: &str,
        patch: Value,
        now: i64,
    ) -> Result<Edited, Vec<EditFault>> {
        let name = name.to_owned();
        self.edit(kind, &[Edit::Change { name, patch, if_match: None }], now).await
    }

    async fn delete(&self, kind: ObjectKind, name: &str, now: i64) -> Result<Edited, Vec<EditFault>> {
        self.edit(kind, &[Edit::Delete { name: name.to_owned(), if_match: None }], now).await
    }
}

fn faults(outcome: Result<Edited, Vec<EditFault>>) -> (FaultKind, String) {
    let fault = outcome.unwrap_err().remove(0);
    (fault.kind, format!("{}: {}", fault.field, fault.rule))
}

pub(crate) async fn object_is_made_changed_and_deleted_by_edits(db: Database) {
    db.store.import(&world(), second(0), "test").await.unwrap();
    let network = json!({"name": "office", "blocks": ["192.0.2.0/24"]});
    let made = db.edit(ObjectKind::Network, &[Edit::Create(network.clone())], 1).await.unwrap();
    assert_eq!((made.objects[0].key.as_str(), made.revision), ("vox:office", 2));
    let (kind, _) = faults(db.edit(ObjectKind::Network, &[Edit::Create(network)], 2).await);
    assert_eq!(kind, FaultKind::Conflict);
    let blocks = json!({"blocks": ["192.0.2.0/25"]});
    db.patch(ObjectKind::Network, "office", blocks, 3).await.unwrap();
    let (kind, _) = faults(db.patch(ObjectKind::Network, "garden", json!({}), 3).await);
    assert_eq!(kind, FaultKind::NotFound);
    let stale = Edit::Delete { name: "office".to_owned(), if_match: Some("\"old\"".to_owned()) };
    let (kind, _) = faults(db.edit(ObjectKind::Network, &[stale], 4).await);
    assert_eq!(kind, FaultKind::Stale);
    db.delete(ObjectKind::Network, "office", 5).await.unwrap();
    assert!(db.store.directory().await.unwrap().networks.is_empty());
    let history = db.store.object_history(ObjectKind::Network, "vox:office", 10).await.unwrap();
    let told: Vec<&str> = history.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(told, ["delete", "change", "create"]);
    assert_eq!(db.store.audit_verify().await.unwrap(), None);
}

pub(crate) async fn schedule_that_priced_calls_is_kept(db: Database) {
    let mut start = world();
    start.tariffs.push(tariff("gold", "2026-01-01T00:00:00Z", Vec::new()));
    db.store.import(&start, second(0), "test").await.unwrap();
    let account = "vox:acme";
    let (_, told) = faults(db.patch(ObjectKind::Account, account, json!({"profiles": []}), 10).await);
    assert!(told.starts_with("profiles: an entry of the schedule stays"), "{told}");
    // Into the past goes nothing where something was in force.
    let past = json!({"profile": "gold", "valid_from": second(1)});
    let (_, told) = faults(db.patch(ObjectKind::Account, account, past, 10).await);
    assert!(told.contains("has priced calls"), "{told}");
    let entries = json!({"profiles": [{"profile": "retail"}, {"profile": "gold", "from": second(1)}]});
    let (_, told) = faults(db.patch(ObjectKind::Account, account, entries, 10).await);
    assert!(told.contains("has priced calls"), "{told}");
    let entries = json!({"profiles": [{"profile": "retail"}, {"profile": "gold", "from": second(60)}]});
    db.patch(ObjectKind::Account, account, entries, 10).await.unwrap();
    let directory = db.store.directory().await.unwrap();
    let acme = directory.accounts.iter().find(|it| it.handle == "acme").unwrap();
    assert_eq!(acme.profiles.len(), 2);
    assert_ne!(acme.profile_at(second(59)), acme.profile_at(second(60)));
}

pub(crate) async fn account_whose_calls_wait_is_not_deleted(db: Database) {
    let mut start = world();
    start.subscribers.clear();
    start.trunks.clear();
    start.routes.clear();
    db.store.import(&start, second(0), "test").await.unwrap();
    let directory = db.store.directory().await.unwrap();
    let id = directory.accounts.iter().find(|it| it.handle == "globex").unwrap().id;
    let (_, told) = faults(db.delete(ObjectKind::Account, "globex", 1).await);
    assert!(told.contains("terminated"), "{told}");
    db.patch(ObjectKind::Account, "globex", json!({"status": AccountStatus::Terminated}), 2).await.unwrap();
    let suspended = Suspended {
        code: "RAT001".to_owned(),
        message: "no rate".to_owned(),
        retry: Retry::AfterTariffChange,
        account: AccountId(id.0),
        cdr: None,
    };
    let aside = StoreEffect::Suspend {
        suspended,
        topic: Topic::Cdrs,
        partition: 0,
        offset: 1,
        raw: vec![1],
        at: second(2),
    };
    db.store.commit("rating", vec![step(0, 0, 1, vec![aside])]).await.unwrap();
    let (kind, told) = faults(db.delete(ObjectKind::Account, "globex", 3).await);
    assert!(kind == FaultKind::Conflict && told.contains("suspense"), "{told}");
    let waiting = db.store.suspense_list(0, 10).await.unwrap();
    db.store.suspense_resolve(waiting[0].id, second(4)).await.unwrap();
    db.delete(ObjectKind::Account, "globex", 5).await.unwrap();
}

pub(crate) async fn currency_of_an_account_with_a_balance_stays(db: Database) {
    db.store.import(&world(), second(0), "test").await.unwrap();
    db.patch(ObjectKind::Account, "globex", json!({"currency": "USD"}), 1).await.unwrap();
    let with_balance = World {
        contracts: vec![NewContract {
            tenant: String::new(),
            account: "acme".to_owned(),
            package: String::new(),
            credit_limit: None,
            low_balance: None,
        }],
        ..World::default()
    };
    db.store.import(&with_balance, second(2), "test").await.unwrap();
    let (_, told) = faults(db.patch(ObjectKind::Account, "acme", json!({"currency": "USD"}), 3).await);
    assert!(told.contains("it has a balance in its currency"), "{told}");
}

pub(crate) async fn file_does_not_undo_what_was_done_at_the_desk(db: Database) {
    let mut file = world();
    file.subscribers.clear();
    file.networks.clear();
    db.store.import(&file, second(0), "test").await.unwrap();
    let import = async |file: &World, now, overwrite| {
        db.store.import_beside_desk(file, second(now), "line", overwrite).await.unwrap()
    };
    db.patch(ObjectKind::Trunk, "globex-1", json!({"calls_max": 5}), 1).await.unwrap();
    let others = import(&file, 2, false).await.unwrap_err();
    assert_eq!((others.len(), others[0].object.as_str()), (1, "trunk:globex-1"));
    // With the change written into the file both agree, and from then on the file has the word.
    file.trunks[0].calls_max = Some(5);
    assert!(!import(&file, 3, false).await.unwrap().is_changed);
    file.trunks[0].calls_max = Some(6);
    assert!(import(&file, 4, false).await.unwrap().is_changed);
    // A prefix is no amount.
    db.patch(ObjectKind::Trunk, "globex-1", json!({"tech_prefix": "00"}), 5).await.unwrap();
    file.trunks[0].tech_prefix = "0".to_owned();
    assert_eq!(import(&file, 6, false).await.unwrap_err().len(), 1);
    assert!(import(&file, 7, true).await.unwrap().is_changed);
    // What was deleted stays so.
    db.delete(ObjectKind::Route, "globex-1:49", 8).await.unwrap();
    let others = import(&file, 9, false).await.unwrap_err();
    assert_eq!((others[0].object.as_str(), others[0].before.as_str()), ("route:globex-1:49", ""));
    assert_eq!(import(&file, 10, true).await.unwrap().routes.added, 1);
    assert!(!import(&file, 11, false).await.unwrap().is_changed);
    assert_eq!(db.store.audit_verify().await.unwrap(), None);
}

pub(crate) async fn secret_that_changed_is_told_beside_other_fields(db: Database) {
    db.store.import(&world(), second(0), "test").await.unwrap();
    let patch = json!({"calls_max": 3, "ha1_md5": "a".repeat(32)});
    db.patch(ObjectKind::Subscriber, "alice@vox.example", patch, 1).await.unwrap();
    db.patch(ObjectKind::Subscriber, "alice@vox.example", json!({"calls_max": 4}), 2).await.unwrap();
    let history = db.store.object_history(ObjectKind::Subscriber, "alice@vox.example", 2).await.unwrap();
    assert!(history[1].after.contains("\"secret\":\"(changed)\""), "{}", history[1].after);
    assert!(history[0].after.contains("\"secret\":\"(kept)\""), "{}", history[0].after);
}

pub(crate) async fn many_new_rows_are_taken_at_once(db: Database) {
    db.store.import(&world(), second(0), "test").await.unwrap();
    let rows: Vec<Edit> = (0..500)
        .map(|n| Edit::Upload(serde_json::to_value(subscriber(&format!("s{n}"), "acme", &[])).unwrap()))
        .collect();
    let made = db.edit(ObjectKind::Subscriber, &rows, 1).await.unwrap();
    assert!(made.objects.len() == 500 && made.objects.iter().all(|it| it.before.is_none()));
    let again = db.edit(ObjectKind::Subscriber, &rows, 2).await.unwrap();
    assert!(again.objects.iter().all(|it| !it.is_changed) && again.revision == made.revision);
}

pub(crate) async fn write_with_a_key_is_kept_settled_or_given_free(db: Database) {
    let store = &db.store;
    let begin = async |actor: &str, print: &str, now| {
        store.idempotency_begin(actor, "k", print, second(now)).await.unwrap()
    };
    assert_eq!(begin("a", "x", 0).await, KeyState::New);
    assert_eq!(begin("a", "x", 1).await, KeyState::Open);
    assert_eq!(begin("a", "y", 1).await, KeyState::OtherRequest);
    assert_eq!(begin("b", "y", 1).await, KeyState::New);
    let answer = KeptAnswer {
        status: 201,
        headers: vec![("etag".to_owned(), "\"1\"".to_owned())],
        body: vec![0, 255],
    };
    store.idempotency_settle("a", "k", Some(&answer)).await.unwrap();
    assert_eq!(begin("a", "x", 2).await, KeyState::Done(answer));
    store.idempotency_settle("b", "k", None).await.unwrap();
    assert_eq!(begin("b", "z", 3).await, KeyState::New);
    assert_eq!(begin("a", "y", 24 * 3600 + 1).await, KeyState::New, "a day is over");
}
