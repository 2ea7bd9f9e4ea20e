//! What `tollbook mail` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::{Language, MailEvent};

/// Of `tollbook mail`.
#[derive(Debug, Subcommand)]
pub(crate) enum MailAction {
    /// List the latest mails, newest first.
    List {
        /// Only those that bounced or were given up.
        #[arg(long)]
        failed: bool,
        /// Look at so many.
        #[arg(long, value_name = "N", default_value_t = 200)]
        limit: u32,
    },
    /// Queue a mail again that bounced or was given up.
    Again {
        /// Its id.
        id: i64,
    },
    /// A tenant's own words for mails.
    #[command(subcommand)]
    Template(MailTemplateAction),
    /// List the links to attachments that were too large for their mail, newest first.
    Links {
        /// Look at so many.
        #[arg(long, value_name = "N", default_value_t = 200)]
        limit: u32,
    },
    /// End a link, or all of a tenant.
    Revoke {
        /// Its id in the list of links.
        #[arg(required_unless_present_any = ["all_of", "of_house"])]
        link: Option<i64>,
        /// Handle of the tenant whose links are all ended.
        #[arg(long, value_name = "HANDLE", conflicts_with = "link")]
        all_of: Option<String>,
        /// End all links of mails that went to no tenant's customers.
        #[arg(long, conflicts_with_all = ["link", "all_of"])]
        of_house: bool,
    },
}

/// Of `tollbook mail template`.
#[derive(Debug, Subcommand)]
pub(crate) enum MailTemplateAction {
    /// List the events, and whose own words are in use.
    List,
    /// What the templates of an event may say.
    Variables {
        /// The event, as the list has it.
        event: MailEvent,
    },
    /// Print the template in use, as a beginning for another.
    Show {
        /// Which.
        #[command(flatten)]
        which: MailTemplateChoice,
    },
    /// Try a template.
    Check {
        /// The event that it is for.
        event: MailEvent,
        /// Its files.
        #[command(flatten)]
        files: MailTemplateFiles,
    },
    /// Print what a template, or the one in use, makes of sample values.
    Preview {
        /// Which.
        #[command(flatten)]
        which: MailTemplateChoice,
        /// File with subject and plain text; left out: the template in use.
        #[arg(long, value_name = "FILE")]
        text: Option<PathBuf>,
        /// File with the HTML.
        #[arg(long, value_name = "FILE", requires = "text")]
        html: Option<PathBuf>,
        /// Write the HTML to this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a template and use it from now on.
    Use {
        /// Which.
        #[command(flatten)]
        which: MailTemplateChoice,
        /// Its files.
        #[command(flatten)]
        files: MailTemplateFiles,
    },
    /// Go back to the program's own words.
    Reset {
        /// Which.
        #[command(flatten)]
        which: MailTemplateChoice,
    },
}

/// A tenant's template.
#[derive(Debug, Args)]
pub(crate) struct MailTemplateChoice {
    /// The event, as the list has it.
    pub(crate) event: MailEvent,
    /// en, de or vi; left out: whatever the language.
    #[arg(long)]
    pub(crate) language: Option<Language>,
    /// Handle of the tenant; may be left out where there is only one.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) tenant: Option<String>,
}

/// Files of a template.
#[derive(Debug, Args)]
pub(crate) struct MailTemplateFiles {
    /// `Subject: ...`, an empty line, and the plain text.
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// A whole HTML document; left out: it is made of the text.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}
