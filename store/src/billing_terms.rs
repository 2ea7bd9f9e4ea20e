//! Billing terms as they were imported, by tenant and account.

use std::collections::HashMap;

use model::{AccountId, BillingTerms, TenantId};
use sqlx::AnyConnection;

use crate::sql::{Bind, Columns, cells, json, query, unreadable};
use crate::{Result, Store};

/// The terms of everybody who has any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TermsBook {
    tenants: HashMap<TenantId, BillingTerms>,
    accounts: HashMap<AccountId, BillingTerms>,
}

impl TermsBook {
    /// A tenant's own, as a seller.
    pub fn tenant(&self, id: TenantId) -> BillingTerms {
        self.tenants.get(&id).cloned().unwrap_or_default()
    }

    /// Whether a tenant has any.
    pub(crate) fn has_tenant(&self, id: TenantId) -> bool {
        self.tenants.contains_key(&id)
    }

    /// Whether an account has any.
    pub(crate) fn has_account(&self, id: AccountId) -> bool {
        self.accounts.contains_key(&id)
    }

    /// An account's, as a customer and, if it is a reseller, as a seller.
    pub fn account(&self, id: AccountId) -> BillingTerms {
        self.accounts.get(&id).cloned().unwrap_or_default()
    }
}

/// Whose terms.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TermsOwner {
    Tenant(TenantId),
    Account(AccountId),
}

impl TermsOwner {
    fn key(self) -> String {
        match self {
            TermsOwner::Tenant(id) => format!("tenant:{id}"),
            TermsOwner::Account(id) => format!("account:{id}"),
        }
    }
}

impl Store {
    /// All billing terms.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn billing_terms(&self) -> Result<TermsBook> {
        let mut tx = self.read().await?;
        let book = load_terms(&mut tx).await?;
        tx.commit().await?;
        Ok(book)
    }
}

/// All billing terms, as a transaction sees them.
pub(crate) async fn load_terms(conn: &mut AnyConnection) -> Result<TermsBook> {
    let rows = query("SELECT owner, terms FROM billing_terms").fetch_all(conn).await?;
    let mut book = TermsBook::default();
    for row in rows {
        let owner = row.text("owner")?;
        let (kind, id) = owner.split_once(':').ok_or_else(|| unreadable("owner", owner.clone()))?;
        let id = id.parse().map_err(|_| unreadable("owner", owner.clone()))?;
        let terms = row.json("terms")?;
        match kind {
            "tenant" => drop(book.tenants.insert(TenantId(id), terms)),
            "account" => drop(book.accounts.insert(AccountId(id), terms)),
            _ => return Err(unreadable("owner", owner)),
        }
    }
    Ok(book)
}

/// Writes the terms of `owner` where they differ from what is there. `None`: they were the same; else whether they are new.
pub(crate) async fn write_terms(
    conn: &mut AnyConnection,
    owner: TermsOwner,
    terms: &BillingTerms,
    revision: i64,
) -> Result<Option<bool>> {
    let (key, text) = (owner.key(), json(terms));
    let there = query("SELECT terms FROM billing_terms WHERE owner = $1")
        .cells(cells![key.as_str()])
        .fetch_optional(&mut *conn)
        .await?;
    let there = there.map(|row| row.text("terms")).transpose()?;
    if there.as_deref() == Some(text.as_str()) {
        return Ok(None);
    }
    query(
        "INSERT INTO billing_terms (owner, terms, revision) VALUES ($1, $2, $3) \
         ON CONFLICT (owner) DO UPDATE SET terms = excluded.terms, revision = excluded.revision",
    )
    .cells(cells![key, text, revision])
    .execute(&mut *conn)
    .await?;
    Ok(Some(there.is_none()))
}
