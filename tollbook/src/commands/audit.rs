//! `tollbook audit`: proof that nothing was lost and nothing doubled.
//!
//! In: the counters each lane keeps in the transaction of its position, the ledger, the lake, and, when the installation is not
//! running, the event log itself, record by record. Out: one line for each equation; what is missing, by name, where one
//! does not hold. What lies behind a consumer's position must have left its trace; what lies before it is still on its
//! way, and is told as such.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, BusError};
use chrono::{DateTime, Utc};
use lake::Lake;
use mediator::OpenCall;
use model::{Body, CdrId, EventBody, Money, PostingId, Record, Topic};
use store::{AuditFault, QueueCheck, Store};

use crate::cli::AuditPeriod;
use crate::commands::audit_period::{self, Period};
use crate::config::Config;
use crate::counts::Counts;
use crate::failure::UserError;
use crate::resubmit;
use crate::roles::STAGES;
use crate::runner::{COUNTS_KEY, LAKE, Positions, check_positions, decode, topic_of};
use crate::system::{open_bus, open_store};

/// Records read at once from a partition.
const READ_MAX: usize = 4_096;

/// How many of what is missing are named.
const NAMED_MAX: usize = 5;

/// While the installation runs, its stages commit one after the other: counters that do not fit are read again so often.
const LOOKS_MAX: u32 = 5;

/// And after so long.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// Equations checked so far.
#[derive(Default)]
struct Report {
    n_wrong: usize,
}

impl Report {
    fn line(&mut self, holds: bool, text: &str) {
        if holds {
            println!("  holds   {text}");
        } else {
            self.n_wrong += 1;
            println!("  BROKEN  {text}");
        }
    }

    /// Nothing is `missing`.
    fn covered<Id: std::fmt::Display>(&mut self, missing: &[Id], text: &str) {
        self.line(missing.is_empty(), text);
        self.named("missing", missing);
    }

    fn named<Id: std::fmt::Display>(&self, what: &str, ids: &[Id]) {
        if !ids.is_empty() {
            let shown: Vec<String> = ids.iter().take(NAMED_MAX).map(ToString::to_string).collect();
            println!("          {} {what}, such as {}", ids.len(), shown.join(", "));
        }
    }
}

/// The database, which must be there: opening it would make an empty one, and there is nothing wrong with that.
async fn open_existing(config: &Config) -> anyhow::Result<Store> {
    let url = config.store_url();
    if let Some(file) = url.strip_prefix("sqlite://").filter(|file| !Path::new(file).exists()) {
        let remedy = "restore it from a backup, or name the installation's own configuration with --config";
        return Err(UserError::new(format!("{file}: there is no database"), remedy).into());
    }
    open_store(config).await
}

/// Checks the trail of who changed what alone; a broken one is our failure.
pub(crate) async fn audit_log(config: &Config) -> anyhow::Result<()> {
    let store = open_existing(config).await?;
    if let Some(fault) = store.audit_verify().await? {
        anyhow::bail!(
            "the trail of changes is broken: {}; compare it with the last backup whose trail holds",
            fault_in_words(&fault)
        );
    }
    match store.audit_list(1).await?.first() {
        Some(last) => {
            println!("all {} entries are what was written, in their order and without a gap", last.id);
            println!(
                "the last one is of {} UTC, by {}: {}",
                last.at.format("%F %T"),
                last.actor,
                last.action
            );
            println!("its hash covers all before it: {}", last.hash);
        }
        None => println!("nobody has changed anything yet"),
    }
    Ok(())
}

