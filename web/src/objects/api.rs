//! What is provisioned, for programs: lists, objects, their making, changing and deleting, and their history. One set of handlers serves
//! every kind of object of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use store::{Edit, EditFault, Edited, FaultKind, FieldFault, ObjectKind, Objects, at};

use super::kinds::RESOURCES;
use super::table::{FieldKind, Resource};
use crate::Shared;
use crate::api::{Path, Query, instant};
use crate::guard::SignedIn;
use crate::refusal::{FieldProblem, Problem, Refusal, require};
use crate::role::Right;

/// Items of a page unless told otherwise, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Entries of an object's history that are shown.
pub(crate) const HISTORY_MAX: u32 = 200;

/// A file of objects is this long at most, bytes.
const UPLOAD_BYTES_MAX: usize = 64 << 20;

/// Parameters of a request, by name.
type Parameters = BTreeMap<String, String>;

/// The resources of the table, each at its place.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for resource in RESOURCES {
        let base = format!("/api/v1/{}", resource.path);
        let many = get(move |shared, user, query| list(resource, shared, user, query)).post(
            move |shared, user, query, headers, body| create(resource, shared, user, query, headers, body),
        );
        let one = get(move |shared, user, key, headers| read(resource, shared, user, key, headers))
            .patch(move |shared, user, key, query, headers, body| {
                change(resource, shared, user, key, query, headers, body)
            })
            .delete(move |shared, user, key, query, headers| {
                delete(resource, shared, user, key, query, headers)
            });
        let file = get(move |shared, user| super::csv::download(resource, shared, user))
            .post(move |shared, user, query, headers, body| {
                super::csv::upload(resource, shared, user, query, headers, body)
            })
            .layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX));
        router = router
            .route(&base, many)
            .route(&format!("{base}/{{key}}"), one)
            .route(
                &format!("{base}/{{key}}/history"),
                get(move |shared, user, key| history(resource, shared, user, key)),
            )
            .route(&format!("{base}.csv"), file);
    }
    router
}

/// What of a list is wanted.
pub(crate) struct Wanted {
    limit: usize,
    after: String,
    /// Paths to be shown; empty: all.
    fields: Vec<String>,
    /// Part of the key.
    text: String,
    /// Fields that must hold this.
    filters: Vec<(&'static str, Value)>,
}

impl Wanted {
    /// Reads the parameters of a list. One that is unknown is refused: a misspelt filter would show everything.
    pub(crate) fn of(resource: &'static Resource, parameters: &Parameters) -> Result<Self, Problem> {
        let mut wanted = Self {
            limit: LIMIT,
            after: String::new(),
            fields: Vec::new(),
            text: String::new(),
            filters: Vec::new(),
        };
        for (name, text) in parameters {
            match name.as_str() {
                "limit" => {
                    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    let rule = || Refusal::Invalid(format!("limit: {text:?} is not 1 to {LIMIT_MAX}"));
                    wanted.limit = limit.ok_or_else(rule)?;
                }
                "after" => text.clone_into(&mut wanted.after),
                "q" => wanted.text = text.to_lowercase(),
                "fields" => {
                    for path in text.split(',').map(str::trim).filter(|path| !path.is_empty()) {
                        let is_above =
                            |field: &&str| field.split_once('.').is_some_and(|(top, _)| top == path);
                        let paths = resource.fields.iter().map(|field| field.path);
                        if path != "id"
                            && resource.field(path).is_none()
                            && paths.clone().find(is_above).is_none()
                        {
                            let known: Vec<&str> = paths.collect();
                            let rule =
                                format!("fields: there is no {path:?}; there are {}", known.join(", "));
                            return Err(Refusal::Invalid(rule).into());
                        }
                        wanted.fields.push(path.to_owned());
                    }
                }
                other => {
                    let field = resource.field(other).filter(|field| is_filter(field.kind));
                    let Some(field) = field else {
                        let rule = format!("{other}: there is no such parameter; see /api/v1/openapi.json");
                        return Err(Refusal::Invalid(rule).into());
                    };
                    let value = super::table::read(field, text).map_err(|fault| of_field(&fault))?;
                    wanted.filters.push((field.path, value));
                }
            }
        }
        Ok(wanted)
    }

