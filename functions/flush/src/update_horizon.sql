-- Moves the horizon towards $1 and $2, where they are not null, by one stored day and one stored month, so that each step is
-- short. The horizon never moves back. Changes nothing while another instance holds the lock $3.
update horizon
set
    chunks_from = case
        when chunks_from < $1 then greatest(
            chunks_from,
            least(
                $1,
                case
                    -- By the index on hours. To find the oldest takes all of the table.
                    when exists (select from chunks where hour < chunks_from + interval '24 hours')
                        then chunks_from + interval '24 hours'
                    else (select date_trunc('day', min(hour), 'UTC') + interval '24 hours' from chunks)
                end
            )
        )
        else chunks_from
    end,
    summaries_from = case
        when summaries_from < $2 then greatest(
            summaries_from,
            least(
                $2,
                (
                    select (date_trunc('month', min(starts_at) at time zone 'UTC') + interval '1 month') at time zone 'UTC'
                    from summaries
                )
            )
        )
        else summaries_from
    end
where (chunks_from < $1 or summaries_from < $2) and (select pg_try_advisory_xact_lock($3))
returning chunks_from, summaries_from
