-- Traffic heat map
-- for: analysts
-- says: Calls by weekday (0 is Sunday) and hour of the day, UTC.
SELECT date_part('dow', start_at) AS weekday, date_part('hour', start_at) AS hour, count(*) AS calls,
       count(*) FILTER (WHERE answered) AS answered, round(sum(duration_seconds) / 60, 1) AS minutes
FROM calls WHERE start_at >= :from AND start_at < :to
GROUP BY weekday, hour ORDER BY weekday, hour
