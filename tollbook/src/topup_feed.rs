//! Puts top-ups on the bus, as rating reads them.
//!
//! In: top-ups that were done in the database, and payments of invoices, numbered in their order. Out: one posting each on the topic of CDRs, in the lane of its
//! account, with its number as origin; so one appended twice, by a crash before it was marked, is dropped as a replay.

use bus::Entry;
use model::{
    Account, AccountId, Body, Directory, LedgerAccount, Origin, Posting, PostingId, PostingReason, Record,
    Topic,
};
use store::{BEYOND_CALLS, PAYMENT, TOPUP, TopUpAttempt};
use tracing::error;

use crate::runner::{Rooms, entry};

/// Top-ups sent in one append.
const SENT_MAX: u32 = 256;

/// Sends what waits. Returns how many that were.
pub(crate) async fn send_waiting(rooms: &Rooms) -> anyhow::Result<usize> {
    let mut n_sent = 0;
    loop {
        let waiting = rooms.store.topups_waiting(SENT_MAX).await?;
        if waiting.is_empty() {
            return Ok(n_sent);
        }
        let mut directory = rooms.directory.current();
        if waiting.iter().any(|top_up| account_of(&directory, top_up.account).is_none()) {
            // Made since the snapshot was loaded.
            directory = rooms.directory.reload().await?;
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(waiting.len());
        for top_up in &waiting {
            let Some(account) = account_of(&directory, top_up.account) else {
                error!(account = %top_up.account, top_up = top_up.id, "the account of a top-up is gone");
                continue;
            };
            let posting = posting_of(top_up, account);
            let offset = u64::try_from(top_up.id).unwrap_or(0);
            let origin = Origin { stage: TOPUP.into(), partition: 0, offset, index: 0 };
            let record = Record { origin: Some(origin), body: Body::Posting(Box::new(posting)) };
            entries.push(entry(Topic::Cdrs, top_up.account, &record, &*rooms.bus));
        }
        if !entries.is_empty() {
            rooms.bus.append(entries).await?;
        }
        rooms.store.topups_sent(&waiting.iter().map(|top_up| top_up.id).collect::<Vec<_>>()).await?;
        n_sent += waiting.len();
    }
}

fn account_of(directory: &Directory, account: AccountId) -> Option<&Account> {
    directory.accounts.iter().find(|there| there.id == account)
}

/// What a top-up or a payment posts. Its id follows from the token: the same one twice is one posting.
pub(crate) fn posting_of(top_up: &TopUpAttempt, account: &Account) -> Posting {
    let (id, tenant) = (account.id, account.tenant);
    let (cash, owed, bank) =
        (LedgerAccount::Cash(id), LedgerAccount::Receivable(id), LedgerAccount::Bank(tenant));
    let (debit, credit, reason) = match top_up.kind.as_str() {
        "voucher" => (LedgerAccount::Vouchers(tenant), cash, PostingReason::Voucher),
        "adjustment" => (LedgerAccount::Grants(tenant), cash, PostingReason::Adjustment),
        // Whoever issued the invoice was paid, whoever sells to the account now. Where that was a reseller the debt goes with the sale,
        // and no money comes to our bank.
        PAYMENT => (top_up.seller.map_or(bank, LedgerAccount::Sales), owed, PostingReason::Payment),
        BEYOND_CALLS => (owed, LedgerAccount::Revenue(tenant), PostingReason::RecurringFee),
        _ => (bank, cash, PostingReason::TopUp),
    };
    Posting {
        id: PostingId::of_top_up(id, &top_up.token),
        tenant,
        account: id,
        at: top_up.at,
        debit,
        credit,
        amount: top_up.amount,
        reason,
        cdr: None,
        reverses: None,
    }
}

#[cfg(test)]
mod tests {
    use model::{AccountKind, Currency, Money};

    use super::*;

    #[test]
    fn payment_is_the_sellers_who_issued_the_invoice_whoever_sells_now() {
        let accounts = [(7, 1, AccountKind::Customer, "hotel")];
        let mut directory = crate::commands::directory_of(["vox", "alpine"], &accounts);
        let moved = |kind: &str, seller| TopUpAttempt {
            id: 1,
            account: AccountId(7),
            token: format!("tollbook:{kind}:INV-2026-000001"),
            kind: kind.to_owned(),
            outcome: "done".to_owned(),
            message: String::new(),
            amount: Money::new(12.into(), Currency::EUR),
            actor: "test".to_owned(),
            reason: String::new(),
            at: chrono::DateTime::UNIX_EPOCH,
            seller,
        };
        let mut shown = Vec::new();
        for (seller, reseller_now) in [(None, Some(AccountId(6))), (Some(AccountId(5)), None)] {
            directory.accounts[0].reseller = reseller_now;
            for kind in ["cash", PAYMENT, BEYOND_CALLS] {
                let posting = posting_of(&moved(kind, seller), &directory.accounts[0]);
                shown.push(format!("{kind}: {} from {}", posting.debit, posting.credit));
            }
        }
        assert_eq!(
            shown,
            [
                "cash: bank:1 from cash:7",
                "payment: bank:1 from receivable:7",
                "invoice: receivable:7 from revenue:1",
                "cash: bank:1 from cash:7",
                "payment: sales:5 from receivable:7",
                "invoice: receivable:7 from revenue:1",
            ]
        );
    }
}
