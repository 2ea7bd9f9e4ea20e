//! Rules that count by something else than the payer: spread over lanes they decide what one watch over all calls decides, also when lanes
//! stop and start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use chrono::TimeDelta;
use fraud::rule::{Rule, RuleFile, presets};
use fraud::simulate::{Simulation, Size};
use fraud::watch::{HotList, Watch, WatchRules, WatchSnapshot};
use model::{
    AccountId, Alert, AlertId, Body, CallEvent, Cause, Control, Effect, Effects, End, EventBody, Initiator,
    Record, Rejected, SightedBy, Sighting, SightingStep, Stage, StageInput, StateChange, Stopped, StoppedBy,
    TenantId, Topic, partition_of, wire,
};
use proptest::prelude::*;

const SMALL: Size = Size { customers: 12, days: 17, quiet_days: 15, attacks_each: 1 };

const LANES: u32 = 16;

const OWN: &str = r#"
[[rule]]
name = "dear-source"
version = 1
title = "Much money from one address"
key = "source"
window = "1h"
when = [{ measure = "cost", at_least = "1.00" }, { measure = "attempts", at_least = 2 }]
action = ["end_call"]

[[rule]]
name = "busy-range"
version = 1
title = "Many calls at once from one range"
key = "a_range"
window = "1h"
where = { flow = "outgoing" }
when = [{ measure = "concurrent", at_least = 2 }]

[[rule]]
name = "busy-country"
version = 1
title = "Many callers of one country"
key = "country"
window = "6h"
when = [{ measure = "distinct_callers", at_least = 6 }, { measure = "answered_share", at_most = 90 }]
warm_up = "14d"

[[rule]]
name = "busy-trunk"
version = 1
title = "Many calls over one trunk"
key = "trunk"
window = "1h"
when = [{ measure = "attempts", at_least = 4 }]
"#;

fn simulation() -> &'static Simulation {
    static SIMULATION: OnceLock<Simulation> = OnceLock::new();
    SIMULATION.get_or_init(|| Simulation::new(6, SMALL))
}

/// All events, and a tick every now and then.
fn records() -> &'static Vec<Body> {
    static RECORDS: OnceLock<Vec<Body>> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let all: Arc<Mutex<Vec<CallEvent>>> = Arc::default();
        let taken = Arc::clone(&all);
        simulation().events(Box::new(move |event| taken.lock().unwrap().push(event.clone())));
        let mut bodies = Vec::new();
        for (n, event) in std::mem::take(&mut *all.lock().unwrap()).into_iter().enumerate() {
            if n % 500 == 0 {
                bodies.push(Body::Tick(event.at));
            }
            bodies.push(Body::Call(Box::new(event)));
        }
        bodies
    })
}

fn rules_of(rules: Vec<Rule>) -> Arc<WatchRules> {
    Arc::new(WatchRules::new(rules, HotList::default(), HotList::default(), Vec::new()))
}

fn own() -> Vec<Rule> {
    RuleFile::read(OWN).unwrap().rules
}

fn all_rules() -> Arc<WatchRules> {
    rules_of(presets().into_iter().chain(own()).collect())
}

fn snapshot() -> Arc<WatchSnapshot> {
    static SNAPSHOT: OnceLock<Arc<WatchSnapshot>> = OnceLock::new();
    SNAPSHOT.get_or_init(|| Arc::new(WatchSnapshot::build(Arc::new(simulation().directory())))).clone()
}

fn ready(mut watch: Watch) -> Watch {
    watch.set_snapshot(snapshot());
    watch
}

/// What is seen from outside.
#[derive(Debug, Default, PartialEq)]
struct Said {
    alerts: BTreeMap<(AlertId, u32), Alert>,
    ended: BTreeMap<String, usize>,
    stopped: Vec<Stopped>,
    n_sightings: usize,
}

