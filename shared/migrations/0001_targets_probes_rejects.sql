-- What is monitored: a monitor, through any change of its URL, or a URL that is probed in the name of no monitor. A URL in
-- every row of probes would cost more than the rest of the row.
create table targets (
    id integer generated always as identity primary key,
    -- The URL of a target without a monitor, which names it; else the URL that its monitor has now (see target_urls).
    url text not null,
    -- The id in the monitors file; empty for a target that has none.
    monitor text not null default '',
    -- Whether its monitor has had several URLs.
    has_moved boolean not null default false
);
create unique index targets_monitor on targets (monitor) where monitor <> '';
create unique index targets_url on targets (url) where monitor = '';

-- One row per request. The key is the identity of the record: whatever is delivered again finds its row taken.
-- Columns go from wide to narrow, so that no row pays for alignment.
create table probes (
    probed_at timestamptz not null,
    -- A stable hash of the record's id, or of its topic, partition and offset where it has none.
    record_id bigint not null,
    scheduled_at timestamptz,
    certificate_expires_at timestamptz,
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
    -- 0 dns, 1 connect, 2 tls, 3 timeout, 4 redirect, 5 blocked, 6 protocol, 7 body, 8 assertion.
    error_kind smallint,
    location text not null,
    error_message text,
    primary key (target_id, probed_at, record_id)
);

-- What could not be stored, whole, so that it can be seen, counted and replayed once the cause is fixed.
create table rejects (
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    -- A hash of key, value and Kafka timestamp: tells a topic that was created anew from one delivered again.
    content_hash bigint not null,
    key bytea,
    value bytea,
    reason text not null,
    rejected_at timestamptz not null default now(),
    primary key (topic, partition, "offset", content_hash)
);

-- The table of the Python CLI wm, as a view, so that its queries go on working. Where that table itself is in this
-- database, it stays as it is.
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
