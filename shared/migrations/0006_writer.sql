-- Who may write what flush writes: a group without a login, to be granted to the user of flush. It owns nothing; the two
-- things that only an owner can do, making and dropping the partition of a day, are functions of the owner.

do $$
begin
    -- Of tables, names are looked up in this schema alone, and of functions in pg_catalog, by their whole names: whoever
    -- calls may have put up others of the same name.
    execute format('set local search_path to %I, pg_temp', current_schema());
end
$$;

-- Makes the partition of a day (UTC), and moves into it what had been put up in probes_other before. Gives up, with
-- lock_not_available, if others are in the way.
create function website_monitor_make_partition(day date) returns void
language plpgsql security definer
set search_path from current set lock_timeout to '2s' set datestyle to 'ISO' set timezone to 'UTC'
as $$
declare
    name constant text := 'probes_' || pg_catalog.to_char(day::timestamp, 'YYYYMMDD');
    day_start constant timestamptz := day::timestamp at time zone 'UTC';
    day_end constant timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    if day not between '0001-01-01' and '9999-12-31' then
        raise exception 'there are no partitions of %', day;
    end if;
    -- Whoever makes or drops partitions holds this.
    perform pg_catalog.pg_advisory_xact_lock(8603390910991197441);
    if pg_catalog.to_regclass(name) is not null then
        return;
    end if;
    execute pg_catalog.format('create table %I (like probes including all)', name);
    lock table probes_other in access exclusive mode;
    execute pg_catalog.format(
        'with moved as (delete from probes_other where probed_at >= %L and probed_at < %L returning *) '
        'insert into %I select * from moved',
        day_start, day_end, name
    );
    execute pg_catalog.format('alter table probes attach partition %I for values from (%L) to (%L)', name, day_start, day_end);
end
$$;

-- Drops the partition of a day (UTC) unless some of its hours are to be sealed, and says whether it did. Gives up, with
-- lock_not_available, if others are in the way.
create function website_monitor_drop_partition(day date) returns boolean
language plpgsql security definer
set search_path from current set lock_timeout to '500ms' set datestyle to 'ISO' set timezone to 'UTC'
as $$
declare
    name constant text := 'probes_' || pg_catalog.to_char(day::timestamp, 'YYYYMMDD');
    day_start constant timestamptz := day::timestamp at time zone 'UTC';
    day_end constant timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    if day not between '0001-01-01' and '9999-12-31' then
        raise exception 'there are no partitions of %', day;
    end if;
    perform pg_catalog.pg_advisory_xact_lock(8603390910991197441);
    -- Without writers: whoever wrote has announced its hours, and that is committed.
    lock table only probes in access exclusive mode;
    if exists (select from unsealed where span = 0 and starts_at >= day_start and starts_at < day_end) then
        return false;
    end if;
    execute pg_catalog.format('drop table if exists %I', name);
    return true;
end
$$;

do $$
declare
    owner constant text := (select pg_get_userbyid(relowner) from pg_class where oid = 'probes'::regclass);
begin
    -- Whose rights they have, whoever migrates. The superuser's would be too many.
    execute format('alter function website_monitor_make_partition(date) owner to %I', owner);
    execute format('alter function website_monitor_drop_partition(date) owner to %I', owner);
end
$$;
revoke execute on function website_monitor_make_partition(date), website_monitor_drop_partition(date) from public;

do $$
begin
    if not exists (select from pg_roles where rolname = 'website_monitor_writer') then
        begin
            create role website_monitor_writer nologin;
        exception
            -- The last two: another database of the cluster is migrated at the same time.
            when insufficient_privilege then raise notice 'the role website_monitor_writer is not made: no right to';
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if exists (select from pg_roles where rolname = 'website_monitor_writer') then
        execute format('grant usage on schema %I to website_monitor_writer', current_schema());
        grant select on website_monitor_migrations to website_monitor_writer;
        grant select, insert on targets, locations, rejects to website_monitor_writer;
        grant update (url, has_moved) on targets to website_monitor_writer;
        grant select, insert, update on certificates, target_settings, target_urls to website_monitor_writer;
        grant select, insert on probes to website_monitor_writer;
        grant select, delete on probes_other to website_monitor_writer;
        grant select, insert, delete on fragments to website_monitor_writer;
        grant select, insert, update, delete on unsealed, chunks, summaries to website_monitor_writer;
        grant select, update on horizon to website_monitor_writer;
        grant execute on function website_monitor_make_partition(date), website_monitor_drop_partition(date)
        to website_monitor_writer;
    end if;
end
$$;
