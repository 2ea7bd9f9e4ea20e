-- Why somebody topped up an account by hand, or set it right.
ALTER TABLE topups ADD COLUMN reason TEXT NOT NULL DEFAULT '';
