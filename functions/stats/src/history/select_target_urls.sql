-- The URLs that monitors ($1) had at some time from $2 to $3, by location, in the order of time.
select named.target_id, named.since, named.url, named.location_id
from target_urls as named
where named.target_id = any ($1)
    and named.since < $3
    and not exists (
        select from target_urls as next
        where next.target_id = named.target_id
            and next.location_id = named.location_id
            and next.since > named.since
            and next.since <= $2
    )
order by named.since, named.url