/// Checks the installation; an equation that does not hold is our failure.
pub(crate) async fn audit(config: &Config, asked: &AuditPeriod) -> anyhow::Result<()> {
    let period = Period::of(asked)?;
    let store = open_existing(config).await?;
    let mut report = Report::default();

    println!("event log");
    let log = open_log(config, &mut report).await;
    println!("lake");
    let lake = open_lake(config, &mut report).await;

    let mut state = At::Unknown;
    let mut records = None;
    if let Some(log) = &log {
        println!("positions");
        let positions = Positions::load(&store, lake.as_ref().map(|(lake, _)| lake)).await?;
        let checked = check_positions(&**log, &positions).await;
        report.line(checked.is_ok(), "nobody has read further than the event log reaches");
        if let Err(why) = &checked {
            println!("          {why}");
        }
        let found =
            Log::read(&**log, config.exports.answered_only, period).await.context("read the event log")?;
        let requested = store.suspense_requested(u32::MAX).await?.len() as u64;
        let (_, not_sent) = store.import_totals().await?;
        let n_waiting = found.waiting(&positions) + requested + not_sent;
        println!("          {n_waiting} records are still to be worked off");
        state = if n_waiting == 0 { At::Rest } else { At::Halt };
        records = Some((found, positions));
    }

    println!("counters (kept in the same transaction as each position)");
    let stages = consistent_stages(&store, lake.as_ref(), state).await?;
    for (holds, text) in stages.equations(lake.as_ref(), state) {
        report.line(holds, &text);
    }

    if let (Some(period), Some((lake, _))) = (period, &lake) {
        println!("calls of {period}");
        for (holds, text, sql) in audit_period::equations(&store, lake, period).await? {
            report.line(holds, &text);
            println!("          {sql}");
        }
    }

    println!("ledger");
    check_ledger(&store, &mut report).await?;

    println!("numbers of files and invoices");
    let faults = store.numbering_check().await?;
    report.line(faults.is_empty(), "none is left out, and every file has the calls it was made of");
    report.named("wrong", &faults);

    println!("queues of files");
    check_queues(&store, config, &mut report).await?;

    println!("audit log");
    let fault = store.audit_verify().await?;
    report.line(fault.is_none(), "the chain of entries is unbroken");
    if let Some(fault) = fault {
        println!("          {}", fault_in_words(&fault));
    }

    println!("records (the event log, read from its oldest kept record)");
    match records {
        Some((found, positions)) => {
            let rows = lake.as_ref().map(|(_, rows)| rows.iter().copied().collect());
            found.check(&mut report, &stages, &positions, &store, rows.as_ref()).await?;
        }
        None => {
            println!("  not read; stop the installation to have them compared one by one");
        }
    }
    if report.n_wrong > 0 {
        anyhow::bail!("{} equations do not hold", report.n_wrong);
    }
    println!("all of it holds");
    Ok(())
}

/// In what state the installation is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Running, or its log cannot be read.
    Unknown,
    /// Not running, with records to be worked off at the next start.
    Halt,
    /// Not running, and all is worked off.
    Rest,
}

/// The event log; `None` while the installation runs, or when it cannot be read.
async fn open_log(config: &Config, report: &mut Report) -> Option<Arc<dyn Bus>> {
    let dir = config.bus_dir();
    if !config.bus.is_kafka() && !dir.is_dir() {
        // Opening it would make a new one.
        report.line(false, &format!("there is no event log in {}", dir.display()));
        return None;
    }
    match open_bus(config).await {
        Ok(bus) => {
            report.line(true, "it can be read");
            Some(bus)
        }
        Err(why @ BusError::InUse { .. }) => {
            println!("  not read: {why}");
            None
        }
        Err(why) => {
            report.line(false, &why.to_string());
            None
        }
    }
}

/// The lake with what is in its files, read from the files themselves.
async fn open_lake(config: &Config, report: &mut Report) -> Option<(Lake, Vec<Version>)> {
    let opened = match Lake::open_to_ask(&config.lake) {
        Ok(lake) => lake_rows(&lake).await.map(|rows| (lake, rows)),
        Err(why) => Err(why.into()),
    };
    match opened {
        Ok((lake, rows)) => {
            let once: BTreeSet<&Version> = rows.iter().collect();
            report
                .line(rows.len() == once.len(), &format!("{} rows in its files: no call twice", rows.len()));
            Some((lake, rows))
        }
        Err(why) => {
            report.line(false, &format!("its files cannot be read: {why:#}"));
            None
        }
    }
}

