//! Mirrors into the lake what is not a rated call: postings and events from the bus, and alerts, invoices and rates from the
//! database, so that one SQL statement can ask for all of it.
//!
//! What comes from the bus is added to, with its positions in the lake's manifest, as the rated calls are. What the database
//! holds is replaced as a whole when its mark says that it has changed.

use std::time::Duration;

use anyhow::Context;
use bus::Bus;
use lake::tables::{ALERTS, CALL_POSTINGS, EVENTS, INVOICE_LINES, INVOICES, OTHER_POSTINGS, PREFIXES, RATES};
use lake::{Lake, Row, Table, TableLane, Value};
use model::{AccountId, Body, Edr, Posting, Rate, TariffVersion, Topic};
use store::{AlertCase, CaseFilter, Invoice, MirrorMarks, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::clock::Clock;
use crate::lake_feed::{lake_mark, store_mark};
use crate::runner::{LAKE_EVENTS, LAKE_POSTINGS, Progress, Rooms, Watermarks, decode, is_for};

/// Records of one lane in one commit.
const LANE_RECORDS_MAX: usize = 4_096;
/// Looking whether the database has changed takes at most one part in so many of the time.
const LOOK_PART: u32 = 50;

/// A table filled from the bus.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) topic: Topic,
    pub(crate) table: &'static Table,
    row: fn(&Body) -> Option<Row>,
}

/// Postings of calls.
pub(crate) static POSTINGS_SOURCE: Source =
    Source { name: LAKE_POSTINGS, topic: Topic::Postings, table: &CALL_POSTINGS, row: call_posting };
/// Events.
pub(crate) static EVENTS_SOURCE: Source =
    Source { name: LAKE_EVENTS, topic: Topic::Cdrs, table: &EVENTS, row: event };

