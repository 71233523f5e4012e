-- Seen later counts, in whatever order the batches come.
insert into certificates (target_id, expires_at, last_seen_at)
select *
from unnest($1, $2, $3)
on conflict (target_id, expires_at) do update
set last_seen_at = excluded.last_seen_at
where certificates.last_seen_at < excluded.last_seen_at
