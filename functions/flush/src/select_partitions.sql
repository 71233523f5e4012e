-- A partition's name holds its day: probes_20261124.
select
    child.relname::text,
    (right(child.relname, 8) || ' 00:00:00+00')::timestamptz as day
from pg_inherits
join pg_class as child on child.oid = pg_inherits.inhrelid
where pg_inherits.inhparent = 'probes'::regclass and child.relname ~ '^probes_[0-9]{8}$'
