//! Calls by what people know of them: turned into SQL over the lake, from values that were each read as what they are.
//!
//! In: the fields of a form or a query string. Out: pages of rows, newest first, each with the place where the next begins.

use chrono::NaiveDate;
use lake::Lake;
use model::{Account, AccountId, Directory};
use serde::Deserialize;

use crate::account_names::account_named;
use crate::masked::shown;
use crate::refusal::Refusal;
use crate::role::{Right, Role};

/// Rows of a page.
pub(crate) const PAGE_ROWS: usize = 50;

/// Longest value of a field that is taken.
const FIELD_LETTERS_MAX: usize = 200;

/// Outcomes there are, as in the column `status`.
pub(crate) const STATUSES: [&str; 8] =
    ["ok", "busy", "noanswer", "cancel", "offline", "timeout", "other", "failed"];

/// What to look for; every field is optional, and an empty one is absent.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct CallQuery {
    /// Caller or callee: E.164 digits, perhaps with `+`; with `*` at the end all numbers that begin so.
    #[param(pattern = "^(|[+]?[0-9]{1,20}[*]?)$")]
    pub(crate) number: String,
    /// Handle of an account that pays or is owed for the call; `tenant:handle` where several tenants have one.
    #[param(max_length = 200)]
    pub(crate) account: String,
    /// Outcome: ok, busy, noanswer, cancel, offline, timeout, other or failed.
    #[param(pattern = "^(|ok|busy|noanswer|cancel|offline|timeout|other|failed)$")]
    pub(crate) status: String,
    /// First UTC day, YYYY-MM-DD.
    #[param(pattern = "^(|[0-9]{4}-[0-9]{2}-[0-9]{2})$")]
    pub(crate) from: String,
    /// Last UTC day, YYYY-MM-DD.
    #[param(pattern = "^(|[0-9]{4}-[0-9]{2}-[0-9]{2})$")]
    pub(crate) to: String,
    /// Call-ID as the phone sent it, our name of the call, or the CDR's id.
    #[param(max_length = 200)]
    pub(crate) call: String,
    /// Where the page begins: `next` of the page before.
    #[param(pattern = "^(|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}_[0-9a-f]{32})$")]
    pub(crate) after: String,
}

/// One call in a list. Times are UTC, amounts decimals; what the role may not see is absent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct CallRow {
    /// The CDR's id, 32 hexadecimal digits.
    pub(crate) cdr_id: String,
    /// When the final answer went out, RFC 3339.
    pub(crate) start_at: String,
    /// Caller's number, or what was sent as such.
    pub(crate) from: String,
    /// Number called.
    pub(crate) to: String,
    /// Who pays, by handle.
    pub(crate) payer: String,
    /// Answered for so long, seconds with decimals.
    pub(crate) duration_seconds: String,
    /// ok, busy, noanswer, cancel, offline, timeout, other or failed.
    pub(crate) status: String,
    /// Final SIP code.
    pub(crate) code: String,
    /// Why it ended.
    pub(crate) cause: String,
    /// Zone of the customer's fee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    /// What the customer pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) customer_cost: Option<String>,
    /// What the carrier is owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) carrier_cost: Option<String>,
    /// Currency of the customer's cost, or of the carrier's where no customer pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<String>,
}

/// A page of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CallPage {
    pub(crate) rows: Vec<CallRow>,
    /// Where the next page begins; `None` at the end.
    pub(crate) next: Option<String>,
}

impl CallQuery {
    /// Whether it asks for anything in particular.
    pub(crate) fn is_empty(&self) -> bool {
        [&self.number, &self.account, &self.status, &self.from, &self.to, &self.call]
            .iter()
            .all(|field| field.trim().is_empty())
    }

