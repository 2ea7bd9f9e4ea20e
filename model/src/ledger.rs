//! Postings: the only way a balance changes.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::{UnknownWord, named_enum};
use crate::{AccountId, CdrId, Money, PostingId, TenantId};

/// An account of the double-entry ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LedgerAccount {
    /// What a customer or reseller owes us.
    Receivable(AccountId),
    /// What we owe a carrier.
    Payable(AccountId),
    /// What a tenant earns from calls.
    Revenue(TenantId),
    /// What a reseller earns from the calls of its own customers: not the tenant's money.
    Sales(AccountId),
    /// What a tenant pays for calls.
    Cost(TenantId),
    /// What reached a tenant's bank.
    Bank(TenantId),
    /// Own money of an account: paid in and not used up.
    Cash(AccountId),
    /// Free cash of an account's balance interval.
    FreeCash(AccountId),
    /// Free time of an account's balance interval, in seconds ([`crate::Currency::SECONDS`]).
    FreeTime(AccountId),
    /// Where a tenant's free cash and free time come from, and go when they expire.
    Grants(TenantId),
    /// Vouchers that a tenant has given out, once they are used.
    Vouchers(TenantId),
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerAccount::Receivable(id) => write!(f, "receivable:{id}"),
            LedgerAccount::Payable(id) => write!(f, "payable:{id}"),
            LedgerAccount::Revenue(id) => write!(f, "revenue:{id}"),
            LedgerAccount::Sales(id) => write!(f, "sales:{id}"),
            LedgerAccount::Cost(id) => write!(f, "cost:{id}"),
            LedgerAccount::Bank(id) => write!(f, "bank:{id}"),
            LedgerAccount::Cash(id) => write!(f, "cash:{id}"),
            LedgerAccount::FreeCash(id) => write!(f, "free_cash:{id}"),
            LedgerAccount::FreeTime(id) => write!(f, "free_time:{id}"),
            LedgerAccount::Grants(id) => write!(f, "grants:{id}"),
            LedgerAccount::Vouchers(id) => write!(f, "vouchers:{id}"),
        }
    }
}

impl FromStr for LedgerAccount {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord {
            text: text.to_owned(),
            allowed: &[
                "receivable:ID",
                "payable:ID",
                "revenue:ID",
                "sales:ID",
                "cost:ID",
                "bank:ID",
                "cash:ID",
                "free_cash:ID",
                "free_time:ID",
                "grants:ID",
                "vouchers:ID",
            ],
        };
        let (kind, id) = text.split_once(':').ok_or_else(unknown)?;
        let id: i64 = id.parse().map_err(|_| unknown())?;
        match kind {
            "receivable" => Ok(LedgerAccount::Receivable(AccountId(id))),
            "payable" => Ok(LedgerAccount::Payable(AccountId(id))),
            "revenue" => Ok(LedgerAccount::Revenue(TenantId(id))),
            "sales" => Ok(LedgerAccount::Sales(AccountId(id))),
            "cost" => Ok(LedgerAccount::Cost(TenantId(id))),
            "bank" => Ok(LedgerAccount::Bank(TenantId(id))),
            "cash" => Ok(LedgerAccount::Cash(AccountId(id))),
            "free_cash" => Ok(LedgerAccount::FreeCash(AccountId(id))),
            "free_time" => Ok(LedgerAccount::FreeTime(AccountId(id))),
            "grants" => Ok(LedgerAccount::Grants(TenantId(id))),
            "vouchers" => Ok(LedgerAccount::Vouchers(TenantId(id))),
            _ => Err(unknown()),
        }
    }
}

impl Serialize for LedgerAccount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LedgerAccount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

named_enum! {
    /// Why money moved.
    PostingReason {
        /// A call.
        Call = "call",
        /// The reversal of an earlier posting.
        Reversal = "reversal",
        /// A recurring fee.
        RecurringFee = "recurring_fee",
        /// A payment.
        Payment = "payment",
        /// By hand.
        Adjustment = "adjustment",
        /// Own money came in.
        TopUp = "topup",
        /// Own money came in by a voucher.
        Voucher = "voucher",
        /// Kept of a top-up.
        ServiceCharge = "service_charge",
        /// A balance interval gave free cash or free time, or a contract own money to begin with.
        Grant = "grant",
        /// What was left at the end of a balance interval, or came too late to be carried over; turned round for a call whose record came
        /// late.
        Expiry = "expiry",
        /// A prepaid call is paid from the balance; also when that is taken back.
        Settlement = "settlement",
        /// A call's record came out of order: what the calls of its interval cost in all is made what they cost in the order in which they
        /// began.
        OutOfOrder = "out_of_order",
        /// The same, but the account is held to what it has and is not asked for more: an amount of 0 that says so.
        OutOfOrderHeld = "out_of_order_held",
        /// The same, but it cannot be told what the calls cost in order: an amount of 0 that says so.
        OutOfOrderUnknown = "out_of_order_unknown",
    }
}

/// One movement: `amount` from the credit side to the debit side. Never changed, never deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Derived from what caused it: posting the same thing twice is noticed.
    pub id: PostingId,
    /// Whose platform.
    pub tenant: TenantId,
    /// The billing account it concerns; decides the partition.
    pub account: AccountId,
    /// When the call started or the money moved.
    pub at: DateTime<Utc>,
    /// This one grows.
    pub debit: LedgerAccount,
    /// This one shrinks.
    pub credit: LedgerAccount,
    /// How much; negative for a credit tariff.
    pub amount: Money,
    /// Why.
    pub reason: PostingReason,
    /// For which call.
    pub cdr: Option<CdrId>,
    /// Which posting it takes back.
    pub reverses: Option<PostingId>,
}
