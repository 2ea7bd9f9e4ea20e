//! `tollbook rerate`: prices calls of the past again by the tariffs that are in force for them now, as a difference run.
//!
//! In: a selection. Out: what would change, by account; after a yes an order for each call whose price differs. The rating stage carries
//! the orders out: a new revision of the rated call, reversals of its postings and new ones. Nothing is overwritten.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use lake::Lake;
use model::{AccountId, Body, CdrId, Directory, RatedCdr, Record, Topic, partition_of};
use rating::RatingSnapshot;
use rust_decimal::Decimal;
use store::{InvoiceKind, InvoiceState, ResendOrder, Store};

use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::simulate::{signed, versions_of};
use crate::commands::{account_named, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::past_calls::{reach, started};
use crate::system::{of_lake, open_store};

/// The suspense code of an order: it lies there until it is sent in.
const ORDERED: &str = "RERATE";

/// Of `tollbook rerate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RerateArgs {
    /// Calls that started at or after this (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: DateTime<Utc>,
    /// And before this.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: DateTime<Utc>,
    /// Only calls that this account pays for.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) account: Option<String>,
    /// Only calls that this profile priced.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) profile: Option<String>,
    /// Why; kept in the audit log.
    #[arg(long)]
    pub(crate) reason: String,
    /// Order it without asking.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Show what would change, change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Selects, shows, asks, orders.
pub(crate) async fn rerate(config: &Config, args: &RerateArgs) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = Arc::new(store.directory().await?);
    let snapshot = RatingSnapshot::build(directory.clone(), None)
        .map_err(|why| UserError::new(why.to_string(), "import a tariff that can be used"))?;
    let lake = Lake::open_to_ask(&config.lake).map_err(of_lake)?;
    let selected = selected(&lake, &directory, args).await?;

    let invoiced = Invoiced::load(&store).await?;
    let mut found = Found::default();
    for cdr in selected {
        let Some(payload) = store.rated_call(cdr).await? else { continue };
        let before =
            model::wire::decode_rated(&payload).with_context(|| format!("read the rated call {cdr}"))?;
        found.look_at(before, &snapshot, &invoiced);
    }
    found.print(&directory);
    if found.changed.is_empty() || args.dry_run {
        println!("nothing was changed");
        return Ok(());
    }
    if !args.yes && !is_confirmed(found.changed.len())? {
        println!("nothing was changed");
        return Ok(());
    }
    let orders = found.changed.iter().map(|before| order(before, config.bus.partitions())).collect();
    let n = store.suspense_order(orders, &args.reason, COMMAND_LINE, Clock::start().utc()).await?;
    println!("{n} calls are priced again; a running installation begins within a second");
    Ok(())
}

/// Calls that were answered, by the lake.
async fn selected(lake: &Lake, directory: &Directory, args: &RerateArgs) -> anyhow::Result<Vec<CdrId>> {
    let mut conditions = "WHERE answered".to_owned();
    if let Some(handle) = &args.account {
        let id = account_named(directory, handle)?.id;
        let columns = ["customer_account", "customer_in_account", "reseller_account", "carrier_account"];
        let any: Vec<String> = columns.iter().map(|column| format!("{column} = {id}")).collect();
        conditions += &format!(" AND ({})", any.join(" OR "));
    }
    if let Some(handle) = &args.profile {
        let ids: Vec<String> = versions_of(directory, handle)?.iter().map(ToString::to_string).collect();
        let columns = ["customer_tariff_version", "reseller_tariff_version", "carrier_tariff_version"];
        let any: Vec<String> =
            columns.iter().map(|column| format!("{column} IN ({})", ids.join(", "))).collect();
        conditions += &format!(" AND ({})", any.join(" OR "));
    }
    let mut all = Vec::new();
    let Some((mut from, end)) = reach(lake, &conditions, args.from, args.to).await? else { return Ok(all) };
    while from < end {
        let to = (from + TimeDelta::days(1)).min(end);
        let sql = format!(
            "SELECT cdr_id FROM calls {conditions} AND {} ORDER BY start_at, cdr_id",
            started(from, to)
        );
        for row in lake.query(&sql).await.map_err(of_lake)?.rows() {
            let id = row.first().and_then(Option::as_deref).context("a row of the lake has no cdr_id")?;
            all.push(id.parse()?);
        }
        from = to;
    }
    Ok(all)
}

