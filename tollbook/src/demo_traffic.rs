//! The traffic of `tollbook demo`: customers' phones and carriers' gateways on real sockets, and who calls whom.
//!
//! Deterministic but for the network: the same number of calls gives the same plan.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use switch::SwitchError;
use switch::net::{bind, run_phones};
use switch::phone::{Answering, Behaviour, CallPlan, IncomingCall, PhoneCommand, PhoneLine, PhoneReport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Seed of the plan.
const SEED: u64 = 0x7011_b00c;

/// Commands waiting for the phones.
const COMMANDS_WAITING_MAX: usize = 1_000;

/// Where ordinary calls go: prefix of the number, how many digits follow, how often.
const DESTINATIONS: [(&str, u32, u32); 18] = [
    ("431", 7, 16),
    ("43664", 7, 14),
    ("43316", 6, 5),
    ("4930", 8, 10),
    ("4940", 7, 6),
    ("49171", 7, 9),
    ("4144", 7, 4),
    ("4178", 7, 3),
    ("3902", 8, 4),
    ("393", 9, 3),
    ("331", 8, 4),
    ("336", 8, 3),
    ("4420", 8, 5),
    ("447700", 6, 3),
    ("1212", 7, 4),
    ("420", 9, 3),
    ("3617", 6, 2),
    ("9714", 7, 2),
];

/// Where the burst goes: ranges that fraudsters like.
const HIGH_RISK: [&str; 4] = ["25240", "88234", "37190", "8816"];

/// One socket with phones behind it.
pub(crate) struct Phones {
    pub(crate) commands: mpsc::Sender<PhoneCommand>,
    pub(crate) reports: mpsc::UnboundedReceiver<PhoneReport>,
    running: JoinHandle<Result<(), SwitchError>>,
}

impl Phones {
    /// Starts phones on `address`.
    pub(crate) fn start(
        address: SocketAddr,
        lines: Vec<PhoneLine>,
        answering: Answering,
        clock: &Clock,
        stop: &CancellationToken,
    ) -> Result<Self, SwitchError> {
        let socket = bind(address)?;
        let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
        let (reporting, reports) = mpsc::unbounded_channel();
        let stop = stop.clone().cancelled_owned();
        let (clock, seed) = (clock.shared(), rand::random());
        let running = tokio::spawn(async move {
            run_phones(socket, clock, seed, lines, answering, waiting, reporting, stop).await
        });
        Ok(Self { commands, reports, running })
    }

    /// Waits for the phones to end.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        drop(self.commands);
        Ok(self.running.await??)
    }
}

/// How the customers' own phones take calls.
pub(crate) fn phones_answer() -> Answering {
    Arc::new(|call: &IncomingCall| match last_digits(&call.from, 2) {
        0..=9 => Behaviour::Refuse { ring: Duration::ZERO, code: 486 },
        _ => Behaviour::Answer { ring: Duration::from_millis(200), talk: None },
    })
}

/// How a carrier's gateway takes calls: by the last two digits of the number, so that every outcome occurs.
pub(crate) fn gateway_answers(is_first_choice: bool) -> Answering {
    Arc::new(move |call: &IncomingCall| match last_digits(&call.to, 2) {
        0..=6 => Behaviour::Refuse { ring: Duration::from_millis(150), code: 486 },
        7..=10 => Behaviour::Refuse { ring: Duration::ZERO, code: 404 },
        11..=14 => Behaviour::Ring,
        // The other carrier has room.
        15..=18 if is_first_choice => Behaviour::Refuse { ring: Duration::ZERO, code: 503 },
        19..=24 => {
            Behaviour::Answer { ring: Duration::from_millis(300), talk: Some(Duration::from_millis(900)) }
        }
        digits => Behaviour::Answer { ring: Duration::from_millis(100 + u64::from(digits) * 4), talk: None },
    })
}

fn last_digits(number: &str, n_digits: usize) -> u32 {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(n_digits)..].parse().unwrap_or(99)
}

