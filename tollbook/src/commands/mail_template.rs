//! `tollbook mail template`: a tenant's own words for mails, checked before they are used.

use std::path::Path;

use model::{Language, MailEvent, TenantId};
use notify::{MailTemplate, TEMPLATE_BYTES_MAX, TemplateFault, TemplatePart, own_template, sample_variables};
use store::Store;

use crate::cli::{MailTemplateAction, MailTemplateChoice, MailTemplateFiles};
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::invoice::write_out;
use crate::commands::{print_table, tenant_named};
use crate::failure::UserError;
use crate::system::of_store;

/// In the list, where the program's own words are used.
const OWN: &str = "the program's own";

/// Lists, shows, checks, previews or puts into use.
pub(super) async fn template(store: &Store, action: MailTemplateAction) -> anyhow::Result<()> {
    match action {
        MailTemplateAction::List => list(store).await,
        MailTemplateAction::Variables { event } => {
            let rows = event.variables().iter().map(|variable| {
                vec![
                    variable.name.to_owned(),
                    variable.meaning.to_owned(),
                    variable.sample.replace('\n', " / "),
                ]
            });
            print_table(&["variable", "what it holds", "example"], rows, "there are none");
            Ok(())
        }
        MailTemplateAction::Show { which } => {
            let template = in_use(store, &which).await?;
            print!("{}", template.text);
            if let Some(html) = template.html {
                println!("\n--- html ---\n{html}");
            }
            Ok(())
        }
        MailTemplateAction::Check { event, files } => {
            checked(event, &files)?;
            println!("{}: can be used for {event}", files.text.display());
            Ok(())
        }
        MailTemplateAction::Preview { which, text, html, out } => {
            let template = match text {
                Some(text) => checked(which.event, &MailTemplateFiles { text, html })?,
                None => in_use(store, &which).await?,
            };
            let words = template.fill(&sample_variables(which.event))?;
            println!("Subject: {}\n\n{}", words.subject, words.text.trim_end());
            match (out, words.html) {
                (Some(out), Some(html)) => write_out(&out, html.as_bytes()),
                (Some(_), None) => Err(UserError::new(
                    "--out: the template has no HTML of its own",
                    "give it some with --html FILE; without, it is made of the text",
                )
                .into()),
                (None, _) => Ok(()),
            }
        }
        MailTemplateAction::Use { which, files } => {
            let template = checked(which.event, &files)?;
            let (tenant, handle) = tenant_of(store, &which).await?;
            let chosen = (tenant, which.event, which.language);
            let (text, html, now) = (&template.text, template.html.as_deref(), Clock::start().utc());
            let version = store.mail_template_set(chosen, text, html, COMMAND_LINE, now).await?;
            println!("{handle}: mails of {} are worded by version {version} from now on", which.event);
            Ok(())
        }
        MailTemplateAction::Reset { which } => {
            let (tenant, handle) = tenant_of(store, &which).await?;
            let chosen = (tenant, which.event, which.language);
            let reset = store.mail_template_reset(chosen, COMMAND_LINE, Clock::start().utc()).await;
            reset.map_err(of_store)?;
            println!("{handle}: mails of {} are in the program's own words", which.event);
            Ok(())
        }
    }
}

async fn tenant_of(store: &Store, which: &MailTemplateChoice) -> anyhow::Result<(TenantId, String)> {
    let directory = store.directory().await?;
    let tenant = tenant_named(&directory, which.tenant.as_deref())?;
    Ok((tenant.id, tenant.handle.clone()))
}

/// What mails of the choice are worded by now; the program's own words are those of the language, or English.
async fn in_use(store: &Store, which: &MailTemplateChoice) -> anyhow::Result<MailTemplate> {
    let (tenant, _) = tenant_of(store, which).await?;
    let kept = store
        .mail_templates()
        .await?
        .into_iter()
        .find(|kept| (kept.tenant, kept.event, kept.language) == (tenant, which.event, which.language));
    Ok(match kept {
        Some(kept) => MailTemplate { text: kept.text, html: kept.html },
        None => {
            let language = which.language.unwrap_or(Language::English);
            MailTemplate { text: own_template(which.event, language).to_owned(), html: None }
        }
    })
}

/// A template that can be used for `event`.
fn checked(event: MailEvent, files: &MailTemplateFiles) -> anyhow::Result<MailTemplate> {
    let text = read(&files.text)?;
    let html = files.html.as_deref().map(read).transpose()?;
    let template = MailTemplate { text, html };
    template.check(event).map_err(|fault| of_fault(files, &fault))?;
    Ok(template)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let unreadable = |why: String| {
        let remedy = "`tollbook mail template show EVENT` prints one to begin with";
        UserError::new(format!("{}: {why}", file.display()), remedy)
    };
    let bytes = std::fs::read(file).map_err(|why| unreadable(why.to_string()))?;
    if bytes.len() > TEMPLATE_BYTES_MAX {
        return Err(unreadable(format!("is longer than {TEMPLATE_BYTES_MAX} bytes")).into());
    }
    Ok(String::from_utf8(bytes).map_err(|_| unreadable("is not UTF-8".to_owned()))?)
}

/// `FILE:LINE:COLUMN: RULE`.
fn of_fault(files: &MailTemplateFiles, fault: &TemplateFault) -> UserError {
    let file = match fault.part {
        TemplatePart::Text => &files.text,
        TemplatePart::Html => files.html.as_ref().unwrap_or(&files.text),
    };
    let said = format!("{}:{}:{}: {}", file.display(), fault.line, fault.column, fault.rule);
    UserError::new(said, "the words in use stay as they were")
}

async fn list(store: &Store) -> anyhow::Result<()> {
    let directory = store.directory().await?;
    let kept = store.mail_templates().await?;
    let mut rows = Vec::new();
    for tenant in &directory.tenants {
        for &event in MailEvent::ALL {
            let own: Vec<_> =
                kept.iter().filter(|kept| kept.tenant == tenant.id && kept.event == event).collect();
            if own.is_empty() {
                let row = [tenant.handle.as_str(), event.as_str(), "", OWN, "", ""];
                rows.push(row.map(str::to_owned).to_vec());
            }
            for kept in own {
                let since = format!("{} by {}", kept.created_at.format("%F %T"), kept.created_by);
                let fault = kept.failed_at.map(|at| format!("{}: {}", at.format("%F %T"), kept.last_fault));
                rows.push(vec![
                    tenant.handle.clone(),
                    event.to_string(),
                    kept.language.map_or("all", Language::as_str).to_owned(),
                    format!("version {}", kept.id),
                    since,
                    fault.unwrap_or_default(),
                ]);
            }
        }
    }
    print_table(
        &["tenant", "event", "language", "words", "since (UTC)", "failed last (UTC)"],
        rows.into_iter(),
        "there is no tenant",
    );
    Ok(())
}
