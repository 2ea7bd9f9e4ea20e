//! `tollbook fraud simulate --to-log`: the calls of an imagined operator on the event log of an installation that was made for them.
//!
//! In: a simulation. Out: its accounts, lines, trunks and prices in the database, and its events on the topic of call events, in the lanes of
//! who pays. Each has its place in the simulation as its origin, as an event that a switch's forwarder sends has its place in the switch's
//! log: made again, the same simulation counts once. What the installation makes of it, from records to alerts, it makes by itself.

use std::collections::HashMap;

use anyhow::Context;
use bus::{Bus, Entry};
use fraud::simulate::Simulation;
use model::{
    AccountCalling, AccountId, Body, CallEvent, CallUid, Directory, EventBody, Origin, Party, Record,
    Subscriber, SubscriberCalling, SubscriberId, TariffVersion, TenantCalling, TenantId, Topic, TrunkCalling,
    TrunkId, partition_of,
};
use store::{NewAccount, NewSubscriber, NewTariff, NewTenant, NewTrunk, Store, World};
use tokio::sync::mpsc;

use super::fraud_lab::{simulation_of, write_labels};
use super::import::COMMAND_LINE;
use super::import_fees::catch_up;
use crate::cli::SimulateArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::UserError;
use crate::runner::{decode, entry};
use crate::system::{of_store, open_bus};

/// In front of the simulation's name, in origins.
const ORIGIN: &str = "simulation:";

/// What the generator calls every call, in front of its number.
const CALL_PREFIX: &str = "sim-";

/// Records read at once from a partition.
const READ_MAX: usize = 4_096;

/// Events in one append.
const APPENDED_MAX: usize = 1_024;

/// Events that the generator may be ahead.
const AHEAD_MAX: usize = 4 * APPENDED_MAX;

/// What was put on the log.
#[derive(Default)]
struct Told {
    events: u64,
    calls: u64,
}

/// Provisions the world of a simulation, and puts its events on the log.
pub(super) async fn simulate(config: &Config, store: &Store, args: &SimulateArgs) -> anyhow::Result<()> {
    let simulation = simulation_of(args)?;
    // In use, damaged, missing rights: the log says what to do.
    let bus = open_bus(config).await.map_err(|why| UserError::new(why.to_string(), ""))?;
    if !args.beside_real_calls {
        refuse_real_calls(&*bus).await?;
    }
    let name = format!("{}-{}-{}-{}", args.seed, args.customers, args.days, args.quiet_days);
    let made = simulation.directory();
    let there = store.directory().await?;
    let now = Clock::start().utc();
    let report = store.import(&world_of(&made, &there)?, now, COMMAND_LINE).await.map_err(of_store)?;
    if report.tariff_versions.added > 0 {
        catch_up(store, now).await?;
    }
    let names = Names::of(&made, &store.directory().await?, name)?;
    if let Some(file) = &args.labels {
        write_labels(&simulation, file)?;
    }
    let n_attacks = simulation.attacks().len();
    let told = put_on_log(&*bus, simulation, names).await.context(
        "put the simulation on the event log; given again, the same command goes on where it stopped",
    )?;
    println!(
        "{} calls in {} events are on the event log, {n_attacks} attacks among them; `tollbook run` works them off",
        told.calls, told.events
    );
    Ok(())
}

/// Simulated calls beside real ones would be billed, exported and counted as if they were real.
async fn refuse_real_calls(bus: &dyn Bus) -> Result<(), anyhow::Error> {
    let refused = |why: &str| {
        let remedy =
            "make an installation for the simulation (`tollbook init DIR`), or say --beside-real-calls";
        UserError::new(
            format!("--to-log: {why}; simulated calls would be billed and counted with them"),
            remedy,
        )
    };
    for partition in 0..bus.partitions() {
        let (mut from, end) = bus.range(Topic::Calls, partition).await?;
        if from > 0 {
            return Err(refused("the event log has dropped records that may have been real calls").into());
        }
        while from < end {
            let batch = bus.read(Topic::Calls, partition, from, READ_MAX).await?;
            if batch.records.iter().any(|stored| is_real_call(&stored.payload)) {
                return Err(refused("the event log has real calls").into());
            }
            from = batch.next;
        }
    }
    Ok(())
}

/// What cannot be read was not written by a simulation.
fn is_real_call(payload: &[u8]) -> bool {
    match decode(payload) {
        Ok(Record { origin, body: Body::Call(event) }) => {
            let is_simulated = origin.is_some_and(|origin| origin.stage.starts_with(ORIGIN));
            event.call.is_some() && !is_simulated
        }
        Ok(_) => false,
        Err(_) => true,
    }
}

