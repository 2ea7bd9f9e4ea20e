//! `tollbook demo`: makes an installation, runs all of it, places real calls over loopback, closes the books and says what came
//! of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, NaiveDateTime, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::{AccountKind, Directory, E164, LedgerAccount, Lock, LockLevel};
use store::Store;
use switch::phone::{PhoneCommand, PhoneLine, PhoneReport, PhoneStep, PhoneSubject};
use tokio_util::sync::CancellationToken;

use crate::billing::{Outcome, Run, Window, is_billed};
use crate::cli::DemoArgs;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::init::write_installation;
use crate::commands::run::StopSignals;
use crate::config::Config;
use crate::demo_traffic::{Caller, Phones, gateway_answers, phones_answer, plan};
use crate::failure::UserError;
use crate::roles::Roles;
use crate::system::{System, of_lake, of_store, open_store};
use crate::{start_log, world_file};

/// The customer whose phone places the burst.
const VICTIM: &str = "seeblick";

/// The console's user.
const CONSOLE_USER: &str = "admin";

/// What the last call may take after its start, beyond talking and patience.
const LAST_CALL_PATIENCE: Duration = Duration::from_secs(40);

/// Ports looked at for one that is free for UDP and TCP.
const PORTS_TRIED_MAX: u32 = 100;

/// A query to try.
const QUERY: &str = "select customer_zone as zone, count(*) as calls, sum(billed_seconds) as seconds, \
    sum(customer_cost) as revenue, sum(margin) as margin from calls where customer_cost is not null group by 1 order by 4 desc limit 8";

/// All of it.
pub(crate) async fn demo(args: DemoArgs) -> anyhow::Result<()> {
    start_log("error")?;
    let clock = Clock::start();
    let ports = Ports::free()?;
    let config = prepare(&args.dir, &ports)?;
    let store = open_store(&config).await?;
    let password = provision(&store, &args.dir, &ports, clock.utc()).await?;
    let directory = store.directory().await?;
    println!("installation  {}", args.dir.display());
    println!(
        "world         {} resellers, {} customers, {} carriers, {} fees in {} tariffs",
        count(&directory, AccountKind::Reseller),
        count(&directory, AccountKind::Customer),
        count(&directory, AccountKind::Carrier),
        directory.tariffs.iter().map(|tariff| tariff.fees.len()).sum::<usize>(),
        directory.tariffs.len(),
    );

    let house = System::start(config.clone(), clock.clone(), Roles::all()).await?;
    let traffic = place_calls(&args, &house, &directory, &ports, &clock).await?;

    let bar = spinner("the pipeline works off what is left");
    house.drained().await?;
    bar.finish_and_clear();
    let books = close_books(&house, &clock).await?;
    let bar = spinner("files and mails go out");
    let files = house.close_export_files().await?;
    let mails = mails_sent(&store).await?;
    bar.finish_and_clear();

    let summary =
        Summary { args: &args, house: &house, directory: &directory, traffic, books, files, mails, password };
    summary.print(&store).await?;
    if args.stay {
        let mut stop = StopSignals::listen()?;
        println!("\nrunning until Ctrl-C");
        stop.wait().await;
    }
    house.stop().await
}

/// Addresses that are free now. They go into the configuration, so that the installation can be run again.
struct Ports {
    sip: SocketAddr,
    sftp: SocketAddr,
    web: SocketAddr,
    phones: SocketAddr,
    carriers: [SocketAddr; 2],
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        // SIP is served over UDP and TCP on one port.
        let udp = |ip: [u8; 4]| {
            for _ in 0..PORTS_TRIED_MAX {
                let address = std::net::UdpSocket::bind(SocketAddr::from((ip, 0)))?.local_addr()?;
                if std::net::TcpListener::bind(address).is_ok() {
                    return Ok(address);
                }
            }
            Err(std::io::Error::other("no port is free for both UDP and TCP"))
        };
        let tcp = || std::net::TcpListener::bind("127.0.0.1:0")?.local_addr();
        let found = || -> std::io::Result<Self> {
            Ok(Self {
                sip: udp([127, 0, 0, 1])?,
                sftp: tcp()?,
                web: tcp()?,
                phones: udp([127, 0, 0, 1])?,
                // Carriers are known by their address, so each has one of its own.
                carriers: [udp([127, 0, 0, 2])?, udp([127, 0, 0, 3])?],
            })
        };
        found().context("find free ports on loopback")
    }
}

