//! Export streams, ready to be used: whose files, in which format, named how, closed when.
//!
//! In: the section `[exports]` with its `[[exports.streams]]`. Out: [`Streams`], in which every format has been read
//! and every name pattern checked. Each stream has its own queue and sequences, so that one in trouble holds up no
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use model::wire::view::PartyView;
use model::{Directory, Tenant, TenantId};

use crate::config::{Corrections, RecordId, Start, StreamConfig};
use crate::fact::Row;
use crate::flapping::Flapping;
use crate::format::template::{Known, Place, Template, Token};
use crate::format::{DELIVERED, Format, Subject, ZoneClock, delivered};
use crate::series::{CORRECTIONS, MAIN};
use crate::{ExportConfig, ExportsError, Owner, Series, Way, owner_dir};

/// Streams at most: each queues every call once more.
pub const STREAMS_MAX: usize = 32;

/// The name of the stream of event detail records.
pub const EDR_STREAM: &str = "edr";

/// The stage of the main stream; those of the others have its name and theirs.
const MAIN_STAGE: &str = "exports";

/// All streams of an installation: the main one and those of `[[exports.streams]]`.
#[derive(Debug, Clone)]
pub struct Streams {
    all: Vec<Stream>,
    /// Of those whose formats have no word for a correction.
    corrections: Vec<Stream>,
    /// Of event detail records, with its filters.
    edr: Option<(Stream, Flapping)>,
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its settings; the main stream's are those of `[exports]`. Its name is empty for the main one.
    pub config: StreamConfig,
    prefix: String,
    file_name: Template,
    /// For the operator, resellers and carriers.
    formats: [Format; 3],
    owners: BTreeSet<Pick>,
}

/// Which owners a stream has files for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Pick {
    System,
    Resellers,
    Carriers,
    /// The account of this handle, whatever it is.
    Account(String),
}

impl Streams {
    /// Reads the formats and checks what depends on them. Formats in files are read here.
    ///
    /// # Errors
    ///
    /// [`ExportsError::Config`], [`ExportsError::Format`] with file and line, and [`ExportsError::Io`].
    pub fn load(config: &ExportConfig) -> Result<Self, ExportsError> {
        config.check()?;
        if config.streams.len() >= STREAMS_MAX {
            return Err(ExportsError::Config {
                key: "streams",
                value: config.streams.len().to_string(),
                allowed: "31 streams at most",
            });
        }
        let mut all = vec![main_stream(config)?];
        let mut patterns = BTreeMap::from([(all[0].config.file_name.clone(), String::new())]);
        for stream in &config.streams {
            let ready = Stream::load(stream, &config.prefix)?;
            if all.iter().any(|other: &Stream| other.config.name == stream.name) {
                return Err(refused(stream, "name", &stream.name, "a name that no other stream has"));
            }
            if patterns.insert(ready.config.file_name.clone(), stream.name.clone()).is_some() {
                let allowed = "a pattern of its own, such as one with ${stream} in it: two streams cannot write the \
                               same file";
                return Err(refused(stream, "file_name", &stream.file_name, allowed));
            }
            all.push(ready);
        }
        let corrections = all.iter().map(Stream::corrections).collect::<Result<_, _>>()?;
        let edr = config
            .edr
            .as_ref()
            .map(|edr| Ok::<_, ExportsError>((edr_stream(config, edr)?, flapping_of(edr))));
        Ok(Self { all, corrections, edr: edr.transpose()? })
    }

    /// The main stream, then the others in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.all.iter()
    }

    /// The stream of that name; the main one has none. Reports of corrections are streams too.
    pub fn named(&self, name: &str) -> Option<&Stream> {
        let edr = self.edr.iter().map(|(stream, _)| stream);
        self.all.iter().chain(&self.corrections).chain(edr).find(|stream| stream.config.name == name)
    }

    /// The stream of event detail records, with its filters.
    pub fn edr(&self) -> Option<(&Stream, Flapping)> {
        self.edr.as_ref().map(|(stream, flapping)| (stream, *flapping))
    }
}

