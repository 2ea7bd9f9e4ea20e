//! Turns waiting calls into files: plan in the database, write, then mark as written.
//!
//! The plan fixes sequence, name, rows and format in one transaction; a crash before the file is marked writes the same bytes under
//! the same name again. So there is no gap, no double, and a partner never sees half a file. Files are closed by the clock, when
//! enough calls wait, or by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use exports::flapping::{Fate, Flapping, settle};
use exports::{
    Buffers, Contents, Digest, EDR_STREAM, Event, ExportConfig, ExportsError, FileSpec, Format, Owner,
    Queued, Rendered, Series, Stream, Streams, Subject, Way, digest_of,
};
use lake::Lake;
use model::{AccountKind, AccountStatus, Body, Directory, Edr, Record};
use store::{
    ChooseCalls, ExportCall, ExportFile, ExportPlan, ExportReport, KeptFormat, NewMail, Store, ToldEdr,
};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

mod again;

pub(crate) use again::{Source, again};

/// A file that is there for its owner to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) series: Series,
    pub(crate) path: PathBuf,
    pub(crate) n_rows: usize,
}

/// In the export directory; held by the process that closes files.
const LOCK: &str = ".lock";

/// After a failure the clock waits so long before it tries again: a full disk does not empty itself within a second.
const PAUSE_AFTER_FAILURE: TimeDelta = TimeDelta::seconds(30);

/// Files written side by side at most: as many checksums a core works out at once.
const BESIDE_MAX: usize = 16;
/// And calls in them together, a kilobyte each, which are in memory until their files are on disk, twice as many while the next ones are
/// read. A file of more is written by itself.
const BESIDE_ROWS_MAX: u64 = 100_000;

/// Everything needed to close files.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) directory: Arc<Directory>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) config: ExportConfig,
    /// From which files are made again; `None` where there is no lake.
    pub(crate) lake: Option<Arc<Lake>>,
}

/// Finishes what a crash left planned, then closes a file for every series with calls waiting. One process does so at a time:
/// another waits, and then finds what is left. A series whose file cannot be written does not keep the others from theirs.
pub(crate) async fn close_all(desk: &Desk, now: DateTime<Utc>) -> anyhow::Result<Vec<Written>> {
    let dir = desk.config.dir.clone();
    let _alone = tokio::task::spawn_blocking(move || lock(&dir)).await??;
    let mut round = Round::new(desk, now);
    round.finish_planned().await?;
    for (name, _) in desk.store.export_waiting().await? {
        round.close(&name, None).await;
    }
    round.close_edrs(false).await?;
    round.end().await
}

/// Closes files by the clock.
#[derive(Default)]
pub(crate) struct Schedule {
    not_before: Option<DateTime<Utc>>,
}

impl Schedule {
    /// Closes what is due, or full. Asked once a second; nothing is locked or written when nothing is to be done.
    pub(crate) async fn tick(&mut self, desk: &Desk, now: DateTime<Utc>) -> anyhow::Result<()> {
        if self.not_before.is_some_and(|not_before| now < not_before) {
            return Ok(());
        }
        let result = close_due(desk, now).await;
        self.not_before = result.is_err().then(|| now + PAUSE_AFTER_FAILURE);
        result
    }
}

