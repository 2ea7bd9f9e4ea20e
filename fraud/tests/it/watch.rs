//! The watch from outside: simulated events in, alerts and locks out, with and without a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use fraud::rule::{RuleFile, presets};
use fraud::simulate::{Score, Simulation, Size, Strength};
use fraud::watch::{HotList, HotListBuilder, Watch, WatchRules, WatchSnapshot};
use model::{
    Body, CallEvent, Control, Effect, Effects, EventBody, LockLevel, Stage, StageInput, StateChange,
    StoppedBy, Topic, partition_of,
};
use proptest::prelude::*;

const SMALL: Size = Size { customers: 60, days: 18, quiet_days: 15, attacks_each: 1 };

fn simulation() -> &'static Simulation {
    static SIMULATION: OnceLock<Simulation> = OnceLock::new();
    SIMULATION.get_or_init(|| Simulation::new(5, SMALL))
}

/// The events of the lane with the most attacks, and some ticks.
fn events() -> &'static Vec<Body> {
    static EVENTS: OnceLock<Vec<Body>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let all: Arc<Mutex<Vec<CallEvent>>> = Arc::default();
        let taken = Arc::clone(&all);
        simulation().events(Box::new(move |event| taken.lock().unwrap().push(event.clone())));
        let all = std::mem::take(&mut *all.lock().unwrap());
        let mut n_of: BTreeMap<u32, usize> = BTreeMap::new();
        for attack in simulation().attacks() {
            *n_of.entry(partition_of(attack.account, 16)).or_default() += 1;
        }
        let (busiest, _) = n_of.into_iter().max_by_key(|(_, n)| *n).unwrap();
        let mut bodies = Vec::new();
        for (n, event) in all.into_iter().filter(|event| partition_of(event.payer, 16) == busiest).enumerate()
        {
            if n % 50 == 0 {
                bodies.push(Body::Tick(event.at));
            }
            bodies.push(Body::Call(Box::new(event)));
        }
        bodies
    })
}

fn watch(rules: &Arc<WatchRules>) -> Watch {
    static SNAPSHOT: OnceLock<Arc<WatchSnapshot>> = OnceLock::new();
    let snapshot =
        SNAPSHOT.get_or_init(|| Arc::new(WatchSnapshot::build(Arc::new(simulation().directory()))));
    let mut watch = Watch::new(Arc::clone(rules));
    watch.set_snapshot(Arc::clone(snapshot));
    watch
}

fn delivered() -> Arc<WatchRules> {
    Arc::new(WatchRules::new(presets(), HotList::default(), HotList::default(), Vec::new()))
}

fn feed(watch: &mut Watch, bodies: &[Body]) -> Vec<Effect> {
    let mut effects = Effects::default();
    for body in bodies {
        watch.apply(StageInput { partition: 0, offset: 0, body: body.clone() }, &mut effects);
    }
    effects.0
}

#[derive(Default)]
struct Saved(BTreeMap<String, Vec<u8>>);

impl Saved {
    fn commit(&mut self, changes: Vec<StateChange>) {
        for StateChange { key, value } in changes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    fn load(&self, rules: &Arc<WatchRules>) -> Watch {
        let mut watch = watch(rules);
        watch.restore(self.0.clone().into_iter().collect()).unwrap();
        watch
    }
}

/// What it decides without a stop; worked out once.
fn whole() -> &'static Vec<Effect> {
    static WHOLE: OnceLock<Vec<Effect>> = OnceLock::new();
    WHOLE.get_or_init(|| feed(&mut watch(&delivered()), events()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// A batch is applied, the process dies before the commit, and the batch comes again; and that at any places.
    #[test]
    fn decisions_after_restarts_are_those_without(cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let all = events();
        let rules = delivered();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len())).collect();
        cuts.sort_unstable();
        cuts.push(all.len());
        let mut saved = Saved::default();
        let (mut from, mut pieces) = (0, Vec::new());
        for to in cuts {
            // A few records are enough to die on.
            let lost = feed(&mut saved.load(&rules), &all[from..to.min(from + 40)]);
            let mut watch = saved.load(&rules);
            let kept = feed(&mut watch, &all[from..to]);
            prop_assert!(kept.starts_with(&lost));
            saved.commit(watch.take_changes());
            pieces.extend(kept);
            from = to;
        }
        prop_assert_eq!(&pieces, whole());
    }
}

