-- What lora-tui adds to the deployed project: closed tables, models that their owners may rename,
-- archive and delete, signed downloads for their owners, keyset indexes, and the harvest lease.
--
-- It changes no existing column or row and may be applied any number of times. Run it as the role
-- that owns the tables (`postgres` on the hosted service). The service role bypasses row-level
-- security and keeps all of its rights.

-- Row-level security where there was none ----------------------------------------------------

alter table public.metrics_points enable row level security;
alter table public.notifications enable row level security;
alter table public.cost_records enable row level security;

drop policy if exists "lora_tui: select own metrics" on public.metrics_points;
create policy "lora_tui: select own metrics" on public.metrics_points
    for select to authenticated
    using (
        exists (
            select 1
            from public.training_jobs as job
            where job.id = metrics_points.job_id and job.user_id = (select auth.uid())
        )
    );

drop policy if exists "lora_tui: select own notifications" on public.notifications;
create policy "lora_tui: select own notifications" on public.notifications
    for select to authenticated
    using (user_id = (select auth.uid()));

drop policy if exists "lora_tui: select own costs" on public.cost_records;
create policy "lora_tui: select own costs" on public.cost_records
    for select to authenticated
    using (user_id = (select auth.uid()));

-- A user marks a notification as read, and writes nothing else: the policy chooses the rows,
-- the privilege chooses the column.
drop policy if exists "lora_tui: update own notifications" on public.notifications;
create policy "lora_tui: update own notifications" on public.notifications
    for update to authenticated
    using (user_id = (select auth.uid()))
    with check (user_id = (select auth.uid()));

revoke update on public.notifications from public, anon, authenticated;
grant update (read) on public.notifications to authenticated;

-- The trigger says the same once more, for a later `grant all on all tables` would undo the
-- privilege without a word.
create or replace function public.lora_tui_guard_notification() returns trigger
language plpgsql security invoker set search_path = ''
as $$
begin
    if current_user in ('anon', 'authenticated')
        and to_jsonb(new) - 'read' is distinct from to_jsonb(old) - 'read'
    then
        raise exception 'a user changes only "read" of a notification' using errcode = '42501';
    end if;
    return new;
end
$$;

drop trigger if exists lora_tui_guard_notification on public.notifications;
create trigger lora_tui_guard_notification before update on public.notifications
    for each row execute function public.lora_tui_guard_notification();

-- One's own models: their owner renames, describes, archives, deletes and restores them, and notes
-- that they were deployed. Nothing else of a row, no row of anybody else, no new row, and none is
-- removed: `deleted_at` only hides it.
drop policy if exists "lora_tui: update own models" on public.model_artifacts;
create policy "lora_tui: update own models" on public.model_artifacts
    for update to authenticated
    using (user_id = (select auth.uid()))
    with check (user_id = (select auth.uid()));

revoke update on public.model_artifacts from public, anon, authenticated;
grant update (name, description, status, deployed_at, deleted_at)
    on public.model_artifacts to authenticated;

-- The trigger says the same once more, as that of notifications does, and what values are allowed.
-- It looks only at what has changed: a name of long ago does not keep anybody from archiving.
-- `updated_at` is left to the trigger of the schema, which may run before or after this one.
create or replace function public.lora_tui_guard_model() returns trigger
language plpgsql security invoker set search_path = ''
as $$
declare
    allowed constant text[] := array[
        'name', 'description', 'status', 'deployed_at', 'deleted_at', 'updated_at'
    ];
begin
    if current_user not in ('anon', 'authenticated') then
        return new;
    end if;
    if to_jsonb(new) - allowed is distinct from to_jsonb(old) - allowed then
        raise exception 'a user changes only name, description, status, deployed_at and deleted_at'
            ' of a model' using errcode = '42501';
    end if;
    if new.name is distinct from old.name and (
        char_length(new.name) not between 1 and 200
        or btrim(new.name) = ''
        or new.name ~ '[\u0001-\u001f\u007f-\u009f]'
    ) then
        raise exception 'a name has 1 to 200 characters, and no control characters'
            using errcode = '23514';
    end if;
    if new.description is distinct from old.description
        and char_length(new.description) > 10000
    then
        raise exception 'a description has at most 10000 characters' using errcode = '23514';
    end if;
    if new.status is distinct from old.status
        and coalesce(new.status not in ('stored', 'deployed', 'archived'), true)
    then
        raise exception 'a status is stored, deployed or archived' using errcode = '23514';
    end if;
    -- the server's time: files may be removed some days after it, whatever a user's clock says
    if new.deleted_at is not null and new.deleted_at is distinct from old.deleted_at then
        new.deleted_at := now();
    end if;
    new.updated_at := now();  -- for a sync, which reads what has changed since the last one
    return new;
