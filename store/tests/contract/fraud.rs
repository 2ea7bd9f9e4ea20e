//! Webhooks, saved rules, exceptions, orders to end calls, and what alerts saved.

use crate::cases::OPEN;
use model::{AccountId, Alert, FraudException, FraudRule, Lock, LockLevel, Stopped, StoppedBy};
use store::{DeliveryState, StoreEffect, StoreError, WordKind};

use crate::database::Database;
use crate::sample::{alert, eur, lock, second, step};

const ACTOR: &str = "maria";

fn told(alerts: &[Alert]) -> Vec<StoreEffect> {
    alerts.iter().map(|alert| StoreEffect::Alert(Box::new(alert.clone()))).collect()
}

pub(crate) async fn alert_is_queued_for_every_webhook_once_for_each_word(db: Database) {
    let store = &db.store;
    let desk = store
        .webhook_add("desk", "https://desk.example/x", ("whsec_a", &[WordKind::Alert]), ACTOR, second(0))
        .await
        .unwrap();
    let lab = store
        .webhook_add("lab", "https://lab.example/x", ("whsec_b", &[WordKind::Alert]), ACTOR, second(0))
        .await
        .unwrap();
    let taken = store
        .webhook_add("desk", "https://other.example", ("whsec_c", &[WordKind::Alert]), ACTOR, second(0))
        .await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    let first = alert(7, &[]);
    let update = Alert { update: 1, at: second(20), ..first.clone() };
    let effects = told(&[first.clone(), update.clone(), first.clone(), update]);
    store.commit("watch", vec![step(0, 0, 1, effects)]).await.unwrap();

    let claimed = store.webhook_claim(desk, second(30), 10).await.unwrap();
    let ids: Vec<String> = claimed.iter().map(|one| one.message_id.clone()).collect();
    assert_eq!(ids, [format!("alert_{}_0", first.id), format!("alert_{}_1", first.id)]);
    let body: serde_json::Value = serde_json::from_str(&claimed[1].body).unwrap();
    assert_eq!(body["type"], "fraud.alert.updated");
    assert_eq!(body["data"]["alert"], first.id.to_string());
    assert!(!claimed[1].body.contains("whsec_"));
    // Whoever claimed them has them for a while; the other endpoint has its own.
    assert!(store.webhook_claim(desk, second(40), 10).await.unwrap().is_empty());
    assert_eq!(store.webhook_claim(lab, second(40), 1).await.unwrap().len(), 1);
    assert_eq!(
        store.webhook_claim(desk, second(30 + 121), 10).await.unwrap()[0].attempts,
        2,
        "the claimer died"
    );

    store.webhook_sent(claimed[0].id, second(200)).await.unwrap();
    store.webhook_failed(claimed[1].id, "NTF106 503", Some(second(300)), second(200)).await.unwrap();
    assert!(store.webhook_claim(desk, second(299), 10).await.unwrap().is_empty());
    assert_eq!(store.webhook_claim(desk, second(300), 10).await.unwrap().len(), 1);
    store.webhook_failed(claimed[1].id, "NTF106 503", Some(second(310)), second(300)).await.unwrap();
    // Three days later nobody wants to know.
    let late = second(4 * 86_400);
    assert!(store.webhook_claim(desk, late, 10).await.unwrap().is_empty());
    let states: Vec<DeliveryState> =
        store.webhook_deliveries(Some(desk), 10).await.unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [DeliveryState::GivenUp, DeliveryState::Sent]);
    store.webhook_resend(claimed[1].id, ACTOR, late).await.unwrap();
    assert_eq!(store.webhook_claim(desk, late, 10).await.unwrap()[0].message_id, ids[1]);

    store.webhook_switch(lab, true, ACTOR, late).await.unwrap();
    store.webhook_switch(lab, true, ACTOR, late).await.unwrap();
    let to_lab = store.webhook_deliveries(Some(lab), 10).await.unwrap();
    let refused = store.webhook_resend(to_lab[0].id, ACTOR, late).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    store.commit("watch", vec![step(0, 1, 2, told(&[alert(8, &[])]))]).await.unwrap();
    assert_eq!(
        store.webhook_deliveries(Some(lab), 10).await.unwrap().len(),
        2,
        "it is gone, and told no more"
    );
    // Thirty days later what was sent is forgotten, and what waits for whoever is off; what waits for others is not.
    assert_eq!(store.webhook_forget(late).await.unwrap(), 0);
    assert_eq!(store.webhook_forget(second(31 * 86_400)).await.unwrap(), 3);
    assert!(store.webhook_deliveries(Some(lab), 10).await.unwrap().is_empty());
    assert_eq!(store.webhook_deliveries(Some(desk), 10).await.unwrap().len(), 2);
    store.webhook_remove("lab", ACTOR, late).await.unwrap();
    let trail = store.audit_list(10).await.unwrap();
    let trail: Vec<_> = trail.iter().map(|one| (&*one.action, &*one.before, &*one.after)).collect();
    assert_eq!(
        trail[..3],
        [
            ("remove_webhook", "https://lab.example/…", ""),
            ("switch_webhook", "on", "off"),
            ("resend_webhook", "given up", &*format!("{} queued", ids[1])),
        ]
    );
    store.webhook_remove("desk", ACTOR, late).await.unwrap();
    assert!(store.webhook_deliveries(Some(desk), 10).await.unwrap().is_empty());
    assert!(matches!(store.webhook_remove("lab", ACTOR, late).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn calls_that_were_stopped_add_up_in_their_alert(db: Database) {
    let store = &db.store;
    let known = alert(7, &[]);
    let stopped =
        |amount| StoreEffect::Stopped(Stopped { by: StoppedBy::Alert(known.id), saved: eur(amount) });
    let mut effects = told(std::slice::from_ref(&known));
    effects.extend([stopped("3.50"), stopped("0.25")]);
    store.commit("watch", vec![step(0, 0, 1, effects)]).await.unwrap();
    // An update of the alert leaves what it saved alone.
    let update = Alert { update: 1, at: second(20), ..known.clone() };
    store.commit("watch", vec![step(0, 1, 2, told(&[update]))]).await.unwrap();
    let cases = store.alert_cases(OPEN, 10).await.unwrap();
    assert_eq!((cases[0].n_stopped, cases[0].saved), (2, eur("3.75")));
    assert_eq!(store.alert_cases_of(AccountId(7), 10).await.unwrap(), cases);
}

pub(crate) async fn calls_that_a_lock_stopped_count_for_the_alert_of_the_lock_of_then(db: Database) {
    let store = &db.store;
    let known = alert(7, &[]);
    store.commit("watch", vec![step(0, 0, 1, told(std::slice::from_ref(&known)))]).await.unwrap();
    // Another stage sets the lock, and lifts it; then a person locks.
    let set = Lock { alert: Some(known.id), since: second(10), ..lock(7, LockLevel::Outgoing) };
    let lifted = Lock { level: LockLevel::None, since: second(30), ..set.clone() };
    let by_hand = Lock { alert: None, since: second(40), ..set.clone() };
    let locks = [set, lifted, by_hand].map(StoreEffect::Lock).to_vec();
    store.commit("fraud", vec![step(0, 0, 1, locks)]).await.unwrap();
    let stopped = |account, at| {
        let by = StoppedBy::LockOf { account: AccountId(account), at: second(at) };
        StoreEffect::Stopped(Stopped { by, saved: eur("1.50") })
    };
    let effects = vec![stopped(7, 9), stopped(7, 10), stopped(8, 20), stopped(7, 29), stopped(7, 40)];
    store.commit("watch", vec![step(0, 1, 2, effects.clone())]).await.unwrap();
    let cases = store.alert_cases(OPEN, 10).await.unwrap();
    assert_eq!((cases[0].n_stopped, cases[0].saved), (2, eur("3.00")), "at 10 s and at 29 s");
    // Read again from the place before, the batch is not added again.
    assert!(store.commit("watch", vec![step(0, 1, 2, effects)]).await.is_err());
    assert_eq!(store.alert_cases(OPEN, 10).await.unwrap(), cases);
}

pub(crate) async fn newest_version_of_a_saved_rule_is_in_the_directory(db: Database) {
    let store = &db.store;
    let rule = |version, text: &str, is_on| FraudRule {
        name: "night".to_owned(),
        version,
        text: text.to_owned(),
        is_on,
        author: ACTOR.to_owned(),
        reason: "why".to_owned(),
        at: second(i64::from(version)),
    };
    let before = store.directory().await.unwrap().revision;
    store.fraud_rule_save(&rule(1, "one", true)).await.unwrap();
    store.fraud_rule_save(&rule(3, "three", false)).await.unwrap();
    let again = store.fraud_rule_save(&rule(3, "another three", true)).await;
    assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
    let directory = store.directory().await.unwrap();
    assert_eq!(directory.fraud_rules, [rule(3, "three", false)]);
    assert!(directory.revision >= before + 2);
    assert_eq!(store.fraud_rule_versions(Some("night")).await.unwrap().len(), 2);
    assert!(store.fraud_rule_versions(Some("day")).await.unwrap().is_empty());
}

pub(crate) async fn exceptions_and_orders_to_end_calls_are_in_the_directory(db: Database) {
    let store = &db.store;
    let exception = |reason: &str| FraudException {
        account: AccountId(7),
        rule: "night".to_owned(),
        author: ACTOR.to_owned(),
        reason: reason.to_owned(),
        since: second(1),
        until: Some(second(100)),
    };
    store.fraud_except(&exception("first")).await.unwrap();
    store.fraud_except(&exception("second")).await.unwrap();
    store.kill_calls(AccountId(7), "stolen", ACTOR, second(2)).await.unwrap();
    store.kill_calls(AccountId(8), "stolen", ACTOR, second(3)).await.unwrap();
    let directory = store.directory().await.unwrap();
    assert_eq!(directory.fraud_exceptions, [exception("second")]);
    let orders = &directory.kill_orders;
    let whose: Vec<i64> = orders.iter().map(|order| order.account.0).collect();
    assert!(whose == [7, 8] && orders[0].id < orders[1].id, "{orders:?}");
    store.fraud_except_no_more(AccountId(7), "night", ACTOR, "over", second(4)).await.unwrap();
    let again = store.fraud_except_no_more(AccountId(7), "night", ACTOR, "over", second(4)).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert!(store.directory().await.unwrap().fraud_exceptions.is_empty());
}
