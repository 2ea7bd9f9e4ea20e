//! The clock on the wall is set while calls are up: their records keep their length, and one order.

use chrono::{DateTime, TimeDelta, Utc};
use model::EventBody;

use super::world::{ALICE, GATEWAY_1, SWITCH, World};
use crate::phone::Behaviour;

/// Times and answered microseconds of one call: when it was tried, answered and over.
fn times(world: &World) -> (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>, u64) {
    let of = |wanted: fn(&EventBody) -> Option<u64>| {
        world.events.iter().find_map(|event| wanted(&event.body).map(|us| (event.at, us))).unwrap()
    };
    let (tried, _) = of(|body| matches!(body, EventBody::Attempt(_)).then_some(0));
    let (answered, _) = of(|body| matches!(body, EventBody::Answer(_)).then_some(0));
    let (ended, us) = of(|body| match body {
        EventBody::End(end) => Some(end.answered_us),
        _ => None,
    });
    (tried, answered, ended, us)
}

#[test]
fn call_keeps_its_length_whatever_the_clock_is_set_to_while_it_is_up() {
    for set_by in [TimeDelta::hours(-1), TimeDelta::minutes(11), TimeDelta::hours(25), TimeDelta::days(-400)]
    {
        let mut world = World::new();
        world.dial(ALICE, "49301234", 95);
        world.run_seconds(20);
        world.set_by = set_by;
        world.run_seconds(100);
        let (tried, answered, ended, us) = times(&world);
        assert_eq!(us, 95_000_000, "by its own count");
        assert_eq!(answered - tried, TimeDelta::seconds(1), "{set_by}");
        assert_eq!(ended - answered, TimeDelta::seconds(95), "{set_by}: by the times of its events as well");
        let calls = world.events.iter().filter(|event| event.call.is_some());
        assert!(calls.map(|event| event.at).is_sorted(), "{set_by}: {}", world.story());
        // The next call is told by the clock as it is now.
        world.events.clear();
        world.dial(ALICE, "49301234", 5);
        world.run_seconds(10);
        let (tried, answered, ended, us) = times(&world);
        assert_eq!((ended - answered, us), (TimeDelta::seconds(5), 5_000_000));
        assert_eq!((world.now().wall - tried).num_seconds(), 10, "{set_by}");
    }
}

#[test]
fn call_that_rings_while_the_clock_is_set_back_is_answered_after_it_was_tried() {
    let mut world = World::new();
    world.behave(GATEWAY_1, Behaviour::Answer { ring: std::time::Duration::from_secs(8), talk: None });
    world.dial(ALICE, "49301234", 30);
    world.run_seconds(4);
    world.set_by = TimeDelta::hours(-2);
    world.run_seconds(60);
    let (tried, answered, ended, us) = times(&world);
    assert_eq!((answered - tried, ended - answered), (TimeDelta::seconds(8), TimeDelta::seconds(30)));
    assert_eq!(us, 30_000_000);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "BYE"), 1);
}
