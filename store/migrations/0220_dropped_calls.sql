-- Calls in files of partners leave the database after a while: their rows stay, with no bytes. The operator's main series keeps all of its
-- calls: they are explained and priced again from there.
ALTER TABLE export_files ADD COLUMN calls_dropped BIGINT NOT NULL DEFAULT 0;
CREATE INDEX export_files_with_calls ON export_files (id) WHERE calls_dropped = 0 AND owner <> 'system';
