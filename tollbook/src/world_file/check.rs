//! What must hold in a world beyond its syntax: in itself, and beside what is provisioned already.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::path::Path;

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, AccountKind, Directory, E164, Fee, FeeId, FeeMatch, FraudLimit, NumberOwner,
    Subscriber, SubscriberId, TariffVersion, TenantCalling, TenantId,
};
use rust_decimal::Decimal;
use store::{NewAccount, NewMapping, NewSubscriber, NewTariff, World};
use switch::CallingOf;

use crate::failure::UserError;

/// Shorter passwords are found by trying, and a found one makes calls at somebody's cost.
const PASSWORD_LETTERS_MIN: usize = 8;

/// A rule that is broken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Such as `account "acme"`.
    object: String,
    rule: String,
    remedy: &'static str,
}

impl Wrong {
    /// The object, the rule, and what to do.
    pub(super) fn parts(self) -> (String, String, &'static str) {
        (self.object, self.rule, self.remedy)
    }

    pub(super) fn in_file(self, file: &Path) -> UserError {
        UserError::new(format!("{}: {}: {}", file.display(), self.object, self.rule), self.remedy)
    }
}

fn wrong<T>(object: String, rule: impl Into<String>, remedy: &'static str) -> Result<T, Wrong> {
    Err(Wrong { object, rule: rule.into(), remedy })
}

/// What can be told from the world alone.
pub(super) fn within(world: &World) -> Result<(), Wrong> {
    once(&world.tenants, |tenant| &tenant.handle, |handle| format!("tenant {handle:?}"))?;
    once(
        &world.accounts,
        |account| (&account.tenant, &account.handle),
        |(_, handle)| format!("account {handle:?}"),
    )?;
    once(
        &world.subscribers,
        |subscriber| (&subscriber.username, &subscriber.domain),
        |(user, domain)| format!("subscriber {user}@{domain}"),
    )?;
    once(&world.trunks, |trunk| &trunk.name, |name| format!("trunk {name:?}"))?;
    once(
        &world.routes,
        |route| (&route.prefix, &route.trunk),
        |(prefix, trunk)| format!("route {prefix:?} to {trunk:?}"),
    )?;
    once(
        &world.tariffs,
        |tariff| (&tariff.tenant, &tariff.version.profile.handle, tariff.version.valid_from),
        |(_, handle, _)| format!("tariff {handle:?}"),
    )?;
    once(
        &world.profile_limits,
        |limits| (&limits.tenant, &limits.profile),
        |(_, profile)| format!("limits of profile {profile:?}"),
    )?;
    once(
        &world.networks,
        |network| (&network.tenant, &network.name),
        |(_, name)| format!("network {name:?}"),
    )?;
    once(
        &world.exchange_rates,
        |rate| (&rate.tenant, rate.from, rate.to, rate.valid_from),
        |(_, from, to, at)| format!("exchange rate from {from} to {to} of {}", at.to_rfc3339()),
    )?;
    world.profile_limits.iter().try_for_each(|new| {
        limits(&new.daily, &new.interval, "", || format!("limits of profile {:?}", new.profile))
    })?;
    let of_terms = |account: &str| match account {
        "" => "billing terms of the tenant".to_owned(),
        account => format!("billing terms of {account:?}"),
    };
    once(&world.billing_terms, |new| (&new.tenant, &new.account), |(_, account)| of_terms(account))?;
    for new in &world.billing_terms {
        if let Err(rule) = new.terms.check() {
            return wrong(of_terms(&new.account), rule, "correct the key");
        }
    }
    world.tenants.iter().try_for_each(|new| handle("tenant", &new.handle))?;
    world.accounts.iter().try_for_each(account)?;
    world.subscribers.iter().try_for_each(subscriber)?;
    world.trunks.iter().try_for_each(|new| handle("trunk", &new.name))?;
    for new in &world.routes {
        if let Some(c) = new.prefix.chars().find(|c| !c.is_ascii_digit()) {
            let object = format!("route {:?} to {:?}", new.prefix, new.trunk);
            return wrong(object, format!("{c:?} is not a digit"), "write the prefix in digits, without +");
        }
    }
    numbers(&world.subscribers)
}

