//! Configuration of the switch: the doc comments are its manual.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::b2bua::Network;
use crate::rules::ShellList;

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

/// Section `[switch.tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Address and port of the TLS socket, such as `"0.0.0.0:5061"`.
    pub listen: SocketAddr,
    /// File with our certificate and those that lead to the root, PEM. It is read again when it changes.
    pub certificate: PathBuf,
    /// File with its private key, PEM.
    pub key: PathBuf,
    /// File with the roots we trust, PEM: for the certificates of trunks, and of peers that connect to us where `clients` asks for one.
    pub roots: Option<PathBuf>,
    /// Whether those who connect must show a certificate. One that is shown from a trunk's address must be for the trunk: its `tls_name`, the
    /// name it is looked up by, or its `domain` (RFC 5922). Default: `"none"`.
    #[serde(default)]
    pub clients: ClientCertificates,
    /// Whether the certificates of trunks are checked. Default: true.
    #[serde(default = "yes")]
    pub verify_trunks: bool,
}

const fn yes() -> bool {
    true
}

/// Whether those who connect by TLS must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    None,
    /// One that is shown must be good.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// What keeps the way in to a phone behind a NAT open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatKeepAlive {
    /// A double line end.
    Crlf,
    /// An OPTIONS request.
    Options,
}

/// Whether a call is let through whose balance cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutRating {
    /// No: 503.
    Refuse,
    /// Yes: it is counted and logged, and priced and posted as any other.
    Allow,
}

/// Section `[switch.credit]`: calls of prepaid accounts, and of those with a credit limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreditConfig {
    /// SIP code for a call that its balance does not allow: 402, 403 or 503. Default: 402.
    pub no_credit_code: u16,
    /// Milliseconds the charging service may take to say whether a call may begin. Default: 500.
    pub patience_ms: u32,
    /// Milliseconds before the end of what was granted at which more is asked for. Default: 1000.
    pub margin_ms: u32,
    /// A prepaid call whose balance cannot be asked: `"refuse"` or `"allow"`. Default: `"refuse"`.
    pub prepaid_without_rating: WithoutRating,
    /// A postpaid call with a credit limit that cannot be asked. Default: `"allow"`.
    pub postpaid_without_rating: WithoutRating,
    /// Milliseconds that the last message of a call to a party that is told its price may wait for it; below 500, for the party then sends
    /// its own again. Default: 150.
    pub advice_ms: u32,
}

impl Default for CreditConfig {
    fn default() -> Self {
        Self {
            no_credit_code: 402,
            patience_ms: 500,
            margin_ms: 1_000,
            prepaid_without_rating: WithoutRating::Refuse,
            postpaid_without_rating: WithoutRating::Allow,
            advice_ms: 150,
        }
    }
}

