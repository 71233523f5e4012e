-- The longer span has changed, as of $4.
insert into unsealed (span, starts_at, block, changed_at)
values ($1, $2, $3, $4)
on conflict (span, starts_at, block) do update
set changed_at = greatest(unsealed.changed_at, excluded.changed_at)
