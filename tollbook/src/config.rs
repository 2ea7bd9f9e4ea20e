//! One TOML file, one struct a section. A wrong key or value names file, line, rule and remedy; nothing starts before
//! all of it has been checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::failure::UserError;
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
    /// Outgoing mail.
    #[serde(default = "mail_default")]
    pub(crate) mail: notify::MailConfig,
    /// Console and API.
    #[serde(default)]
    pub(crate) web: WebConfig,
}

fn data_default() -> PathBuf {
    PathBuf::from("data")
}

fn mail_default() -> notify::MailConfig {
    notify::MailConfig {
        from: "tollbook@localhost".to_owned(),
        smtp: None,
        outbox_dir: PathBuf::from("outbox"),
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
    /// How often waiting mails are looked for. Default: `"2s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) mail_poll: Duration,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(10),
            lake_commit: Duration::from_secs(1),
            lake_compact: Duration::from_secs(300),
            mail_poll: Duration::from_secs(2),
        }
    }
}

/// The event log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BusConfig {
    /// `"embedded"`: in the data directory. Default: `"embedded"`.
    pub(crate) url: String,
    /// Of the embedded log.
    pub(crate) embedded: bus::EmbeddedConfig,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self { url: "embedded".to_owned(), embedded: bus::EmbeddedConfig::default() }
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
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SftpSection {
    /// The server.
    pub(crate) server: exports::sftp::SftpConfig,
    /// Who may fetch what.
    pub(crate) users: Vec<SftpUserConfig>,
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
    /// Whether the user may delete files after fetching them. Default: `false`.
    #[serde(default)]
    pub(crate) may_delete: bool,
}

/// Console and API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebConfig {
    /// Address of the console, e.g. `"127.0.0.1:8080"`. Default: `"127.0.0.1:8080"`.
    pub(crate) listen: SocketAddr,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
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
            (&mut config.sftp.server.host_key, "sftp_host_key"),
            (&mut config.mail.outbox_dir, "outbox"),
        ] {
            let chosen = if path.as_os_str().is_empty() { PathBuf::from(default) } else { path.clone() };
            *path = config.data.join(chosen);
        }
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &Path) -> Result<(), UserError> {
        let wrong = |key: &str, rule: &str, remedy: &str| {
            Err(UserError::new(format!("{}: {key}: {rule}", file.display()), remedy.to_owned()))
        };
        if self.bus.url != "embedded" {
            return wrong(
                "bus.url",
                &format!("{:?} is not an event log of this version", self.bus.url),
                "use \"embedded\"",
            );
        }
        for user in &self.sftp.users {
            if user.folder.is_absolute()
                || user.folder.components().any(|part| part == std::path::Component::ParentDir)
            {
                return wrong(
                    &format!("sftp.users {}", user.name),
                    "the folder must lie below the export directory",
                    "write it like \"system\" or \"resellers/north\"",
                );
            }
            if user.authorized_keys.is_empty() {
                return wrong(
                    &format!("sftp.users {}", user.name),
                    "nobody could sign in without a key",
                    "add authorized_keys = [\"ssh-ed25519 ...\"]",
                );
            }
        }
        if let Err(rule) = self.switch.check() {
            return Err(UserError::new(format!("{}: {rule}", file.display()), ""));
        }
        if let Err(rule) = self.exports.check() {
            return Err(UserError::new(format!("{}: {rule}", file.display()), ""));
        }
        if self.pipeline.tick.is_zero() || self.pipeline.lake_commit.is_zero() {
            return wrong("pipeline", "intervals must be longer than nothing", "use \"1s\" or more");
        }
        Ok(())
    }

    /// Address of the database.
    pub(crate) fn store_url(&self) -> String {
        if self.store.url == "sqlite" {
            format!("sqlite://{}", self.data.join("tollbook.db").display())
        } else {
            self.store.url.clone()
        }
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
        check("[web]\nlisten = 8080\n", expect!["tollbook.toml:2:10: invalid type: integer `8080`, expected socket address; see the comments in the files that `tollbook init` writes"]);
    }

    #[test]
    fn sftp_folder_outside_the_exports_is_refused() {
        check(
            "[[sftp.users]]\nname = \"x\"\nfolder = \"../..\"\nauthorized_keys = [\"ssh-ed25519 AAAA\"]\n",
            expect![[r#"tollbook.toml: sftp.users x: the folder must lie below the export directory; write it like "system" or "resellers/north""#]],
        );
    }
}