/// Refuses two of the same: the later one would silently win.
fn once<'a, T, K: Eq + Hash>(
    all: &'a [T],
    key: impl Fn(&'a T) -> K,
    name: impl Fn(K) -> String,
) -> Result<(), Wrong> {
    let mut seen = HashSet::new();
    match all.iter().find(|one| !seen.insert(key(one))) {
        Some(second) => wrong(name(key(second)), "is in the file twice", "remove or rename one"),
        None => Ok(()),
    }
}

fn handle(kind: &str, name: &str) -> Result<(), Wrong> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(is_letter) {
        let rule = "a name has letters, digits, - and _ only, and at least one";
        return wrong(format!("{kind} {name:?}"), rule, "choose such a name");
    }
    Ok(())
}

/// Spend limits, of an account or a profile; `section` is in front of their names.
fn limits(
    daily: &Option<FraudLimit>,
    interval: &Option<FraudLimit>,
    section: &str,
    object: impl Fn() -> String,
) -> Result<(), Wrong> {
    for (period, limit) in [("daily", daily), ("interval", interval)] {
        let Some(limit) = limit else { continue };
        if limit.amount <= Decimal::ZERO {
            let rule =
                format!("{section}{period}.amount = \"{}\" would be reached by the first call", limit.amount);
            return wrong(object(), rule, "use an amount above 0, or leave the limit out");
        }
        if let Some(address) = limit.notify.iter().find(|address| !is_mail_address(address)) {
            let rule = format!("{section}{period}.notify: {address:?} is not a mail address");
            return wrong(object(), rule, "write it like \"fraud@example.com\"");
        }
        if let Some(percent) = limit.warn_percent.iter().find(|percent| !(1..100).contains(*percent)) {
            let rule = format!("{section}{period}.warn_percent: {percent} is not below the limit");
            return wrong(object(), rule, "use percentages from 1 to 99; reaching the limit is told anyway");
        }
        if !limit.warn_percent.is_empty() && limit.notify.is_empty() {
            let rule = format!("{section}{period}.warn_percent warns nobody");
            return wrong(object(), rule, "name somebody in `notify`, or leave it out");
        }
    }
    Ok(())
}

fn account(new: &NewAccount) -> Result<(), Wrong> {
    let object = || format!("account {:?}", new.handle);
    handle("account", &new.handle)?;
    if new.vat_percent < Decimal::ZERO || new.vat_percent > Decimal::ONE_HUNDRED {
        let rule = format!("vat_percent = \"{}\" is no rate of VAT", new.vat_percent);
        return wrong(object(), rule, "use a percentage from \"0\" to \"100\"");
    }
    limits(&new.fraud.daily, &new.fraud.interval, "fraud.", object)?;
    if !new.contact.email.is_empty() && !is_mail_address(&new.contact.email) {
        let rule = format!("contact.email: {:?} is not a mail address", new.contact.email);
        return wrong(object(), rule, "write it like \"accounts@example.com\"");
    }
    if new.reseller.as_ref() == Some(&new.handle) {
        return wrong(object(), "is its own reseller", "name another account, or leave `reseller` out");
    }
    if new.reseller.is_some() && new.kind != AccountKind::Customer {
        let rule = format!("is a {} below a reseller", new.kind);
        return wrong(object(), rule, "leave `reseller` out; only customers have one");
    }
    Ok(())
}

/// Enough to catch what was meant to be something else; a server decides the rest.
fn is_mail_address(text: &str) -> bool {
    let is_plain =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    text.split_once('@').is_some_and(|(user, host)| is_plain(user) && is_plain(host) && !host.contains('@'))
}

fn subscriber(new: &NewSubscriber) -> Result<(), Wrong> {
    let object = || format!("subscriber {}@{}", new.username, new.domain);
    let stray = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '@' | '"' | '<' | '>');
    if new.username.is_empty() || new.domain.is_empty() {
        return wrong(object(), "username and domain must not be empty", "give both");
    }
    // A colon in the name makes the hashes of two subscribers the same (RFC 7616, 3.4.2).
    if let Some(c) = new.username.chars().chain(new.domain.chars()).find(|c| stray(*c)) {
        return wrong(object(), format!("{c:?} cannot be in a username or domain"), "leave it out");
    }
    let is_hash = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !is_hash(&new.ha1_md5, 32) || !is_hash(&new.ha1_sha256, 64) {
        let remedy =
            "give hashes of username:domain:password in lower-case hexadecimal, or `password` instead";
        return wrong(object(), "ha1_md5 must have 32 hexadecimal digits and ha1_sha256 64", remedy);
    }
    Ok(())
}

