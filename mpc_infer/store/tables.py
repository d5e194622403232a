"""Tables and the history that leads to them. A migration that was released is never changed; add one."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table

PARTY_APPLICATION_ID = 0x6D706901
COORDINATOR_APPLICATION_ID = 0x6D706902

party = MetaData()

party_models = Table(
    "models",
    party,
    Column("model_hash", LargeBinary, primary_key=True),
    Column("manifest", LargeBinary, nullable=False),
    Column("graph", LargeBinary, nullable=False),
    # Encrypted: salt and share.
    Column("share", LargeBinary, nullable=False),
    Column("public_weights", LargeBinary, nullable=False),
)
party_requests = Table(
    "requests",
    party,
    Column("owner", String, primary_key=True),
    Column("job_id", LargeBinary, primary_key=True),
    Column("request_digest", LargeBinary, nullable=False),
    # Encrypted; NULL until the session has ended well, and again once the answer was dropped for its age.
    Column("answer", LargeBinary),
    Column("session_id", LargeBinary),
    Column("answered_ms", Integer),
)
party_sessions = Table("sessions", party, Column("session_id", LargeBinary, primary_key=True))
party_nonces = Table(
    "nonces",
    party,
    Column("owner", String, primary_key=True),
    Column("nonce", LargeBinary, primary_key=True),
    Column("job_id", LargeBinary, nullable=False),
)
party_signed_receipts = Table("signed_receipts", party, Column("digest", LargeBinary, primary_key=True))
party_model_openings = Table(
    "model_openings",
    party,
    Column("model_hash", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    # Encrypted: the seed of the masks and the masked weights.
    Column("opening", LargeBinary, nullable=False),
    Column("opened_ms", Integer, nullable=False),
)
party_material = Table(
    "material",
    party,
    # Rising in the order in which it was made.
    Column("number", Integer, primary_key=True),
    Column("material_id", LargeBinary, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("model_hash", LargeBinary, nullable=False),
    Column("opening_digest", LargeBinary, nullable=False),
    Column("plan_digest", LargeBinary, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("made_ms", Integer, nullable=False),
    Column("ended_ms", Integer),
)

PARTY_MIGRATIONS = (
    (
        """CREATE TABLE models (
            model_hash BLOB NOT NULL PRIMARY KEY, manifest BLOB NOT NULL, graph BLOB NOT NULL, share BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE requests (
            owner TEXT NOT NULL, job_id BLOB NOT NULL, request_digest BLOB NOT NULL, answer BLOB,
            PRIMARY KEY (owner, job_id)
        ) STRICT""",
        """CREATE TABLE nonces (
            owner TEXT NOT NULL, nonce BLOB NOT NULL, job_id BLOB NOT NULL, PRIMARY KEY (owner, nonce)
        ) STRICT, WITHOUT ROWID""",
        "CREATE TABLE signed_receipts (digest BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID",
    ),
    (
        "ALTER TABLE requests ADD COLUMN session_id BLOB",
        "CREATE UNIQUE INDEX requests_by_session ON requests (session_id) WHERE session_id IS NOT NULL",
        "ALTER TABLE requests ADD COLUMN answered_ms INTEGER",
        "UPDATE requests SET answered_ms = unixepoch() * 1000 WHERE answer IS NOT NULL",
        "CREATE INDEX requests_answered ON requests (answered_ms) WHERE answered_ms IS NOT NULL",
    ),
    (
        """CREATE TABLE model_openings (
            model_hash BLOB NOT NULL PRIMARY KEY REFERENCES models (model_hash), digest BLOB NOT NULL,
            opening BLOB NOT NULL, opened_ms INTEGER NOT NULL
        ) STRICT""",
    ),
    (
        """CREATE TABLE material (
            number INTEGER NOT NULL PRIMARY KEY, material_id BLOB NOT NULL UNIQUE, lane INTEGER NOT NULL,
            model_hash BLOB NOT NULL, opening_digest BLOB NOT NULL, plan_digest BLOB NOT NULL, rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL, state INTEGER NOT NULL, made_ms INTEGER NOT NULL, ended_ms INTEGER
        ) STRICT""",
        "CREATE INDEX material_ready ON material (number) WHERE state = 1",
        "CREATE INDEX material_counted ON material (model_hash, rows, state, ended_ms)",
        # Material is used once. No code in this package tries to; a mistake or a hand in the database must not either.
        """CREATE TRIGGER material_ends_once BEFORE UPDATE ON material
        WHEN OLD.state <> 1 OR NEW.state NOT IN (2, 3) OR NEW.material_id <> OLD.material_id
        BEGIN SELECT RAISE(ABORT, 'material that was used or dropped stays so'); END""",
        """CREATE TRIGGER material_is_remembered BEFORE DELETE ON material
        BEGIN SELECT RAISE(ABORT, 'an id of material is never forgotten'); END""",
    ),
    (
        "CREATE TABLE sessions (session_id BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID",
        "INSERT INTO sessions SELECT session_id FROM requests WHERE session_id IS NOT NULL",
        "DROP INDEX requests_by_session",
    ),
    ("ALTER TABLE models ADD COLUMN public_weights BLOB NOT NULL DEFAULT x''",),
)

coordinator = MetaData()

models = Table(
    "models",
    coordinator,
    Column("model_hash", LargeBinary, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("graph", LargeBinary, nullable=False),
    Column("holdings", LargeBinary, nullable=False),
)
jobs = Table(
    "jobs",
    coordinator,
    Column("job_id", LargeBinary, primary_key=True),
    Column("owner", String, nullable=False),
    Column("model_hash", LargeBinary, nullable=False),
    Column("request_digest", LargeBinary, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("state", Integer, nullable=False),
    Column("created_ms", Integer, nullable=False),
    Column("updated_ms", Integer, nullable=False),
    # Encrypted.
    Column("result", LargeBinary),
    Column("problem", LargeBinary),
)
receipts = Table(
    "receipts",
    coordinator,
    # Rising in the order of arrival: the order in which receipts are put in batches.
    Column("number", Integer, primary_key=True),
    Column("job_id", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("signed", LargeBinary, nullable=False),
    Column("party_set", LargeBinary, nullable=False),
    Column("batch_root", LargeBinary),
    Column("batch_index", Integer),
)
batches = Table(
    "batches",
    coordinator,
    Column("number", Integer, primary_key=True),
    Column("root", LargeBinary, nullable=False),
    Column("party_set", LargeBinary, nullable=False),
    Column("state", Integer, nullable=False),
    Column("created_ms", Integer, nullable=False),
    Column("signatures", LargeBinary),
    Column("transaction_hash", LargeBinary),
    Column("block", Integer),
    Column("gas_used", Integer),
)

COORDINATOR_MIGRATIONS = (
    (
        """CREATE TABLE models (
            model_hash BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL,
            manifest BLOB NOT NULL, graph BLOB NOT NULL, holdings BLOB NOT NULL
        ) STRICT""",
        "CREATE INDEX models_by_name ON models (name, version)",
        """CREATE TABLE jobs (
            job_id BLOB NOT NULL PRIMARY KEY, owner TEXT NOT NULL, model_hash BLOB NOT NULL,
            request_digest BLOB NOT NULL, request BLOB NOT NULL, state INTEGER NOT NULL,
            created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, result BLOB, problem BLOB
        ) STRICT""",
        "CREATE INDEX jobs_unfinished ON jobs (state) WHERE state < 3",
        """CREATE TABLE receipts (
            number INTEGER NOT NULL PRIMARY KEY, job_id BLOB NOT NULL UNIQUE REFERENCES jobs (job_id),
            digest BLOB NOT NULL UNIQUE, signed BLOB NOT NULL, party_set BLOB NOT NULL,
            batch_root BLOB REFERENCES batches (root), batch_index INTEGER
        ) STRICT""",
        "CREATE INDEX receipts_unbatched ON receipts (number) WHERE batch_root IS NULL",
        "CREATE UNIQUE INDEX receipts_by_batch ON receipts (batch_root, batch_index) WHERE batch_root IS NOT NULL",
        """CREATE TABLE batches (
            number INTEGER NOT NULL PRIMARY KEY, root BLOB NOT NULL UNIQUE, party_set BLOB NOT NULL,
            state INTEGER NOT NULL, created_ms INTEGER NOT NULL, signatures BLOB, transaction_hash BLOB,
            block INTEGER, gas_used INTEGER
        ) STRICT""",
        "CREATE INDEX batches_open ON batches (number) WHERE state < 3",
    ),
    # What is dropped after its time, and batches that are looked at again, are found without reading everything.
    (
        "CREATE INDEX jobs_with_results ON jobs (updated_ms) WHERE result IS NOT NULL",
        "CREATE INDEX batches_anchored ON batches (number) WHERE state = 3",
    ),
)
