//! Price lists: what one would change about a tariff, and the version that it makes, as on the page of a tariff.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use model::ProfileVersionId;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::provisioning::version_of;
use crate::api::{Path, Query, instant};
use crate::guard::SignedIn;
use crate::pages::fee_import::{DAYS, DAYS_MAX, list_compared};
use crate::refusal::{FieldProblem, Problem, Refusal, require};
use crate::role::Right;
use crate::tariff_desk::{ChangedFee, FeeImpact, FeesApplied, FeesProposed, FeesRefused, FeesWanted};

/// Faults of a list that are told one by one.
const FAULTS_MAX: usize = 1_000;

/// How a list is taken.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListTerms {
    /// Show what it would change, and change nothing.
    dry_run: bool,
    /// Fees that the list does not name stay.
    keep: bool,
    /// Prices calls that start at or after this; absent: from when it is applied.
    #[param(value_type = Option<String>, format = "date-time")]
    valid_from: Option<DateTime<Utc>>,
    /// Days of real calls that a dry run prices by it; 7 if absent.
    #[param(minimum = 0, maximum = 366)]
    days: u32,
}

impl Default for ListTerms {
    fn default() -> Self {
        Self { dry_run: false, keep: false, valid_from: None, days: DAYS }
    }
}

/// What a list would change, or has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PriceListOutcome {
    dry_run: bool,
    /// Version id of what it is compared with: for If-Match, to have it replace this and nothing else.
    base: i64,
    /// Of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposed: Option<ProposedList>,
    /// Of one that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<AppliedList>,
}

/// What a list would change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProposedList {
    /// Fees now.
    fees_before: usize,
    /// Fees of the version to be.
    fees_after: usize,
    /// Fees that stay as they are.
    same: usize,
    /// Fees that begin later than the list.
    future: usize,
    /// By kind, such as `dearer`.
    changes: Vec<ListChanges>,
    /// What they do to the calls of the last days, by who pays; without a call absent.
    impacts: Vec<ListImpact>,
}

/// Differences of one kind.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ListChanges {
    change: &'static str,
    fees: usize,
    /// Those that move most.
    items: Vec<ListChange>,
}

/// One of them; three minutes cost this, on-peak and off-peak.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ListChange {
    destination: String,
    source: String,
    zone: String,
    /// Empty: there is no such fee.
    before: String,
    /// Empty: there will be none.
    after: String,
}

/// What a list does to real calls of one side.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ListImpact {
    /// customer, reseller or carrier.
    side: String,
    calls: u64,
    /// Those that would have no fee.
    unpriced: u64,
    was: String,
    would_be: String,
    /// What comes on top of our margin.
    margin: String,
}

/// A list that is in force, or will be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AppliedList {
    /// Id of the version that it made.
    tariff: i64,
    fees: usize,
    /// Whether there was anything to change.
    changed: bool,
    valid_from: String,
    /// Suspended calls that waited for a fee and are sent in again.
    resubmitted: usize,
}

impl From<FeesProposed> for ProposedList {
    fn from(proposed: FeesProposed) -> Self {
        let item = |fee: ChangedFee| ListChange {
            destination: fee.destination,
            source: fee.source,
            zone: fee.zone,
            before: fee.before,
            after: fee.after,
        };
        let impact = |impact: FeeImpact| ListImpact {
            side: impact.side,
            calls: impact.n_calls,
            unpriced: impact.n_unpriced,
            was: impact.was,
            would_be: impact.would_be,
            margin: impact.margin,
        };
        let changes = proposed.changes.into_iter().map(|kind| ListChanges {
            change: kind.change,
            fees: kind.n_fees,
            items: kind.fees.into_iter().map(item).collect(),
        });
        Self {
            fees_before: proposed.n_before,
            fees_after: proposed.n_after,
            same: proposed.n_same,
            future: proposed.n_future,
            changes: changes.collect(),
            impacts: proposed.impacts.into_iter().map(impact).collect(),
        }
    }
}

