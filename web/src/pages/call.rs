//! One call: parties, route attempts, each price step by step, and what was posted for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::TimeDelta;
use model::{CdrId, Charge, Directory, Party, Provider, RatedCdr};

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::masked::shown;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::{Right, Role};

#[derive(Template)]
#[template(path = "call.html")]
struct Page {
    frame: Frame,
    /// What is known of the call: a word and its value.
    facts: Vec<(&'static str, String)>,
    attempts: Vec<Attempt>,
    charges: Vec<Priced>,
    postings: Vec<PostingRow>,
    alerts: Vec<AlertRow>,
    is_answered: bool,
    sees_prices: bool,
}

struct Attempt {
    number: u16,
    party: String,
    code: String,
    pdd: String,
    action: String,
}

/// What one party owes, and how it came about.
struct Priced {
    who: String,
    cost: String,
    workings: String,
}

struct PostingRow {
    at: String,
    debit: String,
    credit: String,
    amount: String,
    reason: String,
}

struct AlertRow {
    at: String,
    rule: String,
    value: String,
}

/// The call whose CDR has this id, in its newest revision.
pub(crate) async fn rated(shared: &Shared, id: &str) -> Result<RatedCdr, Refusal> {
    let id: CdrId = id.parse().map_err(|why: model::InvalidId| Refusal::NotFound(why.to_string()))?;
    let payload = shared.desk.store.rated_call(id).await?.ok_or_else(|| {
        Refusal::NotFound(format!(
            "there is no rated call {id}; one that could not be rated is in suspense, one just ended comes within seconds"
        ))
    })?;
    model::wire::decode_rated(&payload).map_err(Refusal::failed)
}

/// Whether `role` may see what this level charges.
pub(crate) fn sees_price(role: Role, provider: Provider) -> bool {
    match provider {
        Provider::Customer | Provider::Reseller => role.may(Right::CustomerPrices),
        Provider::Carrier => role.may(Right::CarrierPrices),
    }
}

/// The page.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    require(&user, Right::Calls, "see calls")?;
    let call = rated(&shared, &id).await?;
    let directory = (shared.desk.directory)();
    let charges: Vec<&Charge> =
        call.charges.iter().filter(|charge| sees_price(user.role, charge.provider)).collect();
    let postings =
        if user.role.may(Right::Books) { postings_of(&shared, &call, &directory).await? } else { Vec::new() };
    let alerts =
        if user.role.may(Right::FraudDesk) { alerts_of(&shared, call.cdr.id).await? } else { Vec::new() };
    html(&Page {
        frame: Frame::of(&user, "/calls"),
        facts: facts(&call, &directory, user.role),
        attempts: attempts(&call, &directory),
        charges: charges.into_iter().map(|charge| priced(charge, &directory)).collect(),
        postings,
        alerts,
        is_answered: call.cdr.is_answered(),
        sees_prices: user.role.may(Right::CustomerPrices) || user.role.may(Right::CarrierPrices),
    })
}