/// What to provision for a simulation.
fn world_of(made: &Directory, there: &Directory) -> anyhow::Result<World> {
    let tenant = made.tenants.first().context("a simulation has a tenant")?;
    let profile = &made.tariffs.first().context("a simulation has prices")?.profile.handle;
    let tariff =
        |version: &TariffVersion| NewTariff { tenant: tenant.handle.clone(), version: version.clone() };
    Ok(World {
        tenants: vec![NewTenant {
            handle: tenant.handle.clone(),
            contact: tenant.contact.clone(),
            currency: tenant.currency,
            timezone: tenant.timezone,
            calling: TenantCalling::default(),
        }],
        accounts: accounts_of(made, &tenant.handle, profile),
        subscribers: lines_of(made, &tenant.handle, there),
        trunks: trunks_of(made, &tenant.handle),
        tariffs: made.tariffs.iter().map(tariff).collect(),
        ..World::default()
    })
}

fn accounts_of(made: &Directory, tenant: &str, profile: &str) -> Vec<NewAccount> {
    let accounts = made.accounts.iter().map(|account| NewAccount {
        tenant: tenant.to_owned(),
        handle: account.handle.clone(),
        kind: account.kind,
        reseller: None,
        status: account.status,
        currency: Some(account.currency),
        timezone: Some(account.timezone),
        contact: account.contact.clone(),
        vat_percent: account.vat_percent,
        calls_max: account.calls_max,
        fraud: account.fraud.clone(),
        profile: Some(profile.to_owned()),
        valid_from: None,
        profiles: Vec::new(),
        calling: AccountCalling::default(),
    });
    accounts.collect()
}

/// Lines that are there keep their secrets; nobody is told those of new ones.
fn lines_of(made: &Directory, tenant: &str, there: &Directory) -> Vec<NewSubscriber> {
    let handles = handles_of(made);
    let known: HashMap<(&str, &str), &Subscriber> =
        there.subscribers.iter().map(|line| ((line.username.as_str(), line.domain.as_str()), line)).collect();
    let lines = made.subscribers.iter().map(|line| {
        let digest = known.get(&(line.username.as_str(), line.domain.as_str())).map(|line| &line.digest);
        NewSubscriber {
            tenant: tenant.to_owned(),
            account: handles.get(&line.account).copied().unwrap_or_default().to_owned(),
            username: line.username.clone(),
            domain: line.domain.clone(),
            ha1_md5: digest.map_or_else(secret::<16>, |digest| digest.ha1_md5.clone()),
            ha1_sha256: digest.map_or_else(secret::<32>, |digest| digest.ha1_sha256.clone()),
            numbers: line.cli.into_iter().collect(),
            cli: line.cli,
            calls_max: None,
            uuid: None,
            profile: None,
            calling: SubscriberCalling::default(),
        }
    });
    lines.collect()
}

fn trunks_of(made: &Directory, tenant: &str) -> Vec<NewTrunk> {
    let handles = handles_of(made);
    let trunks = made.trunks.iter().map(|trunk| NewTrunk {
        tenant: tenant.to_owned(),
        account: handles.get(&trunk.account).copied().unwrap_or_default().to_owned(),
        name: trunk_name(&trunk.name),
        address: trunk.address,
        transport: trunk.transport,
        sources: trunk.sources.clone(),
        tech_prefix: trunk.tech_prefix.clone(),
        calls_max: trunk.calls_max,
        // There is nobody at its address.
        enabled: false,
        calling: TrunkCalling::default(),
    });
    trunks.collect()
}

fn handles_of(made: &Directory) -> HashMap<AccountId, &str> {
    made.accounts.iter().map(|account| (account.id, account.handle.as_str())).collect()
}

/// Names of trunks are of the whole installation.
fn trunk_name(name: &str) -> String {
    format!("simulated-{name}")
}

fn secret<const BYTES: usize>() -> String {
    hex::encode(rand::random::<[u8; BYTES]>())
}

/// What the things of a simulation are called in this installation.
struct Names {
    /// Of the simulation.
    simulation: String,
    tenant: TenantId,
    revision: i64,
    accounts: HashMap<AccountId, AccountId>,
    lines: HashMap<SubscriberId, Subscriber>,
    /// With the carrier's account.
    trunks: HashMap<TrunkId, (TrunkId, AccountId)>,
}

