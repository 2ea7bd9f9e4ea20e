//! Accounts and compiled tariffs at one revision of the provisioning data.
//!
//! In: a [`Directory`]. Out: for an account and an instant, the tariff in force. Versions are immutable, so those that an
//! earlier snapshot has compiled are taken over; one snapshot serves all lanes of a process.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, BalanceLength, Cdr, Charge, ContractTerms, Direction, Directory, Package,
    PortedNumber, ProfileId, ProfileSwitch, ProfileVersionId, Provider,
};

use crate::balance::Rules;
use crate::dated::{DatedFacts, is_from};
use crate::error::{RatingError, TariffError};
use crate::fragments::{cuts_of, next_common_cuts};
use crate::parties::{PayingParty, destination_key, keys_with_domains, paying_parties, source_key};
use crate::price::{CallToPrice, find, price, price_attempt, price_cut, unpriced};
use crate::quick_hash::QuickMap;
use crate::tariff::Tariff;

/// What pricing knows of the provisioning data.
#[derive(Debug, Default)]
pub struct RatingSnapshot {
    directory: Arc<Directory>,
    accounts: QuickMap<AccountId, usize>,
    dated: DatedFacts,
    /// Some tariff has a fee for attempts that nobody answered.
    charges_attempts: bool,
    by_version: HashMap<ProfileVersionId, Arc<Tariff>>,
    /// By the time they come into force.
    by_profile: HashMap<ProfileId, Vec<Arc<Tariff>>>,
}

impl RatingSnapshot {
    /// Compiles what `previous` has not compiled yet.
    ///
    /// # Errors
    ///
    /// [`TariffError`] of the first version that cannot be used; the caller goes on with the snapshot it has.
    pub fn build(
        directory: Arc<Directory>,
        previous: Option<&RatingSnapshot>,
    ) -> Result<RatingSnapshot, TariffError> {
        let mut by_version = HashMap::with_capacity(directory.tariffs.len());
        let mut by_profile: HashMap<ProfileId, Vec<Arc<Tariff>>> = HashMap::new();
        for version in &directory.tariffs {
            let tariff = match previous.and_then(|previous| previous.by_version.get(&version.id)) {
                Some(compiled) => Arc::clone(compiled),
                None => Arc::new(Tariff::compile(version)?),
            };
            by_version.insert(version.id, Arc::clone(&tariff));
            by_profile.entry(version.profile.id).or_default().push(tariff);
        }
        for versions in by_profile.values_mut() {
            versions.sort_by_key(|tariff| (tariff.valid_from(), tariff.version()));
        }
        let accounts =
            directory.accounts.iter().enumerate().map(|(idx, account)| (account.id, idx)).collect();
        let dated = DatedFacts::build(&directory);
        let charges_attempts = by_version.values().any(|tariff| tariff.charges_attempts);
        Ok(RatingSnapshot { directory, accounts, dated, charges_attempts, by_version, by_profile })
    }

    /// The provisioning data it was built from.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A tariff version, in force or not.
    pub(crate) fn version(&self, version: ProfileVersionId) -> Option<&Tariff> {
        self.by_version.get(&version).map(Arc::as_ref)
    }

    /// The tariff that prices a call from `address` that starts at `at` for `account`, and the account; `None` when it has no profile then.
    ///
    /// # Errors
    ///
    /// [`RatingError::NoVersion`] when the profile has no version in force.
    pub fn tariff_of(
        &self,
        account: AccountId,
        at: DateTime<Utc>,
        address: &str,
    ) -> Result<Option<(&Arc<Tariff>, &Account)>, RatingError> {
        self.tariff_with(account, &[], at, address)
    }

    /// As [`Self::tariff_of`], with what a package has decided and the provisioning data may not say yet.
    pub(crate) fn tariff_with(
        &self,
        account: AccountId,
        switches: &[ProfileSwitch],
        at: DateTime<Utc>,
        address: &str,
    ) -> Result<Option<(&Arc<Tariff>, &Account)>, RatingError> {
        let Some(account) = self.accounts.get(&account).map(|&idx| &self.directory.accounts[idx]) else {
            return Ok(None);
        };
        let is_from = is_from(&self.directory, address);
        let profile = if switches.iter().all(|switch| switch.is_in(&account.profiles)) {
            account.profile_from(at, is_from)
        } else {
            let mut account = account.clone();
            switches.iter().for_each(|switch| switch.apply(&mut account.profiles));
            account.profile_from(at, is_from)
        };
        let Some(profile) = profile else { return Ok(None) };
        let tariff = self
            .by_profile
            .get(&profile)
            .and_then(|versions| versions.iter().rev().find(|tariff| tariff.valid_from() <= at))
            .ok_or(RatingError::NoVersion { account: account.id, profile, at })?;
        Ok(Some((tariff, account)))
    }

