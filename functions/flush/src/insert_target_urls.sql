-- Stores the URLs of monitors: $3 from the probe at $4 to the probe at $5, without another URL in between. URLs equal to the one
-- before them add no row. If stored probes after these have the previous URL, that URL starts again with the first of them.
with said as (
    select
        *,
        lag(since) over owner as since_before,
        lag(url) over owner as url_before,
        lead(since, 1, 'infinity') over owner as next_since
    from unnest($1, $2, $3, $4, $5) as said (target_id, location_id, url, since, until)
    window owner as (partition by target_id, location_id order by since)
), again as (
    select said.target_id, said.location_id, other.url, later.probed_at as since
    from said
    cross join lateral (
        select probes.probed_at
        from probes
        -- Without anything stored, there are no others.
        where exists (
                select from target_urls as stored
                where stored.target_id = said.target_id and stored.location_id = said.location_id
            )
            and probes.target_id = said.target_id
            and probes.location_id = said.location_id
            and probes.probed_at > said.until
            and probes.probed_at < said.next_since
            -- A slot that was missed (3) requested no URL.
            and probes.outcome <> 3
        order by probes.probed_at
        limit 1
    ) as later
    cross join lateral (
        select url, since
        from target_urls as stored
        where stored.target_id = said.target_id and stored.location_id = said.location_id
            and stored.since <= later.probed_at
        order by since desc
        limit 1
    ) as other
    -- A URL that was stored for a time in between begins by itself.
    where other.since <= said.until and other.url <> said.url
), changed as (
    select said.target_id, said.location_id, said.url, said.since
    from said
    left join lateral (
        select url, since
        from target_urls as stored
        where stored.target_id = said.target_id and stored.location_id = said.location_id and stored.since <= said.since
        order by since desc
        limit 1
    ) as before on true
    where said.url is distinct from
        case when before.since > said.since_before then before.url else coalesce(said.url_before, before.url) end
        or exists (
            select from again
            where again.target_id = said.target_id and again.location_id = said.location_id
                and again.since > said.since_before and again.since < said.since
        )
), stored as (
    insert into target_urls (target_id, location_id, url, since, version)
    select target_id, location_id, url, since, (select url_changes + 1 from horizon) from changed
    union all
    select target_id, location_id, url, since, (select url_changes + 1 from horizon) from again
    on conflict (target_id, location_id, since) do update
    set url = excluded.url, version = excluded.version
    where target_urls.url <> excluded.url
    returning 1
)
update horizon
set url_changes = url_changes + 1
where exists (select from stored)
