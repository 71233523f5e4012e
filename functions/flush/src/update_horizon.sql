-- The horizon moves forward to $1 and $2, where they are not null, by one day and one month of what there is, so that no
-- step takes long. It never moves back, whatever the settings were in between.
update horizon
set
    chunks_from = case
        when chunks_from < $1 then greatest(
            chunks_from,
            least($1, (select date_trunc('day', min(hour), 'UTC') + interval '24 hours' from chunks))
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
where chunks_from < $1 or summaries_from < $2
