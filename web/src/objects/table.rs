//! What the table of provisioned objects is made of: kinds of objects, their fields, and what a field can hold. The table itself is in
//! `kinds`; API, CSV, forms and the description are all made of it.

use serde_json::{Map, Value, json};
use store::{FieldFault, ObjectKind, at};

use super::kinds::RESOURCES;
use crate::role::Right;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number from 0 on.
    Count,
    /// A decimal as text, such as `"20.5"`.
    Amount,
    /// Yes or no.
    Flag,
    /// An instant (RFC 3339).
    Time,
    /// A list of texts without blanks: numbers, networks.
    Texts,
    /// An object with fields of its own, explained in the docs named.
    Object,
    /// A list of such objects.
    List,
    /// Written, never shown.
    Secret,
}

/// One field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    /// Path with dots, such as `contact.email`.
    pub(crate) path: &'static str,
    pub(crate) kind: FieldKind,
    /// As people call it.
    pub(crate) label: &'static str,
    /// What it means, and what holds where it is left out.
    pub(crate) about: &'static str,
    /// An object is not made without it.
    pub(crate) is_needed: bool,
}

/// One kind of object.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) kind: ObjectKind,
    /// Its place below `/api/v1/` and `/desk/`.
    pub(crate) path: &'static str,
    /// Many of them.
    pub(crate) title: &'static str,
    /// One of them.
    pub(crate) one: &'static str,
    /// What they are.
    pub(crate) about: &'static str,
    /// Who may change them. Whoever sees what is provisioned sees them.
    pub(crate) change: Right,
    pub(crate) fields: &'static [Field],
    /// Paths shown in lists.
    pub(crate) columns: &'static [&'static str],
}

impl Resource {
    /// What an object is known by in the API: a field `id` that is never written.
    pub(crate) fn shown(&self, key: &str, object: &Value) -> Value {
        let mut shown = object.clone();
        if let Some(members) = shown.as_object_mut() {
            members.insert("id".to_owned(), Value::String(key.to_owned()));
        }
        shown
    }

