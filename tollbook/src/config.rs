//! One TOML file, one struct a section. A wrong key or value names file, line, rule and remedy; nothing starts before
//! all of it has been checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::alarms::AlarmConfig;
use crate::charging::ChargingConfig;
use crate::failure::UserError;
use crate::fraud_watch::FraudConfig;
use crate::toml_file;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Directory of everything embedded: event log, database, lake, files. Relative to the configuration file. Default: `"data"`.
    #[serde(default = "data_default")]
    pub(crate) data: PathBuf,
    /// What is logged, e.g. `"info"`, `"warn,switch=debug"`. Default: `"info"`.
    #[serde(default = "log_default")]
    pub(crate) log: String,
    /// The SIP switch.
    #[serde(default)]
    pub(crate) switch: switch::SwitchConfig,
    /// CDR building.
    #[serde(default)]
    pub(crate) mediator: mediator::MediatorConfig,
    /// How often things happen.
    #[serde(default)]
    pub(crate) pipeline: PipelineConfig,
    /// The event log.
    #[serde(default)]
    pub(crate) bus: BusConfig,
    /// The database.
    #[serde(default)]
    pub(crate) store: StoreConfig,
    /// Parquet files and SQL.
    #[serde(default)]
    pub(crate) lake: lake::LakeConfig,
    /// CDR files.
    #[serde(default)]
    pub(crate) exports: exports::ExportConfig,
    /// The server that hands them out.
    #[serde(default)]
    pub(crate) sftp: SftpSection,
    /// Billing runs.
    #[serde(default)]
    pub(crate) invoicing: InvoicingConfig,
    /// Outgoing mail.
    #[serde(default = "mail_default")]
    pub(crate) mail: notify::MailConfig,
    /// Alerts over HTTP.
    #[serde(default)]
    pub(crate) webhooks: notify::WebhookConfig,
    /// Console and API.
    #[serde(default)]
    pub(crate) web: WebConfig,
    /// What a supervisor of processes asks.
    #[serde(default)]
    pub(crate) health: HealthConfig,
    /// What to be woken for.
    #[serde(default)]
    pub(crate) alarms: AlarmConfig,
    /// The watch on calls as they happen.
    #[serde(default)]
    pub(crate) fraud: FraudConfig,
    /// Calls held to balances.
    #[serde(default)]
    pub(crate) charging: ChargingConfig,
}

fn data_default() -> PathBuf {
    PathBuf::from("data")
}

fn mail_default() -> notify::MailConfig {
    notify::MailConfig {
        from: "tollbook@localhost".to_owned(),
        smtp: None,
        dkim: None,
        outbox_dir: PathBuf::from("outbox"),
        links: None,
    }
}

fn log_default() -> String {
    "info".to_owned()
}

/// How often things happen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PipelineConfig {
    /// How often the time of the log moves on without events, e.g. `"10s"`. Default: `"10s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) tick: Duration,
    /// How often rated calls are written to the lake, e.g. `"1s"`; they are seen in SQL that much later. Default: `"1s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) lake_commit: Duration,
    /// How often small lake files are merged. Default: `"5m"`.
    #[serde(with = "humantime_serde")]
    pub(crate) lake_compact: Duration,
    /// How often the lake's copies of alerts, invoices and rates are compared with the database. Default: `"10s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) lake_mirror: Duration,
    /// How often waiting mails are looked for. Default: `"2s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) mail_poll: Duration,
    /// Of several processes, one that gives no sign of life for so long is replaced, e.g. `"10s"`. Default: `"10s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) takeover: Duration,
    /// How long a stop lets calls go on, taking no new ones, before it hangs them up. Default: `"0s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) drain: Duration,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(10),
            lake_commit: Duration::from_secs(1),
            lake_compact: Duration::from_secs(300),
            lake_mirror: Duration::from_secs(10),
            mail_poll: Duration::from_secs(2),
            takeover: Duration::from_secs(10),
            drain: Duration::ZERO,
        }
    }
}

