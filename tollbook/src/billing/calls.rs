//! Which calls an invoice bills: those of its period, and what came to earlier ones since they were billed.

use std::collections::HashSet;

use chrono::TimeDelta;
use invoicing::{CallEntry, DayUsage, Invoice, LineItem, Period, late_usage};
use model::{Account, BillingTerms};
use rust_decimal::Decimal;
use store::InvoiceKind;

use crate::billing::Run;
use crate::billing::ahead::{as_billed, days_of, lists_of};

/// What stands for the digits that a call list hides.
const HIDDEN: char = '*';

/// Digits hidden where the terms do not say how many.
const MASKED_DIGITS: usize = 3;

/// How far back a call may lie that is billed late. Older records are settled by hand.
const LATE_DAYS_MAX: i64 = 100;

/// The calls of one invoice.
pub(super) struct Calls {
    /// Of its period.
    pub(super) days: Vec<DayUsage>,
    /// Of earlier ones.
    pub(super) late: Vec<DayUsage>,
}

impl Run<'_> {
    /// What the account owes for the calls of `period`, by day and zone.
    pub(super) async fn days(&self, account: &Account, period: Period) -> anyhow::Result<Vec<DayUsage>> {
        let days = match self.ahead.of(account.id, period) {
            Some(known) => known.days.clone(),
            None => days_of(self.lake, &[account], period).await?.remove(&account.id).unwrap_or_default(),
        };
        as_billed(account, days)
    }

    /// How many of its calls of `period` are still up.
    pub(super) async fn n_up(&self, account: &Account, period: Period) -> anyhow::Result<u64> {
        if let Some(known) = self.ahead.of(account.id, period) {
            return Ok(known.n_up);
        }
        let up = self.lake.in_progress(&[account.id], period.start, period.end).await?;
        Ok(up.get(&account.id).copied().unwrap_or_default())
    }

    /// Every call that the account pays for, its last digits hidden.
    pub(super) async fn list(
        &self,
        account: &Account,
        period: Period,
        terms: &BillingTerms,
    ) -> anyhow::Result<Vec<CallEntry>> {
        let hidden =
            terms.masked_digits.map_or(MASKED_DIGITS, |digits| usize::try_from(digits).unwrap_or(usize::MAX));
        let known = self.ahead.of(account.id, period).and_then(|known| known.list.clone());
        let calls = match known {
            Some(calls) => calls,
            None => lists_of(self.lake, &[account], period).await?.remove(&account.id).unwrap_or_default(),
        };
        let entries = calls.into_iter().map(|call| CallEntry {
            at: call.start_at.with_timezone(&period.timezone).naive_local(),
            to: masked(&call.destination, hidden),
            zone: call.zone,
            seconds: call.duration_seconds,
            cost: call.cost,
        });
        Ok(entries.collect())
    }

    /// What has come to the periods before `period` since `documents` billed them, or was taken back.
    pub(super) async fn late(
        &self,
        account: &Account,
        period: Period,
        documents: &[store::Invoice],
    ) -> anyhow::Result<Vec<DayUsage>> {
        let oldest = period.start - TimeDelta::days(LATE_DAYS_MAX);
        let standing = standing(documents)?;
        let earlier: Vec<Period> = standing
            .iter()
            .map(|invoice| invoice.period)
            .filter(|earlier| oldest < earlier.start && earlier.end <= period.start)
            .collect();
        let is_earlier = |usage: &&DayUsage| {
            earlier.iter().any(|earlier| earlier.first_day() <= usage.day && usage.day <= earlier.last_day())
        };
        let billed: Vec<&DayUsage> =
            standing.iter().flat_map(|invoice| &invoice.billed).filter(is_earlier).collect();
        // The ledger knows the sum without reading a single file; most of the time nothing has come.
        let mut owed = Decimal::ZERO;
        for earlier in &earlier {
            owed += self.store.owed_for_calls(account.id, earlier.start, earlier.end).await?;
        }
        if owed == billed.iter().map(|usage| usage.cost).sum() {
            return Ok(Vec::new());
        }
        let mut known = Vec::new();
        for earlier in earlier.iter().copied() {
            known.extend(self.days(account, earlier).await?);
        }
        Ok(late_usage(&known, billed)?)
    }

    /// The calls of the period of `of`, which is billed again, without those that other documents billed late.
    pub(super) async fn days_without_others(
        &self,
        account: &Account,
        of: &store::Invoice,
        period: Period,
        documents: &[store::Invoice],
    ) -> anyhow::Result<Vec<DayUsage>> {
        let known = self.days(account, period).await?;
        let others: Vec<store::Invoice> =
            documents.iter().filter(|other| other.id != of.id).cloned().collect();
        let others = standing(&others)?;
        let is_of_period =
            |usage: &&DayUsage| period.first_day() <= usage.day && usage.day <= period.last_day();
        let late = others
            .iter()
            .filter(|other| other.period != period)
            .flat_map(|other| other.billed.iter().filter(move |usage| usage.day < other.period.first_day()));
        Ok(late_usage(&known, late.filter(is_of_period))?)
    }
}

/// The invoices that count: credit notes bill nothing, and what a corrected invoice replaced is billed by that one. What was
/// taken back and not replaced counts, because it is not to be billed again. Documents of the first format do not say which calls they
/// bill, and are left out.
fn standing(documents: &[store::Invoice]) -> anyhow::Result<Vec<Invoice>> {
    let replaced: HashSet<_> = documents
        .iter()
        .filter(|known| matches!(known.kind, InvoiceKind::Corrected { .. }))
        .filter_map(|known| known.kind.of())
        .collect();
    let mut standing = Vec::new();
    for known in documents {
        if matches!(known.kind, InvoiceKind::CreditNote { .. }) || replaced.contains(&known.id) {
            continue;
        }
        let invoice = Invoice::from_json(&known.document)?;
        let has_usage = invoice.lines.iter().any(|line| matches!(line.item, LineItem::Usage { .. }));
        if !(has_usage && invoice.billed.is_empty()) {
            standing.push(invoice);
        }
    }
    Ok(standing)
}

/// `number` with its last `hidden` characters hidden.
pub(super) fn masked(number: &str, hidden: usize) -> String {
    let shown = number.chars().count().saturating_sub(hidden);
    number.chars().enumerate().map(|(idx, c)| if idx < shown { c } else { HIDDEN }).collect()
}
