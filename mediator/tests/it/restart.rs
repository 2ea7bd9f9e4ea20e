//! The mediator stops and starts: nothing is lost, nothing comes twice.

use mediator::{Mediator, MediatorConfig, OpenCall};
use model::{Body, Effect, Effects, Stage, StageInput};
use proptest::prelude::*;

use crate::script::{Saved, cdrs, events, feed};

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

/// `CALL since MINUTE:SECOND, legs without a record`, of those that a commit has.
fn open_calls(saved: &Saved) -> Vec<String> {
    let kept = saved.0.iter().filter(|(key, _)| mediator::has_open_calls(key));
    let calls = mediator::open_calls(kept.map(|(key, value)| (key.as_str(), value.as_slice()))).unwrap();
    let since = |call: &OpenCall| call.up_since.map_or("-".to_owned(), |at| at.format("%M:%S").to_string());
    calls.iter().map(|call| format!("{} {} {:?}", call.call, since(call), call.legs_without_record)).collect()
}

#[test]
fn open_calls_are_read_from_what_commits_have_left() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let mut saved = Saved::default();
    for piece in events(SCRIPT)[..15].chunks(2) {
        feed(&mut mediator, piece);
        saved.commit(mediator.take_changes());
    }
    assert_eq!(open_calls(&saved), ["a 00:05 [0]", "c - [0]", "d - []"]);
    assert_eq!(mediator.open_calls(), 3);
    feed(&mut mediator, &events(SCRIPT)[15..17]);
    saved.commit(mediator.take_changes());
    assert_eq!(open_calls(&saved), ["c - [0]", "d - []"]);
    assert!(!mediator::has_open_calls("\u{1}counts"));
}

/// Calls of half a minute, two a second, of which every hundredth lasts for twenty minutes; each told at its end what it was.
fn busy_hour(n_calls: u64) -> Vec<Body> {
    let mut lines: Vec<(u64, String)> = (0..n_calls)
        .flat_map(|n| {
            let (began_ms, talk_s) = (n * 500, if n % 100 == 0 { 1_200 } else { 30 });
            let end_ms = began_ms + 2_000 + talk_s * 1_000;
            let at = |ms: u64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
            [
                (began_ms, format!("{} attempt call=c{n}", at(began_ms))),
                (began_ms + 100, format!("{} route 1 call=c{n}", at(began_ms + 100))),
                (began_ms + 2_000, format!("{} answer 1 call=c{n}", at(began_ms + 2_000))),
                (end_ms, format!("{} end {talk_s} 200 normal caller call=c{n}", at(end_ms))),
            ]
        })
        .collect();
    lines.sort();
    let script: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    events(&script.join("\n"))
}

/// What is kept is rewritten and dropped many times over meanwhile; each commit is followed by a new process.
#[test]
fn restarts_in_a_busy_hour_lose_no_call_and_leave_little_state() {
    let config = MediatorConfig { late_for: std::time::Duration::from_secs(60), ..MediatorConfig::default() };
    let all = busy_hour(4_000);
    let whole = feed(&mut Mediator::new(config.clone()), &all);
    let (mut saved, mut pieces, mut bytes_max) = (Saved::default(), Vec::new(), 0);
    for (n, piece) in all.chunks(97).enumerate() {
        let mut mediator = saved.load(config.clone());
        pieces.extend(feed(&mut mediator, piece));
        saved.commit(mediator.take_changes());
        bytes_max = bytes_max.max(saved.0.values().map(Vec::len).sum::<usize>());
        if n % 50 == 0 {
            assert_eq!(open_calls(&saved).len(), saved.load(config.clone()).open_calls());
        }
    }
    assert_eq!(pieces.len(), whole.len());
    assert!(pieces == whole, "the outputs differ");
    // At most 300 calls are known at a time, of some 50 bytes each.
    assert!(bytes_max < 2 * 300 * 50 + 2 * (64 << 10), "{bytes_max} bytes");
}

#[test]
fn nothing_of_calls_counts_in_the_end() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let mut saved = Saved::default();
    for piece in events(SCRIPT).chunks(3) {
        feed(&mut mediator, piece);
        saved.commit(mediator.take_changes());
    }
    assert_eq!(open_calls(&saved), [""; 0]);
    let keys = saved.0.keys().filter(|key| !key.starts_with('#') && !key.starts_with("@done/"));
    assert_eq!(keys.collect::<Vec<_>>(), ["@clock", "@node/sw1"]);
}

