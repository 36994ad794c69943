BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'lora_tui','_m001_tables','2026-11-28 18:23:51.902513+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'lora_tui','_m002_transfer_queue','2026-11-28 18:23:51.903503+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'lora_tui','_m003_points_by_written_time','2026-11-28 18:23:51.903629+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'lora_tui','_m004_model_lists','2026-11-28 18:23:51.906441+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'lora_tui','_m005_looks_at_the_disk','2026-11-28 18:23:51.907143+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'lora_tui','_m006_model_counts','2026-11-28 18:23:51.907400+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'lora_tui','_m007_what_was_checked','2026-11-28 18:23:51.907796+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'lora_tui','_m008_sums','2026-11-28 18:23:51.909240+00:00');
CREATE TABLE "curves" (
   "job_id" TEXT PRIMARY KEY,
   "points" TEXT NOT NULL,
   "sparkline" TEXT NOT NULL,
   "total" INTEGER NOT NULL,
   "last_timestamp" TEXT,
   "last_id" TEXT
, sum INTEGER, points_sum INTEGER);
INSERT INTO "curves" VALUES('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381','[[0.0, 2.0, null], [1.0, 1.9, null], [2.0, 1.8, null], [3.0, 1.7, null]]','[2.0, 1.9, 1.8, 1.7]',4,'2026-11-23T12:00:03.000000+00:00','232dfb55-7bf2-585e-afe8-689f12301f15',3790507006,1476886744);
CREATE TABLE "datasets" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "name" TEXT NOT NULL,
   "updated_at" TEXT
, sum INTEGER);
INSERT INTO "datasets" VALUES('b5d34f72-dd96-5c7c-b398-8ea68da4aded','{"id": "b5d34f72-dd96-5c7c-b398-8ea68da4aded", "name": "Customer Support Emails", "status": "ready", "updated_at": "2026-11-23T12:00:00.000000+00:00"}','Customer Support Emails','2026-11-23T12:00:00.000000+00:00',3479368119);
INSERT INTO "datasets" VALUES('24b8c70f-c906-5761-aa39-85190340b2ce','{"id": "24b8c70f-c906-5761-aa39-85190340b2ce", "name": "SQL Assistant", "status": "ready", "updated_at": "2026-11-23T12:00:00.000000+00:00"}','SQL Assistant','2026-11-23T12:00:00.000000+00:00',4206034995);
CREATE TABLE "facts" (
   "key" TEXT PRIMARY KEY,
   "value" TEXT NOT NULL
);
INSERT INTO "facts" VALUES('owner.user','5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71');
INSERT INTO "facts" VALUES('owner.project','https://project.example');
INSERT INTO "facts" VALUES('sync.success','2026-11-23T12:00:00.000000+00:00');
INSERT INTO "facts" VALUES('sync.attempt','2026-11-23T12:00:00.000000+00:00');
CREATE TABLE "generations" (
   "topic" TEXT PRIMARY KEY,
   "n" INTEGER NOT NULL
);
INSERT INTO "generations" VALUES('models',1);
INSERT INTO "generations" VALUES('datasets',1);
INSERT INTO "generations" VALUES('jobs',1);
INSERT INTO "generations" VALUES('curves',1);
INSERT INTO "generations" VALUES('notifications',1);
INSERT INTO "generations" VALUES('transfers',1);
INSERT INTO "generations" VALUES('sync',1);
CREATE TABLE "jobs" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "status" TEXT NOT NULL,
   "external_job_id" TEXT,
   "artifact_id" TEXT,
   "completed_at" TEXT,
   "updated_at" TEXT
