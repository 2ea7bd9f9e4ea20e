-- Ringing and gone
-- for: fraud
-- says: Callers from trunks who ring many and are hardly ever answered: calls made to be called back.
SELECT source_number, source_trunk, count(*) AS calls, count(DISTINCT destination_number) AS numbers_called,
       round(100.0 * count(*) FILTER (WHERE answered) / count(*), 1) AS asr, max(start_at) AS last_call
FROM calls WHERE source_trunk IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY source_number, source_trunk HAVING count(*) >= 3 AND count(*) FILTER (WHERE answered) * 5 <= count(*)
ORDER BY calls DESC, source_number LIMIT 100