impl Said {
    fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Alert(alert) => {
                let word = (alert.id, alert.update);
                assert_eq!(self.alerts.insert(word, *alert), None, "a word is said once");
            }
            Effect::Append { topic: Topic::Control, body, .. } => {
                if let Body::Control(Control::EndCall { call }) = *body {
                    *self.ended.entry(call.to_string()).or_default() += 1;
                }
            }
            Effect::Stopped(stopped) => self.stopped.push(stopped),
            _ => {}
        }
    }
}

/// How a lane begins.
type Make = fn(Arc<WatchRules>) -> Watch;

/// Both halves of the watch, lane by lane.
struct House {
    rules: Arc<WatchRules>,
    payers: Vec<Watch>,
    things: Vec<Watch>,
    said: Said,
}

impl House {
    fn new(rules: Arc<WatchRules>) -> Self {
        let lanes = |make: Make| (0..LANES).map(|_| ready(make(rules.clone()))).collect::<Vec<_>>();
        let (payers, things) = (lanes(Watch::of_payers), lanes(Watch::of_sightings));
        House { payers, things, rules, said: Said::default() }
    }

    fn take(&mut self, body: &Body) {
        let mut effects = Effects::default();
        let input = |partition| StageInput { partition, offset: 0, body: body.clone() };
        if let Body::Call(event) = body {
            let lane = partition_of(event.payer, LANES);
            self.payers[lane as usize].apply(input(lane), &mut effects);
        } else {
            for lane in 0..LANES {
                self.payers[lane as usize].apply(input(lane), &mut effects);
                self.things[lane as usize].apply(input(lane), &mut effects);
            }
        }
        let mut effects: VecDeque<Effect> = effects.0.into();
        while let Some(effect) = effects.pop_front() {
            let Effect::Append { topic: Topic::Sightings, key, body } = effect else {
                self.said.take(effect);
                continue;
            };
            self.said.n_sightings += 1;
            // By way of the bus.
            let bytes = wire::encode(&Record { origin: None, body: *body });
            let body = wire::decode(&bytes).unwrap().body;
            let lane = partition_of(key, LANES);
            let mut more = Effects::default();
            self.things[lane as usize].apply(StageInput { partition: lane, offset: 0, body }, &mut more);
            effects.extend(more.0);
        }
    }

    /// Every lane is saved, dropped, and loaded again.
    fn restart(&mut self, saved: &mut [BTreeMap<String, Vec<u8>>]) {
        for (place, saved) in saved.iter_mut().enumerate() {
            let (watches, make) = if place % 2 == 0 {
                (&mut self.payers, Watch::of_payers as Make)
            } else {
                (&mut self.things, Watch::of_sightings as Make)
            };
            let watch = &mut watches[place / 2];
            for StateChange { key, value } in watch.take_changes() {
                match value {
                    Some(value) => saved.insert(key, value),
                    None => saved.remove(&key),
                };
            }
            *watch = ready(make(self.rules.clone()));
            watch.restore(saved.clone().into_iter().collect()).unwrap();
        }
    }
}

fn by_one(rules: Arc<WatchRules>, bodies: &[Body]) -> Said {
    let mut watch = ready(Watch::new(rules));
    let mut said = Said::default();
    for body in bodies {
        let mut effects = Effects::default();
        watch.apply(StageInput { partition: 0, offset: 0, body: body.clone() }, &mut effects);
        effects.0.into_iter().for_each(|effect| said.take(effect));
    }
    said
}

/// Worked out once.
fn without_a_stop() -> &'static Said {
    static WHOLE: OnceLock<Said> = OnceLock::new();
    WHOLE.get_or_init(|| by_one(all_rules(), records()))
}

