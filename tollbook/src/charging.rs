//! The charging service: holds prepaid and credit-limited calls to what their accounts have.
//!
//! In: questions of the switch, and every posting as it is made. Out: answers to the switch, and mails when little is left. What it
//! knows is in memory: the balances of the ledger at the start, the postings since, and the calls in progress. Nothing of it is kept, so
//! after a crash no reservation is left; and until everything that was under way then has been posted, nobody's balance is
//! known and the switch decides what to do with such calls (`[switch.credit]`).

mod falls;
mod worked_off;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, Body, CdrId, Direction, Money, Provider, RatedCdr, Topic, partition_of};
use rating::{Charger, Funds, Parties, Verdict};
use serde::Deserialize;
use switch::{Credit, CreditAnswer, CreditQuestion, CreditStep, Input};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::falls::{Fall, Falls};
use self::worked_off::WorkedOff;
use crate::runner::{Rooms, Watermarks, decode};
use crate::system::Consumer;
use crate::tariffs::Tariffs;

/// Questions waiting; beyond that the switch takes silence for an answer.
pub(crate) const QUESTIONS_WAITING_MAX: usize = 20_000;

/// Postings of one partition read at once.
const READ_MAX: usize = 1_024;

/// Rated records that may have come between the end of a call and the question what it costs.
const RATED_BEFORE: u64 = 64;

/// Calls whose price is waited for at once; of others nobody is told.
const PRICES_AWAITED_MAX: usize = 64;

/// How long a price is waited for; the switch waits for less.
const PRICE_AWAITED: Duration = Duration::from_millis(500);

/// How often new provisioning data is looked for, and calls that were never posted are forgotten.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Pause before something that failed is tried again.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// How long the price of a call that is over stays reserved for postings that do not come: it was suspended.
const UNPOSTED_KEPT: TimeDelta = TimeDelta::hours(6);

/// How long the switch has to report that it began, before it is looked what was under way.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// Section `[charging]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChargingConfig {
    /// Seconds that a call is granted at a time; so much more of an account's balance each of its calls may keep back. Default: 60.
    pub(crate) quantum_seconds: u32,
}

impl Default for ChargingConfig {
    fn default() -> Self {
        Self { quantum_seconds: 60 }
    }
}

/// What the service needs of the house.
pub(crate) struct Charging {
    pub(crate) rooms: Rooms,
    pub(crate) switch: mpsc::Sender<Input>,
    pub(crate) consumers: Arc<Vec<Consumer>>,
    pub(crate) config: ChargingConfig,
    /// Compiled before the provisioning data is seen: no call waits for a long list.
    pub(crate) tariffs: Tariffs,
}

/// What it knows.
struct State {
    charger: Charger,
    revision: i64,
    /// Next posting of each partition.
    positions: Vec<u64>,
    watermarks: Vec<Watermarks>,
    worked_off: WorkedOff,
    /// Where the postings of what was under way at the start end; `None`: not known yet, or passed.
    settled_at: Option<Vec<u64>>,
    is_ready: bool,
    /// What postings did to accounts, and nobody was told yet.
    falls: Falls,
    /// Room for more calls whose price is waited for.
    prices_awaited: Arc<Semaphore>,
}

