-- Traffic by hour
-- for: analysts
-- says: Calls, answered calls and erlangs (calls up at once, on average) of each hour in which calls began.
SELECT date_trunc('hour', start_at) AS hour, count(*) AS calls, count(*) FILTER (WHERE answered) AS answered,
       round(sum(duration_seconds) / 3600, 2) AS erlangs
FROM calls WHERE start_at >= :from AND start_at < :to
GROUP BY hour ORDER BY hour
