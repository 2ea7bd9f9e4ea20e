//! What `tollbook user`, `token`, `webhook` and `ban` take: people and programs with access, and sources without.

use std::path::PathBuf;

use clap::Subcommand;

/// Of `tollbook user`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserAction {
    /// Create a user; the password is read from standard input.
    Add {
        /// Name.
        name: String,
        /// operator, finance, fraud, carrier_relations, analyst, auditor, reseller or customer.
        #[arg(long, default_value = "operator")]
        role: String,
        /// Handle of the account that a reseller or customer sees, and nothing else.
        #[arg(long, value_name = "HANDLE", conflicts_with = "tenant")]
        account: Option<String>,
        /// Where the person is written to, for instance of cases handed over.
        #[arg(long, value_name = "ADDRESS")]
        mail: Option<String>,
        /// Handle of the one tenant whose rows the user may ask about in SQL; such a user cannot open the console.
        #[arg(long, value_name = "HANDLE")]
        tenant: Option<String>,
    },
    /// Hold a user to the rows of one tenant, in SQL; without a handle, to none.
    Tenant {
        /// Name.
        name: String,
        /// Handle of the tenant.
        tenant: Option<String>,
    },
    /// Say where a user is written to; without an address, nowhere.
    Mail {
        /// Name.
        name: String,
        /// Address.
        address: Option<String>,
    },
    /// Give a user another password, read from standard input. Ends the user's sessions.
    Password {
        /// Name.
        name: String,
    },
    /// Shut a user out: sessions, connections in SQL, and the tokens that the user made, end. The name stays, for the trail of changes;
    /// `tollbook user password` lets it in again.
    Remove {
        /// Name.
        name: String,
    },
    /// Take the second factor of a user away, who has lost it: the password is enough for the next sign-in. Ends the user's sessions.
    ResetSecondFactor {
        /// Name.
        name: String,
    },
    /// List users.
    List,
}

/// What to do about sources that are shut out by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum BanAction {
    /// Drop what comes from an address or a network; trunks and calls that are up are served all the same.
    Add {
        /// Such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48.
        network: String,
        /// For how long, such as 12h; without it until somebody lifts it.
        #[arg(long = "for", value_name = "SPAN")]
        span: Option<model::Span>,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Look at it again.
    Remove {
        /// The same network, however it is written.
        network: String,
    },
    /// Who is shut out.
    List,
}

/// Of `tollbook token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token; it is shown this once.
    Add {
        /// What it is for.
        name: String,
        /// What it may do: operator, finance, fraud, carrier_relations, analyst or auditor.
        #[arg(long)]
        role: String,
        /// Days until it ends.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,
    },
    /// List all there ever were.
    List,
    /// Take one back at once.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// Of `tollbook webhook`.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookAction {
    /// Tell a program of events, such as every alert; the secret that signs is shown this once.
    Add {
        /// What people call it.
        name: String,
        /// Its address, such as https://desk.example.com/alerts.
        url: String,
        /// File with the secret, `whsec_` and base64, where the receiver made one.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// What it is told of: alert, lock, invoice, mail, balance, with commas.
        #[arg(long, value_name = "KINDS", value_delimiter = ',', default_value = "alert")]
        events: Vec<store::WordKind>,
    },
    /// Tell one of other events.
    Events {
        /// Its name.
        name: String,
        /// alert, lock, invoice, mail, balance, with commas.
        #[arg(value_delimiter = ',', required = true)]
        events: Vec<store::WordKind>,
    },
    /// List them.
    List,
    /// Tell one no more, and forget what waits for it.
    Remove {
        /// Its name.
        name: String,
    },
    /// Tell one again that had said it was gone.
    On {
        /// Its name.
        name: String,
    },
    /// Send one a word at once, and say what it answers.
    Test {
        /// Its name.
        name: String,
    },
    /// What was sent, what waits, and why.
    Deliveries {
        /// Only those of this one.
        name: Option<String>,
    },
    /// Try a delivery again at once, whatever came of it.
    Resend {
        /// Its number in the list of deliveries.
        delivery: i64,
    },
}
