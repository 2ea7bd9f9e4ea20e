-- Each day at a glance
-- for: finance
-- says: Calls, minutes, revenue, cost and margin of each UTC day, one line for each currency.
SELECT day, customer_currency AS currency, count(*) AS calls, count(*) FILTER (WHERE answered) AS answered,
       round(sum(duration_seconds) / 60, 1) AS minutes, sum(customer_cost) AS revenue,
       sum(carrier_cost) FILTER (WHERE carrier_currency = customer_currency) AS cost, sum(margin) AS margin
FROM calls WHERE start_at >= :from AND start_at < :to
GROUP BY day, customer_currency ORDER BY day, currency
