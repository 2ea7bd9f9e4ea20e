//! HTTP: the console, its sign-in, and the API.
//!
//! In: requests, and the figures the binary gathers once a second. Out: pages, JSON, invoices as PDF, files behind signed links. It decides who may see
//! what; what there is to see comes from the store and the pipeline.

mod account_names;
mod api;
mod assets;
mod balance_desk;
mod billing_desk;
mod call_search;
mod downloads;
mod exchange;
mod figures;
mod frame;
mod guard;
mod idempotency;
mod limits;
mod masked;
mod metrics;
mod objects;
mod pages;
mod passwords;
mod probe;
mod provisioning_desk;
mod record_change;
mod refusal;
mod role;
mod rule_desk;
mod search;
mod second_factor;
mod second_step;
mod shadow_desk;
mod sign_in;
mod tariff_desk;

use std::future::IntoFuture;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use futures::FutureExt;
use lake::Lake;
use model::{AccountId, Directory, LedgerAccount, Moment};
use store::{Store, SuspendedRecord};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use balance_desk::{BalanceDesk, BalanceSheet, FetchSheet, IntervalEnd, RenderStatement};
pub use billing_desk::{BilledAccount, BillingDesk, RunState, StartRun, WantedRun};
pub use downloads::{Download, FetchDownload};
pub use exchange::{Exchange, Partner, StreamDesk};
pub use figures::{AlertRow, BalanceRow, Figures, FileRow, HISTORY_SECONDS, InvoiceRow, LockRow, StageRow};
pub use limits::RequestLimits;
pub use pages::exchange::owner_name;
pub use passwords::{PasswordRefused, Passwords};
pub use probe::{Obstacles, serve_probe};
pub use provisioning_desk::{ProvisioningDesk, TestedCall, TriedRoute};
pub use record_change::{ChangedRecord, RecordChange};
pub use role::{Role, UnknownRole, may_work_on_cases, sql_access};
pub use rule_desk::{BacktestOutcome, CheckedRule, FindText, ListRules, RuleDesk, RuleInForce, RunBacktest};
pub use shadow_desk::{ShadowDesk, ShadowState, ShadowSums, StartShadow, WantedShadow};
pub use sign_in::{hash_password, new_api_token, new_password};
pub use tariff_desk::{
    ApplyFees, ChangedFee, FeeChanges, FeeFault, FeeImpact, FeesApplied, FeesProposed, FeesRefused,
    FeesWanted, ProposeFees, TariffDesk,
};

/// What the console works on.
pub struct Desk {
    /// Users, sessions, and everything that was produced.
    pub store: Store,
    /// Calls.
    pub lake: Arc<Lake>,
    /// What is provisioned, as the running stages know it.
    pub directory: Arc<dyn Fn() -> Arc<Directory> + Send + Sync>,
    /// Why sending a suspended record in again would be no use, in words that go on from its name.
    pub resubmit_refusal: fn(&SuspendedRecord) -> Option<&'static str>,
    /// What a suspended record says, or why it cannot be read.
    pub record_said: fn(&SuspendedRecord) -> Result<serde_json::Value, String>,
    /// A suspended record with a change, or why that cannot be made.
    pub record_changed: fn(&SuspendedRecord, &RecordChange) -> Result<ChangedRecord, String>,
    /// Partners and streams of the CDR exchange.
    pub exchange: Exchange,
    /// Fraud rules.
    pub rules: RuleDesk,
    /// Changes of what is provisioned.
    pub provisioning: ProvisioningDesk,
    /// Price lists.
    pub tariffs: TariffDesk,
    /// Real calls by another tariff.
    pub shadow: ShadowDesk,
    /// Billing runs.
    pub billing: BillingDesk,
    /// What accounts have.
    pub balances: BalanceDesk,
    /// Files behind signed links.
    pub download: FetchDownload,
    /// The latest figures.
    pub figures: watch::Receiver<Figures>,
    /// Who signs in.
    pub passwords: Passwords,
    /// How often may be asked.
    pub limits: RequestLimits,
    /// Browsers reach the console by TLS, which a proxy before it ends.
    pub is_behind_tls: bool,
    /// For the age of sessions.
    pub clock: Arc<dyn Fn() -> Moment + Send + Sync>,
}

