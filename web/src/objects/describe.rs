//! The description of the resources of the table, in the form of OpenAPI 3.1.

use serde_json::{Value, json};

use super::api::is_filter;
use super::kinds::RESOURCES;
use super::table::{FieldKind, Resource};

/// Adds the paths and schemas of the table to a description.
pub(crate) fn add_to(description: &mut Value) {
    for resource in RESOURCES {
        let name = schema_name(resource);
        let schemas = &mut description["components"]["schemas"];
        schemas[name.as_str()] = resource.schema(false);
        schemas[format!("New{name}")] = resource.schema(true);
        // What is left out of a change stays.
        let mut patch = resource.schema(true);
        if let Some(members) = patch.as_object_mut() {
            members.remove("required");
        }
        schemas[format!("Change{name}")] = patch;
        let base = format!("/api/v1/{}", resource.path);
        let paths = &mut description["paths"];
        paths[base.as_str()] = json!({"get": list(resource), "post": create(resource)});
        paths[format!("{base}/{{key}}")] =
            json!({"get": read(resource), "patch": change(resource), "delete": delete(resource)});
        paths[format!("{base}/{{key}}/history")] = json!({"get": history(resource)});
        paths[format!("{base}.csv")] = json!({"get": download(resource), "post": upload(resource)});
    }
}

/// `exchange-rates` is `ExchangeRates` in the description.
fn schema_name(resource: &Resource) -> String {
    resource
        .path
        .split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<String>()
        })
        .collect()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn answers(all: &[(&str, Value)]) -> Value {
    let problem = json!({
        "description": "refused",
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    });
    let mut answers = json!({"default": problem});
    for (status, answer) in all {
        answers[*status] = answer.clone();
    }
    answers
}

fn of_json(words: &str, schema: Value) -> Value {
    json!({"description": words, "content": {"application/json": {"schema": schema}}})
}

fn operation(resource: &Resource, verb: &str, words: String, parameters: Vec<Value>) -> Value {
    json!({
        "tags": ["provisioning"], "operationId": format!("{verb}_{}", resource.path.replace('-', "_")),
        "summary": words, "parameters": parameters,
    })
}

fn parameter(name: &str, place: &str, schema: Value, words: &str) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "schema": schema, "description": words})
}

fn key(resource: &Resource) -> Value {
    let words = format!("`id` of the {}, without the tenant where that is clear", resource.one);
    parameter("key", "path", json!({"type": "string"}), &words)
}

fn of_writes() -> Vec<Value> {
    // `Idempotency-Key` goes with every write of the API, and is described once, for all of them.
    vec![parameter("dry_run", "query", json!({"type": "boolean"}), "only say what would come of it")]
}

fn if_match() -> Value {
    parameter(
        "If-Match",
        "header",
        json!({"type": "string"}),
        "the ETag that was read: refused with 412 if it changed since",
    )
}

fn list(resource: &Resource) -> Value {
    let text = || json!({"type": "string"});
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000});
    let mut parameters = vec![
        parameter("limit", "query", limit, "objects of the page; 100 if absent"),
        parameter("after", "query", text(), "the page begins behind this: `next` of the page before"),
        parameter("q", "query", text(), "part of the key"),
        parameter("fields", "query", text(), "only these fields, with commas between them"),
    ];
    for field in resource.fields.iter().filter(|field| is_filter(field.kind)) {
        let schema = match field.kind {
            FieldKind::Word(words) => json!({"enum": words}),
            FieldKind::Flag => json!({"type": "boolean"}),
            FieldKind::Count => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            FieldKind::Text
            | FieldKind::Amount
            | FieldKind::Time
            | FieldKind::Texts
            | FieldKind::Object
            | FieldKind::List
            | FieldKind::Secret => text(),
        };
        parameters.push(parameter(field.path, "query", schema, "only those of which this holds"));
    }
    let page = json!({
        "type": "object", "required": ["items"], "additionalProperties": false,
        "properties": {
            "items": {"type": "array", "items": reference(&schema_name(resource))},
            "next": {"type": "string", "description": "for `after`; absent at the end"},
        },
    });
    let words = format!("{}, by key: {}", resource.title, resource.about);
    let mut of_list = operation(resource, "list", words, parameters);
    of_list["responses"] = answers(&[("200", of_json("a page", page))]);
    of_list
}

