-- The newest probes of targets ($1) from $2 to $3 that failed, and slots that were missed: $4 of all of them, at most.
select
    failed.probed_at, failed.http_status_code, failed.outcome, failed.error_kind, failed.attempt, failed.response_time_us,
    failed.error_message, coalesce(named.url, targets.url) as url, targets.monitor, locations.name as location
from unnest($1) as asked (target_id)
cross join lateral (
    select * from probes
    where probes.target_id = asked.target_id and outcome >= 2 and probed_at >= $2 and probed_at < $3
    order by probed_at desc, record_id
    limit $4
) as failed
join targets on targets.id = failed.target_id
join locations on locations.id = failed.location_id
-- The URL that its monitor had then.
left join lateral (
    select url
    from target_urls
    where target_urls.target_id = failed.target_id
        and target_urls.location_id = failed.location_id
        and target_urls.since <= failed.probed_at
    order by since desc
    limit 1
) as named on true
order by failed.probed_at desc, targets.url, targets.monitor, failed.record_id
limit $4
