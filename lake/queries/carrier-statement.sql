-- What carriers are owed
-- for: carriers
-- says: To lay beside the carrier's own invoice: calls, seconds and sum by prefix.
SELECT account AS carrier, prefix, zone, currency, count(*) AS calls, sum(billed_seconds) AS billed_seconds, sum(cost) AS cost
FROM charges WHERE provider = 'carrier' AND direction = 'out' AND start_at >= :from AND start_at < :to
GROUP BY account, prefix, zone, currency ORDER BY carrier, cost DESC, prefix
