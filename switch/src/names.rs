//! Names of servers: what is asked of the DNS, what it says, and the order in which servers are tried (RFC 3263, RFC 2782).
//!
//! In: a [`NameAnswer`] of whoever asks the DNS (`net::dns`). Out: hops, first choice first. When to ask is the switch's business.

use std::net::SocketAddr;

use model::Transport;

use crate::hop::Hop;

/// What is asked of the DNS: the servers of one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameQuestion {
    /// In lower case.
    pub host: String,
    /// With a port the name is a host, and only its addresses are asked for (RFC 3263, 4.2).
    pub port: Option<u16>,
    /// How its servers are spoken to, unless NAPTR records say otherwise.
    pub transport: Transport,
    /// What NAPTR records may choose; empty: they are not asked for.
    pub by_naptr: Vec<Transport>,
}

/// What the DNS said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAnswer {
    /// To this question.
    pub question: NameQuestion,
    /// Empty: there is no such name, or it has no servers. `None`: nobody could be asked, and what was known before stays.
    pub servers: Option<Vec<NamedServer>>,
    /// Seconds after which to ask again.
    pub seconds: u32,
}

/// One SRV record and the addresses of its target; a host without such records is one alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedServer {
    /// Place of its NAPTR record among the usable ones, best first.
    pub rank: u16,
    /// Lowest first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// How.
    pub transport: Transport,
    /// All tried, one after the other.
    pub addresses: Vec<SocketAddr>,
}

/// Every address of `servers` in the order they are to be tried: by rank, by priority, equals drawn by weight (RFC 2782, "Usage rules").
/// `draw` gives a number below its argument.
pub(crate) fn hops_in_order(servers: &[NamedServer], mut draw: impl FnMut(u64) -> u64) -> Vec<Hop> {
    // Those of weight zero stand first among their equals: they keep a small chance.
    let mut left: Vec<&NamedServer> = servers.iter().collect();
    left.sort_by_key(|server| (server.rank, server.priority, server.weight != 0));
    let mut hops = Vec::new();
    while let Some(first) = left.first() {
        let class = (first.rank, first.priority);
        let n_equal = left.iter().take_while(|server| (server.rank, server.priority) == class).count();
        let total: u64 = left[..n_equal].iter().map(|server| u64::from(server.weight)).sum();
        let ticket = if n_equal == 1 { 0 } else { draw(total + 1) };
        let mut sum = 0;
        let drawn = left[..n_equal].iter().position(|server| {
            sum += u64::from(server.weight);
            sum >= ticket
        });
        let server = left.remove(drawn.unwrap_or(0));
        for address in &server.addresses {
            let hop = Hop { transport: server.transport, address: *address };
            if !hops.contains(&hop) {
                hops.push(hop);
            }
        }
    }
    hops
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn server(rank: u16, priority: u16, weight: u16, last: u8) -> NamedServer {
        let addresses = vec![SocketAddr::from(([192, 0, 2, last], 5060))];
        NamedServer { rank, priority, weight, transport: Transport::Udp, addresses }
    }

    #[test]
    fn rank_goes_before_priority_and_priority_before_weight() {
        let servers = [server(1, 0, 9, 4), server(0, 20, 100, 3), server(0, 10, 0, 1), server(0, 10, 50, 2)];
        let last =
            |hops: Vec<Hop>| -> Vec<String> { hops.iter().map(|hop| hop.address.ip().to_string()).collect() };
        assert_eq!(
            last(hops_in_order(&servers, |_| 0)),
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
            "a server of weight zero is drawn by the ticket zero alone"
        );
        assert_eq!(last(hops_in_order(&servers, |below| below - 1))[..2], ["192.0.2.2", "192.0.2.1"]);
    }

    #[test]
    fn equals_are_drawn_by_their_weights() {
        let servers = [server(0, 1, 10, 1), server(0, 1, 30, 2), server(0, 1, 60, 3)];
        let mut rng = StdRng::seed_from_u64(5);
        let mut n_first = [0_u32; 4];
        for _ in 0..10_000 {
            let hops = hops_in_order(&servers, |below| rng.random_range(0..below));
            assert_eq!(hops.len(), 3, "each is tried once");
            let std::net::IpAddr::V4(first) = hops[0].address.ip() else { panic!() };
            n_first[usize::from(first.octets()[3])] += 1;
        }
        for (idx, share) in [(1, 1_000), (2, 3_000), (3, 6_000)] {
            assert!(n_first[idx].abs_diff(share) < 300, "{n_first:?}");
        }
    }

    #[test]
    fn two_records_for_one_address_are_one_try() {
        let servers = [server(0, 1, 1, 1), server(0, 2, 1, 1)];
        assert_eq!(hops_in_order(&servers, |_| 0).len(), 1);
    }
}
