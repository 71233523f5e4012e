select target_id, location_id, since, url
from unnest($1, $2) as wanted (target_id, location_id)
join target_urls using (target_id, location_id)
order by target_id, location_id, since