/// Read downstream first, so that nobody seems to have more than he was sent; and read again while the installation runs on.
async fn consistent_stages(
    store: &Store,
    lake: Option<&(Lake, Vec<Version>)>,
    state: At,
) -> anyhow::Result<Stages> {
    let mut stages = Stages::load(store).await?;
    for _ in 1..LOOKS_MAX {
        if state != At::Unknown || stages.equations(lake, state).iter().all(|(holds, _)| *holds) {
            break;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        stages = Stages::load(store).await?;
    }
    Ok(stages)
}

fn fault_in_words(fault: &AuditFault) -> String {
    match fault {
        AuditFault::Altered { id } => format!("entry {id} is not what was written"),
        AuditFault::Missing { id } => format!("entry {id} is gone"),
        AuditFault::CutOff { found, expected } => {
            format!("entries after {found} are gone; {expected} were written")
        }
    }
}

/// What the lanes say of themselves.
struct Stages {
    counts: BTreeMap<&'static str, Counts>,
    /// Legs that the mediator holds open, which have no record yet.
    open_legs: BTreeSet<CdrId>,
    /// Rated calls that the lake could not hold, and was not given again.
    suspended_by_lake: u64,
    /// Records of other systems that were ever taken in.
    imported: u64,
}

impl Stages {
    async fn load(store: &Store) -> anyhow::Result<Self> {
        let mut counts = BTreeMap::new();
        let mut open_legs = BTreeSet::new();
        for (stage, _) in STAGES.iter().rev() {
            let mut total = Counts::default();
            for lane in store.load_lanes(stage).await? {
                if let Some((_, value)) = lane.state.iter().find(|(key, _)| key == COUNTS_KEY) {
                    total.add(Counts::from_bytes(value).context("read the counters of a lane")?);
                }
                if *stage == "mediator" {
                    let entries = lane.state.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
                    let open = mediator::open_calls(entries)
                        .map_err(|why| anyhow::anyhow!("read the open calls of a lane: {why}"))?;
                    for OpenCall { call, legs_without_record, .. } in open {
                        open_legs.extend(legs_without_record.iter().map(|leg| CdrId::derive(&call, *leg)));
                    }
                }
            }
            counts.insert(*stage, total);
        }
        let held = store.suspense_held().await?;
        let suspended_by_lake = held.iter().filter(|(stage, _)| stage == LAKE).count() as u64;
        let (imported, _) = store.import_totals().await?;
        Ok(Self { counts, open_legs, suspended_by_lake, imported })
    }

    fn of(&self, stage: &str) -> Counts {
        self.counts.get(stage).copied().unwrap_or_default()
    }

    /// Whether each holds, and how it reads. Within a stage they hold at any time. What one stage has written and another read
    /// is equal at rest. Else there are records between the two; and after a crash the reader may be ahead of the writer,
    /// whose own count comes with the next start.
    fn equations(&self, lake: Option<&(Lake, Vec<Version>)>, state: At) -> Vec<(bool, String)> {
        let (mediator, rating) = (self.of("mediator"), self.of("rating"));
        let (ledger, exports, fraud) = (self.of("ledger"), self.of("exports"), self.of("fraud"));
        let n_open = self.open_legs.len() as u64;
        let cdrs = rating.cdrs_in + rating.revisions_in;
        // What came again out of suspense is told where there is any.
        let again = |counts: Counts| match counts.resubmitted {
            0 => String::new(),
            n => format!(" + {n} sent in again"),
        };
        let mut all = vec![
            (
                mediator.attempts_in <= mediator.cdrs_out + n_open + mediator.suspended,
                format!(
                    "{} calls = {} CDRs + {n_open} open + {} suspended",
                    mediator.attempts_in, mediator.cdrs_out, mediator.suspended
                ),
            ),
            (
                cdrs + rating.resubmitted == rating.rated_out + rating.suspended,
                format!(
                    "{cdrs} CDRs{} = {} rated + {} suspended",
                    again(rating),
                    rating.rated_out,
                    rating.suspended
                ),
            ),
            (
                ledger.postings_in + ledger.resubmitted == ledger.posted + ledger.suspended,
                format!(
                    "{} postings{} = {} posted + {} suspended",
                    ledger.postings_in,
                    again(ledger),
                    ledger.posted,
                    ledger.suspended
                ),
            ),
        ];
        let mut between = |read: u64, written: u64, text: String| {
            let holds = match state {
                At::Rest => read == written,
                At::Halt => true,
                At::Unknown => read <= written,
            };
            all.push((holds, text));
        };
        let written = mediator.cdrs_out + mediator.revisions_out + self.imported;
        let imported = match self.imported {
            0 => String::new(),
            n => format!(", {n} of them imported"),
        };
        between(cdrs, written, format!("{cdrs} of {written} CDRs have reached rating{imported}"));
        let rated = rating.rated_out;
        if let Some((_, rows)) = lake {
            let n_rows = rows.len() as u64;
            let suspended = self.suspended_by_lake;
            let text =
                format!("{n_rows} of {rated} rated calls are in the lake, {suspended} suspended by it");
            between(n_rows + suspended, rated, text);
        }
        let queued = exports.exports_system;
        let text = format!(
            "{} of {rated} rated calls have reached the exports; {queued} queued for the operator's own file",
            exports.rated_in
        );
        between(exports.rated_in, rated, text);
        let text = format!("{} of {rated} rated calls have reached the fraud desk", fraud.rated_in);
        between(fraud.rated_in, rated, text);
        let (read, written) = (ledger.postings_in, rating.postings_out);
        between(read, written, format!("{read} of {written} postings have reached the ledger"));
        all
    }
}

/// Stream by stream: what was queued is in files, waits, or is in none for a reason; and no lane has queued more than there is.
async fn check_queues(store: &Store, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    // The lanes first: what they count by then is in the queues looked at after them.
    let mut counted = BTreeMap::new();
    for stream in config.streams()?.iter() {
        let mut total = Counts::default();
        for lane in store.load_lanes(&stream.stage_name()).await? {
            if let Some((_, value)) = lane.state.iter().find(|(key, _)| key == COUNTS_KEY) {
                total.add(Counts::from_bytes(value).context("read the counters of a lane")?);
            }
        }
        counted.insert(stream.config.name.clone(), total);
    }
    let forgotten = store.edrs_not_queued().await?;
    let mut streams: BTreeMap<String, Vec<QueueCheck>> = BTreeMap::new();
    for checked in store.queue_check().await? {
        let stream = checked.owner.parse::<exports::Series>().map(|series| series.stream).unwrap_or_default();
        streams.entry(stream).or_default().push(checked);
    }
    for (name, series) in &streams {
        let sum = |of: fn(&QueueCheck) -> u64| series.iter().map(of).sum::<u64>();
        let (queued, in_files) = (sum(|it| it.n_queued), sum(|it| it.n_in_files));
        let (waiting, passed) = (sum(|it| it.n_waiting), sum(|it| it.n_passed));
        let shown = if name.is_empty() { "main" } else { name };
        let faulty: Vec<&str> = series.iter().filter(|it| !it.holds()).map(|it| it.owner.as_str()).collect();
        let text = format!(
            "{shown}: {queued} queued = {in_files} in files + {waiting} waiting + {passed} overtaken, reported apart or left out"
        );
        report.line(faulty.is_empty(), &text);
        report.named("wrong", &faulty);
    }
    for (name, counts) in counted {
        // One that was sent in again is counted twice and queued once.
        let queued = streams.get(&name).map_or(0, |series| series.iter().map(|it| it.n_queued).sum());
        if counts.resubmitted == 0 {
            let shown = if name.is_empty() { "main" } else { &name };
            let text = format!("{shown}: what its lanes have queued ({}) is there", counts.exports);
            report.line(counts.exports <= queued, &text);
        }
    }
    report.line(forgotten.is_empty(), "every event of provisioning is queued for those it concerns");
    report.named("not queued", &forgotten);
    Ok(())
}

async fn check_ledger(store: &Store, report: &mut Report) -> anyhow::Result<()> {
    let balances = store.balances().await?;
    let faults = store.balance_check().await?;
    report.line(faults.is_empty(), &format!("{} balances equal the sums of their postings", balances.len()));
    for fault in faults.iter().take(NAMED_MAX) {
        println!("          {}: kept {}, postings {}", fault.account, fault.balance, fault.postings);
    }
    let mut sums: BTreeMap<_, Money> = BTreeMap::new();
    for balance in balances {
        let currency = balance.balance.currency;
        let sum = sums.entry(currency).or_insert(Money::zero(currency));
        *sum = sum.checked_add(balance.balance)?;
    }
    for (currency, sum) in sums {
        report.line(sum.amount.is_zero(), &format!("all balances in {currency} add up to {sum}"));
    }
    Ok(())
}

/// Where a record lies in its topic: partition and offset, of its first copy.
type Place = (u32, u64);

/// What lies on the bus, by identity; the same record appended twice by a replay counts once.
#[derive(Default)]
struct Log {
    calls: BTreeMap<CdrId, Place>,
    cdrs: BTreeMap<Version, Place>,
    rated: BTreeMap<Version, Place>,
    /// Of these, the ones that no file is to have: written while the call was up, or left out by the configuration.
    not_for_files: BTreeSet<Version>,
    postings: BTreeMap<PostingId, Place>,
    /// Which calls are looked at; the others are known, no more.
    period: Option<Period>,
    /// Calls of any time that have a CDR.
    with_cdr: BTreeSet<CdrId>,
    /// Records that cannot be read.
    unreadable: Vec<(Topic, Place)>,
    /// Where what was sent in again for a stage lies last.
    resent: BTreeMap<(String, CdrId), Place>,
    /// Of each lane, the offset behind the last record that is more than a tick.
    ends: BTreeMap<(Topic, u32), u64>,
}

/// A CDR in one of its revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(CdrId, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} revision {}", self.0, self.1)
    }
}

