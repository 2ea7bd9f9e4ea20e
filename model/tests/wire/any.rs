//! Records of every kind, with values from the whole of their range.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use chrono::{DateTime, Utc};
use model::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rust_decimal::Decimal;

fn word<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    select(all)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z0-9@.:+ -]{1,24}", ".{1,12}"]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    // JSON writes years of four digits; before 1970 is fine.
    let micros = prop_oneof![
        8 => 1_500_000_000_000_000i64..2_500_000_000_000_000,
        1 => -62_000_000_000_000_000i64..253_000_000_000_000_000,
    ];
    micros.prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

fn number() -> impl Strategy<Value = Option<E164>> {
    option::of((1u64..1_000_000_000_000_000).prop_map(|digits| E164::from_u64(digits).unwrap()))
}

pub(crate) fn decimal() -> impl Strategy<Value = Decimal> {
    let mantissa = prop_oneof![
        4 => -1_000_000i128..1_000_000,
        1 => -(1i128 << 96) + 1..1i128 << 96,
        1 => (0u32..96, any::<bool>(), -1i128..=1).prop_map(|(bits, is_negative, near)| {
            let value = ((1i128 << bits) + near).min((1 << 96) - 1);
            if is_negative { -value } else { value }
        }),
    ];
    (mantissa, 0u32..=28).prop_map(|(mantissa, scale)| Decimal::from_i128_with_scale(mantissa, scale))
}

fn currency() -> impl Strategy<Value = Currency> {
    "[A-Z]{3}".prop_map(|code| code.parse().unwrap())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
        // Link-local, with its interface.
        (any::<u16>(), 1u32..9).prop_map(|(port, scope)| {
            SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), port, 0, scope))
        }),
    ]
}

fn call() -> impl Strategy<Value = CallUid> {
    text().prop_map(CallUid::new)
}

fn cdr_id() -> impl Strategy<Value = CdrId> {
    any::<[u8; 16]>().prop_map(CdrId::from_bytes)
}

fn party() -> BoxedStrategy<Party> {
    let subscriber = (any::<i64>(), any::<i64>(), any::<i64>(), text());
    prop_oneof![
        subscriber.prop_map(|(subscriber, account, reseller, uuid)| Party::Subscriber {
            subscriber: SubscriberId(subscriber),
            account: AccountId(account),
            reseller: AccountId(reseller),
            uuid: uuid.into(),
        }),
        (any::<i64>(), any::<i64>())
            .prop_map(|(trunk, account)| Party::Trunk { trunk: TrunkId(trunk), account: AccountId(account) }),
        Just(Party::Unknown),
    ]
    .boxed()
}

fn attempt() -> BoxedStrategy<Attempt> {
    let who = (text(), party(), text(), text(), text(), text());
    let numbers = (number(), any::<bool>(), number(), address(), word(Transport::ALL));
    let rest = (text(), word(AuthMethod::ALL), text(), text());
    (who, numbers, rest)
        .prop_map(|(who, numbers, rest)| {
            let (sip_call_id, caller, from_user, from_domain, dialed, dialed_domain) = who;
            let (cli, clir, callee, source, transport) = numbers;
            let (user_agent, auth, asserted_identity, diversion) = rest;
            Attempt {
                sip_call_id: sip_call_id.into(),
                caller,
                from_user: from_user.into(),
                from_domain: from_domain.into(),
                dialed: dialed.into(),
                dialed_domain: dialed_domain.into(),
                cli,
                clir,
                callee,
                source,
                transport,
                user_agent: user_agent.into(),
                auth,
                asserted_identity: asserted_identity.into(),
                diversion: diversion.into(),
                detail: None,
            }
        })
        .prop_flat_map(|attempt| {
            option::of(attempt_detail())
                .prop_map(move |detail| Attempt { detail: detail.map(Box::new), ..attempt.clone() })
        })
        .boxed()
}

