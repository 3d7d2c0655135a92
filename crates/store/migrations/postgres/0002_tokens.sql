-- What OAuth granted, as migrations/sqlite has it.

CREATE TABLE token (
    connection       TEXT PRIMARY KEY,
    version          BIGINT NOT NULL CHECK (version > 0),
    account          TEXT NOT NULL,
    scopes           TEXT NOT NULL, -- json
    base_url         TEXT,
    key_id           TEXT NOT NULL,
    access           BYTEA NOT NULL,
    refresh          BYTEA,
    obtained_at      BIGINT NOT NULL,
    expires_at       BIGINT,
    lease_holder     TEXT,
    lease_until      BIGINT,
    trouble_kind     TEXT,
    trouble_since    BIGINT,
    trouble_attempts BIGINT,
    trouble_retry_at BIGINT, -- null in trouble: only connecting again helps
    trouble_problem  TEXT,
    CHECK ((lease_holder IS NULL) = (lease_until IS NULL)),
    CHECK ((trouble_kind IS NULL) = (trouble_since IS NULL)),
    CHECK ((trouble_kind IS NULL) = (trouble_attempts IS NULL)),
    CHECK ((trouble_kind IS NULL) = (trouble_problem IS NULL))
);
