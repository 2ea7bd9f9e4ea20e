-- Alerts by rule
-- for: fraud
-- says: How often each rule spoke, and how often it was right by the verdicts.
SELECT rule, count(*) AS alerts, count(*) FILTER (WHERE verdict = 'fraud') AS fraud, count(*) FILTER (WHERE verdict = 'clean') AS clean,
       count(*) FILTER (WHERE verdict IS NULL) AS open,
       round(100.0 * count(*) FILTER (WHERE verdict = 'fraud') / nullif(count(*) FILTER (WHERE verdict IN ('fraud', 'clean')), 0), 1) AS precision
FROM alerts WHERE at >= :from AND at < :to
GROUP BY rule ORDER BY alerts DESC, rule
