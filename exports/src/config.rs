//! What an operator sets about CDR files: the section `[exports]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::format::Condition;
use crate::{ExportsError, FileAccess};

/// How CDR files are named, cut and written. Defaults are those of the reference (billing-reference 7.2, 7.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportConfig {
    /// Directory under which `system/`, `resellers/` and `carriers/` are. Default: `"exports"`.
    pub dir: PathBuf,
    /// Directory where every file is kept as it was published, whatever partners do with theirs. On the same file
    /// system it takes no further room. Default: `"export-archive"`.
    pub archive: PathBuf,
    /// Rights that files are written without, in octal digits: with `"027"` our group may read them and others may not. Left out:
    /// what the process is started with.
    pub files_mask: Option<String>,
    /// First part of every file name. Default: `"tollbook"`.
    pub prefix: String,
    /// Format version, in the file name and the header line. Default: `"007"`.
    pub version: String,
    /// Last part of every file name, after the dot. Default: `"cdr"`.
    pub suffix: String,
    /// Zone of all times in files and file names, such as `"Europe/Vienna"`. Left out: the zone of the tenant
    /// whose reseller or carrier the file is for, and the first tenant's for `system`. In a zone with summer
    /// time one hour a year is written twice; `"UTC"` has no such hour.
    pub zone: Option<Tz>,
    /// Character around every value; `""` for none. Default: `"'"`.
    pub quotes: String,
    /// Character between values. Default: `","`.
    pub separator: String,
    /// Character put before a quote, or before itself, inside a value (before the separator where there are no
    /// quotes); `""` escapes nothing, as the reference did up to mr4.3. Default: `"\\"`.
    pub escape: String,
    /// The whole date and time in a file name even where the directories tell the date. Default: `true`.
    pub full_names: bool,
    /// A directory for each month: `YYYYMM`. Default: `true`.
    pub monthly_dir: bool,
    /// A directory for each day: `DD` inside a month's, else `YYYYMMDD`. Default: `true`.
    pub daily_dir: bool,
    /// How a CDR is named in the first column. Default: `"number"`.
    pub record_id: RecordId,
    /// A file is closed when it has so many calls. Default: 5000.
    pub max_rows_per_file: u32,
    /// And so often, counted from midnight UTC (once a day: from midnight in `zone`), e.g. `"30m"`. At most `"24h"`.
    /// Default: `"30m"`.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// How long after the full interval: `every = "30m"` and `offset = "25m"` is minutes 25 and 55. Default: `"0s"`.
    #[serde(with = "humantime_serde")]
    pub offset: Duration,
    /// Write a file without calls for an owner who had none, as a sign of life. Default: `true`.
    pub write_empty: bool,
    /// Leave out calls that nobody answered. Default: `false`.
    pub answered_only: bool,
    /// Have calls whose caller is not a customer in the files, and calls between customers of two resellers in those of the called one's.
    /// Default: `true`.
    pub incoming: bool,
    /// Which calls are in the files: those for which all of these hold, as in a format. Default: all.
    pub only: Vec<Condition>,
    /// Close files; `false` lets calls wait until they may go out. Default: `true`.
    pub enabled: bool,
    /// Times in the names of files are those of the zone of the owner's account. Default: `false`, those of the file.
    pub names_in_owner_zone: bool,
    /// User that files belong to once they are whole, by name or number; only root may give files away. Default: the user of the
    /// process, who has to be able to read them all the same.
    pub files_owner: Option<String>,
    /// Group that they belong to. Default: the group of the process.
    pub files_group: Option<String>,
    /// A call that its tariff cuts at peak borders (`split_at_peak = "reference_fragments"`) has a record for each fragment, as the reference
    /// has it. Default: `false`, one record.
    pub fragments: bool,
    /// Who has files: `"system"`, always, `"resellers"`, `"carriers"`, and handles of single accounts. Default: all three.
    pub owners: Vec<String>,
    /// Lines before the records, as in a format; `[]` for none. Default: `["${version},${rows:04}"]`.
    pub header: Option<Vec<String>>,
    /// Lines after them. Default: `["${md5}"]`.
    pub trailer: Option<Vec<String>>,
    /// What becomes of a call that is priced again after it was written, where the format has no word for that.
    /// Default: `"report"`.
    pub corrections: Corrections,
    /// Mail addresses that get each report of corrections, with the file. Default: none.
    pub corrections_to: Vec<String>,
    /// How long the database keeps copies of the calls in files other than the operator's own, e.g. `"400d"`; at least `"1h"`. Then the one
    /// copy in the operator's series serves them all. Default: `"90d"`.
    #[serde(with = "humantime_serde")]
    pub keep_calls: Duration,
    /// Files of event detail records. Default: none.
    pub edr: Option<EdrConfig>,
    /// Further streams of files beside these, each with its own format, schedule and sequences. Default: none.
    pub streams: Vec<StreamConfig>,
}

