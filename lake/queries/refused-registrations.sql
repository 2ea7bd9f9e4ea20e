-- Refused registrations
-- for: fraud
-- says: Who tries to register and may not: stolen or guessed passwords.
SELECT account, subscriber, detail, count(*) AS refused, min(at) AS first, max(at) AS last
FROM registrations WHERE outcome = 'refused' AND at >= :from AND at < :to
GROUP BY account, subscriber, detail ORDER BY refused DESC, account, detail LIMIT 100