/// Billing runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InvoicingConfig {
    /// Invoice each account by itself when its period is over (`cycle` of its billing terms) and its calls are in. Default: `false`,
    /// `tollbook invoice run --due` does it.
    pub(crate) automatic: bool,
    /// How often it is looked for. Default: `"10m"`.
    #[serde(with = "humantime_serde")]
    pub(crate) poll: Duration,
}

impl Default for InvoicingConfig {
    fn default() -> Self {
        Self { automatic: false, poll: Duration::from_secs(600) }
    }
}

/// The event log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BusConfig {
    /// `"embedded"`: in the data directory; or `"kafka://host:9092,other:9092"`, a Kafka cluster. Default: `"embedded"`.
    pub(crate) url: String,
    /// Of the embedded log.
    pub(crate) embedded: bus::EmbeddedConfig,
    /// Of the Kafka cluster.
    pub(crate) kafka: bus::KafkaConfig,
}

impl BusConfig {
    /// Whether the log is on a Kafka cluster.
    pub(crate) fn is_kafka(&self) -> bool {
        self.url.starts_with("kafka://")
    }

    /// Lanes of each topic.
    pub(crate) fn partitions(&self) -> u32 {
        if self.is_kafka() { self.kafka.partitions } else { self.embedded.partitions }
    }

    /// How long records are kept after everybody has read them.
    pub(crate) fn retention(&self) -> Duration {
        if self.is_kafka() { self.kafka.retention } else { self.embedded.retention }
    }
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            url: "embedded".to_owned(),
            embedded: bus::EmbeddedConfig::default(),
            kafka: bus::KafkaConfig::default(),
        }
    }
}

/// The database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// `"sqlite"`: a file in the data directory; or `"sqlite:///path/to/file"`, or `"postgres://user@host/db"`. Default: `"sqlite"`.
    pub(crate) url: String,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: "sqlite".to_owned() }
    }
}

/// The SFTP server and its users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SftpSection {
    /// The server.
    pub(crate) server: exports::sftp::SftpConfig,
    /// Directory of `archive/`, `in/` and `ack/` of users with `exchange`, one for each. Default: `"sftp"`, in the data directory.
    pub(crate) exchange_dir: PathBuf,
    /// Mail addresses that are told of files which a user has not fetched within `fetch_within`. Default: none.
    pub(crate) alarm_to: Vec<String>,
    /// Mail addresses that are told of what users put: rate decks with what they would change, refused files, whatever is not
    /// understood. Default: none.
    pub(crate) inbox_to: Vec<String>,
    /// Less free than so many percent of the disk of the export directory, the archive or the exchange directory raises an alarm;
    /// 0 is never. Default: 10.
    pub(crate) disk_free_percent_min: u8,
    /// How long it is kept who did what, days. Default: 400.
    pub(crate) trail_days: u32,
    /// Who may fetch what.
    pub(crate) users: Vec<SftpUserConfig>,
}

impl Default for SftpSection {
    fn default() -> Self {
        Self {
            server: exports::sftp::SftpConfig::default(),
            exchange_dir: PathBuf::from("sftp"),
            alarm_to: Vec::new(),
            inbox_to: Vec::new(),
            disk_free_percent_min: 10,
            trail_days: 400,
            users: Vec::new(),
        }
    }
}

