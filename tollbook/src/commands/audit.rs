//! `tollbook audit`: proof that nothing was lost and nothing doubled.
//!
//! In: the counters each lane keeps in the transaction of its position, the ledger, the lake, and, when the installation is not
//! running, the event log itself, record by record. Out: one line for each equation; the difference where one does not
//! hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use bus::Bus;
use lake::Lake;
use model::{Body, CdrId, Money, PostingId, Topic};
use store::Store;

use crate::config::Config;
use crate::counts::Counts;
use crate::runner::COUNTS_KEY;
use crate::system::{STAGES, open_bus, open_store};

/// Records read at once from a partition.
const READ_MAX: usize = 4_096;

/// How many of what is missing are named.
const NAMED_MAX: usize = 5;

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

    /// Every one of `expected` is in `found`.
    fn covered<Id: Ord + std::fmt::Display>(
        &mut self,
        expected: &BTreeSet<Id>,
        found: &BTreeSet<Id>,
        text: &str,
    ) {
        let missing: Vec<String> =
            expected.difference(found).take(NAMED_MAX).map(ToString::to_string).collect();
        let n_missing = expected.difference(found).count();
        self.line(n_missing == 0, text);
        if n_missing > 0 {
            println!("          {n_missing} missing, such as {}", missing.join(", "));
        }
    }
}

/// Checks the installation; an equation that does not hold is our failure.
pub(crate) async fn audit(config: &Config) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let lake = Lake::open_read_only(&config.lake.dir)?;
    let mut report = Report::default();

    println!("counters (kept in the same transaction as each position)");
    let stages = Stages::load(&store).await?;
    stages.check(&mut report, &lake)?;

    println!("ledger");
    check_ledger(&store, &mut report).await?;

    println!("audit log");
    let faults = store.audit_verify().await?;
    report.line(faults.is_none(), "the chain of entries is unbroken");

    match open_bus(config) {
        Ok(bus) => {
            println!("records (the event log, read from its oldest kept record)");
            let log = Log::read(&*bus).await?;
            log.check(&mut report, &stages, &store, &lake).await?;
        }
        Err(why) => {
            println!("records");
            println!("  not read: {why:#}");
            println!("  stop the installation to have them compared one by one");
        }
    }
    if report.n_wrong > 0 {
        anyhow::bail!("{} equations do not hold", report.n_wrong);
    }
    println!("all of it holds");
    Ok(())
}

/// What the lanes say of themselves.
struct Stages {
    counts: BTreeMap<&'static str, Counts>,
    open_calls: u64,
}

impl Stages {
    async fn load(store: &Store) -> anyhow::Result<Self> {
        let mut counts = BTreeMap::new();
        let mut open_calls = 0;
        for (stage, _) in STAGES {
            let mut total = Counts::default();
            for lane in store.load_lanes(stage).await? {
                for (key, value) in &lane.state {
                    if key == COUNTS_KEY {
                        total.add(Counts::from_bytes(value).context("read the counters of a lane")?);
                    } else if stage == "mediator" && mediator::is_open_call_key(key) {
                        open_calls += 1;
                    }
                }
            }
            counts.insert(stage, total);
        }
        Ok(Self { counts, open_calls })
    }

    fn of(&self, stage: &str) -> Counts {
        self.counts.get(stage).copied().unwrap_or_default()
    }

