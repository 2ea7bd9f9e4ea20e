//! Events as lines of text, and records as lines of text.
//!
//! A line is `SECONDS KIND ARGUMENTS`, with `call=`, `leg=`, `seq=`, `node=`, `boot=` or `payer=` anywhere in it. Seconds
//! count from 12:00. Events are numbered as they stand.

use std::cell::RefCell;
use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};
use mediator::{Mediator, MediatorConfig};
use model::{
    AccountId, Answer, Attempt, AuthMethod, Body, CallEvent, CallUid, CallUpdate, Cdr, ChargeTick, Effect,
    Effects, End, EventBody, Forwarded, NodeStarted, Party, Progress, Provisioned, ProvisioningChange,
    Registration, RegistrationChange, Rejected, RouteAction, RouteAttempt, RouteResult, Security,
    SecurityKind, Stage, StageInput, StateChange, SubscriberId, TenantId, Topic, Transport, TrunkHealth,
    TrunkId, TrunkState, UpdateKind,
};

/// 12:00 of the day of all scripts.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-10-05T12:00:00Z".parse().unwrap()
}

/// `"2.5"` seconds after noon.
pub(crate) fn at(seconds: &str) -> DateTime<Utc> {
    noon() + TimeDelta::microseconds(i64::try_from(us(seconds)).unwrap())
}

fn us(seconds: &str) -> u64 {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    format!("{whole}{part:0<6}").parse().unwrap()
}

fn address() -> SocketAddr {
    "192.0.2.10:5060".parse().unwrap()
}

pub(crate) fn subscriber(id: i64) -> Party {
    Party::Subscriber {
        subscriber: SubscriberId(id),
        account: AccountId(id + 10),
        reseller: AccountId(5),
        uuid: format!("uuid-{id}").into(),
    }
}

fn trunk(id: i64) -> Party {
    Party::Trunk { trunk: TrunkId(id), account: AccountId(id + 100) }
}

/// The records of a script.
pub(crate) fn events(script: &str) -> Vec<Body> {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    (1..).zip(lines).map(|(seq, line)| event(seq, line)).collect()
}