    /// The conditions of a WHERE.
    fn conditions(&self, directory: &Directory, role: Role) -> Result<Vec<String>, Refusal> {
        for field in
            [&self.number, &self.account, &self.status, &self.from, &self.to, &self.call, &self.after]
        {
            if field.len() > FIELD_LETTERS_MAX {
                return Err(Refusal::Invalid(format!("a field is longer than {FIELD_LETTERS_MAX} letters")));
            }
        }
        let mut all = Vec::new();
        if let Some(number) = given(&self.number) {
            if !role.may(Right::Numbers) {
                return Err(Refusal::Forbidden("see whole numbers, so calls cannot be searched by them"));
            }
            all.push(number_condition(number)?);
        }
        if let Some(handle) = given(&self.account) {
            let id = account_named(directory, handle)?;
            let columns =
                ["payer", "customer_account", "reseller_account", "carrier_account", "customer_in_account"];
            let each = columns.map(|column| format!("{column} = {id}"));
            all.push(format!("({})", each.join(" OR ")));
        }
        if let Some(status) = given(&self.status) {
            if !STATUSES.contains(&status) {
                return Err(Refusal::Invalid(format!(
                    "status {status:?} is none; there are {}",
                    STATUSES.join(", ")
                )));
            }
            all.push(format!("status = {}", literal(status)));
        }
        for (name, field, compare) in [("from", &self.from, ">="), ("to", &self.to, "<=")] {
            if let Some(text) = given(field) {
                let day: NaiveDate = text.parse().map_err(|_| {
                    Refusal::Invalid(format!("{name} {text:?} is not a day; write it as 2026-10-31"))
                })?;
                all.push(format!("day {compare} '{day}'"));
            }
        }
        if let Some(call) = given(&self.call) {
            let text = literal(call);
            all.push(format!("(cdr_id = {text} OR call_id = {text} OR sip_call_id = {text})"));
        }
        if let Some(place) = given(&self.after) {
            all.push(after_condition(place)?);
        }
        Ok(all)
    }
}

/// Calls that `query` asks for, newest first.
pub(crate) async fn search(
    lake: &Lake,
    directory: &Directory,
    query: &CallQuery,
    role: Role,
    rows_max: usize,
) -> Result<CallPage, Refusal> {
    let conditions = query.conditions(directory, role)?;
    let columns =
        "payer, customer_zone, customer_cost, carrier_cost, coalesce(customer_currency, carrier_currency)";
    let (found, next) = rows_of(lake, columns, &conditions, rows_max).await?;
    let whole = role.may(Right::Numbers);
    let rows = found
        .iter()
        .map(|row| CallRow {
            cdr_id: text(row, 0),
            start_at: format!("{}Z", text(row, 1)),
            from: shown(&text(row, 2), whole),
            to: shown(&text(row, 3), whole),
            payer: handle_of(directory, &text(row, 8)),
            duration_seconds: text(row, 4),
            status: text(row, 5),
            code: text(row, 6),
            cause: text(row, 7),
            zone: role.may(Right::CustomerPrices).then(|| row[9].clone()).flatten(),
            customer_cost: role.may(Right::CustomerPrices).then(|| row[10].clone()).flatten(),
            carrier_cost: role.may(Right::CarrierPrices).then(|| row[11].clone()).flatten(),
            currency: (role.may(Right::CustomerPrices) || role.may(Right::CarrierPrices))
                .then(|| row[12].clone())
                .flatten(),
        })
        .collect();
    Ok(CallPage { rows, next })
}

/// Which of an account's own calls; every field is optional, and an empty one is absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OwnQuery {
    /// Handle; empty: the user's own.
    pub(crate) account: String,
    /// Caller or callee, as in [`CallQuery`].
    pub(crate) number: String,
    /// First UTC day.
    pub(crate) from: String,
    /// Last UTC day.
    pub(crate) to: String,
    /// Where the page begins.
    pub(crate) after: String,
}

/// Calls that `account` pays for, newest first, with what it pays itself: of a call of a reseller's customer, the reseller sees under its own
/// account what it owes, under the customer's what the customer pays.
pub(crate) async fn search_own(
    lake: &Lake,
    query: &OwnQuery,
    account: &Account,
    role: Role,
    rows_max: usize,
) -> Result<CallPage, Refusal> {
    let asked = CallQuery {
        number: query.number.clone(),
        from: query.from.clone(),
        to: query.to.clone(),
        after: query.after.clone(),
        ..CallQuery::default()
    };
    // Numbers of calls that one has made oneself are no secret; no account is named here, so no directory is asked.
    let mut conditions = asked.conditions(&Directory::default(), Role::Operator)?;
    let id = account.id;
    // Calls of a reseller's customers are for a reseller's login, not for a customer's that is of the reseller's account.
    conditions.push(if role.may(Right::OwnCustomers) {
        format!("(customer_account = {id} OR reseller_account = {id})")
    } else {
        format!("customer_account = {id}")
    });
    let own = |customer: &str, reseller: &str| {
        format!("CASE WHEN customer_account = {id} THEN {customer} ELSE {reseller} END")
    };
    let columns = format!(
        "{}, {}, {}",
        own("customer_zone", "NULL"),
        own("customer_cost", "reseller_cost"),
        own("customer_currency", "reseller_currency")
    );
    let (found, next) = rows_of(lake, &columns, &conditions, rows_max).await?;
    let rows = found.iter().map(|row| CallRow {
        cdr_id: text(row, 0),
        start_at: format!("{}Z", text(row, 1)),
        from: text(row, 2),
        to: text(row, 3),
        payer: String::new(),
        duration_seconds: text(row, 4),
        status: text(row, 5),
        code: text(row, 6),
        cause: text(row, 7),
        zone: row[8].clone(),
        customer_cost: row[9].clone(),
        carrier_cost: None,
        currency: row[10].clone(),
    });
    Ok(CallPage { rows: rows.collect(), next })
}

