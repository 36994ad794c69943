-- The schema of the deployed project, holes included: what lora-tui meets before its migration.

create table public.datasets (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    name text not null,
    description text,
    format text not null default 'brightrun_lora_v4',
    status text not null default 'ready',
    storage_bucket text default 'lora-datasets',
    storage_path text unique,
    file_name text,
    file_size bigint,
    total_training_pairs integer,
    total_validation_pairs integer,
    total_tokens bigint,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);

create table public.training_jobs (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    dataset_id uuid not null references public.datasets (id),
    preset_id text not null check (preset_id in ('conservative', 'balanced', 'aggressive', 'custom')),
    hyperparameters jsonb,
    gpu_config jsonb,
    status text not null default 'queued'
        check (status in ('queued', 'initializing', 'running', 'completed', 'failed', 'cancelled')),
    current_stage text,
    progress numeric default 0,
    current_epoch integer default 0,
    total_epochs integer,
    current_step integer default 0,
    total_steps integer,
    current_metrics jsonb,
    queued_at timestamptz default now(),
    started_at timestamptz,
    completed_at timestamptz,
    current_cost numeric default 0,
    estimated_total_cost numeric,
    final_cost numeric,
    error_message text,
    error_stack text,
    retry_count integer default 0,
    external_job_id varchar(255) unique,
    artifact_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table public.metrics_points (
    id uuid primary key default gen_random_uuid(),
    job_id uuid not null references public.training_jobs (id) on delete cascade,
    timestamp timestamptz not null default now(),
    epoch integer,
    step integer,
    training_loss numeric(10, 6) not null,
    validation_loss numeric(10, 6),
    learning_rate numeric,
    gradient_norm numeric,
    throughput numeric,
    gpu_utilization numeric
);

create index idx_metrics_points_job_timestamp on public.metrics_points (job_id, timestamp desc);

create table public.model_artifacts (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    job_id uuid not null unique references public.training_jobs (id),
    dataset_id uuid not null references public.datasets (id),
    name varchar(200) not null,
    version text default '1.0.0',
    description text,
    status text default 'stored' check (status in ('stored', 'deployed', 'archived')),
    deployed_at timestamptz,
    quality_metrics jsonb not null,
    training_summary jsonb not null,
    configuration jsonb not null,
    artifacts jsonb not null,
    parent_model_id uuid references public.model_artifacts (id),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);

alter table public.training_jobs
    add constraint training_jobs_artifact_id_fkey
    foreign key (artifact_id) references public.model_artifacts (id);

create table public.notifications (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    type text not null,
    title varchar(200) not null,
    message text not null,
    priority text default 'medium' check (priority in ('low', 'medium', 'high')),
    read boolean default false,
    action_url text,
    metadata jsonb default '{}',
    created_at timestamptz not null default now()
);

create table public.cost_records (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    job_id uuid references public.training_jobs (id) on delete cascade,
    cost_type text not null,
    amount numeric not null,
    details jsonb default '{}',
    billing_period text,
    recorded_at timestamptz not null default now()
);

create function public.touch_updated_at() returns trigger
language plpgsql as $$
begin
    new.updated_at = now();
    return new;
end
$$;

create trigger touch_datasets before update on public.datasets
    for each row execute function public.touch_updated_at();
create trigger touch_training_jobs before update on public.training_jobs
    for each row execute function public.touch_updated_at();
create trigger touch_model_artifacts before update on public.model_artifacts
    for each row execute function public.touch_updated_at();

-- What the hosted service grants by default on every table of schema public.
grant usage on schema public to anon, authenticated, service_role;
grant all on all tables in schema public to anon, authenticated, service_role;

-- Three tables are closed; metrics_points, notifications and cost_records stand open.
alter table public.datasets enable row level security;
alter table public.training_jobs enable row level security;
alter table public.model_artifacts enable row level security;

create policy "Users can view own datasets" on public.datasets
    for select using (auth.uid() = user_id);
create policy "Users can view own training jobs" on public.training_jobs
    for select using (auth.uid() = user_id);
create policy "Users can view own model artifacts" on public.model_artifacts
    for select using (auth.uid() = user_id);

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values (
    'lora-models', 'lora-models', false, 5368709120,
    array['application/octet-stream', 'application/x-tar', 'application/json']
);
