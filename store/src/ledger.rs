//! The ledger: postings, and balances that are their sums.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use model::{
    AccountId, CdrId, Currency, LedgerAccount, Money, MoneyError, Posting, PostingId, TenantId, from_micros,
};
use rust_decimal::Decimal;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::sql::{
    Bind, Cell, Columns, Placeholders, cells, fetch_in, insert_returning, insert_rows, micros, query,
};
use crate::{Result, Store, StoreError};

/// One balance of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub account: LedgerAccount,
    /// Debits minus credits.
    pub balance: Money,
}

/// A balance that is not the sum of its postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceFault {
    /// Whose.
    pub account: LedgerAccount,
    /// As kept.
    pub balance: Money,
    /// As it should be.
    pub postings: Money,
}

/// What calls came to on one side of the ledger, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideSum {
    /// `receivable` or `payable`.
    pub side: &'static str,
    /// Of the amount.
    pub currency: Currency,
    /// Owed by accounts, or to them.
    pub amount: Decimal,
}

impl Store {
    /// All balances, by ledger account.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn balances(&self) -> Result<Vec<Balance>> {
        let mut tx = self.read().await?;
        let kept = kept_balances(&mut tx).await?;
        tx.commit().await?;
        kept.into_iter()
            .map(|((account, currency), micros)| {
                Ok(Balance { account: parsed(&account)?, balance: money(micros, currency) })
            })
            .collect()
    }

    /// Compares every balance with the sum of its postings; what differs is returned.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn balance_check(&self) -> Result<Vec<BalanceFault>> {
        let mut tx = self.read().await?;
        let mut kept = kept_balances(&mut tx).await?;
        let rows = query(
            "SELECT ledger_account, currency, CAST(sum(micros) AS BIGINT) AS micros FROM ( \
             SELECT debit AS ledger_account, currency, amount_micros AS micros FROM postings UNION ALL \
             SELECT credit AS ledger_account, currency, -amount_micros AS micros FROM postings) sides \
             GROUP BY ledger_account, currency",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut faults = Vec::new();
        let mut compare = |account: &str, currency, kept, posted| -> Result<()> {
            if kept != posted {
                let (balance, postings) = (money(kept, currency), money(posted, currency));
                faults.push(BalanceFault { account: parsed(account)?, balance, postings });
            }
            Ok(())
        };
        for row in &rows {
            let key = (row.text("ledger_account")?, row.word("currency")?);
            compare(&key.0, key.1, kept.remove(&key).unwrap_or(0), row.int("micros")?)?;
        }
        for ((account, currency), micros) in kept {
            compare(&account, currency, micros, 0)?;
        }
        Ok(faults)
    }

    /// Postings that concern `account` with `from <= at < to`, in time order.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn postings(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Posting>> {
        self.first_postings(account, (from, to), i64::MAX).await
    }

    /// As [`Self::postings`], but no more than the first `max`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn first_postings(
        &self,
        account: AccountId,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        max: i64,
    ) -> Result<Vec<Posting>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses \
             FROM postings WHERE account = $1 AND at >= $2 AND at < $3 ORDER BY at, id LIMIT $4",
        )
        .cells(cells![account.0, from, to, max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(posting_of).collect()
    }

    /// What calls with `from <= at < to` came to, on the two sides that accounts see: sums over all of them, reversals taken off.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn call_postings(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<SideSum>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT debit, credit, currency, CAST(sum(amount_micros) AS BIGINT) AS micros FROM postings \
             WHERE at >= $1 AND at < $2 AND reason IN ('call', 'reversal', 'out_of_order') AND cdr IS NOT NULL \
             GROUP BY debit, credit, currency ORDER BY debit, credit, currency",
        )
        .cells(cells![from, to])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut sums: BTreeMap<(&'static str, Currency), Decimal> = BTreeMap::new();
        for row in &rows {
            let (debit, credit, currency) = (row.text("debit")?, row.text("credit")?, row.word("currency")?);
            let amount = from_micros(row.int("micros")?);
            // A customer owes on the debit side, a carrier is owed on the credit side; a reversal turns them round.
            for (account, side, sign) in [
                (&debit, "receivable", Decimal::ONE),
                (&credit, "receivable", Decimal::NEGATIVE_ONE),
                (&debit, "payable", Decimal::NEGATIVE_ONE),
                (&credit, "payable", Decimal::ONE),
            ] {
                if account.split(':').next() == Some(side) {
                    *sums.entry((side, currency)).or_default() += amount * sign;
                }
            }
        }
        Ok(sums.into_iter().map(|((side, currency), amount)| SideSum { side, currency, amount }).collect())
    }

    /// Posts by hand or from outside the pipeline: payments, recurring fees, reversals.
    ///
    /// # Errors
    ///
    /// [`StoreError::PostingConflict`] when an id is taken by another posting; what the database says.
    pub async fn post(&self, postings: Vec<Posting>) -> Result<()> {
        let mut tx = self.write().await?;
        insert_postings(&mut tx, postings).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Adds `postings` and moves both balances of each. One that is there already, alike in all, is a replay and skipped.
///
/// The database holds what a call costs to one row by its time and id, and all else by its id. A call's posting that came again at another
/// time would be another row: its id says which revision of the call it is of, and a revision never changes. The audit looks for such.
pub(crate) async fn insert_postings(conn: &mut AnyConnection, mut postings: Vec<Posting>) -> Result<()> {
    for posting in &mut postings {
        // Times are kept to the microsecond.
        posting.at = DateTime::from_timestamp_micros(posting.at.timestamp_micros()).unwrap_or(posting.at);
    }
    in_order_of_times(&mut postings);
    let mut rows = Vec::with_capacity(postings.len());
    for posting in &postings {
        rows.push(cells![
            posting.id.as_bytes(),
            posting.tenant.0,
            posting.account.0,
            posting.at,
            posting.debit.to_string(),
            posting.credit.to_string(),
            micros_of(posting)?,
            posting.amount.currency.as_str(),
            posting.reason.as_str(),
            posting.cdr.as_ref().map(CdrId::as_bytes),
            posting.reverses.as_ref().map(PostingId::as_bytes),
        ]);
    }
    let fresh = match Placeholders::of(conn) {
        Placeholders::Bare => add_to_file(conn, postings, rows).await?,
        Placeholders::Numbered => {
            let came_in =
                insert_returning(conn, INSERT, "ON CONFLICT DO NOTHING RETURNING at, id", rows).await?;
            without_replays(conn, postings, &came_in).await?
        }
    };

    let changes = balance_changes(fresh.iter())?;
    let rows =
        changes.into_iter().map(|((account, currency), delta)| cells![account, currency, delta]).collect();
    insert_rows(
        conn,
        "INSERT INTO balances (ledger_account, currency, micros)",
        "ON CONFLICT (ledger_account, currency) DO UPDATE SET micros = balances.micros + excluded.micros",
        rows,
    )
    .await?;
    Ok(())
}

/// As their index has them: each of its pages is looked for once and not once a posting.
pub(crate) fn in_order_of_times<P: Borrow<Posting>>(postings: &mut [P]) {
    postings.sort_unstable_by_key(|posting| (posting.borrow().at.timestamp_micros(), posting.borrow().id));
}

/// By how much balances rise, by account and currency: in the order of their names, so that two commits that share balances wait for each
/// other and never both.
pub(crate) fn balance_changes<'p>(
    postings: impl Iterator<Item = &'p Posting>,
) -> Result<BTreeMap<(String, String), i64>> {
    let mut changes: HashMap<(&LedgerAccount, Currency), i64> = HashMap::new();
    for posting in postings {
        let amount = micros_of(posting)?;
        for (side, delta) in [(&posting.debit, Some(amount)), (&posting.credit, amount.checked_neg())] {
            let sum = changes.entry((side, posting.amount.currency)).or_default();
            *sum = delta.and_then(|delta| sum.checked_add(delta)).ok_or_else(|| StoreError::Amount {
                object: format!("posting {}", posting.id),
                source: MoneyError::OutOfRange,
            })?;
        }
    }
    Ok(changes
        .into_iter()
        .map(|((account, currency), delta)| ((account.to_string(), currency.as_str().to_owned()), delta))
        .collect())
}

