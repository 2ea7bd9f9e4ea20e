//! Who calls whom in the simulation: a small provisioned world, and the events of a handful of calls of every kind.

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, AccountKind, AccountStatus, Answer, Attempt, AuthMethod, BillingInterval,
    BillingProfile, Body, CallEvent, CallType, CallUid, Cause, ChargeTick, Contact, Currency, Direction,
    Directory, E164, End, EventBody, Fee, FeeId, FeeMatch, Forwarded, FraudPolicy, Initiator, MatchMode,
    NodeStarted, Party, PeakOptions, PeakSplit, ProfileId, ProfileMapping, ProfileVersionId, Provisioned,
    ProvisioningChange, Rate, Rejected, Rounding, RouteAction, RouteAttempt, RouteResult, SubscriberId,
    TariffVersion, TenantId, Transport, TrunkId,
};
use rand::RngExt;
use rand::rngs::StdRng;
use rust_decimal::Decimal;

/// Its reseller's customer.
const ANNA: AccountId = AccountId(10);
/// Customer of the house, in another lane.
const BERT: AccountId = AccountId(13);
const RESELLER: AccountId = AccountId(2);
const CARRIER: AccountId = AccountId(20);

/// Beginning of every simulated day.
fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(12)
}

fn account(id: AccountId, kind: AccountKind, reseller: Option<AccountId>, profile: i64) -> Account {
    Account {
        id,
        tenant: TenantId(1),
        kind,
        handle: format!("account-{id}"),
        reseller,
        status: AccountStatus::Active,
        currency: Currency::EUR,
        timezone: chrono_tz::Europe::Vienna,
        contact: Contact::default(),
        vat_percent: Decimal::ZERO,
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: vec![ProfileMapping {
            from: DateTime::UNIX_EPOCH,
            to: None,
            network: None,
            profile: ProfileId(profile),
        }],
    }
}

fn tariff(id: i64, cents_per_minute: i64, interval_seconds: u32) -> TariffVersion {
    let rate = Rate { price: Decimal::new(cents_per_minute, 2), per_seconds: 60, interval_seconds };
    TariffVersion {
        id: ProfileVersionId(id),
        profile: BillingProfile {
            id: ProfileId(id),
            tenant: TenantId(1),
            handle: format!("profile_{id}"),
            name: String::new(),
            currency: Currency::EUR,
            timezone: chrono_tz::Europe::Vienna,
            prepaid: false,
        },
        valid_from: DateTime::UNIX_EPOCH,
        rounding: Rounding::default(),
        fee_match: FeeMatch::Prefix,
        peak_split: PeakSplit::IntervalStart,
        compat: false,
        interval: BillingInterval::default(),
        interval_charge: Decimal::ZERO,
        interval_free_seconds: 0,
        interval_free_cash: Decimal::ZERO,
        interval_price: None,
        fees: vec![Fee {
            id: FeeId(id),
            source: String::new(),
            destination: "49".to_owned(),
            direction: Direction::Out,
            match_mode: MatchMode::Prefix,
            zone: "Germany".to_owned(),
            zone_detail: String::new(),
            onpeak_init: rate,
            onpeak_follow: rate,
            offpeak_init: rate,
            offpeak_follow: rate,
            connection_fee: Decimal::ZERO,
            minimum_charge: None,
            maximum_charge: None,
            failed_attempt_fee: Decimal::ZERO,
            onpeak: PeakOptions::default(),
            offpeak: PeakOptions::default(),
            valid_from: None,
            valid_to: None,
        }]
        .into(),
        weekdays: Vec::new(),
        specials: Vec::new(),
    }
}

/// Two customers in two lanes, one of them a reseller's; one carrier.
pub(crate) fn directory() -> Directory {
    Directory {
        revision: 1,
        accounts: vec![
            account(RESELLER, AccountKind::Reseller, None, 2),
            account(ANNA, AccountKind::Customer, Some(RESELLER), 1),
            account(BERT, AccountKind::Customer, None, 1),
            account(CARRIER, AccountKind::Carrier, None, 3),
        ],
        tariffs: vec![tariff(1, 6, 60), tariff(2, 4, 1), tariff(3, 2, 1)],
        ..Directory::default()
    }
}

fn subscriber(account: AccountId) -> Party {
    let reseller = if account == ANNA { RESELLER } else { AccountId::NOBODY };
    Party::Subscriber { subscriber: SubscriberId(account.0), account, reseller, uuid: "".into() }
}

/// One switch that counts its events.
struct Node {
    boot: u64,
    seq: u64,
    events: Vec<CallEvent>,
}

