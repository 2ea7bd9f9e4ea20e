//! A switch on its own, for tries and benchmarks with sipp and other peers: no pipeline behind it.
//!
//! `cargo run -p switch --example lone_switch -- LISTEN TRUNK [SOURCE]`: calls to any number go to TRUNK; INVITEs from SOURCE (an
//! address or network) are taken as those of a wholesale customer; subscriber `alice@localhost` and `u0` to `u999` of the listening address
//! have the password `secret`. Events are lines of JSON on stdout; with `LONE_SWITCH_LOG=DIR` they go to an event log there as in an
//! installation, and stdout stays empty. With `LONE_SWITCH_TRACE=DIR` the SIP trace is kept there.

use std::net::SocketAddr;
use std::sync::Arc;

use model::{
    Account, AccountId, AccountKind, AccountStatus, CallEvent, Contact, Digest, Directory, FraudPolicy,
    Moment, NumberOwner, Route, RouteId, Subscriber, SubscriberId, Tenant, TenantId, Transport, Trunk,
    TrunkId,
};
use sha2::Digest as _;
use switch::net::{EventGroups, SwitchStats, bind, run};
use switch::{DigestAlgorithm, Input, SwitchConfig};
use tokio::sync::mpsc;

/// As in the program.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddr = arguments.next().ok_or("LISTEN is missing")?.parse()?;
    let trunk: SocketAddr = arguments.next().ok_or("TRUNK is missing")?.parse()?;
    let source = arguments.next();

    #[expect(
        clippy::disallowed_methods,
        reason = "an example is its own binary, and binaries read the clock"
    )]
    let (began, clock) = (std::time::Instant::now(), || chrono::Utc::now());
    let clock = Arc::new(move || Moment { wall: clock(), mono: began.elapsed() });
    let (inputs, inputs_out) = mpsc::channel(16);
    let (events_in, events) = mpsc::channel(50_000);
    let (credit, _nobody_asks) = mpsc::channel(1);
    inputs.send(Input::Directory(Arc::new(directory(listen, trunk, source)))).await?;
    let writer = tokio::task::spawn_blocking(move || match std::env::var_os("LONE_SWITCH_LOG") {
        Some(dir) => write_log(std::path::Path::new(&dir), events),
        None => print_lines(events),
    });
    let stats = Arc::new(SwitchStats::default());
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    // sipp reads the first challenge alone, and knows MD5 alone.
    let digest_algorithms = vec![DigestAlgorithm::Md5, DigestAlgorithm::Sha256];
    let domain = listen.ip().to_string();
    let trace_dir = std::env::var_os("LONE_SWITCH_TRACE").map(Into::into);
    let config = SwitchConfig { listen, domain, digest_algorithms, trace_dir, ..SwitchConfig::default() };
    run(config, clock, rand::random(), bind(listen)?, inputs_out, events_in, credit, stats, stop).await?;
    writer.await?;
    Ok(())
}

/// Events as lines of JSON.
fn print_lines(mut events: mpsc::Receiver<CallEvent>) {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    while let Some(event) = events.blocking_recv() {
        let line = serde_json::to_string(&event).unwrap_or_default();
        if writeln!(out, "{line}").is_err() || (events.is_empty() && out.flush().is_err()) {
            return;
        }
    }
}

/// Events into a log, in groups, as the installation's own writer does it.
fn write_log(dir: &std::path::Path, events: mpsc::Receiver<CallEvent>) {
    use bus::Bus as _;
    let log = bus::EmbeddedBus::open(dir, bus::EmbeddedConfig::default()).expect("the log opens");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut groups, mut batch) = (EventGroups::new(events), Vec::new());
        while groups.next(&mut batch).await {
            let entries = batch.drain(..).map(|event| bus::Entry {
                topic: model::Topic::Calls,
                partition: model::partition_of(event.payer, log.partitions()),
                payload: model::wire::encode(&model::Record {
                    origin: None,
                    body: model::Body::Call(Box::new(event)),
                }),
            });
            log.append(entries.collect()).await.expect("the log takes events");
        }
    });
}

fn directory(listen: SocketAddr, trunk: SocketAddr, source: Option<String>) -> Directory {
    let tenant = TenantId(1);
    let account = |id: i64| Account {
        id: AccountId(id),
        tenant,
        kind: AccountKind::Customer,
        handle: format!("account{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: "EUR".parse().expect("a currency"),
        timezone: chrono_tz::UTC,
        contact: Contact::default(),
        vat_percent: 0.into(),
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: Vec::new(),
    };
    let trunk_row = |id: i64, address: SocketAddr, sources: Vec<String>| Trunk {
        id: TrunkId(id),
        tenant,
        account: AccountId(id),
        name: format!("trunk{id}"),
        address,
        transport: Transport::Udp,
        sources,
        tech_prefix: String::new(),
        calls_max: None,
        enabled: true,
    };
    let subscriber = |id: i64, name: &str, domain: &str, cli: Option<&str>| {
        let ha1 = format!("{name}:{domain}:secret");
        Subscriber {
            id: SubscriberId(id),
            tenant,
            account: AccountId(1),
            uuid: name.to_owned(),
            username: name.to_owned(),
            domain: domain.to_owned(),
            digest: Digest {
                ha1_md5: hex::encode(md5::Md5::digest(&ha1)),
                ha1_sha256: hex::encode(sha2::Sha256::digest(&ha1)),
            },
            cli: cli.and_then(|cli| cli.parse().ok()),
            calls_max: None,
        }
    };
    let own = listen.ip().to_string();
    let mut subscribers = vec![subscriber(1, "alice", "localhost", Some("43111"))];
    subscribers.extend((0..1_000).map(|n| subscriber(n + 2, &format!("u{n}"), &own, None)));
    let number = NumberOwner {
        number: "43111".parse().expect("a number"),
        subscriber: SubscriberId(1),
        from: chrono::DateTime::UNIX_EPOCH,
        to: None,
    };
    let contact = Contact::default();
    let currency = "EUR".parse().expect("a currency");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    Directory {
        revision: 1,
        tenants: vec![Tenant {
            id: tenant,
            handle: "main".to_owned(),
            contact,
            currency,
            timezone: chrono_tz::UTC,
        }],
        accounts: vec![account(1), account(2), account(3)],
        subscribers,
        numbers: vec![number],
        trunks: vec![trunk_row(2, trunk, Vec::new()), trunk_row(3, nowhere, source.into_iter().collect())],
        routes: vec![Route {
            id: RouteId(1),
            tenant,
            prefix: String::new(),
            trunk: TrunkId(2),
            priority: 1,
            weight: 1,
        }],
        locks: Vec::new(),
        tariffs: Vec::new(),
        profile_limits: Vec::new(),
        calling: model::CallingRules::default(),
        ..Directory::default()
    }
}