    pub(crate) fn field(&self, path: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.path == path)
    }

    /// The field of a column: itself, or the object that it lies in.
    pub(crate) fn column(&self, path: &str) -> Option<&'static Field> {
        self.field(path).or_else(|| self.field(path.split('.').next()?))
    }

    /// The resource of this path.
    pub(crate) fn named(path: &str) -> Option<&'static Resource> {
        RESOURCES.iter().find(|resource| resource.path == path)
    }

    /// Fields of unknown names, and values that a field cannot hold. `null` stands for what holds where it is left out.
    ///
    /// # Errors
    ///
    /// The first of them.
    pub(crate) fn check(&self, object: &Value) -> Result<(), FieldFault> {
        let Value::Object(members) = object else {
            return Err(FieldFault::new("", "write an object with the fields to be set"));
        };
        self.check_members("", members)
    }

    fn check_members(&self, above: &str, members: &Map<String, Value>) -> Result<(), FieldFault> {
        for (name, value) in members {
            let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            if value.is_null() && (self.field(&path).is_some() || self.is_group(&path)) {
                continue;
            }
            match (self.field(&path), value) {
                (Some(field), value) => check_value(field, value)?,
                (None, Value::Object(members)) if self.is_group(&path) => {
                    self.check_members(&path, members)?;
                }
                (None, _) if self.is_group(&path) => {
                    return Err(FieldFault::new(path, "write an object with the fields to be set"));
                }
                (None, _) => {
                    let known: Vec<&str> = self.fields.iter().map(|field| field.path).collect();
                    let rule = format!("there is no such field; there are {}", known.join(", "));
                    return Err(FieldFault::new(path, rule));
                }
            }
        }
        Ok(())
    }

    /// Whether fields lie below a path.
    fn is_group(&self, path: &str) -> bool {
        self.fields
            .iter()
            .any(|field| field.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// JSON Schema of an object: as written, or as read.
    pub(crate) fn schema(&self, is_written: bool) -> Value {
        let mut root = json!({"type": "object", "properties": {}, "additionalProperties": false});
        for field in self.fields {
            if field.kind == FieldKind::Secret && !is_written {
                continue;
            }
            let mut place = &mut root;
            let mut steps = field.path.split('.').peekable();
            while let Some(step) = steps.next() {
                let is_last = steps.peek().is_none();
                // Objects that are not there yet are made by being written to.
                let inner = &mut place["properties"][step];
                if inner.is_null() {
                    *inner = if is_last {
                        schema_of(field)
                    } else {
                        json!({"type": ["object", "null"], "properties": {}, "additionalProperties": false})
                    };
                }
                place = inner;
            }
        }
        if is_written {
            let needed = self.fields.iter().filter(|field| field.is_needed && !field.path.contains('.'));
            let needed: Vec<&str> = needed.map(|field| field.path).collect();
            if !needed.is_empty() {
                root["required"] = json!(needed);
            }
        } else {
            root["properties"]["id"] =
                json!({"type": "string", "description": "Its key: what its address ends with."});
            root["required"] = json!(["id"]);
        }
        root
    }
}

fn schema_of(field: &Field) -> Value {
    let mut schema = match field.kind {
        FieldKind::Text | FieldKind::Amount | FieldKind::Secret => json!({"type": ["string", "null"]}),
        FieldKind::Time => json!({"type": ["string", "null"], "format": "date-time"}),
        FieldKind::Word(words) => {
            let mut all: Vec<Value> = words.iter().map(|word| json!(word)).collect();
            all.push(Value::Null);
            json!({"enum": all})
        }
        FieldKind::Count => {
            json!({"type": ["integer", "null"], "minimum": 0, "maximum": u32::MAX})
        }
        FieldKind::Flag => json!({"type": ["boolean", "null"]}),
        FieldKind::Texts => json!({"type": ["array", "null"], "items": {"type": "string"}}),
        FieldKind::Object => json!({"type": ["object", "null"]}),
        FieldKind::List => json!({"type": ["array", "null"], "items": {"type": "object"}}),
    };
    schema["description"] = Value::String(field.about.to_owned());
    if field.kind == FieldKind::Secret {
        schema["writeOnly"] = Value::Bool(true);
    }
    schema
}

fn check_value(field: &Field, value: &Value) -> Result<(), FieldFault> {
    let is_text = value.is_string();
    let (is_fine, rule) = match field.kind {
        FieldKind::Text | FieldKind::Secret => (is_text, "is a text".to_owned()),
        FieldKind::Amount => {
            let is_amount = value.as_str().is_some_and(|text| text.parse::<rust_decimal::Decimal>().is_ok());
            (is_amount, "is a decimal as text, such as \"20.5\"".to_owned())
        }
        FieldKind::Time => (is_text, "is a time such as \"2026-12-01T00:00:00Z\"".to_owned()),
        FieldKind::Word(words) => {
            let is_word = value.as_str().is_some_and(|text| words.contains(&text));
            (is_word, format!("is one of {}", words.join(", ")))
        }
        FieldKind::Count => {
            let is_count = value.as_u64().is_some_and(|count| u32::try_from(count).is_ok());
            (is_count, format!("is a whole number from 0 to {}", u32::MAX))
        }
        FieldKind::Flag => (value.is_boolean(), "is true or false".to_owned()),
        FieldKind::Texts => {
            let is_list = value.as_array().is_some_and(|all| all.iter().all(Value::is_string));
            (is_list, "is a list of texts".to_owned())
        }
        FieldKind::Object => (value.is_object(), "is an object".to_owned()),
        FieldKind::List => {
            let is_list = value.as_array().is_some_and(|all| all.iter().all(Value::is_object));
            (is_list, "is a list of objects".to_owned())
        }
    };
    if is_fine { Ok(()) } else { Err(FieldFault::new(field.path, rule)) }
}

/// The value at a path as people write it into a cell or a form; empty: nothing is there.
pub(crate) fn written(object: &Value, field: &Field) -> String {
    match at(object, field.path) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) if field.kind == FieldKind::Texts => {
            all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        Some(Value::Array(all)) if all.is_empty() => String::new(),
        Some(Value::Object(all)) if all.is_empty() => String::new(),
        Some(other) => other.to_string(),
    }
}

