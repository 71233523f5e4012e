-- The horizon, with each span that is not sealed; by itself where there is none.
select horizon.chunks_from, horizon.summaries_from, unsealed.span, unsealed.starts_at, unsealed.block
from horizon
left join unsealed on true