end
$$;

drop trigger if exists lora_tui_guard_model on public.model_artifacts;
create trigger lora_tui_guard_model before update on public.model_artifacts
    for each row execute function public.lora_tui_guard_model();

-- TRUNCATE is not subject to row-level security.
revoke truncate on public.metrics_points, public.notifications, public.cost_records
    from anon, authenticated;

-- Storage: whoever owns the first folder may read, and so may sign -----------------------------

drop policy if exists "lora_tui: select own models" on storage.objects;
create policy "lora_tui: select own models" on storage.objects
    for select to authenticated
    using (
        bucket_id = 'lora-models'
        and (storage.foldername(name))[1] = (select auth.uid())::text
    );

-- Indexes: each keyset page of the sync is one range scan --------------------------------------

create index if not exists lora_tui_datasets_page
    on public.datasets (user_id, updated_at, id);
create index if not exists lora_tui_training_jobs_page
    on public.training_jobs (user_id, updated_at, id);
create index if not exists lora_tui_model_artifacts_page
    on public.model_artifacts (user_id, updated_at, id);
create index if not exists lora_tui_metrics_points_page
    on public.metrics_points (job_id, timestamp, id);
create index if not exists lora_tui_notifications_page
    on public.notifications (user_id, created_at, id);

-- The harvest lease: one harvester at a time works on a job ------------------------------------

create table if not exists public.harvest_leases (
    job_id uuid primary key references public.training_jobs (id) on delete cascade,
    holder text not null,
    expires_at timestamptz not null
);

alter table public.harvest_leases enable row level security;
revoke all on public.harvest_leases from public, anon, authenticated;
grant select, insert, update, delete on public.harvest_leases to service_role;

-- True: the job is the holder's for that many seconds. A lease that ran out is anybody's, and
-- claiming one's own again renews it.
create or replace function public.claim_harvest_lease(
    p_job_id uuid, p_holder text, p_seconds integer
) returns boolean
language plpgsql security invoker set search_path = ''
as $$
begin
    if p_seconds is null or p_seconds not between 1 and 86400 then
        raise exception 'a lease lasts from 1 to 86400 seconds' using errcode = '22023';
    end if;
    insert into public.harvest_leases as lease (job_id, holder, expires_at)
    values (p_job_id, p_holder, clock_timestamp() + make_interval(secs => p_seconds))
    on conflict (job_id) do update
        set holder = excluded.holder,
            expires_at = clock_timestamp() + make_interval(secs => p_seconds)
        where lease.holder = excluded.holder or lease.expires_at <= clock_timestamp();
    return found;
end
$$;

-- True: the holder still had the lease, and has it for that many seconds more. False: it ran out
-- or went to somebody else; stop working on the job.
create or replace function public.renew_harvest_lease(
    p_job_id uuid, p_holder text, p_seconds integer
) returns boolean
language plpgsql security invoker set search_path = ''
as $$
begin
    if p_seconds is null or p_seconds not between 1 and 86400 then
        raise exception 'a lease lasts from 1 to 86400 seconds' using errcode = '22023';
    end if;
    update public.harvest_leases as lease
        set expires_at = clock_timestamp() + make_interval(secs => p_seconds)
        where lease.job_id = p_job_id
            and lease.holder = p_holder
            and lease.expires_at > clock_timestamp();
    return found;
end
$$;

-- True: the holder had the lease and gave it back.
create or replace function public.release_harvest_lease(p_job_id uuid, p_holder text)
returns boolean
language plpgsql security invoker set search_path = ''
as $$
begin
    delete from public.harvest_leases as lease
        where lease.job_id = p_job_id and lease.holder = p_holder;
    return found;
end
$$;

revoke all on function public.claim_harvest_lease(uuid, text, integer)
    from public, anon, authenticated;
revoke all on function public.renew_harvest_lease(uuid, text, integer)
    from public, anon, authenticated;
revoke all on function public.release_harvest_lease(uuid, text)
    from public, anon, authenticated;
grant execute on function public.claim_harvest_lease(uuid, text, integer) to service_role;
grant execute on function public.renew_harvest_lease(uuid, text, integer) to service_role;
grant execute on function public.release_harvest_lease(uuid, text) to service_role;

notify pgrst, 'reload schema';