fn attempt_detail() -> impl Strategy<Value = AttemptDetail> {
    (any::<bool>(), text(), text(), text(), text()).prop_map(
        |(emergency, stir, preferred_identity, user_to_user, history_info)| AttemptDetail {
            emergency,
            stir: stir.into(),
            preferred_identity: preferred_identity.into(),
            user_to_user: user_to_user.into(),
            history_info: history_info.into(),
        },
    )
}

fn media() -> impl Strategy<Value = Option<MediaQuality>> {
    let some = any::<(Option<u32>, Option<u32>, Option<u32>, Option<u32>)>();
    option::of(some.prop_map(|(mos_hundredths, loss_hundredths, jitter_us, round_trip_us)| MediaQuality {
        mos_hundredths,
        loss_hundredths,
        jitter_us,
        round_trip_us,
    }))
}

fn event_body() -> BoxedStrategy<EventBody> {
    let set_up = prop_oneof![
        attempt().prop_map(|attempt| EventBody::Attempt(Box::new(attempt))),
        (word(Cause::ALL), any::<u16>(), text(), text()).prop_map(|(cause, code, phrase, object)| {
            EventBody::Rejected(Rejected { cause, code, phrase: phrase.into(), object: object.into() })
        }),
        (any::<u16>(), party(), address(), text(), text(), text(), option::of((text(), text()))).prop_map(
            |(attempt, callee, next_hop, caller_out, callee_out, sip_call_id, login)| {
                EventBody::RouteAttempt(RouteAttempt {
                    attempt,
                    callee,
                    next_hop,
                    caller_out: caller_out.into(),
                    callee_out: callee_out.into(),
                    sip_call_id: sip_call_id.into(),
                    login: login
                        .map(|(user, realm)| Box::new(PeerLogin { user: user.into(), realm: realm.into() })),
                })
            }
        ),
        (any::<u16>(), any::<u16>(), text(), text(), any::<Option<u64>>(), word(RouteAction::ALL)).prop_map(
            |(attempt, code, phrase, reason, pdd_us, action)| {
                EventBody::RouteResult(RouteResult {
                    attempt,
                    code,
                    phrase: phrase.into(),
                    reason: reason.into(),
                    pdd_us,
                    action,
                })
            }
        ),
        (any::<u16>(), any::<bool>())
            .prop_map(|(code, with_sdp)| EventBody::Progress(Progress { code, with_sdp })),
        (any::<u16>(), any::<u16>(), any::<u64>(), text(), text()).prop_map(
            |(attempt, code, setup_us, codec, user_agent)| {
                EventBody::Answer(Answer {
                    attempt,
                    code,
                    setup_us,
                    codec: codec.into(),
                    user_agent: user_agent.into(),
                })
            }
        ),
    ];
    let in_call = prop_oneof![
        (word(UpdateKind::ALL), text())
            .prop_map(|(change, codec)| EventBody::Update(CallUpdate { change, codec: codec.into() })),
        any::<u64>().prop_map(|answered_us| EventBody::ChargeTick(ChargeTick { answered_us })),
        (any::<u64>(), word(Initiator::ALL), word(Cause::ALL), any::<u16>(), text(), media()).prop_map(
            |(answered_us, by, cause, code, reason, media)| {
                EventBody::End(End { answered_us, by, cause, code, reason: reason.into(), media })
            }
        ),
        (word(CallType::ALL), party(), text(), number(), any::<u16>()).prop_map(
            |(call_type, forwarder, target, callee, new_leg)| {
                EventBody::Forwarded(Forwarded {
                    call_type,
                    forwarder,
                    target: target.into(),
                    callee,
                    new_leg,
                })
            }
        ),
    ];
    let beside = prop_oneof![
        (
            word(RegistrationChange::ALL),
            any::<Option<i64>>(),
            text(),
            text(),
            address(),
            text(),
            any::<u32>(),
            any::<bool>()
        )
            .prop_map(
                |(change, subscriber, aor, contact, source, user_agent, expires_seconds, renewed)| {
                    EventBody::Registration(Registration {
                        change,
                        subscriber: subscriber.map(SubscriberId),
                        aor,
                        contact,
                        source,
                        user_agent,
                        expires_seconds,
                        renewed,
                    })
                }
            ),
        (any::<i64>(), word(TrunkHealth::ALL), word(TrunkHealth::ALL), any::<u16>(), any::<Option<u64>>())
            .prop_map(|(trunk, old, new, code, rtt_us)| {
                EventBody::TrunkState(TrunkState { trunk: TrunkId(trunk), old, new, code, rtt_us })
            }),
        (word(SecurityKind::ALL), address(), text(), text(), any::<u32>()).prop_map(
            |(what, source, user, detail, count)| {
                EventBody::Security(Security { what, source, user, detail, count })
            }
        ),
        text().prop_map(|version| EventBody::NodeStarted(NodeStarted { version })),
        provisioned().prop_map(EventBody::Provisioned),
    ];
    prop_oneof![set_up, in_call, beside].boxed()
}