/// The way back: what people wrote, as the value of a field. Nothing is `null`.
///
/// # Errors
///
/// What a field cannot hold.
pub(crate) fn read(field: &Field, text: &str) -> Result<Value, FieldFault> {
    // Blanks of a password are part of it.
    let text = if field.kind == FieldKind::Secret { text } else { text.trim() };
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let value = match field.kind {
        FieldKind::Text | FieldKind::Amount | FieldKind::Time | FieldKind::Word(_) | FieldKind::Secret => {
            Value::String(text.to_owned())
        }
        FieldKind::Count => text.parse::<u64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
        FieldKind::Flag => match text {
            "true" | "yes" | "on" | "1" => Value::Bool(true),
            "false" | "no" | "off" | "0" => Value::Bool(false),
            other => Value::String(other.to_owned()),
        },
        FieldKind::Texts => {
            let parts = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
            parts.filter(|part| !part.is_empty()).map(|part| Value::String(part.to_owned())).collect()
        }
        FieldKind::Object | FieldKind::List => serde_json::from_str(text)
            .map_err(|why| FieldFault::new(field.path, format!("is not JSON: {why}")))?,
    };
    check_value(field, &value)?;
    Ok(value)
}

/// Puts a value at a path.
pub(crate) fn put(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for step in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Some(members) = place.as_object_mut() else { return };
        place = members.entry(step).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_field_is_read_back_as_it_was() {
        let resource = Resource::named("trunks").unwrap();
        let object = json!({
            "name": "a", "sources": ["192.0.2.0/28", "198.51.100.0/24"], "calls_max": 7, "enabled": false,
            "calling": {"country_code": "43"},
        });
        for field in resource.fields {
            let text = written(&object, field);
            let value = read(field, &text).unwrap();
            assert_eq!(&value, at(&object, field.path).unwrap_or(&Value::Null), "{}", field.path);
        }
    }

    #[test]
    fn what_a_field_cannot_hold_is_named() {
        let resource = Resource::named("accounts").unwrap();
        let check = |object: Value| resource.check(&object).map_err(|fault| fault.field);
        assert_eq!(check(json!({"handle": "a", "contact": {"email": "a@b"}, "calls_max": 3})), Ok(()));
        assert_eq!(check(json!({"contact": null, "kind": null})), Ok(()));
        for (object, field) in [
            (json!({"handel": "a"}), "handel"),
            (json!({"contact": {"mail": "a"}}), "contact.mail"),
            (json!({"contact": "a"}), "contact"),
            (json!({"calls_max": -1}), "calls_max"),
            (json!({"calls_max": "3"}), "calls_max"),
            (json!({"vat_percent": 20.5}), "vat_percent"),
            (json!({"kind": "friend"}), "kind"),
            (json!({"profiles": ["gold"]}), "profiles"),
            (json!([]), ""),
        ] {
            assert_eq!(check(object), Err(field.to_owned()));
        }
    }

    #[test]
    fn every_key_of_a_resource_is_among_its_fields() {
        for resource in RESOURCES {
            for path in resource.kind.key_fields().iter().chain(resource.columns) {
                let top = path.split('.').next().unwrap();
                assert!(resource.field(path).or(resource.field(top)).is_some(), "{} {path}", resource.path);
            }
            for path in resource.kind.secrets() {
                let is_secret = resource.field(path).is_some_and(|field| field.kind == FieldKind::Secret);
                assert!(is_secret || path.starts_with("calling."), "{} {path}", resource.path);
            }
        }
    }
}
