//! How the signed-in user signs in: the second factor, set up, renewed and taken away.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use store::User;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::{SignedIn, token_hash, token_of};
use crate::pages::access::Done;
use crate::pages::when;
use crate::passwords::PasswordRefused;
use crate::refusal::Refusal;
use crate::second_factor::{new_recovery_codes, picture_of};
use crate::second_step::{begin_set_up, confirm, said};
use crate::sign_in::{begin_session, hash_password};

/// Fewest letters of a password that somebody thinks of.
const PASSWORD_LETTERS_MIN: usize = 12;

/// And most.
const PASSWORD_LETTERS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "own_sign_in.html")]
struct Page {
    frame: Frame,
    /// Since when a code is asked for; empty: it is not.
    since: String,
    n_codes_left: u32,
    /// The role opens nothing without it.
    is_needed: bool,
    /// Being set up: the secret and its picture.
    fresh: Option<(String, String)>,
    /// Shown this once.
    codes: Vec<String>,
    fault: String,
}

/// What a form sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Act {
    act: What,
    #[serde(default)]
    password: String,
    #[serde(default)]
    code: String,
    /// The password to be.
    #[serde(default)]
    fresh: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// Shows a secret, for the password.
    Begin,
    /// Takes its first code.
    Confirm,
    /// Other recovery codes, for a code.
    Renew,
    /// The password is enough again, for a code.
    Remove,
    /// Another password, for the one before, and a code where one is asked for.
    Password,
}

/// The page.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(Done { done }): Query<Done>,
) -> Result<Response, Refusal> {
    let known = known(&shared, &user).await?;
    let mut page = page_of(&shared, &user, &known).await?;
    page.frame = page.frame.noting(Some(done));
    html(&page)
}

/// Does what a form asks.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    headers: HeaderMap,
    Form(act): Form<Act>,
) -> Result<Response, Refusal> {
    let known = known(&shared, &user).await?;
    // What is set up is this session's.
    let session = token_of(&headers).map(token_hash).ok_or(Refusal::Unsigned)?;
    let (passwords, store) = (&shared.desk.passwords, &shared.desk.store);
    let now = (shared.desk.clock)().wall;
    let refused = match act.act {
        What::Begin if known.second_factor_since.is_some() => {
            return Err(Refusal::Conflict("there is a second factor in use already".to_owned()));
        }
        What::Begin => match passwords.check(&known.name, act.password).await {
            Ok(_) => {
                let secret = begin_set_up(&shared, &known, &session).await?;
                return fresh_page(&shared, &user, &known, secret, StatusCode::OK, String::new()).await;
            }
            Err(PasswordRefused::Wrong) => {
                let page = page_of(&shared, &user, &known).await?;
                let fault = "The password is wrong.".to_owned();
                return Ok((StatusCode::UNAUTHORIZED, html(&Page { fault, ..page })?).into_response());
            }
            Err(why) => why,
        },
        What::Confirm => match confirm(&shared, &known, &session, &act.code).await {
            Ok((cookie, codes)) => {
                let page = page_of(&shared, &user, &known).await?;
                return Ok(([cookie], html(&Page { codes, ..page })?).into_response());
            }
            Err(why) => {
                if store.second_factor_draft(known.id, &session, now).await?.is_none() {
                    return Err(Refusal::Conflict(
                        "no second factor is being set up; begin again".to_owned(),
                    ));
                }
                let (status, fault) = said(why)?;
                // The secret is shown for the password alone, not again to whoever has the session.
                return fresh_page(&shared, &user, &known, String::new(), status, fault).await;
            }
        },
        What::Renew => match passwords.check_step_up(&known, &act.code).await {
            Ok(_) => {
                let (codes, hashes) = new_recovery_codes();
                store.recovery_codes_replace(known.id, &hashes, &known.name, now).await?;
                let page = page_of(&shared, &user, &known).await?;
                return html(&Page { codes, ..page });
            }
            Err(why) => why,
        },
        What::Password => return other_password(&shared, &user, &known, act).await,
        What::Remove if passwords.needs_two_factors(&known.role) => {
            return Err(Refusal::Forbidden("do without a second factor"));
        }
        What::Remove => match passwords.check_step_up(&known, &act.code).await {
            Ok(_) => {
                store.second_factor_remove(&known.name, &known.name, now).await?;
                // That has ended this session too.
                return Ok(Redirect::to("/sign-in").into_response());
            }
            Err(why) => why,
        },
    };
    let (status, fault) = said(refused)?;
    let page = page_of(&shared, &user, &known).await?;
    Ok((status, html(&Page { fault, ..page })?).into_response())
}

