//! What is provisioned: a list of each kind of object, a form with its checks for each object, what holds for it and where that comes from,
//! and who changed what.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{AuditEntry, Edit, Objects};

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::objects::api::{HISTORY_MAX, Wanted, edit, page};
use crate::objects::effective::{Effective, effective};
use crate::objects::kinds::RESOURCES;
use crate::objects::table::{Field, FieldKind, Resource, put, read, written};
use crate::objects::{csv, extras, find, has_no_calls};
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// Where these pages are in the navigation.
const PLACE: &str = "/provisioning";

/// A tab of the list.
struct Tab {
    path: &'static str,
    title: &'static str,
    is_current: bool,
}

fn tabs(current: &Resource) -> Vec<Tab> {
    let tab = |resource: &Resource| Tab {
        path: resource.path,
        title: resource.title,
        is_current: resource.path == current.path,
    };
    RESOURCES.iter().map(tab).collect()
}

fn resource(path: &str) -> Result<&'static Resource, Refusal> {
    Resource::named(path).ok_or_else(|| Refusal::NotFound(format!("there is no list {path:?}")))
}

/// What to look for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    q: String,
    after: String,
    /// What the last form did.
    done: String,
}

#[derive(Template)]
#[template(path = "provisioned.html")]
struct ListPage {
    frame: Frame,
    tabs: Vec<Tab>,
    path: &'static str,
    title: &'static str,
    one: &'static str,
    about: &'static str,
    q: String,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    next: Option<String>,
    may_change: bool,
    /// The file that was sent and was not taken.
    file: String,
    faults: Vec<String>,
    said: String,
}

struct Row {
    key: String,
    cells: Vec<String>,
}

/// The first of the lists.
pub(crate) async fn first() -> Redirect {
    Redirect::to("/provisioning/subscribers")
}

/// One list.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(path): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Refusal> {
    html(&list_page(&shared, &user, resource(&path)?, query).await?)
}

async fn list_page(
    shared: &Shared,
    user: &SignedIn,
    resource: &'static Resource,
    query: ListQuery,
) -> Result<ListPage, Refusal> {
    require(user, Right::Provisioning, "see what is provisioned")?;
    let directory = (shared.desk.directory)();
    let extras = extras(shared, resource.kind).await?;
    let objects = Objects::of(&directory, &extras);
    let parameters =
        BTreeMap::from([("q".to_owned(), query.q.trim().to_owned()), ("after".to_owned(), query.after)]);
    let wanted =
        Wanted::of(resource, &parameters).map_err(|why| Refusal::Invalid(why.detail().to_owned()))?;
    let (page, next) = page(resource, &objects, &wanted);
    let columns: Vec<&Field> = resource.columns.iter().filter_map(|path| resource.column(path)).collect();
    let rows = page.iter().map(|(key, object)| Row {
        key: escaped(key),
        cells: resource.columns.iter().map(|path| cell(object, path)).collect(),
    });
    Ok(ListPage {
        frame: Frame::of(user, PLACE).noting(Some(query.done)),
        tabs: tabs(resource),
        path: resource.path,
        title: resource.title,
        one: resource.one,
        about: resource.about,
        q: query.q,
        columns: columns.iter().map(|field| field.label).collect(),
        rows: rows.collect(),
        next,
        may_change: user.role.may(resource.change),
        file: String::new(),
        faults: Vec::new(),
        said: String::new(),
    })
}

/// A value in a list.
fn cell(object: &Value, path: &str) -> String {
    match store::at(object, path) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    }
}

/// A file of objects.
#[derive(Debug, Deserialize)]
pub(crate) struct FileForm {
    file: String,
    /// `check` or `take`.
    act: String,
}

