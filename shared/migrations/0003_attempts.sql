-- A column more would make every row eight bytes longer.
comment on column probes.attempt is
    'From 1 in each slot; negative where another attempt followed, so that the verdict of a slot is its positive one.';
comment on column probes.error_message is
    'What the error says, or why a slot was missed; empty where there is neither.';

do $$
begin
    -- A slot that was missed is no probe, and a request without a response has no response time: so the Python CLI's query
    -- has the percentiles of stats. A table of that name is the Python CLI's own.
    if exists (select from pg_views where schemaname = current_schema() and viewname = 'url_probes') then
        create or replace view url_probes as
        select
            probes.record_id as id,
            coalesce(named.url, targets.url) as url,
            probes.probed_at at time zone 'UTC' as timestamp,
            probes.http_status_code::integer as http_status_code,
            case when probes.http_status_code is not null then probes.response_time_us / 1000.0::double precision end
                as response_time_ms
        from probes
        join targets on targets.id = probes.target_id
        -- The URL that its monitor had then.
        left join (
            select
                target_id, location_id, url, since,
                lead(since, 1, 'infinity') over (partition by target_id, location_id order by since) as until
            from target_urls
        ) as named
            on named.target_id = probes.target_id
            and named.location_id = probes.location_id
            and probes.probed_at >= named.since
            and probes.probed_at < named.until
        where probes.outcome <> 3;
    end if;
end
$$;
