BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'lora_tui','_m001_tables','2026-11-28 18:23:51.976646+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'lora_tui','_m002_transfer_queue','2026-11-28 18:23:51.981776+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'lora_tui','_m003_points_by_written_time','2026-11-28 18:23:51.981925+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'lora_tui','_m004_model_lists','2026-11-28 18:23:51.983911+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'lora_tui','_m005_looks_at_the_disk','2026-11-28 18:23:51.984498+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'lora_tui','_m006_model_counts','2026-11-28 18:23:51.984745+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'lora_tui','_m007_what_was_checked','2026-11-28 18:23:51.985093+00:00');
CREATE TABLE "curves" (
   "job_id" TEXT PRIMARY KEY,
   "points" TEXT NOT NULL,
   "sparkline" TEXT NOT NULL,
   "total" INTEGER NOT NULL,
   "last_timestamp" TEXT,
   "last_id" TEXT
);
CREATE TABLE "datasets" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "name" TEXT NOT NULL,
   "updated_at" TEXT
);
CREATE TABLE "facts" (
   "key" TEXT PRIMARY KEY,
   "value" TEXT NOT NULL
);
INSERT INTO "facts" VALUES('owner.user','5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71');
INSERT INTO "facts" VALUES('owner.project','https://project.example');
INSERT INTO "facts" VALUES('sync.success','2026-11-23T12:00:00.000000+00:00');
CREATE TABLE "generations" (
   "topic" TEXT PRIMARY KEY,
   "n" INTEGER NOT NULL
);
CREATE TABLE "jobs" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "status" TEXT NOT NULL,
   "external_job_id" TEXT,
   "artifact_id" TEXT,
   "completed_at" TEXT,
   "updated_at" TEXT
);
CREATE TABLE "library" (
   "model_id" TEXT PRIMARY KEY,
   "directory" TEXT NOT NULL,
   "completed_at" TEXT NOT NULL
, "intact" INTEGER NOT NULL DEFAULT 1);
INSERT INTO "library" VALUES('6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','/data/adapters/first','2026-11-23T12:00:00.000000+00:00',1);
CREATE TABLE "marks" (
   "name" TEXT PRIMARY KEY,
   "moment" TEXT NOT NULL,
   "id" TEXT NOT NULL
);
INSERT INTO "marks" VALUES('model_artifacts','2026-11-23T12:00:00.000000+00:00','x');
CREATE TABLE "metrics" (
   "job_id" TEXT,
   "timestamp" TEXT,
   "id" TEXT,
   "step" REAL,
   "epoch" REAL,
   "training_loss" REAL,
   "validation_loss" REAL,
   PRIMARY KEY ("job_id", "timestamp", "id")
);
CREATE TABLE model_counts (facet TEXT NOT NULL, value NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (facet, value)) WITHOUT ROWID;
CREATE TABLE "models" (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, row TEXT NOT NULL, name TEXT NOT NULL, version TEXT, description TEXT, status TEXT, dataset_id TEXT, job_id TEXT, preset_id TEXT, base_model TEXT, stars INTEGER, convergence TEXT, final_loss REAL, perplexity REAL, cost REAL, duration_hours REAL, size INTEGER, created_at INTEGER NOT NULL, updated_at TEXT NOT NULL);
INSERT INTO "models" VALUES(1,'a','{}','Old',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,'2026-11-23T12:00:00.000000+00:00');
CREATE TABLE "notifications" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "read" INTEGER NOT NULL,
   "created_at" TEXT,
   "announced" INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE "transfers" (
   "id" INTEGER PRIMARY KEY,
   "model_id" TEXT NOT NULL,
   "file" TEXT NOT NULL,
   "object_path" TEXT NOT NULL,
   "target" TEXT NOT NULL,
   "state" TEXT NOT NULL,
   "bytes_done" INTEGER NOT NULL DEFAULT 0,
   "bytes_total" INTEGER,
   "attempts" INTEGER NOT NULL DEFAULT 0,
   "sha256" TEXT,
   "error" TEXT,
   "created_at" TEXT,
   "updated_at" TEXT
, "position" INTEGER, "owner" TEXT, "force" INTEGER, "expected_sha256" TEXT, "error_kind" TEXT, "modified" INTEGER, "checked" TEXT);
INSERT INTO "transfers" VALUES(1,'6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','adapter_model.safetensors','5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/0/adapter_model.safetensors','/data/adapters/first/adapter_model.safetensors','done',25165824,25165824,0,'0000000000000000000000000000000000000000000000000000000000000000',NULL,'2026-11-23T12:00:00.000000+00:00','2026-11-23T12:00:00.000000+00:00',7,NULL,0,'0000000000000000000000000000000000000000000000000000000000000000',NULL,NULL,'sha256');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE VIRTUAL TABLE models_words USING fts5(name, dataset, base_model, description, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2');
CREATE UNIQUE INDEX "idx_transfers_target"
    ON "transfers" ("target");
CREATE INDEX "idx_transfers_model_id"
    ON "transfers" ("model_id");
CREATE INDEX "idx_transfers_state"
    ON "transfers" ("state");
CREATE INDEX models_job ON models (job_id);
CREATE INDEX models_filters ON models (dataset_id, convergence, stars, preset_id, base_model, created_at);
CREATE INDEX models_created_at_asc ON models (created_at ASC);
CREATE INDEX models_name_asc ON models (name COLLATE NOCASE ASC, created_at DESC);
CREATE INDEX models_stars_asc ON models (stars IS NULL, stars ASC, created_at DESC);
CREATE INDEX models_cost_asc ON models (cost IS NULL, cost ASC, created_at DESC);
CREATE INDEX models_final_loss_asc ON models (final_loss IS NULL, final_loss ASC, created_at DESC);
CREATE INDEX models_duration_hours_asc ON models (duration_hours IS NULL, duration_hours ASC, created_at DESC);
CREATE INDEX models_size_asc ON models (size IS NULL, size ASC, created_at DESC);
CREATE INDEX models_perplexity_asc ON models (perplexity IS NULL, perplexity ASC, created_at DESC);
CREATE INDEX models_created_at_desc ON models (created_at DESC);
CREATE INDEX models_name_desc ON models (name COLLATE NOCASE DESC, created_at DESC);
CREATE INDEX models_stars_desc ON models (stars IS NULL, stars DESC, created_at DESC);
CREATE INDEX models_cost_desc ON models (cost IS NULL, cost DESC, created_at DESC);
CREATE INDEX models_final_loss_desc ON models (final_loss IS NULL, final_loss DESC, created_at DESC);
CREATE INDEX models_duration_hours_desc ON models (duration_hours IS NULL, duration_hours DESC, created_at DESC);
CREATE INDEX models_size_desc ON models (size IS NULL, size DESC, created_at DESC);
CREATE INDEX models_perplexity_desc ON models (perplexity IS NULL, perplexity DESC, created_at DESC);
CREATE TRIGGER models_words_delete AFTER DELETE ON models BEGIN DELETE FROM models_words WHERE rowid = old.n; END;
CREATE TRIGGER datasets_words_insert AFTER INSERT ON datasets BEGIN UPDATE models_words SET dataset = new.name WHERE rowid IN (SELECT n FROM models WHERE dataset_id = new.id) AND dataset IS NOT new.name; END;
CREATE TRIGGER datasets_words_update AFTER UPDATE OF name ON datasets BEGIN UPDATE models_words SET dataset = new.name WHERE rowid IN (SELECT n FROM models WHERE dataset_id = new.id) AND dataset IS NOT new.name; END;
CREATE TRIGGER datasets_words_delete AFTER DELETE ON datasets BEGIN UPDATE models_words SET dataset = NULL WHERE rowid IN (SELECT n FROM models WHERE dataset_id = old.id) AND dataset IS NOT NULL; END;
COMMIT;
PRAGMA user_version = 7;