    /// What each party owes for a call; for one that nobody answered, what the attempt costs, unless we refused it ourselves.
    ///
    /// # Errors
    ///
    /// [`RatingError`] of the first party whose price cannot be told: a call has all its prices or none.
    pub fn charges(&self, cdr: &Cdr) -> Result<Vec<Charge>, RatingError> {
        self.charges_with(cdr, &|_| &[], &mut |_, _, _, _| None)
    }

    /// As [`Self::charges`]; `switched` says what packages have decided of an account, and `priced_elsewhere` may price a party's
    /// part of the call itself.
    pub(crate) fn charges_with<'k>(
        &self,
        cdr: &Cdr,
        switched: &dyn Fn(AccountId) -> &'k [ProfileSwitch],
        priced_elsewhere: PricedElsewhere<'_>,
    ) -> Result<Vec<Charge>, RatingError> {
        self.charges_of(cdr, None, switched, priced_elsewhere)
    }

    /// As [`Self::charges`], by the versions of `priced` and for its parties.
    pub(crate) fn charges_by(&self, cdr: &Cdr, priced: &[Charge]) -> Result<Vec<Charge>, RatingError> {
        self.charges_of(cdr, Some(priced), &|_| &[], &mut |_, _, _, _| None)
    }

    fn charges_of<'k>(
        &self,
        cdr: &Cdr,
        as_priced: Option<&[Charge]>,
        switched: &dyn Fn(AccountId) -> &'k [ProfileSwitch],
        priced_elsewhere: PricedElsewhere<'_>,
    ) -> Result<Vec<Charge>, RatingError> {
        let costs_something = cdr.is_answered() || self.charges_attempts && is_billable_attempt(cdr);
        if !costs_something {
            return Ok(Vec::new());
        }
        let keys = (source_key(cdr), destination_key(cdr));
        let at = priced_at(cdr);
        let ported = self.dated.ported(&self.directory, &keys.1, at);
        let facts = Facts { cdr, at, keys: &keys, ported, as_priced };
        let mut cuts = Vec::new();
        loop {
            let mut charges = Vec::new();
            for party in paying_parties(cdr) {
                let switches = switched(party.account);
                charges.extend(self.charge(facts, (party, switches), &cuts, priced_elsewhere)?);
            }
            // Nearly always they agree at once: their intervals are alike, or one party's profile alone has calls cut.
            match next_common_cuts(&charges, cdr.duration_us) {
                Some(common) => cuts = common,
                None => return Ok(charges.into_iter().map(|(charge, _)| charge).collect()),
            }
        }
    }

    /// What was agreed with an account about its balance; `None` for one without a contract.
    pub(crate) fn contract_terms(&self, account: AccountId) -> Option<Terms<'_>> {
        let contract = self.directory.contracts.get(&account)?;
        let account = self.accounts.get(&account).map(|&idx| &self.directory.accounts[idx])?;
        let tenant = self.directory.tenants.iter().find(|tenant| tenant.id == account.tenant);
        let tenant_zone = tenant.map_or(account.timezone, |tenant| tenant.timezone);
        let package = self.directory.package_of(account.tenant, contract);
        Some(Terms { account, contract, package, tenant_zone })
    }

    /// Where a number was ported to, if it was.
    pub(crate) fn ported(&self, destination: &str, at: DateTime<Utc>) -> Option<&PortedNumber> {
        self.dated.ported(&self.directory, destination, at)
    }

    /// What the payer of a record owes that costs nothing for itself, in the zone of the number called.
    pub(crate) fn no_charge(&self, tariff: &Tariff, cdr: &Cdr) -> Charge {
        let (source, destination) = keys_of(tariff, cdr);
        let call = CallToPrice {
            source: &source,
            destination: &destination,
            direction: Direction::Out,
            start: cdr.start_at,
            duration_us: 0,
            ported: self.ported(&destination, cdr.start_at),
        };
        let priced = price(tariff, &call).unwrap_or_else(|_| unpriced(tariff));
        priced.into_charge(Provider::Customer, Direction::Out, cdr.payer)
    }

    /// The terms of the fee by which a version prices a call.
    pub(crate) fn terms_by(
        &self,
        version: ProfileVersionId,
        cdr: &Cdr,
        direction: Direction,
    ) -> Option<&crate::tariff::Terms> {
        let tariff = self.version(version)?;
        let (source, destination) = keys_of(tariff, cdr);
        let call = CallToPrice {
            source: &source,
            destination: &destination,
            direction,
            start: cdr.start_at,
            duration_us: cdr.duration_us,
            ported: self.ported(&destination_key(cdr), cdr.start_at),
        };
        let (_, found) = find(tariff, &call).ok().flatten()?;
        Some(found.terms())
    }

    /// What one party owes, and whether its profile has calls cut, at `cuts` if so; `None` for one that has no profile and need not have one.
    fn charge(
        &self,
        Facts { cdr, at, keys: (source, destination), ported, as_priced }: Facts<'_>,
        (party, switches): (PayingParty, &[ProfileSwitch]),
        cuts: &[u64],
        priced_elsewhere: PricedElsewhere<'_>,
    ) -> Result<Option<(Charge, bool)>, RatingError> {
        let PayingParty { provider, direction, account } = party;
        let found = match as_priced {
            None => self.tariff_with(account, switches, at, &cdr.source.ip)?,
            Some(priced) => {
                let is_its = |charge: &&Charge| {
                    (charge.provider, charge.direction, charge.account) == (provider, direction, account)
                };
                let charge = priced.iter().find(is_its);
                let tariff = charge.and_then(|charge| self.by_version.get(&charge.version));
                tariff.zip(self.accounts.get(&account).map(|&idx| &self.directory.accounts[idx]))
            }
        };
        let Some((tariff, payer)) = found else {
            return match (provider, direction) {
                (Provider::Customer, Direction::Out) if cdr.is_answered() => {
                    Err(RatingError::NoProfile { account, at })
                }
                (Provider::Customer | Provider::Reseller | Provider::Carrier, _) => Ok(None),
            };
        };
        let with_domains = tariff.matches_domains().then(|| keys_with_domains(cdr));
        let (source, destination) = match &with_domains {
            Some((source, destination)) => (source.as_str(), destination.as_str()),
            None => (source.as_str(), destination.as_str()),
        };
        let call =
            CallToPrice { source, destination, direction, start: at, duration_us: cdr.duration_us, ported };
        let is_cut = cdr.is_answered() && cuts_of(tariff, cuts).is_some();
        // A balance is kept in one currency; a price in another is owed like any other.
        if tariff.profile().currency == payer.currency
            && let Some(priced) = priced_elsewhere(party, tariff, &call, cuts)
        {
            return Ok(Some((priced?, is_cut)));
        }
        let priced = if cdr.is_answered() {
            Some(price_cut(tariff, &call, cuts)?)
        } else {
            price_attempt(tariff, &call)?
        };
        let Some(priced) = priced else { return Ok(None) };
        let charge = priced.into_charge(provider, direction, account);
        if charge.currency == payer.currency {
            return Ok(Some((charge, is_cut)));
        }
        let no_rate = RatingError::TwoCurrencies {
            account,
            account_currency: payer.currency,
            tariff_currency: charge.currency,
            profile: charge.profile.clone(),
            at,
        };
        let converted = self.dated.convert(charge, payer.tenant, payer.currency, at);
        Ok(Some((converted.ok_or(no_rate)?, is_cut)))
    }
}

