//! Changes of what is provisioned, object by object, as people and programs make them at the desk.
//!
//! In: objects in the form of the world file, patches, and names of objects to be deleted; some or many, all of them or none. Out: each
//! object before and after. The changes go through the same import as a file's, in one transaction, and what comes of them is compared
//! with what was asked: a change that the import would leave out (an entry of a schedule that has priced calls cannot be taken away) is
//! refused instead. The trail of changes keeps both states of each object.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use model::Directory;
use rust_decimal::Decimal;
use serde_json::Value;

use super::Import;
use crate::audit::append;
use crate::objects::{Extras, FieldFault, ObjectKind, Objects, load_extras, merge};
use crate::provisioning_events::tell_changes;
use crate::sql::{Bind, Columns, cells, query};
use crate::world::World;
use crate::{Result, Store, StoreError};

/// Faults told at once: of a long file more would not be read.
const FAULTS_MAX: usize = 100;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// An object that is not there yet.
    Create(Value),
    /// What is different about one that is there (RFC 7396).
    Change {
        /// Its key, without the tenant where that is clear.
        name: String,
        /// Fields to be different.
        patch: Value,
        /// The object must still show this state ([`ObjectKind::etag`]).
        if_match: Option<String>,
    },
    /// A row of a file: the object is made, or changed where it is there.
    Upload(Value),
    /// It goes.
    Delete {
        /// Its key, without the tenant where that is clear.
        name: String,
        /// The object must still show this state.
        if_match: Option<String>,
    },
}

/// Of what sort a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// There is no such object.
    NotFound,
    /// There is one already, several may be meant, or something hangs on it.
    Conflict,
    /// It is not in the state that was named.
    Stale,
    /// What was asked breaks a rule.
    Invalid,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditFault {
    /// Which of the edits, counted from 0.
    pub place: usize,
    /// Of what sort.
    pub kind: FaultKind,
    /// Path of the field; empty: the object as a whole.
    pub field: String,
    /// What is wrong, and what would be right.
    pub rule: String,
}

/// A rule that a world breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldFault {
    /// Such as `account "acme"`.
    pub object: String,
    /// Path of the field, where one alone is to blame.
    pub field: String,
    /// What is wrong, and what would be right.
    pub rule: String,
}

/// What the house knows and the database does not.
pub struct DeskRules {
    /// Makes of an object as people write it the form that is kept: of a password its hashes.
    pub complete: fn(ObjectKind, &mut Value) -> Result<(), FieldFault>,
    /// What must hold in a world, and beside what is provisioned.
    pub check: fn(&World, &Directory, DateTime<Utc>) -> Result<(), WorldFault>,
}

/// What became of one object. Both states are without secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct EditedObject {
    /// Its key.
    pub key: String,
    /// As it was; `None`: it is new.
    pub before: Option<Value>,
    /// As it is; `None`: it is gone.
    pub after: Option<Value>,
    /// Whether anything is different, be it a secret.
    pub is_changed: bool,
}

/// What the edits came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The objects, in the order of the edits.
    pub objects: Vec<EditedObject>,
    /// The revision in force.
    pub revision: i64,
}

/// An edit on its way.
struct Step {
    key: String,
    before: Option<Value>,
    /// In its whole form, as asked; `None`: it is to go.
    wanted: Option<Value>,
}

impl Store {
    /// Makes `edits` of objects of one kind, all of them or none. With `dry_run` none, but says what they would come to.
    ///
    /// # Errors
    ///
    /// What the database says. What people can mend is the inner error.
    pub async fn edit(
        &self,
        kind: ObjectKind,
        edits: &[Edit],
        rules: &DeskRules,
        dry_run: bool,
        now: DateTime<Utc>,
        actor: &str,
    ) -> Result<Result<Edited, Vec<EditFault>>> {
        let mut import = Import::begin(self, now).await?;
        let extras = load_extras(&mut import.tx).await?;
        let there = Objects::of(&import.there, &extras);
        let (mut steps, world, faults) = planned(kind, edits, &there, rules);
        drop(there);
        let faults = if faults.is_empty() {
            checked(kind, &steps, world.clone(), &import.there, rules, now)
        } else {
            faults
        };
        if !faults.is_empty() {
            return Ok(Err(faults));
        }
        match import.bring(&world).await {
            Ok(()) => {}
            Err(why) if why.is_users() => return Ok(Err(vec![fault_of(kind, &steps, &why)])),
            Err(why) => return Err(why),
        }
        let mut faults = Vec::new();
        for (place, step) in steps.iter().enumerate().filter(|(_, step)| step.wanted.is_none()) {
            if let Some(rule) = import.delete(kind, &step.key, &extras).await? {
                faults.push(EditFault { place, kind: FaultKind::Conflict, field: String::new(), rule });
            }
        }
        if !faults.is_empty() {
            return Ok(Err(faults));
        }
        import.settle(kind, &mut steps, dry_run, actor).await
    }

