-- Calls that carriers may dispute
-- for: carriers
-- says: Calls whose seconds or end are doubtful: closed without an end, charged for a minute more than they lasted, or longer than four hours.
SELECT cdr_id, start_at, trunk, destination_number, duration_seconds, carrier_billed_seconds, carrier_cost, carrier_currency AS currency,
       CASE WHEN partial THEN 'end not seen' WHEN duration_seconds > 14400 THEN 'very long' ELSE 'rounded up far' END AS doubt
FROM calls
WHERE carrier_account IS NOT NULL AND start_at >= :from AND start_at < :to
  AND (partial OR duration_seconds > 14400 OR carrier_billed_seconds - duration_seconds > 60)
ORDER BY carrier_cost DESC, cdr_id LIMIT 500
