-- Open invoices by age
-- for: finance
-- says: What is due at the end of the period and not paid, by how long.
SELECT currency, CASE WHEN due_on >= CAST(:to AS DATE) THEN 'not due' WHEN due_on >= CAST(:to AS DATE) - INTERVAL '30 days' THEN 'up to 30 days'
       WHEN due_on >= CAST(:to AS DATE) - INTERVAL '90 days' THEN '31 to 90 days' ELSE 'older' END AS overdue,
       count(*) AS invoices, sum(gross) AS gross
FROM invoices WHERE kind IN ('invoice', 'corrected') AND state NOT IN ('paid', 'void') AND issued_at < :to
GROUP BY currency, overdue ORDER BY currency, overdue
