//! Calls whose end does not come, or comes late.

use std::time::Duration;

use expect_test::expect;
use mediator::{Mediator, MediatorConfig};
use model::{Effect, Stage};

use crate::script::{Saved, check, events, feed, picture};

#[test]
fn lost_end_closes_the_call_at_its_last_sign_of_life() {
    check(
        "0 attempt
         5 answer 1
         1805 tick 1800
         1900 hold
         16299 log
         16300 log
         99999 log",
        expect![[r#"
            a/0 r0 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 1800000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 1895000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r2 partial call failed 200 lost_end by switch | in 12:00:00 start 12:00:05 for 1895000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn call_lost_while_ringing_costs_nothing() {
    check(
        "0 attempt
         1 progress 180
         14401 log",
        expect![[r#"
            a/0 r0 partial call failed 0 lost_end by switch | in 12:00:00 start 12:00:01 for 0 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn tick_alone_shows_that_the_call_was_answered() {
    check(
        "0 attempt
         65 tick 60
         20000 log",
        expect![[r#"
            a/0 r0 partial call failed 200 lost_end by switch | in 12:00:00 start 12:00:05 for 60000000 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn charge_tick_keeps_a_call_open() {
    check(
        "0 attempt
         5 answer 1
         14000 tick 13995
         14405 log",
        expect![[r#"
            a/0 r0 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 13995000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            1 open
        "#]],
    );
}

/// Whoever begins again from a commit knows of each call only when it is due: the order of the records must not hang on anything else.
#[test]
fn calls_that_are_given_up_at_once_are_so_in_the_order_in_which_they_were_due() {
    let begin = "0 attempt
         1 attempt call=b
         100 progress 180";
    let whole = picture(MediatorConfig::default(), &format!("{begin}\n99999 log"));
    let starts: Vec<&str> = whole.lines().filter_map(|line| line.trim().split(' ').next()).collect();
    assert_eq!(starts, ["b/0", "a/0"], "b was silent first: {whole}");
}

#[test]
fn late_end_supersedes_the_partial_record() {
    check(
        "0 attempt
         5 answer 1
         20000 log
         21005 end 21000 200 normal caller",
        expect![[r#"
            a/0 r0 partial call failed 200 lost_end by switch | in 12:00:00 start 12:00:05 for 0 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 21000000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn call_that_shows_life_after_it_was_given_up_is_open_again() {
    check(
        "0 attempt
         5 answer 1
         20000 log
         20005 tick 20000
         40000 log",
        expect![[r#"
            a/0 r0 partial call failed 200 lost_end by switch | in 12:00:00 start 12:00:05 for 0 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 partial call failed 200 lost_end by switch | in 12:00:00 start 12:00:05 for 20000000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

/// A switch that never lets go of a call: its signs of life go on, and its record must not wait for them.
#[test]
fn call_that_is_too_old_is_closed_once_whatever_life_it_shows_and_its_end_still_counts() {
    let hourly: String =
        (1..=30).map(|hour| format!("{0} tick {1}\n", hour * 3_600, hour * 3_600 - 5)).collect();
    let config = MediatorConfig { interim_every: Duration::ZERO, ..MediatorConfig::default() };
    let script = format!("0 attempt\n5 answer 1\n{hourly}111600 end 111595 200 normal caller");
    expect![[r#"
        a/0 r0 partial call failed 200 lost_end by switch | in 12:00:00 start 12:00:05 for 86395000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        a/0 r1 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 111595000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
    "#]]
    .assert_eq(&picture(config, &script));
}

#[test]
fn restarted_switch_closes_its_calls_and_no_others() {
    check(
        "0 attempt
         5 answer 1
         35 tick 30
         1 attempt call=b node=sw2
         2 attempt call=c boot=2
         40 started boot=2",
        expect![[r#"
            a/0 r0 partial call failed 200 switch_restart by switch | in 12:00:00 start 12:00:05 for 30000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            2 open
        "#]],
    );
}

#[test]
fn end_that_was_on_its_way_when_the_switch_restarted_still_counts() {
    check(
        "0 attempt seq=1
         5 answer 1 seq=2
         40 started boot=2 seq=1
         38 end 33 200 normal caller seq=3",
        expect![[r#"
            a/0 r0 partial call failed 200 switch_restart by switch | in 12:00:00 start 12:00:05 for 0 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 33000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn events_of_a_dead_process_after_the_restart_are_not_waited_on_for_hours() {
    check(
        "40 started boot=2 seq=1
         0 attempt seq=1
         5 answer 1 seq=2
         700 log",
        expect![[r#"
            a/0 r0 partial call failed 200 switch_restart by switch | in 12:00:00 start 12:00:05 for 0 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn hour_old_events_after_an_outage_are_not_given_up_on_arrival() {
    check(
        "18000 log
         0 attempt
         5 answer 1
         65 end 60 200 normal caller",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 60000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn switch_whose_clock_is_years_ahead_ends_no_call_of_others() {
    check(
        "0 log
         0 attempt
         5 answer 1
         99999999 attempt call=b node=sw2
         65 end 60 200 normal caller",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 60000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            1 open
        "#]],
    );
}

/// How many calls a mediator remembers that have closed: those whose first event, told again, says nothing new.
fn remembered(saved: &Saved, config: &MediatorConfig, calls: &[&str]) -> Vec<String> {
    let knows = |call: &str| {
        let mut mediator = saved.load(config.clone());
        let effects = feed(&mut mediator, &events(&format!("0 attempt call={call} seq=1")));
        effects.contains(&Effect::Repeated)
    };
    calls.iter().filter(|call| knows(call)).map(|call| (*call).to_owned()).collect()
}

#[test]
fn memory_of_closed_calls_ends() {
    let (mut mediator, mut saved) = (Mediator::new(MediatorConfig::default()), Saved::default());
    feed(&mut mediator, &events("0 attempt seq=1\n5 reject 403 locked_out\n"));
    saved.commit(mediator.take_changes());
    assert_eq!(remembered(&saved, &MediatorConfig::default(), &["a"]), ["a"]);
    feed(&mut mediator, &events("605 log"));
    saved.commit(mediator.take_changes());
    assert_eq!(remembered(&saved, &MediatorConfig::default(), &["a"]), [""; 0]);
}

#[test]
fn full_memory_forgets_the_oldest_first() {
    let script = "0 attempt call=a seq=1\n1 reject 403 locked_out call=a\n\
                  2 attempt call=b seq=1\n3 reject 403 locked_out call=b\n\
                  4 attempt call=c seq=1\n5 reject 403 locked_out call=c";
    for config in [
        MediatorConfig { remembered_max: 2, ..MediatorConfig::default() },
        // Two calls, with what they take in tables, and not three.
        MediatorConfig { remembered_bytes_max: 1_000, ..MediatorConfig::default() },
    ] {
        let (mut mediator, mut saved) = (Mediator::new(config.clone()), Saved::default());
        feed(&mut mediator, &events(script));
        saved.commit(mediator.take_changes());
        assert_eq!(
            remembered(&saved, &MediatorConfig::default(), &["a", "b", "c"]),
            ["b", "c"],
            "{config:?}"
        );
    }
}

#[test]
fn long_call_has_a_record_every_quarter_of_an_hour_and_its_end_supersedes_them() {
    check(
        "0 attempt
         5 answer 1
         875 tick 870
         904 log
         905 log
         1775 tick 1770
         1820 log
         1900 end 1895 200 normal caller",
        expect![[r#"
            a/0 r0 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 870000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 1770000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r2 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 1895000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn call_that_said_nothing_since_its_last_record_gets_no_other() {
    check(
        "0 attempt
         5 answer 1
         905 log
         1805 log
         2000 hold
         2705 log",
        expect![[r#"
            a/0 r0 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 0 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 1995000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            1 open
        "#]],
    );
}

#[test]
fn ringing_call_has_no_record_before_its_answer() {
    check(
        "0 attempt
         1 progress 180
         2000 log
         2005 answer 1
         2900 log
         2905 log",
        expect![[r#"
            a/0 r0 partial call ok 200 in_progress by switch | in 12:00:00 start 12:33:25 for 0 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            1 open
        "#]],
    );
}

#[test]
fn call_without_an_end_is_closed_after_its_records() {
    check(
        "0 attempt
         5 answer 1
         905 tick 900
         20000 log",
        expect![[r#"
            a/0 r0 partial call ok 200 in_progress by switch | in 12:00:00 start 12:00:05 for 900000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 partial call failed 200 lost_end by switch | in 12:00:00 start 12:00:05 for 900000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn records_of_calls_that_are_up_can_be_switched_off() {
    let config = MediatorConfig { interim_every: Duration::ZERO, ..MediatorConfig::default() };
    let shown = picture(config, "0 attempt\n5 answer 1\n905 tick 900\n5000 log");
    assert_eq!(shown, "1 open\n");
}
