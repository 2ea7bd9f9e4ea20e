//! Who calls, from which number, to which: steps 3, 5 and 6 of switch-reference, section 3.
//!
//! In: an INVITE and where it came from. Out: a [`Caller`] with its numbers in canonical form; anybody else has been answered.

use std::sync::Arc;

use model::{
    AuthMethod, Cause, CliPolicy, E164, NumberSource, Party, SecurityKind, Subscriber, TenantId, Trunk,
    TrunkId,
};

use super::Switch;
use super::gates::Refusal;
use super::limits::Holder;
use super::party_rules::{SubscriberRules, TrunkRules};
use crate::ascii;
use crate::digest::{Credentials, Verdict};
use crate::hop::Hop;
use crate::message::{HeaderName, Message, NameAddr, Uri};
use crate::rules::{Crossing, NumberPlan, Places, Rate};
use crate::transaction::Reply;

/// Parameter of our Contact in a registration at a trunk: what comes back in the Request-URI tells which trunk a call is for.
pub(super) const TRUNK_TOKEN: &str = "tb-trunk";

/// The rules of whoever calls.
#[derive(Debug, Clone)]
pub(super) enum CallerRules {
    Subscriber(Arc<SubscriberRules>),
    Trunk(Arc<TrunkRules>),
}

impl CallerRules {
    pub(super) fn numbers(&self) -> &NumberPlan {
        match self {
            CallerRules::Subscriber(rules) => &rules.numbers,
            CallerRules::Trunk(rules) => &rules.numbers,
        }
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        match self {
            CallerRules::Subscriber(rules) => rules.rate,
            CallerRules::Trunk(rules) => rules.rate_in,
        }
    }

    pub(super) fn advice_of_charge(&self) -> bool {
        match self {
            CallerRules::Subscriber(rules) => rules.advice_of_charge,
            CallerRules::Trunk(rules) => rules.is.advice_of_charge,
        }
    }

    pub(super) fn call_seconds_max(&self) -> Option<u32> {
        match self {
            CallerRules::Subscriber(rules) => rules.call_seconds_max,
            CallerRules::Trunk(rules) => rules.is.call_seconds_max,
        }
    }
}

/// Who calls, as far as the switch is concerned.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) party: Party,
    pub(super) tenant: TenantId,
    pub(super) auth: AuthMethod,
    pub(super) source: Hop,
    /// The network-provided number: billed.
    pub(super) cli: Option<E164>,
    /// What the callee may see, in canonical form; a name if there is no number.
    pub(super) shown: String,
    pub(super) clir: bool,
    pub(super) domain: String,
    pub(super) calls_max: Option<u32>,
    pub(super) holder: Holder,
    pub(super) rules: CallerRules,
    /// User and host of what was dialled, as read.
    pub(super) dialed: String,
    pub(super) dialed_domain: String,
    /// The number called, in canonical form.
    pub(super) callee: Option<E164>,
    pub(super) is_emergency: bool,
    /// The number it gave may not be used.
    pub(super) cli_refusal: Option<Refusal>,
    /// What is known of the numbers speaks against the call.
    pub(super) screened: Option<Refusal>,
    /// Where it calls from is of no matter: nobody really calls.
    pub(super) is_source_known: bool,
}

impl Caller {
    pub(super) fn places(&self) -> &Places {
        &self.rules.numbers().places
    }
}

/// Who answered a challenge, or why nobody did.
#[derive(Debug)]
pub(super) enum Presented {
    /// Him.
    Known(Box<Subscriber>),
    /// No credentials, or stale ones.
    Challenge { stale: bool },
    /// Wrong ones, given in this name.
    Wrong { username: String },
}

/// Which of the trunks at one address a call comes from.
enum Pick {
    One(TrunkId),
    Ambiguous(String),
}

