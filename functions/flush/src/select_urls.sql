-- The targets without a monitor, by their URLs; $2 is nothing but empty strings.
select targets.id, targets.url
from unnest($1, $2) as wanted (url, nothing)
join targets on targets.url = wanted.url and targets.monitor = ''
