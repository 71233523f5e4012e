-- Sets the current URL of monitors ($1): the one that began last at any location. A URL that begins after $2, by a wrong clock,
-- counts only if the monitor has no other.
with newest as (
    select distinct on (target_id)
        target_id, url,
        exists (
            select from target_urls as other where other.target_id = named.target_id and other.url <> named.url
        ) as has_moved
    from target_urls as named
    where target_id = any ($1)
    order by target_id, since > $2, since desc, url
), changed as materialized (
    select targets.id, newest.url, newest.has_moved
    from newest
    join targets
        on targets.id = newest.target_id
        and (targets.url, targets.has_moved) is distinct from (newest.url, newest.has_moved)
    order by targets.id
    for no key update of targets
)
update targets
set url = changed.url, has_moved = changed.has_moved
from changed
where targets.id = changed.id
