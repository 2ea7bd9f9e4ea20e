//! What is provisioned, at the desk: one table of kinds of objects and their fields, and what is made of it.

pub(crate) mod api;
pub(crate) mod csv;
pub(crate) mod describe;
pub(crate) mod effective;
pub(crate) mod kinds;
pub(crate) mod table;

use serde_json::Value;
use store::{Extras, ObjectKind, Objects};

use self::table::Resource;
use crate::Shared;
use crate::refusal::Refusal;

/// What a snapshot does not hold of such objects.
pub(crate) async fn extras(shared: &Shared, kind: ObjectKind) -> Result<Extras, Refusal> {
    match kind {
        ObjectKind::Subscriber | ObjectKind::BillingTerms => {
            Ok(shared.desk.store.provisioning_extras().await?)
        }
        ObjectKind::Tenant
        | ObjectKind::Account
        | ObjectKind::Trunk
        | ObjectKind::Route
        | ObjectKind::Network
        | ObjectKind::ExchangeRate
        | ObjectKind::Package
        | ObjectKind::Contract
        | ObjectKind::ProfileLimits => Ok(Extras::default()),
    }
}

/// The object that people call `name`, without its secrets, and its key.
pub(crate) async fn find(
    shared: &Shared,
    resource: &Resource,
    name: &str,
) -> Result<(String, Value), Refusal> {
    let directory = (shared.desk.directory)();
    let extras = extras(shared, resource.kind).await?;
    let objects = Objects::of(&directory, &extras);
    match objects.find(resource.kind, name) {
        Ok(Some(place)) => {
            let object = objects.at(resource.kind, place);
            Ok((resource.kind.key_of(&object), resource.kind.shown(&object)))
        }
        Ok(None) => Err(Refusal::NotFound(format!("there is no {} {name:?}", resource.one))),
        Err(several) => Err(Refusal::Conflict(format!("{name:?} may be {}", several.join(" or ")))),
    }
}

/// Refuses to let go what calls tell of: their records name it by its id.
pub(crate) async fn has_no_calls(shared: &Shared, kind: ObjectKind, name: &str) -> Result<(), Refusal> {
    if !api::has_calls(kind) {
        return Ok(());
    }
    let directory = (shared.desk.directory)();
    let condition = {
        let none = Extras::default();
        let Ok(Some(place)) = Objects::of(&directory, &none).find(kind, name) else { return Ok(()) };
        if kind == ObjectKind::Account {
            let id = directory.accounts[place].id;
            let columns = [
                "payer",
                "source_account",
                "source_reseller",
                "destination_account",
                "destination_reseller",
                "carrier_account",
                "carrier_in_account",
            ];
            columns.map(|column| format!("{column} = {id}")).join(" OR ")
        } else if kind == ObjectKind::Subscriber {
            let id = directory.subscribers[place].id;
            format!("source_subscriber = {id} OR destination_subscriber = {id}")
        } else {
            let id = directory.trunks[place].id;
            format!("source_trunk = {id} OR trunk = {id}")
        }
    };
    let found = shared.desk.lake.query(&format!("SELECT 1 FROM calls WHERE {condition} LIMIT 1")).await?;
    if found.rows().is_empty() {
        return Ok(());
    }
    let remedy = if kind == ObjectKind::Account {
        "set its status to terminated instead"
    } else if kind == ObjectKind::Subscriber {
        "take its numbers away and give it another password instead"
    } else {
        "set enabled to false instead"
    };
    Err(Refusal::Conflict(format!("records of calls name it; {remedy}")))
}
