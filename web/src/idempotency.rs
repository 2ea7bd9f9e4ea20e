//! `Idempotency-Key`: a write that a program sends twice, because it did not hear what came of the first, is done once.
//!
//! Every write of the API goes through here. Its key belongs to the user or token; with another request it is refused. What came of a
//! write is kept with the key for a day and given again, marked `Idempotency-Replayed: true`.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use store::{KeptAnswer, KeyState};

use crate::Shared;
use crate::guard::SignedIn;
use crate::objects::table::Resource;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// Letters of a key.
const KEY_LETTERS_MAX: usize = 200;

/// Bodies of requests that are no files; as long as any that is taken.
const OBJECT_BYTES_MAX: usize = 2 << 20;

/// Bodies that are compared and kept: as long as the longest file that is taken.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Whose answers are told once and kept nowhere: codes of vouchers, passwords, tokens.
const TOLD_ONCE: [&str; 3] = ["/api/v1/vouchers", "/api/v1/users", "/api/v1/tokens"];

/// Lets a request through, unless its key says that it was done.
pub(crate) async fn once(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let is_write = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    let key = request.headers().get("idempotency-key").cloned();
    let user = request.extensions().get::<SignedIn>().cloned();
    let (Some(key), Some(user), true) = (key, user, is_write) else { return next.run(request).await };
    match keyed(shared, user, &key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// Who may send the file that belongs to a path; `None`: none does.
fn right_of_file(path: &str) -> Option<Right> {
    let path = path.strip_prefix("/api/v1/")?;
    let is_price_list = path.strip_prefix("tariffs/").is_some_and(|rest| rest.ends_with("/price-list"));
    let of_resource = || Some(Resource::named(path.strip_suffix(".csv")?)?.change);
    if is_price_list { Some(Right::ChangeTerms) } else { of_resource() }
}

async fn keyed(
    shared: Arc<Shared>,
    user: SignedIn,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let is_fine = |text: &&str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
        (1..=KEY_LETTERS_MAX).contains(&text.len()) && text.chars().all(is_letter)
    };
    let key = key.to_str().ok().filter(is_fine).ok_or_else(|| {
        let rule = "Idempotency-Key: 1 to 200 letters, digits, and _ . : -, such as a UUID";
        Problem::from(Refusal::Invalid(rule.to_owned()))
    })?;
    let key = key.to_owned();
    let (head, body) = request.into_parts();
    // Whoever may not send a file in is told so before it is read.
    let file = right_of_file(head.uri.path());
    if let Some(right) = file {
        require(&user, right, "change this")?;
    }
    let bytes_max = if file.is_some() { BODY_BYTES_MAX } else { OBJECT_BYTES_MAX };
    let body = to_bytes(body, bytes_max).await.map_err(|_| {
        let detail = format!("the body is longer than {bytes_max} bytes");
        Problem::with(StatusCode::PAYLOAD_TOO_LARGE, detail, Vec::new())
    })?;
    let mut fingerprint = Sha256::new();
    let said = |name: HeaderName| head.headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
    let uri = head.uri.to_string();
    let (condition, kind) = (said(header::IF_MATCH), said(header::CONTENT_TYPE));
    for part in [head.method.as_str().as_bytes(), uri.as_bytes(), condition, kind, &body] {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        fingerprint.update((part.len() as u64).to_be_bytes());
        fingerprint.update(part);
    }
    let fingerprint = hex::encode(fingerprint.finalize());
    let is_told_once = TOLD_ONCE.contains(&head.uri.path());
    let now = (shared.desk.clock)().wall;
    match shared.desk.store.idempotency_begin(&user.name, &key, &fingerprint, now).await? {
        KeyState::New => {}
        KeyState::OtherRequest => {
            let rule = "Idempotency-Key: it was sent with another request; take a new one";
            return Err(Refusal::Invalid(rule.to_owned()).into());
        }
        KeyState::Open => {
            let rule = "this request is being done, or its outcome was lost when the program ended; look whether it was done";
            return Err(Refusal::Conflict(rule.to_owned()).into());
        }
        KeyState::Done(_) if is_told_once => {
            let rule = "this was done, and what came of it is told once only";
            return Err(Refusal::Conflict(rule.to_owned()).into());
        }
        KeyState::Done(answer) => return Ok(again(answer)),
    }
    // A caller that goes away does not leave it half done.
    let doing = tokio::spawn(async move {
        let response = next.run(Request::from_parts(head, Body::from(body))).await;
        settle(&shared, &user.name, &key, response, is_told_once).await
    });
    doing.await.map_err(|why| Problem::from(Refusal::failed(why)))?
}

/// Keeps what came of a request, and passes it on. A failure of ours gives the key free, and so does one who may not ask or asks what there
/// is not: nothing was looked at.
async fn settle(
    shared: &Shared,
    actor: &str,
    key: &str,
    response: Response,
    is_told_once: bool,
) -> Result<Response, Problem> {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(Refusal::failed)?;
    let headers = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];
    let kept = headers.into_iter().filter_map(|name| {
        let value = head.headers.get(&name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let answer = KeptAnswer {
        status: head.status.as_u16(),
        headers: kept.collect(),
        body: if is_told_once { Vec::new() } else { body.to_vec() },
    };
    let is_unheard = matches!(
        head.status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::TOO_MANY_REQUESTS
    );
    let answer = (!head.status.is_server_error() && !is_unheard).then_some(&answer);
    shared.desk.store.idempotency_settle(actor, key, answer).await?;
    Ok(Response::from_parts(head, Body::from(body)))
}

fn again(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}
