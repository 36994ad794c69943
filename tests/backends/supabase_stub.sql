-- What a Supabase project has before anybody's SQL, as far as our schema and migration use it.
-- For a plain PostgreSQL, 15 or newer, applied once to a new server by a superuser; the hosted
-- service and @supabase/lite bring the real thing.

create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;

-- Whoever uses the SQL editor. As on the hosted service it is no superuser.
create role postgres nologin createdb createrole;
grant usage, create on schema public to postgres with grant option;

create schema auth;
grant usage on schema auth to postgres, anon, authenticated, service_role;

create table auth.users (
    id uuid primary key default gen_random_uuid(),
    email text unique
);
grant select, references on auth.users to postgres;

create function auth.uid() returns uuid
language sql stable as $$
    select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

create schema storage;
grant usage on schema storage to postgres, anon, authenticated, service_role;

create table storage.buckets (
    id text primary key,
    name text not null unique,
    public boolean default false,
    file_size_limit bigint,
    allowed_mime_types text[]
);

create table storage.objects (
    id uuid primary key default gen_random_uuid(),
    bucket_id text references storage.buckets (id),
    name text,
    owner uuid
);

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on storage.buckets, storage.objects to anon, authenticated, service_role;
-- The hosted service lets `postgres` make policies here by an extension of its own.
alter table storage.buckets owner to postgres;
alter table storage.objects owner to postgres;

create function storage.foldername(name text) returns text[]
language sql immutable as $$
    select (string_to_array(name, '/'))[1:cardinality(string_to_array(name, '/')) - 1]
$$;

-- As on the hosted service, whatever `postgres` makes in schema public is granted to all three.
alter default privileges for role postgres in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant execute on functions to anon, authenticated, service_role;
