-- Countries never called before
-- for: fraud
-- says: Accounts that called a country in the period which they had not called in the period of the same length before.
SELECT c.payer, p.country, p.name, count(*) AS calls, round(sum(c.duration_seconds) / 60, 1) AS minutes, min(c.start_at) AS first_call
FROM calls c JOIN prefixes p ON p.prefix = number_prefix(c.destination_number)
WHERE c.start_at >= :before AND c.start_at < :to
GROUP BY c.payer, p.country, p.name HAVING min(c.start_at) >= :from
ORDER BY minutes DESC, c.payer, p.name LIMIT 100
