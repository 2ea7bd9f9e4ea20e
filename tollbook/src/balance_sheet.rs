//! What an account has and how that came about, of postings alone: for `tollbook balance`, the console and the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use model::{Account, CdrId, Directory, Held, Posting, PostingReason, Statement, partition_of};
use store::Store;
use web::{BalanceDesk, BalanceSheet, IntervalEnd};

use crate::runner::Rooms;

/// Calls listed with a balance.
pub(crate) const CALLS_SHOWN_MAX: usize = 30;

/// What the console asks.
pub(crate) fn desk(rooms: &Rooms, n_partitions: u32) -> BalanceDesk {
    let (store, known) = (rooms.store.clone(), rooms.directory.clone());
    let (printed, printed_of) = (store.clone(), known.clone());
    BalanceDesk {
        sheet: Arc::new(move |account, until| {
            let (store, directory) = (store.clone(), known.current());
            async move {
                let account = account_with(&directory, account).map_err(|why| format!("{why:#}"))?;
                let made = sheet(&store, &directory, n_partitions, account, until).await;
                made.map(|(sheet, _)| sheet).map_err(|why| format!("{why:#}"))
            }
            .boxed()
        }),
        statement_pdf: Arc::new(move |account, statement| {
            let (store, directory) = (printed.clone(), printed_of.current());
            async move {
                let account = account_with(&directory, account).map_err(|why| format!("{why:#}"))?;
                let made = statement_pdf(&store, &directory, account, statement).await;
                made.map_err(|why| format!("{why:#}"))
            }
            .boxed()
        }),
    }
}

fn account_with(directory: &Directory, id: model::AccountId) -> anyhow::Result<&Account> {
    let found = directory.accounts.iter().find(|account| account.id == id);
    found.with_context(|| format!("account {id} is gone"))
}

/// What `account` has at `until`, with the postings of the interval. Of the postings, those of the interval are read; what there was
/// before is in the balances that the ledger keeps.
pub(crate) async fn sheet(
    store: &Store,
    directory: &Directory,
    n_partitions: u32,
    account: &Account,
    until: DateTime<Utc>,
) -> anyhow::Result<(BalanceSheet, Vec<Posting>)> {
    let sums = store.balances_before(account.id, until).await?;
    let left = Held::of_sums(account.id, sums.into_iter().map(|side| (side.account, side.balance.amount)));
    let contract = directory.contracts.get(&account.id);
    let prepaid = account
        .profile_at(until)
        .and_then(|profile| directory.tariffs.iter().find(|version| version.profile.id == profile))
        .is_some_and(|version| version.profile.prepaid);
    let kind = match (contract, prepaid) {
        (None, _) => "no balance is kept for it",
        (Some(_), true) => "prepaid",
        (Some(_), false) => "postpaid",
    };
    let partition = partition_of(account.id, n_partitions);
    let entry = store.stage_entry("rating", partition, &rating::contract_key(account.id)).await?;
    let kept = entry.map(|bytes| rating::contract_of(&bytes)).transpose().map_err(anyhow::Error::msg)?;
    let stretch = kept
        .iter()
        .flat_map(|contract| &contract.intervals)
        .map(|interval| interval.stretch)
        .rfind(|stretch| stretch.contains(until));
    let (begins, end) = match stretch {
        Some(stretch) => (Some(stretch.start), stretch.end.map_or(IntervalEnd::NextTopUp, IntervalEnd::At)),
        // Too long ago for the contract itself: the last renewal before says when it began.
        None => (store.last_grant_before(account.id, until).await?, IntervalEnd::Unknown),
    };
    let of_interval = store.postings(account.id, begins.unwrap_or(DateTime::UNIX_EPOCH), until).await?;
    let (mut given, mut used) = (Held::default(), Held::default());
    let mut calls: BTreeMap<CdrId, (DateTime<Utc>, Held)> = BTreeMap::new();
    for posting in &of_interval {
        let moved = Held::by(posting, account.id);
        if let Some(cdr) = posting.cdr {
            let (at, held) = calls.entry(cdr).or_default();
            *at = posting.at;
            *held += moved;
        }
        if posting.reason == PostingReason::Grant {
            given += moved;
        } else if posting.cdr.is_some() {
            used += moved;
        }
    }
    let n_calls = calls.len();
    let mut calls: Vec<(CdrId, DateTime<Utc>, Held)> =
        calls.into_iter().map(|(cdr, (at, held))| (cdr, at, held)).collect();
    calls.sort_by_key(|(cdr, at, _)| (*at, *cdr));
    calls.drain(..n_calls.saturating_sub(CALLS_SHOWN_MAX));
    let limit = contract.and_then(|contract| contract.credit_limit);
    let credit_limit = limit.or_else(|| prepaid.then(Default::default));
    Ok((BalanceSheet { kind, begins, end, given, used, left, credit_limit, calls, n_calls }, of_interval))
}

/// In the language of the account's invoices. Typesetting is work for a thread of its own.
pub(crate) async fn statement_pdf(
    store: &Store,
    directory: &Arc<Directory>,
    account: &Account,
    statement: Statement,
) -> anyhow::Result<Vec<u8>> {
    let language = store.billing_terms().await?.account(account.id).language;
    let (directory, account) = (directory.clone(), account.clone());
    let made = tokio::task::spawn_blocking(move || {
        let tenant = directory.tenants.iter().find(|tenant| tenant.id == account.tenant);
        let tenant = tenant.with_context(|| format!("account {} belongs to nobody", account.handle))?;
        let of = invoicing::StatementOf {
            issuer: &tenant.contact,
            customer: &account.contact,
            account: &account.handle,
            timezone: account.timezone,
            language,
        };
        Ok(invoicing::render_statement_pdf(&statement, &of)?)
    });
    made.await.context("typeset the statement")?
}
