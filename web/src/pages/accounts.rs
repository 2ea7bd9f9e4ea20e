//! Accounts: who pays and who is paid, with everything that hangs on one of them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use model::{Account, AccountKind, Directory, LedgerAccount, LockLevel};
use serde::Deserialize;

use crate::Shared;
use crate::account_names::{account_of, behind, place_of};
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Accounts of a page.
const PAGE_ROWS: usize = 100;

/// Invoices shown on an account's page.
const INVOICES_SHOWN: usize = 12;

/// What to look for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AccountQuery {
    /// Part of the handle or of the name.
    q: String,
    /// customer, reseller or carrier.
    kind: String,
    /// Accounts behind this place.
    after: String,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct ListPage {
    frame: Frame,
    query: AccountQuery,
    rows: Vec<Row>,
    next: Option<String>,
    kinds: &'static [AccountKind],
    sees_books: bool,
}

struct Row {
    handle: String,
    name: String,
    kind: String,
    reseller: String,
    status: String,
    lock: String,
    balance: String,
}

/// The list.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(query): Query<AccountQuery>,
) -> Result<Response, Refusal> {
    require(&user, Right::Provisioning, "see accounts")?;
    let directory = (shared.desk.directory)();
    let wanted = query.q.trim().to_lowercase();
    let like = directory
        .accounts
        .iter()
        .filter(|account| query.kind.is_empty() || account.kind.as_str() == query.kind)
        .filter(|account| {
            account.handle.to_lowercase().contains(&wanted)
                || account.contact.name.to_lowercase().contains(&wanted)
        });
    let mut found: Vec<&Account> = behind(like, &query.after).take(PAGE_ROWS + 1).collect();
    let has_more = found.len() > PAGE_ROWS;
    found.truncate(PAGE_ROWS);
    let next = found.last().filter(|_| has_more).map(|account| place_of(&directory, account));
    let sees_books = user.role.may(Right::Books);
    let balances = if sees_books { shared.desk.store.balances().await? } else { Vec::new() };
    let rows: Vec<Row> = found
        .into_iter()
        .map(|account| Row {
            handle: directory.name_of(account.id),
            name: account.contact.name.clone(),
            kind: account.kind.to_string(),
            reseller: account.reseller.map(|id| directory.name_of(id)).unwrap_or_default(),
            status: account.status.to_string(),
            lock: lock_of(&directory, account).map(|lock| lock.level.to_string()).unwrap_or_default(),
            balance: balances
                .iter()
                .filter(|balance| owner(balance.account) == Some(account.id))
                .map(|balance| balance.balance.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
        .collect();
    html(&ListPage {
        frame: Frame::of(&user, "/accounts"),
        query,
        rows,
        next,
        kinds: AccountKind::ALL,
        sees_books,
    })
}

/// Whose debt a ledger account is.
fn owner(account: LedgerAccount) -> Option<model::AccountId> {
    match account {
        LedgerAccount::Receivable(id) | LedgerAccount::Payable(id) => Some(id),
        LedgerAccount::Revenue(_)
        | LedgerAccount::Sales(_)
        | LedgerAccount::Cost(_)
        | LedgerAccount::Bank(_)
        | LedgerAccount::Cash(_)
        | LedgerAccount::FreeCash(_)
        | LedgerAccount::FreeTime(_)
        | LedgerAccount::Grants(_)
        | LedgerAccount::Vouchers(_) => None,
    }
}

fn lock_of<'a>(directory: &'a Directory, account: &Account) -> Option<&'a model::Lock> {
    directory.locks.iter().find(|lock| lock.account == account.id && lock.level != LockLevel::None)
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    handle: String,
    name: String,
    facts: Vec<(&'static str, String)>,
    profiles: Vec<(String, String)>,
    subscribers: Vec<SubscriberRow>,
    trunks: Vec<TrunkRow>,
    customers: Vec<(String, String)>,
    locks: Vec<LockRow>,
    invoices: Vec<InvoiceRow>,
    balances: Vec<(String, String)>,
    sees_books: bool,
    sees_calls: bool,
}

struct SubscriberRow {
    name: String,
    cli: String,
    numbers: Vec<String>,
    calls_max: String,
}

struct TrunkRow {
    name: String,
    address: String,
    transport: String,
    sources: String,
    calls_max: String,
    enabled: bool,
}

struct LockRow {
    since: String,
    level: String,
    source: String,
    reason: String,
}

struct InvoiceRow {
    id: i64,
    number: String,
    issued: String,
    gross: String,
    state: &'static str,
}

/// One account.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
) -> Result<Response, Refusal> {
    require(&user, Right::Provisioning, "see accounts")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle)?;
    let sees_books = user.role.may(Right::Books);
    let store = &shared.desk.store;
    let locks =
        if user.role.may(Right::FraudDesk) { store.lock_history(account.id).await? } else { Vec::new() };
    let invoices = if sees_books { store.invoice_heads().await? } else { Vec::new() };
    let now = (shared.desk.clock)().wall;
    let balances = if sees_books { store.balances_before(account.id, now).await? } else { Vec::new() };
    html(&AccountPage {
        frame: Frame::of(&user, "/accounts"),
        handle: directory.name_of(account.id),
        name: account.contact.name.clone(),
        facts: facts(account, &directory),
        profiles: account
            .profiles
            .iter()
            .map(|mapping| (when(mapping.from), profile_name(&directory, mapping.profile)))
            .collect(),
        subscribers: subscribers(account, &directory),
        trunks: trunks(account, &directory),
        customers: directory
            .accounts
            .iter()
            .filter(|customer| customer.reseller == Some(account.id))
            .map(|customer| (directory.name_of(customer.id), customer.contact.name.clone()))
            .collect(),
        locks: locks
            .into_iter()
            .rev()
            .map(|lock| LockRow {
                since: when(lock.since),
                level: lock.level.to_string(),
                source: lock.source.to_string(),
                reason: lock.reason,
            })
            .collect(),
        invoices: invoices
            .into_iter()
            .rev()
            .filter(|invoice| invoice.account == account.id)
            .take(INVOICES_SHOWN)
            .map(|invoice| InvoiceRow {
                id: invoice.id.0,
                number: invoice.number,
                issued: when(invoice.issued_at),
                gross: invoice.gross.round_to_minor().to_string(),
                state: invoice.state.as_str(),
            })
            .collect(),
        balances: balances
            .into_iter()
            .filter(|balance| owner(balance.account) == Some(account.id))
            .map(|balance| (crate::ledger_name(&directory, balance.account), balance.balance.to_string()))
            .collect(),
        sees_books,
        sees_calls: user.role.may(Right::Calls),
    })
}