/// What is wrong with a password, and what to do.
pub(super) fn password(username: &str, password: &str) -> Result<(), String> {
    if password.chars().count() < PASSWORD_LETTERS_MIN {
        return Err(format!(
            "the password has fewer than {PASSWORD_LETTERS_MIN} characters; choose a longer one, whoever finds it calls at this \
             account's cost"
        ));
    }
    if password == username {
        return Err("the password is the username; choose one that cannot be guessed".to_owned());
    }
    Ok(())
}

fn numbers(subscribers: &[NewSubscriber]) -> Result<(), Wrong> {
    let mut owners: HashMap<E164, &NewSubscriber> = HashMap::new();
    for subscriber in subscribers {
        for number in &subscriber.numbers {
            if let Some(other) = owners.insert(*number, subscriber) {
                let object = format!("subscriber {}@{}", subscriber.username, subscriber.domain);
                let rule = format!("number {number} also belongs to {}@{}", other.username, other.domain);
                return wrong(object, rule, "list it once");
            }
        }
    }
    Ok(())
}

/// What can be told beside what is provisioned already.
pub(super) fn against(world: &World, directory: &Directory, now: DateTime<Utc>) -> Result<(), Wrong> {
    let known = Known::of(world, directory);
    world.accounts.iter().try_for_each(|new| known.account(new, now))?;
    for new in &world.subscribers {
        let object = || format!("subscriber {}@{}", new.username, new.domain);
        known.owner(&new.tenant, &new.account, AccountKind::Customer, object)?;
        known.numbers_are_free(new)?;
    }
    for new in &world.trunks {
        known.owner(&new.tenant, &new.account, AccountKind::Carrier, || format!("trunk {:?}", new.name))?;
    }
    for new in &world.routes {
        if !known.trunks.contains(new.trunk.as_str()) {
            let object = format!("route {:?} to {:?}", new.prefix, new.trunk);
            return wrong(
                object,
                format!("there is no trunk {:?}", new.trunk),
                "add it, or correct the name",
            );
        }
    }
    known.calling_rules()?;
    world.tariffs.iter().try_for_each(|new| known.tariff(new, now))
}

/// The versions there are of the profile that `new` is a version of.
pub(super) fn versions<'a>(
    directory: &'a Directory,
    new: &'a NewTariff,
) -> impl Iterator<Item = &'a TariffVersion> {
    let tenant = tenant_id(directory, &new.tenant);
    directory.tariffs.iter().filter(move |there| {
        there.profile.handle == new.version.profile.handle && Some(there.profile.tenant) == tenant
    })
}

/// The tenant of that handle; the only one, if it is left out.
fn tenant_id(directory: &Directory, handle: &str) -> Option<TenantId> {
    match directory.tenants.as_slice() {
        [only] if handle.is_empty() => Some(only.id),
        tenants => tenants.iter().find(|tenant| tenant.handle == handle).map(|tenant| tenant.id),
    }
}

