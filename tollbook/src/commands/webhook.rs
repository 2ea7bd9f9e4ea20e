//! `tollbook webhook`: programs that are told of events, and what became of it.

use std::path::Path;

use notify::{WebhookMessage, WebhookSecret, WebhookSender};
use serde_json::json;
use store::{Store, StoreError, Webhook, WordKind};

use crate::cli::WebhookAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::print_table;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};
use crate::webhook_queue;

/// Deliveries listed.
const DELIVERIES_MAX: u32 = 50;

/// Adds, lists, removes, tests.
pub(crate) async fn webhook(config: &Config, action: WebhookAction) -> anyhow::Result<()> {
    let sender = WebhookSender::new(config.webhooks.clone())
        .map_err(|why| UserError::new(why.to_string(), "`tollbook check-config` checks the file"))?;
    let store = open_store(config).await?;
    let now = Clock::start().utc();
    match action {
        WebhookAction::Add { name, url, secret_file, events } => {
            sender.check(&url).map_err(|why| UserError::new(why.to_string(), ""))?;
            let secret = match &secret_file {
                Some(file) => secret_of(file)?,
                None => WebhookSecret::text_of(&rand::random()),
            };
            let added = store.webhook_add(&name, &url, (&secret, &events), COMMAND_LINE, now).await;
            added.map_err(of_store)?;
            if secret_file.is_none() {
                println!("{secret}");
                note(
                    "keep the secret, it is not shown again: what is sent is signed with it (Standard Webhooks, v1)",
                );
            }
            note(&format!(
                "{name} is told of every {} from now on; try it with `tollbook webhook test {name}`",
                in_words(&events)
            ));
        }
        WebhookAction::Events { name, events } => {
            store.webhook_tell_of(&name, &events, COMMAND_LINE, now).await.map_err(of_store)?;
            println!("{name} is told of every {} from now on", in_words(&events));
        }
        WebhookAction::List => {
            let webhooks = store.webhooks().await?;
            print_table(
                &["name", "address", "told of", "since (UTC)", "state"],
                webhooks.into_iter().map(|webhook| {
                    let state = if webhook.is_off { "gone (410), not told" } else { "told" };
                    let place = webhook.place();
                    vec![
                        webhook.name,
                        place,
                        in_words(&webhook.kinds),
                        webhook.created_at.format("%F %T").to_string(),
                        state.to_owned(),
                    ]
                }),
                "there are no webhooks",
            );
        }
        WebhookAction::Remove { name } => {
            store.webhook_remove(&name, COMMAND_LINE, now).await.map_err(of_store)?;
            println!("{name} is told nothing any more");
        }
        WebhookAction::On { name } => {
            let webhook = named(&store, &name).await?;
            store.webhook_switch(webhook.id, false, COMMAND_LINE, now).await?;
            println!("{name} is told again");
        }
        WebhookAction::Test { name } => {
            let webhook = named(&store, &name).await?;
            let id = format!("test_{:016x}", rand::random::<u64>());
            let body = json!({
                "type": "fraud.alert.test",
                "timestamp": now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                "data": {},
            })
            .to_string();
            let message = WebhookMessage { id: &id, body: &body };
            let code = webhook_queue::send(&sender, &webhook, message, now).await.map_err(|why| {
                let remedy =
                    "look at the receiver, the address and the [webhooks] section of the configuration";
                UserError::new(format!("{} {why}", why.code()), remedy)
            })?;
            println!("{name} answered {code}");
        }
        WebhookAction::Deliveries { name } => deliveries(&store, name.as_deref()).await?,
        WebhookAction::Resend { delivery } => {
            store.webhook_resend(delivery, COMMAND_LINE, now).await.map_err(|why| {
                // Its endpoint is off.
                if matches!(why, StoreError::Invalid { .. }) {
                    let remedy = "`tollbook webhook on NAME` has it told again";
                    return anyhow::Error::from(UserError::new(why.to_string(), remedy));
                }
                of_store(why)
            })?;
            println!("delivery {delivery} is tried again, under the same id");
        }
    }
    Ok(())
}

fn in_words(kinds: &[WordKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn deliveries(store: &Store, name: Option<&str>) -> anyhow::Result<()> {
    let webhooks = store.webhooks().await?;
    let only = match name {
        Some(name) => Some(named(store, name).await?.id),
        None => None,
    };
    let rows = store.webhook_deliveries(only, DELIVERIES_MAX).await?;
    print_table(
        &[
            "delivery",
            "webhook",
            "message",
            "queued (UTC)",
            "state",
            "attempts",
            "next try (UTC)",
            "last error",
        ],
        rows.into_iter().map(|delivery| {
            let webhook = webhooks.iter().find(|webhook| webhook.id == delivery.webhook);
            let waits = delivery.state == store::DeliveryState::Queued;
            vec![
                delivery.id.to_string(),
                webhook.map_or_else(String::new, |webhook| webhook.name.clone()),
                delivery.message_id,
                delivery.created_at.format("%F %T").to_string(),
                delivery.state.as_str().to_owned(),
                delivery.attempts.to_string(),
                if waits { delivery.next_try_at.format("%F %T").to_string() } else { String::new() },
                delivery.last_error,
            ]
        }),
        "nothing was sent yet",
    );
    Ok(())
}

async fn named(store: &Store, name: &str) -> anyhow::Result<Webhook> {
    let found = store.webhooks().await?.into_iter().find(|webhook| webhook.name == name);
    Ok(found.ok_or_else(|| {
        UserError::new(format!("there is no webhook {name:?}"), "`tollbook webhook list` lists them")
    })?)
}

fn secret_of(file: &Path) -> Result<String, UserError> {
    let text = std::fs::read_to_string(file)
        .map_err(|why| UserError::new(format!("{}: {why}", file.display()), "give a file with the secret"))?;
    let secret = text.trim().to_owned();
    WebhookSecret::read(&secret).map_err(|why| {
        UserError::new(format!("{}: {why}", file.display()), "leave --secret-file out to have one made")
    })?;
    Ok(secret)
}

/// Beside the secret, not in what a script reads as the secret.
#[expect(clippy::print_stderr, reason = "standard output is the secret alone")]
fn note(text: &str) {
    eprintln!("{text}");
}
