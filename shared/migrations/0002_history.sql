-- History: probes in partitions by day, which are sealed into chunks by hour and summaries by day and month.

-- Where targets are probed from.
create table locations (
    id smallint generated always as identity primary key,
    name text not null unique
);

-- Which URL each monitor had, location by location since they are deployed one after the other, and since when. A URL holds
-- until the next one. Targets without a monitor are named by their URL and have no row here.
create table target_urls (
    target_id integer not null,
    location_id smallint not null,
    -- When the first probe of this URL started.
    since timestamptz not null,
    url text not null,
    -- How often this table had changed when the row came; see horizon.
    version bigint not null,
    primary key (target_id, location_id, since)
);
create index on target_urls (url);
create index on target_urls (version);

-- The certificates that targets have shown. The one in use is the one seen last.
create table certificates (
    target_id integer not null,
    expires_at timestamptz not null,
    -- As far as is known: looked at when a certificate changes, and by each instance once.
    last_seen_at timestamptz not null,
    primary key (target_id, expires_at)
);

do $$
begin
    -- The view is made anew below; a table of that name is the Python CLI's own.
    if exists (select from pg_views where schemaname = current_schema() and viewname = 'url_probes') then
        drop view url_probes;
    end if;
end
$$;
alter table probes rename to probes_unpartitioned;
alter index probes_pkey rename to probes_unpartitioned_pkey;

-- One row per request, for as long as WM_RAW_RETENTION says. The key is the identity of the record: whatever is
-- delivered again finds its row taken. Columns go from wide to narrow, so that no row pays for alignment; what a probe
-- of a healthy target lacks has a value of its own, since the first null of a row costs eight bytes. The instant leads
-- the key, not the target: rows then go into the index at its end, which is 1.5 times as fast and two thirds of the
-- size, and what is read of rows is always an hour.
create table probes (
    probed_at timestamptz not null,
    -- A stable hash of the record's id, or of its topic, partition and offset where it has none.
    record_id bigint not null,
    scheduled_at timestamptz,
    target_id integer not null,
    response_time_us integer,
    -- The phases, in microseconds; null where a phase did not happen.
    dns_us integer,
    connect_us integer,
    tls_us integer,
    first_byte_us integer,
    download_us integer,
    http_status_code smallint,
    attempt smallint not null,
    -- 0 up, 1 degraded, 2 down, 3 missed.
    outcome smallint not null,
    -- 0 dns, 1 connect, 2 tls, 3 timeout, 4 redirect, 5 blocked, 6 protocol, 7 body, 8 assertion; -1 none.
    error_kind smallint not null,
    location_id smallint not null,
    -- Empty where there is none.
    error_message text not null,
    primary key (probed_at, target_id, record_id)
) partition by range (probed_at);

-- The home of odd timestamps, and of late ones whose day is gone. flush makes the partitions of usual days.
create table probes_other partition of probes default;

-- What is to be sealed: spans (0 hour, 1 day, 2 month) that probes came into, by blocks of 4,096 targets. A span that
-- is not here is sealed, as far as there is anything in it. flush names an hour here, and commits that, before it
-- writes into it, and holds the row with a share lock while it does; whoever seals takes the row away.
create table unsealed (
    span smallint not null,
    starts_at timestamptz not null,
    -- target_id >> 12
    block integer not null,
    -- When a day or a month was last changed. It is sealed after a while without changes: not again and again while its
    -- hours are filled from a topic read anew.
    changed_at timestamptz not null default '-infinity',
    -- Whether some of an hour's rows have no fragments.
    from_rows boolean not null default false,
    primary key (span, starts_at, block)
);

-- What each batch brought into an hour that is not sealed: the same samples as in its rows, but read in a small part of
-- the time. A row here is written with the rows, and goes when the hour is sealed.
create table fragments (
    hour timestamptz not null,
    block integer not null,
    -- In a format of our own, which shared/src/history/fragment.rs describes.
    keys bytea not null,
    instants bytea not null,
    samples bytea not null,
    phases bytea not null
);
create index on fragments (hour, block);

-- Every probe of an hour exactly, but for its scheduled_at, attempt, record_id and error_message.
create table chunks (
    hour timestamptz not null,
    target_id integer not null,
    probes integer not null,
    location_id smallint not null,
    -- In a format of our own, which shared/src/history/chunk.rs describes.
    instants bytea not null,
    samples bytea not null,
    phases bytea not null,
    primary key (target_id, hour, location_id)
);

-- Counts and histograms of a day (span 1) or a month (span 2).
create table summaries (
    starts_at timestamptz not null,
    target_id integer not null,
    probes integer not null,
    span smallint not null,
    location_id smallint not null,
    -- In a format of our own, which shared/src/history/summary.rs describes.
    summary bytea not null,
    phases bytea not null,
    -- With the count, so that how much there is in a window is read from the index alone.
    primary key (target_id, span, starts_at, location_id) include (probes)
);

-- Random bytes do not compress: trying to would cost time.
alter table fragments
    alter keys set storage external,
    alter instants set storage external,
    alter samples set storage external,
    alter phases set storage external;
alter table chunks
    alter instants set storage external, alter samples set storage external, alter phases set storage external;
alter table summaries alter summary set storage external, alter phases set storage external;

-- For what is dropped by age, and for windows over all targets.
create index on chunks using brin (hour) with (pages_per_range = 16);
create index on summaries using brin (starts_at) with (pages_per_range = 16);

-- From when on there are chunks and summaries; what is older was dropped (WM_CHUNK_RETENTION, WM_DAY_RETENTION), and
-- records of then are refused, since nobody could tell a late one from one delivered again.
create table horizon (
    only_row boolean primary key default true check (only_row),
    chunks_from timestamptz not null default '-infinity',
    summaries_from timestamptz not null default '-infinity',
    -- How often target_urls has changed: what an instance of flush remembers of a monitor is true as long as none of its rows
    -- is of a later version. Whoever changes that table holds this row.
    url_changes bigint not null default 0
);
insert into horizon default values;

-- What is there already.
insert into locations (name) select distinct location from probes_unpartitioned;
insert into certificates
select target_id, certificate_expires_at, max(probed_at)
from probes_unpartitioned
where certificate_expires_at is not null
group by target_id, certificate_expires_at;
insert into probes
select
    probed_at, record_id, scheduled_at, target_id, response_time_us,
    dns_us, connect_us, tls_us, first_byte_us, download_us,
    http_status_code, attempt, outcome, coalesce(error_kind, -1), locations.id, coalesce(error_message, '')
from probes_unpartitioned
join locations on locations.name = probes_unpartitioned.location;
insert into unsealed (span, starts_at, block, from_rows)
select distinct 0, date_trunc('hour', probed_at, 'UTC'), target_id >> 12, true from probes;
drop table probes_unpartitioned;

-- The table of the Python CLI wm, as a view over every probe whose row is still there, so that its queries go on
-- working. Where that table itself is in this database, it stays as it is.
do $$
begin
    if to_regclass('url_probes') is null then
        create view url_probes as
        select
            probes.record_id as id,
            targets.url,
            probes.probed_at at time zone 'UTC' as timestamp,
            probes.http_status_code::integer as http_status_code,
            probes.response_time_us / 1000.0::double precision as response_time_ms
        from probes
        join targets on targets.id = probes.target_id;
    end if;
end
$$;
