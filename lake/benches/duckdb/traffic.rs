//! Calls of a carrier that sells to customers and resellers and buys from other carriers: who calls and where to by Zipf's law, more by
//! day than by night, six of ten answered. Some have an earlier revision (they were up at a quarter of an hour), a few are corrected
//! days later. The same number of calls is always the same calls.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, AuthMethod, CallStatus, CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId,
    CdrSource, Charge, Currency, Direction, FeeId, Initiator, Party, ProfileVersionId, Provider, RatedCdr,
    RouteAction, RouteTry, SubscriberId, TenantId, Transport, TrunkId,
};
use rust_decimal::Decimal;

/// First day of the calls.
pub(crate) const FIRST_DAY: &str = "2026-09-01T00:00:00Z";

const SUBSCRIBERS: u64 = 100_000;
const ACCOUNTS: u64 = 20_000;
const RESELLERS: u64 = 50;
const TRUNKS: u64 = 12;
/// One call of so many was up at a quarter of an hour, and has a record of that moment.
const IN_PROGRESS_ONE_OF: u64 = 200;
/// One call of so many is priced again, days later.
const PRICED_AGAIN_ONE_OF: u64 = 5_000;

/// Destinations: prefix, zone, detail, carrier's price and ours for a minute in millionths.
const DESTINATIONS: [(&str, &str, &str, i64, i64); 24] = [
    ("43660", "Austria", "mobile", 21_000, 79_000),
    ("4366", "Austria", "mobile", 22_000, 79_000),
    ("431", "Austria", "fixed", 6_000, 29_000),
    ("4930", "Germany", "fixed", 4_500, 25_000),
    ("4989", "Germany", "fixed", 4_500, 25_000),
    ("49151", "Germany", "mobile", 18_000, 89_000),
    ("49171", "Germany", "mobile", 18_500, 89_000),
    ("4143", "Switzerland", "fixed", 9_000, 39_000),
    ("4179", "Switzerland", "mobile", 31_000, 149_000),
    ("390", "Italy", "fixed", 5_100, 27_000),
    ("393", "Italy", "mobile", 12_300, 69_000),
    ("331", "France", "fixed", 4_900, 27_000),
    ("336", "France", "mobile", 13_700, 69_000),
    ("4420", "United Kingdom", "fixed", 4_100, 25_000),
    ("447", "United Kingdom", "mobile", 15_900, 75_000),
    ("421", "Slovakia", "fixed", 7_700, 31_000),
    ("420", "Czechia", "fixed", 6_900, 31_000),
    ("36", "Hungary", "fixed", 8_200, 33_000),
    ("385", "Croatia", "fixed", 9_900, 45_000),
    ("381", "Serbia", "fixed", 41_000, 139_000),
    ("90", "Turkey", "fixed", 23_000, 99_000),
    ("1", "United States", "fixed", 3_300, 21_000),
    ("8816", "Satellite", "satellite", 2_900_000, 4_990_000),
    ("252", "Somalia", "mobile", 510_000, 890_000),
];

/// Calls of each hour of a day among 1000.
const HOURS: [u64; 24] =
    [12, 8, 6, 5, 5, 8, 18, 38, 62, 76, 80, 76, 70, 70, 74, 74, 70, 64, 56, 46, 36, 24, 14, 8];

/// A generator of numbers (splitmix64): the same seed gives the same calls.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rank below `n` by Zipf's law: the first is met `n` times as often as the last.
    fn zipf(&mut self, n: u64) -> u64 {
        ((n as f64).powf(self.fraction()) as u64).clamp(1, n) - 1
    }
}

/// The calls, one after the other, in the order in which their records come.
pub(crate) struct Traffic {
    dice: Dice,
    calls: u64,
    days: u64,
    made: u64,
    /// Later revisions: after how many calls, and what.
    later: VecDeque<(u64, RatedCdr)>,
    much_later: VecDeque<(u64, RatedCdr)>,
    first_day: DateTime<Utc>,
    hour_starts: Vec<u64>,
}

