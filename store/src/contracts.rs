//! Packages and contracts as provisioned, top-ups with the trail of every attempt, vouchers.
//!
//! A top-up is asked for under a token of the asker's choice: asked again under the same token it is done once. What is done here is
//! the attempt and its number; the balance changes when rating takes it from [`Store::topups_waiting`].

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, ContractTerms, Currency, LedgerAccount, LowBalance, Money, Package, ProfileSwitch, TenantId,
    TenantPackage,
};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::dated_facts::{mappings_of, write_mapping};
use crate::invoices::{BEYOND_CALLS, PAYMENT, TENANT_SELLS};
use crate::lanes::{lanes_of_file, load_lanes};
use crate::long_tables::{Collect, Long, Reader, Row, make_room};
use crate::revision::count_revision;
use crate::sql::{Bind, Cell, Columns, Query, cells, execute_in, insert_rows, json, micros, query, query_of};
use crate::{Lane, Result, Store};

/// Origin of what rating is sent.
pub const TOPUP: &str = "topup";

/// What the tokens of our own movements begin with; nobody else's may.
pub(crate) const OWN_TOKEN: &str = "tollbook:";

/// Wrong voucher codes of one account within [`GUESS_WINDOW`]; then none is looked at until they are older.
const GUESSES_MAX: i64 = 5;

/// How long a wrong code counts.
const GUESS_WINDOW: TimeDelta = TimeDelta::hours(1);

/// How money comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopUpKind {
    /// Paid.
    Cash(Money),
    /// By hand, up or down.
    Adjustment(Money),
    /// By the code of a voucher; separators in it do not matter.
    Voucher(String),
}

impl TopUpKind {
    const fn as_str(&self) -> &'static str {
        match self {
            TopUpKind::Cash(_) => "cash",
            TopUpKind::Adjustment(_) => "adjustment",
            TopUpKind::Voucher(_) => "voucher",
        }
    }
}

/// A top-up that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopUp {
    /// Whose platform.
    pub tenant: TenantId,
    /// Whose balance.
    pub account: AccountId,
    /// Of its balance.
    pub currency: Currency,
    /// The asker's name for it: asked again, it is not done again.
    pub token: String,
    /// How.
    pub kind: TopUpKind,
    /// Who asks.
    pub actor: String,
    /// Why; empty: nobody said.
    pub reason: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopUpOutcome {
    /// Done now.
    Done(Money),
    /// Done before under the same token.
    Known(Money),
    /// Not done.
    Refused {
        /// One word, as in the trail.
        outcome: &'static str,
        /// Why, in a sentence.
        message: String,
    },
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUpAttempt {
    /// Counts up.
    pub id: i64,
    /// Whose balance.
    pub account: AccountId,
    /// Under which token.
    pub token: String,
    /// `cash`, `adjustment` or `voucher`; [`crate::PAYMENT`] or [`crate::BEYOND_CALLS`] of an invoice that was paid.
    pub kind: String,
    /// `done`, or why not in a word.
    pub outcome: String,
    /// Why not, in a sentence.
    pub message: String,
    /// How much; 0 where that is not known.
    pub amount: Money,
    /// Who asked.
    pub actor: String,
    /// Why; empty: nobody said.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Of an invoice's movement, the reseller that issued the invoice; `None` is the tenant itself.
    pub seller: Option<AccountId>,
}

/// A voucher to be given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVoucher {
    /// Whose platform.
    pub tenant: TenantId,
    /// What its holder types; kept as a hash alone.
    pub code: String,
    /// What it is worth.
    pub amount: Money,
    /// Worth nothing from then on.
    pub valid_until: DateTime<Utc>,
    /// Only for this account.
    pub account: Option<AccountId>,
}

