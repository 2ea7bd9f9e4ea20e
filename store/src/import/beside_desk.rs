//! Files and the desk: an import does not undo in silence what people changed over HTTP since.
//!
//! In: a world. Out: its report, or the objects that somebody changed, made otherwise or deleted at the desk and that the file says otherwise.
//! What the file takes over, or says as well, is written into the trail as `import`: from then on the file has the word.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::edit::{Finder, is_same, name_the_tenant, not_done, trail_name};
use super::{Import, ImportReport};
use crate::objects::{ObjectKind, Objects, load_extras};
use crate::sql::{Columns, query};
use crate::world::World;
use crate::{Result, Store};

/// An object of a file that somebody has changed at the desk, in another way than the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedAtDesk {
    /// Such as `account:vox:huber`, as in the trail of changes.
    pub object: String,
    /// Who changed it last.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
    /// As it is, without secrets; empty: it was deleted.
    pub before: String,
    /// As the file has it.
    pub after: String,
}

/// The last word on an object, where it is the desk's.
struct DeskWord {
    actor: String,
    at: DateTime<Utc>,
}

impl Store {
    /// Imports `world` as [`Store::import`] does, unless it would undo what was last changed at the desk: then nothing is changed, and those
    /// objects come back. With `overwrite` the file counts.
    ///
    /// # Errors
    ///
    /// As [`Store::import`].
    pub async fn import_beside_desk(
        &self,
        world: &World,
        now: DateTime<Utc>,
        actor: &str,
        overwrite: bool,
    ) -> Result<Result<ImportReport, Vec<ChangedAtDesk>>> {
        let mut import = Import::begin(self, now).await?;
        let (others, taken) = import.changed_at_desk(world).await?;
        if !others.is_empty() && !overwrite {
            return Ok(Err(others));
        }
        import.bring(world).await?;
        import.taken_over = taken;
        import.taken_over.extend(others.into_iter().map(|it| (it.object, it.before, it.after)));
        Ok(Ok(import.finish(actor).await?))
    }
}

impl Import {
    /// The objects of `world` that were last changed at the desk: those that an import would make something else of, and those on which
    /// both agree, as they are and as the file has them.
    async fn changed_at_desk(
        &mut self,
        world: &World,
    ) -> Result<(Vec<ChangedAtDesk>, Vec<(String, String, String)>)> {
        let words = self.words_of_desk().await?;
        let (mut others, mut alike) = (Vec::new(), Vec::new());
        if words.is_empty() {
            return Ok((others, alike));
        }
        let extras = load_extras(&mut self.tx).await?;
        let there = Objects::of(&self.there, &extras);
        for kind in ObjectKind::ALL {
            let finder = Finder::of(kind, &there);
            for mut wanted in kind.of_world(world) {
                name_the_tenant(kind, &mut wanted, &there);
                let key = kind.key_of(&wanted);
                let object = trail_name(kind, &key);
                let Some(DeskWord { actor, at }) = words.get(&object) else { continue };
                let found = finder.places.get(&key).map(|place| there.at(kind, *place));
                let is_alike = found
                    .as_ref()
                    .is_some_and(|found| is_what_a_file_says(kind, &wanted, found, &there, self.now));
                let before = found.as_ref().map_or_else(String::new, |found| kind.traced(found));
                let after = kind.traced(&wanted);
                if is_alike {
                    alike.push((object, before, after));
                } else {
                    others.push(ChangedAtDesk { object, actor: actor.clone(), at: *at, before, after });
                }
            }
        }
        Ok((others, alike))
    }

    /// The objects on which the desk had the last word.
    async fn words_of_desk(&mut self) -> Result<HashMap<String, DeskWord>> {
        let rows = query(
            "SELECT object, action, actor, at FROM audit_log WHERE id IN (SELECT max(id) FROM audit_log \
             WHERE action IN ('create', 'change', 'change_secret', 'delete', 'import') GROUP BY object)",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let mut words = HashMap::new();
        for row in &rows {
            if row.text("action")? != "import" {
                words
                    .insert(row.text("object")?, DeskWord { actor: row.text("actor")?, at: row.time("at")? });
            }
        }
        Ok(words)
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
