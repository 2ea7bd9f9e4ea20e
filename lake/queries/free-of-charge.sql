-- Charged with nothing
-- for: finance
-- says: Answered calls with billed seconds and a price of zero that no free time or cash explains.
SELECT customer_tariff AS tariff, customer_prefix AS prefix, customer_zone AS zone, count(*) AS calls, sum(billed_seconds) AS billed_seconds
FROM calls
WHERE customer_cost = 0 AND billed_seconds > 0 AND coalesce(free_seconds, 0) = 0 AND coalesce(free_cash, 0) = 0
  AND start_at >= :from AND start_at < :to
GROUP BY customer_tariff, customer_prefix, customer_zone ORDER BY billed_seconds DESC, tariff, prefix LIMIT 100
