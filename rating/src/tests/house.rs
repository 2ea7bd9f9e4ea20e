//! A stage with one account that has free time, and what came out of it: for calls in whatever order.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Body, CarryOver, Cdr, Directory, Effect, Held, IntervalPrice, Package, Posting, PostingId, PostingReason,
    PriceModel, PriceStep, RatedCdr, RouteAction, RouteTry, Stage as _, TenantId, TenantPackage,
};
use rust_decimal::Decimal;

use super::contracts::{call, stage, with_contract};
use super::stage::{ALICE, apply};
use crate::RatingStage;

/// Minutes at 0.06 to Germany and at 1.00 to Britain, the first `free_seconds` of a month free for both; to France always paid, 0.10.
pub(super) fn free_time(prepaid: bool, free_seconds: u64, free_cash: &str) -> Directory {
    let mut rows = with_contract(prepaid, free_cash);
    let tariff = &mut rows.tariffs[0];
    tariff.interval_free_seconds = free_seconds;
    tariff.fees.push(super::fee("44 1.00 1.00 60/60"));
    for fee in &mut tariff.fees {
        fee.onpeak.use_free_time = true;
        fee.offpeak.use_free_time = true;
    }
    tariff.fees.push(super::fee("33 0.10 0.10 60/60"));
    rows.tariffs[2].fees.push(super::fee("44 0.02 0.02 1/1"));
    rows.tariffs[2].fees.push(super::fee("33 0.02 0.02 1/1"));
    rows
}

/// Of so many minutes, on the fifth.
pub(super) fn to(prefix: u64, n: u32, clock: &str, minutes: u64) -> Cdr {
    let mut cdr = call(n, &format!("2026-10-05T{clock}Z"), minutes * 60);
    cdr.destination.user_in = format!("{prefix}30555123").into();
    cdr.destination.number = Some(cdr.destination.user_in.parse().unwrap());
    cdr
}

pub(super) fn record(cdr: Cdr) -> Body {
    Body::Cdr(Box::new(cdr))
}

/// What Alice has by the postings, and what the calls came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    pub(super) held: Held,
    pub(super) calls: Decimal,
}

/// A stage, and what came out of it.
pub(super) struct House {
    pub(super) stage: RatingStage,
    pub(super) postings: Vec<Posting>,
    pub(super) last: BTreeMap<model::CdrId, RatedCdr>,
    pub(super) entries: BTreeMap<String, Vec<u8>>,
    pub(super) rows: Directory,
}

impl House {
    pub(super) fn new(rows: Directory) -> House {
        House {
            stage: stage(rows.clone()),
            postings: Vec::new(),
            last: BTreeMap::new(),
            entries: BTreeMap::new(),
            rows,
        }
    }

    pub(super) fn apply(&mut self, body: Body) {
        for effect in apply(&mut self.stage, body) {
            match effect {
                Effect::Append { body, .. } => match *body {
                    Body::Posting(posting) => self.postings.push(*posting),
                    Body::Rated(rated) => {
                        self.last.insert(rated.cdr.id, *rated);
                    }
                    other => panic!("{other:?}"),
                },
                Effect::Suspend(suspended) => panic!("{}", suspended.message),
                _ => {}
            }
        }
        for change in self.stage.take_changes() {
            match change.value {
                Some(value) => self.entries.insert(change.key, value),
                None => self.entries.remove(&change.key),
            };
        }
    }

    pub(super) fn set_directory(&mut self, rows: Directory) {
        self.stage.set_directory(std::sync::Arc::new(rows)).unwrap();
    }

    /// As after a restart.
    pub(super) fn reload(&mut self) {
        self.stage = stage(self.rows.clone());
        self.stage.restore(self.entries.clone().into_iter().collect()).unwrap();
    }

    pub(super) fn standing(&self) -> Standing {
        let mut held = Held::default();
        for posting in &self.postings {
            held += Held::by(posting, ALICE);
        }
        let of_alice =
            self.last.values().flat_map(|rated| &rated.charges).filter(|charge| charge.account == ALICE);
        let calls = of_alice.map(|charge| charge.cost + charge.free_cash).sum();
        Standing { held, calls }
    }

    /// Postings in force that set calls in order, or say why not.
    pub(super) fn of_order(&self) -> Vec<&Posting> {
        let taken_back: BTreeSet<PostingId> =
            self.postings.iter().filter_map(|posting| posting.reverses).collect();
        let of_order = self.postings.iter().filter(|posting| {
            matches!(
                posting.reason,
                PostingReason::OutOfOrder | PostingReason::OutOfOrderHeld | PostingReason::OutOfOrderUnknown
            )
        });
        of_order.filter(|posting| !taken_back.contains(&posting.id)).collect()
    }

    /// What sets calls in order, and how Alice stands.
    pub(super) fn picture(&self) -> String {
        let mut text = String::new();
        for posting in self.of_order() {
            text +=
                &format!("{} {} -> {} {}\n", posting.reason, posting.credit, posting.debit, posting.amount);
        }
        let Standing { held, calls } = self.standing();
        let [own, cash, seconds, owed] =
            [held.own, held.free_cash, held.free_seconds, held.owed].map(|amount| amount.normalize());
        text + &format!("own {own}, free {cash} and {seconds} s, owed {owed}; calls {}\n", calls.normalize())
    }
}

/// It was sent to its carrier, and nobody answered.
pub(super) fn unanswered(revision: u32, call: Cdr) -> Cdr {
    let status = model::CallStatus::Cancel;
    let (attempts, init_at) = (tried(&call), call.start_at);
    Cdr { revision, partial: false, init_at, duration_us: 0, status, code: 487, attempts, ..call }
}

/// One INVITE, to where the call goes.
pub(super) fn tried(call: &Cdr) -> Vec<RouteTry> {
    let party = call.destination.party.clone();
    vec![RouteTry { attempt: 1, party, code: 487, pdd_us: None, action: RouteAction::Stop }]
}

/// A free minute; Germany costs 0.06 for the first minute of a month that is paid, then 0.03.
pub(super) fn tiers() -> Directory {
    let mut rows = free_time(false, 60, "0");
    let step =
        |from_seconds, per_minute: &str| PriceStep { from_seconds, per_minute: per_minute.parse().unwrap() };
    rows.tariffs[0].interval_price = Some(IntervalPrice {
        model: PriceModel::Tiered,
        zones: vec!["zone 49".to_owned()],
        steps: vec![step(0, "0.06"), step(60, "0.03")],
        package_seconds: 0,
        package_price: Decimal::ZERO,
    });
    rows
}

pub(super) fn month_that_discards() -> Package {
    Package { carry_over: CarryOver::Discard, ..Package::default() }
}

/// Alice has this package.
pub(super) fn with_package(mut rows: Directory, package: Package) -> Directory {
    let package = Package { handle: "hers".to_owned(), ..package };
    rows.contracts.get_mut(&ALICE).unwrap().package.clone_from(&package.handle);
    rows.packages.push(TenantPackage { tenant: TenantId(1), package });
    rows
}