impl Store {
    /// Tops up, or says why not; either leaves an entry in the trail.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn top_up(&self, new: &NewTopUp, now: DateTime<Utc>) -> Result<TopUpOutcome> {
        let mut tx = self.write().await?;
        hold_topups(&mut tx).await?;
        let outcome = top_up(&mut tx, new, now).await?;
        let (word, message, amount) = match &outcome {
            TopUpOutcome::Done(amount) => ("done", String::new(), *amount),
            TopUpOutcome::Known(amount) => ("known", String::new(), *amount),
            TopUpOutcome::Refused { outcome, message } => {
                (*outcome, message.clone(), Money::zero(new.currency))
            }
        };
        query(
            "INSERT INTO topups (account, token, kind, outcome, message, amount_micros, currency, actor, at, \
             is_waiting, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .cells(cells![
            new.account.0,
            new.token.as_str(),
            new.kind.as_str(),
            word,
            message,
            micros(amount.amount, || format!("top-up {:?}", new.token))?,
            amount.currency.as_str(),
            new.actor.as_str(),
            now,
            matches!(outcome, TopUpOutcome::Done(_)),
            new.reason.as_str(),
        ])
        .execute(&mut *tx)
        .await?;
        if let TopUpOutcome::Done(amount) = &outcome {
            let object = format!("account:{}", new.account);
            let done = format!("{} {amount}, token {}: {}", new.kind.as_str(), new.token, new.reason);
            append(&mut tx, &new.actor, "top up", &object, "", &done, now).await?;
        }
        tx.commit().await?;
        Ok(outcome)
    }

    /// The latest attempts of an account, or of all, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn topups(&self, account: Option<AccountId>, limit: u32) -> Result<Vec<TopUpAttempt>> {
        let mut tx = self.read().await?;
        let rows = attempts_where("t.account = $1 OR $1 = 0 ORDER BY t.id DESC LIMIT $2")
            .cells(cells![account.unwrap_or(AccountId::NOBODY).0, limit])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(attempt_of).collect()
    }

    /// Top-ups that rating has not been sent, in their order.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn topups_waiting(&self, limit: u32) -> Result<Vec<TopUpAttempt>> {
        let mut tx = self.read().await?;
        let rows = attempts_where("t.is_waiting = 1 ORDER BY t.id LIMIT $1")
            .cells(cells![limit])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(attempt_of).collect()
    }

    /// These have been sent; no other is, whatever its number.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn topups_sent(&self, ids: &[i64]) -> Result<()> {
        let mut tx = self.write().await?;
        let keys = ids.iter().copied().map(Cell::from).collect();
        execute_in(&mut tx, "UPDATE topups SET is_waiting = 0 WHERE id", &[], keys).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps vouchers that `actor` gives out, with an entry in the audit log. Returns how many are new: a code that is there already is
    /// left alone.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn vouchers_add(
        &self,
        vouchers: &[NewVoucher],
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        let mut rows = Vec::with_capacity(vouchers.len());
        for voucher in vouchers {
            rows.push(cells![
                voucher.tenant.0,
                hash_of(voucher.tenant, &voucher.code),
                micros(voucher.amount.amount, || "a voucher".to_owned())?,
                voucher.amount.currency.as_str(),
                voucher.valid_until,
                voucher.account.map(|account| account.0),
                now,
            ]);
        }
        let mut tx = self.write().await?;
        let n_added = insert_rows(
            &mut tx,
            "INSERT INTO vouchers (tenant, code_hash, amount_micros, currency, valid_until, account, created_at)",
            "ON CONFLICT (tenant, code_hash) DO NOTHING",
            rows,
        )
        .await?;
        if let Some(first) = vouchers.first().filter(|_| n_added > 0) {
            let whose =
                first.account.map_or_else(|| "anybody".to_owned(), |account| format!("account {account}"));
            let made = format!("{n_added} of {} until {} for {whose}", first.amount, first.valid_until);
            append(&mut tx, actor, "make_vouchers", &format!("tenant:{}", first.tenant.0), "", &made, now)
                .await?;
        }
        tx.commit().await?;
        Ok(n_added)
    }
}

