-- Committed on its own: a target without probes does no harm, and others need not wait for the batch.
insert into targets (url, monitor)
select url, monitor
from unnest($1, $2) as wanted (url, monitor)
on conflict do nothing
returning id, url, monitor
