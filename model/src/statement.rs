//! The statement of an account's balance: every movement between two instants, and what there was before and after each.
//!
//! In: postings, in the order of their time. Out: rows of what each changed of own money, free cash, free time and debt. It is made of
//! postings alone, so any statement of the past can be made again.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use crate::{AccountId, CdrId, Currency, LedgerAccount, Posting, PostingReason};

/// What an account has, or by how much that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Money of its own.
    pub own: Decimal,
    /// Free cash of the running interval.
    pub free_cash: Decimal,
    /// Free time, in seconds.
    pub free_seconds: Decimal,
    /// What it owes.
    pub owed: Decimal,
}

impl Held {
    /// By how much a posting changes what `account` has. A credit is ours to give; what is owed is told as a debt.
    pub fn by(posting: &Posting, account: AccountId) -> Held {
        let grown = |side: LedgerAccount| {
            let amount = posting.amount.amount;
            let credited = if posting.credit == side { amount } else { Decimal::ZERO };
            let debited = if posting.debit == side { amount } else { Decimal::ZERO };
            credited - debited
        };
        Held {
            own: grown(LedgerAccount::Cash(account)),
            free_cash: grown(LedgerAccount::FreeCash(account)),
            free_seconds: grown(LedgerAccount::FreeTime(account)),
            owed: -grown(LedgerAccount::Receivable(account)),
        }
    }

    /// What `account` has, by the sums of the ledger's sides: debits less credits.
    pub fn of_sums(account: AccountId, sums: impl IntoIterator<Item = (LedgerAccount, Decimal)>) -> Held {
        let mut held = Held::default();
        for (side, sum) in sums {
            if side == LedgerAccount::Cash(account) {
                held.own -= sum;
            } else if side == LedgerAccount::FreeCash(account) {
                held.free_cash -= sum;
            } else if side == LedgerAccount::FreeTime(account) {
                held.free_seconds -= sum;
            } else if side == LedgerAccount::Receivable(account) {
                held.owed += sum;
            }
        }
        held
    }

    /// What it may spend before any credit: own money and free cash, less what it owes.
    pub fn balance(&self) -> Decimal {
        self.own + self.free_cash - self.owed
    }

    /// Nothing of anything.
    pub fn is_zero(&self) -> bool {
        *self == Held::default()
    }
}

impl std::ops::AddAssign for Held {
    fn add_assign(&mut self, more: Held) {
        self.own += more.own;
        self.free_cash += more.free_cash;
        self.free_seconds += more.free_seconds;
        self.owed += more.owed;
    }
}

/// One movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRow {
    /// When.
    pub at: DateTime<Utc>,
    /// What it was.
    pub reason: PostingReason,
    /// The call, if it was one.
    pub cdr: Option<CdrId>,
    /// What it changed.
    pub change: Held,
    /// What there was then.
    pub after: Held,
}

/// The movements of an account from an instant to another, excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose.
    pub account: AccountId,
    /// Of its money.
    pub currency: Currency,
    /// First instant.
    pub from: DateTime<Utc>,
    /// First instant after it.
    pub to: DateTime<Utc>,
    /// What there was at `from`.
    pub before: Held,
    /// In their order.
    pub rows: Vec<StatementRow>,
}