/// `topups` in ASCII: the lock on PostgreSQL under which attempts get their ids.
const TOPUPS_LOCK: i64 = 0x746f_7075_7073;

/// To be held before an attempt is inserted, so that ids are given in the order of commits: rating takes what comes behind a later
/// number for sent. SQLite has one writer.
pub(crate) async fn hold_topups(conn: &mut AnyConnection) -> Result<()> {
    if conn.backend_name() == "PostgreSQL" {
        query("SELECT pg_advisory_xact_lock($1)::text AS held")
            .cells(cells![TOPUPS_LOCK])
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Attempts under a condition on `t`. What an invoice moves is its seller's, and what a credit note gives back is that of the seller it
/// was paid to: an account may have another by now.
fn attempts_where(condition: &'static str) -> Query {
    query_of(format!(
        "SELECT t.id, t.account, t.token, t.kind, t.outcome, t.message, t.amount_micros, t.currency, t.actor, t.reason, t.at, \
         CASE WHEN i.kind = 'credit_note' THEN credited.seller ELSE i.seller END AS seller \
         FROM topups t LEFT JOIN invoices i ON t.kind IN ('{PAYMENT}', '{BEYOND_CALLS}') AND i.account = t.account \
         AND t.token = '{OWN_TOKEN}' || t.kind || ':' || i.number \
         LEFT JOIN invoices credited ON credited.id = i.corrects WHERE {condition}"
    ))
}

async fn top_up(conn: &mut AnyConnection, new: &NewTopUp, now: DateTime<Utc>) -> Result<TopUpOutcome> {
    let refused = |outcome, message: &str| Ok(TopUpOutcome::Refused { outcome, message: message.to_owned() });
    if new.token.starts_with(OWN_TOKEN) {
        return refused(
            "token_used",
            "tokens that begin with \"tollbook:\" are the program's own; choose another",
        );
    }
    let there = attempts_where("t.account = $1 AND t.token = $2 AND t.outcome = 'done'")
        .cells(cells![new.account.0, new.token.as_str()])
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(row) = there {
        let there = attempt_of(&row)?;
        let is_same = match &new.kind {
            TopUpKind::Cash(amount) | TopUpKind::Adjustment(amount) => *amount == there.amount,
            TopUpKind::Voucher(code) => was_used_for(conn, new, code, there.at).await?,
        };
        if is_same && there.kind == new.kind.as_str() {
            return Ok(TopUpOutcome::Known(there.amount));
        }
        return refused("token_used", "this token was used for another top-up; choose a new one");
    }
    let contract = query("SELECT account FROM contracts WHERE account = $1")
        .cells(cells![new.account.0])
        .fetch_optional(&mut *conn)
        .await?;
    if contract.is_none() {
        return refused("no_contract", "no balance is kept for this account; give it a contract first");
    }
    match &new.kind {
        TopUpKind::Cash(amount) if amount.amount <= Decimal::ZERO => {
            refused("bad_amount", "the amount must be above 0")
        }
        TopUpKind::Cash(amount) | TopUpKind::Adjustment(amount) if amount.currency != new.currency => {
            refused("bad_currency", "the balance is kept in another currency")
        }
        TopUpKind::Cash(amount) | TopUpKind::Adjustment(amount) => Ok(TopUpOutcome::Done(*amount)),
        TopUpKind::Voucher(code) => use_voucher(conn, new, code, now).await,
    }
}

/// Whether it was this voucher that a top-up of the account used then.
async fn was_used_for(
    conn: &mut AnyConnection,
    new: &NewTopUp,
    code: &str,
    at: DateTime<Utc>,
) -> Result<bool> {
    let used = query(
        "SELECT id FROM vouchers WHERE tenant = $1 AND code_hash = $2 AND used_by = $3 AND used_at = $4",
    )
    .cells(cells![new.tenant.0, hash_of(new.tenant, code), new.account.0, at])
    .fetch_optional(conn)
    .await?;
    Ok(used.is_some())
}

async fn use_voucher(
    conn: &mut AnyConnection,
    new: &NewTopUp,
    code: &str,
    now: DateTime<Utc>,
) -> Result<TopUpOutcome> {
    let refused = |outcome, message: &str| Ok(TopUpOutcome::Refused { outcome, message: message.to_owned() });
    let n_guesses =
        query("SELECT count(*) AS n FROM topups WHERE account = $1 AND outcome = 'bad_code' AND at > $2")
            .cells(cells![new.account.0, now - GUESS_WINDOW])
            .fetch_one(&mut *conn)
            .await?
            .int("n")?;
    if n_guesses >= GUESSES_MAX {
        return refused("throttled", "too many wrong codes; try again in an hour");
    }
    let row = query(
        "SELECT id, amount_micros, currency, valid_until, account, used_at FROM vouchers \
         WHERE tenant = $1 AND code_hash = $2",
    )
    .cells(cells![new.tenant.0, hash_of(new.tenant, code)])
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return refused("bad_code", "there is no such voucher") };
    let owner = row.opt_int("account")?;
    if owner.is_some_and(|owner| owner != new.account.0) {
        // As if it did not exist: whoever guesses must not learn more.
        return refused("bad_code", "there is no such voucher");
    }
    if row.opt_int("used_at")?.is_some() {
        return refused("used", "this voucher has been used");
    }
    if row.time("valid_until")? <= now {
        return refused("expired", "this voucher is not valid any more");
    }
    let amount = Money::new(row.amount("amount_micros")?, row.word("currency")?);
    if amount.currency != new.currency {
        return refused("bad_currency", "the balance is kept in another currency");
    }
    let used = query("UPDATE vouchers SET used_by = $2, used_at = $3 WHERE id = $1 AND used_at IS NULL")
        .cells(cells![row.int("id")?, new.account.0, now])
        .execute(&mut *conn)
        .await?;
    if used.rows_affected() != 1 {
        // PostgreSQL shows a row as it was: somebody has used it since we read it.
        return refused("used", "this voucher has been used");
    }
    Ok(TopUpOutcome::Done(amount))
}

/// Letters and digits that nobody takes for another.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The code of a voucher from random bytes: four groups of four, 80 bits, which nobody finds by trying.
pub fn voucher_code(random: [u8; 16]) -> String {
    let mut code = String::with_capacity(19);
    for (idx, byte) in random.into_iter().enumerate() {
        if idx > 0 && idx % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    }
    code
}

/// Of the code without its separators, salted with the tenant: codes are unique there, and long enough not to be found by trying.
fn hash_of(tenant: TenantId, code: &str) -> String {
    let plain: String = code.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut hash = Sha256::new();
    hash.update(b"tollbook voucher");
    hash.update(tenant.0.to_be_bytes());
    hash.update(plain.to_ascii_uppercase());
    hex::encode(hash.finalize())
}

fn attempt_of(row: &AnyRow) -> Result<TopUpAttempt> {
    Ok(TopUpAttempt {
        id: row.int("id")?,
        account: AccountId(row.int("account")?),
        token: row.text("token")?,
        kind: row.text("kind")?,
        outcome: row.text("outcome")?,
        message: row.text("message")?,
        amount: Money::new(row.amount("amount_micros")?, row.word("currency")?),
        actor: row.text("actor")?,
        reason: row.text("reason")?,
        at: row.time("at")?,
        seller: row.opt_int("seller")?.filter(|seller| *seller != TENANT_SELLS).map(AccountId),
    })
}

/// What a contract says besides when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct KeptTerms {
    pub(crate) package: String,
    pub(crate) credit_limit: Option<Decimal>,
    pub(crate) low_balance: Option<LowBalance>,
}

