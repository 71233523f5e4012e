-- The URLs of monitors ($1) from locations ($2), and whether the one that a monitor has now is not its newest: that one was dated
-- after $3 when it was stored, and its time has come.
with newest as (
    select distinct on (target_id) target_id, url
    from target_urls
    where target_id = any ($1)
    order by target_id, since > $3, since desc, url
)
select target_id, location_id, since, target_urls.url, targets.url <> newest.url as is_outdated
from unnest($1, $2) as wanted (target_id, location_id)
join target_urls using (target_id, location_id)
join newest using (target_id)
join targets on targets.id = target_id
order by target_id, location_id, since
