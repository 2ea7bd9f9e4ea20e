-- ASR, NER, ACD and PDD by carrier
-- for: carriers
-- says: The quality of each trunk. NER counts as good what the called side did: busy, no answer, given up, no such number.
SELECT trunk, destination_account AS carrier, count(*) AS seizures, round(100.0 * count(*) FILTER (WHERE answered) / count(*), 1) AS asr,
       round(100.0 * count(*) FILTER (WHERE answered OR status IN ('busy', 'noanswer', 'cancel') OR code IN (404, 410, 484, 604)) / count(*), 1) AS ner,
       round(avg(duration_seconds) FILTER (WHERE answered), 1) AS acd_seconds, round(avg(pdd_ms), 0) AS pdd_ms,
       round(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY pdd_ms), 0) AS pdd_ms_95
FROM calls WHERE trunk IS NOT NULL AND start_at >= :from AND start_at < :to
GROUP BY trunk, destination_account ORDER BY seizures DESC, trunk
