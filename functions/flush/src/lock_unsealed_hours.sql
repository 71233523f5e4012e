-- Until the end of this transaction nobody seals these hours; others write into them all the same.
select (select chunks_from from horizon) as chunks_from
from unnest($1::timestamptz[], $2::integer[]) as wanted (starts_at, block)
join unsealed using (starts_at, block)
where unsealed.span = 0
for key share of unsealed
