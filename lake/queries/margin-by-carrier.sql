-- Margin by carrier
-- for: finance
-- says: What is left of the calls that each carrier took, in calls whose two prices are in one currency.
SELECT carrier_account AS carrier, customer_currency AS currency, count(*) AS calls, sum(customer_cost) AS revenue,
       sum(carrier_cost) AS cost, sum(margin) AS margin,
       round(100 * sum(margin) / nullif(sum(customer_cost), 0), 1) AS margin_percent
FROM calls WHERE carrier_account IS NOT NULL AND margin IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY carrier_account, customer_currency ORDER BY margin, carrier
