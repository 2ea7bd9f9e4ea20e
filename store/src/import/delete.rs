//! Deletion of what nothing hangs on; else what does is said.

use chrono::{DateTime, Utc};

use super::Import;
use crate::Result;
use crate::objects::{Extras, ObjectKind, Objects};
use crate::sql::{Bind, Columns, cells, query};

impl Import {
    /// Deletes an object on which nothing hangs; else says what does.
    pub(super) async fn delete(
        &mut self,
        kind: ObjectKind,
        key: &str,
        extras: &Extras,
    ) -> Result<Option<String>> {
        let place = Objects::of(&self.there, extras).find(kind, key).ok().flatten();
        let Some(place) = place else { return Ok(None) };
        let d = &self.there;
        let of_now = self.now;
        let (checks, statements, id): (&[Hanging], &[&'static str], i64) = match kind {
            ObjectKind::Tenant => (OF_TENANT, DELETE_TENANT, d.tenants[place].id.0),
            ObjectKind::Account => (OF_ACCOUNT, DELETE_ACCOUNT, d.accounts[place].id.0),
            ObjectKind::Subscriber => (OF_SUBSCRIBER, DELETE_SUBSCRIBER, d.subscribers[place].id.0),
            ObjectKind::Trunk => {
                if d.trunks[place].enabled {
                    return Ok(Some("it takes calls; set enabled to false first".to_owned()));
                }
                (OF_TRUNK, DELETE_TRUNK, d.trunks[place].id.0)
            }
            ObjectKind::Route => (&[], DELETE_ROUTE, d.routes[place].id.0),
            ObjectKind::Network => {
                let id = d.networks[place].id;
                let is_named = d.packages.iter().any(|it| {
                    let underrun = it.package.underrun_profiles.as_ref().map_or(&[][..], |it| &it.then);
                    let sets = [&it.package.initial_profiles[..], underrun, &it.package.topup_profiles];
                    sets.concat().iter().any(|choice| choice.network == Some(id))
                });
                if is_named {
                    return Ok(Some("a package names it".to_owned()));
                }
                (OF_NETWORK, DELETE_NETWORK, id.0)
            }
            ObjectKind::ExchangeRate => return self.delete_rate(place, of_now).await,
            ObjectKind::Package => return self.delete_package(place).await,
            ObjectKind::Contract => {
                return Ok(Some("the account's balance hangs on it; terminate the account".to_owned()));
            }
            ObjectKind::BillingTerms => return self.delete_terms(key).await,
            ObjectKind::ProfileLimits => (&[], DELETE_PROFILE_LIMITS, d.profile_limits[place].profile.0),
        };
        for Hanging { table, condition, words } in checks {
            let text = format!("SELECT 1 AS one FROM {table} WHERE {condition} LIMIT 1");
            let found = crate::sql::query_of(text).cells(cells![id]).fetch_optional(&mut *self.tx).await?;
            if found.is_some() {
                return Ok(Some(format!("it has {words}")));
            }
        }
        let contact = match kind {
            ObjectKind::Tenant => Some(("SELECT contact FROM tenants WHERE id = $1", "tenant")),
            ObjectKind::Account => Some(("SELECT contact FROM accounts WHERE id = $1", "account")),
            ObjectKind::Subscriber
            | ObjectKind::Trunk
            | ObjectKind::Route
            | ObjectKind::Network
            | ObjectKind::ExchangeRate
            | ObjectKind::Package
            | ObjectKind::Contract
            | ObjectKind::BillingTerms
            | ObjectKind::ProfileLimits => None,
        };
        let owned = match contact {
            Some((select, owner)) => {
                let row = query(select).cells(cells![id]).fetch_one(&mut *self.tx).await?;
                query("DELETE FROM billing_terms WHERE owner = $1")
                    .cells(cells![format!("{owner}:{id}")])
                    .execute(&mut *self.tx)
                    .await?;
                Some(row.int("contact")?)
            }
            None => None,
        };
        for statement in statements {
            query(statement).cells(cells![id]).execute(&mut *self.tx).await?;
        }
        // The party's name and address go with it.
        if let Some(contact) = owned {
            query("DELETE FROM contacts WHERE id = $1").cells(cells![contact]).execute(&mut *self.tx).await?;
        }
        Ok(None)
    }

    async fn delete_rate(&mut self, place: usize, now: DateTime<Utc>) -> Result<Option<String>> {
        let rate = &self.there.exchange_rates[place];
        if rate.valid_from <= now {
            return Ok(Some("calls are priced by it; add one with a later valid_from".to_owned()));
        }
        query(
            "DELETE FROM exchange_rates WHERE tenant = $1 AND from_currency = $2 AND to_currency = $3 \
             AND valid_from = $4",
        )
        .cells(cells![rate.tenant.0, rate.from.as_str(), rate.to.as_str(), rate.valid_from])
        .execute(&mut *self.tx)
        .await?;
        Ok(None)
    }

    async fn delete_package(&mut self, place: usize) -> Result<Option<String>> {
        let package = &self.there.packages[place];
        let handle = &package.package.handle;
        let is_its = |account: &&model::Account| account.tenant == package.tenant;
        let terms = |account: &model::Account| self.there.contracts.get(&account.id);
        let mut of_tenant = self.there.accounts.iter().filter(is_its);
        if let Some(account) =
            of_tenant.find(|account| terms(account).is_some_and(|terms| terms.package == *handle))
        {
            return Ok(Some(format!("the contract of {} names it", account.handle)));
        }
        query("DELETE FROM packages WHERE tenant = $1 AND handle = $2")
            .cells(cells![package.tenant.0, handle.as_str()])
            .execute(&mut *self.tx)
            .await?;
        Ok(None)
    }

    async fn delete_terms(&mut self, key: &str) -> Result<Option<String>> {
        let (tenant, account) = key.split_once(':').unwrap_or(("", key));
        let tenant = self.tenant_id(tenant, || key.to_owned())?;
        let owner = match account {
            "" => format!("tenant:{tenant}"),
            account => format!("account:{}", self.account_id(tenant, account, || key.to_owned())?),
        };
        query("DELETE FROM billing_terms WHERE owner = $1")
            .cells(cells![owner])
            .execute(&mut *self.tx)
            .await?;
        Ok(None)
    }
}

/// Rows that keep an object from being deleted; its id is the only argument.
struct Hanging {
    table: &'static str,
    condition: &'static str,
    words: &'static str,
}

const fn hanging(table: &'static str, condition: &'static str, words: &'static str) -> Hanging {
    Hanging { table, condition, words }
}

const OF_TENANT: &[Hanging] = &[
    hanging("accounts", "tenant = $1", "accounts"),
    hanging("billing_profiles", "tenant = $1", "billing profiles"),
    hanging("networks", "tenant = $1", "networks"),
    hanging("packages", "tenant = $1", "packages"),
    hanging("exchange_rates", "tenant = $1", "exchange rates"),
    hanging("vouchers", "tenant = $1", "vouchers"),
    hanging("invoices", "tenant = $1", "invoices"),
    hanging("postings", "tenant = $1", "postings"),
    hanging("barrings", "tenant = $1", "barrings"),
];

const DELETE_TENANT: &[&str] = &[
    "DELETE FROM calling_rules WHERE kind = 'tenant' AND object = $1",
    "DELETE FROM zones WHERE tenant = $1",
    "DELETE FROM tenants WHERE id = $1",
];

const OF_ACCOUNT: &[Hanging] = &[
    hanging(
        "accounts",
        "id = $1 AND status <> 'terminated'",
        "calls to come; set its status to terminated first",
    ),
    hanging("subscribers", "account = $1", "subscribers"),
    hanging("trunks", "account = $1", "trunks"),
    hanging("accounts", "reseller = $1", "customers"),
    hanging("contracts", "account = $1", "a balance"),
    hanging("postings", "account = $1", "postings"),
    hanging("topups", "account = $1", "top-ups"),
    hanging("vouchers", "account = $1 OR used_by = $1", "vouchers"),
    hanging("invoices", "account = $1 OR seller = $1", "invoices"),
    hanging("lock_history", "account = $1", "a history of locks"),
    hanging("alerts", "account = $1", "alerts"),
    hanging("users", "account = $1", "users who see it"),
    hanging("fraud_exceptions", "account = $1", "exceptions of the watch"),
    hanging("kill_orders", "account = $1", "a history of calls ended"),
    hanging("barrings", "account = $1", "barrings"),
    hanging("suspense", "account = $1 AND resolved_at IS NULL", "calls that wait in the suspense list"),
];

const DELETE_ACCOUNT: &[&str] = &[
    "DELETE FROM calling_rules WHERE kind = 'account' AND object = $1",
    "DELETE FROM fraud_limits WHERE account = $1",
    "DELETE FROM profile_mappings WHERE account = $1",
    "DELETE FROM network_mappings WHERE account = $1",
    "DELETE FROM accounts WHERE id = $1",
];

const OF_SUBSCRIBER: &[Hanging] = &[
    hanging("numbers", "subscriber = $1", "or had numbers, and who owned a number when is kept"),
    // A suspended call names its account; whose subscriber it was is in its record alone.
    hanging(
        "suspense",
        "resolved_at IS NULL AND account = (SELECT account FROM subscribers WHERE id = $1)",
        "an account whose calls wait in the suspense list",
    ),
];

const DELETE_SUBSCRIBER: &[&str] = &[
    "DELETE FROM calling_rules WHERE kind = 'subscriber' AND object = $1",
    "DELETE FROM subscriber_profiles WHERE subscriber = $1",
    "DELETE FROM subscribers WHERE id = $1",
];

const OF_TRUNK: &[Hanging] = &[
    hanging("routes", "trunk = $1", "routes"),
    hanging(
        "suspense",
        "resolved_at IS NULL AND account = (SELECT account FROM trunks WHERE id = $1)",
        "an account whose calls wait in the suspense list",
    ),
];

const DELETE_TRUNK: &[&str] =
    &["DELETE FROM calling_rules WHERE kind = 'trunk' AND object = $1", "DELETE FROM trunks WHERE id = $1"];

const DELETE_ROUTE: &[&str] =
    &["DELETE FROM calling_rules WHERE kind = 'route' AND object = $1", "DELETE FROM routes WHERE id = $1"];

const OF_NETWORK: &[Hanging] = &[hanging("network_mappings", "network = $1", "schedules of accounts")];

const DELETE_NETWORK: &[&str] = &["DELETE FROM networks WHERE id = $1"];

const DELETE_PROFILE_LIMITS: &[&str] = &["DELETE FROM profile_fraud_limits WHERE profile = $1"];
