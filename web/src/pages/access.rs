//! Access: who may sign in, which programs may use the API, and which are told of events.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::Shared;
use crate::api::access::{
    WantedToken, WantedUser, factor_reset, token_added, token_revoked, user_added, user_shut_out,
};
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::{Right, Role};

/// Roles of programs: those outside the house sign in themselves.
const STAFF: [Role; 6] =
    [Role::Operator, Role::Finance, Role::Fraud, Role::CarrierRelations, Role::Analyst, Role::Auditor];

#[derive(Template)]
#[template(path = "access.html")]
struct Page {
    frame: Frame,
    users: Vec<UserRow>,
    tokens: Vec<TokenRow>,
    webhooks: Vec<WebhookRow>,
    roles: [Role; 8],
    staff: [Role; 6],
    may_change: bool,
    /// Whoever acts has a second factor, and gives a fresh code of it.
    asks_code: bool,
    /// What is told this once: whose, and the secret.
    secret: Option<(String, String)>,
    fault: String,
    form: Act,
}

struct UserRow {
    name: String,
    is_shut_out: bool,
    role: String,
    mail: String,
    factor: String,
    since: String,
}

struct TokenRow {
    name: String,
    role: String,
    until: String,
    state: String,
    is_in_force: bool,
}

struct WebhookRow {
    name: String,
    place: String,
    events: String,
    state: &'static str,
}

/// What a form sends.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Act {
    act: String,
    name: String,
    role: String,
    mail: String,
    account: String,
    days: String,
    code: String,
}

/// What the last form did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    pub(crate) done: String,
}

/// The page.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(Done { done }): Query<Done>,
) -> Result<Response, Refusal> {
    let mut page = page_of(&shared, &user).await?;
    page.frame = page.frame.noting(Some(done));
    html(&page)
}

/// Does what a form asks.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<Act>,
) -> Result<Response, Refusal> {
    require(&user, Right::ChangeUsers, "let people and programs in")?;
    let name = form.name.trim().to_owned();
    let outcome = match form.act.as_str() {
        "user" => {
            let mail = Some(form.mail.clone());
            let wanted = WantedUser {
                name: name.clone(),
                role: form.role.clone(),
                mail,
                account: Some(form.account.clone()),
            };
            let made = user_added(&shared, &user, &wanted, &form.code).await;
            made.map(|password| Some((format!("Password of {name}"), password)))
        }
        "token" => {
            let days = form.days.trim().parse().unwrap_or_default();
            let wanted = WantedToken { name: name.clone(), role: form.role.clone(), days };
            let made = token_added(&shared, &user, &wanted, &form.code).await;
            made.map(|token| Some((format!("Token {name}, for `Authorization: Bearer`"), token)))
        }
        "revoke" => token_revoked(&shared, &user, &name).await.map(|()| None),
        "reset" => factor_reset(&shared, &user, &name, &form.code).await.map(|()| None),
        "shut_out" => user_shut_out(&shared, &user, &name, &form.code).await.map(|_| None),
        other => Err(Refusal::Invalid(format!("{other:?} is nothing that this page does"))),
    };
    match outcome {
        Ok(Some(secret)) => html(&Page { secret: Some(secret), ..page_of(&shared, &user).await? }),
        Ok(None) => {
            let done = match form.act.as_str() {
                "revoke" => format!("Token {name} opens nothing any more."),
                "shut_out" => format!("{name} is shut out, with the tokens that {name} made."),
                _ => format!("{name} has no second factor any more; its sessions have ended."),
            };
            Ok(Redirect::to(&format!("/access?done={}", escaped(&done))).into_response())
        }
        Err(why @ (Refusal::Invalid(_) | Refusal::NotFound(_) | Refusal::Conflict(_))) => {
            let page = Page { fault: why.to_string(), form, ..page_of(&shared, &user).await? };
            Ok((why.status(), html(&page)?).into_response())
        }
        Err(why) => Err(why),
    }
}

async fn page_of(shared: &Shared, user: &SignedIn) -> Result<Page, Refusal> {
    require(user, Right::Users, "see who may sign in")?;
    let store = &shared.desk.store;
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let known = store.users().await?;
    let asks_code = known.iter().any(|it| it.name == user.name && it.second_factor_since.is_some());
    let users = known.into_iter().map(|user| UserRow {
        is_shut_out: user.password_hash.is_empty(),
        name: user.name,
        role: match user.account {
            Some(account) => format!("{} of {}", user.role, directory.name_of(account)),
            None => user.role,
        },
        mail: user.mail.unwrap_or_default(),
        factor: user.second_factor_since.map(when).unwrap_or_default(),
        since: when(user.created_at),
    });
    let tokens = store.api_tokens().await?.into_iter().map(|token| {
        let is_in_force = token.revoked_at.is_none() && token.expires_at > now;
        let state = match token.revoked_at {
            Some(at) => format!("taken back {}", when(at)),
            None if is_in_force => "in force".to_owned(),
            None => "ended".to_owned(),
        };
        TokenRow { name: token.name, role: token.role, until: when(token.expires_at), state, is_in_force }
    });
    let webhooks = store.webhooks().await?.into_iter().map(|webhook| WebhookRow {
        place: webhook.place(),
        name: webhook.name,
        events: webhook.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "),
        state: if webhook.is_off { "off: it said that it is gone" } else { "told" },
    });
    Ok(Page {
        frame: Frame::of(user, "/access"),
        users: users.collect(),
        tokens: tokens.collect(),
        webhooks: webhooks.collect(),
        roles: Role::ALL,
        staff: STAFF,
        may_change: user.role.may(Right::ChangeUsers),
        asks_code,
        secret: None,
        fault: String::new(),
        form: Act::default(),
    })
}
