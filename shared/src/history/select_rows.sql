-- The rows of the hours in $4 of a block of targets ($1 to $2; of these the ones in $3, if that is not null), five
-- minutes at a time, each column as an array: that takes a third of the time that a row for each probe does. $5 and $6
-- are bounds around the hours that let the planner leave out the partitions of other days.
select hours.hour, slice.*
from unnest($4) as hours (hour)
cross join generate_series(0, 11) as slices (number)
cross join lateral (
    select
        array_agg(target_id),
        array_agg(location_id),
        array_agg(probed_at),
        array_agg(http_status_code),
        array_agg(outcome),
        array_agg(error_kind),
        array_agg(response_time_us),
        array_agg(dns_us),
        array_agg(connect_us),
        array_agg(tls_us),
        array_agg(first_byte_us),
        array_agg(download_us),
        array_agg(attempt)
    from probes
    where probed_at >= hours.hour + slices.number * interval '5 minutes'
        and probed_at < hours.hour + (slices.number + 1) * interval '5 minutes'
        and probed_at >= $5
        and probed_at < $6
        and target_id between $1 and $2
        and ($3::integer[] is null or target_id = any ($3))
    having count(*) > 0
) as slice
