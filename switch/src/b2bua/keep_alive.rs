//! Phones behind a NAT: something is sent to them now and then, so that the NAT does not forget the way in.
//!
//! In: registrations whose contact is not where they came from. Out: line ends, or OPTIONS, to where they came from, for as long as the
//! registration lasts. Nothing hangs on an answer. Phones that connect to us keep their connection up themselves (RFC 5626, 4.4.1).

use std::collections::HashMap;
use std::time::Duration;

use model::{SubscriberId, Transport};

use super::{Due, Switch};
use crate::config::NatKeepAlive;
use crate::hop::Hop;
use crate::message::{Message, Uri, Writer};

/// A double line end: no message, and every parser of SIP passes over it (RFC 3261, 7.5).
const LINE_ENDS: &[u8] = b"\r\n\r\n";
/// Ways in kept open at once; further phones have to do it themselves.
const KEPT_MAX: usize = 200_000;

/// The ways in that are kept open.
#[derive(Debug, Default)]
pub(super) struct KeepAlives {
    kept: HashMap<u64, (SubscriberId, Hop)>,
    /// Several lines of one phone share a way in; each keeps it open for as long as it is registered.
    by_line: HashMap<(SubscriberId, Hop), u64>,
    n_kept: u64,
}

impl KeepAlives {
    /// Ways in kept open.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

/// Whether a contact is not where its REGISTER came from, and no proxy is between.
fn is_behind_nat(from: Hop, message: &Message<'_>) -> bool {
    let is_elsewhere = |uri: &[u8]| {
        Uri::parse(uri).and_then(|uri| uri.socket_address()).is_some_and(|address| address != from.address)
    };
    from.transport == Transport::Udp
        && message.value(crate::message::HeaderName::Path).is_none()
        && message.contact().is_some_and(|contact| is_elsewhere(contact.uri))
}

impl Switch {
    /// A phone has registered from there.
    pub(super) fn keep_way_in(&mut self, subscriber: SubscriberId, from: Hop, message: &Message<'_>) {
        let every = self.config.nat_keepalive_seconds;
        let keeps = &mut self.keep_alives;
        if every == 0 || keeps.by_line.contains_key(&(subscriber, from)) || keeps.kept.len() >= KEPT_MAX {
            return;
        }
        if !is_behind_nat(from, message) {
            return;
        }
        keeps.n_kept += 1;
        let id = keeps.n_kept;
        keeps.kept.insert(id, (subscriber, from));
        keeps.by_line.insert((subscriber, from), id);
        self.timers.arm(self.now.mono + Duration::from_secs(every.into()), Due::KeepAlive(id));
    }

    /// It is time to send something; or the registration is over.
    pub(super) fn keep_alive_due(&mut self, id: u64) {
        let Some((subscriber, hop)) = self.keep_alives.kept.get(&id).copied() else { return };
        let reach =
            self.registrar.contacts(subscriber, self.now.mono).into_iter().find(|reach| reach.hop == hop);
        let Some(reach) = reach else {
            self.keep_alives.kept.remove(&id);
            self.keep_alives.by_line.remove(&(subscriber, hop));
            return;
        };
        let bytes = match self.config.nat_keepalive {
            NatKeepAlive::Crlf => LINE_ENDS.to_vec(),
            NatKeepAlive::Options => self.options_to(&reach.uri, hop),
        };
        self.transactions.transmit(hop, bytes);
        let every = Duration::from_secs(self.config.nat_keepalive_seconds.into());
        self.timers.arm(self.now.mono + every, Due::KeepAlive(id));
    }

    /// OPTIONS that is sent once: what comes back is a stray.
    fn options_to(&mut self, uri: &[u8], hop: Hop) -> Vec<u8> {
        let branch = self.transactions.branch();
        let call_id = format!("{:016x}@{}", self.transactions.random(), self.config.node);
        let (own, tag) = (self.addresses.of(hop), self.transactions.random());
        let to = [b"<", uri, b">"].concat();
        Writer::request(b"OPTIONS", uri)
            .header("Via", branch.via(self.addresses, hop))
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:{own}>;tag={tag:016x}"))
            .header("To", to)
            .header("Call-ID", call_id)
            .header("CSeq", "1 OPTIONS")
            .header("Contact", self.addresses.contact(hop))
            .finish(&[])
    }
}
