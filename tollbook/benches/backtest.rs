//! How fast `tollbook fraud backtest` runs rules over stored calls: the program itself, on a lake of more than eight million calls that is made for
//! it by the lake's own writer. Prints what the program says; decides nothing.
//!
//! `cargo bench -p tollbook --bench backtest`. The lake is a simulated operator's, with its attacks; it is kept in `target/tmp` for the next
//! time. `-- 1000` makes a smaller one, of so many customers instead of 5,000.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use fraud::rule::{preset_text, presets};
use fraud::simulate::{SimulatedCall, Simulation, Size};
use lake::{Lake, LakeConfig, LaneRows};
use model::{
    AccountId, CallStatus, CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource,
    Charge, Currency, Direction, Directory, FeeId, Initiator, PARTITIONS_DEFAULT, Party, ProfileVersionId,
    Provider, RatedCdr, RouteAction, RouteTry, Subscriber, partition_of,
};
use rust_decimal::Decimal;
use store::Store;

const SEED: u64 = 3;
const DAYS: i64 = 48;
const QUIET_DAYS: i64 = 40;
const CUSTOMERS: i64 = 5_000;

/// Rows of one commit; the pipeline makes many small ones that are merged later.
const COMMIT_ROWS: usize = 100_000;

/// How often each is run.
const ROUNDS: usize = 3;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let size = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let customers: i64 = size.unwrap_or(CUSTOMERS);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("backtest-{customers}"));
    let is_made = dir.join("is-made");
    let size = Size { customers, days: DAYS, quiet_days: QUIET_DAYS, attacks_each: 4 };
    let simulation = Simulation::new(SEED, size);
    if !is_made.exists() {
        println!("a lake of {customers} customers is made in {}; this takes minutes", dir.display());
        // A first try that was broken off.
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        make(&dir, &simulation, customers)?;
        std::fs::write(&is_made, "")?;
    }
    let first = simulation.began().date_naive();
    let days = (first + TimeDelta::days(QUIET_DAYS), first + TimeDelta::days(DAYS));
    let one = preset_text("irsf-burst").unwrap_or_default();
    let all = presets().iter().filter_map(|rule| preset_text(&rule.name)).collect::<Vec<_>>().join("\n");
    for (what, rules) in [("one rule", one), ("all delivered rules", all)] {
        let file = dir.join("rules.toml");
        std::fs::write(&file, rules)?;
        for _ in 0..ROUNDS {
            let mut command = tollbook(&dir, &["fraud", "backtest", "--learn-days", "40"]);
            command.arg("--rule").arg(&file);
            command.args(["--from", &days.0.to_string(), "--to", &days.1.to_string()]);
            let said = told(command)?;
            let speed = said.lines().last().unwrap_or_default();
            println!("{what}: {}; {speed}", said.lines().next().unwrap_or_default());
        }
    }
    Ok(())
}

/// The program that is measured, in the installation of `dir`.
fn tollbook(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollbook"));
    command.args(words).arg("--config").arg(dir.join("tollbook.toml"));
    command
}

/// What it printed.
fn told(mut command: Command) -> Outcome<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// An installation with the operator's accounts, lines and prices, and its calls in the lake.
fn make(dir: &Path, simulation: &Simulation, customers: i64) -> Outcome<()> {
    let init = Command::new(env!("CARGO_BIN_EXE_tollbook")).arg("init").arg(dir).output()?;
    if !init.status.success() {
        return Err(String::from_utf8_lossy(&init.stderr).into_owned().into());
    }
    // Few days: it is for the accounts.
    let provision = ["fraud", "simulate", "--to-log", "--days", "4", "--quiet-days", "1"];
    let mut command = tollbook(dir, &provision);
    command.args(["--seed", &SEED.to_string(), "--customers", &customers.to_string()]);
    told(command)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(fill(dir, simulation))
}

async fn fill(dir: &Path, simulation: &Simulation) -> Outcome<()> {
    let data: PathBuf = dir.join("data");
    let store = Store::open(&format!("sqlite://{}", data.join("tollbook.db").display())).await?;
    let (made, there) = (simulation.directory(), store.directory().await?);
    let lines = Lines::of(&made, &there)?;
    let lake = Lake::open(LakeConfig::new(data.join("lake")))?;
    let (mut n, mut position) = (0_u64, 0_u64);
    for day in 0..simulation.days() {
        let calls = simulation.calls_of(day);
        for some in calls.chunks(COMMIT_ROWS) {
            let mut of_lane: HashMap<u32, Vec<RatedCdr>> = HashMap::new();
            for call in some {
                n += 1;
                let row = lines.row(call, n);
                of_lane.entry(partition_of(row.cdr.payer, PARTITIONS_DEFAULT)).or_default().push(row);
            }
            position += 1;
            let lanes = of_lane.into_iter().map(|(partition, rows)| LaneRows {
                partition,
                position,
                watermarks: Vec::new(),
                rows,
            });
            lake.commit(lanes.collect(), simulation.began()).await?;
        }
    }
    // As it is when the days have been over for long: until there is nothing left to merge.
    let later = simulation.began() + TimeDelta::days(400);
    while lake.compact(later).await?.files_before > 0 {}
    println!("{n} calls in {} rows", lake.count_rows()?);
    Ok(())
}

