//! Configuration of the switch: the doc comments are its manual.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Calls in progress at most, unless configured otherwise. At 6 kB of state a call this is 120 MB, half of what our
/// smallest machine has to spare.
pub const CALLS_ACTIVE_MAX: u32 = 20_000;

/// Hash algorithms of digest authentication (RFC 8760).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DigestAlgorithm {
    /// The one to use.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// For phones that know no better.
    #[serde(rename = "MD5")]
    Md5,
}

/// Section `[switch]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchConfig {
    /// Name of this switch in every record; letters, digits and dots, unique on the platform. Default: `"sw1"`.
    pub node: String,
    /// Address and port of the UDP socket. Default: `"0.0.0.0:5060"`.
    pub listen: SocketAddr,
    /// Address that peers are told to answer to (Via, Contact), where it differs from `listen`: behind a NAT, or when
    /// listening on all interfaces of a machine with several. Default: the address of the interface that leads out.
    pub advertise: Option<SocketAddr>,
    /// SIP domain of callers that name none of the subscribers' domains, and realm of their challenge. Default: `"localhost"`.
    pub domain: String,
    /// Calls in progress at most; the next gets 503 with Retry-After. Default: 20000.
    pub calls_max: u32,
    /// Seconds a call may last; then both sides get a BYE. Default: 14400 (4 hours).
    pub call_seconds_max: u32,
    /// Seconds a call may ring before it is given up with 480. Default: 180.
    pub ring_seconds_max: u32,
    /// Seconds a route may stay silent, without even a 100, before the next one is tried. Default: 4.
    pub route_seconds_max: u32,
    /// Routes tried for one call at most. Default: 5.
    pub route_attempts_max: u16,
    /// Seconds between two signs of life (`charge_tick` events) of an answered call. Default: 30.
    pub charge_tick_seconds: u32,
    /// Shortest registration accepted, seconds; a shorter wish gets 423. Default: 60.
    pub register_seconds_min: u32,
    /// Longest registration granted, seconds; a longer wish is cut to this. Default: 3600.
    pub register_seconds_max: u32,
    /// Contacts of one subscriber at most; a further one takes the place of the oldest. Default: 5.
    pub contacts_max: u32,
    /// Seconds a challenge can be answered; then it is renewed with `stale=true`. Default: 300.
    pub nonce_seconds: u32,
    /// Hash algorithms of digest challenges, in the order they are offered; others are refused. A few old phones read only the
    /// first challenge and know only MD5: for them, put `"MD5"` first. Some give up when any challenge names an algorithm they do
    /// not know (baresip 1.0): for them, `["MD5"]` alone. Default: `["SHA-256", "MD5"]`.
    pub digest_algorithms: Vec<DigestAlgorithm>,
    /// Seconds a refused peer is asked to wait (`Retry-After`) when we are full, draining or cannot write. Default: 5.
    pub retry_after_seconds: u32,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self {
            node: "sw1".to_owned(),
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060)),
            advertise: None,
            domain: "localhost".to_owned(),
            calls_max: CALLS_ACTIVE_MAX,
            call_seconds_max: 14_400,
            ring_seconds_max: 180,
            route_seconds_max: 4,
            route_attempts_max: 5,
            charge_tick_seconds: 30,
            register_seconds_min: 60,
            register_seconds_max: 3_600,
            contacts_max: 5,
            nonce_seconds: 300,
            digest_algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            retry_after_seconds: 5,
        }
    }
}

impl SwitchConfig {
    /// Checks what types alone cannot hold.
    ///
    /// # Errors
    ///
    /// A sentence naming the key, the rule and a value that would do.
    pub fn check(&self) -> Result<(), String> {
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        if !plain(&self.node) {
            return Err(format!(
                "switch.node = {:?} must be letters, digits, dots and dashes, such as \"sw1\"",
                self.node
            ));
        }
        if !plain(&self.domain) {
            return Err(format!(
                "switch.domain = {:?} must be a host name, such as \"sip.example.net\"",
                self.domain
            ));
        }
        if self.advertise.is_some_and(|address| address.ip().is_unspecified() || address.port() == 0) {
            return Err(
                "switch.advertise must be an address peers can reach, such as \"192.0.2.10:5060\"".to_owned()
            );
        }
        let positive = [
            ("calls_max", self.calls_max),
            ("call_seconds_max", self.call_seconds_max),
            ("ring_seconds_max", self.ring_seconds_max),
            ("route_seconds_max", self.route_seconds_max),
            ("route_attempts_max", u32::from(self.route_attempts_max)),
            ("charge_tick_seconds", self.charge_tick_seconds),
            ("register_seconds_min", self.register_seconds_min),
            ("contacts_max", self.contacts_max),
            ("nonce_seconds", self.nonce_seconds),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("switch.{key} must be at least 1"));
        }
        if self.digest_algorithms.is_empty() {
            return Err(
                "switch.digest_algorithms must name at least one, such as [\"SHA-256\", \"MD5\"]".to_owned()
            );
        }
        if self.register_seconds_min > self.register_seconds_max {
            return Err(format!(
                "switch.register_seconds_min = {} must not be above switch.register_seconds_max = {}",
                self.register_seconds_min, self.register_seconds_max
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_key_is_refused_and_named() {
        let error = serde_json::from_str::<SwitchConfig>(r#"{"calls_mx": 5}"#).unwrap_err().to_string();
        assert!(error.contains("calls_mx") && error.contains("calls_max"), "{error}");
    }

    #[test]
    fn defaults_are_accepted_and_a_zero_is_not() {
        assert_eq!(SwitchConfig::default().check(), Ok(()));
        let config = SwitchConfig { charge_tick_seconds: 0, ..SwitchConfig::default() };
        assert_eq!(config.check(), Err("switch.charge_tick_seconds must be at least 1".to_owned()));
    }
}