fn provisioned() -> impl Strategy<Value = Provisioned> {
    let whose = (any::<Option<i64>>(), text(), any::<i64>(), number());
    (word(ProvisioningChange::ALL), whose, text(), text(), text()).prop_map(
        |(change, (subscriber, uuid, reseller, number), old, new, detail)| Provisioned {
            change,
            subscriber: subscriber.map(SubscriberId),
            uuid,
            reseller: AccountId(reseller),
            number,
            old,
            new,
            detail,
        },
    )
}

fn event() -> BoxedStrategy<CallEvent> {
    let envelope = (text(), any::<u64>(), any::<u64>(), time(), any::<i64>(), any::<i64>(), any::<i64>());
    (envelope, option::of(call()), any::<u16>(), event_body())
        .prop_map(|(envelope, call, leg, body)| {
            let (node, boot, seq, at, config_revision, tenant, payer) = envelope;
            let (tenant, payer) = (TenantId(tenant), AccountId(payer));
            CallEvent { node: node.into(), boot, seq, at, config_revision, tenant, payer, call, leg, body }
        })
        .boxed()
}

fn source() -> BoxedStrategy<CdrSource> {
    (party(), text(), text(), number(), any::<bool>(), text(), text(), text())
        .prop_map(|(party, user, domain, cli, clir, user_out, ip, user_agent)| CdrSource {
            party,
            user: user.into(),
            domain: domain.into(),
            cli,
            clir,
            user_out: user_out.into(),
            ip: ip.into(),
            user_agent: user_agent.into(),
        })
        .boxed()
}

fn destination() -> BoxedStrategy<CdrDestination> {
    (party(), text(), text(), text(), number(), text(), text())
        .prop_map(|(party, dialed, domain, user_in, number, user_out, user_agent)| CdrDestination {
            party,
            dialed: dialed.into(),
            domain: domain.into(),
            user_in: user_in.into(),
            number,
            user_out: user_out.into(),
            user_agent: user_agent.into(),
        })
        .boxed()
}

fn route_try() -> impl Strategy<Value = RouteTry> {
    (any::<u16>(), party(), any::<u16>(), any::<Option<u64>>(), word(RouteAction::ALL))
        .prop_map(|(attempt, party, code, pdd_us, action)| RouteTry { attempt, party, code, pdd_us, action })
}

fn cdr() -> BoxedStrategy<Cdr> {
    let names = (cdr_id(), any::<u32>(), call(), any::<u16>(), text(), text(), any::<i64>(), any::<i64>());
    let sides = (source(), destination());
    let outcome =
        (word(CallType::ALL), word(CallStatus::ALL), any::<u16>(), word(Cause::ALL), word(Initiator::ALL));
    let times = (time(), time(), any::<u64>(), any::<Option<u64>>());
    let rest = (text(), vec(route_try(), 0..3), any::<i64>(), any::<bool>(), cdr_detail());
    (names, sides, outcome, times, rest)
        .prop_map(|(names, sides, outcome, times, rest)| {
            let (id, revision, call, leg, sip_call_id, node, tenant, payer) = names;
            let (source, destination) = sides;
            let (call_type, status, code, cause, ended_by) = outcome;
            let (init_at, start_at, duration_us, pdd_us) = times;
            let (codec, attempts, config_revision, partial, detail) = rest;
            Cdr {
                id,
                revision,
                call,
                leg,
                sip_call_id: sip_call_id.into(),
                node: node.into(),
                tenant: TenantId(tenant),
                payer: AccountId(payer),
                source,
                destination,
                call_type,
                status,
                code,
                cause,
                ended_by,
                init_at,
                start_at,
                duration_us,
                pdd_us,
                codec: codec.into(),
                attempts,
                config_revision,
                partial,
                detail,
            }
        })
        .boxed()
}

