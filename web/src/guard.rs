//! What stands before every page: the session, the headers that keep a browser honest, the origin of a form.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use model::AccountId;
use sha2::{Digest, Sha256};

use crate::Shared;
use crate::limits::counted;
use crate::refusal::{Problem, Refusal};
use crate::role::Role;

/// Name of the session cookie. The prefix makes browsers refuse it from another path or host.
pub(crate) const COOKIE: &str = "tollbook_session";

/// A session ends so long after its sign-in.
pub(crate) const SESSION_AGE_MAX: chrono::TimeDelta = chrono::TimeDelta::hours(12);

/// How long open streams may hold up a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Who signed in; handed to the pages.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    /// User name.
    pub(crate) name: String,
    /// What it may see and do.
    pub(crate) role: Role,
    /// The account that somebody outside the house sees.
    pub(crate) account: Option<AccountId>,
}

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<SignedIn>().cloned().ok_or(Refusal::Unsigned)
    }
}

/// What the database keeps of a session token: whoever reads the table cannot sign in with it.
pub(crate) fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// The session token a request carries.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Lets a request through that carries a live session, or a token of the API; others are sent to the sign-in, or told 401 if
/// they ask for data.
pub(crate) async fn require_session(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let wants_data = is_data(path);
    let now: DateTime<Utc> = (shared.desk.clock)().wall;
    let store = &shared.desk.store;
    let user = match bearer_of(request.headers()) {
        Some(token) if wants_data => store.api_token_user(&token_hash(token), now).await,
        Some(_) | None => match token_of(request.headers()).map(token_hash) {
            // Signed in before the role needed a second factor: by the password alone, which is not enough any more.
            Some(token) => store.session_get(&token, now).await.map(|session| {
                session.map(|it| it.user).filter(|user| {
                    user.second_factor_since.is_some() || !shared.desk.passwords.needs_two_factors(&user.role)
                })
            }),
            None => Ok(None),
        },
    };
    let refusal = match user {
        // The pages show every tenant.
        Ok(Some(user)) if user.tenant.is_some() => Refusal::Forbidden(
            "open the console: users of one tenant ask in SQL over the PostgreSQL protocol",
        ),
        // A role that this program does not know, from a later version, sees nothing.
        Ok(Some(user)) => match user.role.parse::<Role>() {
            Ok(role) if role.is_outside() && !is_for_outside(request.uri().path()) => {
                if request.uri().path() == "/" {
                    return Redirect::to("/own").into_response();
                }
                Refusal::Forbidden("see this: it sees its own account alone, at /own")
            }
            Ok(role) => {
                let mono = (shared.desk.clock)().mono;
                if let Err(left) = shared.limits.requests.pass(user.name.clone(), mono) {
                    return too_many(left, wants_data);
                }
                request.extensions_mut().insert(SignedIn { name: user.name, role, account: user.account });
                return next.run(request).await;
            }
            Err(_) => Refusal::Forbidden("exist in this version; ask the operator for another"),
        },
        Ok(None) if wants_data => Refusal::Unsigned,
        Ok(None) => return Redirect::to("/sign-in").into_response(),
        Err(why) => Refusal::failed(why),
    };
    if wants_data { Problem::from(refusal).into_response() } else { refusal.into_response() }
}

/// Holds attempts to sign in to the pace that an address may keep.
pub(crate) async fn pace_sign_ins(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| counted(peer.0.ip()));
    if *request.method() != Method::POST {
        return next.run(request).await;
    }
    let now = (shared.desk.clock)().mono;
    // A code is of somebody who has given a password before: others behind the same address do not use up its attempts.
    let is_code = matches!(request.uri().path(), "/sign-in/code" | "/sign-in/set-up");
    let passed = match (token_of(request.headers()).filter(|_| is_code), peer) {
        (Some(token), _) => shared.limits.codes.pass(token_hash(token), now),
        (None, Some(address)) => shared.limits.sign_ins.pass(address, now),
        (None, None) => Ok(()),
    };
    if let Err(left) = passed {
        return too_many(left, false);
    }
    next.run(request).await
}

/// Too many requests: when to come again (RFC 9110, 10.2.3).
fn too_many(left: Duration, wants_data: bool) -> Response {
    let refusal = Refusal::TooMany(left.as_secs() + 1);
    let mut response =
        if wants_data { Problem::from(refusal).into_response() } else { refusal.into_response() };
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(left.as_secs() + 1));
    response
}

/// The only paths that are there for those outside the house; each of them looks whose account it shows.
fn is_for_outside(path: &str) -> bool {
    path == "/own" || path.starts_with("/own/") || path == "/me"
}

/// Paths that programs ask, not browsers.
fn is_data(path: &str) -> bool {
    path.starts_with("/api/") || path == "/figures" || path == "/metrics"
}

/// The token of `Authorization: Bearer` (RFC 6750, 2.1).
fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A page for a failure of ours; the reason is for the log alone.
pub(crate) fn failed(why: &dyn std::fmt::Display) -> Response {
    Refusal::failed(why).into_response()
}

/// Headers for every answer, and the check that a form comes from our own pages.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD && !same_origin(request.headers())
    {
        return (StatusCode::FORBIDDEN, "this form was sent from another site\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; object-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not "no-referrer": with it a browser says "Origin: null" even to ourselves.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether a form comes from our own pages: by what the browser says of it, and by Origin, which must name the host that the
/// request was sent to. A client that sends neither is no browser, and carries no cookie it was not given.
fn same_origin(headers: &HeaderMap) -> bool {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Some(host) = headers.get(header::HOST) else { return false };
    let (Ok(origin), Ok(host)) = (origin.to_str(), host.to_str()) else { return false };
    origin.split_once("://").is_some_and(|(_, authority)| authority == host)
}

/// Resolves a moment after `stop` does: streams of figures never end by themselves, and must not hold up the end.
pub(crate) async fn patience_after(stop: impl Future<Output = ()>) {
    stop.await;
    tokio::time::sleep(STOP_PATIENCE).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn token_is_found_among_other_cookies() {
        let found = headers(&[(header::COOKIE, "a=b; tollbook_session=xyz; c=d")]);
        assert_eq!(token_of(&found), Some("xyz"));
        assert_eq!(token_of(&headers(&[(header::COOKIE, "tollbook_session_old=1")])), None);
    }

    #[test]
    fn form_of_another_site_is_refused() {
        assert!(same_origin(&headers(&[
            (header::ORIGIN, "http://127.0.0.1:8080"),
            (header::HOST, "127.0.0.1:8080")
        ])));
        assert!(!same_origin(&headers(&[
            (header::ORIGIN, "http://evil.example"),
            (header::HOST, "127.0.0.1:8080")
        ])));
        assert!(!same_origin(&headers(&[(header::ORIGIN, "null"), (header::HOST, "127.0.0.1:8080")])));
        let said = |site| headers(&[(header::HeaderName::from_static("sec-fetch-site"), site)]);
        assert!(same_origin(&said("same-origin")));
        assert!(!same_origin(&said("same-site")) && !same_origin(&said("cross-site")));
    }
}
