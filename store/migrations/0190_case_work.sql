-- Who works on a case; where people who sign in are written to; how the money of a spend limit went.

ALTER TABLE alerts ADD COLUMN handed_to TEXT;
ALTER TABLE alerts ADD COLUMN handed_by TEXT;
ALTER TABLE alerts ADD COLUMN handed_at BIGINT;
ALTER TABLE alerts ADD COLUMN spending TEXT NOT NULL DEFAULT 'null';
ALTER TABLE users ADD COLUMN mail TEXT;