const INSERT: &str = "INSERT INTO postings \
     (id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses)";

/// As [`INSERT`], for SQLite: what fails takes the transaction with it, as with all who post, so no statement keeps aside every page as
/// it was, to take itself back alone.
const INSERT_OR_FAIL: &str = "INSERT OR FAIL INTO postings \
     (id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses)";

/// Adds to a SQLite file, and returns those that are new. Which ones came in is asked only when not all did: SQLite keeps every row that
/// it is to return until the statement ends.
async fn add_to_file(
    conn: &mut AnyConnection,
    postings: Vec<Posting>,
    rows: Vec<Vec<Cell>>,
) -> Result<Vec<Posting>> {
    // Each row gets the number after the highest there is.
    let last = query("SELECT coalesce(max(rowid), 0) AS last FROM postings").fetch_one(&mut *conn).await?;
    let last = last.int("last")?;
    let n_new = insert_rows(&mut *conn, INSERT_OR_FAIL, "ON CONFLICT DO NOTHING", rows).await?;
    if usize::try_from(n_new) == Ok(postings.len()) {
        return Ok(postings);
    }
    let came_in = query("SELECT at, id FROM postings WHERE rowid > $1").cells(cells![last]);
    let came_in = came_in.fetch_all(&mut *conn).await?;
    without_replays(conn, postings, &came_in).await
}