/// One SFTP user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SftpUserConfig {
    /// Login name.
    pub(crate) name: String,
    /// What the user sees as `/`, below the export directory, e.g. `"system"` or `"resellers/north"`.
    pub(crate) folder: PathBuf,
    /// Public keys, in OpenSSH's form.
    #[serde(default)]
    pub(crate) authorized_keys: Vec<String>,
    /// Argon2 hash of a password, as `tollbook export password` prints it. Default: none, keys only.
    #[serde(default)]
    pub(crate) password_hash: Option<String>,
    /// Networks the user may come from, e.g. `["192.0.2.0/24", "2001:db8::/32"]`. Default: all.
    #[serde(default)]
    pub(crate) networks: Vec<exports::sftp::Network>,
    /// Whether the user sees `out/` with the folder's files, `archive/`, and `in/` and `ack/` for its own, instead of the folder
    /// itself. Default: `false`.
    #[serde(default)]
    pub(crate) exchange: bool,
    /// Whether the user may delete files after fetching them; they stay in our archive. Default: `false`.
    #[serde(default)]
    pub(crate) may_delete: bool,
    /// Whether the user may rename them, and move them to `archive/`. Default: `false`.
    #[serde(default)]
    pub(crate) may_rename: bool,
    /// A file that waits for longer raises an alarm, e.g. `"26h"`. Default: none does.
    #[serde(default, with = "humantime_serde")]
    pub(crate) fetch_within: Option<Duration>,
    /// How files that the user puts into `in/` are read. Default: they are told of and left alone.
    #[serde(default)]
    pub(crate) rate_deck: Option<RateDeckConfig>,
}

/// How a partner's price lists are read: as `tollbook import fees` would. They are never applied by themselves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateDeckConfig {
    /// Handle of the profile that they are compared with.
    pub(crate) profile: String,
    /// Handle of its tenant, where several have such a profile.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// How to read the partner's own layout, a file beside the configuration; rating/README.md describes it. Default: our columns or
    /// the reference's.
    #[serde(default)]
    pub(crate) mapping: Option<PathBuf>,
    /// Fees that a list does not name stay. Default: `false`.
    #[serde(default)]
    pub(crate) keep: bool,
}