impl Names {
    fn of(made: &Directory, there: &Directory, simulation: String) -> anyhow::Result<Self> {
        let tenant = made.tenants.first().and_then(|made| {
            let known = there.tenants.iter().find(|known| known.handle == made.handle)?;
            Some(known.id)
        });
        let tenant = tenant.context("the simulation's tenant was provisioned just now")?;
        let by_handle: HashMap<&str, AccountId> = there
            .accounts
            .iter()
            .filter(|account| account.tenant == tenant)
            .map(|account| (account.handle.as_str(), account.id))
            .collect();
        let by_name: HashMap<(&str, &str), &Subscriber> = there
            .subscribers
            .iter()
            .map(|line| ((line.username.as_str(), line.domain.as_str()), line))
            .collect();
        let trunks: HashMap<&str, (TrunkId, AccountId)> =
            there.trunks.iter().map(|trunk| (trunk.name.as_str(), (trunk.id, trunk.account))).collect();
        let missing = "what the simulation has was provisioned just now";
        Ok(Names {
            simulation,
            tenant,
            revision: there.revision,
            accounts: made
                .accounts
                .iter()
                .map(|account| Some((account.id, *by_handle.get(account.handle.as_str())?)))
                .collect::<Option<_>>()
                .context(missing)?,
            lines: made
                .subscribers
                .iter()
                .map(|line| {
                    let known = *by_name.get(&(line.username.as_str(), line.domain.as_str()))?;
                    Some((line.id, known.clone()))
                })
                .collect::<Option<_>>()
                .context(missing)?,
            trunks: made
                .trunks
                .iter()
                .map(|trunk| Some((trunk.id, *trunks.get(trunk_name(&trunk.name).as_str())?)))
                .collect::<Option<_>>()
                .context(missing)?,
        })
    }

    fn account(&self, made: AccountId) -> AccountId {
        self.accounts.get(&made).copied().unwrap_or(AccountId::NOBODY)
    }

    fn party(&self, made: &Party) -> Party {
        match made {
            Party::Subscriber { subscriber, .. } => {
                self.lines.get(subscriber).map_or(Party::Unknown, |line| Party::Subscriber {
                    subscriber: line.id,
                    account: line.account,
                    reseller: AccountId::NOBODY,
                    uuid: line.uuid.clone().into(),
                })
            }
            Party::Trunk { trunk, .. } => self
                .trunks
                .get(trunk)
                .map_or(Party::Unknown, |(trunk, account)| Party::Trunk { trunk: *trunk, account: *account }),
            Party::Unknown => Party::Unknown,
        }
    }

    /// The event as a switch of this installation would have told it: the `seq`th of its process.
    fn event(&self, made: &CallEvent, seq: u64) -> CallEvent {
        let node = format!("simulation-{}", self.simulation);
        let number = |call: &CallUid| call.as_str().trim_start_matches(CALL_PREFIX).to_owned();
        let call =
            made.call.as_ref().map(|call| CallUid::new(format!("{node}-{}-{}", made.boot, number(call))));
        let mut body = made.body.clone();
        let name = call.as_ref().map(ToString::to_string).unwrap_or_default();
        if let EventBody::Attempt(attempt) = &mut body {
            attempt.caller = self.party(&attempt.caller);
            attempt.from_user = attempt.cli.map(|cli| cli.to_string()).unwrap_or_default().into();
            attempt.dialed = attempt.callee.map(|callee| callee.to_string()).unwrap_or_default().into();
            attempt.sip_call_id = name.into();
        } else if let EventBody::RouteAttempt(route) = &mut body {
            route.callee = self.party(&route.callee);
            route.sip_call_id = format!("{name};out").into();
        }
        CallEvent {
            node: node.into(),
            seq,
            config_revision: self.revision,
            tenant: self.tenant,
            payer: self.account(made.payer),
            call,
            body,
            ..made.clone()
        }
    }
}

async fn put_on_log(bus: &dyn Bus, simulation: Simulation, names: Names) -> anyhow::Result<Told> {
    let (sender, mut events) = mpsc::channel(AHEAD_MAX);
    let stage = format!("{ORIGIN}{}", names.simulation);
    let living = tokio::task::spawn_blocking(move || {
        let mut seq = 0;
        simulation.events(Box::new(move |event| {
            seq += 1;
            // Nobody takes them any more: the log refused some, and says why.
            let _ = sender.blocking_send(names.event(event, seq));
        }));
    });
    let mut told = Told::default();
    let mut next_of: HashMap<u32, u64> = HashMap::new();
    let mut batch = Vec::with_capacity(APPENDED_MAX);
    while events.recv_many(&mut batch, APPENDED_MAX).await > 0 {
        told.events += batch.len() as u64;
        told.calls += batch.iter().filter(|event| matches!(event.body, EventBody::Attempt(_))).count() as u64;
        let entries: Vec<Entry> = batch
            .drain(..)
            .map(|event| {
                let (payer, partition) = (event.payer, partition_of(event.payer, bus.partitions()));
                let next = next_of.entry(partition).or_default();
                let origin = Origin { stage: stage.clone().into(), partition, offset: *next, index: 0 };
                *next += 1;
                let record = Record { origin: Some(origin), body: Body::Call(Box::new(event)) };
                entry(Topic::Calls, payer, &record, bus)
            })
            .collect();
        bus.append(entries).await?;
    }
    living.await.context("the generator ended early")?;
    Ok(told)
}