/// The installation's files; nothing runs yet.
fn prepare(dir: &Path, ports: &Ports) -> anyhow::Result<Config> {
    write_installation(dir, "")?;
    let mut keys = String::new();
    for (name, folder) in [("operator", "system"), ("alpine", "resellers/alpine")] {
        let file = dir.join("keys").join(name);
        let public = exports::sftp::new_client_key(&file, name).context("make an SFTP key")?;
        keys.push_str(&format!(
            "\n[[sftp.users]]\nname = \"{name}\"\nfolder = \"{folder}\"\nauthorized_keys = [\"{public}\"]\n"
        ));
    }
    let text = format!(
        "# Made by `tollbook demo`. `tollbook init` writes a configuration with every key explained.\n\n\
         [switch]\nlisten = \"{}\"\ndomain = \"sip.meridian.example\"\n\n\
         [web]\nlisten = \"{}\"\n\n\
         [mail]\nfrom = \"Meridian Voice <billing@meridian.example>\"\n\n\
         [sftp.server]\nlisten = \"{}\"\n{keys}",
        ports.sip, ports.web, ports.sftp
    );
    let file = dir.join("tollbook.toml");
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(Config::load(&file)?)
}

/// The sample world with this demo's addresses, and a user for the console. Returns the user's password.
async fn provision(store: &Store, dir: &Path, ports: &Ports, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut world = world_file::read(&dir.join("world.toml"))?;
    for (trunk, address) in world.trunks.iter_mut().zip(ports.carriers) {
        trunk.address = address;
    }
    store.import(&world, now, COMMAND_LINE).await.map_err(of_store)?;
    let password = web::new_password();
    store
        .user_create(CONSOLE_USER, &web::hash_password(&password)?, "operator", now)
        .await
        .map_err(of_store)?;
    Ok(password)
}

/// What the callers saw.
#[derive(Default)]
struct Traffic {
    n_calls: u64,
    n_answered: u64,
    /// Final codes of the calls that were not.
    refused: HashMap<u16, u64>,
    took: Duration,
}

impl Traffic {
    fn saw(&mut self, report: &PhoneReport) {
        match &report.step {
            PhoneStep::Answered => self.n_answered += 1,
            PhoneStep::Refused { code, .. } => {
                *self.refused.entry(*code).or_default() += 1;
            }
            PhoneStep::Registered { .. }
            | PhoneStep::RegisterFailed { .. }
            | PhoneStep::Dialled
            | PhoneStep::Challenged
            | PhoneStep::Trying
            | PhoneStep::Ringing { .. }
            | PhoneStep::Cancelled
            | PhoneStep::Called { .. }
            | PhoneStep::HungUp { .. } => {}
        }
    }
}

