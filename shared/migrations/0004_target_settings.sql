-- What the file of monitors said last of each target.
create table target_settings (
    target_id integer primary key,
    -- From one slot to the next; null where no schedule asks.
    interval_ms integer,
    tags text[] not null,
    -- When the first probe with these settings started, as far as is known.
    since timestamptz not null
);
