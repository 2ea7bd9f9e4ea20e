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

/// What of a call's cost sets other calls right that became known in another order than they began.
fn out_of_order(postings: &[Posting], cdr: CdrId) -> Vec<String> {
    let of_call: Vec<&Posting> = postings.iter().filter(|posting| posting.cdr == Some(cdr)).collect();
    let in_force = of_call.iter().filter(|posting| {
        posting.reason == PostingReason::OutOfOrder
            && of_call.iter().all(|other| other.reverses != Some(posting.id))
    });
    let lines = in_force.map(|posting| {
        let (amount, back) = (posting.amount, Held::by(posting, posting.account));
        if amount.amount.is_zero() {
            return "  out of order: this record came before those of calls that began earlier, or after those of later ones; \
                    nothing is set right, for it cannot be known any more, or the account was held to what it had"
                .to_owned();
        }
        let is_back = back.own + back.free_cash + back.free_seconds - back.owed > Decimal::ZERO;
        format!(
            "  out of order: {amount} of it {}, for that is what the calls of the interval come to in the order in which they began",
            if is_back { "given back" } else { "added" }
        )
    });
    lines.collect()
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