/// What is fixed for a subscriber.
struct Subscriber {
    id: u64,
    account: i64,
    reseller: i64,
    number: String,
    uuid: String,
    ip: String,
    user_agent: &'static str,
}

impl Subscriber {
    fn number(id: u64) -> Self {
        const AGENTS: [&str; 8] = [
            "baresip v3.10",
            "Yealink SIP-T46U 108.86.0.90",
            "snomD785/10.1.184.15",
            "Grandstream GXP2170 1.0.11.79",
            "Asterisk PBX 22.1.0",
            "FPBX-16.0.40(20.5.0)",
            "Linphone/5.2.5",
            "AVM FRITZ!Box 7590 164.08.00",
        ];
        let mut dice = Dice(id ^ 0x5eed);
        let account = dice.zipf(ACCOUNTS);
        let digits = dice.below(10_000_000);
        let (high, low) = (dice.next(), dice.next());
        Subscriber {
            id,
            account: 1_000 + account as i64,
            reseller: if account.is_multiple_of(3) {
                100 + (account % RESELLERS) as i64
            } else {
                AccountId::NOBODY.0
            },
            number: format!("43720{digits:07}"),
            uuid: format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xffff,
                high & 0xfff,
                low >> 52,
                low & 0xffff_ffff_ffff
            ),
            ip: format!("10.{}.{}.{}", id % 4, (id >> 8) & 0xff, id & 0xff),
            user_agent: AGENTS[(account % 8) as usize],
        }
    }

    fn party(&self) -> Party {
        Party::Subscriber {
            subscriber: SubscriberId(self.id as i64 + 1),
            account: AccountId(self.account),
            reseller: AccountId(self.reseller),
            uuid: self.uuid.as_str().into(),
        }
    }
}

fn trunk(idx: u64) -> Party {
    Party::Trunk { trunk: TrunkId(1 + idx as i64), account: AccountId(9_001 + idx as i64) }
}

impl Traffic {
    pub(crate) fn new(calls: u64, days: u64) -> Self {
        let mut hour_starts = vec![0];
        for share in HOURS {
            hour_starts.push(hour_starts[hour_starts.len() - 1] + share);
        }
        Self {
            dice: Dice(7),
            calls,
            days,
            made: 0,
            later: VecDeque::new(),
            much_later: VecDeque::new(),
            first_day: FIRST_DAY.parse().expect("a time"),
            hour_starts,
        }
    }

    /// When the `idx`-th call comes in.
    fn moment(&mut self, idx: u64) -> DateTime<Utc> {
        let of_day = self.calls.div_ceil(self.days);
        let (day, place) = (idx / of_day, idx % of_day);
        let total = self.hour_starts[24];
        let thousandth = u128::from(place) * u128::from(total) * 3_600_000_000 / u128::from(of_day);
        let share = (thousandth / 3_600_000_000) as u64;
        let hour = self.hour_starts.partition_point(|start| *start <= share) - 1;
        let within = thousandth - u128::from(self.hour_starts[hour]) * 3_600_000_000;
        let us = hour as u64 * 3_600_000_000 + (within / u128::from(HOURS[hour])) as u64;
        self.first_day
            + TimeDelta::days(day as i64)
            + TimeDelta::microseconds((us + self.dice.below(200_000)) as i64)
    }