impl Log {
    async fn read(bus: &dyn Bus, answered_only: bool, period: Option<Period>) -> Result<Self, BusError> {
        let mut log = Log { period, ..Log::default() };
        for topic in [Topic::Calls, Topic::Cdrs, Topic::Rated, Topic::Postings, Topic::Sightings] {
            for partition in 0..bus.partitions() {
                let (mut from, end) = bus.range(topic, partition).await?;
                while from < end {
                    let batch = bus.read(topic, partition, from, READ_MAX).await?;
                    for stored in batch.records {
                        let place = (partition, stored.offset);
                        match decode(&stored.payload) {
                            Ok(Record { body: Body::Tick(_), .. }) => continue,
                            Ok(record) => {
                                if let (Some(stage), Some(cdr)) =
                                    (resubmit::addressee(record.origin.as_ref()), call_of(&record.body))
                                {
                                    log.resent.insert((stage.to_owned(), cdr), place);
                                }
                                log.saw(record.body, place, answered_only);
                            }
                            Err(_) => log.unreadable.push((topic, place)),
                        }
                        log.ends.insert((topic, partition), stored.offset + 1);
                    }
                    from = batch.next;
                }
            }
        }
        Ok(log)
    }

    fn saw(&mut self, body: Body, place: Place, answered_only: bool) {
        match body {
            Body::Call(event) => {
                if let (EventBody::Attempt(_), Some(call)) = (&event.body, &event.call)
                    && self.is_asked_for(event.at)
                {
                    let id = CdrId::derive(call, event.leg);
                    self.calls.entry(id).or_insert(place);
                }
            }
            Body::Cdr(cdr) => {
                self.with_cdr.insert(cdr.id);
                if !self.is_asked_for(cdr.start_at) {
                    return;
                }
                self.cdrs.entry(Version(cdr.id, cdr.revision)).or_insert(place);
            }
            Body::Rated(rated) => {
                self.with_cdr.insert(rated.cdr.id);
                if !self.is_asked_for(rated.cdr.start_at) {
                    return;
                }
                let version = Version(rated.cdr.id, rated.cdr.revision);
                self.rated.entry(version).or_insert(place);
                if rated.cdr.is_in_progress() || answered_only && !rated.cdr.is_answered() {
                    self.not_for_files.insert(version);
                }
            }
            Body::Posting(posting) if !self.is_asked_for(posting.at) => {}
            Body::Posting(posting) => {
                self.postings.entry(posting.id).or_insert(place);
            }
            Body::Tick(_) | Body::Edr(_) | Body::Control(_) | Body::Accrual(_) | Body::Sighting(_) => {}
        }
    }

