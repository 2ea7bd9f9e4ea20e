//! Trunks that are known by name: which servers the DNS gives for it, and which of them answer.
//!
//! In: provisioning, answers of the DNS ([`crate::Input::Resolved`]), servers that stayed silent. Out: questions, and the hops of a trunk in
//! the order they are tried. No call waits for the DNS: names are looked up when they are provisioned and again when the answer has become
//! old; what is known stays while nobody can be asked.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::{HostPort, Transport, Trunk, TrunkId};
use rand::RngExt as _;

use super::{Due, Switch};
use crate::hop::{Addresses, Hop};
use crate::names::{NameAnswer, NameQuestion, NamedServer, hops_in_order};
use crate::timer::TimerKey;

/// A server that stayed silent is tried after the others for so long.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// Servers of one trunk tried for one call, so that the next trunk has its turn.
const HOPS_MAX: usize = 3;
/// Silent servers remembered.
const SILENT_MAX: usize = 1_000;
/// Answers are kept so long at least, whatever their time to live.
const SECONDS_MIN: u32 = 5;
/// And at most.
const SECONDS_MAX: u32 = 3_600;

/// What is known of the names in use.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<u32, Known>,
    n_known: u32,
    of_trunk: HashMap<TrunkId, u32>,
    silent_until: HashMap<Hop, Duration>,
}

#[derive(Debug)]
struct Known {
    question: NameQuestion,
    servers: Vec<NamedServer>,
    timer: Option<TimerKey>,
}

impl Names {
    /// Whether a name that we know leads there.
    fn is_server(&self, hop: Hop) -> bool {
        let leads = |server: &NamedServer| {
            server.transport == hop.transport && server.addresses.contains(&hop.address)
        };
        self.known.values().any(|known| known.servers.iter().any(leads))
    }

    fn is_silent(&self, hop: Hop, now: Duration) -> bool {
        self.silent_until.get(&hop).is_some_and(|until| now < *until)
    }
}

/// Whether a trunk can be there: nobody's name leads to ourselves or to many at once, and to this machine only where we are known by it, too.
fn may_be_a_server(own: Addresses, hop: Hop) -> bool {
    let (address, ours) = (hop.address, own.of(hop));
    let ip = address.ip().to_canonical();
    let is_odd = ip.is_unspecified() || ip.is_multicast() || (ip.is_loopback() && !ours.ip().is_loopback());
    if is_odd || address == ours {
        tracing::warn!(%hop, "the DNS gives an address for a trunk's name that no trunk can have; it is left out");
        return false;
    }
    true
}

impl Switch {
    /// Where requests to a trunk go, as provisioned; `None`: to its address.
    fn place_of_trunk(&self, id: TrunkId) -> Option<HostPort> {
        let rules = self.lookup.trunk_rules(id);
        rules.is.outbound_proxy.clone().or_else(|| rules.is.host.clone())
    }

    /// New provisioning: asks for names that are new, forgets those that nobody uses any more.
    pub(super) fn tend_names(&mut self) {
        let mut wanted: Vec<(TrunkId, NameQuestion)> = Vec::new();
        for trunk in self.lookup.trunks() {
            let Some(HostPort::Name { host, port }) = self.place_of_trunk(trunk.id) else { continue };
            let by_naptr = match self.lookup.trunk_rules(trunk.id).is.naptr {
                true => self.transports_for(trunk),
                false => Vec::new(),
            };
            wanted.push((trunk.id, NameQuestion { host, port, transport: trunk.transport, by_naptr }));
        }
        let mut of_trunk = HashMap::new();
        let mut known = std::mem::take(&mut self.names.known);
        let mut kept = BTreeMap::new();
        for (trunk, question) in wanted {
            let is_it = |entry: &(&u32, &Known)| entry.1.question == question;
            let id = kept.iter().find(is_it).or_else(|| known.iter().find(is_it)).map(|(id, _)| *id);
            let id = id.unwrap_or_else(|| {
                self.names.n_known += 1;
                self.name_questions.push_back(question.clone());
                kept.insert(self.names.n_known, Known { question, servers: Vec::new(), timer: None });
                self.names.n_known
            });
            if let Some(old) = known.remove(&id) {
                kept.insert(id, old);
            }
            of_trunk.insert(trunk, id);
        }
        for gone in known.values_mut() {
            self.timers.disarm(&mut gone.timer);
        }
        self.names.known = kept;
        self.names.of_trunk = of_trunk;
        self.tell_lookup();
    }

