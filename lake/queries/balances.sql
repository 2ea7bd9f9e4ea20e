-- What accounts owe
-- for: finance
-- says: Balances of all receivables and payables at the end of the period, from the postings.
SELECT side AS ledger_account, currency, sum(amount) AS balance FROM (
    SELECT debit AS side, currency, amount FROM postings WHERE at < :to
    UNION ALL SELECT credit, currency, -amount FROM postings WHERE at < :to)
WHERE side LIKE 'receivable:%' OR side LIKE 'payable:%'
GROUP BY side, currency HAVING sum(amount) <> 0 ORDER BY balance DESC, ledger_account
