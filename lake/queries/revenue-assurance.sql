-- Answered and not charged
-- for: finance
-- says: Answered calls of customers that nobody pays for, though a carrier is owed or the call lasted: money that leaks.
SELECT source_account AS account, destination_number, trunk, count(*) AS calls, round(sum(duration_seconds) / 60, 1) AS minutes,
       sum(carrier_cost) AS carrier_cost, carrier_currency
FROM calls
WHERE answered AND NOT partial AND duration_seconds > 0 AND source_account IS NOT NULL AND source_trunk IS NULL
  AND customer_account IS NULL AND start_at >= :from AND start_at < :to
GROUP BY source_account, destination_number, trunk, carrier_currency ORDER BY minutes DESC, account LIMIT 100