#[test]
fn state_of_a_later_version_is_refused_with_its_name() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let why = mediator.restore(vec![("a".to_owned(), br#"{"v":2,"is":{}}"#.to_vec())]).unwrap_err();
    assert!(why.contains("\"a\" has version 2"), "{why}");
    let why = mediator.restore(vec![("a".to_owned(), b"{".to_vec())]).unwrap_err();
    assert!(why.contains("\"a\" cannot be read"), "{why}");
    let key = "#00000/0000000000000000";
    let why = mediator.restore(vec![(key.to_owned(), vec![4])]).unwrap_err();
    assert!(why.contains("has version 4"), "{why}");
    for damaged in
        [vec![2, 1, b'a', 5, 1], vec![3, 0, 1, b'a', 5, 1], vec![3, 0, 1, b'a', 2, 7], vec![3, 1, 0]]
    {
        let why = mediator.restore(vec![(key.to_owned(), damaged)]).unwrap_err();
        assert!(why.contains("is damaged"), "{why}");
    }
}

/// Entries as `KEY<tab>VALUE` in lines.
fn kept(golden: &str, value: impl Fn(&str) -> Vec<u8>) -> Saved {
    let entries = golden.lines().map(|line| {
        let (key, text) = line.split_once('\t').unwrap();
        (key.to_owned(), value(text))
    });
    Saved(entries.collect())
}

fn of_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Goes on from the middle of the script as if it had never stopped, and writes what it took over in the form of today.
fn check_goes_on(mut saved: Saved) {
    let mut mediator = saved.load(MediatorConfig::default());
    assert_eq!(mediator.open_calls(), 3);
    let mut whole = Mediator::new(MediatorConfig::default());
    feed(&mut whole, &events(SCRIPT)[..15]);
    let all = events(SCRIPT);
    let first = feed(&mut mediator, &all[15..16]);
    assert_eq!(first, feed(&mut whole, &all[15..16]));
    saved.commit(mediator.take_changes());
    assert!(saved.0.keys().all(|key| key.starts_with(['#', '@']) && !key.starts_with("@closed/")));
    assert_eq!(feed(&mut saved.load(MediatorConfig::default()), &all[16..]), feed(&mut whole, &all[16..]));
}

/// What 0.1.0 wrote: later versions must go on reading it.
#[test]
fn state_of_the_first_version_is_still_read() {
    let saved = kept(include_str!("../golden/v1/state.jsonl"), |text| text.as_bytes().to_vec());
    assert_eq!(open_calls(&saved), ["a 00:05 [0]", "c - [0]", "d - []"]);
    check_goes_on(saved);
}

/// The first in binary form.
#[test]
fn state_of_the_second_version_is_still_read() {
    check_goes_on(kept(include_str!("../golden/v2/state.hex"), of_hex));
}

/// The first that leaves to the log what the log has.
#[test]
fn state_of_the_third_version_is_still_read() {
    // Its events lie in the log.
    feed(&mut Mediator::new(MediatorConfig::default()), &events(SCRIPT)[..15]);
    let saved = kept(include_str!("../golden/v3/state.hex"), of_hex);
    assert_eq!(open_calls(&saved), ["a 00:05 [0]", "c - [0]", "d - []"]);
    check_goes_on(saved);
}

#[test]
fn state_is_written_as_the_third_version() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let mut saved = Saved::default();
    feed(&mut mediator, &events(SCRIPT)[..15]);
    saved.commit(mediator.take_changes());
    let hex = |value: &[u8]| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines: String = saved.0.iter().map(|(key, value)| format!("{key}\t{}\n", hex(value))).collect();
    // Another form needs another version, and the old one stays here to be read.
    expect_test::expect_file!["../golden/v3/state.hex"].assert_eq(&lines);
}

/// Whether commits have the call with all it is: with the digits that were dialled.
fn is_kept_whole(saved: &Saved) -> bool {
    saved.0.values().any(|value| value.windows(10).any(|digits| digits == b"0660555123"))
}

#[test]
fn call_that_lasts_is_kept_whole_before_the_log_forgets_its_events() {
    let (mut mediator, mut saved) = (Mediator::new(MediatorConfig::default()), Saved::default());
    feed(&mut mediator, &events("0 attempt\n0.1 route 1\n5 answer 1\n60 tick 55"));
    saved.commit(mediator.take_changes());
    assert!(!is_kept_whole(&saved));
    // It will be given up four hours after its last sign of life: beyond the six hours that the log is sure to have.
    feed(&mut mediator, &events("7300 tick 7295 seq=5"));
    saved.commit(mediator.take_changes());
    assert!(is_kept_whole(&saved));
    let end = events("20000 end 19995 200 normal caller seq=6");
    let effects = feed(&mut saved.load(MediatorConfig::default()), &end);
    assert!(!effects.is_empty() && effects == feed(&mut mediator, &end));
}

#[test]
fn late_event_of_a_closed_call_is_judged_by_all_its_events() {
    let (mut mediator, mut saved) = (Mediator::new(MediatorConfig::default()), Saved::default());
    feed(&mut mediator, &events("0 attempt\n0.1 route 1\n5 answer 1\n35 end 30 200 normal caller seq=9"));
    saved.commit(mediator.take_changes());
    assert!(!is_kept_whole(&saved));
    let late = events("4 result 1 200 stop seq=3");
    let corrected = feed(&mut mediator, &late);
    let [cdr] = &cdrs(&corrected)[..] else { panic!("one correction, not {corrected:?}") };
    assert_eq!((cdr.revision, cdr.duration_us, cdr.pdd_us), (1, 30_000_000, Some(1_000_000)));
    assert_eq!(feed(&mut saved.load(MediatorConfig::default()), &late), corrected);
    assert_eq!(feed(&mut mediator, &late), [Effect::Repeated]);
}

/// Answers as a log that has lost everything.
fn apply_without_a_log(mediator: &mut Mediator, body: Body) -> Vec<Effect> {
    let mut effects = Effects::default();
    mediator.apply(StageInput { partition: 0, offset: 1_000, body }, &mut effects);
    if let [Effect::AskAgain(body)] = &effects.0[..] {
        mediator.hear_again(Vec::new()).unwrap();
        return apply_without_a_log(mediator, (**body).clone());
    }
    effects.0
}

#[test]
fn closed_call_that_the_log_has_lost_is_forgotten() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    let script = events("0 attempt seq=1\n5 reject 403 locked_out\n6 attempt seq=1");
    feed(&mut mediator, &script[..2]);
    assert_eq!(apply_without_a_log(&mut mediator, script[2].clone()), []);
    assert_eq!(mediator.open_calls(), 1);
}

