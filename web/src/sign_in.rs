//! Sign-in: argon2id, sessions as random tokens, and guessing made slow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use rand::RngExt;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::guard::{COOKIE, SESSION_AGE_MAX, failed, token_hash, token_of};
use crate::{Shared, WebError};

/// Failures of one name before it must wait.
const FAILURES_MAX: u32 = 5;

/// And for how long.
const WAIT: Duration = Duration::from_secs(60);

/// Names remembered at once; beyond that the oldest failure is forgotten.
const NAMES_MAX: usize = 10_000;

/// Passwords hashed at once: each takes 19 MB and some ten milliseconds of a core.
const HASHES_AT_ONCE: usize = 2;

/// Letters of a password that is made up for somebody; about 119 bits.
const PASSWORD_LETTERS: usize = 20;

/// Letters of a token; about 256 bits.
const TOKEN_LETTERS: usize = 43;

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

fn random_text(n_letters: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut rng = rand::rng();
    (0..n_letters).map(|_| LETTERS[rng.random_range(0..LETTERS.len())] as char).collect()
}

/// Counts failures by name and holds the number of hashes at once.
pub(crate) struct Throttle {
    failures: Mutex<HashMap<String, (u32, Duration)>>,
    hashing: Semaphore,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { failures: Mutex::default(), hashing: Semaphore::new(HASHES_AT_ONCE) }
    }
}

impl Throttle {
    /// How long `name` has still to wait.
    fn wait_of(&self, name: &str, now: Duration) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (count, last) = failures.get(name)?;
        (*count >= FAILURES_MAX).then(|| (*last + WAIT).saturating_sub(now)).filter(|left| !left.is_zero())
    }

    fn failed(&self, name: &str, now: Duration) {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failures.len() >= NAMES_MAX {
            failures.retain(|_, (_, last)| now.saturating_sub(*last) < WAIT);
        }
        if failures.len() >= NAMES_MAX
            && let Some(oldest) =
                failures.iter().min_by_key(|(_, (_, last))| *last).map(|(name, _)| name.clone())
        {
            failures.remove(&oldest);
        }
        let entry = failures.entry(name.to_owned()).or_insert((0, now));
        // A wait that is over starts the count again.
        entry.0 =
            if entry.0 >= FAILURES_MAX && now.saturating_sub(entry.1) >= WAIT { 1 } else { entry.0 + 1 };
        entry.1 = now;
    }

    fn forget(&self, name: &str) {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
    }
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
    if let Some(left) = shared.throttle.wait_of(&given.name, now.mono) {
        let message = format!("Too many attempts; try again in {} seconds.", left.as_secs() + 1);
        return form(StatusCode::TOO_MANY_REQUESTS, &message);
    }
    let user = match shared.desk.store.user_by_name(&given.name).await {
        Ok(user) => user,
        Err(why) => return failed(&why),
    };
    // An unknown name costs the same time as a wrong password, so that names cannot be told apart.
    let hash = match &user {
        Some(user) => user.password_hash.clone(),
        None => UNKNOWN_USER_HASH.to_owned(),
    };
    let Ok(permit) = shared.throttle.hashing.acquire().await else { return failed(&"hashing has stopped") };
    let password = given.password;
    let matches = tokio::task::spawn_blocking(move || {
        PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
    .unwrap_or(false);
    drop(permit);
    let Some(user) = user.filter(|_| matches) else {
        shared.throttle.failed(&given.name, now.mono);
        return form(StatusCode::UNAUTHORIZED, "Name or password is wrong.");
    };
    shared.throttle.forget(&given.name);
    let token = random_text(TOKEN_LETTERS);
    let expires = now.wall + SESSION_AGE_MAX;
    if let Err(why) = shared.desk.store.session_create(&token_hash(&token), user.id, now.wall, expires).await
    {
        return failed(&why);
    }
    let cookie = format!(
        "{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}",
        SESSION_AGE_MAX.num_seconds()
    );
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

/// Ends the session.
pub(crate) async fn leave(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(token) = token_of(&headers)
        && let Err(why) = shared.desk.store.session_delete(&token_hash(token)).await
    {
        return failed(&why);
    }
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
}

/// A hash that no password has: it keeps an unknown name as slow as a known one.
const UNKNOWN_USER_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$zuMrMXSZZzEFZCjRUr9h1RBLk9NjVY4XWwNWRcyOSm0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixth_guess_must_wait_and_a_success_clears_the_count() {
        let throttle = Throttle::default();
        for second in 0..5 {
            assert_eq!(throttle.wait_of("ada", Duration::from_secs(second)), None);
            throttle.failed("ada", Duration::from_secs(second));
        }
        assert_eq!(throttle.wait_of("ada", Duration::from_secs(5)), Some(Duration::from_secs(59)));
        assert_eq!(throttle.wait_of("ada", Duration::from_secs(64)), None);
        assert_eq!(throttle.wait_of("bob", Duration::from_secs(5)), None);
        throttle.forget("ada");
        assert_eq!(throttle.wait_of("ada", Duration::from_secs(5)), None);
    }

    #[test]
    fn hash_is_argon2id_and_matches_its_password_only() {
        let text = hash_password("secret").unwrap();
        assert!(text.starts_with("$argon2id$"));
        let hash = PasswordHash::new(&text).unwrap();
        assert!(Argon2::default().verify_password(b"secret", &hash).is_ok());
        assert!(Argon2::default().verify_password(b"Secret", &hash).is_err());
        assert!(PasswordHash::new(UNKNOWN_USER_HASH).is_ok());
    }
}
