//! Makes an invoice from fees and calls.
//!
//! In: tenant, account, period, recurring fees, calls summed by zone and detail. Out: a draft [`Invoice`]. Which calls
//! belong to the period, and that each belongs to one invoice only, is the store's work; so is the number.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use model::{Account, BillingTerms, Charge, Currency, TaxCategory, Tenant};
use rust_decimal::Decimal;

use crate::document::{add, add_up, rounded};
use crate::tax::{Tax, tax, tax_of};
use crate::{
    CallEntry, DayUsage, DocumentKind, FeeLine, INVOICE_VERSION, Invoice, InvoiceLine, InvoicingError,
    LineItem, PartyDetails, Period,
};

/// Days from the issue date to the due date where the terms say none.
pub const PAYMENT_DAYS: u64 = 14;

/// All that one invoice is made from.
#[derive(Debug)]
pub struct Order<'a> {
    /// Who bills: its contact is the letterhead.
    pub tenant: &'a Tenant,
    /// Its terms.
    pub seller_terms: &'a BillingTerms,
    /// Who pays.
    pub account: &'a Account,
    /// Its terms.
    pub terms: &'a BillingTerms,
    /// For what time.
    pub period: Period,
    /// Fees, in the order of their lines.
    pub fees: Vec<FeeLine>,
    /// Calls of the period.
    pub usage: Vec<UsageLine>,
    /// What has come to earlier periods since they were billed.
    pub late: Vec<DayUsage>,
    /// The calls of `usage` by day, kept with the invoice for later ones to compare with.
    pub days: Vec<DayUsage>,
    /// Every call, if the customer wants them printed.
    pub calls: Vec<CallEntry>,
    /// Paid from a prepaid balance already.
    pub is_prepaid: bool,
    /// Its date.
    pub issue_date: NaiveDate,
}

/// Calls to one zone, or some of them: lines of the same zone and detail are added up before anything is rounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageLine {
    /// Zone.
    pub zone: String,
    /// Zone detail.
    pub zone_detail: String,
    /// How many calls.
    pub calls: u64,
    /// Seconds charged.
    pub billed_seconds: u64,
    /// What they cost without VAT, in the account's currency, not rounded.
    pub cost: Decimal,
}

/// Adds up the charges of an account's calls, one by one, for a caller that has no SQL at hand.
#[derive(Debug)]
pub struct UsageTally {
    account: String,
    currency: Currency,
    zones: BTreeMap<(String, String), UsageLine>,
}

impl UsageTally {
    /// Nothing yet.
    pub fn new(account: &Account) -> Self {
        Self { account: account.handle.clone(), currency: account.currency, zones: BTreeMap::new() }
    }

    /// Adds what one call costs this account.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::OtherCurrency`], [`InvoicingError::TooLarge`]; the tally is then as before.
    pub fn add(&mut self, charge: &Charge) -> Result<(), InvoicingError> {
        if charge.currency != self.currency {
            return Err(InvoicingError::OtherCurrency {
                what: format!("a call to {} {}", charge.zone, charge.zone_detail),
                account: self.account.clone(),
                expected: self.currency,
                found: charge.currency,
            });
        }
        merge(
            &mut self.zones,
            UsageLine {
                zone: charge.zone.clone(),
                zone_detail: charge.zone_detail.clone(),
                calls: 1,
                billed_seconds: charge.billed_seconds,
                cost: charge.cost,
            },
        )
    }

    /// One line for each zone and detail, in their order.
    pub fn into_lines(self) -> Vec<UsageLine> {
        self.zones.into_values().collect()
    }
}

