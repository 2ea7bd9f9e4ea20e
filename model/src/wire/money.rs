//! Topics `rated` and `postings`: what a call costs, and how money moves.

use super::scalar::{
    from_decimal, from_money, from_time, required, to_currency, to_decimal, to_id, to_money, to_time,
};
use super::words::Word as _;
use super::{WireError, proto};
use crate::{
    AccountId, Accrual, CdrId, Charge, Conversion, Direction, FeeId, Fragment, LedgerAccount, Peak, Piece,
    Posting, PostingId, PostingReason, ProfileVersionId, Provider, TenantId,
};

impl TryFrom<proto::Charge> for Charge {
    type Error = WireError;

    fn try_from(charge: proto::Charge) -> Result<Self, WireError> {
        Ok(Charge {
            provider: Provider::of(charge.provider, "Charge.provider")?,
            direction: Direction::of(charge.direction, "Charge.direction")?,
            account: AccountId(charge.account_id),
            version: ProfileVersionId(charge.version_id),
            profile: charge.profile,
            fee: charge.fee_id.map(FeeId),
            matched: charge.matched,
            zone: charge.zone,
            zone_detail: charge.zone_detail,
            currency: to_currency(&charge.currency, "Charge.currency")?,
            cost: to_decimal(charge.cost, "Charge.cost")?,
            free_seconds: charge.free_seconds,
            free_cash: to_decimal(charge.free_cash, "Charge.free_cash")?,
            billed_seconds: charge.billed_seconds,
            onpeak_seconds: charge.onpeak_seconds,
            offpeak_seconds: charge.offpeak_seconds,
            flat: to_decimal(charge.flat, "Charge.flat")?,
            rounding: charge.rounding,
            pieces: charge.pieces.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            conversion: charge.conversion.map(TryInto::try_into).transpose()?,
            fragments: charge.fragments.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<proto::Fragment> for Fragment {
    type Error = WireError;

    fn try_from(fragment: proto::Fragment) -> Result<Self, WireError> {
        Ok(Fragment {
            start: to_time(fragment.start_us, "Fragment.start_us")?,
            duration_us: fragment.duration_us,
            peak: Peak::of(fragment.peak, "Fragment.peak")?,
            cost: to_decimal(fragment.cost, "Fragment.cost")?,
            free_seconds: fragment.free_seconds,
            free_cash: to_decimal(fragment.free_cash, "Fragment.free_cash")?,
            billed_seconds: fragment.billed_seconds,
            onpeak_seconds: fragment.onpeak_seconds,
            offpeak_seconds: fragment.offpeak_seconds,
        })
    }
}

impl TryFrom<proto::Conversion> for Conversion {
    type Error = WireError;

    fn try_from(conversion: proto::Conversion) -> Result<Self, WireError> {
        Ok(Conversion {
            from: to_currency(&conversion.from_currency, "Conversion.from_currency")?,
            amount: to_decimal(conversion.amount, "Conversion.amount")?,
            rate: to_decimal(conversion.rate, "Conversion.rate")?,
            rate_from: to_time(conversion.rate_from_us, "Conversion.rate_from_us")?,
        })
    }
}

impl TryFrom<proto::Piece> for Piece {
    type Error = WireError;

    fn try_from(piece: proto::Piece) -> Result<Self, WireError> {
        Ok(Piece {
            start: to_time(piece.start_us, "Piece.start_us")?,
            seconds: piece.seconds,
            peak: Peak::of(piece.peak, "Piece.peak")?,
            is_init: piece.is_init,
            rate: to_decimal(piece.rate, "Piece.rate")?,
            per_seconds: piece.per_seconds,
            interval_seconds: piece.interval_seconds,
            price: to_decimal(piece.price, "Piece.price")?,
        })
    }
}

impl From<&Accrual> for proto::Accrual {
    fn from(accrual: &Accrual) -> Self {
        proto::Accrual {
            account_id: accrual.account.0,
            cdr_id: accrual.cdr.as_bytes().to_vec(),
            at_us: from_time(accrual.at),
            amount: Some(from_money(accrual.amount)),
            rate_per_minute: accrual.rate_per_minute.map(from_decimal),
        }
    }
}

impl TryFrom<proto::Accrual> for Accrual {
    type Error = WireError;

    fn try_from(accrual: proto::Accrual) -> Result<Self, WireError> {
        Ok(Accrual {
            account: AccountId(accrual.account_id),
            cdr: CdrId::from_bytes(to_id(&accrual.cdr_id, "Accrual.cdr_id")?),
            at: to_time(accrual.at_us, "Accrual.at_us")?,
            amount: to_money(accrual.amount, "Accrual.amount")?,
            rate_per_minute: accrual
                .rate_per_minute
                .map(|rate| to_decimal(Some(rate), "Accrual.rate_per_minute"))
                .transpose()?,
        })
    }
}

impl From<&Posting> for proto::Posting {
    fn from(posting: &Posting) -> Self {
        proto::Posting {
            id: posting.id.as_bytes().to_vec(),
            tenant_id: posting.tenant.0,
            account_id: posting.account.0,
            at_us: from_time(posting.at),
            debit: Some(from_ledger(posting.debit)),
            credit: Some(from_ledger(posting.credit)),
            amount: Some(from_money(posting.amount)),
            reason: posting.reason.to_wire(),
            cdr_id: posting.cdr.map(|id| id.as_bytes().to_vec()),
            reverses_id: posting.reverses.map(|id| id.as_bytes().to_vec()),
        }
    }
}

impl TryFrom<proto::Posting> for Posting {
    type Error = WireError;

    fn try_from(posting: proto::Posting) -> Result<Self, WireError> {
        let cdr = posting.cdr_id.map(|id| to_id(&id, "Posting.cdr_id")).transpose()?;
        let reverses = posting.reverses_id.map(|id| to_id(&id, "Posting.reverses_id")).transpose()?;
        Ok(Posting {
            id: PostingId::from_bytes(to_id(&posting.id, "Posting.id")?),
            tenant: TenantId(posting.tenant_id),
            account: AccountId(posting.account_id),
            at: to_time(posting.at_us, "Posting.at_us")?,
            debit: to_ledger(posting.debit, "Posting.debit")?,
            credit: to_ledger(posting.credit, "Posting.credit")?,
            amount: to_money(posting.amount, "Posting.amount")?,
            reason: PostingReason::of(posting.reason, "Posting.reason")?,
            cdr: cdr.map(CdrId::from_bytes),
            reverses: reverses.map(PostingId::from_bytes),
        })
    }
}

fn from_ledger(account: LedgerAccount) -> proto::LedgerAccount {
    let (side, id) = match account {
        LedgerAccount::Receivable(account) => (proto::LedgerSide::Receivable, account.0),
        LedgerAccount::Payable(account) => (proto::LedgerSide::Payable, account.0),
        LedgerAccount::Revenue(tenant) => (proto::LedgerSide::Revenue, tenant.0),
        LedgerAccount::Sales(account) => (proto::LedgerSide::Sales, account.0),
        LedgerAccount::Cost(tenant) => (proto::LedgerSide::Cost, tenant.0),
        LedgerAccount::Bank(tenant) => (proto::LedgerSide::Bank, tenant.0),
        LedgerAccount::Cash(account) => (proto::LedgerSide::Cash, account.0),
        LedgerAccount::FreeCash(account) => (proto::LedgerSide::FreeCash, account.0),
        LedgerAccount::FreeTime(account) => (proto::LedgerSide::FreeTime, account.0),
        LedgerAccount::Grants(tenant) => (proto::LedgerSide::Grants, tenant.0),
        LedgerAccount::Vouchers(tenant) => (proto::LedgerSide::Vouchers, tenant.0),
    };
    proto::LedgerAccount { side: side as i32, id }
}

fn to_ledger(account: Option<proto::LedgerAccount>, field: &'static str) -> Result<LedgerAccount, WireError> {
    let account = required(account, field)?;
    match proto::LedgerSide::try_from(account.side) {
        Ok(proto::LedgerSide::Receivable) => Ok(LedgerAccount::Receivable(AccountId(account.id))),
        Ok(proto::LedgerSide::Payable) => Ok(LedgerAccount::Payable(AccountId(account.id))),
        Ok(proto::LedgerSide::Revenue) => Ok(LedgerAccount::Revenue(TenantId(account.id))),
        Ok(proto::LedgerSide::Sales) => Ok(LedgerAccount::Sales(AccountId(account.id))),
        Ok(proto::LedgerSide::Cost) => Ok(LedgerAccount::Cost(TenantId(account.id))),
        Ok(proto::LedgerSide::Bank) => Ok(LedgerAccount::Bank(TenantId(account.id))),
        Ok(proto::LedgerSide::Cash) => Ok(LedgerAccount::Cash(AccountId(account.id))),
        Ok(proto::LedgerSide::FreeCash) => Ok(LedgerAccount::FreeCash(AccountId(account.id))),
        Ok(proto::LedgerSide::FreeTime) => Ok(LedgerAccount::FreeTime(AccountId(account.id))),
        Ok(proto::LedgerSide::Grants) => Ok(LedgerAccount::Grants(TenantId(account.id))),
        Ok(proto::LedgerSide::Vouchers) => Ok(LedgerAccount::Vouchers(TenantId(account.id))),
        Ok(proto::LedgerSide::Unspecified) => Err(WireError::Missing { field }),
        Err(_) => Err(WireError::UnknownWord { field, number: account.side }),
    }
}
