-- What became of one object is asked for by its name.
CREATE INDEX audit_log_of_object ON audit_log (object, id);
