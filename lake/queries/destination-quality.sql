-- ASR, NER, ACD and PDD by destination
-- for: carriers
-- says: The same by country and kind of number.
SELECT p.country, p.type, count(*) AS seizures, round(100.0 * count(*) FILTER (WHERE answered) / count(*), 1) AS asr,
       round(100.0 * count(*) FILTER (WHERE answered OR status IN ('busy', 'noanswer', 'cancel') OR code IN (404, 410, 484, 604)) / count(*), 1) AS ner,
       round(avg(duration_seconds) FILTER (WHERE answered), 1) AS acd_seconds, round(avg(pdd_ms), 0) AS pdd_ms
FROM calls c LEFT JOIN prefixes p ON p.prefix = number_prefix(c.destination_number)
WHERE trunk IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY p.country, p.type ORDER BY seizures DESC, p.country, p.type LIMIT 200