    fn is_asked_for(&self, at: DateTime<Utc>) -> bool {
        self.period.is_none_or(|period| period.contains(at))
    }

    /// Records that some consumer has yet to read.
    fn waiting(&self, positions: &Positions) -> u64 {
        let consumers = STAGES.iter().map(|(name, _)| *name).chain([LAKE]);
        consumers
            .flat_map(|consumer| self.ends.iter().map(move |end| (consumer, end)))
            .filter(|(consumer, ((topic, _), _))| topic_of(consumer) == *topic)
            .map(|(consumer, ((_, partition), end))| end.saturating_sub(positions.of(consumer, *partition)))
            .sum()
    }

    async fn check(
        &self,
        report: &mut Report,
        stages: &Stages,
        positions: &Positions,
        store: &Store,
        in_lake: Option<&BTreeSet<Version>>,
    ) -> anyhow::Result<()> {
        let has_passed = |consumer, (partition, offset): &Place| *offset < positions.of(consumer, *partition);
        // By stage: who put something aside answers for his own step alone.
        let mut suspended: BTreeMap<String, BTreeSet<CdrId>> = BTreeMap::new();
        for (stage, cdr) in store.suspense_held().await? {
            if let Some(cdr) = cdr {
                suspended.entry(stage).or_default().insert(cdr);
            }
        }
        // One that was sent in again is on its way until the stage has passed it.
        for ((stage, cdr), (partition, offset)) in &self.resent {
            let names = STAGES.iter().map(|(name, _)| *name).chain([LAKE]);
            for name in names.filter(|name| name == stage) {
                if *offset >= positions.of(name, *partition) {
                    suspended.entry(stage.clone()).or_default().insert(*cdr);
                }
            }
        }
        let is_suspended =
            |stage: &str, cdr: &CdrId| suspended.get(stage).is_some_and(|cdrs| cdrs.contains(cdr));
        let nothing = BTreeSet::new();
        let rows = in_lake.unwrap_or(&nothing);

        let in_rows: BTreeSet<CdrId> = rows.iter().map(|version| version.0).collect();
        let lost: Vec<CdrId> = self
            .calls
            .iter()
            .filter(|(id, place)| {
                has_passed("mediator", place)
                    && !self.with_cdr.contains(id)
                    && !in_rows.contains(id)
                    && !stages.open_legs.contains(id)
                    && !is_suspended("mediator", id)
            })
            .map(|(id, _)| *id)
            .collect();
        let n_open = stages.open_legs.len();
        let text = format!(
            "{} calls: each has a CDR ({}), is open or in suspense; {n_open} are open",
            self.calls.len(),
            self.cdrs.len()
        );
        report.covered(&lost, &text);

        let unrated = missing(&self.cdrs, |version, place| {
            !has_passed("rating", place)
                || self.rated.contains_key(version)
                || rows.contains(version)
                || is_suspended("rating", &version.0)
        });
        let text = format!("{} CDRs: each is rated ({}) or in suspense", self.cdrs.len(), self.rated.len());
        report.covered(&unrated, &text);

        let not_in_lake = missing(&self.rated, |version, place| {
            !has_passed(LAKE, place) || rows.contains(version) || is_suspended(LAKE, &version.0)
        });
        report.covered(&not_in_lake, &format!("{} rated calls: each is in the lake", self.rated.len()));

        let queued: BTreeSet<Version> = store
            .export_calls("system")
            .await?
            .into_iter()
            .map(|(cdr, revision)| Version(cdr, revision))
            .collect();
        let not_queued = missing(&self.rated, |version, place| {
            !has_passed("exports", place)
                || self.not_for_files.contains(version)
                || queued.contains(version)
                || is_suspended("exports", &version.0)
        });
        let text = format!(
            "{} rated calls: each is queued for the operator's file",
            self.rated.len() - self.not_for_files.len()
        );
        report.covered(&not_queued, &text);

        let ids = store.posting_ids().await?;
        let (n_posted, posted) = (ids.len(), ids.into_iter().collect::<BTreeSet<PostingId>>());
        report.line(
            n_posted == posted.len(),
            &format!("{n_posted} postings of the ledger have ids of their own"),
        );
        let places: BTreeSet<(String, Topic, Place)> = store
            .suspense_places()
            .await?
            .into_iter()
            .map(|(stage, topic, partition, offset)| (stage, topic, (partition, offset)))
            .collect();
        let was_put_aside =
            |stage: &str, topic, place: &Place| places.contains(&(stage.to_owned(), topic, *place));
        let not_posted = missing(&self.postings, |id, place| {
            !has_passed("ledger", place)
                || posted.contains(id)
                || was_put_aside("ledger", Topic::Postings, place)
        });
        report.covered(&not_posted, &format!("{} postings: each is in the ledger", self.postings.len()));

        let mut forgotten = Vec::new();
        for (topic, place) in &self.unreadable {
            for (stage, _) in STAGES.iter().filter(|(_, read)| read == topic) {
                if has_passed(stage, place) && !was_put_aside(stage, *topic, place) {
                    forgotten.push(format!("{topic}/{} offset {} at {stage}", place.0, place.1));
                }
            }
        }
        report.covered(
            &forgotten,
            &format!("{} unreadable records: each is in suspense", self.unreadable.len()),
        );
        Ok(())
    }
}

/// The call that a record is of.
fn call_of(body: &Body) -> Option<CdrId> {
    match body {
        Body::Call(event) => event.call.as_ref().map(|call| CdrId::derive(call, event.leg)),
        Body::Cdr(cdr) => Some(cdr.id),
        Body::Rated(rated) => Some(rated.cdr.id),
        Body::Tick(_)
        | Body::Edr(_)
        | Body::Posting(_)
        | Body::Control(_)
        | Body::Accrual(_)
        | Body::Sighting(_) => None,
    }
}

/// What is not accounted for.
fn missing<Id: Copy + Ord>(all: &BTreeMap<Id, Place>, is_there: impl Fn(&Id, &Place) -> bool) -> Vec<Id> {
    all.iter().filter(|(id, place)| !is_there(id, place)).map(|(id, _)| *id).collect()
}

async fn lake_rows(lake: &Lake) -> anyhow::Result<Vec<Version>> {
    let result = lake.query("select cdr_id, revision from calls_history").await?;
    result
        .rows()
        .into_iter()
        .map(|row| match &row[..] {
            [Some(id), Some(revision)] => Ok(Version(id.parse()?, revision.parse()?)),
            _ => anyhow::bail!("the lake has a row without an identifier"),
        })
        .collect()
}
