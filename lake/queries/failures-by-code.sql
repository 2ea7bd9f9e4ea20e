-- Why carriers refuse
-- for: carriers
-- says: Final codes of each trunk that were no answer.
SELECT trunk, code, class, count(*) AS attempts, min(start_at) AS first, max(start_at) AS last
FROM attempts WHERE trunk IS NOT NULL AND class <> 'answered' AND start_at >= :from AND start_at < :to
GROUP BY trunk, code, class ORDER BY attempts DESC, trunk, code LIMIT 200