fn event(seq: u64, line: &str) -> Body {
    let (mut call, mut leg, mut seq, mut node, mut boot, mut payer) = ("a", 0, seq, "sw1", 1, 11);
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        match word.split_once('=') {
            Some(("call", value)) => call = value,
            Some(("leg", value)) => leg = value.parse().unwrap(),
            Some(("seq", value)) => seq = value.parse().unwrap(),
            Some(("node", value)) => node = value,
            Some(("boot", value)) => boot = value.parse().unwrap(),
            Some(("payer", value)) => payer = value.parse().unwrap(),
            Some(_) | None => words.push(word),
        }
    }
    let body = match words[1..] {
        ["log"] => return Body::Tick(at(words[0])),
        ["attempt"] => EventBody::Attempt(Box::new(Attempt {
            sip_call_id: "x1@phone".into(),
            caller: subscriber(1),
            from_user: "anna".into(),
            from_domain: "example.org".into(),
            dialed: "0660555123".into(),
            dialed_domain: "example.org".into(),
            cli: Some("431234567".parse().unwrap()),
            clir: false,
            callee: Some("43660555123".parse().unwrap()),
            source: address(),
            transport: Transport::Udp,
            user_agent: "phone/1".into(),
            auth: AuthMethod::Digest,
            asserted_identity: "".into(),
            diversion: "".into(),
            detail: None,
        })),
        ["reject", code, cause] => EventBody::Rejected(Rejected {
            cause: cause.parse().unwrap(),
            code: code.parse().unwrap(),
            phrase: "".into(),
            object: "".into(),
        }),
        ["route", attempt] => EventBody::RouteAttempt(RouteAttempt {
            attempt: attempt.parse().unwrap(),
            callee: trunk(attempt.parse().unwrap()),
            next_hop: address(),
            caller_out: "+431234567".into(),
            callee_out: format!("{attempt}43660555123").into(),
            sip_call_id: format!("y{attempt}@sw1").into(),
            login: None,
        }),
        ["result", attempt, code, action] => EventBody::RouteResult(RouteResult {
            attempt: attempt.parse().unwrap(),
            code: code.parse().unwrap(),
            phrase: "".into(),
            reason: "".into(),
            pdd_us: Some(1_000_000 * attempt.parse::<u64>().unwrap()),
            action: if action == "next" { RouteAction::Next } else { RouteAction::Stop },
        }),
        ["progress", code] => EventBody::Progress(Progress { code: code.parse().unwrap(), with_sdp: false }),
        ["answer", attempt] => EventBody::Answer(Answer {
            attempt: attempt.parse().unwrap(),
            code: 200,
            setup_us: 0,
            codec: "PCMA/8000".into(),
            user_agent: "gateway/2".into(),
        }),
        ["hold"] => EventBody::Update(CallUpdate { change: UpdateKind::Hold, codec: "".into() }),
        ["tick", answered] => EventBody::ChargeTick(ChargeTick { answered_us: us(answered) }),
        ["end", answered, code, cause, by] => EventBody::End(End {
            answered_us: us(answered),
            by: by.parse().unwrap(),
            cause: cause.parse().unwrap(),
            code: code.parse().unwrap(),
            reason: "".into(),
            media: None,
        }),
        ["forward", call_type, new_leg] => EventBody::Forwarded(Forwarded {
            call_type: call_type.parse().unwrap(),
            forwarder: subscriber(2),
            target: "004930555123".into(),
            callee: Some("4930555123".parse().unwrap()),
            new_leg: new_leg.parse().unwrap(),
        }),
        ["started"] => EventBody::NodeStarted(NodeStarted { version: "1".to_owned() }),
        ["register", change] => EventBody::Registration(Registration {
            change: change.parse::<RegistrationChange>().unwrap(),
            subscriber: Some(SubscriberId(1)),
            aor: "anna@example.org".to_owned(),
            contact: "sip:anna@192.0.2.10".to_owned(),
            source: address(),
            user_agent: "phone/1".to_owned(),
            expires_seconds: 3600,
            renewed: false,
        }),
        ["trunk", old, new] => EventBody::TrunkState(TrunkState {
            trunk: TrunkId(3),
            old: old.parse::<TrunkHealth>().unwrap(),
            new: new.parse::<TrunkHealth>().unwrap(),
            code: 408,
            rtt_us: None,
        }),
        ["provision", change, old, new] => EventBody::Provisioned(Provisioned {
            change: change.parse::<ProvisioningChange>().unwrap(),
            subscriber: Some(SubscriberId(1)),
            uuid: "uuid-1".to_owned(),
            reseller: AccountId(5),
            number: Some("431234567".parse().unwrap()),
            old: old.trim_matches('-').to_owned(),
            new: new.trim_matches('-').to_owned(),
            detail: "import".to_owned(),
        }),
        ["security", what] => EventBody::Security(Security {
            what: what.parse::<SecurityKind>().unwrap(),
            source: address(),
            user: "admin".to_owned(),
            detail: "wrong password".to_owned(),
            count: 3,
        }),
        _ => panic!("no such line: {line}"),
    };
    Body::Call(Box::new(CallEvent {
        node: node.into(),
        boot,
        seq,
        at: at(words[0]),
        config_revision: 4,
        tenant: TenantId(1),
        payer: AccountId(payer),
        call: (call != "-").then(|| CallUid::new(call)),
        leg,
        body,
    }))
}

thread_local! {
    /// The log of the lane: all that was fed on this thread.
    static LOG: RefCell<Vec<Body>> = const { RefCell::new(Vec::new()) };
}

/// Applies records one by one.
pub(crate) fn feed(mediator: &mut Mediator, bodies: &[Body]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for body in bodies {
        let offset = LOG.with_borrow_mut(|log| {
            log.push(body.clone());
            log.len() as u64 - 1
        });
        effects.extend(apply(mediator, offset, body.clone()));
    }
    effects
}

fn apply(mediator: &mut Mediator, offset: u64, body: Body) -> Vec<Effect> {
    let mut effects = Effects::default();
    mediator.apply(StageInput { partition: 0, offset, body }, &mut effects);
    if let [Effect::AskAgain(body)] = &effects.0[..] {
        tell_again(mediator);
        return apply(mediator, offset, (**body).clone());
    }
    assert!(!effects.0.iter().any(|effect| matches!(effect, Effect::AskAgain(_))));
    effects.0
}

