//! Packages and contracts in an import.

use model::{AccountKind, ContractTerms, Package, TenantPackage};

use super::{Import, check_handle, invalid, unknown};
use crate::Result;
use crate::contracts::{write_contract, write_package};
use crate::world::{NewContract, NewPackage};

impl Import {
    pub(super) async fn package(&mut self, new: &NewPackage) -> Result<()> {
        let object = || format!("package {:?}", new.package.handle);
        check_handle("package", &new.package.handle)?;
        let tenant = self.tenant_id(&new.tenant, object)?;
        check_package(&new.package).map_err(|rule| invalid(object(), rule))?;
        let mine =
            |there: &&mut TenantPackage| there.tenant == tenant && there.package.handle == new.package.handle;
        let count = &mut self.report.packages;
        match self.there.packages.iter_mut().find(mine) {
            Some(there) if there.package == new.package => {
                count.unchanged += 1;
                return Ok(());
            }
            Some(there) => {
                there.package = new.package.clone();
                count.changed += 1;
            }
            None => {
                self.there.packages.push(TenantPackage { tenant, package: new.package.clone() });
                count.added += 1;
            }
        }
        write_package(&mut self.tx, tenant, &new.package, self.revision).await
    }

    pub(super) async fn contract(&mut self, new: &NewContract) -> Result<()> {
        let object = || format!("contract of {:?}", new.account);
        let tenant = self.tenant_id(&new.tenant, object)?;
        let account = self.account_id(tenant, &new.account, object)?;
        let has_package =
            |there: &TenantPackage| there.tenant == tenant && there.package.handle == new.package;
        if !new.package.is_empty() && !self.there.packages.iter().any(has_package) {
            return Err(unknown(object(), "package", &new.package));
        }
        if new.credit_limit.is_some_and(|limit| limit.is_sign_negative()) {
            return Err(invalid(object(), "credit_limit must not be below 0".to_owned()));
        }
        let there = self.there.contracts.get(&account);
        let wanted = ContractTerms {
            created_at: there.map_or(self.now, |there| there.created_at),
            package: new.package.clone(),
            credit_limit: new.credit_limit,
            low_balance: new.low_balance.clone(),
        };
        let count = &mut self.report.contracts;
        match there {
            Some(there) if *there == wanted => {
                count.unchanged += 1;
                return Ok(());
            }
            Some(_) => count.changed += 1,
            None => count.added += 1,
        }
        write_contract(&mut self.tx, account, &wanted, self.revision).await?;
        self.there.contracts.insert(account, wanted);
        Ok(())
    }

    /// An account whose profile needs a balance gets one.
    pub(super) async fn contracts_by_profile(&mut self) -> Result<()> {
        let needs_balance: Vec<_> = self
            .there
            .tariffs
            .iter()
            .filter(|version| {
                version.profile.prepaid
                    || !version.interval_free_cash.is_zero()
                    || version.interval_free_seconds > 0
            })
            .map(|version| version.profile.id)
            .collect();
        let without: Vec<_> = self
            .there
            .accounts
            .iter()
            .filter(|account| {
                account.kind == AccountKind::Customer
                    && !self.there.contracts.contains_key(&account.id)
                    && account.profiles.iter().any(|mapping| needs_balance.contains(&mapping.profile))
            })
            .map(|account| account.id)
            .collect();
        for account in without {
            let wanted = ContractTerms {
                created_at: self.now,
                package: String::new(),
                credit_limit: None,
                low_balance: None,
            };
            write_contract(&mut self.tx, account, &wanted, self.revision).await?;
            self.there.contracts.insert(account, wanted);
            self.report.contracts.added += 1;
        }
        Ok(())
    }
}

/// What types alone cannot hold.
fn check_package(package: &Package) -> Result<(), String> {
    let lengths = [Some(package.interval), package.timely];
    if lengths.into_iter().flatten().any(|length| length.count == 0) {
        return Err("a length must be at least 1".to_owned());
    }
    if package.carry_over == model::CarryOver::Timely && package.timely.is_none() {
        return Err("carry_over = \"carry_over_timely\" needs timely, such as { unit = \"day\", count = 3 }"
            .to_owned());
    }
    let amounts = [Some(package.initial_balance), Some(package.service_charge), package.free_cash];
    if amounts.into_iter().flatten().any(|amount| amount.is_sign_negative() && !amount.is_zero()) {
        return Err("amounts must not be below 0".to_owned());
    }
    if package.initial_profile.is_some()
        || package.underrun_profile.is_some()
        || package.topup_profile.is_some()
    {
        return Err("packages do not change profiles yet; leave out initial_profile, underrun_profile and topup_profile".to_owned());
    }
    Ok(())
}