#[test]
fn there_is_something_to_decide() {
    let n_alerts = whole().iter().filter(|effect| matches!(effect, Effect::Alert(_))).count();
    let n_locks = whole().iter().filter(|effect| matches!(effect, Effect::Lock(_))).count();
    assert!(n_alerts > 0 && n_locks > 0, "{n_alerts} alerts, {n_locks} locks");
}

#[test]
fn strong_attacks_are_found_and_nobody_else_is_locked() {
    let score =
        Score::of(&presets(), &[21], Size { customers: 100, days: 20, quiet_days: 15, attacks_each: 1 });
    assert!(score.recall_percent(Strength::Strong) >= 80, "{}", score.table());
    assert_eq!(score.false_locks(), 0, "{}", score.table());
}

fn own(rule: &str) -> Vec<fraud::rule::Rule> {
    RuleFile::read(rule).unwrap().rules
}

/// An outgoing call of account 1 to `callee`, up to its INVITE.
fn first_attempts(n: usize) -> Vec<Body> {
    events()
        .iter()
        .filter(|body| match body {
            Body::Call(event) => fraud::simulate::is_customer(event),
            _ => false,
        })
        .take(n)
        .cloned()
        .collect()
}

fn callee(body: &Body) -> String {
    match body {
        Body::Call(event) => match &event.body {
            EventBody::Attempt(attempt) => attempt.callee.unwrap().to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn call_to_a_listed_number_is_ended_at_its_invite_and_every_call_is_but_one_incident() {
    let attempts = first_attempts(1);
    let mut hot = HotListBuilder::default();
    hot.line(&callee(&attempts[0])).unwrap();
    let rules = own(
        "[[rule]]\nname = \"hot\"\nversion = 1\ntitle = \"Hot\"\nkey = \"account\"\nwindow = \"1h\"\n\
         where = { hot_listed = true }\nwhen = [{ measure = \"attempts\", at_least = 1 }]\naction = [\"end_call\"]\n",
    );
    let rules = Arc::new(WatchRules::new(rules, hot.build(), HotList::default(), Vec::new()));
    let mut watch = watch(&rules);
    let mut effects = Vec::new();
    for n in 0..5_u16 {
        let mut again = attempts[0].clone();
        if let Body::Call(event) = &mut again {
            event.call = Some(model::CallUid::new(format!("again-{n}")));
        }
        effects.extend(feed(&mut watch, &[again]));
    }
    let n_ended = effects
        .iter()
        .filter(|effect| match effect {
            Effect::Append { topic, body, .. } => {
                *topic == Topic::Control && matches!(**body, Body::Control(Control::EndCall { .. }))
            }
            _ => false,
        })
        .count();
    let updates: Vec<u32> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Alert(alert) => Some(alert.update),
            _ => None,
        })
        .collect();
    // At 1, 2 and 4 calls: a word when the value has doubled, under one id.
    assert_eq!((n_ended, updates.as_slice()), (5, &[0, 1, 2][..]));
}

#[test]
fn rule_that_only_alerts_locks_nobody() {
    let rules: Vec<_> = presets().into_iter().map(fraud::rule::Rule::only_alerting).collect();
    let rules = Arc::new(WatchRules::new(rules, HotList::default(), HotList::default(), Vec::new()));
    let effects = feed(&mut watch(&rules), events());
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Alert(_))));
    for effect in &effects {
        match effect {
            Effect::Alert(alert) => assert_eq!(alert.lock, LockLevel::None),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn excepted_account_is_left_alone() {
    let locked: Vec<_> = whole()
        .iter()
        .filter_map(|effect| match effect {
            Effect::Lock(lock) if lock.level != LockLevel::None => Some(lock.account),
            _ => None,
        })
        .collect();
    let directory = simulation().directory();
    let handles = |id| directory.accounts.iter().find(|account| account.id == id).unwrap().handle.clone();
    let mut rules = presets();
    for rule in &mut rules {
        rule.except.accounts.extend(locked.iter().map(|id| handles(*id)));
    }
    let rules = Arc::new(WatchRules::new(rules, HotList::default(), HotList::default(), Vec::new()));
    let effects = feed(&mut watch(&rules), events());
    assert!(effects.iter().all(|effect| !matches!(effect, Effect::Lock(_))));
}

/// The first customer's attempt, and its end, as a call of this name.
fn call_named(name: &str) -> (Body, Body) {
    let Body::Call(mut attempt) = first_attempts(1).remove(0) else { panic!("a call") };
    attempt.call = Some(model::CallUid::new(name));
    let mut end = attempt.clone();
    end.body = EventBody::End(model::End {
        answered_us: 0,
        by: model::Initiator::Caller,
        cause: model::Cause::Cancelled,
        code: 487,
        reason: "".into(),
        media: None,
    });
    (Body::Call(attempt), Body::Call(end))
}

/// How often a rule that fires at two calls at once is told, when the first call begins and ends across a change of exceptions.
fn alerts_across_an_exception(is_excepted_first: bool) -> usize {
    let rules =
        own("[[rule]]\nname = \"two\"\nversion = 1\ntitle = \"Two\"\nkey = \"account\"\nwindow = \"1h\"\n\
         when = [{ measure = \"concurrent\", at_least = 2 }]\n");
    let rules = Arc::new(WatchRules::new(rules, HotList::default(), HotList::default(), Vec::new()));
    let (first, first_end) = call_named("first");
    let (second, second_end) = call_named("second");
    let Body::Call(event) = &first else { panic!("a call") };
    let (payer, at) = (event.payer, event.at);
    let snapshot = |is_excepted: bool| {
        let mut directory = simulation().directory();
        directory.fraud_exceptions.extend(is_excepted.then(|| model::FraudException {
            account: payer,
            rule: "two".to_owned(),
            author: String::new(),
            reason: String::new(),
            since: at,
            until: None,
        }));
        Arc::new(WatchSnapshot::build(Arc::new(directory)))
    };
    let mut watch = watch(&rules);
    let mut effects = Vec::new();
    watch.set_snapshot(snapshot(is_excepted_first));
    effects.extend(feed(&mut watch, &[first]));
    // What is known of an open call outlives a restart.
    let mut saved = Saved::default();
    saved.commit(watch.take_changes());
    let mut watch = saved.load(&rules);
    watch.set_snapshot(snapshot(!is_excepted_first));
    if is_excepted_first {
        // Counted, beside one that is not: whose end must not take it away.
        effects.extend(feed(&mut watch, &[second, first_end, call_named("third").0]));
    } else {
        effects.extend(feed(&mut watch, &[first_end]));
        watch.set_snapshot(snapshot(false));
        effects.extend(feed(&mut watch, &[second, second_end, call_named("third").0]));
    }
    effects.iter().filter(|effect| matches!(effect, Effect::Alert(_))).count()
}

#[test]
fn call_that_was_counted_is_taken_back_though_an_exception_began_meanwhile() {
    assert_eq!(alerts_across_an_exception(false), 0);
}

#[test]
fn call_that_was_not_counted_is_not_taken_back_though_its_exception_is_over() {
    assert_eq!(alerts_across_an_exception(true), 1);
}

/// Calls for help of the first customer, each so many seconds behind its first attempt.
fn emergencies(seconds: &[i64]) -> Vec<Body> {
    let call = |(n, seconds): (usize, &i64)| {
        let (mut call, _) = call_named(&format!("emergency-{n}"));
        if let Body::Call(event) = &mut call {
            event.at += chrono::TimeDelta::seconds(*seconds);
            if let EventBody::Attempt(attempt) = &mut event.body {
                let detail = model::AttemptDetail { emergency: true, ..model::AttemptDetail::default() };
                attempt.detail = Some(Box::new(detail));
            }
        }
        call
    };
    seconds.iter().enumerate().map(call).collect()
}

fn emergency_rule() -> Arc<WatchRules> {
    let rules: Vec<_> = presets().into_iter().filter(|rule| rule.name == "emergency-call").collect();
    assert_eq!(rules.len(), 1);
    Arc::new(WatchRules::new(rules, HotList::default(), HotList::default(), Vec::new()))
}

/// The alerts among the effects: whose id, which word of it, and in which words.
fn alerts(effects: &[Effect]) -> Vec<(model::AlertId, u32, String)> {
    let alert = |effect: &Effect| match effect {
        Effect::Alert(alert) => Some((alert.id, alert.update, alert.finding.clone().unwrap().title)),
        _ => None,
    };
    effects.iter().filter_map(alert).collect()
}

#[test]
fn each_emergency_call_is_told() {
    // 100 s later; from another phone of the account within the minute; from a switch whose clock is an hour behind.
    for seconds in [[0, 100], [0, 20], [0, 0], [0, -3_600]] {
        let mut watch = watch(&emergency_rule());
        let told = alerts(&feed(&mut watch, &emergencies(&seconds)));
        assert_eq!(told.len(), 2, "{seconds:?}: {told:?}");
        assert_ne!(told[0].0, told[1].0, "{seconds:?}: each is news of its own");
        assert!(told.iter().all(|(_, update, title)| *update == 0 && title == "Emergency call"), "{told:?}");
    }
}

#[test]
fn calls_that_several_trunks_could_have_sent_are_told_once_for_a_source_and_an_hour() {
    let told = |source: &str, minutes| {
        let (mut call, _) = call_named("any");
        let Body::Call(event) = &mut call else { panic!("a call") };
        let midnight = event.at.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        event.at = midnight + chrono::TimeDelta::minutes(minutes);
        (event.payer, event.call) = (model::AccountId::NOBODY, None);
        event.body = EventBody::Security(model::Security {
            what: model::SecurityKind::AmbiguousSource,
            source: source.parse().unwrap(),
            user: String::new(),
            detail: "trunks carrier1, carrier2: set `default_for_address`".to_owned(),
            count: 1,
        });
        call
    };
    let bodies = [
        told("192.0.2.7:5060", 0),
        told("192.0.2.7:5060", 20),
        told("192.0.2.8:5060", 30),
        told("192.0.2.7:5060", 61),
    ];
    // Whatever the rules.
    let none = Arc::new(WatchRules::new(Vec::new(), HotList::default(), HotList::default(), Vec::new()));
    let told = alerts(&feed(&mut watch(&none), &bodies));
    let words =
        "Calls are refused: their trunk cannot be told; trunks carrier1, carrier2: set `default_for_address`";
    assert!(
        told.len() == 4 && told.iter().all(|(_, update, title)| *update == 0 && title == words),
        "{told:?}"
    );
    assert_eq!(told[0].0, told[1].0, "another switch, or one begun anew: the same alert");
    let ids: std::collections::BTreeSet<_> = told.iter().map(|(id, _, _)| id.to_string()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn emergency_call_is_told_once_though_it_goes_on_and_ends() {
    let calls = emergencies(&[0]);
    let Body::Call(attempt) = &calls[0] else { panic!("a call") };
    let mut answer = attempt.clone();
    answer.body = EventBody::ChargeTick(model::ChargeTick { answered_us: 30_000_000 });
    let (_, end) = call_named("emergency-0");
    let bodies = [calls[0].clone(), calls[0].clone(), Body::Call(answer), end];
    assert_eq!(alerts(&feed(&mut watch(&emergency_rule()), &bodies)).len(), 1);
}

#[test]
fn beyond_twenty_emergency_calls_in_an_hour_one_word_says_that_there_are_more() {
    let mut watch = watch(&emergency_rule());
    let told = alerts(&feed(&mut watch, &emergencies(&[0; 40])));
    assert_eq!(told.len(), 21);
    assert_eq!(told[19].2, "Emergency call");
    assert_eq!(told[20].2, "Emergency call: more than 20 within an hour, the others are not told");
    let mut later = emergencies(&[3_600]);
    if let Body::Call(event) = &mut later[0] {
        event.call = Some(model::CallUid::new("later"));
    }
    assert_eq!(alerts(&feed(&mut watch, &later)).len(), 1, "the next hour is another");
}

#[test]
fn account_that_all_rules_leave_alone_still_has_its_emergency_calls_told() {
    for (rule, n_told) in [("", 1), ("emergency-call", 0)] {
        let calls = emergencies(&[0]);
        let Body::Call(event) = &calls[0] else { panic!("a call") };
        let mut directory = simulation().directory();
        directory.fraud_exceptions.push(model::FraudException {
            account: event.payer,
            rule: rule.to_owned(),
            author: String::new(),
            reason: String::new(),
            since: event.at,
            until: None,
        });
        let mut watch = watch(&emergency_rule());
        watch.set_snapshot(Arc::new(WatchSnapshot::build(Arc::new(directory))));
        assert_eq!(alerts(&feed(&mut watch, &calls)).len(), n_told, "exception to {rule:?}");
    }
}

/// A rule that fires at so many calls at once.
fn at_once(n_calls: u32) -> Arc<WatchRules> {
    let rules = own(&format!(
        "[[rule]]\nname = \"many\"\nversion = 1\ntitle = \"Many\"\nkey = \"account\"\nwindow = \"6h\"\n\
         when = [{{ measure = \"concurrent\", at_least = {n_calls} }}]\n"
    ));
    Arc::new(WatchRules::new(rules, HotList::default(), HotList::default(), Vec::new()))
}

#[test]
fn switch_whose_clock_is_far_ahead_ends_no_calls_of_the_others() {
    let [mut first, mut ahead, mut second] = ["first", "ahead", "second"].map(|name| call_named(name).0);
    let mut began = chrono::DateTime::UNIX_EPOCH;
    for (call, seconds) in [(&mut first, 0), (&mut ahead, 3_600), (&mut second, 60)] {
        let Body::Call(event) = call else { panic!("a call") };
        began = event.at;
        event.at += chrono::TimeDelta::seconds(seconds);
    }
    let tick = Body::Tick(began + chrono::TimeDelta::seconds(1));
    let told = alerts(&feed(&mut watch(&at_once(3)), &[first, ahead, tick, second]));
    assert_eq!(told.len(), 1, "the first is still up");
}

#[test]
fn call_of_a_switch_whose_clock_is_set_back_is_followed_on() {
    let (first, _) = call_named("first");
    let (mut second, _) = call_named("second");
    let Body::Call(attempt) = first else { panic!("a call") };
    let began = attempt.at;
    let mut bodies = vec![Body::Call(attempt.clone())];
    for minute in 1..=15_i64 {
        let mut sign = attempt.clone();
        sign.at = began + chrono::TimeDelta::minutes(minute - 60);
        sign.body =
            EventBody::ChargeTick(model::ChargeTick { answered_us: 60_000_000 * minute.unsigned_abs() });
        bodies.push(Body::Call(sign));
        bodies.push(Body::Tick(began + chrono::TimeDelta::minutes(minute)));
    }
    if let Body::Call(event) = &mut second {
        event.at = began + chrono::TimeDelta::minutes(15);
    }
    bodies.push(second);
    assert_eq!(alerts(&feed(&mut watch(&at_once(2)), &bodies)).len(), 1, "the first is still up");
}

#[test]
fn state_that_cannot_be_read_is_refused_with_its_name() {
    let refused = |key: &str, value: &str| {
        watch(&delivered()).restore(vec![(key.to_owned(), value.as_bytes().to_vec())]).unwrap_err()
    };
    assert!(refused("clock", r#"{"v":2,"is":{}}"#).contains("version 2"));
    assert!(refused("weather", r#"{"v":1,"is":""}"#).contains("weather"));
    assert!(refused("subject/nobody/1/2", r#"{"v":1,"is":""}"#).contains("subject/nobody"));
}

/// What was barred: whose calls, to which numbers, how many get through.
fn barred(effects: &[Effect]) -> Vec<(i64, String, u32)> {
    let told = |effect: &Effect| match effect {
        Effect::Append { topic: Topic::Control, body, .. } => match &**body {
            Body::Control(Control::BarringChanged(barring)) => Some(barring.clone()),
            _ => None,
        },
        _ => None,
    };
    let told: Vec<model::Barring> = effects.iter().filter_map(told).collect();
    // What the switch is told is what is kept.
    let kept = |effect: &Effect| match effect {
        Effect::Bar(barring) => Some((**barring).clone()),
        _ => None,
    };
    assert_eq!(told, effects.iter().filter_map(kept).collect::<Vec<_>>());
    told.into_iter().map(|bar| (bar.account.0, bar.range, bar.calls_per_minute)).collect()
}

/// The first attempt as often as numbers are given, each to one of these.
fn attempts_to(numbers: &[u64]) -> Vec<Body> {
    let first = first_attempts(1).remove(0);
    let to = |(n, number): (usize, &u64)| {
        let mut body = first.clone();
        if let Body::Call(event) = &mut body {
            event.call = Some(model::CallUid::new(format!("to-{n}")));
            if let EventBody::Attempt(attempt) = &mut event.body {
                attempt.callee = model::E164::from_u64(*number);
            }
        }
        body
    };
    numbers.iter().enumerate().map(to).collect()
}

fn rule_of(lines: &str) -> Arc<WatchRules> {
    let text = format!(
        "[[rule]]\nname = \"own\"\nversion = 1\ntitle = \"Own\"\nwindow = \"1h\"\n\
         when = [{{ measure = \"attempts\", at_least = 2 }}]\n{lines}"
    );
    Arc::new(WatchRules::new(own(&text), HotList::default(), HotList::default(), Vec::new()))
}

#[test]
fn numbers_beside_the_one_called_are_barred_once_for_each_range_and_told_in_the_alert() {
    let numbers = [37_112_345_001, 37_112_345_002, 37_112_349_003, 37_112_999_004, 37_112_345_005];
    let rules = rule_of("key = \"account\"\naction = [\"block_range\"]\nblock_for = \"12h\"\n");
    let attempts = attempts_to(&numbers);
    let Body::Call(first) = &attempts[0] else { panic!("a call") };
    let payer = first.payer.0;
    let effects = feed(&mut watch(&rules), &attempts);
    // The first call is within the limit.
    assert_eq!(barred(&effects), [(payer, "3711234".to_owned(), 0), (payer, "3711299".to_owned(), 0)]);
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Alert(alert) => alert.finding.clone(),
        _ => None,
    });
    assert_eq!(told.unwrap().barred, ["calls to 3711234..."]);
    let Some(Effect::Bar(barring)) = effects.iter().find(|effect| matches!(effect, Effect::Bar(_))) else {
        panic!("nothing barred")
    };
    assert_eq!(barring.until, Some(barring.since + chrono::TimeDelta::hours(12)));
}

#[test]
fn country_is_barred_for_everybody_where_a_rule_counts_by_country_and_says_so() {
    let rules = rule_of("key = \"country\"\naction = [\"block_range\"]\nblock = \"everybody\"\n");
    let effects = feed(&mut watch(&rules), &attempts_to(&[37_112_345_001, 37_199_345_002]));
    assert_eq!(barred(&effects), [(0, "371".to_owned(), 0)]);
}

#[test]
fn account_is_slowed_down_at_the_crossing_and_again_when_it_has_doubled() {
    let rules =
        rule_of("key = \"account\"\naction = [\"throttle\"]\ncalls_per_minute = 6\nthrottle_for = \"1h\"\n");
    let effects = feed(&mut watch(&rules), &attempts_to(&[37_112_345_001; 4]));
    let bars = barred(&effects);
    assert_eq!(bars.len(), 2, "at 2 and at 4 calls");
    assert!(bars.iter().all(|(_, range, n_calls)| range.is_empty() && *n_calls == 6), "{bars:?}");
}

#[test]
fn barring_that_a_rule_does_not_spell_out_is_a_fault_with_its_remedy() {
    let fault = |lines: &str| {
        let text = format!(
            "[[rule]]\nname = \"own\"\nversion = 1\ntitle = \"Own\"\nkey = \"source\"\nwindow = \"1h\"\n\
             when = [{{ measure = \"attempts\", at_least = 2 }}]\n{lines}"
        );
        RuleFile::read(&text).unwrap_err()
    };
    for (lines, said, remedy) in [
        ("action = [\"throttle\"]\n", "does not say how many", "calls_per_minute"),
        ("action = [\"throttle\"]\ncalls_per_minute = 0\n", "does not say how many", "\"lock\""),
        ("throttle_for = \"1h\"\n", "nobody is ever slowed down", "\"throttle\""),
        ("block_for = \"1h\"\n", "nothing is ever barred", "\"block_range\""),
        (
            "where = { flow = \"registrations\" }\naction = [\"block_range\"]\n",
            "call no numbers",
            "remove \"block_range\"",
        ),
    ] {
        let fault = fault(lines);
        assert!(fault.fault.contains(said) && fault.remedy.contains(remedy), "{lines}: {fault:?}");
    }
}

/// What a gate with this rule says of the first attempt, made to the first number of the list.
fn gate_says(lines: &str, is_listed: bool) -> Option<String> {
    let attempts = attempts_to(&[37_112_345_001]);
    let mut hot = HotListBuilder::default();
    hot.line(if is_listed { "3711234*" } else { "4930*" }).unwrap();
    let text = format!(
        "[[rule]]\nname = \"own\"\nversion = 3\ntitle = \"Own\"\nkey = \"account\"\nwindow = \"1h\"\n\
         when = [{{ measure = \"attempts\", at_least = 1 }}]\n{lines}"
    );
    let rules = Arc::new(WatchRules::new(own(&text), hot.build(), HotList::default(), Vec::new()));
    let snapshot = Arc::new(WatchSnapshot::build(Arc::new(simulation().directory())));
    let gate = fraud::watch::Gate::new(rules, snapshot)?;
    let Body::Call(event) = &attempts[0] else { panic!("a call") };
    let EventBody::Attempt(attempt) = &event.body else { panic!("an attempt") };
    gate.refuses(event.payer, event.leg, event.at, attempt).map(|rule| rule.name.clone())
}

#[test]
fn call_to_a_listed_number_is_refused_at_the_gate_and_no_other() {
    let hot = "where = { flow = \"outgoing\", hot_listed = true }\naction = [\"refuse\"]\n";
    assert_eq!(gate_says(hot, true).as_deref(), Some("own"));
    assert_eq!(gate_says(hot, false), None);
    let others_way = "where = { flow = \"incoming\", hot_listed = true }\naction = [\"refuse\"]\n";
    assert_eq!(gate_says(others_way, true), None);
    let excepted = format!("{hot}except = {{ callees = [\"37112\"] }}\n");
    assert_eq!(gate_says(&excepted, true), None);
    let only_alerting = "where = { hot_listed = true }\naction = [\"alert\"]\n";
    assert_eq!(gate_says(only_alerting, true), None);
}

#[test]
fn rule_that_refuses_and_asks_for_history_is_a_fault() {
    for (lines, said) in [
        ("when = [{ measure = \"attempts\", at_least = 2 }]\n", "nothing is counted yet"),
        ("when = [{ measure = \"cost\", at_least = \"2.00\" }]\n", "nothing is counted yet"),
        ("when = [{ measure = \"attempts\", at_least = 1 }]\nwarm_up = \"14d\"\n", "no history"),
        ("when = [{ measure = \"attempts\", at_least = 1 }]\nwhere = { new_country = true }\n", "no history"),
    ] {
        let text = format!(
            "[[rule]]\nname = \"own\"\nversion = 1\ntitle = \"Own\"\nkey = \"account\"\nwindow = \"1h\"\n\
             action = [\"refuse\"]\n{lines}"
        );
        let fault = RuleFile::read(&text).unwrap_err();
        assert!(fault.fault.contains(said), "{lines}: {fault:?}");
    }
}

#[test]
fn call_stopped_by_a_lock_that_the_watch_never_heard_of_is_told_with_its_account() {
    let Some(Body::Call(attempt)) = first_attempts(1).pop() else { panic!("no attempt") };
    let mut watch = Watch::new(Arc::new(WatchRules::default()));
    watch.set_snapshot(Arc::new(WatchSnapshot::build(Arc::new(simulation().directory()))));
    let by_lock = StoppedBy::LockOf { account: attempt.payer, at: attempt.at };
    let rejected = model::Rejected {
        cause: model::Cause::LockedOut,
        code: 403,
        phrase: "".into(),
        object: format!("account {} lock 2", attempt.payer).into(),
    };
    let refused = CallEvent { body: EventBody::Rejected(rejected), ..*attempt.clone() };
    let effects = feed(&mut watch, &[Body::Call(attempt.clone()), Body::Call(Box::new(refused))]);
    let [Effect::Stopped(stopped)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(stopped.by, by_lock);
    assert!(!stopped.saved.amount.is_zero(), "three minutes at its own price");
    // A spend limit may end the calls that are up, too: no rule has an incident then.
    let end = model::End {
        answered_us: 0,
        by: model::Initiator::Operator,
        cause: model::Cause::Killed,
        code: 487,
        reason: "".into(),
        media: None,
    };
    let cut = CallEvent { body: EventBody::End(end), ..*attempt.clone() };
    let effects = feed(&mut watch, &[Body::Call(attempt), Body::Call(Box::new(cut))]);
    let [Effect::Stopped(stopped)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(stopped.by, by_lock);
}