fn tell_again(mediator: &mut Mediator) {
    let record = |offset: u64| LOG.with_borrow(|log| (offset, log[usize::try_from(offset).unwrap()].clone()));
    mediator.hear_again(mediator.wants_again().into_iter().map(record).collect()).unwrap();
}

/// The picture of what a script leads to.
pub(crate) fn picture(config: MediatorConfig, script: &str) -> String {
    let mut mediator = Mediator::new(config);
    let effects = feed(&mut mediator, &events(script));
    let mut lines: Vec<String> = effects.iter().filter(|effect| is_shown(effect)).map(line_of).collect();
    if mediator.open_calls() > 0 {
        lines.push(format!("{} open", mediator.open_calls()));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// One script, one picture.
pub(crate) fn check(script: &str, expected: expect_test::Expect) {
    expected.assert_eq(&picture(MediatorConfig::default(), script));
}

/// What is kept of an EDR is what is appended.
fn is_shown(effect: &Effect) -> bool {
    !matches!(effect, Effect::Repeated | Effect::Edr(_))
}

fn line_of(effect: &Effect) -> String {
    match effect {
        Effect::Append { topic, key, body } => {
            assert_eq!(*topic, Topic::Cdrs);
            match &**body {
                Body::Cdr(cdr) => {
                    assert_eq!(*key, cdr.payer);
                    line_of_cdr(cdr)
                }
                Body::Edr(edr) => {
                    assert_eq!(*key, edr.account);
                    let change = format!("{:?} -> {:?}", edr.old_status, edr.new_status);
                    format!("edr {} {} {change} of {}: {}", edr.id, edr.kind, edr.account, edr.detail)
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        Effect::Suspend(suspended) => {
            format!("{} of {} {}: {}", suspended.code, suspended.account, suspended.retry, suspended.message)
        }
        other => panic!("unexpected {other:?}"),
    }
}

fn line_of_cdr(cdr: &Cdr) -> String {
    let time = |time: DateTime<Utc>| time.format("%H:%M:%S%.f").to_string();
    let attempts: Vec<String> = cdr
        .attempts
        .iter()
        .map(|tried| format!("{}:{}:{}", tried.attempt, tried.code, tried.action))
        .collect();
    format!(
        "{}/{} r{} {}{} {} {} {} by {} | in {} start {} for {} us, pdd {:?} {} [{}] | {} pays: {} -> {} as {}",
        cdr.call,
        cdr.leg,
        cdr.revision,
        if cdr.partial { "partial " } else { "" },
        cdr.call_type,
        cdr.status,
        cdr.code,
        cdr.cause,
        cdr.ended_by,
        time(cdr.init_at),
        time(cdr.start_at),
        cdr.duration_us,
        cdr.pdd_us,
        if cdr.codec.is_empty() { "-" } else { &cdr.codec },
        attempts.join(" "),
        cdr.payer,
        cdr.source.user,
        cdr.destination.user_in,
        if cdr.destination.user_out.is_empty() { "-" } else { &cdr.destination.user_out },
    )
}

/// All CDRs among effects, in order.
pub(crate) fn cdrs(effects: &[Effect]) -> Vec<Cdr> {
    let mut cdrs = Vec::new();
    for effect in effects {
        if let Effect::Append { body, .. } = effect
            && let Body::Cdr(cdr) = &**body
        {
            cdrs.push((**cdr).clone());
        }
    }
    cdrs
}

/// The database of one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Saved(pub(crate) std::collections::BTreeMap<String, Vec<u8>>);

impl Saved {
    pub(crate) fn commit(&mut self, changes: Vec<StateChange>) {
        for StateChange { key, value } in changes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    pub(crate) fn load(&self, config: MediatorConfig) -> Mediator {
        let mut mediator = Mediator::new(config);
        mediator.restore(self.0.clone().into_iter().collect()).unwrap();
        tell_again(&mut mediator);
        mediator
    }
}
