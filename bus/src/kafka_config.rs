//! Kafka's part of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BusError;

/// How the log on a Kafka cluster is used. The brokers themselves are named by `bus.url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Topics are called `PREFIX.calls`, `PREFIX.cdrs` and so on; two installations on one cluster need two of them. Default:
    /// `"tollbook"`.
    pub topic_prefix: String,
    /// Lanes of each topic: the stages' parallelism. Fixed when the topics are made. 1 to 1024. Default: 16.
    pub partitions: u32,
    /// Brokers that hold each record, for topics that are made. 0: three of them, or as many as there are. Default: 0.
    pub replication: u16,
    /// How long records are kept after every stage has read them, e.g. `"7d"`; seven hours at least. Default: `"7d"`.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How records are compressed on their way and on the brokers: `"zstd"`, `"lz4"` or `"none"`. Default: `"lz4"`.
    pub compression: Compression,
    /// How long an append waits for company before it is sent, e.g. `"2ms"`. Default: `"2ms"`.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// How long an append or a read waits for brokers that do not answer before it says so; it is tried again. Default: `"30s"`.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// Memory of each lane for records read, so that several stages fetch them once, bytes. Default: 262144 (256 KiB).
    pub cache_bytes: usize,
    /// Encrypted connections. Default: absent, they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,
    /// Who we are to the brokers. Default: absent, nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSasl>,
}

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Smallest, at more work.
    Zstd,
    /// A third larger, at a third of the work.
    Lz4,
    /// As they are.
    None,
}

/// Encrypted connections to the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTls {
    /// PEM file of those whose signature on the brokers' certificates is believed. Default: those the system believes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots: Option<PathBuf>,
    /// PEM file of our own certificate, where the brokers ask for one. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM file of its key. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// User and password. The password is in a file or in the environment, never here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSasl {
    /// `"SCRAM-SHA-512"`, `"SCRAM-SHA-256"` or `"PLAIN"`; the last only with `tls`. Default: `"SCRAM-SHA-512"`.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// User.
    pub user: String,
    /// File that holds the password. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Variable of the environment that holds it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
}

/// How a password is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mechanism {
    /// By a challenge (RFC 5802), with SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// By a challenge, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// By telling it.
    #[serde(rename = "PLAIN")]
    Plain,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            topic_prefix: "tollbook".to_owned(),
            partitions: model::PARTITIONS_DEFAULT,
            replication: 0,
            retention: Duration::from_secs(7 * 86_400),
            compression: Compression::Lz4,
            linger: Duration::from_millis(2),
            patience: Duration::from_secs(30),
            cache_bytes: 256 << 10,
            tls: None,
            sasl: None,
        }
    }
}

impl KafkaConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// [`BusError::Config`] with key, value and rule.
    pub fn validate(&self) -> Result<(), BusError> {
        let refuse = |key, value: String, rule| Err(BusError::Config { key, value, rule });
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.topic_prefix.is_empty() || !self.topic_prefix.chars().all(is_name) {
            let rule = "it must be letters, digits, dots, dashes and underscores";
            return refuse("kafka.topic_prefix", format!("{:?}", self.topic_prefix), rule);
        }
        if !(1..=1024).contains(&self.partitions) {
            return refuse("kafka.partitions", self.partitions.to_string(), "it must be 1 to 1024");
        }
        if self.retention.is_zero() {
            return refuse("kafka.retention", "0s".to_owned(), "records must be kept until they are read");
        }
        if self.linger > Duration::from_secs(1) {
            let value = format!("{:?}", self.linger);
            return refuse("kafka.linger", value, "records would wait for longer than a second");
        }
        if self.patience < Duration::from_secs(1) {
            let value = format!("{:?}", self.patience);
            return refuse("kafka.patience", value, "brokers need at least a second to answer");
        }
        if let Some(tls) = &self.tls
            && tls.certificate.is_some() != tls.key.is_some()
        {
            let rule = "a certificate needs its key, and a key its certificate";
            return refuse("kafka.tls.certificate", "alone".to_owned(), rule);
        }
        if let Some(sasl) = &self.sasl {
            if sasl.password_file.is_some() == sasl.password_env.is_some() {
                let rule = "the password is either in `password_file` or in the variable `password_env`";
                return refuse("kafka.sasl.password_file", "unclear".to_owned(), rule);
            }
            if sasl.mechanism == Mechanism::Plain && self.tls.is_none() {
                let rule = "the password would be readable on the network: add [bus.kafka.tls], or use SCRAM";
                return refuse("kafka.sasl.mechanism", "PLAIN".to_owned(), rule);
            }
        }
        Ok(())
    }
}

impl Compression {
    #[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "for the client library"))]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
            Compression::None => "none",
        }
    }
}

impl Mechanism {
    #[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "for the client library"))]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
        }
    }
}

impl KafkaSasl {
    #[cfg_attr(not(any(feature = "kafka", test)), expect(dead_code, reason = "for the client library"))]
    pub(crate) fn password(&self) -> Result<String, BusError> {
        let refuse = |key, value, rule| Err(BusError::Config { key, value, rule });
        if let Some(file) = &self.password_file {
            return match std::fs::read_to_string(file) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(_) => refuse(
                    "kafka.sasl.password_file",
                    file.display().to_string(),
                    "that file cannot be read: check that it exists and that this user may read it",
                ),
            };
        }
        let variable = self.password_env.clone().unwrap_or_default();
        match std::env::var(&variable) {
            Ok(password) => Ok(password),
            Err(_) => refuse("kafka.sasl.password_env", variable, "the environment has no such variable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let config: KafkaConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn manual_and_defaults_agree() {
        let config: KafkaConfig = toml::from_str("").unwrap();
        assert_eq!(config, KafkaConfig::default());
        config.validate().unwrap();
        let again: KafkaConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn password_is_neither_told_in_the_clear_nor_kept_in_the_file() {
        let plain = refusal("[sasl]\nmechanism = \"PLAIN\"\nuser = \"bill\"\npassword_env = \"X\"\n");
        assert!(plain.contains("readable on the network"), "{plain}");
        let both = refusal("[sasl]\nuser = \"bill\"\npassword_env = \"X\"\npassword_file = \"y\"\n");
        assert!(both.contains("either in `password_file`"), "{both}");
        let inline = toml::from_str::<KafkaConfig>("[sasl]\nuser = \"bill\"\npassword = \"secret\"\n");
        assert!(inline.is_err());
    }

    #[test]
    fn password_comes_from_its_file_without_the_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "s3cret\n").unwrap();
        let text = format!("[sasl]\nuser = \"bill\"\npassword_file = {file:?}\n");
        let config: KafkaConfig = toml::from_str(&text).unwrap();
        let sasl = config.sasl.clone().unwrap();
        assert_eq!(sasl.password().unwrap(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
        std::fs::remove_file(&file).unwrap();
        let missing = sasl.password().unwrap_err().to_string();
        assert!(missing.contains("cannot be read"), "{missing}");
    }
}
