//! Puts top-ups on the bus, as rating reads them.
//!
//! In: top-ups that were done in the database, numbered in their order. Out: one posting each on the topic of CDRs, in the lane of its
//! account, with its number as origin; so one appended twice, by a crash before it was marked, is dropped as a replay.

use bus::Entry;
use model::{
    AccountId, Body, Directory, LedgerAccount, Origin, Posting, PostingId, PostingReason, Record, TenantId,
    Topic,
};
use store::{TOPUP, TopUpAttempt};
use tracing::error;

use crate::runner::{Rooms, entry};

/// Top-ups sent in one append.
const SENT_MAX: u32 = 256;

/// Sends what waits. Returns how many that were.
pub(crate) async fn send_waiting(rooms: &Rooms) -> anyhow::Result<usize> {
    let mut n_sent = 0;
    loop {
        let waiting = rooms.store.topups_waiting(SENT_MAX).await?;
        let Some(last) = waiting.last().map(|top_up| top_up.id) else { return Ok(n_sent) };
        let mut directory = rooms.directory.current();
        if waiting.iter().any(|top_up| tenant_of(&directory, top_up.account).is_none()) {
            // Made since the snapshot was loaded.
            directory = rooms.directory.reload().await?;
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(waiting.len());
        for top_up in &waiting {
            let Some(tenant) = tenant_of(&directory, top_up.account) else {
                error!(account = %top_up.account, top_up = top_up.id, "the account of a top-up is gone");
                continue;
            };
            let posting = posting_of(top_up, tenant);
            let offset = u64::try_from(top_up.id).unwrap_or(0);
            let origin = Origin { stage: TOPUP.into(), partition: 0, offset, index: 0 };
            let record = Record { origin: Some(origin), body: Body::Posting(Box::new(posting)) };
            entries.push(entry(Topic::Cdrs, top_up.account, &record, &*rooms.bus));
        }
        if !entries.is_empty() {
            rooms.bus.append(entries).await?;
        }
        rooms.store.topups_sent(last).await?;
        n_sent += waiting.len();
    }
}

fn tenant_of(directory: &Directory, account: AccountId) -> Option<TenantId> {
    directory.accounts.iter().find(|there| there.id == account).map(|there| there.tenant)
}

/// What a top-up posts. Its id follows from the token: the same one twice is one posting.
fn posting_of(top_up: &TopUpAttempt, tenant: TenantId) -> Posting {
    let (debit, reason) = match top_up.kind.as_str() {
        "voucher" => (LedgerAccount::Vouchers(tenant), PostingReason::Voucher),
        "adjustment" => (LedgerAccount::Grants(tenant), PostingReason::Adjustment),
        _ => (LedgerAccount::Bank(tenant), PostingReason::TopUp),
    };
    Posting {
        id: PostingId::of_top_up(top_up.account, &top_up.token),
        tenant,
        account: top_up.account,
        at: top_up.at,
        debit,
        credit: LedgerAccount::Cash(top_up.account),
        amount: top_up.amount,
        reason,
        cdr: None,
        reverses: None,
    }
}