/// What rules look up. Long files do so often: it is gathered once, and of what is provisioned only what the world names.
struct Known<'a> {
    world: &'a World,
    directory: &'a Directory,
    /// Kinds of the world's accounts, the first of each handle.
    kinds_of_world: HashMap<&'a str, AccountKind>,
    /// Kinds of those provisioned.
    kinds: HashMap<(TenantId, &'a str), AccountKind>,
    /// Who has which number now.
    owners: HashMap<E164, SubscriberId>,
    /// Those owners.
    subscribers: HashMap<SubscriberId, &'a Subscriber>,
    /// Their accounts.
    accounts: HashMap<AccountId, &'a Account>,
    /// The world's subscribers, by username and domain.
    named: HashSet<(&'a str, &'a str)>,
    /// Names of trunks.
    trunks: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(world: &'a World, directory: &'a Directory) -> Self {
        let mut kinds_of_world = HashMap::new();
        for new in &world.accounts {
            kinds_of_world.entry(new.handle.as_str()).or_insert(new.kind);
        }
        let mut handles: HashSet<&str> = kinds_of_world.keys().copied().collect();
        handles.extend(world.accounts.iter().filter_map(|new| new.reseller.as_deref()));
        handles.extend(world.subscribers.iter().map(|new| new.account.as_str()));
        handles.extend(world.trunks.iter().map(|new| new.account.as_str()));
        let of_handles = directory.accounts.iter().filter(|there| handles.contains(there.handle.as_str()));
        let kinds = of_handles.map(|there| ((there.tenant, there.handle.as_str()), there.kind)).collect();
        let numbers: HashSet<E164> = world.subscribers.iter().flat_map(|new| &new.numbers).copied().collect();
        let is_asked = |there: &&NumberOwner| there.to.is_none() && numbers.contains(&there.number);
        let owners: HashMap<E164, SubscriberId> = if numbers.is_empty() {
            HashMap::new()
        } else {
            let asked = directory.numbers.iter().filter(is_asked);
            asked.map(|there| (there.number, there.subscriber)).collect()
        };
        let ids: HashSet<SubscriberId> = owners.values().copied().collect();
        let owning = directory.subscribers.iter().filter(|there| ids.contains(&there.id));
        let subscribers: HashMap<_, _> = owning.map(|there| (there.id, there)).collect();
        let ids: HashSet<AccountId> = subscribers.values().map(|there| there.account).collect();
        let paying = directory.accounts.iter().filter(|there| ids.contains(&there.id));
        let names = |one: &'a NewSubscriber| (one.username.as_str(), one.domain.as_str());
        let of_world = world.trunks.iter().map(|trunk| trunk.name.as_str());
        Self {
            world,
            directory,
            kinds_of_world,
            kinds,
            owners,
            accounts: paying.map(|there| (there.id, there)).collect(),
            subscribers,
            named: world.subscribers.iter().map(names).collect(),
            trunks: of_world.chain(directory.trunks.iter().map(|trunk| trunk.name.as_str())).collect(),
        }
    }

    fn account(&self, new: &NewAccount, now: DateTime<Utc>) -> Result<(), Wrong> {
        let object = || format!("account {:?}", new.handle);
        if let Some(there) = self.kind_provisioned(&new.tenant, &new.handle)
            && there != new.kind
        {
            let rule = format!("is a {there} and cannot become a {}", new.kind);
            return wrong(object(), rule, "give the new account another handle");
        }
        if let Some(reseller) = &new.reseller {
            self.owner(&new.tenant, reseller, AccountKind::Reseller, object)?;
        }
        let to_come = |entry: &&NewMapping| entry.to.is_none_or(|to| to > now);
        let named = new.profiles.iter().filter(to_come).map(|entry| &entry.profile);
        new.profile.iter().chain(named).try_for_each(|profile| self.profile(new, profile))
    }

    /// A profile that is to price an account's calls: it is there, and in a currency that can be reckoned in the account's.
    fn profile(&self, new: &NewAccount, profile: &String) -> Result<(), Wrong> {
        let object = || format!("account {:?}", new.handle);
        let tenant = tenant_id(self.directory, &new.tenant);
        let of_directory = self
            .directory
            .tariffs
            .iter()
            .filter(|there| &there.profile.handle == profile && Some(there.profile.tenant) == tenant);
        let of_world = self
            .world
            .tariffs
            .iter()
            .filter(|there| &there.version.profile.handle == profile)
            .map(|there| &there.version);
        let currencies: HashSet<_> =
            of_directory.chain(of_world).map(|there| there.profile.currency).collect();
        if currencies.is_empty() {
            return wrong(
                object(),
                format!("there is no profile {profile:?}"),
                "add its tariff, or correct the name",
            );
        }
        let currency = new.currency.or_else(|| self.tenants_currency(&new.tenant));
        let is_convertible = |currency: &model::Currency| {
            let of_world = self.world.exchange_rates.iter().map(|rate| (rate.from, rate.to));
            let of_directory = self.directory.exchange_rates.iter().map(|rate| (rate.from, rate.to));
            of_world.chain(of_directory).any(|(from, to)| currencies.contains(&from) && to == *currency)
        };
        match currency.filter(|currency| !currencies.contains(currency) && !is_convertible(currency)) {
            Some(currency) => wrong(
                object(),
                format!("is kept in {currency}, its profile {profile:?} in another currency"),
                "use one currency for both, or add an exchange rate ([[exchange_rates]])",
            ),
            None => Ok(()),
        }
    }

    fn tenants_currency(&self, handle: &str) -> Option<model::Currency> {
        let of_world = self.world.tenants.iter().map(|tenant| (&tenant.handle, tenant.currency));
        let of_directory = self.directory.tenants.iter().map(|tenant| (&tenant.handle, tenant.currency));
        let all: Vec<_> = of_world.chain(of_directory).collect();
        match all.as_slice() {
            [(_, only)] if handle.is_empty() => Some(*only),
            // The file's come first: they replace what is there.
            all => all.iter().find(|(there, _)| handle.is_empty() || *there == handle).map(|(_, it)| *it),
        }
    }

    fn kind_provisioned(&self, tenant: &str, handle: &str) -> Option<AccountKind> {
        let tenant = tenant_id(self.directory, tenant)?;
        self.kinds.get(&(tenant, handle)).copied()
    }

    /// Rules that the switch could not use. They name sets and levels of their tenant, which may be in the file or provisioned.
    fn calling_rules(&self) -> Result<(), Wrong> {
        const REMEDY: &str = "correct it; `calling` is explained in docs/calling.md";
        let check = |object: String, rules: CallingOf<'_>, tenant: &TenantCalling| {
            switch::check_calling(rules, tenant)
                .or_else(|rule| wrong(object, format!("calling.{rule}"), REMEDY))
        };
        for new in &self.world.tenants {
            check(format!("tenant {:?}", new.handle), CallingOf::Tenant, &new.calling)?;
        }
        for new in &self.world.accounts {
            let tenant = self.tenant_calling(&new.tenant);
            check(format!("account {:?}", new.handle), CallingOf::Account(&new.calling), &tenant)?;
        }
        for new in &self.world.subscribers {
            let tenant = self.tenant_calling(&new.tenant);
            let object = format!("subscriber {}@{}", new.username, new.domain);
            check(object, CallingOf::Subscriber(&new.calling), &tenant)?;
        }
        for new in &self.world.trunks {
            let tenant = self.tenant_calling(&new.tenant);
            check(format!("trunk {:?}", new.name), CallingOf::Trunk(&new.calling), &tenant)?;
        }
        for new in &self.world.routes {
            let object = format!("route {:?} to {:?}", new.prefix, new.trunk);
            check(object, CallingOf::Route(&new.calling), &TenantCalling::default())?;
        }
        Ok(())
    }

    /// The rules of the tenant of that handle, those of the file before those provisioned.
    fn tenant_calling(&self, handle: &str) -> TenantCalling {
        let in_world = match self.world.tenants.as_slice() {
            [only] if handle.is_empty() => Some(only),
            tenants => tenants.iter().find(|tenant| tenant.handle == handle),
        };
        match in_world {
            Some(tenant) => tenant.calling.clone(),
            None => tenant_id(self.directory, handle)
                .and_then(|id| self.directory.calling.tenants.get(&id).cloned())
                .unwrap_or_default(),
        }
    }

    /// The account that `object` belongs to, in the file or provisioned, must be of `kind`.
    fn owner(
        &self,
        tenant: &str,
        handle: &str,
        kind: AccountKind,
        object: impl Fn() -> String,
    ) -> Result<(), Wrong> {
        let in_world = self.kinds_of_world.get(handle).copied();
        match in_world.or_else(|| self.kind_provisioned(tenant, handle)) {
            Some(found) if found == kind => Ok(()),
            Some(found) => wrong(
                object(),
                format!("account {handle:?} is a {found}, not a {kind}"),
                "name another account",
            ),
            None => wrong(object(), format!("there is no account {handle:?}"), "add it, or correct the name"),
        }
    }

    /// A number moves to another account only in a file that also takes it from the one that has it.
    fn numbers_are_free(&self, new: &NewSubscriber) -> Result<(), Wrong> {
        let tenant = tenant_id(self.directory, &new.tenant);
        for number in &new.numbers {
            let owner = self.owners.get(number).and_then(|id| self.subscribers.get(id));
            let Some(owner) = owner else { continue };
            let account = self.accounts.get(&owner.account);
            let is_given_up = self.named.contains(&(owner.username.as_str(), owner.domain.as_str()));
            // Accounts of two tenants may have the same handle.
            let is_its = account
                .is_some_and(|account| account.handle == new.account && Some(account.tenant) == tenant);
            if !is_given_up && !is_its {
                return wrong(
                    format!("subscriber {}@{}", new.username, new.domain),
                    format!("number {number} belongs to {}@{}", owner.username, owner.domain),
                    "to move it, list that subscriber without it in the same file",
                );
            }
        }
        Ok(())
    }

    fn tariff(&self, new: &NewTariff, now: DateTime<Utc>) -> Result<(), Wrong> {
        let valid_from = new.version.valid_from;
        if valid_from == super::ALWAYS || valid_from >= now {
            return Ok(());
        }
        let mut there = versions(self.directory, new).peekable();
        if there.peek().is_none() || there.any(|version| version.valid_from == valid_from) {
            return Ok(());
        }
        // What a call in suspense waits for: a rate for a number that had none. No call that has its price is touched by it.
        let in_force = versions(self.directory, new)
            .filter(|version| version.valid_from <= valid_from)
            .max_by_key(|version| version.valid_from);
        let is_latest = versions(self.directory, new).all(|version| version.valid_from < valid_from);
        if is_latest && in_force.is_some_and(|there| only_adds_uncovered_numbers(there, &new.version)) {
            return Ok(());
        }
        wrong(
            format!("tariff {:?}", new.version.profile.handle),
            format!(
                "valid_from = \"{}\" is in the past, and calls since then have their price",
                valid_from.to_rfc3339()
            ),
            "give a later time, or leave it out for now; into the past go only fees for numbers that no fee covered",
        )
    }
}

