//! One hop: where a message goes to or came from, and over which transport.

use std::fmt;
use std::net::SocketAddr;

use model::Transport;

use crate::ascii;
use crate::message::{Params, Scheme, Uri};

/// The next place a message goes to, or the last it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// Where; of a stream the far end of its connection.
    pub address: SocketAddr,
}

impl Hop {
    /// By UDP.
    pub const fn udp(address: SocketAddr) -> Self {
        Self { transport: Transport::Udp, address }
    }

    /// Whether what is sent arrives or the sender hears of it: then nothing is sent twice (RFC 3261, 17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self.transport, Transport::Udp)
    }

    /// Where a SIP URI with an address leads: its transport parameter counts, `sips` is TLS, else it is `usual`.
    pub(crate) fn of_uri(uri: &Uri<'_>, usual: Transport) -> Option<Self> {
        let transport = transport_of(uri.params).unwrap_or(match uri.scheme {
            Scheme::Sips => Transport::Tls,
            Scheme::Sip | Scheme::Tel | Scheme::Other => usual,
        });
        let mut address = uri.socket_address()?;
        if uri.port.is_none() && transport == Transport::Tls {
            address.set_port(5061);
        }
        (address.port() != 0).then_some(Self { transport, address })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.address)
    }
}

/// The word of a Via.
pub(crate) const fn via_word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    }
}

fn transport_of(params: Params<'_>) -> Option<Transport> {
    let value = params.value("transport")?;
    [(&b"udp"[..], Transport::Udp), (b"tcp", Transport::Tcp), (b"tls", Transport::Tls)]
        .into_iter()
        .find_map(|(word, transport)| value.eq_ignore_ascii_case(word).then_some(transport))
}

/// The addresses at which we say we can be reached, by transport and family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    first: Ports,
    /// In the other family.
    other: Option<Ports>,
}

/// One address by transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    /// For UDP and TCP.
    plain: SocketAddr,
    /// For TLS.
    tls: SocketAddr,
}

impl Ports {
    /// With TLS one port above, as is usual.
    fn at(plain: SocketAddr) -> Self {
        let mut tls = plain;
        tls.set_port(plain.port().checked_add(1).unwrap_or(plain.port()));
        Self { plain, tls }
    }
}

impl Addresses {
    /// With TLS one port above, as is usual.
    pub fn at(plain: SocketAddr) -> Self {
        Self { first: Ports::at(plain), other: None }
    }

    /// And in the other family at `plain`. An address of the family that is known already changes nothing.
    pub fn and_at(self, plain: SocketAddr) -> Self {
        let is_new = plain.is_ipv4() != self.first.plain.is_ipv4();
        Self { other: if is_new { Some(Ports::at(plain)) } else { self.other }, ..self }
    }

    /// With TLS at this port.
    pub fn with_tls_port(mut self, port: u16) -> Self {
        self.first.tls.set_port(port);
        if let Some(other) = &mut self.other {
            other.tls.set_port(port);
        }
        self
    }

    /// Whether a peer of that family can be reached at all.
    pub(crate) fn serves(self, peer: Hop) -> bool {
        let is_ipv4 = peer.address.is_ipv4();
        self.other.is_some() || self.first.plain.is_ipv4() == is_ipv4
    }

    /// The one that `peer` can answer to.
    pub(crate) fn of(self, peer: Hop) -> SocketAddr {
        let same = |ports: &Ports| ports.plain.is_ipv4() == peer.address.is_ipv4();
        let ports = self.other.filter(same).unwrap_or(self.first);
        match peer.transport {
            Transport::Udp | Transport::Tcp => ports.plain,
            Transport::Tls => ports.tls,
        }
    }

    /// Our Contact for `peer`, as a URI in brackets.
    pub(crate) fn contact(self, peer: Hop) -> String {
        let own = ascii::address(self.of(peer));
        let end = match peer.transport {
            Transport::Udp => ">",
            Transport::Tcp => ";transport=tcp>",
            Transport::Tls => ";transport=tls>",
        };
        ["<sip:", own.as_str(), end].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, expected: Option<&str>) {
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        let hop = Hop::of_uri(&uri, Transport::Udp);
        assert_eq!(hop.map(|hop| hop.to_string()).as_deref(), expected);
    }

    #[test]
    fn uri_names_its_hop_with_transport_and_port() {
        check("sip:bob@192.0.2.7", Some("udp 192.0.2.7:5060"));
        check("sip:bob@192.0.2.7:5070;transport=TCP", Some("tcp 192.0.2.7:5070"));
        check("sip:bob@192.0.2.7;transport=tls", Some("tls 192.0.2.7:5061"));
        check("sips:bob@[2001:db8::1]", Some("tls [2001:db8::1]:5061"));
        check("sip:bob@example.net", None);
        check("sip:bob@192.0.2.7:0", None);
    }

    #[test]
    fn each_peer_is_told_an_address_of_its_own_family() {
        let own = Addresses::at("192.0.2.1:5060".parse().unwrap());
        let (v4, v6) = ("198.51.100.7:5060".parse().unwrap(), "[2001:db8::7]:5060".parse().unwrap());
        assert!(own.serves(Hop::udp(v4)) && !own.serves(Hop::udp(v6)));
        let own = own.and_at("[2001:db8::1]:5060".parse().unwrap()).with_tls_port(5071);
        assert!(own.serves(Hop::udp(v6)));
        assert_eq!(own.contact(Hop::udp(v4)), "<sip:192.0.2.1:5060>");
        assert_eq!(own.contact(Hop::udp(v6)), "<sip:[2001:db8::1]:5060>");
        let tls = Hop { transport: Transport::Tls, address: v6 };
        assert_eq!(own.contact(tls), "<sip:[2001:db8::1]:5071;transport=tls>");
    }
}
