BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
CREATE TABLE "curves" (
   "job_id" TEXT PRIMARY KEY,
   "points" TEXT NOT NULL,
   "sparkline" TEXT NOT NULL,
   "total" INTEGER NOT NULL,
   "last_timestamp" TEXT,
   "last_id" TEXT
, sum INTEGER, points_sum INTEGER, live INTEGER, thinned_from INTEGER, newest_step REAL, newest_loss REAL, newest_validation REAL, lacks_earlier INTEGER);
CREATE TABLE "datasets" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "name" TEXT NOT NULL,
   "updated_at" TEXT
, sum INTEGER);
CREATE TABLE "facts" (
   "key" TEXT PRIMARY KEY,
   "value" TEXT NOT NULL
);
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
, sum INTEGER, activity INTEGER NOT NULL DEFAULT 2, dataset_id TEXT, preset_id TEXT, base_model TEXT, gpu TEXT, created_at INTEGER NOT NULL DEFAULT 0, cost REAL, duration_hours REAL, loss REAL, micros INTEGER, fate INTEGER NOT NULL DEFAULT 0, dataset_name TEXT);
CREATE TABLE "library" (
   "model_id" TEXT PRIMARY KEY,
   "directory" TEXT NOT NULL,
   "completed_at" TEXT NOT NULL
, "intact" INTEGER NOT NULL DEFAULT 1);
CREATE TABLE "marks" (
   "name" TEXT PRIMARY KEY,
   "moment" TEXT NOT NULL,
   "id" TEXT NOT NULL
);
CREATE TABLE "metrics" (
   "job_id" TEXT,
   "timestamp" TEXT,
   "id" TEXT,
   "step" REAL,
   "epoch" REAL,
   "training_loss" REAL,
   "validation_loss" REAL, learning_rate REAL, gradient_norm REAL, throughput REAL, gpu_utilization REAL,
   PRIMARY KEY ("job_id", "timestamp", "id")
);
CREATE TABLE model_counts (facet TEXT NOT NULL, value NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (facet, value)) WITHOUT ROWID;
CREATE TABLE "models" (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, row TEXT NOT NULL, name TEXT NOT NULL, version TEXT, description TEXT, status TEXT, dataset_id TEXT, job_id TEXT, preset_id TEXT, base_model TEXT, stars INTEGER, convergence TEXT, final_loss REAL, perplexity REAL, cost REAL, duration_hours REAL, size INTEGER, created_at INTEGER NOT NULL, updated_at TEXT NOT NULL, sum INTEGER);
CREATE TABLE "notifications" (
   "id" TEXT PRIMARY KEY,
   "row" TEXT NOT NULL,
   "read" INTEGER NOT NULL,
   "created_at" TEXT,
   "announced" INTEGER NOT NULL DEFAULT 0
, sum INTEGER);
CREATE TABLE sums (name TEXT PRIMARY KEY, n INTEGER NOT NULL, total INTEGER NOT NULL) WITHOUT ROWID;
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
CREATE VIRTUAL TABLE models_words USING fts5(name, dataset, base_model, description, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2');
CREATE TABLE weights (model_id TEXT PRIMARY KEY, stamp TEXT NOT NULL, summary TEXT, document TEXT);
CREATE TABLE cost_records (id TEXT PRIMARY KEY, row TEXT NOT NULL, job_id TEXT, type TEXT NOT NULL, micros INTEGER, of_the_run INTEGER NOT NULL, moment INTEGER NOT NULL, recorded_at TEXT, sum INTEGER);
CREATE TABLE job_counts (facet TEXT NOT NULL, value NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (facet, value)) WITHOUT ROWID;
CREATE TABLE model_values (n INTEGER PRIMARY KEY, suggested_stars INTEGER, stars INTEGER, final_loss REAL, last_validation REAL, last_validation_step REAL, best_validation REAL, best_validation_step REAL, perplexity REAL, cost REAL, duration_hours REAL, size INTEGER, created_at INTEGER NOT NULL DEFAULT 0, rank INTEGER, alpha REAL, learning_rate REAL, batch_size INTEGER, epochs REAL, effective_rank REAL, broken INTEGER NOT NULL DEFAULT 0, judged INTEGER, id TEXT, status TEXT, preset_id TEXT, gpu TEXT, convergence TEXT, dataset_id TEXT, base_model TEXT, name TEXT, version TEXT, job_id TEXT, facts TEXT, description TEXT);
CREATE TABLE run_values (job_id TEXT PRIMARY KEY, last_validation REAL, last_validation_step REAL, best_validation REAL, best_validation_step REAL, ends_bad INTEGER NOT NULL, last_step REAL, of_curve INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE own_marks (model_id TEXT PRIMARY KEY, favorite INTEGER NOT NULL DEFAULT 0, tags TEXT NOT NULL DEFAULT '', note TEXT, aliases TEXT NOT NULL DEFAULT '', words TEXT NOT NULL DEFAULT '');
CREATE TABLE servers (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE served (model_id TEXT PRIMARY KEY, servers TEXT NOT NULL DEFAULT '', document TEXT NOT NULL);
CREATE TABLE deleted_models (id TEXT PRIMARY KEY, row TEXT NOT NULL, name TEXT NOT NULL, deleted_at TEXT NOT NULL, updated_at TEXT);
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (1, 'lora_tui', '_m001_tables', '2026-11-28 18:23:51.902513+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (2, 'lora_tui', '_m002_transfer_queue', '2026-11-28 18:23:51.903503+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (3, 'lora_tui', '_m003_points_by_written_time', '2026-11-28 18:23:51.903629+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (4, 'lora_tui', '_m004_model_lists', '2026-11-28 18:23:51.906441+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (5, 'lora_tui', '_m005_looks_at_the_disk', '2026-11-28 18:23:51.907143+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (6, 'lora_tui', '_m006_model_counts', '2026-11-28 18:23:51.907400+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (7, 'lora_tui', '_m007_what_was_checked', '2026-11-28 18:23:51.907796+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (8, 'lora_tui', '_m008_sums', '2026-11-28 18:23:51.909240+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (9, 'lora_tui', '_m010_weights', '2026-11-30 20:23:25.727545+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (10, 'lora_tui', '_m011_every_column_of_a_point', '2026-11-30 20:23:25.745032+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (11, 'lora_tui', '_m012_list_of_jobs', '2026-11-30 20:23:25.757877+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (12, 'lora_tui', '_m013_cost_records', '2026-11-30 20:23:25.759004+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (13, 'lora_tui', '_m014_live_points', '2026-11-30 20:23:25.797553+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (14, 'lora_tui', '_m016_sums_of_jobs', '2026-11-30 20:23:25.799386+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (15, 'lora_tui', '_m015_orders_of_jobs', '2026-11-30 20:23:25.843677+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (16, 'lora_tui', '_m017_newest_values', '2026-11-30 20:23:25.847053+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (17, 'lora_tui', '_m018_model_values', '2026-11-30 20:23:25.920476+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (18, 'lora_tui', '_m018_own_marks', '2026-11-30 20:23:25.921682+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (19, 'lora_tui', '_m019_words_of_marks', '2026-11-30 20:23:25.933581+00:00');
INSERT INTO _sqlite_migrations (id, migration_set, name, applied_at) VALUES (20, 'lora_tui', '_m020_servers_and_deleted_models', '2026-11-30 20:23:25.934566+00:00');
INSERT INTO curves (job_id, points, sparkline, total, last_timestamp, last_id, sum, points_sum, live, thinned_from, newest_step, newest_loss, newest_validation, lacks_earlier) VALUES ('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', '[[0.0, 2.0, null], [1.0, 1.9, null], [2.0, 1.8, null], [3.0, 1.7, null]]', '[2.0, 1.9, 1.8, 1.7]', 4, '2026-11-23T12:00:03.000000+00:00', '232dfb55-7bf2-585e-afe8-689f12301f15', 3790507006, NULL, NULL, NULL, 3.0, 1.7, NULL, NULL);
INSERT INTO datasets (id, row, name, updated_at, sum) VALUES ('b5d34f72-dd96-5c7c-b398-8ea68da4aded', '{"id": "b5d34f72-dd96-5c7c-b398-8ea68da4aded", "name": "Customer Support Emails", "status": "ready", "updated_at": "2026-11-23T12:00:00.000000+00:00"}', 'Customer Support Emails', '2026-11-23T12:00:00.000000+00:00', 3479368119);
INSERT INTO datasets (id, row, name, updated_at, sum) VALUES ('24b8c70f-c906-5761-aa39-85190340b2ce', '{"id": "24b8c70f-c906-5761-aa39-85190340b2ce", "name": "SQL Assistant", "status": "ready", "updated_at": "2026-11-23T12:00:00.000000+00:00"}', 'SQL Assistant', '2026-11-23T12:00:00.000000+00:00', 4206034995);
INSERT INTO facts (key, value) VALUES ('owner.user', '5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71');
INSERT INTO facts (key, value) VALUES ('owner.project', 'https://project.example');
INSERT INTO facts (key, value) VALUES ('sync.success', '2026-11-23T12:00:00.000000+00:00');
INSERT INTO facts (key, value) VALUES ('sync.attempt', '2026-11-23T12:00:00.000000+00:00');
INSERT INTO facts (key, value) VALUES ('downloads.unknown', '1');
INSERT INTO generations (topic, n) VALUES ('models', 2);
INSERT INTO generations (topic, n) VALUES ('datasets', 2);
INSERT INTO generations (topic, n) VALUES ('jobs', 2);
INSERT INTO generations (topic, n) VALUES ('curves', 2);
INSERT INTO generations (topic, n) VALUES ('notifications', 2);
INSERT INTO generations (topic, n) VALUES ('transfers', 2);
INSERT INTO generations (topic, n) VALUES ('sync', 2);
INSERT INTO generations (topic, n) VALUES ('costs', 1);
INSERT INTO generations (topic, n) VALUES ('weights', 1);
INSERT INTO generations (topic, n) VALUES ('marks', 1);
INSERT INTO generations (topic, n) VALUES ('servers', 1);
INSERT INTO jobs (id, row, status, external_job_id, artifact_id, completed_at, updated_at, sum, activity, dataset_id, preset_id, base_model, gpu, created_at, cost, duration_hours, loss, micros, fate, dataset_name) VALUES ('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', '{"id": "6686c4fa-9c4d-5e08-a0a1-6f87ddee1381", "status": "completed", "dataset_id": "b5d34f72-dd96-5c7c-b398-8ea68da4aded", "preset_id": "balanced", "external_job_id": "w0", "artifact_id": "6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3", "created_at": "2026-11-23T12:00:00.000000+00:00", "completed_at": "2026-11-23T12:00:00.000000+00:00", "updated_at": "2026-11-23T12:00:00.000000+00:00"}', 'completed', 'w0', '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3', '2026-11-23T12:00:00.000000+00:00', '2026-11-23T12:00:00.000000+00:00', 43743711, 2, 'b5d34f72-dd96-5c7c-b398-8ea68da4aded', 'balanced', NULL, NULL, 1795435200000000, NULL, NULL, NULL, NULL, 0, 'Customer Support Emails');
INSERT INTO jobs (id, row, status, external_job_id, artifact_id, completed_at, updated_at, sum, activity, dataset_id, preset_id, base_model, gpu, created_at, cost, duration_hours, loss, micros, fate, dataset_name) VALUES ('80cb9440-910a-5db0-925a-ad9575514f6f', '{"id": "80cb9440-910a-5db0-925a-ad9575514f6f", "status": "completed", "dataset_id": "24b8c70f-c906-5761-aa39-85190340b2ce", "preset_id": "balanced", "external_job_id": "w1", "artifact_id": "2b7d8325-f3ad-5715-97e4-3bce50dfdd69", "created_at": "2026-11-23T12:00:00.000000+00:00", "completed_at": "2026-11-23T12:00:00.000000+00:00", "updated_at": "2026-11-23T12:00:00.000000+00:00"}', 'completed', 'w1', '2b7d8325-f3ad-5715-97e4-3bce50dfdd69', '2026-11-23T12:00:00.000000+00:00', '2026-11-23T12:00:00.000000+00:00', 3940986533, 2, '24b8c70f-c906-5761-aa39-85190340b2ce', 'balanced', NULL, NULL, 1795435200000000, NULL, NULL, NULL, NULL, 0, 'SQL Assistant');
INSERT INTO library (model_id, directory, completed_at, intact) VALUES ('6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3', '/data/adapters/first', '2026-11-28T18:23:51.921839+00:00', 1);
INSERT INTO marks (name, moment, id) VALUES ('datasets', '2026-11-23T12:00:00.000000+00:00', '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
INSERT INTO marks (name, moment, id) VALUES ('training_jobs', '2026-11-23T12:00:00.000000+00:00', '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
INSERT INTO marks (name, moment, id) VALUES ('model_artifacts', '2026-11-23T12:00:00.000000+00:00', '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
INSERT INTO marks (name, moment, id) VALUES ('notifications', '2026-11-23T12:00:00.000000+00:00', '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3');
INSERT INTO metrics (job_id, timestamp, id, step, epoch, training_loss, validation_loss, learning_rate, gradient_norm, throughput, gpu_utilization) VALUES ('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', '2026-11-23T12:00:00.000000+00:00', '6d52d0ba-b706-54e7-ae77-2031562b8cb4', 0.0, 0.0, 2.0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO metrics (job_id, timestamp, id, step, epoch, training_loss, validation_loss, learning_rate, gradient_norm, throughput, gpu_utilization) VALUES ('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', '2026-11-23T12:00:01.000000+00:00', 'b1b6c56a-dc9a-5592-8f7f-29f81ca5fada', 1.0, 0.1, 1.9, NULL, NULL, NULL, NULL, NULL);
INSERT INTO metrics (job_id, timestamp, id, step, epoch, training_loss, validation_loss, learning_rate, gradient_norm, throughput, gpu_utilization) VALUES ('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', '2026-11-23T12:00:02.000000+00:00', '39644135-d659-5eed-b520-ab70eeedac00', 2.0, 0.2, 1.8, NULL, NULL, NULL, NULL, NULL);
INSERT INTO metrics (job_id, timestamp, id, step, epoch, training_loss, validation_loss, learning_rate, gradient_norm, throughput, gpu_utilization) VALUES ('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', '2026-11-23T12:00:03.000000+00:00', '232dfb55-7bf2-585e-afe8-689f12301f15', 3.0, 0.3, 1.7, NULL, NULL, NULL, NULL, NULL);
INSERT INTO model_counts (facet, value, total) VALUES ('base_model', 'meta-llama/Llama-3.1-8B-Instruct', 2);
INSERT INTO model_counts (facet, value, total) VALUES ('convergence', 'excellent', 1);
INSERT INTO model_counts (facet, value, total) VALUES ('convergence', 'good', 1);
INSERT INTO model_counts (facet, value, total) VALUES ('dataset_id', '24b8c70f-c906-5761-aa39-85190340b2ce', 1);
INSERT INTO model_counts (facet, value, total) VALUES ('dataset_id', 'b5d34f72-dd96-5c7c-b398-8ea68da4aded', 1);
INSERT INTO model_counts (facet, value, total) VALUES ('preset_id', 'balanced', 2);
INSERT INTO model_counts (facet, value, total) VALUES ('stars', 4, 1);
INSERT INTO model_counts (facet, value, total) VALUES ('stars', 5, 1);
INSERT INTO models (n, id, row, name, version, description, status, dataset_id, job_id, preset_id, base_model, stars, convergence, final_loss, perplexity, cost, duration_hours, size, created_at, updated_at, sum) VALUES (1, '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3', '{"id": "6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "job_id": "6686c4fa-9c4d-5e08-a0a1-6f87ddee1381", "dataset_id": "b5d34f72-dd96-5c7c-b398-8ea68da4aded", "name": "Customer Support Emails - 2026-11-23", "version": "1.0.0", "status": "stored", "quality_metrics": {"overall_score": 5, "convergence_quality": "excellent", "final_training_loss": 0.4, "final_validation_loss": 0.6000000000000001, "perplexity": 1.822118800390509, "loss_reduction_percent": 60.0}, "training_summary": {"epochs_completed": 3, "total_steps": 1500, "final_loss": 0.4, "training_duration_hours": 1.0, "total_cost": 2.0}, "configuration": {"preset_id": "balanced", "hyperparameters": {"base_model": "meta-llama/Llama-3.1-8B-Instruct"}, "files": {"adapter_model.safetensors": {"size": 25165824, "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}}}, "artifacts": {"adapter_model.safetensors": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/0/adapter_model.safetensors"}, "created_at": "2026-11-23T09:00:00.000000+00:00", "updated_at": "2026-11-23T09:00:00.000000+00:00", "deleted_at": null}', 'Customer Support Emails - 2026-11-23', '1.0.0', NULL, 'stored', 'b5d34f72-dd96-5c7c-b398-8ea68da4aded', '6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', 'balanced', 'meta-llama/Llama-3.1-8B-Instruct', 5, 'excellent', 0.4, 1.82211880039050910795e+00, 2.0, 1.0, 25165824, 1795424400000000, '2026-11-23T09:00:00.000000+00:00', 2290977754);
INSERT INTO models (n, id, row, name, version, description, status, dataset_id, job_id, preset_id, base_model, stars, convergence, final_loss, perplexity, cost, duration_hours, size, created_at, updated_at, sum) VALUES (2, '2b7d8325-f3ad-5715-97e4-3bce50dfdd69', '{"id": "2b7d8325-f3ad-5715-97e4-3bce50dfdd69", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "job_id": "80cb9440-910a-5db0-925a-ad9575514f6f", "dataset_id": "24b8c70f-c906-5761-aa39-85190340b2ce", "name": "SQL Assistant - 2026-11-22", "version": "1.0.0", "status": "stored", "quality_metrics": {"overall_score": 4, "convergence_quality": "good", "final_training_loss": 0.41000000000000003, "final_validation_loss": 0.6100000000000001, "perplexity": 1.8404313987816376, "loss_reduction_percent": 60.0}, "training_summary": {"epochs_completed": 3, "total_steps": 1500, "final_loss": 0.41000000000000003, "training_duration_hours": 1.25, "total_cost": 3.37}, "configuration": {"preset_id": "balanced", "hyperparameters": {"base_model": "meta-llama/Llama-3.1-8B-Instruct"}, "files": {"adapter_model.safetensors": {"size": 25165824, "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}}}, "artifacts": {"adapter_model.safetensors": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/1/adapter_model.safetensors"}, "created_at": "2026-11-22T09:00:00.000000+00:00", "updated_at": "2026-11-22T09:00:00.000000+00:00", "deleted_at": null}', 'SQL Assistant - 2026-11-22', '1.0.0', NULL, 'stored', '24b8c70f-c906-5761-aa39-85190340b2ce', '80cb9440-910a-5db0-925a-ad9575514f6f', 'balanced', 'meta-llama/Llama-3.1-8B-Instruct', 4, 'good', 4.10000000000000031086e-01, 1.84043139878163763967e+00, 3.37, 1.25, 25165824, 1795338000000000, '2026-11-22T09:00:00.000000+00:00', 2795106199);
INSERT INTO notifications (id, row, read, created_at, announced, sum) VALUES ('358b099b-891f-536a-8cd8-da22e6b17bc1', '{"id": "358b099b-891f-536a-8cd8-da22e6b17bc1", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "type": "artifact_ready", "title": "Model Ready for Download", "message": "Your trained model is ready. Quality score: 1/5 stars", "priority": "high", "read": false, "metadata": {"artifact_id": "6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3"}, "created_at": "2026-11-23T12:00:00.000000+00:00"}', 0, '2026-11-23T12:00:00.000000+00:00', 0, 2530229372);
INSERT INTO notifications (id, row, read, created_at, announced, sum) VALUES ('e1e1bcfa-f31f-54ea-b5d1-bf129dae08d9', '{"id": "e1e1bcfa-f31f-54ea-b5d1-bf129dae08d9", "user_id": "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "type": "artifact_ready", "title": "Model Ready for Download", "message": "Your trained model is ready. Quality score: 2/5 stars", "priority": "high", "read": true, "metadata": {"artifact_id": "2b7d8325-f3ad-5715-97e4-3bce50dfdd69"}, "created_at": "2026-11-22T12:00:00.000000+00:00"}', 1, '2026-11-22T12:00:00.000000+00:00', 0, 3055315174);
INSERT INTO sums (name, n, total) VALUES ('cost_records', 0, 0);
INSERT INTO sums (name, n, total) VALUES ('datasets', 2, 7685403114);
INSERT INTO sums (name, n, total) VALUES ('jobs', 2, 3984730244);
INSERT INTO sums (name, n, total) VALUES ('models', 2, 5086083953);
INSERT INTO sums (name, n, total) VALUES ('notifications', 2, 5585544546);
INSERT INTO sums (name, n, total) VALUES ('schema', 0, 2697786832);
INSERT INTO transfers (id, model_id, file, object_path, target, state, bytes_done, bytes_total, attempts, sha256, error, created_at, updated_at, position, owner, force, expected_sha256, error_kind, modified, checked) VALUES (1, '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3', 'adapter_model.safetensors', '5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71/0/adapter_model.safetensors', '/data/adapters/first/adapter_model.safetensors', 'done', 25165824, 25165824, 0, '0000000000000000000000000000000000000000000000000000000000000000', NULL, '2026-11-28T18:23:51.921896+00:00', '2026-11-28T18:23:51.921896+00:00', 1, NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO models_words (rowid, name, dataset, base_model, description) VALUES (1, 'Customer Support Emails - 2026-11-23', 'Customer Support Emails', 'meta-llama/Llama-3.1-8B-Instruct', NULL);
INSERT INTO models_words (rowid, name, dataset, base_model, description) VALUES (2, 'SQL Assistant - 2026-11-22', 'SQL Assistant', 'meta-llama/Llama-3.1-8B-Instruct', NULL);
INSERT INTO job_counts (facet, value, total) VALUES ('base_model', '', 2);
INSERT INTO job_counts (facet, value, total) VALUES ('dataset_id', '24b8c70f-c906-5761-aa39-85190340b2ce', 1);
INSERT INTO job_counts (facet, value, total) VALUES ('dataset_id', 'b5d34f72-dd96-5c7c-b398-8ea68da4aded', 1);
INSERT INTO job_counts (facet, value, total) VALUES ('gpu', '', 2);
INSERT INTO job_counts (facet, value, total) VALUES ('preset_id', 'balanced', 2);
INSERT INTO job_counts (facet, value, total) VALUES ('status', 'completed', 2);
INSERT INTO model_values (n, suggested_stars, stars, final_loss, last_validation, last_validation_step, best_validation, best_validation_step, perplexity, cost, duration_hours, size, created_at, rank, alpha, learning_rate, batch_size, epochs, effective_rank, broken, judged, id, status, preset_id, gpu, convergence, dataset_id, base_model, name, version, job_id, facts, description) VALUES (1, NULL, 5, 0.4, 6.00000000000000088817e-01, NULL, NULL, NULL, 1.82211880039050910795e+00, 2.0, 1.0, 25165824, 1795424400000000, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, '6f6b9d8d-f993-57d1-94ca-8a2f18e9aab3', 'stored', 'balanced', NULL, 'excellent', 'b5d34f72-dd96-5c7c-b398-8ea68da4aded', 'meta-llama/Llama-3.1-8B-Instruct', 'Customer Support Emails - 2026-11-23', '1.0.0', '6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', '(3.0, None, False, None, 1500, True)', NULL);
INSERT INTO model_values (n, suggested_stars, stars, final_loss, last_validation, last_validation_step, best_validation, best_validation_step, perplexity, cost, duration_hours, size, created_at, rank, alpha, learning_rate, batch_size, epochs, effective_rank, broken, judged, id, status, preset_id, gpu, convergence, dataset_id, base_model, name, version, job_id, facts, description) VALUES (2, NULL, 4, 4.10000000000000031086e-01, 6.10000000000000097699e-01, NULL, NULL, NULL, 1.84043139878163763967e+00, 3.37, 1.25, 25165824, 1795338000000000, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, '2b7d8325-f3ad-5715-97e4-3bce50dfdd69', 'stored', 'balanced', NULL, 'good', '24b8c70f-c906-5761-aa39-85190340b2ce', 'meta-llama/Llama-3.1-8B-Instruct', 'SQL Assistant - 2026-11-22', '1.0.0', '80cb9440-910a-5db0-925a-ad9575514f6f', NULL, NULL);
INSERT INTO run_values (job_id, last_validation, last_validation_step, best_validation, best_validation_step, ends_bad, last_step, of_curve) VALUES ('6686c4fa-9c4d-5e08-a0a1-6f87ddee1381', NULL, NULL, NULL, NULL, 0, 3.0, 0);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
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
CREATE INDEX cost_records_sums ON cost_records (job_id, of_the_run, moment, micros);
CREATE INDEX cost_records_moment ON cost_records (moment);
CREATE INDEX curves_live ON curves (job_id) WHERE live = 1;
CREATE INDEX jobs_costs ON jobs (id, created_at, fate, micros, status, dataset_id, preset_id, base_model, gpu);
CREATE INDEX jobs_by_dataset ON jobs (dataset_id, status, preset_id, base_model, gpu, created_at);
CREATE INDEX jobs_by_status ON jobs (status, dataset_id, preset_id, base_model, gpu, created_at);
CREATE TRIGGER datasets_jobs_insert AFTER INSERT ON datasets BEGIN UPDATE jobs SET dataset_name = new.name WHERE dataset_id = new.id AND dataset_name IS NOT new.name; END;
CREATE TRIGGER datasets_jobs_update AFTER UPDATE OF name ON datasets BEGIN UPDATE jobs SET dataset_name = new.name WHERE dataset_id = new.id AND dataset_name IS NOT new.name; END;
CREATE TRIGGER datasets_jobs_delete AFTER DELETE ON datasets BEGIN UPDATE jobs SET dataset_name = NULL WHERE dataset_id = old.id AND dataset_name IS NOT NULL; END;
CREATE INDEX jobs_activity_asc ON jobs (activity ASC, created_at DESC);
CREATE INDEX jobs_activity_desc ON jobs (activity DESC, created_at DESC);
CREATE INDEX jobs_created_at_asc ON jobs (created_at ASC);
CREATE INDEX jobs_created_at_desc ON jobs (created_at DESC);
CREATE INDEX jobs_status_asc ON jobs (status ASC, created_at DESC);
CREATE INDEX jobs_status_desc ON jobs (status DESC, created_at DESC);
CREATE INDEX jobs_dataset_name_asc ON jobs (dataset_name IS NULL, dataset_name COLLATE NOCASE ASC, created_at DESC);
CREATE INDEX jobs_dataset_name_desc ON jobs (dataset_name IS NULL, dataset_name COLLATE NOCASE DESC, created_at DESC);
CREATE INDEX jobs_cost_asc ON jobs (cost IS NULL, cost ASC, created_at DESC);
CREATE INDEX jobs_cost_desc ON jobs (cost IS NULL, cost DESC, created_at DESC);
CREATE INDEX jobs_duration_hours_asc ON jobs (duration_hours IS NULL, duration_hours ASC, created_at DESC);
CREATE INDEX jobs_duration_hours_desc ON jobs (duration_hours IS NULL, duration_hours DESC, created_at DESC);
CREATE INDEX jobs_loss_asc ON jobs (loss IS NULL, loss ASC, created_at DESC);
CREATE INDEX jobs_loss_desc ON jobs (loss IS NULL, loss DESC, created_at DESC);
CREATE INDEX model_values_unjudged ON model_values (n) WHERE judged = 0;
CREATE TRIGGER model_values_delete AFTER DELETE ON models BEGIN DELETE FROM model_values WHERE n = old.n; END;
COMMIT;
PRAGMA user_version = 20;