impl Stream {
    fn load(config: &StreamConfig, prefix: &str) -> Result<Self, ExportsError> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_reserved = matches!(config.name.as_str(), MAIN | EDR_STREAM | "system" | "out" | "in");
        if config.name.is_empty()
            || config.name.len() > 40
            || !config.name.chars().all(is_plain)
            || is_reserved
        {
            let allowed =
                "1 to 40 lowercase letters, digits and dashes, and not main, edr, system, out or in";
            return Err(refused(config, "name", &config.name, allowed));
        }
        let mut formats = load_formats(config)?;
        if config.fragments && formats[0].subject() == Subject::Calls {
            for format in &mut formats {
                *format = format.clone().in_fragments()?;
            }
        }
        if config.in_progress && config.corrections == Corrections::Report && !formats[0].has_reversals() {
            let allowed = "corrections = \"repeat\" beside it, or a format with reversals: the record of the end follows those before it";
            return Err(refused(config, "in_progress", "true", allowed));
        }
        if formats[0].subject() == Subject::Events {
            return Err(refused(
                config,
                "format",
                &config.format,
                "a format of calls; that of events is for [exports.edr]",
            ));
        }
        Self::with_formats(config.clone(), prefix, formats)
    }

    fn with_formats(config: StreamConfig, prefix: &str, formats: [Format; 3]) -> Result<Self, ExportsError> {
        let file_name = Template::parse(&config.file_name, Place::Name, &[]).map_err(|rule| {
            ExportsError::Stream { stream: config.shown_name().to_owned(), key: "file_name", rule }
        })?;
        // Priced again, a call may have fewer fragments, and nothing would tell its reader that the others are void.
        let is_cut = formats.iter().any(|format| format.has_fragments() && !format.has_reversals());
        if is_cut && config.corrections == Corrections::Repeat {
            let allowed = "\"report\", or a format with reversals, beside fragments = true: repeated, a call may have fewer records";
            return Err(refused(&config, "corrections", "repeat", allowed));
        }
        let wrong = |allowed| refused(&config, "file_name", &config.file_name, allowed);
        if !file_name.has(Token::Sequence) {
            return Err(wrong("a pattern with ${sequence:010} in it, or two files would have one name"));
        }
        if config.by_direction && !file_name.has(Token::Way) {
            return Err(wrong("a pattern with ${way} in it, for each direction counts its own files"));
        }
        let parts = config.file_name.split('/');
        if parts.clone().any(|part| part.is_empty() || part.starts_with('.')) || parts.count() > 8 {
            return Err(wrong("a path below the owner's directory, without empty or hidden parts"));
        }
        if config.max_rows_per_file == 0 {
            return Err(refused(&config, "max_rows_per_file", "0", "1 or more"));
        }
        let every = config.every.as_secs();
        if every == 0 || every > 86_400 || config.offset >= config.every {
            return Err(refused(
                &config,
                "every",
                &format!("{:?}, offset {:?}", config.every, config.offset),
                "1s to 24h, and an offset below it",
            ));
        }
        let owners = config
            .owners
            .iter()
            .map(|word| match word.as_str() {
                "system" => Pick::System,
                "resellers" => Pick::Resellers,
                "carriers" => Pick::Carriers,
                handle => Pick::Account(handle.to_owned()),
            })
            .collect::<BTreeSet<_>>();
        if owners.is_empty() {
            return Err(refused(
                &config,
                "owners",
                "[]",
                "\"system\", \"resellers\", \"carriers\" or handles of accounts",
            ));
        }
        Ok(Self { prefix: prefix.to_owned(), file_name, formats, owners, config })
    }

    /// The reports of what is corrected after it went out in files of this stream.
    fn corrections(&self) -> Result<Self, ExportsError> {
        let way = if self.config.by_direction { "${way}_" } else { "" };
        let config = StreamConfig {
            name: format!("{}{CORRECTIONS}", self.config.shown_name()),
            format: "corrections".to_owned(),
            file_name: format!(
                "corrections/${{prefix}}_{}_corrections_${{created:%Y%m%d%H%M%S}}_{way}${{sequence:06}}.${{suffix}}",
                self.config.shown_name()
            ),
            write_empty: false,
            by_day: false,
            ..self.config.clone()
        };
        let format = load_format(&config.format)?;
        Self::with_formats(config, &self.prefix, [format.clone(), format.clone(), format])
    }

    /// Where what corrects a call of an earlier file of `series` goes; `None`: into its files.
    pub fn corrections_of(&self, series: &Series) -> Option<Series> {
        let is_apart =
            self.config.corrections == Corrections::Report && !self.format(series.owner).has_reversals();
        is_apart.then(|| series.corrections())
    }

    /// The name of the stage that queues its calls, in positions and suspense: `exports` for the main one.
    pub fn stage_name(&self) -> String {
        if self.config.name.is_empty() {
            MAIN_STAGE.to_owned()
        } else {
            format!("{MAIN_STAGE}/{}", self.config.name)
        }
    }

    /// How the files of `owner` are written.
    pub fn format(&self, owner: Owner) -> &Format {
        match owner {
            Owner::System => &self.formats[0],
            Owner::Reseller(_) => &self.formats[1],
            Owner::Carrier(_) => &self.formats[2],
        }
    }

    /// Whether the stream has files of `owner`.
    pub fn has(&self, owner: Owner, directory: &Directory) -> bool {
        let kind = match owner {
            Owner::System => Pick::System,
            Owner::Reseller(_) => Pick::Resellers,
            Owner::Carrier(_) => Pick::Carriers,
        };
        self.owners.contains(&kind)
            || self.owners.iter().any(|pick| match pick {
                Pick::System | Pick::Resellers | Pick::Carriers => false,
                Pick::Account(handle) => directory
                    .accounts
                    .iter()
                    .any(|account| Some(account.id) == owner.account() && account.handle == *handle),
            })
    }

    /// Whether `row` belongs into its files.
    pub(crate) fn wants(&self, row: &Row<'_, '_>) -> bool {
        let is_in_time = match self.config.start {
            Start::Now | Start::Oldest => true,
            Start::At(at) => row.call.end_at_us() >= at.timestamp_micros(),
        };
        is_in_time
            && (self.config.incoming || is_outgoing(row))
            && (!self.config.answered_only || row.call.is_answered())
            && self.format(row.viewer).wants(row)
    }

    /// Whether it is the one of `[exports]` itself.
    pub(crate) fn is_main(&self) -> bool {
        self.config.name.is_empty()
    }

    /// Where and under which name a file of `series` is, below the export directory.
    pub fn file_path(
        &self,
        series: &Series,
        sequence: u64,
        created: DateTime<Utc>,
        day: Option<DateTime<Utc>>,
        directory: &Directory,
    ) -> String {
        let format = self.format(series.owner);
        let owner_name = owner_name(series.owner, directory);
        let known = Known {
            rows: 0,
            version: format.version(),
            sequence,
            owner: &owner_name,
            stream: self.config.shown_name(),
            prefix: &self.prefix,
            suffix: format.suffix(),
            way: series.way.map_or("", Way::as_str),
            created,
            day,
            first: None,
            last: None,
            sums: &[],
            points: &[],
            columns: "",
        };
        let mut clock = ZoneClock::new(self.zone_of_names(series.owner, directory));
        let name = self.file_name.fill(&known, &mut clock, |_| String::new());
        format!("{}/{name}", owner_dir(series.owner, directory))
    }

    /// The zone of the stream, else of the format, else of the owner's tenant, else of the first tenant, else UTC.
    pub fn zone(&self, owner: Owner, directory: &Directory) -> Tz {
        let tenant_of = |id: TenantId| directory.tenants.iter().find(|tenant| tenant.id == id);
        let of_owner = || -> Option<&Tenant> {
            let account = owner.account()?;
            tenant_of(directory.accounts.iter().find(|candidate| candidate.id == account)?.tenant)
        };
        let first = || directory.tenants.iter().min_by_key(|tenant| tenant.id);
        self.config
            .zone
            .or(self.format(owner).zone())
            .or_else(|| of_owner().or_else(first).map(|tenant| tenant.timezone))
            .unwrap_or(Tz::UTC)
    }

    fn zone_of_names(&self, owner: Owner, directory: &Directory) -> Tz {
        let account = owner.account().filter(|_| self.config.names_in_owner_zone);
        let account = account.and_then(|id| directory.accounts.iter().find(|account| account.id == id));
        account.map_or_else(|| self.zone(owner, directory), |account| account.timezone)
    }

    /// When files are closed next after `last`: `every` from its offset on, counted from midnight UTC; once a day from
    /// midnight in the stream's own zone, so that a daily file stays at its hour over both clock changes.
    pub fn due_after(&self, last: DateTime<Utc>) -> DateTime<Utc> {
        let every = TimeDelta::from_std(self.config.every).unwrap_or(TimeDelta::days(1));
        let offset = TimeDelta::from_std(self.config.offset).unwrap_or(TimeDelta::zero());
        if every == TimeDelta::days(1) {
            let zone = self.config.zone.or(self.formats[0].zone()).unwrap_or(Tz::UTC);
            let today = last.with_timezone(&zone).date_naive();
            let at = |days: u64| {
                let local = today.checked_add_days(Days::new(days))?.and_time(NaiveTime::MIN) + offset;
                // An hour that the clock skips is an hour later.
                let found = zone.from_local_datetime(&local).earliest();
                let found =
                    found.or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest());
                Some(found?.to_utc())
            };
            return (0..=2).filter_map(at).find(|due| *due > last).unwrap_or(last + every);
        }
        let step = every.num_microseconds().unwrap_or(i64::MAX).max(1);
        let shift = offset.num_microseconds().unwrap_or(0);
        let next = (last.timestamp_micros() - shift).div_euclid(step).saturating_add(1).saturating_mul(step);
        DateTime::from_timestamp_micros(next.saturating_add(shift)).unwrap_or(last + every)
    }

    /// The local day of a moment, for files of one day.
    pub fn day_of(&self, at: DateTime<Utc>, owner: Owner, directory: &Directory) -> chrono::NaiveDate {
        ZoneClock::new(self.zone(owner, directory)).day(at)
    }
}

