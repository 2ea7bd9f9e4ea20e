-- Satellite, premium and shared-cost numbers
-- for: fraud
-- says: Who calls what fraud is made with.
SELECT c.payer, p.name, p.type, count(*) AS calls, round(sum(c.duration_seconds) / 60, 1) AS minutes, sum(c.customer_cost) AS cost,
       c.customer_currency AS currency, max(c.start_at) AS last_call
FROM calls c JOIN prefixes p ON p.prefix = number_prefix(c.destination_number)
WHERE p.type IN ('satellite', 'premium', 'shared_cost', 'network') AND start_at >= :from AND start_at < :to
GROUP BY c.payer, p.name, p.type, c.customer_currency ORDER BY minutes DESC, c.payer, p.name
