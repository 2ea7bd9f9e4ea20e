//! What contradicts itself is put aside under a stable code.

use expect_test::expect;
use mediator::MediatorConfig;

use crate::script::{check, picture};

#[test]
fn end_without_attempt_is_suspended_when_the_attempt_stays_away() {
    check(
        "65 end 60 200 normal caller seq=7
         14464 log
         14465 log
         20000 log",
        expect![[r#"
            MED001 of 11 after_repair: leg 0 of call a has no attempt; of node sw1 boot 1 only events 7 to 7 were seen: look for the missing event in the switch's log and resubmit it
        "#]],
    );
}

#[test]
fn attempt_that_comes_after_all_makes_the_record() {
    check(
        "65 end 60 200 normal caller seq=7
         14465 log
         0 attempt seq=5",
        expect![[r#"
            MED001 of 11 after_repair: leg 0 of call a has no attempt; of node sw1 boot 1 only events 7 to 7 were seen: look for the missing event in the switch's log and resubmit it
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 60000000 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn call_longer_than_the_time_between_its_events_is_suspended_once() {
    check(
        "0 attempt
         5 answer 1
         15 end 3600 200 normal caller
         16 hold",
        expect![[r#"
            MED003 of 11 after_repair: leg 0 of call a was answered for 3600000000 us by its own count and for 10000000 us by the clock on the wall: repair the end event, or raise mediator.clock_tolerance
        "#]],
    );
}

#[test]
fn repaired_end_makes_the_record() {
    check(
        "0 attempt seq=1
         5 answer 1 seq=2
         15 end 3600 200 normal caller seq=3
         15 end 10 200 normal caller seq=3
         15 end 3600 200 normal caller seq=3",
        expect![[r#"
            MED003 of 11 after_repair: leg 0 of call a was answered for 3600000000 us by its own count and for 10000000 us by the clock on the wall: repair the end event, or raise mediator.clock_tolerance
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 10000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn clock_that_was_set_back_during_a_call_does_not_shorten_it() {
    check(
        "100 attempt
         105 answer 1
         15 end 60 200 normal caller",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:01:40 start 12:01:45 for 60000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn refused_and_answered_is_suspended() {
    check(
        "0 attempt
         5 answer 1
         6 end 0 487 cancelled caller
         0 attempt call=b
         5 end 3 486 busy callee call=b
         0 attempt call=c
         1 reject 403 locked_out call=c
         5 end 3 200 normal caller call=c",
        expect![[r#"
            MED004 of 11 after_repair: leg 0 of call a was both answered and refused with 487: repair the wrong event
            MED004 of 11 after_repair: leg 0 of call b was both answered and refused with 486: repair the wrong event
            c/0 r0 call other 403 locked_out by switch | in 12:00:00 start 12:00:01 for 0 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
            MED004 of 11 after_repair: leg 0 of call c was both answered and refused with 403: repair the wrong event
        "#]],
    );
}

#[test]
fn event_of_no_call_and_of_two_switches() {
    check(
        "0 attempt call=-
         0 attempt call=@clock
         0 attempt
         1 reject 403 locked_out node=sw2
         2 reject 403 locked_out boot=2
         3 reject 403 locked_out",
        expect![[r#"
            MED002 of 11 after_repair: event 1 of node sw1 boot 1, of kind attempt, has no usable call name: repair the event
            MED002 of 11 after_repair: event 2 of node sw1 boot 1, of kind attempt, has no usable call name: repair the event
            MED005 of 11 after_provisioning: event 4 names call a of node sw1 boot 1, but comes from node sw2 boot 1: give each switch its own switch.node
            MED005 of 11 after_provisioning: event 5 names call a of node sw1 boot 1, but comes from node sw1 boot 2: give each switch its own switch.node
            a/0 r0 call other 403 locked_out by switch | in 12:00:00 start 12:00:03 for 0 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn full_lane_suspends_the_next_call_and_takes_it_when_resubmitted() {
    let config = MediatorConfig { calls_open_max: 1, ..MediatorConfig::default() };
    let shown = picture(
        config,
        "0 attempt
         1 attempt call=b seq=2
         2 end 0 486 busy callee
         3 end 0 486 busy callee call=b
         1 attempt call=b seq=2",
    );
    expect![[r#"
        MED006 of 11 after_provisioning: call b would be open beside 1 others: raise mediator.calls_open_max or find out why calls do not end, then resubmit
        a/0 r0 call busy 486 busy by callee | in 12:00:00 start 12:00:02 for 0 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
        b/0 r0 call busy 486 busy by callee | in 12:00:01 start 12:00:03 for 0 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
    "#]].assert_eq(&shown);
}
