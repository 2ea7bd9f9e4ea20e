//! How many events a second one mediator takes, on one core, and what it holds in memory meanwhile. Prints figures; decides nothing.
//!
//! `cargo bench -p mediator` runs all of it; `cargo bench -p mediator -- 100000` takes so many calls instead of two million.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::float_arithmetic, reason = "figures for people, not money")]
#![expect(clippy::cast_precision_loss, reason = "figures for people, not money")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use mediator::{Mediator, MediatorConfig};
use model::{
    AccountId, Answer, Attempt, AuthMethod, Body, CallEvent, CallUid, Cause, Effects, End, EventBody,
    Initiator, Party, RouteAction, RouteAttempt, RouteResult, Stage, StageInput, SubscriberId, TenantId,
    Transport, TrunkId,
};

/// Calls taken unless told otherwise: ten million events.
const CALLS: u64 = 2_000_000;

/// Calls that are up side by side: the next begins while the others last.
const UP: u64 = 2_000;

/// New calls a second of the log.
const CALLS_PER_SECOND: i64 = 1_000;

/// Records in a round of the runner.
const ROUND: usize = 1_024;

const EVENTS_OF_A_CALL: u64 = 5;

fn main() {
    let n_calls = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(CALLS);
    println!("{n_calls} answered calls of {EVENTS_OF_A_CALL} events, {UP} up side by side, one core");
    report("events to records", n_calls, false);
    report("the same, with the state for each commit", n_calls, true);
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn report(what: &str, n_calls: u64, with_state: bool) {
    let script: Vec<Body> = (0..EVENTS_OF_A_CALL).map(event).collect();
    let mut mediator = Mediator::new(MediatorConfig::default());
    let mut effects = Effects::default();
    let (mut n_cdrs, mut n_state_bytes, mut offset) = (0_u64, 0_usize, 0_u64);
    let (mut wall, mut cpu_ns) = (std::time::Duration::ZERO, 0);
    let mut bodies = Vec::new();
    let mut call = 0;
    while call < n_calls + UP {
        // What making the events costs is not the mediator's.
        while bodies.len() < ROUND && call < n_calls + UP {
            // The call begins, and the one that began `UP` calls ago ends.
            if call < n_calls {
                bodies.extend(script.iter().take(4).map(|body| of_call(body, call, call)));
            }
            if let Some(ended) = call.checked_sub(UP) {
                bodies.push(of_call(&script[4], ended, call));
            }
            call += 1;
        }
        let (began, cpu_began_ns) = (now(), on_cpu_ns());
        for body in bodies.drain(..) {
            mediator.apply(StageInput { partition: 0, offset, body }, &mut effects);
            offset += 1;
            n_cdrs += effects
                .0
                .drain(..)
                .map(|effect| u64::from(matches!(black_box(effect), model::Effect::Append { .. })))
                .sum::<u64>();
        }
        let changes = if with_state { mediator.take_changes() } else { Vec::new() };
        n_state_bytes +=
            changes.iter().filter_map(|change| change.value.as_ref()).map(Vec::len).sum::<usize>();
        drop(changes);
        cpu_ns += on_cpu_ns() - cpu_began_ns;
        wall += began.elapsed();
    }
    let n_events = n_calls * EVENTS_OF_A_CALL;
    assert_eq!(n_cdrs, n_calls, "one record of each call");
    println!(
        "{what}: {:.0} events/s by the processor, {:.0} by the wall, {n_cdrs} records, {} MB of state written, {} MB \
         resident",
        n_events as f64 / cpu_ns as f64 * 1e9,
        n_events as f64 / wall.as_secs_f64(),
        n_state_bytes >> 20,
        resident_mb(),
    );
}

/// Of this process now; 0 where the system does not tell.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0)
        >> 10
}

/// Time this process has had of the processor, nanoseconds: on a shared machine it says more than the wall's. 0 where the system does
/// not tell.
fn on_cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// `body` as an event of `call`, sent when call number `at` began.
fn of_call(body: &Body, call: u64, at: u64) -> Body {
    let Body::Call(event) = body else { return body.clone() };
    let mut event = event.clone();
    event.call = Some(CallUid::new(format!("sw1-1-{call}")));
    event.seq += call * EVENTS_OF_A_CALL;
    event.at = start() + TimeDelta::microseconds(at.cast_signed() * 1_000_000 / CALLS_PER_SECOND);
    Body::Call(event)
}

/// The `n`th event of a call that is routed, answered and hung up.
fn event(n: u64) -> Body {
    let peer = SocketAddr::from(([192, 0, 2, 10], 5060));
    let trunk = Party::Trunk { trunk: TrunkId(3), account: AccountId(20) };
    let body = match n {
        0 => EventBody::Attempt(Box::new(Attempt {
            sip_call_id: "a84b4c76e66710@pc33.example.com".into(),
            caller: Party::Subscriber {
                subscriber: SubscriberId(1),
                account: AccountId(11),
                reseller: AccountId(5),
                uuid: "7f3c2a90-5f0e-4c57-9d0b-2f5f6a1c8e44".into(),
            },
            from_user: "anna".into(),
            from_domain: "sip.example.org".into(),
            dialed: "004930555123".into(),
            dialed_domain: "sip.example.org".into(),
            cli: "43660555123".parse().ok(),
            clir: false,
            callee: "4930555123".parse().ok(),
            source: peer,
            transport: Transport::Udp,
            user_agent: "phone/1.0".into(),
            auth: AuthMethod::Digest,
            asserted_identity: "".into(),
            diversion: "".into(),
            detail: None,
        })),
        1 => EventBody::RouteAttempt(RouteAttempt {
            attempt: 1,
            callee: trunk,
            next_hop: peer,
            caller_out: "+43660555123".into(),
            callee_out: "+4930555123".into(),
            sip_call_id: "y1@sw1".into(),
            login: None,
        }),
        2 => EventBody::RouteResult(RouteResult {
            attempt: 1,
            code: 200,
            phrase: "OK".into(),
            reason: "".into(),
            pdd_us: Some(1_240_000),
            action: RouteAction::Stop,
        }),
        3 => EventBody::Answer(Answer {
            attempt: 1,
            code: 200,
            setup_us: 2_000_000,
            codec: "PCMA/8000".into(),
            user_agent: "gateway/2".into(),
        }),
        _ => EventBody::End(End {
            answered_us: u64::try_from(UP.cast_signed() * 1_000_000 / CALLS_PER_SECOND).unwrap_or(0),
            by: Initiator::Caller,
            cause: Cause::Normal,
            code: 200,
            reason: "".into(),
            media: None,
        }),
    };
    Body::Call(Box::new(CallEvent {
        node: "sw1".into(),
        boot: 1,
        seq: n + 1,
        at: start(),
        config_revision: 1,
        tenant: TenantId(1),
        payer: AccountId(11),
        call: None,
        leg: 0,
        body,
    }))
}