    /// What the DNS may choose from for a trunk: what we speak, and no way back from TLS.
    fn transports_for(&self, trunk: &Trunk) -> Vec<Transport> {
        let tls = self.config.tls.is_some().then_some(Transport::Tls);
        if trunk.transport == Transport::Tls {
            return vec![Transport::Tls];
        }
        let tcp = self.config.tcp.then_some(Transport::Tcp);
        [Some(Transport::Udp), tcp, tls].into_iter().flatten().collect()
    }

    /// The DNS has said something.
    pub(super) fn resolved(&mut self, answer: NameAnswer) {
        let known = self.names.known.iter_mut().find(|(_, known)| known.question == answer.question);
        // Nobody uses that name any more.
        let Some((id, known)) = known else { return };
        if let Some(mut servers) = answer.servers {
            let own = self.addresses;
            for server in &mut servers {
                let transport = server.transport;
                server.addresses.retain(|address| may_be_a_server(own, Hop { transport, address: *address }));
            }
            servers.retain(|server| !server.addresses.is_empty());
            known.servers = servers;
        }
        let again =
            self.now.mono + Duration::from_secs(answer.seconds.clamp(SECONDS_MIN, SECONDS_MAX).into());
        self.timers.disarm(&mut known.timer);
        known.timer = Some(self.timers.arm(again, Due::Name(*id)));
        self.tell_lookup();
    }

    /// An answer has become old.
    pub(super) fn name_due(&mut self, id: u32) {
        let Some(known) = self.names.known.get_mut(&id) else { return };
        known.timer = None;
        self.name_questions.push_back(known.question.clone());
    }

    /// Calls may come from every server of a trunk's name.
    fn tell_lookup(&mut self) {
        let mut found = Vec::new();
        for (trunk, id) in &self.names.of_trunk {
            for server in self.names.known.get(id).map(|known| &known.servers).into_iter().flatten() {
                for address in &server.addresses {
                    found.push((*trunk, Hop { transport: server.transport, address: *address }));
                }
            }
        }
        found.sort_unstable_by_key(|(trunk, hop)| (*trunk, hop.address));
        self.lookup.set_found(&found);
    }

    /// The servers of a trunk in the order they are to be tried: those that stayed silent just now come last. Empty when it is to be
    /// reached by a proxy whose name cannot be found.
    pub(super) fn hops_of_trunk(&mut self, id: TrunkId) -> Vec<Hop> {
        let Some(trunk) = self.lookup.trunk(id) else { return Vec::new() };
        let (transport, own) = (trunk.transport, trunk.address);
        let at = |address| Hop { transport, address };
        let rules = self.lookup.trunk_rules(id);
        let mut hops = match rules.is.outbound_proxy.as_ref().or(rules.is.host.as_ref()) {
            None => return vec![at(own)],
            Some(HostPort::Address(address)) => return vec![at(*address)],
            Some(HostPort::Name { .. }) => {
                let known = self.names.of_trunk.get(&id).and_then(|id| self.names.known.get(id));
                let servers = known.map(|known| known.servers.as_slice()).unwrap_or_default();
                let rng = &mut self.rng;
                hops_in_order(servers, |below| rng.random_range(0..below))
            }
        };
        hops.retain(|hop| self.addresses.serves(*hop));
        if hops.is_empty() && rules.is.outbound_proxy.is_none() {
            hops.push(at(own));
        }
        let now = self.now.mono;
        hops.sort_by_key(|hop| self.names.is_silent(*hop, now));
        hops.truncate(HOPS_MAX);
        hops
    }

    /// A server did not answer: others of the same name are tried before it.
    pub(super) fn note_silent(&mut self, hop: Hop) {
        let now = self.now.mono;
        // Phones and trunks with one address have no other server to be tried before.
        if !self.names.is_server(hop) {
            return;
        }
        if self.names.silent_until.len() >= SILENT_MAX {
            self.names.silent_until.retain(|_, until| now < *until);
        }
        if self.names.silent_until.len() < SILENT_MAX {
            self.names.silent_until.insert(hop, now + SILENT_FOR);
        }
    }

    /// Whether it was silent just now.
    pub(super) fn was_silent(&self, hop: Hop) -> bool {
        self.names.is_silent(hop, self.now.mono)
    }

    /// And here it has answered.
    pub(super) fn note_heard(&mut self, hop: Hop) {
        if !self.names.silent_until.is_empty() {
            self.names.silent_until.remove(&hop);
        }
    }
}