/// Whether a call is in files without incoming ones (billing-reference 7.5): those whose caller is a customer, for his reseller, for
/// the carrier that took the call, and for us.
fn is_outgoing(row: &Row<'_, '_>) -> bool {
    match (row.call.source.party, row.viewer) {
        (PartyView::Subscriber { reseller, .. }, Owner::Reseller(id)) => reseller == id,
        (PartyView::Subscriber { .. }, Owner::System | Owner::Carrier(_)) => true,
        (PartyView::Trunk { .. } | PartyView::Unknown, _) => false,
    }
}

/// What an owner is called in a file: the handle of its account, or `system`.
pub fn owner_name(owner: Owner, directory: &Directory) -> String {
    match owner.account() {
        None => "system".to_owned(),
        Some(id) => match directory.accounts.iter().find(|account| account.id == id) {
            Some(account) => {
                account.handle.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect()
            }
            None => id.to_string(),
        },
    }
}

/// The format of that name: a delivered one, or the file at that path.
///
/// # Errors
///
/// [`ExportsError::Format`] with file and line; [`ExportsError::Io`]; [`ExportsError::NoFormat`] with the names there
/// are.
pub fn load_format(name: &str) -> Result<Format, ExportsError> {
    if let Some(found) = delivered(name) {
        return Ok(found?);
    }
    let path = Path::new(name);
    if path.extension().is_none_or(|extension| extension != "toml") {
        let known: Vec<&str> = DELIVERED.iter().map(|(known, _)| *known).collect();
        return Err(ExportsError::NoFormat { name: name.to_owned(), known: known.join(", ") });
    }
    let text = std::fs::read_to_string(path).map_err(ExportsError::io("read", path))?;
    Ok(Format::parse(name, &text)?)
}

