-- Registrations by day
-- for: analysts
-- says: Registrations that began, ended and were refused.
SELECT date_trunc('day', at) AS day, count(*) FILTER (WHERE outcome = 'registered') AS registered,
       count(*) FILTER (WHERE outcome = 'unregistered') AS unregistered, count(*) FILTER (WHERE outcome = 'refused') AS refused,
       count(DISTINCT subscriber) AS subscribers
FROM registrations WHERE at >= :from AND at < :to
GROUP BY day ORDER BY day