    /// What people and files did to one object, newest first: entries of the trail of changes.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn object_history(
        &self,
        kind: ObjectKind,
        key: &str,
        max: u32,
    ) -> Result<Vec<crate::AuditEntry>> {
        self.audit_of(&trail_name(kind, key), max).await
    }
}

/// An object of a file that somebody has changed at the desk, in another way than the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedAtDesk {
    /// Such as `account:vox:huber`, as in the trail of changes.
    pub object: String,
    /// Who changed it last.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
    /// As it is, without secrets.
    pub before: String,
    /// As the file has it.
    pub after: String,
}

impl Store {
    /// The objects of `world` that were last changed at the desk and would become something else by an import of it at `now`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn changed_at_desk(&self, world: &World, now: DateTime<Utc>) -> Result<Vec<ChangedAtDesk>> {
        let directory = self.directory().await?;
        let extras = self.provisioning_extras().await?;
        let mut others = Vec::new();
        {
            let there = Objects::of(&directory, &extras);
            for kind in ObjectKind::ALL {
                let finder = Finder::of(kind, &there);
                for mut wanted in kind.of_world(world) {
                    name_the_tenant(kind, &mut wanted, &there);
                    let key = kind.key_of(&wanted);
                    let Some(place) = finder.places.get(&key) else { continue };
                    let found = there.at(kind, *place);
                    if !is_what_a_file_says(kind, &wanted, &found, &there, now) {
                        others.push((trail_name(kind, &key), kind.traced(&found), kind.traced(&wanted)));
                    }
                }
            }
        }
        let mut changed = Vec::new();
        for (object, before, after) in others {
            let last = self.audit_of(&object, 1).await?.pop();
            let is_of_desk = |entry: &crate::AuditEntry| {
                matches!(entry.action.as_str(), "create" | "change" | "change_secret")
            };
            if let Some(entry) = last.filter(is_of_desk) {
                changed.push(ChangedAtDesk { object, actor: entry.actor, at: entry.at, before, after });
            }
        }
        Ok(changed)
    }
}