fn load_formats(config: &StreamConfig) -> Result<[Format; 3], ExportsError> {
    if config.format == "reference" {
        return Ok([
            load_format("reference-system")?,
            load_format("reference-reseller")?,
            load_format("reference-carrier")?,
        ]);
    }
    let format = load_format(&config.format)?;
    Ok([format.clone(), format.clone(), format])
}

/// `[exports]` itself: the reference's files, with its options.
fn main_stream(config: &ExportConfig) -> Result<Stream, ExportsError> {
    let formats = ["reference-system", "reference-reseller", "reference-carrier"].map(|name| {
        let mut description = load_format(name)?.into_description();
        description.version.clone_from(&config.version);
        description.zone = config.zone;
        for (key, value) in [
            (&mut description.suffix, &config.suffix),
            (&mut description.separator, &config.separator),
            (&mut description.quotes, &config.quotes),
        ] {
            key.get_mut().clone_from(value);
        }
        description.only.clone_from(&config.only);
        description.fragments = config.fragments;
        description.escape = Some(toml::Spanned::new(0..0, config.escape.clone()));
        let lines =
            |lines: &[String]| lines.iter().map(|line| toml::Spanned::new(0..0, line.clone())).collect();
        if let Some(header) = &config.header {
            description.header = lines(header);
        }
        if let Some(trailer) = &config.trailer {
            description.trailer = lines(trailer);
        }
        if config.record_id == RecordId::Hex
            && let Some(id) = description.field.first_mut()
        {
            id.fact = Some(toml::Spanned::new(0..0, "id_hex".to_owned()));
        }
        Format::from_description(name, description).map_err(ExportsError::from)
    });
    let [system, reseller, carrier] = formats;
    let (date_dir, short_time) = match (config.monthly_dir, config.daily_dir) {
        (true, true) => ("${created:%Y%m}/${created:%d}/", "${created:%H%M%S}"),
        (true, false) => ("${created:%Y%m}/", "${created:%d%H%M%S}"),
        (false, true) => ("${created:%Y%m%d}/", "${created:%H%M%S}"),
        (false, false) => ("", "${created:%Y%m%d%H%M%S}"),
    };
    let time = if config.full_names { "${created:%Y%m%d%H%M%S}" } else { short_time };
    let stream = StreamConfig {
        name: String::new(),
        format: "reference".to_owned(),
        owners: config.owners.clone(),
        file_name: format!("{date_dir}${{prefix}}_${{version}}_{time}_${{sequence:010}}.${{suffix}}"),
        every: config.every,
        offset: config.offset,
        max_rows_per_file: config.max_rows_per_file,
        write_empty: config.write_empty,
        answered_only: config.answered_only,
        by_direction: false,
        by_day: false,
        zone: config.zone,
        start: Start::Oldest,
        corrections: config.corrections,
        enabled: config.enabled,
        incoming: config.incoming,
        in_progress: false,
        fragments: false,
        names_in_owner_zone: config.names_in_owner_zone,
    };
    Stream::with_formats(stream, &config.prefix, [system?, reseller?, carrier?])
}

