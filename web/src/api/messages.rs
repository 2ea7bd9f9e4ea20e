//! What goes out to people and programs: mails, the templates that word them, and what webhooks were told. Read alone; texts of mails are
//! for their recipients.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::Shared;
use crate::api::{Page, instant};
use crate::guard::SignedIn;
use crate::refusal::{Problem, require};
use crate::role::Right;

/// Entries of a list that has the latest first.
const LATEST_MAX: u32 = 1_000;

/// A mail of the queue.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MailItem {
    id: i64,
    recipients: Vec<String>,
    subject: String,
    /// What it is about, such as an invoice or an alert.
    about: String,
    /// queued, sending, sent, bounced or given_up.
    state: String,
    attempts: u32,
    /// Why the last attempt failed; empty if none did.
    last_error: String,
    created_at: String,
    /// When a mail server took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
}

/// The latest mails, newest first; 1000 at most.
#[utoipa::path(get, path = "/api/v1/mails", tag = "messages", responses(
    (status = 200, description = "mails", body = Page<MailItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn mails(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<MailItem>>, Problem> {
    require(&user, Right::Suspense, "see which mails went out")?;
    let mails = shared.desk.store.mail_latest(LATEST_MAX).await?;
    // Whom the fraud desk watches is for that desk alone.
    let sees_fraud = user.role.may(Right::FraudDesk);
    let mails = mails.into_iter().filter(|mail| sees_fraud || !is_of_fraud_desk(&mail.mail.about));
    let items = mails.map(|mail| MailItem {
        id: mail.id,
        recipients: mail.mail.to,
        subject: mail.mail.subject,
        about: mail.mail.about,
        state: mail.state.as_str().to_owned(),
        attempts: mail.attempts,
        last_error: mail.last_error,
        created_at: instant(mail.created_at),
        sent_at: mail.sent_at.map(instant),
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// Whether it is about an alert, a case handed over, which is called like its alert, or an alarm of the house.
fn is_of_fraud_desk(about: &str) -> bool {
    matches!(about.split(':').next(), Some("alert" | "alarm"))
}

/// A template of a tenant for mails about one thing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TemplateItem {
    id: i64,
    /// Handle of the tenant.
    tenant: String,
    /// Such as `invoice` or `fraud_lock`.
    event: String,
    /// Absent: whatever the language.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    /// Subject and plain text, with variables.
    text: String,
    /// HTML, if it has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    created_by: String,
    created_at: String,
    /// Why it failed the last time that it did; empty if it never has.
    last_fault: String,
}

/// Templates of mails; what has none is worded by the program.
#[utoipa::path(get, path = "/api/v1/mail-templates", tag = "messages", responses(
    (status = 200, description = "templates", body = Page<TemplateItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn templates(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<TemplateItem>>, Problem> {
    require(&user, Right::Provisioning, "see templates of mails")?;
    let directory = (shared.desk.directory)();
    let tenant_of = |id| directory.tenants.iter().find(|tenant| tenant.id == id);
    let templates = shared.desk.store.mail_templates().await?;
    let items = templates.into_iter().map(|template| TemplateItem {
        id: template.id,
        tenant: tenant_of(template.tenant).map(|tenant| tenant.handle.clone()).unwrap_or_default(),
        event: template.event.to_string(),
        language: template.language.map(|language| language.to_string()),
        text: template.text,
        html: template.html,
        created_by: template.created_by,
        created_at: instant(template.created_at),
        last_fault: template.last_fault,
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// What a webhook was told, or is to be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeliveryItem {
    id: i64,
    /// Name of the webhook.
    webhook: String,
    /// The same whenever it is sent again; a receiver drops what it has seen.
    message_id: String,
    state: String,
    attempts: u32,
    /// Why the last attempt failed; empty if none did.
    last_error: String,
    created_at: String,
    /// When the program took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
}

/// What webhooks were told, newest first; 1000 at most. What exactly is between them and us.
#[utoipa::path(get, path = "/api/v1/webhook-deliveries", tag = "messages", responses(
    (status = 200, description = "deliveries", body = Page<DeliveryItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn deliveries(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<DeliveryItem>>, Problem> {
    require(&user, Right::Users, "see what webhooks were told")?;
    let store = &shared.desk.store;
    let webhooks = store.webhooks().await?;
    let name_of = |id| webhooks.iter().find(|webhook| webhook.id == id).map(|webhook| webhook.name.clone());
    let items = store.webhook_deliveries(None, LATEST_MAX).await?.into_iter().map(|delivery| DeliveryItem {
        id: delivery.id,
        webhook: name_of(delivery.webhook).unwrap_or_default(),
        message_id: delivery.message_id,
        state: delivery.state.as_str().to_owned(),
        attempts: delivery.attempts,
        last_error: delivery.last_error,
        created_at: instant(delivery.created_at),
        sent_at: delivery.sent_at.map(instant),
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}
