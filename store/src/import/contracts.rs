//! Packages and contracts in an import.

use chrono::DateTime;
use model::{
    AccountKind, ContractTerms, Package, ProfileChoice, ProfileId, ProfileSwitch, TariffVersion, TenantId,
    TenantPackage, Underrun,
};

use super::{Import, check_handle, invalid, unknown};
use crate::Result;
use crate::contracts::{write_contract, write_package};
use crate::dated_facts::write_mapping;
use crate::world::{NewContract, NewPackage, NewProfileChoice};

impl Import {
    pub(super) async fn package(&mut self, new: &NewPackage) -> Result<()> {
        let object = || format!("package {:?}", new.package.handle);
        check_handle("package", &new.package.handle)?;
        let tenant = self.tenant_id(&new.tenant, object)?;
        check_package(&new.package).map_err(|rule| invalid(object(), rule))?;
        let package = Package {
            initial_profiles: self.profile_set(tenant, &new.initial_profiles, object)?,
            underrun_profiles: match &new.underrun_profiles {
                Some(Underrun { below, then }) => {
                    Some(Underrun { below: *below, then: self.profile_set(tenant, then, object)? })
                }
                None => None,
            },
            topup_profiles: self.profile_set(tenant, &new.topup_profiles, object)?,
            ..new.package.clone()
        };
        self.check_profile_sets(&package).map_err(|rule| invalid(object(), rule))?;
        let mine =
            |there: &&mut TenantPackage| there.tenant == tenant && there.package.handle == new.package.handle;
        let is_used = self.there.contracts.iter().any(|(account, terms)| {
            terms.package == package.handle
                && self.there.accounts.iter().any(|there| there.id == *account && there.tenant == tenant)
        });
        let count = &mut self.report.packages;
        match self.there.packages.iter_mut().find(mine) {
            Some(there) if there.package == package => {
                count.unchanged += 1;
                return Ok(());
            }
            Some(there) => {
                let is_of_other_intervals =
                    (there.package.interval, there.package.start) != (package.interval, package.start);
                if is_used && is_of_other_intervals {
                    let rule = "interval and start of a package stay as they are while an account has it; \
                                make another package";
                    return Err(invalid(object(), rule.to_owned()));
                }
                there.package = package.clone();
                count.changed += 1;
            }
            None => {
                self.there.packages.push(TenantPackage { tenant, package: package.clone() });
                count.added += 1;
            }
        }
        write_package(&mut self.tx, tenant, &package, self.revision).await
    }

    fn profile_set(
        &self,
        tenant: TenantId,
        set: &[NewProfileChoice],
        object: impl Fn() -> String + Copy,
    ) -> Result<Vec<ProfileChoice>> {
        set.iter()
            .map(|NewProfileChoice { profile, network }| {
                let named = self.profiles.get(&(tenant, profile.clone()));
                let profile = named.ok_or_else(|| unknown(object(), "profile", profile))?.0;
                let network = match network {
                    Some(name) => {
                        let mut networks = self.there.networks.iter();
                        let named = networks.find(|there| there.tenant == tenant && there.name == *name);
                        Some(named.ok_or_else(|| unknown(object(), "network", name))?.id)
                    }
                    None => None,
                };
                Ok(ProfileChoice { profile, network })
            })
            .collect()
    }

    /// What all profiles of a package have to have in common (billing-reference 5.7): else a switch would change what an interval gave.
    fn check_profile_sets(&self, package: &Package) -> std::result::Result<(), String> {
        let Package { initial_profiles, underrun_profiles, topup_profiles, .. } = package;
        let underrun = underrun_profiles.as_ref().map_or(&[][..], |underrun| &underrun.then);
        if !initial_profiles.is_empty() && initial_profiles.iter().all(|choice| choice.network.is_some()) {
            return Err("initial_profiles need one without a network".to_owned());
        }
        if underrun_profiles.is_some() && underrun.is_empty() {
            return Err("underrun_profiles name no profile".to_owned());
        }
        let mut common = None;
        for choice in initial_profiles.iter().chain(underrun).chain(topup_profiles) {
            let Some(version) = self.newest_version(choice.profile) else { continue };
            let grant = (
                version.profile.prepaid,
                version.profile.currency,
                version.interval_free_cash.normalize(),
                version.interval_free_seconds,
            );
            if *common.get_or_insert(grant) != grant {
                return Err("the profiles of a package must be all prepaid or all postpaid, in one currency, and give \
                            the same free cash and free time"
                    .to_owned());
            }
        }
        Ok(())
    }

