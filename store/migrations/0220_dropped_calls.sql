-- Copies of calls in files of partners leave the database after a while: their rows stay, with no bytes, where the operator's main series has
-- the same call.
ALTER TABLE export_files ADD COLUMN calls_dropped BIGINT NOT NULL DEFAULT 0;
CREATE INDEX export_files_with_calls ON export_files (created_at, id) WHERE calls_dropped = 0 AND owner <> 'system';