async fn close_due(desk: &Desk, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut due = BTreeMap::new();
    let edr = desk.streams.edr().map(|(stream, _)| stream);
    for stream in desk.streams.iter().chain(edr).filter(|stream| stream.config.enabled) {
        let name = stream.config.name.as_str();
        match desk.store.export_ran_at(name).await? {
            // The first interval of a new stream is a whole one.
            None => desk.store.export_set_ran_at(name, now).await?,
            // A clock that was set back must not stop the files for as long.
            Some(ran_at) if ran_at > now => desk.store.export_set_ran_at(name, now).await?,
            Some(ran_at) => {
                let at = stream.due_after(ran_at);
                if now >= at {
                    due.insert(name, at);
                }
            }
        }
    }
    let waiting = desk.store.export_waiting().await?;
    let full: Vec<&(String, u64)> = waiting
        .iter()
        .filter(|(name, n_calls)| {
            stream_of(desk, name).is_some_and(|stream| {
                stream.config.enabled && *n_calls >= u64::from(stream.config.max_rows_per_file)
            })
        })
        .collect();
    if due.is_empty() && full.is_empty() && desk.store.export_unfinished().await?.is_empty() {
        return Ok(());
    }
    let dir = desk.config.dir.clone();
    let _alone = tokio::task::spawn_blocking(move || lock(&dir)).await??;
    let mut round = Round::new(desk, now);
    round.finish_planned().await?;
    for (name, _) in full {
        // Full files only: what is left over waits for its time.
        round.close(name, stream_of(desk, name).map(|stream| stream.config.max_rows_per_file)).await;
    }
    for (name, at) in due {
        let Some(stream) = desk.streams.named(name) else { continue };
        if name == EDR_STREAM {
            round.close_edrs(stream.config.write_empty).await?;
            desk.store.export_set_ran_at(name, now).await?;
            continue;
        }
        for (series, _) in &waiting {
            if series.parse::<Series>().is_ok_and(|series| is_of(&series, name)) {
                round.close(series, None).await;
            }
        }
        if stream.config.write_empty {
            round.close_empty(stream, at).await?;
        }
        desk.store.export_set_ran_at(name, now).await?;
    }
    round.end().await.map(|_| ())
}

/// Whether the series is the stream's, its corrections included.
fn is_of(series: &Series, stream: &str) -> bool {
    series.stream == stream || series.corrected().is_some_and(|corrected| corrected.stream == stream)
}

fn stream_of<'a>(desk: &'a Desk, series: &str) -> Option<&'a Stream> {
    desk.streams.named(&series.parse::<Series>().ok()?.stream)
}

/// Files that are being written: whose, and what becomes of them.
struct Publishing {
    owners: Vec<String>,
    outcome: JoinHandle<Vec<(ExportFile, anyhow::Result<Published>)>>,
}

/// One pass over the queues.
struct Round<'a> {
    desk: &'a Desk,
    now: DateTime<Utc>,
    written: Vec<Written>,
    failed: Option<anyhow::Error>,
    /// Numbers are written in their order: whoever has one unwritten gets no further.
    stuck: BTreeSet<String>,
    formats: BTreeMap<String, Arc<Format>>,
    /// Descriptions that the database has.
    kept: BTreeSet<String>,
    /// Planned and not yet written, in the order of their numbers.
    waiting: Vec<ExportFile>,
    /// Those before them, while they are written.
    publishing: Option<Publishing>,
    /// In which those before them were.
    buffers: Buffers,
}

impl<'a> Round<'a> {
    fn new(desk: &'a Desk, now: DateTime<Utc>) -> Self {
        Self {
            desk,
            now,
            written: Vec::new(),
            failed: None,
            stuck: BTreeSet::new(),
            formats: BTreeMap::new(),
            kept: BTreeSet::new(),
            waiting: Vec::new(),
            publishing: None,
            buffers: Buffers::default(),
        }
    }

    /// The first failure is the answer; all are logged.
    fn note(&mut self, series: &str, why: anyhow::Error) {
        error!(series, error = format!("{why:#}"), "an export file could not be written");
        self.stuck.insert(series.to_owned());
        self.failed.get_or_insert(why);
    }

    async fn end(mut self) -> anyhow::Result<Vec<Written>> {
        self.write_waiting().await;
        self.note_published().await;
        match self.failed {
            None => Ok(self.written),
            Some(why) => Err(why),
        }
    }

    async fn finish_planned(&mut self) -> anyhow::Result<()> {
        for file in self.desk.store.export_unfinished().await? {
            self.write(file).await;
        }
        // Before anything new is planned.
        self.write_waiting().await;
        self.note_published().await;
        Ok(())
    }

    /// Closes the files of one series; with `at_least` only those that have so many calls.
    async fn close(&mut self, name: &str, at_least: Option<u32>) {
        if self.stuck.contains(name) {
            return;
        }
        if let Err(why) = self.try_close(name, at_least).await {
            self.note(name, why);
        }
    }

