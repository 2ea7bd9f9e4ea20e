-- Invoices against calls
-- for: finance
-- says: For each invoice of the period: the calls on its lines, the calls in the lake, and the difference.
SELECT i.number, i.account, i.currency, l.calls AS calls_billed, l.net AS net_billed, c.calls AS calls_rated, c.cost AS cost_rated,
       coalesce(l.calls, 0) - coalesce(c.calls, 0) AS difference
FROM invoices i
LEFT JOIN (SELECT invoice_id, sum(calls) AS calls, sum(net) AS net FROM invoice_lines WHERE kind = 'usage' GROUP BY invoice_id) l
  ON l.invoice_id = i.invoice_id
LEFT JOIN (SELECT i2.invoice_id, count(*) AS calls, sum(k.customer_cost) AS cost FROM invoices i2
           JOIN calls k ON k.customer_account = i2.account AND k.start_at >= i2.period_start AND k.start_at < i2.period_end
           GROUP BY i2.invoice_id) c ON c.invoice_id = i.invoice_id
WHERE i.kind = 'invoice' AND i.issued_at >= :from AND i.issued_at < :to
ORDER BY i.number
