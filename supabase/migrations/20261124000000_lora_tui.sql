-- What lora-tui adds to the deployed project: closed tables, models that their owners may rename,
-- archive and delete, signed downloads for their owners, keyset indexes, and the queue of the
-- harvest: leases and attempts.
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
-- When the holder began to work; null while the job is only claimed with others.
alter table public.harvest_leases add column if not exists begun_at timestamptz;

alter table public.harvest_leases enable row level security;
revoke all on public.harvest_leases from public, anon, authenticated;
grant select, insert, update, delete on public.harvest_leases to service_role;

-- True: the job is the holder's for that many seconds, and work on it begins. A lease that ran out
-- is anybody's, and claiming one's own again renews it.
create or replace function public.claim_harvest_lease(
    p_job_id uuid, p_holder text, p_seconds integer
) returns boolean
language plpgsql security invoker set search_path = ''
as $$
begin
    if p_seconds is null or p_seconds not between 1 and 86400 then
        raise exception 'a lease lasts from 1 to 86400 seconds' using errcode = '22023';
    end if;
    insert into public.harvest_leases as lease (job_id, holder, expires_at, begun_at)
    values (
        p_job_id, p_holder, clock_timestamp() + make_interval(secs => p_seconds), clock_timestamp()
    )
    on conflict (job_id) do update
        set holder = excluded.holder,
            expires_at = clock_timestamp() + make_interval(secs => p_seconds),
            begun_at = case when lease.holder = excluded.holder
                then coalesce(lease.begun_at, clock_timestamp()) else clock_timestamp() end
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

-- Those of these jobs whose lease the holder still had, and has for that many seconds more. Rows
-- are locked in the order of their ids: two calls never wait for each other.
create or replace function public.renew_harvest_leases(
    p_holder text, p_job_ids uuid[], p_seconds integer
) returns setof uuid
language plpgsql security invoker set search_path = ''
as $$
begin
    if p_seconds is null or p_seconds not between 1 and 86400 then
        raise exception 'a lease lasts from 1 to 86400 seconds' using errcode = '22023';
    end if;
    perform 1 from public.harvest_leases as lease
        where lease.job_id = any (p_job_ids) and lease.holder = p_holder
        order by lease.job_id for update;
    return query update public.harvest_leases as lease
        set expires_at = clock_timestamp() + make_interval(secs => p_seconds)
        where lease.job_id = any (p_job_ids)
            and lease.holder = p_holder
            and lease.expires_at > clock_timestamp()
        returning lease.job_id;
end
$$;

-- Those of these jobs whose lease the holder had and gave back.
create or replace function public.release_harvest_leases(p_holder text, p_job_ids uuid[])
returns setof uuid
language plpgsql security invoker set search_path = ''
as $$
begin
    perform 1 from public.harvest_leases as lease
        where lease.job_id = any (p_job_ids) and lease.holder = p_holder
        order by lease.job_id for update;
    return query delete from public.harvest_leases as lease
        where lease.job_id = any (p_job_ids) and lease.holder = p_holder
        returning lease.job_id;
end
$$;

-- The queue of the harvest: attempts of each job, shared by all harvesters ---------------------

create table if not exists public.harvest_attempts (
    job_id uuid primary key references public.training_jobs (id) on delete cascade,
    external_job_id text not null, -- a job that is trained again has another one, and no history
    attempts integer not null default 0, -- failed ones, deaths included
    deaths integer not null default 0, -- leases that ran out while a harvester worked
    next_at timestamptz, -- not before; null: at once
    dead boolean not null default false, -- it failed for good: only a retry by hand tries it again
    reason text,
    details text,
    remedy text,
    first_seen timestamptz not null default now(),
    warned_at timestamptz, -- somebody was warned that the result expires
    finished_at timestamptz, -- it has its model
    finished_by text
);

alter table public.harvest_attempts enable row level security;
revoke all on public.harvest_attempts from public, anon, authenticated;
grant select, insert, update, delete on public.harvest_attempts to service_role;

create index if not exists lora_tui_harvest_finished
    on public.harvest_attempts (finished_at) where finished_at is not null;