/// Adds what comes over the bus about every `interval`, until `stop`; then once more.
pub(crate) async fn follow(
    source: &'static Source,
    rooms: Rooms,
    lake: std::sync::Arc<Lake>,
    interval: Duration,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
) {
    loop {
        let stopping = stop.is_cancelled();
        match add_waiting(source, &*rooms.bus, &lake, &rooms.clock).await {
            Ok((n_records, positions)) => {
                progress.send_modify(|progress| {
                    progress.n_records += n_records;
                    progress.positions = positions;
                });
                if n_records >= LANE_RECORDS_MAX as u64 {
                    continue;
                }
            }
            Err(why) => error!(
                table = source.table.name,
                error = format!("{why:#}"),
                "records could not be written to the lake; trying again"
            ),
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Reads what every lane holds and commits it at once. Returns how many records that were, and the positions after it.
async fn add_waiting(
    source: &Source,
    bus: &dyn Bus,
    lake: &Lake,
    clock: &Clock,
) -> anyhow::Result<(u64, Vec<u64>)> {
    let known = lake.table_positions(source.table)?;
    let (mut lanes, mut positions, mut n_records) = (Vec::new(), Vec::new(), 0);
    for partition in 0..bus.partitions() {
        let saved = known.lane(partition).cloned().unwrap_or_default();
        let batch = bus.read(source.topic, partition, saved.position, LANE_RECORDS_MAX).await?;
        positions.push(batch.next);
        if batch.records.is_empty() {
            continue;
        }
        let mut watermarks = Watermarks::new(saved.watermarks.into_iter().map(store_mark).collect());
        let mut rows = Vec::new();
        for stored in batch.records {
            n_records += 1;
            // What cannot be read is put aside by the stages that read the same topic.
            let Ok(record) = decode(&stored.payload) else { continue };
            let is_new =
                is_for(source.name, record.origin.as_ref()) && watermarks.admit(record.origin.as_ref());
            let Some(row) = (source.row)(&record.body).filter(|_| is_new) else { continue };
            match source.table.check(&row) {
                Ok(()) => rows.push(row),
                Err(why) => error!(
                    table = source.table.name, partition, offset = stored.offset, code = why.code(), error = %why,
                    "record that the lake cannot hold is left out of it"
                ),
            }
        }
        let watermarks = watermarks.take_risen().into_iter().map(lake_mark).collect();
        lanes.push(TableLane { partition, position: batch.next, watermarks, rows });
    }
    if !lanes.is_empty() {
        lake.append(source.table, lanes, clock.utc()).await?;
    }
    Ok((n_records, positions))
}

/// Replaces the tables that mirror the database, where it has changed, about every `interval`, until `stop`; then once more.
pub(crate) async fn mirror(
    store: Store,
    lake: std::sync::Arc<Lake>,
    clock: Clock,
    interval: Duration,
    stop: CancellationToken,
) {
    loop {
        let stopping = stop.is_cancelled();
        let began = clock.now().mono;
        let looked = look(&store).await;
        let took = clock.now().mono.saturating_sub(began);
        let mirrored = match looked {
            Ok(seen) => replace_changed(&store, &lake, &clock, seen).await,
            Err(why) => Err(why),
        };
        if let Err(why) = mirrored {
            error!(
                error = format!("{why:#}"),
                "the database could not be mirrored into the lake; trying again"
            );
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval.max(took * LOOK_PART)) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What the rows in the database are now, and how many postings have no call. Asked before the rows are read: what changes
/// meanwhile is seen the next time.
async fn look(store: &Store) -> anyhow::Result<(MirrorMarks, String)> {
    Ok((store.mirror_marks().await?, store.count_postings_without_call().await?.to_string()))
}

/// Replaces the tables whose marks are others than in the lake.
async fn replace_changed(
    store: &Store,
    lake: &Lake,
    clock: &Clock,
    (marks, n_postings): (MirrorMarks, String),
) -> anyhow::Result<()> {
    let now = clock.utc();
    let prefixes = concat!("tollbook ", env!("CARGO_PKG_VERSION"));
    if lake.table_mark(&PREFIXES)? != prefixes {
        lake.replace(&PREFIXES, lake::prefix_rows(), prefixes.to_owned(), now).await?;
    }
    if lake.table_mark(&OTHER_POSTINGS)? != n_postings {
        let rows = store.postings_without_call().await?.iter().map(posting).collect();
        lake.replace(&OTHER_POSTINGS, rows, n_postings, now).await?;
    }
    if lake.table_mark(&ALERTS)? != marks.alerts {
        let rows = store.alert_cases(CaseFilter::default(), u32::MAX).await?.iter().map(alert).collect();
        lake.replace(&ALERTS, rows, marks.alerts, now).await?;
    }
    if lake.table_mark(&RATES)? != marks.tariffs {
        let rows = rates(&store.directory().await?.tariffs);
        lake.replace(&RATES, rows, marks.tariffs, now).await?;
    }
    // Two tables of one mark: the lines first, so that a crash between the two leads to both being written again.
    if lake.table_mark(&INVOICES)? != marks.invoices {
        let invoices = store.invoice_list().await?;
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for invoice in &invoices {
            let document = invoicing::Invoice::from_json(&invoice.document)
                .with_context(|| format!("read the document of invoice {}", invoice.number))?;
            rows.push(invoice_row(invoice, &document));
            lines.extend(lines_of(invoice, &document));
        }
        lake.replace(&INVOICE_LINES, lines, marks.invoices.clone(), now).await?;
        lake.replace(&INVOICES, rows, marks.invoices, now).await?;
    }
    Ok(())
}

fn call_posting(body: &Body) -> Option<Row> {
    // One without a call is mirrored from the database, where payments by hand are too.
    if let Body::Posting(found) = body { found.cdr.is_some().then(|| posting(found)) } else { None }
}

fn posting(posting: &Posting) -> Row {
    vec![
        posting.id.to_string().into(),
        posting.tenant.0.into(),
        posting.account.0.into(),
        posting.at.into(),
        posting.debit.to_string().into(),
        posting.credit.to_string().into(),
        posting.amount.amount.into(),
        posting.amount.currency.as_str().into(),
        posting.reason.as_str().into(),
        posting.cdr.map(|id| id.to_string()).into(),
        posting.reverses.map(|id| id.to_string()).into(),
    ]
}

fn event(body: &Body) -> Option<Row> {
    if let Body::Edr(found) = body { Some(event_row(found)) } else { None }
}

fn event_row(edr: &Edr) -> Row {
    vec![
        edr.id.as_str().into(),
        edr.tenant.0.into(),
        edr.account.0.into(),
        edr.subscriber.map(|id| id.0).into(),
        edr.kind.as_str().into(),
        edr.old_status.as_str().into(),
        edr.new_status.as_str().into(),
        edr.detail.as_str().into(),
        edr.at.into(),
        Some(edr.reseller.0).filter(|_| edr.reseller != AccountId::NOBODY).into(),
        Some(edr.uuid.as_str()).filter(|uuid| !uuid.is_empty()).into(),
        edr.number.map(|number| number.to_string()).into(),
    ]
}

fn alert(case: &AlertCase) -> Row {
    let alert = &case.alert;
    let shown = alert.evidence.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    vec![
        alert.id.to_string().into(),
        alert.tenant.0.into(),
        alert.account.0.into(),
        alert.rule.as_str().into(),
        alert.period.as_str().into(),
        alert.severity.as_str().into(),
        alert.limit.amount.into(),
        alert.limit.currency.as_str().into(),
        alert.value.amount.into(),
        alert.value.currency.as_str().into(),
        alert.lock.as_str().into(),
        alert.update.into(),
        case.begun_at.into(),
        alert.at.into(),
        case.acknowledged.as_ref().map(|(who, _)| who.as_str()).into(),
        case.acknowledged.as_ref().map(|(_, at)| *at).into(),
        case.verdict.as_ref().map(|(verdict, _, _)| verdict.as_str()).into(),
        case.verdict.as_ref().map(|(_, _, at)| *at).into(),
        alert.finding.as_ref().and_then(|finding| finding.tag.as_deref()).into(),
        i64::try_from(case.n_stopped).ok().into(),
        Some(case.saved.amount).into(),
        Some(shown.as_str()).filter(|shown| !shown.is_empty()).into(),
        case.handed.as_ref().map(|handed| handed.to.as_str()).into(),
    ]
}

fn invoice_row(invoice: &Invoice, document: &invoicing::Invoice) -> Row {
    vec![
        invoice.id.0.into(),
        invoice.number.as_str().into(),
        invoice.tenant.0.into(),
        invoice.seller.map(|AccountId(id)| id).into(),
        invoice.account.0.into(),
        invoice.kind.word().into(),
        invoice.kind.of().map(|id| id.0).into(),
        invoice.period_start.into(),
        invoice.period_end.into(),
        invoice.issued_at.into(),
        document.due_date.into(),
        invoice.net.amount.into(),
        invoice.tax.amount.into(),
        invoice.gross.amount.into(),
        invoice.net.currency.as_str().into(),
        invoice.state.as_str().into(),
        invoice.paid_at.into(),
    ]
}

fn lines_of(invoice: &Invoice, document: &invoicing::Invoice) -> Vec<Row> {
    use invoicing::LineItem;
    document
        .lines
        .iter()
        .zip(1_i64..)
        .map(|(line, place)| {
            let none = || Value::Null;
            let count = |n: u64| Value::from(i64::try_from(n).ok());
            let calls = |zone: &str, detail: &str, calls, seconds| {
                [none(), zone.into(), detail.into(), calls, seconds, none()]
            };
            let named = |name: &str, quantity: Value| [name.into(), none(), none(), none(), none(), quantity];
            let (kind, about) = match &line.item {
                LineItem::Recurring { name, quantity } => ("recurring", named(name, (*quantity).into())),
                LineItem::OneOff { name, quantity } => ("one_off", named(name, (*quantity).into())),
                LineItem::Usage { zone, zone_detail, calls: n, billed_seconds } => {
                    ("usage", calls(zone, zone_detail, count(*n), count(*billed_seconds)))
                }
                LineItem::LateUsage { zone, zone_detail, calls: n, billed_seconds } => {
                    ("late_usage", calls(zone, zone_detail, (*n).into(), (*billed_seconds).into()))
                }
                LineItem::Discount { percent } => ("discount", named(&format!("{percent} %"), none())),
                LineItem::Part { text } => ("part", named(text, none())),
            };
            let mut row: Row = vec![
                invoice.id.0.into(),
                place.into(),
                invoice.number.as_str().into(),
                invoice.tenant.0.into(),
                invoice.account.0.into(),
                invoice.kind.word().into(),
                kind.into(),
            ];
            row.extend(about);
            row.extend([line.vat_percent.into(), line.net.into(), invoice.net.currency.as_str().into()]);
            row
        })
        .collect()
}

/// Every fee of every version. A version is in force until the next one of its profile.
fn rates(versions: &[TariffVersion]) -> Vec<Row> {
    let mut rows = Vec::new();
    for version in versions {
        let later = versions
            .iter()
            .filter(|other| other.profile.id == version.profile.id && other.valid_from > version.valid_from);
        let replaced_at = later.map(|other| other.valid_from).min();
        for fee in &version.fees {
            let ends: Vec<_> = replaced_at.into_iter().chain(fee.valid_to).collect();
            let from = fee.valid_from.map_or(version.valid_from, |from| from.max(version.valid_from));
            let mut row: Row = vec![
                fee.id.0.into(),
                version.profile.tenant.0.into(),
                version.profile.handle.as_str().into(),
                version.id.0.into(),
                from.into(),
                ends.into_iter().min().into(),
                fee.direction.as_str().into(),
                fee.source.as_str().into(),
                fee.destination.as_str().into(),
                fee.zone.as_str().into(),
                fee.zone_detail.as_str().into(),
                version.profile.currency.as_str().into(),
            ];
            let price = |rate: &Rate| -> [Value; 3] {
                [rate.price.into(), rate.per_seconds.into(), rate.interval_seconds.into()]
            };
            for rate in [&fee.onpeak_init, &fee.onpeak_follow, &fee.offpeak_init, &fee.offpeak_follow] {
                row.extend(price(rate));
            }
            row.push(fee.connection_fee.into());
            rows.push(row);
        }
    }
    rows
}