impl Switch {
    /// A trunk by its address, or a subscriber by his password. Anybody else has been answered.
    pub(super) fn identify_caller(
        &mut self,
        from: Hop,
        message: &Message<'_>,
        uri: Uri<'_>,
    ) -> Option<Caller> {
        match self.pick_trunk(from, message, &uri) {
            Some(Pick::One(trunk)) => {
                let trunk = self.lookup.trunk(trunk)?.clone();
                return Some(self.calling_trunk(from, message, uri, &trunk));
            }
            Some(Pick::Ambiguous(names)) => {
                let detail =
                    format!("call for none of the trunks at this address can be told apart: {names}");
                if let Some(unsaid) = self.guard.line_due(from.address.ip(), self.now.mono) {
                    tracing::warn!(source = %from.address, trunks = names, unsaid, "call refused: trunks at one address cannot be told apart");
                }
                self.note_security(SecurityKind::UnknownSource, from.address, "", &detail);
                self.tell_ambiguous(from.address, &names);
                let tag = self.stateless_tag(message);
                self.transactions.respond_without_state(message, from, Reply::plain(403, Some(&tag)));
                return None;
            }
            None => {}
        }
        let domain =
            message.from().and_then(|from| from.parse_uri()).map(|uri| uri.host_text()).unwrap_or_default();
        let tag = self.stateless_tag(message);
        match self.present(HeaderName::ProxyAuthorization, message) {
            Presented::Known(subscriber) => {
                self.note_good_login(from, &subscriber);
                Some(self.calling_subscriber(from, message, uri, &subscriber))
            }
            Presented::Challenge { stale } => {
                if !stale && !self.is_realm(&domain) {
                    self.note_security(
                        SecurityKind::UnknownSource,
                        from.address,
                        "",
                        "INVITE for no domain of ours",
                    );
                }
                self.count_request(from);
                let lines = self.challenge(HeaderName::ProxyAuthenticate, &domain, stale);
                let reply = Reply { lines: &lines, ..Reply::plain(407, Some(&tag)) };
                self.transactions.respond_without_state(message, from, reply);
                None
            }
            Presented::Wrong { username } => {
                self.counters.auth_failed += 1;
                self.note_security(SecurityKind::AuthFailed, from.address, &username, "INVITE");
                self.note_bad_login(from, &username);
                self.transactions.respond_without_state(message, from, Reply::plain(403, Some(&tag)));
                None
            }
        }
    }

    /// Tells trunks at one address apart: by the user we registered as or our token in the Request-URI, by the number called, by the
    /// user of To, else the one that takes the rest (switch-reference 5.5).
    fn pick_trunk(&self, from: Hop, message: &Message<'_>, uri: &Uri<'_>) -> Option<Pick> {
        let trunks = self.lookup.trunks_of_source(from);
        let only = |picked: Vec<&Trunk>| match picked.as_slice() {
            [one] => Some(Pick::One(one.id)),
            _ => None,
        };
        match trunks.as_slice() {
            [] => return None,
            [one] => return Some(Pick::One(one.id)),
            [..] => {}
        }
        let rules = |trunk: &Trunk| self.lookup.trunk_rules(trunk.id);
        let picked = |wanted: &dyn Fn(&Trunk, &TrunkRules) -> bool| {
            only(trunks.iter().copied().filter(|trunk| wanted(trunk, &rules(trunk))).collect())
        };
        let token = uri.params.value(TRUNK_TOKEN).map(<[u8]>::to_vec);
        let dialed = uri.user_text();
        let to = message.to().and_then(|to| to.parse_uri()).map(|to| to.user_text()).unwrap_or_default();
        let is_login = |rules: &TrunkRules, user: &str| {
            rules.is.login.as_ref().is_some_and(|login| login.username == user)
        };
        let owns = |rules: &TrunkRules, text: &str| {
            let number = rules.numbers.cross(Crossing::InCallee, text, &Places::default());
            canonical(&number).is_some_and(|number| rules.is.numbers.contains(&number))
        };
        picked(&|trunk, _| token.as_deref() == Some(trunk.id.to_string().as_bytes()))
            .or_else(|| picked(&|_, rules| is_login(rules, &dialed)))
            .or_else(|| picked(&|_, rules| owns(rules, &dialed)))
            .or_else(|| picked(&|_, rules| owns(rules, &to)))
            .or_else(|| picked(&|_, rules| is_login(rules, &to)))
            .or_else(|| picked(&|_, rules| rules.is.default_for_address))
            .or_else(|| {
                let names: Vec<&str> = trunks.iter().map(|trunk| trunk.name.as_str()).collect();
                Some(Pick::Ambiguous(names.join(", ")))
            })
    }