create index if not exists lora_tui_harvest_failed
    on public.harvest_attempts (job_id) where dead or next_at is not null;

-- Jobs that wait for their model: it has no entry for those that have one, or run. A job without a
-- time of completion comes last.
create index if not exists lora_tui_harvest_queue
    on public.training_jobs ((coalesce(completed_at, timestamptz 'infinity')), id)
    where status = 'completed' and artifact_id is null and external_job_id is not null;

-- Makes the rows of these jobs in harvest_attempts. A job that was trained again, or has lost its
-- model, begins without a history. Whoever calls it for several jobs has locked the rows of these
-- jobs, and never waits for a locked one: else two callers could wait for each other.
create or replace function public.begin_harvest_attempts(p_job_ids uuid[]) returns void
language sql security invoker set search_path = ''
as $$
    insert into public.harvest_attempts as attempt (job_id, external_job_id)
        select training.id, training.external_job_id
        from public.training_jobs as training
        where training.id = any (p_job_ids) and training.external_job_id is not null
    on conflict (job_id) do update
        set external_job_id = excluded.external_job_id, attempts = 0, deaths = 0,
            next_at = null, dead = false, reason = null, details = null, remedy = null,
            first_seen = now(), warned_at = null, finished_at = null, finished_by = null
        where attempt.external_job_id <> excluded.external_job_id
            or attempt.finished_at is not null
$$;

-- Claims up to p_limit due jobs for p_seconds, and returns them with their attempts so far. First
-- come jobs whose result the GPU worker still keeps (30 minutes), the first to expire first; then
-- the others, the longest waiting first. Left out are jobs with a living lease, dead ones, and
-- failed ones whose next time has not come.
--
-- Claims do not wait for each other: the rows of jobs are locked with SKIP LOCKED. NO KEY UPDATE
-- excludes other claims, and unlike UPDATE it does not hold up those who insert rows that refer to
-- the job (points, artifacts, leases). The lease decides: the lock of a claim that was committed
-- after the snapshot of this query is gone, but not its lease, and the next query, which has a
-- snapshot of its own, looks further.
create or replace function public.claim_harvest_jobs(
    p_holder text, p_limit integer, p_seconds integer
) returns table (
    job jsonb,
    attempts integer,
    reason text,
    details text,
    first_seen timestamptz
)
language plpgsql security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    kept constant timestamptz := clock_timestamp() - interval '30 minutes';
    -- first the results that the worker keeps; then all, of which the older ones come first
    lows constant timestamptz[] := array[kept, '-infinity'];
    highs constant timestamptz[] := array['200000-01-01', 'infinity'];
    part integer := 1;
    seen uuid[] := '{}';
    picked uuid[];
    expired uuid[];
    died uuid[];
    postponed uuid[];
    taken uuid[];
    claimed uuid[] := '{}';