/// Gives the user another password; all sessions end but the one that goes on with this answer.
async fn other_password(
    shared: &Shared,
    user: &SignedIn,
    known: &User,
    act: Act,
) -> Result<Response, Refusal> {
    let (passwords, store) = (&shared.desk.passwords, &shared.desk.store);
    let refused = |status: StatusCode, fault: String| async move {
        let page = page_of(shared, user, known).await?;
        Ok::<_, Refusal>((status, html(&Page { fault, ..page })?).into_response())
    };
    let n_letters = act.fresh.chars().count();
    if !(PASSWORD_LETTERS_MIN..=PASSWORD_LETTERS_MAX).contains(&n_letters) {
        let fault = format!("A password has {PASSWORD_LETTERS_MIN} to {PASSWORD_LETTERS_MAX} letters.");
        return refused(StatusCode::UNPROCESSABLE_ENTITY, fault).await;
    }
    match passwords.check(&known.name, act.password).await {
        Ok(_) => {}
        Err(PasswordRefused::Wrong) => {
            return refused(StatusCode::UNAUTHORIZED, "The password is wrong.".to_owned()).await;
        }
        Err(why) => {
            let (status, fault) = said(why)?;
            return refused(status, fault).await;
        }
    }
    if known.second_factor_since.is_some()
        && let Err(why) = passwords.check_step_up(known, &act.code).await
    {
        let (status, fault) = said(why)?;
        return refused(status, fault).await;
    }
    let hash = tokio::task::spawn_blocking(move || hash_password(&act.fresh)).await;
    let hash = hash.map_err(Refusal::failed)?.map_err(Refusal::failed)?;
    let now = (shared.desk.clock)().wall;
    store.user_set_password(&known.name, &hash, &known.name, now).await?;
    let known = User { password_hash: hash, ..known.clone() };
    Ok(match begin_session(shared, &known, now).await? {
        Some(cookie) => {
            ([cookie], Redirect::to("/me?done=Your+password+is+another+one+now.")).into_response()
        }
        None => Redirect::to("/sign-in").into_response(),
    })
}

async fn known(shared: &Shared, user: &SignedIn) -> Result<User, Refusal> {
    shared.desk.store.user_by_name(&user.name).await?.ok_or(Refusal::Unsigned)
}

async fn page_of(shared: &Shared, user: &SignedIn, known: &User) -> Result<Page, Refusal> {
    let factor = shared.desk.store.second_factor(known.id).await?;
    let in_use = factor.filter(|factor| factor.since.is_some());
    Ok(Page {
        frame: Frame::of(user, "/me"),
        since: in_use.as_ref().and_then(|factor| factor.since).map(when).unwrap_or_default(),
        n_codes_left: in_use.map_or(0, |factor| factor.n_recovery_codes),
        is_needed: shared.desk.passwords.needs_two_factors(&known.role),
        fresh: None,
        codes: Vec::new(),
        fault: String::new(),
    })
}

async fn fresh_page(
    shared: &Shared,
    user: &SignedIn,
    known: &User,
    secret: String,
    status: StatusCode,
    fault: String,
) -> Result<Response, Refusal> {
    let picture = if secret.is_empty() { None } else { picture_of(&known.name, &secret) }.unwrap_or_default();
    let page = page_of(shared, user, known).await?;
    let page = Page { fresh: Some((secret, picture)), fault, ..page };
    Ok((status, html(&page)?).into_response())
}
