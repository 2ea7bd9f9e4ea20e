//! The order in which the events of a call arrive, and how often, does not change its record.

use std::collections::BTreeMap;
use std::time::Duration;

use mediator::{Mediator, MediatorConfig};
use model::{Body, Cdr, CdrId, Effect};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::script::{at, cdrs, events, feed};

/// Long memories: what is forgotten cannot be corrected.
fn patient() -> MediatorConfig {
    let month = Duration::from_secs(30 * 86_400);
    MediatorConfig { age_max: month, late_for: month, partials_for: month, ..MediatorConfig::default() }
}

/// Remembers calls for as long as it leaves their events to the log: it must read them again for whatever comes late.
fn forgetful() -> MediatorConfig {
    let hours = Duration::from_secs(5 * 3600);
    MediatorConfig { age_max: hours, late_for: hours, partials_for: hours, ..MediatorConfig::default() }
}

/// The last record of each leg, whatever its revision.
fn last_records(effects: &[Effect]) -> BTreeMap<CdrId, Cdr> {
    let mut last = BTreeMap::new();
    for cdr in cdrs(effects) {
        let before: Option<&Cdr> = last.get(&cdr.id);
        assert_eq!(cdr.revision, before.map_or(0, |before| before.revision + 1), "revisions have no gaps");
        last.insert(cdr.id, cdr);
    }
    last.into_iter().map(|(id, cdr)| (id, Cdr { revision: 0, ..cdr })).collect()
}

/// A whole call in its true order: routes tried, an outcome, signs of life on the way, perhaps forwarded.
fn script_of_one_call() -> impl Strategy<Value = String> {
    (0_u64..4, 0_u64..5, 0_usize..5, any::<bool>()).prop_map(|(n_failed, n_ticks, outcome, is_forwarded)| {
        let mut lines = vec!["0 attempt".to_owned()];
        let (leg, mut now) = if is_forwarded {
            lines.push("1 forward cfb 1".to_owned());
            (" leg=1 payer=12", 2)
        } else {
            ("", 2)
        };
        for route in 1..=n_failed {
            lines.push(format!("{now} route {route}{leg}"));
            lines.push(format!("{} result {route} 503 next{leg}", now + 1));
            now += 2;
        }
        let route = n_failed + 1;
        match outcome {
            0 => lines.push(format!("{now} reject 403 locked_out{leg}")),
            1 => lines.push(format!("{now} end 0 487 cancelled caller{leg}")),
            2 => {
                lines.push(format!("{now} route {route}{leg}"));
                lines.push(format!("{now}.5 progress 180{leg}"));
                lines.push(format!("{} result {route} 486 stop{leg}", now + 1));
                lines.push(format!("{} end 0 486 busy callee{leg}", now + 1));
            }
            _ => {
                lines.push(format!("{now} route {route}{leg}"));
                lines.push(format!("{} result {route} 200 stop{leg}", now + 1));
                now += 1;
                lines.push(format!("{now} answer {route}{leg}"));
                for tick in 1..=n_ticks {
                    lines.push(format!("{}.25 hold{leg}", now + tick * 60 - 9));
                    lines.push(format!("{} tick {}{leg}", now + tick * 60, tick * 60));
                }
                let talked = n_ticks * 60 + 7;
                lines.push(format!("{}.02 end {talked} 200 normal caller{leg}", now + talked));
            }
        }
        if is_forwarded {
            lines.push(format!("{} end 0 302 normal callee", now + 400));
        }
        lines.join("\n")
    })
}

/// The events in another order, some of them twice, and the log's time jumping hours ahead in between.
fn disturbed(bodies: &[Body], order: &[Index], again: &[Index], jumps: &[Index]) -> Vec<Body> {
    let mut left = bodies.to_vec();
    let mut arrived: Vec<Body> = Vec::new();
    for index in order.iter().cycle() {
        if left.is_empty() {
            break;
        }
        arrived.push(left.remove(index.index(left.len())));
    }
    for index in again {
        let twice = arrived[index.index(arrived.len())].clone();
        arrived.insert(index.index(arrived.len() + 1), twice);
    }
    for (hours, index) in (1..).zip(jumps) {
        let tick = Body::Tick(at(&format!("{}", hours * 5 * 3600)));
        arrived.insert(index.index(arrived.len() + 1), tick);
    }
    arrived
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn arrival_order_does_not_change_the_record(
        script in script_of_one_call(),
        order in proptest::collection::vec(any::<Index>(), 1..40),
        again in proptest::collection::vec(any::<Index>(), 0..5),
        jumps in proptest::collection::vec(any::<Index>(), 0..4),
        is_patient in any::<bool>(),
    ) {
        let (config, jumps) = if is_patient { (patient(), jumps) } else { (forgetful(), Vec::new()) };
        let in_order = events(&script);
        let expected = feed(&mut Mediator::new(config.clone()), &in_order);
        let expected_records = last_records(&expected);
        prop_assert_eq!(expected_records.len(), expected.len(), "one record for each leg");
        let mut mediator = Mediator::new(config);
        let effects = feed(&mut mediator, &disturbed(&in_order, &order, &again, &jumps));
        prop_assert_eq!(last_records(&effects), expected_records);
        prop_assert_eq!(mediator.open_calls(), 0);
    }

    /// Without its end a call comes to the same partial record in any order.
    #[test]
    fn arrival_order_does_not_change_a_partial_record(
        script in script_of_one_call(),
        order in proptest::collection::vec(any::<Index>(), 1..40),
        again in proptest::collection::vec(any::<Index>(), 0..5),
        restarts in any::<bool>(),
    ) {
        let mut in_order = events(&script);
        in_order.retain(|body| !matches!(body, Body::Call(event) if matches!(event.body, model::EventBody::End(_))));
        if restarts {
            in_order.extend(events("500 started boot=2"));
        }
        // Stray events of a dead process are given up after `late_for`.
        let config = MediatorConfig { late_for: MediatorConfig::default().late_for, ..patient() };
        let much_later = [Body::Tick(at("30000"))];
        let mut mediator = Mediator::new(config.clone());
        let mut expected = feed(&mut mediator, &in_order);
        expected.extend(feed(&mut mediator, &much_later));
        let mut mediator = Mediator::new(config.clone());
        let mut effects = feed(&mut mediator, &disturbed(&in_order, &order, &again, &[]));
        effects.extend(feed(&mut mediator, &much_later));
        prop_assert_eq!(last_records(&effects), last_records(&expected));
    }
}