/// Looks at a file of objects, or takes it.
pub(crate) async fn take(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(path): Path<String>,
    Form(form): Form<FileForm>,
) -> Result<Response, Refusal> {
    let resource = resource(&path)?;
    require(&user, resource.change, "change this")?;
    let dry_run = form.act != "take";
    match csv::take(&shared, &user, resource, form.file.as_bytes(), dry_run).await {
        Ok((n_added, n_changed, n_unchanged, _)) => {
            let counts = format!("{n_added} added, {n_changed} changed, {n_unchanged} as they were");
            if !dry_run {
                let to = format!(
                    "/provisioning/{path}?done={}",
                    escaped(&format!("The file is taken: {counts}."))
                );
                return Ok(Redirect::to(&to).into_response());
            }
            let mut page = list_page(&shared, &user, resource, ListQuery::default()).await?;
            page.said = format!("The file is in order; taken, it comes to: {counts}.");
            page.file = form.file;
            html(&page)
        }
        Err(problem) => {
            let mut page = list_page(&shared, &user, resource, ListQuery::default()).await?;
            page.faults = problem
                .errors()
                .iter()
                .map(|fault| {
                    let line = fault.line.map_or_else(String::new, |line| format!("line {line}: "));
                    let field = fault.pointer.as_deref().unwrap_or_default().trim_start_matches('/');
                    let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
                    format!("{line}{field}{}", fault.detail)
                })
                .collect();
            if page.faults.is_empty() {
                page.faults.push(problem.detail().to_owned());
            }
            page.file = form.file;
            html(&page)
        }
    }
}

#[derive(Template)]
#[template(path = "provisioned_one.html")]
struct OnePage {
    frame: Frame,
    tabs: Vec<Tab>,
    path: &'static str,
    one: &'static str,
    /// Empty: it is to be made.
    key: String,
    address: String,
    etag: String,
    inputs: Vec<Input>,
    may_change: bool,
    fault: String,
    said: String,
    effective: Vec<Effective>,
    history: Vec<Change>,
}

/// A field of the form.
struct Input {
    path: &'static str,
    label: &'static str,
    about: &'static str,
    text: String,
    /// `select`, `area`, `password`, `number` or `text`.
    form: &'static str,
    words: Vec<&'static str>,
    is_needed: bool,
    /// It says which object it is.
    is_fixed: bool,
    fault: String,
}

/// One change of an object.
struct Change {
    at: String,
    actor: String,
    action: String,
    /// Path, what it was, what it is.
    fields: Vec<(String, String, String)>,
}

/// A form for an object to be made.
pub(crate) async fn new(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    let resource = resource(&path)?;
    require(&user, resource.change, "change this")?;
    html(&form_page(&shared, &user, resource, None, &BTreeMap::new()).await?)
}

/// What the last form did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    done: String,
}

/// One object.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path((path, key)): Path<(String, String)>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let resource = resource(&path)?;
    require(&user, Right::Provisioning, "see what is provisioned")?;
    let found = find(&shared, resource, &key).await?;
    let mut page = form_page(&shared, &user, resource, Some(found), &BTreeMap::new()).await?;
    page.frame = page.frame.noting(Some(done.done));
    html(&page)
}

/// The form of an object, or of one to be made, with what was written into it.
async fn form_page(
    shared: &Shared,
    user: &SignedIn,
    resource: &'static Resource,
    found: Option<(String, Value)>,
    given: &BTreeMap<String, String>,
) -> Result<OnePage, Refusal> {
    let (key, object) = found.unwrap_or_default();
    let is_there = !key.is_empty();
    let inputs = resource.fields.iter().map(|field| Input {
        path: field.path,
        label: field.label,
        about: field.about,
        // A password goes in and never comes out.
        text: match given.get(field.path).filter(|_| field.kind != FieldKind::Secret) {
            Some(text) => text.clone(),
            None => shown(&object, field),
        },
        form: match field.kind {
            FieldKind::Word(_) | FieldKind::Flag => "select",
            FieldKind::Object | FieldKind::List => "area",
            FieldKind::Secret => "password",
            FieldKind::Count => "number",
            FieldKind::Text | FieldKind::Amount | FieldKind::Time | FieldKind::Texts => "text",
        },
        words: if let FieldKind::Word(words) = field.kind { words.to_vec() } else { vec!["true", "false"] },
        is_needed: field.is_needed,
        is_fixed: is_there && resource.kind.key_fields().contains(&field.path),
        fault: String::new(),
    });
    let history = if is_there {
        shared.desk.store.object_history(resource.kind, &key, HISTORY_MAX).await?
    } else {
        Vec::new()
    };
    let directory = (shared.desk.directory)();
    Ok(OnePage {
        frame: Frame::of(user, PLACE),
        tabs: tabs(resource),
        path: resource.path,
        one: resource.one,
        address: escaped(&key),
        etag: if is_there { resource.kind.etag(&object) } else { String::new() },
        inputs: inputs.collect(),
        may_change: user.role.may(resource.change),
        fault: String::new(),
        said: String::new(),
        effective: if is_there {
            effective(&directory, resource.kind, &key, (shared.desk.clock)().wall)
        } else {
            Vec::new()
        },
        history: history.iter().map(change_of).collect(),
        key,
    })
}