pub(crate) async fn load_packages(conn: &mut AnyConnection) -> Result<Vec<TenantPackage>> {
    let rows = query("SELECT tenant, package FROM packages ORDER BY id").fetch_all(conn).await?;
    rows.iter()
        .map(|row| Ok(TenantPackage { tenant: TenantId(row.int("tenant")?), package: row.json("package")? }))
        .collect()
}

/// What was agreed with each account that has a contract.
#[derive(Default)]
pub(crate) struct Contracts {
    read: Vec<(AccountId, ContractTerms)>,
    /// Most say the same, which is read once.
    last: Option<(String, KeptTerms)>,
}

impl Collect for Contracts {
    const WHAT: Long = Long {
        columns: &["account", "created_at", "terms"],
        n_keys: 1,
        from: "contracts",
        is_in_order: false,
    };

    fn expect(&mut self, n_rows: usize) {
        make_room(&mut self.read, n_rows);
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let terms = row.text(2)?;
        if self.last.as_ref().is_none_or(|(said, _)| said != terms) {
            let read = serde_json::from_str(terms).map_err(|_| row.misread(2))?;
            self.last = Some((terms.to_owned(), read));
        }
        let said = self.last.as_ref().map(|(_, said)| said.clone()).unwrap_or_default();
        let KeptTerms { package, credit_limit, low_balance } = said;
        let created_at = row.time(1)?;
        let terms = ContractTerms { created_at, package, credit_limit, low_balance };
        self.read.push((AccountId(row.int(0)?), terms));
        Ok(())
    }
}

