//! Requests that get no page: why, as a page for people and as problem details (RFC 9457) for programs.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;

use crate::guard::SignedIn;
use crate::role::Right;

/// When to come again after a 503, in seconds: work that is done one by one takes about that long.
const RETRY_SECONDS: &str = "10";

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nobody signed in.
    #[error("sign in first")]
    Unsigned,
    /// The role does not have the right.
    #[error("your role does not {0}")]
    Forbidden(&'static str),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What was asked makes no sense; says what would.
    #[error("{0}")]
    Invalid(String),
    /// It is not as it was when the request was made.
    #[error("{0}")]
    Conflict(String),
    /// More than may be asked in a time; comes with the seconds to wait.
    #[error("too many requests; try again in {0} seconds")]
    TooMany(u64),
    /// Somebody else's is being done, and there is room for one; says what to do.
    #[error("{0}")]
    Busy(String),
    /// The database cannot be used at present; the reason is for the log alone.
    #[error("the database cannot be used at present; try again, the log says why")]
    Unavailable,
    /// Ours; the reason is for the log alone.
    #[error("this did not work; the log says why")]
    Failed,
}

impl Refusal {
    /// A failure of ours, with its reason in the log.
    pub(crate) fn failed(why: impl std::fmt::Display) -> Self {
        tracing::error!(error = %why, "request failed");
        Refusal::Failed
    }

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Refusal::Unsigned => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden(_) => StatusCode::FORBIDDEN,
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            // Nothing is wrong with the house: it does one of these at a time.
            Refusal::TooMany(_) | Refusal::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Its status on a page that says it beside the form it is about.
    pub(crate) fn on(&self, page: Response) -> Response {
        with_retry((self.status(), page).into_response())
    }
}

/// With the time to come again, where that may help and is not told yet (RFC 9110, 10.2.3).
fn with_retry(mut response: Response) -> Response {
    let status = response.status();
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static(RETRY_SECONDS));
    }
    response
}

impl From<store::StoreError> for Refusal {
    fn from(why: store::StoreError) -> Self {
        use store::StoreError;
        let is_about_the_request = matches!(
            why,
            StoreError::UnknownReference { .. }
                | StoreError::Invalid { .. }
                | StoreError::VersionExists { .. }
                | StoreError::NotFound { .. }
                | StoreError::Taken { .. }
        );
        if is_about_the_request {
            Refusal::Invalid(why.to_string())
        } else if why.is_users() {
            // Locked, full or out of reach: whoever runs the house mends it, not whoever asked.
            tracing::error!(error = %why, "the database cannot be used");
            Refusal::Unavailable
        } else {
            Refusal::failed(why)
        }
    }
}

impl From<lake::LakeError> for Refusal {
    fn from(why: lake::LakeError) -> Self {
        let is_stores = matches!(
            why,
            lake::LakeError::Store { .. }
                | lake::LakeError::StoreRefused { .. }
                | lake::LakeError::TakenOver { .. }
        );
        if is_stores {
            // As with the database: whoever runs the house mends it.
            tracing::error!(error = %why, "the lake's object store cannot be used");
            Refusal::Unavailable
        } else if why.is_users_input() {
            Refusal::Invalid(why.to_string())
        } else {
            Refusal::failed(why)
        }
    }
}

impl From<askama::Error> for Refusal {
    fn from(why: askama::Error) -> Self {
        Refusal::failed(why)
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    status: StatusCode,
    why: &'a str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let why = self.to_string();
        let status = self.status();
        match (RefusalPage { status, why: &why }).render() {
            Ok(page) => with_retry((status, Html(page)).into_response()),
            Err(_) => with_retry((status, why).into_response()),
        }
    }
}

/// A refusal as `application/problem+json`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`: the status says it all (RFC 9457, 4.2.1).
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    /// Each fault, where fields or lines are to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

/// One fault of a request.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct FieldProblem {
    /// The field, as a JSON pointer (RFC 6901); absent: the object as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// The line of a file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    /// What is wrong, and what would be right.
    pub(crate) detail: String,
}

impl FieldProblem {
    /// Of a field by its path with dots, places of a list in brackets; an empty one is the whole.
    pub(crate) fn new(path: &str, line: Option<u64>, detail: String) -> Self {
        let escaped = |path: &str| path.replace('~', "~0").replace('/', "~1");
        let pointed = |path: &str| escaped(path).replace(['.', '['], "/").replace(']', "");
        let pointer = (!path.is_empty()).then(|| format!("/{}", pointed(path)));
        Self { pointer, line, detail }
    }
}

impl Problem {
    /// With its faults one by one.
    pub(crate) fn with(status: StatusCode, detail: String, errors: Vec<FieldProblem>) -> Self {
        let title = status.canonical_reason().unwrap_or("error");
        Self { r#type: "about:blank", title, status: status.as_u16(), detail, errors }
    }

    /// What is wrong, in words.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Its faults.
    pub(crate) fn errors(&self) -> &[FieldProblem] {
        &self.errors
    }
}

impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Self {
        Self::with(why.status(), why.to_string(), Vec::new())
    }
}

impl From<store::StoreError> for Problem {
    fn from(why: store::StoreError) -> Self {
        Refusal::from(why).into()
    }
}

impl From<lake::LakeError> for Problem {
    fn from(why: lake::LakeError) -> Self {
        Refusal::from(why).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        with_retry((status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response())
    }
}

/// Lets `user` on only with `right`; `what` goes on from "your role does not".
pub(crate) fn require(user: &SignedIn, right: Right, what: &'static str) -> Result<(), Refusal> {
    if user.role.may(right) { Ok(()) } else { Err(Refusal::Forbidden(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_those_of_the_standard() {
        for (path, pointer) in [
            ("", None),
            ("contact.email", Some("/contact/email")),
            ("numbers[0]", Some("/numbers/0")),
            ("profiles[2].from", Some("/profiles/2/from")),
            ("a/b~c", Some("/a~1b~0c")),
        ] {
            assert_eq!(FieldProblem::new(path, None, String::new()).pointer.as_deref(), pointer);
        }
    }
}
