-- Which mail about a thing was followed by one more: of two who would queue the next one at once, one does.
CREATE TABLE mail_successions (
    about       TEXT NOT NULL,
    -- The id of the last mail about it; 0 where there was none.
    after_mail  BIGINT NOT NULL,
    queued_at   BIGINT NOT NULL,
    PRIMARY KEY (about, after_mail)
);
