//! The mediator stops and starts: nothing is lost, nothing comes twice.

use mediator::{Mediator, MediatorConfig};
use model::Stage;
use proptest::prelude::*;

use crate::script::{Saved, events, feed};

const SCRIPT: &str = "0 attempt
    0.1 register ok call=-
    0.2 route 1
    3 result 1 503 next
    3.1 route 2
    5 answer 2
    6 attempt call=b
    7 forward cfu 1 call=b
    7 route 1 leg=1 call=b payer=12
    8 reject 404 callee_unknown call=b leg=1 payer=12
    9 attempt call=c
    10 end 65 200 normal caller call=d
    30 tick 25
    0.1 register ok call=- seq=2
    31 end 0 404 callee_unknown callee call=b
    32 end 27 200 normal caller
    5.5 progress 180
    33 started boot=2 seq=1
    34 attempt call=e boot=2
    9.5 attempt call=d seq=9
    700 log
    20000 log
    20001 end 19000 200 normal caller call=e boot=2
    400000 log";

proptest! {
    /// A batch is applied, the process dies before the commit, and the batch comes again.
    #[test]
    fn replay_after_a_crash_gives_the_same_outputs(cuts in proptest::collection::vec(0_usize..24, 0..6)) {
        let all = events(SCRIPT);
        let whole = feed(&mut Mediator::new(MediatorConfig::default()), &all);
        let mut cuts = cuts;
        cuts.sort_unstable();
        cuts.push(all.len());
        let mut saved = Saved::default();
        let (mut from, mut pieces) = (0, Vec::new());
        for to in cuts {
            // The first try is lost with its process.
            let lost = feed(&mut saved.load(MediatorConfig::default()), &all[from..to]);
            let mut mediator = saved.load(MediatorConfig::default());
            let kept = feed(&mut mediator, &all[from..to]);
            prop_assert_eq!(&lost, &kept);
            saved.commit(mediator.take_changes());
            pieces.extend(kept);
            from = to;
        }
        prop_assert_eq!(pieces, whole);
    }
}

#[test]
fn open_calls_are_counted_by_their_keys() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let mut saved = Saved::default();
    feed(&mut mediator, &events(SCRIPT)[..15]);
    saved.commit(mediator.take_changes());
    let open: Vec<&String> = saved.0.keys().filter(|key| mediator::is_open_call_key(key)).collect();
    assert_eq!(open, ["a", "c", "d"]);
    assert_eq!(mediator.open_calls(), 3);
    assert!(!mediator::is_open_call_key("\u{1}counts"));
}

#[test]
fn nothing_but_clock_and_nodes_stays_in_the_end() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let mut saved = Saved::default();
    feed(&mut mediator, &events(SCRIPT));
    saved.commit(mediator.take_changes());
    assert_eq!(saved.0.keys().collect::<Vec<_>>(), ["@clock", "@node/sw1"]);
}

#[test]
fn state_of_a_later_version_is_refused_with_its_name() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let why = mediator.restore(vec![("a".to_owned(), br#"{"v":2,"is":{}}"#.to_vec())]).unwrap_err();
    assert!(why.contains("\"a\" has version 2"), "{why}");
    let why = mediator.restore(vec![("a".to_owned(), b"{".to_vec())]).unwrap_err();
    assert!(why.contains("\"a\" cannot be read"), "{why}");
}

/// What 0.1.0 wrote: later versions must go on reading it.
#[test]
fn state_of_the_first_version_is_still_read() {
    let kept = include_str!("../golden/v1/state.jsonl");
    let entries = kept.lines().map(|line| {
        let (key, value) = line.split_once('\t').unwrap();
        (key.to_owned(), value.as_bytes().to_vec())
    });
    let mut mediator = Mediator::new(MediatorConfig::default());
    mediator.restore(entries.collect()).unwrap();
    assert_eq!(mediator.open_calls(), 3);
    let after = feed(&mut mediator, &events(SCRIPT)[15..]);
    let mut whole = Mediator::new(MediatorConfig::default());
    feed(&mut whole, &events(SCRIPT)[..15]);
    assert_eq!(after, feed(&mut whole, &events(SCRIPT)[15..]));
}

#[test]
fn open_call_takes_less_than_two_kilobytes_of_state() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    feed(
        &mut mediator,
        &events("0 attempt\n0.1 route 1\n1 progress 180\n5 result 1 200 stop\n5 answer 1\n35 tick 30"),
    );
    let changes = mediator.take_changes();
    let call = changes.iter().find(|change| change.key == "a").unwrap();
    let bytes = call.value.as_ref().unwrap().len();
    assert!(bytes < 2_000, "{bytes} bytes");
}