begin
    if p_seconds is null or p_seconds not between 1 and 86400 then
        raise exception 'a lease lasts from 1 to 86400 seconds' using errcode = '22023';
    end if;
    if p_limit is null or p_limit not between 1 and 100 then
        raise exception 'a claim is for 1 to 100 jobs' using errcode = '22023';
    end if;
    if coalesce(p_holder, '') = '' then
        raise exception 'a lease has a holder' using errcode = '22023';
    end if;

    while part <= 2 and cardinality(claimed) < p_limit loop
        picked := array(
            select training.id
            from public.training_jobs as training
            where training.status = 'completed' and training.artifact_id is null
                and training.external_job_id is not null
                and coalesce(training.completed_at, timestamptz 'infinity')
                    between lows[part] and highs[part]
                and training.id <> all (seen)
                -- NOT IN, not NOT EXISTS: both are read once, and the index keeps its order
                and training.id not in (
                    select lease.job_id from public.harvest_leases as lease
                    where lease.expires_at > clock_timestamp()
                )
                and (training.id, training.external_job_id) not in (
                    select attempt.job_id, attempt.external_job_id
                    from public.harvest_attempts as attempt
                    where (attempt.dead or attempt.next_at is not null)
                        and (attempt.dead or attempt.next_at > clock_timestamp())
                )
            order by coalesce(training.completed_at, timestamptz 'infinity'), training.id
            limit p_limit - cardinality(claimed)
            for no key update of training skip locked
        );
        if picked = '{}' then
            part := part + 1;
            continue;
        end if;
        seen := seen || picked;

        -- Who had begun to work under a lease that ran out has died, or was cut off.
        select
            coalesce(array_agg(found.job_id), '{}'),
            coalesce(array_agg(found.job_id) filter (where found.worked), '{}')
            into expired, died
            from (
                select
                    lease.job_id,
                    lease.begun_at is not null and lease.holder <> p_holder as worked
                from public.harvest_leases as lease
                where lease.job_id = any (picked) and lease.expires_at <= clock_timestamp()
                for update skip locked
            ) as found;

        perform public.begin_harvest_attempts(picked);

        -- A job at which several harvesters died may be the cause: it waits like a failed one.
        update public.harvest_attempts as attempt
            set attempts = attempt.attempts + 1, deaths = attempt.deaths + 1
            where attempt.job_id = any (died);
        with postponing as (
            update public.harvest_attempts as attempt
                set reason = 'The harvester ended abruptly while it worked on this job',
                    details = attempt.deaths || ' harvesters ended without a result',
                    remedy = 'check the system''s log for SIGKILL and lack of memory',
                    next_at = clock_timestamp() + (0.75 + random() / 2) * make_interval(
                        secs => least(
                            30 * 2 ^ least(attempt.attempts - 1, 7),
                            3600,
                            -- three more attempts fit into the time that is left
                            case when training.completed_at > kept then greatest(
                                10, extract(epoch from training.completed_at - kept) / 3
                            ) end
                        )
                    )
                from public.training_jobs as training
                where attempt.job_id = any (died) and attempt.deaths >= 3
                    and training.id = attempt.job_id
                returning attempt.job_id
        )
        select coalesce(array_agg(postponing.job_id), '{}') into postponed from postponing;
        delete from public.harvest_leases as lease where lease.job_id = any (postponed);

        with written as (
            insert into public.harvest_leases as lease (job_id, holder, expires_at)
                select choice.id, p_holder, clock_timestamp() + make_interval(secs => p_seconds)
                from unnest(picked) as choice (id)
                where choice.id <> all (postponed) and (
                    choice.id = any (expired)
                    or not exists (
                        select 1 from public.harvest_leases as other
                        where other.job_id = choice.id
                    )
                )
            on conflict (job_id) do update
                set holder = excluded.holder, expires_at = excluded.expires_at, begun_at = null
                where lease.expires_at <= clock_timestamp()
            returning lease.job_id
        )
        select coalesce(array_agg(written.job_id), '{}') into taken from written;
        claimed := claimed || taken;
    end loop;

    return query
        select
            to_jsonb(training) || jsonb_build_object(
                'dataset',
                case when dataset.id is not null then jsonb_build_object('name', dataset.name) end
            ),
            attempt.attempts,
            attempt.reason,
            attempt.details,
            attempt.first_seen
        from public.training_jobs as training
        join public.harvest_attempts as attempt on attempt.job_id = training.id
        left join public.datasets as dataset on dataset.id = training.dataset_id
        where training.id = any (claimed)
        order by array_position(seen, training.id);
end
$$;

-- Notes a failed attempt of the lease's holder, and gives the lease back. The next attempt is due
-- in p_seconds; with null there is none, until a retry by hand. One row, or none where the holder
-- had no lease: then nothing was written.
create or replace function public.fail_harvest_job(
    p_job_id uuid,
    p_holder text,
    p_seconds integer,
    p_reason text,
    p_details text,
    p_remedy text
) returns table (attempts integer, next_at timestamptz)
language plpgsql security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    if p_seconds not between 0 and 86400 then
        raise exception 'a next attempt is due in 0 to 86400 seconds' using errcode = '22023';
    end if;
    delete from public.harvest_leases as lease
        where lease.job_id = p_job_id and lease.holder = p_holder;
    if not found then
        return;
    end if;
    return query
        insert into public.harvest_attempts as attempt (
            job_id, external_job_id, attempts, next_at, dead, reason, details, remedy
        )
        select
            training.id,
            coalesce(training.external_job_id, ''),
            1,
            clock_timestamp() + make_interval(secs => p_seconds),
            p_seconds is null,
            left(p_reason, 500),
            left(p_details, 500),
            left(p_remedy, 500)
        from public.training_jobs as training where training.id = p_job_id
        on conflict (job_id) do update
            set attempts = attempt.attempts + 1, next_at = excluded.next_at, dead = excluded.dead,
                reason = excluded.reason, details = excluded.details, remedy = excluded.remedy
        returning attempt.attempts, attempt.next_at;
