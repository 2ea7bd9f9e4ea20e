//! Accounts in an import, with their limits, their terms of billing and the profiles that price their calls.

use chrono::DateTime;
use model::{Account, AccountId, FraudPolicy, ProfileLimits, ProfileMapping, TenantId};

use super::{Import, check_handle, unknown};
use crate::billing_terms::{TermsOwner, write_terms};
use crate::dated_facts::write_mapping;
use crate::limits::{Owner, write_limits};
use crate::sql::{Bind, Columns, cells, query};
use crate::world::{NewAccount, NewBillingTerms, NewProfileLimits};
use crate::{Result, StoreError};

impl Import {
    /// Resellers before those they are named by.
    pub(super) async fn accounts(&mut self, accounts: &[NewAccount]) -> Result<()> {
        let mut waiting: Vec<&NewAccount> = accounts.iter().collect();
        while !waiting.is_empty() {
            let mut later = Vec::new();
            let n_before = waiting.len();
            for new in waiting {
                let object = || format!("account {:?}", new.handle);
                let tenant = self.tenant_id(&new.tenant, object)?;
                let reseller = match &new.reseller {
                    None => None,
                    Some(handle) => match self.account_id(tenant, handle, object) {
                        Ok(id) => Some(id),
                        Err(_) => {
                            later.push(new);
                            continue;
                        }
                    },
                };
                self.account(new, tenant, reseller).await?;
            }
            if later.len() == n_before {
                let new = later[0];
                let reseller = new.reseller.as_deref().unwrap_or_default();
                return Err(unknown(format!("account {:?}", new.handle), "reseller", reseller));
            }
            waiting = later;
        }
        Ok(())
    }

    async fn account(
        &mut self,
        new: &NewAccount,
        tenant: TenantId,
        reseller: Option<AccountId>,
    ) -> Result<()> {
        check_handle("account", &new.handle)?;
        let books =
            self.there.tenants.iter().find(|there| there.id == tenant).expect("its id came from here");
        let key = (tenant, new.handle.clone());
        let place = self.account_places.get(&key).copied();
        let mut wanted = Account {
            id: AccountId(0),
            tenant,
            kind: new.kind,
            handle: new.handle.clone(),
            reseller,
            status: new.status,
            currency: new.currency.unwrap_or(books.currency),
            timezone: new.timezone.unwrap_or(books.timezone),
            contact: new.contact.clone(),
            vat_percent: new.vat_percent,
            calls_max: new.calls_max,
            fraud: new.fraud.clone(),
            profiles: place.map(|place| self.there.accounts[place].profiles.clone()).unwrap_or_default(),
        };
        let before = self.report.accounts;
        let is_new = place.is_none();
        let place = match place {
            None => {
                wanted.id = self.insert_account(&wanted).await?;
                self.account_places.insert(key, self.there.accounts.len());
                self.there.accounts.push(wanted);
                self.report.accounts.added += 1;
                self.there.accounts.len() - 1
            }
            Some(place) => {
                wanted.id = self.there.accounts[place].id;
                let is_changed = self.there.accounts[place] != wanted;
                if self.there.accounts[place].currency != wanted.currency {
                    self.has_no_money(&wanted).await?;
                }
                if is_changed {
                    self.update_account(&wanted).await?;
                    self.there.accounts[place] = wanted;
                }
                if self.mapping_of(new, place)?.is_some() || is_changed {
                    self.report.accounts.changed += 1;
                } else {
                    self.report.accounts.unchanged += 1;
                }
                place
            }
        };
        if let Some(mapping) = self.mapping_of(new, place)? {
            if !is_new {
                self.prices_no_past(&mapping, place)?;
            }
            self.map_profile(place, mapping).await?;
        }
        if self.schedule(new, place, is_new).await? && self.report.accounts.unchanged > before.unchanged {
            self.report.accounts.unchanged -= 1;
            self.report.accounts.changed += 1;
        }
        Ok(())
    }

    /// Refuses another currency where sums are kept in the old one.
    async fn has_no_money(&mut self, wanted: &Account) -> Result<()> {
        for (table, words) in [("contracts", "a balance"), ("postings", "postings"), ("invoices", "invoices")]
        {
            let text = format!("SELECT 1 AS one FROM {table} WHERE account = $1 LIMIT 1");
            let found =
                crate::sql::query_of(text).cells(cells![wanted.id.0]).fetch_optional(&mut *self.tx).await?;
            if found.is_some() {
                let rule = format!("it has {words} in its currency, which cannot become {}", wanted.currency);
                return Err(StoreError::Invalid { object: format!("account {:?}", wanted.handle), rule });
            }
        }
        Ok(())
    }