/// One export stream: a section `[[exports.streams]]`. It reads the rated calls by itself, at its own pace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// Its name: lowercase letters, digits and dashes. A stream that is renamed is a new one.
    pub name: String,
    /// How its files are written: a delivered format (`tollbook export formats` lists them), `"reference"`, or a
    /// description of your own, such as `"formats/acme.toml"`.
    pub format: String,
    /// Who has files: `"system"`, `"resellers"`, `"carriers"`, and handles of single accounts.
    pub owners: Vec<String>,
    /// Path of a file below its owner's directory, with `${sequence:010}`, `${created:%Y%m%d%H%M%S}`, `${day:%Y%m%d}`,
    /// `${owner}`, `${way}`, `${stream}`, `${prefix}`, `${version}` and `${suffix}`. Default:
    /// `"${stream}/${created:%Y%m%d}/${prefix}_${stream}_${created:%Y%m%d%H%M%S}_${sequence:010}.${suffix}"`.
    #[serde(default = "file_name_default")]
    pub file_name: String,
    /// As in `[exports]`. Default: `"30m"`.
    #[serde(default = "every_default", with = "humantime_serde")]
    pub every: Duration,
    /// As in `[exports]`. Default: `"0s"`.
    #[serde(default, with = "humantime_serde")]
    pub offset: Duration,
    /// As in `[exports]`. Default: 5000.
    #[serde(default = "max_rows_default")]
    pub max_rows_per_file: u32,
    /// As in `[exports]`. Default: `false`.
    #[serde(default)]
    pub write_empty: bool,
    /// As in `[exports]`. Default: `false`.
    #[serde(default)]
    pub answered_only: bool,
    /// As in `[exports]`. Default: `true`.
    #[serde(default = "yes")]
    pub incoming: bool,
    /// Calls that are up have a record each quarter of an hour, in files of their own time, `partial` and with cause `in_progress`.
    /// Default: `false`.
    #[serde(default)]
    pub in_progress: bool,
    /// As in `[exports]`. Default: `false`, what the format says.
    #[serde(default)]
    pub fragments: bool,
    /// As in `[exports]`. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// As in `[exports]`. Default: `false`.
    #[serde(default)]
    pub names_in_owner_zone: bool,
    /// With which calls a stream begins that is new to an installation. Default: `"now"`.
    #[serde(default)]
    pub start: Start,
    /// As in `[exports]`. Default: `"report"`.
    #[serde(default)]
    pub corrections: Corrections,
    /// A row of files for each direction, as the owner sees it. Calls between two customers of one owner are in
    /// neither; the operator's calls are all in some. Default: `false`.
    #[serde(default)]
    pub by_direction: bool,
    /// No file has calls of two days, by the local day of their start. Default: `false`.
    #[serde(default)]
    pub by_day: bool,
    /// Zone of times and days. Default: the format's, else the tenant's.
    #[serde(default)]
    pub zone: Option<Tz>,
}

fn file_name_default() -> String {
    "${stream}/${created:%Y%m%d}/${prefix}_${stream}_${created:%Y%m%d%H%M%S}_${sequence:010}.${suffix}"
        .to_owned()
}

const fn every_default() -> Duration {
    Duration::from_secs(30 * 60)
}

const fn yes() -> bool {
    true
}

const fn max_rows_default() -> u32 {
    5000
}