/// Whether `new` is `there` and further fees for numbers that none of its fees covers.
fn only_adds_uncovered_numbers(there: &TariffVersion, new: &TariffVersion) -> bool {
    let bare = |fee: &Fee| Fee { id: FeeId(0), ..fee.clone() };
    let old: Vec<Fee> = there.fees.iter().map(bare).collect();
    let covers = |old: &Fee, added: &Fee| {
        old.direction == added.direction
            && (added.destination.starts_with(&old.destination)
                || old.destination.starts_with(&added.destination))
    };
    let (kept, added): (Vec<Fee>, Vec<Fee>) = new.fees.iter().map(bare).partition(|fee| old.contains(fee));
    kept == old
        && new.fee_match == FeeMatch::Prefix
        && added.iter().all(|added| !old.iter().any(|old| covers(old, added)))
        && TariffVersion {
            id: there.id,
            profile: there.profile.clone(),
            valid_from: there.valid_from,
            fees: there.fees.clone(),
            ..new.clone()
        } == *there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn into_the_past_go_only_fees_for_numbers_that_had_none() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/tariffs/retail");
        let there = rating::workbench::read_tariff(&dir, rating::workbench::TariffIds::default()).unwrap();
        let with = |prefix: &str, change: fn(&mut TariffVersion)| {
            let mut new = there.clone();
            new.fees.push(Fee { destination: prefix.to_owned(), ..there.fees[0].clone() });
            change(&mut new);
            only_adds_uncovered_numbers(&there, &new)
        };
        assert!(with("9999", |_| {}));
        // 43 has a fee already, and calls to 436641 have their price.
        assert!(!with("436641", |_| {}));
        // Everything: numbers with a fee among it.
        assert!(!with("", |_| {}));
        assert!(!with("9999", |new| new.fees[3].connection_fee += Decimal::ONE));
        assert!(!with("9999", |new| new.rounding.scale = 2));
    }
}
