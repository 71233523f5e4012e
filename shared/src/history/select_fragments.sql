-- The fragments of the hours in $2 of the block $1. The phases only if $3.
select hour, keys, instants, samples, case when $3 then phases end as phases
from fragments
where block = $1
    and hour = any ($2)
