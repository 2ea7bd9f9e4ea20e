//! What the house does for changes of what is provisioned at the desk: the rules of the world file, making a change known at once, and
//! trying routes and rewrite rules.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use model::{AccountId, Body, Control, Directory, Record, Topic};
use serde_json::Value;
use store::{DeskRules, FieldFault, ObjectKind, World, WorldFault};
use switch::{Input, Switch, SwitchConfig};
use tracing::warn;
use web::{ProvisioningDesk, TestedCall, TriedRoute};

use crate::commands::route::{caller, trunk_name};
use crate::runner::{Rooms, entry};
use crate::world_file;

/// What the console asks.
pub(crate) fn desk(rooms: Rooms, switch: SwitchConfig) -> ProvisioningDesk {
    let (for_routes, for_sets) = (rooms.clone(), rooms.directory.clone());
    ProvisioningDesk {
        rules: DeskRules { complete, check },
        announce: Arc::new(move |revision| {
            let rooms = rooms.clone();
            async move { announce(&rooms, revision).await }.boxed()
        }),
        try_route: Arc::new(move |from, to| try_route(&for_routes, &switch, from, to)),
        try_rewrite: Arc::new(move |set, country, area, number| {
            try_rewrite(&for_sets.current(), set, country, area, number)
        }),
    }
}

/// Tells every process, and has this one read it. Where that fails the change is there all the same: the revision is looked at twice a
/// second.
pub(crate) async fn announce(rooms: &Rooms, revision: i64) {
    let record = Record { origin: None, body: Body::Control(Control::ConfigChanged { revision }) };
    if let Err(why) =
        rooms.bus.append(vec![entry(Topic::Control, AccountId::NOBODY, &record, &*rooms.bus)]).await
    {
        warn!(error = %why, "a change of provisioning data could not be announced; it is found within a second");
    }
    if let Err(why) = rooms.directory.reload_if_newer().await {
        warn!(error = %why, "provisioning data that was changed could not be read; trying again within a second");
    }
}

/// A password becomes its hashes.
fn complete(kind: ObjectKind, object: &mut Value) -> Result<(), FieldFault> {
    if kind != ObjectKind::Subscriber {
        return Ok(());
    }
    let text = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(members) = object.as_object_mut() else { return Ok(()) };
    let password = members.remove("password").and_then(|it| it.as_str().map(str::to_owned));
    let Some(password) = password else {
        if text(object, "ha1_md5").is_none() || text(object, "ha1_sha256").is_none() {
            return Err(FieldFault::new("password", "give a password"));
        }
        return Ok(());
    };
    let (username, domain) = (text(object, "username"), text(object, "domain"));
    let (username, domain) = (username.unwrap_or_default(), domain.unwrap_or_default());
    let (md5, sha256) = world_file::hashes(&username, &domain, &password)
        .map_err(|rule| FieldFault::new("password", rule))?;
    object["ha1_md5"] = Value::String(md5);
    object["ha1_sha256"] = Value::String(sha256);
    Ok(())
}

fn check(world: &World, directory: &Directory, now: DateTime<Utc>) -> Result<(), WorldFault> {
    world_file::check_world(world, directory, now).map_err(|(object, rule, remedy)| {
        // Rules of parts begin with the name of the part, such as `calling.ncos`.
        let part = rule.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        let is_part = matches!(part, "calling" | "fraud" | "daily" | "interval" | "terms");
        let field = if is_part { part.to_owned() } else { String::new() };
        WorldFault { object, field, rule: format!("{rule}; {remedy}") }
    })
}

fn try_route(rooms: &Rooms, config: &SwitchConfig, from: &str, to: &str) -> Result<TestedCall, String> {
    let directory = rooms.directory.current();
    let now = rooms.clock.now();
    let who = caller(&directory, from, now.wall).map_err(|why| why.to_string())?;
    let mut switch = Switch::new(config.clone(), config.listen, now, rand::random());
    switch.handle(now, Input::Directory(directory.clone()));
    let Some(plan) = switch.explain_route(now, who, to) else {
        return Err(format!("{to:?} cannot be dialled; give a number or a name"));
    };
    let number =
        |number: Option<model::E164>| number.map_or_else(|| "no number".to_owned(), |it| it.to_string());
    let mut facts = vec![
        ("Dialled", format!("{to}, which is {}", number(plan.callee))),
        ("Billed", number(plan.cli)),
        ("Shown", plan.shown.unwrap_or_else(|| "nothing: the number is hidden".to_owned())),
    ];
    if plan.is_emergency {
        let words = "passes every lock, limit and list, and is tried everywhere";
        facts.push(("Emergency", words.to_owned()));
    }
    facts.extend(plan.notes.into_iter().map(|note| ("On the way", note)));
    let refusal = plan.refusal.map_or_else(String::new, |refusal| {
        format!("{} {}: {} ({})", refusal.code, refusal.phrase, refusal.cause, refusal.object)
    });
    let routes = plan.attempts.into_iter().map(|attempt| TriedRoute {
        over: attempt.trunk.map_or_else(|| "phone".to_owned(), |id| trunk_name(&directory, id)),
        route: attempt.route.map_or_else(String::new, |(prefix, priority, weight)| {
            let prefix = if prefix.is_empty() { "any".to_owned() } else { prefix };
            format!("{prefix}, priority {priority}, weight {weight}")
        }),
        next_hop: attempt.hop.to_string(),
        uri: attempt.uri,
        from: attempt.caller_out,
        skipped: attempt.skipped.unwrap_or_default(),
    });
    Ok(TestedCall { facts, refusal, routes: routes.collect() })
}

fn try_rewrite(
    directory: &Directory,
    set: &str,
    country: &str,
    area: &str,
    number: &str,
) -> Result<Vec<[String; 3]>, String> {
    let mut sets = directory.calling.tenants.values().flat_map(|tenant| &tenant.rewrite);
    let Some((_, found)) = sets.find(|(name, _)| *name == set) else {
        return Err(format!(
            "there is no rewrite rule set {set:?}; they are part of a tenant, below calling.rewrite"
        ));
    };
    let crossings = ["calling, coming in", "called, coming in", "calling, going out", "called, going out"];
    let rewritten = switch::rewrite(found, country, area, number);
    let rows = crossings.into_iter().zip(rewritten).map(|(crossing, to)| {
        let rule = to.rule.unwrap_or_else(|| "no rule matches".to_owned());
        [crossing.to_owned(), to.number, rule]
    });
    Ok(rows.collect())
}
