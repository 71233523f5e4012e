-- Committed before anything is written into these hours. Without probes, an hour here does no harm.
insert into unsealed (span, starts_at, block)
select 0, *
from unnest($1, $2)
on conflict do nothing