end
$$;

-- Notes that the job has its model, and gives the lease back. False: it has none. Removes what is
-- noted of jobs that have had their model for two weeks, and leases of jobs that have theirs.
create or replace function public.finish_harvest_job(p_job_id uuid, p_holder text)
returns boolean
language plpgsql security invoker set search_path = ''
as $$
declare
    finished boolean;
begin
    delete from public.harvest_leases as lease
        where lease.job_id = p_job_id and lease.holder = p_holder;
    insert into public.harvest_attempts as attempt (
        job_id, external_job_id, finished_at, finished_by
    )
    select training.id, coalesce(training.external_job_id, ''), clock_timestamp(), p_holder
    from public.training_jobs as training
    where training.id = p_job_id and training.artifact_id is not null
    on conflict (job_id) do update
        set external_job_id = excluded.external_job_id, next_at = null, dead = false,
            reason = null, details = null, remedy = null,
            finished_at = coalesce(attempt.finished_at, excluded.finished_at),
            finished_by = coalesce(attempt.finished_by, excluded.finished_by);
    finished := found;
    -- left by a harvester that died between the link of a model and this call
    with gone as (
        delete from public.harvest_leases as lease where lease.job_id in (
            select old.job_id from public.harvest_leases as old
            join public.training_jobs as training on training.id = old.job_id
            where old.expires_at < now() - interval '1 hour' and training.artifact_id is not null
            order by old.job_id limit 10 for update of old skip locked
        )
        returning lease.job_id
    )
    update public.harvest_attempts as attempt
        set finished_at = now(), next_at = null, dead = false
        where attempt.job_id in (select gone.job_id from gone) and attempt.finished_at is null;
    delete from public.harvest_attempts as attempt where attempt.job_id in (
        select old.job_id from public.harvest_attempts as old
        where old.finished_at < now() - interval '14 days'
        order by old.finished_at limit 10 for update skip locked
    );
    return finished;
end
$$;

-- Failed and dead jobs of these are due at once, without a history of attempts; returns which.
create or replace function public.retry_harvest_jobs(p_job_ids uuid[])
returns setof uuid
language sql security invoker set search_path = ''
as $$
    update public.harvest_attempts as attempt
        set attempts = 0, deaths = 0, next_at = null, dead = false
        where attempt.job_id in (
            select found.job_id from public.harvest_attempts as found
            where found.job_id = any (p_job_ids) and (found.dead or found.next_at is not null)
            order by found.job_id for update
        )
        returning attempt.job_id
$$;

-- Jobs whose result expires within p_seconds and that nobody was warned of: each is returned to one
-- caller, once.
create or replace function public.warn_harvest_jobs(p_seconds integer, p_limit integer)
returns table (job_id uuid, external_job_id text, completed_at timestamptz, reason text)
language plpgsql security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    kept constant timestamptz := clock_timestamp() - interval '30 minutes';
    jobs uuid[];
begin
    if p_limit is null or p_limit not between 1 and 1000 then
        raise exception 'a warning is of 1 to 1000 jobs' using errcode = '22023';
    end if;
    jobs := array(
        select training.id
        from public.training_jobs as training
        where training.status = 'completed' and training.artifact_id is null
            and training.external_job_id is not null
            and coalesce(training.completed_at, timestamptz 'infinity')
                between kept and kept + make_interval(secs => p_seconds)
            and not exists (
                select 1 from public.harvest_attempts as attempt
                where attempt.job_id = training.id
                    and attempt.external_job_id = training.external_job_id
                    and (attempt.dead or attempt.warned_at is not null)
            )
        order by coalesce(training.completed_at, timestamptz 'infinity'), training.id
        limit p_limit
        for no key update of training skip locked
    );
    perform public.begin_harvest_attempts(jobs);
    return query
        update public.harvest_attempts as attempt
        set warned_at = clock_timestamp()
        from public.training_jobs as training
        where attempt.job_id = any (jobs) and attempt.warned_at is null
            and training.id = attempt.job_id
        returning attempt.job_id, attempt.external_job_id, training.completed_at, attempt.reason;
