//! Where a call would go, and why, without dialling: the same gates and tables as for a real one.
//!
//! In: who calls and what is dialled. Out: a [`RoutePlan`]. What only a running switch knows (registrations, calls in progress, which
//! trunks answer) is what this [`Switch`] knows; one made for the question alone knows nothing of it, and the plan says so.

use std::net::SocketAddr;

use model::{Cause, E164, Moment, Subscriber, SubscriberId, Transport, TrunkId};

use super::Switch;
use super::call::Target;
use super::destination::{Arrival, Seeker, escaped};
use super::gates::Refusal;
use super::identify::{Caller, canonical_of};
use crate::hop::Hop;
use crate::message::{Message, Uri};
use crate::rules::{Crossing, Places};

/// Forwards followed.
const FORWARDS_MAX: usize = 5;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteFrom {
    /// One of our subscribers.
    Subscriber(SubscriberId),
    /// A trunk.
    Trunk(TrunkId),
}

/// What would become of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    /// The number called, in canonical form.
    pub callee: Option<E164>,
    /// An emergency call: it passes every gate.
    pub is_emergency: bool,
    /// The number that is billed.
    pub cli: Option<E164>,
    /// What the callee may see; `None`: nothing.
    pub shown: Option<String>,
    /// Sentences about what happens on the way: forwards, phones.
    pub notes: Vec<String>,
    /// Where it would be tried, in this order.
    pub attempts: Vec<PlannedAttempt>,
    /// Why it would be refused.
    pub refusal: Option<PlannedRefusal>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAttempt {
    /// Over which trunk; `None`: a phone of ours.
    pub trunk: Option<TrunkId>,
    /// Prefix, priority and weight of the route behind it.
    pub route: Option<(String, u32, u32)>,
    /// Next hop.
    pub hop: Hop,
    /// Request-URI.
    pub uri: String,
    /// User part of From.
    pub caller_out: String,
    /// Why it would be skipped now.
    pub skipped: Option<String>,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRefusal {
    /// Why.
    pub cause: Cause,
    /// SIP code.
    pub code: u16,
    /// Its phrase.
    pub phrase: String,
    /// What decides.
    pub object: String,
}

impl From<Refusal> for PlannedRefusal {
    fn from(refusal: Refusal) -> Self {
        let Refusal { cause, code, phrase, object } = refusal;
        Self { cause, code, phrase: phrase.to_owned(), object }
    }
}

impl Switch {
    /// What would become of a call from `from` to what is `dialed`, at `now`. `None`: nobody of that id. Weights are drawn anew each time.
    pub fn explain_route(&mut self, now: Moment, from: RouteFrom, dialed: &str) -> Option<RoutePlan> {
        self.now = now;
        let (user, host, source) = match from {
            RouteFrom::Subscriber(id) => {
                let subscriber = self.lookup.subscriber(id)?;
                let own = SocketAddr::from(([127, 0, 0, 1], 5060));
                (subscriber.username.clone(), subscriber.domain.clone(), own)
            }
            RouteFrom::Trunk(id) => {
                let trunk = self.lookup.trunk(id)?;
                (String::new(), trunk.address.to_string(), trunk.address)
            }
        };
        let uri_text = format!("sip:{}@{host}", escaped(dialed));
        let from_text = if user.is_empty() { format!("sip:{host}") } else { format!("sip:{user}@{host}") };
        let invite = format!("INVITE {uri_text} SIP/2.0\r\nFrom: <{from_text}>\r\nTo: <{uri_text}>\r\n\r\n");
        let message = Message::scan(invite.as_bytes()).ok()?;
        let uri = Uri::parse(uri_text.as_bytes())?;
        let hop = Hop { transport: Transport::Udp, address: source };
        let mut caller = match from {
            RouteFrom::Subscriber(id) => {
                let subscriber = self.lookup.subscriber(id)?.clone();
                self.calling_subscriber(hop, &message, uri, &subscriber)
            }
            RouteFrom::Trunk(id) => {
                let trunk = self.lookup.trunk(id)?.clone();
                self.calling_trunk(hop, &message, uri, &trunk)
            }
        };
        let mut plan = RoutePlan {
            callee: caller.callee,
            is_emergency: caller.is_emergency,
            cli: caller.cli,
            shown: (!caller.clir).then(|| caller.shown.clone()),
            notes: Vec::new(),
            attempts: Vec::new(),
            refusal: None,
        };
        if let RouteFrom::Subscriber(id) = from
            && !self.lookup.subscriber_rules(id).allows_source(hop)
        {
            plan.notes.push("it may call from certain addresses only; that is not looked at here".to_owned());
            caller.is_source_known = true;
        }
        if let Err(refusal) = self.plan_call(&caller, &message, &mut plan) {
            plan.refusal = Some(refusal.into());
        }
        Some(plan)
    }

    fn plan_call(
        &mut self,
        caller: &Caller,
        message: &Message<'_>,
        plan: &mut RoutePlan,
    ) -> Result<(), Refusal> {
        let mut seeker = self.seeker_of(caller);
        let is_on_net = self.local_callee(&seeker).is_some();
        self.may_call(caller, is_on_net, message)?;
        let places = caller.places().clone();
        for _ in 0..=FORWARDS_MAX {
            let Some(callee) = self.local_callee(&seeker).cloned() else {
                let targets = self.trunks_for(&seeker, &places)?;
                for id in targets.iter().flatten().filter_map(|target| target.trunk) {
                    let rules = self.lookup.trunk_rules(id);
                    let place = rules.is.outbound_proxy.as_ref().or(rules.is.host.as_ref());
                    if let Some(name) = place.and_then(|place| place.name()) {
                        plan.notes.push(format!(
                            "trunk {id} is reached at the servers of {name}, which is not looked up here"
                        ));
                    }
                }
                let attempts = targets.iter().flatten().map(|target| self.planned(caller, &seeker, target));
                plan.attempts = attempts.collect();
                return Ok(());
            };
            let name = format!("{}@{}", callee.username, callee.domain);
            match self.arrive(&caller.shown, caller.clir, &places, &callee, seeker.number) {
                Ok(Arrival::Ring(targets)) => {
                    plan.notes.push(format!("rings at {name}"));
                    plan.attempts.extend(targets.iter().map(|target| self.planned(caller, &seeker, target)));
                    return Ok(());
                }
                Ok(Arrival::Forward(kind, forward)) => {
                    plan.notes
                        .push(format!("{name} forwards ({kind}) to {} and pays for that leg", forward.to));
                    seeker = self.forwarded(&callee, &forward.to)?;
                }
                // Only the running switch knows who is registered.
                Err(refusal) if refusal.cause == Cause::CalleeOffline => {
                    plan.notes.push(format!("rings at {name}, wherever it is registered"));
                    return Ok(());
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::new(Cause::ForwardLoop, 482, "Loop Detected", "too many forwards"))
    }

    fn forwarded(&mut self, forwarder: &Subscriber, to: &str) -> Result<Seeker, Refusal> {
        let rules = self.lookup.subscriber_rules(forwarder.id);
        let dialed = rules.numbers.cross(Crossing::InCallee, to, &rules.numbers.places);
        let seeker = Seeker {
            tenant: forwarder.tenant,
            party: self.lookup.party(forwarder),
            name: forwarder.username.clone(),
            number: canonical_of(&rules.numbers, &dialed),
            dialed,
            domain: forwarder.domain.to_ascii_lowercase(),
            is_emergency: false,
        };
        let is_on_net = self.local_callee(&seeker).is_some();
        self.account_may_call(forwarder.account, is_on_net)?;
        self.not_barred(seeker.tenant, forwarder.account, seeker.number)?;
        if let Some(number) = seeker.number {
            let holder = super::limits::Holder::Subscriber(forwarder.id);
            self.may_dial(forwarder.account, holder, &rules, number)?;
        }
        Ok(seeker)
    }

    fn planned(&self, caller: &Caller, seeker: &Seeker, target: &Target) -> PlannedAttempt {
        let places: &Places = caller.places();
        let route = target
            .trunk
            .zip(seeker.number)
            .and_then(|(trunk, number)| self.lookup.route_of(seeker.tenant, number, &seeker.name, trunk));
        PlannedAttempt {
            trunk: target.trunk,
            route: route.map(|route| (route.prefix.clone(), route.priority, route.weight)),
            hop: target.hop,
            uri: String::from_utf8_lossy(&target.uri).into_owned(),
            caller_out: if caller.clir {
                "anonymous".to_owned()
            } else {
                target.plan.cross(Crossing::OutCaller, &caller.shown, places)
            },
            skipped: target.trunk.and_then(|trunk| self.trunk_takes(trunk).err()),
        }
    }
}