fn cdr_detail() -> impl Strategy<Value = CdrDetail> {
    let how = (option::of(word(Transport::ALL)), option::of(word(AuthMethod::ALL)));
    let early = (text(), text(), any::<Option<u64>>(), how, text(), text(), text()).prop_map(
        |(reason, refused_by, setup_us, (transport, auth), asserted_identity, diversion, foreign_key)| {
            CdrDetail {
                reason: reason.into(),
                refused_by: refused_by.into(),
                setup_us,
                transport,
                auth,
                asserted_identity: asserted_identity.into(),
                diversion: diversion.into(),
                foreign_key: foreign_key.into(),
                ..CdrDetail::default()
            }
        },
    );
    let late = (attempt_detail(), media(), text(), text());
    (early, late).prop_map(|(detail, (attempt, media, peer_auth_user, peer_auth_realm))| CdrDetail {
        emergency: attempt.emergency,
        stir: attempt.stir,
        preferred_identity: attempt.preferred_identity,
        user_to_user: attempt.user_to_user,
        history_info: attempt.history_info,
        media,
        peer_auth_user: peer_auth_user.into(),
        peer_auth_realm: peer_auth_realm.into(),
        ..detail
    })
}

fn edr() -> impl Strategy<Value = Edr> {
    let who = (text(), any::<i64>(), any::<i64>(), any::<Option<i64>>());
    let whose = (any::<i64>(), text(), number());
    (who, word(EdrKind::ALL), text(), text(), text(), time(), whose).prop_map(
        |((id, tenant, account, subscriber), kind, old_status, new_status, detail, at, whose)| Edr {
            id,
            tenant: TenantId(tenant),
            account: AccountId(account),
            subscriber: subscriber.map(SubscriberId),
            kind,
            old_status,
            new_status,
            detail,
            at,
            reseller: AccountId(whose.0),
            uuid: whose.1,
            number: whose.2,
        },
    )
}

fn piece() -> impl Strategy<Value = Piece> {
    let rate = (decimal(), any::<u32>(), any::<u32>(), decimal());
    (time(), any::<u64>(), word(Peak::ALL), any::<bool>(), rate).prop_map(
        |(start, seconds, peak, is_init, (rate, per_seconds, interval_seconds, price))| Piece {
            start,
            seconds,
            peak,
            is_init,
            rate,
            per_seconds,
            interval_seconds,
            price,
        },
    )
}

fn fragment() -> impl Strategy<Value = Fragment> {
    let seconds = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (time(), any::<u64>(), word(Peak::ALL), decimal(), decimal(), seconds).prop_map(
        |(start, duration_us, peak, cost, free_cash, seconds)| {
            let (free_seconds, billed_seconds, onpeak_seconds, offpeak_seconds) = seconds;
            Fragment {
                start,
                duration_us,
                peak,
                cost,
                free_seconds,
                free_cash,
                billed_seconds,
                onpeak_seconds,
                offpeak_seconds,
            }
        },
    )
}

