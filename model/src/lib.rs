//! The words all rooms of Tollbook share: ids, numbers, money, time, and the records that travel on the bus.
//!
//! Nothing here does I/O, reads a clock or draws a random number. The records have two forms outside
//! memory: protobuf on the bus ([`wire`], published in `model/proto`) and readable JSON (their `serde` form).

mod account;
mod accrual;
mod alert;
mod barring;
mod billing_terms;
mod calling;
mod cause;
mod cdr;
mod control;
mod directory;
mod e164;
mod edr;
mod event;
mod fees;
mod fraud_desk;
mod host_port;
mod id;
mod ledger;
mod lock;
mod mail_event;
mod moment;
mod money;
mod package;
mod partition;
mod rated;
mod rates;
mod record;
mod sighting;
mod source_ban;
mod span;
mod stage;
mod statement;
mod suspense;
mod tariff;
mod text;
pub mod wire;

pub use account::{
    Account, AccountKind, AccountStatus, Address, Contact, FraudCompat, FraudLimit, FraudPolicy, FraudPrice,
    FraudUnlock, ProfileLimits, ProfileMapping, Tenant,
};
pub use accrual::Accrual;
pub use alert::{Alert, AlertSeverity, Course, Finding, Measured, Spending, Verdict};
pub use barring::Barring;
pub use billing_terms::{AgreedFee, BillingCycle, BillingTerms, EInvoice, Language, TaxCategory, TaxRate};
pub use calling::{
    AccountCalling, BlockList, CallForward, CallingRules, CliPolicy, CountryDialling, ForwardKind, ListMode,
    NcosLevel, NumberSource, OutForm, RewriteRule, RewriteSet, RouteCalling, SubscriberCalling,
    TenantCalling, TrunkCalling, TrunkLogin,
};
pub use cause::{Cause, Initiator, UnknownWord};
pub use cdr::{CallStatus, CallType, Cdr, CdrDestination, CdrDetail, CdrSource, RouteClass, RouteTry};
pub use control::Control;
pub use directory::{Digest, Directory, NumberOwner, Route, Subscriber, Transport, Trunk};
pub use e164::{E164, InvalidE164};
pub use edr::{Edr, EdrKind};
pub use event::{
    Answer, Attempt, AttemptDetail, AuthMethod, CallEvent, CallUpdate, ChargeTick, End, EventBody, Forwarded,
    MediaQuality, NodeStarted, Party, PeerLogin, Progress, Provisioned, ProvisioningChange, Registration,
    RegistrationChange, Rejected, RouteAction, RouteAttempt, RouteResult, Security, SecurityKind,
    TrunkHealth, TrunkState, UpdateKind,
};
pub use fees::Fees;
pub use fraud_desk::{FraudException, FraudRule, KillOrder, Stopped, StoppedBy};
pub use host_port::{HostPort, InvalidHostPort};
pub use id::{
    AccountId, AlertId, CallUid, CdrId, FeeId, InvalidId, InvoiceId, NetworkId, PostingId, ProfileId,
    ProfileVersionId, RouteId, SubscriberId, TenantId, TrunkId,
};
pub use ledger::{LedgerAccount, Posting, PostingReason};
pub use lock::{Lock, LockLevel, LockSource};
pub use mail_event::{MailEvent, MailVariable};
pub use moment::Moment;
pub use money::{Currency, InvalidCurrency, MICROS_PER_UNIT, Money, MoneyError, from_micros, to_micros};
pub use package::{
    BalanceLength, BalanceUnit, CarryOver, ContractTerms, LowBalance, Package, ProfileChoice, ProfileSwitch,
    StartMode, TenantPackage, Underrun,
};
pub use partition::{PARTITIONS_DEFAULT, partition_of};
pub use rated::{Charge, Conversion, Direction, Fragment, Peak, Piece, Provider, RatedCdr};
pub use rates::{BillingNetwork, ExchangeRate, PortedNumber};
pub use record::{Body, Origin, Record, Topic};
pub use sighting::{SightedBy, Sighting, SightingStep};
pub use source_ban::SourceBan;
pub use span::{InvalidSpan, Span};
pub use stage::{Effect, Effects, Stage, StageInput, StateChange};
pub use statement::{Held, Statement, StatementRow};
pub use suspense::{Retry, Suspended};
pub use tariff::{
    BillingInterval, BillingProfile, ExtraRate, Fee, FeeMatch, IntervalPrice, IntervalUnit, MatchMode,
    OffPeakSpecial, OffPeakWeekday, PeakOptions, PeakSplit, PriceModel, PriceStep, Rate, Rounding,
    RoundingMode, TariffVersion,
};
pub use text::{Text, text_of};
