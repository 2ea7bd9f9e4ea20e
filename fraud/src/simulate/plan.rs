//! What happens on a day of the simulated operator, before anybody interferes: ordinary calls, and hard negatives.

use model::{AccountId, Party, TrunkId};

use super::chance::Chance;
use super::world::{CARRIERS, Customer, FAR, HOME, INBOUND, Kind, NEAR, Place, VENDORS, VOTE, World, number};

pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// A call as its parties want it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    /// Milliseconds since the simulation began.
    pub(super) at: i64,
    pub(super) payer: AccountId,
    pub(super) caller: Party,
    pub(super) cli: Option<u64>,
    pub(super) callee: u64,
    pub(super) source: u32,
    pub(super) ring_ms: i64,
    /// Seconds of answer; `None` if nobody answers.
    pub(super) seconds: Option<i64>,
    pub(super) vendor: Option<TrunkId>,
    pub(super) leg: u16,
    /// Which attack it belongs to.
    pub(super) attack: Option<usize>,
}

/// A REGISTER or INVITE that the switch refuses.
#[derive(Debug, Clone)]
pub(super) struct Knock {
    pub(super) at: i64,
    pub(super) source: u32,
    pub(super) user: u64,
    pub(super) attack: Option<usize>,
}

pub(super) fn party(customer: &Customer) -> Party {
    Party::Subscriber {
        subscriber: customer.subscriber,
        account: customer.account,
        reseller: AccountId::NOBODY,
        uuid: "".into(),
    }
}

/// A call of a customer's own.
pub(super) fn own_call(customer: &Customer, at: i64, callee: u64, seconds: Option<i64>) -> Planned {
    Planned {
        at,
        payer: customer.account,
        caller: party(customer),
        cli: Some(customer.cli),
        callee,
        source: customer.source,
        ring_ms: 8 * SECOND,
        seconds,
        vendor: Some(VENDORS[usize::from(callee.is_multiple_of(3))]),
        leg: 0,
        attack: None,
    }
}

/// A call that comes in.
pub(super) fn call_in(at: i64, cli: u64, callee: u64, ring_ms: i64, seconds: Option<i64>) -> Planned {
    Planned {
        at,
        payer: CARRIERS[0],
        caller: Party::Trunk { trunk: INBOUND, account: CARRIERS[0] },
        cli: Some(cli),
        callee,
        source: 0xc000_0207,
        ring_ms,
        seconds,
        vendor: None,
        leg: 0,
        attack: None,
    }
}

/// Calls an hour, in thousandths.
fn hourly(kind: Kind, weekday: i64, hour: i64, is_month_end: bool) -> i64 {
    let is_weekend = weekday >= 5;
    match kind {
        Kind::Residential => match hour {
            0..7 => 10,
            7..17 => 180,
            17..22 => 420,
            _ => 80,
        },
        Kind::Business => match (is_weekend, hour) {
            (false, 8..18) if is_month_end => 5_500,
            (false, 8..18) => 2_400,
            (false, 18..21) => 200,
            (true, 9..14) => 120,
            (false | true, _) => 4,
        },
        Kind::CallCentre => match (is_weekend, hour) {
            (false, 9..19) => 25_000,
            (true, 10..15) => 5_000,
            (false | true, _) => 0,
        },
        Kind::Wholesale => match hour {
            0..6 => 8_000,
            6..22 => 25_000,
            _ => 14_000,
        },
    }
}

fn destination(customer: &Customer, chance: &mut Chance) -> &'static Place {
    let percent_abroad = match customer.kind {
        Kind::Residential => 4,
        Kind::Business => 9,
        Kind::CallCentre => 1,
        Kind::Wholesale => 90,
    };
    if !customer.abroad.is_empty() && chance.percent(percent_abroad) {
        let chosen: &&'static Place = chance.pick(&customer.abroad);
        return chosen;
    }
    // Once in a while somebody calls where he never called before.
    if customer.kind != Kind::CallCentre && chance.below(2_000) == 0 {
        return if chance.percent(60) { chance.pick(&NEAR) } else { chance.pick(&FAR) };
    }
    chance.pick(&HOME)
}

/// The ordinary calls of one customer on one day.
pub(super) fn ordinary(customer: &Customer, day: i64, chance: &Chance, calls: &mut Vec<Planned>) {
    if day < customer.joined {
        return;
    }
    let mut chance = chance.of(customer.account.0.cast_unsigned()).of(day.cast_unsigned());
    // Day 0 is a Monday; months have thirty days here.
    let is_month_end = matches!(day % 30, 28 | 29);
    for hour in 0..24 {
        let mean = hourly(customer.kind, day % 7, hour, is_month_end) * customer.activity / 1_000;
        for _ in 0..chance.count(mean) {
            let at = day * DAY + hour * HOUR + chance.between(0, HOUR - 1);
            let place = destination(customer, &mut chance);
            let (answered, mean) = match customer.kind {
                Kind::Residential => (70, 200),
                Kind::Business => (75, 170),
                Kind::CallCentre => (38, 70),
                Kind::Wholesale => (60, 180),
            };
            // People call the same few; a dialler calls each once.
            let whom = match customer.kind {
                Kind::Residential => chance.below(12) + customer.cli * 31,
                Kind::Business => chance.below(60) + customer.cli * 31,
                Kind::CallCentre | Kind::Wholesale => chance.below(1_000_000_000),
            };
            let seconds = chance.percent(answered).then(|| 2 + chance.exponential(mean).min(3 * 3_600));
            let mut call = own_call(customer, at, number(place, crate::watch::mix(whom)), seconds);
            call.ring_ms = 2 * SECOND + chance.exponential(8 * SECOND).min(60 * SECOND);
            calls.push(call);
        }
    }
}

