-- The targets of monitors; $2 is not needed here.
select targets.id, targets.monitor
from unnest($1, $2) as wanted (monitor, url)
join targets on targets.monitor = wanted.monitor and targets.monitor <> ''