fn micros_of(posting: &Posting) -> Result<i64> {
    micros(posting.amount.amount, || format!("posting {}", posting.id))
}

/// Of all `postings` those that `came_in` just now, each once; the others must be alike in all to those that are there.
async fn without_replays(
    conn: &mut AnyConnection,
    postings: Vec<Posting>,
    came_in: &[AnyRow],
) -> Result<Vec<Posting>> {
    let came_in = came_in.iter().map(|row| Ok((row.time("at")?, row.id("id", PostingId::from_bytes)?)));
    let mut came_in: HashSet<(DateTime<Utc>, PostingId)> = came_in.collect::<Result<_>>()?;
    let (fresh, rest): (Vec<_>, Vec<_>) =
        postings.into_iter().partition(|posting| came_in.remove(&(posting.at, posting.id)));
    let (of_calls, others): (Vec<&Posting>, Vec<&Posting>) =
        rest.iter().partition(|posting| posting.cdr.is_some());
    let mut there: HashMap<PostingId, Posting> = HashMap::new();
    let ids = others.iter().map(|posting| Cell::from(posting.id.as_bytes())).collect();
    for row in fetch_in(conn, THERE_WITHOUT_CALL, &[], ids).await? {
        let posting = posting_of(&row)?;
        there.insert(posting.id, posting);
    }
    for posting in of_calls {
        let found = query(THERE).cells(cells![posting.at, posting.id.as_bytes()]);
        if let Some(row) = found.fetch_optional(&mut *conn).await? {
            there.insert(posting.id, posting_of(&row)?);
        }
    }
    match rest.iter().find(|posting| there.get(&posting.id) != Some(*posting)) {
        Some(posting) => Err(StoreError::PostingConflict { id: posting.id }),
        None => Ok(fresh),
    }
}

/// What no call caused, by its id.
const THERE_WITHOUT_CALL: &str = "SELECT id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses \
     FROM postings WHERE cdr IS NULL AND id";

/// Any posting, by its time and id.
const THERE: &str = "SELECT id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses \
     FROM postings WHERE at = $1 AND id = $2";

pub(crate) fn posting_of(row: &AnyRow) -> Result<Posting> {
    Ok(Posting {
        id: row.id("id", PostingId::from_bytes)?,
        tenant: TenantId(row.int("tenant")?),
        account: AccountId(row.int("account")?),
        at: row.time("at")?,
        debit: row.word("debit")?,
        credit: row.word("credit")?,
        amount: Money::new(row.amount("amount_micros")?, row.word("currency")?),
        reason: row.word("reason")?,
        cdr: row.opt_id("cdr", CdrId::from_bytes)?,
        reverses: row.opt_id("reverses", PostingId::from_bytes)?,
    })
}

async fn kept_balances(conn: &mut AnyConnection) -> Result<BTreeMap<(String, Currency), i64>> {
    let rows = query("SELECT ledger_account, currency, micros FROM balances").fetch_all(conn).await?;
    rows.iter()
        .map(|row| Ok(((row.text("ledger_account")?, row.word("currency")?), row.int("micros")?)))
        .collect()
}

fn parsed(account: &str) -> Result<LedgerAccount> {
    account.parse().map_err(|_| crate::sql::unreadable("ledger_account", account))
}

fn money(micros: i64, currency: Currency) -> Money {
    Money::new(from_micros(micros), currency)
}
