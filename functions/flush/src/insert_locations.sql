-- Committed on its own, as targets are. $2 is nothing but empty strings.
insert into locations (name)
select name
from unnest($1, $2) as wanted (name, nothing)
on conflict do nothing
returning id, name
