//! Changes of what is provisioned, object by object, as people and programs make them at the desk.
//!
//! In: objects in the form of the world file, patches, and names of objects to be deleted; some or many, all of them or none. Out: each
//! object before and after. The changes go through the same import as a file's, in one transaction, and what comes of them is compared
//! with what was asked: a change that the import would leave out (an entry of a schedule that has priced calls cannot be taken away) is
//! refused instead. The trail of changes keeps both states of each object.

use std::cell::OnceCell;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use model::Directory;
use rust_decimal::Decimal;
use serde_json::Value;

use super::Import;
use crate::audit::append;
use crate::directory::load_directory_without_fees;
use crate::objects::{FieldFault, ObjectKind, Objects, load_extras, merge};
use crate::provisioning_events::tell_changes;
use crate::revision::announce_revision;
use crate::sql::{Bind, cells, query};
use crate::world::World;
use crate::{Result, Store, StoreError};

/// Faults told at once: of a long file more would not be read.
const FAULTS_MAX: usize = 100;

/// Objects looked at in search of faults, all rounds together: each fault costs a round over all, and the database takes no other write.
const LOOKED_AT_MAX: usize = 100_000;

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
        let known = match self.looked_at(kind, edits, rules, now).await? {
            Ok(known) => known,
            Err(faults) => return Ok(Err(faults)),
        };
        let mut import = Import::begin_knowing(self, now, Some(known)).await?;
        import.is_of_desk = true;
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
            Err(why) if is_about_objects(&why) => return Ok(Err(vec![fault_of(kind, &steps, &why)])),
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

    /// What is provisioned, where nothing about the edits is wrong. What is wrong is found here, so that a refused change, of however
    /// large a house, keeps nobody from writing.
    async fn looked_at(
        &self,
        kind: ObjectKind,
        edits: &[Edit],
        rules: &DeskRules,
        now: DateTime<Utc>,
    ) -> Result<Result<Directory, Vec<EditFault>>> {
        let mut tx = self.read().await?;
        let directory = load_directory_without_fees(&mut tx).await?;
        let extras = load_extras(&mut tx).await?;
        tx.commit().await?;
        let there = Objects::of(&directory, &extras);
        let (steps, world, faults) = planned(kind, edits, &there, rules);
        drop(there);
        let faults =
            if faults.is_empty() { checked(kind, &steps, world, &directory, rules, now) } else { faults };
        Ok(if faults.is_empty() { Ok(directory) } else { Err(faults) })
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

/// What an object is called in the trail of changes.
pub(super) fn trail_name(kind: ObjectKind, key: &str) -> String {
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
pub(super) struct Finder {
    pub(super) places: HashMap<String, usize>,
    /// By the key without its tenant; made when somebody asks so.
    short: OnceCell<HashMap<String, Vec<usize>>>,
}

impl Finder {
    pub(super) fn of(kind: ObjectKind, there: &Objects<'_>) -> Self {
        let keys = there.keys(kind).into_iter().enumerate();
        Self { places: keys.map(|(place, key)| (key, place)).collect(), short: OnceCell::new() }
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
        if kind.key_fields().first() != Some(&"tenant") {
            return Ok(None);
        }
        let short = self.short.get_or_init(|| {
            let mut short: HashMap<String, Vec<usize>> = HashMap::new();
            for (key, place) in &self.places {
                let name = key.split_once(':').map_or(key.as_str(), |(_, rest)| rest);
                short.entry(name.to_owned()).or_default().push(*place);
            }
            short
        });
        match short.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([place]) => Ok(Some(*place)),
            Some(several) => {
                let mut keys: Vec<String> =
                    several.iter().map(|place| kind.key_of(&there.at(kind, *place))).collect();
                keys.sort_unstable();
                let rule = format!("{name:?} may be {}", keys.join(" or "));
                Err((FaultKind::Conflict, FieldFault::new("", rule)))
            }
        }
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
            // An object says its whole key.
            match finder.places.get(&key).copied() {
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
    } else if finder.places.contains_key(&key) {
        // A time may be written in several ways.
        let rule = format!("{key} is there already; change it instead, or write its key like this");
        return Err((FaultKind::Conflict, FieldFault::new("", rule)));
    }
    Ok(Step { key, before, wanted: Some(whole) })
}

/// Whether a list of states (RFC 9110, 13.1.1) names this one.
fn names(asked: &str, etag: &str) -> bool {
    asked.trim() == "*" || asked.split(',').any(|one| one.trim() == etag)
}

/// Where there is one tenant alone it need not be named.
pub(super) fn name_the_tenant(kind: ObjectKind, object: &mut Value, there: &Objects<'_>) {
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
    let faults_max = (LOOKED_AT_MAX / steps.len().max(1)).clamp(1, FAULTS_MAX);
    let mut faults = Vec::new();
    let labels: HashMap<String, usize> = steps
        .iter()
        .enumerate()
        .filter_map(|(place, step)| Some((label(kind, step.wanted.as_ref()?), place)))
        .collect();
    while let Err(WorldFault { object, field, rule }) = (rules.check)(&world, there, now) {
        let place = labels.get(&object).copied();
        faults.push(EditFault { place: place.unwrap_or_default(), kind: FaultKind::Invalid, field, rule });
        if faults.len() == faults_max {
            break;
        }
        let left_out = place.and_then(|place| steps[place].wanted.as_ref());
        if !left_out.is_some_and(|object| leave_out(kind, &mut world, object)) {
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

/// Whether an error is about what was asked, not about the database.
fn is_about_objects(why: &StoreError) -> bool {
    matches!(
        why,
        StoreError::UnknownReference { .. } | StoreError::Invalid { .. } | StoreError::VersionExists { .. }
    )
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
                    let told_after = told_with_secrets(kind, step.before.as_ref(), after.as_ref());
                    trail.push((action, trail_name(kind, &step.key), told(&step.before), told_after));
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
        announce_revision(&mut self.tx).await?;
        tell_changes(&mut self.tx, &self.held, actor, self.now, self.revision).await?;
        for (action, object, before, after) in trail {
            append(&mut self.tx, actor, action, &object, &before, &after, self.now).await?;
        }
        self.tx.commit().await?;
        Ok(Ok(edited))
    }
}

/// An object after its change for the trail, which says whether a secret is another one.
fn told_with_secrets(kind: ObjectKind, before: Option<&Value>, after: Option<&Value>) -> String {
    let Some(after) = after else { return String::new() };
    let text = kind.traced(after);
    let is_other = |path: &&str| {
        before.is_some_and(|old| crate::objects::at(old, path) != crate::objects::at(after, path))
    };
    if !kind.secrets().iter().any(is_other) {
        return text;
    }
    match serde_json::from_str::<serde_json::Map<String, Value>>(&text) {
        Ok(mut members) => {
            members.insert("secret".to_owned(), Value::String("(changed)".to_owned()));
            Value::Object(members).to_string()
        }
        Err(_) => text,
    }
}

/// The field of an object that is not as it was asked to be.
pub(super) fn not_done(wanted: &Value, found: &Value) -> Option<String> {
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
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => {
            a == b || matches!((amount(a), amount(b)), (Some(a), Some(b)) if a == b)
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

/// The worth of a text as amounts are written: `00` is a prefix.
fn amount(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let has_zeros = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if has_zeros || !digits.starts_with(|c: char| c.is_ascii_digit()) { None } else { text.parse().ok() }
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

    #[tokio::test]
    async fn refused_change_does_not_wait_for_whoever_writes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let held = store.write().await.unwrap();
        let rules = DeskRules { complete: |_, _| Ok(()), check: |_, _, _| Ok(()) };
        let edit = Edit::Change { name: "nobody".to_owned(), patch: json!({}), if_match: None };
        let now = DateTime::UNIX_EPOCH;
        let refused = store.edit(ObjectKind::Account, &[edit], &rules, false, now, "desk").await.unwrap();
        assert_eq!(refused.unwrap_err()[0].kind, FaultKind::NotFound);
        held.rollback().await.unwrap();
    }

    #[test]
    fn what_was_left_out_of_a_change_is_named() {
        let found = json!({"a": "20.0", "b": null, "numbers": ["1", "2"], "profiles": [{"profile": "x"}]});
        assert_eq!(not_done(&json!({"a": "20", "c": null}), &found), None);
        assert_eq!(not_done(&json!({"p": "00"}), &json!({"p": "0"})), Some("p".to_owned()));
        assert_eq!(not_done(&json!({"p": "0.0"}), &json!({"p": "0"})), None);
        assert_eq!(not_done(&json!({"a": "21"}), &found), Some("a".to_owned()));
        assert_eq!(not_done(&json!({"numbers": ["1"]}), &found), Some("numbers".to_owned()));
        assert_eq!(not_done(&json!({"profiles": []}), &found), Some("profiles".to_owned()));
        assert_eq!(not_done(&json!({"profiles": [], "profile": "x"}), &found), None);
    }
}
