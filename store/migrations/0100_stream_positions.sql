-- Each stream reads the rated calls by itself. One that was there before goes on where the stage that read for all of them was.

INSERT INTO lanes (stage, part, position)
SELECT 'exports/' || export_runs.stream, lanes.part, lanes.position FROM lanes, export_runs
WHERE lanes.stage = 'exports' AND export_runs.stream <> '';

INSERT INTO watermarks (stage, part, origin_stage, origin_part, origin_offset, origin_idx)
SELECT 'exports/' || export_runs.stream, watermarks.part, watermarks.origin_stage, watermarks.origin_part,
    watermarks.origin_offset, watermarks.origin_idx FROM watermarks, export_runs
WHERE watermarks.stage = 'exports' AND export_runs.stream <> '';

-- Calls that are in no file for a reason: a later revision took their place before they were written ('superseded'), or they
-- correct a call of an earlier file whose format has no corrections, and are in the report of corrections instead ('reported').

ALTER TABLE export_rows ADD COLUMN passed TEXT;
DROP INDEX export_rows_pending;
CREATE INDEX export_rows_pending ON export_rows (owner, id) WHERE file IS NULL AND passed IS NULL;
CREATE INDEX export_rows_later ON export_rows (owner, cdr) WHERE revision > 0;
