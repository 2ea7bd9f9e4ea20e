//! Calls as they were rated, read back out of the rows.

use model::{AccountId, CallUid, CdrId, Direction, MediaQuality, Party, Provider, RatedCdr, SubscriberId};

use crate::world::{World, at, call, charge, dec, rows, unanswered};

/// A call with something in every part that a row keeps.
fn full(uid: &str, start_at: &str) -> RatedCdr {
    let mut rated = call(uid, start_at);
    let cdr = &mut rated.cdr;
    cdr.revision = 2;
    cdr.leg = 3;
    cdr.source.clir = true;
    cdr.source.user_agent = "baresip v3.10".into();
    cdr.destination.party = Party::Subscriber {
        subscriber: SubscriberId(77),
        account: AccountId(1002),
        reseller: AccountId::NOBODY,
        uuid: "5be8a1a0".into(),
    };
    cdr.destination.domain = "voice.example.net".into();
    cdr.partial = true;
    let detail = &mut cdr.detail;
    detail.reason = "Q.850;cause=16".into();
    detail.refused_by = "account 12 lock 2".into();
    detail.setup_us = Some(5_240_118);
    detail.transport = Some("tls".parse().unwrap());
    detail.auth = Some("digest".parse().unwrap());
    detail.asserted_identity = "<sip:+43660555123@sip.example.org>".into();
    detail.diversion = "<sip:4312345@sip.example.org>".into();
    detail.foreign_key = "pbx/9".into();
    detail.emergency = true;
    detail.stir = "attest=A".into();
    detail.preferred_identity = "<sip:1@example.org>".into();
    detail.user_to_user = "56a3;encoding=hex".into();
    detail.history_info = "<sip:2@example.org>;index=1".into();
    detail.media = Some(MediaQuality {
        mos_hundredths: Some(412),
        loss_hundredths: None,
        jitter_us: Some(12_001),
        round_trip_us: Some(0),
    });
    detail.peer_auth_user = "meridian".into();
    detail.peer_auth_realm = "carrier.example".into();
    for (idx, provider) in [Provider::Customer, Provider::Reseller, Provider::Carrier].into_iter().enumerate()
    {
        let mut incoming = charge(provider, 500 + i64::try_from(idx).unwrap(), "-0.002");
        incoming.direction = Direction::In;
        rated.charges.push(incoming);
    }
    for (n, charge) in (1..).zip(&mut rated.charges) {
        charge.zone_detail = format!("detail {n}");
        charge.profile = format!("profile {n}");
        charge.matched = format!("49{n}");
        charge.zone = format!("zone {n}");
        (charge.free_seconds, charge.billed_seconds) = (n, 10 * n);
        (charge.onpeak_seconds, charge.offpeak_seconds) = (7 * n, 3 * n);
        charge.free_cash = dec(&format!("0.{n:06}"));
    }
    rated
}

/// What a row does not tell.
fn as_kept(rated: &RatedCdr) -> RatedCdr {
    let mut rated = rated.clone();
    rated.cdr.attempts.clear();
    rated.cdr.destination.user_agent = "".into();
    for charge in &mut rated.charges {
        charge.fee = None;
        charge.rounding = String::new();
    }
    rated
}

#[tokio::test]
async fn revisions_of_calls_are_read_back_as_they_were_rated() {
    let world = World::new();
    let lake = world.open();
    let (plain, busy) = (call("a", "2026-10-05T08:00:00Z"), unanswered("b", "2026-10-05T23:59:59.999999Z"));
    let (full, first) = (full("c", "2026-10-06T00:00:00Z"), call("c", "2026-10-06T00:00:00Z"));
    let mut nobody = unanswered("d", "2026-10-06T00:00:01Z");
    nobody.cdr.source.party = Party::Unknown;
    nobody.cdr.source.cli = None;
    nobody.cdr.destination.number = None;
    let all = [plain, busy, full, nobody];
    let mut kept = all.to_vec();
    kept.extend([first, call("other", "2026-10-05T09:00:00Z")]);
    lake.commit(rows(1, kept), world.now).await.unwrap();
    let wanted: Vec<(CdrId, u32)> = all.iter().map(|rated| (rated.cdr.id, rated.cdr.revision)).collect();
    let (from, to) = (at("2026-10-05T08:00:00Z"), at("2026-10-06T00:00:01Z"));
    let mut found = lake.kept_calls(&wanted, from, to).await.unwrap();
    found.sort_by_key(|rated| rated.cdr.start_at);
    assert_eq!(found, all.each_ref().map(as_kept));
}

#[tokio::test]
async fn calls_that_the_lake_does_not_have_are_not_found() {
    let world = World::new();
    let lake = world.open();
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    let (a, b) = (CdrId::derive(&CallUid::new("a"), 0), CdrId::derive(&CallUid::new("b"), 0));
    let at_eight = at("2026-10-05T08:00:00Z");
    assert!(lake.kept_calls(&[(a, 1), (b, 0)], at_eight, at_eight).await.unwrap().is_empty());
    assert!(lake.kept_calls(&[(a, 0)], at("2026-10-05T08:00:01Z"), world.now).await.unwrap().is_empty());
    let many: Vec<(CdrId, u32)> =
        (0..6_000).map(|n| (CdrId::derive(&CallUid::new(format!("x{n}")), 0), 0)).chain([(a, 0)]).collect();
    assert_eq!(lake.kept_calls(&many, at_eight, at_eight).await.unwrap().len(), 1);
}