#[test]
fn open_call_that_the_log_has_lost_is_not_lost_in_silence() {
    let (mut mediator, mut saved) = (Mediator::new(MediatorConfig::default()), Saved::default());
    feed(&mut mediator, &events("0 attempt\n1 route 1"));
    saved.commit(mediator.take_changes());
    let mut mediator = Mediator::new(MediatorConfig::default());
    mediator.restore(saved.0.into_iter().collect()).unwrap();
    let why = mediator.hear_again(Vec::new()).unwrap_err();
    assert!(why.contains("call a is open") && why.contains("same backup"), "{why}");
}

#[test]
fn call_that_was_given_up_and_shows_life_again_is_open_after_a_restart() {
    let (mut mediator, mut saved) = (Mediator::new(MediatorConfig::default()), Saved::default());
    feed(&mut mediator, &events("0 attempt\n1 route 1\n5 answer 1\n20000 log"));
    saved.commit(mediator.take_changes());
    feed(&mut mediator, &events("20005 tick 20000 seq=9"));
    saved.commit(mediator.take_changes());
    let mut restarted = saved.load(MediatorConfig::default());
    assert_eq!((restarted.open_calls(), mediator.open_calls()), (1, 1));
    let end = events("20010 end 20005 200 normal caller seq=10");
    let effects = feed(&mut mediator, &end);
    assert_eq!(cdrs(&effects).len(), 1);
    assert_eq!(feed(&mut restarted, &end), effects);
}

#[test]
fn longer_memory_after_a_restart_keeps_calls_whole() {
    let (mut mediator, mut saved) = (Mediator::new(MediatorConfig::default()), Saved::default());
    feed(&mut mediator, &events("0 attempt\n1 reject 403 locked_out\n2 attempt call=b"));
    saved.commit(mediator.take_changes());
    assert!(!is_kept_whole(&saved));
    let day = std::time::Duration::from_secs(86_400);
    let patient = MediatorConfig { late_for: day, close_after: day, ..MediatorConfig::default() };
    let mut mediator = saved.load(patient);
    feed(&mut mediator, &events("3 log"));
    saved.commit(mediator.take_changes());
    let is_whole = |key: &str| {
        saved.0.iter().any(|(name, value)| {
            name.starts_with(key) && value.windows(10).any(|digits| digits == b"0660555123")
        })
    };
    assert!(is_whole("#") && is_whole("@done/"));
}

#[test]
fn open_call_takes_less_than_a_hundred_bytes_of_state() {
    let mut mediator = Mediator::new(MediatorConfig::default());
    feed(
        &mut mediator,
        &events("0 attempt\n0.1 route 1\n1 progress 180\n5 result 1 200 stop\n5 answer 1\n35 tick 30"),
    );
    let changes = mediator.take_changes();
    let bytes: usize = changes
        .iter()
        .filter(|change| mediator::has_open_calls(&change.key))
        .filter_map(|change| change.value.as_ref())
        .map(Vec::len)
        .sum();
    assert!((1..100).contains(&bytes), "{bytes} bytes");
}
