-- What the bytes of an EDR file depend on is kept with its rows: the event as it was told, and the company of its account's contact.

ALTER TABLE edr_rows ADD COLUMN shown BYTES;
ALTER TABLE edr_rows ADD COLUMN company TEXT NOT NULL DEFAULT '';
