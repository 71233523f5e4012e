-- $1 URLs, or null for all.
select id, url
from targets
where $1 is null or url = any ($1)