async fn place_calls(
    args: &DemoArgs,
    house: &System,
    directory: &Directory,
    ports: &Ports,
    clock: &Clock,
) -> anyhow::Result<Traffic> {
    let stop = CancellationToken::new();
    let server = ports.sip;
    let mut lines = Vec::new();
    let mut callers = Vec::new();
    for subscriber in &directory.subscribers {
        lines.push(PhoneLine {
            username: subscriber.username.clone(),
            domain: subscriber.domain.clone(),
            // As the sample world has them.
            password: format!("change-me-{}", subscriber.username),
            server,
        });
        let number = subscriber.cli.as_ref().map(E164::to_string).unwrap_or_default();
        callers.push((subscriber.username == VICTIM, Caller { line: callers.len(), number }));
    }
    callers.sort_by_key(|(is_victim, _)| *is_victim);
    let callers: Vec<Caller> = callers.into_iter().map(|(_, caller)| caller).collect();

    let mut phones = Phones::start(ports.phones, lines.clone(), phones_answer(), clock, &stop)?;
    let gateways = [
        Phones::start(ports.carriers[0], Vec::new(), gateway_answers(false), clock, &stop)?,
        Phones::start(ports.carriers[1], Vec::new(), gateway_answers(true), clock, &stop)?,
    ];
    register(&mut phones, lines.len()).await?;

    let planned = plan(args.calls, args.cps, server, &callers);
    let bar = ProgressBar::with_draw_target(Some(planned.len() as u64), ProgressDrawTarget::stderr())
        .with_style(ProgressStyle::with_template(
            "calls {bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}",
        )?);
    let mut traffic = Traffic { n_calls: planned.len() as u64, ..Traffic::default() };
    let began = clock.now().mono;
    let mut n_over = 0_u64;
    let mut waiting = planned.into_iter().peekable();
    let mut last_placed = began;
    while n_over < traffic.n_calls {
        let now = clock.now().mono;
        while let Some(next) = waiting.next_if(|next| began + next.at <= now) {
            phones.commands.send(PhoneCommand::Call(next.call)).await.context("the phones have stopped")?;
            last_placed = now;
        }
        let pause =
            waiting.peek().map_or(Duration::from_millis(200), |next| (began + next.at).saturating_sub(now));
        tokio::select! {
            report = phones.reports.recv() => {
                let report = report.context("the phones have stopped")?;
                let PhoneSubject::Outgoing(_) = report.subject else { continue };
                traffic.saw(&report);
                if report.step.is_last() {
                    n_over += 1;
                    bar.inc(1);
                    bar.set_message(format!("{} up", house.stats.load().calls_active));
                }
            }
            () = tokio::time::sleep(pause) => {
                let is_stuck = waiting.peek().is_none() && now.saturating_sub(last_placed) > LAST_CALL_PATIENCE;
                anyhow::ensure!(!is_stuck, "{} calls never ended", traffic.n_calls - n_over);
            }
        }
    }
    traffic.took = clock.now().mono.saturating_sub(began);
    bar.finish_and_clear();
    stop.cancel();
    phones.ended().await?;
    for gateway in gateways {
        gateway.ended().await?;
    }
    Ok(traffic)
}

async fn register(phones: &mut Phones, n_lines: usize) -> anyhow::Result<()> {
    for line in 0..n_lines {
        phones
            .commands
            .send(PhoneCommand::Register { line, seconds: 3_600 })
            .await
            .context("the phones have stopped")?;
    }
    let mut n_registered = 0;
    while n_registered < n_lines {
        match phones.reports.recv().await.context("the phones have stopped")?.step {
            PhoneStep::Registered { .. } => n_registered += 1,
            PhoneStep::RegisterFailed { code, phrase } => {
                anyhow::bail!("a phone could not register: {code} {phrase}")
            }
            PhoneStep::Dialled
            | PhoneStep::Challenged
            | PhoneStep::Trying
            | PhoneStep::Ringing { .. }
            | PhoneStep::Answered
            | PhoneStep::Cancelled
            | PhoneStep::Called { .. }
            | PhoneStep::Refused { .. }
            | PhoneStep::HungUp { .. } => {}
        }
    }
    Ok(())
}

/// One line an account.
struct Books(Vec<(String, String)>);

/// Closes the month so far.
async fn close_books(house: &System, clock: &Clock) -> anyhow::Result<Books> {
    let directory = house.rooms.directory.current();
    let accounts: Vec<_> = directory.accounts.iter().filter(|account| is_billed(account)).collect();
    let now = clock.utc();
    let mut run =
        Run::prepare(&house.rooms.store, &house.lake, &directory, now, Window::UpTo(now), false).await?;
    let bar = ProgressBar::new(accounts.len() as u64)
        .with_style(ProgressStyle::with_template("invoices {bar:30} {pos}/{len}  {eta} left")?);
    let mut lines = Vec::new();
    let mut failure = None;
    run.bill_all(&accounts, &mut |account, outcomes| {
        bar.inc(1);
        match outcomes {
            Ok(outcomes) => lines
                .extend(outcomes.into_iter().map(|(_, outcome)| (account.handle.clone(), in_words(outcome)))),
            Err(why) => failure = Some(why.context(format!("invoice {}", account.handle))),
        }
    })
    .await?;
    bar.finish_and_clear();
    failure.map_or(Ok(Books(lines)), Err)
}

