-- Not yet on an invoice
-- for: finance
-- says: What accounts owe for calls that no invoice of theirs covers so far.
SELECT c.customer_account AS account, c.customer_currency AS currency, count(*) AS calls, sum(c.customer_cost) AS unbilled,
       min(c.start_at) AS oldest
FROM calls c LEFT ANTI JOIN invoices i
  ON i.account = c.customer_account AND i.kind IN ('invoice', 'corrected') AND i.state <> 'void'
 AND c.start_at >= i.period_start AND c.start_at < i.period_end
WHERE c.customer_cost <> 0 AND c.start_at >= :from AND c.start_at < :to
GROUP BY c.customer_account, c.customer_currency ORDER BY unbilled DESC, account