impl Node {
    fn emit(&mut self, at_ms: u64, payer: AccountId, call: Option<&CallUid>, leg: u16, body: EventBody) {
        self.seq += 1;
        self.events.push(CallEvent {
            node: "sw1".into(),
            boot: self.boot,
            seq: self.seq,
            at: noon() + TimeDelta::milliseconds(at_ms.cast_signed()),
            config_revision: 1,
            tenant: TenantId(1),
            payer,
            call: call.cloned(),
            leg,
            body,
        });
    }
}

fn number(digits: &str) -> Option<E164> {
    digits.parse().ok()
}

fn attempt(caller: AccountId, callee: &str) -> EventBody {
    EventBody::Attempt(Box::new(Attempt {
        sip_call_id: "x@phone".into(),
        caller: subscriber(caller),
        from_user: "anna".into(),
        from_domain: "example.org".into(),
        dialed: callee.into(),
        dialed_domain: "example.org".into(),
        cli: number("431234567"),
        clir: false,
        callee: number(callee),
        source: std::net::SocketAddr::from(([192, 0, 2, 10], 5060)),
        transport: Transport::Udp,
        user_agent: "".into(),
        auth: AuthMethod::Digest,
        asserted_identity: "".into(),
        diversion: "".into(),
        detail: None,
    }))
}

fn route(attempt: u16) -> EventBody {
    EventBody::RouteAttempt(RouteAttempt {
        attempt,
        callee: Party::Trunk { trunk: TrunkId(3), account: CARRIER },
        next_hop: std::net::SocketAddr::from(([192, 0, 2, 20], 5060)),
        caller_out: "431234567".into(),
        callee_out: "4930555123".into(),
        sip_call_id: format!("y{attempt}@sw1").into(),
        login: None,
    })
}

fn result(attempt: u16, code: u16, action: RouteAction) -> EventBody {
    EventBody::RouteResult(RouteResult {
        attempt,
        code,
        phrase: "".into(),
        reason: "".into(),
        pdd_us: Some(1_000_000),
        action,
    })
}

fn answer(attempt: u16) -> EventBody {
    EventBody::Answer(Answer {
        attempt,
        code: 200,
        setup_us: 2_000_000,
        codec: "PCMA/8000".into(),
        user_agent: "".into(),
    })
}

fn end(answered_ms: u64, code: u16, cause: Cause) -> EventBody {
    let answered_us = answered_ms * 1_000;
    EventBody::End(End { answered_us, by: Initiator::Caller, cause, code, reason: "".into(), media: None })
}

/// The log of one simulated day in its true order: calls of every kind side by side, perhaps a restart of the switch, and the
/// ticks of the log; at its end every call has been closed.
pub(super) fn day(rng: &mut StdRng) -> Vec<Body> {
    let mut node = Node { boot: 1, seq: 0, events: Vec::new() };
    node.emit(0, AccountId::NOBODY, None, 0, started());
    let n_calls = rng.random_range(2_u64..5);
    for n in 0..n_calls {
        let uid = CallUid::new(format!("sw1-1-{n}"));
        let from_ms = rng.random_range(0..60_000);
        one_call(rng, &mut node, &uid, from_ms);
    }
    // What people do meanwhile: their changes come with origins of their own and become EDRs.
    for n in 0..rng.random_range(0..3) {
        node.emit(rng.random_range(0..100_000), ANNA, None, 0, profile_change(n));
    }
    // Of a switch that crashes, nothing later than this is in the log.
    let crash_ms = rng.random_range(0..4_u32).eq(&0).then(|| rng.random_range(1..200_000_u64));
    if let Some(crash_ms) = crash_ms {
        let crash_at = noon() + TimeDelta::milliseconds(crash_ms.cast_signed());
        node.events.retain(|event| event.at < crash_at);
        (node.boot, node.seq) = (2, 0);
        node.emit(crash_ms + 500, AccountId::NOBODY, None, 0, started());
    }
    node.events.sort_by_key(|event| (event.at, event.boot, event.seq));
    let mut log = Vec::new();
    let mut tick = noon();
    for event in node.events {
        while tick + TimeDelta::seconds(30) < event.at {
            tick += TimeDelta::seconds(30);
            log.push(Body::Tick(tick));
        }
        log.push(Body::Call(Box::new(event)));
    }
    // Five hours of silence close what never ended.
    log.extend((1..=5).map(|hours| Body::Tick(tick + TimeDelta::hours(hours))));
    log
}

fn profile_change(n: u32) -> EventBody {
    EventBody::Provisioned(Provisioned {
        change: ProvisioningChange::UpdateProfile,
        subscriber: None,
        uuid: "u-1".to_owned(),
        reseller: AccountId::NOBODY,
        number: number("431234567"),
        old: format!("flat-{n}"),
        new: format!("flat-{}", n + 1),
        detail: String::new(),
    })
}

