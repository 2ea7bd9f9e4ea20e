//! Who may sign in, which programs may use the API, and which are told of events.
//!
//! Passwords and tokens are made here and told once; only hashes of them are kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use store::NewUser;

use crate::Shared;
use crate::account_names::account_named;
use crate::api::{Body, Page, Path, instant};
use crate::guard::SignedIn;
use crate::passwords::PasswordRefused;
use crate::refusal::{Problem, Refusal, require};
use crate::role::{Right, Role};
use crate::sign_in::{hash_password, new_api_token, new_password};

/// Letters of a name.
const NAME_LETTERS_MAX: usize = 100;

/// Days that a token may be in force.
const TOKEN_DAYS_MAX: u32 = 3_650;

/// Names that actors of the trail have who are no users.
const NO_USERS: [&str; 2] = ["token:", "command line"];

/// Somebody with a login.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UserItem {
    name: String,
    role: String,
    /// Handle of the account that a reseller or customer sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Handle of the only tenant whose rows the user sees, in SQL alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail: Option<String>,
    /// Since when a code is asked for beside the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor_since: Option<String>,
    created_at: String,
}

/// Everybody who may sign in, by name.
#[utoipa::path(get, path = "/api/v1/users", tag = "access", responses(
    (status = 200, description = "users", body = Page<UserItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn users(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<UserItem>>, Problem> {
    require(&user, Right::Users, "see who may sign in")?;
    let directory = (shared.desk.directory)();
    let handle_of = |id| {
        let tenant = directory.tenants.iter().find(|tenant| tenant.id == id);
        tenant.map(|tenant| tenant.handle.clone())
    };
    let users = shared.desk.store.users().await?;
    let items = users.into_iter().map(|user| UserItem {
        name: user.name,
        role: user.role,
        account: user.account.map(|account| directory.name_of(account)),
        tenant: user.tenant.and_then(handle_of),
        mail: user.mail,
        second_factor_since: user.second_factor_since.map(instant),
        created_at: instant(user.created_at),
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// A user to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedUser {
    /// Unique for ever.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    /// operator, finance, fraud, carrier_relations, analyst, auditor, reseller or customer.
    pub(crate) role: String,
    /// Handle of the account that a reseller or customer sees; of nobody else.
    pub(crate) account: Option<String>,
    /// Where the person is written to.
    pub(crate) mail: Option<String>,
}

/// A user, with the password that is told this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MadeUser {
    name: String,
    role: String,
    password: String,
}

/// Lets somebody in, with a password that is made up and told this once.
#[utoipa::path(post, path = "/api/v1/users", tag = "access", request_body = WantedUser, params(
    ("second-factor-code" = Option<String>, Header, description = "a fresh code, of whoever has a second factor"),
), responses(
    (status = 201, description = "the user", body = MadeUser),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn add_user(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    headers: HeaderMap,
    Body(wanted): Body<WantedUser>,
) -> Result<(StatusCode, Json<MadeUser>), Problem> {
    let password = user_added(&shared, &user, &wanted, code_of(&headers)).await?;
    let made = MadeUser { name: wanted.name.trim().to_owned(), role: wanted.role, password };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Adds a user; the password.
pub(crate) async fn user_added(
    shared: &Shared,
    user: &SignedIn,
    wanted: &WantedUser,
    code: &str,
) -> Result<String, Refusal> {
    require(user, Right::ChangeUsers, "let people in")?;
    let name = named("name", &wanted.name)?;
    let role = role_of(&wanted.role)?;
    let account = wanted.account.as_deref().map(str::trim).filter(|account| !account.is_empty());
    let account = match (account, role.is_outside()) {
        (Some(account), true) => Some(account_named(&(shared.desk.directory)(), account)?),
        (None, false) => None,
        (None, true) => {
            return Err(Refusal::Invalid(format!("account: say which one the {role} sees")));
        }
        (Some(_), false) => {
            return Err(Refusal::Invalid("account: for the roles reseller and customer alone".to_owned()));
        }
    };
    let mail = wanted.mail.as_deref().map(str::trim).filter(|mail| !mail.is_empty());
    if mail
        .is_some_and(|mail| !mail.contains('@') || mail.chars().any(|c| c.is_whitespace() || c.is_control()))
    {
        return Err(Refusal::Invalid("mail: write an address like ann@example.com".to_owned()));
    }
    proved(shared, user, code).await?;
    let password = new_password();
    let for_hash = password.clone();
    let hash = tokio::task::spawn_blocking(move || hash_password(&for_hash)).await;
    let hash = hash.map_err(Refusal::failed)?.map_err(Refusal::failed)?;
    let now = (shared.desk.clock)().wall;
    let new =
        NewUser { name, password_hash: &hash, role: role.as_str(), account, mail, ..NewUser::default() };
    shared.desk.store.user_let_in(new, &user.name, now).await?;
    Ok(password)
}

/// Takes the second factor of a user away, who has lost it, and ends that user's sessions.
#[utoipa::path(delete, path = "/api/v1/users/{name}/second-factor", tag = "access", params(
    ("second-factor-code" = Option<String>, Header, description = "a fresh code, of whoever has a second factor"),
    ("name" = String, Path, description = "the user's name"),
), responses(
    (status = 204, description = "it is gone"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn reset_second_factor(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    factor_reset(&shared, &user, &name, code_of(&headers)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The same.
pub(crate) async fn factor_reset(
    shared: &Shared,
    user: &SignedIn,
    name: &str,
    code: &str,
) -> Result<(), Refusal> {
    require(user, Right::ChangeUsers, "take second factors away")?;
    if name == user.name {
        let why = "your own second factor is for you to take away, at /me, with a code of it";
        return Err(Refusal::Invalid(why.to_owned()));
    }
    proved(shared, user, code).await?;
    let now = (shared.desk.clock)().wall;
    absent_is_404(shared.desk.store.second_factor_remove(name, &user.name, now).await)
}

/// Shuts a user out: sessions, connections in SQL and the tokens that the user made end at once; another password
/// (`tollbook user password`) lets the user in again.
#[utoipa::path(delete, path = "/api/v1/users/{name}", tag = "access", params(
    ("name" = String, Path, description = "the user's name"),
    ("second-factor-code" = Option<String>, Header, description = "a fresh code, of whoever has a second factor"),
), responses(
    (status = 204, description = "nothing opens for that name any more"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn shut_user_out(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    user_shut_out(&shared, &user, &name, code_of(&headers)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The same; the names of the tokens that have ended with it.
pub(crate) async fn user_shut_out(
    shared: &Shared,
    user: &SignedIn,
    name: &str,
    code: &str,
) -> Result<Vec<String>, Refusal> {
    require(user, Right::ChangeUsers, "shut people out")?;
    if name == user.name {
        return Err(Refusal::Invalid("you cannot shut yourself out; ask somebody else".to_owned()));
    }
    proved(shared, user, code).await?;
    let now = (shared.desk.clock)().wall;
    absent_is_404(shared.desk.store.user_shut_out(name, &user.name, now).await)
}

/// Whoever lets others in is a person who signed in, not a program whose token may have been stolen, and gives a fresh code where there
/// is a second factor: an open session alone makes no lasting access.
async fn proved(shared: &Shared, user: &SignedIn, code: &str) -> Result<(), Refusal> {
    if user.name.starts_with("token:") {
        return Err(Refusal::Forbidden("come with a token here: a person signs in and does it"));
    }
    let known = shared.desk.store.user_by_name(&user.name).await?.ok_or(Refusal::Unsigned)?;
    if known.second_factor_since.is_none() {
        return Ok(());
    }
    match shared.desk.passwords.check_step_up(&known, code.trim()).await {
        Ok(_) => Ok(()),
        Err(PasswordRefused::Wait(left)) => Err(Refusal::TooMany(left.as_secs() + 1)),
        Err(PasswordRefused::Failed(why)) => Err(Refusal::failed(why)),
        Err(PasswordRefused::Wrong | PasswordRefused::NotEnrolled) => Err(Refusal::Invalid(
            "code: give a fresh code of your second factor, in the API as the header Second-Factor-Code"
                .to_owned(),
        )),
    }
}

/// The code that came with a request.
fn code_of(headers: &HeaderMap) -> &str {
    headers.get("second-factor-code").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A program's token, without the token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TokenItem {
    name: String,
    role: String,
    created_at: String,
    /// Not valid at or after this.
    expires_at: String,
    /// Taken back before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

/// All tokens there ever were, by name.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access", responses(
    (status = 200, description = "tokens", body = Page<TokenItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn tokens(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<TokenItem>>, Problem> {
    require(&user, Right::Users, "see tokens")?;
    let items = shared.desk.store.api_tokens().await?.into_iter().map(|token| TokenItem {
        name: token.name,
        role: token.role,
        created_at: instant(token.created_at),
        expires_at: instant(token.expires_at),
        revoked_at: token.revoked_at.map(instant),
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// A token to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedToken {
    /// What it is for; unique for ever.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    /// operator, finance, fraud, carrier_relations, analyst or auditor.
    pub(crate) role: String,
    /// Days until it ends, 1 to 3650.
    #[schema(minimum = 1, maximum = 3650)]
    pub(crate) days: u32,
}

/// A token, told this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MadeToken {
    name: String,
    token: String,
}

/// Makes a token for a program; it is told this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access", request_body = WantedToken, params(
    ("second-factor-code" = Option<String>, Header, description = "a fresh code, of whoever has a second factor"),
), responses(
    (status = 201, description = "the token", body = MadeToken),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn add_token(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    headers: HeaderMap,
    Body(wanted): Body<WantedToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let token = token_added(&shared, &user, &wanted, code_of(&headers)).await?;
    Ok((StatusCode::CREATED, Json(MadeToken { name: wanted.name.trim().to_owned(), token })))
}

/// Adds a token; the token.
pub(crate) async fn token_added(
    shared: &Shared,
    user: &SignedIn,
    wanted: &WantedToken,
    code: &str,
) -> Result<String, Refusal> {
    require(user, Right::ChangeUsers, "let programs in")?;
    let name = named("name", &wanted.name)?;
    let role = role_of(&wanted.role)?;
    if role.is_outside() {
        return Err(Refusal::Invalid(format!("role: programs of a {role} have no tokens; it signs in")));
    }
    if !(1..=TOKEN_DAYS_MAX).contains(&wanted.days) {
        return Err(Refusal::Invalid(format!("days: 1 to {TOKEN_DAYS_MAX}")));
    }
    proved(shared, user, code).await?;
    let (token, hash) = new_api_token();
    let now = (shared.desk.clock)().wall;
    let ends = now + TimeDelta::days(i64::from(wanted.days));
    shared.desk.store.api_token_create(name, &hash, role.as_str(), ends, &user.name, now).await?;
    Ok(token)
}

/// Takes a token back at once.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "access", params(
    ("name" = String, Path, description = "the token's name"),
), responses(
    (status = 204, description = "it opens nothing any more"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn revoke_token(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    token_revoked(&shared, &user, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The same.
pub(crate) async fn token_revoked(shared: &Shared, user: &SignedIn, name: &str) -> Result<(), Refusal> {
    require(user, Right::ChangeUsers, "shut programs out")?;
    let now = (shared.desk.clock)().wall;
    absent_is_404(shared.desk.store.api_token_revoke(name, &user.name, now).await)
}

/// A program that is told of events.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WebhookItem {
    name: String,
    /// Scheme and host alone: a path may be a secret.
    place: String,
    /// What it is told of: alert, lock, invoice, mail, balance.
    events: Vec<String>,
    /// It said that it is gone, and is not told any more.
    is_off: bool,
    created_by: String,
    created_at: String,
}

/// Programs that are told of events, by name.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "access", responses(
    (status = 200, description = "webhooks", body = Page<WebhookItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn webhooks(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<WebhookItem>>, Problem> {
    require(&user, Right::Users, "see webhooks")?;
    let items = shared.desk.store.webhooks().await?.into_iter().map(|webhook| WebhookItem {
        place: webhook.place(),
        name: webhook.name,
        events: webhook.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        is_off: webhook.is_off,
        created_by: webhook.created_by,
        created_at: instant(webhook.created_at),
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// A name that can be told from others, and from actors that are no users.
fn named<'t>(field: &str, text: &'t str) -> Result<&'t str, Refusal> {
    let name = text.trim();
    let is_fine = (1..=NAME_LETTERS_MAX).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && !NO_USERS.iter().any(|taken| name.starts_with(taken));
    if is_fine {
        return Ok(name);
    }
    Err(Refusal::Invalid(format!(
        "{field}: 1 to {NAME_LETTERS_MAX} letters, none of them a control character, not beginning with {}",
        NO_USERS.join(" or ")
    )))
}

fn role_of(text: &str) -> Result<Role, Refusal> {
    text.parse().map_err(|why| Refusal::Invalid(format!("role: {why}")))
}

/// What is not there is not found, instead of wrong.
fn absent_is_404<T>(outcome: store::Result<T>) -> Result<T, Refusal> {
    match outcome {
        Err(why @ store::StoreError::NotFound { .. }) => Err(Refusal::NotFound(why.to_string())),
        Err(why) => Err(why.into()),
        Ok(done) => Ok(done),
    }
}
