select targets.id, targets.url, targets.monitor
from unnest($1, $2) as wanted (url, monitor)
join targets using (url, monitor)
