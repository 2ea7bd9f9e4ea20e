//! What is measured without DuckDB: one call among all, and the memory of the delivered queries.

use std::time::Instant;

use lake::Lake;

use crate::questions::Known;

/// Calls looked up, from all over the lake.
const NEEDLES: usize = 40;

/// Looks calls up by their Call-ID, each once, none asked for before.
pub(crate) async fn needles(lake: &Lake) {
    let days = lake.query("SELECT DISTINCT day FROM calls_history ORDER BY day").await.expect("days").rows();
    let days: Vec<String> = days.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let mut ids = Vec::new();
    for place in 0..NEEDLES {
        let day = &days[place * days.len() / NEEDLES];
        let sql = format!(
            "SELECT sip_call_id FROM calls_history WHERE day = '{day}' AND start_at >= TIMESTAMP '{day} {:02}:{:02}:00' ORDER BY start_at LIMIT 1",
            8 + place % 12,
            place % 60
        );
        ids.extend(
            lake.query(&sql)
                .await
                .expect("a call")
                .rows()
                .into_iter()
                .filter_map(|row| row.into_iter().next().flatten()),
        );
    }
    let mut times = Vec::new();
    for (idx, id) in ids.iter().enumerate() {
        let sql = format!(
            "SELECT call_id, start_at, source_number, destination_number, status, customer_cost FROM calls WHERE sip_call_id = '{id}'"
        );
        let begun = Instant::now();
        let rows = lake.query(&sql).await.expect("the call").rows();
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        assert_eq!(rows.len(), 1, "{id}");
        if idx == 0 {
            println!("the first call by Call-ID, nothing read before: {ms:.1} ms");
        } else {
            times.push(ms);
        }
    }
    times.sort_by(f64::total_cmp);
    println!(
        "a call by Call-ID: {:.1} ms median, {:.1} ms at most, of {}",
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    );
}

/// Runs every delivered query over all days, one after the other.
pub(crate) async fn delivered(lake: &Lake, known: &Known) {
    let instant = |day: &str| format!("TIMESTAMP '{day} 00:00:00'");
    let mut worst = (0, String::new());
    println!("{:<28} {:>9} {:>12}", "delivered query", "ms", "MiB on top");
    for saved in lake::saved_queries() {
        let sql = saved
            .sql
            .replace(":before", &instant(&known.first_day))
            .replace(":from", &instant(&known.middle_day))
            .replace(":to", &instant(&known.end_day));
        crate::forget_peak();
        let base = crate::resident_mib();
        let begun = Instant::now();
        let outcome = lake.query(&sql).await;
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        let on_top = crate::peak_mib("/proc/self/status").saturating_sub(base);
        let end = outcome.map_or_else(
            |error| format!("refused: {}", error.code()),
            |result| format!("{} rows", result.rows().len()),
        );
        println!("{:<28} {ms:>9.0} {on_top:>12} {end}", saved.name);
        if on_top > worst.0 {
            worst = (on_top, saved.name.to_owned());
        }
    }
    println!("most on top: {} MiB ({})", worst.0, worst.1);
}