impl Contracts {
    pub(crate) fn by_account(self) -> BTreeMap<AccountId, ContractTerms> {
        self.read.into_iter().collect()
    }
}

pub(crate) async fn write_package(
    conn: &mut AnyConnection,
    tenant: TenantId,
    package: &Package,
    revision: i64,
) -> Result<()> {
    query(
        "INSERT INTO packages (tenant, handle, package, revision) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant, handle) DO UPDATE SET package = excluded.package, revision = excluded.revision",
    )
    .cells(cells![tenant.0, package.handle.as_str(), json(package), revision])
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds to the schedule of an account what its package says. The revision counts up, so that whoever prices hears of it.
pub(crate) async fn switch_profiles(conn: &mut AnyConnection, switch: &ProfileSwitch) -> Result<()> {
    let before = mappings_of(conn, switch.account).await?;
    if switch.is_in(&before) {
        return Ok(());
    }
    let revision = count_revision(conn).await?;
    let mut after = before.clone();
    switch.apply(&mut after);
    for mapping in after.iter().filter(|mapping| !before.contains(mapping)) {
        write_mapping(conn, switch.account, mapping, revision).await?;
    }
    Ok(())
}

pub(crate) async fn write_contract(
    conn: &mut AnyConnection,
    account: AccountId,
    terms: &ContractTerms,
    revision: i64,
) -> Result<()> {
    let ContractTerms { created_at, package, credit_limit, low_balance } = terms.clone();
    let kept = KeptTerms { package, credit_limit, low_balance };
    query(
        "INSERT INTO contracts (account, created_at, terms, revision) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (account) DO UPDATE SET terms = excluded.terms, revision = excluded.revision",
    )
    .cells(cells![account.0, created_at, json(&kept), revision])
    .execute(conn)
    .await?;
    Ok(())
}

/// One balance that calls are held to: cash, free cash and debt of an account, in millionths, and its free seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldBalance {
    /// Own money, free cash and, taken off, what is owed.
    pub micros: i64,
    /// Free time.
    pub seconds: u64,
}

/// Balances as the ledger has them: whose, whether it is time, and what the account has, in millionths.
#[derive(Default)]
struct Held(Vec<(AccountId, bool, i64)>);

impl Collect for Held {
    const WHAT: Long = Long {
        columns: &["ledger_account", "currency", "micros"],
        n_keys: 2,
        from: "balances",
        is_in_order: false,
    };

