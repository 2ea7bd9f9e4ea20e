-- Carriers side by side
-- for: carriers
-- says: Quality of each carrier for each destination it is used for: where another one would do better.
SELECT p.country, p.type, trunk, count(*) AS seizures, round(100.0 * count(*) FILTER (WHERE answered) / count(*), 1) AS asr,
       round(avg(duration_seconds) FILTER (WHERE answered), 1) AS acd_seconds, round(avg(pdd_ms), 0) AS pdd_ms,
       sum(carrier_cost) AS cost, carrier_currency AS currency
FROM calls c LEFT JOIN prefixes p ON p.prefix = number_prefix(c.destination_number)
WHERE trunk IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY p.country, p.type, trunk, carrier_currency ORDER BY p.country, p.type, seizures DESC, trunk LIMIT 500
