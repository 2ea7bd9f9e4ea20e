//! Alerts as cases, and the limits of profiles.

use expect_test::expect;
use model::{Alert, AlertSeverity, Finding, LockLevel, Measured, Verdict};
use store::{CaseFilter, StoreEffect, StoreError};

use crate::database::Database;
use crate::sample::{alert, eur, second, step, world};

fn finding() -> Finding {
    Finding {
        version: 3,
        title: "Many calls at once to dear numbers never called before".to_owned(),
        subject: "account 7".to_owned(),
        measures: vec![Measured {
            measure: "cost_rate".to_owned(),
            value: "6.00 EUR/min".to_owned(),
            limit: "3.00 EUR/min".to_owned(),
        }],
        n_calls: 6,
        at_risk: eur("360"),
        sparkline: vec![0, 1, 5],
        barred: vec!["calls to 3712345...".to_owned()],
        tag: None,
        sparkline_step_seconds: 600,
    }
}

pub(crate) const OPEN: CaseFilter<'static> = CaseFilter { only_open: true, handed_to: None };

pub(crate) async fn later_word_of_an_incident_updates_its_alert_and_an_earlier_one_does_not(db: Database) {
    let store = &db.store;
    let told = ["desk@vox.example"];
    let warned = Alert {
        severity: AlertSeverity::Warning,
        lock: LockLevel::None,
        value: eur("40"),
        ..alert(7, &told)
    };
    let crossed = Alert { update: 1, at: second(20), finding: Some(finding()), ..alert(7, &told) };
    let effects =
        [&warned, &crossed, &warned, &crossed].map(|alert| StoreEffect::Alert(Box::new(alert.clone())));
    store.commit("fraud", vec![step(0, 0, 1, effects.into())]).await.unwrap();
    let cases = store.alert_cases(OPEN, 10).await.unwrap();
    assert_eq!(cases.len(), 1, "{cases:?}");
    assert_eq!((&cases[0].alert, cases[0].begun_at), (&crossed, warned.at));
    let mails = store.mail_list().await.unwrap();
    assert_eq!(mails.len(), 2, "one mail for each word, none for a word said again");
    expect![[r#"
        7: 40.00 EUR spent on 2026-10-05, limit 50.00 EUR - nothing was locked yet

        Update 1: 7: Many calls at once to dear numbers never called before - outgoing calls are locked
        7: Many calls at once to dear numbers never called before

        Rule:     daily_spend, version 3
        Seen at:  account 7
        Measured: cost_rate 6.00 EUR/min (fires at 3.00 EUR/min)
        Calls:    6 in the window
        Spent:    51.25 EUR in the window, estimated
        Barred:   calls to 3712345...
        At risk:  360.00 EUR in the next hour
        Lock:     outgoing calls are locked
        Reached:  2026-10-05 08:00:20 UTC
        Lock ends by itself: 2026-10-06 00:00:00 UTC

        The dearest calls, and how each was priced:
          tollbook explain ad9ae1f30afdf89627cb1e4c6ba89173
          tollbook explain 22d28bc813382c5ce71598a6eca19e74

        To unlock the account:
          tollbook fraud unlock 7 --reason "..."

        What was it? The answer makes the rules better:
          tollbook fraud verdict 1e865cf63a48 fraud|clean|unsure --note "..."

        Alert 1e865cf63a483b6a8956bbee4606b5d5
    "#]]
    .assert_eq(&format!("{}\n\n{}\n{}", mails[0].mail.subject, mails[1].mail.subject, mails[1].mail.text));
}

pub(crate) async fn alert_is_taken_on_noted_and_judged(db: Database) {
    let store = &db.store;
    let other = Alert { id: model::AlertId::from_bytes([9; 16]), ..alert(8, &[]) };
    let both = [alert(7, &[]), other.clone()].map(|alert| StoreEffect::Alert(Box::new(alert)));
    store.commit("fraud", vec![step(0, 0, 1, both.into())]).await.unwrap();
    let id = alert(7, &[]).id;
    store.alert_acknowledge(id, "ann", second(11)).await.unwrap();
    store.alert_acknowledge(id, "bob", second(12)).await.unwrap();
    store.alert_note(id, "called the customer", "ann", second(13)).await.unwrap();
    store.alert_judge(id, Verdict::Unsure, None, "ann", second(14)).await.unwrap();
    store.alert_judge(id, Verdict::Fraud, Some("PBX was open"), "bob", second(15)).await.unwrap();
    store.alert_judge(other.id, Verdict::Clean, None, "bob", second(16)).await.unwrap();

    assert_eq!(store.alert_cases(OPEN, 10).await.unwrap(), []);
    let case = store.alert_cases_named(&id.to_string()[..8]).await.unwrap().pop().unwrap();
    assert_eq!(case.acknowledged, Some(("ann".to_owned(), second(11))));
    assert_eq!(case.verdict, Some((Verdict::Fraud, "bob".to_owned(), second(15))));
    let notes: Vec<_> = case.notes.iter().map(|note| (note.author.as_str(), note.note.as_str())).collect();
    assert_eq!(notes, [("ann", "called the customer"), ("bob", "PBX was open")]);
    let record = store.alert_record().await.unwrap();
    assert_eq!((record.len(), record[0].n_alerts, record[0].n_fraud, record[0].n_clean), (1, 2, 1, 1));
    assert_eq!(record[0].precision_percent(), Some(50));
    assert_eq!(store.audit_list(10).await.unwrap().len(), 6);
}

pub(crate) async fn limits_of_a_profile_come_back_and_change(db: Database) {
    let store = &db.store;
    let mut wanted = world();
    let first = store.import(&wanted, second(0), "test").await.unwrap();
    assert_eq!(first.profile_limits.added, 1);
    let limits = store.directory().await.unwrap().profile_limits;
    assert_eq!(limits.len(), 1);
    assert_eq!(limits[0].fraud.interval, wanted.profile_limits[0].interval);
    assert_eq!(store.import(&wanted, second(1), "test").await.unwrap().profile_limits.unchanged, 1);
    wanted.profile_limits[0].interval = None;
    assert_eq!(store.import(&wanted, second(2), "test").await.unwrap().profile_limits.changed, 1);
    assert_eq!(store.directory().await.unwrap().profile_limits, []);
    wanted.profile_limits[0].profile = "nobody".to_owned();
    let refused = store.import(&wanted, second(3), "test").await.unwrap_err().to_string();
    assert!(refused.contains("nobody"), "{refused}");
}

pub(crate) async fn case_is_handed_to_a_person_who_is_written_to(db: Database) {
    let store = &db.store;
    store.user_create("ann", "x", "fraud", second(1)).await.unwrap();
    store.user_create("bob", "x", "fraud", second(1)).await.unwrap();
    store.user_set_mail("ann", Some("ann@vox.example")).await.unwrap();
    let gone = store.user_set_mail("nobody", None).await.unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
    let both = [alert(7, &[]), alert(8, &[])].map(|alert| StoreEffect::Alert(Box::new(alert)));
    store.commit("fraud", vec![step(0, 0, 1, both.into())]).await.unwrap();
    let id = alert(7, &[]).id;
    store.alert_hand_over(id, "ann", Some("you know the customer"), "chief", second(11)).await.unwrap();

    let mine = CaseFilter { only_open: true, handed_to: Some("ann") };
    let cases = store.alert_cases(mine, 10).await.unwrap();
    assert_eq!(cases.iter().map(|case| case.alert.id).collect::<Vec<_>>(), [id]);
    let handed = cases[0].handed.clone().unwrap();
    assert_eq!((handed.to.as_str(), handed.by.as_str(), handed.at), ("ann", "chief", second(11)));
    assert_eq!(cases[0].notes[0].note, "you know the customer");
    let mails = store.mail_list().await.unwrap();
    assert_eq!((mails.len(), mails[0].mail.to.as_slice()), (1, &["ann@vox.example".to_owned()][..]));
    assert!(mails[0].mail.subject.starts_with("Your case: "), "{}", mails[0].mail.subject);
    assert!(mails[0].mail.text.starts_with("chief has handed this case to you.\nNote:     you know"));

    // Handed on: to one without an address, who has it now.
    store.alert_hand_over(id, "bob", None, "ann", second(12)).await.unwrap();
    assert_eq!(store.alert_cases(mine, 10).await.unwrap(), []);
    assert_eq!(store.mail_list().await.unwrap().len(), 1);
    let trail = store.audit_list(10).await.unwrap();
    let moves: Vec<_> = trail
        .iter()
        .filter(|entry| entry.action == "hand_over")
        .map(|entry| (entry.actor.as_str(), entry.before.as_str(), entry.after.as_str()))
        .collect();
    assert!(moves.contains(&("chief", "", "ann")) && moves.contains(&("ann", "ann", "bob")), "{moves:?}");
    let nobody = store.alert_hand_over(id, "eve", None, "ann", second(13)).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NotFound { what: "user", .. }), "{nobody}");
    let long = format!("{id}0");
    assert_eq!(store.alert_cases_named(&long).await.unwrap(), [], "longer than any id");
}