    fn expect(&mut self, n_rows: usize) {
        make_room(&mut self.0, n_rows);
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let name = row.text(0)?;
        let (side, id) = name.split_once(':').unwrap_or_default();
        let amount = row.int(2)?;
        if amount != 0 && matches!(side, "cash" | "free_cash" | "free_time" | "receivable") {
            let id = id.parse().map_err(|_| row.misread(0))?;
            // All four are ours to give: what the account has is a credit, what it owes a debit.
            self.0.push((AccountId(id), side == "free_time", amount.saturating_neg()));
        }
        Ok(())
    }
}

impl Held {
    fn by_account(mut self) -> Vec<(AccountId, HeldBalance)> {
        self.0.sort_unstable_by_key(|(account, ..)| *account);
        let mut held = Vec::with_capacity(self.0.len());
        for of_one in self.0.chunk_by(|(one, ..), (other, ..)| one == other) {
            let sum = |wanted: bool| {
                let all = of_one.iter().filter(|(_, is_time, _)| *is_time == wanted);
                all.fold(0_i64, |sum, (.., amount)| sum.saturating_add(*amount))
            };
            let seconds = u64::try_from(sum(true) / model::MICROS_PER_UNIT).unwrap_or(0);
            held.push((of_one[0].0, HeldBalance { micros: sum(false), seconds }));
        }
        held
    }
}

impl Store {
    /// The balances of all accounts, as the ledger has them now, and the lanes of `stage`, which posts them, at the same moment. An
    /// account without any posting is left out.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn held_balances(&self, stage: &str) -> Result<(Vec<(AccountId, HeldBalance)>, Vec<Lane>)> {
        let (lanes, held) = match self.reader().await? {
            Reader::File(mut file) => {
                let stage = stage.to_owned();
                let lanes = file.aside(move |file| lanes_of_file(file, &stage)).await?;
                (lanes, Reader::File(file).read(Held::default()).await?)
            }
            Reader::Server(mut tx) => {
                let lanes = load_lanes(&mut tx, stage).await?;
                (lanes, Reader::Server(tx).read(Held::default()).await?)
            }
        };
        Ok((held.by_account(), lanes))
    }

    /// What `account` had at `until`, by the ledger accounts that are its own: what it has now, less the postings from then on. So the
    /// balance of today is read, not added up; that both come to the same is what [`Self::balance_check`] proves.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn balances_before(
        &self,
        account: AccountId,
        until: DateTime<Utc>,
    ) -> Result<Vec<crate::Balance>> {
        let [cash, free_cash, free_time, owed] = [
            LedgerAccount::Cash(account),
            LedgerAccount::FreeCash(account),
            LedgerAccount::FreeTime(account),
            LedgerAccount::Receivable(account),
        ]
        .map(|side| side.to_string());
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT side, currency, CAST(sum(micros) AS BIGINT) AS micros FROM ( \
             SELECT ledger_account AS side, currency, micros FROM balances UNION ALL \
             SELECT debit AS side, currency, -amount_micros AS micros FROM postings WHERE account = $1 AND at >= $2 UNION ALL \
             SELECT credit AS side, currency, amount_micros AS micros FROM postings WHERE account = $1 AND at >= $2 \
             ) AS sides WHERE side IN ($3, $4, $5, $6) GROUP BY side, currency ORDER BY side, currency",
        )
        .cells(cells![account.0, until, cash, free_cash, free_time, owed])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                let balance = Money::new(row.amount("micros")?, row.word("currency")?);
                Ok(crate::Balance { account: row.word("side")?, balance })
            })
            .collect()
    }

    /// When the last grant of `account` before `until` was posted: its balance interval began then.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn last_grant_before(
        &self,
        account: AccountId,
        until: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT at FROM postings WHERE account = $1 AND at < $2 AND reason = 'grant' ORDER BY at DESC LIMIT 1",
        )
        .cells(cells![account.0, until])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| row.time("at")).transpose()
    }
}