    fn make(&mut self, idx: u64) -> RatedCdr {
        let init_at = self.moment(idx);
        let dice = &mut self.dice;
        let caller = Subscriber::number(dice.zipf(SUBSCRIBERS));
        let kind = dice.below(10);
        let (comes_in, stays) = (kind < 2, kind == 2);
        let place = dice.zipf(DESTINATIONS.len() as u64);
        let (prefix, zone, detail, buy, sell) = DESTINATIONS[place as usize];
        // Half of the calls go to a number that is called often.
        let often = dice.below(2) == 0;
        let digits = if often { dice.zipf(200_000) * 31 % 10_000_000 } else { dice.below(10_000_000) };
        let callee = Subscriber::number(dice.zipf(SUBSCRIBERS));
        let called = if comes_in || stays { callee.number.clone() } else { format!("{prefix}{digits:07}") };
        let out_trunk = (place * 5 + dice.zipf(4)) % TRUNKS;
        let answered = dice.below(100) < 62;
        let code = if answered { 200 } else { [486, 487, 480, 404, 503][dice.zipf(5) as usize] };
        let duration_us =
            if answered { (-dice.fraction().max(1e-9).ln() * 160_000_000.0) as u64 + 1_000_000 } else { 0 };
        let pdd_us = 300_000 + dice.below(2_500_000);
        let ring_us = dice.below(20_000_000);
        let start_at = init_at + TimeDelta::microseconds((pdd_us + ring_us) as i64);
        let random = (dice.next(), dice.next());
        let sip_call_id = match caller.id % 3 {
            0 => format!("{:016x}{:016x}@{}", random.0, random.1, caller.ip),
            1 => format!("{:016x}", random.0),
            _ => format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                random.0 >> 32,
                (random.0 >> 16) & 0xffff,
                random.0 & 0xfff,
                random.1 >> 52,
                random.1 & 0xffff_ffff_ffff
            ),
        };
        let node = idx % 2 + 1;
        let call = CallUid::new(format!("sw{node}-3-{}", idx / 2 + 1).as_str());
        let (source_party, payer, source_number) = if comes_in {
            let from = dice.zipf(TRUNKS);
            (trunk(from), 9_001 + from as i64, format!("{prefix}{digits:07}"))
        } else {
            (caller.party(), caller.account, caller.number.clone())
        };
        let destination_party = if comes_in || stays { callee.party() } else { trunk(out_trunk) };
        let seconds = duration_us.div_ceil(1_000_000);
        let mut charges = Vec::new();
        if answered && !comes_in {
            let (buy, sell, zone, prefix) =
                if stays { (0, 0, "On-net", "43720") } else { (buy, sell, zone, prefix) };
            let retail = ["retail_eur", "business_eur", "flat_eur"][(caller.account % 3) as usize];
            charges.push(charge(
                Provider::Customer,
                caller.account,
                retail,
                prefix,
                zone,
                detail,
                sell,
                seconds,
            ));
            if caller.reseller != AccountId::NOBODY.0 {
                charges.push(charge(
                    Provider::Reseller,
                    caller.reseller,
                    "wholesale_eur",
                    prefix,
                    zone,
                    detail,
                    sell * 7 / 10,
                    seconds,
                ));
            }
            if !stays {
                charges.push(charge(
                    Provider::Carrier,
                    9_001 + out_trunk as i64,
                    "carrier_eur",
                    prefix,
                    zone,
                    detail,
                    buy,
                    seconds,
                ));
            }
        }
        if answered && comes_in {
            let mut fee = charge(
                Provider::Carrier,
                payer,
                "termination_eur",
                "43720",
                "Incoming",
                "fixed",
                4_000,
                seconds,
            );
            fee.direction = Direction::In;
            charges.push(fee);
        }
        let source_user = if comes_in { format!("+{source_number}") } else { source_number.clone() };
        let attempts = vec![RouteTry {
            attempt: 1,
            party: destination_party.clone(),
            code,
            pdd_us: Some(pdd_us),
            action: RouteAction::Stop,
        }];
        let cdr = Cdr {
            id: CdrId::derive(&call, 0),
            revision: 0,
            call,
            leg: 0,
            sip_call_id: sip_call_id.into(),
            node: format!("sw{node}").into(),
            tenant: TenantId(1),
            payer: AccountId(payer),
            source: CdrSource {
                party: source_party,
                user: source_user.into(),
                domain: if comes_in { "carrier.example" } else { "sip.example.org" }.into(),
                cli: source_number.parse().ok(),
                clir: caller.id.is_multiple_of(50),
                user_out: source_number.as_str().into(),
                ip: if comes_in { "203.0.113.7".into() } else { caller.ip.as_str().into() },
                user_agent: if comes_in { "".into() } else { caller.user_agent.into() },
            },
            destination: CdrDestination {
                party: destination_party,
                dialed: if comes_in { called.clone() } else { format!("00{called}") }.into(),
                domain: "sip.example.org".into(),
                user_in: called.as_str().into(),
                number: called.parse().ok(),
                user_out: called.as_str().into(),
                user_agent: "".into(),
            },
            call_type: CallType::Call,
            status: if answered { CallStatus::Ok } else { CallStatus::of_code(code) },
            code,
            cause: cause(code),
            ended_by: if idx.is_multiple_of(3) { Initiator::Callee } else { Initiator::Caller },
            init_at,
            start_at,
            duration_us,
            pdd_us: Some(pdd_us),
            codec: if answered { "PCMA".into() } else { "".into() },
            attempts,
            config_revision: 1_700 + (idx * 40 / self.calls) as i64,
            partial: false,
            detail: CdrDetail {
                setup_us: answered.then_some(pdd_us + ring_us),
                transport: Some(if caller.id.is_multiple_of(4) { Transport::Tls } else { Transport::Udp }),
                auth: Some(if comes_in { AuthMethod::Ip } else { AuthMethod::Digest }),
                asserted_identity: if comes_in {
                    format!("<sip:+{source_number}@carrier.example>").into()
                } else {
                    "".into()
                },
                reason: if answered { "Q.850;cause=16".into() } else { "".into() },
                ..CdrDetail::default()
            },
        };
        RatedCdr { cdr, charges }
    }
}