fn in_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Made { number, gross } | Outcome::Kept { number, gross } => {
            format!("{number}  {}", gross.round_to_minor())
        }
        Outcome::Draft { gross } => format!("draft  {}", gross.round_to_minor()),
        Outcome::Nothing => "nothing to bill".to_owned(),
        Outcome::Held(why) => format!("held back: {why}"),
    }
}

/// Waits a moment for the outbox to empty. Returns how many mails there are, and how many have gone out.
async fn mails_sent(store: &Store) -> anyhow::Result<(usize, usize)> {
    let mut result = (0, 0);
    for _ in 0..100 {
        let mails = store.mail_list().await?;
        let n_sent = mails.iter().filter(|mail| mail.sent_at.is_some()).count();
        result = (mails.len(), n_sent);
        if n_sent == mails.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(result)
}

fn count(directory: &Directory, kind: AccountKind) -> usize {
    directory.accounts.iter().filter(|account| account.kind == kind).count()
}

fn spinner(text: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(text);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What a newcomer can act on.
struct Summary<'a> {
    args: &'a DemoArgs,
    house: &'a System,
    directory: &'a Directory,
    traffic: Traffic,
    books: Books,
    files: Vec<crate::export_files::Written>,
    mails: (usize, usize),
    password: String,
}

impl Summary<'_> {
    async fn print(&self, store: &Store) -> anyhow::Result<()> {
        self.print_calls(store).await?;
        self.print_fraud(store).await?;
        self.print_books(store).await?;
        self.print_addresses();
        println!("\n{}", QUERY.replace("    ", ""));
        let result = self.house.lake.query(QUERY).await.map_err(of_lake)?;
        lake::write_table(&result, &mut std::io::stdout().lock())?;
        Ok(())
    }

    async fn print_calls(&self, store: &Store) -> anyhow::Result<()> {
        let traffic = &self.traffic;
        let mut refused: Vec<_> = traffic.refused.iter().collect();
        refused.sort();
        let refused: Vec<String> = refused.into_iter().map(|(code, n)| format!("{n} x {code}")).collect();
        println!(
            "calls         {} placed in {:.1} s, {} answered, refused: {}",
            traffic.n_calls,
            traffic.took.as_secs_f32(),
            traffic.n_answered,
            refused.join(", ")
        );
        let rows = self.house.lake.count_rows()?;
        let suspended: u64 = store.suspense_counts().await?.into_iter().map(|(_, _, n)| n).sum();
        println!("CDRs          {rows} rated and in the lake, {suspended} in suspense");
        for balance in store.balances().await? {
            match balance.account {
                // A credit balance: what was earned.
                LedgerAccount::Revenue(_) => {
                    println!("revenue       {} {}", -balance.balance.amount, balance.balance.currency);
                }
                LedgerAccount::Cost(_) => println!("carriers      {}", balance.balance),
                LedgerAccount::Sales(_)
                | LedgerAccount::Receivable(_)
                | LedgerAccount::Payable(_)
                | LedgerAccount::Bank(_)
                | LedgerAccount::Cash(_)
                | LedgerAccount::FreeCash(_)
                | LedgerAccount::FreeTime(_)
                | LedgerAccount::Grants(_)
                | LedgerAccount::Vouchers(_) => {}
            }
        }
        Ok(())
    }

    async fn print_fraud(&self, store: &Store) -> anyhow::Result<()> {
        let locks: Vec<Lock> = store.locks().await?;
        let alerts = store.alerts(10).await?;
        let (n_locked_out, first_locked_out) = self.locked_out().await?;
        for alert in alerts.iter().filter(|alert| alert.rule == fraud::DAILY_SPEND) {
            // A case that goes on updates its alert; the first lock of it is what the switch acted on.
            let locked_at = store
                .lock_history(alert.account)
                .await?
                .into_iter()
                .find(|lock| lock.level != LockLevel::None)
                .map(|lock| lock.since);
            let after = first_locked_out
                .zip(locked_at)
                .map(|(refused, locked)| refused.signed_duration_since(locked).num_milliseconds())
                .map_or_else(String::new, |ms| format!("; next call refused {ms} ms after it was crossed"));
            println!(
                "fraud         {} spent {} of {} a day, {}{after}",
                self.handle(alert.account),
                alert.value,
                alert.limit,
                if alert.lock == LockLevel::None {
                    "warned".to_owned()
                } else {
                    format!("locked ({})", alert.lock)
                }
            );
        }
        println!("              {} calls refused by the lock, {} accounts locked", n_locked_out, locks.len());
        Ok(())
    }

    /// How many calls the lock refused, and when the first of them was.
    async fn locked_out(&self) -> anyhow::Result<(u64, Option<DateTime<Utc>>)> {
        let asked = "select count(*), min(init_at) from calls where cause = 'locked_out'";
        let answer = self.house.lake.query(asked).await.map_err(of_lake)?;
        let row = answer.rows().into_iter().next().unwrap_or_default();
        let [Some(n_calls), first] = row.as_slice() else {
            anyhow::bail!("the lake does not say how many calls were locked out");
        };
        let first: Option<NaiveDateTime> = first.as_ref().map(|first| first.parse()).transpose()?;
        Ok((n_calls.parse()?, first.map(|first| first.and_utc())))
    }

    async fn print_books(&self, store: &Store) -> anyhow::Result<()> {
        for (handle, text) in &self.books.0 {
            println!("invoice       {handle:<18} {text}");
        }
        let invoices = self.dir().join("invoices");
        std::fs::create_dir_all(&invoices).context("make the folder for invoices")?;
        for invoice in store.invoice_heads().await? {
            if let Some(pdf) = store.invoice_pdf(invoice.id).await? {
                let file = invoices.join(format!("{}.pdf", invoice.number));
                std::fs::write(&file, pdf).with_context(|| format!("write {}", file.display()))?;
            }
        }
        println!("PDFs          {}", invoices.display());
        let (n_mails, n_sent) = self.mails;
        println!("mails         {n_sent} of {n_mails} in {}", self.dir().join("data/outbox").display());
        Ok(())
    }

    fn print_addresses(&self) {
        let addresses = self.house.addresses;
        for file in &self.files {
            println!(
                "CDR file      {:<12} {} calls  {}",
                file.series.to_string(),
                file.n_rows,
                file.path.display()
            );
        }
        let dir = self.dir();
        let config = dir.join("tollbook.toml");
        println!();
        if !self.args.stay {
            println!("run it again  tollbook run --config {}", config.display());
        }
        if let Some(sftp) = addresses.sftp {
            println!(
                "fetch files   sftp -i {} -P {} operator@127.0.0.1      host key {}",
                dir.join("keys/operator").display(),
                sftp.port(),
                self.house.sftp_fingerprint
            );
        }
        if let Some(web) = addresses.web {
            println!("console       http://{web}/      {CONSOLE_USER} / {}", self.password);
        }
        println!("audit         tollbook audit --config {}", config.display());
        println!("ask           tollbook sql --config {} \"...\", such as", config.display());
    }

    fn dir(&self) -> PathBuf {
        self.args.dir.clone()
    }

    fn handle(&self, id: model::AccountId) -> String {
        self.directory
            .accounts
            .iter()
            .find(|account| account.id == id)
            .map_or_else(|| id.to_string(), |account| account.handle.clone())
    }
}

impl From<switch::SwitchError> for UserError {
    fn from(why: switch::SwitchError) -> Self {
        UserError::new(why.to_string(), "")
    }
}
