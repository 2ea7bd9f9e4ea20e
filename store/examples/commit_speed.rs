//! Times commits of 1,000 postings with their position: `cargo run -p store --example commit_speed [URL]`.
//!
//! Without a URL it makes a SQLite file in a directory of its own.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints what it measured, by the clock")]

use std::time::Instant;

use chrono::DateTime;
use model::{
    AccountId, CallUid, CdrId, Currency, LedgerAccount, Money, Posting, PostingId, PostingReason, TenantId,
};
use rust_decimal::Decimal;
use store::{LaneCommit, Store, StoreEffect};

const N_COMMITS: u64 = 30;
const N_POSTINGS: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::TempDir::new()?;
    let file = format!("sqlite://{}", dir.path().join("tollbook.db").display());
    let store = Store::open(&std::env::args().nth(1).unwrap_or(file)).await?;
    let mut took = Vec::new();
    for batch in 0..N_COMMITS {
        let expected = batch * N_POSTINGS;
        let effects = (expected..expected + N_POSTINGS).map(|n| StoreEffect::Post(posting(n))).collect();
        let lane = LaneCommit {
            partition: 0,
            expected,
            position: expected + N_POSTINGS,
            watermarks: Vec::new(),
            changes: Vec::new(),
            effects,
        };
        let start = Instant::now();
        store.commit("rating", vec![lane]).await?;
        took.push(start.elapsed());
    }
    took.sort();
    println!(
        "{N_COMMITS} commits of {N_POSTINGS} postings: median {:?}, worst {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    Ok(())
}

/// One of 500 accounts pays for call `n`.
fn posting(n: u64) -> Posting {
    let cdr = CdrId::derive(&CallUid::new(format!("sw1-1-{n}")), 0);
    let account = AccountId((n % 500).cast_signed());
    Posting {
        id: PostingId::derive(cdr, 0, 0),
        tenant: TenantId(1),
        account,
        at: DateTime::UNIX_EPOCH,
        debit: LedgerAccount::Receivable(account),
        credit: LedgerAccount::Revenue(TenantId(1)),
        amount: Money::new(Decimal::new(123_456, 6), Currency::EUR),
        reason: PostingReason::Call,
        cdr: Some(cdr),
        reverses: None,
    }
}