#[test]
fn lanes_decide_together_what_one_watch_over_all_calls_decides() {
    let mut house = House::new(all_rules());
    records().iter().for_each(|body| house.take(body));
    let n_sightings = std::mem::take(&mut house.said.n_sightings);
    assert!(n_sightings > 0);
    let whole = without_a_stop();
    let names: std::collections::BTreeSet<&str> =
        whole.alerts.values().map(|alert| alert.rule.as_str()).collect();
    for rule in own() {
        assert!(names.contains(rule.name.as_str()), "{} has nothing to say in {names:?}", rule.name);
    }
    assert!(!whole.ended.is_empty());
    assert_eq!(house.said, *whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1))]

    #[test]
    fn lanes_that_stop_and_start_decide_the_same(stops in prop::collection::vec(any::<prop::sample::Index>(), 1..5)) {
        let all = records();
        let mut stops: Vec<usize> = stops.iter().map(|stop| stop.index(all.len())).collect();
        stops.sort_unstable();
        let mut house = House::new(all_rules());
        let mut saved = vec![BTreeMap::new(); 2 * LANES as usize];
        for (place, body) in all.iter().enumerate() {
            while stops.first() == Some(&place) {
                house.restart(&mut saved);
                stops.remove(0);
            }
            house.take(body);
        }
        house.said.n_sightings = 0;
        prop_assert_eq!(&house.said, without_a_stop());
    }
}

#[test]
fn rules_of_one_payer_say_nothing_to_others() {
    let rules = presets().into_iter().filter(|rule| rule.name == "irsf-burst").collect();
    let mut house = House::new(rules_of(rules));
    records().iter().take(20_000).for_each(|body| house.take(body));
    assert_eq!(house.said.n_sightings, 0);
}

/// The first outgoing attempts, each of another payer.
fn attempts_of_payers(n: usize) -> Vec<CallEvent> {
    let mut of: BTreeMap<AccountId, CallEvent> = BTreeMap::new();
    for body in records() {
        let Body::Call(event) = body else { continue };
        if fraud::simulate::is_customer(event) && event.leg == 0 && of.len() < n {
            of.entry(event.payer).or_insert_with(|| *event.clone());
        }
    }
    of.into_values().collect()
}

#[test]
fn call_that_was_cut_is_saved_by_the_incident_of_another_lane() {
    let rules = "[[rule]]\nname = \"one-source\"\nversion = 1\ntitle = \"One source\"\nkey = \"source\"\n\
                 window = \"1h\"\nwhen = [{ measure = \"distinct_callers\", at_least = 2 }]\n\
                 action = [\"end_call\"]\n\
                 [[rule]]\nname = \"never\"\nversion = 1\ntitle = \"Never\"\nkey = \"trunk\"\n\
                 window = \"1h\"\nwhen = [{ measure = \"attempts\", at_least = 9999 }]\naction = [\"end_call\"]\n";
    let mut house = House::new(rules_of(RuleFile::read(rules).unwrap().rules));
    let mut attempts = attempts_of_payers(2);
    assert_ne!(partition_of(attempts[0].payer, LANES), partition_of(attempts[1].payer, LANES));
    for event in &mut attempts {
        if let EventBody::Attempt(attempt) = &mut event.body {
            attempt.source = ([192, 0, 2, 99], 5060).into();
        }
        house.take(&Body::Call(Box::new(event.clone())));
    }
    let second = attempts[1].clone();
    let call = second.call.clone().unwrap();
    assert_eq!(house.said.ended, BTreeMap::from([(call.to_string(), 1)]));
    let end = End {
        answered_us: 0,
        by: Initiator::Operator,
        cause: Cause::Killed,
        code: 487,
        reason: "".into(),
        media: None,
    };
    house.take(&Body::Call(Box::new(CallEvent { body: EventBody::End(end), ..second.clone() })));
    let incident = house.said.alerts.keys().next().unwrap().0;
    assert_eq!(house.said.stopped.iter().map(|one| one.by).collect::<Vec<_>>(), [StoppedBy::Alert(incident)]);
    // One that the rule itself refused is found by the rule's name.
    house.take(&Body::Call(Box::new(second.clone())));
    let refused = Rejected {
        cause: Cause::LockedOut,
        code: 403,
        phrase: "".into(),
        object: "rule one-source, version 1".into(),
    };
    house.take(&Body::Call(Box::new(CallEvent { body: EventBody::Rejected(refused), ..second })));
    assert_eq!(house.said.stopped.len(), 2);
}

