-- Top movers
-- for: finance
-- says: Accounts whose revenue changed most against the period of the same length before.
SELECT customer_account AS account, customer_currency AS currency,
       coalesce(sum(customer_cost) FILTER (WHERE start_at < :from), 0) AS revenue_before,
       coalesce(sum(customer_cost) FILTER (WHERE start_at >= :from), 0) AS revenue,
       coalesce(sum(customer_cost) FILTER (WHERE start_at >= :from), 0)
           - coalesce(sum(customer_cost) FILTER (WHERE start_at < :from), 0) AS change
FROM calls WHERE customer_account IS NOT NULL AND start_at >= :before AND start_at < :to
GROUP BY customer_account, customer_currency
ORDER BY abs(change) DESC, account LIMIT 50
