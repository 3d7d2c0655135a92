-- What OAuth granted, a row per connection. `access` and `refresh` are sealed by the program with the key `key_id`,
-- which is never in the database. The lease lets one process at a time ask the vendor for a new token.

CREATE TABLE token (
    connection       TEXT PRIMARY KEY,
    version          INTEGER NOT NULL CHECK (version > 0),
    account          TEXT NOT NULL,
    scopes           TEXT NOT NULL, -- json
    base_url         TEXT,
    key_id           TEXT NOT NULL,
    access           BLOB NOT NULL,
    refresh          BLOB,
    obtained_at      INTEGER NOT NULL,
    expires_at       INTEGER,
    lease_holder     TEXT,
    lease_until      INTEGER,
    trouble_kind     TEXT,
    trouble_since    INTEGER,
    trouble_attempts INTEGER,
    trouble_retry_at INTEGER, -- null in trouble: only connecting again helps
    trouble_problem  TEXT,
    CHECK ((lease_holder IS NULL) = (lease_until IS NULL)),
    CHECK ((trouble_kind IS NULL) = (trouble_since IS NULL)),
    CHECK ((trouble_kind IS NULL) = (trouble_attempts IS NULL)),
    CHECK ((trouble_kind IS NULL) = (trouble_problem IS NULL))
) STRICT, WITHOUT ROWID;