/// Rows of a lake's answer.
type Rows = Vec<Vec<Option<String>>>;

/// Rows under conditions, newest first: what every list of calls shows, and these columns behind it. With them, where the next page begins.
async fn rows_of(
    lake: &Lake,
    columns: &str,
    conditions: &[String],
    rows_max: usize,
) -> Result<(Rows, Option<String>), Refusal> {
    let condition =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    // One row more than shown tells whether there is a next page.
    let sql = format!(
        "SELECT cdr_id, start_at, coalesce(source_number, source_user), coalesce(destination_number, destination_user), \
         duration_seconds, status, code, cause, {columns} FROM calls {condition} ORDER BY start_at DESC, cdr_id DESC LIMIT {}",
        rows_max + 1
    );
    let mut found = lake.query(&sql).await?.rows();
    let has_more = found.len() > rows_max;
    found.truncate(rows_max);
    let place = found.last().map(|row| format!("{}_{}", text(row, 1), text(row, 0)));
    Ok((found, place.filter(|_| has_more)))
}

/// What the account with this id is called; the id where it is gone.
fn handle_of(directory: &Directory, id: &str) -> String {
    id.parse().map_or_else(|_| id.to_owned(), |id| directory.name_of(AccountId(id)))
}

fn text(row: &[Option<String>], column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn given(field: &str) -> Option<&str> {
    Some(field.trim()).filter(|text| !text.is_empty())
}

/// As a literal of SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn number_condition(number: &str) -> Result<String, Refusal> {
    let bare: String =
        number.chars().filter(|letter| !matches!(letter, ' ' | '-' | '/' | '(' | ')')).collect();
    let bare = bare.strip_prefix('+').unwrap_or(&bare);
    let (digits, is_prefix) = bare.strip_suffix('*').map_or((bare, false), |digits| (digits, true));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Invalid(format!(
            "number {number:?} is not one; write digits with the country code, such as 43660555123, or 43660* for all that begin so"
        )));
    }
    let each = ["source_number", "destination_number", "dialed"].map(|column| {
        if is_prefix { format!("{column} LIKE '{digits}%'") } else { format!("{column} = '{digits}'") }
    });
    Ok(format!("({})", each.join(" OR ")))
}

/// Rows behind a place, which is the time and the id of the row before.
fn after_condition(place: &str) -> Result<String, Refusal> {
    let bad =
        || Refusal::Invalid("after is not a place in this list; take `next` of the page before".to_owned());
    let (time, id) = place.split_once('_').ok_or_else(bad)?;
    let time: chrono::NaiveDateTime = time.parse().map_err(|_| bad())?;
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let time = format!("timestamp '{}'", time.format("%Y-%m-%dT%H:%M:%S%.6f"));
    Ok(format!("(start_at < {time} OR (start_at = {time} AND cdr_id < '{id}'))"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(query: CallQuery) -> String {
        match query.conditions(&Directory::default(), Role::Operator) {
            Ok(all) => all.join(" AND "),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn number_is_read_as_people_write_it() {
        let of = |number: &str| conditions(CallQuery { number: number.into(), ..CallQuery::default() });
        assert_eq!(of("+43 660-555 123"), of("43660555123"));
        assert!(of("43660*").contains("source_number LIKE '43660%'"));
        for bad in ["abc", "*", "1' OR '1'='1", "%", "4366_"] {
            assert!(of(bad).contains("is not one"), "{bad}");
        }
    }

    #[test]
    fn text_of_others_stays_text() {
        let query = CallQuery { call: "x' OR 1=1 --".into(), ..CallQuery::default() };
        assert!(conditions(query).contains("sip_call_id = 'x'' OR 1=1 --'"));
        for after in ["x", "2026-01-01T00:00:00_zz", "2026-01-01T00:00:00'_00000000000000000000000000000000"]
        {
            let query = CallQuery { after: after.into(), ..CallQuery::default() };
            assert!(conditions(query).contains("not a place"), "{after}");
        }
    }

    #[test]
    fn masked_role_cannot_find_a_person_by_number() {
        let query = CallQuery { number: "43660555123".into(), ..CallQuery::default() };
        assert!(matches!(query.conditions(&Directory::default(), Role::Analyst), Err(Refusal::Forbidden(_))));
    }
}