    /// Those before are prices of the past.
    fn newest_version(&self, profile: ProfileId) -> Option<&TariffVersion> {
        let versions = self.there.tariffs.iter().filter(|there| there.profile.id == profile);
        versions.max_by_key(|there| (there.valid_from, there.id))
    }

    /// What an account's package may switch it to must be in its currency, and leave it prepaid or postpaid as it is (billing-reference
    /// 5.7).
    fn check_packages_of_accounts(&self) -> Result<()> {
        for account in &self.there.accounts {
            let terms = self.there.contracts.get(&account.id).filter(|terms| !terms.package.is_empty());
            let Some(terms) = terms else { continue };
            let is_its = |there: &&TenantPackage| {
                there.tenant == account.tenant && there.package.handle == terms.package
            };
            let Some(package) = self.there.packages.iter().find(is_its).map(|there| &there.package) else {
                continue;
            };
            let underrun = package.underrun_profiles.as_ref().map_or(&[][..], |underrun| &underrun.then);
            // All of a package are alike.
            let first = package.initial_profiles.iter().chain(underrun).chain(&package.topup_profiles).next();
            let Some(theirs) = first.and_then(|choice| self.newest_version(choice.profile)) else { continue };
            let own = account.profile_at(self.now).and_then(|profile| self.newest_version(profile));
            let is_other_kind = own.is_some_and(|own| own.profile.prepaid != theirs.profile.prepaid);
            if theirs.profile.currency != account.currency || is_other_kind {
                let rule = format!(
                    "the profiles of package {:?} are {} and in {}: that is for accounts that are so too",
                    package.handle,
                    if theirs.profile.prepaid { "prepaid" } else { "postpaid" },
                    theirs.profile.currency
                );
                return Err(invalid(format!("contract of {:?}", account.handle), rule));
            }
        }
        Ok(())
    }

    /// An account that gets a package gets its initial profiles.
    async fn initial_profiles(&mut self, tenant: TenantId, handle: &str, package: &str) -> Result<()> {
        let named = |there: &&TenantPackage| there.tenant == tenant && there.package.handle == package;
        let Some(profiles) =
            self.there.packages.iter().find(named).map(|there| &there.package.initial_profiles)
        else {
            return Ok(());
        };
        let place = self.account_places.get(&(tenant, handle.to_owned())).copied();
        let Some(place) = place.filter(|_| !profiles.is_empty()) else { return Ok(()) };
        let account = self.there.accounts[place].id;
        let before = self.there.accounts[place].profiles.clone();
        // The first profile of an account holds for its calls of earlier days too, as one named by itself does.
        let from = if before.is_empty() { DateTime::UNIX_EPOCH } else { self.now };
        let switch = ProfileSwitch { tenant, account, from, profiles: profiles.clone() };
        let mut after = before.clone();
        switch.apply(&mut after);
        for mapping in after.iter().filter(|mapping| !before.contains(mapping)) {
            write_mapping(&mut self.tx, account, mapping, self.revision).await?;
        }
        self.there.accounts[place].profiles = after;
        Ok(())
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
        let is_new_package =
            !new.package.is_empty() && there.is_none_or(|there| there.package != new.package);
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
        if is_new_package {
            self.initial_profiles(tenant, &new.account, &new.package).await?;
        }
        Ok(())
    }

    /// What is used is counted in the balance of a customer, in one currency.
    fn check_prices_by_usage(&self) -> Result<()> {
        let by_usage = self.there.tariffs.iter().filter(|version| version.interval_price.is_some());
        for version in by_usage {
            let has_it = |account: &&model::Account| {
                account.profiles.iter().any(|mapping| mapping.profile == version.profile.id)
            };
            for account in self.there.accounts.iter().filter(has_it) {
                let is_kept =
                    account.kind == AccountKind::Customer && account.currency == version.profile.currency;
                if !is_kept {
                    let rule = format!(
                        "profile {:?} prices by what is used (interval_price): that is for customers whose \
                         currency is {}",
                        version.profile.handle, version.profile.currency
                    );
                    return Err(invalid(format!("account {:?}", account.handle), rule));
                }
            }
        }
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
                    || version.interval_price.is_some()
            })
            .map(|version| version.profile.id)
            .collect();
        self.check_prices_by_usage()?;
        self.check_packages_of_accounts()?;
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
    let is_named_inside = !package.initial_profiles.is_empty()
        || package.underrun_profiles.is_some()
        || !package.topup_profiles.is_empty();
    if is_named_inside {
        return Err("write initial_profiles, underrun_profiles and topup_profiles beside package, not in it"
            .to_owned());
    }
    Ok(())
}