    async fn try_close(&mut self, name: &str, at_least: Option<u32>) -> anyhow::Result<()> {
        let series: Series = name.parse()?;
        let Some(stream) = self.desk.streams.named(&series.stream) else {
            warn!(series = name, "calls wait for a stream that is no longer configured");
            return Ok(());
        };
        if !stream.config.enabled {
            return Ok(());
        }
        // Planned calls may turn out to be corrections, which have a row of files of their own.
        self.close_plain(&series, stream, at_least).await?;
        if let Some(corrections) = stream.corrections_of(&series)
            && let Some(stream) = self.desk.streams.named(&corrections.stream)
        {
            self.close_plain(&corrections, stream, None).await?;
        }
        Ok(())
    }

    async fn close_plain(
        &mut self,
        series: &Series,
        stream: &Stream,
        at_least: Option<u32>,
    ) -> anyhow::Result<()> {
        let name = &series.to_string();
        loop {
            if self.stuck.contains(name) {
                return Ok(());
            }
            if let Some(at_least) = at_least
                && self.desk.store.export_waiting_for(name).await? < u64::from(at_least)
            {
                return Ok(());
            }
            match self.plan(series, stream, false).await? {
                Some(file) => self.write(file).await,
                None => return Ok(()),
            }
        }
    }

    /// A sign of life for everybody who had no calls since the last time.
    async fn close_empty(&mut self, stream: &Stream, due: DateTime<Utc>) -> anyhow::Result<()> {
        let latest: BTreeMap<_, _> = self.desk.store.export_latest_times().await?.into_iter().collect();
        for account in &self.desk.directory.accounts {
            let owner = match account.kind {
                AccountKind::Reseller => Owner::Reseller(account.id),
                AccountKind::Carrier => Owner::Carrier(account.id),
                AccountKind::Customer => continue,
            };
            if account.status == AccountStatus::Terminated || !stream.has(owner, &self.desk.directory) {
                continue;
            }
            let ways: &[Option<Way>] =
                if stream.config.by_direction { &[Some(Way::Out), Some(Way::In)] } else { &[None] };
            for way in ways {
                let series = Series { stream: stream.config.name.clone(), owner, way: *way };
                let name = series.to_string();
                let has_one = latest.get(&name).is_some_and(|at| *at >= due);
                if has_one || self.stuck.contains(&name) {
                    continue;
                }
                match self.plan(&series, stream, true).await {
                    Ok(Some(file)) => self.write(file).await,
                    Ok(None) => {}
                    Err(why) => self.note(&name, why),
                }
            }
        }
        Ok(())
    }

    /// Closes the files of events of every owner; with `also_empty` those of resellers who had none too. The reference writes the
    /// operator no empty file (billing-reference 7.5).
    async fn close_edrs(&mut self, also_empty: bool) -> anyhow::Result<()> {
        let edr = self.desk.streams.edr().filter(|(stream, _)| stream.config.enabled);
        let Some((stream, flapping)) = edr else { return Ok(()) };
        let mut owners: BTreeSet<Owner> = BTreeSet::new();
        for owner in self.desk.store.edr_owners_waiting().await? {
            owners.insert(owner.parse()?);
        }
        let resellers = self.desk.directory.accounts.iter().filter(|account| {
            account.kind == AccountKind::Reseller && account.status != AccountStatus::Terminated
        });
        let all: BTreeSet<Owner> = resellers.map(|account| Owner::Reseller(account.id)).collect();
        if also_empty {
            owners.extend(all);
        }
        for owner in owners {
            if !stream.has(owner, &self.desk.directory) {
                continue;
            }
            let series = Series { stream: stream.config.name.clone(), owner, way: None };
            if self.stuck.contains(&series.to_string()) {
                continue;
            }
            let may_be_empty = also_empty && owner != Owner::System;
            if let Err(why) = self.close_edrs_of(&series, stream, flapping, may_be_empty).await {
                self.note(&series.to_string(), why);
            }
        }
        Ok(())
    }