/// Makes the draft of an invoice.
///
/// Fees keep their order; calls follow, one line for each zone and detail, by name; then the discount on them, and what
/// came late to earlier periods, by day. A line is rounded once, half away from zero, to the currency's minor unit; VAT and
/// totals are computed from rounded lines. Where prices include VAT the rounded line includes it and its net amount is taken
/// from it. Without fees and calls the invoice is empty ([`Invoice::is_empty`]) and the caller decides.
///
/// # Errors
///
/// [`InvoicingError::OtherTenant`], [`InvoicingError::OtherCurrency`], [`InvoicingError::VatRate`],
/// [`InvoicingError::NoTaxRate`], [`InvoicingError::Tax`] and [`InvoicingError::TooLarge`].
pub fn assemble(order: Order<'_>) -> Result<Invoice, InvoicingError> {
    let Order { tenant, seller_terms, account, terms, period, .. } = order;
    if account.tenant != tenant.id {
        return Err(InvoicingError::OtherTenant {
            account: account.handle.clone(),
            tenant: tenant.handle.clone(),
        });
    }
    let usual = tax_of(&tenant.contact, seller_terms, account, terms, period.last_day())?;
    let currency = account.currency;
    let line = |item, tax: &Tax, exact: Decimal, days, what: &str| {
        priced_line(item, tax, exact, days, terms.prices_include_tax, currency, what)
    };
    let mut lines = Vec::new();
    for fee in order.fees {
        if fee.amount.currency != currency {
            return Err(InvoicingError::OtherCurrency {
                what: format!("the fee {:?}", fee.name),
                account: account.handle.clone(),
                expected: currency,
                found: fee.amount.currency,
            });
        }
        let own = fee.tax.map(|(category, percent)| tax(category, percent, account, terms)).transpose()?;
        let FeeLine { name, quantity, .. } = fee;
        let what = name.clone();
        let item = if fee.is_once {
            LineItem::OneOff { name, quantity }
        } else {
            LineItem::Recurring { name, quantity }
        };
        lines.push(line(item, own.as_ref().unwrap_or(&usual), fee.amount.amount, fee.days, &what)?);
    }
    let mut zones = BTreeMap::new();
    for used in order.usage {
        merge(&mut zones, used)?;
    }
    let mut calls_total = Decimal::ZERO;
    for UsageLine { zone, zone_detail, calls, billed_seconds, cost } in zones.into_values() {
        let what = zone.clone();
        let item = LineItem::Usage { zone, zone_detail, calls, billed_seconds };
        let used = line(item, &usual, cost, None, &what)?;
        calls_total = add(calls_total, used.gross.unwrap_or(used.net), "the sum of all calls")?;
        lines.push(used);
    }
    if !terms.discount_percent.is_zero() && !calls_total.is_zero() {
        let percent = checked_discount(terms.discount_percent, account)?;
        let off = -calls_total * percent / Decimal::ONE_HUNDRED;
        lines.push(line(LineItem::Discount { percent }, &usual, off, None, "the discount")?);
    }
    let billed = order.days.into_iter().chain(order.late.iter().cloned()).collect();
    for DayUsage { day, zone, zone_detail, calls, billed_seconds, cost } in order.late {
        let what = zone.clone();
        let item = LineItem::LateUsage { zone, zone_detail, calls, billed_seconds };
        lines.push(line(item, &usual, cost, Some((day, day)), &what)?);
    }
    let out_of_scope = lines.iter().filter(|line| line.tax_category == TaxCategory::OutOfScope).count();
    if out_of_scope > 0 && out_of_scope < lines.len() {
        // BR-O-11 to BR-O-14.
        return Err(InvoicingError::Tax {
            account: account.handle.clone(),
            category: TaxCategory::OutOfScope,
            rule: "an invoice is outside the scope of VAT as a whole or not at all: give its fees the same category",
        });
    }
    let (vat, totals) = add_up(&lines, currency, order.is_prepaid)?;
    let payment_days = terms.payment_days.map_or(PAYMENT_DAYS, u64::from);
    let due_date = order
        .issue_date
        .checked_add_days(Days::new(payment_days))
        .ok_or_else(|| InvoicingError::TooLarge { what: "the due date".to_owned() })?;
    Ok(Invoice {
        version: INVOICE_VERSION,
        number: None,
        kind: DocumentKind::Invoice,
        issuer: tenant.contact.clone(),
        issuer_details: PartyDetails::from(seller_terms),
        customer: account.contact.clone(),
        customer_details: PartyDetails::from(terms),
        account: account.handle.clone(),
        buyer_reference: terms.buyer_reference.clone(),
        order_reference: terms.order_reference.clone(),
        language: terms.language,
        period,
        issue_date: order.issue_date,
        due_date,
        currency,
        lines,
        vat,
        totals,
        calls: order.calls,
        billed,
    })
}

/// One line, rounded once.
fn priced_line(
    item: LineItem,
    tax: &Tax,
    exact: Decimal,
    days: Option<(NaiveDate, NaiveDate)>,
    is_gross: bool,
    currency: Currency,
    what: &str,
) -> Result<InvoiceLine, InvoicingError> {
    let amount = rounded(exact, currency, what)?;
    let (net, gross) = if is_gross {
        let factor = Decimal::ONE + tax.percent / Decimal::ONE_HUNDRED;
        (rounded(amount / factor, currency, what)?, Some(amount))
    } else {
        (amount, None)
    };
    Ok(InvoiceLine {
        item,
        tax_category: tax.category,
        vat_percent: tax.percent,
        exemption: tax.exemption.clone(),
        net,
        gross,
        days,
    })
}

fn checked_discount(percent: Decimal, account: &Account) -> Result<Decimal, InvoicingError> {
    if percent.is_sign_negative() || percent > Decimal::ONE_HUNDRED {
        return Err(InvoicingError::Discount { account: account.handle.clone(), percent });
    }
    Ok(percent)
}

/// Adds `line` to its zone, or leaves `zones` as it was.
fn merge(zones: &mut BTreeMap<(String, String), UsageLine>, line: UsageLine) -> Result<(), InvoicingError> {
    let key = (line.zone.clone(), line.zone_detail.clone());
    let Some(sum) = zones.get_mut(&key) else {
        zones.insert(key, line);
        return Ok(());
    };
    let too_large = || InvoicingError::TooLarge { what: format!("the sum of calls to {}", line.zone) };
    let calls = sum.calls.checked_add(line.calls).ok_or_else(too_large)?;
    let billed_seconds = sum.billed_seconds.checked_add(line.billed_seconds).ok_or_else(too_large)?;
    let cost = add(sum.cost, line.cost, &line.zone)?;
    *sum = UsageLine { calls, billed_seconds, cost, ..line };
    Ok(())
}

#[cfg(test)]
mod tests;
