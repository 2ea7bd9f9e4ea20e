//! How the signed-in user signs in: the second factor, set up, renewed and taken away.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use store::User;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::when;
use crate::passwords::PasswordRefused;
use crate::refusal::Refusal;
use crate::second_factor::{new_recovery_codes, new_secret, picture_of};
use crate::second_step::{confirm, said};

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
}

/// The page.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    let known = known(&shared, &user).await?;
    html(&page_of(&shared, &user, &known).await?)
}

/// Does what a form asks.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(act): Form<Act>,
) -> Result<Response, Refusal> {
    let known = known(&shared, &user).await?;
    let (passwords, store) = (&shared.desk.passwords, &shared.desk.store);
    let now = (shared.desk.clock)().wall;
    let refused = match act.act {
        What::Begin => match passwords.check(&known.name, act.password).await {
            Ok(_) => {
                let secret = new_secret();
                store.second_factor_begin(known.id, &secret).await?;
                return fresh_page(&shared, &user, &known, secret, StatusCode::OK, String::new()).await;
            }
            Err(PasswordRefused::Wrong) => {
                let page = page_of(&shared, &user, &known).await?;
                let fault = "The password is wrong.".to_owned();
                return Ok((StatusCode::UNAUTHORIZED, html(&Page { fault, ..page })?).into_response());
            }
            Err(why) => why,
        },
        What::Confirm => match confirm(&shared, &known, &act.code).await {
            Ok((cookie, codes)) => {
                let page = page_of(&shared, &user, &known).await?;
                return Ok(([cookie], html(&Page { codes, ..page })?).into_response());
            }
            Err(why) => {
                let kept = store.second_factor(known.id).await?.filter(|kept| kept.since.is_none());
                let Some(kept) = kept else {
                    return Err(Refusal::Conflict(
                        "no second factor is being set up; begin again".to_owned(),
                    ));
                };
                let (status, fault) = said(why)?;
                return fresh_page(&shared, &user, &known, kept.secret, status, fault).await;
            }
        },
        What::Renew => match passwords.check_code(&known, &act.code).await {
            Ok(_) => {
                let (codes, hashes) = new_recovery_codes();
                store.recovery_codes_replace(known.id, &hashes, &known.name, now).await?;
                let page = page_of(&shared, &user, &known).await?;
                return html(&Page { codes, ..page });
            }
            Err(why) => why,
        },
        What::Remove if passwords.needs_two_factors(&known.role) => {
            return Err(Refusal::Forbidden("do without a second factor"));
        }
        What::Remove => match passwords.check_code(&known, &act.code).await {
            Ok(_) => {
                store.second_factor_remove(&known.name, &known.name, now).await?;
                // That has ended this session too.
                return Ok(axum::response::Redirect::to("/sign-in").into_response());
            }
            Err(why) => why,
        },
    };
    let (status, fault) = said(refused)?;
    let page = page_of(&shared, &user, &known).await?;
    Ok((status, html(&Page { fault, ..page })?).into_response())
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
    let picture = picture_of(&known.name, &secret).unwrap_or_default();
    let page = page_of(shared, user, known).await?;
    let page = Page { fresh: Some((secret, picture)), fault, ..page };
    Ok((status, html(&page)?).into_response())
}
