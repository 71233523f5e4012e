-- $1 URLs or null for all, $2 and $3 the window [from, to) or nulls for everything.
select
    targets.url,
    count(*) as probes,
    -- The population of the percentiles.
    count(probes.http_status_code) as responses,
    count(*) filter (where probes.http_status_code is null) as failures,
    -- 2 is the code of "down": no response, or one that was not as expected.
    count(*) filter (where probes.outcome = 2) as down,
    percentile_cont(array[0.5, 0.95, 0.99]) within group (order by probes.response_time_us)
        filter (where probes.http_status_code is not null) as percentiles_us,
    min(probes.probed_at) as first_probe_at,
    max(probes.probed_at) as last_probe_at
from probes
join targets on targets.id = probes.target_id
where ($1::text[] is null or targets.url = any ($1))
    and ($2::timestamptz is null or probes.probed_at >= $2)
    and ($3::timestamptz is null or probes.probed_at < $3)
group by targets.url
order by targets.url collate "C"
