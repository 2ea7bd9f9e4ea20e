//! What the lake says of accounts, asked for hundreds of them at once: each look reads the calls of the whole period.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use invoicing::{DayUsage, Period};
use lake::{BilledCall, Lake, PayingSide};
use model::{Account, AccountId, AccountKind};

/// Accounts of one look. Their days and, where wanted, their calls are in memory together.
pub(super) const ACCOUNTS_MAX: usize = 400;

/// Zone of termination fees on an invoice.
const INCOMING_ZONE: &str = "Incoming calls";

/// The calls of one account in one period.
#[derive(Debug, Clone, Default)]
pub(super) struct AccountCalls {
    /// Still up: what they cost is not known yet.
    pub(super) n_up: u64,
    /// By day and zone.
    pub(super) days: Vec<lake::DayUsage>,
    /// One by one, by time; `None`: nobody asked for them.
    pub(super) list: Option<Vec<BilledCall>>,
}

/// What was found so far, by account, beginning and end.
#[derive(Debug, Default)]
pub(super) struct Ahead(HashMap<(AccountId, DateTime<Utc>, DateTime<Utc>), AccountCalls>);

impl Ahead {
    /// What was found of `account`, if it was looked for.
    pub(super) fn of(&self, account: AccountId, period: Period) -> Option<&AccountCalls> {
        self.0.get(&(account, period.start, period.end))
    }

    /// Looks for all of `wanted`; the flag asks for a list of single calls.
    pub(super) async fn look(lake: &Lake, wanted: &[(&Account, Period, bool)]) -> anyhow::Result<Ahead> {
        let mut found = Ahead::default();
        let mut spans: Vec<Period> = wanted.iter().map(|(_, period, _)| *period).collect();
        spans.sort_by_key(|period| (period.start, period.end, period.timezone.name()));
        spans.dedup();
        for period in spans {
            let of_span: Vec<_> = wanted.iter().filter(|(_, other, _)| *other == period).collect();
            let accounts: Vec<&Account> = of_span.iter().map(|(account, ..)| *account).collect();
            let mut days = days_of(lake, &accounts, period).await?;
            let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
            let up = lake.in_progress(&ids, period.start, period.end).await?;
            let listed: Vec<&Account> =
                of_span.iter().filter(|(_, _, is_listed)| *is_listed).map(|(account, ..)| *account).collect();
            let mut lists = lists_of(lake, &listed, period).await?;
            for (account, _, is_listed) in of_span {
                let calls = AccountCalls {
                    n_up: up.get(&account.id).copied().unwrap_or_default(),
                    days: days.remove(&account.id).unwrap_or_default(),
                    list: is_listed.then(|| lists.remove(&account.id).unwrap_or_default()),
                };
                found.0.insert((account.id, period.start, period.end), calls);
            }
        }
        Ok(found)
    }
}

/// The sides of calls that accounts of a kind may pay for.
const fn sides_of(kind: AccountKind) -> &'static [PayingSide] {
    match kind {
        AccountKind::Customer | AccountKind::Carrier => &[PayingSide::Caller, PayingSide::Called],
        AccountKind::Reseller => &PayingSide::ALL,
    }
}

/// Those of `accounts` that may pay on a side.
fn paying(accounts: &[&Account], side: PayingSide) -> Vec<AccountId> {
    accounts
        .iter()
        .filter(|account| sides_of(account.kind).contains(&side))
        .map(|account| account.id)
        .collect()
}

/// What accounts owe for the calls of `period`, by day and zone.
pub(super) async fn days_of(
    lake: &Lake,
    accounts: &[&Account],
    period: Period,
) -> anyhow::Result<HashMap<AccountId, Vec<lake::DayUsage>>> {
    let mut found: HashMap<AccountId, Vec<lake::DayUsage>> = HashMap::new();
    for side in PayingSide::ALL {
        let ids = paying(accounts, side);
        if ids.is_empty() {
            continue;
        }
        let used = lake.usage_by_day(&ids, side, period.start, period.end, period.timezone).await?;
        let is_incoming = matches!(side, PayingSide::Called | PayingSide::CalledReseller);
        for (id, mut days) in used {
            for day in days.iter_mut().filter(|_| is_incoming) {
                INCOMING_ZONE.clone_into(&mut day.line.zone);
            }
            found.entry(id).or_default().extend(days);
        }
    }
    Ok(found)
}

/// The same as an invoice has it.
pub(super) fn as_billed(account: &Account, days: Vec<lake::DayUsage>) -> anyhow::Result<Vec<DayUsage>> {
    let day_of = |lake::DayUsage { day, line }| {
        anyhow::ensure!(
            line.currency == account.currency,
            "account {} is billed in {}, but has calls priced in {}",
            account.handle,
            account.currency,
            line.currency
        );
        Ok(DayUsage {
            day,
            zone: line.zone,
            zone_detail: line.zone_detail,
            calls: line.calls.try_into()?,
            billed_seconds: line.billed_seconds.try_into()?,
            cost: line.cost,
        })
    };
    days.into_iter().map(day_of).collect()
}

/// Every call that accounts pay for as the caller's side, by time.
pub(super) async fn lists_of(
    lake: &Lake,
    accounts: &[&Account],
    period: Period,
) -> anyhow::Result<HashMap<AccountId, Vec<BilledCall>>> {
    let mut found: HashMap<AccountId, Vec<BilledCall>> = HashMap::new();
    for side in [PayingSide::Caller, PayingSide::CallersReseller] {
        let ids = paying(accounts, side);
        if ids.is_empty() {
            continue;
        }
        for (id, calls) in lake.billed_calls(&ids, side, period.start, period.end).await? {
            found.entry(id).or_default().extend(calls);
        }
    }
    for calls in found.values_mut() {
        calls.sort_by_key(|call| call.start_at);
    }
    Ok(found)
}