    async fn close_edrs_of(
        &mut self,
        series: &Series,
        stream: &Stream,
        flapping: Flapping,
        may_be_empty: bool,
    ) -> anyhow::Result<()> {
        let (desk, now) = (self.desk, self.now);
        let directory = desk.directory.clone();
        let (format, viewer) = (stream.format(series.owner).clone(), series.owner);
        let told = move |edrs: &[Edr]| -> Vec<Option<ToldEdr>> {
            let company_of = |account: model::AccountId| {
                directory
                    .accounts
                    .iter()
                    .find(|known| known.id == account)
                    .map_or("", |known| known.contact.name.as_str())
            };
            let fates = settle(edrs, flapping);
            edrs.iter()
                .zip(fates)
                .map(|(edr, fate)| {
                    let edr = match fate {
                        Fate::Keep => edr.clone(),
                        Fate::KeepAs(other) => *other,
                        Fate::Filtered => return None,
                    };
                    let event = Event { company: company_of(edr.account).to_owned(), edr };
                    if !format.wants_event(viewer, &event) {
                        return None;
                    }
                    let shown =
                        model::wire::encode(&Record { origin: None, body: Body::Edr(Box::new(event.edr)) });
                    Some(ToldEdr { shown, company: event.company })
                })
                .collect()
        };
        let queue = series.owner.to_string();
        let mut may_be_empty = may_be_empty;
        loop {
            let named = |sequence| stream.file_path(series, sequence, now, None, &desk.directory);
            let file = self
                .with_plan(series, stream, may_be_empty, async |plan| {
                    Ok(desk.store.edr_plan(plan, &queue, &told, named).await?)
                })
                .await?;
            let Some(file) = file else { return Ok(()) };
            may_be_empty = false;
            self.write(file).await;
            if self.stuck.contains(&series.to_string()) {
                return Ok(());
            }
        }
    }

