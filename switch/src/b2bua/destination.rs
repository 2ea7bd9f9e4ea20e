//! Where a call goes: to a subscriber of ours, or over trunks in the order of the routes. Steps 11 to 13 of switch-reference, section 3.
//!
//! In: who sends the call and the number it is for. Out: sets of targets, each set tried at once, or a forward to follow.

use std::collections::VecDeque;

use model::{
    AccountKind, CallForward, Cause, E164, ForwardKind, HostPort, LockLevel, Party, Subscriber, SubscriberId,
    TenantId, Trunk, TrunkId,
};
use rand::RngExt as _;

use super::Switch;
use super::call::Target;
use super::gates::Refusal;
use super::limits::Holder;
use super::party_rules::TrunkRules;
use super::registrar::Reach;
use crate::ascii;
use crate::hop::{Hop, via_word};
use crate::rules::{Crossing, Places};

/// Who sends a call on its way, and to which number: the caller, or somebody who forwards.
#[derive(Debug, Clone)]
pub(super) struct Seeker {
    pub(super) tenant: TenantId,
    pub(super) party: Party,
    /// What routes look at when they ask for the caller.
    pub(super) name: String,
    pub(super) dialed: String,
    /// Lower case: where a name that is no number is looked for.
    pub(super) domain: String,
    pub(super) number: Option<E164>,
    pub(super) is_emergency: bool,
}

/// What a subscriber's side says to a call that arrives.
pub(super) enum Arrival {
    /// Its phones ring.
    Ring(Vec<Target>),
    /// It goes on elsewhere.
    Forward(ForwardKind, CallForward),
}

impl Switch {
    /// The subscriber that a number or name belongs to.
    pub(super) fn local_callee(&self, seeker: &Seeker) -> Option<&Subscriber> {
        if seeker.is_emergency {
            return None;
        }
        let owner = seeker.number.and_then(|number| self.lookup.owner(number, self.now.wall));
        owner.or_else(|| self.lookup.subscriber_by_name(&seeker.dialed, &seeker.domain))
    }

    /// What the callee's side says: step 12. A subscriber that is full, locked or away may still forward.
    pub(super) fn arrive(
        &self,
        caller: &str,
        clir: bool,
        places: &Places,
        callee: &Subscriber,
        number: Option<E164>,
    ) -> Result<Arrival, Refusal> {
        let rules = self.lookup.subscriber_rules(callee.id);
        let forward =
            |kind: ForwardKind| rules.forward(kind).map(|forward| Arrival::Forward(kind, forward.clone()));
        let level = self.lookup.lock_level(callee.account, self.now.wall);
        let is_ported = level == LockLevel::Ported;
        if (level.blocks_incoming() && !is_ported) || !self.lookup.is_active(callee.account) {
            let object = format!("account {} lock {}", callee.account, level.number());
            return Err(Refusal::new(Cause::LockedIn, 403, "Callee locked", object));
        }
        let blocked = if clir && rules.block_anonymous {
            Some("anonymous callers".to_owned())
        } else {
            let list = rules.block_in.as_ref();
            list.and_then(|list| list.check(caller).err()).map(|why| format!("block list: {why}"))
        };
        if let Some(why) = blocked {
            let object = format!("subscriber {} {why}", callee.id);
            return Err(Refusal::new(Cause::BlockedIn, 403, "Blocked by Callee", object));
        }
        if let Some(always) = forward(ForwardKind::Always) {
            return Ok(always);
        }
        if is_ported {
            // A number that moved away is only forwarded (switch-reference 7.1).
            let object = format!("account {} lock {}", callee.account, level.number());
            return Err(Refusal::new(Cause::LockedIn, 403, "Callee locked", object));
        }
        let full = self.limits.check(Holder::Subscriber(callee.id), callee.calls_max);
        if let Err(object) = full {
            return forward(ForwardKind::Busy)
                .ok_or_else(|| Refusal::new(Cause::MaxCallsIn, 486, "Busy Here", object));
        }
        let contacts = self.contacts_of(callee.id);
        if contacts.is_empty() {
            let object = format!("subscriber {}", callee.id);
            return forward(ForwardKind::Unreachable)
                .ok_or_else(|| Refusal::new(Cause::CalleeOffline, 480, "Offline", object));
        }
        let party = self.lookup.party(callee);
        let called = number.map_or_else(|| callee.username.clone(), |number| number.to_string());
        let targets = contacts.into_iter().map(|Reach { uri, hop, path }| Target {
            party: party.clone(),
            hop,
            uri,
            callee_out: rules.numbers.cross(Crossing::OutCallee, &called, places),
            to_host: callee.domain.clone(),
            trunk: None,
            is_alternative: false,
            path,
            plan: rules.numbers.clone(),
        });
        Ok(Arrival::Ring(targets.collect()))
    }

