//! Whether ledger and lake have all that was made until now: an invoice made before that leaves calls out.

use bus::Bus;

use crate::figures;
use crate::system::Consumer;

/// What is still on its way, with its counts and in words; `None`: nothing is.
pub(crate) async fn on_its_way(bus: &dyn Bus, consumers: &[Consumer]) -> anyhow::Result<Option<String>> {
    let waiting = figures::records_waiting(bus, consumers).await?;
    let waiting: Vec<String> = waiting
        .into_iter()
        .filter(|(_, n_records)| *n_records > 0)
        .map(|(stage, n_records)| format!("{n_records} for {stage}"))
        .collect();
    Ok((!waiting.is_empty()).then(|| waiting.join(", ")))
}
