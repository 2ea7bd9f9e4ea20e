//! Makes an invoice from fees and calls.
//!
//! In: tenant, account, period, recurring fees, calls summed by zone and detail. Out: a draft [`Invoice`]. Which calls
//! belong to the period, and that each belongs to one invoice only, is the store's work; so is the number.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use model::{Account, Charge, Currency, Money, Tenant};
use rust_decimal::Decimal;

use crate::document::{add, add_up, rounded};
use crate::{INVOICE_VERSION, Invoice, InvoiceLine, InvoicingError, LineItem, Period};

/// Days from the issue date to the due date.
pub const PAYMENT_DAYS: u64 = 14;

/// A fee for the whole period, whatever was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecurringFee {
    /// As it is printed.
    pub name: String,
    /// For the period, without VAT; negative for a discount.
    pub amount: Money,
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
/// Fees keep their order; calls follow, one line for each zone and detail, by name. A line is rounded once, half away
/// from zero, to the currency's minor unit; VAT and totals are computed from rounded lines. Without fees and calls the
/// invoice is empty ([`Invoice::is_empty`]) and the caller decides.
///
/// # Errors
///
/// [`InvoicingError::OtherTenant`], [`InvoicingError::OtherCurrency`], [`InvoicingError::VatRate`] and
/// [`InvoicingError::TooLarge`].
pub fn assemble(
    tenant: &Tenant,
    account: &Account,
    period: Period,
    recurring: Vec<RecurringFee>,
    usage: Vec<UsageLine>,
    issue_date: NaiveDate,
) -> Result<Invoice, InvoicingError> {
    if account.tenant != tenant.id {
        return Err(InvoicingError::OtherTenant {
            account: account.handle.clone(),
            tenant: tenant.handle.clone(),
        });
    }
    let vat_percent = account.vat_percent;
    if vat_percent.is_sign_negative() && !vat_percent.is_zero() || vat_percent > Decimal::ONE_HUNDRED {
        return Err(InvoicingError::VatRate { account: account.handle.clone(), percent: vat_percent });
    }
    let currency = account.currency;
    let mut lines = Vec::new();
    for fee in recurring {
        if fee.amount.currency != currency {
            return Err(InvoicingError::OtherCurrency {
                what: format!("the fee {:?}", fee.name),
                account: account.handle.clone(),
                expected: currency,
                found: fee.amount.currency,
            });
        }
        let net = rounded(fee.amount.amount, currency, &fee.name)?;
        lines.push(InvoiceLine {
            item: LineItem::Recurring { name: fee.name, quantity: 1 },
            vat_percent,
            net,
        });
    }
    let mut zones = BTreeMap::new();
    for line in usage {
        merge(&mut zones, line)?;
    }
    for UsageLine { zone, zone_detail, calls, billed_seconds, cost } in zones.into_values() {
        let net = rounded(cost, currency, &zone)?;
        lines.push(InvoiceLine {
            item: LineItem::Usage { zone, zone_detail, calls, billed_seconds },
            vat_percent,
            net,
        });
    }
    let (vat, totals) = add_up(&lines, currency)?;
    let due_date = issue_date
        .checked_add_days(Days::new(PAYMENT_DAYS))
        .ok_or_else(|| InvoicingError::TooLarge { what: "the issue date".to_owned() })?;
    Ok(Invoice {
        version: INVOICE_VERSION,
        number: None,
        issuer: tenant.contact.clone(),
        customer: account.contact.clone(),
        account: account.handle.clone(),
        period,
        issue_date,
        due_date,
        currency,
        lines,
        vat,
        totals,
    })
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