impl SftpUserConfig {
    /// The folder as names of export files begin with it; empty for all of them.
    pub(crate) fn folder_name(&self) -> String {
        let parts = self.folder.components().filter_map(|part| match part {
            std::path::Component::Normal(part) => part.to_str(),
            std::path::Component::CurDir
            | std::path::Component::ParentDir
            | std::path::Component::RootDir
            | std::path::Component::Prefix(_) => None,
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Console and API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebConfig {
    /// Address of the console, e.g. `"127.0.0.1:8080"`. Default: `"127.0.0.1:8080"`.
    pub(crate) listen: SocketAddr,
    /// Roles that open nothing without a second factor beside the password, e.g. `["operator", "finance"]`; users without one set
    /// it up at their next sign-in. Tokens of programs are not asked for one. Default: none; any user may set one up.
    pub(crate) second_factor: Vec<web::Role>,
    /// Requests of one user or token, to pages and to the API, in a minute; a fifth of them may come at once, more are told 429 and when to come again.
    /// 0: as many as they want. Default: 12000.
    pub(crate) requests_per_minute: u32,
    /// Attempts to sign in from one address in a minute, of IPv6 from one network of 64 bits. Behind a proxy, whose address all
    /// have, raise it to what all of them together need, or one of them holds all up. Codes are counted by who waits for one, not by address. 0: as many as they want. Default: 60.
    pub(crate) sign_ins_per_minute: u32,
}

impl Default for WebConfig {
    fn default() -> Self {
        let limits = web::RequestLimits::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            second_factor: Vec::new(),
            requests_per_minute: limits.requests_per_minute,
            sign_ins_per_minute: limits.sign_ins_per_minute,
        }
    }
}

/// What a supervisor of processes asks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HealthConfig {
    /// Address that answers `GET /healthz` (the process lives) and `GET /readyz` (database, event log and leases are at hand; 503
    /// and the reason otherwise), without a password. Default: absent, none does.
    pub(crate) listen: Option<SocketAddr>,
}

impl Config {
    /// Reads and checks `file`; paths in it become absolute.
    ///
    /// # Errors
    ///
    /// A [`UserError`] with file, line, rule and remedy.
    pub(crate) fn load(file: &Path) -> Result<Self, UserError> {
        let remedy =
            "give the installation's configuration with --config FILE, or make one with `tollbook init DIR`";
        let mut config: Config = toml_file::read(file, remedy)?;
        let base = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let base = std::path::absolute(&base).unwrap_or(base);
        config.data = base.join(&config.data);
        for (path, default) in [
            (&mut config.lake.dir, "lake"),
            (&mut config.exports.dir, "exports"),
            (&mut config.exports.archive, "export-archive"),
            (&mut config.sftp.server.host_key, "sftp_host_key"),
            (&mut config.sftp.exchange_dir, "sftp"),
            (&mut config.mail.outbox_dir, "outbox"),
        ] {
            let chosen = if path.as_os_str().is_empty() { PathBuf::from(default) } else { path.clone() };
            *path = config.data.join(chosen);
        }
        for stream in &mut config.exports.streams {
            if stream.format.ends_with(".toml") {
                stream.format = base.join(&stream.format).display().to_string();
            }
        }
        for user in &mut config.sftp.users {
            if let Some(mapping) = user.rate_deck.as_mut().and_then(|deck| deck.mapping.as_mut()) {
                *mapping = base.join(&*mapping);
            }
        }
        config.fraud.resolve(&base);
        let trace = config.switch.trace_dir.take().unwrap_or_else(|| PathBuf::from("trace"));
        config.switch.trace_dir = Some(config.data.join(trace));
        if let Some(tls) = &mut config.switch.tls {
            for path in
                [Some(&mut tls.certificate), Some(&mut tls.key), tls.roots.as_mut()].into_iter().flatten()
            {
                *path = base.join(&*path);
            }
        }
        for path in
            [&mut config.lake.pg_certificate, &mut config.lake.pg_key, &mut config.lake.s3.credentials]
                .into_iter()
                .flatten()
        {
            *path = base.join(&*path);
        }
        let kafka = &mut config.bus.kafka;
        let tls = kafka.tls.iter_mut().flat_map(|tls| [&mut tls.roots, &mut tls.certificate, &mut tls.key]);
        let password = kafka.sasl.iter_mut().map(|sasl| &mut sasl.password_file);
        for path in tls.chain(password).flatten() {
            *path = base.join(&*path);
        }
        config.check(file)?;
        Ok(config)
    }

    /// The export streams, with their formats read.
    ///
    /// # Errors
    ///
    /// A [`UserError`]: what is wrong with a stream or a format, with file and line.
    pub(crate) fn streams(&self) -> Result<Arc<exports::Streams>, UserError> {
        exports::Streams::load(&self.exports)
            .map(Arc::new)
            .map_err(|rule| UserError::new(rule.to_string(), ""))
    }

    fn check(&self, file: &Path) -> Result<(), UserError> {
        let wrong = |key: &str, rule: &str, remedy: &str| {
            Err(UserError::new(format!("{}: {key}: {rule}", file.display()), remedy.to_owned()))
        };
        if self.bus.url != "embedded" && !self.bus.is_kafka() {
            return wrong(
                "bus.url",
                &format!("{:?} is not an event log of this version", self.bus.url),
                "use \"embedded\" or \"kafka://host:9092\"",
            );
        }
        if self.bus.is_kafka() && !cfg!(feature = "kafka") {
            return wrong(
                "bus.url",
                "this program was built without Kafka",
                "build it with `cargo build --release -p tollbook --features kafka`",
            );
        }
        if let Err(rule) = self.bus.kafka.validate() {
            return Err(UserError::new(format!("{}: {rule}", file.display()), ""));
        }
        self.check_sftp(file)?;
        if let Err(why) = self.mail.check() {
            return Err(UserError::new(format!("{}: {why}", file.display()), ""));
        }
        let schemes = ["sqlite://", "postgres://", "postgresql://"];
        if self.store.url != "sqlite" && !schemes.iter().any(|scheme| self.store.url.starts_with(scheme)) {
            // The address may hold a password.
            let scheme = self.store.url.split_once("://").map_or("this address", |(scheme, _)| scheme);
            return wrong(
                "store.url",
                &format!("{scheme:?} is not a database of this version"),
                "use \"sqlite\", \"sqlite:///path/to/file\" or \"postgres://user@host/db\"",
            );
        }
        if let Err(why) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            return wrong(
                "log",
                &format!("{:?} is no log filter: {why}", self.log),
                "write it like \"info\" or \"warn,switch=debug\"",
            );
        }
        if self.web.listen == self.sftp.server.listen && self.web.listen.port() != 0 {
            return wrong(
                "web.listen",
                &format!("{} is also sftp.server.listen", self.web.listen),
                "give one of them another port",
            );
        }
        self.check_sql(file)?;
        if let Err(rule) = self.switch.check() {
            return Err(UserError::new(format!("{}: {rule}", file.display()), ""));
        }
        if let Err(rule) = exports::Streams::load(&self.exports) {
            return Err(UserError::new(format!("{}: {rule}", file.display()), ""));
        }
        self.check_times(file)
    }

    /// SQL over the network: passwords go through it.
    fn check_sql(&self, file: &Path) -> Result<(), UserError> {
        let wrong = |key: &str, rule: &str, remedy: &str| {
            Err(UserError::new(format!("{}: lake.{key}: {rule}", file.display()), remedy.to_owned()))
        };
        let lake = &self.lake;
        if lake.pg_connections_max == 0 {
            return wrong("pg_connections_max", "must be more than nothing", "the usual value is 20");
        }
        if lake.pg_certificate.is_some() != lake.pg_key.is_some() {
            let missing = if lake.pg_key.is_none() { "pg_key" } else { "pg_certificate" };
            return wrong(missing, "is missing", "certificate and key come together");
        }
        for rule in &lake.retention {
            if rule.days == 0 {
                return wrong("retention", "days: must be at least 1", "the usual value is 180");
            }
            if rule.class == lake::forget::DataClass::Calls && rule.then == lake::forget::Then::Delete {
                return wrong(
                    "retention",
                    "calls stay as rows, since invoices and audits count on them",
                    "use then = \"anonymise\" for calls",
                );
            }
        }
        let Some(listen) = lake.pg_listen else { return Ok(()) };
        if !listen.ip().is_loopback() && lake.pg_certificate.is_none() {
            return wrong(
                "pg_listen",
                &format!(
                    "{listen} can be reached from other machines, and passwords would go over the network as they are"
                ),
                "give pg_certificate and pg_key, or listen on 127.0.0.1",
            );
        }
        if listen.port() != 0 && (listen == self.web.listen || listen == self.sftp.server.listen) {
            return wrong(
                "pg_listen",
                &format!("{listen} is taken by the console or SFTP"),
                "give it another port",
            );
        }
        Ok(())
    }

    fn check_sftp(&self, file: &Path) -> Result<(), UserError> {
        let mut names = std::collections::HashSet::new();
        for user in &self.sftp.users {
            let wrong = |rule: String, remedy: &str| {
                let object = format!("{}: sftp.users {:?}", file.display(), user.name);
                Err(UserError::new(format!("{object}: {rule}"), remedy.to_owned()))
            };
            if user.name.is_empty() {
                return wrong("a user needs a name".to_owned(), "give the login name");
            }
            if !names.insert(&user.name) {
                return wrong("is there twice".to_owned(), "remove one; a user may have several keys");
            }
            if user.folder.as_os_str().is_empty() {
                return wrong(
                    "an empty folder would show the files of everybody".to_owned(),
                    "write it like \"system\" or \"resellers/north\", or \".\" if all of them are meant",
                );
            }
            if user.folder.is_absolute()
                || user.folder.components().any(|part| part == std::path::Component::ParentDir)
            {
                return wrong(
                    "the folder must lie below the export directory".to_owned(),
                    "write it like \"system\" or \"resellers/north\"",
                );
            }
            if user.authorized_keys.is_empty() && user.password_hash.is_none() {
                return wrong(
                    "nobody could sign in without a key or a password".to_owned(),
                    "add authorized_keys = [\"ssh-ed25519 ...\"]",
                );
            }
            if let Some(Err(rule)) = user.password_hash.as_deref().map(exports::sftp::check_password_hash) {
                return wrong(format!("password_hash {rule}"), "make it with `tollbook export password`");
            }
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
            if user.exchange && (user.name.starts_with('.') || !user.name.chars().all(is_plain)) {
                return wrong(
                    "the name of a user with `exchange` is that of a directory".to_owned(),
                    "use letters, digits, dashes, dots, underscores and @",
                );
            }
            if user.rate_deck.is_some() && !user.exchange {
                return wrong(
                    "rate_deck is about files in `in/`, which it has not".to_owned(),
                    "add exchange = true, or leave rate_deck out",
                );
            }
            for (idx, line) in user.authorized_keys.iter().enumerate() {
                if let Err(rule) = exports::sftp::check_key(line) {
                    return wrong(
                        format!("line {} of authorized_keys {rule}", idx + 1),
                        "put in the partner's public key, such as \"ssh-ed25519 AAAA... partner@example\"",
                    );
                }
            }
        }
        Ok(())
    }

    /// Intervals and limits of nothing: a timer without pause, a call closed as soon as it begins.
    fn check_times(&self, file: &Path) -> Result<(), UserError> {
        let (pipeline, mediator) = (&self.pipeline, &self.mediator);
        let zero = [
            ("pipeline.tick", pipeline.tick.is_zero(), "\"10s\""),
            ("pipeline.lake_commit", pipeline.lake_commit.is_zero(), "\"1s\""),
            ("pipeline.lake_compact", pipeline.lake_compact.is_zero(), "\"5m\""),
            ("pipeline.lake_mirror", pipeline.lake_mirror.is_zero(), "\"10s\""),
            ("pipeline.mail_poll", pipeline.mail_poll.is_zero(), "\"2s\""),
            ("alarms.every", self.alarms.every.is_zero(), "\"1m\""),
            ("mediator.late_for", mediator.late_for.is_zero(), "\"10m\""),
            ("mediator.partials_for", mediator.partials_for.is_zero(), "\"2d\""),
            ("mediator.clock_tolerance", mediator.clock_tolerance.is_zero(), "\"10m\""),
            ("mediator.calls_open_max", mediator.calls_open_max == 0, "50000"),
            ("mediator.remembered_max", mediator.remembered_max == 0, "100000"),
            ("mediator.remembered_bytes_max", mediator.remembered_bytes_max == 0, "2097152"),
            ("lake.target_rows", self.lake.target_rows == 0, "1000000"),
        ];
        if let Some((key, _, usual)) = zero.iter().find(|(_, is_zero, _)| *is_zero) {
            return Err(UserError::new(
                format!("{}: {key}: must be more than nothing", file.display()),
                format!("the usual value is {usual}"),
            ));
        }
        let tick = Duration::from_secs(u64::from(self.switch.charge_tick_seconds));
        if mediator.close_after <= tick {
            return Err(UserError::new(
                format!(
                    "{}: mediator.close_after: calls give a sign of life every {} s (switch.charge_tick_seconds), so \
                     every call that lasts would be closed as partial",
                    file.display(),
                    tick.as_secs()
                ),
                "use a longer time; the usual value is \"4h\"",
            ));
        }
        if pipeline.takeover < Duration::from_secs(3) {
            return Err(UserError::new(
                format!("{}: pipeline.takeover: signs of life come once a second", file.display()),
                "use \"3s\" or more; the usual value is \"10s\"",
            ));
        }
        if self.lake.compact_files_min < 2 {
            return Err(UserError::new(
                format!("{}: lake.compact_files_min: one file cannot be merged", file.display()),
                "use 2 or more; the usual value is 8",
            ));
        }
        Ok(())
    }

    /// Whether the installation's database is there already, as far as that can be told from here.
    pub(crate) fn has_database(&self) -> bool {
        match self.store_url().strip_prefix("sqlite://") {
            Some(file) => Path::new(file.split_once('?').map_or(file, |(file, _)| file)).exists(),
            None => true,
        }
    }

    /// Address of the database.
    pub(crate) fn store_url(&self) -> String {
        if self.store.url == "sqlite" {
            format!("sqlite://{}", self.data.join("tollbook.db").display())
        } else {
            self.store.url.clone()
        }
    }

    /// Where the event log is, as it may be shown.
    pub(crate) fn bus_place(&self) -> String {
        if self.bus.is_kafka() { self.bus.url.clone() } else { self.bus_dir().display().to_string() }
    }

    /// Directory of the switch's own log, when the event log is on Kafka.
    pub(crate) fn switch_log_dir(&self) -> PathBuf {
        self.data.join("switch-log")
    }

    /// Directory of the embedded event log.
    pub(crate) fn bus_dir(&self) -> PathBuf {
        self.data.join("bus")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let shown = match toml_file::parse::<Config>(text, Path::new("tollbook.toml")) {
            Ok(config) => match config.check(Path::new("tollbook.toml")) {
                Ok(()) => "fine".to_owned(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn empty_file_is_a_working_configuration() {
        check("", expect!["fine"]);
    }

    #[test]
    fn misspelt_key_names_line_and_the_nearest_key() {
        check(
            "data = \"x\"\n[store]\nulr = \"sqlite\"\n",
            expect!["tollbook.toml:3:1: unknown field `ulr`, expected `url`; did you mean `url`?"],
        );
    }

    #[test]
    fn wrong_type_names_what_was_expected() {
        check(
            "[web]\nlisten = 8080\n",
            expect![[
                r#"tollbook.toml:2:10: invalid type: integer `8080`, expected socket address; write address and port, such as "127.0.0.1:5060""#
            ]],
        );
    }

    #[test]
    fn sftp_folder_outside_the_exports_is_refused() {
        check(
            "[[sftp.users]]\nname = \"x\"\nfolder = \"../..\"\nauthorized_keys = [\"ssh-ed25519 AAAA\"]\n",
            expect![[
                r#"tollbook.toml: sftp.users "x": the folder must lie below the export directory; write it like "system" or "resellers/north""#
            ]],
        );
    }

    #[test]
    fn what_would_only_fail_once_it_runs_is_told_by_the_check() {
        const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let user = |name: &str, folder: &str, key: &str| {
            format!(
                "[[sftp.users]]\nname = \"{name}\"\nfolder = \"{folder}\"\nauthorized_keys = [\"{key}\"]\n"
            )
        };
        check(
            &user("x", "system", "garbage"),
            expect![[
                r#"tollbook.toml: sftp.users "x": line 1 of authorized_keys is not a plain public key as in id_ed25519.pub (length invalid); put in the partner's public key, such as "ssh-ed25519 AAAA... partner@example""#
            ]],
        );
        check(
            &user("", "system", KEY),
            expect![[r#"tollbook.toml: sftp.users "": a user needs a name; give the login name"#]],
        );
        check(
            &user("x", "", KEY),
            expect![[
                r#"tollbook.toml: sftp.users "x": an empty folder would show the files of everybody; write it like "system" or "resellers/north", or "." if all of them are meant"#
            ]],
        );
        check(
            &(user("x", "system", KEY) + &user("x", "resellers/a", KEY)),
            expect![[
                r#"tollbook.toml: sftp.users "x": is there twice; remove one; a user may have several keys"#
            ]],
        );
        check(
            "[mail]\nfrom = \"nobody\"\n",
            expect![[
                r#"tollbook.toml: mail.from: "nobody" is not a mail address; write "Name <user@example.com>""#
            ]],
        );
        check(
            "[store]\nurl = \"mysql://u:secret@h/db\"\n",
            expect![[
                r#"tollbook.toml: store.url: "mysql" is not a database of this version; use "sqlite", "sqlite:///path/to/file" or "postgres://user@host/db""#
            ]],
        );
        check(
            "log = \"switch=loud\"\n",
            expect![[
                r#"tollbook.toml: log: "switch=loud" is no log filter: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5; write it like "info" or "warn,switch=debug""#
            ]],
        );
        check(
            "[web]\nlisten = \"0.0.0.0:2022\"\n",
            expect![
                "tollbook.toml: web.listen: 0.0.0.0:2022 is also sftp.server.listen; give one of them another port"
            ],
        );
        check(
            "[pipeline]\nmail_poll = \"0s\"\n",
            expect![[
                r#"tollbook.toml: pipeline.mail_poll: must be more than nothing; the usual value is "2s""#
            ]],
        );
        check(
            "[mediator]\nclose_after = \"30s\"\n",
            expect![[
                r#"tollbook.toml: mediator.close_after: calls give a sign of life every 30 s (switch.charge_tick_seconds), so every call that lasts would be closed as partial; use a longer time; the usual value is "4h""#
            ]],
        );
        check(
            "[mediator]\ncalls_open_max = 0\n",
            expect![
                "tollbook.toml: mediator.calls_open_max: must be more than nothing; the usual value is 50000"
            ],
        );
        check(
            "[[lake.retention]]\nclass = \"calls\"\ndays = 180\nthen = \"delete\"\n",
            expect![[
                r#"tollbook.toml: lake.retention: calls stay as rows, since invoices and audits count on them; use then = "anonymise" for calls"#
            ]],
        );
        check(
            "[lake]\npg_listen = \"0.0.0.0:5432\"\n",
            expect![
                "tollbook.toml: lake.pg_listen: 0.0.0.0:5432 can be reached from other machines, and passwords would go over the network as they are; give pg_certificate and pg_key, or listen on 127.0.0.1"
            ],
        );
        check(
            "[lake]\npg_listen = \"127.0.0.1:5432\"\npg_certificate = \"lake.pem\"\n",
            expect!["tollbook.toml: lake.pg_key: is missing; certificate and key come together"],
        );
        check(
            "[lake]\ncompact_files_min = 1\n",
            expect![
                "tollbook.toml: lake.compact_files_min: one file cannot be merged; use 2 or more; the usual value is 8"
            ],
        );
    }

    #[test]
    fn remedy_shows_how_a_value_of_the_right_kind_is_written() {
        check(
            "[pipeline]\ntick = 10\n",
            expect![[
                r#"tollbook.toml:2:8: invalid type: integer `10`, expected a duration; write it like "10s", "5m" or "4h""#
            ]],
        );
        check(
            "[switch]\ncalls_max = \"many\"\n",
            expect![[
                r#"tollbook.toml:2:13: invalid type: string "many", expected u32; write a whole number from 0 on, without quotes"#
            ]],
        );
        check(
            "[exports]\nanswered_only = \"yes\"\n",
            expect![[
                r#"tollbook.toml:2:17: invalid type: string "yes", expected a boolean; write true or false, without quotes"#
            ]],
        );
        check(
            "[exports]\nzone = \"Europe/Wien\"\n",
            expect![[
                r#"tollbook.toml:2:8: failed to parse timezone: 'Europe/Wien'; use an IANA name such as "Europe/Vienna""#
            ]],
        );
        check(
            "log = 3\n",
            expect!["tollbook.toml:1:7: invalid type: integer `3`, expected a string; put it in quotes"],
        );
    }
}
