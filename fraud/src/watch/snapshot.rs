//! What the watch works with and does not learn: rules, lists, and the provisioning data at one revision.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{Account, AccountId, Directory, SightedBy, TenantId};

use super::cell::Needs;
use super::facts::Asking;
use super::hot_list::HotList;
use super::price_list::{CallPrice, PriceList};
use super::shared::sighted_by;
use super::zones::Zones;
use crate::locking::is_in_force;
use crate::rule::{Action, Bound, Key, Measure, Rule};

/// A rule with what it has to keep.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) rule: Rule,
    pub(crate) needs: Needs,
    /// Its share is compared with that of all others on the same destination.
    pub(crate) has_others: bool,
    /// It counts over the calls of everybody, by this; `None` where the calls of one payer are all that it counts.
    pub(crate) by: Option<SightedBy>,
    /// It looks at what calls cost.
    pub(crate) wants_cost: bool,
}

/// Rules and lists; the same for all lanes, until a rule is saved and others take their place.
#[derive(Debug, Default)]
pub struct WatchRules {
    pub(crate) rules: Vec<Compiled>,
    pub(crate) hot: Arc<HotList>,
    pub(crate) never_originate: Arc<HotList>,
    pub(crate) notify: Vec<String>,
    /// Seconds after which what is kept under a key is history.
    pub(crate) horizon: HashMap<Key, i64>,
    /// Some count over the calls of everybody.
    pub(crate) has_shared: bool,
    /// What they ask of a call's past.
    pub(crate) asks: Asks,
}

/// What rules ask for, beyond what a call says itself; the watch of stored calls leaves the rest out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asks {
    /// What the account did before: since when it is there, its countries, its user agents.
    pub(crate) memory: bool,
    /// What is usual for it.
    pub(crate) usual: bool,
    /// What calls cost while they are up.
    pub(crate) running_cost: bool,
}

impl Asks {
    fn of(rules: &[Rule]) -> Self {
        let any = |asks: fn(&Rule) -> bool| rules.iter().any(asks);
        let asks_usual = |rule: &Rule| {
            rule.conditions.iter().any(|condition| matches!(condition.bound, Bound::AboveUsual(_)))
        };
        Asks {
            memory: any(|rule| {
                let filter = &rule.filter;
                filter.new_country
                    || filter.new_user_agent
                    || filter.account_younger.is_some()
                    || rule.warm_up.is_some()
            }),
            usual: rules.iter().any(asks_usual),
            running_cost: any(|rule| rule.conditions.iter().any(|c| c.measure == Measure::Cost)),
        }
    }
}

impl WatchRules {
    /// `hot` are numbers that are called for fraud, `never_originate` numbers that never call; `notify` is told of every alert.
    pub fn new(
        rules: Vec<Rule>,
        hot: impl Into<Arc<HotList>>,
        never_originate: impl Into<Arc<HotList>>,
        notify: Vec<String>,
    ) -> Self {
        let asks = Asks::of(&rules);
        let mut horizon: HashMap<Key, i64> = HashMap::new();
        for rule in &rules {
            let seconds = i64::from(rule.window.seconds()) + i64::from(rule.cool_down.seconds());
            // The sum over all vendors stands under the country.
            for key in [rule.key, Key::Country] {
                let longest = horizon.entry(key).or_default();
                *longest = (*longest).max(seconds);
            }
        }
        let rules: Vec<Compiled> = rules
            .into_iter()
            .map(|rule| Compiled {
                by: sighted_by(&rule),
                wants_cost: rule.conditions.iter().any(|c| c.measure == Measure::Cost),
                needs: Needs::of(&rule),
                has_others: rule.conditions.iter().any(|c| matches!(c.bound, Bound::AboveOthers(_))),
                rule,
            })
            .collect();
        let has_shared = rules.iter().any(|one| one.by.is_some());
        Self {
            rules,
            hot: hot.into(),
            never_originate: never_originate.into(),
            notify,
            horizon,
            has_shared,
            asks,
        }
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

/// Which rule leaves an account alone, and until when.
type Exception = (String, Option<DateTime<Utc>>);

/// The provisioning data of one revision, with what the watch looks up in it.
#[derive(Debug, Default)]
pub struct WatchSnapshot {
    pub(crate) directory: Arc<Directory>,
    pub(crate) prices: PriceList,
    account_idx: HashMap<AccountId, usize>,
    /// Accounts whose handle an account of another tenant has too: a bare handle means none of them.
    namesakes: HashSet<AccountId>,
    tenant_handles: HashMap<TenantId, String>,
    /// Numbers that our subscribers have.
    own_numbers: HashSet<u64>,
    /// Accounts with a limit that counts calls in progress.
    limited: HashSet<AccountId>,
    /// An empty name is every rule.
    exceptions: HashMap<AccountId, Vec<Exception>>,
}

/// Accounts whose handle is not theirs alone.
fn namesakes(accounts: &[Account]) -> HashSet<AccountId> {
    let mut first: HashMap<&str, AccountId> = HashMap::new();
    let mut found = HashSet::new();
    for account in accounts {
        if let Some(namesake) = first.insert(&account.handle, account.id) {
            found.extend([namesake, account.id]);
        }
    }
    found
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
            namesakes: namesakes(&directory.accounts),
            tenant_handles: directory.tenants.iter().map(|one| (one.id, one.handle.clone())).collect(),
            own_numbers: directory
                .numbers
                .iter()
                .filter(|owner| owner.to.is_none())
                .map(|owner| owner.number.as_u64())
                .collect(),
            limited: directory.accounts.iter().filter(has_limit).map(|account| account.id).collect(),
            exceptions: directory.fraud_exceptions.iter().fold(HashMap::new(), |mut of, exception| {
                let until = (exception.rule.clone(), exception.until);
                of.entry(exception.account).or_insert_with(Vec::new).push(until);
                of
            }),
            directory,
        }
    }

