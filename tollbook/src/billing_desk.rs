//! Billing runs for console and API: one at a time, once every record made until then has reached ledger and lake, in a task of its own, with what came of each account.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use invoicing::Period;
use lake::Lake;
use model::{Account, Directory};
use tracing::{error, info};
use web::{BilledAccount, BillingDesk, RunState, WantedRun};

use crate::at_work::{AtWork, Watched, WorkState, locked, none};
use crate::billing::{Outcome, Run, Window, is_billed, on_its_way, sums_of};
use crate::runner::Rooms;
use crate::system::Consumer;

/// Accounts shown that need nobody to look.
const ROWS_MAX: usize = 500;

impl WorkState for RunState {
    fn title(&self) -> &str {
        &self.title
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn end(&mut self, failure: String) {
        self.is_over = true;
        self.failure = failure;
    }
}

/// What the console asks; a run for good waits for the pipeline no longer than `patience`.
pub(crate) fn desk(
    rooms: Rooms,
    lake: Arc<Lake>,
    consumers: Arc<Vec<Consumer>>,
    patience: Duration,
) -> BillingDesk {
    let state: Watched<RunState> = none();
    let shown = state.clone();
    BillingDesk {
        start: Arc::new(move |wanted| {
            let (rooms, lake, consumers) = (rooms.clone(), lake.clone(), consumers.clone());
            let state = state.clone();
            async move {
                if !wanted.is_dry {
                    hold(&rooms, &consumers, patience).await?;
                }
                start(rooms, lake, &state, wanted)
            }
            .boxed()
        }),
        state: Arc::new(move || locked(&shown).clone()),
        sums_of: |invoice| sums_of(invoice).map_err(|why| format!("{why:#}")),
    }
}

/// Why no invoice can be made now: a call that is still on its way would be on none of them before the next period.
async fn hold(rooms: &Rooms, consumers: &[Consumer], patience: Duration) -> Result<(), String> {
    match on_its_way(&*rooms.bus, consumers, patience).await {
        Ok(None) => Ok(()),
        Ok(Some(waiting)) => Err(format!(
            "records are still on their way to ledger and lake ({waiting}): try again in a moment, or start a dry run"
        )),
        Err(why) => Err(format!("nobody knows whether all records are in the ledger: {why}")),
    }
}

/// Starts `wanted` unless one is at work, or its month is none.
fn start(rooms: Rooms, lake: Arc<Lake>, state: &Watched<RunState>, wanted: WantedRun) -> Result<(), String> {
    let window = match &wanted.month {
        Some(month) => {
            Period::month(month, chrono_tz::UTC).map_err(|why| why.to_string())?;
            Window::Month(month.clone())
        }
        None => Window::Due,
    };
    let directory = rooms.directory.current();
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
    let fresh = RunState { title: title.clone(), n_accounts, ..RunState::default() };
    let at_work = AtWork::begin(state, fresh)?;
    info!(title, "billing run started");
    tokio::spawn(async move {
        let done = run(&rooms, &lake, &directory, &at_work, (window, &wanted)).await;
        at_work.end(done.err().map_or_else(String::new, |why| {
            error!(title, error = format!("{why:#}"), "billing run broke off");
            format!("{why:#}")
        }));
    });
    Ok(())
}

fn accounts_of<'a>(directory: &'a Directory, wanted: &WantedRun) -> Vec<&'a Account> {
    let is_wanted =
        |account: &&Account| wanted.account.is_none_or(|id| id == account.id) && is_billed(account);
    directory.accounts.iter().filter(is_wanted).collect()
}

async fn run(
    rooms: &Rooms,
    lake: &Lake,
    directory: &Directory,
    at_work: &AtWork<RunState>,
    (window, wanted): (Window, &WantedRun),
) -> anyhow::Result<()> {
    let run = Run::prepare(&rooms.store, lake, directory, rooms.clock.utc(), window, wanted.is_dry);
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
        let mut state = at_work.state();
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

#[cfg(test)]
mod tests {
    use bus::{EmbeddedBus, EmbeddedConfig, Entry};
    use model::Topic;
    use tokio::sync::watch;

    use super::*;
    use crate::clock::Clock;
    use crate::directory::DirectoryFeed;
    use crate::runner::Progress;

    fn wanted(is_dry: bool) -> WantedRun {
        WantedRun { month: Some("2026-09".to_owned()), account: None, is_dry, actor: "test".to_owned() }
    }

    async fn over(desk: &BillingDesk) -> RunState {
        loop {
            let state = (desk.state)();
            if state.is_over {
                return state;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn run_for_good_is_refused_while_records_are_on_their_way() {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { partitions: 2, free_bytes_min: 0, ..EmbeddedConfig::default() };
        let bus = Arc::new(EmbeddedBus::open(&dir.path().join("bus"), config).unwrap());
        let url = format!("sqlite://{}", dir.path().join("tollbook.db").display());
        let store = store::Store::open(&url).await.unwrap();
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/world.toml");
        let world = crate::world_file::read(&sample).unwrap();
        store.import(&world, "2026-08-01T00:00:00Z".parse().unwrap(), "test").await.unwrap();
        let clock = Clock::start();
        let directory = DirectoryFeed::load(store.clone(), clock.clone()).await.unwrap();
        let rooms = Rooms { bus, store, clock, directory };
        let lake = Arc::new(Lake::open(lake::LakeConfig::new(dir.path().join("lake"))).unwrap());
        let (read, progress) = watch::channel(Progress::default());
        let consumers = Arc::new(vec![Consumer { name: "ledger", topic: Topic::Cdrs, progress }]);
        let desk = desk(rooms.clone(), lake, consumers, Duration::ZERO);
        let entry = Entry { topic: Topic::Cdrs, partition: 1, payload: b"a call".to_vec() };
        rooms.bus.append(vec![entry]).await.unwrap();

        let refused = (desk.start)(wanted(false)).await.unwrap_err();
        assert!(refused.contains("(1 for ledger)"), "{refused}");
        assert!(over(&desk).await.title.is_empty(), "none was started");
        (desk.start)(wanted(true)).await.unwrap();
        assert_eq!(over(&desk).await.failure, "");

        read.send_modify(|progress| progress.positions = vec![0, 1]);
        (desk.start)(wanted(false)).await.unwrap();
        assert!(over(&desk).await.title.starts_with("Billing run for 2026-09"));
    }
}
