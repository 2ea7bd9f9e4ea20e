-- Margin by destination
-- for: finance
-- says: The same by country and kind of number.
SELECT p.country, p.type, c.customer_currency AS currency, count(*) AS calls, sum(c.customer_cost) AS revenue,
       sum(c.carrier_cost) AS cost, sum(c.margin) AS margin
FROM calls c LEFT JOIN prefixes p ON p.prefix = number_prefix(c.destination_number)
WHERE c.margin IS NOT NULL AND c.start_at >= :from AND c.start_at < :to
GROUP BY p.country, p.type, c.customer_currency ORDER BY margin, p.country, p.type