, sum INTEGER);
INSERT INTO "jobs" VALUES('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381','{"id": "6686c4fa-9c4d-5e08-a0a1-6f87ddee1381", "status": "completed", "dataset_id": "b5d34f72-dd96-5c7c-b398-8ea68da4aded", "preset_id": "balanced", "external_job_id": "w0", "artifact_id": "6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3", "created_at": "2026-11-23T12:00:00.000000+00:00", "completed_at": "2026-11-23T12:00:00.000000+00:00", "updated_at": "2026-11-23T12:00:00.000000+00:00"}','completed','w0','6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','2026-11-23T12:00:00.000000+00:00','2026-11-23T12:00:00.000000+00:00',1669199160);
INSERT INTO "jobs" VALUES('80cb9440-910a-5db0-925a-ad9575514f6f','{"id": "80cb9440-910a-5db0-925a-ad9575514f6f", "status": "completed", "dataset_id": "24b8c70f-c906-5761-aa39-85190340b2ce", "preset_id": "balanced", "external_job_id": "w1", "artifact_id": "2b7d8325-f3ad-5715-97e4-3bce50dfdd69", "created_at": "2026-11-23T12:00:00.000000+00:00", "completed_at": "2026-11-23T12:00:00.000000+00:00", "updated_at": "2026-11-23T12:00:00.000000+00:00"}','completed','w1','2b7d8325-f3ad-5715-97e4-3bce50dfdd69','2026-11-23T12:00:00.000000+00:00','2026-11-23T12:00:00.000000+00:00',2827660312);
CREATE TABLE "library" (
   "model_id" TEXT PRIMARY KEY,
   "directory" TEXT NOT NULL,
   "completed_at" TEXT NOT NULL
, "intact" INTEGER NOT NULL DEFAULT 1);
INSERT INTO "library" VALUES('6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','/data/adapters/first','2026-11-28T18:23:51.921839+00:00',1);
CREATE TABLE "marks" (
   "name" TEXT PRIMARY KEY,
   "moment" TEXT NOT NULL,
   "id" TEXT NOT NULL
);
INSERT INTO "marks" VALUES('datasets','2026-11-23T12:00:00.000000+00:00','6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
INSERT INTO "marks" VALUES('training_jobs','2026-11-23T12:00:00.000000+00:00','6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
INSERT INTO "marks" VALUES('model_artifacts','2026-11-23T12:00:00.000000+00:00','6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
INSERT INTO "marks" VALUES('notifications','2026-11-23T12:00:00.000000+00:00','6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
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
INSERT INTO "metrics" VALUES('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381','2026-11-23T12:00:00.000000+00:00','6d52d0ba-b706-54e7-ae77-2031562b8cb4',0.0,0.0,2.0,NULL);
INSERT INTO "metrics" VALUES('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381','2026-11-23T12:00:01.000000+00:00','b1b6c56a-dc9a-5592-8f7f-29f81ca5fada',1.0,0.1,1.9,NULL);
INSERT INTO "metrics" VALUES('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381','2026-11-23T12:00:02.000000+00:00','39644135-d659-5eed-b520-ab70eeedac00',2.0,0.2,1.8,NULL);
INSERT INTO "metrics" VALUES('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381','2026-11-23T12:00:03.000000+00:00','232dfb55-7bf2-585e-afe8-689f12301f15',3.0,0.3,1.7,NULL);
CREATE TABLE model_counts (facet TEXT NOT NULL, value NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (facet, value)) WITHOUT ROWID;
INSERT INTO "model_counts" VALUES('base_model','meta-llama/Llama-3.1-8B-Instruct',2);
INSERT INTO "model_counts" VALUES('convergence','excellent',1);
INSERT INTO "model_counts" VALUES('convergence','good',1);
INSERT INTO "model_counts" VALUES('dataset_id','24b8c70f-c906-5761-aa39-85190340b2ce',1);
INSERT INTO "model_counts" VALUES('dataset_id','b5d34f72-dd96-5c7c-b398-8ea68da4aded',1);
INSERT INTO "model_counts" VALUES('preset_id','balanced',2);
INSERT INTO "model_counts" VALUES('stars',4,1);
INSERT INTO "model_counts" VALUES('stars',5,1);
CREATE TABLE "models" (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, row TEXT NOT NULL, name TEXT NOT NULL, version TEXT, description TEXT, status TEXT, dataset_id TEXT, job_id TEXT, preset_id TEXT, base_model TEXT, stars INTEGER, convergence TEXT, final_loss REAL, perplexity REAL, cost REAL, duration_hours REAL, size INTEGER, created_at INTEGER NOT NULL, updated_at TEXT NOT NULL, sum INTEGER);
INSERT INTO "models" VALUES(1,'6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','{"id": "6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "job_id": "6686c4fa-9c4d-5e08-a0a1-6f87ddee1381", "dataset_id": "b5d34f72-dd96-5c7c-b398-8ea68da4aded", "name": "Customer Support Emails - 2026-11-23", "version": "1.0.0", "status": "stored", "quality_metrics": {"overall_score": 5, "convergence_quality": "excellent", "final_training_loss": 0.4, "final_validation_loss": 0.6000000000000001, "perplexity": 1.822118800390509, "loss_reduction_percent": 60.0}, "training_summary": {"epochs_completed": 3, "total_steps": 1500, "final_loss": 0.4, "training_duration_hours": 1.0, "total_cost": 2.0}, "configuration": {"preset_id": "balanced", "hyperparameters": {"base_model": "meta-llama/Llama-3.1-8B-Instruct"}, "files": {"adapter_model.safetensors": {"size": 25165824, "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}}}, "artifacts": {"adapter_model.safetensors": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/0/adapter_model.safetensors"}, "created_at": "2026-11-23T09:00:00.000000+00:00", "updated_at": "2026-11-23T09:00:00.000000+00:00", "deleted_at": null}','Customer Support Emails - 2026-11-23','1.0.0',NULL,'stored','b5d34f72-dd96-5c7c-b398-8ea68da4aded','6686c4fa-9c4d-5e08-a0a1-6f87ddee1381','balanced','meta-llama/Llama-3.1-8B-Instruct',5,'excellent',0.4,1.82211880039050910795e+00,2.0,1.0,25165824,1795424400000000,'2026-11-23T09:00:00.000000+00:00',2290977754);
INSERT INTO "models" VALUES(2,'2b7d8325-f3ad-5715-97e4-3bce50dfdd69','{"id": "2b7d8325-f3ad-5715-97e4-3bce50dfdd69", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "job_id": "80cb9440-910a-5db0-925a-ad9575514f6f", "dataset_id": "24b8c70f-c906-5761-aa39-85190340b2ce", "name": "SQL Assistant - 2026-11-22", "version": "1.0.0", "status": "stored", "quality_metrics": {"overall_score": 4, "convergence_quality": "good", "final_training_loss": 0.41000000000000003, "final_validation_loss": 0.6100000000000001, "perplexity": 1.8404313987816376, "loss_reduction_percent": 60.0}, "training_summary": {"epochs_completed": 3, "total_steps": 1500, "final_loss": 0.41000000000000003, "training_duration_hours": 1.25, "total_cost": 3.37}, "configuration": {"preset_id": "balanced", "hyperparameters": {"base_model": "meta-llama/Llama-3.1-8B-Instruct"}, "files": {"adapter_model.safetensors": {"size": 25165824, "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}}}, "artifacts": {"adapter_model.safetensors": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/1/adapter_model.safetensors"}, "created_at": "2026-11-22T09:00:00.000000+00:00", "updated_at": "2026-11-22T09:00:00.000000+00:00", "deleted_at": null}','SQL Assistant - 2026-11-22','1.0.0',NULL,'stored','24b8c70f-c906-5761-aa39-85190340b2ce','80cb9440-910a-5db0-925a-ad9575514f6f','balanced','meta-llama/Llama-3.1-8B-Instruct',4,'good',4.10000000000000031086e-01,1.84043139878163763967e+00,3.37,1.25,25165824,1795338000000000,'2026-11-22T09:00:00.000000+00:00',2795106199);
CREATE TABLE "notifications" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "read" INTEGER NOT NULL,
   "created_at" TEXT,
   "announced" INTEGER NOT NULL DEFAULT 0
, sum INTEGER);
INSERT INTO "notifications" VALUES('358b099b-891f-536a-8cd8-da22e6b17bc1','{"id": "358b099b-891f-536a-8cd8-da22e6b17bc1", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "type": "artifact_ready", "title": "Model Ready for Download", "message": "Your trained model is ready. Quality score: 1/5 stars", "priority": "high", "read": false, "metadata": {"artifact_id": "6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3"}, "created_at": "2026-11-23T12:00:00.000000+00:00"}',0,'2026-11-23T12:00:00.000000+00:00',0,2530229372);
INSERT INTO "notifications" VALUES('e1e1bcfa-f31f-54ea-b5d1-bf129dae08d9','{"id": "e1e1bcfa-f31f-54ea-b5d1-bf129dae08d9", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "type": "artifact_ready", "title": "Model Ready for Download", "message": "Your trained model is ready. Quality score: 2/5 stars", "priority": "high", "read": true, "metadata": {"artifact_id": "2b7d8325-f3ad-5715-97e4-3bce50dfdd69"}, "created_at": "2026-11-22T12:00:00.000000+00:00"}',1,'2026-11-22T12:00:00.000000+00:00',0,3055315174);
CREATE TABLE sums (name TEXT PRIMARY KEY, n INTEGER NOT NULL, total INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "sums" VALUES('datasets',2,7685403114);
INSERT INTO "sums" VALUES('jobs',2,4496859472);
INSERT INTO "sums" VALUES('models',2,5086083953);
INSERT INTO "sums" VALUES('notifications',2,5585544546);
INSERT INTO "sums" VALUES('schema',0,3686300344);
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
INSERT INTO "transfers" VALUES(1,'6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3','adapter_model.safetensors','5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/0/adapter_model.safetensors','/data/adapters/first/adapter_model.safetensors','done',25165824,25165824,0,'0000000000000000000000000000000000000000000000000000000000000000',NULL,'2026-11-28T18:23:51.921896+00:00','2026-11-28T18:23:51.921896+00:00',1,NULL,0,NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE VIRTUAL TABLE models_words USING fts5(name, dataset, base_model, description, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2');
INSERT INTO models_words (rowid, name, dataset, base_model, description) VALUES (1, 'Customer Support Emails - 2026-11-23', 'Customer Support Emails', 'meta-llama/Llama-3.1-8B-Instruct', NULL);
INSERT INTO models_words (rowid, name, dataset, base_model, description) VALUES (2, 'SQL Assistant - 2026-11-22', 'SQL Assistant', 'meta-llama/Llama-3.1-8B-Instruct', NULL);
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
PRAGMA user_version = 8;