/// A call of `payer` to one range of numbers, seen so many minutes after noon.
fn sighting(payer: i64, minutes: i64) -> Sighting {
    Sighting {
        by: SightedBy::CalledRange,
        at: "2026-10-05T12:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap()
            + TimeDelta::minutes(minutes),
        tenant: TenantId(1),
        payer: AccountId(payer),
        call: Some(model::CallUid::new(format!("call-{payer}-{minutes}"))),
        leg: 0,
        subscriber: Some(model::SubscriberId(payer)),
        trunk: None,
        source: [192, 0, 2, 7].into(),
        cli: Some(43_660_555_000 + payer.cast_unsigned()),
        callee: Some(37_123_456_789),
        user_agent: 0,
        country: 371,
        rate: 0,
        account_age: None,
        flags: 0,
        vendor: None,
        spared: Vec::new(),
        watched_since: None,
        step: SightingStep::Began,
    }
}

/// Shows such a call to a watch.
fn see(watch: &mut Watch, said: &mut Said, payer: i64, minutes: i64) {
    let mut effects = Effects::default();
    let body = Body::Sighting(Box::new(sighting(payer, minutes)));
    watch.apply(StageInput { partition: 0, offset: 0, body }, &mut effects);
    effects.0.into_iter().for_each(|effect| said.take(effect));
}

#[test]
fn calls_out_of_a_backlog_date_no_alert_before_its_period_and_stop_nobody_who_was_not_in_the_window() {
    let text = r#"
        [[rule]]
        name = "busy-called"
        version = 1
        title = "Many calls to one range"
        key = "b_range"
        window = "1h"
        cool_down = "1h"
        when = [{ measure = "attempts", at_least = 3 }]
        action = ["end_call"]
    "#;
    let mut watch = ready(Watch::of_sightings(rules_of(RuleFile::read(text).unwrap().rules)));
    let mut said = Said::default();
    let mut see = |payer, minutes| see(&mut watch, &mut said, payer, minutes);
    for payer in 1..=3 {
        see(payer, payer);
    }
    // The lane of these payers was two hours behind: their calls are in no sum of the window.
    for payer in 11..=16 {
        see(payer, -120);
    }
    // That of these was half an hour behind: they are in it, and the incident is one and the same.
    for payer in 21..=23 {
        see(payer, -30);
    }
    // Counted from the latest call that showed it, the incident still goes on.
    see(31, 62);
    see(32, 62);
    see(33, 62);
    let ended: Vec<&str> = said.ended.keys().map(String::as_str).collect();
    assert_eq!(
        ended,
        ["call-21--30", "call-22--30", "call-23--30", "call-3-3", "call-33-62"],
        "whose calls were in the window"
    );
    let incidents: std::collections::BTreeSet<AlertId> = said.alerts.keys().map(|(id, _)| *id).collect();
    assert_eq!((incidents.len(), said.alerts.len()), (1, 2), "one incident, told and told again");
    for alert in said.alerts.values() {
        // In the zone of whoever was the last to show it.
        assert!(alert.period.ends_with(":03"), "{}", alert.period);
        assert!(alert.at >= sighting(3, 3).at, "{}", alert.at);
    }
}

#[test]
fn callers_out_of_a_backlog_make_no_range_look_busy_that_is_not() {
    let text = r#"
        [[rule]]
        name = "many-callers"
        version = 1
        title = "Many callers of one range"
        key = "b_range"
        window = "1h"
        when = [{ measure = "distinct_callers", at_least = 3 }]
        action = ["end_call"]
    "#;
    let mut watch = ready(Watch::of_sightings(rules_of(RuleFile::read(text).unwrap().rules)));
    let mut said = Said::default();
    let mut see = |payer, minutes| see(&mut watch, &mut said, payer, minutes);
    see(1, 0);
    for payer in 11..=16 {
        see(payer, -120);
    }
    see(2, 1);
    see(3, 2);
    let ended: Vec<&str> = said.ended.keys().map(String::as_str).collect();
    assert_eq!(ended, ["call-3-2"], "the third caller of the window, and not the second");
}
