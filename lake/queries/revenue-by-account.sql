-- Revenue and margin by account
-- for: finance
-- says: The customers, the largest first.
SELECT customer_account AS account, customer_currency AS currency, count(*) AS calls, sum(billed_seconds) AS billed_seconds,
       sum(customer_cost) AS revenue, sum(margin) AS margin
FROM calls WHERE customer_account IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY customer_account, customer_currency ORDER BY revenue DESC, account LIMIT 100
