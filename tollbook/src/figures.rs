//! The live figures of the console, gathered once a second.

use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use switch::net::SwitchStats;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use web::{AlertRow, BalanceRow, Figures, FileRow, InvoiceRow, LockRow, StageRow};

use crate::runner::Rooms;
use crate::sftp_desk;
use crate::system::Consumer;

/// How often they are gathered.
const INTERVAL: Duration = Duration::from_secs(1);

/// Rows of each list on the front page.
const ROWS_MAX: u32 = 12;

/// Until `stop`.
pub(crate) async fn run(
    rooms: Rooms,
    stats: Arc<SwitchStats>,
    consumers: Arc<Vec<Consumer>>,
    figures: watch::Sender<Figures>,
    stop: CancellationToken,
) {
    loop {
        match gather(&rooms, &stats, &consumers).await {
            Ok(fresh) => figures.send_modify(|figures| *figures = fresh.after(figures)),
            Err(why) => warn!(error = format!("{why:#}"), "figures could not be gathered"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Records that each consumer has not yet worked off.
pub(crate) async fn records_waiting(
    bus: &dyn Bus,
    consumers: &[Consumer],
) -> Result<Vec<(&'static str, u64)>, bus::BusError> {
    let mut waiting = Vec::new();
    for consumer in consumers {
        let positions = consumer.progress.borrow().positions.clone();
        let mut n_records = 0;
        for partition in 0..bus.partitions() {
            let (_, end) = bus.range(consumer.topic, partition).await?;
            let position = positions.get(partition as usize).copied().unwrap_or_default();
            n_records += end.saturating_sub(position);
        }
        waiting.push((consumer.name, n_records));
    }
    Ok(waiting)
}

async fn gather(rooms: &Rooms, stats: &SwitchStats, consumers: &[Consumer]) -> anyhow::Result<Figures> {
    let store = &rooms.store;
    let directory = rooms.directory.current();
    let counters = stats.load();
    let waiting = records_waiting(&*rooms.bus, consumers).await?;
    let stages = consumers
        .iter()
        .zip(waiting)
        .map(|(consumer, (name, waiting))| StageRow {
            name: name.to_owned(),
            consumed: consumer.progress.borrow().n_records,
            waiting,
        })
        .collect();
    let suspended_by_code = store.suspense_counts().await?;
    let mut balances = store.balances().await?;
    balances.sort_by_key(|balance| std::cmp::Reverse(balance.balance.amount.abs()));
    let alerts = store.alerts(ROWS_MAX).await?;
    let invoices = store.invoices_latest(ROWS_MAX).await?;
    let mut files = Vec::new();
    for file in store.export_files_latest(ROWS_MAX).await? {
        let fetches = store.trail_fetches(&file.name).await?;
        files.push((file, sftp_desk::told(&fetches)));
    }
    Ok(Figures {
        at: rooms.clock.utc().format("%F %T UTC").to_string(),
        calls_active: counters.calls_active,
        calls_total: counters.calls,
        calls_answered: counters.calls_answered,
        calls_rejected: counters.calls_rejected,
        registrations: counters.contacts_active,
        malformed: counters.malformed,
        suspended: suspended_by_code.iter().map(|(_, _, n)| n).sum(),
        suspended_by_code,
        mails_waiting: store.mails_waiting().await?,
        stages,
        balances: balances
            .into_iter()
            .take(ROWS_MAX as usize)
            .map(|balance| BalanceRow {
                name: web::ledger_name(&directory, balance.account),
                amount: format!("{:.4}", balance.balance.amount),
                currency: balance.balance.currency.to_string(),
            })
            .collect(),
        alerts: alerts
            .into_iter()
            .map(|alert| AlertRow {
                at: alert.at.format("%F %T").to_string(),
                account: directory.name_of(alert.account),
                rule: alert.rule,
                value: alert.value.round_to_minor().to_string(),
                limit: alert.limit.round_to_minor().to_string(),
                lock: alert.lock.to_string(),
            })
            .collect(),
        locks: store
            .locks()
            .await?
            .into_iter()
            .map(|lock| LockRow {
                account: directory.name_of(lock.account),
                level: lock.level.to_string(),
                reason: lock.reason,
                since: lock.since.format("%F %T").to_string(),
            })
            .collect(),
        invoices: invoices
            .into_iter()
            .map(|invoice| InvoiceRow {
                id: invoice.id.0,
                number: invoice.number,
                account: directory.name_of(invoice.account),
                total: invoice.gross.round_to_minor().to_string(),
                state: invoice.state.as_str().to_owned(),
            })
            .collect(),
        files: files
            .into_iter()
            .map(|(file, fetched)| FileRow {
                owner: web::owner_name(&directory, &file.owner),
                name: file.name.rsplit('/').next().unwrap_or_default().to_owned(),
                md5: match file.state {
                    store::ExportState::Written { md5, .. } => md5,
                    store::ExportState::Planned => "being written".to_owned(),
                },
                fetched,
            })
            .collect(),
        // What comes of the figures before: `Figures::after`.
        ..Figures::default()
    })
}
