-- The object that carries an inquiry's owner: a slot may hold a CRM's lead or deal.

-- SQLite changes no check in place.
CREATE TABLE slot_wide (
    name        TEXT PRIMARY KEY,
    connection  TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('person', 'company', 'lead', 'deal', 'task', 'owner')),
    of          TEXT NOT NULL,
    external_id TEXT NOT NULL,
    origin      TEXT NOT NULL CHECK (origin IN ('found', 'created')),
    object      TEXT,
    bound_at    INTEGER NOT NULL,
    made_at     INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO slot_wide (name, connection, kind, of, external_id, origin, object, bound_at, made_at)
    SELECT name, connection, kind, of, external_id, origin, object, bound_at, made_at FROM slot;
DROP TABLE slot;
ALTER TABLE slot_wide RENAME TO slot;
CREATE INDEX slot_external ON slot (external_id, connection) WHERE kind = 'person';
