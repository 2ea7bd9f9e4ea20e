-- Spent at night
-- for: fraud
-- says: Accounts by what they spent between 22 and 6 o'clock UTC, with their share of the whole.
SELECT customer_account AS account, customer_currency AS currency,
       sum(customer_cost) FILTER (WHERE date_part('hour', start_at) >= 22 OR date_part('hour', start_at) < 6) AS at_night,
       sum(customer_cost) AS in_all,
       round(100 * sum(customer_cost) FILTER (WHERE date_part('hour', start_at) >= 22 OR date_part('hour', start_at) < 6)
           / nullif(sum(customer_cost), 0), 1) AS night_percent
FROM calls WHERE customer_cost > 0 AND start_at >= :from AND start_at < :to
GROUP BY customer_account, customer_currency ORDER BY at_night DESC NULLS LAST, account LIMIT 50
