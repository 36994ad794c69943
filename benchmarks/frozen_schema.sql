-- What the peer of bench_sync.py writes into: datasets, models with their indexes, and words, as
-- lora-tui made them at commit c6f3aba (schema 20). It stays as it is when the schema of the
-- program changes, so that figures of different versions are held against the same peer.
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -32768;
CREATE TABLE datasets (id TEXT PRIMARY KEY, row TEXT NOT NULL, name TEXT NOT NULL, updated_at TEXT,
    sum INTEGER);
CREATE TABLE models (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, row TEXT NOT NULL, name TEXT
    NOT NULL, version TEXT, description TEXT, status TEXT, dataset_id TEXT, job_id TEXT, preset_id
    TEXT, base_model TEXT, stars INTEGER, convergence TEXT, final_loss REAL, perplexity REAL, cost
    REAL, duration_hours REAL, size INTEGER, created_at INTEGER NOT NULL, updated_at TEXT NOT NULL,
    sum INTEGER);
CREATE INDEX models_job ON models (job_id);
CREATE INDEX models_filters ON models (dataset_id, convergence, stars, preset_id, base_model,
    created_at);
CREATE INDEX models_created_at_asc ON models (created_at ASC);
CREATE INDEX models_name_asc ON models (name COLLATE NOCASE ASC, created_at DESC);
CREATE INDEX models_stars_asc ON models (stars IS NULL, stars ASC, created_at DESC);
CREATE INDEX models_cost_asc ON models (cost IS NULL, cost ASC, created_at DESC);
CREATE INDEX models_final_loss_asc ON models (final_loss IS NULL, final_loss ASC, created_at DESC);
CREATE INDEX models_duration_hours_asc ON models (duration_hours IS NULL, duration_hours ASC,
    created_at DESC);
CREATE INDEX models_size_asc ON models (size IS NULL, size ASC, created_at DESC);
CREATE INDEX models_perplexity_asc ON models (perplexity IS NULL, perplexity ASC, created_at DESC);
CREATE INDEX models_created_at_desc ON models (created_at DESC);
CREATE INDEX models_name_desc ON models (name COLLATE NOCASE DESC, created_at DESC);
CREATE INDEX models_stars_desc ON models (stars IS NULL, stars DESC, created_at DESC);
CREATE INDEX models_cost_desc ON models (cost IS NULL, cost DESC, created_at DESC);
CREATE INDEX models_final_loss_desc ON models (final_loss IS NULL, final_loss DESC, created_at DESC);
CREATE INDEX models_duration_hours_desc ON models (duration_hours IS NULL, duration_hours DESC,
    created_at DESC);
CREATE INDEX models_size_desc ON models (size IS NULL, size DESC, created_at DESC);
CREATE INDEX models_perplexity_desc ON models (perplexity IS NULL, perplexity DESC, created_at DESC);
CREATE VIRTUAL TABLE models_words USING fts5(name, dataset, base_model, description,
    tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2');
CREATE TRIGGER models_words_delete AFTER DELETE ON models BEGIN DELETE FROM models_words WHERE rowid
    = old.n; END;
CREATE TRIGGER datasets_words_insert AFTER INSERT ON datasets BEGIN UPDATE models_words SET dataset
    = new.name WHERE rowid IN (SELECT n FROM models WHERE dataset_id = new.id) AND dataset IS NOT
    new.name; END;
CREATE TRIGGER datasets_words_update AFTER UPDATE OF name ON datasets BEGIN UPDATE models_words SET
    dataset = new.name WHERE rowid IN (SELECT n FROM models WHERE dataset_id = new.id) AND dataset
    IS NOT new.name; END;
CREATE TRIGGER datasets_words_delete AFTER DELETE ON datasets BEGIN UPDATE models_words SET dataset
    = NULL WHERE rowid IN (SELECT n FROM models WHERE dataset_id = old.id) AND dataset IS NOT NULL;
    END;
