//! Shadow billing for console and API: a month of real calls by another tariff, in a task of its own, one at a time. Nothing is changed.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Months, Utc};
use chrono_tz::Tz;
use futures::FutureExt as _;
use invoicing::Period;
use lake::Lake;
use model::{Directory, TariffVersion};
use rating::Tariff;
use tracing::{error, info};
use web::{ShadowDesk, ShadowState, ShadowSums, WantedShadow};

use crate::at_work::{AtWork, Watched, WorkState, locked, none};
use crate::past_calls::{Compared, Comparison, Selection, compare};
use crate::runner::Rooms;

impl WorkState for ShadowState {
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

/// What the console asks.
pub(crate) fn desk(rooms: &Rooms, lake: Arc<Lake>) -> ShadowDesk {
    let state: Watched<ShadowState> = none();
    let (rooms, shown) = (rooms.clone(), state.clone());
    ShadowDesk {
        start: Arc::new(move |wanted| {
            let begun = begin(&rooms.directory.current(), lake.clone(), &state, wanted, rooms.clock.utc());
            std::future::ready(begun).boxed()
        }),
        state: Arc::new(move || locked(&shown).clone()),
    }
}

/// Starts `wanted` unless one is at work, or it makes no sense.
fn begin(
    directory: &Arc<Directory>,
    lake: Arc<Lake>,
    state: &Watched<ShadowState>,
    wanted: WantedShadow,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let found = directory.tariffs.iter().find(|version| version.id == wanted.version);
    let version = found.ok_or_else(|| format!("there is no tariff version {}", wanted.version))?;
    if version.interval_price.is_some() {
        return Err("calls are compared one by one, and interval_price prices what an account uses in all: \
                    price a file of calls with `tollbook rate`"
            .to_owned());
    }
    let zone = version.profile.timezone;
    let month = match wanted.month.clone() {
        Some(month) => month,
        None => month_before(now, zone).ok_or("there is no month before this one")?,
    };
    let period = Period::month(&month, zone).map_err(|why| why.to_string())?;
    let versions = match wanted.profile {
        Some(profile) => {
            let of_it = directory.tariffs.iter().filter(|there| there.profile.id == profile);
            let ids: Vec<_> = of_it.map(|there| there.id).collect();
            if ids.is_empty() {
                return Err("there is no such profile".to_owned());
            }
            ids
        }
        None => Vec::new(),
    };
    let selection = Selection {
        from: period.start,
        to: period.end,
        provider: wanted.level,
        account: wanted.account,
        versions,
    };
    let title = title(&wanted, &month, version, directory);
    let currency = version.profile.currency.to_string();
    let fresh = ShadowState { title: title.clone(), currency, ..ShadowState::default() };
    let at_work = AtWork::begin(state, fresh)?;
    info!(title, "shadow billing started");
    // Without balances, so without the reference's ways with them, as in `tollbook simulate`.
    let version = TariffVersion { compat: false, ..version.clone() };
    let directory = directory.clone();
    tokio::spawn(async move {
        let done = run(&directory, &lake, &at_work, version, &selection).await;
        at_work.end(done.err().map_or_else(String::new, |why| {
            error!(title, error = format!("{why:#}"), "shadow billing broke off");
            format!("{why:#}")
        }));
    });
    Ok(())
}

/// What is compared with what, so that others who look at it know too.
fn title(wanted: &WantedShadow, month: &str, version: &TariffVersion, directory: &Directory) -> String {
    let accounts = match wanted.account {
        Some(account) => directory.name_of(account),
        None => "all accounts".to_owned(),
    };
    let priced_by = wanted.profile.map(|profile| {
        let there = directory.tariffs.iter().find(|there| there.profile.id == profile);
        let handle = there.map_or_else(|| profile.to_string(), |there| there.profile.handle.clone());
        format!(", calls priced by {handle}")
    });
    format!(
        "{month} by {}, in force from {} UTC: {} prices of {accounts}{}, for {}",
        version.profile.handle,
        version.valid_from.format("%F %T"),
        wanted.level.as_str(),
        priced_by.unwrap_or_default(),
        wanted.actor
    )
}

/// The month before the one that `now` lies in.
fn month_before(now: DateTime<Utc>, zone: Tz) -> Option<String> {
    let before = now.with_timezone(&zone).date_naive().checked_sub_months(Months::new(1))?;
    Some(before.format("%Y-%m").to_string())
}

async fn run(
    directory: &Directory,
    lake: &Lake,
    at_work: &AtWork<ShadowState>,
    version: TariffVersion,
    selection: &Selection,
) -> anyhow::Result<()> {
    let compiled = tokio::task::spawn_blocking(move || Tariff::compile(&version));
    let tariff = compiled.await.context("compile the tariff")??;
    let mut watch = |n_done: usize, n_stretches: usize, so_far: &Comparison| {
        let mut state = at_work.state();
        (state.n_done, state.n_stretches) = (n_done, n_stretches);
        state.total = sums(&so_far.total());
        state.n_other_currency = so_far.other_currency;
        state.n_with_free_time = so_far.with_free_time;
    };
    let found = compare(lake, selection, &tariff, &directory.ported_numbers, &mut watch).await?;
    let names = directory.names();
    let named = found.ordered().into_iter().map(|(id, compared)| {
        let name = names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        (name, sums(&compared))
    });
    let accounts = Arc::new(named.collect());
    at_work.state().accounts = accounts;
    Ok(())
}

fn sums(compared: &Compared) -> ShadowSums {
    ShadowSums {
        n_calls: compared.calls,
        n_unpriced: compared.unpriced,
        was: compared.was,
        would_be: compared.would_be,
    }
}