/// Whether somebody was called in vain. Nothing is owed where no INVITE went out: we refused it, or the caller gave up before.
fn is_billable_attempt(cdr: &Cdr) -> bool {
    let was_sent = !cdr.attempts.is_empty() || !cdr.detail.foreign_key.is_empty();
    was_sent && cdr.detail.refused_by.is_empty() && !cdr.is_in_progress()
}

/// When the terms are looked up that price a record: at the answer, and of an attempt at its INVITE, before which its fee was kept back.
fn priced_at(cdr: &Cdr) -> DateTime<Utc> {
    if cdr.is_answered() { cdr.start_at } else { cdr.init_at }
}

/// Source and destination of a call as a tariff matches them.
fn keys_of(tariff: &Tariff, cdr: &Cdr) -> (String, String) {
    match tariff.matches_domains() {
        true => keys_with_domains(cdr),
        false => (source_key(cdr), destination_key(cdr)),
    }
}

/// What the prices of all parties of a call follow from.
#[derive(Clone, Copy)]
struct Facts<'c> {
    cdr: &'c Cdr,
    at: DateTime<Utc>,
    /// Of source and destination, without their domains.
    keys: &'c (String, String),
    ported: Option<&'c PortedNumber>,
    /// By the versions of these, instead of those in force.
    as_priced: Option<&'c [Charge]>,
}

/// Prices the part of one party, also of an attempt that nobody answered, cut at these microseconds from the start if its profile has calls cut, or leaves it to the caller.
pub(crate) type PricedElsewhere<'f> =
    &'f mut dyn FnMut(PayingParty, &Tariff, &CallToPrice<'_>, &[u64]) -> Option<Result<Charge, RatingError>>;

/// What the rules of an account's balance follow from.
pub(crate) struct Terms<'s> {
    pub(crate) account: &'s Account,
    pub(crate) contract: &'s ContractTerms,
    pub(crate) package: Option<&'s Package>,
    tenant_zone: chrono_tz::Tz,
}

impl Terms<'_> {
    /// The rules under a tariff.
    pub(crate) fn rules(&self, tariff: Option<&Tariff>) -> Rules {
        let rules = match self.package {
            Some(package) => Rules::of_package(package, self.tenant_zone, self.account.timezone),
            None => {
                let interval = tariff.map_or(BalanceLength::MONTH, Tariff::interval);
                Rules::without_package(interval, self.account.timezone)
            }
        };
        Rules {
            prepaid: tariff.is_some_and(|tariff| tariff.profile().prepaid),
            compat: tariff.is_some_and(|tariff| tariff.compat),
            ..rules
        }
    }
}