/// As in a cell; objects over several lines.
fn shown(object: &Value, field: &Field) -> String {
    match (field.kind, store::at(object, field.path)) {
        (FieldKind::Object | FieldKind::List, Some(value)) if !written(object, field).is_empty() => {
            serde_json::to_string_pretty(&bare(value)).unwrap_or_default()
        }
        _ => written(object, field),
    }
}

/// Without members that say nothing: a form is read by people. Items of a list keep theirs: there an empty text may be asked for, such as
/// what a rewrite rule puts in place of what it strips.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let bare = members.iter().map(|(name, value)| (name.clone(), bare(value)));
            let is_said = |value: &Value| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(all) => !all.is_empty(),
                Value::Object(all) => !all.is_empty(),
                Value::Bool(_) | Value::Number(_) => true,
            };
            Value::Object(bare.filter(|(_, value)| is_said(value)).collect())
        }
        Value::Array(all) => all.iter().map(said).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Without members that are null.
fn said(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let are_said = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(are_said.map(|(name, value)| (name.clone(), said(value))).collect())
        }
        Value::Array(all) => all.iter().map(said).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn change_of(entry: &AuditEntry) -> Change {
    let state = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let (before, after) = (leaves(&state(&entry.before)), leaves(&state(&entry.after)));
    let paths = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
    let text = |all: &BTreeMap<String, String>, path: &String| all.get(path).cloned().unwrap_or_default();
    let fields = paths.into_iter().map(|path| (path.clone(), text(&before, path), text(&after, path)));
    Change {
        at: when(entry.at),
        actor: entry.actor.clone(),
        action: entry.action.replace('_', " "),
        fields: fields.filter(|(_, old, new)| old != new).collect(),
    }
}

/// What an object says, by path.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let mut waiting = vec![(String::new(), bare(value))];
    while let Some((path, value)) = waiting.pop() {
        match value {
            Value::Object(members) => {
                waiting.extend(members.into_iter().map(|(name, value)| {
                    (if path.is_empty() { name } else { format!("{path}.{name}") }, value)
                }))
            }
            Value::Null => {}
            Value::String(text) => drop(leaves.insert(path, text.clone())),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                leaves.insert(path, value.to_string());
            }
        }
    }
    leaves
}

/// Makes an object by its form.
pub(crate) async fn submit_new(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(path): Path<String>,
    Form(given): Form<BTreeMap<String, String>>,
) -> Result<Response, Refusal> {
    let resource = resource(&path)?;
    require(&user, resource.change, "change this")?;
    act(&shared, &user, resource, None, &given).await
}

/// Changes or deletes an object by its form.
pub(crate) async fn submit(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path((path, key)): Path<(String, String)>,
    Form(given): Form<BTreeMap<String, String>>,
) -> Result<Response, Refusal> {
    let resource = resource(&path)?;
    require(&user, resource.change, "change this")?;
    let found = find(&shared, resource, &key).await?;
    act(&shared, &user, resource, Some(found), &given).await
}

async fn act(
    shared: &Shared,
    user: &SignedIn,
    resource: &'static Resource,
    found: Option<(String, Value)>,
    given: &BTreeMap<String, String>,
) -> Result<Response, Refusal> {
    let word = given.get("act").map(String::as_str).unwrap_or_default();
    let if_match = given.get("etag").filter(|etag| !etag.is_empty()).cloned();
    let made = match (&found, word) {
        (Some((key, _)), "delete") => match has_no_calls(shared, resource.kind, key).await {
            Ok(()) => Ok(Edit::Delete { name: key.clone(), if_match }),
            Err(why) => Err(why.into()),
        },
        (Some((key, object)), _) => {
            patch_of(resource, object, given).map(|patch| Edit::Change { name: key.clone(), patch, if_match })
        }
        (None, _) => patch_of(resource, &json!({}), given).map(Edit::Create),
    };
    let outcome = match made {
        Ok(made) => edit(shared, user, resource, &[made], word == "check").await,
        Err(problem) => Err(problem),
    };
    let path = resource.path;
    match outcome {
        Ok(edited) if word == "check" => {
            let mut page = form_page(shared, user, resource, found, given).await?;
            let is_changed = edited.objects.iter().any(|object| object.is_changed);
            let words =
                if is_changed { "It is in order, and can be saved." } else { "Nothing is different." };
            page.said = words.to_owned();
            html(&page)
        }
        Ok(edited) => {
            let key = edited.objects.first().map(|object| object.key.clone()).unwrap_or_default();
            let to = match word {
                "delete" => format!("/provisioning/{path}?done={}", escaped(&format!("{key} is deleted."))),
                _ => format!(
                    "/provisioning/{path}/{}?done={}",
                    escaped(&key),
                    escaped("Saved; calls know of it now.")
                ),
            };
            Ok(Redirect::to(&to).into_response())
        }
        Err(problem) => {
            let mut page = form_page(shared, user, resource, found, given).await?;
            name_faults(&mut page, &problem);
            html(&page)
        }
    }
}

