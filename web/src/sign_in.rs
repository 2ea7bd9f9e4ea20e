//! Sign-in to the console: sessions as random tokens.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use serde::Deserialize;
use store::{User, WaitsFor};

use crate::guard::{COOKIE, SESSION_AGE_MAX, failed, token_hash, token_of};
use crate::passwords::PasswordRefused;
use crate::{Shared, WebError, second_step};

/// Letters of a password that is made up for somebody; about 119 bits.
const PASSWORD_LETTERS: usize = 20;

/// Letters of a token; about 256 bits.
pub(crate) const TOKEN_LETTERS: usize = 43;

/// Hashes a password with argon2id and a salt of its own.
///
/// # Errors
///
/// [`WebError::Hash`] when the system has no randomness to give.
pub fn hash_password(password: &str) -> Result<String, WebError> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|why| WebError::Hash(why.to_string()))?;
    Ok(hash.to_string())
}

/// A password nobody can guess.
pub fn new_password() -> String {
    random_text(PASSWORD_LETTERS)
}

/// A token for a program that uses the API, and the hash of it that the database keeps.
pub fn new_api_token() -> (String, String) {
    let token = random_text(TOKEN_LETTERS);
    let hash = token_hash(&token);
    (token, hash)
}

/// Said where the password or the second factor changed while somebody signed in.
pub(crate) const CHANGED: &str = "Your sign-in has changed meanwhile; sign in again.";

pub(crate) fn random_text(n_letters: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut rng = rand::rng();
    (0..n_letters).map(|_| LETTERS[rng.random_range(0..LETTERS.len())] as char).collect()
}

/// The form.
pub(crate) async fn page() -> Response {
    form(StatusCode::OK, "")
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    message: &'a str,
}

fn form(status: StatusCode, message: &str) -> Response {
    match (SignInPage { message }).render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(why) => failed(&why),
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
}

/// Checks the form and begins a session.
pub(crate) async fn submit(State(shared): State<Arc<Shared>>, Form(given): Form<Credentials>) -> Response {
    let now = (shared.desk.clock)();
    let user = match shared.desk.passwords.check(&given.name, given.password).await {
        Ok(user) if user.tenant.is_none() => user,
        Ok(_) => {
            return form(StatusCode::FORBIDDEN, "This user asks in SQL, over the PostgreSQL protocol alone.");
        }
        Err(PasswordRefused::Wait(left)) => {
            let message = format!("Too many attempts; try again in {} seconds.", left.as_secs() + 1);
            return form(StatusCode::TOO_MANY_REQUESTS, &message);
        }
        Err(PasswordRefused::Wrong | PasswordRefused::NotEnrolled) => {
            return form(StatusCode::UNAUTHORIZED, "Name or password is wrong.");
        }
        Err(PasswordRefused::Failed(why)) => return failed(&why),
    };
    if user.second_factor_since.is_some() {
        return second_step::ask_for(&shared, &user, WaitsFor::Code).await;
    }
    if shared.desk.passwords.needs_two_factors(&user.role) {
        return second_step::ask_for(&shared, &user, WaitsFor::Enrolment).await;
    }
    match begin_session(&shared, &user, now.wall).await {
        Ok(Some(cookie)) => ([cookie], Redirect::to("/")).into_response(),
        Ok(None) => form(StatusCode::UNAUTHORIZED, CHANGED),
        Err(why) => failed(&why),
    }
}

/// A session under a token that nobody has seen before, and the cookie with it; `None` where the user's password or second factor is
/// not any more what was proved.
pub(crate) async fn begin_session(
    shared: &Shared,
    user: &User,
    now: DateTime<Utc>,
) -> store::Result<Option<(HeaderName, String)>> {
    let token = random_text(TOKEN_LETTERS);
    let times = (now, now + SESSION_AGE_MAX);
    let is_begun = shared.desk.store.session_create_known(&token_hash(&token), user, times).await?;
    Ok(is_begun.then(|| cookie_with(&token, SESSION_AGE_MAX)))
}

/// The cookie of a session.
pub(crate) fn cookie_with(token: &str, age_max: TimeDelta) -> (HeaderName, String) {
    let seconds = age_max.num_seconds();
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    (header::SET_COOKIE, cookie)
}

/// Ends the session.
pub(crate) async fn leave(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(token) = token_of(&headers)
        && let Err(why) = shared.desk.store.session_delete(&token_hash(token)).await
    {
        return failed(&why);
    }
    ([cookie_with("", TimeDelta::zero())], Redirect::to("/sign-in")).into_response()
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier;
    use argon2::password_hash::phc::PasswordHash;

    use super::*;

    #[test]
    fn hash_is_argon2id_and_matches_its_password_only() {
        let text = hash_password("secret").unwrap();
        assert!(text.starts_with("$argon2id$"));
        let hash = PasswordHash::new(&text).unwrap();
        assert!(Argon2::default().verify_password(b"secret", &hash).is_ok());
        assert!(Argon2::default().verify_password(b"Secret", &hash).is_err());
    }
}
