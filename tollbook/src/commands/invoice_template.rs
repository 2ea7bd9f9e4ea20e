//! `tollbook invoice template`: a tenant's own layout and words, tried before they are used.

use std::path::Path;

use invoicing::{Template, render_pdf, sample_documents, sample_invoice};
use store::TemplateFiles;

use crate::cli::TemplateAction;
use crate::clock::Clock;
use crate::commands::invoice::write_out;
use crate::commands::tenant_named;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

/// Who the audit log says it was.
const ACTOR: &str = "command line";

/// Copies, checks, shows or puts into use.
pub(super) async fn template(config: &Config, action: TemplateAction) -> anyhow::Result<()> {
    match action {
        TemplateAction::Copy { dir } => copy(&dir),
        TemplateAction::Check { dir } => {
            let (_, n_documents) = checked(&dir)?;
            println!("{}: {n_documents} sample documents are printed without an error", dir.display());
            Ok(())
        }
        TemplateAction::Preview { dir, language, out } => {
            let template = match dir {
                Some(dir) => Template::with(read_dir(&dir)?).map_err(|why| of_template(&dir, &why))?,
                None => Template::default(),
            };
            let pdf = render_pdf(&sample_invoice(language)?, &template)
                .map_err(|why| UserError::new(why.to_string(), "correct the template"))?;
            write_out(&out, &pdf)
        }
        TemplateAction::Use { dir, tenant } => {
            let (files, _) = checked(&dir)?;
            set(config, tenant.as_deref(), &files).await
        }
        TemplateAction::Reset { tenant } => set(config, tenant.as_deref(), &TemplateFiles::new()).await,
    }
}

fn copy(dir: &Path) -> anyhow::Result<()> {
    let unwritable = |why: std::io::Error| {
        UserError::new(format!("{}: {why}", dir.display()), "name a folder that does not exist yet")
    };
    std::fs::create_dir(dir).map_err(unwritable)?;
    for (name, bytes) in Template::default().files() {
        std::fs::write(dir.join(name), bytes).map_err(unwritable)?;
    }
    println!("{}", dir.display());
    Ok(())
}

/// The files of a template that prints every sample document, and how many those are.
fn checked(dir: &Path) -> anyhow::Result<(TemplateFiles, usize)> {
    let files = read_dir(dir)?;
    let template = Template::with(files.clone()).map_err(|why| of_template(dir, &why))?;
    let documents = sample_documents()?;
    for document in &documents {
        render_pdf(document, &template).map_err(|why| of_template(dir, &why))?;
    }
    Ok((files, documents.len()))
}

fn of_template(dir: &Path, why: &invoicing::InvoicingError) -> UserError {
    UserError::new(format!("{}: {why}", dir.display()), "the template in use stays as it was")
}

/// The files of a folder, without those in folders below it.
fn read_dir(dir: &Path) -> anyhow::Result<TemplateFiles> {
    let unreadable = |why: std::io::Error| {
        UserError::new(
            format!("{}: {why}", dir.display()),
            "name the template's folder; `tollbook invoice template copy DIR` writes one to begin with",
        )
    };
    let mut files = TemplateFiles::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type().map_err(unreadable)?.is_file() && !is_hidden {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, std::fs::read(entry.path()).map_err(unreadable)?);
        }
    }
    Ok(files)
}

async fn set(config: &Config, tenant: Option<&str>, files: &TemplateFiles) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let tenant = tenant_named(&directory, tenant)?;
    store.invoice_template_set(tenant.id, files, Clock::start().utc(), ACTOR).await?;
    match files.len() {
        0 => println!("{}: invoices are printed with the program's own template", tenant.handle),
        n_files => println!("{}: invoices are printed with these {n_files} files from now on", tenant.handle),
    }
    Ok(())
}
