//! Billing runs for the console: one at a time, in a task of its own, with what came of each account.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures::FutureExt;
use invoicing::Period;
use lake::Lake;
use model::{Account, Directory};
use store::Store;
use tracing::{error, info};
use web::{BilledAccount, BillingDesk, RunState, WantedRun};

use crate::billing::{Outcome, Run, Window, is_billed, sums_of};
use crate::clock::Clock;
use crate::directory::DirectoryFeed;

/// Accounts shown that need nobody to look.
const ROWS_MAX: usize = 500;

type Shared = Arc<Mutex<RunState>>;

/// What the console asks.
pub(crate) fn desk(store: Store, lake: Arc<Lake>, directory: DirectoryFeed, clock: Clock) -> BillingDesk {
    let state = Shared::new(Mutex::new(RunState { is_over: true, ..RunState::default() }));
    let shown = state.clone();
    BillingDesk {
        start: Arc::new(move |wanted| {
            let (store, lake, state, clock) = (store.clone(), lake.clone(), state.clone(), clock.clone());
            let directory = directory.current();
            async move { start(store, lake, directory, clock, state, wanted) }.boxed()
        }),
        state: Arc::new(move || locked(&shown).clone()),
        sums_of: |invoice| sums_of(invoice).map_err(|why| format!("{why:#}")),
    }
}

fn locked(state: &Mutex<RunState>) -> std::sync::MutexGuard<'_, RunState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts `wanted` unless one is at work, or its month is none.
fn start(
    store: Store,
    lake: Arc<Lake>,
    directory: Arc<Directory>,
    clock: Clock,
    state: Shared,
    wanted: WantedRun,
) -> Result<(), String> {
    let window = match &wanted.month {
        Some(month) => {
            Period::month(month, chrono_tz::UTC).map_err(|why| why.to_string())?;
            Window::Month(month.clone())
        }
        None => Window::Due,
    };
    let n_accounts = accounts_of(&directory, &wanted).len();
    if n_accounts == 0 {
        return Err(
            "there is nobody to be billed: name a customer or a reseller that is not terminated".to_owned()
        );
    }
    let title = format!(
        "{} for {} by {}",
        if wanted.is_dry { "Dry run" } else { "Billing run" },
        wanted.month.as_deref().unwrap_or("whatever is due"),
        wanted.actor
    );
    {
        let mut state = locked(&state);
        if !state.is_over {
            return Err(format!("one is at work: {}", state.title));
        }
        *state = RunState { title: title.clone(), n_accounts, ..RunState::default() };
    }
    info!(title, "billing run started");
    tokio::spawn(async move {
        let done = run(&store, &lake, &directory, &clock, &state, (window, &wanted)).await;
        let mut state = locked(&state);
        state.is_over = true;
        if let Err(why) = done {
            error!(title, error = format!("{why:#}"), "billing run broke off");
            state.failure = format!("{why:#}");
        }
    });
    Ok(())
}

fn accounts_of<'a>(directory: &'a Directory, wanted: &WantedRun) -> Vec<&'a Account> {
    let is_wanted =
        |account: &&Account| wanted.account.is_none_or(|id| id == account.id) && is_billed(account);
    directory.accounts.iter().filter(is_wanted).collect()
}

async fn run(
    store: &Store,
    lake: &Lake,
    directory: &Directory,
    clock: &Clock,
    state: &Shared,
    (window, wanted): (Window, &WantedRun),
) -> anyhow::Result<()> {
    let run = Run::prepare(store, lake, directory, clock.utc(), window, wanted.is_dry);
    let mut run = run.await.context("prepare the billing run")?;
    let names = directory.names();
    let accounts = accounts_of(directory, wanted);
    let mut n_quiet = 0;
    run.bill_all(&accounts, &mut |account, outcomes| {
        let name = names.get(&account.id).unwrap_or(&account.handle);
        let rows = match outcomes {
            Ok(outcomes) => outcomes.into_iter().map(|(period, what)| row(name, period, what)).collect(),
            Err(why) => vec![BilledAccount {
                account: name.clone(),
                period: String::new(),
                number: String::new(),
                total: String::new(),
                said: format!("failed: {why:#}"),
                is_exception: true,
            }],
        };
        let mut state = locked(state);
        state.n_done += 1;
        for row in rows {
            state.n_made += usize::from(!row.is_exception && !row.total.is_empty() && row.said != KEPT);
            if !row.is_exception {
                n_quiet += 1;
            }
            if row.is_exception || n_quiet <= ROWS_MAX {
                state.rows.push(row);
            }
        }
    })
    .await
}

const KEPT: &str = "was there already";

fn row(account: &str, period: Period, outcome: Outcome) -> BilledAccount {
    let is_exception = matches!(outcome, Outcome::Held(_));
    let [number, total, said] = match outcome {
        Outcome::Made { number, gross } => [number, gross.to_string(), "new".to_owned()],
        Outcome::Kept { number, gross } => [number, gross.to_string(), KEPT.to_owned()],
        Outcome::Draft { gross } => [String::new(), gross.to_string(), "a draft, nothing kept".to_owned()],
        Outcome::Nothing => [String::new(), String::new(), "no fee and no calls".to_owned()],
        Outcome::Held(why) => [String::new(), String::new(), format!("held back: {why}")],
    };
    BilledAccount {
        account: account.to_owned(),
        period: period.in_words(),
        number,
        total,
        said,
        is_exception,
    }
}
