//! The embedded log's part of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BusError;

/// How the log on this machine is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddedConfig {
    /// Lanes of each topic: the stages' parallelism. Fixed when the directory is made. 1 to 1024. Default: 16.
    pub partitions: u32,
    /// How long records are kept after they were appended, e.g. `"7d"`; at least until seven hours after every stage has read them. Default:
    /// `"7d"`.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// Bytes kept of each topic; older records are dropped even within `retention`, but not before seven hours after every stage has read them. Absent
    /// keeps them all, until the disk is full and appends are refused. Default: absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_bytes: Option<u64>,
    /// While several appends are under way, one fsync serves all that came within so long after the last; a lone
    /// append never waits. `"0s"` to `"10ms"`. Default: `"2ms"`.
    #[serde(with = "humantime_serde")]
    pub sync_interval: Duration,
    /// Appends are refused while the file system has less free than this, bytes: a log that stops before the disk is
    /// full can always be opened again, and sorting in the background needs room too. Default: 536870912 (512 MiB).
    pub free_bytes_min: u64,
    /// Records are dropped in segments of about this size, bytes. At least 65536. Default: 268435456 (256 MiB).
    pub segment_bytes: u64,
    /// And a segment takes appends for so long, e.g. `"1d"`: what expires may be kept for so much longer. Default: `"1d"`.
    #[serde(with = "humantime_serde")]
    pub segment_span: Duration,
    /// Memory for blocks read from disk, bytes. Default: 8388608 (8 MiB).
    pub cache_bytes: u64,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            partitions: model::PARTITIONS_DEFAULT,
            retention: Duration::from_secs(7 * 86_400),
            retain_bytes: None,
            sync_interval: Duration::from_millis(2),
            free_bytes_min: 512 << 20,
            segment_bytes: 256 << 20,
            segment_span: Duration::from_secs(86_400),
            cache_bytes: 8 << 20,
        }
    }
}

impl EmbeddedConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// [`BusError::Config`] with key, value and rule.
    pub fn validate(&self) -> Result<(), BusError> {
        let refuse = |key, value: String, rule| Err(BusError::Config { key, value, rule });
        if !(1..=1024).contains(&self.partitions) {
            return refuse("partitions", self.partitions.to_string(), "it must be 1 to 1024");
        }
        if self.sync_interval > Duration::from_millis(10) {
            let value = format!("{:?}", self.sync_interval);
            return refuse("sync_interval", value, "records must be durable within 10ms");
        }
        if self.segment_bytes < 65_536 {
            return refuse("segment_bytes", self.segment_bytes.to_string(), "it must be at least 65536");
        }
        if self.retention.is_zero() {
            return refuse("retention", "0s".to_owned(), "records must be kept until they are read");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_and_defaults_agree() {
        let config: EmbeddedConfig = toml::from_str("").unwrap();
        assert_eq!(config, EmbeddedConfig::default());
        config.validate().unwrap();
        let again: EmbeddedConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn misspelt_key_is_refused_with_the_keys_there_are() {
        let error = toml::from_str::<EmbeddedConfig>("retension = \"7d\"").unwrap_err().to_string();
        assert!(error.contains("retension") && error.contains("retention"), "{error}");
    }

    #[test]
    fn value_out_of_bounds_is_refused_with_its_rule() {
        let config: EmbeddedConfig = toml::from_str("sync_interval = \"1s\"").unwrap();
        let message = config.validate().unwrap_err().to_string();
        assert_eq!(message, "bus.sync_interval is 1s, but records must be durable within 10ms");
    }
}
