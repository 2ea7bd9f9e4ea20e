//! What the watch works with and does not learn: rules, lists, and the provisioning data at one revision.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{Account, AccountId, Attempt, Directory, E164};

use super::cell::Needs;
use super::hot_list::HotList;
use super::price_list::{CallPrice, PriceList};
use crate::rule::{Action, Bound, Key, Rule};

/// A rule with what it has to keep.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) rule: Rule,
    pub(crate) needs: Needs,
    /// Its share is compared with that of all others on the same destination.
    pub(crate) has_others: bool,
}

/// Rules and lists; the same for all lanes and for the life of the process.
#[derive(Debug, Default)]
pub struct WatchRules {
    pub(crate) rules: Vec<Compiled>,
    pub(crate) hot: HotList,
    pub(crate) never_originate: HotList,
    pub(crate) notify: Vec<String>,
    /// Seconds after which what is kept under a key is history.
    pub(crate) horizon: HashMap<Key, i64>,
}

impl WatchRules {
    /// `hot` are numbers that are called for fraud, `never_originate` numbers that never call; `notify` is told of every alert.
    pub fn new(rules: Vec<Rule>, hot: HotList, never_originate: HotList, notify: Vec<String>) -> Self {
        let mut horizon: HashMap<Key, i64> = HashMap::new();
        for rule in &rules {
            let seconds = i64::from(rule.window.seconds()) + i64::from(rule.cool_down.seconds());
            // The sum over all vendors stands under the country.
            for key in [rule.key, Key::Country] {
                let longest = horizon.entry(key).or_default();
                *longest = (*longest).max(seconds);
            }
        }
        let rules = rules
            .into_iter()
            .map(|rule| Compiled {
                needs: Needs::of(&rule),
                has_others: rule.conditions.iter().any(|c| matches!(c.bound, Bound::AboveOthers(_))),
                rule,
            })
            .collect();
        Self { rules, hot, never_originate, notify, horizon }
    }

    /// The rules, in the order in which they are looked at.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    /// Whether one of them refuses calls at the INVITE.
    pub fn refuses_any(&self) -> bool {
        self.rules().any(|rule| rule.actions.contains(&Action::Refuse))
    }

    /// Where the rule of this name and version stands.
    pub(crate) fn idx_of(&self, name: &str, version: u32) -> Option<u16> {
        let at = self.rules.iter().position(|one| one.rule.name == name && one.rule.version == version)?;
        u16::try_from(at).ok()
    }
}

/// The provisioning data of one revision, with what the watch looks up in it.
#[derive(Debug, Default)]
pub struct WatchSnapshot {
    pub(crate) directory: Arc<Directory>,
    pub(crate) prices: PriceList,
    account_idx: HashMap<AccountId, usize>,
    /// Numbers that our subscribers have.
    own_numbers: HashSet<u64>,
    /// Accounts with a limit that counts calls in progress.
    limited: HashSet<AccountId>,
}

impl WatchSnapshot {
    /// Works out the prices; once for a revision, for all lanes.
    pub fn build(directory: Arc<Directory>) -> Self {
        let counts = |policy: &model::FraudPolicy| {
            [&policy.daily, &policy.interval]
                .into_iter()
                .flatten()
                .any(|limit| limit.compat.is_none() && limit.price == model::FraudPrice::Customer)
        };
        let profiles: HashSet<_> = directory
            .profile_limits
            .iter()
            .filter(|limits| counts(&limits.fraud))
            .map(|limits| limits.profile)
            .collect();
        let has_limit = |account: &&Account| {
            counts(&account.fraud)
                || account.profiles.iter().any(|mapping| profiles.contains(&mapping.profile))
        };
        Self {
            prices: PriceList::build(&directory.tariffs),
            account_idx: directory.accounts.iter().enumerate().map(|(idx, one)| (one.id, idx)).collect(),
            own_numbers: directory
                .numbers
                .iter()
                .filter(|owner| owner.to.is_none())
                .map(|owner| owner.number.as_u64())
                .collect(),
            limited: directory.accounts.iter().filter(has_limit).map(|account| account.id).collect(),
            directory,
        }
    }

    /// What an attempt costs its payer; nothing where nobody pays or no number is called.
    pub(crate) fn price_of(
        &self,
        account: Option<&Account>,
        attempt: &Attempt,
        at: DateTime<Utc>,
    ) -> CallPrice {
        let price = account.zip(attempt.callee).and_then(|(account, callee)| {
            let cli = attempt.cli.map(E164::as_u64);
            self.prices.price(account, cli, callee.as_u64(), at)
        });
        price.unwrap_or_default()
    }

    /// Ten-thousandths that a call of so many seconds costs, estimated.
    pub(crate) fn cost(&self, payer: AccountId, cli: Option<u64>, callee: u64, seconds: i64) -> i64 {
        let price = self
            .account(payer)
            .and_then(|account| self.prices.price(account, cli, callee, DateTime::UNIX_EPOCH));
        let cost = price.unwrap_or_default().cost(u64::try_from(seconds).unwrap_or(0));
        i64::try_from(cost).unwrap_or(i64::MAX)
    }

    /// The revision it was built from.
    pub fn revision(&self) -> i64 {
        self.directory.revision
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<&Account> {
        self.account_idx.get(&id).and_then(|idx| self.directory.accounts.get(*idx))
    }

    pub(crate) fn is_ours(&self, number: u64) -> bool {
        self.own_numbers.contains(&number)
    }

    /// Whether what the account's calls in progress have cost is to be told to its limits.
    pub(crate) fn is_limited(&self, account: AccountId) -> bool {
        self.limited.contains(&account)
    }
}
