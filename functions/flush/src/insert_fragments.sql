insert into fragments (hour, block, keys, instants, samples, phases)
select *
from unnest($1, $2, $3, $4, $5, $6)