/// Who the simulation's customers are in the installation.
struct Lines {
    by_account: HashMap<AccountId, Subscriber>,
    of_handle: HashMap<AccountId, AccountId>,
    out: Party,
}

impl Lines {
    fn of(made: &Directory, there: &Directory) -> Outcome<Self> {
        let by_handle: HashMap<&str, AccountId> =
            there.accounts.iter().map(|account| (account.handle.as_str(), account.id)).collect();
        let of_handle = made
            .accounts
            .iter()
            .filter_map(|account| Some((account.id, *by_handle.get(account.handle.as_str())?)))
            .collect();
        let by_account = there.subscribers.iter().map(|line| (line.account, line.clone())).collect();
        let trunk = there.trunks.first().ok_or("the operator has no trunk")?;
        let out = Party::Trunk { trunk: trunk.id, account: trunk.account };
        Ok(Self { by_account, of_handle, out })
    }

    /// The record that the pipeline would have made of the `n`th call.
    fn row(&self, call: &SimulatedCall, n: u64) -> RatedCdr {
        let payer = self.of_handle.get(&call.account).copied().unwrap_or(AccountId::NOBODY);
        let line = self.by_account.get(&payer);
        let uid = CallUid::new(format!("sw1-1788739200000000-{n}"));
        let seconds = u64::try_from(call.seconds).unwrap_or(0);
        let is_answered = seconds > 0;
        let (source, called) = (call.source.unwrap_or(0).to_string(), call.destination.to_string());
        let cdr = Cdr {
            id: CdrId::derive(&uid, 0),
            revision: 0,
            call: uid,
            leg: 0,
            sip_call_id: format!("{n:032x}@192.0.2.10").into(),
            node: "sw1".into(),
            tenant: line.map(|line| line.tenant).unwrap_or_default(),
            payer,
            source: CdrSource {
                party: line.map_or(Party::Unknown, |line| Party::Subscriber {
                    subscriber: line.id,
                    account: payer,
                    reseller: AccountId::NOBODY,
                    uuid: line.uuid.clone().into(),
                }),
                user: source.clone().into(),
                domain: "sip.example.org".into(),
                cli: call.source.and_then(|number| number.to_string().parse().ok()),
                clir: false,
                user_out: source.into(),
                ip: address_of(payer).into(),
                user_agent: agent_of(payer).into(),
            },
            destination: CdrDestination {
                party: self.out.clone(),
                dialed: format!("00{called}").into(),
                domain: "sip.example.org".into(),
                user_in: called.clone().into(),
                number: called.parse().ok(),
                user_out: called.into(),
                user_agent: "".into(),
            },
            call_type: CallType::Call,
            status: if is_answered { CallStatus::Ok } else { CallStatus::Busy },
            code: if is_answered { 200 } else { 486 },
            cause: if is_answered { Cause::Normal } else { Cause::Busy },
            ended_by: Initiator::Caller,
            init_at: call.start - TimeDelta::milliseconds(3_136),
            start_at: call.start,
            duration_us: seconds * 1_000_000,
            pdd_us: is_answered.then_some(1_240_900),
            codec: if is_answered { "PCMA".into() } else { "".into() },
            attempts: vec![RouteTry {
                attempt: 1,
                party: self.out.clone(),
                code: if is_answered { 200 } else { 486 },
                pdd_us: None,
                action: RouteAction::Stop,
            }],
            config_revision: 17,
            partial: false,
            detail: CdrDetail::default(),
        };
        let charges = if is_answered { vec![charge(payer, seconds)] } else { Vec::new() };
        RatedCdr { cdr, charges }
    }
}

fn address_of(account: AccountId) -> String {
    let [.., a, b] = account.0.to_be_bytes();
    format!("198.51.{a}.{b}")
}

fn agent_of(account: AccountId) -> String {
    let mut agent = String::from("Yealink SIP-T");
    let _ = write!(agent, "{}U 108.86.0.{}", 40 + account.0 % 9, account.0 % 40);
    agent
}

fn charge(account: AccountId, seconds: u64) -> Charge {
    Charge {
        provider: Provider::Customer,
        direction: Direction::Out,
        account,
        version: ProfileVersionId(7),
        profile: "simulated".to_owned(),
        fee: Some(FeeId(99)),
        matched: "49".to_owned(),
        zone: "Germany".to_owned(),
        zone_detail: "fixed".to_owned(),
        currency: Currency::EUR,
        cost: (Decimal::from(seconds) / Decimal::from(3_000)).round_dp(6),
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