    /// What an attempt costs its payer; nothing where nobody pays or no number is called.
    pub(crate) fn price_of(
        &self,
        account: Option<&Account>,
        asking: &Asking,
        at: DateTime<Utc>,
        zones: &mut Zones,
    ) -> CallPrice {
        let price = account
            .zip(asking.callee)
            .and_then(|(account, callee)| self.prices.price(account, asking.cli, callee, at, zones));
        price.unwrap_or_default()
    }

    /// Ten-thousandths that a call of so many seconds costs, estimated.
    pub(crate) fn cost(&self, payer: AccountId, cli: Option<u64>, callee: u64, seconds: i64) -> i64 {
        let mut zones = Zones::default();
        let price = self
            .account(payer)
            .and_then(|account| self.prices.price(account, cli, callee, DateTime::UNIX_EPOCH, &mut zones));
        let cost = price.unwrap_or_default().cost(u64::try_from(seconds).unwrap_or(0));
        i64::try_from(cost).unwrap_or(i64::MAX)
    }

    /// Whether a rule leaves an account alone: by what the rule itself says, or by the word of a person.
    pub(crate) fn is_excepted(&self, rule: &Rule, account: AccountId, at: DateTime<Utc>) -> bool {
        let is_spared = || {
            self.exceptions.get(&account).is_some_and(|all| {
                // Who leaves an account alone as a whole does not mean its calls for help.
                let is_meant =
                    |name: &String| *name == rule.name || (name.is_empty() && !rule.filter.emergency);
                all.iter().any(|(name, until)| is_meant(name) && until.is_none_or(|until| at < until))
            })
        };
        self.is_named(rule, account) || (!self.exceptions.is_empty() && is_spared())
    }

    /// Whether a rule itself says that it leaves an account alone.
    fn is_named(&self, rule: &Rule, account: AccountId) -> bool {
        let names = &rule.except.accounts;
        !names.is_empty()
            && self
                .account(account)
                .is_some_and(|known| names.iter().any(|name| self.is_name_of(name, known)))
    }

    /// Whether a handle, or `tenant:handle`, means this account and no other.
    fn is_name_of(&self, name: &str, account: &Account) -> bool {
        match name.split_once(':') {
            Some((tenant, handle)) => {
                handle == account.handle
                    && self.tenant_handles.get(&account.tenant).is_some_and(|own| own == tenant)
            }
            None => name == account.handle && !self.namesakes.contains(&account.id),
        }
    }

    /// The rules that leave an account alone now, by name; an empty name is every rule but those for emergency calls.
    pub(crate) fn spared(&self, rules: &WatchRules, account: AccountId, at: DateTime<Utc>) -> Vec<String> {
        let naming = rules.rules().filter(|rule| self.is_named(rule, account)).map(|rule| rule.name.clone());
        let of_people = self.exceptions.get(&account).into_iter().flatten();
        let in_force = of_people.filter(|(_, until)| until.is_none_or(|until| at < until));
        naming.chain(in_force.map(|(name, _)| name.clone())).collect()
    }

    /// Whether an alert is behind the lock that an account is under.
    pub(crate) fn is_locked_by_alert(&self, account: AccountId, at: DateTime<Utc>) -> bool {
        let lock = self.directory.locks.iter().find(|lock| lock.account == account);
        lock.is_some_and(|lock| lock.alert.is_some() && is_in_force(lock, at))
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
