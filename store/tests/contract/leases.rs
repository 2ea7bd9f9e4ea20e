//! Lanes that several processes take from each other: who lost one cannot commit, however late he notices.

use std::collections::BTreeMap;

use model::Posting;
use store::{Fence, Lease, Store, StoreEffect, StoreError};

use crate::database::Database;
use crate::sample::{posting, step};

fn unclaimed(partition: u32) -> Lease {
    Lease { name: "rating".to_owned(), partition, owner: String::new(), epoch: 0 }
}

async fn lease_of(store: &Store, partition: u32) -> Lease {
    let (_, leases) = store.processes_and_leases().await.unwrap();
    leases.into_iter().find(|lease| lease.partition == partition).unwrap()
}

fn fence(owner: &str, epochs: &[(u32, u64)]) -> Fence {
    Fence { owner: owner.to_owned(), epochs: epochs.iter().copied().collect::<BTreeMap<_, _>>() }
}

fn one_posting() -> Posting {
    posting(1, 7, "0.30")
}

pub(crate) async fn slow_former_owner_cannot_commit_whatever_its_position(db: Database) {
    let store = &db.store;
    assert_eq!(store.lease_claim(&unclaimed(0), "old").await.unwrap(), Some(1));
    assert_eq!(store.lease_claim(&unclaimed(1), "old").await.unwrap(), Some(1));
    let old = fence("old", &[(0, 1), (1, 1)]);
    store.commit_fenced("rating", vec![step(0, 0, 10, vec![])], &old).await.unwrap();

    let seen = lease_of(store, 0).await;
    assert_eq!(store.lease_claim(&seen, "new").await.unwrap(), Some(2));
    // The new owner has committed nothing yet, so the position is still the old one's.
    let late = vec![step(1, 0, 5, vec![]), step(0, 10, 20, vec![StoreEffect::Post(one_posting())])];
    let refused = store.commit_fenced("rating", late, &old).await.unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { partition: 0, .. }), "{refused}");
    assert_eq!(refused.code(), "STO024");
    assert_eq!(store.balances().await.unwrap(), [], "nothing of the batch was kept");
    assert_eq!(store.lane_positions().await.unwrap(), [("rating".to_owned(), 0, 10)]);

    store.commit_fenced("rating", vec![step(0, 10, 20, vec![])], &fence("new", &[(0, 2)])).await.unwrap();
    // The same process under an earlier epoch is another owner.
    let seen = lease_of(store, 0).await;
    assert_eq!(store.lease_claim(&seen, "new").await.unwrap(), Some(3));
    let stale = store.commit_fenced("rating", vec![step(0, 20, 30, vec![])], &fence("new", &[(0, 2)])).await;
    assert!(matches!(stale, Err(StoreError::Fenced { .. })), "{stale:?}");
    // What nobody claimed is nobody's.
    let unknown = store.commit_fenced("rating", vec![step(2, 0, 1, vec![])], &fence("new", &[(0, 3)])).await;
    assert!(matches!(unknown, Err(StoreError::Fenced { partition: 2, .. })), "{unknown:?}");
}

pub(crate) async fn lease_goes_to_the_first_who_claims_it(db: Database) {
    let store = &db.store;
    let claims = (0..8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.lease_claim(&unclaimed(0), &format!("p{n}")).await.unwrap() })
    });
    let mut n_won = 0;
    for claim in claims.collect::<Vec<_>>() {
        n_won += usize::from(claim.await.unwrap().is_some());
    }
    assert_eq!((n_won, lease_of(store, 0).await.epoch), (1, 1));

    // Given back by whoever has it, and by nobody else.
    let held = lease_of(store, 0).await;
    store.leases_release("somebody", std::slice::from_ref(&held)).await.unwrap();
    assert_eq!(lease_of(store, 0).await, held);
    store.leases_release(&held.owner, std::slice::from_ref(&held)).await.unwrap();
    assert_eq!(lease_of(store, 0).await.owner, "");
    assert_eq!(store.lease_claim(&held, "late").await.unwrap(), None, "seen before it was given back");
    assert_eq!(store.lease_claim(&lease_of(store, 0).await, "late").await.unwrap(), Some(2));
}

pub(crate) async fn process_that_takes_its_leave_frees_its_lanes(db: Database) {
    let store = &db.store;
    for _ in 0..3 {
        store.process_beat("p1", "rating,desk").await.unwrap();
    }
    store.process_beat("p2", "rating").await.unwrap();
    store.lease_claim(&unclaimed(0), "p1").await.unwrap();
    store.lease_claim(&unclaimed(1), "p2").await.unwrap();
    let (processes, _) = store.processes_and_leases().await.unwrap();
    let beats: Vec<_> = processes.iter().map(|p| (p.id.as_str(), p.roles.as_str(), p.beat)).collect();
    assert_eq!(beats, [("p1", "rating,desk", 3), ("p2", "rating", 1)]);

    store.process_forget("p1").await.unwrap();
    let (processes, leases) = store.processes_and_leases().await.unwrap();
    assert_eq!(processes.len(), 1);
    let owners: Vec<_> = leases.iter().map(|lease| (lease.owner.as_str(), lease.epoch)).collect();
    assert_eq!(owners, [("", 1), ("p2", 1)]);
}

/// A claim that comes while a commit is under way waits for it, and comes after it.
pub(crate) async fn claim_and_commit_never_overlap(db: Database) {
    let store = &db.store;
    store.lease_claim(&unclaimed(0), "a").await.unwrap();
    let committing = tokio::spawn({
        let store = store.clone();
        async move {
            let mut position = 0;
            loop {
                let batch = vec![step(0, position, position + 1, vec![])];
                match store.commit_fenced("rating", batch, &fence("a", &[(0, 1)])).await {
                    Ok(()) => position += 1,
                    Err(StoreError::Fenced { .. }) => return position,
                    Err(why) => panic!("{why}"),
                }
            }
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let seen = lease_of(store, 0).await;
    assert_eq!(store.lease_claim(&seen, "b").await.unwrap(), Some(2));
    let position = store.lane_positions().await.unwrap().first().map_or(0, |lane| lane.2);
    assert_eq!(committing.await.unwrap(), position, "nothing was committed after the claim");
}
