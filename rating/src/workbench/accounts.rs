//! `accounts.csv`.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::issue::Issue;
use super::table::{Table, decimal, records_of, whole};

/// What an account has at the start of its first billing interval, grants included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpeningBalance {
    /// Own money and free cash, in the currency of the tariff.
    pub cash: Decimal,
    /// Free time.
    pub free_seconds: u64,
}

/// Reads the file. What is wrong in it is reported and left out.
pub(crate) fn read(file: &str, text: &str, issues: &mut Vec<Issue>) -> HashMap<String, OpeningBalance> {
    let mut accounts = HashMap::new();
    let records = records_of(file, text, issues);
    let columns = ["account", "cash", "free_seconds"];
    let Some(table) = Table::with_header(file, records, &columns, &[], issues) else { return accounts };
    for row in table.rows() {
        if !row.has_full_width(issues) {
            continue;
        }
        let account = row.required("account", "name the account", issues, |text| Ok(text.to_owned()));
        let cash = row.required("cash", "write a decimal such as 50.00", issues, decimal);
        let free_seconds = row.required("free_seconds", "write whole seconds such as 3600", issues, whole);
        let (Some(account), Some(cash), Some(free_seconds)) = (account, cash, free_seconds) else { continue };
        if accounts.insert(account, OpeningBalance { cash, free_seconds }).is_some() {
            issues.push(row.issue("account", "this account is there twice", "remove one"));
        }
    }
    accounts
}
