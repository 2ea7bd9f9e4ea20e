//! Labelled attacks: each pattern of fraud at two strengths.

use model::{AccountId, Party};

use super::chance::Chance;
use super::plan::{DAY, HOUR, Knock, MINUTE, Planned, SECOND, call_in, own_call};
use super::world::{CARRIERS, Customer, DEAR, FAR, HOME, Kind, NEAR, VENDORS, World, number};

/// What kind of fraud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// International revenue share fraud, by a hacked PBX or stolen credentials.
    Irsf,
    /// One ring to many, so that they call back.
    WangiriIn,
    /// And they do.
    WangiriBack,
    /// Long calls of machines to where calls earn money.
    TrafficPumping,
    /// A carrier answers before the callee does.
    FalseAnswer,
    /// A line that ends other people's international calls.
    SimBox,
    /// Our own numbers, from outside.
    CliSpoofing,
    /// Numbers dialled one after the other.
    Robocall,
    /// Calls forwarded to dear numbers.
    ForwardFraud,
    /// A new customer who will never pay.
    Subscription,
    /// One line used by many.
    SharedCredentials,
    /// Guessing names and passwords.
    RegisterScan,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Pattern; 12] = [
        Pattern::Irsf,
        Pattern::WangiriIn,
        Pattern::WangiriBack,
        Pattern::TrafficPumping,
        Pattern::FalseAnswer,
        Pattern::SimBox,
        Pattern::CliSpoofing,
        Pattern::Robocall,
        Pattern::ForwardFraud,
        Pattern::Subscription,
        Pattern::SharedCredentials,
        Pattern::RegisterScan,
    ];

    /// In tables and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Pattern::Irsf => "irsf",
            Pattern::WangiriIn => "wangiri in",
            Pattern::WangiriBack => "wangiri call back",
            Pattern::TrafficPumping => "traffic pumping",
            Pattern::FalseAnswer => "false answer",
            Pattern::SimBox => "sim box",
            Pattern::CliSpoofing => "cli spoofing",
            Pattern::Robocall => "robocall",
            Pattern::ForwardFraud => "forward fraud",
            Pattern::Subscription => "subscription",
            Pattern::SharedCredentials => "shared credentials",
            Pattern::RegisterScan => "register scan",
        }
    }

    /// Rules that name this pattern, for those whose party is not the account that suffers; others are recognised by the account.
    pub(super) const fn rules(self) -> &'static [&'static str] {
        match self {
            Pattern::WangiriIn => &["wangiri-in"],
            Pattern::WangiriBack => &["wangiri-back"],
            Pattern::FalseAnswer => &["false-answer"],
            Pattern::CliSpoofing => &["spoofed-own-number"],
            Pattern::RegisterScan => &["register-scan"],
            Pattern::Irsf
            | Pattern::TrafficPumping
            | Pattern::SimBox
            | Pattern::Robocall
            | Pattern::ForwardFraud
            | Pattern::Subscription
            | Pattern::SharedCredentials => &[],
        }
    }
}

/// How hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// As much as goes through.
    Strong,
    /// As little as still pays.
    Slow,
}

/// One attack.
#[derive(Debug, Clone)]
pub struct Attack {
    /// Its kind.
    pub pattern: Pattern,
    /// Its strength.
    pub strength: Strength,
    /// Who suffers; the carrier for what comes in.
    pub account: AccountId,
    /// Milliseconds since the simulation began.
    pub(super) begins: i64,
    pub(super) ends: i64,
    /// Everybody whose account-days are not clean.
    pub(super) touched: Vec<AccountId>,
}

/// What one attack does.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    pub(super) calls: Vec<Planned>,
    pub(super) knocks: Vec<Knock>,
}

