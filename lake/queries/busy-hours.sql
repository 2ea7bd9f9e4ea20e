-- Busy hours
-- for: analysts
-- says: The ten hours with the most calls.
SELECT date_trunc('hour', start_at) AS hour, count(*) AS calls, round(sum(duration_seconds) / 3600, 2) AS erlangs,
       round(100.0 * count(*) FILTER (WHERE answered) / count(*), 1) AS asr
FROM calls WHERE start_at >= :from AND start_at < :to
GROUP BY hour ORDER BY calls DESC, hour LIMIT 10
