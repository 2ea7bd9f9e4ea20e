//! One hop: where a message goes to or came from, and over which transport.

use std::fmt;
use std::net::SocketAddr;

use model::Transport;

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

/// The addresses at which we say we can be reached, by transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For UDP and TCP.
    pub plain: SocketAddr,
    /// For TLS.
    pub tls: SocketAddr,
}

impl Addresses {
    /// With TLS one port above, as is usual.
    pub fn at(plain: SocketAddr) -> Self {
        let mut tls = plain;
        tls.set_port(plain.port().checked_add(1).unwrap_or(plain.port()));
        Self { plain, tls }
    }

    pub(crate) const fn of(self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Udp | Transport::Tcp => self.plain,
            Transport::Tls => self.tls,
        }
    }

    /// Our Contact, as a URI in brackets, for a peer on that transport.
    pub(crate) fn contact(self, transport: Transport) -> String {
        match transport {
            Transport::Udp => format!("<sip:{}>", self.plain),
            Transport::Tcp => format!("<sip:{};transport=tcp>", self.plain),
            Transport::Tls => format!("<sip:{};transport=tls>", self.tls),
        }
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
}
