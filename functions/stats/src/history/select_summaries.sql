-- The summaries of a block of targets ($1 to $2; of these the ones in $3, if that is not null): the months from $4 to $5
-- but for those in $6, and the days from $7 to $8 but for those in $9 and those of the months before. The
-- phases only if $10.
select target_id, starts_at, summary, case when $10 then phases end as phases
from summaries
where target_id between $1 and $2
    and ($3::integer[] is null or target_id = any ($3))
    and (
        (
            span = 2 and starts_at >= $4 and starts_at < $5
            and starts_at <> all ($6)
        )
        or (
            span = 1 and starts_at >= $7 and starts_at < $8
            and starts_at <> all ($9)
            and (
                starts_at < $4 or starts_at >= $5
                or date_trunc('month', starts_at, 'UTC') = any ($6)
            )
        )
    )
