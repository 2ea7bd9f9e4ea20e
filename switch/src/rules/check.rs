//! What is wrong with calling rules, told before they are provisioned.

use std::net::IpAddr;

use model::{
    AccountCalling, BlockList, ForwardKind, RouteCalling, SubscriberCalling, TenantCalling, TrunkCalling,
};

use super::pattern::{Permission, ShellList, compile};
use super::rewrite::{CompiledSet, Places};
use crate::b2bua::Network;
use crate::message::Uri;

/// Whether a text is an address, or a network such as `192.0.2.0/28`.
pub fn is_network(text: &str) -> bool {
    Network::parse(text).is_some()
}

/// An address or network in the one form in which it is kept: `192.0.2.7/24` is `192.0.2.0/24`. `None` for what is none, and for all there are.
pub fn canonical_network(text: &str) -> Option<String> {
    Network::parse(text).and_then(Network::canonical)
}

/// Rules of one object, beside those of its tenant, to which they refer by name.
#[derive(Debug, Clone, Copy)]
pub enum CallingOf<'a> {
    /// Of the tenant itself.
    Tenant,
    /// Of an account.
    Account(&'a AccountCalling),
    /// Of a subscriber.
    Subscriber(&'a SubscriberCalling),
    /// Of a trunk.
    Trunk(&'a TrunkCalling),
    /// Of a route.
    Route(&'a RouteCalling),
}

/// Checks rules that could not be used.
///
/// # Errors
///
/// A sentence that names the key and what is wrong with its value.
pub fn check_calling(rules: CallingOf<'_>, tenant: &TenantCalling) -> Result<(), String> {
    match rules {
        CallingOf::Tenant => of_tenant(tenant),
        CallingOf::Account(rules) => {
            level_is_there("ncos", rules.ncos.as_deref(), tenant)?;
            list("block_out", rules.block_out.as_ref())
        }
        CallingOf::Subscriber(rules) => of_subscriber(rules, tenant),
        CallingOf::Trunk(rules) => of_trunk(rules, tenant),
        CallingOf::Route(rules) => {
            let patterns =
                [("callee_pattern", &rules.callee_pattern), ("caller_pattern", &rules.caller_pattern)];
            patterns.into_iter().try_for_each(|(key, pattern)| match pattern {
                Some(pattern) => compile(pattern).map(drop).map_err(|why| format!("{key}: {why}")),
                None => Ok(()),
            })
        }
    }
}

fn of_tenant(rules: &TenantCalling) -> Result<(), String> {
    for (name, set) in &rules.rewrite {
        // Any places will do: they are escaped where they are put in.
        let places = Places { country_code: "1".to_owned(), area_code: "1".to_owned() };
        let mut wrong = Vec::new();
        CompiledSet::compile(set, &places, &mut wrong);
        if let Some(why) = wrong.first() {
            return Err(format!("rewrite.{name}: {why}"));
        }
    }
    for (name, level) in &rules.ncos {
        Permission::of_level(level).map_err(|why| format!("ncos.{name}: {why}"))?;
        if level.except.iter().any(String::is_empty) {
            return Err(format!(
                "ncos.{name}: an exception is empty; write the number that passes, or remove it"
            ));
        }
    }
    ShellList::compile(&rules.user_agents_refused, true)
        .map(drop)
        .map_err(|why| format!("user_agents_refused: {why}"))
}

fn of_subscriber(rules: &SubscriberCalling, tenant: &TenantCalling) -> Result<(), String> {
    set_is_there(rules.rewrite.as_deref(), tenant)?;
    level_is_there("ncos", rules.ncos.as_deref(), tenant)?;
    list("block_out", rules.block_out.as_ref())?;
    list("block_in", rules.block_in.as_ref())?;
    codes(&rules.country_code, &rules.area_code)?;
    ShellList::compile(&rules.allowed_clis, false).map_err(|why| format!("allowed_clis: {why}"))?;
    if let Some(bad) = rules.allowed_sources.iter().find(|source| Network::parse(source).is_none()) {
        return Err(format!(
            "allowed_sources: {bad:?} is no address or network; write it like \"192.0.2.0/28\""
        ));
    }
    for contact in &rules.permanent_contacts {
        let is_reachable = Uri::parse(contact.as_bytes()).is_some_and(|uri| uri.socket_address().is_some());
        if !is_reachable {
            return Err(format!(
                "permanent_contacts: {contact:?} must be a SIP URI with an address, such as \"sip:pbx@192.0.2.7:5060\""
            ));
        }
    }
    for forward in &rules.forwards {
        if forward.to.is_empty() {
            return Err(format!("forwards: {} leads nowhere; give a number in `to`", forward.when));
        }
        if forward.when == ForwardKind::NoAnswer && forward.after_seconds == 0 {
            return Err(
                "forwards: after_seconds must be at least 1 for cft; use cfu to forward at once".to_owned()
            );
        }
    }
    Ok(())
}

fn of_trunk(rules: &TrunkCalling, tenant: &TenantCalling) -> Result<(), String> {
    set_is_there(rules.rewrite.as_deref(), tenant)?;
    codes(&rules.country_code, &rules.area_code)?;
    if rules.register && rules.login.is_none() {
        return Err(
            "register: a registration needs `login = { username = \"...\", password = \"...\" }`".to_owned()
        );
    }
    if let Some(login) = &rules.login
        && (login.username.is_empty() || login.username.contains(['"', '\r', '\n']))
    {
        return Err("login.username: must not be empty, and cannot hold quotes".to_owned());
    }
    let is_code = |code: &u16| (400..700).contains(code);
    if let Some(code) = rules.failover.keys().find(|code| !(300..700).contains(*code)) {
        return Err(format!("failover: {code} is no final refusal; use codes from 300 to 699"));
    }
    if let Some((from, to)) = rules.answer_as.iter().find(|(from, to)| !is_code(from) || !is_code(to)) {
        return Err(format!("answer_as: {from} = {to} must be codes from 400 to 699"));
    }
    if rules.probe_seconds.is_some_and(|seconds| seconds < 5) {
        return Err("probe_seconds: must be at least 5; 30 or 60 is usual".to_owned());
    }
    let is_host = |text: &String| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    if let Some(domain) = rules.domain.iter().find(|domain| !is_host(domain)) {
        return Err(format!("domain: {domain:?} is no host name"));
    }
    if rules.naptr
        && rules.host.as_ref().or(rules.outbound_proxy.as_ref()).is_none_or(|place| place.name().is_none())
    {
        return Err("naptr: needs a name to look up, such as `host = \"sip.carrier.example\"`".to_owned());
    }
    if rules.from_user.as_ref().is_some_and(String::is_empty) {
        return Err("from_user: must not be empty; leave it out to send the calling number".to_owned());
    }
    if rules.tls_name.as_ref().is_some_and(|name| !is_host(name) && name.parse::<IpAddr>().is_err()) {
        return Err("tls_name: must be a host name or an address".to_owned());
    }
    Ok(())
}

fn codes(country: &str, area: &str) -> Result<(), String> {
    let is_code = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 8;
    match (is_code(country), is_code(area)) {
        (false, _) => Err(format!("country_code: {country:?} must be digits, such as \"43\"")),
        (_, false) => {
            Err(format!("area_code: {area:?} must be digits without the leading 0, such as \"512\""))
        }
        (true, true) => Ok(()),
    }
}

fn set_is_there(name: Option<&str>, tenant: &TenantCalling) -> Result<(), String> {
    match name {
        Some(name) if !tenant.rewrite.contains_key(name) => {
            let known: Vec<&str> = tenant.rewrite.keys().map(String::as_str).collect();
            Err(format!("rewrite: the tenant has no rule set {name:?}; it has {}", listed(&known)))
        }
        Some(_) | None => Ok(()),
    }
}

fn level_is_there(key: &str, name: Option<&str>, tenant: &TenantCalling) -> Result<(), String> {
    match name {
        Some(name) if !tenant.ncos.contains_key(name) => {
            let known: Vec<&str> = tenant.ncos.keys().map(String::as_str).collect();
            Err(format!("{key}: the tenant has no NCOS level {name:?}; it has {}", listed(&known)))
        }
        Some(_) | None => Ok(()),
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn list(key: &str, list: Option<&BlockList>) -> Result<(), String> {
    match list {
        Some(list) => Permission::of_list(list).map(drop).map_err(|why| format!("{key}: {why}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use model::{CallForward, ListMode, NcosLevel, RewriteRule, RewriteSet};

    use super::*;

    fn tenant() -> TenantCalling {
        let level = NcosLevel { mode: ListMode::Deny, patterns: vec!["^43900".into()], except: Vec::new() };
        TenantCalling { ncos: [("national".to_owned(), level)].into(), ..TenantCalling::default() }
    }

    #[track_caller]
    fn wrong(rules: CallingOf<'_>, said: &str) {
        let error = check_calling(rules, &tenant()).unwrap_err();
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_and_what_there_is() {
        let usual = SubscriberCalling::default;
        assert_eq!(check_calling(CallingOf::Subscriber(&usual()), &tenant()), Ok(()));
        let rules = SubscriberCalling { ncos: Some("natonal".into()), ..usual() };
        wrong(CallingOf::Subscriber(&rules), "no NCOS level \"natonal\"; it has national");
        let rules = SubscriberCalling { rewrite: Some("at".into()), ..usual() };
        wrong(CallingOf::Subscriber(&rules), "no rule set \"at\"; it has none");
        let rules = SubscriberCalling { allowed_sources: vec!["10.0.0.0/33".into()], ..usual() };
        wrong(CallingOf::Subscriber(&rules), "10.0.0.0/33");
        let rules = SubscriberCalling { permanent_contacts: vec!["sip:pbx@host".into()], ..usual() };
        wrong(CallingOf::Subscriber(&rules), "with an address");
        let forward =
            CallForward { when: ForwardKind::NoAnswer, to: "1".into(), after_seconds: 0, enabled: true };
        let rules = SubscriberCalling { forwards: vec![forward], ..usual() };
        wrong(CallingOf::Subscriber(&rules), "at least 1 for cft");
        let rules = TrunkCalling { register: true, ..TrunkCalling::default() };
        wrong(CallingOf::Trunk(&rules), "needs `login");
        let rules =
            TrunkCalling { failover: [(200, model::RouteAction::Next)].into(), ..TrunkCalling::default() };
        wrong(CallingOf::Trunk(&rules), "200 is no final refusal");
        let level =
            NcosLevel { mode: ListMode::Deny, patterns: vec!["^43900".into()], except: vec![String::new()] };
        let rules = TenantCalling { ncos: [("low".to_owned(), level)].into(), ..TenantCalling::default() };
        let error = check_calling(CallingOf::Tenant, &rules).unwrap_err();
        assert!(error.contains("ncos.low: an exception is empty"), "{error}");
        let rules = RouteCalling { callee_pattern: Some("(".into()), ..RouteCalling::default() };
        wrong(CallingOf::Route(&rules), "callee_pattern");
    }

    #[test]
    fn rule_set_with_a_rule_that_does_not_compile_is_refused() {
        let rule = RewriteRule { pattern: "^(?=0)".into(), replace: String::new(), note: String::new() };
        let set = RewriteSet { in_callee: vec![rule], ..RewriteSet::default() };
        let rules = TenantCalling { rewrite: [("at".to_owned(), set)].into(), ..TenantCalling::default() };
        let error = check_calling(CallingOf::Tenant, &rules).unwrap_err();
        assert!(error.contains("rewrite.at") && error.contains("linear time"), "{error}");
    }
}
