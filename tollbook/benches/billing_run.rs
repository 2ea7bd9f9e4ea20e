//! How long `tollbook invoice run` takes for many accounts with many calls, and in how much memory: the program itself, on a lake and a ledger that are made
//! for it by their own writers. Prints figures; decides nothing.
//!
//! `cargo bench -p tollbook --bench billing_run -- 1000 500`: so many accounts, of so many calls each (10,000 and 500 where nothing is said). The
//! installation is kept in `target/tmp` for the next time, without the invoices of the run before. Every tenth account has a list of its
//! calls on its invoice.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::float_arithmetic, reason = "figures for people, not money")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::cast_precision_loss, reason = "figures for people, not money")]

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Lake, LakeConfig, LaneRows};
use model::{
    Account, AccountId, CallStatus, CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId,
    CdrSource, Charge, Currency, Direction, FeeId, Initiator, LedgerAccount, Money, PARTITIONS_DEFAULT,
    Party, Posting, PostingId, PostingReason, ProfileVersionId, Provider, RatedCdr, SubscriberId, TrunkId,
    partition_of,
};
use rust_decimal::Decimal;
use store::Store;

const ACCOUNTS: usize = 10_000;
const CALLS_EACH: usize = 500;

/// Calls of one commit of the lake, and of one transaction of the ledger.
const COMMIT_ROWS: usize = 100_000;

const MONTH: &str = "2026-10";
/// Seconds of the month in which calls begin.
const MONTH_SECONDS: i64 = 30 * 86_400;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut sizes = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let (accounts, calls_each) = (sizes.next().unwrap_or(ACCOUNTS), sizes.next().unwrap_or(CALLS_EACH));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("billing-{accounts}-{calls_each}"));
    let is_made = dir.join("is-made");
    if !is_made.exists() {
        println!("{accounts} accounts with {calls_each} calls each are made in {}", dir.display());
        // A first try that was broken off.
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        make(&dir, accounts, calls_each)?;
        std::fs::write(&is_made, "")?;
    }
    // As it was before any run.
    let (database, before) = (dir.join("data/tollbook.db"), dir.join("before.db"));
    if !before.exists() {
        std::fs::copy(&database, &before)?;
    }
    for log in ["-wal", "-shm"] {
        drop(std::fs::remove_file(dir.join(format!("data/tollbook.db{log}"))));
    }
    std::fs::copy(&before, &database)?;
    let began = Instant::now();
    let (said, peak_kb) = run(&dir)?;
    let seconds = began.elapsed().as_secs_f64();
    let n_made = said.matches(" new").count();
    let n_calls = accounts * calls_each;
    println!(
        "{n_made} invoices of {n_calls} calls in {seconds:.1} s: {:.0} invoices/s, {:.0} calls/s, {} MB at most",
        n_made as f64 / seconds,
        n_calls as f64 / seconds,
        peak_kb / 1_024
    );
    if n_made < accounts {
        println!(
            "what was not made anew: {}",
            said.lines().filter(|line| !line.contains(" new")).take(5).collect::<Vec<_>>().join(" | ")
        );
    }
    Ok(())
}

/// The billing run, and the most memory it had, in kB.
fn run(dir: &Path) -> Outcome<(String, u64)> {
    let mut command = tollbook(dir, &["invoice", "run", "--no-wait", "--period", MONTH]);
    let printed = std::fs::File::create(dir.join("printed"))?;
    let mut child = command.stdout(printed).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak_kb = kb.unwrap_or(peak_kb);
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = std::fs::read_to_string(dir.join("printed"))?;
    if !ended.success() {
        return Err(format!("the run ended with {ended}: {said}").into());
    }
    Ok((said, peak_kb))
}

/// The program that is measured, in the installation of `dir`.
fn tollbook(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollbook"));
    command.args(words).arg("--config").arg(dir.join("tollbook.toml"));
    command
}

fn told(mut command: Command) -> Outcome<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// An installation with accounts, and their calls in lake and ledger.
fn make(dir: &Path, accounts: usize, calls_each: usize) -> Outcome<()> {
    let mut init = Command::new(env!("CARGO_BIN_EXE_tollbook"));
    init.arg("init").arg(dir);
    told(init)?;
    let mut world = std::fs::read_to_string(dir.join("world.toml"))?;
    for n in 0..accounts {
        write!(
            world,
            "\n[[accounts]]\nhandle = \"bench{n:05}\"\nvat_percent = \"20\"\n[accounts.contact]\nname = \"Customer {n}\"\n\
             street = \"Ring {n}\"\npostcode = \"1010\"\ncity = \"Wien\"\ncountry = \"AT\"\nemail = \"c{n}@customer.example\"\n\
             [[billing_terms]]\naccount = \"bench{n:05}\"\nterms = {{ call_list = {}, fees = [{{ name = \"Line\", amount = \"9.90\" }}] }}\n",
            n % 10 == 0
        )?;
    }
    std::fs::write(dir.join("world.toml"), world)?;
    let mut import = tollbook(dir, &["import"]);
    import.arg(dir.join("world.toml"));
    told(import)?;
    tokio::runtime::Runtime::new()?.block_on(fill(dir, calls_each))
}