/// Plans an attack of `pattern` on `day`; `n` tells it from others. `victim` is a customer that suits it.
pub(super) fn plan(
    world: &World,
    victim: &Customer,
    pattern: Pattern,
    strength: Strength,
    day: i64,
    n: usize,
    chance: &Chance,
) -> (Attack, Deeds) {
    let mut chance = chance.of(0xbad).of(n as u64);
    let is_strong = strength == Strength::Strong;
    let mut deeds = Deeds::default();
    let mut touched = vec![victim.account];
    // Nights suit thieves; patterns that hide among people keep their hours.
    let night = day * DAY + chance.between(HOUR, 4 * HOUR);
    let noon = day * DAY + chance.between(9 * HOUR, 13 * HOUR);
    let dear = chance.pick(&DEAR);
    let stranger = 0x5db8_d800 + u32::try_from(n).unwrap_or(0) * 64;
    let mut begins = night;
    let mut account = victim.account;
    let calls = &mut deeds.calls;
    match pattern {
        Pattern::Irsf => {
            // A test call first.
            calls.push(own_call(victim, night, number(dear, 7), Some(8)));
            let n_calls = if is_strong { chance.between(30, 80) } else { chance.between(20, 30) };
            for k in 0..n_calls {
                let at = if is_strong {
                    night + 20 * MINUTE + k * chance.between(2 * SECOND, 20 * SECOND)
                } else {
                    night + 20 * MINUTE + k * 14 * MINUTE
                };
                let seconds = if is_strong { chance.between(600, 1_800) } else { chance.between(180, 480) };
                let callee = number(dear, 1_000 + chance.below(40));
                calls.push(Planned { source: stranger, ..own_call(victim, at, callee, Some(seconds)) });
            }
        }
        Pattern::WangiriIn => {
            begins = noon;
            account = CARRIERS[0];
            touched.push(account);
            let (n_calls, span) = if is_strong { (400, 20 * MINUTE) } else { (70, 2 * HOUR) };
            for k in 0..n_calls {
                let at = noon + span * k / n_calls;
                let callee = chance.pick(&world.customers).cli;
                let cli = number(dear, 30_000 + chance.below(9_000));
                calls.push(call_in(at, cli, callee, chance.between(800, 2_500), None));
            }
        }
        Pattern::WangiriBack => {
            begins = noon;
            let n_callers = if is_strong { 40 } else { 12 };
            let range = 40_000 + chance.below(10) * 10_000;
            let homes: Vec<&Customer> =
                world.customers.iter().filter(|c| c.kind == Kind::Residential && c.joined == 0).collect();
            for _ in 0..n_callers {
                let caller = chance.pick(&homes);
                touched.push(caller.account);
                let at = noon + chance.between(0, 5 * HOUR);
                let callee = number(dear, range + chance.below(9_000));
                calls.push(own_call(caller, at, callee, Some(chance.between(20, 240))));
            }
        }
        Pattern::TrafficPumping => {
            begins = noon;
            let n_calls = if is_strong { 120 } else { 30 };
            let place = &FAR[9];
            for k in 0..n_calls {
                let at = noon + 5 * HOUR * k / n_calls;
                let callee = number(place, 770_000 + chance.below(900));
                calls.push(own_call(victim, at, callee, Some(1_800 + chance.between(-60, 60))));
            }
        }
        Pattern::FalseAnswer => {
            begins = noon;
            account = victim.account;
            let place = &FAR[n % 4];
            let percent = if is_strong { 85 } else { 45 };
            for _ in 0..250 {
                let at = noon + chance.between(0, 5 * HOUR);
                let vendor = VENDORS[usize::try_from(chance.below(2)).unwrap_or(0)];
                let is_false = vendor == VENDORS[1] && chance.percent(percent);
                let seconds = if is_false { chance.between(2, 7) } else { 12 + chance.exponential(160) };
                let callee = number(place, chance.below(1_000_000_000));
                let call = own_call(victim, at, callee, Some(seconds));
                calls.push(Planned { vendor: Some(vendor), ..call });
            }
        }
        Pattern::SimBox => {
            begins = day * DAY + 7 * HOUR;
            let n_calls = if is_strong { 400 } else { 130 };
            let mut at = begins;
            for _ in 0..n_calls {
                let seconds = 30 + chance.exponential(110);
                let callee = number(chance.pick(&HOME), chance.below(100_000_000));
                calls.push(own_call(victim, at, callee, chance.percent(75).then_some(seconds)));
                at += if is_strong { 130 * SECOND } else { 6 * MINUTE };
            }
        }
        Pattern::CliSpoofing => {
            begins = noon;
            account = CARRIERS[0];
            touched.push(account);
            let (n_calls, span) = if is_strong { (300, 10 * MINUTE) } else { (30, 50 * MINUTE) };
            for k in 0..n_calls {
                let at = noon + span * k / n_calls;
                let cli = chance.pick(&world.customers).cli;
                let callee = chance.pick(&world.customers).cli;
                let seconds = chance.percent(40).then(|| chance.between(10, 90));
                calls.push(call_in(at, cli, callee, 9 * SECOND, seconds));
            }
        }
        Pattern::Robocall => {
            begins = noon;
            let (n_calls, step) = if is_strong { (1_200, 2 * SECOND) } else { (150, 20 * SECOND) };
            let first = chance.below(1_000_000);
            for k in 0..n_calls {
                let callee = number(&HOME[0], first + u64::try_from(k).unwrap_or(0));
                let seconds = chance.percent(45).then(|| chance.between(1, 15));
                calls.push(own_call(victim, noon + k * step, callee, seconds));
            }
        }
        Pattern::ForwardFraud => {
            let n_calls = if is_strong { 25 } else { 6 };
            for k in 0..n_calls {
                let at = night + k * if is_strong { 40 * SECOND } else { 25 * MINUTE };
                let callee = number(dear, 2_000 + chance.below(30));
                let call = own_call(victim, at, callee, Some(chance.between(400, 1_500)));
                calls.push(Planned { leg: 1, ..call });
            }
        }
        Pattern::Subscription => {
            begins = noon;
            let (days, n_calls) = if is_strong { (1, 30) } else { (4, 7) };
            for later in 0..days {
                for k in 0..n_calls {
                    let at = noon + later * DAY + k * 18 * MINUTE;
                    let callee = number(chance.pick(&FAR[7..]), chance.below(500));
                    calls.push(own_call(victim, at, callee, Some(chance.between(900, 2_400))));
                }
            }
        }
        Pattern::SharedCredentials => {
            begins = noon;
            let n_sources = if is_strong { 12 } else { 5 };
            for k in 0..n_sources * 3 {
                let at = noon + k * HOUR / (n_sources * 3);
                let callee = number(chance.pick(&NEAR), chance.below(10_000));
                let call = own_call(victim, at, callee, Some(30 + chance.exponential(200)));
                let source = stranger + u32::try_from(k % n_sources).unwrap_or(0) * 0x0001_0000;
                calls.push(Planned { source, ..call });
            }
        }
        Pattern::RegisterScan => {
            account = AccountId::NOBODY;
            touched.clear();
            let (n_knocks, span) = if is_strong { (900, 10 * MINUTE) } else { (50, 9 * MINUTE) };
            for k in 0..n_knocks {
                deeds.knocks.push(Knock {
                    at: night + span * k / n_knocks,
                    source: stranger,
                    user: 1_000 + u64::try_from(k).unwrap_or(0),
                    attack: Some(n),
                });
            }
        }
    }
    for call in &mut deeds.calls {
        call.attack = Some(n);
    }
    if pattern == Pattern::Irsf {
        begins = night;
    }
    let last = |call: &Planned| call.at + call.seconds.unwrap_or(0) * SECOND;
    let ends =
        deeds.calls.iter().map(last).chain(deeds.knocks.iter().map(|knock| knock.at)).max().unwrap_or(begins);
    (Attack { pattern, strength, account, begins, ends, touched }, deeds)
}

/// Whether `customer` suits the pattern: thieves take whom they get, some need a kind.
pub(super) fn suits(pattern: Pattern, customer: &Customer, day: i64) -> bool {
    match pattern {
        Pattern::FalseAnswer => customer.kind == Kind::Wholesale,
        Pattern::Subscription => customer.joined > 0 && (0..20).contains(&(day - customer.joined)),
        Pattern::SimBox
        | Pattern::SharedCredentials
        | Pattern::Robocall
        | Pattern::Irsf
        | Pattern::ForwardFraud => {
            matches!(customer.kind, Kind::Residential | Kind::Business) && customer.joined == 0
        }
        Pattern::TrafficPumping => customer.kind == Kind::Business && customer.joined == 0,
        Pattern::WangiriIn | Pattern::WangiriBack | Pattern::CliSpoofing | Pattern::RegisterScan => {
            customer.kind == Kind::Residential && customer.joined == 0
        }
    }
}

/// Whether the caller of `call` is a customer of ours.
pub(super) fn is_customers(call: &Planned) -> bool {
    matches!(call.caller, Party::Subscriber { .. })
}