/// What the form has different from the object.
fn patch_of(resource: &Resource, object: &Value, given: &BTreeMap<String, String>) -> Result<Value, Problem> {
    let mut patch = json!({});
    for field in resource.fields {
        let Some(text) = given.get(field.path) else { continue };
        let wanted = read(field, text).map_err(|fault| crate::objects::api::of_field(&fault))?;
        let there = read(field, &shown(object, field)).unwrap_or(Value::Null);
        if wanted == there || (field.kind == FieldKind::Secret && wanted.is_null()) {
            continue;
        }
        let mut wanted = wanted;
        take_out(&there, &mut wanted);
        put(&mut patch, field.path, wanted);
    }
    Ok(patch)
}

/// A merge would keep members that were taken out of what the form showed: they are named as nothing. What it did not show stays.
fn take_out(shown: &Value, wanted: &mut Value) {
    let (Value::Object(shown), Value::Object(wanted)) = (shown, wanted) else { return };
    for (name, shown) in shown {
        match wanted.get_mut(name) {
            Some(wanted) => take_out(shown, wanted),
            None => drop(wanted.insert(name.clone(), Value::Null)),
        }
    }
}

/// Tells each fault beside its field, and all of them above the form.
fn name_faults(page: &mut OnePage, problem: &Problem) {
    page.fault = problem.detail().to_owned();
    for fault in problem.errors() {
        let Some(pointer) = &fault.pointer else { continue };
        let path = pointer.trim_start_matches('/').replace('/', ".");
        let is_its = |input: &&mut Input| {
            path.strip_prefix(input.path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if let Some(input) = page.inputs.iter_mut().find(is_its) {
            fault.detail.clone_into(&mut input.fault);
        }
    }
}

/// A call, or a number, to be tried.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TryQuery {
    from: String,
    to: String,
    set: String,
    country: String,
    area: String,
    number: String,
}

#[derive(Template)]
#[template(path = "route_test.html")]
struct TryPage {
    frame: Frame,
    query: TryQuery,
    call: Option<Result<crate::TestedCall, String>>,
    rewritten: Option<Result<Vec<[String; 3]>, String>>,
    sets: Vec<String>,
}

/// Where a call would go, and what a rewrite rule set makes of a number.
pub(crate) async fn try_out(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(query): Query<TryQuery>,
) -> Result<Response, Refusal> {
    require(&user, Right::Provisioning, "see what is provisioned")?;
    let desk = &shared.desk.provisioning;
    let (from, to, number) = (query.from.trim(), query.to.trim(), query.number.trim());
    let call = (!from.is_empty() && !to.is_empty()).then(|| (desk.try_route)(from, to));
    let rewritten = (!query.set.is_empty() && !number.is_empty())
        .then(|| (desk.try_rewrite)(&query.set, query.country.trim(), query.area.trim(), number));
    let directory = (shared.desk.directory)();
    let mut sets: Vec<String> =
        directory.calling.tenants.values().flat_map(|tenant| tenant.rewrite.keys().cloned()).collect();
    sets.sort_unstable();
    sets.dedup();
    html(&TryPage { frame: Frame::of(&user, PLACE), query, call, rewritten, sets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_of_a_form_goes_and_what_it_did_not_show_stays() {
        let mut kept =
            json!({"rewrite": {"a": {"x": 1}, "b": {}}, "login": {"username": "u", "password": "p"}});
        let shown = json!({"rewrite": {"a": {"x": 1}, "b": {}}, "login": {"username": "u"}});
        let mut wanted = json!({"rewrite": {"a": {}}, "login": {"username": "v"}});
        take_out(&shown, &mut wanted);
        store::merge(&mut kept, &wanted);
        assert_eq!(kept, json!({"rewrite": {"a": {}}, "login": {"username": "v", "password": "p"}}));
    }
}