/// What can go wrong while serving.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The listener failed.
    #[error("the console cannot accept connections: {0}")]
    Listener(#[from] std::io::Error),
    /// A password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// What every request shares.
pub(crate) struct Shared {
    desk: Desk,
    /// Back-tests that may run at once.
    backtests: tokio::sync::Semaphore,
    /// Who has asked how often.
    limits: limits::Limits,
    /// Price lists that may be compared at once.
    comparisons: Arc<tokio::sync::Semaphore>,
    /// Price lists that may be taken over HTTP at once, dry runs among them: each is long, and is read whole.
    lists_taken: Arc<tokio::sync::Semaphore>,
    /// Calls that may be priced for trial at once.
    price_trials: Arc<tokio::sync::Semaphore>,
    /// Price lists between the look at them and their application.
    fee_lists: pages::fee_import::Lists,
}

/// Serves until `stop`.
///
/// # Errors
///
/// [`WebError::Listener`] when connections can no longer be accepted.
pub async fn serve(
    desk: Desk,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WebError> {
    let limits = limits::Limits::new(desk.limits);
    let shared = Arc::new(Shared {
        desk,
        backtests: tokio::sync::Semaphore::new(1),
        limits,
        comparisons: Arc::new(tokio::sync::Semaphore::new(1)),
        lists_taken: Arc::new(tokio::sync::Semaphore::new(1)),
        price_trials: Arc::new(tokio::sync::Semaphore::new(1)),
        fee_lists: pages::fee_import::Lists::default(),
    });
    let behind_sign_in = Router::new()
        .route("/", get(pages::live::page))
        .route("/figures", get(pages::live::stream))
        .route("/search", get(pages::search::go))
        .route("/calls", get(pages::calls::page))
        .route("/calls/{cdr}", get(pages::call::page))
        .route("/accounts", get(pages::accounts::list))
        .route("/accounts/{handle}", get(pages::accounts::one))
        .route("/accounts/{handle}/money", get(pages::money::page).post(pages::money::top_up))
        .route("/accounts/{handle}/statement", get(pages::money::statement))
        .route("/provisioning", get(pages::provisioning::first))
        .route("/provisioning/try", get(pages::provisioning::try_out))
        .route(
            "/provisioning/new/{resource}",
            get(pages::provisioning::new).post(pages::provisioning::submit_new),
        )
        .route("/provisioning/{resource}", get(pages::provisioning::list).post(pages::provisioning::take))
        .route(
            "/provisioning/{resource}/{key}",
            get(pages::provisioning::one).post(pages::provisioning::submit),
        )
        .route("/tariffs", get(pages::tariffs::list))
        .route("/tariffs/try", get(pages::price_trial::page))
        .route("/tariffs/shadow", get(pages::shadow::page).post(pages::shadow::submit))
        .route("/tariffs/{id}", get(pages::tariffs::one))
        .route(
            "/tariffs/{id}/import",
            get(pages::fee_import::page)
                .post(pages::fee_import::act)
                .layer(DefaultBodyLimit::max(pages::fee_import::FORM_BYTES_MAX)),
        )
        .route("/fraud", get(pages::fraud_desk::page))
        .route("/fraud/lock", post(pages::fraud_desk::set_lock))
        .route("/fraud/barring", post(pages::fraud_desk::set_barring))
        .route("/fraud/exception", post(pages::fraud_desk::set_exception))
        .route("/fraud/alerts/{id}", get(pages::fraud_case::page).post(pages::fraud_case::act))
        .route("/fraud/rules", get(pages::fraud_rules::list))
        .route("/fraud/rules/edit", get(pages::fraud_rules::edit).post(pages::fraud_rules::submit))
        .route("/invoices", get(pages::billing::list))
        .route("/invoices/run", get(pages::billing_run::page).post(pages::billing_run::start_run))
        .route("/invoices/{id}", get(pages::billing::one))
        .route("/invoices/{id}/paid", post(pages::billing_run::pay_invoice))
        .route("/invoices/{id}/pdf", get(pages::billing::pdf))
        .route("/files", get(pages::exchange::page))
        .route("/files/partners", get(pages::exchange::partners))
        .route("/files/trail", get(pages::exchange::trail))
        .route("/sql", get(pages::sql::page))
        .route("/sql.csv", get(pages::sql::csv))
        .route("/own", get(pages::own::overview))
        .route("/own/calls", get(pages::own::calls))
        .route("/own/statement", get(pages::own::statement))
        .route("/own/invoices/{id}/pdf", get(pages::own::invoice_pdf))
        .route("/access", get(pages::access::page).post(pages::access::act))
        .route("/me", get(pages::own_sign_in::page).post(pages::own_sign_in::act))
        .route("/health", get(pages::health::page))
        .route("/health/suspense", post(pages::health::act))
        .route("/metrics", get(metrics::page))
        .merge(api::routes().layer(from_fn_with_state(shared.clone(), idempotency::once)))
        .layer(from_fn_with_state(shared.clone(), guard::require_session));
    let doors = Router::new()
        .route("/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/sign-in/code", get(second_step::code_page).post(second_step::take_code))
        .route("/sign-in/set-up", get(second_step::set_up_page).post(second_step::set_up))
        .layer(from_fn_with_state(shared.clone(), guard::pace_sign_ins));
    let open = doors
        .route("/sign-out", post(sign_in::leave))
        .route("/d/{token}", get(downloads::fetch))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .route("/assets/console.css", get(assets::stylesheet))
        .route("/assets/console.js", get(assets::script));
    let app = open
        .merge(behind_sign_in)
        .layer(from_fn_with_state(shared.clone(), guard::harden))
        .with_state(shared);
    let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
    let stop = stop.shared();
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(stop.clone()).into_future() => Ok(served?),
        () = guard::patience_after(stop) => Ok(()),
    }
}

/// A ledger account in people's words.
pub fn ledger_name(directory: &Directory, account: LedgerAccount) -> String {
    let handle = |id: AccountId| directory.name_of(id);
    match account {
        LedgerAccount::Receivable(id) => format!("owed by {}", handle(id)),
        LedgerAccount::Payable(id) => format!("owed to {}", handle(id)),
        LedgerAccount::Revenue(_) => "revenue".to_owned(),
        LedgerAccount::Sales(id) => format!("sales of {}", handle(id)),
        LedgerAccount::Cost(_) => "cost of carriers".to_owned(),
        LedgerAccount::Bank(_) => "bank".to_owned(),
        LedgerAccount::Cash(id) => format!("money of {}", handle(id)),
        LedgerAccount::FreeCash(id) => format!("free cash of {}", handle(id)),
        LedgerAccount::FreeTime(id) => format!("free time of {}", handle(id)),
        LedgerAccount::Grants(_) => "grants".to_owned(),
        LedgerAccount::Vouchers(_) => "vouchers".to_owned(),
    }
}