end
$$;

-- Takes over what a harvester has noted on its own machine before the project had this table. Rows
-- of jobs that have failed here are kept. Each has job_id, external_job_id, attempts, seconds
-- (until the next attempt), dead, reason, details, remedy, first_seen, warned, and finished_at where
-- it has its model. Returns how many were taken.
create or replace function public.adopt_harvest_attempts(p_rows jsonb) returns integer
language plpgsql security invoker set search_path = ''
as $$
declare
    adopted integer;
begin
    perform 1 from public.training_jobs as training
        where training.id in (
            select (given.value ->> 'job_id')::uuid from jsonb_array_elements(p_rows) as given
        )
        order by training.id for no key update;
    insert into public.harvest_attempts as attempt (
        job_id, external_job_id, attempts, next_at, dead, reason, details, remedy, first_seen,
        warned_at, finished_at
    )
    select
        training.id,
        training.external_job_id,
        greatest(coalesce(given.attempts, 0), 0),
        clock_timestamp() + make_interval(secs => least(greatest(given.seconds, 0), 86400)),
        coalesce(given.dead, false),
        left(given.reason, 500),
        left(given.details, 500),
        left(given.remedy, 500),
        coalesce(given.first_seen, now()),
        case when given.warned then now() end,
        given.finished_at
    from jsonb_to_recordset(p_rows) as given (
        job_id uuid, external_job_id text, attempts integer, seconds double precision,
        dead boolean, reason text, details text, remedy text, first_seen timestamptz,
        warned boolean, finished_at timestamptz
    )
    join public.training_jobs as training
        on training.id = given.job_id and training.external_job_id = given.external_job_id
    where training.status = 'completed'
        and (training.artifact_id is null) = (given.finished_at is null)
    on conflict (job_id) do update
        set attempts = excluded.attempts, next_at = excluded.next_at, dead = excluded.dead,
            reason = excluded.reason, details = excluded.details, remedy = excluded.remedy,
            first_seen = least(attempt.first_seen, excluded.first_seen),
            warned_at = coalesce(attempt.warned_at, excluded.warned_at)
        where attempt.external_job_id = excluded.external_job_id
            and attempt.attempts = 0 and attempt.finished_at is null
            and excluded.finished_at is null;
    get diagnostics adopted = row_count;
    return adopted;
end
$$;

