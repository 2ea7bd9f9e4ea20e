//! Both ends of a call on a network that loses, doubles and reorders: what they and the record say of it agrees.

use std::time::Duration;

use model::EventBody;
use proptest::prelude::*;

use super::world::{ALICE, Fate, GATEWAY_1, World, directory};
use crate::SwitchConfig;
use crate::phone::{Behaviour, PhoneStep, PhoneSubject};

/// Fewer than any message is repeated, so that each arrives in the end, on a route that is given that time.
const LOSSES_MAX: usize = 5;

/// The fifth repetition goes 11.5 s after the first message, and may be late.
const HELD_UP_MAX: Duration = Duration::from_millis(12_500);

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let one = prop_oneof![
        5 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        2 => Just(Fate::Doubled),
        2 => (1u64..900).prop_map(Fate::Late),
    ];
    proptest::collection::vec(one, 0..60).prop_map(|fates| {
        let mut n_lost = 0;
        let bounded = fates.into_iter().map(|fate| {
            n_lost += usize::from(fate == Fate::Lost);
            if fate == Fate::Lost && n_lost > LOSSES_MAX { Fate::Arrives } else { fate }
        });
        bounded.collect()
    })
}

/// From its answer to its end, as each phone with such a call saw it.
fn talked(world: &World, is_ours: impl Fn(PhoneSubject) -> bool) -> Vec<Duration> {
    let ours = world.reports.iter().filter(|report| is_ours(report.subject));
    ours.filter_map(|report| match report.step {
        PhoneStep::HungUp { talked, .. } => Some(talked),
        _ => None,
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn both_ends_and_the_record_agree_on_the_answer_and_its_length(
        fates in fates(),
        ring_ms in 0u64..4_000,
        talk_seconds in 1u64..40,
        hangs_up: bool,
        is_refused: bool,
    ) {
        let mut world = World::with(SwitchConfig { route_seconds_max: 60, ..SwitchConfig::default() }, directory());
        let ring = Duration::from_millis(ring_ms);
        let far = if is_refused {
            Behaviour::Refuse { ring, code: 486 }
        } else {
            Behaviour::Answer { ring, talk: (!hangs_up).then(|| Duration::from_secs(talk_seconds)) }
        };
        world.behave(GATEWAY_1, far);
        let is_calm = fates.iter().all(|fate| *fate == Fate::Arrives);
        world.befall(fates);
        let own = hangs_up.then_some(talk_seconds);
        let id = world.dial_from(super::world::HOMES, Some(ALICE), "alice", "49301234", own);
        world.run_seconds(180);

        let caller = talked(&world, |subject| subject == PhoneSubject::Outgoing(id));
        let callee = talked(&world, |subject| !matches!(subject, PhoneSubject::Outgoing(_) | PhoneSubject::Line(_)));
        let n_answers = world.events.iter().filter(|event| matches!(event.body, EventBody::Answer(_))).count();
        prop_assert_eq!(caller.len(), n_answers, "the caller and the record\n{}", world.story());
        prop_assert_eq!(callee.len(), n_answers, "the callee and the record\n{}", world.story());
        prop_assert_eq!(n_answers, usize::from(!is_refused), "{}", world.story());
        prop_assert_eq!(world.ends(), 1, "{}", world.story());
        let billed = world.events.iter().find_map(|event| match &event.body {
            EventBody::End(end) => Some(Duration::from_micros(end.answered_us)),
            _ => None,
        });
        if let (Some(billed), [caller], [callee]) = (billed, caller.as_slice(), callee.as_slice()) {
            if hangs_up {
                // The answer passes the switch on its way to the caller, the end on its way to the callee.
                prop_assert!(caller <= &billed && &billed <= callee, "{caller:?} {billed:?} {callee:?}");
            } else {
                // Both pass it on their way to the caller: as far apart as the one was held up longer than the other.
                prop_assert!(billed.abs_diff(*callee) <= HELD_UP_MAX, "{caller:?} {billed:?} {callee:?}");
            }
            if is_calm {
                prop_assert_eq!((caller, callee), (&billed, &billed));
            }
        }
        world.assert_idle();
    }
}
