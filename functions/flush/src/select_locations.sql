-- $2 is nothing but empty strings.
select locations.id, locations.name
from unnest($1, $2) as wanted (name, nothing)
join locations using (name)
