-- What the file of monitors said of each target, location by location, and since when. It says so again with every probe.
drop table target_settings;
create table target_settings (
    target_id integer not null,
    location_id smallint not null,
    -- The first slot with these settings, as far as is known. They hold until the next ones.
    since timestamptz not null,
    -- From one slot to the next; null where a probe that no schedule asked for said the tags: the interval goes on.
    interval_ms integer,
    tags text[] not null,
    primary key (target_id, location_id, since)
);

comment on column probes.attempt is
    'From 1 in each slot; negative where another attempt followed, so that the verdict of a slot is its positive one; '
    '16384 more, or less if negative, where its slot began late.';

-- Who may read what stats reads, and nothing else: a group without a login, to be granted to the user of stats. Whoever
-- migrates may lack the right to make it; whoever has it may then make it, and run the grants below.
do $$
begin
    if not exists (select from pg_roles where rolname = 'website_monitor_reader') then
        begin
            create role website_monitor_reader nologin;
        exception
            -- The last two: another database of the cluster is migrated at the same time.
            when insufficient_privilege then raise notice 'the role website_monitor_reader is not made: no right to';
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if exists (select from pg_roles where rolname = 'website_monitor_reader') then
        execute format('grant usage on schema %I to website_monitor_reader', current_schema());
        grant select on
            website_monitor_migrations, targets, target_urls, target_settings, locations, certificates, probes, fragments,
            chunks, summaries, unsealed, horizon
        to website_monitor_reader;
    end if;
end
$$;
