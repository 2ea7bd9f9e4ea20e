-- Revenue and margin by zone
-- for: finance
-- says: Where the money comes from: calls that somebody pays for, by zone of the customer's fee.
SELECT customer_zone AS zone, customer_currency AS currency, count(*) AS calls, sum(billed_seconds) AS billed_seconds,
       sum(customer_cost) AS revenue, sum(margin) AS margin
FROM calls WHERE customer_cost IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY customer_zone, customer_currency ORDER BY revenue DESC, zone LIMIT 100
