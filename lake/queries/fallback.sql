-- Calls saved by another route
-- for: carriers
-- says: How many calls the first route lost, and which trunk then carried them.
SELECT first.trunk AS failed_trunk, first.code AS with_code, last.trunk AS carried_by, count(*) AS calls
FROM attempts first JOIN attempts last ON last.cdr_id = first.cdr_id AND last.attempt > first.attempt AND last.class = 'answered'
WHERE first.attempt = 1 AND first.start_at >= :from AND first.start_at < :to AND last.start_at >= :from AND last.start_at < :to
GROUP BY first.trunk, first.code, last.trunk ORDER BY calls DESC, failed_trunk, with_code, carried_by
