//! One record of each kind, as a real one looks. The golden files hold these: what is here never changes.

use chrono::{DateTime, TimeDelta, Utc};
use model::*;
use rust_decimal::Decimal;

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn number(digits: u64) -> Option<E164> {
    E164::from_u64(digits)
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn subscriber() -> Party {
    Party::Subscriber {
        subscriber: SubscriberId(1017),
        account: AccountId(203),
        reseller: AccountId(12),
        uuid: "7f3c2a90-5f0e-4c57-9d0b-2f5f6a1c8e44".into(),
    }
}

fn trunk() -> Party {
    Party::Trunk { trunk: TrunkId(4), account: AccountId(31) }
}

fn call() -> CallUid {
    CallUid::new("sw1-18b1f2c3d4-4711")
}

pub(crate) fn cdr() -> Cdr {
    Cdr {
        id: CdrId::derive(&call(), 0),
        revision: 1,
        call: call(),
        leg: 0,
        sip_call_id: "a84b4c76e66710@pc33.example.com".into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer: AccountId(203),
        source: CdrSource {
            party: subscriber(),
            user: "alice".into(),
            domain: "example.com".into(),
            cli: number(43_660_555_123),
            clir: true,
            user_out: "43660555123".into(),
            ip: "198.51.100.7".into(),
            user_agent: "baresip v4.2".into(),
        },
        destination: CdrDestination {
            party: trunk(),
            dialed: "004930555123".into(),
            domain: "example.com".into(),
            user_in: "4930555123".into(),
            number: number(4_930_555_123),
            user_out: "+4930555123".into(),
            user_agent: "Carrier GW".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Callee,
        init_at: at("2026-03-02T16:59:25.104212Z"),
        start_at: at("2026-03-02T16:59:30.250001Z"),
        duration_us: 90_417_338,
        pdd_us: Some(1_204_551),
        codec: "PCMA/8000".into(),
        attempts: vec![RouteTry {
            attempt: 1,
            party: trunk(),
            code: 200,
            pdd_us: Some(1_204_551),
            action: RouteAction::Stop,
        }],
        config_revision: 88,
        partial: false,
        detail: CdrDetail::default(),
    }
}

pub(crate) fn rated() -> RatedCdr {
    let start = at("2026-03-02T16:59:30.250001Z");
    let piece = |offset: i64, seconds, peak, is_init, rate: &str, price: &str| Piece {
        start: start + TimeDelta::seconds(offset),
        seconds,
        peak,
        is_init,
        rate: decimal(rate),
        per_seconds: 60,
        interval_seconds: 30,
        price: decimal(price),
    };
    RatedCdr {
        cdr: cdr(),
        charges: vec![Charge {
            provider: Provider::Customer,
            direction: Direction::Out,
            account: AccountId(203),
            version: ProfileVersionId(9),
            profile: "standard".to_owned(),
            fee: Some(FeeId(5512)),
            matched: "49".to_owned(),
            zone: "Germany".to_owned(),
            zone_detail: "fixed".to_owned(),
            currency: Currency::EUR,
            cost: decimal("0.035000"),
            free_seconds: 0,
            free_cash: decimal("0.00"),
            billed_seconds: 120,
            onpeak_seconds: 30,
            offpeak_seconds: 90,
            flat: Decimal::ZERO,
            rounding: "half_up 6".to_owned(),
            pieces: vec![
                piece(0, 30, Peak::On, true, "0.04", "0.02"),
                piece(30, 90, Peak::Off, false, "0.01", "0.015"),
            ],
            conversion: None,
            fragments: Vec::new(),
        }],
    }
}

/// The same call where the profile has it cut at the peak border.
fn rated_in_fragments() -> RatedCdr {
    let mut rated = rated();
    let start = rated.cdr.start_at;
    let fragment = |offset: i64, duration_us, peak, cost: &str, seconds: (u64, u64)| Fragment {
        start: start + TimeDelta::seconds(offset),
        duration_us,
        peak,
        cost: decimal(cost),
        free_seconds: 0,
        free_cash: Decimal::ZERO,
        billed_seconds: seconds.0 + seconds.1,
        onpeak_seconds: seconds.0,
        offpeak_seconds: seconds.1,
    };
    rated.charges[0].fragments = vec![
        fragment(0, 30_000_000, Peak::On, "0.02", (30, 0)),
        fragment(30, 60_417_338, Peak::Off, "0.015", (0, 90)),
    ];
    rated
}

fn event(seq: u64, body: EventBody) -> Body {
    Body::Call(Box::new(CallEvent {
        node: "sw1".into(),
        boot: 1_772_000_000_000_000,
        seq,
        at: at("2026-03-02T16:59:25.104212Z"),
        config_revision: 88,
        tenant: TenantId(1),
        payer: AccountId(203),
        call: Some(call()),
        leg: 0,
        body,
    }))
}

fn posting() -> Posting {
    let id = CdrId::derive(&call(), 0);
    Posting {
        id: PostingId::derive(id, 1, 0),
        tenant: TenantId(1),
        account: AccountId(203),
        at: at("2026-03-02T16:59:30.250001Z"),
        debit: LedgerAccount::Receivable(AccountId(203)),
        credit: LedgerAccount::Revenue(TenantId(1)),
        amount: Money::new(decimal("0.035"), Currency::EUR),
        reason: PostingReason::Reversal,
        cdr: Some(id),
        reverses: Some(PostingId::derive(id, 0, 0)),
    }
}

fn attempt() -> Attempt {
    Attempt {
        sip_call_id: "a84b4c76e66710@pc33.example.com".into(),
        caller: subscriber(),
        from_user: "alice".into(),
        from_domain: "example.com".into(),
        dialed: "004930555123".into(),
        dialed_domain: "example.com".into(),
        cli: number(43_660_555_123),
        clir: false,
        callee: number(4_930_555_123),
        source: "198.51.100.7:5060".parse().unwrap(),
        transport: Transport::Tls,
        user_agent: "baresip v4.2".into(),
        auth: AuthMethod::Digest,
        asserted_identity: "<tel:+43660555123>".into(),
        diversion: "".into(),
        detail: None,
    }
}

/// Name of the golden file, and what it holds.
pub(crate) fn all() -> Vec<(&'static str, Record)> {
    let inside = Some(Origin { stage: "mediator".into(), partition: 7, offset: 1_000_003, index: 2 });
    let sip = "198.51.100.7:5060".parse().unwrap();
    let bodies = vec![
        ("tick", Body::Tick(at("2026-03-02T17:00:00Z"))),
        ("call-attempt", event(1, EventBody::Attempt(Box::new(attempt())))),
        (
            "call-rejected",
            event(
                2,
                EventBody::Rejected(Rejected {
                    cause: Cause::LockedOut,
                    code: 403,
                    phrase: "Account locked".into(),
                    object: "account 203 lock 2".into(),
                }),
            ),
        ),
        (
            "call-route-attempt",
            event(
                3,
                EventBody::RouteAttempt(RouteAttempt {
                    attempt: 1,
                    callee: trunk(),
                    next_hop: "[2001:db8::17]:5061".parse().unwrap(),
                    caller_out: "+43660555123".into(),
                    callee_out: "+4930555123".into(),
                    sip_call_id: "b2b-4711-1".into(),
                    login: None,
                }),
            ),
        ),
        (
            "call-route-result",
            event(
                4,
                EventBody::RouteResult(RouteResult {
                    attempt: 1,
                    code: 503,
                    phrase: "Service Unavailable".into(),
                    reason: "Q.850;cause=34".into(),
                    pdd_us: None,
                    action: RouteAction::Next,
                }),
            ),
        ),
        ("call-progress", event(5, EventBody::Progress(Progress { code: 183, with_sdp: true }))),
        (
            "call-answer",
            event(
                6,
                EventBody::Answer(Answer {
                    attempt: 2,
                    code: 200,
                    setup_us: 5_145_789,
                    codec: "PCMA/8000".into(),
                    user_agent: "Carrier GW".into(),
                }),
            ),
        ),
        (
            "call-update",
            event(7, EventBody::Update(CallUpdate { change: UpdateKind::Codec, codec: "opus/48000".into() })),
        ),
        ("call-charge-tick", event(8, EventBody::ChargeTick(ChargeTick { answered_us: 60_000_000 }))),
        (
            "call-end",
            event(
                9,
                EventBody::End(End {
                    answered_us: 90_417_338,
                    by: Initiator::Callee,
                    cause: Cause::Normal,
                    code: 200,
                    reason: "Q.850;cause=16".into(),
                    media: None,
                }),
            ),
        ),
        (
            "call-forwarded",
            event(
                10,
                EventBody::Forwarded(Forwarded {
                    call_type: CallType::Cfna,
                    forwarder: subscriber(),
                    target: "sip:voicebox@example.com".into(),
                    callee: None,
                    new_leg: 1,
                }),
            ),
        ),
        (
            "call-registration",
            event(
                11,
                EventBody::Registration(Registration {
                    change: RegistrationChange::Expired,
                    subscriber: Some(SubscriberId(1017)),
                    aor: "alice@example.com".to_owned(),
                    contact: "sip:alice@198.51.100.7:5060".to_owned(),
                    source: sip,
                    user_agent: "baresip v4.2".to_owned(),
                    expires_seconds: 0,
                    renewed: false,
                }),
            ),
        ),
        (
            "call-trunk-state",
            event(
                12,
                EventBody::TrunkState(TrunkState {
                    trunk: TrunkId(4),
                    old: TrunkHealth::Up,
                    new: TrunkHealth::Down,
                    code: 408,
                    rtt_us: None,
                }),
            ),
        ),
        (
            "call-security",
            event(
                13,
                EventBody::Security(Security {
                    what: SecurityKind::BanAdded,
                    source: sip,
                    user: "100".to_owned(),
                    detail: "20 failures in 60 s".to_owned(),
                    count: 20,
                }),
            ),
        ),
        ("call-node-started", event(14, EventBody::NodeStarted(NodeStarted { version: "0.1.0".to_owned() }))),
        ("cdr", Body::Cdr(Box::new(cdr()))),
        (
            "edr",
            Body::Edr(Box::new(Edr {
                id: "sw1-1772000000000000-11".to_owned(),
                tenant: TenantId(1),
                account: AccountId(203),
                subscriber: None,
                kind: EdrKind::Unregistered,
                old_status: "registered".to_owned(),
                new_status: String::new(),
                detail: "expired".to_owned(),
                at: at("2026-03-02T17:00:00Z"),
                reseller: AccountId::NOBODY,
                uuid: String::new(),
                number: None,
            })),
        ),
        (
            "edr-profile",
            Body::Edr(Box::new(Edr {
                id: "provisioning-0-17".to_owned(),
                tenant: TenantId(1),
                account: AccountId(203),
                subscriber: Some(SubscriberId(1017)),
                kind: EdrKind::UpdateProfile,
                old_status: "flat-s".to_owned(),
                new_status: "flat-l".to_owned(),
                detail: "import".to_owned(),
                at: at("2026-03-02T17:00:00Z"),
                reseller: AccountId(20),
                uuid: "e2ad1e41-1f3b-8c7e-9a54-0f6f4a3f7b11".to_owned(),
                number: Some("43512900100".parse().unwrap()),
            })),
        ),
        (
            "call-attempt-emergency",
            event(
                15,
                EventBody::Attempt(Box::new(Attempt {
                    detail: Some(Box::new(AttemptDetail {
                        emergency: true,
                        stir: "TN-Validation-Passed".into(),
                        preferred_identity: "<sip:+43512900100@example.com>".into(),
                        user_to_user: "00C81031;encoding=hex".into(),
                        history_info: "<sip:112@example.com>;index=1".into(),
                    })),
                    ..attempt()
                })),
            ),
        ),
        (
            "call-route-attempt-login",
            event(
                16,
                EventBody::RouteAttempt(RouteAttempt {
                    attempt: 1,
                    callee: Party::Trunk { trunk: TrunkId(4), account: AccountId(31) },
                    next_hop: sip,
                    caller_out: "+43512900100".into(),
                    callee_out: "+4930123456".into(),
                    sip_call_id: "b2b-1@sw1".into(),
                    login: Some(Box::new(PeerLogin { user: "vox".into(), realm: "carrier.example".into() })),
                }),
            ),
        ),
        (
            "call-end-media",
            event(
                17,
                EventBody::End(End {
                    answered_us: 61_000_000,
                    by: Initiator::Callee,
                    cause: Cause::RtpTimeout,
                    code: 200,
                    reason: "SIP;cause=200;text=\"RTP Timeout\"".into(),
                    media: Some(MediaQuality {
                        mos_hundredths: Some(441),
                        loss_hundredths: Some(150),
                        jitter_us: Some(12_000),
                        round_trip_us: None,
                    }),
                }),
            ),
        ),
        (
            "call-provisioned",
            event(
                18,
                EventBody::Provisioned(Provisioned {
                    change: ProvisioningChange::StartProfile,
                    subscriber: Some(SubscriberId(1017)),
                    uuid: "e2ad1e41-1f3b-8c7e-9a54-0f6f4a3f7b11".to_owned(),
                    reseller: AccountId(20),
                    number: Some("43512900100".parse().unwrap()),
                    old: String::new(),
                    new: "flat-s".to_owned(),
                    detail: "import".to_owned(),
                }),
            ),
        ),
        ("rated", Body::Rated(Box::new(rated()))),
        ("rated-fragments", Body::Rated(Box::new(rated_in_fragments()))),
        ("posting", Body::Posting(Box::new(posting()))),
        (
            "control-lock",
            Body::Control(Control::LockChanged(Lock {
                tenant: TenantId(1),
                account: AccountId(203),
                level: LockLevel::Outgoing,
                source: LockSource::Fraud,
                reason: "daily spend 51.20 EUR above 50.00 EUR".to_owned(),
                alert: Some(AlertId::derive("daily_spend", AccountId(203), "2026-03-02")),
                since: at("2026-03-02T17:00:00Z"),
                until: Some(at("2026-03-03T00:00:00Z")),
            })),
        ),
        (
            "control-barring",
            Body::Control(Control::BarringChanged(Barring {
                tenant: TenantId(1),
                account: AccountId(203),
                range: "3712345".to_owned(),
                calls_per_minute: 0,
                source: LockSource::Fraud,
                reason: "IRSF (irsf-burst, version 2)".to_owned(),
                alert: Some(AlertId::derive("irsf-burst", AccountId(203), "2026-03-02")),
                since: at("2026-03-02T17:00:00Z"),
                until: Some(at("2026-03-03T05:00:00Z")),
            })),
        ),
        ("control-config", Body::Control(Control::ConfigChanged { revision: 89 })),
        ("control-end-calls", Body::Control(Control::EndCallsOf { account: AccountId(203) })),
        ("control-end-call", Body::Control(Control::EndCall { call: call() })),
        (
            "accrual",
            Body::Accrual(Accrual {
                account: AccountId(203),
                cdr: CdrId::derive(&call(), 0),
                at: at("2026-03-02T17:00:30Z"),
                amount: Money::new("0.025000".parse().unwrap(), Currency::EUR),
                rate_per_minute: None,
            }),
        ),
        ("sighting", Body::Sighting(Box::new(sighting()))),
    ];
    bodies
        .into_iter()
        .map(|(name, body)| {
            let is_from_outside = name.starts_with("call-") || name == "tick";
            (name, Record { origin: if is_from_outside { None } else { inside.clone() }, body })
        })
        .collect()
}

fn sighting() -> Sighting {
    Sighting {
        by: SightedBy::Source,
        at: at("2026-03-02T17:00:30Z"),
        tenant: TenantId(1),
        payer: AccountId(203),
        call: Some(call()),
        leg: 0,
        subscriber: Some(SubscriberId(7)),
        trunk: None,
        source: "192.0.2.7".parse().unwrap(),
        cli: Some(436_601_234_567),
        callee: Some(3_712_345_678),
        user_agent: 0x0123_4567_89ab_cdef,
        country: 371,
        rate: 4_500,
        account_age: Some(86_400),
        flags: 129,
        vendor: Some(TrunkId(4)),
        spared: vec!["night-burst".to_owned()],
        watched_since: Some(1_772_000_000),
        step: SightingStep::Ended { cost: 9_000, seconds: 120, rang_ms: 123_456, is_answered: true },
    }
}