fn body(name: &str, kinds: &[&str]) -> Value {
    let mut content = json!({});
    for kind in kinds {
        content[*kind] = json!({"schema": reference(name)});
    }
    json!({"required": true, "content": content})
}

fn create(resource: &Resource) -> Value {
    let name = schema_name(resource);
    let mut of_one = operation(resource, "create", format!("Makes: {}", resource.one), of_writes());
    of_one["requestBody"] = body(&format!("New{name}"), &["application/json"]);
    let made = of_json("it is made; its address is in Location, its state in ETag", reference(&name));
    let dry = of_json("with dry_run: what it would be", reference(&name));
    of_one["responses"] = answers(&[("201", made), ("200", dry)]);
    of_one
}

fn read(resource: &Resource) -> Value {
    let known = parameter(
        "If-None-Match",
        "header",
        json!({"type": "string"}),
        "ETags that are known: 304 if it is one of them",
    );
    let mut of_one =
        operation(resource, "read", format!("One: {}", resource.one), vec![key(resource), known]);
    of_one["responses"] = answers(&[
        ("200", of_json("it, and its state in ETag", reference(&schema_name(resource)))),
        ("304", json!({"description": "it is as it was"})),
    ]);
    of_one
}

fn change(resource: &Resource) -> Value {
    let name = schema_name(resource);
    let mut parameters = vec![key(resource), if_match()];
    parameters.extend(of_writes());
    let words = format!("Changes what is given (RFC 7396): {}", resource.one);
    let mut of_one = operation(resource, "change", words, parameters);
    let kinds = ["application/merge-patch+json", "application/json"];
    of_one["requestBody"] = body(&format!("Change{name}"), &kinds);
    of_one["responses"] = answers(&[("200", of_json("as it is now", reference(&name)))]);
    of_one
}

fn delete(resource: &Resource) -> Value {
    let mut parameters = vec![key(resource), if_match()];
    parameters.extend(of_writes());
    let words = format!("Deletes, where nothing hangs on it: {}", resource.one);
    let mut of_one = operation(resource, "delete", words, parameters);
    of_one["responses"] = answers(&[("204", json!({"description": "it is gone"}))]);
    of_one
}

fn history(resource: &Resource) -> Value {
    let text = json!({"type": "string"});
    let state = json!({"type": ["object", "null"]});
    let entry = json!({
        "type": "object", "additionalProperties": false,
        "required": ["id", "at", "actor", "action", "before", "after"],
        "properties": {
            "id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"},
            "actor": text.clone(), "action": text, "before": state.clone(), "after": state,
        },
    });
    let all = json!({
        "type": "object", "required": ["items"], "additionalProperties": false,
        "properties": {"items": {"type": "array", "items": entry}},
    });
    let words = format!("Who changed what from what to what, newest first: {}", resource.one);
    let mut of_one = operation(resource, "history", words, vec![key(resource)]);
    of_one["responses"] = answers(&[("200", of_json("its latest changes, 200 at most", all))]);
    of_one
}

fn download(resource: &Resource) -> Value {
    let mut of_all = operation(resource, "download", format!("All {} as a file", resource.title), Vec::new());
    let file =
        json!({"description": "one row an object", "content": {"text/csv": {"schema": {"type": "string"}}}});
    of_all["responses"] = answers(&[("200", file)]);
    of_all
}

fn upload(resource: &Resource) -> Value {
    let words = format!(
        "Makes and changes {} by a file, all of it or nothing; faults are told by line",
        resource.title
    );
    let mut of_all = operation(resource, "upload", words, of_writes());
    of_all["requestBody"] =
        json!({"required": true, "content": {"text/csv": {"schema": {"type": "string"}}}});
    let count = json!({"type": "integer", "minimum": 0});
    let counts = json!({
        "type": "object", "additionalProperties": false,
        "required": ["added", "changed", "unchanged", "revision", "dry_run"],
        "properties": {
            "added": count.clone(), "changed": count.clone(), "unchanged": count,
            "revision": {"type": "integer"}, "dry_run": {"type": "boolean"},
        },
    });
    of_all["responses"] = answers(&[("200", of_json("what became of the rows", counts))]);
    of_all
}