/// Until `stop`.
pub(crate) async fn run(
    charging: Charging,
    mut questions: mpsc::Receiver<CreditQuestion>,
    stop: CancellationToken,
) {
    let mut state = loop {
        match load(&charging).await {
            Ok(state) => break state,
            Err(why) => error!(error = format!("{why:#}"), "balances could not be loaded; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(FAILURE_PAUSE) => {}
            () = stop.cancelled() => return,
        }
    };
    let (told, mut settled) = oneshot::channel();
    let watching = tokio::spawn(settled_ends(charging.rooms.clone(), charging.consumers.clone(), told));
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    loop {
        let is_watched = state.settled_at.is_none() && !state.is_ready;
        let awaited: Vec<(u32, u64)> = (0..).zip(state.positions.iter().copied()).collect();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            question = questions.recv() => {
                let Some(question) = question else { break };
                if let Some(answer) = answer(&charging, &mut state, question).await {
                    // The switch may have gone; then nobody asks any more.
                    let _ = charging.switch.send(Input::Credit(answer)).await;
                }
            }
            ends = &mut settled, if is_watched => state.settled_at = ends.ok(),
            waited = charging.rooms.bus.wait(Topic::Postings, &awaited) => {
                let read = match waited {
                    Ok(()) => read_postings(&charging, &mut state).await,
                    Err(why) => Err(why.into()),
                };
                if let Err(why) = read {
                    error!(error = format!("{why:#}"), "postings could not be read; trying again");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
            _ = look.tick() => {
                refresh(&charging, &mut state);
                let now = charging.rooms.clock.utc();
                let State { worked_off, charger, positions, .. } = &mut state;
                if let Err(why) = worked_off.look(&charging, charger, positions).await {
                    error!(error = format!("{why:#}"), "rated calls could not be read; trying again");
                }
                if let Err(why) = tell_falls(&charging, &mut state).await {
                    error!(error = format!("{why:#}"), "nobody could be told of low balances; trying again");
                }
                state.charger.forget_rated();
                for call in state.charger.forget(now - UNPOSTED_KEPT) {
                    warn!(%call, "a call that was held to a balance was not posted as it was reckoned");
                }
            }
        }
        note_readiness(&mut state);
    }
    watching.abort();
}

async fn load(charging: &Charging) -> anyhow::Result<State> {
    let rooms = &charging.rooms;
    let directory = rooms.directory.current();
    let revision = directory.revision;
    let snapshot = charging.tariffs.of(&directory).context("compile the tariffs")?;
    let (balances, lanes) = rooms.store.held_balances("ledger").await?;
    let funds = balances
        .into_iter()
        .map(|(account, held)| (account, Funds { micros: held.micros, seconds: held.seconds }));
    let charger = Charger::new(snapshot, charging.config.quantum_seconds, funds);
    let mut positions = Vec::new();
    let mut watermarks = Vec::new();
    for partition in 0..rooms.bus.partitions() {
        match lanes.iter().find(|lane| lane.partition == partition) {
            Some(lane) => {
                positions.push(lane.position);
                watermarks.push(Watermarks::new(lane.watermarks.clone()));
            }
            None => {
                positions.push(rooms.bus.range(Topic::Postings, partition).await?.0);
                watermarks.push(Watermarks::new(Vec::new()));
            }
        }
    }
    let prices_awaited = Arc::new(Semaphore::new(PRICES_AWAITED_MAX));
    let worked_off = WorkedOff::new(charging).await?;
    Ok(State {
        charger,
        revision,
        positions,
        watermarks,
        worked_off,
        settled_at: None,
        is_ready: false,
        falls: Falls::default(),
        prices_awaited,
    })
}

/// Where the postings end of everything that was under way when the system started: events have become CDRs, CDRs have been rated.
async fn settled_ends(rooms: Rooms, consumers: Arc<Vec<Consumer>>, told: oneshot::Sender<Vec<u64>>) {
    tokio::time::sleep(SETTLE_TIME).await;
    for (stage, topic) in [("mediator", Topic::Calls), ("rating", Topic::Cdrs)] {
        let Some(ends) = ends_of(&rooms, topic).await else { return };
        let Some(consumer) = consumers.iter().find(|consumer| consumer.name == stage) else { return };
        let mut progress = consumer.progress.clone();
        let has_passed = |positions: &[u64]| {
            positions.len() == ends.len() && positions.iter().zip(&ends).all(|(at, end)| at >= end)
        };
        while !has_passed(&progress.borrow_and_update().positions) {
            if progress.changed().await.is_err() {
                return;
            }
        }
    }
    if let Some(ends) = ends_of(&rooms, Topic::Postings).await {
        // The service may have stopped.
        let _ = told.send(ends);
    }
}

/// Where every partition of a topic ends now; `None` if the log cannot say.
async fn ends_of(rooms: &Rooms, topic: Topic) -> Option<Vec<u64>> {
    let mut ends = Vec::new();
    for partition in 0..rooms.bus.partitions() {
        match rooms.bus.range(topic, partition).await {
            Ok((_, end)) => ends.push(end),
            Err(why) => {
                error!(error = %why, "it is not known what was under way; prepaid calls are not let through");
                return None;
            }
        }
    }
    Some(ends)
}

fn note_readiness(state: &mut State) {
    let has_passed =
        |ends: &Vec<u64>| state.positions.iter().zip(ends).all(|(position, end)| position >= end);
    if !state.is_ready && state.settled_at.as_ref().is_some_and(has_passed) {
        state.is_ready = true;
        info!("balances are known; calls are held to them");
    }
}

/// Loads what is provisioned since.
fn refresh(charging: &Charging, state: &mut State) {
    let directory = charging.rooms.directory.current();
    if directory.revision == state.revision {
        return;
    }
    state.revision = directory.revision;
    match charging.tariffs.of(&directory) {
        Ok(snapshot) => state.charger.set_snapshot(snapshot),
        Err(why) => {
            error!(error = %why, "a tariff cannot be used; calls are held to the prices known before")
        }
    }
}

async fn answer(charging: &Charging, state: &mut State, question: CreditQuestion) -> Option<CreditAnswer> {
    let CreditQuestion { key, what } = question;
    let call = CdrId::derive(&key.call, key.leg);
    let credit = match what {
        CreditStep::Begin { account, source, destination, address, at } => {
            if charging.rooms.directory.current().revision != state.revision {
                refresh(charging, state);
            }
            let parties = Parties { source, destination, address: address.to_string() };
            match used_seconds(charging, state, account, &parties.address, at).await {
                Ok(used) if state.is_ready => {
                    of_verdict(state.charger.begin_used(call, account, parties, at, used))
                }
                Ok(_) => Credit::Unknown,
                Err(why) => {
                    error!(error = format!("{why:#}"), %account, "what an account used in its interval cannot be read");
                    Credit::Unknown
                }
            }
        }
        CreditStep::Answered { at } => of_verdict(state.charger.answered(call, at)),
        CreditStep::Extend => of_verdict(state.charger.extend(call)),
        CreditStep::Price { account } => {
            let Ok(awaited) = state.prices_awaited.clone().try_acquire_owned() else {
                return Some(CreditAnswer { key, credit: Credit::Unknown });
            };
            let (rooms, switch) = (charging.rooms.clone(), charging.switch.clone());
            tokio::spawn(async move {
                let _awaited = awaited;
                let credit = match price_of(&rooms, call, account).await {
                    Ok(Some(price)) => Credit::Cost(price),
                    // The switch has not waited for it.
                    Ok(None) => return,
                    Err(why) => {
                        warn!(error = format!("{why:#}"), %call, "its price cannot be read; nobody is told");
                        Credit::Unknown
                    }
                };
                // The switch may have gone.
                let _ = switch.send(Input::Credit(CreditAnswer { key, credit })).await;
            });
            return None;
        }
        CreditStep::End { was_sent: false, .. } => {
            state.charger.withdraw(call);
            return None;
        }
        CreditStep::End { answered_us, .. } => {
            state.charger.end(call, answered_us, charging.rooms.clock.utc());
            return None;
        }
    };
    Some(CreditAnswer { key, credit })
}

/// What a call that has just ended costs its payer, as rating has it: waits for that, though not for long.
async fn price_of(rooms: &Rooms, call: CdrId, account: AccountId) -> anyhow::Result<Option<Money>> {
    let partition = partition_of(account, rooms.bus.partitions());
    let (begin, end) = rooms.bus.range(Topic::Rated, partition).await?;
    let mut at = end.saturating_sub(RATED_BEFORE).max(begin);
    let found = async {
        loop {
            let batch = rooms.bus.read(Topic::Rated, partition, at, READ_MAX).await?;
            for stored in batch.records {
                let Ok(record) = decode(&stored.payload) else { continue };
                // Of a call that is up there is a record of what it has come to so far.
                if let Body::Rated(rated) = &record.body
                    && rated.cdr.id == call
                    && !rated.cdr.partial
                {
                    return anyhow::Ok(paid_by(rated, account));
                }
            }
            at = batch.next;
            rooms.bus.wait(Topic::Rated, &[(partition, at)]).await?;
        }
    };
    tokio::time::timeout(PRICE_AWAITED, found).await.unwrap_or(Ok(None))
}

/// What the side that called pays for a call, whether from a balance or not: a customer its price, a carrier what it owes us for its call.
fn paid_by(rated: &RatedCdr, account: AccountId) -> Option<Money> {
    let mut sum: Option<Money> = None;
    for charge in rated.charges.iter().filter(|charge| charge.account == account) {
        let amount = match (charge.provider, charge.direction) {
            (Provider::Customer, Direction::Out) => charge.cost.checked_add(charge.free_cash)?,
            (Provider::Carrier, Direction::In) => -charge.cost,
            (Provider::Customer | Provider::Reseller | Provider::Carrier, _) => continue,
        };
        sum = Some(Money::new(amount, charge.currency));
    }
    sum
}

/// What an account whose price depends on it has used in the running interval; of others 0, without asking.
async fn used_seconds(
    charging: &Charging,
    state: &State,
    account: AccountId,
    address: &str,
    at: DateTime<Utc>,
) -> anyhow::Result<u64> {
    let Some(version) = state.charger.prices_by_usage(account, at, address) else { return Ok(0) };
    let rooms = &charging.rooms;
    let partition = partition_of(account, rooms.bus.partitions());
    let entry = rooms.store.stage_entry("rating", partition, &rating::contract_key(account)).await?;
    // Without a call or a tick yet there is no entry.
    let Some(entry) = entry else { return Ok(0) };
    let contract = rating::contract_of(&entry).map_err(anyhow::Error::msg)?;
    let interval = contract.intervals.iter().rfind(|interval| interval.stretch.contains(at));
    Ok(interval.map_or(0, |interval| contract.used(interval.stretch.start, version).seconds))
}

fn of_verdict(verdict: Verdict) -> Credit {
    match verdict {
        Verdict::Seconds(seconds) => Credit::Seconds(seconds),
        Verdict::Unlimited => Credit::Unlimited,
        Verdict::Refused(why) => Credit::Refused(why),
    }
}

async fn read_postings(charging: &Charging, state: &mut State) -> anyhow::Result<()> {
    let rooms = &charging.rooms;
    for partition in 0..rooms.bus.partitions() {
        let place = partition as usize;
        let batch = rooms.bus.read(Topic::Postings, partition, state.positions[place], READ_MAX).await?;
        for stored in batch.records {
            let Ok(record) = decode(&stored.payload) else { continue };
            if !state.watermarks[place].admit(record.origin.as_ref()) {
                continue;
            }
            if let Body::Posting(posting) = &record.body
                && let Some((account, before)) = state.charger.posted(posting)
            {
                let (after, _) = state.charger.funds(account);
                let fall = Fall { account, posting: posting.id, before, after };
                state.falls.note(fall, state.charger.snapshot());
            }
        }
        state.positions[place] = batch.next;
    }
    // Balances are kept whoever can be told of them; it is tried again with the next look.
    if let Err(why) = tell_falls(charging, state).await {
        error!(error = format!("{why:#}"), "nobody could be told of low balances; trying again");
    }
    Ok(())
}

/// Tells of what has fallen; what could not be told is told the next time.
async fn tell_falls(charging: &Charging, state: &mut State) -> anyhow::Result<()> {
    let State { falls, charger, .. } = state;
    falls.tell(|fall| falls::mail(&charging.rooms, charger.snapshot(), fall)).await
}