fn charge() -> BoxedStrategy<Charge> {
    let who = (word(Provider::ALL), word(Direction::ALL), any::<i64>(), any::<i64>(), text());
    let fee = (any::<Option<i64>>(), text(), text(), text(), currency());
    let amounts = (decimal(), any::<u64>(), decimal(), any::<u64>(), any::<u64>(), any::<u64>(), decimal());
    let conversion =
        option::of(
            (currency(), decimal(), decimal(), time())
                .prop_map(|(from, amount, rate, rate_from)| Conversion { from, amount, rate, rate_from }),
        );
    (who, fee, amounts, text(), vec(piece(), 0..4), conversion, vec(fragment(), 0..3))
        .prop_map(|(who, fee, amounts, rounding, pieces, conversion, fragments)| {
            let (provider, direction, account, version, profile) = who;
            let (fee, matched, zone, zone_detail, currency) = fee;
            let (cost, free_seconds, free_cash, billed_seconds, onpeak_seconds, offpeak_seconds, flat) =
                amounts;
            Charge {
                provider,
                direction,
                account: AccountId(account),
                version: ProfileVersionId(version),
                profile,
                fee: fee.map(FeeId),
                matched,
                zone,
                zone_detail,
                currency,
                cost,
                free_seconds,
                free_cash,
                billed_seconds,
                onpeak_seconds,
                offpeak_seconds,
                flat,
                rounding,
                pieces,
                conversion,
                fragments,
            }
        })
        .boxed()
}

pub(crate) fn rated() -> BoxedStrategy<RatedCdr> {
    (cdr(), vec(charge(), 0..4)).prop_map(|(cdr, charges)| RatedCdr { cdr, charges }).boxed()
}

fn ledger_account() -> impl Strategy<Value = LedgerAccount> {
    let (account, tenant) = (|| any::<i64>().prop_map(AccountId), || any::<i64>().prop_map(TenantId));
    prop_oneof![
        account().prop_map(LedgerAccount::Receivable),
        account().prop_map(LedgerAccount::Payable),
        tenant().prop_map(LedgerAccount::Revenue),
        account().prop_map(LedgerAccount::Sales),
        tenant().prop_map(LedgerAccount::Cost),
        tenant().prop_map(LedgerAccount::Bank),
    ]
}

fn posting() -> BoxedStrategy<Posting> {
    let who = (any::<[u8; 16]>(), any::<i64>(), any::<i64>(), time());
    let what = (ledger_account(), ledger_account(), decimal(), currency(), word(PostingReason::ALL));
    (who, what, option::of(cdr_id()), any::<Option<[u8; 16]>>())
        .prop_map(|(who, what, cdr, reverses)| {
            let (id, tenant, account, at) = who;
            let (debit, credit, amount, currency, reason) = what;
            Posting {
                id: PostingId::from_bytes(id),
                tenant: TenantId(tenant),
                account: AccountId(account),
                at,
                debit,
                credit,
                amount: Money::new(amount, currency),
                reason,
                cdr,
                reverses: reverses.map(PostingId::from_bytes),
            }
        })
        .boxed()
}

fn lock() -> impl Strategy<Value = Lock> {
    let what = (any::<i64>(), any::<i64>(), word(LockLevel::ALL), word(LockSource::ALL), text());
    (what, any::<Option<[u8; 16]>>(), time(), option::of(time())).prop_map(|(what, alert, since, until)| {
        let (tenant, account, level, source, reason) = what;
        let alert = alert.map(AlertId::from_bytes);
        Lock {
            tenant: TenantId(tenant),
            account: AccountId(account),
            level,
            source,
            reason,
            alert,
            since,
            until,
        }
    })
}

fn barring() -> impl Strategy<Value = Barring> {
    let what = (any::<i64>(), any::<i64>(), text(), any::<u32>(), word(LockSource::ALL), text());
    (what, any::<Option<[u8; 16]>>(), time(), option::of(time())).prop_map(|(what, alert, since, until)| {
        let (tenant, account, range, calls_per_minute, source, reason) = what;
        let alert = alert.map(AlertId::from_bytes);
        Barring {
            tenant: TenantId(tenant),
            account: AccountId(account),
            range,
            calls_per_minute,
            source,
            reason,
            alert,
            since,
            until,
        }
    })
}

fn control() -> BoxedStrategy<Control> {
    prop_oneof![
        barring().prop_map(Control::BarringChanged),
        lock().prop_map(Control::LockChanged),
        any::<i64>().prop_map(|revision| Control::ConfigChanged { revision }),
        any::<i64>().prop_map(|account| Control::EndCallsOf { account: AccountId(account) }),
        call().prop_map(|call| Control::EndCall { call }),
    ]
    .boxed()
}

