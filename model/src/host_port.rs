//! A place on the network as people write it: an address, or a name that the DNS knows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where SIP requests go: `203.0.113.9:5060`, `[2001:db8::9]`, `sip.carrier.example` or `sip.carrier.example:5070`.
///
/// A name without a port is looked up as a service (SRV, RFC 3263), one with a port as a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPort {
    /// An address; the port is 5060 unless given.
    Address(SocketAddr),
    /// A name.
    Name {
        /// In lower case.
        host: String,
        /// Of the host, if it is given.
        port: Option<u16>,
    },
}

/// What is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address nor a host name; write it like \"203.0.113.9:5060\" or \"sip.carrier.example\""
)]
pub struct InvalidHostPort(String);

impl HostPort {
    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            HostPort::Address(_) => None,
            HostPort::Name { host, .. } => Some(host),
        }
    }
}

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let invalid = || InvalidHostPort(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(invalid()) } else { Ok(HostPort::Address(address)) };
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(HostPort::Address(SocketAddr::new(address, 5060)));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => {
                (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?))
            }
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        // RFC 1035, 2.3.4: labels of at most 63, names of at most 253 characters.
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        // The last label of a host name is never a number (RFC 1123, 2.1): that would be a mistyped address.
        let is_number =
            host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if host.len() > 253 || is_number || !host.split('.').all(is_label) {
            return Err(invalid());
        }
        Ok(HostPort::Name { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPort::Address(address) => write!(f, "{address}"),
            HostPort::Name { host, port: Some(port) } => write!(f, "{host}:{port}"),
            HostPort::Name { host, port: None } => write!(f, "{host}"),
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = InvalidHostPort;

    fn try_from(text: String) -> Result<Self, InvalidHostPort> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(place: HostPort) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<HostPort>().map(|place| place.to_string()).unwrap_or_default();
        assert_eq!(read("203.0.113.9:5070"), "203.0.113.9:5070");
        assert_eq!(read("203.0.113.9"), "203.0.113.9:5060");
        assert_eq!(read("[2001:db8::9]:5070"), "[2001:db8::9]:5070");
        assert_eq!(read("[2001:db8::9]"), "[2001:db8::9]:5060");
        assert_eq!(read("2001:db8::9"), "[2001:db8::9]:5060");
        assert_eq!(read("SIP.Carrier.Example."), "sip.carrier.example");
        assert_eq!(read("sip.carrier.example:5070"), "sip.carrier.example:5070");
        for nonsense in ["", "203.0.113.999", "a..b", "a b", "host:0", "host:99999", "host:", "203.0.113.9:0"]
        {
            assert_eq!(read(nonsense), "", "{nonsense}");
        }
    }
}