/// Section `[switch]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchConfig {
    /// Name of this switch in every record; letters, digits and dots, unique on the platform. Default: `"sw1"`.
    pub node: String,
    /// Address and port of the UDP socket. `"[::]:5060"` serves IPv6 and IPv4. Default: `"0.0.0.0:5060"`.
    pub listen: SocketAddr,
    /// Whether TCP is served too, on the same address and port. Default: true.
    pub tcp: bool,
    /// TLS, if it is served: section `[switch.tls]`. Default: not.
    pub tls: Option<TlsConfig>,
    /// Address that peers are told to answer to (Via, Contact), where it differs from `listen`: behind a NAT, or when
    /// listening on all interfaces of a machine with several. Default: the address of the interface that leads out.
    pub advertise: Option<SocketAddr>,
    /// The same for peers by IPv6, where `advertise` is for those by IPv4. Default: the address of the interface that leads out by IPv6,
    /// when listening on `"[::]"`.
    pub advertise_v6: Option<SocketAddr>,
    /// Name servers that are asked for the names of trunks, such as `"192.0.2.53"`. Default: those of `/etc/resolv.conf`.
    pub dns_servers: Vec<String>,
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
    /// Seconds within which a next route may be begun; later a failing call ends. Default: 60.
    pub setup_seconds_max: u32,
    /// Session interval that we ask for (RFC 4028), seconds; 0 asks for none. Default: 1800.
    pub session_seconds: u32,
    /// Shortest session interval that is accepted; a shorter wish gets 422. Default: 90.
    pub session_seconds_min: u32,
    /// Seconds after which a side without session timer is asked whether the call is still there, so that a lost BYE is not
    /// billed for hours; rounded up to a multiple of `charge_tick_seconds`; 0 does not ask. Default: 60.
    pub alive_seconds: u32,
    /// Seconds between two signs of life (`charge_tick` events) of an answered call. Default: 30.
    pub charge_tick_seconds: u32,
    /// Shortest registration accepted, seconds; a shorter wish gets 423. Default: 60.
    pub register_seconds_min: u32,
    /// Longest registration granted, seconds; a longer wish is cut to this. Default: 3600.
    pub register_seconds_max: u32,
    /// Contacts of one subscriber at most; a further one takes the place of the oldest. Default: 5.
    pub contacts_max: u32,
    /// Seconds between two keep-alives to a phone behind a NAT that registered by UDP, so that calls find their way in; most NATs forget
    /// after 30 or more; 0 sends none. Default: 25.
    pub nat_keepalive_seconds: u32,
    /// What is sent: `"crlf"`, line ends that need no answer, or `"options"`, a request that makes the phone send something too, which
    /// some NATs want. Default: `"crlf"`.
    pub nat_keepalive: NatKeepAlive,
    /// Seconds a challenge can be answered; then it is renewed with `stale=true`. Default: 300.
    pub nonce_seconds: u32,
    /// Hash algorithms of digest challenges, in the order they are offered; others are refused. A few old phones read only the
    /// first challenge and know only MD5: for them, put `"MD5"` first. Some give up when any challenge names an algorithm they do
    /// not know (baresip 1.0): for them, `["MD5"]` alone. Default: `["SHA-256", "MD5"]`.
    pub digest_algorithms: Vec<DigestAlgorithm>,
    /// Requests a second that may come from one address without leading anywhere (challenged, refused, malformed); 0 never bans. Those
    /// whose credentials turn out right are not counted. Default: 50.
    pub flood_per_second: u32,
    /// And so many at once. Default: 200.
    pub flood_burst: u32,
    /// Wrong passwords from one address before it is shut out; two a minute are forgiven; 0 never bans. Default: 10.
    pub auth_failures_max: u32,
    /// Seconds an address is shut out the first time; each further time twice as long, up to a day. Default: 300.
    pub ban_seconds: u32,
    /// Addresses and networks that are never shut out, besides those of trunks, such as `"192.0.2.0/28"`. Default: none.
    pub never_banned: Vec<String>,
    /// User-Agents whose requests are dropped without an answer, as shell patterns. Default: the scanners everybody knows.
    pub scanners: Vec<String>,
    /// Calls held to a balance: section `[switch.credit]`.
    pub credit: CreditConfig,
    /// Directory of the SIP trace, for `tollbook trace`. Default: `trace` in the data directory; the switch alone keeps none.
    pub trace_dir: Option<PathBuf>,
    /// Bytes the trace may take on disk; the oldest goes first; 0 keeps none. At 6 kB a call the default holds about 40 000.
    /// Default: 268435456 (256 MiB).
    pub trace_bytes_max: u64,
    /// Seconds a refused peer is asked to wait (`Retry-After`) when we are full, draining or cannot write. Default: 5.
    pub retry_after_seconds: u32,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self {
            node: "sw1".to_owned(),
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060)),
            advertise: None,
            advertise_v6: None,
            dns_servers: Vec::new(),
            tcp: true,
            tls: None,
            domain: "localhost".to_owned(),
            calls_max: CALLS_ACTIVE_MAX,
            call_seconds_max: 14_400,
            ring_seconds_max: 180,
            route_seconds_max: 4,
            route_attempts_max: 5,
            setup_seconds_max: 60,
            session_seconds: 1_800,
            session_seconds_min: 90,
            alive_seconds: 60,
            charge_tick_seconds: 30,
            register_seconds_min: 60,
            register_seconds_max: 3_600,
            contacts_max: 5,
            nat_keepalive_seconds: 25,
            nat_keepalive: NatKeepAlive::Crlf,
            nonce_seconds: 300,
            digest_algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            flood_per_second: 50,
            flood_burst: 200,
            auth_failures_max: 10,
            ban_seconds: 300,
            never_banned: Vec::new(),
            scanners: ["friendly-scanner*", "sipvicious*", "sipcli*", "sip-scan*", "sundayddr*", "pplsip*"]
                .map(str::to_owned)
                .to_vec(),
            credit: CreditConfig::default(),
            trace_dir: None,
            trace_bytes_max: 256 << 20,
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
        if let Some(v6) = self.advertise_v6
            && (!v6.is_ipv6() || v6.ip().is_unspecified() || v6.port() == 0 || !self.listen.is_ipv6())
        {
            return Err(
                "switch.advertise_v6 must be an IPv6 address peers can reach, such as \"[2001:db8::1]:5060\", and \
                 switch.listen one that takes both, such as \"[::]:5060\""
                    .to_owned(),
            );
        }
        let is_address = |text: &String| matches!(text.parse(), Ok(model::HostPort::Address(_)));
        if let Some(bad) = self.dns_servers.iter().find(|text| !is_address(text)) {
            return Err(format!("switch.dns_servers: {bad:?} is no address; write it like \"192.0.2.53\""));
        }
        let positive = [
            ("calls_max", self.calls_max),
            ("call_seconds_max", self.call_seconds_max),
            ("ring_seconds_max", self.ring_seconds_max),
            ("route_seconds_max", self.route_seconds_max),
            ("route_attempts_max", u32::from(self.route_attempts_max)),
            ("charge_tick_seconds", self.charge_tick_seconds),
            ("setup_seconds_max", self.setup_seconds_max),
            ("register_seconds_min", self.register_seconds_min),
            ("contacts_max", self.contacts_max),
            ("nonce_seconds", self.nonce_seconds),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("switch.{key} must be at least 1"));
        }
        if ![402, 403, 503].contains(&self.credit.no_credit_code) {
            return Err(format!(
                "switch.credit.no_credit_code = {} must be 402, 403 or 503",
                self.credit.no_credit_code
            ));
        }
        if self.credit.patience_ms == 0 {
            return Err("switch.credit.patience_ms must be at least 1".to_owned());
        }
        if !(1..500).contains(&self.credit.advice_ms) {
            return Err(format!(
                "switch.credit.advice_ms = {} must be 1 to 499: a party sends its BYE again after 500",
                self.credit.advice_ms
            ));
        }
        if self.session_seconds > 0 && self.session_seconds < self.session_seconds_min {
            return Err(format!(
                "switch.session_seconds = {} must be 0 or at least switch.session_seconds_min = {}",
                self.session_seconds, self.session_seconds_min
            ));
        }
        if self.session_seconds_min < 90 {
            return Err("switch.session_seconds_min must be at least 90 (RFC 4028, 4)".to_owned());
        }
        if let Some(tls) = &self.tls
            && tls.listen.port() == self.listen.port()
            && self.tcp
        {
            return Err(
                "switch.tls.listen must have another port than switch.listen; 5061 is usual".to_owned()
            );
        }
        if let Some(tls) = &self.tls
            && tls.clients != ClientCertificates::None
            && tls.roots.is_none()
        {
            return Err("switch.tls.roots must name the roots that client certificates lead to".to_owned());
        }
        if let Some(bad) = self.never_banned.iter().find(|text| Network::parse(text).is_none()) {
            return Err(format!(
                "switch.never_banned: {bad:?} is no address or network; write it like \"192.0.2.0/28\""
            ));
        }
        ShellList::compile(&self.scanners, true).map_err(|why| format!("switch.scanners: {why}"))?;
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
