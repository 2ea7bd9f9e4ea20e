-- Prices that change
-- for: carriers
-- says: Fees that come into force in the period beside the ones they replace.
SELECT n.tariff, n.destination, n.zone, n.valid_from, o.onpeak_follow_price AS old_price, n.onpeak_follow_price AS new_price,
       n.onpeak_follow_per_seconds AS per_seconds, n.currency
FROM rates n JOIN rates o ON o.tariff = n.tariff AND o.tenant = n.tenant AND o.destination = n.destination AND o.source = n.source
 AND o.direction = n.direction AND o.valid_to = n.valid_from
WHERE n.valid_from >= :from AND n.valid_from < :to AND o.onpeak_follow_price <> n.onpeak_follow_price
ORDER BY n.tariff, n.destination