/// Files of event detail records: the section `[exports.edr]`. Defaults are those of the reference (billing-reference 7.1 to 7.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdrConfig {
    /// `"reference-edr"`, or a description of your own with `of = "events"`.
    pub format: String,
    /// Who has files: `"system"`, `"resellers"`, and handles of single resellers. Default: both.
    pub owners: Vec<String>,
    /// As in a stream; `${prefix}` is that of `[exports]`. Default:
    /// `"edr/${created:%Y%m}/${created:%d}/${prefix}_${version}_${created:%Y%m%d%H%M%S}_${sequence:010}.${suffix}"`.
    pub file_name: String,
    /// As in `[exports]`. Default: `"24h"`: at midnight.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// As in `[exports]`. Default: `"0s"`.
    #[serde(with = "humantime_serde")]
    pub offset: Duration,
    /// Events of one file at most; the filters look at so many at once. Default: 3000.
    pub max_rows_per_file: u32,
    /// As in `[exports]`. Default: `true`.
    pub write_empty: bool,
    /// What began and ended within one file is left out. Default: `false`.
    pub filter_flapping: bool,
    /// What began and changed within one file is told once, as begun with the later value. Default: `false`.
    pub merge_update: bool,
    /// Zone of times. Default: the format's, else the tenant's.
    pub zone: Option<Tz>,
    /// As in `[exports]`. Default: `true`.
    pub enabled: bool,
}

impl Default for EdrConfig {
    fn default() -> Self {
        Self {
            format: "reference-edr".to_owned(),
            owners: vec!["system".to_owned(), "resellers".to_owned()],
            file_name: "edr/${created:%Y%m}/${created:%d}/${prefix}_${version}_${created:%Y%m%d%H%M%S}_${sequence:010}.${suffix}"
                .to_owned(),
            every: Duration::from_secs(24 * 3_600),
            offset: Duration::ZERO,
            max_rows_per_file: 3_000,
            write_empty: true,
            filter_flapping: false,
            merge_update: false,
            zone: None,
            enabled: true,
        }
    }
}

/// With which calls a new stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// `"now"`: those that are rated from its first start on.
    #[default]
    Now,
    /// `"oldest"`: the oldest that the event log still has.
    Oldest,
    /// A time such as `"2026-11-01T00:00:00Z"`: those that ended then or later, as far back as the event log goes.
    At(DateTime<Utc>),
}

impl TryFrom<String> for Start {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "now" => Ok(Start::Now),
            "oldest" => Ok(Start::Oldest),
            time => time.parse().map(Start::At).map_err(|_| {
                format!("start = {text:?} cannot be: use \"now\", \"oldest\" or a time such as \"2026-11-01T00:00:00Z\"")
            }),
        }
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        match start {
            Start::Now => "now".to_owned(),
            Start::Oldest => "oldest".to_owned(),
            Start::At(at) => at.to_rfc3339(),
        }
    }
}

/// What becomes of a call that is priced again after it was written, where the format has no word for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corrections {
    /// Its old and its new record go into a report beside the files, `corrections/` in the owner's directory, with numbers of
    /// its own.
    #[default]
    Report,
    /// Its new record is in a later file like any other, as the reference does when a call is exported again. Its reader
    /// has to replace what has the same id.
    Repeat,
}

/// How a CDR is named in the first column of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordId {
    /// The first 63 bits of its id as an unsigned number, for readers with a `bigint` column. Two calls share one
    /// by chance once in some thousand million calls; the call's Call-ID in column 33 tells them apart.
    Number,
    /// Its id as `tollbook explain` takes it: 32 hexadecimal digits.
    Hex,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("exports"),
            archive: PathBuf::from("export-archive"),
            files_mask: None,
            prefix: "tollbook".to_owned(),
            version: "007".to_owned(),
            suffix: "cdr".to_owned(),
            zone: None,
            quotes: "'".to_owned(),
            separator: ",".to_owned(),
            escape: "\\".to_owned(),
            full_names: true,
            monthly_dir: true,
            daily_dir: true,
            record_id: RecordId::Number,
            max_rows_per_file: max_rows_default(),
            every: every_default(),
            offset: Duration::ZERO,
            write_empty: true,
            answered_only: false,
            incoming: true,
            only: Vec::new(),
            fragments: false,
            enabled: true,
            names_in_owner_zone: false,
            files_owner: None,
            files_group: None,
            owners: ["system", "resellers", "carriers"].map(str::to_owned).to_vec(),
            header: None,
            trailer: None,
            corrections: Corrections::Report,
            corrections_to: Vec::new(),
            keep_calls: Duration::from_secs(90 * 24 * 3_600),
            edr: None,
            streams: Vec::new(),
        }
    }
}

