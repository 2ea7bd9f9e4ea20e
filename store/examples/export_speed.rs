//! Times what the database does when a hundred partners' files of 5,000 calls are closed: planning them, reading their calls, noting
//! that they are written. `cargo run -p store --example export_speed [URL]`; rendering and writing them is in the bench `format`
//! of the room `exports`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints what it measured, by the clock")]

use std::time::Instant;

use chrono::DateTime;
use model::{CallUid, CdrId};
use store::{ExportPlan, KeptFormat, LaneCommit, Store, StoreEffect};

const N_PARTNERS: u32 = 100;
const N_CALLS: u32 = 5_000;
/// A rated call on the bus, about.
const CALL_BYTES: usize = 400;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::TempDir::new()?;
    let file = format!("sqlite://{}", dir.path().join("tollbook.db").display());
    let store = Store::open(&std::env::args().nth(1).unwrap_or(file)).await?;
    let start = Instant::now();
    for partner in 0..N_PARTNERS {
        let effects = (0..N_CALLS)
            .map(|n| StoreEffect::Export {
                owner: format!("carrier:{partner}"),
                cdr: CdrId::derive(&CallUid::new(format!("sw1-{partner}-{n}")), 0),
                revision: 0,
                payload: vec![7; CALL_BYTES],
            })
            .collect();
        let position = u64::from(partner);
        let lane = LaneCommit {
            partition: 0,
            expected: position,
            position: position + 1,
            watermarks: Vec::new(),
            changes: Vec::new(),
            effects,
        };
        store.commit("exports", vec![lane]).await?;
    }
    println!("{N_PARTNERS} partners' {N_CALLS} calls queued in {:?}", start.elapsed());

    let format = KeptFormat { name: "csv".to_owned(), description: String::new() };
    store.export_keep_format("hash", &format).await?;
    let start = Instant::now();
    let mut n_bytes = 0;
    for partner in 0..N_PARTNERS {
        let plan = ExportPlan {
            owner: &format!("carrier:{partner}"),
            rows_max: N_CALLS,
            now: DateTime::UNIX_EPOCH,
            format: "hash",
            zone: "UTC",
            owner_name: "acme",
            may_be_empty: false,
            corrections: Some("main.corrections/carrier"),
        };
        let name = |sequence: u64| format!("carriers/{partner}/{sequence}.cdr");
        let Some(file) = store.export_plan(plan, None, |sequence, _| name(sequence)).await? else { continue };
        let calls = store.export_rows(file.id, None).await?;
        n_bytes += calls.iter().map(|call| call.payload.len()).sum::<usize>();
        store.export_written(file.id, 1, "md5", "sha256").await?;
    }
    println!("their files planned, read ({n_bytes} bytes) and noted as written in {:?}", start.elapsed());
    Ok(())
}
