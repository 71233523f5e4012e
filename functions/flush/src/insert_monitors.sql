-- Committed on its own: a target without probes does no harm, and others need not wait for the batch. The URL is the one of
-- some record until the batch says which one the monitor has now.
insert into targets (monitor, url)
select monitor, url
from unnest($1, $2) as wanted (monitor, url)
on conflict do nothing
returning id, monitor