/// Of [`ExportConfig::keep_calls`].
const KEEP_CALLS_MIN: Duration = Duration::from_secs(3_600);

impl ExportConfig {
    /// The rights of a published file, where they are not those of the process.
    pub fn file_mode(&self) -> Option<u32> {
        let mask = self.files_mask.as_deref()?;
        u32::from_str_radix(mask, 8).ok().map(|mask| 0o666 & !mask)
    }

    /// All that a published file is given.
    ///
    /// # Errors
    ///
    /// [`ExportsError::Config`] where this machine has no such user or group.
    pub fn file_access(&self) -> Result<FileAccess, ExportsError> {
        let user =
            |name: &str| nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        let group =
            |name: &str| nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        Ok(FileAccess {
            mode: self.file_mode(),
            user: id_of(
                "files_owner",
                self.files_owner.as_deref(),
                user,
                "the name or number of a user of this machine",
            )?,
            group: id_of(
                "files_group",
                self.files_group.as_deref(),
                group,
                "the name or number of a group of this machine",
            )?,
        })
    }

    /// Whether files can be written by it.
    ///
    /// # Errors
    ///
    /// [`ExportsError::Config`] naming the first key that cannot be, and what it may be.
    pub fn check(&self) -> Result<(), ExportsError> {
        for (key, part) in [("prefix", &self.prefix), ("version", &self.version), ("suffix", &self.suffix)] {
            let is_plain = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
            if part.is_empty() || part.starts_with('.') || !is_plain {
                return Err(refused(key, part, "letters, digits, dashes and dots"));
            }
        }
        if self.suffix == "part" {
            return Err(refused(
                "suffix",
                &self.suffix,
                "anything else: .part marks files that are being written",
            ));
        }
        if let Some(mask) = &self.files_mask {
            let is_octal = mask.len() == 3 && mask.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
            // What we may not read ourselves can neither be handed out nor proved.
            if !is_octal || !matches!(mask.as_bytes()[0], b'0' | b'2') {
                return Err(refused(
                    "files_mask",
                    mask,
                    "three octal digits such as \"027\", the first a 0 or a 2",
                ));
            }
        }
        self.file_access()?;
        if !is_mark(&self.separator) || self.separator.is_empty() {
            return Err(refused("separator", &self.separator, "one ASCII character"));
        }
        if !is_mark(&self.quotes) || self.quotes == self.separator {
            return Err(refused(
                "quotes",
                &self.quotes,
                "one ASCII character other than the separator, or empty",
            ));
        }
        if !is_mark(&self.escape) || self.escape == self.separator {
            return Err(refused(
                "escape",
                &self.escape,
                "one ASCII character other than the separator, or empty",
            ));
        }
        // What the console and `explain` tell of a call they have from the operator's rows.
        if !self.owners.iter().any(|owner| owner == "system") {
            return Err(refused("owners", &self.owners.join(", "), "\"system\" and whoever else"));
        }
        if self.max_rows_per_file == 0 {
            return Err(refused("max_rows_per_file", "0", "1 or more"));
        }
        if self.every.is_zero() {
            return Err(refused("every", "0s", "at least \"1s\""));
        }
        // A file that is not written yet is read from its own.
        if self.keep_calls < KEEP_CALLS_MIN {
            let found = format!("{}s", self.keep_calls.as_secs());
            return Err(refused("keep_calls", &found, "at least \"1h\""));
        }
        if self.dir == self.archive {
            return Err(refused(
                "archive",
                &self.archive.display().to_string(),
                "another directory than exports.dir, which partners see",
            ));
        }
        Ok(())
    }
}

