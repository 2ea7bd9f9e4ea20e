//! `tollbook route` and `tollbook rewrite`: where a call would go, and what becomes of a number, without dialling.

use std::sync::Arc;

use model::{Directory, E164, Trunk, TrunkId};
use switch::{Input, RouteFrom, RoutePlan, Switch};

use super::{nearest, print_table};
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

/// Prints the plan of one call.
pub(crate) async fn route(config: &Config, from: &str, to: &str) -> anyhow::Result<()> {
    let directory = Arc::new(open_store(config).await?.directory().await?);
    let clock = Clock::start();
    let who = caller(&directory, from, clock.utc())?;
    let now = clock.now();
    let mut switch = Switch::new(config.switch.clone(), config.switch.listen, now, rand::random());
    switch.handle(now, Input::Directory(directory.clone()));
    let Some(plan) = switch.explain_route(now, who, to) else {
        return Err(UserError::new(format!("{to:?} cannot be dialled"), "give a number or a name").into());
    };
    print(&plan, &directory, to);
    Ok(())
}

/// A subscriber by address or number, or a trunk by name.
pub(crate) fn caller(
    directory: &Directory,
    from: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<RouteFrom, UserError> {
    let by_name = directory.subscribers.iter().find(|there| {
        from.split_once('@')
            .is_some_and(|(user, domain)| there.username == user && there.domain.eq_ignore_ascii_case(domain))
    });
    if let Some(subscriber) = by_name {
        return Ok(RouteFrom::Subscriber(subscriber.id));
    }
    if let Ok(number) = from.parse::<E164>()
        && let Some(owner) = directory
            .numbers
            .iter()
            .find(|there| there.number == number && there.from <= now && there.to.is_none_or(|to| now < to))
    {
        return Ok(RouteFrom::Subscriber(owner.subscriber));
    }
    if let Some(trunk) = directory.trunks.iter().find(|there| there.name == from) {
        return Ok(RouteFrom::Trunk(trunk.id));
    }
    let names: Vec<String> =
        directory.subscribers.iter().map(|there| format!("{}@{}", there.username, there.domain)).collect();
    let known =
        names.iter().map(String::as_str).chain(directory.trunks.iter().map(|there| there.name.as_str()));
    let remedy = match nearest(from, known) {
        Some(known) => format!("did you mean {known}?"),
        None => "give user@domain, a number of a subscriber, or the name of a trunk".to_owned(),
    };
    Err(UserError::new(format!("nobody is called {from:?}"), remedy))
}

fn print(plan: &RoutePlan, directory: &Directory, dialed: &str) {
    let number = |number: Option<E164>| number.map_or_else(|| "no number".to_owned(), |it| it.to_string());
    println!("dialled   {dialed}, which is {}", number(plan.callee));
    println!("billed    {}", number(plan.cli));
    println!("shown     {}", plan.shown.as_deref().unwrap_or("nothing: the number is hidden"));
    if plan.is_emergency {
        println!("emergency: passes every lock, limit and list, and is tried everywhere");
    }
    for note in &plan.notes {
        println!("on the way: {note}");
    }
    if let Some(refusal) = &plan.refusal {
        println!("refused   {} {}: {} ({})", refusal.code, refusal.phrase, refusal.cause, refusal.object);
        return;
    }
    if plan.attempts.is_empty() {
        return;
    }
    println!();
    let rows = plan.attempts.iter().enumerate().map(|(idx, attempt)| {
        let (prefix, priority, weight) = match &attempt.route {
            Some((prefix, priority, weight)) => (prefix.clone(), priority.to_string(), weight.to_string()),
            None => (String::new(), String::new(), String::new()),
        };
        vec![
            (idx + 1).to_string(),
            attempt.trunk.map_or_else(|| "phone".to_owned(), |id| trunk_name(directory, id)),
            if prefix.is_empty() && attempt.route.is_some() { "any".to_owned() } else { prefix },
            priority,
            weight,
            attempt.hop.to_string(),
            attempt.uri.clone(),
            attempt.caller_out.clone(),
            attempt.skipped.as_ref().map_or_else(String::new, |why| format!("skipped: {why}")),
        ]
    });
    let columns = ["try", "over", "prefix", "priority", "weight", "next hop", "request-uri", "from", ""];
    print_table(&columns, rows, "");
    println!();
    println!(
        "Of equal priority the order is drawn by weight. What only the running switch knows is not looked at: who is"
    );
    println!("registered, calls in progress, trunks that do not answer.");
}

pub(crate) fn trunk_name(directory: &Directory, id: TrunkId) -> String {
    let there = directory.trunks.iter().find(|there: &&Trunk| there.id == id);
    there.map_or_else(|| format!("trunk {id}"), |there| there.name.clone())
}

/// Prints what a set makes of each number.
pub(crate) async fn rewrite(
    config: &Config,
    set: &str,
    country: &str,
    area: &str,
    numbers: &[String],
) -> anyhow::Result<()> {
    let directory = open_store(config).await?.directory().await?;
    let sets = || directory.calling.tenants.values().flat_map(|tenant| &tenant.rewrite);
    let Some((_, found)) = sets().find(|(name, _)| *name == set) else {
        let known = nearest(set, sets().map(|(name, _)| name.as_str()));
        let remedy = match known {
            Some(known) => format!("did you mean {known}?"),
            None => "sets are part of a tenant: [tenants.calling.rewrite.NAME] in the world file".to_owned(),
        };
        return Err(UserError::new(format!("there is no rewrite rule set {set:?}"), remedy).into());
    };
    let crossings = ["calling, coming in", "called, coming in", "calling, going out", "called, going out"];
    let rows = numbers.iter().flat_map(|number| {
        let rewritten = switch::rewrite(found, country, area, number);
        crossings.into_iter().zip(rewritten).map(move |(crossing, to)| {
            let rule = to.rule.unwrap_or_else(|| "no rule matches".to_owned());
            vec![number.clone(), crossing.to_owned(), to.number, rule]
        })
    });
    print_table(&["number", "crossing", "becomes", "by"], rows, "");
    Ok(())
}
