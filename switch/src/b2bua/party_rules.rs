//! The calling rules of one snapshot, compiled for each object that has any.

use std::collections::HashSet;
use std::sync::Arc;

use model::{
    AccountId, CallForward, CliPolicy, Directory, E164, ForwardKind, NumberSource, RouteId,
    SubscriberCalling, SubscriberId, TenantCalling, TenantId, Transport, TrunkCalling, TrunkId,
};
use regex::Regex;
use rustc_hash::FxHashMap;

use super::lookup::Network;
use crate::hop::Hop;
use crate::message::Uri;
use crate::rules::{NumberPlan, Permission, Places, Rate, RewriteTables, ShellList};

/// Everything compiled.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) tenants: FxHashMap<TenantId, TenantRules>,
    pub(crate) accounts: FxHashMap<AccountId, AccountRules>,
    subscribers: FxHashMap<SubscriberId, Arc<SubscriberRules>>,
    trunks: FxHashMap<TrunkId, Arc<TrunkRules>>,
    pub(crate) routes: FxHashMap<RouteId, RouteRules>,
    /// Of those who have none.
    usual_subscriber: Arc<SubscriberRules>,
    usual_trunk: Arc<TrunkRules>,
}

#[derive(Debug)]
pub(crate) struct TenantRules {
    pub(crate) emergency: HashSet<E164>,
    pub(crate) user_agents_refused: Option<ShellList>,
}

/// An NCOS level with its name.
pub(crate) type Ncos = (String, Permission);

#[derive(Debug)]
pub(crate) struct AccountRules {
    pub(crate) ncos: Option<Ncos>,
    pub(crate) block_out: Option<Permission>,
    pub(crate) rate: Option<Rate>,
    pub(crate) call_seconds_max: Option<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct SubscriberRules {
    pub(crate) numbers: NumberPlan,
    pub(crate) shown_number_from: Option<NumberSource>,
    pub(crate) allowed_clis: Option<ShellList>,
    pub(crate) cli_policy: CliPolicy,
    pub(crate) hide_cli: bool,
    pub(crate) ncos: Option<Ncos>,
    pub(crate) block_out: Option<Permission>,
    pub(crate) block_in: Option<Permission>,
    pub(crate) block_anonymous: bool,
    pub(crate) allowed_sources: Vec<Network>,
    pub(crate) rate: Option<Rate>,
    pub(crate) call_seconds_max: Option<u32>,
    pub(crate) advice_of_charge: bool,
    /// Request-URI and hop.
    pub(crate) permanent_contacts: Vec<(Vec<u8>, Hop)>,
    forwards: Vec<CallForward>,
}

impl SubscriberRules {
    /// Where its calls go in that case.
    pub(crate) fn forward(&self, when: ForwardKind) -> Option<&CallForward> {
        self.forwards.iter().find(|forward| forward.when == when && forward.enabled)
    }

    /// Whether it may call and register from there.
    pub(crate) fn allows_source(&self, source: Hop) -> bool {
        self.allowed_sources.is_empty()
            || self.allowed_sources.iter().any(|network| network.contains(source.address.ip()))
    }
}

#[derive(Debug, Default)]
pub(crate) struct TrunkRules {
    pub(crate) numbers: NumberPlan,
    pub(crate) rate_in: Option<Rate>,
    pub(crate) rate_out: Option<Rate>,
    pub(crate) is: TrunkCalling,
}

#[derive(Debug)]
pub(crate) struct RouteRules {
    callee: Option<Regex>,
    caller: Option<Regex>,
    pub(crate) stopper: bool,
    is_disabled: bool,
}

impl RouteRules {
    pub(crate) fn matches(&self, callee: &str, caller: &str) -> bool {
        !self.is_disabled
            && self.callee.as_ref().is_none_or(|pattern| pattern.is_match(callee))
            && self.caller.as_ref().is_none_or(|pattern| pattern.is_match(caller))
    }
}

impl Rules {
    pub(crate) fn subscriber(&self, id: SubscriberId) -> Arc<SubscriberRules> {
        self.subscribers.get(&id).unwrap_or(&self.usual_subscriber).clone()
    }

    pub(crate) fn trunk(&self, id: TrunkId) -> Arc<TrunkRules> {
        self.trunks.get(&id).unwrap_or(&self.usual_trunk).clone()
    }