/// The number of a user or group, which may be given by number.
fn id_of(
    key: &'static str,
    name: Option<&str>,
    named: impl Fn(&str) -> Option<u32>,
    allowed: &'static str,
) -> Result<Option<u32>, ExportsError> {
    let Some(name) = name else { return Ok(None) };
    let id = name.parse().ok().or_else(|| named(name));
    id.map(Some).ok_or_else(|| refused(key, name, allowed))
}

fn is_mark(text: &str) -> bool {
    text.len() <= 1 && text.is_ascii() && !text.contains(|c: char| c.is_control() || c.is_alphanumeric())
}

fn refused(key: &'static str, value: &str, allowed: &'static str) -> ExportsError {
    ExportsError::Config { key, value: value.to_owned(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_an_empty_section_means_them() {
        let config: ExportConfig = toml::from_str("").unwrap();
        assert_eq!(config, ExportConfig::default());
        config.check().unwrap();
    }

    #[test]
    fn a_stream_begins_now_with_the_oldest_or_at_a_time() {
        let stream = |start: &str| {
            let text = format!("name = \"x\"\nformat = \"csv\"\nowners = [\"system\"]\n{start}");
            toml::from_str::<StreamConfig>(&text).map(|stream| stream.start)
        };
        assert_eq!(stream("").unwrap(), Start::Now);
        assert_eq!(stream("start = \"oldest\"").unwrap(), Start::Oldest);
        assert_eq!(
            stream("start = \"2026-11-01T01:00:00+01:00\"").unwrap(),
            Start::At("2026-11-01T00:00:00Z".parse().unwrap())
        );
        assert!(stream("start = \"yesterday\"").unwrap_err().to_string().contains("use \"now\""));
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let error = toml::from_str::<ExportConfig>("sufix = \"csv\"").unwrap_err();
        assert!(error.to_string().contains("sufix"), "{error}");
    }

    #[test]
    fn a_prefix_cannot_climb_out_of_the_directory() {
        let config = ExportConfig { prefix: "../x".to_owned(), ..ExportConfig::default() };
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "exports.prefix = \"../x\" cannot be: use letters, digits, dashes and dots"
        );
    }

    #[test]
    fn a_mask_takes_rights_from_files_and_never_our_own() {
        for (mask, mode) in [("022", Some(0o644)), ("027", Some(0o640)), ("277", Some(0o400)), ("777", None)]
        {
            let config = ExportConfig { files_mask: Some(mask.to_owned()), ..ExportConfig::default() };
            assert_eq!(config.check().is_ok(), mode.is_some(), "{mask}");
            if mode.is_some() {
                assert_eq!(config.file_mode(), mode, "{mask}");
            }
        }
        for wrong in ["", "22", "0022", "08", "rw-"] {
            let config = ExportConfig { files_mask: Some(wrong.to_owned()), ..ExportConfig::default() };
            assert!(config.check().is_err(), "{wrong}");
        }
    }

    #[test]
    fn owner_and_group_of_files_are_there_or_refused() {
        let with = |owner: Option<&str>, group: Option<&str>| ExportConfig {
            files_owner: owner.map(str::to_owned),
            files_group: group.map(str::to_owned),
            ..ExportConfig::default()
        };
        let found = with(Some("root"), Some("0")).file_access().unwrap();
        assert_eq!((found.user, found.group, found.mode), (Some(0), Some(0), None));
        let error = with(Some("nobody-of-that-name"), None).check().unwrap_err().to_string();
        assert!(error.contains("exports.files_owner") && error.contains("a user of this machine"), "{error}");
        with(None, Some("no such group")).check().unwrap_err();
    }

    #[test]
    fn quotes_may_be_absent_and_never_two_characters() {
        for (quotes, is_good) in [("", true), ("\"", true), ("''", false), (",", false), ("\n", false)] {
            let config = ExportConfig { quotes: quotes.to_owned(), ..ExportConfig::default() };
            assert_eq!(config.check().is_ok(), is_good, "{quotes:?}");
        }
    }
}
