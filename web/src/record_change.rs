//! A change of what a suspended record says: some fields of it, or all.

use serde_json::Value;

/// What is to be changed in the JSON form of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordChange {
    /// Fields by their paths, such as `value.body.answered_us`.
    Fields(Vec<(String, Value)>),
    /// All of it.
    Whole(Value),
}

/// A record with its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRecord {
    /// As it is kept.
    pub raw: Vec<u8>,
    /// What it said, for the trail of changes.
    pub before: String,
    /// What it says now.
    pub after: String,
}

impl RecordChange {
    /// What a record that says `value` says after it.
    ///
    /// # Errors
    ///
    /// A sentence naming the path that leads nowhere.
    pub fn apply(&self, mut value: Value) -> Result<Value, String> {
        match self {
            RecordChange::Whole(whole) => Ok(whole.clone()),
            RecordChange::Fields(fields) => {
                for (path, new) in fields {
                    *place_of(&mut value, path)? = new.clone();
                }
                Ok(value)
            }
        }
    }
}

/// Where a path leads. Its last step may be a member that is not there yet; others must be.
fn place_of<'a>(value: &'a mut Value, path: &str) -> Result<&'a mut Value, String> {
    let mut steps = path.split('.').peekable();
    let mut place = value;
    while let Some(step) = steps.next() {
        let is_last = steps.peek().is_none();
        place = match place {
            Value::Object(members) => {
                if is_last {
                    members.entry(step).or_insert(Value::Null)
                } else {
                    members.get_mut(step).ok_or_else(|| format!("{path}: there is no {step:?}"))?
                }
            }
            Value::Array(items) => step
                .parse::<usize>()
                .ok()
                .and_then(|idx| items.get_mut(idx))
                .ok_or_else(|| format!("{path}: the list has no item {step:?}"))?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(format!("{path}: there is nothing below {step:?}"));
            }
        };
    }
    Ok(place)
}