    /// Everywhere a subscriber can be reached, latest registration first.
    fn contacts_of(&self, callee: SubscriberId) -> Vec<Reach> {
        let mut contacts = self.registrar.contacts(callee, self.now.mono);
        let permanent = &self.lookup.subscriber_rules(callee).permanent_contacts;
        contacts.extend(permanent.iter().map(|(uri, hop)| Reach {
            uri: uri.clone(),
            hop: *hop,
            path: Vec::new(),
        }));
        contacts
    }

    /// The trunks for a number, in the order they are tried: step 13.
    pub(super) fn trunks_for(
        &mut self,
        seeker: &Seeker,
        places: &Places,
    ) -> Result<VecDeque<Vec<Target>>, Refusal> {
        let unknown = |object: &str| Refusal::new(Cause::CalleeUnknown, 404, "Not Found", object);
        let Some(number) = seeker.number else {
            return Err(unknown("neither a number nor one of our names"));
        };
        // A carrier brings calls for our numbers; sending them on to another carrier would make us its transit.
        if let Party::Trunk { account, .. } = seeker.party
            && self.lookup.account(account).is_some_and(|account| account.kind == AccountKind::Carrier)
        {
            return Err(unknown("not one of our numbers"));
        }
        let own_trunk = match seeker.party {
            Party::Trunk { trunk, .. } => Some(trunk),
            Party::Subscriber { .. } | Party::Unknown => None,
        };
        let rng = &mut self.rng;
        let routes =
            self.lookup.routes(seeker.tenant, number, &seeker.name, |below| rng.random_range(0..below));
        let trunks: Vec<TrunkId> =
            routes.into_iter().map(|(_, trunk)| trunk.id).filter(|trunk| Some(*trunk) != own_trunk).collect();
        if trunks.is_empty() {
            return Err(Refusal::new(Cause::NoRoute, 404, "No Route", format!("tenant {}", seeker.tenant)));
        }
        let mut targets = VecDeque::new();
        for id in &trunks {
            let rules = self.lookup.trunk_rules(*id);
            let hops = self.hops_of_trunk(*id);
            let Some(trunk) = self.lookup.trunk(*id) else { continue };
            for (idx, hop) in hops.into_iter().enumerate() {
                let target = target_of_trunk(trunk, &rules, hop, number, places);
                targets.push_back(vec![Target { is_alternative: idx > 0, ..target }]);
            }
        }
        if targets.is_empty() {
            let object = format!("trunk {} and its proxy's name cannot be found", trunks[0]);
            return Err(Refusal::new(Cause::MaxCallsPeer, 503, "Service Unavailable", object));
        }
        Ok(targets)
    }

    /// Whether a trunk can take a call now, and what the call would hold.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn trunk_takes(&self, trunk: TrunkId) -> Result<Holder, String> {
        if let Some(why) = self.trunks.why_down(trunk) {
            return Err(format!("trunk {trunk} is down: {why}"));
        }
        self.check_trunk(trunk)
    }
}

fn target_of_trunk(trunk: &Trunk, rules: &TrunkRules, hop: Hop, number: E164, places: &Places) -> Target {
    let called = rules.numbers.cross(Crossing::OutCallee, &number.to_string(), places);
    let callee_out = [trunk.tech_prefix.as_str(), &called].concat();
    let user = escaped(&callee_out);
    let own_host = || ascii::address(trunk.address).as_str().to_owned();
    let host = rules.is.host.as_ref().map_or_else(own_host, HostPort::to_string);
    let uri = match &rules.is.domain {
        Some(domain) => format!("sip:{user}@{domain}"),
        None if hop.is_reliable() => {
            let word = via_word(hop.transport).to_ascii_lowercase();
            format!("sip:{user}@{host};transport={word}")
        }
        None => ["sip:", &user, "@", &host].concat(),
    };
    let to_host = match (&rules.is.domain, &rules.is.host) {
        (Some(domain), _) => domain.clone(),
        (None, Some(HostPort::Name { host, .. })) => host.clone(),
        (None, Some(HostPort::Address(address))) => bracketed(&address.ip().to_string()),
        (None, None) => bracketed(ascii::ip(trunk.address.ip()).as_str()),
    };
    Target {
        party: Party::Trunk { trunk: trunk.id, account: trunk.account },
        hop,
        uri: uri.into_bytes(),
        callee_out,
        to_host,
        trunk: Some(trunk.id),
        is_alternative: false,
        path: Vec::new(),
        plan: rules.numbers.clone(),
    }
}

/// A host as it stands in a URI.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// A user part that may hold anything (RFC 3261, 25.1: `user`).
pub(super) fn escaped(user: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,?/".contains(&byte);
    if user.bytes().all(is_plain) {
        return user.to_owned();
    }
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_part_cannot_break_out_of_its_uri() {
        assert_eq!(escaped("bob>;x@y"), "bob%3E%3Bx%40y");
        assert_eq!(escaped("john.doe"), "john.doe");
        assert_eq!(escaped("9911#49"), "9911%2349", "a hash must be escaped (RFC 3261, 25.1)");
    }
}