    pub(super) fn calling_trunk(
        &self,
        from: Hop,
        message: &Message<'_>,
        uri: Uri<'_>,
        trunk: &Trunk,
    ) -> Caller {
        let rules = self.lookup.trunk_rules(trunk.id);
        let plan = &rules.numbers;
        let source = rules.is.caller_from.unwrap_or(NumberSource::Asserted);
        let given = read_number(message, &uri, source).map(|(user, _)| user).unwrap_or_default();
        let cli = canonical_of(plan, &plan.cross(Crossing::InCaller, &given, &plan.places));
        let source = rules.is.callee_from.unwrap_or(NumberSource::RequestUri);
        let (dialed, dialed_domain) = read_number(message, &uri, source).unwrap_or_default();
        let callee = canonical_of(plan, &plan.cross(Crossing::InCallee, &dialed, &plan.places));
        Caller {
            party: Party::Trunk { trunk: trunk.id, account: trunk.account },
            tenant: trunk.tenant,
            auth: AuthMethod::Ip,
            source: from,
            cli,
            shown: match cli {
                Some(cli) => cli.to_string(),
                None => message
                    .from()
                    .and_then(|from| from.parse_uri())
                    .map(|uri| uri.user_text())
                    .unwrap_or_default(),
            },
            clir: is_anonymous(message),
            domain: ascii::ip(from.address.ip()).as_str().to_owned(),
            calls_max: trunk.calls_max,
            holder: Holder::Trunk(trunk.id),
            is_emergency: callee.is_some_and(|number| self.lookup.is_emergency(trunk.tenant, number)),
            rules: CallerRules::Trunk(rules.clone()),
            dialed,
            dialed_domain,
            callee,
            cli_refusal: None,
            screened: None,
            is_source_known: false,
        }
    }

    pub(super) fn calling_subscriber(
        &self,
        from: Hop,
        message: &Message<'_>,
        uri: Uri<'_>,
        subscriber: &Subscriber,
    ) -> Caller {
        let rules = self.lookup.subscriber_rules(subscriber.id);
        let plan = &rules.numbers;
        let cli = self.lookup.cli(subscriber, self.now.wall);
        let dialed = uri.user_text();
        let callee = canonical_of(plan, &plan.cross(Crossing::InCallee, &dialed, &plan.places));
        let is_emergency = callee.is_some_and(|number| self.lookup.is_emergency(subscriber.tenant, number));
        let network_provided = cli.map_or_else(|| subscriber.username.clone(), |cli| cli.to_string());
        let mut caller = Caller {
            party: self.lookup.party(subscriber),
            tenant: subscriber.tenant,
            auth: AuthMethod::Digest,
            source: from,
            cli,
            shown: network_provided,
            // The emergency services must be able to call back.
            clir: (is_anonymous(message) || rules.hide_cli) && !is_emergency,
            domain: subscriber.domain.clone(),
            calls_max: subscriber.calls_max,
            holder: Holder::Subscriber(subscriber.id),
            rules: CallerRules::Subscriber(rules.clone()),
            dialed,
            dialed_domain: uri.host_text(),
            callee,
            is_emergency,
            cli_refusal: None,
            screened: None,
            is_source_known: false,
        };
        self.screen_cli(&mut caller, message, &uri, subscriber, &rules);
        caller
    }

    /// The number that the caller wants shown, if it may show it (switch-reference 7.5).
    fn screen_cli(
        &self,
        caller: &mut Caller,
        message: &Message<'_>,
        uri: &Uri<'_>,
        subscriber: &Subscriber,
        rules: &SubscriberRules,
    ) {
        let Some(source) = rules.shown_number_from else { return };
        let Some((given, _)) = read_number(message, uri, source) else { return };
        // A phone that gives its own name, or nothing, gives no number.
        if given.is_empty() || given == subscriber.username || given.eq_ignore_ascii_case("anonymous") {
            return;
        }
        let plan = &rules.numbers;
        let number = canonical_of(plan, &plan.cross(Crossing::InCaller, &given, &plan.places));
        let is_own = number.is_some_and(|number| {
            self.lookup.owner(number, self.now.wall).is_some_and(|owner| owner.id == subscriber.id)
        });
        let is_listed = number.is_some_and(|number| {
            rules.allowed_clis.as_ref().is_some_and(|list| list.find(&number.to_string()).is_some())
        });
        match (number, rules.cli_policy) {
            (Some(number), _) if is_own || is_listed => caller.shown = number.to_string(),
            (_, CliPolicy::Replace) => {}
            (_, CliPolicy::Anonymous) => caller.clir = !caller.is_emergency,
            (_, CliPolicy::Reject) => {
                let object = format!("subscriber {} may not show {given}", subscriber.id);
                caller.cli_refusal = Some(Refusal::new(Cause::CliRefused, 403, "Forbidden", object));
            }
        }
    }

