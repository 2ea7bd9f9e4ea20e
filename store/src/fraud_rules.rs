//! Rules of the watch that people saved, in versions; accounts that rules leave alone; orders to end calls.

use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, FraudException, FraudRule, KillOrder};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::revision::count_revision;
use crate::sql::{Bind, Columns, cells, json, query};
use crate::{Result, Store, StoreError};

/// Orders that a snapshot has: of more between two snapshots a switch would not hear of the oldest.
const KILL_ORDERS_MAX: u32 = 10_000;

/// Orders older than this are cleared away with the next one.
const KILL_ORDERS_KEPT: TimeDelta = TimeDelta::days(7);

impl Store {
    /// Has every switch end the calls of an account that are up; new ones go through.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn kill_calls(
        &self,
        account: AccountId,
        reason: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        // First, as it locks the row: ids then come in the order of the commits, and a switch that has seen one has seen all below it.
        count_revision(&mut tx).await?;
        query("INSERT INTO kill_orders (account, author, reason, at) VALUES ($1, $2, $3, $4)")
            .cells(cells![account.0, actor, reason, now])
            .execute(&mut *tx)
            .await?;
        // Every switch has seen them, or has no calls of that time any more; the trail of changes keeps who gave them and why.
        if let Some(long_ago) = now.checked_sub_signed(KILL_ORDERS_KEPT) {
            query("DELETE FROM kill_orders WHERE at < $1").cells(cells![long_ago]).execute(&mut *tx).await?;
        }
        append(&mut tx, actor, "kill_calls", &format!("account:{account}"), "", reason, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Saves a rule as a new version; the revision counts up, so that every process looks by it with its next snapshot. `rule.version` must
    /// be above those that are there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] when somebody saved that version or a later one; what the database says.
    pub async fn fraud_rule_save(&self, rule: &FraudRule) -> Result<()> {
        let mut tx = self.write().await?;
        // Of two who save at once the second is told so.
        count_revision(&mut tx).await?;
        let before = query("SELECT MAX(version) AS version FROM fraud_rules WHERE name = $1")
            .cells(cells![rule.name.as_str()])
            .fetch_one(&mut *tx)
            .await?
            .opt_int("version")?;
        if before.is_some_and(|before| before >= i64::from(rule.version)) {
            let name = format!("{} version {}", rule.name, rule.version);
            return Err(StoreError::Taken { what: "rule", name });
        }
        query(
            "INSERT INTO fraud_rules (name, version, rule_text, is_on, author, reason, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .cells(cells![
            rule.name.as_str(),
            rule.version,
            rule.text.as_str(),
            rule.is_on,
            rule.author.as_str(),
            rule.reason.as_str(),
            rule.at,
        ])
        .execute(&mut *tx)
        .await?;
        let object = format!("fraud_rule:{}", rule.name);
        let before = before.map_or_else(String::new, |version| version.to_string());
        append(&mut tx, &rule.author, "save_rule", &object, &before, &json(rule), rule.at).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Every version of a rule that was saved, oldest first; of all rules where no name is given.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn fraud_rule_versions(&self, name: Option<&str>) -> Result<Vec<FraudRule>> {
        let mut tx = self.read().await?;
        let mut rules = load_versions(&mut tx).await?;
        tx.commit().await?;
        rules.retain(|rule| name.is_none_or(|name| rule.name == name));
        Ok(rules)
    }

    /// Has a rule leave an account alone, in the place of what was said of the two before.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn fraud_except(&self, exception: &FraudException) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO fraud_exceptions (account, rule, author, reason, since, until_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, rule) DO UPDATE SET author = excluded.author, \
             reason = excluded.reason, since = excluded.since, until_at = excluded.until_at",
        )
        .cells(cells![
            exception.account.0,
            exception.rule.as_str(),
            exception.author.as_str(),
            exception.reason.as_str(),
            exception.since,
            exception.until,
        ])
        .execute(&mut *tx)
        .await?;
        count_revision(&mut tx).await?;
        let object = format!("account:{}", exception.account);
        append(&mut tx, &exception.author, "except", &object, "", &json(exception), exception.since).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Accounts that rules leave alone; one may have passed its end: compare with your time.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn fraud_exceptions(&self) -> Result<Vec<FraudException>> {
        let mut tx = self.read().await?;
        let exceptions = load_exceptions(&mut tx).await?;
        tx.commit().await?;
        Ok(exceptions)
    }

    /// Has a rule look at an account again.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where it did all the time; what the database says.
    pub async fn fraud_except_no_more(
        &self,
        account: AccountId,
        rule: &str,
        actor: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let gone = query("DELETE FROM fraud_exceptions WHERE account = $1 AND rule = $2")
            .cells(cells![account.0, rule])
            .execute(&mut *tx)
            .await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "exception", name: format!("of account {account}") });
        }
        count_revision(&mut tx).await?;
        append(&mut tx, actor, "except_no_more", &format!("account:{account}"), rule, reason, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The newest version of each rule.
pub(crate) async fn load_rules(conn: &mut AnyConnection) -> Result<Vec<FraudRule>> {
    let mut newest: Vec<FraudRule> = Vec::new();
    for rule in load_versions(conn).await? {
        newest.retain(|other| other.name != rule.name);
        newest.push(rule);
    }
    Ok(newest)
}

async fn load_versions(conn: &mut AnyConnection) -> Result<Vec<FraudRule>> {
    let rows = query(
        "SELECT name, version, rule_text, is_on, author, reason, at FROM fraud_rules ORDER BY name, version",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(rule_of).collect()
}

fn rule_of(row: &AnyRow) -> Result<FraudRule> {
    Ok(FraudRule {
        name: row.text("name")?,
        version: row.narrow("version")?,
        text: row.text("rule_text")?,
        is_on: row.flag("is_on")?,
        author: row.text("author")?,
        reason: row.text("reason")?,
        at: row.time("at")?,
    })
}

/// The latest orders, oldest first.
pub(crate) async fn load_kill_orders(conn: &mut AnyConnection) -> Result<Vec<KillOrder>> {
    let rows = query("SELECT id, account FROM kill_orders ORDER BY id DESC LIMIT $1")
        .cells(cells![KILL_ORDERS_MAX])
        .fetch_all(conn)
        .await?;
    let order = |row: &AnyRow| Ok(KillOrder { id: row.int("id")?, account: AccountId(row.int("account")?) });
    rows.iter().rev().map(order).collect()
}

/// All exceptions, by account and rule; one may have passed its end: compare with your time.
pub(crate) async fn load_exceptions(conn: &mut AnyConnection) -> Result<Vec<FraudException>> {
    let rows = query(
        "SELECT account, rule, author, reason, since, until_at FROM fraud_exceptions ORDER BY account, rule",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(FraudException {
                account: AccountId(row.int("account")?),
                rule: row.text("rule")?,
                author: row.text("author")?,
                reason: row.text("reason")?,
                since: row.time("since")?,
                until: row.opt_time("until_at")?,
            })
        })
        .collect()
}
