-- Calls sold below cost
-- for: finance
-- says: Prefixes on which calls cost more than they earn: a tariff or a route to look at.
SELECT customer_tariff AS tariff, customer_prefix AS prefix, carrier_account AS carrier, carrier_prefix, customer_currency AS currency,
       count(*) AS calls, sum(margin) AS loss, max(start_at) AS last_call
FROM calls WHERE margin < 0 AND start_at >= :from AND start_at < :to
GROUP BY customer_tariff, customer_prefix, carrier_account, carrier_prefix, customer_currency ORDER BY loss LIMIT 100
