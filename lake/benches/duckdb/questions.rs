//! Twenty questions of finance, carriers, analysts and the fraud desk, in words that both engines understand.

/// One question.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) sql: String,
}

/// What is known of the calls before anything is asked.
pub(crate) struct Known {
    /// First and last day, and one in the middle.
    pub(crate) first_day: String,
    pub(crate) end_day: String,
    pub(crate) middle_day: String,
    /// Of a call on the day in the middle.
    pub(crate) sip_call_id: String,
    pub(crate) call_id: String,
    pub(crate) account: String,
}

/// The questions, asked of `calls` (`table` names it).
pub(crate) fn questions(table: &str, known: &Known) -> Vec<Question> {
    let Known { first_day, end_day, middle_day, sip_call_id, call_id, account } = known;
    let period =
        format!("start_at >= TIMESTAMP '{first_day} 00:00:00' AND start_at < TIMESTAMP '{end_day} 00:00:00'");
    let middle = format!("TIMESTAMP '{middle_day} 00:00:00'");
    let asr = "count(*) FILTER (WHERE answered) AS answered";
    let made = [
        (
            "month at a glance",
            format!(
                "SELECT count(*) AS calls, {asr}, sum(duration_seconds) AS seconds, sum(customer_cost) AS revenue, sum(margin) AS margin FROM {table} WHERE {period}"
            ),
        ),
        (
            "daily close",
            format!(
                "SELECT day, customer_currency, count(*) AS calls, {asr}, sum(duration_seconds) AS seconds, sum(customer_cost) AS revenue, sum(carrier_cost) FILTER (WHERE carrier_currency = customer_currency) AS cost, sum(margin) AS margin FROM {table} WHERE {period} GROUP BY day, customer_currency ORDER BY day, customer_currency"
            ),
        ),
        (
            "revenue by zone",
            format!(
                "SELECT customer_zone, customer_zone_detail, customer_currency, count(*) AS calls, sum(billed_seconds) AS billed, sum(customer_cost) AS revenue, sum(margin) AS margin FROM {table} WHERE customer_cost IS NOT NULL AND {period} GROUP BY customer_zone, customer_zone_detail, customer_currency ORDER BY revenue DESC, customer_zone, customer_zone_detail LIMIT 100"
            ),
        ),
        (
            "revenue by account",
            format!(
                "SELECT customer_account, customer_currency, count(*) AS calls, sum(billed_seconds) AS billed, sum(customer_cost) AS revenue, sum(margin) AS margin FROM {table} WHERE customer_account IS NOT NULL AND {period} GROUP BY customer_account, customer_currency ORDER BY revenue DESC, customer_account LIMIT 100"
            ),
        ),
        (
            "margin by carrier and destination",
            format!(
                "SELECT carrier_account, customer_zone, customer_currency, count(*) AS calls, sum(customer_cost) AS revenue, sum(carrier_cost) AS cost, sum(margin) AS margin FROM {table} WHERE carrier_account IS NOT NULL AND margin IS NOT NULL AND {period} GROUP BY carrier_account, customer_zone, customer_currency ORDER BY margin, carrier_account, customer_zone"
            ),
        ),
        (
            "carrier quality",
            format!(
                "SELECT trunk, destination_account, count(*) AS seizures, {asr}, count(*) FILTER (WHERE answered OR status IN ('busy', 'noanswer', 'cancel') OR code IN (404, 410, 484, 604)) AS effective, avg(duration_seconds) FILTER (WHERE answered) AS acd, avg(pdd_ms) AS pdd FROM {table} WHERE trunk IS NOT NULL AND {period} GROUP BY trunk, destination_account ORDER BY seizures DESC, trunk"
            ),
        ),
        (
            "percentiles of post-dial delay",
            format!(
                "SELECT trunk, percentile_cont(0.5) WITHIN GROUP (ORDER BY pdd_ms) AS half, percentile_cont(0.95) WITHIN GROUP (ORDER BY pdd_ms) AS most FROM {table} WHERE trunk IS NOT NULL AND start_at >= {middle} AND {period} GROUP BY trunk ORDER BY trunk"
            ),
        ),
        (
            "heat map",
            format!(
                "SELECT date_part('dow', start_at) AS weekday, date_part('hour', start_at) AS hour, count(*) AS calls, {asr}, sum(duration_seconds) AS seconds FROM {table} WHERE {period} GROUP BY weekday, hour ORDER BY weekday, hour"
            ),
        ),
        (
            "traffic by hour",
            format!(
                "SELECT date_trunc('hour', start_at) AS hour, count(*) AS calls, {asr}, sum(duration_seconds) AS seconds FROM {table} WHERE {period} GROUP BY hour ORDER BY hour"
            ),
        ),
        (
            "top movers",
            format!(
                "SELECT customer_account, coalesce(sum(customer_cost) FILTER (WHERE start_at < {middle}), 0) AS before, coalesce(sum(customer_cost) FILTER (WHERE start_at >= {middle}), 0) AS after, coalesce(sum(customer_cost) FILTER (WHERE start_at >= {middle}), 0) - coalesce(sum(customer_cost) FILTER (WHERE start_at < {middle}), 0) AS change FROM {table} WHERE customer_account IS NOT NULL AND {period} GROUP BY customer_account ORDER BY abs(coalesce(sum(customer_cost) FILTER (WHERE start_at >= {middle}), 0) - coalesce(sum(customer_cost) FILTER (WHERE start_at < {middle}), 0)) DESC, customer_account LIMIT 50"
            ),
        ),
        (
            "why calls failed",
            format!(
                "SELECT cause, code, status, count(*) AS calls, count(DISTINCT payer) AS payers FROM {table} WHERE NOT answered AND {period} GROUP BY cause, code, status ORDER BY calls DESC, cause, code"
            ),
        ),
        (
            "many numbers called",
            format!(
                "SELECT payer, count(DISTINCT destination_number) AS numbers, count(*) AS calls FROM {table} WHERE source_account IS NOT NULL AND start_at >= {middle} AND {period} GROUP BY payer ORDER BY numbers DESC, payer LIMIT 50"
            ),
        ),
        (
            "ringing and gone",
            format!(
                "SELECT source_number, source_trunk, count(*) AS calls, count(DISTINCT destination_number) AS numbers, {asr}, max(start_at) AS last_call FROM {table} WHERE source_trunk IS NOT NULL AND start_at >= {middle} AND {period} GROUP BY source_number, source_trunk HAVING count(*) >= 3 AND count(*) FILTER (WHERE answered) * 5 <= count(*) ORDER BY calls DESC, source_number, source_trunk LIMIT 100"
            ),
        ),
        (
            "lengths of calls",
            format!(
                "SELECT CASE WHEN duration_seconds < 6 THEN '1: under 6 s' WHEN duration_seconds < 60 THEN '2: under 1 min' WHEN duration_seconds < 600 THEN '3: under 10 min' ELSE '4: longer' END AS length, count(*) AS calls, sum(duration_seconds) AS seconds FROM {table} WHERE answered AND {period} GROUP BY length ORDER BY length"
            ),
        ),
        (
            "a day's statement of an account",
            format!(
                "SELECT start_at, destination_number, duration_seconds, customer_zone, customer_cost FROM {table} WHERE customer_account = {account} AND day = DATE '{middle_day}' ORDER BY start_at, destination_number LIMIT 1000"
            ),
        ),
        (
            "a call by Call-ID",
            format!(
                "SELECT call_id, start_at, source_number, destination_number, status, customer_cost FROM {table} WHERE sip_call_id = '{sip_call_id}' ORDER BY start_at"
            ),
        ),
        (
            "a call by our name",
            format!(
                "SELECT call_id, start_at, source_number, destination_number, status, customer_cost FROM {table} WHERE call_id = '{call_id}' ORDER BY start_at"
            ),
        ),
        (
            "last calls of an account",
            format!(
                "SELECT start_at, destination_number, status, duration_seconds, customer_cost FROM {table} WHERE payer = {account} ORDER BY start_at DESC, destination_number LIMIT 50"
            ),
        ),
        (
            "spent at night",
            format!(
                "SELECT customer_account, sum(customer_cost) FILTER (WHERE date_part('hour', start_at) >= 22 OR date_part('hour', start_at) < 6) AS at_night, sum(customer_cost) AS in_all FROM {table} WHERE customer_cost > 0 AND {period} GROUP BY customer_account ORDER BY at_night DESC NULLS LAST, customer_account LIMIT 50"
            ),
        ),
        (
            "dearest calls",
            format!(
                "SELECT start_at, payer, destination_number, duration_seconds, customer_cost FROM {table} WHERE {period} AND customer_cost IS NOT NULL ORDER BY customer_cost DESC, start_at LIMIT 20"
            ),
        ),
    ];
    made.into_iter().map(|(name, sql)| Question { name, sql }).collect()
}
