-- A location has a name and nothing else; a target two names.
select locations.id, locations.name, wanted.nothing
from unnest($1, $2) as wanted (name, nothing)
join locations using (name)
