-- Where calls go
-- for: analysts
-- says: Calls and minutes by part of the world, country and kind of number.
SELECT p.region, p.country, p.name, p.type, count(*) AS calls, round(sum(c.duration_seconds) / 60, 1) AS minutes
FROM calls c JOIN prefixes p ON p.prefix = number_prefix(c.destination_number) WHERE start_at >= :from AND start_at < :to
GROUP BY p.region, p.country, p.name, p.type ORDER BY calls DESC, p.country, p.type LIMIT 200