    /// Compiles the rules of a snapshot. What is wrong was refused when it was provisioned; should something be wrong all the
    /// same, a permission that cannot be read allows nothing, and anything else is left out.
    pub(crate) fn compile(directory: &Directory) -> Self {
        let calling = &directory.calling;
        let nothing = TenantCalling::default();
        let tenant_of = |id: TenantId| calling.tenants.get(&id).unwrap_or(&nothing);
        let mut tables = RewriteTables::default();
        let mut rules = Self::default();
        for (id, given) in &calling.tenants {
            let agents = &given.user_agents_refused;
            let compiled = TenantRules {
                emergency: given.emergency.iter().copied().collect(),
                user_agents_refused: (!agents.is_empty())
                    .then(|| usable(ShellList::compile(agents, true)))
                    .flatten(),
            };
            rules.tenants.insert(*id, compiled);
        }
        for account in &directory.accounts {
            let Some(given) = calling.accounts.get(&account.id) else { continue };
            let compiled = AccountRules {
                ncos: ncos(given.ncos.as_deref(), tenant_of(account.tenant)),
                block_out: given.block_out.as_ref().map(|list| strict(Permission::of_list(list))),
                rate: Rate::of(given.calls_per_second, given.calls_burst),
                call_seconds_max: given.call_seconds_max,
            };
            rules.accounts.insert(account.id, compiled);
        }
        for subscriber in &directory.subscribers {
            let Some(given) = calling.subscribers.get(&subscriber.id) else { continue };
            let tenant = tenant_of(subscriber.tenant);
            let places =
                Places { country_code: given.country_code.clone(), area_code: given.area_code.clone() };
            let name = given.rewrite.as_deref();
            let set = name.and_then(|name| tenant.rewrite.get(name));
            let numbers = tables.plan(subscriber.tenant, name, set, places);
            rules.subscribers.insert(subscriber.id, Arc::new(subscriber_rules(given, tenant, numbers)));
        }
        for trunk in &directory.trunks {
            let Some(given) = calling.trunks.get(&trunk.id) else { continue };
            let places =
                Places { country_code: given.country_code.clone(), area_code: given.area_code.clone() };
            let name = given.rewrite.as_deref();
            let set = name.and_then(|name| tenant_of(trunk.tenant).rewrite.get(name));
            let compiled = TrunkRules {
                numbers: tables.plan(trunk.tenant, name, set, places),
                rate_in: Rate::of(given.calls_per_second, None),
                rate_out: Rate::of(given.calls_per_second_out, None),
                is: given.clone(),
            };
            rules.trunks.insert(trunk.id, Arc::new(compiled));
        }
        for (id, given) in &calling.routes {
            let pattern = |text: &Option<String>| {
                text.as_deref().and_then(|text| usable(Regex::new(text).map_err(|why| why.to_string())))
            };
            let compiled = RouteRules {
                callee: pattern(&given.callee_pattern),
                caller: pattern(&given.caller_pattern),
                stopper: given.stopper,
                is_disabled: given.disabled,
            };
            rules.routes.insert(*id, compiled);
        }
        rules
    }
}

fn subscriber_rules(
    given: &SubscriberCalling,
    tenant: &TenantCalling,
    numbers: NumberPlan,
) -> SubscriberRules {
    let contact = |text: &String| {
        let hop = Uri::parse(text.as_bytes()).and_then(|uri| Hop::of_uri(&uri, Transport::Udp))?;
        Some((text.clone().into_bytes(), hop))
    };
    let clis = &given.allowed_clis;
    SubscriberRules {
        numbers,
        shown_number_from: given.shown_number_from,
        allowed_clis: (!clis.is_empty()).then(|| usable(ShellList::compile(clis, false))).flatten(),
        cli_policy: given.cli_policy,
        hide_cli: given.hide_cli,
        ncos: ncos(given.ncos.as_deref(), tenant),
        block_out: given.block_out.as_ref().map(|list| strict(Permission::of_list(list))),
        block_in: given.block_in.as_ref().map(|list| strict(Permission::of_list(list))),
        block_anonymous: given.block_anonymous,
        allowed_sources: given.allowed_sources.iter().filter_map(|text| Network::parse(text)).collect(),
        rate: Rate::of(given.calls_per_second, given.calls_burst),
        call_seconds_max: given.call_seconds_max,
        advice_of_charge: given.advice_of_charge,
        permanent_contacts: given.permanent_contacts.iter().filter_map(contact).collect(),
        forwards: given.forwards.clone(),
    }
}

/// The level of that name. One that is gone allows nothing: a bar must not open by a slip.
fn ncos(name: Option<&str>, tenant: &TenantCalling) -> Option<Ncos> {
    let name = name?;
    let level = match tenant.ncos.get(name) {
        Some(level) => strict(Permission::of_level(level)),
        None => Permission::nothing(),
    };
    Some((name.to_owned(), level))
}

fn strict(compiled: Result<Permission, String>) -> Permission {
    usable(compiled).unwrap_or_else(Permission::nothing)
}

fn usable<T>(compiled: Result<T, String>) -> Option<T> {
    compiled.map_err(|why| tracing::warn!(why, "calling rule left out")).ok()
}
