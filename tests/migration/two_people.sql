-- Alice (…a) and Bob (…b): a row of each in every table, and their files in the bucket.

insert into auth.users (id, email) values
    ('00000000-0000-4000-8000-00000000000a', 'alice@example.com'),
    ('00000000-0000-4000-8000-00000000000b', 'bob@example.com');

insert into public.datasets (user_id, name)
select id, 'Answers of ' || email from auth.users;

insert into public.training_jobs (user_id, dataset_id, preset_id, status)
select user_id, id, 'balanced', 'completed' from public.datasets;

insert into public.metrics_points (job_id, step, training_loss)
select id, step, 2.5 / step from public.training_jobs, generate_series(1, 20) as step;

insert into public.model_artifacts
    (user_id, job_id, dataset_id, name, quality_metrics, training_summary, configuration, artifacts)
select user_id, id, dataset_id, 'Answers', '{"overall_score": 4}', '{}', '{}', '{}'
from public.training_jobs;

insert into public.notifications (user_id, type, title, message)
select id, 'artifact_ready', 'Model Ready for Download', 'Your trained model is ready.'
from auth.users;

insert into public.cost_records (user_id, job_id, cost_type, amount)
select user_id, id, 'gpu', 12.5 from public.training_jobs;

insert into storage.buckets (id, name) values ('elsewhere', 'elsewhere');
insert into storage.objects (bucket_id, name) values
    ('lora-models', '00000000-0000-4000-8000-00000000000a/m/adapter.safetensors'),
    ('lora-models', '00000000-0000-4000-8000-00000000000b/m/adapter.safetensors'),
    ('lora-models', '00000000-0000-4000-8000-00000000000a-x/adapter.safetensors'),
    ('lora-models', 'other/00000000-0000-4000-8000-00000000000a/adapter.safetensors'),
    ('lora-models', '00000000-0000-4000-8000-00000000000a'),
    ('elsewhere', '00000000-0000-4000-8000-00000000000a/m/adapter.safetensors');
