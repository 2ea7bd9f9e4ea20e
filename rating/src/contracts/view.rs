//! One account with a contract as the provisioning data has it: its rules, and how what moves its balance is put in postings.
//!
//! In: movements and happenings of a balance. Out: postings, locks and changes of profiles. How a balance reckons is in [`crate::balance`].

use chrono::{DateTime, Utc};
use model::{
    AccountId, Currency, Effect, Effects, LedgerAccount, Lock, LockSource, Money, Package, Posting,
    PostingId, PostingReason, ProfileChoice, ProfileSwitch, TenantId, from_micros,
};
use rust_decimal::Decimal;

use super::Kept;
use crate::balance::{Contract, Grant, Happening, Moved, Movement, Outcome, ProfileSet, Rules};
use crate::error::RatingError;
use crate::snapshot::{RatingSnapshot, Terms};
use crate::tariff::Tariff;

/// One account with a contract, as the snapshot has it.
pub(super) struct View<'s> {
    snapshot: &'s RatingSnapshot,
    pub(super) terms: Terms<'s>,
    switches: Vec<ProfileSwitch>,
}

impl<'s> View<'s> {
    pub(super) fn of(
        snapshot: &'s RatingSnapshot,
        account: AccountId,
        switches: Vec<ProfileSwitch>,
    ) -> Result<Self, RatingError> {
        let terms = snapshot.contract_terms(account);
        let terms = terms.ok_or(RatingError::NoProfile { account, at: DateTime::UNIX_EPOCH })?;
        Ok(Self { snapshot, terms, switches })
    }

    pub(super) fn account(&self) -> AccountId {
        self.terms.account.id
    }

    pub(super) fn rules(&self, tariff: &Tariff) -> Rules {
        self.terms.rules(Some(tariff))
    }

    pub(super) fn rules_at(&self, at: DateTime<Utc>) -> Rules {
        self.terms.rules(self.tariff(at))
    }