/// `[exports.edr]`.
fn edr_stream(config: &ExportConfig, edr: &crate::EdrConfig) -> Result<Stream, ExportsError> {
    let stream = StreamConfig {
        name: EDR_STREAM.to_owned(),
        format: edr.format.clone(),
        owners: edr.owners.clone(),
        file_name: edr.file_name.clone(),
        every: edr.every,
        offset: edr.offset,
        max_rows_per_file: edr.max_rows_per_file,
        write_empty: edr.write_empty,
        answered_only: false,
        by_direction: false,
        by_day: false,
        zone: edr.zone,
        start: Start::Oldest,
        corrections: Corrections::Repeat,
        enabled: edr.enabled,
        incoming: true,
        in_progress: false,
        fragments: false,
        names_in_owner_zone: config.names_in_owner_zone,
    };
    let formats = if edr.format == "reference-edr" {
        let reseller = load_format("reference-edr-reseller")?;
        [load_format("reference-edr-system")?, reseller.clone(), reseller]
    } else {
        let format = load_format(&edr.format)?;
        [format.clone(), format.clone(), format]
    };
    if formats[0].subject() != Subject::Events {
        return Err(refused(
            &stream,
            "format",
            &edr.format,
            "\"reference-edr\", or a description with of = \"events\"",
        ));
    }
    if edr.owners.iter().any(|owner| owner == "carriers") {
        return Err(refused(
            &stream,
            "owners",
            "carriers",
            "system, resellers and their handles; carriers have no events",
        ));
    }
    Stream::with_formats(stream, &config.prefix, formats)
}

fn flapping_of(edr: &crate::EdrConfig) -> Flapping {
    Flapping { filter: edr.filter_flapping, merge: edr.merge_update }
}

fn refused(config: &StreamConfig, key: &'static str, value: &str, allowed: &str) -> ExportsError {
    ExportsError::Stream {
        stream: config.shown_name().to_owned(),
        key,
        rule: format!("{value:?} cannot be: use {allowed}"),
    }
}

impl StreamConfig {
    fn shown_name(&self) -> &str {
        if self.name.is_empty() { MAIN } else { &self.name }
    }
}