    /// Whether an object is among them.
    fn takes(&self, object: &Value) -> bool {
        self.filters.iter().all(|(path, wanted)| at(object, path).unwrap_or(&Value::Null) == wanted)
    }

    /// The part of an object that is to be shown.
    fn part(&self, object: &Value) -> Value {
        if self.fields.is_empty() {
            return object.clone();
        }
        let mut part = json!({"id": object["id"]});
        for path in &self.fields {
            if let Some(value) = at(object, path) {
                super::table::put(&mut part, path, value.clone());
            }
        }
        part
    }
}

/// Whether a list can be asked for objects by such a field.
pub(crate) const fn is_filter(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Text | FieldKind::Word(_) | FieldKind::Flag | FieldKind::Count)
}

/// A page of objects with their keys, and the key where the next one goes on.
pub(crate) fn page(
    resource: &Resource,
    objects: &Objects<'_>,
    wanted: &Wanted,
) -> (Vec<(String, Value)>, Option<String>) {
    let kind = resource.kind;
    let is_behind = |key: &String| {
        *key > wanted.after && (wanted.text.is_empty() || key.to_lowercase().contains(&wanted.text))
    };
    let mut places: Vec<(String, usize)> =
        objects.keys(kind).into_iter().zip(0..).filter(|(key, _)| is_behind(key)).collect();
    places.sort_unstable();
    let found = places.into_iter().map(|(key, place)| (key, kind.shown(&objects.at(kind, place))));
    let mut page: Vec<(String, Value)> =
        found.filter(|(_, object)| wanted.takes(object)).take(wanted.limit + 1).collect();
    let has_more = page.len() > wanted.limit;
    page.truncate(wanted.limit);
    let next = page.last().filter(|_| has_more).map(|(key, _)| key.clone());
    (page, next)
}

async fn list(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Problem> {
    require(&user, Right::Provisioning, "see what is provisioned")?;
    let wanted = Wanted::of(resource, &parameters)?;
    let directory = (shared.desk.directory)();
    let extras = super::extras(&shared, resource.kind).await?;
    let objects = Objects::of(&directory, &extras);
    let (page, next) = page(resource, &objects, &wanted);
    let items: Vec<Value> =
        page.iter().map(|(key, object)| wanted.part(&resource.shown(key, object))).collect();
    let mut body = json!({"items": items});
    if let Some(next) = next {
        body["next"] = Value::String(next);
    }
    Ok(axum::Json(body).into_response())
}

async fn read(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    require(&user, Right::Provisioning, "see what is provisioned")?;
    let (key, object) = super::find(&shared, resource, &name).await?;
    let etag = resource.kind.etag(&object);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known == "*" || known.split(',').any(|one| one.trim() == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(([(header::ETAG, etag)], axum::Json(resource.shown(&key, &object))).into_response())
}

async fn create(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    require(&user, resource.change, "change this")?;
    let dry_run = is_dry_run(&parameters)?;
    let object = body_of(resource, &headers, &body)?;
    let edited = edit(&shared, &user, resource, &[Edit::Create(object)], dry_run).await?;
    let made = &edited.objects[0];
    let after = made.after.clone().unwrap_or_default();
    let status = if dry_run { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = (status, axum::Json(resource.shown(&made.key, &after))).into_response();
    let place = format!("/api/v1/{}/{}", resource.path, crate::pages::search::escaped(&made.key));
    tell(&mut response, header::ETAG, &resource.kind.etag(&after));
    tell(&mut response, header::LOCATION, &place);
    Ok(response)
}

async fn change(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(name): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    require(&user, resource.change, "change this")?;
    let dry_run = is_dry_run(&parameters)?;
    let patch = body_of(resource, &headers, &body)?;
    let edits = [Edit::Change { name, patch, if_match: if_match(&headers)? }];
    let edited = edit(&shared, &user, resource, &edits, dry_run).await?;
    let changed = &edited.objects[0];
    let after = changed.after.clone().unwrap_or_default();
    let mut response = axum::Json(resource.shown(&changed.key, &after)).into_response();
    tell(&mut response, header::ETAG, &resource.kind.etag(&after));
    Ok(response)
}

async fn delete(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(name): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&user, resource.change, "change this")?;
    let dry_run = is_dry_run(&parameters)?;
    super::has_no_calls(&shared, resource.kind, &name).await?;
    edit(&shared, &user, resource, &[Edit::Delete { name, if_match: if_match(&headers)? }], dry_run).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn history(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    require(&user, Right::Provisioning, "see what is provisioned")?;
    // What is gone has a history too: then the name is the key.
    let key = match super::find(&shared, resource, &name).await {
        Ok((key, _)) => key,
        Err(_) => name.clone(),
    };
    let entries = shared.desk.store.object_history(resource.kind, &key, HISTORY_MAX).await?;
    if entries.is_empty() {
        super::find(&shared, resource, &name).await?;
    }
    let state = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let items: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "id": entry.id, "at": instant(entry.at), "actor": entry.actor, "action": entry.action,
                "before": state(&entry.before), "after": state(&entry.after),
            })
        })
        .collect();
    Ok(axum::Json(json!({"items": items})).into_response())
}

