//! Whole-system tests live in `tests/tests/it`; there is nothing in here.