impl Statement {
    /// Of the postings of an account since it began, by time.
    pub fn of(
        account: AccountId,
        currency: Currency,
        postings: &[Posting],
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> Statement {
        let n_before = postings.partition_point(|posting| posting.at < from);
        let mut before = Held::default();
        for posting in &postings[..n_before] {
            before += Held::by(posting, account);
        }
        Self::after_opening(account, currency, before, &postings[n_before..], (from, to))
    }

    /// Of what there was at `from`, and the postings from then on, by time.
    pub fn after_opening(
        account: AccountId,
        currency: Currency,
        before: Held,
        postings: &[Posting],
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> Statement {
        let mut after = before;
        let mut rows = Vec::new();
        for posting in postings.iter().filter(|posting| posting.at < to) {
            let change = Held::by(posting, account);
            // That nothing was set right is told though it moves nothing.
            let is_told = posting.amount.amount.is_zero()
                && matches!(
                    posting.reason,
                    PostingReason::OutOfOrderHeld
                        | PostingReason::OutOfOrderUnknown
                        | PostingReason::Reversal
                );
            if change.is_zero() && !is_told {
                continue;
            }
            after += change;
            let Posting { at, reason, cdr, .. } = *posting;
            rows.push(StatementRow { at, reason, cdr, change, after });
        }
        Statement { account, currency, from, to, before, rows }
    }

    /// What there was at its end.
    pub fn after(&self) -> Held {
        self.rows.last().map_or(self.before, |row| row.after)
    }

    /// One line for each row, below a line of names; times by the clock of `zone`.
    pub fn csv(&self, zone: Tz) -> String {
        // Times, words, ids and decimals: nothing here needs quotes.
        let mut text = String::from(
            "at,reason,call,own_money,free_cash,free_seconds,owed,own_money_after,free_cash_after,\
             free_seconds_after,owed_after,currency\n",
        );
        for row in &self.rows {
            let at = row.at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, false);
            let call = row.cdr.map_or_else(String::new, |cdr| cdr.to_string());
            text.push_str(&format!("{at},{},{call}", row.reason));
            for held in [row.change, row.after] {
                for amount in [held.own, held.free_cash, held.free_seconds, held.owed] {
                    text.push_str(&format!(",{}", amount.normalize()));
                }
            }
            text.push_str(&format!(",{}\n", self.currency));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Money, PostingId, TenantId};

    const ALICE: AccountId = AccountId(7);

    fn posting(n: u32, hour: u32, debit: LedgerAccount, credit: LedgerAccount, amount: &str) -> Posting {
        let is_time = debit == LedgerAccount::FreeTime(ALICE) || credit == LedgerAccount::FreeTime(ALICE);
        let currency = if is_time { Currency::SECONDS } else { Currency::EUR };
        Posting {
            id: PostingId::of_top_up(ALICE, &n.to_string()),
            tenant: TenantId(1),
            account: ALICE,
            at: format!("2026-10-05T{hour:02}:00:00Z").parse().unwrap(),
            debit,
            credit,
            amount: Money::new(amount.parse().unwrap(), currency),
            reason: PostingReason::Adjustment,
            cdr: None,
            reverses: None,
        }
    }

    #[test]
    fn rows_begin_with_what_was_there_and_each_says_what_is_left() {
        let (grants, revenue) = (LedgerAccount::Grants(TenantId(1)), LedgerAccount::Revenue(TenantId(1)));
        let postings = [
            posting(1, 8, grants, LedgerAccount::FreeTime(ALICE), "600"),
            posting(2, 9, LedgerAccount::Bank(TenantId(1)), LedgerAccount::Cash(ALICE), "5"),
            posting(3, 10, LedgerAccount::Receivable(ALICE), revenue, "2.50"),
            posting(4, 11, LedgerAccount::Cash(ALICE), LedgerAccount::Receivable(ALICE), "2.50"),
            // Of nobody's balance.
            posting(5, 11, LedgerAccount::Bank(TenantId(1)), revenue, "1"),
            posting(6, 12, LedgerAccount::FreeTime(ALICE), grants, "60"),
        ];
        let at = |hour: u32| format!("2026-10-05T{hour:02}:00:00Z").parse().unwrap();
        let statement = Statement::of(ALICE, Currency::EUR, &postings, (at(9), at(12)));
        assert_eq!(statement.before.free_seconds, Decimal::from(600));
        assert_eq!(statement.after().balance(), "2.5".parse().unwrap());
        expect_test::expect![[r#"
            at,reason,call,own_money,free_cash,free_seconds,owed,own_money_after,free_cash_after,free_seconds_after,owed_after,currency
            2026-10-05T11:00:00+02:00,adjustment,,5,0,0,0,5,0,600,0,EUR
            2026-10-05T12:00:00+02:00,adjustment,,0,0,0,2.5,5,0,600,2.5,EUR
            2026-10-05T13:00:00+02:00,adjustment,,-2.5,0,0,-2.5,2.5,0,600,0,EUR
        "#]]
        .assert_eq(&statement.csv(chrono_tz::Europe::Vienna));
    }
}