/// Whether an import of `wanted` would leave `found` as it is.
fn is_what_a_file_says(
    kind: ObjectKind,
    wanted: &Value,
    found: &Value,
    there: &Objects<'_>,
    now: DateTime<Utc>,
) -> bool {
    if kind != ObjectKind::Account {
        return not_done(wanted, found).is_none();
    }
    let mut wanted = wanted.clone();
    let tenant = there.find(ObjectKind::Tenant, wanted["tenant"].as_str().unwrap_or_default());
    if let Ok(Some(place)) = tenant {
        let tenant = there.at(ObjectKind::Tenant, place);
        for field in ["currency", "timezone"] {
            if wanted[field].is_null() {
                wanted[field] = tenant[field].clone();
            }
        }
    }
    let began = |entry: &&Value| {
        let from = entry["from"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
        entry["network"].is_null() && from.is_none_or(|from| from <= now)
    };
    let entries = found["profiles"].as_array().map(Vec::as_slice).unwrap_or_default();
    let in_force = entries.iter().rfind(began).map(|entry| &entry["profile"]);
    let has_profile = wanted["profile"].is_null() || in_force == Some(&wanted["profile"]);
    // A file adds to a schedule; what it does not name stays.
    let named = wanted["profiles"].as_array().cloned().unwrap_or_default();
    let has_entries = named.iter().all(|entry| entries.iter().any(|there| is_same(entry, there)));
    wanted["profiles"] = found["profiles"].clone();
    has_profile && has_entries && not_done(&wanted, found).is_none()
}

/// What an object is called in the trail of changes.
fn trail_name(kind: ObjectKind, key: &str) -> String {
    format!("{}:{key}", kind.as_str())
}

/// Finds what each edit is about, and the world that all of them together ask for.
fn planned(
    kind: ObjectKind,
    edits: &[Edit],
    there: &Objects<'_>,
    rules: &DeskRules,
) -> (Vec<Step>, World, Vec<EditFault>) {
    let mut world = World::default();
    let (mut steps, mut faults) = (Vec::new(), Vec::new());
    let mut seen: HashMap<String, usize> = HashMap::new();
    let finder = Finder::of(kind, there);
    for (place, edit) in edits.iter().enumerate() {
        match step_of(kind, edit, there, &finder, rules, &mut world) {
            Ok(step) => {
                if let Some(other) = seen.insert(step.key.clone(), place) {
                    let rule = format!("{} is named twice, also as number {}", step.key, other + 1);
                    faults.push(EditFault { place, kind: FaultKind::Invalid, field: String::new(), rule });
                }
                steps.push(step);
            }
            Err((kind, FieldFault { field, rule })) => {
                faults.push(EditFault { place, kind, field, rule });
            }
        }
        if faults.len() == FAULTS_MAX {
            break;
        }
    }
    (steps, world, faults)
}

/// Places by key: a long file looks up many.
struct Finder {
    places: HashMap<String, usize>,
}

impl Finder {
    fn of(kind: ObjectKind, there: &Objects<'_>) -> Self {
        let keys = there.keys(kind).into_iter().enumerate();
        Self { places: keys.map(|(place, key)| (key, place)).collect() }
    }

    fn find(
        &self,
        kind: ObjectKind,
        there: &Objects<'_>,
        name: &str,
    ) -> Result<Option<usize>, (FaultKind, FieldFault)> {
        if let Some(place) = self.places.get(name) {
            return Ok(Some(*place));
        }
        there.find(kind, name).map_err(|several| {
            let rule = format!("{name:?} may be {}", several.join(" or "));
            (FaultKind::Conflict, FieldFault::new("", rule))
        })
    }
}

fn step_of(
    kind: ObjectKind,
    edit: &Edit,
    there: &Objects<'_>,
    finder: &Finder,
    rules: &DeskRules,
    world: &mut World,
) -> Result<Step, (FaultKind, FieldFault)> {
    let invalid = |fault| (FaultKind::Invalid, fault);
    let known = |name: &str| match finder.find(kind, there, name)? {
        Some(place) => Ok(there.at(kind, place)),
        None => {
            let rule = format!("there is no {} {name:?}", kind.as_str().replace('_', " "));
            Err((FaultKind::NotFound, FieldFault::new("", rule)))
        }
    };
    let fresh = |if_match: &Option<String>, before: &Value| match if_match {
        Some(asked) if !names(asked, &kind.etag(before)) => {
            let rule = "it was changed since it was read; read it again, and decide again";
            Err((FaultKind::Stale, FieldFault::new("", rule)))
        }
        Some(_) | None => Ok(()),
    };
    let (before, mut wanted) = match edit {
        Edit::Create(object) | Edit::Upload(object) => {
            let mut object = object.clone();
            name_the_tenant(kind, &mut object, there);
            let key = kind.key_of(&object);
            match finder.find(kind, there, &key)? {
                None => {
                    // What is null is as if it were not said.
                    let mut whole = Value::Object(serde_json::Map::new());
                    merge(&mut whole, &object);
                    (None, whole)
                }
                Some(place) => {
                    let before = there.at(kind, place);
                    if matches!(edit, Edit::Create(_)) {
                        let rule = format!("{key} is there already; change it instead");
                        return Err((FaultKind::Conflict, FieldFault::new("", rule)));
                    }
                    let mut whole = before.clone();
                    merge(&mut whole, &object);
                    (Some(before), whole)
                }
            }
        }
        Edit::Change { name, patch, if_match } => {
            let before = known(name)?;
            fresh(if_match, &before)?;
            let mut whole = before.clone();
            merge(&mut whole, patch);
            (Some(before), whole)
        }
        Edit::Delete { name, if_match } => {
            let before = known(name)?;
            fresh(if_match, &before)?;
            return Ok(Step { key: kind.key_of(&before), before: Some(before), wanted: None });
        }
    };
    (rules.complete)(kind, &mut wanted).map_err(invalid)?;
    let whole = kind.add_to(world, &wanted).map_err(invalid)?;
    let key = kind.key_of(&whole);
    if let Some(before) = &before {
        let is_other = |path: &&&str| crate::objects::at(before, path) != crate::objects::at(&whole, path);
        if let Some(path) = kind.key_fields().iter().find(is_other) {
            let rule = "says which object it is and stays; make another object instead";
            return Err(invalid(FieldFault::new(*path, rule)));
        }
    }
    Ok(Step { key, before, wanted: Some(whole) })
}

/// Whether a list of states (RFC 9110, 13.1.1) names this one.
fn names(asked: &str, etag: &str) -> bool {
    asked.trim() == "*" || asked.split(',').any(|one| one.trim() == etag)
}

/// Where there is one tenant alone it need not be named.
fn name_the_tenant(kind: ObjectKind, object: &mut Value, there: &Objects<'_>) {
    let is_named = |value: &Value| value.as_str().is_some_and(|handle| !handle.is_empty());
    let tenants = there.keys(ObjectKind::Tenant);
    let has_tenant = !matches!(kind, ObjectKind::Tenant | ObjectKind::Route);
    if let (true, [only], Some(members)) = (has_tenant, tenants.as_slice(), object.as_object_mut())
        && !members.get("tenant").is_some_and(is_named)
    {
        members.insert("tenant".to_owned(), Value::String(only.clone()));
    }
}

/// What breaks a rule. Rules stop at the first object; it is left out then and the rest is looked at, so that all are named.
fn checked(
    kind: ObjectKind,
    steps: &[Step],
    mut world: World,
    there: &Directory,
    rules: &DeskRules,
    now: DateTime<Utc>,
) -> Vec<EditFault> {
    let mut faults = Vec::new();
    let labels: HashMap<String, usize> = steps
        .iter()
        .enumerate()
        .filter_map(|(place, step)| Some((label(kind, step.wanted.as_ref()?), place)))
        .collect();
    while let Err(WorldFault { object, field, rule }) = (rules.check)(&world, there, now) {
        let place = labels.get(&object).copied();
        faults.push(EditFault { place: place.unwrap_or_default(), kind: FaultKind::Invalid, field, rule });
        let left_out = place.and_then(|place| steps[place].wanted.as_ref());
        let is_left = left_out.is_some_and(|object| leave_out(kind, &mut world, object));
        if !is_left || faults.len() == FAULTS_MAX {
            break;
        }
    }
    faults
}

/// What rules call an object.
fn label(kind: ObjectKind, object: &Value) -> String {
    let text =
        |path: &str| crate::objects::at(object, path).and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind {
        ObjectKind::Tenant => format!("tenant {:?}", text("handle")),
        ObjectKind::Account => format!("account {:?}", text("handle")),
        ObjectKind::Subscriber => format!("subscriber {}@{}", text("username"), text("domain")),
        ObjectKind::Trunk => format!("trunk {:?}", text("name")),
        ObjectKind::Route => format!("route {:?} to {:?}", text("prefix"), text("trunk")),
        ObjectKind::Network => format!("network {:?}", text("name")),
        ObjectKind::ExchangeRate => {
            format!("exchange rate from {} to {} of {}", text("from"), text("to"), text("valid_from"))
        }
        ObjectKind::Package => format!("package {:?}", text("package.handle")),
        ObjectKind::Contract => format!("contract of {:?}", text("account")),
        ObjectKind::BillingTerms if text("account").is_empty() => "billing terms of the tenant".to_owned(),
        ObjectKind::BillingTerms => format!("billing terms of {:?}", text("account")),
        ObjectKind::ProfileLimits => format!("limits of profile {:?}", text("profile")),
    }
}

/// Whether it was there to be left out.
fn leave_out(kind: ObjectKind, world: &mut World, object: &Value) -> bool {
    let before = kind.of_world(world);
    let kept: Vec<&Value> = before.iter().filter(|there| *there != object).collect();
    let mut rest = World::default();
    for there in &kept {
        if kind.add_to(&mut rest, there).is_err() {
            return false;
        }
    }
    let is_left = kept.len() < before.len();
    *world = rest;
    is_left
}

/// The edit and the field that an error of the import is about.
fn fault_of(kind: ObjectKind, steps: &[Step], why: &StoreError) -> EditFault {
    let (object, field) = if let StoreError::UnknownReference { object, kind, .. } = why {
        (object.as_str(), (*kind).to_owned())
    } else if let StoreError::Invalid { object, .. } = why {
        (object.as_str(), String::new())
    } else {
        ("", String::new())
    };
    let is_it = |step: &Step| step.wanted.as_ref().is_some_and(|wanted| label(kind, wanted) == object);
    let place = steps.iter().position(is_it).unwrap_or_default();
    EditFault { place, kind: FaultKind::Invalid, field, rule: why.to_string() }
}

impl Import {
    /// Compares what has come of the edits with what was asked, keeps the trail, and commits.
    async fn settle(
        mut self,
        kind: ObjectKind,
        steps: &mut [Step],
        dry_run: bool,
        actor: &str,
    ) -> Result<Result<Edited, Vec<EditFault>>> {
        if kind == ObjectKind::Subscriber {
            self.there.numbers = crate::directory::load_numbers(&mut self.tx).await?;
        }
        let extras = load_extras(&mut self.tx).await?;
        let mut edited = Vec::with_capacity(steps.len());
        let mut trail = Vec::new();
        let mut faults = Vec::new();
        {
            let there = Objects::of(&self.there, &extras);
            let finder = Finder::of(kind, &there);
            for (place, step) in steps.iter().enumerate() {
                let after = match &step.wanted {
                    None => None,
                    Some(wanted) => {
                        let found = finder.places.get(&step.key).map(|place| there.at(kind, *place));
                        let found = found.ok_or_else(|| StoreError::NotFound {
                            what: "object after its change",
                            name: step.key.clone(),
                        })?;
                        if let Some(field) = not_done(wanted, &found) {
                            let rule = not_done_rule(kind, &field);
                            faults.push(EditFault { place, kind: FaultKind::Invalid, field, rule });
                        }
                        Some(found)
                    }
                };
                let is_changed = step.before != after;
                if is_changed {
                    let action = match (&step.before, &after) {
                        (None, _) => "create",
                        (Some(_), None) => "delete",
                        (Some(old), Some(new)) if kind.shown(old) == kind.shown(new) => "change_secret",
                        (Some(_), Some(_)) => "change",
                    };
                    let told =
                        |state: &Option<Value>| state.as_ref().map_or_else(String::new, |it| kind.traced(it));
                    trail.push((action, trail_name(kind, &step.key), told(&step.before), told(&after)));
                }
                let shown = |state: &Option<Value>| state.as_ref().map(|it| kind.shown(it));
                let (before, after) = (shown(&step.before), shown(&after));
                edited.push(EditedObject { key: step.key.clone(), before, after, is_changed });
            }
        }
        if !faults.is_empty() {
            return Ok(Err(faults));
        }
        let is_changed = !trail.is_empty();
        let revision = if is_changed && !dry_run { self.revision } else { self.there.revision };
        let edited = Edited { objects: edited, revision };
        if dry_run || !is_changed {
            self.tx.rollback().await?;
            return Ok(Ok(edited));
        }
        query("UPDATE revisions SET revision = $1 WHERE one = 1")
            .cells(cells![self.revision])
            .execute(&mut *self.tx)
            .await?;
        tell_changes(&mut self.tx, &self.held, actor, self.now, self.revision).await?;
        for (action, object, before, after) in trail {
            append(&mut self.tx, actor, action, &object, &before, &after, self.now).await?;
        }
        self.tx.commit().await?;
        Ok(Ok(edited))
    }

    /// Deletes an object on which nothing hangs; else says what does.
    async fn delete(&mut self, kind: ObjectKind, key: &str, extras: &Extras) -> Result<Option<String>> {
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
    hanging("fraud_exceptions", "account = $1", "exceptions of the watch"),
    hanging("kill_orders", "account = $1", "a history of calls ended"),
    hanging("barrings", "account = $1", "barrings"),
];

const DELETE_ACCOUNT: &[&str] = &[
    "DELETE FROM calling_rules WHERE kind = 'account' AND object = $1",
    "DELETE FROM fraud_limits WHERE account = $1",
    "DELETE FROM profile_mappings WHERE account = $1",
    "DELETE FROM network_mappings WHERE account = $1",
    "DELETE FROM accounts WHERE id = $1",
];

const OF_SUBSCRIBER: &[Hanging] =
    &[hanging("numbers", "subscriber = $1", "or had numbers, and who owned a number when is kept")];

const DELETE_SUBSCRIBER: &[&str] = &[
    "DELETE FROM calling_rules WHERE kind = 'subscriber' AND object = $1",
    "DELETE FROM subscriber_profiles WHERE subscriber = $1",
    "DELETE FROM subscribers WHERE id = $1",
];

const OF_TRUNK: &[Hanging] = &[hanging("routes", "trunk = $1", "routes")];

const DELETE_TRUNK: &[&str] =
    &["DELETE FROM calling_rules WHERE kind = 'trunk' AND object = $1", "DELETE FROM trunks WHERE id = $1"];

const DELETE_ROUTE: &[&str] =
    &["DELETE FROM calling_rules WHERE kind = 'route' AND object = $1", "DELETE FROM routes WHERE id = $1"];

const OF_NETWORK: &[Hanging] = &[hanging("network_mappings", "network = $1", "schedules of accounts")];

const DELETE_NETWORK: &[&str] = &["DELETE FROM networks WHERE id = $1"];

const DELETE_PROFILE_LIMITS: &[&str] = &["DELETE FROM profile_fraud_limits WHERE profile = $1"];

/// The field of an object that is not as it was asked to be.
fn not_done(wanted: &Value, found: &Value) -> Option<String> {
    let members = wanted.as_object()?;
    let is_done = |name: &str, asked: &Value| {
        let there = found.get(name).unwrap_or(&Value::Null);
        match name {
            // What is left out of these is made of something else.
            "uuid" | "currency" | "timezone" | "tenant" if asked.is_null() => true,
            // They stand for an entry of the schedule, which is then there.
            "profile" | "valid_from" if found.get("profiles").is_some() => true,
            "profiles" => covers(there, asked, wanted.get("profile").is_some_and(|it| !it.is_null())),
            _ => is_same(asked, there),
        }
    };
    members.iter().find(|(name, asked)| !is_done(name, asked)).map(|(name, _)| name.clone())
}

/// Whether a schedule holds all entries asked for and, unless another one was asked for beside them, no other.
fn covers(there: &Value, asked: &Value, and_another: bool) -> bool {
    let entries = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (there, asked) = (entries(there), entries(asked));
    asked.iter().all(|entry| there.iter().any(|it| is_same(entry, it)))
        && (and_another || there.len() == asked.len())
}

/// Whether two values say the same: amounts by their worth, nothing as an absent field.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => {
            a == b || matches!((a.parse::<Decimal>(), b.parse::<Decimal>()), (Ok(a), Ok(b)) if a == b)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let of = |all: &serde_json::Map<String, Value>, name: &String| {
                all.get(name).cloned().unwrap_or_default()
            };
            a.keys().chain(b.keys()).all(|name| is_same(&of(a, name), &of(b, name)))
        }
        _ => a == b,
    }
}

fn not_done_rule(kind: ObjectKind, field: &str) -> String {
    match (kind, field) {
        (ObjectKind::Account, "profiles") => {
            "an entry of the schedule stays, since calls may have been priced by it; give it an end (to), or add one with a \
             later beginning (from)"
                .to_owned()
        }
        (_, field) => format!("{field} cannot become this"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_left_out_of_a_change_is_named() {
        let found = json!({"a": "20.0", "b": null, "numbers": ["1", "2"], "profiles": [{"profile": "x"}]});
        assert_eq!(not_done(&json!({"a": "20", "c": null}), &found), None);
        assert_eq!(not_done(&json!({"a": "21"}), &found), Some("a".to_owned()));
        assert_eq!(not_done(&json!({"numbers": ["1"]}), &found), Some("numbers".to_owned()));
        assert_eq!(not_done(&json!({"profiles": []}), &found), Some("profiles".to_owned()));
        assert_eq!(not_done(&json!({"profiles": [], "profile": "x"}), &found), None);
    }
}