    /// What a file of the series is planned with.
    async fn with_plan<T>(
        &mut self,
        series: &Series,
        stream: &Stream,
        may_be_empty: bool,
        work: impl AsyncFnOnce(ExportPlan<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let desk = self.desk;
        let format = stream.format(series.owner);
        let description = format.to_toml();
        let hash = digest_of(Digest::Sha256, description.as_bytes());
        if !self.kept.contains(&hash) {
            let kept = KeptFormat { name: format.name().to_owned(), description };
            desk.store.export_keep_format(&hash, &kept).await?;
            self.kept.insert(hash.clone());
        }
        let owner_name = exports::owner_name(series.owner, &desk.directory);
        let zone = stream.zone(series.owner, &desk.directory);
        let key = series.to_string();
        let corrections = stream.corrections_of(series).map(|series| series.to_string());
        work(ExportPlan {
            owner: &key,
            rows_max: stream.config.max_rows_per_file,
            now: self.now,
            format: &hash,
            zone: zone.name(),
            owner_name: &owner_name,
            may_be_empty,
            corrections: corrections.as_deref(),
        })
        .await
    }

    async fn plan(
        &mut self,
        series: &Series,
        stream: &Stream,
        may_be_empty: bool,
    ) -> anyhow::Result<Option<ExportFile>> {
        let (desk, now) = (self.desk, self.now);
        let of_one_day = |payloads: &[Vec<u8>]| {
            let start_of =
                |payload: &Vec<u8>| model::wire::decode_rated(payload).ok().map(|rated| rated.cdr.start_at);
            let starts: Vec<_> = payloads.iter().map(start_of).collect();
            let first = starts.iter().flatten().min().copied();
            let day_of = |at| stream.day_of(at, series.owner, &desk.directory);
            // One that cannot be read is in the next file, which then says so.
            let is_of_it = |start: &Option<DateTime<Utc>>| match (start, first) {
                (Some(start), Some(first)) => day_of(*start) == day_of(first),
                (None, _) | (_, None) => true,
            };
            (first, starts.iter().map(is_of_it).collect())
        };
        let choose: Option<&ChooseCalls<'_>> = if stream.config.by_day { Some(&of_one_day) } else { None };
        let named = |sequence, day| stream.file_path(series, sequence, now, day, &desk.directory);
        self.with_plan(series, stream, may_be_empty, async |plan| {
            Ok(desk.store.export_plan(plan, choose, named).await?)
        })
        .await
    }

    /// Writes a planned file, beside others: now, or when there are enough of them.
    async fn write(&mut self, file: ExportFile) {
        self.waiting.push(file);
        let n_rows: u64 = self.waiting.iter().map(|file| file.n_rows).sum();
        if self.waiting.len() >= BESIDE_MAX || n_rows >= BESIDE_ROWS_MAX {
            self.write_waiting().await;
        }
    }

    /// Writes the files that wait for it, while the next ones are planned and read. One that cannot be written stays planned, and with
    /// it those of its series after it.
    async fn write_waiting(&mut self) {
        let (mut filled, mut failed) = (Vec::<Filled>::new(), BTreeMap::new());
        for file in std::mem::take(&mut self.waiting) {
            if self.stuck.contains(&file.owner) || failed.contains_key(&file.owner) {
                continue;
            }
            let owner = file.owner.clone();
            match self.fill(file).await {
                Ok(file) => filled.push(file),
                Err(why) => {
                    failed.insert(owner, why);
                }
            }
        }
        // Numbers are published in their order: first it must be known what became of those before.
        self.note_published().await;
        filled.retain(|file| !self.stuck.contains(&file.file.owner));
        // What was filled before one that could not be goes out.
        for (owner, why) in failed {
            self.note(&owner, why);
        }
        if filled.is_empty() {
            return;
        }
        let config = self.desk.config.clone();
        let owners = filled.iter().map(|file| file.file.owner.clone()).collect();
        let buffers = self.buffers.clone();
        let outcome = tokio::task::spawn_blocking(move || publish_all(&config, filled, &buffers));
        self.publishing = Some(Publishing { owners, outcome });
    }

    /// Waits for the files that are being written, and notes what became of them.
    async fn note_published(&mut self) {
        let Some(Publishing { owners, outcome }) = self.publishing.take() else { return };
        let done = match outcome.await {
            Ok(done) => done,
            Err(why) => {
                // They stay planned.
                self.stuck.extend(owners.iter().cloned());
                return self.note(&owners.join(", "), why.into());
            }
        };
        let mut on_disk = Vec::new();
        for (file, published) in done {
            let owner = file.owner.clone();
            match self.told(file, published).await {
                Ok(file) => on_disk.push(file),
                Err(why) => self.note(&owner, why),
            }
        }
        let reports: Vec<ExportReport<'_>> = on_disk
            .iter()
            .map(|(file, published)| ExportReport {
                file: file.id,
                n_bytes: published.n_bytes,
                md5: &published.md5,
                sha256: &published.sha256,
            })
            .collect();
        if let Err(why) = self.desk.store.export_written(&reports).await {
            // All of them are written again, with the same bytes.
            self.stuck.extend(owners.iter().cloned());
            return self.note(&owners.join(", "), why.into());
        }
        for (file, published) in on_disk {
            let Published { series, path, n_rows, .. } = published;
            info!(%series, file = file.name, rows = n_rows, "export file written");
            self.written.push(Written { series, path, n_rows });
        }
    }

    /// A planned file with what goes into it.
    async fn fill(&mut self, file: ExportFile) -> anyhow::Result<Filled> {
        let doing = || format!("write the export file {}", file.name);
        let series: Series = file.owner.parse()?;
        let format = self.format_of(&file, &series).await.with_context(doing)?;
        let corrected = series.corrected().map(|series| series.to_string());
        let calls = self.desk.store.export_queue(file.id, corrected.as_deref()).await.with_context(doing)?;
        Filled::load(self.desk, &file, series, format, calls).await.with_context(doing)
    }

    /// Tells of the corrections in a file, before it counts as written: after a crash it is told twice rather than never.
    async fn told(
        &self,
        file: ExportFile,
        published: anyhow::Result<Published>,
    ) -> anyhow::Result<(ExportFile, Published)> {
        let published = published.with_context(|| format!("write the export file {}", file.name))?;
        if published.series.corrected().is_some() {
            self.tell_of_corrections(&file, &published.series, &published.path).await?;
        }
        Ok((file, published))
    }

    /// A mail with the report to those who keep the books.
    async fn tell_of_corrections(
        &self,
        file: &ExportFile,
        series: &Series,
        path: &Path,
    ) -> anyhow::Result<()> {
        let to = &self.desk.config.corrections_to;
        if to.is_empty() {
            return Ok(());
        }
        let owner = exports::owner_name(series.owner, &self.desk.directory);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = format!(
            "{} calls of {owner} were corrected after they had gone out in its CDR files. Their old and new records are in the \
             report number {}, {name}, which is attached and lies in `corrections/` beside the files.\n\n\
             Two records of one call add up to the difference. `tollbook explain RECORD` shows how each came to its price.\n",
            file.n_rows, file.sequence,
        );
        let mail = NewMail {
            to: to.clone(),
            subject: format!("{} calls of {owner} were corrected after export", file.n_rows),
            text,
            attachments: vec![(name, "text/csv".to_owned(), std::fs::read(path)?)],
            about: format!("export:{series}:{}", file.sequence),
        };
        self.desk.store.mail_enqueue(&mail, self.now).await.context("queue the mail about corrections")?;
        Ok(())
    }

    /// The format that the file was planned with, whatever is configured now.
    async fn format_of(&mut self, file: &ExportFile, series: &Series) -> anyhow::Result<Arc<Format>> {
        if let Some(found) = file.format.as_ref().and_then(|hash| self.formats.get(hash)) {
            return Ok(found.clone());
        }
        let format = Arc::new(load_format_of(self.desk, file, series).await?);
        if let Some(hash) = &file.format {
            self.formats.insert(hash.clone(), format.clone());
        }
        Ok(format)
    }
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let doing = || format!("lock the export directory {}", dir.display());
    std::fs::create_dir_all(dir).with_context(doing)?;
    let file =
        File::options().create(true).write(true).truncate(false).open(dir.join(LOCK)).with_context(doing)?;
    // Given back when the file is closed, also by a crash.
    file.lock().with_context(doing)?;
    Ok(file)
}

async fn load_format_of(desk: &Desk, file: &ExportFile, series: &Series) -> anyhow::Result<Format> {
    let Some(hash) = &file.format else {
        // Planned by a version that did not keep it.
        let stream = desk.streams.named(&series.stream).context("its stream is no longer configured")?;
        return Ok(stream.format(series.owner).clone());
    };
    let kept = desk.store.export_format(hash).await?.context("its format is not in the database")?;
    Ok(Format::parse(&kept.name, &kept.description)?)
}

/// A planned file and what goes into it: its bytes are the same whenever they are asked for.
struct Filled {
    file: ExportFile,
    series: Series,
    format: Arc<Format>,
    zone: chrono_tz::Tz,
    calls: Vec<ExportCall>,
    events: Vec<Event>,
}

impl Filled {
    async fn load(
        desk: &Desk,
        file: &ExportFile,
        series: Series,
        format: Arc<Format>,
        calls: Vec<ExportCall>,
    ) -> anyhow::Result<Self> {
        let mut events = Vec::new();
        if format.subject() == Subject::Events {
            for told in desk.store.edr_file_rows(file.id).await? {
                let record = model::wire::decode(&told.shown)
                    .context("an event that was queued for it cannot be read")?;
                let Body::Edr(edr) = record.body else { anyhow::bail!("what was queued for it is no event") };
                events.push(Event { edr: *edr, company: told.company });
            }
        }
        let stream = desk.streams.named(&series.stream);
        let zone = match &file.zone {
            Some(zone) => {
                zone.parse().with_context(|| format!("the zone {zone:?} of the file is not known"))?
            }
            None => stream.map_or(chrono_tz::UTC, |stream| stream.zone(series.owner, &desk.directory)),
        };
        Ok(Self { file: file.clone(), series, format, zone, calls, events })
    }
}

/// The bytes of files, worked out beside each other.
fn render(filled: &[Filled], buffers: &Buffers) -> Vec<Result<Rendered, ExportsError>> {
    let queued: Vec<Vec<Queued<'_>>> = filled
        .iter()
        .map(|filled| {
            let calls = filled.calls.iter();
            calls.map(|call| Queued { call: &call.payload, earlier: call.earlier.as_deref() }).collect()
        })
        .collect();
    let files: Vec<(FileSpec<'_>, Contents<'_>)> = filled
        .iter()
        .zip(&queued)
        .map(|(filled, queued)| {
            let Filled { file, series, format, .. } = filled;
            let spec = FileSpec {
                format,
                owner: series.owner,
                owner_name: file.owner_name.as_deref().unwrap_or_default(),
                stream: if series.stream.is_empty() { "main" } else { &series.stream },
                way: series.way.map_or("", Way::as_str),
                name: &file.name,
                sequence: file.sequence,
                created_at: file.created_at,
                day: file.day,
                zone: filled.zone,
            };
            let contents = match format.subject() {
                Subject::Calls => Contents::Queued(queued),
                Subject::Events => Contents::Events(&filled.events),
            };
            (spec, contents)
        })
        .collect();
    exports::render_all_into(&files, buffers)
}

/// A file that is on disk.
struct Published {
    series: Series,
    path: PathBuf,
    n_rows: usize,
    n_bytes: u64,
    md5: String,
    sha256: String,
}

/// Renders files side by side. If the program fails on one of them, one by one: it holds up its own series alone.
fn render_each(filled: &[Filled], buffers: &Buffers) -> Vec<anyhow::Result<Rendered>> {
    if let Ok(rendered) = catch_unwind(AssertUnwindSafe(|| render(filled, buffers))) {
        return rendered.into_iter().map(|rendered| rendered.map_err(Into::into)).collect();
    }
    let alone = |file: &Filled| {
        let rendered = catch_unwind(AssertUnwindSafe(|| render(std::slice::from_ref(file), buffers).pop()));
        let failed =
            || anyhow::anyhow!("the program failed on {}; please report it with the log", file.file.name);
        rendered.ok().flatten().ok_or_else(failed)?.map_err(Into::into)
    };
    filled.iter().map(alone).collect()
}

/// Publishes files in the order of their numbers; what comes after one that could not be is left for later, and not in the
/// answer.
fn publish_all(
    config: &ExportConfig,
    filled: Vec<Filled>,
    buffers: &Buffers,
) -> Vec<(ExportFile, anyhow::Result<Published>)> {
    let rendered = render_each(&filled, buffers);
    let (mut done, mut stuck) = (Vec::new(), BTreeSet::new());
    for (filled, rendered) in filled.into_iter().zip(rendered) {
        if stuck.contains(&filled.file.owner) {
            continue;
        }
        let published = rendered.and_then(|rendered| {
            let (path, n_bytes, md5, sha256) = publish(config, &rendered, &filled.format)?;
            buffers.give_back(rendered.bytes);
            Ok(Published { series: filled.series, path, n_rows: rendered.rows, n_bytes, md5, sha256 })
        });
        if published.is_err() {
            stuck.insert(filled.file.owner.clone());
        }
        done.push((filled.file, published));
    }
    done
}

/// Writes the file, unless a crash came after it was published: then it is there, whole, and perhaps fetched. It stays as it is even
/// when the program has changed since.
fn publish(
    config: &ExportConfig,
    rendered: &Rendered,
    format: &Format,
) -> anyhow::Result<(PathBuf, u64, String, String)> {
    let published = |bytes: &[u8]| {
        exports::publish_as(&config.dir, &config.archive, &rendered.name, bytes, config.file_access()?)
    };
    match published(&rendered.bytes) {
        Ok(path) => Ok((path, rendered.bytes.len() as u64, rendered.md5.clone(), rendered.sha256.clone())),
        Err(ExportsError::Differs { path }) => {
            let bytes = std::fs::read(&path)?;
            let found = format.check(&exports::unpacked(bytes.clone())?);
            if !found.is_good() || found.rows != rendered.rows as u64 {
                return Err(ExportsError::Differs { path }.into());
            }
            let path = published(&bytes)?;
            warn!(file = %path.display(), "published before a crash, and left as it was then");
            let md5 = found.digests.into_iter().find(|(kind, _)| *kind == Digest::Md5).map(|(_, md5)| md5);
            let md5 = md5.unwrap_or_else(|| digest_of(Digest::Md5, &bytes));
            let sha256 = digest_of(Digest::Sha256, &bytes);
            Ok((path, bytes.len() as u64, md5, sha256))
        }
        Err(why) => Err(why.into()),
    }
}

#[cfg(test)]
mod tests;
