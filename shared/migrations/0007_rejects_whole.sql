-- What else the event said of a record that could not be stored, so that it can be handed to flush again as it came.
alter table rejects
    -- When it was written to Kafka, in milliseconds since 1970; part of what content_hash is of.
    add column timestamp_ms bigint,
    -- Headers, the type of the timestamp, the schema that a registry has for it: the rest of the record in the event, as
    -- JSON.
    add column more text not null default '{}';
