-- How long calls are
-- for: analysts
-- says: Answered calls by length.
SELECT CASE WHEN duration_seconds < 6 THEN '1: under 6 s' WHEN duration_seconds < 60 THEN '2: under 1 min'
       WHEN duration_seconds < 600 THEN '3: under 10 min' WHEN duration_seconds < 3600 THEN '4: under 1 h' ELSE '5: longer' END AS length,
       count(*) AS calls, round(sum(duration_seconds) / 60, 1) AS minutes
FROM calls WHERE answered AND start_at >= :from AND start_at < :to
GROUP BY length ORDER BY length
