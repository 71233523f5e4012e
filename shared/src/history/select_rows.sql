-- The rows of the hours in $4 of a block of targets ($1 to $2; of these the ones in $3, if that is not null). $5 and $6
-- are bounds around the hours that let the planner leave out the partitions of other days.
select
    probes.target_id,
    probes.location_id,
    hours.hour,
    probes.probed_at,
    probes.http_status_code,
    probes.outcome,
    probes.error_kind,
    probes.response_time_us,
    probes.dns_us,
    probes.connect_us,
    probes.tls_us,
    probes.first_byte_us,
    probes.download_us
from unnest($4) as hours (hour)
cross join lateral (
    select *
    from probes
    where probed_at >= hours.hour
        and probed_at < hours.hour + interval '1 hour'
        and probed_at >= $5
        and probed_at < $6
        and target_id between $1 and $2
        and ($3::integer[] is null or target_id = any ($3))
    offset 0
) as probes