-- The state of the queue: the number of jobs in each state, and up to p_limit jobs of each, the
-- most urgent first, of those with a model the newest. One value, so that no limit on rows cuts it
-- off.
create or replace function public.harvest_status(p_limit integer) returns jsonb
language sql stable security invoker set search_path = ''
as $$
    with noted as (
        select
            training.id as job_id,
            training.external_job_id,
            training.completed_at,
            training.dataset_id,
            null::uuid as artifact_id,
            case
                when lease.begun_at is not null then 'running'
                when attempt.dead then 'dead'
                when attempt.next_at is not null then 'failed'
                else 'waiting'
            end as state,
            coalesce(attempt.attempts, 0) as attempts,
            attempt.next_at,
            attempt.reason,
            attempt.details,
            attempt.remedy,
            lease.holder,
            lease.begun_at,
            lease.expires_at,
            (training.completed_at > clock_timestamp() - interval '30 minutes') is not true as late,
            coalesce(training.completed_at, 'infinity') as place
        from public.training_jobs as training
        left join public.harvest_leases as lease
            on lease.job_id = training.id and lease.expires_at > clock_timestamp()
        left join public.harvest_attempts as attempt
            on attempt.job_id = training.id and attempt.finished_at is null
                and attempt.external_job_id = training.external_job_id
        where training.status = 'completed' and training.artifact_id is null
            and training.external_job_id is not null
    ), ranked as (
        select
            noted.*,
            row_number() over (partition by state order by late, place, job_id) as number
        from noted
    ), finished as (
        select attempt.*, training.completed_at, training.dataset_id, training.artifact_id
        from public.harvest_attempts as attempt
        join public.training_jobs as training on training.id = attempt.job_id
        where attempt.finished_at is not null and training.artifact_id is not null
        order by attempt.finished_at desc
        limit least(p_limit, 100) -- every harvester reads them once a minute
    ), shown as (
        select
            job_id, external_job_id, completed_at, dataset_id, artifact_id, state, attempts,
            next_at, reason, details, remedy, holder, begun_at, expires_at,
            null::timestamptz as finished_at, number
        from ranked where number <= p_limit
        union all
        select
            job_id, external_job_id, completed_at, dataset_id, artifact_id, 'done', attempts,
            null, null, null, null, finished_by, null, null, finished_at,
            row_number() over (order by finished_at desc)
        from finished
    )
    select jsonb_build_object(
        'counts',
        (
            select coalesce(jsonb_object_agg(counted.state, counted.jobs), '{}')
            from (
                select state, count(*) as jobs from noted group by state
                union all
                select 'done', count(*) from public.harvest_attempts
                where finished_at is not null having count(*) > 0
            ) as counted
        ),
        'jobs',
        (
            select coalesce(
                jsonb_agg(
                    to_jsonb(shown) - 'number' - 'dataset_id' || jsonb_build_object(
                        'dataset', dataset.name, 'name', artifact.name,
                        'quality_metrics', artifact.quality_metrics
                    )
                    order by shown.state, shown.number
                ),
                '[]'
            )
            from shown
            left join public.datasets as dataset on dataset.id = shown.dataset_id
            left join public.model_artifacts as artifact on artifact.id = shown.artifact_id
        )
    )
$$;

revoke all on function public.claim_harvest_lease(uuid, text, integer)
    from public, anon, authenticated;
grant execute on function public.claim_harvest_lease(uuid, text, integer) to service_role;
revoke all on function public.renew_harvest_lease(uuid, text, integer)
    from public, anon, authenticated;
grant execute on function public.renew_harvest_lease(uuid, text, integer) to service_role;
revoke all on function public.release_harvest_lease(uuid, text)
    from public, anon, authenticated;
grant execute on function public.release_harvest_lease(uuid, text) to service_role;
revoke all on function public.renew_harvest_leases(text, uuid[], integer)
    from public, anon, authenticated;
grant execute on function public.renew_harvest_leases(text, uuid[], integer) to service_role;
revoke all on function public.release_harvest_leases(text, uuid[])
    from public, anon, authenticated;
grant execute on function public.release_harvest_leases(text, uuid[]) to service_role;
revoke all on function public.begin_harvest_attempts(uuid[])
    from public, anon, authenticated;
grant execute on function public.begin_harvest_attempts(uuid[]) to service_role;
revoke all on function public.claim_harvest_jobs(text, integer, integer)
    from public, anon, authenticated;
grant execute on function public.claim_harvest_jobs(text, integer, integer) to service_role;
revoke all on function public.fail_harvest_job(uuid, text, integer, text, text, text)
    from public, anon, authenticated;
grant execute on function public.fail_harvest_job(uuid, text, integer, text, text, text)
    to service_role;
revoke all on function public.finish_harvest_job(uuid, text)
    from public, anon, authenticated;
grant execute on function public.finish_harvest_job(uuid, text) to service_role;
revoke all on function public.retry_harvest_jobs(uuid[])
    from public, anon, authenticated;
grant execute on function public.retry_harvest_jobs(uuid[]) to service_role;
revoke all on function public.warn_harvest_jobs(integer, integer)
    from public, anon, authenticated;
grant execute on function public.warn_harvest_jobs(integer, integer) to service_role;
revoke all on function public.adopt_harvest_attempts(jsonb)
    from public, anon, authenticated;
grant execute on function public.adopt_harvest_attempts(jsonb) to service_role;
revoke all on function public.harvest_status(integer)
    from public, anon, authenticated;
grant execute on function public.harvest_status(integer) to service_role;

notify pgrst, 'reload schema';
