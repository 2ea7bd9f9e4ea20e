-- Why calls failed
-- for: analysts
-- says: Causes and final codes of calls that nobody answered.
SELECT cause, code, status, count(*) AS calls, count(DISTINCT payer) AS payers
FROM calls WHERE NOT answered AND start_at >= :from AND start_at < :to
GROUP BY cause, code, status ORDER BY calls DESC, cause, code
