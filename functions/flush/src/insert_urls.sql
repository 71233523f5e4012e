-- Committed on its own, as the targets of monitors are. $2 is nothing but empty strings.
insert into targets (url)
select url
from unnest($1, $2) as wanted (url, nothing)
on conflict do nothing
returning id, url