    async fn insert_account(&mut self, wanted: &Account) -> Result<AccountId> {
        let contact = self.contact(&wanted.contact).await?;
        let row = query(
            "INSERT INTO accounts (tenant, handle, kind, reseller, status, currency, timezone, contact, vat_percent, \
             calls_max, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
        )
        .cells(cells![
            wanted.tenant.0,
            wanted.handle.as_str(),
            wanted.kind.as_str(),
            wanted.reseller.map(|id| id.0),
            wanted.status.as_str(),
            wanted.currency.as_str(),
            wanted.timezone.name(),
            contact,
            wanted.vat_percent.to_string(),
            wanted.calls_max,
            self.revision,
        ])
        .fetch_one(&mut *self.tx)
        .await?;
        let id = AccountId(row.int("id")?);
        self.write_limits(id, &wanted.fraud, &wanted.handle).await?;
        Ok(id)
    }

    async fn update_account(&mut self, wanted: &Account) -> Result<()> {
        self.update_contact("SELECT contact FROM accounts WHERE id = $1", wanted.id.0, &wanted.contact)
            .await?;
        query(
            "UPDATE accounts SET kind = $2, reseller = $3, status = $4, currency = $5, timezone = $6, \
             vat_percent = $7, calls_max = $8, revision = $9 WHERE id = $1",
        )
        .cells(cells![
            wanted.id.0,
            wanted.kind.as_str(),
            wanted.reseller.map(|id| id.0),
            wanted.status.as_str(),
            wanted.currency.as_str(),
            wanted.timezone.name(),
            wanted.vat_percent.to_string(),
            wanted.calls_max,
            self.revision,
        ])
        .execute(&mut *self.tx)
        .await?;
        self.write_limits(wanted.id, &wanted.fraud, &wanted.handle).await
    }

    async fn write_limits(&mut self, account: AccountId, policy: &FraudPolicy, handle: &str) -> Result<()> {
        let named = format!("account {handle:?}");
        write_limits(&mut self.tx, Owner::Account(account.0), policy, &named).await
    }

    pub(super) async fn billing_terms(&mut self, new: &NewBillingTerms) -> Result<()> {
        let object = || format!("billing terms of {:?}", format!("{}{}", new.tenant, new.account));
        let tenant = self.tenant_id(&new.tenant, object)?;
        let owner = if new.account.is_empty() {
            TermsOwner::Tenant(tenant)
        } else {
            TermsOwner::Account(self.account_id(tenant, &new.account, object)?)
        };
        new.terms.check().map_err(|rule| StoreError::Invalid { object: object(), rule })?;
        let count = &mut self.report.billing_terms;
        match write_terms(&mut self.tx, owner, &new.terms, self.revision).await? {
            None => count.unchanged += 1,
            Some(true) => count.added += 1,
            Some(false) => count.changed += 1,
        }
        Ok(())
    }

    pub(super) async fn profile_limits(&mut self, new: &NewProfileLimits) -> Result<()> {
        let object = || format!("limits of profile {:?}", new.profile);
        let tenant = self.tenant_id(&new.tenant, object)?;
        let named = self.profiles.get(&(tenant, new.profile.clone()));
        let profile = named.ok_or_else(|| unknown(object(), "profile", &new.profile))?.0;
        let fraud = FraudPolicy { daily: new.daily.clone(), interval: new.interval.clone() };
        let there = self.there.profile_limits.iter().position(|limits| limits.profile == profile);
        match there {
            Some(place) if self.there.profile_limits[place].fraud == fraud => {
                self.report.profile_limits.unchanged += 1;
                return Ok(());
            }
            Some(place) => {
                self.there.profile_limits[place].fraud = fraud.clone();
                self.report.profile_limits.changed += 1;
            }
            None => {
                self.there.profile_limits.push(ProfileLimits { profile, fraud: fraud.clone() });
                self.report.profile_limits.added += 1;
            }
        }
        write_limits(&mut self.tx, Owner::Profile(profile.0), &fraud, &object()).await
    }

    /// The mapping that `new` asks for, unless its profile is in force at that time already.
    fn mapping_of(&self, new: &NewAccount, place: usize) -> Result<Option<ProfileMapping>> {
        let Some(handle) = &new.profile else { return Ok(None) };
        let account = &self.there.accounts[place];
        let named = self.profiles.get(&(account.tenant, handle.clone()));
        let profile = named.ok_or_else(|| unknown(format!("account {:?}", new.handle), "profile", handle))?.0;
        let from = match new.valid_from {
            Some(from) => from,
            None if account.profiles.is_empty() => DateTime::UNIX_EPOCH,
            None => self.now,
        };
        if account.profile_at(from) == Some(profile) {
            return Ok(None);
        }
        Ok(Some(ProfileMapping { from, to: None, network: None, profile }))
    }

    pub(super) async fn map_profile(&mut self, place: usize, mapping: ProfileMapping) -> Result<()> {
        let account = &mut self.there.accounts[place];
        write_mapping(&mut self.tx, account.id, &mapping, self.revision).await?;
        account.profiles.retain(|there| (there.from, there.network) != (mapping.from, mapping.network));
        account.profiles.push(mapping);
        account.profiles.sort_by_key(|there| (there.from, there.network));
        Ok(())
    }
}
