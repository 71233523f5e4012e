-- Which migrations this database has had.
create table if not exists website_monitor_migrations (
    version integer primary key,
    applied_at timestamptz not null default now()
);