fn origin() -> impl Strategy<Value = Origin> {
    (text(), any::<u32>(), any::<u64>(), any::<u32>()).prop_map(|(stage, partition, offset, index)| Origin {
        stage: stage.into(),
        partition,
        offset,
        index,
    })
}

fn sighting_step() -> BoxedStrategy<SightingStep> {
    prop_oneof![
        Just(SightingStep::Began),
        Just(SightingStep::Carried),
        any::<i64>().prop_map(|rang_ms| SightingStep::Left { rang_ms }),
        any::<u64>().prop_map(|cost| SightingStep::Answered { cost }),
        any::<u64>().prop_map(|cost| SightingStep::Alive { cost }),
        any::<(u64, u64, i64, bool)>().prop_map(|(cost, seconds, rang_ms, is_answered)| {
            SightingStep::Ended { cost, seconds, rang_ms, is_answered }
        }),
        any::<(u64, u64, bool)>().prop_map(|(user, times, is_failed)| SightingStep::SignIn {
            user,
            times,
            is_failed
        }),
        (any::<i64>(), option::of("[a-z]{0,9}"))
            .prop_map(|(saved, rule)| SightingStep::Stopped { saved, rule }),
    ]
    .boxed()
}

/// Boxed, as it has many parts: the stack of a test is small.
fn sighting() -> BoxedStrategy<Sighting> {
    let whose = (time(), any::<i64>(), any::<i64>(), option::of("[a-z0-9@.]{0,20}"), any::<u16>());
    let from = (option::of(any::<i64>()), option::of(any::<i64>()), any::<IpAddr>());
    let numbers = (option::of(1_u64..), option::of(1_u64..), any::<u64>(), any::<u16>(), any::<i64>());
    let facts = (option::of(any::<i64>()), any::<u16>(), option::of(any::<i64>()), option::of(any::<i64>()));
    let spared = vec("[a-z]{0,9}", 0..3);
    let by = word(SightedBy::ALL);
    (by, whose, from, numbers, facts, spared, sighting_step())
        .prop_map(
            |(
                by,
                (at, tenant, payer, call, leg),
                (subscriber, trunk, source),
                numbers,
                facts,
                spared,
                step,
            )| {
                let (cli, callee, user_agent, country, rate) = numbers;
                let (account_age, flags, vendor, watched_since) = facts;
                Sighting {
                    by,
                    at,
                    tenant: TenantId(tenant),
                    payer: AccountId(payer),
                    call: call.map(CallUid::new),
                    leg,
                    subscriber: subscriber.map(SubscriberId),
                    trunk: trunk.map(TrunkId),
                    source,
                    cli,
                    callee,
                    user_agent,
                    country,
                    rate,
                    account_age,
                    flags,
                    vendor: vendor.map(TrunkId),
                    spared,
                    watched_since,
                    step,
                }
            },
        )
        .boxed()
}

pub(crate) fn record() -> BoxedStrategy<Record> {
    let body = prop_oneof![
        1 => time().prop_map(Body::Tick),
        6 => event().prop_map(|event| Body::Call(Box::new(event))),
        3 => cdr().prop_map(|cdr| Body::Cdr(Box::new(cdr))),
        1 => edr().prop_map(|edr| Body::Edr(Box::new(edr))),
        4 => rated().prop_map(|rated| Body::Rated(Box::new(rated))),
        2 => posting().prop_map(|posting| Body::Posting(Box::new(posting))),
        2 => control().prop_map(Body::Control),
        1 => (any::<i64>(), any::<[u8; 16]>(), time(), decimal(), currency(), option::of(decimal())).prop_map(
            |(account, cdr, at, amount, currency, rate_per_minute)| Body::Accrual(Accrual {
                account: AccountId(account),
                cdr: CdrId::from_bytes(cdr),
                at,
                amount: Money::new(amount, currency),
                rate_per_minute,
            }),
        ),
        2 => sighting().prop_map(|sighting| Body::Sighting(Box::new(sighting))),
    ];
    (option::of(origin()), body).prop_map(|(origin, body)| Record { origin, body }).boxed()
}
