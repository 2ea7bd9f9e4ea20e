-- A restored installation does not know what its original sent and numbered after the copy was made. As long as there is a row here it
-- sends no mails and words for webhooks, makes no CDR files, and gives no numbers to invoices.
CREATE TABLE restore_hold (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    -- When the copy was made.
    copied_at BIGINT NOT NULL
);

-- The least number of records that are sent in again, where those that were given out are not all in `suspense`.
CREATE TABLE resubmit_heads (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    last_seq BIGINT NOT NULL
);
INSERT INTO resubmit_heads (one, last_seq) VALUES (1, 0);
