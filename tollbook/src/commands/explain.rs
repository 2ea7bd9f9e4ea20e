//! `tollbook explain`: how a call got its price, for each party, from the evidence kept with it.

use model::{CdrId, Directory, Held, Party, Posting, PostingReason, RatedCdr};
use rust_decimal::Decimal;

use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

/// Prints the evidence of one call.
pub(crate) async fn explain(config: &Config, cdr: &str) -> anyhow::Result<()> {
    let id: CdrId = cdr.parse().map_err(|why: model::InvalidId| {
        UserError::new(why.to_string(), "`tollbook sql \"select cdr_id from calls\"` lists them")
    })?;
    let store = open_store(config).await?;
    let Some(payload) = store.rated_call(id).await? else {
        return Err(UserError::new(
            format!("there is no rated call {id}"),
            "`tollbook suspense` shows calls that could not be rated",
        )
        .into());
    };
    let rated = model::wire::decode_rated(&payload)?;
    print(&rated, &store.directory().await?);
    let (payer, start) = (rated.cdr.payer, rated.cdr.start_at);
    let postings = store.postings(payer, start, start + chrono::TimeDelta::microseconds(1)).await?;
    for line in out_of_order(&postings, id) {
        println!("{line}");
    }
    Ok(())
}

/// What of a call's cost it carries for calls that became known in another order than they began, or why it carries nothing.
fn out_of_order(postings: &[Posting], cdr: CdrId) -> Vec<String> {
    let of_call: Vec<&Posting> = postings.iter().filter(|posting| posting.cdr == Some(cdr)).collect();
    let in_force =
        of_call.iter().filter(|posting| of_call.iter().all(|other| other.reverses != Some(posting.id)));
    in_force.filter_map(|posting| why_out_of_order(posting)).collect()
}

fn why_out_of_order(posting: &Posting) -> Option<String> {
    let why = match posting.reason {
        PostingReason::OutOfOrder => {
            let change = Held::by(posting, posting.account);
            let is_back = change.own + change.free_cash + change.free_seconds - change.owed > Decimal::ZERO;
            let what = if is_back { "given back" } else { "added" };
            format!("{} {what}, so that the calls of the interval cost what they cost in the order in which they began", posting.amount)
        }
        PostingReason::OutOfOrderHeld => {
            "in the order in which they began the calls of the interval cost more; the account is held to what it has and is asked for nothing"
                .to_owned()
        }
        PostingReason::OutOfOrderUnknown => {
            "the calls of the interval stay as they were priced, for what they cost in the order in which they began cannot be told".to_owned()
        }
        PostingReason::Call
        | PostingReason::Reversal
        | PostingReason::RecurringFee
        | PostingReason::Payment
        | PostingReason::Adjustment
        | PostingReason::TopUp
        | PostingReason::Voucher
        | PostingReason::ServiceCharge
        | PostingReason::Grant
        | PostingReason::Expiry
        | PostingReason::Settlement => return None,
    };
    Some(format!("  out of order: {why}"))
}

fn print(rated: &RatedCdr, directory: &Directory) {
    let cdr = &rated.cdr;
    println!("call      {} (Call-ID {})", cdr.call, cdr.sip_call_id);
    println!(
        "from      {} to {}",
        cdr.source.cli.map_or_else(|| cdr.source.user.clone(), |cli| cli.to_string().into()),
        cdr.destination.user_in
    );
    println!("start     {}", cdr.start_at.format("%F %T%.3f UTC"));
    println!("duration  {}.{:06} s", cdr.duration_us / 1_000_000, cdr.duration_us % 1_000_000);
    println!("outcome   {} ({}, {}), ended by {}", cdr.status, cdr.code, cdr.cause, cdr.ended_by);
    for attempt in &cdr.attempts {
        let pdd =
            attempt.pdd_us.map_or_else(String::new, |us| format!(", first sign after {} ms", us / 1_000));
        println!(
            "route {}   {}: {}{pdd}",
            attempt.attempt,
            party_name(&attempt.party, directory),
            attempt.code
        );
    }
    for charge in &rated.charges {
        let account = directory.accounts.iter().find(|account| account.id == charge.account);
        println!();
        if let Some(account) = account {
            println!("{} {}", account.kind, directory.name_of(account.id));
        }
        print!("{}", rating::explain(charge, account.map_or(chrono_tz::UTC, |account| account.timezone)));
    }
    if rated.charges.is_empty() {
        println!("nobody pays: the call was not answered");
    }
}

/// The party by the names that its operator gave it; one that is gone by its ids.
fn party_name(party: &Party, directory: &Directory) -> String {
    match party {
        Party::Subscriber { subscriber, .. } => {
            let there = directory.subscribers.iter().find(|there| there.id == *subscriber);
            there.map_or_else(
                || format!("subscriber {subscriber}"),
                |there| format!("subscriber {}@{}", there.username, there.domain),
            )
        }
        Party::Trunk { trunk, account } => {
            let there = directory.trunks.iter().find(|there| there.id == *trunk);
            let carrier = directory.accounts.iter().find(|there| there.id == *account);
            format!(
                "trunk {} of {}",
                there.map_or_else(|| trunk.to_string(), |there| there.name.clone()),
                carrier.map_or_else(|| format!("account {account}"), |carrier| carrier.handle.clone()),
            )
        }
        Party::Unknown => "nobody known".to_owned(),
    }
}
