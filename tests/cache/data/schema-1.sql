BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'lora_tui','_m001_tables','2026-11-28 18:23:51.943526+00:00');
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
);
INSERT INTO "library" VALUES('6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','/data/adapters/first','2026-11-23T12:00:00.000000+00:00');
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
CREATE TABLE "models" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "name" TEXT NOT NULL,
   "version" TEXT,
   "description" TEXT,
   "status" TEXT,
   "dataset_id" TEXT,
   "job_id" TEXT,
   "preset_id" TEXT,
   "base_model" TEXT,
   "stars" INTEGER,
   "convergence" TEXT,
   "final_loss" REAL,
   "perplexity" REAL,
   "cost" REAL,
   "duration_hours" REAL,
   "size" INTEGER,
   "created_at" TEXT NOT NULL,
   "updated_at" TEXT NOT NULL
);
INSERT INTO "models" VALUES('a','{}','Old',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-23T12:00:00.000000+00:00','2026-11-23T12:00:00.000000+00:00');
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
);
INSERT INTO "transfers" VALUES(1,'6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','adapter_model.safetensors','5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/0/adapter_model.safetensors','/data/adapters/first/adapter_model.safetensors','done',25165824,25165824,0,'0000000000000000000000000000000000000000000000000000000000000000',NULL,'2026-11-23T12:00:00.000000+00:00','2026-11-23T12:00:00.000000+00:00');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX "idx_models_created_at_id"
    ON "models" ("created_at", "id");
CREATE INDEX "idx_models_dataset_id"
    ON "models" ("dataset_id");
CREATE INDEX "idx_models_job_id"
    ON "models" ("job_id");
CREATE UNIQUE INDEX "idx_transfers_model_id_file"
    ON "transfers" ("model_id", "file");
COMMIT;
PRAGMA user_version = 1;
