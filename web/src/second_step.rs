//! Between the password and the console: the code of a second factor, or setting one up where the role needs it.
//!
//! The browser has a session that opens nothing meanwhile. What opens is another session, under a token that was never sent before.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use store::{User, WaitsFor};

use crate::Shared;
use crate::guard::{failed, token_hash, token_of};
use crate::passwords::{PasswordRefused, Proof};
use crate::refusal::Refusal;
use crate::second_factor::{new_recovery_codes, new_secret, picture_of};
use crate::sign_in::{TOKEN_LETTERS, begin_session, cookie_with, random_text};

/// How long the browser may wait for a code, or for somebody who sets up a generator.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// What a form sends.
#[derive(Deserialize)]
pub(crate) struct Given {
    code: String,
}

/// The password was right, and this is asked for beside it.
pub(crate) async fn ask_for(shared: &Shared, user: &User, what: WaitsFor) -> Response {
    let now = (shared.desk.clock)().wall;
    let token = random_text(TOKEN_LETTERS);
    let begun = shared
        .desk
        .store
        .session_create_waiting(&token_hash(&token), user.id, what, (now, now + PATIENCE))
        .await;
    let to = match what {
        WaitsFor::Code => "/sign-in/code",
        WaitsFor::Enrolment => "/sign-in/set-up",
    };
    match begun {
        Ok(()) => ([cookie_with(&token, PATIENCE)], Redirect::to(to)).into_response(),
        Err(why) => failed(&why),
    }
}

#[derive(Template)]
#[template(path = "sign_in_code.html")]
struct CodePage<'a> {
    message: &'a str,
}

/// Asks for the code.
pub(crate) async fn code_page(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Ok(match waiting(&shared, &headers, WaitsFor::Code).await? {
        Some(_) => Html(CodePage { message: "" }.render()?).into_response(),
        None => Redirect::to("/sign-in").into_response(),
    })
}

/// Takes the code.
pub(crate) async fn take_code(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Result<Response, Refusal> {
    let Some((user, waited)) = waiting(&shared, &headers, WaitsFor::Code).await? else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    let proof = match shared.desk.passwords.check_code(&user, &given.code).await {
        Ok(proof) => proof,
        Err(why) => {
            let (status, message) = said(why)?;
            return Ok((status, Html(CodePage { message: &message }.render()?)).into_response());
        }
    };
    shared.desk.store.session_delete(&waited).await?;
    let Some(cookie) = begin_session(&shared, &user, (shared.desk.clock)().wall).await? else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    // Whoever has used up a recovery code is shown how many are left.
    let to = match proof {
        Proof::Code => "/",
        Proof::Recovery => "/me",
    };
    Ok(([cookie], Redirect::to(to)).into_response())
}

#[derive(Template)]
#[template(path = "sign_in_set_up.html")]
struct SetUpPage<'a> {
    role: &'a str,
    secret: &'a str,
    picture: &'a str,
    message: &'a str,
}

#[derive(Template)]
#[template(path = "sign_in_codes.html")]
struct CodesPage {
    codes: Vec<String>,
}

/// Shows what the generator is to be given.
pub(crate) async fn set_up_page(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    match waiting(&shared, &headers, WaitsFor::Enrolment).await? {
        Some((user, session)) => set_up_form(&shared, &user, &session, StatusCode::OK, "").await,
        None => Ok(Redirect::to("/sign-in").into_response()),
    }
}

/// Takes its first code, shows the recovery codes, and lets the user in.
pub(crate) async fn set_up(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Result<Response, Refusal> {
    let Some((user, session)) = waiting(&shared, &headers, WaitsFor::Enrolment).await? else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    match confirm(&shared, &user, &session, &given.code).await {
        Ok((cookie, codes)) => Ok(([cookie], Html(CodesPage { codes }.render()?)).into_response()),
        Err(why) => {
            let (status, message) = said(why)?;
            set_up_form(&shared, &user, &session, status, &message).await
        }
    }
}

async fn set_up_form(
    shared: &Shared,
    user: &User,
    session: &str,
    status: StatusCode,
    message: &str,
) -> Result<Response, Refusal> {
    let now = (shared.desk.clock)().wall;
    // Of this browser's wait alone: what somebody else was shown, who knows the password, is never confirmed here.
    let kept = shared.desk.store.second_factor_draft(user.id, session, now).await?;
    let secret = match kept {
        Some(secret) => secret,
        None => begin_set_up(shared, user, session).await?,
    };
    let picture = picture_of(&user.name, &secret).unwrap_or_default();
    let page = SetUpPage { role: &user.role, secret: &secret, picture: &picture, message };
    Ok((status, Html(page.render()?)).into_response())
}

/// A fresh secret for the user to set up in the session of that hash, for a while.
pub(crate) async fn begin_set_up(shared: &Shared, user: &User, session: &str) -> Result<String, Refusal> {
    let now = (shared.desk.clock)().wall;
    let secret = new_secret();
    shared.desk.store.second_factor_begin(user.id, session, &secret, (now, now + PATIENCE)).await?;
    Ok(secret)
}

/// The first code of a generator: from now on it is asked for. All sessions of the user end but the one whose cookie this gives, with
/// the recovery codes.
pub(crate) async fn confirm(
    shared: &Shared,
    user: &User,
    session: &str,
    code: &str,
) -> Result<((axum::http::HeaderName, String), Vec<String>), PasswordRefused> {
    let failed = |why: store::StoreError| PasswordRefused::Failed(why.to_string());
    let store = &shared.desk.store;
    let now = (shared.desk.clock)().wall;
    let secret = store.second_factor_draft(user.id, session, now).await.map_err(failed)?;
    let secret = secret.ok_or(PasswordRefused::Wrong)?;
    let step = shared.desk.passwords.check_first_code(user, &secret, code)?;
    let (codes, hashes) = new_recovery_codes();
    let of = (session, secret.as_str());
    let is_set_up = store.second_factor_confirm(user.id, of, step, &hashes, &user.name, now).await;
    if !is_set_up.map_err(failed)? {
        return Err(PasswordRefused::Wrong);
    }
    // With the same password, and with the factor of this moment.
    let known = User { second_factor_since: Some(micros_of(now)), ..user.clone() };
    let cookie = begin_session(shared, &known, now).await.map_err(failed)?.ok_or(PasswordRefused::Wrong)?;
    Ok((cookie, codes))
}

/// As the database keeps a time.
fn micros_of(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// Why a code opens nothing, in words.
pub(crate) fn said(why: PasswordRefused) -> Result<(StatusCode, String), Refusal> {
    match why {
        PasswordRefused::Wrong | PasswordRefused::NotEnrolled => Ok((
            StatusCode::UNAUTHORIZED,
            "This is not the code of this half minute, or it has been used; wait for the next one."
                .to_owned(),
        )),
        PasswordRefused::Wait(left) => Ok((
            StatusCode::TOO_MANY_REQUESTS,
            format!("Too many attempts; try again in {} seconds.", left.as_secs() + 1),
        )),
        PasswordRefused::Failed(why) => Err(Refusal::failed(why)),
    }
}

/// Who has given the password in this browser and still owes `what`, with the hash of the token.
async fn waiting(
    shared: &Shared,
    headers: &HeaderMap,
    what: WaitsFor,
) -> Result<Option<(User, String)>, Refusal> {
    let Some(hash) = token_of(headers).map(token_hash) else { return Ok(None) };
    let now = (shared.desk.clock)().wall;
    let session = shared.desk.store.session_waiting(&hash, what, now).await?;
    Ok(session.map(|session| (session.user, hash)))
}