fn started() -> EventBody {
    EventBody::NodeStarted(NodeStarted { version: "1".to_owned() })
}

fn one_call(rng: &mut StdRng, node: &mut Node, uid: &CallUid, from_ms: u64) {
    let caller = if rng.random_range(0..2) == 0 { ANNA } else { BERT };
    // One in six goes where no fee leads, and is suspended by rating.
    let callee = if rng.random_range(0..6) == 0 { "33123456" } else { "4930555123" };
    let call = Some(uid);
    node.emit(from_ms, caller, call, 0, attempt(caller, callee));
    let mut now_ms = from_ms + 10;
    let (mut leg, mut payer) = (0, caller);
    match rng.random_range(0..10) {
        0 => {
            let refusal = Rejected {
                cause: Cause::LockedOut,
                code: 403,
                phrase: "".into(),
                object: "account 10 lock 3".into(),
            };
            node.emit(now_ms, caller, call, 0, EventBody::Rejected(refusal));
            return;
        }
        // Forwarded: the second leg is another account's, in its own lane.
        1 | 2 => {
            let forwarder = if caller == ANNA { BERT } else { ANNA };
            let forwarded = Forwarded {
                call_type: CallType::Cfb,
                forwarder: subscriber(forwarder),
                target: "4930555999".into(),
                callee: number("4930555999"),
                new_leg: 1,
            };
            node.emit(now_ms, caller, call, 0, EventBody::Forwarded(forwarded));
            (leg, payer) = (1, forwarder);
            node.emit(now_ms, payer, call, leg, attempt(forwarder, "4930555999"));
        }
        _ => {}
    }
    let mut tried = 1;
    for _ in 0..rng.random_range(0..3) {
        node.emit(now_ms, payer, call, leg, route(tried));
        now_ms += 700;
        node.emit(now_ms, payer, call, leg, result(tried, 503, RouteAction::Next));
        tried += 1;
    }
    node.emit(now_ms, payer, call, leg, route(tried));
    now_ms += rng.random_range(500..5_000);
    let mut ending = if rng.random_range(0..3) == 0 {
        node.emit(now_ms, payer, call, leg, result(tried, 486, RouteAction::Stop));
        end(0, 486, Cause::Busy)
    } else {
        node.emit(now_ms, payer, call, leg, result(tried, 200, RouteAction::Stop));
        node.emit(now_ms, payer, call, leg, answer(tried));
        let talk_ms = rng.random_range(1_000..150_000);
        for ticked_ms in (30_000..talk_ms).step_by(30_000) {
            let tick = ChargeTick { answered_us: ticked_ms * 1_000 };
            node.emit(now_ms + ticked_ms, payer, call, leg, EventBody::ChargeTick(tick));
        }
        now_ms += talk_ms;
        end(talk_ms, 200, Cause::Normal)
    };
    // One end in eight is never written.
    if rng.random_range(0..8) == 0 {
        return;
    }
    if leg > 0 {
        node.emit(now_ms, payer, call, leg, ending.clone());
        if let EventBody::End(End { code: 200, .. }) = ending {
            // The first leg was answered by the second.
            ending = end(0, 302, Cause::Other);
        }
    }
    node.emit(now_ms, caller, call, 0, ending);
}

/// The events of a call of Anna's that is answered and lasts for `talk_s` seconds, with signs of life every half a minute until half a minute before
/// its end; and its end. The interval of interim records is longer than that.
pub(crate) fn call_of_anna(uid: &CallUid, talk_s: u64) -> (Vec<CallEvent>, CallEvent) {
    let mut node = Node { boot: 1, seq: 0, events: Vec::new() };
    let call = Some(uid);
    node.emit(0, ANNA, call, 0, attempt(ANNA, "4930555123"));
    node.emit(100, ANNA, call, 0, route(1));
    node.emit(2_000, ANNA, call, 0, result(1, 200, RouteAction::Stop));
    node.emit(2_000, ANNA, call, 0, answer(1));
    for ticked_s in (30..talk_s).step_by(30) {
        let tick = ChargeTick { answered_us: ticked_s * 1_000_000 };
        node.emit(2_000 + ticked_s * 1_000, ANNA, call, 0, EventBody::ChargeTick(tick));
    }
    node.emit(2_000 + talk_s * 1_000, ANNA, call, 0, end(talk_s * 1_000, 200, Cause::Normal));
    let end = node.events.remove(node.events.len() - 1);
    (node.events, end)
}