    fn check(&self, report: &mut Report, lake: &Lake) -> anyhow::Result<()> {
        let (mediator, rating) = (self.of("mediator"), self.of("rating"));
        let (ledger, exports, fraud) = (self.of("ledger"), self.of("exports"), self.of("fraud"));
        let ended = mediator.cdrs_out + self.open_calls + mediator.suspended;
        report.line(
            mediator.attempts_in <= ended,
            &format!(
                "{} calls = {} CDRs + {} open + {} suspended",
                mediator.attempts_in, mediator.cdrs_out, self.open_calls, mediator.suspended
            ),
        );
        let cdrs = rating.cdrs_in + rating.revisions_in;
        report.line(
            cdrs == rating.rated_out + rating.suspended,
            &format!("{cdrs} CDRs = {} rated + {} suspended", rating.rated_out, rating.suspended),
        );
        let written = mediator.cdrs_out + mediator.revisions_out;
        report.line(cdrs <= written, &format!("{cdrs} of {written} CDRs have reached rating"));
        let rows = lake.count_rows()?;
        report.line(
            rows <= rating.rated_out,
            &format!("{rows} of {} rated calls are in the lake", rating.rated_out),
        );
        report.line(
            exports.rated_in <= rating.rated_out && exports.exports_system <= exports.rated_in,
            &format!(
                "{} of {} rated calls have reached the exports; {} queued for the operator's own file",
                exports.rated_in, rating.rated_out, exports.exports_system
            ),
        );
        report.line(
            fraud.rated_in <= rating.rated_out,
            &format!("{} of {} rated calls have reached the fraud desk", fraud.rated_in, rating.rated_out),
        );
        report.line(
            ledger.postings_in == ledger.posted && ledger.postings_in <= rating.postings_out,
            &format!("{} of {} postings are in the ledger", ledger.posted, rating.postings_out),
        );
        Ok(())
    }
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

/// What lies on the bus, by identity; the same record appended twice by a replay counts once.
#[derive(Default)]
struct Log {
    calls: BTreeSet<CdrId>,
    cdrs: BTreeSet<Version>,
    rated: BTreeSet<Version>,
    postings: BTreeSet<PostingId>,
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
    async fn read(bus: &dyn Bus) -> anyhow::Result<Self> {
        let mut log = Log::default();
        for topic in [Topic::Calls, Topic::Cdrs, Topic::Rated, Topic::Postings] {
            for partition in 0..bus.partitions() {
                let (mut from, end) = bus.range(topic, partition).await?;
                while from < end {
                    let batch = bus.read(topic, partition, from, READ_MAX).await?;
                    for stored in &batch.records {
                        // What cannot be read is in suspense, and counted there.
                        if let Ok(record) = model::wire::decode(&stored.payload) {
                            log.saw(&record.body);
                        }
                    }
                    from = batch.next;
                }
            }
        }
        Ok(log)
    }

    fn saw(&mut self, body: &Body) {
        match body {
            Body::Call(event) => {
                if let (model::EventBody::Attempt(_), Some(call)) = (&event.body, &event.call) {
                    self.calls.insert(CdrId::derive(call, event.leg));
                }
            }
            Body::Cdr(cdr) => {
                self.cdrs.insert(Version(cdr.id, cdr.revision));
            }
            Body::Rated(rated) => {
                self.rated.insert(Version(rated.cdr.id, rated.cdr.revision));
            }
            Body::Posting(posting) => {
                self.postings.insert(posting.id);
            }
            Body::Tick(_) | Body::Edr(_) | Body::Control(_) => {}
        }
    }

    async fn check(
        &self,
        report: &mut Report,
        stages: &Stages,
        store: &Store,
        lake: &Lake,
    ) -> anyhow::Result<()> {
        let suspended: BTreeSet<CdrId> = store
            .suspense_list(0, u32::MAX)
            .await?
            .iter()
            .filter_map(|record| record.suspended.cdr)
            .collect();

        let with_cdr: BTreeSet<CdrId> = self.cdrs.iter().map(|version| version.0).collect();
        let without: BTreeSet<CdrId> = self.calls.difference(&with_cdr).copied().collect();
        let n_without = without.difference(&suspended).count() as u64;
        report.line(
            n_without <= stages.open_calls,
            &format!(
                "{} calls: all but {n_without} have a CDR or are in suspense; {} are open",
                self.calls.len(),
                stages.open_calls
            ),
        );
        let rated_or_suspended: BTreeSet<Version> = self
            .cdrs
            .iter()
            .filter(|version| self.rated.contains(version) || suspended.contains(&version.0))
            .copied()
            .collect();
        report.covered(
            &self.cdrs,
            &rated_or_suspended,
            &format!("{} CDRs: each is rated ({}) or in suspense", self.cdrs.len(), self.rated.len()),
        );

        let rows = lake_rows(lake).await?;
        let in_lake: BTreeSet<Version> = rows.iter().copied().collect();
        report.line(rows.len() == in_lake.len(), &format!("{} rows of the lake: no call twice", rows.len()));
        report.covered(
            &self.rated,
            &in_lake,
            &format!("{} rated calls: each is in the lake", self.rated.len()),
        );

        let queued: BTreeSet<Version> = store
            .export_calls("system")
            .await?
            .into_iter()
            .map(|(cdr, revision)| Version(cdr, revision))
            .collect();
        report.covered(
            &self.rated,
            &queued,
            &format!("{} rated calls: each is queued for the operator's file", self.rated.len()),
        );

        let posted: BTreeSet<PostingId> = store.posting_ids().await?.into_iter().collect();
        report.covered(
            &self.postings,
            &posted,
            &format!("{} postings: each is in the ledger", self.postings.len()),
        );
        Ok(())
    }
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