async fn fill(dir: &Path, calls_each: usize) -> Outcome<()> {
    let data = dir.join("data");
    let store = Store::open(&format!("sqlite://{}", data.join("tollbook.db").display())).await?;
    let lake = Lake::open(LakeConfig::new(data.join("lake")))?;
    let directory = store.directory().await?;
    let payers: Vec<&Account> =
        directory.accounts.iter().filter(|account| account.handle.starts_with("bench")).collect();
    let began: DateTime<Utc> = "2026-10-01T00:00:00Z".parse()?;
    let n_calls = payers.len() * calls_each;
    let (mut rows, mut postings, mut position) = (Vec::new(), Vec::new(), 0);
    // By time, as they would have come.
    for n in 0..n_calls {
        let seconds = i64::try_from(n)? * MONTH_SECONDS / i64::try_from(n_calls)?;
        let row = row(payers[n % payers.len()], n, began + TimeDelta::seconds(seconds));
        postings.push(posting(&row));
        rows.push(row);
        if rows.len() == COMMIT_ROWS || n + 1 == n_calls {
            position += 1;
            store.post(std::mem::take(&mut postings)).await?;
            commit(&lake, std::mem::take(&mut rows), position, began).await?;
        }
    }
    // As it is when the days have been over for long: until there is nothing left to merge.
    while lake.compact(began + TimeDelta::days(400)).await?.files_before > 0 {}
    store.close().await;
    println!("{n_calls} calls in {} rows", lake.count_rows()?);
    Ok(())
}

async fn commit(lake: &Lake, rows: Vec<RatedCdr>, position: u64, at: DateTime<Utc>) -> Outcome<()> {
    let mut of_lane: HashMap<u32, Vec<RatedCdr>> = HashMap::new();
    for row in rows {
        of_lane.entry(partition_of(row.cdr.payer, PARTITIONS_DEFAULT)).or_default().push(row);
    }
    let lanes = of_lane.into_iter().map(|(partition, rows)| LaneRows {
        partition,
        position,
        watermarks: Vec::new(),
        rows,
    });
    lake.commit(lanes.collect(), at).await?;
    Ok(())
}

/// What the call costs its payer.
fn posting(row: &RatedCdr) -> Posting {
    let charge = &row.charges[0];
    Posting {
        id: PostingId::derive(row.cdr.id, 0, 0),
        tenant: row.cdr.tenant,
        account: charge.account,
        at: row.cdr.start_at,
        debit: LedgerAccount::Receivable(charge.account),
        credit: LedgerAccount::Revenue(row.cdr.tenant),
        amount: Money::new(charge.cost, charge.currency),
        reason: PostingReason::Call,
        cdr: Some(row.cdr.id),
        reverses: None,
    }
}

/// The record that the pipeline would have made of the `n`th call.
fn row(payer: &Account, n: usize, at: DateTime<Utc>) -> RatedCdr {
    let uid = CallUid::new(format!("sw1-1788739200000000-{n}"));
    let seconds = 20 + (n as u64).wrapping_mul(2_654_435_761) % 600;
    let (source, called) = (format!("43512{:06}", payer.id.0), format!("4930{:07}", n % 9_000_000));
    let trunk = Party::Trunk { trunk: TrunkId(1), account: AccountId(1) };
    let cdr = Cdr {
        id: CdrId::derive(&uid, 0),
        revision: 0,
        call: uid,
        leg: 0,
        sip_call_id: format!("{n:032x}@192.0.2.10").into(),
        node: "sw1".into(),
        tenant: payer.tenant,
        payer: payer.id,
        source: CdrSource {
            party: Party::Subscriber {
                subscriber: SubscriberId(payer.id.0),
                account: payer.id,
                reseller: AccountId::NOBODY,
                uuid: "".into(),
            },
            user: source.clone().into(),
            domain: "sip.meridian.example".into(),
            cli: source.parse().ok(),
            clir: false,
            user_out: source.into(),
            ip: "198.51.100.7".into(),
            user_agent: "Yealink SIP-T46U 108.86.0.20".into(),
        },
        destination: CdrDestination {
            party: trunk.clone(),
            dialed: format!("00{called}").into(),
            domain: "sip.meridian.example".into(),
            user_in: called.clone().into(),
            number: called.parse().ok(),
            user_out: called.into(),
            user_agent: "".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Caller,
        init_at: at - TimeDelta::milliseconds(3_136),
        start_at: at,
        duration_us: seconds * 1_000_000,
        pdd_us: Some(1_240_900),
        codec: "PCMA".into(),
        attempts: Vec::new(),
        config_revision: 17,
        partial: false,
        detail: CdrDetail::default(),
    };
    RatedCdr { cdr, charges: vec![charge(payer, n, seconds)] }
}

fn charge(payer: &Account, n: usize, seconds: u64) -> Charge {
    let zones = [
        ("Germany", "fixed", 3_000),
        ("Germany", "mobile", 900),
        ("Austria", "fixed", 4_000),
        ("Austria", "mobile", 1_000),
        ("Vietnam", "mobile", 700),
    ];
    let (zone, detail, seconds_a_unit) = zones[n / 7 % zones.len()];
    Charge {
        provider: Provider::Customer,
        direction: Direction::Out,
        account: payer.id,
        version: ProfileVersionId(1),
        profile: "simulated".to_owned(),
        fee: Some(FeeId(1)),
        matched: "49".to_owned(),
        zone: zone.to_owned(),
        zone_detail: detail.to_owned(),
        currency: Currency::EUR,
        cost: (Decimal::from(seconds) / Decimal::from(seconds_a_unit)).round_dp(6),
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