impl From<FeesApplied> for AppliedList {
    fn from(applied: FeesApplied) -> Self {
        Self {
            tariff: applied.version.0,
            fees: applied.n_fees,
            changed: applied.is_changed,
            valid_from: instant(applied.valid_from),
            resubmitted: applied.n_resubmitted,
        }
    }
}

/// Sends a price list for the profile of a tariff version: fees as CSV, with our header or the reference's columns without one. A dry run
/// says what it would change; otherwise it becomes the profile's next version, if the version in force when it begins is that of If-Match,
/// or without one that of the path (412 if it is not). What is wrong in the list is told line by line.
#[utoipa::path(post, path = "/api/v1/tariffs/{id}/price-list", tag = "provisioning", params(
    ("id" = i64, Path, description = "version id"), ListTerms,
    ("if-match" = Option<String>, Header, description = "the ETag of a dry run"),
), request_body(content = String, content_type = "text/csv"), responses(
    (status = 200, description = "what it would change, or has", body = PriceListOutcome),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn send(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
    Query(terms): Query<ListTerms>,
    request: Request,
) -> Result<Response, Problem> {
    // Nobody else's list is read.
    require(&user, Right::ChangeTerms, "change prices")?;
    let profile = version_of(&(shared.desk.directory)(), id)?.profile.id;
    if terms.days > DAYS_MAX {
        return Err(Refusal::Invalid(format!("days: {} is more than {DAYS_MAX}", terms.days)).into());
    }
    let headers = request.headers().clone();
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if said(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).map(str::trim) != Some("text/csv") {
        let detail = "send text/csv".to_owned();
        return Err(Problem::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail, Vec::new()));
    }
    let seen = match said(header::IF_MATCH) {
        None => ProfileVersionId(id),
        Some(etag) => {
            let id =
                etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).and_then(|id| id.parse().ok());
            ProfileVersionId(id.ok_or_else(|| {
                let detail = "If-Match is not the ETag of a price list that was tried".to_owned();
                Problem::with(StatusCode::BAD_REQUEST, detail, Vec::new())
            })?)
        }
    };
    // One at a time, and taken before the list is read: it is held whole, and may be 64 MB.
    let Ok(turn) = shared.lists_taken.clone().try_acquire_owned() else {
        return Err(Refusal::Busy("another list is being taken; try again".to_owned()).into());
    };
    let body = Bytes::from_request(request, &()).await?;
    let list = std::str::from_utf8(&body)
        .map_err(|_| Problem::from(Refusal::Invalid("the list is not UTF-8 text".to_owned())))?;
    let wanted = FeesWanted {
        profile,
        list: list.into(),
        valid_from: terms.valid_from,
        keep: terms.keep,
        days: terms.days,
        seen: Some(seen),
    };
    let outcome = if terms.dry_run {
        let proposed = list_compared(&shared, wanted).await?.map_err(problem_of)?;
        let base = proposed.base.0;
        PriceListOutcome { dry_run: true, base, proposed: Some(proposed.into()), applied: None }
    } else {
        let applying = (shared.desk.tariffs.apply)(wanted, user.name);
        // A caller that goes away neither leaves it half done nor gives its turn to the next.
        let done = tokio::spawn(async move {
            let applied = applying.await;
            drop(turn);
            applied
        });
        let applied = done.await.map_err(Refusal::failed)?.map_err(problem_of)?;
        PriceListOutcome { dry_run: false, base: seen.0, proposed: None, applied: Some(applied.into()) }
    };
    Ok(([(header::ETAG, format!("\"{}\"", outcome.base))], Json(outcome)).into_response())
}

fn problem_of(why: FeesRefused) -> Problem {
    match why {
        FeesRefused::Faults { said, faults } => {
            let told = faults.into_iter().take(FAULTS_MAX);
            let errors = told.map(|fault| FieldProblem::new("", fault.line, fault.said)).collect();
            Problem::with(StatusCode::UNPROCESSABLE_ENTITY, said, errors)
        }
        FeesRefused::Invalid(why) => Refusal::Invalid(why).into(),
        FeesRefused::Stale(why) => Problem::with(StatusCode::PRECONDITION_FAILED, why, Vec::new()),
        FeesRefused::Failed(why) => Refusal::failed(why).into(),
    }
}
