-- A file has the calls that waited for its series up to a row, those after the file before it: (after_row, last_row]. A mark in each of its
-- rows would cost more than everything else that is done for a file. Files planned before have the marks; and so has one
-- that was not made of all calls that waited, such as a file of one day.

ALTER TABLE export_files ADD COLUMN after_row BIGINT;
ALTER TABLE export_files ADD COLUMN last_row BIGINT;
-- Up to where the files of a series have come.
ALTER TABLE export_sequences ADD COLUMN last_row BIGINT NOT NULL DEFAULT 0;

DROP INDEX export_rows_pending;
CREATE INDEX export_rows_unmarked ON export_rows (owner, id) WHERE file IS NULL AND passed IS NULL;
DROP INDEX export_rows_of_file;
CREATE INDEX export_rows_of_file ON export_rows (file, id) WHERE file IS NOT NULL;

-- A process of an earlier version that still runs must not queue or plan by its own rules beside this one: it gets an error and rests.
ALTER TABLE export_rows RENAME TO export_queue;