/// What invoices that stand cover: whose calls, from when to when.
struct Invoiced(Vec<(AccountId, DateTime<Utc>, DateTime<Utc>)>);

impl Invoiced {
    async fn load(store: &Store) -> anyhow::Result<Self> {
        let invoices = store.invoice_heads().await?;
        // One that was taken back by a credit note bills nothing any more.
        let in_force = invoices.iter().filter(|one| {
            one.state != InvoiceState::Void && !matches!(one.kind, InvoiceKind::CreditNote { .. })
        });
        Ok(Self(in_force.map(|one| (one.account, one.period_start, one.period_end)).collect()))
    }

    fn holds(&self, account: AccountId, at: DateTime<Utc>) -> bool {
        self.0.iter().any(|(of, start, end)| *of == account && *start <= at && at < *end)
    }
}

#[derive(Default)]
struct Found {
    /// As they are rated now.
    changed: Vec<RatedCdr>,
    /// Calls, and the sums before and after, by account and level.
    sums: BTreeMap<(AccountId, &'static str), (u64, Decimal, Decimal)>,
    n_same: u64,
    /// Calls of accounts with a balance, told without free time and cash.
    n_listed: u64,
    n_partial: u64,
    n_invoiced: u64,
    /// Why calls would have no price any more, and how many.
    unpriced: BTreeMap<&'static str, u64>,
}

impl Found {
    fn look_at(&mut self, before: RatedCdr, snapshot: &RatingSnapshot, invoiced: &Invoiced) {
        if before.cdr.partial {
            self.n_partial += 1;
            return;
        }
        let differing = match snapshot.repriced(&before) {
            Ok(differing) => differing,
            Err(why) => {
                *self.unpriced.entry(why.word()).or_default() += 1;
                return;
            }
        };
        if differing.is_empty() {
            self.n_same += 1;
            return;
        }
        if differing.iter().any(|one| invoiced.holds(one.account, before.cdr.start_at)) {
            self.n_invoiced += 1;
            return;
        }
        self.n_listed += u64::from(differing.iter().any(|one| one.is_list_price));
        for one in differing {
            let sum = self.sums.entry((one.account, one.provider.as_str())).or_default();
            sum.0 += 1;
            sum.1 += one.was;
            sum.2 += one.becomes;
        }
        self.changed.push(before);
    }

    fn print(&self, directory: &Directory) {
        print_table(
            &["account", "level", "calls", "was", "becomes", "difference"],
            self.sums.iter().map(|((account, level), (calls, was, is))| {
                vec![
                    directory.name_of(*account),
                    (*level).to_owned(),
                    calls.to_string(),
                    was.normalize().to_string(),
                    is.normalize().to_string(),
                    signed(is - was),
                ]
            }),
            "no price differs",
        );
        println!("{} calls differ, {} keep their price", self.changed.len(), self.n_same);
        if self.n_listed > 0 {
            println!(
                "{} are of accounts with a balance: told without free time and free cash, which decide when they are priced",
                self.n_listed
            );
        }
        if self.n_partial > 0 {
            println!("{} are partial and wait for their end; they are left out", self.n_partial);
        }
        if self.n_invoiced > 0 {
            println!(
                "{} are on an invoice already and are left out; correct that with a credit note",
                self.n_invoiced
            );
        }
        for (word, n) in &self.unpriced {
            println!("{n} would have no price ({word}) and are left out");
        }
    }
}

/// The rated call itself, on the topic of CDRs: "price this again".
fn order(before: &RatedCdr, n_partitions: u32) -> ResendOrder {
    ResendOrder {
        stage: "rating".to_owned(),
        topic: Topic::Cdrs,
        partition: partition_of(before.cdr.payer, n_partitions),
        raw: model::wire::encode(&Record { origin: None, body: Body::Rated(Box::new(before.clone())) }),
        code: ORDERED.to_owned(),
        account: before.cdr.payer,
        cdr: before.cdr.id,
    }
}

fn is_confirmed(n: usize) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(
            UserError::new("nobody is there to say yes", "add --yes, or --dry-run to look only").into()
        );
    }
    print!("price {n} calls again? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
