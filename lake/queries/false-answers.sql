-- Answered and gone
-- for: carriers
-- says: Trunks with many answered calls of less than six seconds: recordings, or answers that were none.
SELECT trunk, customer_zone AS zone, count(*) AS answered, count(*) FILTER (WHERE duration_seconds < 6) AS short_calls,
       round(100.0 * count(*) FILTER (WHERE duration_seconds < 6) / count(*), 1) AS short_percent, sum(carrier_cost) AS cost,
       carrier_currency AS currency
FROM calls WHERE answered AND trunk IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY trunk, customer_zone, carrier_currency HAVING count(*) FILTER (WHERE duration_seconds < 6) > 0
ORDER BY short_percent DESC, trunk, zone
