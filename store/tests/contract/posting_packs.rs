//! Postings of large commits, which lie in packs: told like those that are rows.

use std::collections::BTreeMap;

use model::{AccountId, LedgerAccount, Posting, PostingId, PostingReason, TenantId};
use store::{StoreEffect, StoreError};

use crate::database::{Database, sqlite};
use crate::sample::{cdr, eur, posting, second, step};

/// Two share a bucket.
const ACCOUNTS: [i64; 4] = [7, 71, 8, 1_000];

/// Of calls, a tenth taken back, among payments and grants, in no order; and by another side of the same accounts.
fn mixed(n_postings: u32) -> Vec<Posting> {
    let one = |n: u32| {
        let account = ACCOUNTS[n as usize % ACCOUNTS.len()];
        let call = Posting { at: second(i64::from(n * 7_919 % n_postings)), ..posting(n, account, "0.25") };
        match n % 30 {
            3 | 13 | 23 => Posting {
                debit: call.credit,
                credit: call.debit,
                reason: PostingReason::Reversal,
                reverses: Some(PostingId::derive(cdr(n - 3), 0, 0)),
                ..call
            },
            4 => Posting { reason: PostingReason::Payment, cdr: None, amount: eur("-3"), ..call },
            5 => Posting { reason: PostingReason::Grant, debit: LedgerAccount::Cash(call.account), ..call },
            6 => Posting {
                debit: LedgerAccount::Cost(TenantId(1)),
                credit: LedgerAccount::Payable(call.account),
                amount: eur("0.000001"),
                ..call
            },
            _ => call,
        }
    };
    (0..n_postings).map(one).collect()
}

/// `others` gets the same, in commits that are too small for packs.
async fn committed(db: &Database, others: &Database, all: &[Posting]) {
    for (part, position) in all.chunks(3_000).zip(0..) {
        let effects = part.iter().cloned().map(StoreEffect::Post).collect();
        db.store.commit("ledger", vec![step(0, position, position + 1, effects)]).await.unwrap();
    }
    for (part, position) in all.chunks(500).zip(0..) {
        let effects = part.iter().cloned().map(StoreEffect::Post).collect();
        others.store.commit("ledger", vec![step(0, position, position + 1, effects)]).await.unwrap();
    }
}

async fn counts(db: &Database) -> BTreeMap<String, u64> {
    db.store.table_counts().await.unwrap().into_iter().collect()
}

pub(crate) async fn packed_postings_are_told_like_rows(mut db: Database) {
    let rows = sqlite().await;
    committed(&db, &rows, &mixed(6_000)).await;
    db.reopen().await;
    let (store, others) = (&db.store, &rows.store);
    let n_rows = counts(&db).await;
    assert!(n_rows["postings"] < 500 && n_rows["posting_packs"] == 6, "{n_rows:?}");
    assert_eq!(counts(&rows).await["posting_packs"], 0);

    assert_eq!(store.balance_check().await.unwrap(), []);
    assert_eq!(store.balances().await.unwrap(), others.balances().await.unwrap());
    let ids = |mut ids: Vec<PostingId>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(store.posting_ids().await.unwrap()), ids(others.posting_ids().await.unwrap()));
    let all_of_time = (second(-1), second(99_999));
    for (from, to) in [all_of_time, (second(1_000), second(1_001)), (second(2_990), second(5_000))] {
        let sums = store.call_postings(from, to).await.unwrap();
        assert_eq!(sums, others.call_postings(from, to).await.unwrap());
        for account in ACCOUNTS.into_iter().chain([9]).map(AccountId) {
            let told = store.postings(account, from, to).await.unwrap();
            assert_eq!(told, others.postings(account, from, to).await.unwrap());
            for max in [0, 1, 2, 100, 1_000, 1_500] {
                let told = store.first_postings(account, (from, to), max).await.unwrap();
                assert_eq!(told, others.first_postings(account, (from, to), max).await.unwrap(), "{max}");
            }
            let owed = store.owed_for_calls(account, from, to).await.unwrap();
            assert_eq!(owed, others.owed_for_calls(account, from, to).await.unwrap());
            let before = store.balances_before(account, to).await.unwrap();
            assert_eq!(before, others.balances_before(account, to).await.unwrap());
            let grant = store.last_grant_before(account, to).await.unwrap();
            assert_eq!(grant, others.last_grant_before(account, to).await.unwrap());
        }
    }
    assert_eq!(store.postings(AccountId(7), all_of_time.0, all_of_time.1).await.unwrap().len(), 1_500);

    db.meddle("UPDATE balances SET micros = micros + 1 WHERE ledger_account = 'receivable:71'").await;
    let faults = db.store.balance_check().await.unwrap();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].account, LedgerAccount::Receivable(AccountId(71)));
}

pub(crate) async fn one_refused_posting_undoes_a_whole_packed_batch(db: Database) {
    let all = mixed(3_000);
    let with = |more: Vec<Posting>| {
        let effects = all.iter().cloned().chain(more).map(StoreEffect::Post).collect();
        vec![step(0, 0, 1, effects)]
    };
    // The same posting twice is one; another of the same id and time is refused.
    let another = Posting { amount: eur("0.26"), ..all[0].clone() };
    let refused = db.store.commit("ledger", with(vec![another])).await.unwrap_err();
    assert!(matches!(refused, StoreError::PostingConflict { .. }), "{refused}");
    // So is a payment that is there at another time.
    let payment = Posting { at: second(1), ..all[4].clone() };
    let refused = db.store.commit("ledger", with(vec![payment])).await.unwrap_err();
    assert!(matches!(refused, StoreError::PostingConflict { .. }), "{refused}");
    let fine = Posting { amount: eur("0.0000001"), ..all[0].clone() };
    let refused = db.store.commit("ledger", with(vec![fine])).await.unwrap_err();
    assert!(matches!(refused, StoreError::PostingConflict { .. } | StoreError::Amount { .. }), "{refused}");
    assert_eq!(db.store.posting_ids().await.unwrap(), []);
    assert_eq!(db.store.balances().await.unwrap(), []);

    db.store.commit("ledger", with(vec![all[0].clone()])).await.unwrap();
    assert_eq!(db.store.posting_ids().await.unwrap().len(), 3_000);
    assert_eq!(db.store.balance_check().await.unwrap(), []);
    // A batch that comes again after its commit is refused by its lane's position, which keeps it from being posted twice.
    let again = db.store.commit("ledger", with(Vec::new())).await.unwrap_err();
    assert!(matches!(again, StoreError::LaneMoved { .. }), "{again}");
    assert_eq!(db.store.posting_ids().await.unwrap().len(), 3_000);
}
