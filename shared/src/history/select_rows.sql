-- The rows of some hours of a block of targets ($1 to $2; of these the ones in $3, if that is not null), by target,
-- hour and location, each column as an array. $4 are the hours, $5 and $6 bounds around them that let the planner leave
-- out other days. "offset 0" keeps it from reading whole days where it is to look into the index once for each target.
select targets.id as target_id, hours.hour, probe.*
from targets
cross join unnest($4) as hours (hour)
cross join lateral (
    select
        location_id,
        array_agg(probed_at) as probed_at,
        array_agg(http_status_code) as http_status_code,
        array_agg(outcome) as outcome,
        array_agg(error_kind) as error_kind,
        array_agg(response_time_us) as response_time_us,
        array_agg(dns_us) as dns_us,
        array_agg(connect_us) as connect_us,
        array_agg(tls_us) as tls_us,
        array_agg(first_byte_us) as first_byte_us,
        array_agg(download_us) as download_us
    from probes
    where probes.target_id = targets.id
        and probes.probed_at >= hours.hour
        and probes.probed_at < hours.hour + interval '1 hour'
        and probes.probed_at >= $5
        and probes.probed_at < $6
    group by location_id
    offset 0
) as probe
where targets.id between $1 and $2 and ($3::integer[] is null or targets.id = any ($3))
