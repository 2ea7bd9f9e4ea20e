-- Every route tried
-- for: carriers
-- says: Of all attempts, those before the last one too: how often each trunk answered, and whose doing the failures were.
SELECT trunk, count(*) AS attempts, count(*) FILTER (WHERE class = 'answered') AS answered,
       count(*) FILTER (WHERE class = 'callee' OR class = 'no_such_number') AS by_called_side,
       count(*) FILTER (WHERE class = 'network') AS by_network, count(*) FILTER (WHERE class = 'timeout') AS timed_out,
       round(100.0 * count(*) FILTER (WHERE class IN ('network', 'timeout')) / count(*), 1) AS failed_percent,
       round(avg(pdd_ms), 0) AS pdd_ms
FROM attempts WHERE trunk IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY trunk ORDER BY attempts DESC, trunk
