//! The SQL database: provisioning, ledger, positions and state of the stages, suspense, alerts and locks, invoices,
//! export queue, outgoing mail, people and their trail. The only room that knows SQL tables.
//!
//! In: what the other rooms decided, with the time it happened. Out: the same, after any crash, on SQLite
//! (`sqlite:///path/tollbook.db`) or PostgreSQL (`postgres://...`) by the same queries. What a change means, what a call
//! costs and what an invoice says are decided elsewhere; nothing here reads a clock.
//!
//! Start with [`Store`]; [`Store::commit`] is the transaction behind the stage protocol.

mod alert_cases;
mod alert_mail;
mod api_tokens;
mod audit;
mod backup;
mod backup_orders;
mod barrings;
mod billing_terms;
mod calling;
mod contracts;
mod dated_facts;
mod directory;
mod download_links;
mod edr_files;
mod edrs;
mod error;
mod exchange_inbox;
mod export_queue;
mod fee_list;
mod file_writer;
mod fraud_desk;
mod fraud_rules;
mod idempotency;
mod import;
mod imports;
mod insight;
mod invoice_credits;
mod invoice_templates;
mod invoices;
mod lake_duties;
mod lanes;
mod leases;
mod ledger;
mod limits;
mod long_tables;
mod mail_templates;
mod mirror;
mod objects;
mod outbox;
mod people;
mod pipeline_questions;
mod provisioning_events;
mod restore_hold;
mod revision;
mod schema;
mod second_factors;
mod sftp_trail;
mod source_bans;
mod sparkline;
mod sql;
mod stage_locks;
mod suspense;
mod tariffs;
mod webhook_words;
mod webhooks;
mod world;

pub use alert_cases::{AlertCase, AlertNote, CaseFilter, HandOver, RuleRecord};
pub use api_tokens::ApiToken;
pub use audit::{AuditEntry, AuditFault};
pub use backup::{Held, Snapshot, restore_postgres};
pub use backup_orders::{BackupOrder, BackupProgress};
pub use billing_terms::TermsBook;
pub use contracts::{
    HeldBalance, NewTopUp, NewVoucher, TOPUP, TopUpAttempt, TopUpKind, TopUpOutcome, voucher_code,
};
pub use dated_facts::PortedReport;
pub use download_links::DownloadLink;
pub use edr_files::{SettleEdrs, ToldEdr};
pub use edrs::{EdrFilter, WaitingEdr};
pub use error::StoreError;
pub use exchange_inbox::{Ack, InboxEntry, PutFile};
pub use export_queue::{
    ChooseCalls, ExportCall, ExportFile, ExportKey, ExportPlan, ExportReport, ExportState, KeptFormat,
};
pub use fraud_desk::LockChange;
pub use idempotency::{KeptAnswer, KeyState};
pub use import::beside_desk::ChangedAtDesk;
pub use import::edit::{DeskRules, Edit, EditFault, Edited, EditedObject, FaultKind, WorldFault};
pub use import::{ImportCount, ImportReport};
pub use imports::{IMPORT, Import, ImportCounts, ImportStep, ImportedRecord, SuspendedLine, WaitingImport};
pub use insight::QueueCheck;
pub use invoice_templates::TemplateFiles;
pub use invoices::{BEYOND_CALLS, Invoice, InvoiceKind, InvoiceState, InvoiceSums, NewInvoice, PAYMENT};
pub use lake_duties::{HoldScope, LakeErasure, LakeHold};
pub use lanes::{Lane, LaneCommit, StoreEffect, Watermark};
pub use leases::{Fence, Lease, Process};
pub use ledger::{Balance, BalanceFault, SideSum};
pub use mail_templates::KeptMailTemplate;
pub use mirror::MirrorMarks;
pub use objects::{Extras, FieldFault, ObjectKind, Objects, at, merge};
pub use outbox::{EventMail, LastMail, Mail, MailFill, MailState, NewMail};
pub use people::{NewUser, Session, User, WaitsFor};
pub use pipeline_questions::PipelineAnswer;
pub use provisioning_events::{PROVISIONING, WaitingChange};
pub use restore_hold::RestoreHold;
pub use revision::Announcements;
pub use schema::Store;
pub use second_factors::SecondFactor;
pub use sftp_trail::{Fetched, FetchedRange, TrailEntry, WaitingFile, fetched};
pub use suspense::{ResendOrder, SuspendedRecord};
pub use webhook_words::WordKind;
pub use webhooks::{Delivery, DeliveryState, WEBHOOKS_MAX, Webhook};
pub use world::{
    NewAccount, NewBillingTerms, NewContract, NewExchangeRate, NewMapping, NewNetwork, NewPackage,
    NewProfileChoice, NewProfileLimits, NewRoute, NewSubscriber, NewTariff, NewTenant, NewTrunk, World,
};

/// What a call to the store comes to.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