/// A line that calls, by its index, with its number.
pub(crate) struct Caller {
    pub(crate) line: usize,
    pub(crate) number: String,
}

/// One call of the plan.
pub(crate) struct Planned {
    /// After the start.
    pub(crate) at: Duration,
    pub(crate) call: CallPlan,
}

/// Who calls whom and when: `n_calls` at `cps`, of which the last of `callers` places a burst to high-risk ranges in the
/// second third of the time.
pub(crate) fn plan(n_calls: u32, cps: u32, server: SocketAddr, callers: &[Caller]) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let n_burst = (n_calls / 8).clamp(16, 60).min(n_calls);
    let n_ordinary = n_calls - n_burst;
    let total = after(n_ordinary, cps);
    let burst_begins = total / 3;
    let mut planned = Vec::new();
    let Some((victim, honest)) = callers.split_last() else { return planned };
    for idx in 0..n_ordinary {
        let caller = &honest[rng.random_range(0..honest.len())];
        let to = if rng.random_range(0..100) < 12 {
            honest[rng.random_range(0..honest.len())].number.clone()
        } else {
            off_net(&mut rng)
        };
        planned.push(Planned {
            at: after(idx, cps),
            call: call(
                u64::from(idx),
                caller,
                server,
                to,
                Duration::from_millis(rng.random_range(500..4_500)),
            ),
        });
    }
    // Dear calls, ten a second, as a dialler does it; each ends at once, for only the first minute is wanted.
    for idx in 0..n_burst {
        let prefix = HIGH_RISK[rng.random_range(0..HIGH_RISK.len())];
        let to = format!("{prefix}{:06}", rng.random_range(0..10_000) * 100 + 50);
        planned.push(Planned {
            at: burst_begins + Duration::from_millis(u64::from(idx) * 100),
            call: call(u64::from(n_ordinary + idx), victim, server, to, Duration::from_millis(400)),
        });
    }
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn call(id: u64, caller: &Caller, server: SocketAddr, to: String, talk: Duration) -> CallPlan {
    CallPlan {
        id,
        line: Some(caller.line),
        server,
        from: caller.number.clone(),
        to,
        talk: Some(talk),
        patience: Duration::from_secs(3),
    }
}

fn off_net(rng: &mut StdRng) -> String {
    let total: u32 = DESTINATIONS.iter().map(|(_, _, weight)| weight).sum();
    let mut draw = rng.random_range(0..total);
    let mut chosen = DESTINATIONS[0];
    for destination in DESTINATIONS {
        chosen = destination;
        if draw < destination.2 {
            break;
        }
        draw -= destination.2;
    }
    let (prefix, n_digits, _) = chosen;
    let digits: String = (0..n_digits).map(|_| char::from(b'0' + rng.random_range(0..10_u8))).collect();
    format!("{prefix}{digits}")
}

/// When the `count`-th call comes at `per_second` calls a second.
fn after(count: u32, per_second: u32) -> Duration {
    Duration::from_micros(u64::from(count) * 1_000_000 / u64::from(per_second.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers() -> Vec<Caller> {
        (0..5).map(|line| Caller { line, number: format!("43190050{line}") }).collect()
    }

    #[test]
    fn plan_is_the_same_each_time_and_has_as_many_calls_as_asked() {
        let server = SocketAddr::from(([127, 0, 0, 1], 5060));
        let plans = [0, 1].map(|_| plan(2_000, 60, server, &callers()));
        assert_eq!(plans[0].len(), 2_000);
        assert!(
            plans[0]
                .iter()
                .zip(&plans[1])
                .all(|(left, right)| left.call == right.call && left.at == right.at)
        );
    }

    #[test]
    fn only_the_victim_calls_high_risk_ranges() {
        let server = SocketAddr::from(([127, 0, 0, 1], 5060));
        for planned in plan(400, 60, server, &callers()) {
            let is_high_risk = HIGH_RISK.iter().any(|prefix| planned.call.to.starts_with(prefix));
            assert_eq!(is_high_risk, planned.call.line == Some(4));
        }
    }
}