fn facts(call: &RatedCdr, directory: &Directory, role: Role) -> Vec<(&'static str, String)> {
    let cdr = &call.cdr;
    let whole = role.may(Right::Numbers);
    let from = cdr.source.cli.map_or_else(|| cdr.source.user.clone(), |cli| cli.to_string().into());
    let hidden = if cdr.source.clir { " (hidden from the callee)" } else { "" };
    let mut facts = vec![
        ("From", format!("{}{hidden}", shown(&from, whole))),
        ("", party_name(&cdr.source.party, directory, whole)),
        ("To", shown(&cdr.destination.user_in, whole)),
        ("", party_name(&cdr.destination.party, directory, whole)),
        ("Dialled", shown(&cdr.destination.dialed, whole)),
        ("Sent on as", shown(&cdr.destination.user_out, whole)),
        ("Paid by", directory.name_of(cdr.payer)),
        ("INVITE", format!("{} UTC", cdr.init_at.format("%F %T%.3f"))),
        ("Start", format!("{} UTC", cdr.start_at.format("%F %T%.3f"))),
        ("Duration", format!("{}.{:03} s", cdr.duration_us / 1_000_000, cdr.duration_us / 1_000 % 1_000)),
        ("Outcome", format!("{} ({}, {}), ended by {}", cdr.status, cdr.code, cdr.cause, cdr.ended_by)),
        ("First sign", cdr.pdd_us.map_or_else(String::new, |us| format!("after {} ms", us / 1_000))),
        ("Codec", cdr.codec.to_string()),
        ("Phone", cdr.source.user_agent.to_string()),
        ("Answered by", cdr.destination.user_agent.to_string()),
        ("From address", if whole { cdr.source.ip.to_string() } else { String::new() }),
        ("Call", format!("{} leg {}", cdr.call, cdr.leg)),
        ("Call-ID", cdr.sip_call_id.to_string()),
        ("CDR", format!("{} revision {}", cdr.id, cdr.revision)),
        ("Provisioning", format!("revision {}", cdr.config_revision)),
    ];
    if cdr.partial {
        facts.push(("Note", "the end of this call was never seen".to_owned()));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn attempts(call: &RatedCdr, directory: &Directory) -> Vec<Attempt> {
    call.cdr
        .attempts
        .iter()
        .map(|attempt| Attempt {
            number: attempt.attempt,
            party: party_name(&attempt.party, directory, true),
            code: if attempt.code == 0 { "no answer yet".to_owned() } else { attempt.code.to_string() },
            pdd: attempt.pdd_us.map_or_else(String::new, |us| format!("{} ms", us / 1_000)),
            action: attempt.action.to_string().replace('_', " "),
        })
        .collect()
}

fn priced(charge: &Charge, directory: &Directory) -> Priced {
    let account = directory.accounts.iter().find(|account| account.id == charge.account);
    let zone = account.map_or(chrono_tz::UTC, |account| account.timezone);
    Priced {
        who: format!("{} {}", charge.provider, directory.name_of(charge.account)),
        cost: format!("{} {}", charge.cost, charge.currency),
        workings: rating::explain(charge, zone),
    }
}

/// The postings of this call, over all accounts that it concerns; a later correction among them.
async fn postings_of(
    shared: &Shared,
    call: &RatedCdr,
    directory: &Directory,
) -> Result<Vec<PostingRow>, Refusal> {
    let accounts: BTreeSet<_> = call.charges.iter().map(|charge| charge.account).collect();
    let start = call.cdr.start_at;
    let mut rows = Vec::new();
    for account in accounts {
        let of_then = shared.desk.store.postings(account, start, start + TimeDelta::microseconds(1)).await?;
        rows.extend(of_then.into_iter().filter(|posting| posting.cdr == Some(call.cdr.id)).map(|posting| {
            PostingRow {
                at: when(posting.at),
                debit: crate::ledger_name(directory, posting.debit),
                credit: crate::ledger_name(directory, posting.credit),
                amount: posting.amount.to_string(),
                reason: posting.reason.to_string(),
            }
        }));
    }
    Ok(rows)
}

/// Alerts that name this call among what showed them.
async fn alerts_of(shared: &Shared, cdr: CdrId) -> Result<Vec<AlertRow>, Refusal> {
    let alerts = shared.desk.store.alerts(crate::pages::fraud_desk::ALERTS_MAX).await?;
    Ok(alerts
        .into_iter()
        .filter(|alert| alert.evidence.contains(&cdr))
        .map(|alert| AlertRow { at: when(alert.at), rule: alert.rule, value: alert.value.to_string() })
        .collect())
}

/// The party by the names that its operator gave it; one that is gone by its ids.
fn party_name(party: &Party, directory: &Directory, whole: bool) -> String {
    match party {
        Party::Subscriber { subscriber, .. } => {
            let there = directory.subscribers.iter().find(|there| there.id == *subscriber);
            there.map_or_else(
                || format!("subscriber {subscriber}"),
                |there| format!("subscriber {}@{}", shown(&there.username, whole), there.domain),
            )
        }
        Party::Trunk { trunk, account } => {
            let there = directory.trunks.iter().find(|there| there.id == *trunk);
            format!(
                "trunk {} of {}",
                there.map_or_else(|| trunk.to_string(), |there| there.name.clone()),
                directory.name_of(*account)
            )
        }
        Party::Unknown => String::new(),
    }
}