fn facts(account: &Account, directory: &Directory) -> Vec<(&'static str, String)> {
    let contact = &account.contact;
    let limit = |max: Option<u32>| max.map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
    let mut facts = vec![
        ("Kind", account.kind.to_string()),
        ("Status", account.status.to_string()),
        ("Reseller", account.reseller.map(|id| directory.name_of(id)).unwrap_or_default()),
        (
            "Address",
            [
                &contact.address.street,
                &contact.address.postcode,
                &contact.address.city,
                &contact.address.country,
            ]
            .into_iter()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(", "),
        ),
        ("E-mail", contact.email.clone()),
        ("VAT ID", contact.vat_id.clone()),
        ("Currency", account.currency.to_string()),
        ("Time zone", account.timezone.to_string()),
        ("VAT", format!("{} %", account.vat_percent)),
        ("Calls at once", limit(account.calls_max)),
    ];
    if let Some(daily) = &account.fraud.daily {
        facts.push((
            "Daily limit",
            format!("{} {}, then lock {}", daily.amount, account.currency, daily.lock),
        ));
    }
    if let Some(lock) = lock_of(directory, account) {
        facts.push(("Locked", format!("{} since {} UTC: {}", lock.level, when(lock.since), lock.reason)));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn profile_name(directory: &Directory, id: model::ProfileId) -> String {
    directory
        .tariffs
        .iter()
        .find(|version| version.profile.id == id)
        .map_or_else(|| id.to_string(), |version| version.profile.handle.clone())
}

fn subscribers(account: &Account, directory: &Directory) -> Vec<SubscriberRow> {
    directory
        .subscribers
        .iter()
        .filter(|subscriber| subscriber.account == account.id)
        .map(|subscriber| SubscriberRow {
            name: format!("{}@{}", subscriber.username, subscriber.domain),
            cli: subscriber.cli.map(|cli| cli.to_string()).unwrap_or_default(),
            numbers: directory
                .numbers
                .iter()
                .filter(|owned| owned.subscriber == subscriber.id && owned.to.is_none())
                .map(|owned| owned.number.to_string())
                .collect(),
            calls_max: subscriber.calls_max.map_or_else(|| "unlimited".to_owned(), |max| max.to_string()),
        })
        .collect()
}

fn trunks(account: &Account, directory: &Directory) -> Vec<TrunkRow> {
    directory
        .trunks
        .iter()
        .filter(|trunk| trunk.account == account.id)
        .map(|trunk| TrunkRow {
            name: trunk.name.clone(),
            address: trunk.address.to_string(),
            transport: trunk.transport.to_string(),
            sources: trunk.sources.join(", "),
            calls_max: trunk.calls_max.map_or_else(|| "unlimited".to_owned(), |max| max.to_string()),
            enabled: trunk.enabled,
        })
        .collect()
}