/// Calls that come in from everywhere to the customers, on one day.
pub(super) fn incoming(world: &World, day: i64, chance: &Chance, calls: &mut Vec<Planned>) {
    let mut chance = chance.of(0xa11).of(day.cast_unsigned());
    for hour in 0..24 {
        let n_customers = i64::try_from(world.customers.len()).unwrap_or(0);
        // Every line is called some two or three times a day.
        let mean = n_customers * if (7..22).contains(&hour) { 160 } else { 15 };
        for _ in 0..chance.count(mean) {
            let at = day * DAY + hour * HOUR + chance.between(0, HOUR - 1);
            let customer = chance.pick(&world.customers);
            let place = match chance.below(10) {
                0..8 => chance.pick(&HOME),
                8 => chance.pick(&NEAR),
                _ => chance.pick(&FAR),
            };
            let cli = number(place, chance.below(1_000_000_000));
            let ring_ms = 3 * SECOND + chance.exponential(9 * SECOND).min(60 * SECOND);
            let seconds = chance.percent(65).then(|| 2 + chance.exponential(180).min(7_200));
            calls.push(call_in(at, cli, customer.cli, ring_ms, seconds));
        }
    }
}

/// Ordinary traffic that looks like fraud. One kind on each of several days.
pub(super) fn hard_negatives(
    world: &World,
    day: i64,
    first_day: i64,
    chance: &Chance,
    calls: &mut Vec<Planned>,
) {
    let mut chance = chance.of(0x4a7d).of(day.cast_unsigned());
    let is = |kind: Kind| move |customer: &&Customer| customer.kind == kind && customer.joined == 0;
    match day - first_day {
        // A vote on television: many homes, one number, within ten minutes, some again and again.
        2 => {
            for customer in world.customers.iter().filter(is(Kind::Residential)) {
                if chance.percent(35) {
                    for _ in 0..chance.between(1, 8) {
                        let at = day * DAY + 20 * HOUR + chance.between(0, 10 * MINUTE);
                        calls.push(own_call(customer, at, number(&VOTE, 1 + chance.below(6)), Some(20)));
                    }
                }
            }
        }
        // A holiday: everybody calls far relatives, for long, many of them for the first time.
        5 | 6 => {
            for customer in world.customers.iter().filter(is(Kind::Residential)) {
                if chance.percent(50) {
                    let place = if chance.percent(50) { chance.pick(&NEAR) } else { chance.pick(&FAR) };
                    for _ in 0..chance.between(1, 4) {
                        let at = day * DAY + 9 * HOUR + chance.between(0, 13 * HOUR);
                        let seconds = 300 + chance.exponential(900);
                        calls.push(own_call(customer, at, number(place, chance.below(40)), Some(seconds)));
                    }
                }
            }
        }
        _ => {}
    }
    // New branches abroad: from a day on, calls all day to a country that was never called.
    if (0..10).contains(&(day - first_day)) && day % 7 < 5 {
        for (n, customer) in (0_usize..).zip(world.customers.iter().filter(is(Kind::Business)).take(12)) {
            let place = &FAR[n % FAR.len()];
            for _ in 0..chance.between(3, 14) {
                let at = day * DAY + 8 * HOUR + chance.between(0, 9 * HOUR);
                let seconds = 20 + chance.exponential(260);
                calls.push(own_call(customer, at, number(place, chance.below(30)), Some(seconds)));
            }
        }
    }
    // A call centre begins a campaign in another country, partly through the extensions of one company.
    if (3..6).contains(&(day - first_day)) {
        for customer in world.customers.iter().filter(is(Kind::CallCentre)).take(3) {
            for n in 0..120 {
                let at = day * DAY + 10 * HOUR + chance.between(0, 6 * HOUR);
                let whom = if n < 15 { 5_000 + n } else { chance.below(100_000_000) };
                let seconds = chance.percent(40).then(|| 3 + chance.exponential(80));
                calls.push(own_call(customer, at, number(&NEAR[7], whom), seconds));
            }
        }
    }
    // A customer's people work from home, with three addresses in a day.
    for customer in world.customers.iter().filter(is(Kind::Business)).skip(12).take(20) {
        for home in 0..3 {
            let at = day * DAY + 9 * HOUR + chance.between(0, 8 * HOUR);
            let whom = number(&HOME[0], chance.below(60));
            let call = own_call(customer, at, whom, Some(60 + chance.exponential(120)));
            calls.push(Planned { source: customer.source + 0x0100_0000 * (home + 1), ..call });
        }
    }
}
