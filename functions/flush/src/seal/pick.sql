-- Nothing, unless the lock $2 is ours; it is until the end of the transaction.
--
-- A span is closed when it ended at $1 or before, a while ago, so that what is a little late does not open it again, and
-- was not changed since; a day when none of its hours is unsealed, a month when none of its days is. Whoever writes into
-- an hour holds it: it is passed over.
with turn as materialized (select pg_try_advisory_xact_lock($2) as is_ours)
select unsealed.span, unsealed.starts_at, unsealed.block
from unsealed
cross join lateral (
    select (
        unsealed.starts_at at time zone 'UTC'
        + case unsealed.span when 0 then interval '1 hour' when 1 then interval '1 day' else interval '1 month' end
    ) at time zone 'UTC' as ends_at
) as calendar
where (select is_ours from turn)
    and calendar.ends_at <= $1
    and unsealed.changed_at <= $1
    and not exists (
        select from unsealed as shorter
        where shorter.span < unsealed.span
            and shorter.block = unsealed.block
            and shorter.starts_at >= unsealed.starts_at
            and shorter.starts_at < calendar.ends_at
    )
order by unsealed.span, unsealed.starts_at, unsealed.block
limit 1
for update of unsealed skip locked