    /// Checks the credentials in `header`.
    pub(super) fn present(&mut self, header: HeaderName, message: &Message<'_>) -> Presented {
        let values = message.values(header).filter_map(Credentials::parse);
        let mut values = values.map(|given| (given.realm.to_ascii_lowercase(), given));
        // Credentials for other realms on the way are none of our business.
        let Some((realm, credentials)) = values.find(|(realm, _)| self.is_realm(realm)) else {
            return Presented::Challenge { stale: false };
        };
        let subscriber = self.lookup.subscriber_by_name(&credentials.username, &realm).cloned();
        let method = message.method().map(|method| method.as_bytes()).unwrap_or_default();
        let secret = subscriber.as_ref().map(|subscriber| &subscriber.digest);
        match (self.challenger.check(&credentials, secret, method, self.now.mono), subscriber) {
            (Verdict::Good, Some(subscriber)) => Presented::Known(Box::new(subscriber)),
            (Verdict::Stale, _) => Presented::Challenge { stale: true },
            (Verdict::Bad, _) | (Verdict::Good, None) => Presented::Wrong { username: credentials.username },
        }
    }

    pub(super) fn is_realm(&self, realm: &str) -> bool {
        self.lookup.is_domain(realm) || realm.eq_ignore_ascii_case(&self.config.domain)
    }

    /// The lines of a challenge for callers of `domain`.
    pub(super) fn challenge(&mut self, header: HeaderName, domain: &str, stale: bool) -> Vec<u8> {
        self.counters.challenges += 1;
        let salt = self.transactions.random();
        let realm = self.lookup.realm(domain).unwrap_or(&self.config.domain);
        self.challenger.challenge(header.as_str(), realm, stale, self.now.mono, salt)
    }
}

/// User and host of the address that a number is read from.
fn read_number(message: &Message<'_>, uri: &Uri<'_>, source: NumberSource) -> Option<(String, String)> {
    let parts = |uri: Uri<'_>| (uri.user_text(), uri.host_text());
    let of = |name: HeaderName| {
        let found = message.list(name).filter_map(NameAddr::parse).filter_map(|one| one.parse_uri());
        let found: Vec<_> = found.filter(|uri| uri.user.is_some()).map(parts).collect();
        // Of several identities the one that is a number.
        let number = found.iter().find(|(user, _)| canonical(user).is_some());
        number.or(found.first()).cloned()
    };
    let from = || message.from().and_then(|from| from.parse_uri()).map(parts);
    match source {
        NumberSource::RequestUri => Some(parts(*uri)),
        NumberSource::From => from(),
        NumberSource::To => message.to().and_then(|to| to.parse_uri()).map(parts),
        NumberSource::Asserted => of(HeaderName::PAssertedIdentity).or_else(from),
        NumberSource::Preferred => of(HeaderName::PPreferredIdentity).or_else(from),
        NumberSource::RemoteParty => of(HeaderName::RemotePartyId).or_else(from),
        NumberSource::Diversion => of(HeaderName::Diversion).or_else(|| Some(parts(*uri))),
    }
}

/// A number after its rules: with a set, the set alone decides; without one, the usual prefixes are dropped.
pub(super) fn canonical_of(plan: &NumberPlan, number: &str) -> Option<E164> {
    if plan.set.is_some() { number.parse().ok() } else { canonical(number) }
}

/// A dialled number in canonical form: `+`, `00` and visual separators are dropped. National forms need rewrite rules.
pub(super) fn canonical(dialed: &str) -> Option<E164> {
    let bare = |digits: &str| digits.strip_prefix("00").unwrap_or(digits).parse().ok();
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')' | ' ');
    if dialed.contains(is_separator) {
        return bare(&dialed.replace(is_separator, ""));
    }
    bare(dialed)
}

/// Whether the caller wants to stay anonymous (RFC 3323, RFC 3325).
fn is_anonymous(message: &Message<'_>) -> bool {
    let from = message.from().and_then(|from| from.parse_uri());
    wants_privacy(message) || from.is_some_and(|uri| uri.host.eq_ignore_ascii_case(b"anonymous.invalid"))
}

/// Whether a Privacy header says so.
pub(super) fn wants_privacy(message: &Message<'_>) -> bool {
    message.values(HeaderName::Privacy).any(|value| {
        value.split(|byte| b"; ,".contains(byte)).any(|word| {
            [&b"id"[..], b"user", b"header"].iter().any(|private| word.eq_ignore_ascii_case(private))
        })
    })
}