    pub(super) fn tariff(&self, at: DateTime<Utc>) -> Option<&'s Tariff> {
        let found = self.snapshot.tariff_with(self.account(), &self.switches, at, "");
        found.ok().flatten().map(|(tariff, _)| tariff.as_ref())
    }

    /// What an interval that begins at `at` gives: the package's, else the profile's.
    pub(super) fn grant(&self, at: DateTime<Utc>) -> Grant {
        let of_profile = self.tariff(at).map(Tariff::grant).unwrap_or_default();
        let package = self.terms.package;
        Grant {
            seconds: package.and_then(|package| package.free_seconds).unwrap_or(of_profile.seconds),
            micros: package
                .and_then(|package| package.free_cash)
                .map_or(of_profile.micros, |cash| model::to_micros(cash).unwrap_or(0)),
        }
    }

    pub(super) fn open(&self, rules: &Rules, outcome: &mut Outcome) -> Kept {
        let grant_at = |at| self.grant(at);
        let contract = Contract::open(self.terms.contract.created_at, rules, &grant_at, outcome);
        let package = self.terms.contract.package.clone();
        Kept { contract, n_moves: 0, package, switches: Vec::new(), last_happening: None }
    }

    /// Sends out what moved a balance and is no call, and what others have to do.
    pub(super) fn emit(&self, kept: &mut Kept, outcome: Outcome, effects: &mut Effects) {
        let (tenant, account) = (self.terms.account.tenant, self.account());
        for movement in outcome.movements {
            let id = PostingId::of_balance(account, kept.n_moves);
            kept.n_moves += 1;
            let earned = earned_by(tenant, self.terms.account.reseller);
            let grants = LedgerAccount::Grants(tenant);
            let (counter, reason) = match movement.what {
                Moved::GrantCash | Moved::GrantTime | Moved::InitialOwn => (grants, PostingReason::Grant),
                Moved::ExpireCash | Moved::ExpireTime => (grants, PostingReason::Expiry),
                Moved::DiscardOwn => (earned, PostingReason::Expiry),
                Moved::ServiceCharge => (earned, PostingReason::ServiceCharge),
                Moved::TopUp
                | Moved::Adjustment
                | Moved::CallFreeCash
                | Moved::CallOwn
                | Moved::CallTime
                | Moved::OrderFreeCash
                | Moved::OrderOwn => (earned, PostingReason::Adjustment),
            };
            let posting = self.posting(id, movement, counter, reason);
            effects.append(model::Topic::Postings, account, model::Body::Posting(Box::new(posting)));
        }
        for mut happening in outcome.happenings {
            let at = kept.last_happening.map_or(*happening.at_mut(), |last| last.max(*happening.at_mut()));
            kept.last_happening = Some(at);
            let (level, why) = match happening {
                Happening::Lock { level, why, .. } => (level, why),
                Happening::Profiles { set, .. } => {
                    let Some(profiles) = self.terms.package.map(|package| profiles_of(package, set)) else {
                        continue;
                    };
                    let switch = ProfileSwitch { tenant, account, from: at, profiles };
                    let mut schedule = self.terms.account.profiles.clone();
                    kept.switches.iter().for_each(|before| before.apply(&mut schedule));
                    if switch.is_in_force(&schedule) {
                        continue;
                    }
                    kept.switches.push(switch.clone());
                    effects.0.push(Effect::Profiles(Box::new(switch)));
                    continue;
                }
            };
            effects.0.push(Effect::Lock(Box::new(Lock {
                tenant,
                account,
                level,
                source: LockSource::Package,
                reason: why.to_owned(),
                alert: None,
                since: at,
                until: None,
            })));
        }
    }

    /// One movement as a posting: what grows is credited, for the account's side is what we owe it.
    pub(super) fn posting(
        &self,
        id: PostingId,
        movement: Movement,
        counter: LedgerAccount,
        reason: PostingReason,
    ) -> Posting {
        let account = self.account();
        let own = match movement.what {
            Moved::GrantCash | Moved::ExpireCash | Moved::CallFreeCash | Moved::OrderFreeCash => {
                LedgerAccount::FreeCash(account)
            }
            Moved::GrantTime | Moved::ExpireTime | Moved::CallTime => LedgerAccount::FreeTime(account),
            Moved::DiscardOwn
            | Moved::InitialOwn
            | Moved::TopUp
            | Moved::ServiceCharge
            | Moved::Adjustment
            | Moved::CallOwn
            | Moved::OrderOwn => LedgerAccount::Cash(account),
        };
        let is_time = matches!(own, LedgerAccount::FreeTime(_));
        let (amount, currency) = if is_time {
            (Decimal::from(movement.amount), Currency::SECONDS)
        } else {
            (from_micros(movement.amount), self.terms.account.currency)
        };
        let (debit, credit) = if amount.is_sign_negative() { (own, counter) } else { (counter, own) };
        Posting {
            id,
            tenant: self.terms.account.tenant,
            account,
            at: movement.at,
            debit,
            credit,
            amount: Money::new(amount.abs(), currency),
            reason,
            cdr: None,
            reverses: None,
        }
    }
}

fn profiles_of(package: &Package, set: ProfileSet) -> Vec<ProfileChoice> {
    match set {
        ProfileSet::Underrun => {
            package.underrun_profiles.as_ref().map_or_else(Vec::new, |set| set.then.clone())
        }
        ProfileSet::TopUp => package.topup_profiles.clone(),
    }
}

/// Whose income it is: of a reseller's customer the reseller's.
pub(super) fn earned_by(tenant: TenantId, reseller: Option<AccountId>) -> LedgerAccount {
    match reseller.filter(|reseller| *reseller != AccountId::NOBODY) {
        Some(reseller) => LedgerAccount::Sales(reseller),
        None => LedgerAccount::Revenue(tenant),
    }
}