/// Makes edits, and waits until this process knows of them.
pub(crate) async fn edit(
    shared: &Shared,
    user: &SignedIn,
    resource: &Resource,
    edits: &[Edit],
    dry_run: bool,
) -> Result<Edited, Problem> {
    let desk = &shared.desk.provisioning;
    let now = (shared.desk.clock)().wall;
    let edited = shared.desk.store.edit(resource.kind, edits, &desk.rules, dry_run, now, &user.name).await?;
    let edited = edited.map_err(|faults| problem_of(&faults, |_| None))?;
    if !dry_run && edited.objects.iter().any(|object| object.is_changed) {
        (desk.announce)(edited.revision).await;
    }
    Ok(edited)
}

/// The problem that faults are, with the line of each where they come from a file.
pub(crate) fn problem_of(faults: &[EditFault], line: impl Fn(usize) -> Option<u64>) -> Problem {
    let kind = faults.first().map_or(FaultKind::Invalid, |fault| fault.kind);
    let status = match kind {
        FaultKind::NotFound => StatusCode::NOT_FOUND,
        FaultKind::Conflict => StatusCode::CONFLICT,
        FaultKind::Stale => StatusCode::PRECONDITION_FAILED,
        FaultKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let errors: Vec<FieldProblem> = faults
        .iter()
        .map(|fault| FieldProblem::new(&fault.field, line(fault.place), fault.rule.clone()))
        .collect();
    let said = |fault: &EditFault| match fault.field.as_str() {
        "" => fault.rule.clone(),
        field => format!("{field}: {}", fault.rule),
    };
    Problem::with(status, faults.first().map(said).unwrap_or_default(), errors)
}

/// A fault of one field, as a problem.
pub(crate) fn of_field(fault: &FieldFault) -> Problem {
    let FieldFault { field, rule } = fault.clone();
    problem_of(&[EditFault { place: 0, kind: FaultKind::Invalid, field, rule }], |_| None)
}

/// The object that a request carries, its fields looked at.
fn body_of(resource: &Resource, headers: &HeaderMap, body: &Bytes) -> Result<Value, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !matches!(kind, "application/json" | "application/merge-patch+json") {
        let detail = "send application/json or application/merge-patch+json".to_owned();
        return Err(Problem::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail, Vec::new()));
    }
    let object: Value = serde_json::from_slice(body)
        .map_err(|why| Problem::from(Refusal::Invalid(format!("the body is not JSON: {why}"))))?;
    resource.check(&object).map_err(|fault| of_field(&fault))?;
    Ok(object)
}

/// Whether a write is only to say what it would do. It has no other parameter.
pub(crate) fn is_dry_run(parameters: &Parameters) -> Result<bool, Problem> {
    let mut dry_run = false;
    for (name, text) in parameters {
        dry_run = match (name.as_str(), text.as_str()) {
            ("dry_run", "true") => true,
            ("dry_run", "false") => false,
            _ => {
                let rule = format!("{name}={text}: a write has only the parameter dry_run, true or false");
                return Err(Refusal::Invalid(rule).into());
            }
        };
    }
    Ok(dry_run)
}

fn if_match(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text =
        value.to_str().map_err(|_| Problem::from(Refusal::Invalid("If-Match is not text".to_owned())))?;
    Ok(Some(text.to_owned()))
}

fn tell(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Kinds of which calls may tell.
pub(crate) const fn has_calls(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Account | ObjectKind::Subscriber | ObjectKind::Trunk)
}