impl Iterator for Traffic {
    type Item = RatedCdr;

    fn next(&mut self) -> Option<RatedCdr> {
        for queue in [&mut self.later, &mut self.much_later] {
            if queue.front().is_some_and(|(due, _)| *due <= self.made || self.made == self.calls) {
                return queue.pop_front().map(|(_, call)| call);
            }
        }
        if self.made == self.calls {
            return None;
        }
        let idx = self.made;
        self.made += 1;
        let mut call = self.make(idx);
        let of_day = self.calls.div_ceil(self.days);
        if idx % PRICED_AGAIN_ONE_OF == 77 {
            let mut again = call.clone();
            again.cdr.revision = 1;
            again.cdr.config_revision += 3;
            again.charges.iter_mut().for_each(|charge| charge.cost += Decimal::new(1_000, 6));
            self.much_later.push_back((idx + 2 * of_day + of_day / 2, again));
        } else if idx % IN_PROGRESS_ONE_OF == 11 && call.cdr.is_answered() {
            let mut ended = call.clone();
            ended.cdr.revision = 1;
            ended.cdr.duration_us += 900_000_000;
            self.later.push_back((idx + of_day / 60, ended));
            call.cdr.partial = true;
            call.cdr.cause = Cause::InProgress;
        }
        Some(call)
    }
}

fn cause(code: u16) -> Cause {
    match code {
        200 => Cause::Normal,
        486 => Cause::Busy,
        480 => Cause::NoAnswer,
        487 => Cause::Cancelled,
        404 => Cause::CalleeUnknown,
        _ => Cause::PeeringUnavailable,
    }
}

#[expect(clippy::too_many_arguments, reason = "a line of a price list")]
fn charge(
    provider: Provider,
    account: i64,
    profile: &str,
    prefix: &str,
    zone: &str,
    detail: &str,
    per_minute: i64,
    seconds: u64,
) -> Charge {
    let millionths = (per_minute * seconds as i64 + 30) / 60;
    Charge {
        provider,
        direction: Direction::Out,
        account: AccountId(account),
        version: ProfileVersionId(7 + account % 3),
        profile: profile.to_owned(),
        fee: Some(FeeId(99)),
        matched: prefix.to_owned(),
        zone: zone.to_owned(),
        zone_detail: detail.to_owned(),
        currency: Currency::EUR,
        cost: Decimal::new(millionths, 6),
        free_seconds: 0,
        free_cash: Decimal::ZERO,
        billed_seconds: seconds,
        onpeak_seconds: seconds,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        rounding: "half_up 6".to_owned(),
        pieces: Vec::new(),
        conversion: None,
        fragments: Vec::new(),
    }
}
